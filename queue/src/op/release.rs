//! `TASK.RELEASE`: a worker gives a task back unfinished.

use crate::effect::Change;
use crate::error::Refusal;
use crate::id::TaskId;
use crate::op::standing::{Standing, standing};
use crate::state::LastClaim;
use crate::time::Ms;
use crate::txn::Txn;

/// Gives the task back: ready in its old place, or after `delay`. The try does not count.
///
/// # Errors
/// Those of a claim that is neither live, nor lapsed and unclaimed, nor said before.
pub fn release(txn: &mut Txn<'_>, id: TaskId<'_>, attempt: Option<u32>, delay: Ms) -> Result<(), Refusal> {
    let (slot, standing) = standing(txn.queue(), id, attempt)?;
    match standing {
        Standing::Said(LastClaim::Released) => return Ok(()),
        Standing::Said(_) => return Err(Refusal::NotClaimed(txn.state(slot))),
        Standing::Live | Standing::Lapsed => {}
    }
    let at = txn.now();
    let change = if delay == Ms(0) { Change::Released { at } } else { Change::Deferred { due: at.after(delay) } };
    txn.record(slot, &change);
    Ok(())
}
