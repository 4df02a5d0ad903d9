//! Batches as a whole: `TASK.SEAL`, and `TASK.CANCEL` and `FORGET … BATCH`.

use crate::effect::Effect;
use crate::index::segments::Slot;
use crate::op::cancel;
use crate::op::unique::free_keys_of_batch;
use crate::options::Defaults;
use crate::queue::Queue;
use crate::txn::Txn;

/// No more tasks will come to the batch; makes an empty one if there is none. Answers how many tasks it has.
pub fn seal(txn: &mut Txn<'_>, name: &str) -> usize {
    let known = txn.queue().find_batch(name).map(|batch| txn.queue().view_batch(batch));
    if known.map_or(txn.queue().can_number_batch(), |batch| !batch.sealed) {
        txn.record_other(&Effect::Sealed { batch: name, at: txn.now() });
    }
    known.map_or(0, |batch| batch.total)
}

/// Cancels at most `count` tasks of the batch that have not ended, claimed ones too, oldest first. Answers how many.
pub fn cancel_batch(txn: &mut Txn<'_>, name: &str, count: usize, defaults: &Defaults) -> usize {
    each(
        txn,
        name,
        count,
        |queue, batch| queue.batches.slots.at(batch).open.first(),
        |txn, slot| {
            cancel::cancel_slot(txn, slot, defaults);
        },
    )
}

/// Drops the batch, if it is done. Answers how many tasks go with it: not at once, but before any other.
pub fn forget_batch(txn: &mut Txn<'_>, name: &str) -> usize {
    let known = txn.queue().find_batch(name).map(|batch| txn.queue().view_batch(batch));
    match known.filter(|known| known.done) {
        Some(batch) => {
            free_keys_of_batch(txn, name);
            txn.record_other(&Effect::BatchDropped { batch: name });
            batch.total
        }
        None => 0,
    }
}

fn each(
    txn: &mut Txn<'_>,
    name: &str,
    count: usize,
    next: impl Fn(&Queue, Slot) -> Option<Slot>,
    act: impl Fn(&mut Txn<'_>, Slot),
) -> usize {
    let Some(batch) = txn.queue().find_batch(name) else { return 0 };
    let act_on_next = |_: &usize| next(txn.queue(), batch).map(|slot| act(txn, slot)).is_some();
    (0..count).take_while(act_on_next).count()
}
