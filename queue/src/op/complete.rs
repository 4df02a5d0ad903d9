//! `TASK.COMPLETE`: a worker publishes a result.

use crate::effect::Change;
use crate::error::Refusal;
use crate::id::TaskId;
use crate::op::standing::{Standing, standing};
use crate::options::Defaults;
use crate::state::LastClaim;
use crate::time::Retention;
use crate::txn::Txn;

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The result is published.
    Published,
    /// This claim had published its result before; nothing changed.
    Repeated,
}

/// Publishes the result, once. `retain` overrides the task's retention.
///
/// # Errors
/// Those of a claim that is neither live, nor lapsed and unclaimed, nor said before.
pub fn complete(
    txn: &mut Txn<'_>,
    id: TaskId<'_>,
    attempt: Option<u32>,
    result: &[u8],
    retain: Option<Retention>,
    defaults: &Defaults,
) -> Result<Completion, Refusal> {
    let (slot, standing) = standing(txn.queue(), id, attempt)?;
    let standing = if sabotaged!(ResultRepublished) { Standing::Live } else { standing };
    match standing {
        Standing::Said(LastClaim::Completed) => Ok(Completion::Repeated),
        Standing::Said(_) => Err(Refusal::NotClaimed(txn.state(slot))),
        Standing::Live | Standing::Lapsed => {
            let at = txn.now();
            let retain = retain.unwrap_or(txn.queue().options(slot, defaults).retain);
            txn.record(slot, &Change::Completed { result, at, drop_at: retain.drop_at(at) });
            Ok(Completion::Published)
        }
    }
}
