//! `TASK.PUSH`: a task comes into the queue.

use crate::admit::MADE_ID_MAX;
use crate::effect::{Change, Order, Pushed};
use crate::error::Refusal;
use crate::id::{MadeId, TaskId};
use crate::index::segments::Slot;
use crate::options::{Options, Start};
use crate::queue::{Queue, TASKS_MAX};
use crate::state::State;
use crate::time::{Ms, UnixMs};
use crate::txn::Txn;

/// When a pushed task may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// So long after the push.
    For(Ms),
    /// Not before this instant.
    Until(UnixMs),
}

/// What `TASK.PUSH` says.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Any bytes.
    pub payload: &'a [u8],
    /// The client's own id; else one is made.
    pub id: Option<TaskId<'a>>,
    /// With an id: a failed, canceled or expired task begins again.
    pub renew: bool,
    /// Higher is sooner.
    pub priority: u8,
    /// When it may be claimed.
    pub delay: Delay,
    /// When it expires, from the push on, unless a worker has claimed it.
    pub ttl: Option<Ms>,
    /// What it sets for itself.
    pub options: Options,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The task is new, or began again.
    Added(Slot),
    /// A task of this id was there; nothing changed.
    Existing(Slot),
}

/// Adds a task. An id is made larger than `floor` and than any the queue made before, whatever the clock says.
///
/// # Errors
/// [`Refusal::DelayPastTtl`], [`Refusal::QueueFull`].
pub fn push(txn: &mut Txn<'_>, push: &Push<'_>, floor: MadeId) -> Result<PushOutcome, Refusal> {
    let now = txn.now();
    let due = match push.delay {
        Delay::For(wait) => now.after(wait),
        Delay::Until(instant) => instant,
    };
    let ttl_at = push.ttl.map(|ttl| now.after(ttl));
    if ttl_at.is_some_and(|ttl_at| due >= ttl_at) {
        return Err(Refusal::DelayPastTtl);
    }
    let start = if due > now { Start::Scheduled { due } } else { Start::Ready { order: txn.next_order() } };
    let options = (push.options != Options::default()).then_some(push.options);
    let order = Order { payload: push.payload, priority: push.priority, start, ttl_at, options };

    let known = push.id.and_then(|id| txn.queue().find(id));
    if let Some(slot) = known {
        let ended_badly = matches!(txn.state(slot), State::Failed | State::Canceled | State::Expired);
        if !(push.renew && ended_badly) {
            return Ok(PushOutcome::Existing(slot));
        }
        txn.record(slot, &Change::Renewed { at: now, order });
        return Ok(PushOutcome::Added(slot));
    }
    if txn.queue().len() >= TASKS_MAX {
        return Err(Refusal::QueueFull);
    }
    let id = match push.id {
        Some(id) => id,
        None => TaskId::Made(next_id(txn.queue(), now, floor).ok_or(Refusal::QueueFull)?),
    };
    let pushed = Pushed { id, made: push.id.is_none(), at: now, order };
    Ok(PushOutcome::Added(txn.record_push(&pushed)))
}

/// The first free id after all that were made, if there is one left.
fn next_id(queue: &Queue, now: UnixMs, floor: MadeId) -> Option<MadeId> {
    let mut id = MadeId::first_of(now).max(floor.max(queue.last_id()).next());
    if sabotaged!(IdsFollowTheClock) {
        id = MadeId::first_of(now);
    }
    while id <= MADE_ID_MAX {
        if queue.find(TaskId::Made(id)).is_none() {
            return Some(id);
        }
        id = id.next();
    }
    None
}
