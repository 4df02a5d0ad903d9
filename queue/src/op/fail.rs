//! `TASK.FAIL`: a worker reports that a try failed.

use crate::backoff::backoff;
use crate::effect::Change;
use crate::error::Refusal;
use crate::id::TaskId;
use crate::op::standing::{Standing, standing};
use crate::options::Defaults;
use crate::state::{LastClaim, State};
use crate::time::Ms;
use crate::txn::Txn;

/// What is to become of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another try after its backoff, if it has one left.
    Retry,
    /// Another try after this delay, if it has one left.
    RetryAfter(Ms),
    /// None: it is dead.
    Dead,
}

/// Ends the claim with an error; `dice` draw the jitter of the backoff. Answers the task's new state.
///
/// # Errors
/// Those of a claim that is neither live, nor lapsed and unclaimed, nor said before.
pub fn fail(
    txn: &mut Txn<'_>,
    id: TaskId<'_>,
    attempt: Option<u32>,
    error: &[u8],
    next: Next,
    dice: u64,
    defaults: &Defaults,
) -> Result<State, Refusal> {
    let (slot, standing) = standing(txn.queue(), id, attempt)?;
    match standing {
        Standing::Said(LastClaim::FailedToScheduled) => return Ok(State::Scheduled),
        Standing::Said(LastClaim::FailedToReady) => return Ok(State::Ready),
        Standing::Said(LastClaim::FailedForGood) => return Ok(State::Failed),
        Standing::Said(_) => return Err(Refusal::NotClaimed(txn.state(slot))),
        Standing::Live | Standing::Lapsed => {}
    }
    let (at, queue) = (txn.now(), txn.queue());
    let options = queue.options(slot, defaults);
    let wait = match next {
        _ if !queue.has_tries_left(slot, &options) => None,
        Next::Dead => None,
        Next::RetryAfter(delay) => Some(delay),
        Next::Retry => Some(backoff(options.backoff, queue.tries(slot), dice)),
    };
    let change = match wait {
        None => Change::Failed { error, lapsed: false, at, drop_at: options.retain_failed.drop_at(at) },
        Some(Ms(0)) => Change::Requeued { error, order: txn.next_order(), at },
        Some(wait) => Change::BackedOff { error, at, due: at.after(wait) },
    };
    txn.record(slot, &change);
    Ok(txn.state(slot))
}
