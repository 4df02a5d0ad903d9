//! What always holds of a queue, for tests and fuzzers: not in release builds.

use crate::blocks::Blocks;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::time::UnixMs;
use std::collections::{BTreeSet, HashMap};

/// An error that says `what`, unless it holds.
pub(crate) fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Queue {
    /// Whether all indexes agree with the tasks, and the sums with what they sum up.
    ///
    /// # Errors
    /// What does not hold.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        self.tasks.check()?;
        self.extras.check()?;
        let slots = self.check_states()?;
        for &slot in &slots {
            self.check_task(slot).map_err(|what| format!("{what}: {:?}", self.tasks.at(slot)))?;
        }
        self.ids.check(&self.tasks)?;
        self.check_ttls(&slots)?;
        self.sessions.check(slots.iter().filter_map(|&slot| Some((self.session(slot)?, self.tasks.at(slot).order, slot))))?;
        self.check_sums(&slots)
    }

    /// Each task is in the index of its state once, in order, and nowhere else.
    fn check_states(&self) -> Result<BTreeSet<Slot>, String> {
        self.ready.check(&self.tasks)?;
        let mut slots: Vec<Slot> = self.ready.iter(&self.tasks).collect();
        for state in State::ALL {
            if let Some(deadlines) = self.deadlines(state) {
                deadlines.check(&self.tasks)?;
                slots.extend(deadlines.iter(&self.tasks));
            }
            let listed = slots.iter().filter(|&&slot| self.tasks.at(slot).state() == state).count();
            ensure(listed == self.count(state), "a task is in the index of another state")?;
        }
        let unique: BTreeSet<Slot> = slots.iter().copied().collect();
        ensure(unique.len() == slots.len() && slots.len() == self.len(), "not each task is in one index once")?;
        Ok(unique)
    }

    fn check_task(&self, slot: Slot) -> Result<(), String> {
        let task = self.tasks.at(slot);
        let extra = self.extra(task);
        ensure(self.find(self.id_of(slot)) == Some(slot), "the id does not find its task")?;
        ensure(task.extra.is_nil() || !extra.is_empty(), "an extra says nothing")?;
        ensure(task.state() != State::Scheduled || task.order == 0, "a scheduled task has a place in line")?;
        ensure(task.state() == State::Ready || self.soonest <= task.at, "a task is due before the soonest instant")?;
        let told = |created| matches!(self.id_of(slot), TaskId::Made(id) if id.made_at() == created);
        ensure(!extra.created.get().is_some_and(told), "an extra says what the id tells")?;
        let lease = self.claim_lease(slot).unwrap_or_default();
        let told = |claimed_at: UnixMs| task.at.before(lease) == claimed_at;
        ensure(!extra.claimed_at.get().is_some_and(told), "an extra says what deadline and lease tell")?;
        // Or else a snapshot could not be loaded.
        let empty = Self { head: self.head, ..Self::default() };
        empty.admit_image(&self.image(slot)).map_err(|_| "its image is refused".to_owned())
    }

    fn check_ttls(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let ttl = |&slot: &Slot| self.extra(self.tasks.at(slot)).ttl_at.get().map(|at| (at, slot));
        ensure(slots.iter().filter_map(ttl).collect::<BTreeSet<_>>() == self.ttls, "TTLs differ from their index")?;
        ensure(self.ttls.iter().all(|&(at, _)| self.soonest <= at), "a TTL ends before the soonest instant")
    }

    fn check_sums(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let (mut owned, mut extras) = (Blocks::default(), BTreeSet::new());
        let (mut workers, mut options) = (HashMap::new(), HashMap::new());
        for &slot in slots {
            let task = self.tasks.at(slot);
            owned += Blocks::of(task.data.len()) + self.extra(task).owned();
            extras.extend(task.extra.get());
            *workers.entry(task.worker).or_default() += 1;
            *options.entry(self.extra(task).options).or_default() += 1;
        }
        ensure(self.owned == owned, "owned bytes are not what tasks own")?;
        ensure(self.extras.len() == extras.len(), "an extra is shared or lost")?;
        self.option_sets.check(options)?;
        self.workers.check(workers)
    }
}
