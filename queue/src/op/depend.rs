//! Tasks that depend on others: what an end means for those that wait for it.

use crate::depend::{DEPENDENCIES_MAX, Of, Outcome, Tie, pack};
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
    /// Tasks, each named once; 1 to [`DEPENDENCIES_MAX`].
    Tasks(&'a [TaskId<'a>]),
    /// A batch.
    Batch(&'a str),
}

/// Dependencies as they stand.
pub(super) struct Resolved {
    packed: Vec<u8>,
    of_batch: bool,
    run_anyway: bool,
    /// How many have not ended.
    pub(super) missing: usize,
    /// The first that ended otherwise than completed.
    bad: Option<String>,
}

/// How the dependencies of a push stand.
///
/// # Errors
/// [`Refusal::NoDependency`], with the place of the first that is not there.
pub(super) fn resolve(queue: &Queue, after: &After<'_>) -> Result<Resolved, Refusal> {
    let of_batch = matches!(after.on, On::Batch(_));
    let resolve = |(place, id)| queue.look_up(id, of_batch).map(|(_, outcome)| (id, Some(outcome))).ok_or(Refusal::NoDependency { place });
    let on: Vec<_> = match after.on {
        On::Tasks(ids) => ids.iter().copied().take(DEPENDENCIES_MAX).enumerate().map(resolve).collect::<Result<_, _>>()?,
        On::Batch(name) => vec![resolve((0, TaskId::Named(name)))?],
    };
    Ok(Resolved::new(&on, of_batch, after.run_anyway))
}

/// How those of a task stand that begins again; what is not there any more counts as completed.
pub(super) fn resolve_again(queue: &Queue, slot: Slot) -> Option<Resolved> {
    let after = queue.after(slot)?;
    let on = after.on.iter().map(|dependency| dependency.id.as_id());
    let on: Vec<_> = on.map(|id| (id, queue.look_up(id, after.of_batch).map(|(_, outcome)| outcome))).collect();
    Some(Resolved::new(&on, after.of_batch, after.run_anyway))
}

impl Resolved {
    fn new(on: &[(TaskId<'_>, Option<Outcome>)], of_batch: bool, run_anyway: bool) -> Self {
        Self {
            packed: pack(on.iter().map(|&(id, outcome)| (id, outcome.map_or(Tie::Gone, Outcome::tie)))),
            of_batch,
            run_anyway,
            missing: on.iter().filter(|(_, outcome)| *outcome == Some(Outcome::Open)).count(),
            bad: on.iter().find(|(_, outcome)| *outcome == Some(Outcome::Bad)).map(|(id, _)| id.to_string()),
        }
    }

    /// Whether the task fails by it.
    pub(super) const fn is_fatal(&self) -> bool {
        self.bad.is_some() && !self.run_anyway
    }

    /// Whether there is nothing to wait for.
    pub(super) const fn is_over(&self) -> bool {
        self.missing == 0
    }

    /// The task depends on this from now on.
    pub(super) fn record(&self, txn: &mut Txn<'_>, slot: Slot, due: Option<UnixMs>) {
        let Self { of_batch, run_anyway, .. } = *self;
        txn.record_depends(slot, &Depends { on: &self.packed, of_batch, run_anyway, due });
    }

    /// What becomes of a waiting task by it.
    pub(super) fn settle(&self, txn: &mut Txn<'_>, slot: Slot, defaults: &Defaults) {
        settle(txn, slot, self.bad.as_deref(), defaults);
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
