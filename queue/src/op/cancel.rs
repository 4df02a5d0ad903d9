//! `TASK.CANCEL`: tasks that are not to be done any more.

use crate::effect::Change;
use crate::id::TaskId;
use crate::index::deadlines::Deadlines;
use crate::index::segments::Slot;
use crate::options::Defaults;
use crate::state::State;
use crate::txn::Txn;

/// Cancels the task if it has not ended. Answers whether it did so.
pub fn cancel(txn: &mut Txn<'_>, id: TaskId<'_>, defaults: &Defaults) -> bool {
    match txn.queue().find(id).filter(|&slot| !txn.state(slot).is_terminal()) {
        Some(slot) => {
            cancel_slot(txn, slot, defaults);
            true
        }
        None => false,
    }
}

/// Cancels at most `count` tasks that nobody has claimed: ready ones, oldest first, then scheduled ones, next first,
/// then those that wait for others. Answers how many.
pub fn cancel_all(txn: &mut Txn<'_>, count: usize, defaults: &Defaults) -> usize {
    (0..count)
        .take_while(|_| {
            let queue = txn.queue();
            let first_of = |index: &Deadlines| index.first(&queue.tasks).map(|(_, slot)| slot);
            let next = queue.oldest_ready().or_else(|| first_of(&queue.due)).or_else(|| first_of(&queue.waiting));
            next.is_some_and(|slot| {
                cancel_slot(txn, slot, defaults);
                true
            })
        })
        .count()
}

/// A worker that holds the task hears of it as long as its lease would have lasted, whatever the retention; in a session, for one lease.
pub(super) fn cancel_slot(txn: &mut Txn<'_>, slot: Slot, defaults: &Defaults) {
    let at = txn.now();
    let mut drop_at = txn.queue().options(slot, defaults).retain.drop_at(at);
    if txn.state(slot) == State::Claimed && !sabotaged!(CanceledDroppedEarly) {
        let queue = txn.queue();
        let lease_end = if queue.session(slot).is_some() { queue.lease_end(slot, None, at) } else { queue.deadline(slot) };
        drop_at = drop_at.max(lease_end);
    }
    txn.record(slot, &Change::Canceled { at, drop_at });
}
