//! Who waits, on which key, and for what.

use super::{Client, Wait, Wish};
use crate::redis::string::OwnedName;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::ops::Bound;
use taskqueue::OwnedId;

/// What a client waits for: the end of a task; those of a batch, or events, with the client's ticket.
pub(crate) enum Awaited {
    Task(OwnedId),
    Batch(Box<str>, u64),
    Events(u64),
}

/// Everyone who waits.
#[derive(Default)]
pub(crate) struct Waiters {
    keys: HashMap<i32, HashMap<Box<[u8]>, Line>>,
    last_ticket: u64,
    clients: Counts,
}

/// How many clients wait, by what for.
#[derive(Default)]
struct Counts {
    tasks: u64,
    results: u64,
    batches: u64,
    events: u64,
}

impl Counts {
    const fn of(&mut self, wish: &Wish) -> &mut u64 {
        match wish {
            Wish::Tasks(_) => &mut self.tasks,
            Wish::Ends(_) => &mut self.results,
            Wish::Collect(_) => &mut self.batches,
            Wish::Events(_) => &mut self.events,
        }
    }
}

/// Who waits on one key.
#[derive(Default)]
struct Line {
    /// For tasks, by ticket: first come, first served.
    tasks: BTreeMap<u64, Client>,
    /// For the end of a task: by its id and the ticket.
    ends: BTreeMap<(OwnedId, u64), Client>,
    /// For the ends of a batch: by its name, and the ticket.
    batches: BTreeMap<(Box<str>, u64), Client>,
    /// For events, by ticket.
    events: BTreeMap<u64, Client>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && !self.awaits_ends()
    }

    /// Or events: of whatever is told when the queue goes away.
    fn awaits_ends(&self) -> bool {
        !(self.ends.is_empty() && self.batches.is_empty() && self.events.is_empty())
    }
}

impl Waiters {
    /// Puts the client at the end of the line of each of its keys.
    pub(super) fn enter(&mut self, client: &Client) {
        self.last_ticket += 1;
        client.ticket.set(self.last_ticket);
        client.waits.set(true);
        *self.clients.of(&client.wish) += 1;
        for key in &client.keys {
            let line = self.keys.entry(client.db).or_default().entry(key.bytes().into()).or_default();
            match &client.wish {
                Wish::Tasks(_) => {
                    line.tasks.insert(client.ticket(), client.clone());
                }
                Wish::Ends(wish) => {
                    line.ends.extend(wish.pending().map(|id| ((id.clone(), client.ticket()), client.clone())));
                }
                Wish::Collect(wish) => {
                    line.batches.insert((wish.batch().into(), client.ticket()), client.clone());
                }
                Wish::Events(_) => {
                    line.events.insert(client.ticket(), client.clone());
                }
            }
        }
    }

    /// Takes a client out of all lines, if it is in any.
    pub(super) fn leave(&mut self, wait: &Wait) -> Option<Client> {
        *self.clients.of(&wait.wish) -= u64::from(wait.waits.replace(false));
        let keys = self.keys.get_mut(&wait.db)?;
        let mut client = None;
        for key in &wait.keys {
            let Some(line) = keys.get_mut(key.bytes()) else { continue };
            match &wait.wish {
                Wish::Tasks(_) => client = client.or(line.tasks.remove(&wait.ticket())),
                Wish::Ends(wish) => {
                    for id in wish.pending() {
                        client = client.or(line.ends.remove(&(id.clone(), wait.ticket())));
                    }
                }
                Wish::Collect(wish) => client = client.or(line.batches.remove(&(wish.batch().into(), wait.ticket()))),
                Wish::Events(_) => client = client.or(line.events.remove(&wait.ticket())),
            }
        }
        self.tidy(wait.db, wait.keys.iter().map(OwnedName::bytes));
        client
    }

    /// Forgets lines in which nobody stands.
    fn tidy<'a>(&mut self, db: i32, names: impl Iterator<Item = &'a [u8]>) {
        let Some(keys) = self.keys.get_mut(&db) else { return };
        for name in names {
            if keys.get(name).is_some_and(Line::is_empty) {
                keys.remove(name);
            }
        }
        if keys.is_empty() {
            self.keys.remove(&db);
        }
    }

    fn line(&self, db: i32, key: &[u8]) -> Option<&Line> {
        self.keys.get(&db)?.get(key)
    }

    /// How many clients wait, by what for.
    pub(crate) fn clients(&self) -> [(&'static CStr, u64); 4] {
        let Counts { tasks, results, batches, events } = self.clients;
        [
            (c"waiting_for_tasks", tasks),
            (c"waiting_for_results", results),
            (c"waiting_for_batches", batches),
            (c"waiting_for_events", events),
        ]
    }

    /// How many clients wait for a task of this key.
    pub(crate) fn workers(&self, db: i32, key: &[u8]) -> usize {
        self.line(db, key).map_or(0, |line| line.tasks.len())
    }

    /// How many wait, once for each key: for tests.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn counts(&self) -> [(&'static str, usize); 5] {
        let lines = || self.keys.values().flat_map(HashMap::values);
        [
            ("keys", lines().count()),
            ("claims", lines().map(|line| line.tasks.len()).sum()),
            ("results", lines().map(|line| line.ends.len()).sum()),
            ("collectors", lines().map(|line| line.batches.len()).sum()),
            ("followers", lines().map(|line| line.events.len()).sum()),
        ]
    }

    /// Whether nobody waits for anything: the usual case of a busy queue.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether anyone waits for the end of a task of this key, or of one of a batch.
    pub(crate) fn await_ends(&self, db: i32, key: &[u8]) -> bool {
        self.line(db, key).is_some_and(Line::awaits_ends)
    }

    /// Whether anyone waits for the ends of a batch of this key.
    pub(crate) fn await_batches(&self, db: i32, key: &[u8]) -> bool {
        self.line(db, key).is_some_and(|line| !line.batches.is_empty())
    }

    /// Everyone who waits for the ends of this batch, or of any, first come first of each batch.
    pub(super) fn collecting(&self, db: i32, key: &[u8], batch: Option<&str>) -> Vec<Client> {
        let Some(line) = self.line(db, key) else { return Vec::new() };
        match batch {
            Some(batch) => {
                let of_batch = line.batches.range((Box::from(batch), 0)..=(Box::from(batch), u64::MAX));
                of_batch.map(|(_, client)| client.clone()).collect()
            }
            None => line.batches.values().cloned().collect(),
        }
    }

    /// Who waits for events of this key: the first `count`.
    pub(super) fn following(&self, db: i32, key: &[u8], count: usize) -> Vec<Client> {
        self.line(db, key).map_or_else(Vec::new, |line| line.events.values().take(count).cloned().collect())
    }

    /// The keys on which anyone waits for a task.
    pub(crate) fn keys_awaiting_tasks(&self) -> Vec<(i32, Box<[u8]>)> {
        let lines = self.keys.iter().flat_map(|(&db, keys)| keys.iter().map(move |(key, line)| (db, key, line)));
        lines.filter(|(_, _, line)| !line.tasks.is_empty()).map(|(db, key, _)| (db, key.clone())).collect()
    }

    /// The keys of a database, or of all, on which anyone waits for the end of a task.
    pub(crate) fn keys_awaiting_ends(&self, db: Option<i32>) -> Vec<(i32, Box<[u8]>)> {
        let of_db = |&(&of, _): &(&i32, _)| db.is_none_or(|db| db == of);
        let lines = self.keys.iter().filter(of_db).flat_map(|(&db, keys)| keys.iter().map(move |(key, line)| (db, key, line)));
        lines.filter(|(_, _, line)| line.awaits_ends()).map(|(db, key, _)| (db, key.clone())).collect()
    }

    pub(super) fn first_for_tasks(&self, db: i32, key: &[u8]) -> Option<Client> {
        self.line(db, key)?.tasks.values().next().cloned()
    }

    /// Whether anyone waits for the end of this task.
    pub(super) fn awaits(&self, db: i32, key: &[u8], id: &OwnedId) -> bool {
        self.line(db, key).is_some_and(|line| line.ends.range((id.clone(), 0)..).next().is_some_and(|((of, _), _)| of == id))
    }

    /// The ticket of who came last.
    pub(super) const fn last_ticket(&self) -> u64 {
        self.last_ticket
    }

    /// Takes those who wait for the end of this task out of its line, the first `count` of them that came with this ticket or before.
    pub(super) fn take_awaiting(&mut self, db: i32, key: &[u8], id: &OwnedId, last: u64, count: usize) -> Vec<Client> {
        let mut taken = Vec::new();
        let Some(line) = self.keys.get_mut(&db).and_then(|keys| keys.get_mut(key)) else {
            return taken;
        };
        let range = (id.clone(), 0)..=(id.clone(), last);
        while taken.len() < count
            && let Some(place) = line.ends.range(range.clone()).next().map(|(place, _)| place.clone())
            && let Some(client) = line.ends.remove(&place)
        {
            taken.push(client);
        }
        self.tidy(db, std::iter::once(key));
        taken
    }

    /// What anyone waits for after `after`: all tasks in the order of their ids, then all batches in that of their names, then events.
    pub(super) fn next_awaited(&self, db: i32, key: &[u8], after: Option<&Awaited>) -> Option<Awaited> {
        let Line { ends, batches, events, .. } = self.line(db, key)?;
        let (task, batch, event) = match after {
            None => (Some(Bound::Unbounded), Some(Bound::Unbounded), Bound::Unbounded),
            Some(Awaited::Task(id)) => (Some(Bound::Excluded((id.clone(), u64::MAX))), Some(Bound::Unbounded), Bound::Unbounded),
            Some(Awaited::Batch(name, ticket)) => (None, Some(Bound::Excluded((name.clone(), *ticket))), Bound::Unbounded),
            Some(Awaited::Events(ticket)) => (None, None, Bound::Excluded(*ticket)),
        };
        let task =
            task.and_then(|start| ends.range((start, Bound::Unbounded)).next()).map(|((id, _), _)| Awaited::Task(id.clone()));
        let batch = || {
            let next = batches.range((batch?, Bound::Unbounded)).next();
            next.map(|((name, ticket), _)| Awaited::Batch(name.clone(), *ticket))
        };
        let event = || events.range((event, Bound::Unbounded)).next().map(|(ticket, _)| Awaited::Events(*ticket));
        task.or_else(batch).or_else(event)
    }

    /// Who waits for the ends of this batch with this ticket.
    pub(super) fn collector(&self, db: i32, key: &[u8], batch: &str, ticket: u64) -> Option<Client> {
        self.line(db, key)?.batches.get(&(batch.into(), ticket)).cloned()
    }

    /// Who waits for events with this ticket.
    pub(super) fn follower(&self, db: i32, key: &[u8], ticket: u64) -> Option<Client> {
        self.line(db, key)?.events.get(&ticket).cloned()
    }
}
