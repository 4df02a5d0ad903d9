//! A server: its queue, its history, its disk and its clock.

use crate::book::{Book, Fact};
use crate::bug::Bug;
use crate::rules::ensure;
use crate::support::START;
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::effect::Change;
use taskqueue::{Connection, Effect, MadeId, Queue, UnixMs, effect};

/// One command's effects, as they go to replicas and the AOF, and what is true once they are applied.
#[derive(Debug)]
pub(crate) struct Entry {
    /// By the master's clock.
    pub(crate) at: UnixMs,
    /// The queue was deleted.
    pub(crate) deletes: bool,
    pub(crate) packed: Vec<u8>,
    /// The queue after it: every node that has come to here on this history has the same.
    pub(crate) snapshot: Vec<Vec<u8>>,
    /// What is known of the tasks after it.
    pub(crate) book: Book,
    /// What clients were told, and what left the queue.
    pub(crate) facts: Vec<Fact>,
}

/// The connections of a node whose claims it gave out, by task and attempt: true while one is open. No other node knows them, and
/// neither does this one after a restart.
pub(crate) type Sessions = BTreeMap<(String, u32), (u64, bool)>;

#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) queue: Queue,
    /// Its history. Two nodes are on the same one as far as they share entries.
    pub(crate) log: Vec<Rc<Entry>>,
    /// How much of the history the saved snapshot holds, and the snapshot.
    saved: (usize, Vec<Vec<u8>>),
    /// How much of the history is on disk for certain.
    synced: usize,
    /// How far its clock is off.
    skew_ms: i64,
    /// The last id it made since it was started.
    pub(crate) last_made: MadeId,
    /// How many clients have connected since it was started.
    connections: u64,
    pub(crate) sessions: Sessions,
}

impl Node {
    /// The node's clock.
    pub(crate) fn now(&self, time_ms: u64) -> UnixMs {
        UnixMs((START.0 + time_ms).saturating_add_signed(self.skew_ms))
    }

    /// The clock jumps, but not to before the epoch.
    pub(crate) fn jump(&mut self, ms: i64) {
        self.skew_ms = (self.skew_ms + ms).clamp(-50_000, 50_000);
    }

    /// What is known of the queue on this node's history.
    pub(crate) fn book(&self) -> Book {
        self.log.last().map(|entry| entry.book.clone()).unwrap_or_default()
    }

    /// The number of a new connection.
    pub(crate) fn connect(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(crate) fn close(&mut self, connection: u64) {
        self.queue.close_session(Connection(connection), usize::MAX);
        for (of, is_open) in self.sessions.values_mut() {
            *is_open &= *of != connection;
        }
    }

    pub(crate) fn sync(&mut self) {
        self.synced = self.log.len();
    }

    /// Saves a snapshot, which makes the queue anew.
    pub(crate) fn save(&mut self, bug: Option<Bug>) -> Result<(), String> {
        self.saved = (self.log.len(), self.queue.snapshot());
        self.synced = self.log.len();
        ensure(load(&self.saved.1, bug)?.snapshot() == self.saved.1, "a queue from a snapshot has another")
    }

    /// Receives some of the master's effects.
    pub(crate) fn replicate(&mut self, master: &Self, commands: usize, bug: Option<Bug>) -> Result<(), String> {
        if !master.continues(&self.log) {
            self.queue = load(&master.queue.snapshot(), bug)?;
            self.sessions.clear();
            self.log.clone_from(&master.log);
            self.verify()?;
            return self.save(bug);
        }
        let mut next: Vec<_> = master.log[self.log.len()..].iter().take(commands).cloned().collect();
        if bug == Some(Bug::EffectsOvertake) && next.len() > 1 {
            next.swap(0, 1);
        }
        for entry in next {
            self.apply(&entry, bug)?;
            self.log.push(entry);
            self.continues_with(&self.queue.snapshot())?;
        }
        self.is_described()
    }

    /// Starts again from its snapshot and, with `aof`, what was synced and some of what was not.
    pub(crate) fn restart(&mut self, aof: bool, unsynced: usize, bug: Option<Bug>) -> Result<(), String> {
        let end = if aof { (self.synced + unsynced).min(self.log.len()) } else { self.saved.0 };
        self.queue = load(&self.saved.1, bug)?;
        self.sessions.clear();
        self.connections = 0;
        for index in self.saved.0..end {
            let entry = self.log[index].clone();
            self.apply(&entry, bug)?;
        }
        self.log.truncate(end);
        self.synced = end;
        self.last_made = MadeId::default();
        self.verify()
    }

    /// Whether this node's history begins with that one.
    fn continues(&self, log: &[Rc<Entry>]) -> bool {
        match log.last() {
            Some(last) => self.log.get(log.len() - 1).is_some_and(|entry| Rc::ptr_eq(entry, last)),
            None => true,
        }
    }

    fn apply(&mut self, entry: &Entry, bug: Option<Bug>) -> Result<(), String> {
        if entry.deletes {
            self.queue = Queue::default();
            self.sessions.clear();
        }
        let times = if bug == Some(Bug::EffectsTwice) { 2 } else { 1 };
        for _ in 0..times {
            let packed = bug.map_or_else(|| entry.packed.clone(), |bug| bug.in_flight(&entry.packed, self.skew_ms));
            apply(&mut self.queue, &packed)?;
        }
        for effect in effect::unpack(&entry.packed).flatten() {
            // The master's, whatever this node gave out under that name and number.
            if let Effect::Changed(id, Change::Claimed { attempt, .. }) = effect {
                self.sessions.remove(&(id.to_string(), attempt));
            }
        }
        Ok(())
    }

    /// Whether the queue is what its history says.
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.continues_with(&self.queue.snapshot())?;
        self.is_described()
    }

    /// Whether it looks as it is known to.
    fn is_described(&self) -> Result<(), String> {
        let none = Book::default();
        let book = self.log.last().map_or(&none, |entry| &entry.book);
        book.describes(&self.queue)?;
        book.log.is_of(&self.queue, book.log.rows.len())
    }

    /// Whether the queue is sound, and this snapshot of it the one that its history ends with.
    pub(crate) fn continues_with(&self, snapshot: &[Vec<u8>]) -> Result<(), String> {
        #[cfg(debug_assertions)]
        self.queue.check()?;
        let is_same = match self.log.last() {
            Some(entry) => entry.snapshot == snapshot,
            None => Queue::default().snapshot() == snapshot,
        };
        ensure(is_same, &format!("a node differs from what the master was after {} commands", self.log.len()))
    }
}

fn apply(queue: &mut Queue, packed: &[u8]) -> Result<(), String> {
    effect::unpack(packed).try_for_each(|effect| {
        let effect = effect.map_err(|mismatch| mismatch.to_string())?;
        queue.apply(&effect).map(drop).map_err(|mismatch| format!("{mismatch}: {effect:?}"))
    })
}

/// A queue from its snapshot.
fn load(snapshot: &[Vec<u8>], bug: Option<Bug>) -> Result<Queue, String> {
    let mut queue = Queue::default();
    for chunk in snapshot {
        apply(&mut queue, &bug.map_or_else(|| chunk.clone(), |bug| bug.in_flight(chunk, 0)))?;
    }
    Ok(queue)
}
