//! `TASK.EXTEND`: the heartbeat of a worker.

use crate::effect::Change;
use crate::error::Refusal;
use crate::id::TaskId;
use crate::op::standing::{Standing, standing};
use crate::time::Ms;
use crate::txn::Txn;

/// Longest checkpoint, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;

/// The lease now ends `lease` (else: the claim's) from now, but not after the timeout; that of a session's claim does not end anyway.
/// Keeps the checkpoint, if one is given.
///
/// # Errors
/// Those of a claim that is not live; a lapsed one is not revived.
pub fn extend(
    txn: &mut Txn<'_>,
    id: TaskId<'_>,
    attempt: Option<u32>,
    lease: Option<Ms>,
    checkpoint: Option<&[u8]>,
) -> Result<(), Refusal> {
    let (slot, standing) = standing(txn.queue(), id, attempt)?;
    if standing != Standing::Live {
        return Err(Refusal::NotClaimed(txn.state(slot)));
    }
    let queue = txn.queue();
    let deadline = match queue.session(slot) {
        Some(_) => queue.deadline(slot),
        None => queue.lease_end(slot, lease, txn.now()),
    };
    txn.record(slot, &Change::Extended { deadline, checkpoint });
    Ok(())
}
