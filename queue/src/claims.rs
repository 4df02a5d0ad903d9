//! Who holds claims: `TASK.WORKERS`.

use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::time::UnixMs;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A worker, and the claims that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView<'a> {
    /// As its claims name it.
    pub name: &'a str,
    /// How many tasks it holds.
    pub claimed: usize,
    /// When the oldest of these claims began.
    pub oldest_claim: UnixMs,
    /// When the first of them lapses unless it is extended; nothing if none has an end.
    pub deadline: Option<UnixMs>,
    /// When it last claimed or extended one of them, as far as they tell.
    pub last_seen: UnixMs,
}

impl WorkerView<'_> {
    /// Of all the claims of one worker.
    fn merge(&mut self, other: &Self) {
        self.claimed += other.claimed;
        self.oldest_claim = self.oldest_claim.min(other.oldest_claim);
        self.deadline = self.deadline.into_iter().chain(other.deadline).min();
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

impl Queue {
    /// The workers that hold claims, by name. It takes a look at each claim.
    #[must_use]
    pub fn claimants(&self, now: UnixMs) -> Vec<WorkerView<'_>> {
        let mut workers: BTreeMap<&str, WorkerView<'_>> = BTreeMap::new();
        for claim in self.leases.iter(&self.tasks).map(|slot| self.claimant(slot, now)) {
            match workers.entry(claim.name) {
                Entry::Vacant(place) => drop(place.insert(claim)),
                Entry::Occupied(worker) => worker.into_mut().merge(&claim),
            }
        }
        workers.into_values().collect()
    }

    /// The worker of one claim. That it was extended is told by its end alone: so much before it as the lease of the claim is. Less than
    /// that if the timeout came first; more if it was extended by more, so it may not be in the future.
    fn claimant(&self, slot: Slot, now: UnixMs) -> WorkerView<'_> {
        let (name, lease) = self.worker(slot).unwrap_or_default();
        let claimed_at = self.claimed_at(slot);
        let deadline = Some(self.deadline(slot)).filter(|&deadline| deadline != UnixMs::NEVER);
        // The end of a session's claim, if it has one, is its timeout.
        let extended_at = deadline.filter(|_| self.session(slot).is_none()).map(|deadline| deadline.before(lease).min(now));
        WorkerView {
            name,
            claimed: 1,
            oldest_claim: claimed_at,
            deadline,
            last_seen: extended_at.map_or(claimed_at, |at| at.max(claimed_at)),
        }
    }
}
