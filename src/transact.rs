//! One command's change to one queue: open the key, take the time, run the operation, publish what it did.

use crate::redis::context::{Context, now_ms};
use crate::redis::error::Error;
use crate::redis::string::KeyName;
use crate::value::{QUEUE, QueueValue};
use crate::waiters::Client;
use crate::{agenda, apply, config, sessions, state, waiters};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use taskqueue::{Defaults, Event, Journal, MadeId, Ms, Queue, Refusal, Txn, UnixMs};

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
    Ok(transact_then(context, name, missing, operation, |_, _, _| ())?.map(|(answer, ())| answer))
}

/// As [`transact`]; `then` goes on in the same transaction, once those who wait for tasks have been served. A refused operation
/// is the end of it.
pub(crate) fn transact_then<R, N>(
    context: &Context,
    name: KeyName<'_>,
    missing: Missing,
    operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
    then: impl FnOnce(&R, &mut Txn<'_>, &Env) -> N,
) -> Result<Option<(R, N)>, Error> {
    let mut journal = state::with(|state| mem::take(&mut state.journal));
    let outcome = run(context, name, missing, operation, then, &mut journal);
    journal.clear();
    state::with(|state| state.journal = journal);
    let (answer, served) = outcome?;
    waiters::unblock(served);
    Ok(answer)
}

/// What a transaction answers, if there is a queue, and whom to unblock.
type Outcome<R, N> = (Option<(R, N)>, Vec<Client>);

fn run<R, N>(
    context: &Context,
    name: KeyName<'_>,
    missing: Missing,
    operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
    then: impl FnOnce(&R, &mut Txn<'_>, &Env) -> N,
    journal: &mut Journal,
) -> Result<Outcome<R, N>, Error> {
    let env = Env { defaults: config::defaults() };
    let mut key = context.open_write(name, &QUEUE)?;
    let mut new = None;
    let value = match key.value()? {
        Some(value) => value,
        None if missing == Missing::Create => new.insert(QueueValue::new(Queue::default())).as_mut(),
        None => return Ok((None, Vec::new())),
    };
    let now = now();
    journal.is_silent = !context.is_listened_to();
    let mut txn = Txn::new(&mut value.queue, journal, now);
    let answer = operation(&mut txn, &env)?;
    let db = context.selected_db();
    let mut served = waiters::serve(&mut txn, &env, db, name.bytes());
    let next = then(&answer, &mut txn, &env);
    let answer = Some((answer, next));
    if txn.journal().events.is_empty() {
        agenda::schedule(value, db, name.bytes());
        return Ok((answer, served));
    }
    // Last, as whatever claims may find tasks whose TTL is over.
    served.extend(waiters::tell_ends(&txn, db, name.bytes()));
    txn.drop_unkept();
    remember_ids_of(&value.queue, now);
    sessions::follow(&mut value.queue, db, name.bytes());
    agenda::schedule(value, db, name.bytes());
    match new {
        Some(value) => key.set(value).map(drop)?,
        None => key.modified(),
    }
    if journal.is_silent {
        context.count_change();
    } else {
        context.replicate(apply::NAME, name, journal.packed.bytes());
    }
    // Closed first: who listens may use the key.
    drop(key);
    notify(context, name, journal.events.iter().map(|&(event, _)| event));
    Ok((answer, served))
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
            Event::Extend | Event::Restore => continue,
        };
        context.notify(event, name);
    }
}
