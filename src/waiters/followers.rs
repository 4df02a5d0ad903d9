//! Who waits for the next change of state that a queue keeps: TASK.EVENTS.

use super::collectors::refused;
use super::ends::{Telling, is_elsewhere};
use super::{Client, TASK_BYTES, Wish};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::OwnedName;
use crate::value::QUEUE;
use crate::{agenda, state};
use std::cell::RefCell;
use taskqueue::{EventsCursor, EventsPage, Queue};

/// The events that a client waits for, and what it is to be answered.
///
/// The page is made when the client is woken: events may be gone before the reply is asked for.
pub(crate) struct EventsWish {
    /// After what the client was given.
    next: EventsCursor,
    count: usize,
    given: RefCell<Option<Result<EventsPage, Error>>>,
}

/// The events of a queue from a cursor on; of none, those of an empty one.
pub(crate) fn events_of(queue: Option<&Queue>, cursor: EventsCursor, count: usize) -> Result<EventsPage, Error> {
    let page = queue.map_or_else(|| Queue::default().events(cursor, count), |queue| queue.events(cursor, count));
    page.map_err(refused)
}

/// Replies with a page of events.
pub(crate) fn reply_events(context: &Context, page: &EventsPage) {
    context.array(2);
    context.bulk(page.next.to_string().as_bytes());
    context.array(usize::from(page.missed.is_some()) + page.len());
    if let Some(missed) = page.missed {
        context.array(6);
        context.integer(missed.last.cast_signed());
        context.integer(missed.at.0.cast_signed());
        context.bulk(b"missed");
        context.null();
        context.integer(missed.count.cast_signed());
        context.null();
    }
    for row in page.rows() {
        context.array(6);
        context.integer(row.seq.cast_signed());
        context.integer(row.at.0.cast_signed());
        context.bulk_or_null(row.event.name().map(str::as_bytes));
        context.id(row.id);
        context.integer(i64::from(row.attempt));
        context.bulk_or_null(row.worker.map(str::as_bytes));
    }
}

impl EventsWish {
    /// Waits for what comes from this event on.
    pub(crate) fn new(next: EventsCursor, count: usize) -> Self {
        Self { next, count, given: RefCell::default() }
    }

    fn given<R: Default>(&self, of: impl FnOnce(&EventsPage) -> R) -> R {
        self.given.borrow().as_ref().and_then(|page| page.as_ref().ok()).map_or_else(R::default, of)
    }

    /// About how many bytes it takes to reply.
    pub(super) fn reply_bytes(&self) -> usize {
        self.given(|page| page.len() * TASK_BYTES + page.bytes())
    }

    fn events_of(&self, queue: Option<&Queue>) -> Result<EventsPage, Error> {
        events_of(queue, self.next, self.count)
    }

    /// Sees whether there is something to answer, and keeps it.
    fn look(&self, queue: Option<&Queue>) -> bool {
        let page = self.events_of(queue);
        let is_over = queue.is_none() || page.as_ref().map_or(true, |page| !page.is_empty());
        if is_over {
            *self.given.borrow_mut() = Some(page);
        }
        is_over
    }

    /// The wait is over, maybe by time: replies with what came, or with what there is.
    pub(super) fn reply_from(&self, context: &Context, db: i32, key: Option<&OwnedName>) {
        if self.given.borrow().is_none() {
            let opened = key.filter(|_| context.select_db(db)).and_then(|key| context.open_read(key.as_name(), &QUEUE).ok());
            let queue = opened.as_ref().and_then(|key| key.value().ok().flatten()).map(|value| &value.queue);
            let page = if queue.is_none() && key.is_some_and(|key| is_elsewhere(context, key.as_name())) {
                Err(Error::new("TRYAGAIN", "the queue is moving to another node"))
            } else {
                self.events_of(queue)
            };
            *self.given.borrow_mut() = Some(page);
        }
        match &*self.given.borrow() {
            Some(Ok(page)) => reply_events(context, page),
            Some(Err(error)) => context.refuse(error),
            None => context.null_array(),
        }
    }
}

/// Tells those who wait for events of this queue what has come, when all of it has; the rest of very many see it at the next turns of
/// the event loop.
pub(crate) fn tell_events(telling: &mut Telling, queue: &Queue, db: i32, key: &[u8]) {
    if !queue.has_events() {
        return;
    }
    for client in state::with(|state| state.waiters.following(db, key, telling.left + 1)) {
        if telling.left == 0 {
            agenda::recheck(db, key);
            return;
        }
        // What is news to none who waits is news to nobody: all wait for the next event.
        if !tell(telling, client, Some(queue)) {
            return;
        }
    }
}

/// Tells a client that waits for events what a look at the queue shows.
pub(super) fn tell_follower(telling: &mut Telling, queue: Option<&Queue>, ticket: u64, db: i32, key: &[u8]) {
    if let Some(client) = state::with(|state| state.waiters.follower(db, key, ticket)) {
        tell(telling, client, queue);
    }
}

/// Lets the client see whether there is something to answer to it. If so it waits no longer. Answers whether there was.
fn tell(telling: &mut Telling, client: Client, queue: Option<&Queue>) -> bool {
    let Wish::Events(wish) = &client.wish else { return false };
    let is_served = wish.look(queue);
    telling.left = telling.left.saturating_sub(1 + wish.given(EventsPage::len));
    if is_served {
        state::with(|state| state.waiters.leave(&client));
        telling.served.push(client);
    }
    is_served
}
