//! Batches: tasks pushed under one name, whose ends are kept until all have come.

use crate::blocks::{Blocks, Rounding};
use crate::index::log::Log;
use crate::index::segments::{Segments, Slot};
use crate::queue::Queue;
use crate::state::State;
use crate::task::Task;
use crate::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// A member that has ended stands in the index of its state from this instant on, by when it ended: after all that have an instant to be
/// dropped at, and before those that are kept for ever.
pub(crate) const KEPT: UnixMs = UnixMs(1 << 63);

/// A task of no batch that has ended and that others depend on stands here: before those that are kept for ever.
pub(crate) const TIED: UnixMs = UnixMs(u64::MAX - 1);

/// Where a task of no batch stands that can be dropped at `at`.
pub(crate) fn droppable(at: UnixMs) -> UnixMs {
    if at < KEPT { at } else { UnixMs::NEVER }
}

/// Where a member that ended at `at` stands.
pub(crate) fn kept(at: UnixMs) -> UnixMs {
    UnixMs(KEPT.0 + at.0.min(KEPT.0 - 3))
}

/// Numbers that a batch can give in each of its logs.
pub(crate) const NUMBERS_MAX: u32 = u32::MAX - 1;

/// What a task of a batch has: 12 bytes, and four in one of the batch's logs.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    batch: Link,
    /// What the task would have if it were of no batch: see [`Task::extra`].
    pub(crate) extra: Slot,
    /// Its number among the ends, or among the members that have not ended.
    pub(crate) number: u32,
}

/// The slot of a batch, one up: so that a free entry of the slab needs no room for saying so.
#[derive(Clone, Copy, Debug)]
struct Link(NonZeroU32);

const _: () = assert!(size_of::<Option<Member>>() == 12, "a member costs 16 bytes with its place in a log");

impl Member {
    pub(crate) fn new(batch: Slot, extra: Slot, number: u32) -> Self {
        Self { batch: Link(NonZeroU32::MIN.saturating_add(batch.0)), extra, number }
    }

    pub(crate) const fn batch(&self) -> Slot {
        Slot(self.batch.0.get() - 1)
    }
}

/// How many members are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u32; 8]);

impl Counts {
    pub(crate) fn of(&self, state: State) -> u32 {
        self.0.get(state as usize).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, state: State) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += 1;
        }
    }

    pub(crate) fn take(&mut self, state: State) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count -= 1;
        }
    }

    pub(crate) fn total(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// What time will do to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing: not all of its tasks have ended.
    Running,
    /// All have ended, but more may come: it goes when it has been left alone for long, since this instant.
    Idle(UnixMs),
    /// Sealed without a task: done, and kept as if it were left alone.
    Empty(UnixMs),
    /// Done: it goes at this instant.
    Done(UnixMs),
    /// Done, and kept for those that depend on it.
    Held,
    /// Gone for whoever looks; its tasks follow.
    Leaving,
}

/// A batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) name: Box<str>,
    /// Tells it from others that had or will have its name.
    pub(crate) incarnation: u64,
    pub(crate) is_sealed: bool,
    /// When the last of its members could be dropped, if they were of no batch.
    pub(crate) kept_until: UnixMs,
    /// When a task last came, ended or began again.
    pub(crate) touched: UnixMs,
    pub(crate) counts: Counts,
    /// Members that have not ended, in the order in which they came or began again.
    pub(crate) open: Log,
    /// Members that have ended, in that order.
    pub(crate) ends: Log,
    /// The numbers of those ends that were not completions.
    pub(crate) bad: BTreeSet<u32>,
    /// As the sets in [`Batches`] have it.
    pub(crate) stage: Stage,
    /// The node of those that depend on it, or nil.
    pub(crate) node: Slot,
    /// How many of its members, and of itself, others depend on: it stays until none is left.
    pub(crate) held: u32,
}

impl Batch {
    /// What it is by now, whatever the sets say.
    pub(crate) fn stage_now(&self) -> Stage {
        if self.stage == Stage::Leaving {
            Stage::Leaving
        } else if self.open.len() > 0 {
            Stage::Running
        } else if self.held > 0 && !sabotaged!(NeededBatchNotKept) {
            if self.is_sealed { Stage::Held } else { Stage::Running }
        } else if !self.is_sealed {
            Stage::Idle(self.touched)
        } else if self.ends.len() == 0 {
            Stage::Empty(self.touched)
        } else {
            Stage::Done(self.kept_until)
        }
    }

    /// Whether it is sealed and all its tasks have ended.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_) | Stage::Empty(_) | Stage::Held)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.stage == Stage::Leaving
    }

    /// Whether one more task can come or begin again, and there is still a number left for the end of each.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    pub(crate) fn has_room_for(&self, count: usize) -> bool {
        let has_room = |log: &Log, taken: u32| u64::from(log.next()) + u64::from(taken) + count as u64 <= u64::from(NUMBERS_MAX);
        has_room(&self.open, 0) && has_room(&self.ends, self.open.len())
    }

    /// What it owns outside its slot: its name is a key as well.
    pub(crate) fn owned(&self) -> Blocks {
        let name = Blocks::of(self.name.len());
        name + name + self.open.owned() + self.ends.owned() + Blocks::tree::<u32>(self.bad.len())
    }
}

/// The batches of a queue, and where their tasks stand in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    pub(crate) slots: Segments<Batch>,
    pub(crate) members: Segments<Member>,
    /// By name; those that are leaving have none.
    pub(crate) names: BTreeMap<Box<str>, Slot>,
    /// By incarnation, those that are leaving included.
    pub(crate) numbers: BTreeMap<u64, Slot>,
    /// Those that are leaving and still have tasks, by incarnation.
    pub(crate) leaving: BTreeSet<u64>,
    /// Those that go at an instant, by it.
    pub(crate) done: BTreeSet<(UnixMs, u64)>,
    /// Those that go when they have been left alone for long, by since when.
    pub(crate) idle: BTreeSet<(UnixMs, u64)>,
    /// How many members of all batches are in each state.
    pub(crate) counts: Counts,
    /// The last incarnation.
    pub(crate) last: u64,
}

impl Batches {
    /// Whether any task is of a batch: what is asked first, so that queues without batches pay nothing for them.
    pub(crate) const fn has_members(&self) -> bool {
        self.members.len() > 0
    }

    /// Whether there is none, not even one that is leaving.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.len() == 0
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let sets = self.done.len() + self.idle.len();
        self.slots.bytes(rounding)
            + self.members.bytes(rounding)
            + rounding.tree::<(Box<str>, Slot)>(self.names.len())
            + rounding.tree::<(u64, Slot)>(self.numbers.len())
            + rounding.tree::<u64>(self.leaving.len())
            + rounding.tree::<(UnixMs, u64)>(sets)
    }

    /// What goes first of a set: a batch by its incarnation.
    pub(crate) fn first(&self, set: &BTreeSet<(UnixMs, u64)>) -> Option<(UnixMs, Slot)> {
        let &(at, incarnation) = set.first()?;
        Some((at, *self.numbers.get(&incarnation)?))
    }

    /// The next task to follow a batch that is leaving.
    pub(crate) fn next_leaving(&self) -> Option<Slot> {
        let batch = self.numbers.get(self.leaving.first()?)?;
        self.slots.at(*batch).ends.first()
    }
}

/// What can be seen of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView {
    /// How many tasks it has.
    pub total: usize,
    /// How many of them are in each state, in the order of [`State::ALL`].
    pub counts: [usize; 8],
    /// No more will come.
    pub sealed: bool,
    /// It is sealed, and all its tasks have ended.
    pub done: bool,
}

impl Queue {
    /// The batch of that name.
    #[must_use]
    pub fn find_batch(&self, name: &str) -> Option<Slot> {
        self.batches.names.get(name).copied()
    }

    /// All that can be seen of the batch in `batch`, which must be in use.
    #[must_use]
    pub fn view_batch(&self, batch: Slot) -> BatchView {
        let batch = self.batches.slots.at(batch);
        BatchView {
            total: batch.counts.total() as usize,
            counts: State::ALL.map(|state| batch.counts.of(state) as usize),
            sealed: batch.is_sealed,
            done: batch.is_done(),
        }
    }

    pub(crate) fn batch_slot_of(&self, slot: Slot) -> Option<Slot> {
        self.member(self.tasks.at(slot)).map(Member::batch)
    }

    pub(crate) fn member(&self, task: &Task) -> Option<&Member> {
        task.member().map(|member| self.batches.members.at(member))
    }

    /// The batch of a task, also if it is leaving.
    pub(crate) fn batch_of(&self, slot: Slot) -> Option<&Batch> {
        self.member(self.tasks.at(slot)).map(|member| self.batches.slots.at(member.batch()))
    }

    /// Whether a batch keeps this task, whatever its retention says.
    pub(crate) fn is_kept_by_batch(&self, slot: Slot) -> bool {
        self.batch_of(slot).is_some_and(|batch| !batch.is_leaving()) && !sabotaged!(MemberForgotten)
    }

    /// Whether the task's batch is gone and it is about to follow.
    pub(crate) fn is_leaving(&self, slot: Slot) -> bool {
        self.batch_of(slot).is_some_and(Batch::is_leaving)
    }
}
