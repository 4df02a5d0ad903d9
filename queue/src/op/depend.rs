//! Tasks that depend on others: what an end means for those that wait for it.

use crate::depend::{Of, Outcome, Tie, pack};
use crate::effect::{Change, Depends, Effect};
use crate::error::Refusal;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::options::Defaults;
use crate::queue::Queue;
use crate::time::UnixMs;
use crate::txn::Txn;

/// What a task is to wait for.
#[derive(Clone, Copy, Debug)]
pub struct After<'a> {
    /// What it depends on.
    pub on: On<'a>,
    /// It runs whatever becomes of that.
    pub run_anyway: bool,
}

/// What a task depends on.
#[derive(Clone, Copy, Debug)]
pub enum On<'a> {
    /// Tasks, each named once; 1 to [`crate::DEPENDENCIES_MAX`].
    Tasks(&'a [TaskId<'a>]),
    /// A batch.
    Batch(&'a str),
}

/// Dependencies that are there.
pub(super) struct Resolved {
    packed: Vec<u8>,
    of_batch: bool,
    run_anyway: bool,
}

/// The dependencies of a push, which renews this task if it is known, to be told of even if they have ended: so there is one way in which an end reaches those that wait.
///
/// # Errors
/// [`Refusal::NoDependency`], [`Refusal::OwnBatch`], [`Refusal::BatchAwaited`].
#[cold]
pub(super) fn resolve(queue: &Queue, task: Option<Slot>, after: &After<'_>, batch: Option<&str>) -> Result<Resolved, Refusal> {
    let (ids, of_batch) = match after.on {
        On::Tasks(ids) => (ids, false),
        On::Batch(name) => (&[TaskId::Named(name)][..], true),
    };
    if of_batch && batch.is_some_and(|batch| ids == [TaskId::Named(batch)]) {
        return Err(Refusal::OwnBatch);
    }
    let into = batch.and_then(|batch| queue.find_batch(batch)).map(|batch| queue.batches.slots.at(batch));
    if into.is_some_and(|batch| queue.is_awaited(batch)) {
        return Err(Refusal::BatchAwaited);
    }
    let is_there = |id| queue.look_up(id, of_batch).is_some_and(|(of, _)| task.is_none_or(|task| of != Of::Task(task)));
    match ids.iter().position(|&id| !is_there(id)) {
        Some(place) => Err(Refusal::NoDependency { place }),
        None => Ok(Resolved::new(ids.iter().map(|&id| (id, Tie::Untold)), of_batch, after.run_anyway)),
    }
}

/// What a task that begins again depends on; what is not there any more counts as completed.
pub(super) enum Again {
    /// On nothing.
    Free,
    /// On something that ended otherwise than completed, or so that others could wait for each other: it stays as it is.
    Stuck,
    /// On these.
    Waits(Resolved),
}

#[cold]
pub(super) fn again(queue: &Queue, slot: Slot) -> Again {
    let Some(after) = queue.after(slot) else { return Again::Free };
    let ids = || after.on.iter().map(|dependency| dependency.id.as_id());
    let outcome = |id| queue.look_up(id, after.of_batch).filter(|&(of, _)| of != Of::Task(slot)).map(|(_, outcome)| outcome);
    let has = |of: Outcome| ids().any(|id| outcome(id) == Some(of));
    if ids().all(|id| outcome(id).is_none()) {
        return Again::Free;
    }
    let is_awaited = queue.batch_of(slot).is_some_and(|batch| queue.is_awaited(batch));
    if (has(Outcome::Bad) && !after.run_anyway) || (has(Outcome::Open) && is_awaited) {
        return Again::Stuck;
    }
    let tie = |id| outcome(id).map_or(Tie::Gone, |_| Tie::Untold);
    Again::Waits(Resolved::new(ids().map(|id| (id, tie(id))), after.of_batch, after.run_anyway))
}

impl Resolved {
    fn new<'a>(on: impl Iterator<Item = (TaskId<'a>, Tie)>, of_batch: bool, run_anyway: bool) -> Self {
        Self { packed: pack(on), of_batch, run_anyway }
    }

    /// The task depends on this from now on.
    pub(super) fn record(&self, txn: &mut Txn<'_>, slot: Slot, due: Option<UnixMs>) {
        let Self { of_batch, run_anyway, .. } = *self;
        txn.record_depends(slot, &Depends { on: &self.packed, of_batch, run_anyway, due });
    }
}

/// Tells at most `count` of those that wait for something that has ended. What they do by that may be news for others.
pub fn tell(txn: &mut Txn<'_>, count: usize, defaults: &Defaults) {
    for _ in 0..count {
        let Some((of, dependant)) = txn.queue().next_news() else { return };
        tell_next(txn, of, dependant, defaults);
    }
}

pub(super) fn tell_next(txn: &mut Txn<'_>, of: Of, dependant: Slot, defaults: &Defaults) {
    let queue = txn.queue();
    let is_bad = queue.outcome_of(of) == Outcome::Bad && !sabotaged!(FailureNotPassedOn);
    let name = match of {
        Of::Task(slot) => {
            let name = is_bad.then(|| queue.id_of(slot).to_string());
            txn.record(slot, &Change::Told);
            name
        }
        Of::Batch(batch) => {
            let name = queue.batches.slots.at(batch).name.clone();
            txn.record_batch(&Effect::BatchTold { batch: &name });
            is_bad.then(|| name.into())
        }
        Of::Gone => None,
    };
    settle(txn, dependant, name.as_deref(), defaults);
}

/// What becomes of a waiting task of whose dependencies `bad`, if any, has turned out to have ended otherwise than completed.
fn settle(txn: &mut Txn<'_>, slot: Slot, bad: Option<&str>, defaults: &Defaults) {
    let now = txn.now();
    let Some(after) = txn.queue().after(slot) else { return };
    let (missing, due) = (after.missing, after.due.get());
    if let Some(bad) = bad.filter(|_| !after.run_anyway) {
        let error = format!("dependency failed: {bad}");
        let drop_at = txn.queue().options(slot, defaults).retain_failed.drop_at(now);
        txn.record(slot, &Change::Abandoned { error: error.as_bytes(), at: now, drop_at });
    } else if missing == 0 {
        let change = match due.filter(|&due| due > now) {
            Some(due) => Change::Delayed { due },
            None => Change::Ripened { order: txn.next_order(), at: now },
        };
        txn.record(slot, &change);
    }
}
