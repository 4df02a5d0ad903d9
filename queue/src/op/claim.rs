//! `TASK.CLAIM`: a worker takes the next task.

use crate::effect::Change;
use crate::flow::Obstacle;
use crate::index::segments::Slot;
use crate::op::flow::rewind;
use crate::op::tick::expire;
use crate::options::Defaults;
use crate::session::Connection;
use crate::time::{Ms, UnixMs};
use crate::txn::Txn;

/// Most overdue tasks that one claim clears out of its way; the tick does the rest.
const EXPIRED_MAX: usize = 1000;

/// Who claims, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Shown to whoever asks who holds a task.
    pub worker: &'a str,
    /// Overrides the task's lease.
    pub lease: Option<Ms>,
    /// The claim does not lapse by its lease while this connection is open.
    pub session: Option<Connection>,
}

/// Claims the next ready task; `None` if there is none. A task whose TTL is over is not given out but expires.
pub fn claim(txn: &mut Txn<'_>, claim: &Claim<'_>, defaults: &Defaults) -> Option<Slot> {
    let now = txn.now();
    if txn.queue().flow.is_some() {
        rewind(txn);
        if let Some(obstacle) = txn.queue().obstacle(now) {
            if let Obstacle::Rate(_, opens_at) = obstacle {
                // The last tick may have seen the window open, before the clock stepped back.
                txn.set_soonest(txn.queue().soonest().min(opens_at));
            }
            return None;
        }
    }
    for _ in 0..=EXPIRED_MAX {
        let slot = txn.queue().next_ready()?;
        if txn.queue().ttl_is_over(slot, now) && !sabotaged!(TtlIgnoredByClaim) {
            expire(txn, slot, defaults);
            continue;
        }
        let options = txn.queue().options(slot, defaults);
        let lease = claim.lease.unwrap_or(options.lease);
        let timeout_at = options.timeout.map(|timeout| now.after(timeout));
        let session = claim.session.is_some();
        let lease_end = if session && !sabotaged!(SessionLapses) { UnixMs::NEVER } else { now.after(lease) };
        let deadline = timeout_at.into_iter().fold(lease_end, Ord::min);
        let attempt = txn.queue().attempt(slot).saturating_add(1);
        txn.record(slot, &Change::Claimed { attempt, worker: claim.worker, lease, at: now, deadline, timeout_at, session });
        if let Some(connection) = claim.session {
            txn.attach(slot, connection);
        }
        return Some(slot);
    }
    None
}
