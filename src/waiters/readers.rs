//! Who reads on, page by page, and waits for the next: the ends of a batch (TASK.COLLECT), changes of state (TASK.EVENTS).

use super::ends::{Telling, is_elsewhere};
use super::{Client, TASK_BYTES, Wish, wait};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{KeyName, OwnedName};
use crate::value::QUEUE;
use crate::{agenda, state};
use std::cell::RefCell;
use taskqueue::{Ends, EndsCursor, Event, EventsCursor, EventsPage, Ms, OwnedId, Queue, Refusal, Slot, State, TaskId};

/// What is read, and from where on.
pub(crate) enum Reading {
    /// The ends of the batch of that name.
    Ends(Box<str>, EndsCursor),
    /// Changes of state.
    Events(EventsCursor),
}

/// What a client waits for that reads on, and what it is to be answered.
///
/// The page is made when the client is woken: what is in it may be gone before the reply is asked for.
pub(crate) struct ReaderWish {
    reading: Reading,
    count: usize,
    given: RefCell<Option<Result<Page, Error>>>,
}

/// A page, for as long as the queue does not change.
enum Found {
    Ends(Ends),
    Events(EventsPage),
}

/// A page, kept.
enum Page {
    Ends { next: EndsCursor, remaining: Option<usize>, ends: Vec<End> },
    Events(EventsPage),
}

/// A task that has ended, and its data.
type End = (OwnedId, State, Option<Box<[u8]>>);

/// Answers what there is, or lets the client wait for what comes.
pub(crate) fn read(context: &Context, name: KeyName<'_>, reading: Reading, count: usize, block: Option<Ms>) -> Result<(), Error> {
    let key = context.open_read(name, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    let found = reading.look(queue, count)?;
    if let Some(block) = block.filter(|_| !found.is_worth_it(queue) && context.can_wait()) {
        drop(key);
        // What `0` and `$` mean is settled now.
        let wish = ReaderWish { reading: reading.after(&found), count, given: RefCell::default() };
        wait(context, &[name], Wish::Page(wish), block);
        return Ok(());
    }
    found.reply(context, queue);
    Ok(())
}

impl Reading {
    fn look(&self, queue: Option<&Queue>, count: usize) -> Result<Found, Error> {
        let found = match (self, queue) {
            (Self::Ends(batch, cursor), Some(queue)) => queue.collect(batch, *cursor, count).map(Found::Ends),
            (Self::Ends(..), None) => Err(Refusal::NoBatch),
            (Self::Events(cursor), Some(queue)) => queue.events(*cursor, count).map(Found::Events),
            (Self::Events(cursor), None) => Queue::default().events(*cursor, count).map(Found::Events),
        };
        found.map_err(|refusal| match refusal {
            // Only a master knows what is lost.
            Refusal::EndsLost { may_come: true } | Refusal::EventsLost { may_come: true } if !agenda::is_master() => {
                Error::new("TRYAGAIN", "cursor was given what this replica does not have, maybe not yet: ask the master")
            }
            refusal => refusal.into(),
        })
    }

    /// From after what was found on.
    fn after(self, found: &Found) -> Self {
        match (self, found) {
            (Self::Ends(batch, _), Found::Ends(ends)) => Self::Ends(batch, ends.next),
            (_, Found::Events(page)) => Self::Events(page.next),
            (reading, Found::Ends(_)) => reading,
        }
    }
}

impl Found {
    /// Whether it is to be answered at once, also to a client that would wait.
    fn is_worth_it(&self, queue: Option<&Queue>) -> bool {
        match self {
            Self::Ends(ends) => !ends.slots.is_empty() || ends.is_last,
            Self::Events(page) => !page.is_empty() || queue.is_none(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Ends(ends) => ends.slots.len(),
            Self::Events(page) => page.len(),
        }
    }

    /// Replies with it as it is in the queue.
    fn reply(&self, context: &Context, queue: Option<&Queue>) {
        match (self, queue) {
            (Self::Ends(ends), Some(queue)) => {
                let end = |&slot: &Slot| {
                    let (state, data) = queue.result(slot);
                    (queue.id(slot), state, data)
                };
                reply_ends(context, ends.next, ends.remaining, ends.slots.iter().map(end));
            }
            // There are ends in queues alone.
            (Self::Ends(_), None) => context.null_array(),
            (Self::Events(page), _) => reply_events(context, page),
        }
    }

    fn keep(self, queue: Option<&Queue>) -> Page {
        match self {
            Self::Ends(Ends { slots, next, remaining, .. }) => {
                let end = |slot: Slot| {
                    let queue = queue?;
                    let (state, data) = queue.result(slot);
                    Some((queue.id(slot).into(), state, data.map(Into::into)))
                };
                Page::Ends { next, remaining, ends: slots.into_iter().filter_map(end).collect() }
            }
            Self::Events(page) => Page::Events(page),
        }
    }
}

impl Page {
    /// About how many bytes it takes to reply.
    fn bytes(&self) -> usize {
        let data = |(_, _, data): &End| data.as_ref().map_or(0, |data| data.len());
        match self {
            Self::Ends { ends, .. } => ends.iter().map(|end| TASK_BYTES + data(end)).sum(),
            Self::Events(page) => page.len() * TASK_BYTES + page.bytes(),
        }
    }

    fn reply(&self, context: &Context) {
        match self {
            Self::Ends { next, remaining, ends } => {
                let ends = ends.iter().map(|(id, state, data)| (id.as_id(), *state, data.as_deref()));
                reply_ends(context, *next, *remaining, ends);
            }
            Self::Events(page) => reply_events(context, page),
        }
    }
}

fn reply_ends<'a>(
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

fn reply_events(context: &Context, page: &EventsPage) {
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

impl ReaderWish {
    /// The batch whose ends it waits for; none, if it waits for events.
    pub(super) fn batch(&self) -> Option<&str> {
        match &self.reading {
            Reading::Ends(batch, _) => Some(batch),
            Reading::Events(_) => None,
        }
    }

    /// About how many bytes it takes to reply.
    pub(super) fn reply_bytes(&self) -> usize {
        self.given.borrow().as_ref().and_then(|page| page.as_ref().ok()).map_or(0, Page::bytes)
    }

    /// Sees whether there is something to answer, and keeps it. Answers how much that is.
    fn look(&self, queue: Option<&Queue>) -> Option<usize> {
        let found = self.reading.look(queue, self.count);
        let is_over = found.as_ref().map_or(true, |found| found.is_worth_it(queue));
        is_over.then(|| {
            let len = found.as_ref().map_or(0, Found::len);
            *self.given.borrow_mut() = Some(found.map(|found| found.keep(queue)));
            len
        })
    }

    /// The wait is over, maybe by time: replies with what came, or with what there is.
    pub(super) fn reply_from(&self, context: &Context, db: i32, key: Option<&OwnedName>) {
        match &*self.given.borrow() {
            Some(Ok(page)) => page.reply(context),
            Some(Err(error)) => context.refuse(error),
            None => {
                let opened = key.filter(|_| context.select_db(db)).and_then(|key| context.open_read(key.as_name(), &QUEUE).ok());
                let queue = opened.as_ref().and_then(|key| key.value().ok().flatten()).map(|value| &value.queue);
                if queue.is_none() && key.is_some_and(|key| is_elsewhere(context, key.as_name())) {
                    context.refuse(&Error::new("TRYAGAIN", "the queue is moving to another node"));
                    return;
                }
                match self.reading.look(queue, self.count) {
                    Ok(found) => found.reply(context, queue),
                    Err(error) => context.refuse(&error),
                }
            }
        }
    }
}

/// Tells those who wait for ends of batches what has happened to those; the rest of very many see it at the next turns of the event loop.
pub(crate) fn tell_of_batches(telling: &mut Telling, queue: &Queue, events: &[(Event, Slot)], db: i32, key: &[u8]) {
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
        for client in state::with(|state| state.waiters.readers_of_batch(db, key, batch)) {
            if telling.left == 0 {
                agenda::recheck(db, key);
                return;
            }
            tell(telling, client, Some(queue));
        }
    }
}

/// Tells those who wait for events of this queue what has come, when all of it has; the rest of very many see it at the next turns of
/// the event loop.
pub(crate) fn tell_of_events(telling: &mut Telling, queue: &Queue, db: i32, key: &[u8]) {
    if !queue.has_events() {
        return;
    }
    for client in state::with(|state| state.waiters.readers_of_events(db, key, telling.left + 1)) {
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

/// Tells a client that reads on what a look at the queue shows.
pub(super) fn tell_reader(telling: &mut Telling, queue: Option<&Queue>, of: Option<&str>, ticket: u64, db: i32, key: &[u8]) {
    if let Some(client) = state::with(|state| state.waiters.reader(db, key, of, ticket)) {
        tell(telling, client, queue);
    }
}

/// Lets the client see whether there is something to answer to it. If so it waits no longer. Answers whether there was.
fn tell(telling: &mut Telling, client: Client, queue: Option<&Queue>) -> bool {
    let Wish::Page(wish) = &client.wish else { return false };
    let given = wish.look(queue);
    telling.left = telling.left.saturating_sub(1 + given.unwrap_or(0));
    if given.is_some() {
        state::with(|state| state.waiters.leave(&client));
        telling.served.push(client);
    }
    given.is_some()
}
