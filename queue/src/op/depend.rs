//! Tasks that depend on others: what an end means for those that wait for it.

use crate::depend::{Of, Outcome, Tie, pack};
use crate::effect::{Change, Depends};
use crate::error::Refusal;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::options::{Defaults, Start};
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

/// The dependencies of a push, if it has some, which renews this task if it is known. It is to be told also of what has ended: so there is one way in
/// which an end reaches those that wait.
///
/// # Errors
/// [`Refusal::NoDependency`], [`Refusal::OwnBatch`], [`Refusal::BatchAwaited`].
pub(super) fn resolve(
    queue: &Queue,
    task: Option<Slot>,
    after: Option<After<'_>>,
    batch: Option<&str>,
) -> Result<Option<Resolved>, Refusal> {
    let Some(after) = after else { return Ok(None) };
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
        None => Ok(Some(Resolved::new(ids.iter().map(|&id| (id, Tie::Untold)), of_batch, after.run_anyway))),
    }
}

/// What a task that begins again depends on.
pub(super) enum Again {
    /// On nothing that is there.
    Free,
    /// On something that ended otherwise than completed, maybe this task, or so that tasks could come to wait for each other: it
    /// stays as it is.
    Stuck(Option<Slot>),
    /// On these.
    Waits(Resolved),
}

/// Looks again at what a task depends on; what is not there any more counts as completed.
#[cold]
pub(super) fn again(queue: &Queue, slot: Slot) -> Again {
    let Some(after) = queue.after(slot) else { return Again::Free };
    let is_awaited = queue.batch_of(slot).is_some_and(|batch| queue.is_awaited(batch));
    let (mut on, mut is_free) = (Vec::with_capacity(after.on.len()), true);
    for id in after.on.iter().map(|one| one.id.as_id()) {
        let tie = match queue.look_up(id, after.of_batch) {
            // Its own id: what had it is not there any more.
            Some((of, _)) if of == Of::Task(slot) => Tie::Gone,
            Some((Of::Task(on), Outcome::Bad)) if !after.run_anyway => return Again::Stuck(Some(on)),
            Some((_, Outcome::Bad)) if !after.run_anyway => return Again::Stuck(None),
            Some((_, Outcome::Open)) if is_awaited => return Again::Stuck(None),
            Some(_) => Tie::Untold,
            None => Tie::Gone,
        };
        is_free &= tie == Tie::Gone;
        on.push((id, tie));
    }
    if is_free { Again::Free } else { Again::Waits(Resolved::new(on.into_iter(), after.of_batch, after.run_anyway)) }
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

/// Tells at most `count` of those that wait for something that has ended; fewer, if they fail by it and have much to let go. What they do
/// by that may be news for others.
pub fn tell(txn: &mut Txn<'_>, count: usize, defaults: &Defaults) {
    if txn.queue().has_news() {
        tell_some(txn, count, defaults);
    }
}

#[cold]
fn tell_some(txn: &mut Txn<'_>, count: usize, defaults: &Defaults) {
    /// Dependencies that are let go in the time that it takes to tell one task.
    const LET_GO: usize = 16;
    let mut left = count;
    while left > 0
        && let Some((dependant, index, outcome)) = txn.queue().next_news()
    {
        let lets_go = if outcome == Outcome::Bad { txn.queue().after(dependant).map_or(0, |after| after.on.len()) } else { 0 };
        tell_of(txn, dependant, index, outcome, defaults);
        left = left.saturating_sub(1 + lets_go / LET_GO);
    }
}

/// A waiting task hears how one of those ended that it depends on.
fn tell_of(txn: &mut Txn<'_>, slot: Slot, dependency: u32, outcome: Outcome, defaults: &Defaults) {
    let (now, queue) = (txn.now(), txn.queue());
    let Some(after) = queue.after(slot) else { return };
    let due = after.due.get().filter(|&due| due > now);
    let bad = outcome == Outcome::Bad;
    let fails_too = bad && sabotaged!(FollowUpFailsToo);
    if queue.follows(slot) && !fails_too {
        let start = due.map_or(Start::Ready { order: txn.next_order() }, |due| Start::Scheduled { due });
        txn.record(slot, &Change::Followed { at: now, start });
    } else if fails_too || (bad && !after.run_anyway && !sabotaged!(FailureNotPassedOn)) {
        let bad = after.on.get(dependency as usize).map_or_else(String::new, |one| one.id.as_id().to_string());
        let error = format!("dependency failed: {bad}");
        let drop_at = queue.options(slot, defaults).retain_failed.drop_at(now);
        txn.record(slot, &Change::Abandoned { error: error.as_bytes(), at: now, drop_at });
    } else if after.missing > 1 && !sabotaged!(FirstIsEnough) {
        txn.record(slot, &Change::Told { dependency });
    } else if let Some(due) = due {
        txn.record(slot, &Change::Delayed { due });
    } else {
        let order = txn.next_order();
        txn.record(slot, &Change::Ripened { order, at: now });
    }
}
