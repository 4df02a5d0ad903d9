//! What always holds of keys of `UNIQUE`. Part of [`crate::check`].

use crate::check::ensure;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::unique::Holder;
use std::collections::BTreeSet;

impl Queue {
    /// Each key that is held has one holder, which knows it, and each task that knows one holds it, follows the holder, or has ended.
    pub(crate) fn check_keys(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let uniques = &self.uniques;
        let known = slots.iter().filter(|&&slot| self.extra(self.tasks.at(slot)).rare().key.is_some()).count();
        ensure(known == uniques.tasks, "a task that knows a key is not counted")?;
        let mut ends = BTreeSet::new();
        for (name, hold) in &uniques.holds {
            ends.extend(hold.until.get().map(|until| (until, name.clone())));
            match &hold.holder {
                Holder::Gone(_) => ensure(hold.until.get().is_some() && hold.follow_up.is_nil(), "a key is held for ever")?,
                Holder::Task(slot) => {
                    let key = self.key(*slot).filter(|key| key.name == *name);
                    ensure(key.is_some_and(|key| key.until == hold.until), "a holder does not know its key")?;
                    let state = self.tasks.at(*slot).state();
                    let is_held_on = state == State::Completed && hold.until.get().is_some() && hold.follow_up.is_nil();
                    ensure(!state.is_terminal() || is_held_on, "a task that has ended holds a key")?;
                }
            }
            if let Some(next) = hold.follow_up.get() {
                let is_next = self.key(next).is_some_and(|key| key.name == *name && key.follows);
                let holder = if let Holder::Task(holder) = hold.holder { Some(holder) } else { None };
                ensure(is_next && holder.is_some() && self.can_follow(next, holder), "a follow-up does not follow the holder")?;
            }
        }
        ensure(ends == uniques.ends, "the ends of keys are not those of their holds")?;
        ensure(ends.iter().all(|(at, _)| self.soonest <= *at), "a key is free before the soonest instant")?;
        for &slot in slots {
            let Some(key) = self.key(slot) else { continue };
            let hold = uniques.holds.get(&key.name);
            let has_it = hold.is_some_and(|hold| hold.holder == Holder::Task(slot) || hold.follow_up == slot);
            ensure(has_it != self.ended_badly(slot), "a task knows a key that it neither has nor will have")?;
            ensure(!key.follows || self.can_follow(slot, None), "a task follows nobody")?;
        }
        Ok(())
    }
}
