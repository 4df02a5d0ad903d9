//! Dependencies: tasks that wait until others have ended.
//!
//! Whatever others wait for (a task, or a batch) has a [`Node`], which knows who has not been told of its end. A task that waits knows its
//! nodes, each with what is between the two. The nodes of things that have ended and have somebody to tell are the queue's news: an
//! operation, or the tick, tells of them one by one, so no end costs more than another however many wait for it.
//!
//! An end stays an end for those that have not been told of it: a thing that goes, or begins again, leaves its node behind, which
//! remembers how it ended. So nobody waits for what began to wait after him, and no circle can come to be.

use crate::batch::{Batch, TIED};
use crate::blocks::{Blocks, Rounding};
use crate::error::Mismatch;
use crate::id::{OwnedId, TaskId};
use crate::index::segments::{Segments, Slot};
use crate::queue::Queue;
use crate::state::State;
use crate::time::{MaybeMs, Ms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::mem;

/// Most tasks that one can wait for.
pub const DEPENDENCIES_MAX: usize = 1_000;

/// What is between a task and one that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tie {
    /// It has not ended, or the task has not been told so.
    Untold,
    /// It has ended. It is kept as long as the task may need its result.
    Held,
    /// Nothing any more: it is not there, or the task has ended.
    Gone,
    /// It was completed and is gone, and the task has not been told so.
    UntoldGood,
    /// It ended otherwise and is gone or has begun again, and the task has not been told so.
    UntoldBad,
}

/// What others depend on.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) of: Of,
    /// Who waits and has not been told.
    pub(crate) untold: BTreeSet<Untold>,
    /// How many ties lead to it. The last one takes it away.
    pub(crate) ties: u32,
    /// As it stands among the news, if it does.
    pub(crate) news: Option<NextTold>,
    /// How long it would have been kept after its end, of a task that is kept by its ties; None: for ever.
    pub(crate) keep: Option<Ms>,
}

/// Whose node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Task(Slot),
    Batch(Slot),
    /// It went, or began again, after it had ended like this.
    Gone(Outcome),
}

impl Node {
    pub(crate) const fn new(of: Of) -> Self {
        Self { of, untold: BTreeSet::new(), ties: 0, news: None, keep: None }
    }

    pub(crate) fn owned(&self) -> Blocks {
        Blocks::tree::<Untold>(self.untold.len())
    }
}

/// The nodes of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) slots: Segments<Node>,
    /// Nodes of what has ended, with somebody to tell, by whom they tell next: his place, and theirs among his dependencies. So equal
    /// queues tell in the same order.
    pub(crate) news: BTreeSet<(NextTold, Slot)>,
}

/// Who waits: their place in line, the node's place among their dependencies, and the task.
pub(crate) type Untold = (u64, u32, Slot);

/// Who is told next: his place in line, and the node's place among his dependencies.
pub(crate) type NextTold = (u64, u32);

impl Nodes {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        self.slots.bytes(rounding) + rounding.tree::<(NextTold, Slot)>(self.news.len())
    }

    /// Whether nothing depends on anything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }
}

/// What a task has to do with others, as one that depends and as one that is depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ties {
    pub(crate) after: Option<After>,
    /// Its node, or nil.
    pub(crate) node: Slot,
}

/// What a task depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) on: Box<[Dependency]>,
    /// It is one batch, by its name, rather than tasks.
    pub(crate) of_batch: bool,
    /// It is to run whatever became of them.
    pub(crate) run_anyway: bool,
    /// When it may be claimed at the soonest.
    pub(crate) due: MaybeMs,
    /// Its place among those that wait: where it stands among the untold.
    pub(crate) place: u64,
    /// How many it has not been told of.
    pub(crate) missing: u32,
}

/// One of the things that a task depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) id: OwnedId,
    /// Its node while there is a tie; else nil.
    pub(crate) node: Slot,
    pub(crate) untold: bool,
}

impl Ties {
    pub(crate) fn blocks(&self) -> Blocks {
        let mut blocks = Blocks::of(mem::size_of::<Self>());
        if let Some(after) = &self.after {
            blocks += Blocks::of(mem::size_of_val(&*after.on));
            for dependency in &after.on {
                if let OwnedId::Named(name) = &dependency.id {
                    blocks += Blocks::of(name.len());
                }
            }
        }
        blocks
    }
}

/// Dependencies as an effect has them: one after the other in postcard's wire format.
#[must_use]
pub(crate) fn pack<'a>(on: impl Iterator<Item = (TaskId<'a>, Tie)>) -> Vec<u8> {
    // A Vec always takes more, so this cannot fail.
    on.fold(Vec::new(), |bytes, one| postcard::to_extend(&one, bytes).unwrap_or_default())
}

/// Reads packed dependencies one by one; an error is the last.
pub(crate) fn unpack(bytes: &[u8]) -> impl Iterator<Item = Result<(TaskId<'_>, Tie), Mismatch>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let decoded = postcard::take_from_bytes(mem::take(&mut rest)).ok();
        Some(decoded.map(|(one, after)| (rest = after, one).1).ok_or(Mismatch::Undecodable))
    })
}

/// How something that others depend on stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has not ended.
    Open,
    /// It was completed; a batch: each of its tasks.
    Good,
    /// It ended otherwise.
    Bad,
}

/// What can be seen of a task's dependencies.
#[derive(Clone, Copy, Debug)]
pub struct AfterView<'a> {
    after: &'a After,
}

impl<'a> AfterView<'a> {
    /// The ids of the tasks, or the name of the batch.
    #[must_use]
    pub fn on(self) -> impl ExactSizeIterator<Item = TaskId<'a>> {
        self.after.on.iter().map(|dependency| dependency.id.as_id())
    }

    /// It is one batch rather than tasks.
    #[must_use]
    pub const fn is_of_batch(self) -> bool {
        self.after.of_batch
    }

    /// It runs whatever became of them.
    #[must_use]
    pub const fn runs_anyway(self) -> bool {
        self.after.run_anyway
    }

    /// How many it still waits for.
    #[must_use]
    pub const fn missing(self) -> u32 {
        self.after.missing
    }
}

impl Queue {
    /// Whether there is somebody to tell of an end.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.nodes.news.is_empty()
    }

    /// What the task in `slot`, which must be in use, depends on.
    #[must_use]
    pub fn after_view(&self, slot: Slot) -> Option<AfterView<'_>> {
        self.after(slot).map(|after| AfterView { after })
    }

    pub(crate) fn ties(&self, slot: Slot) -> Option<&Ties> {
        self.extra(self.tasks.at(slot)).rare().ties.as_deref()
    }

    pub(crate) fn after(&self, slot: Slot) -> Option<&After> {
        self.ties(slot)?.after.as_ref()
    }

    /// To change nothing that takes more or less memory then.
    pub(crate) fn after_mut(&mut self, slot: Slot) -> Option<&mut After> {
        let extra = self.extra_slot(self.tasks.at(slot)).get()?;
        self.extras.at_mut(extra).rare.as_mut()?.ties.as_mut()?.after.as_mut()
    }

    /// The node of a task.
    pub(crate) fn node(&self, slot: Slot) -> Option<Slot> {
        self.ties(slot)?.node.get()
    }

    /// Whether the task has ended, and is kept by its ties.
    pub(crate) fn is_kept_by_ties(&self, slot: Slot) -> bool {
        let task = self.tasks.at(slot);
        task.state().is_terminal() && task.at == TIED
    }

    /// Whether somebody waits for this batch, which is not done.
    pub(crate) fn is_awaited(&self, batch: &Batch) -> bool {
        !batch.is_done() && batch.node.get().is_some_and(|node| !self.nodes.slots.at(node).untold.is_empty())
    }

    /// How a task stands for those that depend on it.
    pub(crate) fn outcome(&self, slot: Slot) -> Outcome {
        match self.tasks.at(slot).state() {
            State::Completed => Outcome::Good,
            state if state.is_terminal() => Outcome::Bad,
            _ => Outcome::Open,
        }
    }

    /// How a batch stands for those that depend on it.
    pub(crate) fn outcome_of_batch(&self, batch: Slot) -> Outcome {
        let batch = self.batches.slots.at(batch);
        let is_done = batch.is_done() || (batch.is_sealed && sabotaged!(SealIsEnough));
        match (is_done, batch.bad.is_empty() || sabotaged!(BadEndNotCounted)) {
            (false, _) => Outcome::Open,
            (true, true) => Outcome::Good,
            (true, false) => Outcome::Bad,
        }
    }

    pub(crate) fn outcome_of(&self, of: Of) -> Outcome {
        match of {
            Of::Task(slot) => self.outcome(slot),
            Of::Batch(batch) => self.outcome_of_batch(batch),
            Of::Gone(outcome) => outcome,
        }
    }

    /// Who is to be told next, and of which of his dependencies, how that ended.
    pub(crate) fn next_news(&self) -> Option<(Slot, u32, Outcome)> {
        let &(_, node) = self.nodes.news.first()?;
        let node = self.nodes.slots.at(node);
        let &(_, index, dependant) = node.untold.first()?;
        Some((dependant, index, self.outcome_of(node.of)))
    }

    /// What the tie between a task and something of this name would be, and how that stands.
    pub(crate) fn look_up(&self, id: TaskId<'_>, of_batch: bool) -> Option<(Of, Outcome)> {
        let of = if of_batch {
            let TaskId::Named(name) = id else { return None };
            Of::Batch(self.find_batch(name)?)
        } else {
            Of::Task(self.find(id).filter(|&slot| !self.is_leaving(slot))?)
        };
        Some((of, self.outcome_of(of)))
    }

    /// A task that follows its batch is as good as gone: no tie can be made to it again.
    pub(crate) fn tie(&self, dependency: &Dependency) -> Tie {
        let Some(node) = dependency.node.get() else { return Tie::Gone };
        let left = match self.nodes.slots.at(node).of {
            Of::Gone(outcome) => Some(outcome),
            Of::Task(slot) if self.is_leaving(slot) => Some(self.outcome(slot)),
            Of::Task(_) | Of::Batch(_) => None,
        };
        match (left, dependency.untold) {
            (None, true) => Tie::Untold,
            (None, false) => Tie::Held,
            (Some(Outcome::Bad), true) => Tie::UntoldBad,
            (Some(_), true) => Tie::UntoldGood,
            (Some(_), false) => Tie::Gone,
        }
    }

    /// Dependencies as a snapshot has them.
    pub(crate) fn packed_after(&self, after: &After) -> Vec<u8> {
        pack(after.on.iter().map(|one| (one.id.as_id(), self.tie(one))))
    }
}
