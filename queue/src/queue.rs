//! The queue: its state, and how to read it. [`crate::apply`] is what changes it.

use crate::batch::Batches;
use crate::blocks::{Blocks, Rounding};
use crate::depend::Nodes;
use crate::effect::{Head, Totals};
use crate::event_log::EventLog;
use crate::flow::Flow;
use crate::group::Groups;
use crate::id::{MadeId, TaskId};
use crate::index::deadlines::Deadlines;
use crate::index::ids::IdIndex;
use crate::index::option_sets::OptionSets;
use crate::index::ready::Ready;
use crate::index::segments::{Segments, Slot};
use crate::index::workers::Workers;
use crate::session::Sessions;
use crate::state::State;
use crate::task::{Extra, NO_EXTRA, Task};
use crate::time::{Ms, UnixMs};
use crate::times::{Percentiles, Times};
use crate::unique::Uniques;
use std::collections::BTreeSet;

/// Most tasks a queue can hold: what a slot can number, less the bit that marks [members](crate::task::Task::member).
pub(crate) const TASKS_MAX: usize = (1 << 31) - 1;

/// A queue of tasks: the value of one key.
///
/// Each task is in the index of its state, and in `ids`; in `ttls` while its TTL runs, in `sessions` while a session claims it.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) tasks: Segments<Task>,
    pub(crate) extras: Segments<Extra>,
    pub(crate) ids: IdIndex,
    pub(crate) workers: Workers,
    pub(crate) option_sets: OptionSets,
    pub(crate) ready: Ready,
    /// Scheduled tasks by due time.
    pub(crate) due: Deadlines,
    /// Claimed tasks by the end of their claim.
    pub(crate) leases: Deadlines,
    /// Finished tasks by when they are dropped: completed, failed, canceled, expired.
    pub(crate) finished: [Deadlines; 4],
    /// Never claimed tasks with a TTL, by its end.
    pub(crate) ttls: BTreeSet<(UnixMs, Slot)>,
    /// Claims of sessions.
    pub(crate) sessions: Sessions,
    pub(crate) batches: Batches,
    /// Waiting tasks by since when.
    pub(crate) waiting: Deadlines,
    /// What tasks depend on.
    pub(crate) nodes: Nodes,
    /// What the queue sets for itself, if anything.
    pub(crate) flow: Option<Box<Flow>>,
    /// Keys of which each is one task's at a time.
    pub(crate) uniques: Uniques,
    /// The last changes of state, if it keeps or has kept any.
    pub(crate) events: Option<Box<EventLog>>,
    /// Groups, if a task is of one.
    pub(crate) groups: Option<Box<Groups>>,
    pub(crate) head: Head,
    /// How long tasks were ready before they were claimed.
    pub(crate) waits: Times,
    /// How long claims were held before they were answered.
    pub(crate) runs: Times,
    /// Nothing falls due before this. Never late; early where a deadline was moved away.
    pub(crate) soonest: UnixMs,
    /// Payloads, results and what else tasks own outside their slots.
    pub(crate) owned: Blocks,
    /// How often a task moved to an earlier place in its state's index: a listing that sees this change starts afresh.
    pub(crate) rewinds: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            tasks: Segments::default(),
            extras: Segments::default(),
            ids: IdIndex::default(),
            workers: Workers::default(),
            option_sets: OptionSets::default(),
            ready: Ready::default(),
            due: Deadlines::default(),
            leases: Deadlines::default(),
            finished: Default::default(),
            ttls: BTreeSet::new(),
            sessions: Sessions::default(),
            batches: Batches::default(),
            waiting: Deadlines::default(),
            nodes: Nodes::default(),
            flow: None,
            uniques: Uniques::default(),
            events: None,
            groups: None,
            head: Head::default(),
            waits: Times::default(),
            runs: Times::default(),
            soonest: UnixMs::NEVER,
            owned: Blocks::default(),
            rewinds: 0,
        }
    }
}

impl Queue {
    /// How many tasks it holds, finished ones included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether it holds no task.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks are in `state`.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        match state {
            State::Ready => self.ready.len() + self.grouped_line().map_or(0, Ready::len),
            _ => self.deadlines(state).map_or(0, Deadlines::len),
        }
    }

    /// What happened since the queue was made.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.head.totals
    }

    /// How long recent tasks were ready before they were claimed.
    #[must_use]
    pub fn wait_times(&self) -> Option<Percentiles> {
        self.waits.percentiles()
    }

    /// How long recent claims were held before the worker completed or failed the task.
    #[must_use]
    pub fn run_times(&self) -> Option<Percentiles> {
        self.runs.percentiles()
    }

    /// The last id the queue made.
    #[must_use]
    pub const fn last_id(&self) -> MadeId {
        self.head.last_id
    }

    /// How long the oldest ready task has been ready.
    #[must_use]
    pub fn oldest_ready_age(&self, now: UnixMs) -> Option<Ms> {
        self.oldest_ready().map(|slot| now.since(self.tasks.at(slot).at))
    }

    /// Whether a claim would find a task, expired ones aside. One whose group has no free slot is none.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.ready.len() > 0 || self.groups.as_deref().is_some_and(|groups| groups.first().is_some())
    }

    /// An instant before which nothing falls due: when to look at the queue next.
    #[must_use]
    pub fn soonest(&self) -> UnixMs {
        if self.sessions.is_due() || self.has_news() || self.flow.is_some() && self.next_excess().is_some() {
            UnixMs(0)
        } else {
            self.soonest
        }
    }

    /// The task of that id.
    #[must_use]
    pub fn find(&self, id: TaskId<'_>) -> Option<Slot> {
        let key = self.ids.key(id);
        match id {
            TaskId::Made(_) => self.ids.find(&self.tasks, key, false, |_| true),
            TaskId::Named(name) => {
                let is_it = |task: &Task| self.extra(task).name.as_deref() == Some(name);
                self.ids.find(&self.tasks, key, true, is_it)
            }
        }
    }

    /// Whether `slot` holds a task.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.tasks.get(slot).is_some()
    }

    /// Bytes of memory it uses beside this value itself, to a few per cent.
    #[must_use]
    pub fn bytes(&self, rounding: Rounding) -> usize {
        let slabs = self.tasks.bytes(rounding) + self.extras.bytes(rounding);
        let tables = self.ids.bytes(rounding) + self.workers.bytes(rounding) + self.option_sets.bytes(rounding);
        let deadlines =
            [&self.waiting, &self.due, &self.leases].into_iter().chain(&self.finished).map(|deadlines| deadlines.bytes(rounding));
        slabs
            + tables
            + self.ready.bytes(rounding)
            + self.batches.bytes(rounding)
            + self.nodes.bytes(rounding)
            + self.flow.as_deref().map_or(0, |flow| flow.bytes(rounding))
            + self.uniques.bytes(rounding)
            + self.events.as_deref().map_or(0, |log| log.bytes(rounding))
            + self.groups.as_deref().map_or(0, |groups| groups.bytes(rounding))
            + deadlines.sum::<usize>()
            + rounding.tree::<(UnixMs, Slot)>(self.ttls.len())
            + self.sessions.bytes(rounding)
            + self.waits.bytes(rounding)
            + self.runs.bytes(rounding)
            + self.owned.bytes(rounding)
    }

    /// The next place at the end of the line.
    pub(crate) const fn next_order(&self) -> u64 {
        self.head.last_order.saturating_add(1)
    }

    #[inline]
    pub(crate) fn extra(&self, task: &Task) -> &Extra {
        self.extra_slot(task).get().map_or(&NO_EXTRA, |extra| self.extras.at(extra))
    }

    /// Where what few tasks have of this one is, if anywhere.
    #[inline]
    pub(crate) fn extra_slot(&self, task: &Task) -> Slot {
        if task.member().is_some() { self.extra_slot_of_member(task) } else { task.extra }
    }

    /// Apart, so that the way of all other tasks is short.
    #[cold]
    fn extra_slot_of_member(&self, task: &Task) -> Slot {
        self.member(task).map_or(Slot::NIL, |member| member.extra)
    }

    #[allow(clippy::inline_always, reason = "each change is recorded with an id, and 3 % of a claim's instructions hang on it")]
    #[inline(always)]
    pub(crate) fn id_of(&self, slot: Slot) -> TaskId<'_> {
        let task = self.tasks.at(slot);
        match &self.extra(task).name {
            Some(name) => TaskId::Named(name),
            None => TaskId::Made(MadeId(task.key)),
        }
    }

    /// The index of a state whose tasks are ordered by an instant.
    pub(crate) const fn deadlines(&self, state: State) -> Option<&Deadlines> {
        let [completed, failed, canceled, expired] = &self.finished;
        match state {
            State::Ready => None,
            State::Waiting => Some(&self.waiting),
            State::Scheduled => Some(&self.due),
            State::Claimed => Some(&self.leases),
            State::Completed => Some(completed),
            State::Failed => Some(failed),
            State::Canceled => Some(canceled),
            State::Expired => Some(expired),
        }
    }
}
