//! One command's change to one queue: open the key, take the time, run the operation, publish what it did.

use crate::redis::context::{Context, now_ms};
use crate::redis::error::Error;
use crate::redis::string::KeyName;
use crate::value::{QUEUE, QueueValue};
use crate::waiters::Telling;
use crate::{agenda, apply, config, publish, sessions, state, totals, waiters};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use taskqueue::{Defaults, Event, Journal, MadeId, Ms, Queue, Refusal, Txn, UnixMs, op};

/// What an operation needs to know of the server.
pub(crate) struct Env {
    pub(crate) defaults: Defaults,
}

/// Whether a command makes the queue if there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Leave,
}

/// Tasks that are told at once of the end of what they wait for; of the others the tick tells.
const TELL_AT_ONCE: usize = 64;

/// The last id made in this server, so that ids grow even when their queue was deleted.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// Larger ids than this are to be made.
pub(crate) fn id_floor() -> MadeId {
    MadeId(LAST_ID.load(Ordering::Relaxed))
}

/// Larger ids than this queue's are to be made everywhere. Not if it comes from a clock that is far ahead, or from a forged dump: one
/// queue's ids do not drag the whole server into the future. But the ids that follow the last one may be as far ahead as that one is:
/// the clock was set back.
pub(crate) fn remember_ids_of(queue: &Queue, now: UnixMs) {
    const AHEAD_MAX: Ms = Ms(86_400_000);
    let (last_id, floor) = (queue.last_id(), id_floor());
    let limit = now.after(AHEAD_MAX).max(floor.made_at().after(Ms(1)));
    if last_id > floor && last_id.made_at() <= limit {
        LAST_ID.store(last_id.0, Ordering::Relaxed);
    }
}

/// The wall clock.
pub(crate) fn now() -> UnixMs {
    UnixMs(now_ms().unsigned_abs())
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::new(refusal.code(), refusal.to_string())
    }
}

/// Runs an operation on the queue of a key. `None` if there is no such key and none is to be made: the command answers as for an
/// empty queue. What the operation did is replicated, told and handed to those who wait before this returns.
pub(crate) fn transact<R>(
    context: &Context,
    name: KeyName<'_>,
    missing: Missing,
    operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
) -> Result<Option<R>, Error> {
    Ok(transact_then(context, name, missing, operation, |_, _, _| (), |_, (), _| ())?.map(|(answer, ())| answer))
}

/// As [`transact`]; `then` goes on in the same transaction, once those who wait for tasks have been served. A refused operation
/// is the end of it. `reply` may reply with what it finds in the queue: it runs when all is done that a bug could end early,
/// so that no client is sent an error behind its reply.
pub(crate) fn transact_then<R, N>(
    context: &Context,
    name: KeyName<'_>,
    missing: Missing,
    operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
    then: impl FnOnce(&R, &mut Txn<'_>, &Env) -> N,
    reply: impl FnOnce(&R, &N, &Queue),
) -> Result<Option<(R, N)>, Error> {
    let env = Env { defaults: config::defaults() };
    // Before the key, so that it is closed first.
    let mut done = Publication::new(context, name);
    let mut key = context.open_write(name, &QUEUE)?;
    let mut new = None;
    let value = match key.value()? {
        Some(value) => {
            done.stands = true;
            value
        }
        None if missing == Missing::Create => new.insert(QueueValue::new(Queue::default())).as_mut(),
        None => return Ok(None),
    };
    let now = now();
    let mut txn = Txn::new(&mut value.queue, &mut done.journal, now);
    let answer = operation(&mut txn, &env)?;
    op::tell(&mut txn, TELL_AT_ONCE, &env.defaults);
    waiters::serve(&mut txn, &env, done.db, name.bytes(), &mut done.telling.served);
    #[cfg(feature = "fault-injection")]
    crate::redis::fault::point();
    let next = then(&answer, &mut txn, &env);
    if !txn.journal().events.is_empty() {
        // Last, as whatever claims may find tasks whose TTL is over.
        waiters::tell_ends(&txn, done.db, name.bytes(), &mut done.telling);
        txn.drop_unkept();
        waiters::tell_events(&mut done.telling, txn.queue(), done.db, name.bytes());
        remember_ids_of(&value.queue, now);
        sessions::follow(&mut value.queue, done.db, name.bytes());
    }
    agenda::schedule(value, done.db, name.bytes());
    reply(&answer, &next, &value.queue);
    if !done.journal.events.is_empty() {
        match new {
            Some(value) => {
                key.set(value)?;
                done.stands = true;
            }
            None => key.modified(),
        }
    }
    Ok(Some((answer, next)))
}

/// What a transaction has done and is to be made known when it is over. Also when a bug ends it early: what a queue has done its
/// replicas must do, and who was served is no longer in line.
struct Publication<'c> {
    context: &'c Context,
    name: KeyName<'c>,
    db: i32,
    journal: Journal,
    /// Last: who was served is unblocked when all is published.
    telling: Telling,
    /// The queue is in its key.
    stands: bool,
}

impl<'c> Publication<'c> {
    fn new(context: &'c Context, name: KeyName<'c>) -> Self {
        let mut journal = state::with(|state| {
            state.depth += 1;
            mem::take(&mut state.journal)
        });
        journal.is_silent = !context.is_listened_to();
        if config::publishes() {
            journal.notices = Some(Vec::new());
        }
        Self { context, name, db: context.selected_db(), journal, telling: Telling::new(), stands: false }
    }
}

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            agenda::look_again(self.db, self.name.bytes());
        }
        let notices = self.journal.notices.take();
        if !self.stands {
            // The queue that they were given tasks of has not come to be.
            self.telling.served.iter().for_each(|client| client.take_back());
        } else if !self.journal.events.is_empty() {
            if self.journal.is_silent {
                self.context.count_change();
            } else {
                self.context.replicate(apply::NAME, self.name, self.journal.packed.bytes());
                totals::count_replicated(self.journal.packed.bytes().len());
            }
            for &(event, _) in &self.journal.events {
                totals::count(event);
            }
            // First: who hears of a notification may change the queue.
            if let Some(notices) = notices {
                publish::publish(self.context, self.name, self.db, &notices);
            }
            notify(self.context, self.name, self.journal.events.iter().map(|&(event, _)| event));
        }
        let has_changed = !self.journal.events.is_empty();
        self.journal.clear();
        state::with(|state| {
            state.journal = mem::take(&mut self.journal);
            state.depth -= 1;
            state.was_nested |= has_changed && state.depth > 0;
        });
    }
}

/// Tells the keyspace what happened.
pub(crate) fn notify(context: &Context, name: KeyName<'_>, events: impl Iterator<Item = Event>) {
    for event in events {
        let event = match event {
            Event::Push => c"task.push",
            Event::Ready => c"task.ready",
            Event::Claim => c"task.claim",
            Event::Complete => c"task.complete",
            Event::Fail => c"task.fail",
            Event::Retry => c"task.retry",
            Event::Lapse => c"task.lapse",
            Event::Release => c"task.release",
            Event::Cancel => c"task.cancel",
            Event::Expire => c"task.expire",
            Event::Drop => c"task.drop",
            Event::Batch => c"task.batch",
            Event::Tell | Event::Extend | Event::Seal | Event::Set | Event::Restore => continue,
        };
        context.notify(event, name);
    }
}
