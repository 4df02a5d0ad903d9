//! A look back over a history, by what clients were told alone.

use crate::book::{Book, Fact};
use crate::limits;
use crate::node::Entry;
use crate::rules::ensure;
use crate::support::{Answer, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::slice;
use taskqueue::UnixMs;
use taskqueue::op::Completion;

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
/// acknowledged on this history is there or was dropped later; and whether each slot of a schedule came once, and none went back.
pub(crate) fn review(log: &[Rc<Entry>], acknowledged: &[Acknowledged]) -> Result<(), String> {
    limits::review(log)?;
    let mut lives: BTreeMap<&str, Life> = BTreeMap::new();
    let mut drops: BTreeSet<(&str, usize)> = BTreeSet::new();
    let mut slots: BTreeMap<&str, UnixMs> = BTreeMap::new();
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
                Fact::Slot(name, slot) => {
                    let last = slots.insert(name, *slot);
                    ensure(last.is_none_or(|last| last < *slot), &format!("{name} went back from slot {last:?} to {slot:?}"))?;
                }
                Fact::Unscheduled(name) => {
                    slots.remove(name.as_str());
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

/// What the client was told, and what left the queue: before it, if another came under that id.
pub(crate) fn facts(command: &Command, answer: &Answer, there: &[(Rc<str>, u64)], book: &Book) -> Vec<Fact> {
    let gone = |(id, born): &&(Rc<str>, u64)| book.tasks.get(id).is_none_or(|known| known.born != *born);
    let (replaced, dropped): (Vec<_>, Vec<_>) =
        there.iter().filter(gone).map(|(id, _)| id.to_string()).partition(|id| pushed(answer).contains(id));
    let unkept = pushed(answer).iter().filter(|id| !book.tasks.contains_key(id.as_str()));
    let facts = replaced.into_iter().map(Fact::Dropped).chain(pushed(answer).iter().cloned().map(Fact::Pushed));
    facts.chain(fact(command, answer)).chain(dropped.into_iter().chain(unkept.cloned()).map(Fact::Dropped)).collect()
}

/// What a worker was told.
fn fact(command: &Command, answer: &Answer) -> Option<Fact> {
    match (command, answer) {
        (_, Answer::Claimed(Some((id, _, attempt, _)))) => Some(Fact::Claimed(id.clone(), *attempt)),
        (Command::Complete { id, .. }, Answer::Completed(Completion::Published)) => Some(Fact::Completed(id.clone())),
        _ => None,
    }
}

/// The ids of the tasks that a push added.
fn pushed(answer: &Answer) -> &[String] {
    match answer {
        Answer::Pushed { id, added: true } => slice::from_ref(id),
        Answer::PushedAll(ids) => ids,
        _ => &[],
    }
}
