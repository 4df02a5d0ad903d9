//! What can be seen of a task.

use crate::batch::{KEPT, Stage};
use crate::id::{MadeId, TaskId};
use crate::index::segments::Slot;
use crate::options::{Defaults, Options};
use crate::queue::Queue;
use crate::state::State;
use crate::task::Task;
use crate::time::{Ms, UnixMs};

/// All that can be seen of a task. Settings are those that hold for it now.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are those of TASK.GET, documented there")]
pub struct TaskView<'a> {
    pub id: TaskId<'a>,
    pub state: State,
    pub payload: Option<&'a [u8]>,
    pub result: Option<&'a [u8]>,
    pub error: Option<&'a [u8]>,
    pub checkpoint: Option<&'a [u8]>,
    pub priority: u8,
    pub attempt: u32,
    pub tries: u32,
    pub worker: Option<&'a str>,
    pub created: UnixMs,
    /// Since when it waits for others.
    pub waits_since: Option<UnixMs>,
    pub ready_at: Option<UnixMs>,
    pub claimed_at: Option<UnixMs>,
    pub deadline: Option<UnixMs>,
    pub session: bool,
    pub finished: Option<UnixMs>,
    pub drop_at: Option<UnixMs>,
    pub expire_at: Option<UnixMs>,
    pub batch: Option<&'a str>,
    /// The key that it holds, will hold after another task, or would hold again after RETRY.
    pub unique: Option<&'a str>,
    /// When that is free at the latest.
    pub unique_until: Option<UnixMs>,
    /// The task that has the key after it.
    pub follow_up: Option<TaskId<'a>>,
    pub group: Option<&'a str>,
    pub settings: Defaults,
}

/// What a worker is given of a task it has claimed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are those of TASK.CLAIM's reply, documented there")]
pub struct ClaimView<'a> {
    pub id: TaskId<'a>,
    pub payload: &'a [u8],
    pub attempt: u32,
    /// How long it lasts unless extended; in a session, how long it would.
    pub lease: Ms,
    pub checkpoint: Option<&'a [u8]>,
}

impl TaskView<'_> {
    /// The instant that orders the tasks of its state: waiting since, due, ready since, end of the claim, or finished. None of a claim that has no end.
    #[must_use]
    pub fn instant(&self) -> Option<UnixMs> {
        self.deadline.or(self.ready_at).or(self.waits_since).or(self.finished)
    }
}

impl Queue {
    /// All that can be seen of the task in `slot`, which must be in use.
    #[must_use]
    pub fn view<'a>(&'a self, slot: Slot, defaults: &Defaults) -> TaskView<'a> {
        let task = self.tasks.at(slot);
        let extra = self.extra(task);
        let state = task.state();
        let at_if = |holds: bool| holds.then_some(task.at);
        TaskView {
            id: self.id_of(slot),
            state,
            payload: (state != State::Completed).then_some(&*task.data),
            result: (state == State::Completed).then_some(&*task.data),
            error: extra.rare().error.as_deref(),
            checkpoint: extra.rare().checkpoint.as_deref(),
            priority: task.priority,
            attempt: task.attempt,
            tries: self.tries(slot),
            worker: self.worker(slot).map(|(name, _)| name).filter(|_| state == State::Claimed || state.is_terminal()),
            created: self.created(slot),
            waits_since: at_if(state == State::Waiting),
            ready_at: at_if(matches!(state, State::Scheduled | State::Ready)),
            claimed_at: (state == State::Claimed).then(|| self.claimed_at(slot)),
            deadline: at_if(state == State::Claimed).filter(|&at| at != UnixMs::NEVER),
            session: extra.rare().session.is_some(),
            finished: state.is_terminal().then_some(UnixMs(task.order)),
            drop_at: self.drop_at(slot),
            expire_at: extra.ttl_at.get(),
            batch: self.batch_of(slot).map(|batch| &*batch.name),
            unique: self.key(slot).map(|key| &*key.name),
            unique_until: self.key(slot).and_then(|key| key.until.get()),
            follow_up: self.hold_of(slot).and_then(|hold| hold.follow_up.get()).map(|next| self.id_of(next)),
            group: self.group_of(slot).map(|group| &*group.name),
            settings: self.options(slot, defaults),
        }
    }

    /// What the worker is given that has just claimed the task in `slot`.
    #[must_use]
    pub fn claim_view(&self, slot: Slot) -> ClaimView<'_> {
        let (task, claimed_at) = (self.tasks.at(slot), self.claimed_at(slot));
        let ends = if self.session(slot).is_some() { self.lease_end(slot, None, claimed_at) } else { task.at };
        ClaimView {
            id: self.id_of(slot),
            payload: &task.data,
            attempt: task.attempt,
            lease: ends.since(claimed_at),
            checkpoint: self.extra(task).rare().checkpoint.as_deref(),
        }
    }

    /// State and data of a task as TASK.RESULT answers them: the result of a completed one, the error of a failed one.
    #[must_use]
    pub fn result(&self, slot: Slot) -> (State, Option<&[u8]>) {
        let task = self.tasks.at(slot);
        let data = match task.state() {
            State::Completed => Some(&*task.data),
            State::Failed => self.extra(task).rare().error.as_deref(),
            _ => None,
        };
        (task.state(), data)
    }

    /// The id of the task in `slot`.
    #[must_use]
    pub fn id(&self, slot: Slot) -> TaskId<'_> {
        self.id_of(slot)
    }

    /// When the task is dropped, if it is certain. One of a batch goes with the batch.
    fn drop_at(&self, slot: Slot) -> Option<UnixMs> {
        let task = self.tasks.at(slot);
        let at = match self.batch_of(slot).map(|batch| batch.stage) {
            None => Some(task.at),
            Some(Stage::Done(at)) => Some(at),
            Some(_) => None,
        };
        at.filter(|&at| task.state().is_terminal() && at < KEPT)
    }

    /// When the task was pushed.
    pub(crate) fn created(&self, slot: Slot) -> UnixMs {
        let task = self.tasks.at(slot);
        self.extra(task).created.get().unwrap_or(MadeId(task.key).made_at())
    }

    pub(crate) fn next_ready(&self) -> Option<Slot> {
        match self.groups.as_deref() {
            None => self.ready.first(&self.tasks),
            Some(groups) => self.next_in_turn(groups),
        }
    }

    pub(crate) fn attempt(&self, slot: Slot) -> u32 {
        self.tasks.at(slot).attempt
    }

    pub(crate) fn tries(&self, slot: Slot) -> u32 {
        let task = self.tasks.at(slot);
        if sabotaged!(TriesNotCounted) {
            return 0;
        }
        task.attempt.saturating_sub(self.extra(task).uncounted)
    }

    /// What a task sets for itself.
    pub(crate) fn own_options(&self, task: &Task) -> Option<&Options> {
        let extra = self.extra(task);
        self.option_sets.get(extra.options).or(extra.rare().options.as_deref())
    }

    pub(crate) fn options(&self, slot: Slot, defaults: &Defaults) -> Defaults {
        match (&self.flow, self.own_options(self.tasks.at(slot))) {
            (None, None) => *defaults,
            (None, Some(options)) => defaults.with(options),
            (Some(_), None) => self.defaults(defaults),
            (Some(_), Some(options)) => self.defaults(defaults).with(options),
        }
    }

    /// Whether the task, for which these settings hold, may be tried again.
    pub(crate) fn has_tries_left(&self, slot: Slot, settings: &Defaults) -> bool {
        let attempts = u32::from(settings.attempts);
        attempts == 0 || self.tries(slot) < attempts
    }

    pub(crate) fn ttl_is_over(&self, slot: Slot, now: UnixMs) -> bool {
        self.extra(self.tasks.at(slot)).ttl_at.get().is_some_and(|ttl_at| ttl_at <= now)
    }

    /// When the claim of a claimed task lapses.
    pub(crate) fn deadline(&self, slot: Slot) -> UnixMs {
        self.tasks.at(slot).at
    }

    /// When a lease ends that begins now, `lease` or the claim's: not after its timeout.
    pub(crate) fn lease_end(&self, slot: Slot, lease: Option<Ms>, now: UnixMs) -> UnixMs {
        let lease = lease.or(self.claim_lease(slot)).unwrap_or_default();
        let timeout_at = self.timeout_at(slot).filter(|_| !sabotaged!(TimeoutOutlived));
        timeout_at.into_iter().fold(now.after(lease), Ord::min)
    }

    pub(crate) fn timeout_at(&self, slot: Slot) -> Option<UnixMs> {
        self.extra(self.tasks.at(slot)).rare().timeout_at
    }

    /// Who holds or held the task, and the lease it was claimed with.
    pub(crate) fn worker(&self, slot: Slot) -> Option<(&str, Ms)> {
        let task = self.tasks.at(slot);
        let worker = self.workers.get(task.worker).or(self.extra(task).rare().worker.as_deref())?;
        Some((&worker.name, worker.lease))
    }

    pub(crate) fn claim_lease(&self, slot: Slot) -> Option<Ms> {
        self.worker(slot).map(|(_, lease)| lease)
    }

    /// When the claim of a claimed task began.
    #[inline]
    pub(crate) fn claimed_at(&self, slot: Slot) -> UnixMs {
        let task = self.tasks.at(slot);
        let by_lease = || task.at.before(self.claim_lease(slot).unwrap_or_default());
        self.extra(task).claimed_at.get().unwrap_or_else(by_lease)
    }
}
