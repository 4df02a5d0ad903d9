//! Claims that last as long as the connection that made them.
//!
//! That a claim is a session's is a fact like any other: replicas, logs and snapshots hold it. Which connection it is of only the
//! server knows that accepted it, for as long as it runs. So this is kept beside the facts and is no part of a snapshot; a claim of
//! which it is not known is [bounded](crate::effect::Change::Bounded) by a lease as soon as a master looks at it.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::segments::Slot;
use crate::queue::Queue;
use std::collections::BTreeSet;
use std::mem;

/// A client's connection, as its server numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

impl Connection {
    /// That of a claim which another server gave out, or this one before it was started, or before the queue was copied.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// One that was closed.
    pub(crate) const CLOSED: Self = Self(u64::MAX);
}

/// The claims of sessions, by connection, and those of one by their place in line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    claims: BTreeSet<(Connection, u64, Slot)>,
    /// Connections that came to hold a claim here, or hold none any more.
    changed: Vec<Connection>,
}

impl Sessions {
    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.tree::<(Connection, u64, Slot)>(self.claims.len())
    }

    fn insert(&mut self, connection: Connection, place: u64, slot: Slot) {
        let is_first = self.first_of(connection).is_none();
        self.claims.insert((connection, place, slot));
        if is_first {
            self.note(connection);
        }
    }

    fn remove(&mut self, connection: Connection, place: u64, slot: Slot) {
        self.claims.remove(&(connection, place, slot));
        if self.first_of(connection).is_none() {
            self.note(connection);
        }
    }

    fn note(&mut self, connection: Connection) {
        let is_clients = connection != Connection::UNKNOWN && connection != Connection::CLOSED;
        if is_clients && self.changed.last() != Some(&connection) {
            self.changed.push(connection);
        }
    }

    /// Its claim that stands first in line.
    pub(crate) fn first_of(&self, connection: Connection) -> Option<Slot> {
        let mut claims = self.claims.range((connection, 0, Slot(0))..);
        claims.next().filter(|(of, ..)| *of == connection).map(|&(.., slot)| slot)
    }

    /// Whether there are claims whose connection was closed or is not known: something is to be done about them.
    pub(crate) fn is_due(&self) -> bool {
        let is = |end: Option<&(Connection, u64, Slot)>, connection| end.is_some_and(|(of, ..)| *of == connection);
        is(self.claims.first(), Connection::UNKNOWN) || is(self.claims.last(), Connection::CLOSED)
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, claims: impl Iterator<Item = (Connection, u64, Slot)>) -> Result<(), String> {
        ensure(self.claims == claims.collect(), "the claims of sessions differ from their index")
    }
}

impl Queue {
    /// The connection that a session's claim is of.
    #[inline]
    pub(crate) fn session(&self, slot: Slot) -> Option<Connection> {
        if self.sessions.is_empty() { None } else { self.extra(self.tasks.at(slot)).rare().session }
    }

    /// Makes the claim one of this connection's, or of no session.
    pub(crate) fn set_session(&mut self, slot: Slot, connection: Option<Connection>) {
        let before = self.session(slot);
        if before == connection {
            return;
        }
        let place = self.tasks.at(slot).order;
        if let Some(before) = before {
            self.sessions.remove(before, place, slot);
        }
        if let Some(connection) = connection {
            self.sessions.insert(connection, place, slot);
        }
        self.change_rare(slot, connection.is_some(), |rare| rare.session = connection);
    }

    /// The connection was closed: its claims lapse with the next tick. Looks at `count` of them at most, and answers whether some are
    /// left.
    pub fn close_session(&mut self, connection: Connection, count: usize) -> bool {
        for _ in 0..count {
            let Some(slot) = self.sessions.first_of(connection) else { break };
            self.set_session(slot, Some(Connection::CLOSED));
        }
        self.has_session(connection)
    }

    /// Whether the connection holds a session's claim here.
    #[must_use]
    pub fn has_session(&self, connection: Connection) -> bool {
        self.sessions.first_of(connection).is_some()
    }

    /// The connections that hold sessions' claims here.
    pub fn connections(&self) -> impl Iterator<Item = Connection> + '_ {
        let mut after = Connection::UNKNOWN;
        std::iter::from_fn(move || {
            let next = (Connection(after.0.saturating_add(1)), 0, Slot(0));
            let &(connection, ..) = self.sessions.claims.range(next..).next().filter(|(of, ..)| *of != Connection::CLOSED)?;
            after = connection;
            Some(connection)
        })
    }

    /// The connections for which [`Self::has_session`] may have changed since this was last asked.
    pub fn take_changed_sessions(&mut self) -> Vec<Connection> {
        mem::take(&mut self.sessions.changed)
    }

    /// The queue for another key. Connections hold their claims in the original alone.
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut copy = self.clone();
        let slots: Vec<Slot> = copy.sessions.claims.iter().map(|&(.., slot)| slot).collect();
        for slot in slots {
            copy.set_session(slot, Some(Connection::UNKNOWN));
        }
        copy.sessions.changed.clear();
        copy
    }
}
