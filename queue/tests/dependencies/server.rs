//! A queue and its replica, and words to speak to it.

use crate::support::apply_all;
use taskqueue::op::{self, After, Claim, Delay, IntoBatch, Next, On, Push, PushOutcome};
use taskqueue::{Defaults, Event, Journal, MadeId, Ms, Options, Queue, Refusal, Retention, State, TaskId, Txn, UnixMs};

/// How many are told after each operation, if so many wait for news.
pub(crate) const TOLD: usize = 8;
/// How long a task is kept unless it says otherwise.
pub(crate) const KEPT: u64 = 1_000;

/// What a push says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Task<'a> {
    pub(crate) id: &'a str,
    pub(crate) after: &'a [&'a str],
    pub(crate) after_batch: Option<&'a str>,
    pub(crate) run_anyway: bool,
    pub(crate) batch: Option<&'a str>,
    pub(crate) delay: u64,
    pub(crate) ttl: Option<u64>,
    pub(crate) retain: Option<u64>,
    pub(crate) renew: bool,
}

/// A queue and its replica, and a clock.
pub(crate) struct Server {
    pub(crate) queue: Queue,
    pub(crate) replica: Queue,
    pub(crate) journal: Journal,
    pub(crate) now: UnixMs,
    pub(crate) settings: Defaults,
}

impl Server {
    pub(crate) fn new() -> Self {
        let retain = Retention::For(Ms(KEPT));
        let settings = Defaults { retain, retain_failed: retain, lease: Ms(1_000_000), ..Defaults::default() };
        let (queue, replica, journal) = (Queue::default(), Queue::default(), Journal::default());
        Self { queue, replica, journal, now: UnixMs(1_000), settings }
    }

    /// As the shell does: the operation, some news, and what is not to be kept goes. The replica follows.
    pub(crate) fn transact<R>(&mut self, operation: impl FnOnce(&mut Txn<'_>, &Defaults) -> R) -> R {
        self.journal.clear();
        let mut txn = Txn::new(&mut self.queue, &mut self.journal, self.now);
        let answer = operation(&mut txn, &self.settings);
        op::tell(&mut txn, TOLD, &self.settings);
        txn.drop_unkept();
        apply_all(&mut self.replica, self.journal.packed.bytes());
        answer
    }

    pub(crate) fn push(&mut self, task: Task<'_>) -> Result<bool, Refusal> {
        let ids: Vec<TaskId<'_>> = task.after.iter().map(|id| TaskId::parse(id.as_bytes()).unwrap()).collect();
        let on = task.after_batch.map(On::Batch).or((!ids.is_empty()).then_some(On::Tasks(&ids)));
        let push = Push {
            payload: task.id.as_bytes(),
            id: Some(TaskId::Named(task.id)),
            renew: task.renew,
            priority: 0,
            delay: Delay::For(Ms(task.delay)),
            ttl: task.ttl.map(Ms),
            options: Options { retain: task.retain.map(|ms| Retention::For(Ms(ms))), ..Options::default() },
            batch: task.batch.map(|name| IntoBatch { name, seal: false }),
            after: on.map(|on| After { on, run_anyway: task.run_anyway }),
            unique: None,
            group: None,
        };
        let pushed = self.transact(|txn, _| op::push(txn, &push, MadeId(0)));
        pushed.map(|outcome| matches!(outcome, PushOutcome::Added(_)))
    }

    /// Tasks that wait for nothing.
    pub(crate) fn push_plain(&mut self, ids: &[&str]) {
        for id in ids {
            assert_eq!(self.push(Task { id, ..Task::default() }), Ok(true));
        }
    }

    /// A task that waits for these.
    pub(crate) fn push_after(&mut self, id: &str, after: &[&str]) {
        assert_eq!(self.push(Task { id, after, ..Task::default() }), Ok(true));
    }

    pub(crate) fn push_into(&mut self, batch: &str, ids: &[&str]) {
        for id in ids {
            assert_eq!(self.push(Task { id, batch: Some(batch), ..Task::default() }), Ok(true));
        }
    }

    pub(crate) fn claim(&mut self) -> Option<String> {
        let claim = Claim { worker: "w", lease: None, session: None };
        let slot = self.transact(|txn, settings| op::claim(txn, &claim, settings))?;
        Some(self.queue.id(slot).to_string())
    }

    /// Claims tasks until this one is claimed.
    pub(crate) fn take(&mut self, id: &str) {
        while self.state(id) != Some(State::Claimed) {
            self.claim().expect("it can be claimed");
        }
    }

    pub(crate) fn complete(&mut self, id: &str) {
        self.take(id);
        let (id, result) = (TaskId::Named(id), id.as_bytes());
        self.transact(|txn, settings| op::complete(txn, id, None, result, None, settings)).unwrap();
    }

    pub(crate) fn fail(&mut self, id: &str) {
        self.take(id);
        let id = TaskId::Named(id);
        self.transact(|txn, settings| op::fail(txn, id, None, b"error", Next::Dead, 0, settings)).unwrap();
    }

    pub(crate) fn cancel(&mut self, id: &str) -> bool {
        self.transact(|txn, settings| op::cancel(txn, TaskId::Named(id), settings))
    }

    pub(crate) fn retry(&mut self, id: &str) -> bool {
        self.transact(|txn, _| op::retry(txn, TaskId::Named(id)))
    }

    pub(crate) fn forget(&mut self, id: &str) -> bool {
        self.transact(|txn, _| op::forget(txn, TaskId::Named(id)))
    }

    pub(crate) fn seal(&mut self, batch: &str) {
        self.transact(|txn, _| op::seal(txn, batch));
    }

    /// Time goes on, and does what is due.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now = self.now.after(Ms(ms));
        while self.queue.soonest() <= self.now {
            self.transact(|txn, settings| op::tick(txn, 1_000, settings));
        }
    }

    /// The task's state; none if it is not there. The replica says the same.
    pub(crate) fn state(&self, id: &str) -> Option<State> {
        let state = |queue: &Queue| queue.find(TaskId::Named(id)).map(|slot| queue.result(slot).0);
        assert_eq!(state(&self.queue), state(&self.replica));
        state(&self.queue)
    }

    pub(crate) fn states(&self, ids: &[&str]) -> Vec<Option<State>> {
        ids.iter().map(|id| self.state(id)).collect()
    }

    /// Why the task failed.
    pub(crate) fn error(&self, id: &str) -> String {
        let (state, error) = self.queue.result(self.queue.find(TaskId::Named(id)).unwrap());
        assert_eq!(state, State::Failed);
        String::from_utf8(error.unwrap().to_vec()).unwrap()
    }

    pub(crate) fn has_batch(&self, name: &str) -> bool {
        self.queue.find_batch(name).is_some()
    }

    pub(crate) fn heard(&self, event: Event) -> bool {
        self.journal.events.iter().any(|&(heard, _)| heard == event)
    }
}
