//! Who waits for the ends of a batch: TASK.COLLECT.

use super::ends::{Telling, is_elsewhere};
use super::{Client, TASK_BYTES, Wish};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::OwnedName;
use crate::value::QUEUE;
use crate::{agenda, state};
use std::cell::RefCell;
use taskqueue::{Ends, EndsCursor, Event, OwnedId, Queue, Refusal, Slot, State, TaskId};

/// The ends that a client waits for, and what it is to be answered.
///
/// The page is made when the client is woken: a batch whose tasks are not retained may be gone before the reply is asked for.
pub(crate) struct CollectWish {
    batch: Box<str>,
    cursor: EndsCursor,
    count: usize,
    given: RefCell<Option<Result<Page, Error>>>,
}

/// What TASK.COLLECT answers, kept until the client is asked for its reply.
struct Page {
    next: EndsCursor,
    remaining: Option<usize>,
    ends: Vec<End>,
}

/// A task that has ended, and its data.
type End = (OwnedId, State, Option<Box<[u8]>>);

/// The ends of a batch from a cursor on.
pub(crate) fn ends_of(queue: Option<&Queue>, batch: &str, cursor: EndsCursor, count: usize) -> Result<Ends, Error> {
    queue.ok_or(Refusal::NoBatch).and_then(|queue| queue.collect(batch, cursor, count)).map_err(refused)
}

/// What a reader hears whose cursor is refused. Only a master knows what is lost.
pub(super) fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::EndsLost { may_come: true } | Refusal::EventsLost { may_come: true } if !agenda::is_master() => {
            Error::new("TRYAGAIN", "cursor was given what this replica does not have, maybe not yet: ask the master")
        }
        refusal => refusal.into(),
    }
}

/// Whether they are to be answered at once, also to a client that would wait.
pub(crate) fn are_worth_it(ends: &Ends) -> bool {
    !ends.slots.is_empty() || ends.is_last
}

/// Replies with ends as they are in the queue.
pub(crate) fn reply_ends(context: &Context, queue: &Queue, ends: &Ends) {
    let end = |&slot: &Slot| {
        let (state, data) = queue.result(slot);
        (queue.id(slot), state, data)
    };
    reply(context, ends.next, ends.remaining, ends.slots.iter().map(end));
}

fn reply<'a>(
    context: &Context,
    next: EndsCursor,
    remaining: Option<usize>,
    ends: impl ExactSizeIterator<Item = (TaskId<'a>, State, Option<&'a [u8]>)>,
) {
    context.array(3);
    context.bulk(next.to_string().as_bytes());
    context.integer(remaining.map_or(-1, |remaining| i64::try_from(remaining).unwrap_or(i64::MAX)));
    context.array(ends.len());
    for (id, state, data) in ends {
        context.array(3);
        context.id(id);
        context.state(state);
        context.bulk_or_null(data);
    }
}

impl Page {
    fn of(queue: Option<&Queue>, ends: Ends) -> Self {
        let end = |slot: Slot| {
            let queue = queue?;
            let (state, data) = queue.result(slot);
            Some((queue.id(slot).into(), state, data.map(Into::into)))
        };
        Self { next: ends.next, remaining: ends.remaining, ends: ends.slots.into_iter().filter_map(end).collect() }
    }

    fn reply(&self, context: &Context) {
        let ends = self.ends.iter().map(|(id, state, data)| (id.as_id(), *state, data.as_deref()));
        reply(context, self.next, self.remaining, ends);
    }
}

impl CollectWish {
    /// Waits for what comes from the cursor on.
    pub(crate) fn new(batch: &str, cursor: EndsCursor, count: usize) -> Self {
        Self { batch: batch.into(), cursor, count, given: RefCell::default() }
    }

    pub(super) fn batch(&self) -> &str {
        &self.batch
    }

    /// About how many bytes it takes to reply.
    pub(super) fn reply_bytes(&self) -> usize {
        let bytes = |(_, _, data): &End| TASK_BYTES + data.as_ref().map_or(0, |data| data.len());
        self.given.borrow().as_ref().and_then(|page| page.as_ref().ok()).map_or(0, |page| page.ends.iter().map(bytes).sum())
    }

    /// How many ends it was given.
    fn len(&self) -> usize {
        self.given.borrow().as_ref().and_then(|page| page.as_ref().ok()).map_or(0, |page| page.ends.len())
    }

    /// Sees whether there is something to answer, and keeps it.
    pub(super) fn look(&self, queue: Option<&Queue>) -> bool {
        let ends = ends_of(queue, &self.batch, self.cursor, self.count);
        let is_over = ends.as_ref().map_or(true, are_worth_it);
        if is_over {
            *self.given.borrow_mut() = Some(ends.map(|ends| Page::of(queue, ends)));
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
                ends_of(queue, &self.batch, self.cursor, self.count).map(|ends| Page::of(queue, ends))
            };
            *self.given.borrow_mut() = Some(page);
        }
        self.reply(context);
    }

    fn reply(&self, context: &Context) {
        match &*self.given.borrow() {
            Some(Ok(page)) => page.reply(context),
            Some(Err(error)) => context.refuse(error),
            None => context.null_array(),
        }
    }
}

/// Tells those who wait for ends of batches what has happened to those; the rest of very many see it at the next turns of the event loop.
pub(crate) fn tell_batches(telling: &mut Telling, queue: &Queue, events: &[(Event, Slot)], db: i32, key: &[u8]) {
    if state::with(|state| state.waiters.is_empty() || !state.waiters.await_batches(db, key)) {
        return;
    }
    let mut told = None;
    for &(event, slot) in events {
        let batch = match event {
            _ if event.is_end() => match queue.batch_name_of(slot) {
                // All ends of the transaction were there when the first of them was told.
                name if name == told => continue,
                name => name,
            },
            // Of one that is gone with all its tasks the name is not known any more.
            Event::Batch | Event::Seal => queue.batch_name(slot),
            _ => continue,
        };
        told = batch;
        for client in collecting(db, key, batch) {
            if telling.left == 0 {
                agenda::recheck(db, key);
                return;
            }
            tell(telling, client, Some(queue));
        }
    }
}

/// Tells a client that waits for ends of this batch what a look at the queue shows.
pub(super) fn tell_collector(telling: &mut Telling, queue: Option<&Queue>, batch: &str, ticket: u64, db: i32, key: &[u8]) {
    if let Some(client) = state::with(|state| state.waiters.collector(db, key, batch, ticket)) {
        tell(telling, client, queue);
    }
}

/// Lets the client see whether there is something to answer to it. If so it waits no longer.
fn tell(telling: &mut Telling, client: Client, queue: Option<&Queue>) {
    let Wish::Collect(wish) = &client.wish else { return };
    let is_served = wish.look(queue);
    telling.left = telling.left.saturating_sub(1 + wish.len());
    if is_served {
        state::with(|state| state.waiters.leave(&client));
        telling.served.push(client);
    }
}

fn collecting(db: i32, key: &[u8], batch: Option<&str>) -> Vec<Client> {
    state::with(|state| state.waiters.collecting(db, key, batch))
}
