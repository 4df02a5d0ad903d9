//! Who holds claims, each name and lease kept once. A worker claims with one lease as a rule, so name and lease are one entry.

use crate::blocks::{Blocks, Rounding};
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::counted::{Counted, Number};
use crate::time::Ms;
use std::collections::{BTreeMap, HashMap};

/// A worker as claims name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) name: Box<str>,
    /// The lease it claimed with, which EXTEND renews.
    pub(crate) lease: Ms,
}

/// The workers that tasks refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers {
    entries: Counted<Worker>,
    /// The numbers of a name, one a lease.
    numbers: HashMap<Box<str>, BTreeMap<Ms, Number>>,
    /// The names in `entries`.
    names: Blocks,
    /// Who claimed last, and is likely to claim next: found without a look at the map.
    last: Number,
}

impl Workers {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        /// A lease and its number, which a map keeps apart, without padding between them.
        type Lease = [u16; 5];
        // As if one name had all leases but the first of each.
        let leases = self.numbers.len() * rounding.tree::<Lease>(1)
            + rounding.tree::<Lease>((self.entries.len() - self.numbers.len()).saturating_sub(10));
        let names = rounding.hash_map::<(Box<str>, BTreeMap<Ms, Number>)>(self.numbers.capacity());
        self.entries.bytes(rounding) + names + leases + 2 * self.names.bytes(rounding)
    }

    pub(crate) fn get(&self, number: Number) -> Option<&Worker> {
        self.entries.get(number)
    }

    /// Counts one more task of this worker; [`Number::NONE`] if there is no room for another worker.
    pub(crate) fn acquire(&mut self, name: &str, lease: Ms) -> Number {
        if self.get(self.last).is_some_and(|last| last.lease == lease && *last.name == *name) {
            self.entries.acquire(self.last);
        } else {
            self.last = self.find_or_add(name, lease);
        }
        self.last
    }

    fn find_or_add(&mut self, name: &str, lease: Ms) -> Number {
        if let Some(&number) = self.numbers.get(name).and_then(|numbers| numbers.get(&lease)) {
            self.entries.acquire(number);
            return number;
        }
        let number = self.entries.add(Worker { name: name.into(), lease });
        if !number.is_none() {
            self.numbers.entry(name.into()).or_default().insert(lease, number);
            self.names += Blocks::of(name.len());
        }
        number
    }

    /// Counts one task less.
    pub(crate) fn release(&mut self, number: Number) {
        let Some(worker) = self.entries.release(number) else { return };
        self.names -= Blocks::of(worker.name.len());
        if let Some(numbers) = self.numbers.get_mut(&worker.name) {
            numbers.remove(&worker.lease);
            if numbers.is_empty() {
                self.numbers.remove(&worker.name);
            }
        }
    }

    /// Whether each worker is kept once and counts its tasks; `tasks` says how many refer to which.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, mut tasks: HashMap<Number, u32>) -> Result<(), String> {
        tasks.remove(&Number::NONE);
        let (mut names, mut count) = (Blocks::default(), 0);
        for (number, worker, of_it) in self.entries.iter() {
            ensure(tasks.remove(&number) == Some(of_it), "a worker's count of tasks is wrong")?;
            let numbers = self.numbers.get(&worker.name).ok_or("a worker is not found by name")?;
            ensure(numbers.get(&worker.lease) == Some(&number), "a worker is not found by lease")?;
            names += Blocks::of(worker.name.len());
            count += 1;
        }
        let known: usize = self.numbers.values().map(BTreeMap::len).sum();
        ensure(tasks.is_empty() && known == count, "a worker is lost")?;
        ensure(self.names == names && self.numbers.values().all(|numbers| !numbers.is_empty()), "bytes of names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_kept_once_a_lease() {
        let mut workers = Workers::default();
        let first = workers.acquire("w", Ms(1));
        assert_eq!(workers.acquire("w", Ms(1)), first);
        assert_ne!(workers.acquire("w", Ms(2)), first);
        workers.release(first);
        assert!(workers.get(first).is_some());
        workers.release(first);
        assert_eq!(workers.get(first), None);
    }
}
