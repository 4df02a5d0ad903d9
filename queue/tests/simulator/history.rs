//! A look back over a history, by what clients were told alone.

use crate::book::Fact;
use crate::node::Entry;
use crate::rules::ensure;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A push that its producer knows to be done, and the history by then.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) id: String,
    pub(crate) at: usize,
    pub(crate) entry: Option<Rc<Entry>>,
}

/// What a task has been through since it came into the queue.
#[derive(Debug, Default)]
struct Life {
    claims: u32,
    completed: bool,
}

/// Whether each task's claims are numbered one by one, none comes after its result, there is one result, and whatever was
/// acknowledged on this history is there or was dropped later.
pub(crate) fn review(log: &[Rc<Entry>], acknowledged: &[Acknowledged]) -> Result<(), String> {
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let mut drops: BTreeSet<(&str, usize)> = BTreeSet::new();
    for (index, entry) in log.iter().enumerate() {
        for fact in &entry.facts {
            match fact {
                Fact::Pushed(id) => {
                    let life = lives.entry(id).or_default();
                    ensure(!life.completed, &format!("{id} was pushed again after its result"))?;
                }
                Fact::Claimed(id, attempt) => {
                    let life = lives.get_mut(id.as_str()).ok_or_else(|| format!("{id} was claimed and not there"))?;
                    ensure(!life.completed, &format!("{id} was claimed after its result"))?;
                    life.claims += 1;
                    ensure(life.claims == *attempt, &format!("claim {} of {id} had the number {attempt}", life.claims))?;
                }
                Fact::Completed(id) => {
                    let life = lives.get_mut(id.as_str()).ok_or_else(|| format!("{id} was completed and not there"))?;
                    ensure(!life.completed, &format!("{id} has two results"))?;
                    life.completed = true;
                }
                Fact::Dropped(id) => {
                    lives.remove(id.as_str());
                    drops.insert((id, index + 1));
                }
            }
        }
    }
    for Acknowledged { id, at, entry } in acknowledged {
        let on_this_history = match entry {
            Some(entry) => log.get(at - 1).is_some_and(|own| Rc::ptr_eq(own, entry)),
            None => true,
        };
        let dropped = || drops.range((id.as_str(), *at)..=(id.as_str(), usize::MAX)).next().is_some();
        ensure(!on_this_history || lives.contains_key(id.as_str()) || dropped(), &format!("{id} was acknowledged and is lost"))?;
    }
    Ok(())
}
