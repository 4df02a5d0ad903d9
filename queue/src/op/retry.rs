//! `TASK.RETRY`: tasks that ended without a result begin again.

use crate::effect::Change;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::state::State;
use crate::txn::Txn;

/// Makes a failed, canceled, expired or scheduled task ready, with all its tries. Answers whether it did so.
pub fn retry(txn: &mut Txn<'_>, id: TaskId<'_>) -> bool {
    let can = |state| {
        matches!(state, State::Failed | State::Canceled | State::Expired | State::Scheduled)
            || (state == State::Completed && sabotaged!(CompletedRevived))
    };
    match txn.queue().find(id).filter(|&slot| can(txn.state(slot)) && txn.queue().can_begin_again(slot)) {
        Some(slot) => {
            revive(txn, slot);
            true
        }
        None => false,
    }
}

/// Makes at most `count` failed tasks ready, the next to be dropped first. Answers how many.
pub fn retry_all(txn: &mut Txn<'_>, count: usize) -> usize {
    (0..count)
        .take_while(|_| {
            let queue = txn.queue();
            let next = queue.deadlines(State::Failed).and_then(|failed| failed.first(&queue.tasks));
            next.filter(|&(_, slot)| queue.can_begin_again(slot)).is_some_and(|(_, slot)| {
                revive(txn, slot);
                true
            })
        })
        .count()
}

pub(super) fn revive(txn: &mut Txn<'_>, slot: Slot) {
    let change = Change::Revived { order: txn.next_order(), at: txn.now() };
    txn.record(slot, &change);
}
