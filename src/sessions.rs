//! Connections whose claims last as long as they do.
//!
//! A queue knows which of its claims are whose. Here is noted in which queues a connection has any, so that its end finds them. What
//! is noted may be more than there is, never less: queues that were flushed, or replaced by a full resynchronization, are forgotten
//! when the connection ends.

use crate::redis::context::Context;
use crate::redis::string::OwnedName;
use crate::value::QUEUE;
use crate::{agenda, state};
use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::rc::Rc;
use taskqueue::{Connection, Queue};

/// Claims of one connection that are looked at between two looks at the clock.
const SLICE: usize = 64;

type Place = (i32, Rc<[u8]>);

/// Where connections have claims, and which of them are gone.
#[derive(Default)]
pub(crate) struct Sessions {
    places: HashMap<Connection, BTreeSet<Place>>,
    /// Gone since the last tick.
    gone: Vec<Connection>,
    /// Gone before the last tick: a claim that did not reach its client has been noted for release since.
    over: Vec<Connection>,
}

impl Sessions {
    fn add(&mut self, connection: Connection, db: i32, key: &[u8]) {
        self.places.entry(connection).or_default().insert((db, key.into()));
    }

    fn remove(&mut self, connection: Connection, db: i32, key: &[u8]) {
        if let Some(places) = self.places.get_mut(&connection) {
            places.remove(&(db, key.into()));
            if places.is_empty() {
                self.places.remove(&connection);
            }
        }
    }

    fn keep(&mut self, mut change: impl FnMut(Place) -> Option<Place>) {
        self.places.retain(|_, places| {
            *places = mem::take(places).into_iter().filter_map(&mut change).collect();
            !places.is_empty()
        });
    }

    /// A database, or all, is emptied.
    pub(crate) fn clear(&mut self, db: Option<i32>) {
        self.keep(|place| Some(place).filter(|(of, _)| db.is_some_and(|db| db != *of)));
    }

    /// Two databases changed places.
    pub(crate) fn swap(&mut self, a: i32, b: i32) {
        self.keep(|(db, key)| Some((agenda::swapped(db, a, b), key)));
    }

    /// In how many milliseconds there is something to do. What is over is left for another turn of the event loop: a timer of no
    /// milliseconds fires once more in the same turn if the clock still shows the same microsecond.
    pub(crate) fn due_in_ms(&self) -> Option<u64> {
        if self.over.is_empty() { (!self.gone.is_empty()).then_some(0) } else { Some(1) }
    }

    /// How many connections have claims that last as long as they do.
    pub(crate) fn connections(&self) -> usize {
        self.places.len()
    }

    /// How much there is of each kind: for tests.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn counts(&self) -> [(&'static str, usize); 2] {
        [("sessions", self.places.values().map(BTreeSet::len).sum()), ("gone", self.gone.len() + self.over.len())]
    }
}

/// Notes who has come to hold claims in the queue, or holds none any more.
pub(crate) fn follow(queue: &mut Queue, db: i32, key: &[u8]) {
    for connection in queue.take_changed_sessions() {
        let has = queue.has_session(connection);
        state::with(|state| {
            if has { state.agenda.sessions.add(connection, db, key) } else { state.agenda.sessions.remove(connection, db, key) }
        });
    }
}

/// The queue has come to this place.
pub(crate) fn arrived(queue: &Queue, db: i32, key: &[u8]) {
    for connection in queue.connections() {
        state::with(|state| state.agenda.sessions.add(connection, db, key));
    }
}

/// This place no longer holds the queue.
pub(crate) fn left(queue: &Queue, db: i32, key: &[u8]) {
    for connection in queue.connections() {
        state::with(|state| state.agenda.sessions.remove(connection, db, key));
    }
}

/// A client is gone. Its claims lapse a little later: nothing is changed in an event, and a claim that was on its way to it is released
/// first.
pub(crate) fn client_gone(client: u64) {
    let connection = Connection(client);
    let has_claims = state::with(|state| {
        let has_claims = state.agenda.sessions.places.contains_key(&connection);
        if has_claims {
            state.agenda.sessions.gone.push(connection);
        }
        has_claims
    });
    if has_claims {
        agenda::arm();
    }
}

/// Tells queues which connections are gone; when they lapse is then for the queue's tick. No fact changes here, so neither a pause of
/// writes nor being a replica forbids it. Goes on only while it may.
pub(crate) fn end_those_over(context: &Context, mut may_go_on: impl FnMut() -> bool) {
    let before = context.selected_db();
    while may_go_on()
        && let Some((connection, place)) = state::with(|state| state.agenda.sessions.next_over())
    {
        let Some((db, key)) = place else { continue };
        let name = OwnedName::new(&key);
        let mut is_left = false;
        if context.select_db(db)
            && let Ok(mut opened) = context.open_write(name.as_name(), &QUEUE)
            && let Ok(Some(value)) = opened.value()
        {
            is_left = value.queue.close_session(connection, SLICE);
            agenda::schedule(value, db, &key);
        }
        if !is_left {
            state::with(|state| state.agenda.sessions.remove(connection, db, &key));
        }
    }
    context.select_db(before);
    state::with(|state| {
        let Sessions { gone, over, .. } = &mut state.agenda.sessions;
        over.append(gone);
    });
}

impl Sessions {
    /// A queue in which a connection had claims that is over; with the last one the connection is forgotten.
    fn next_over(&mut self) -> Option<(Connection, Option<Place>)> {
        let connection = *self.over.last()?;
        let place = self.places.get(&connection).and_then(BTreeSet::first).cloned();
        if place.is_none() {
            self.over.pop();
        }
        Some((connection, place))
    }
}
