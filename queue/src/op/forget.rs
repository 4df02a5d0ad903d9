//! `TASK.FORGET`: finished tasks that are not to be kept any longer.

use crate::batch::{KEPT, TIED};
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::op::unique::free_key_of;
use crate::queue::Queue;
use crate::txn::Txn;

/// Drops the task if it has ended and no batch keeps it. Answers whether it did so.
pub fn forget(txn: &mut Txn<'_>, id: TaskId<'_>) -> bool {
    match txn.queue().find(id).filter(|&slot| can_forget(txn.queue(), slot)) {
        Some(slot) => {
            drop_now(txn, slot);
            true
        }
        None => false,
    }
}

fn drop_now(txn: &mut Txn<'_>, slot: Slot) {
    free_key_of(txn, slot);
    txn.record_drop(slot);
}

fn can_forget(queue: &Queue, slot: Slot) -> bool {
    queue.tasks.at(slot).state().is_terminal() && !queue.is_kept_by_batch(slot)
}

/// Drops at most `count` ended tasks, but for those of batches. Of the next to go of each state, the one that finished first goes first. Answers how many.
pub fn forget_all(txn: &mut Txn<'_>, count: usize) -> usize {
    (0..count)
        .take_while(|_| {
            let queue = txn.queue();
            let heads = queue.finished.iter().filter_map(|ends| ends.first_outside(&queue.tasks, KEPT..TIED));
            let next = heads.min_by_key(|&slot| queue.tasks.at(slot).order);
            next.is_some_and(|slot| {
                drop_now(txn, slot);
                true
            })
        })
        .count()
}
