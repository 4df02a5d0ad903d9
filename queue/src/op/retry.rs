//! `TASK.RETRY`: tasks that ended without a result begin again.

use crate::effect::Change;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::op::depend::{Again, again};
use crate::op::unique::{key_again, take_key};
use crate::queue::Queue;
use crate::state::State;
use crate::txn::Txn;

/// Makes a failed, canceled, expired or scheduled task ready, with all its tries. Answers whether it did so.
pub fn retry(txn: &mut Txn<'_>, id: TaskId<'_>) -> bool {
    let slot = txn.queue().find(id);
    slot.is_some_and(|slot| revive(txn, slot) == Revival::Done)
}

/// How many times as many tasks are looked at as may be made ready: those whose dependencies ended badly stay as they are.
const LOOKS_PER_TASK: usize = 10;

/// Makes at most `count` failed tasks ready, the next to be dropped first; but before a task whose dependency has failed, that one.
/// Answers how many.
pub fn retry_all(txn: &mut Txn<'_>, count: usize) -> usize {
    let next = |queue: &Queue, skipped, count| {
        let failed = queue.deadlines(State::Failed).into_iter().flat_map(|failed| failed.iter(&queue.tasks));
        failed.skip(skipped).take(count).collect()
    };
    revive_some(txn, count, next, |txn, mut slot| {
        for _ in 0..LOOKS_PER_TASK {
            match revive(txn, slot) {
                Revival::Stuck(Some(on)) if txn.state(on) == State::Failed => slot = on,
                revival => return revival == Revival::Done,
            }
        }
        false
    })
}

/// Makes at most `count` failed, canceled and expired tasks of the batch ready, those that ended first first. Answers how many.
pub fn retry_batch(txn: &mut Txn<'_>, name: &str, count: usize) -> usize {
    let next = |queue: &Queue, skipped, count| {
        let batch = queue.find_batch(name).map(|batch| queue.batches.slots.at(batch));
        let bad = batch.into_iter().flat_map(|batch| batch.bad.iter().filter_map(|&number| batch.ends.get(number)));
        bad.skip(skipped).take(count).collect()
    };
    revive_some(txn, count, next, |txn, slot| revive(txn, slot) == Revival::Done)
}

/// Makes some of `count` tasks that have ended ready, or if all of those stay as they are, of those behind them. `next` gives the next
/// ones: how many are skipped, and how many wanted. Answers how many it made ready.
fn revive_some(
    txn: &mut Txn<'_>,
    count: usize,
    next: impl Fn(&Queue, usize, usize) -> Vec<Slot>,
    revive: impl Fn(&mut Txn<'_>, Slot) -> bool,
) -> usize {
    let first = next(txn.queue(), 0, count);
    match first.into_iter().filter(|&slot| revive(txn, slot)).count() {
        0 => {
            let more = next(txn.queue(), count, count.saturating_mul(LOOKS_PER_TASK));
            more.into_iter().filter(|&slot| revive(txn, slot)).take(count).count()
        }
        revived => revived,
    }
}

/// Whether a task has begun again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revival {
    Done,
    /// It stays as it is, maybe for this task.
    Stuck(Option<Slot>),
}

/// Makes a task ready that has ended or is scheduled, or lets it wait again for what it depends on.
fn revive(txn: &mut Txn<'_>, slot: Slot) -> Revival {
    let queue = txn.queue();
    let has_begun = !matches!(txn.state(slot), State::Failed | State::Canceled | State::Expired | State::Scheduled);
    if has_begun && !sabotaged!(CompletedRevived) || !queue.can_begin_again(slot) {
        return Revival::Stuck(None);
    }
    let Ok(key) = key_again(queue, slot, txn.now()) else { return Revival::Stuck(None) };
    let (order, at) = (txn.next_order(), txn.now());
    match if txn.state(slot).is_terminal() { again(queue, slot) } else { Again::Free } {
        Again::Free => txn.record(slot, &Change::Revived { order, at }),
        Again::Stuck(on) => return Revival::Stuck(on),
        Again::Waits(on) => {
            txn.record(slot, &Change::Awaited { order, at });
            on.record(txn, slot, None);
        }
    }
    if let Some(key) = key {
        take_key(txn, slot, &key.name, key.until.get(), false);
    }
    Revival::Done
}
