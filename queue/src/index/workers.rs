//! Who holds claims, each name and lease kept once.
//!
//! A task keeps two bytes for its worker. A worker claims with one lease as a rule, so name and lease are one entry.

#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::time::Ms;
use std::collections::{BTreeMap, HashMap};
use std::mem;

/// A worker as claims name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) name: Box<str>,
    /// The lease it claimed with, which EXTEND renews.
    pub(crate) lease: Ms,
}

/// A worker's number in [`Workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WorkerId(u16);

impl WorkerId {
    /// No worker, or one for whom the table had no room.
    pub(crate) const NONE: Self = Self(u16::MAX);
}

#[derive(Clone, Debug)]
struct Entry {
    worker: Worker,
    /// Tasks that refer to it.
    tasks: u32,
}

/// The workers that tasks refer to: at most 65,535.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workers {
    entries: Vec<Option<Entry>>,
    free: Vec<u16>,
    /// The numbers of a name, one a lease.
    numbers: HashMap<Box<str>, BTreeMap<Ms, u16>>,
    /// Bytes of the names in `entries`.
    name_bytes: usize,
}

impl Workers {
    pub(crate) fn bytes(&self) -> usize {
        /// The first node of a map.
        const NODE_BYTES: usize = 11 * mem::size_of::<(Ms, u16)>();
        let name = mem::size_of::<(Box<str>, BTreeMap<Ms, u16>)>();
        let names = self.numbers.capacity() * name + self.numbers.len() * NODE_BYTES + 2 * self.name_bytes;
        self.entries.capacity() * mem::size_of::<Option<Entry>>() + self.free.capacity() * mem::size_of::<u16>() + names
    }

    pub(crate) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.entries.get(usize::from(id.0))?.as_ref().map(|entry| &entry.worker)
    }

    /// Counts one more task of this worker; [`WorkerId::NONE`] if there is no room for another worker.
    pub(crate) fn acquire(&mut self, name: &str, lease: Ms) -> WorkerId {
        let Some(&number) = self.numbers.get(name).and_then(|numbers| numbers.get(&lease)) else {
            return self.add(name, lease);
        };
        if let Some(Some(entry)) = self.entries.get_mut(usize::from(number)) {
            entry.tasks += 1;
        }
        WorkerId(number)
    }

    fn add(&mut self, name: &str, lease: Ms) -> WorkerId {
        let entry = Some(Entry { worker: Worker { name: name.into(), lease }, tasks: 1 });
        let number = if let Some(number) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(usize::from(number)) {
                *place = entry;
            }
            number
        } else {
            match u16::try_from(self.entries.len()) {
                Ok(number) if number < u16::MAX => {
                    self.entries.push(entry);
                    number
                }
                _ => return WorkerId::NONE,
            }
        };
        self.numbers.entry(name.into()).or_default().insert(lease, number);
        self.name_bytes += name.len();
        WorkerId(number)
    }

    /// Whether each worker is kept once and counts its tasks; `tasks` says how many refer to which.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, mut tasks: HashMap<WorkerId, u32>) -> Result<(), String> {
        tasks.remove(&WorkerId::NONE);
        let mut name_bytes = 0;
        for (entry, number) in self.entries.iter().zip(0..).filter_map(|(entry, number)| entry.as_ref().zip(Some(number))) {
            ensure(tasks.remove(&WorkerId(number)) == Some(entry.tasks), "a worker's count of tasks is wrong")?;
            let numbers = self.numbers.get(&entry.worker.name).ok_or("a worker is not found by name")?;
            ensure(numbers.get(&entry.worker.lease) == Some(&number), "a worker is not found by lease")?;
            name_bytes += entry.worker.name.len();
        }
        let known: usize = self.numbers.values().map(BTreeMap::len).sum();
        ensure(tasks.is_empty() && known + self.free.len() == self.entries.len(), "a worker is lost")?;
        ensure(self.name_bytes == name_bytes && self.numbers.values().all(|numbers| !numbers.is_empty()), "bytes of names")
    }

    /// Counts one task less.
    pub(crate) fn release(&mut self, id: WorkerId) {
        let Some(place) = self.entries.get_mut(usize::from(id.0)) else { return };
        let Some(entry) = place else { return };
        entry.tasks -= 1;
        if entry.tasks > 0 {
            return;
        }
        if let Some(numbers) = self.numbers.get_mut(&entry.worker.name) {
            numbers.remove(&entry.worker.lease);
            if numbers.is_empty() {
                self.numbers.remove(&entry.worker.name);
            }
        }
        self.name_bytes -= entry.worker.name.len();
        *place = None;
        self.free.push(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_kept_once_and_while_tasks_refer_to_it() {
        let mut workers = Workers::default();
        let first = workers.acquire("w", Ms(1));
        assert_eq!(workers.acquire("w", Ms(1)), first);
        assert_ne!(workers.acquire("w", Ms(2)), first);
        workers.release(first);
        assert!(workers.get(first).is_some());
        workers.release(first);
        assert_eq!(workers.get(first), None);
        assert_eq!(workers.acquire("v", Ms(3)), first);
    }

    #[test]
    fn a_full_table_says_none() {
        let mut workers = Workers::default();
        for n in 0..u16::MAX {
            assert_ne!(workers.acquire(&n.to_string(), Ms(1)), WorkerId::NONE);
        }
        assert_eq!(workers.acquire("one more", Ms(1)), WorkerId::NONE);
        workers.release(WorkerId::NONE);
    }
}
