//! `TASK.RETRY`: tasks that ended without a result begin again.

use crate::effect::Change;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::op::depend::{Again, again};
use crate::queue::Queue;
use crate::state::State;
use crate::txn::Txn;

/// Makes a failed, canceled, expired or scheduled task ready, with all its tries. Answers whether it did so.
pub fn retry(txn: &mut Txn<'_>, id: TaskId<'_>) -> bool {
    let can = |state| {
        matches!(state, State::Failed | State::Canceled | State::Expired | State::Scheduled)
            || (state == State::Completed && sabotaged!(CompletedRevived))
    };
    let slot = txn.queue().find(id).filter(|&slot| can(txn.state(slot)));
    slot.is_some_and(|slot| revive(txn, slot))
}

/// Tasks that RETRY ALL looks at for each that it may make ready: those whose dependencies have failed stay as they are.
const LOOKS_PER_TASK: usize = 10;

/// Makes at most `count` failed tasks ready, the next to be dropped first. Answers how many.
pub fn retry_all(txn: &mut Txn<'_>, count: usize) -> usize {
    revive_some(txn, count, |queue, skipped, count| {
        let failed = queue.deadlines(State::Failed).into_iter().flat_map(|failed| failed.iter(&queue.tasks));
        failed.skip(skipped).take(count).collect()
    })
}

/// Makes at most `count` tasks ready, passing over those that stay as they are. `next` gives the next ones behind so many that stay.
/// Answers how many.
pub(super) fn revive_some(txn: &mut Txn<'_>, count: usize, next: impl Fn(&Queue, usize, usize) -> Vec<Slot>) -> usize {
    let (mut revived, mut passed) = (0, 0);
    while revived < count && passed < count.saturating_mul(LOOKS_PER_TASK) {
        let slots = next(txn.queue(), passed, count - revived);
        if slots.is_empty() {
            break;
        }
        for slot in slots {
            let is_revived = revive(txn, slot);
            revived += usize::from(is_revived);
            passed += usize::from(!is_revived);
        }
    }
    revived
}

/// Makes a task ready that has ended or is scheduled, or lets it wait again for what it depends on. Answers whether it did so.
fn revive(txn: &mut Txn<'_>, slot: Slot) -> bool {
    let queue = txn.queue();
    if !queue.can_begin_again(slot) || queue.has_untold(slot) {
        return false;
    }
    let (order, at) = (txn.next_order(), txn.now());
    let again = if txn.state(slot).is_terminal() { again(queue, slot) } else { Again::Free };
    match again {
        Again::Free => txn.record(slot, &Change::Revived { order, at }),
        Again::Stuck => return false,
        Again::Waits(on) => {
            txn.record(slot, &Change::Awaited { order, at });
            on.record(txn, slot, None);
        }
    }
    true
}
