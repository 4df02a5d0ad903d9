//! From an id to its task, by linear hashing with the chains inside the tasks.
//!
//! The table grows by one bucket at a time, so no insertion pays for all the others. Ids made in one burst lie in neighbouring
//! buckets, which is what a worker's next look-up wants of the cache. The hash is keyed, since clients choose names.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::id::{MadeId, TaskId};
use crate::index::segments::{Segments, Slot};
use crate::task::Task;
use std::hash::{BuildHasher, RandomState};

/// Average tasks in a bucket before it is split.
const LOAD: usize = 2;
const BUCKETS_MIN: usize = 4;
const CHUNK: usize = 4096;
/// Ids that differ only in these low bits lie in neighbouring buckets.
const NEAR_BITS: u32 = 6;

/// The heads of the chains.
#[derive(Clone, Debug)]
pub(crate) struct IdIndex {
    /// Chunks of [`CHUNK`] buckets; only the first one grows by doubling.
    chunks: Vec<Vec<Slot>>,
    buckets: usize,
    len: usize,
    /// The largest id of the made form that was ever added, made or given: no task has a larger one.
    highest: MadeId,
    hasher: RandomState,
    /// Keys of the cheaper hash for ids of the made form.
    salt: (u64, u64),
}

impl Default for IdIndex {
    fn default() -> Self {
        let hasher = RandomState::new();
        let salt = (hasher.hash_one(0), hasher.hash_one(1) | 1);
        Self { chunks: vec![vec![Slot::NIL; BUCKETS_MIN]], buckets: BUCKETS_MIN, len: 0, highest: MadeId(0), hasher, salt }
    }
}

impl IdIndex {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let chunks = self.chunks.iter().map(|chunk| rounding.vec::<Slot>(chunk.capacity()));
        chunks.sum::<usize>() + rounding.vec::<Vec<Slot>>(self.chunks.capacity())
    }

    /// What a task keeps of its id: the number itself, or the hash of its name.
    pub(crate) fn key(&self, id: TaskId<'_>) -> u64 {
        match id {
            TaskId::Made(made) => made.0,
            TaskId::Named(name) => self.hasher.hash_one(name),
        }
    }

    /// The hash of a name is its key. A number is multiplied to twice its width and folded, with a salt that clients, who may give
    /// ids of the made form too, cannot know: a tenth of the cost of the keyed hash of names.
    #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn hash(&self, key: u64, named: bool) -> u64 {
        if named {
            return key;
        }
        let (mask, factor) = self.salt;
        let product = u128::from(key >> NEAR_BITS ^ mask) * u128::from(factor);
        (product as u64 ^ (product >> 64) as u64).wrapping_add(key & ((1 << NEAR_BITS) - 1))
    }

    /// Whether no task has this id, for certain and without a look: the usual case of one that is being made.
    pub(crate) fn is_surely_free(&self, id: MadeId) -> bool {
        id > self.highest
    }

    #[allow(clippy::cast_possible_truncation, reason = "only low bits are used")]
    fn bucket(&self, hash: u64) -> usize {
        let upper = self.buckets.next_power_of_two();
        let bucket = hash as usize & (upper - 1);
        if bucket < self.buckets { bucket } else { bucket - upper / 2 }
    }

    fn head(&self, bucket: usize) -> Slot {
        self.chunks.get(bucket / CHUNK).and_then(|chunk| chunk.get(bucket % CHUNK)).copied().unwrap_or(Slot::NIL)
    }

    fn set_head(&mut self, bucket: usize, head: Slot) {
        if let Some(place) = self.chunks.get_mut(bucket / CHUNK).and_then(|chunk| chunk.get_mut(bucket % CHUNK)) {
            *place = head;
        }
    }

    /// The task with this `key` for which `is_it` holds.
    pub(crate) fn find(&self, tasks: &Segments<Task>, key: u64, named: bool, is_it: impl Fn(&Task) -> bool) -> Option<Slot> {
        let mut slot = self.head(self.bucket(self.hash(key, named)));
        while let Some(found) = slot.get() {
            let task = tasks.at(found);
            if task.key == key && task.is_named() == named && is_it(task) {
                return Some(found);
            }
            slot = task.chain;
        }
        None
    }

    pub(crate) fn insert(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        self.len += 1;
        if self.len > LOAD * self.buckets {
            self.split(tasks);
        }
        let task = tasks.at(slot);
        if !task.is_named() {
            self.highest = self.highest.max(MadeId(task.key));
        }
        self.link(tasks, slot);
    }

    fn link(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let task = tasks.at_mut(slot);
        let bucket = self.bucket(self.hash(task.key, task.is_named()));
        task.chain = self.head(bucket);
        self.set_head(bucket, slot);
    }

    pub(crate) fn remove(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let task = tasks.at(slot);
        let (bucket, next) = (self.bucket(self.hash(task.key, task.is_named())), task.chain);
        let mut link = self.head(bucket);
        if link == slot {
            self.set_head(bucket, next);
        } else {
            while tasks.at(link).chain != slot {
                link = tasks.at(link).chain;
            }
            tasks.at_mut(link).chain = next;
        }
        self.len -= 1;
        // Two buckets go with one task where there were half as many tasks as buckets, so the table ends as small as it began.
        for _ in 0..2 {
            if self.buckets > BUCKETS_MIN && self.len * 4 < LOAD * self.buckets {
                self.merge(tasks);
            }
        }
    }

    /// Adds a bucket and moves there what belongs there from the bucket it divides.
    fn split(&mut self, tasks: &mut Segments<Task>) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(Slot::NIL),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Slot::NIL);
                self.chunks.push(chunk);
            }
        }
        let divided = self.buckets - (self.buckets + 1).next_power_of_two() / 2;
        self.buckets += 1;
        self.relink(tasks, divided);
    }

    /// Takes the last bucket away again.
    fn merge(&mut self, tasks: &mut Segments<Task>) {
        let last = self.head(self.buckets - 1);
        self.buckets -= 1;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.pop();
            if chunk.is_empty() {
                self.chunks.pop();
            }
        }
        self.link_all(tasks, last);
    }

    /// Whether each task is in the chain of its bucket once, and nothing else.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, tasks: &Segments<Task>) -> Result<(), String> {
        let mut len = 0;
        for bucket in 0..self.buckets {
            let mut slot = self.head(bucket);
            while let Some(task) = slot.get().map(|slot| tasks.get(slot)) {
                let task = task.ok_or("a chain holds what is no task")?;
                ensure(self.bucket(self.hash(task.key, task.is_named())) == bucket, "a task is in the chain of another bucket")?;
                ensure(task.is_named() || task.key <= self.highest.0, "an id counts as free that a task has")?;
                len += 1;
                ensure(len <= self.len, "a chain has a loop, or the count of ids is wrong")?;
                slot = task.chain;
            }
        }
        let buckets: usize = self.chunks.iter().map(Vec::len).sum();
        ensure(len == self.len && len == tasks.len(), "the count of ids is wrong")?;
        ensure(buckets == self.buckets && len <= LOAD * buckets, "the table is too small")?;
        ensure(buckets == BUCKETS_MIN || len * 4 >= LOAD * buckets, "the table is too large")
    }

    fn relink(&mut self, tasks: &mut Segments<Task>, bucket: usize) {
        let chain = self.head(bucket);
        self.set_head(bucket, Slot::NIL);
        self.link_all(tasks, chain);
    }

    fn link_all(&mut self, tasks: &mut Segments<Task>, mut chain: Slot) {
        while let Some(slot) = chain.get() {
            chain = tasks.at(slot).chain;
            self.link(tasks, slot);
        }
    }
}
