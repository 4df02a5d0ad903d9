//! The queue against a model: obvious code over a list of tasks, written from PROTOCOL sections 1 to 6.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::{AfterSpec, Answer, Command, DelaySpec, Driver, OnSpec, PushSpec, START, cases, history, listed};
use taskqueue::effect::{Change, Totals};
use taskqueue::op::{Completion, Next};
use taskqueue::{BatchView, Defaults, Effect, Ms, Options, Pause, Rate, Refusal, Retention, Settings, State, UnixMs};

/// Where a task is that others need: before those that are kept for ever.
const TIED: UnixMs = UnixMs(u64::MAX - 1);

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_queue_does_what_the_model_does((defaults, steps) in history(120)) {
        let mut driver = Driver::new(defaults);
        let mut model = Model::default();
        for step in &steps {
            let Some(command) = driver.command(step) else { continue };
            let answer = driver.run(&command);
            let hints = Hints::of(&driver);
            let expected = model.run(&command, driver.now, &driver.defaults, &hints);
            prop_assert_eq!(&answer, &expected, "{:?}", command);
            same(&driver, &model).map_err(|error| TestCaseError::fail(format!("{error} after {command:?}")))?;
        }
    }
}

/// What the protocol leaves open: jitter, and who of several is dropped or expires first in the same millisecond.
#[derive(Debug, Default)]
struct Hints {
    due: Option<UnixMs>,
    dropped: Vec<String>,
    expired: Vec<String>,
}

impl Hints {
    fn of(driver: &Driver) -> Self {
        let mut hints = Self::default();
        for effect in driver.effects() {
            match effect {
                Effect::Changed(_, Change::BackedOff { due, .. }) => hints.due = Some(due),
                Effect::Changed(id, Change::Dropped) => hints.dropped.push(id.to_string()),
                Effect::Changed(id, Change::Expired { .. }) => hints.expired.push(id.to_string()),
                _ => {}
            }
        }
        hints
    }
}

/// What a worker's last claim came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Claim {
    #[default]
    Never,
    Live,
    Lapsed,
    Voided,
    Completed,
    Failed(State),
    Released,
}

/// A claim that lasts as long as a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Of(u64),
    Over,
}

#[derive(Clone, Debug, Default)]
struct Task {
    payload: Vec<u8>,
    priority: u8,
    options: Options,
    created: UnixMs,
    state: Option<State>,
    /// When it entered its state, among all such events.
    entered: u64,
    result: Option<Vec<u8>>,
    error: Option<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    attempt: u32,
    tries: u32,
    claim: Claim,
    worker: Option<String>,
    lease: Ms,
    claimed_at: UnixMs,
    timeout_at: Option<UnixMs>,
    session: Option<Session>,
    /// Its place in line.
    place: u64,
    /// Ready since, due, end of the lease, or when it is dropped.
    at: UnixMs,
    finished: UnixMs,
    ttl_at: Option<UnixMs>,
    ended_in: u64,
    /// The incarnation of its batch.
    batch: Option<u64>,
    /// Tells it from others that had or will have its id.
    born: u64,
    after: Option<After>,
    /// How long it is kept once nobody needs it any more; it has ended and somebody does.
    keep: Option<Ms>,
    group: Option<String>,
    /// It was claimed, and has not ended since.
    holds: bool,
    key: Option<Key>,
}

/// The key that a task holds, is to hold, or would hold again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    until: Option<UnixMs>,
    /// It waits for a holder of it.
    follows: bool,
}

impl Key {
    fn is_over(&self, now: UnixMs) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// A key that is not free.
#[derive(Clone, Debug)]
struct Hold {
    id: String,
    is_gone: bool,
    until: Option<UnixMs>,
    follow_up: Option<String>,
}

/// What a task depends on.
#[derive(Clone, Debug, Default)]
struct After {
    on: Vec<Dependency>,
    run_anyway: bool,
    due: Option<UnixMs>,
    is_of_batch: bool,
}

#[derive(Clone, Debug)]
struct Dependency {
    name: String,
    /// What is kept for it, by its birth or incarnation.
    of: Option<Of>,
    /// It has ended, well or badly.
    ended: Option<bool>,
    /// The task knows that.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Task(u64),
    Batch(u64),
}

impl After {
    fn missing(&self) -> usize {
        self.on.iter().filter(|one| !one.told).count()
    }
}

/// A batch; without a name when it is gone and its tasks are about to follow.
#[derive(Clone, Debug, Default)]
struct Batch {
    name: Option<String>,
    sealed: bool,
    touched: UnixMs,
    kept_until: UnixMs,
    open: Vec<String>,
    ends: Vec<String>,
    /// As those know that wait for it.
    was_done: bool,
}

impl Batch {
    fn total(&self) -> usize {
        self.open.len() + self.ends.len()
    }

    fn is_done(&self) -> bool {
        self.name.is_some() && self.sealed && self.open.is_empty()
    }
}

impl Task {
    fn state(&self) -> State {
        self.state.unwrap()
    }

    fn is(&self, state: State) -> bool {
        self.state == Some(state)
    }

    fn ended_badly(&self) -> bool {
        matches!(self.state(), State::Failed | State::Canceled | State::Expired)
    }

    fn settings(&self, server: &Defaults) -> Defaults {
        Defaults {
            attempts: self.options.attempts.unwrap_or(server.attempts),
            backoff: self.options.backoff.unwrap_or(server.backoff),
            lease: self.options.lease.unwrap_or(server.lease),
            timeout: self.options.timeout.or(server.timeout),
            retain: self.options.retain.unwrap_or(server.retain),
            retain_failed: self.options.retain_failed.unwrap_or(server.retain_failed),
        }
    }

    fn has_tries_left(&self, server: &Defaults) -> bool {
        let limit = u32::from(self.settings(server).attempts);
        limit == 0 || self.tries < limit
    }

    /// The delay of the next retry: doubled for each, at most an hour.
    fn backoff(&self, server: &Defaults) -> u64 {
        let mut wait = self.settings(server).backoff.0;
        for _ in 1..self.tries {
            wait = (wait * 2).min(3_600_000);
        }
        wait.min(3_600_000)
    }
}

#[derive(Debug, Default)]
struct Model {
    tasks: BTreeMap<String, Task>,
    last_id: u64,
    last_place: u64,
    keys: BTreeMap<String, Hold>,
    batches: BTreeMap<u64, Batch>,
    last_batch: u64,
    last_birth: u64,
    events: u64,
    commands: u64,
    settings: Settings,
    /// When the claims were that count for RATE.
    starts: Vec<UnixMs>,
    totals: Totals,
    /// The groups that may have a task claimed, as they take turns; None: the tasks without a group. Empty if there is no group.
    rotation: Vec<Option<String>>,
}

fn kept_until(retention: Retention, now: UnixMs) -> UnixMs {
    match retention {
        Retention::For(time) => UnixMs(now.0 + time.0),
        Retention::Forever => UnixMs(u64::MAX),
    }
}

/// The id of a number, as the queue makes it.
fn made(number: u64) -> String {
    format!("{}-{}", number >> 16, number & 0xffff)
}

impl Model {
    fn run(&mut self, command: &Command, now: UnixMs, defaults: &Defaults, hints: &Hints) -> Answer {
        self.commands += 1;
        let server = &defaults.with(&self.settings.options);
        let answer = match command {
            Command::Push { task, id, renew, floor } => self.push(task, id.as_deref(), *renew, floor.0, now),
            Command::PushAll { task, payloads, floor } => self.push_all(task, payloads, floor.0, now),
            Command::Claim { worker, lease, session } => self.claim(worker, *lease, *session, now, server),
            Command::Close(connection) => self.close(*connection),
            Command::Extend { id, attempt, lease, checkpoint } => self.extend(id, *attempt, *lease, checkpoint.as_ref(), now),
            Command::Complete { id, attempt, result, retain } => self.complete(id, *attempt, result, *retain, now, server),
            Command::Fail { id, attempt, error, next, .. } => self.fail(id, *attempt, error, *next, now, server, hints),
            Command::Release { id, attempt, delay } => self.release(id, *attempt, *delay, now),
            Command::Cancel(id) => {
                let live = self.tasks.get(id).is_some_and(|task| !task.state().is_terminal());
                self.all(live.then(|| id.clone()), |model, id| model.cancel(&id, now, server))
            }
            Command::Forget(id) => {
                let over = self.tasks.get(id).is_some_and(|task| task.state().is_terminal() && !self.is_kept(task));
                self.all(over.then(|| id.clone()), |model, id| model.forget(&id, now))
            }
            Command::Retry(id) => {
                let can = self.tasks.get(id).is_some_and(|task| task.ended_badly() || task.is(State::Scheduled));
                Answer::Count(usize::from(can && self.retry(id, now).is_ok()))
            }
            Command::CancelAll(count) => {
                let mut ids = self.sorted(|task| task.is(State::Ready), |task| (task.place, 0));
                ids.extend(self.of_state(State::Scheduled));
                ids.extend(self.of_state(State::Waiting));
                self.all(ids.into_iter().take(*count), |model, id| model.cancel(&id, now, server))
            }
            Command::ForgetAll(count) => {
                let forgotten = (0..*count).take_while(|_| self.forget_first(now)).count();
                Answer::Count(forgotten)
            }
            Command::RetryAll(count) => {
                let ids = self.of_state(State::Failed);
                self.retry_some(&ids, *count, |model, id| model.retry_first_cause(id, now))
            }
            Command::Seal(name) => {
                let total = self.batch(name).map_or(0, |batch| self.batches[&batch].total());
                self.seal(name, now);
                Answer::Count(total)
            }
            Command::CancelBatch(name, count) => {
                let open = self.batch(name).map(|batch| self.batches[&batch].open.clone()).unwrap_or_default();
                self.all(open.into_iter().take(*count), |model, id| model.cancel(&id, now, server))
            }
            Command::ForgetBatch(name) => {
                let done = self.batch(name).filter(|batch| self.batches[batch].is_done());
                for id in done.map(|batch| self.batches[&batch].ends.clone()).unwrap_or_default() {
                    self.free_key_of(&id, now);
                }
                Answer::Count(done.map_or(0, |batch| self.drop_batch(batch)))
            }
            Command::RetryBatch(name, count) => {
                let ends = self.batch(name).map(|batch| self.batches[&batch].ends.clone()).unwrap_or_default();
                let bad: Vec<String> = ends.into_iter().filter(|id| self.tasks[id].ended_badly()).collect();
                self.retry_some(&bad, *count, |model, id| model.retry(id, now).is_ok())
            }
            Command::Tick { budget } => {
                self.rewind_starts(now);
                if self.settings.paused_until.is_some_and(|until| until <= now) {
                    (self.settings.pause, self.settings.paused_until) = (Pause::No, None);
                }
                self.tick(*budget, now, server, hints)
            }
            Command::Schedule(..) | Command::Unschedule(_) | Command::Fire { .. } => panic!("no schedules are drawn"),
            Command::Set(settings) => {
                self.settings = *settings;
                if settings.rate.is_none() {
                    self.starts.clear();
                }
                let groups: BTreeSet<String> = self.tasks.values().filter_map(|task| task.group.clone()).collect();
                // Those that come anew as their next tasks became ready.
                let place = |group: &String| self.next_of(Some(group)).map(|id| self.tasks[&id].place);
                let mut groups: Vec<_> = groups.into_iter().map(|group| (place(&group), group)).collect();
                groups.sort();
                for (_, group) in groups {
                    self.settle_turns(Some(group));
                }
                Answer::Done
            }
        };
        let server = &defaults.with(&self.settings.options);
        self.tell(2, now, server);
        let over = |task: &Task| task.ended_in == self.commands && task.state().is_terminal() && task.at <= now;
        for id in self.sorted(over, |task| (task.entered, 0)) {
            self.drop(&id);
        }
        for id in self.excess() {
            self.drop(&id);
        }
        answer
    }

    /// What goes because more are kept than may be: the next to go. Batches keep theirs, and so do dependants.
    fn excess(&self) -> Vec<String> {
        let limits = [(State::Completed, self.settings.retain_max), (State::Failed, self.settings.failed_max)];
        let of_state = |(state, max): (State, u32)| {
            let mut kept = self.of_state(state);
            kept.retain(|id| self.tasks[id].batch.is_none());
            let excess = if max == 0 { 0 } else { kept.len().saturating_sub(max as usize) };
            kept.retain(|id| self.tasks[id].keep.is_none());
            kept.truncate(excess);
            kept
        };
        limits.into_iter().flat_map(of_state).collect()
    }

    /// Claims of the future, as the clock was set back, count as of now.
    fn rewind_starts(&mut self, now: UnixMs) {
        self.starts.iter_mut().for_each(|start| *start = now.min(*start));
    }

    /// Whether the settings stand in the way of any claim.
    fn may_not_claim(&self, now: UnixMs) -> bool {
        let Settings { concurrency, rate, .. } = self.settings;
        let claimed = self.of_state(State::Claimed).len();
        let is_too_soon = |rate: Rate| {
            let in_window = self.starts.iter().filter(|start| start.0 + rate.window.0 > now.0).count();
            in_window >= rate.claims as usize
        };
        self.rests(&[Pause::Out, Pause::All], now)
            || (concurrency > 0 && claimed >= concurrency as usize)
            || rate.is_some_and(is_too_soon)
    }

    fn rests(&self, pauses: &[Pause], now: UnixMs) -> bool {
        pauses.contains(&self.settings.pause) && self.settings.paused_until.is_none_or(|until| until > now)
    }

    /// Whether the settings let so many tasks come.
    fn refuses_more(&self, count: usize, now: UnixMs) -> Option<Refusal> {
        let max = self.settings.max_len;
        let unfinished = self.tasks.values().filter(|task| !task.state().is_terminal()).count();
        if self.rests(&[Pause::In, Pause::All], now) {
            Some(Refusal::Paused)
        } else {
            (max > 0 && unfinished + count > max as usize).then_some(Refusal::MaxLen { max })
        }
    }

    fn all(&mut self, ids: impl IntoIterator<Item = String>, act: impl Fn(&mut Self, String)) -> Answer {
        Answer::Count(ids.into_iter().map(|id| act(self, id)).count())
    }

    /// The ids of some tasks in some order.
    fn sorted(&self, which: impl Fn(&Task) -> bool, order: impl Fn(&Task) -> (u64, u64)) -> Vec<String> {
        let mut tasks: Vec<_> = self.tasks.iter().filter(|(_, task)| which(task)).collect();
        tasks.sort_by_key(|(_, task)| order(task));
        tasks.into_iter().map(|(id, _)| id.clone()).collect()
    }

    fn of_state(&self, state: State) -> Vec<String> {
        match state {
            State::Ready => {
                let line = |task: &Task| u64::from(task.group.is_some()) << 8;
                self.sorted(|task| task.is(state), |task| (line(task) + 255 - u64::from(task.priority), task.place))
            }
            _ => self.sorted(|task| task.is(state), |task| (task.at.0, task.entered)),
        }
    }

    fn task(&mut self, id: &str) -> &mut Task {
        self.tasks.get_mut(id).unwrap()
    }

    // What happens to a task.

    fn enter(&mut self, id: &str, state: State, at: UnixMs) {
        self.events += 1;
        let entered = self.events;
        let task = self.task(id);
        (task.state, task.at, task.entered) = (Some(state), at, entered);
        if state != State::Claimed {
            (task.timeout_at, task.session) = (None, None);
        }
        task.holds = (task.holds || state == State::Claimed) && !state.is_terminal();
        let group = task.group.clone();
        self.settle_turns(group);
    }

    // Who takes turns.

    fn has_groups(&self) -> bool {
        self.tasks.values().any(|task| task.group.is_some())
    }

    /// The task that is claimed next of a group, or of those without one.
    fn next_of(&self, group: Option<&str>) -> Option<String> {
        let is_of = |task: &Task| task.group.as_deref() == group;
        let count = |which: fn(&Task) -> bool| self.tasks.values().filter(|task| is_of(task) && which(task)).count();
        let claimed = u32::try_from(count(|task| task.is(State::Claimed))).unwrap();
        let mut ready = self.of_state(State::Ready);
        ready.retain(|id| is_of(&self.tasks[id]));
        match self.settings.group_concurrency {
            1 if group.is_some() && count(|task| task.holds) > 0 => {
                ready.into_iter().find(|id| self.tasks[id].holds).filter(|_| claimed == 0)
            }
            limit if group.is_some() && limit > 0 && claimed >= limit => None,
            _ => ready.into_iter().next(),
        }
    }

    fn next_ready(&self) -> Option<String> {
        if self.has_groups() { self.next_of(self.rotation.first()?.as_deref()) } else { self.next_of(None) }
    }

    /// Something has happened to a group: it has its turn after all others if it comes to be one that may have a task claimed.
    fn settle_turns(&mut self, group: Option<String>) {
        if !self.has_groups() {
            self.rotation.clear();
            return;
        }
        for group in [None, group] {
            let (has_turn, comes) = (self.rotation.contains(&group), self.next_of(group.as_deref()).is_some());
            match (has_turn, comes) {
                (false, true) => self.rotation.push(group),
                (true, false) => self.rotation.retain(|other| *other != group),
                _ => {}
            }
        }
    }

    fn stand_at_the_end(&mut self, id: &str, now: UnixMs) {
        self.last_place += 1;
        self.task(id).place = self.last_place;
        self.enter(id, State::Ready, now);
    }

    // What happens to a batch.

    fn batch(&self, name: &str) -> Option<u64> {
        self.batches.iter().find(|(_, batch)| batch.name.as_deref() == Some(name)).map(|(&number, _)| number)
    }

    /// The batch of that name, made if there is none.
    fn batch_named(&mut self, name: &str) -> &mut Batch {
        let number = self.batch(name).unwrap_or(self.last_batch + 1);
        self.last_batch = self.last_batch.max(number);
        let batch = self.batches.entry(number).or_default();
        batch.name = Some(name.to_owned());
        batch
    }

    fn seal(&mut self, name: &str, now: UnixMs) {
        let batch = self.batch_named(name);
        if !batch.sealed {
            (batch.sealed, batch.touched) = (true, now);
        }
        let number = self.batch(name).unwrap();
        self.note_done(number);
    }

    /// A batch is done, or not any more: those that wait for it are to know.
    fn note_done(&mut self, number: u64) {
        let batch = &self.batches[&number];
        let (was_done, is_done) = (batch.was_done, batch.is_done());
        let is_good = batch.ends.iter().all(|id| self.tasks[id].is(State::Completed));
        self.batches.get_mut(&number).unwrap().was_done = is_done;
        match (was_done, is_done) {
            (false, true) => self.note_end(Of::Batch(number), is_good),
            (true, false) => self.begins_again(Of::Batch(number)),
            _ => {}
        }
    }

    /// A batch is gone; its tasks follow.
    fn drop_batch(&mut self, number: u64) -> usize {
        let batch = self.batches.get_mut(&number).unwrap();
        batch.name = None;
        let total = batch.total();
        self.goes(Of::Batch(number));
        self.forget_if_empty(number);
        total
    }

    fn forget_if_empty(&mut self, number: u64) {
        if self.batches[&number].name.is_none() && self.batches[&number].total() == 0 {
            self.batches.remove(&number);
        }
    }

    /// Whether a batch keeps the task.
    fn is_kept(&self, task: &Task) -> bool {
        task.batch.is_some_and(|batch| self.batches[&batch].name.is_some())
    }

    /// Whether the task's batch is gone and it is about to follow.
    fn is_leaving(&self, task: &Task) -> bool {
        task.batch.is_some() && !self.is_kept(task)
    }

    /// A task leaves its batch.
    fn leave_batch(&mut self, id: &str) {
        if let Some(number) = self.task(id).batch.take() {
            self.batches.get_mut(&number).unwrap().ends.retain(|end| end != id);
            self.forget_if_empty(number);
        }
    }

    /// A task that has ended begins again: in its batch, if that is still there.
    fn reopen(&mut self, id: &str, now: UnixMs) {
        let task = self.tasks[id].clone();
        if self.is_leaving(&task) {
            self.goes(Of::Task(task.born));
            self.leave_batch(id);
        } else if let Some(number) = task.batch {
            let batch = self.batches.get_mut(&number).unwrap();
            batch.touched = now;
            if task.state().is_terminal() {
                batch.ends.retain(|end| end != id);
                batch.open.push(id.to_owned());
            }
            self.note_done(number);
        }
        if task.state().is_terminal() {
            self.begins_again(Of::Task(task.born));
        }
        self.task(id).keep = None;
    }

    // Who waits for whom.

    /// Every tie there is between a task and what it depends on.
    fn ties(&mut self) -> impl Iterator<Item = &mut Dependency> {
        self.tasks.values_mut().filter_map(|task| task.after.as_mut()).flat_map(|after| &mut after.on)
    }

    /// Whether a task that has not ended depends on it.
    fn is_needed(&self, of: Of) -> bool {
        let mut all = self.tasks.values().filter_map(|task| task.after.as_ref()).flat_map(|after| &after.on);
        all.any(|one| one.of == Some(of))
    }

    /// Whether a task waits for this batch.
    fn is_awaited(&self, batch: Option<u64>) -> bool {
        let mut all = self.tasks.values().filter_map(|task| task.after.as_ref()).flat_map(|after| &after.on);
        batch.is_some_and(|batch| all.any(|one| one.of == Some(Of::Batch(batch)) && one.ended.is_none()))
    }

    /// It has ended: whoever depends on it will be told.
    fn note_end(&mut self, of: Of, is_good: bool) {
        self.ties().filter(|one| one.of == Some(of) && !one.told).for_each(|one| one.ended = Some(is_good));
    }

    /// It is not kept for anybody any more. An end that somebody has not been told of remains an end.
    fn goes(&mut self, of: Of) {
        self.ties().filter(|one| one.of == Some(of)).for_each(|one| one.of = None);
    }

    fn begins_again(&mut self, of: Of) {
        if self.ties().any(|one| one.of == Some(of) && one.ended.is_some() && !one.told) {
            self.goes(of);
        }
    }

    /// What has this name, and whether it has ended well or badly. A task that is about to follow its batch is as good as gone.
    fn look_up(&self, name: &str, is_of_batch: bool) -> Option<(Of, Option<bool>)> {
        if is_of_batch {
            let number = self.batch(name)?;
            let batch = &self.batches[&number];
            let is_good = batch.ends.iter().all(|id| self.tasks[id].is(State::Completed));
            return Some((Of::Batch(number), batch.is_done().then_some(is_good)));
        }
        let task = self.tasks.get(name).filter(|task| !self.is_leaving(task))?;
        Some((Of::Task(task.born), task.state().is_terminal().then_some(task.is(State::Completed))))
    }

    /// Why a task, new or this one, cannot wait for these.
    fn refuses(&self, id: Option<&str>, spec: &PushSpec, batch: Option<&str>) -> Option<Refusal> {
        let spec = spec.after.as_ref()?;
        if matches!(&spec.on, OnSpec::Batch(name) if batch == Some(name)) {
            return Some(Refusal::OwnBatch);
        }
        if self.is_awaited(batch.and_then(|batch| self.batch(batch))) {
            return Some(Refusal::BatchAwaited);
        }
        let (names, is_of_batch) = names(spec);
        let is_there = |name: &String| self.look_up(name, is_of_batch).is_some() && (is_of_batch || Some(&**name) != id);
        let place = names.iter().position(|name| !is_there(name))?;
        Some(Refusal::NoDependency { place })
    }

    /// The task depends on these from now on, as far as they are there.
    fn depend(&mut self, id: &str, names: Vec<String>, after: &After) {
        let find = |model: &Self, name: &str| model.look_up(name, after.is_of_batch).filter(|_| after.is_of_batch || name != id);
        let found = names.into_iter().map(|name| (find(self, &name), name)).collect::<Vec<_>>();
        for of in found.iter().filter_map(|(found, _)| Some(found.as_ref()?.0)) {
            let needed = self.tasks.iter().find(|(_, task)| Of::Task(task.born) == of).map(|(id, _)| id.clone());
            if let Some(id) = needed {
                self.keep_while_needed(&id);
            }
        }
        let tie = |(found, name): (Option<(Of, Option<bool>)>, String)| Dependency {
            name,
            of: found.map(|(of, _)| of),
            ended: found.and_then(|(_, ended)| ended),
            told: found.is_none(),
        };
        self.task(id).after = Some(After { on: found.into_iter().map(tie).collect(), ..*after });
    }

    /// A task that has ended and is needed has no time to go at. (Members of batches are kept by those.)
    fn keep_while_needed(&mut self, id: &str) {
        let task = &self.tasks[id];
        if task.state().is_terminal() && task.batch.is_none() && task.at != TIED {
            let keep = if task.at == UnixMs::NEVER { Ms(u64::MAX) } else { task.at.since(task.finished) };
            let state = task.state();
            self.enter(id, state, TIED);
            self.task(id).keep = Some(keep);
        }
    }

    /// A task has ended, and needs nothing any more. What nobody else needs is kept for its own retention from now on.
    fn let_go(&mut self, id: &str, now: UnixMs) {
        let Some(after) = &mut self.task(id).after else { return };
        let mut ended = Vec::new();
        for one in &mut after.on {
            ended.extend(one.of.take());
            one.told = true;
        }
        for of in ended {
            if self.is_needed(of) {
                continue;
            }
            let task = self.tasks.iter().find(|(_, task)| Of::Task(task.born) == of).map(|(id, task)| (id.clone(), task.clone()));
            match (of, task) {
                (Of::Batch(number), _) | (_, Some((_, Task { batch: Some(number), .. }))) => self.release_batch(number, now),
                (_, Some((id, Task { keep: Some(keep), state: Some(state), .. }))) => {
                    self.enter(&id, state, now.after(keep));
                    self.task(&id).keep = None;
                }
                _ => {}
            }
        }
    }

    fn is_batch_needed(&self, number: u64) -> bool {
        let members = self.tasks.values().filter(|task| task.batch == Some(number));
        self.is_needed(Of::Batch(number)) || members.into_iter().any(|task| self.is_needed(Of::Task(task.born)))
    }

    /// What was left of a batch's time when its last task ended begins anew.
    fn release_batch(&mut self, number: u64, now: UnixMs) {
        if self.is_batch_needed(number) {
            return;
        }
        let batch = self.batches.get_mut(&number).unwrap();
        if batch.open.is_empty() {
            if batch.kept_until != UnixMs::NEVER {
                batch.kept_until = now.after(batch.kept_until.since(batch.touched));
            }
            batch.touched = now;
        }
    }

    /// Some of those that wait hear of an end: whoever began to wait first, first.
    fn tell(&mut self, count: usize, now: UnixMs, server: &Defaults) {
        for _ in 0..count {
            let is_news = |one: &Dependency| one.ended.is_some() && !one.told;
            let waits = self.tasks.iter().filter_map(|(id, task)| Some((task.place, id, task.after.as_ref()?)));
            let news = waits.filter(|(.., after)| after.on.iter().any(is_news));
            let Some((_, id, after)) = news.min_by_key(|&(place, ..)| place) else { return };
            let (id, after) = (id.clone(), after.clone());
            let index = after.on.iter().position(is_news).unwrap();
            let one = &after.on[index];
            self.task(&id).after.as_mut().unwrap().on[index].told = true;
            if self.tasks[&id].key.as_ref().is_some_and(|key| key.follows) {
                self.let_go(&id, now);
                self.task(&id).after = None;
                self.task(&id).key.as_mut().unwrap().follows = false;
            }
            if one.ended == Some(false) && !after.run_anyway {
                self.task(&id).error = Some(format!("dependency failed: {}", one.name).into_bytes());
                let drop_at = kept_until(self.task(&id).settings(server).retain_failed, now);
                self.end(&id, State::Failed, now, drop_at);
            } else if after.missing() == 1 {
                match after.due.filter(|&due| due > now) {
                    Some(due) => self.enter(&id, State::Scheduled, due),
                    None => self.stand_at_the_end(&id, now),
                }
            }
        }
    }

    /// When a batch goes, if it does.
    fn goes_at(&self, number: u64, server: &Defaults) -> Option<UnixMs> {
        let batch = &self.batches[&number];
        let at = match (&batch.name, batch.open.is_empty()) {
            (Some(_), true) if self.is_batch_needed(number) => return None,
            (Some(_), true) if batch.sealed && batch.total() > 0 => batch.kept_until,
            (Some(_), true) => kept_until(server.retain_failed, batch.touched),
            _ => return None,
        };
        Some(at).filter(|&at| at != UnixMs::NEVER)
    }

    /// Batches that are to go: those that are done with tasks, or the others.
    fn batches_due(&self, done: bool, now: UnixMs, server: &Defaults) -> Vec<u64> {
        let at = |batch: &Batch| if done { batch.kept_until } else { batch.touched };
        let mut due: Vec<u64> = self.batches.keys().copied().collect();
        due.retain(|number| {
            let batch = &self.batches[number];
            (batch.is_done() && batch.total() > 0) == done && self.goes_at(*number, server).is_some_and(|at| at <= now)
        });
        due.sort_by_key(|number| (at(&self.batches[number]), *number));
        due
    }

    fn leaving(&self) -> Vec<String> {
        let gone = self.batches.values().filter(|batch| batch.name.is_none());
        gone.flat_map(|batch| batch.ends.iter().cloned()).collect()
    }

    fn end(&mut self, id: &str, state: State, now: UnixMs, drop_at: UnixMs) {
        let drop_at = match self.tasks[id].batch {
            None => drop_at,
            Some(number) => {
                let batch = self.batches.get_mut(&number).unwrap();
                (batch.touched, batch.kept_until) = (now, batch.kept_until.max(drop_at));
                batch.open.retain(|open| open != id);
                batch.ends.push(id.to_owned());
                // After all that have an instant to go at, and before those that stay for ever.
                UnixMs(now.0 | 1 << 63)
            }
        };
        self.enter(id, state, drop_at);
        let command = self.commands;
        let task = self.task(id);
        (task.finished, task.ttl_at, task.ended_in) = (now, None, command);
        match state {
            State::Completed => self.totals.completed += 1,
            State::Failed => self.totals.failed += 1,
            State::Canceled => self.totals.canceled += 1,
            _ => self.totals.expired += 1,
        }
        let (born, batch) = (self.tasks[id].born, self.tasks[id].batch);
        self.note_end(Of::Task(born), state == State::Completed);
        if let Some(number) = batch {
            self.note_done(number);
        }
        self.let_go(id, now);
        if self.is_needed(Of::Task(born)) {
            self.keep_while_needed(id);
        }
        self.end_key_of(id, now);
    }

    // Keys.

    /// The key that this task holds.
    fn held_by(&self, id: &str) -> Option<String> {
        let key = self.tasks[id].key.as_ref()?;
        let hold = self.keys.get(&key.name)?;
        (hold.id == id && !hold.is_gone).then(|| key.name.clone())
    }

    /// Who has the key: the task's id, whether it is gone, and who follows it. What time is about to do counts as done.
    fn holder(&self, name: &str, now: UnixMs) -> Option<(String, bool, Option<String>)> {
        let hold = self.keys.get(name)?;
        if hold.until.is_none_or(|until| until > now) {
            return Some((hold.id.clone(), hold.is_gone, hold.follow_up.clone()));
        }
        let next = hold.follow_up.clone().filter(|next| !self.tasks[next].key.as_ref().unwrap().is_over(now))?;
        Some((next, false, None))
    }

    /// The key has a holder no longer: it is the follow-up's, or free.
    fn free(&mut self, name: &str, now: UnixMs) {
        let hold = self.keys.remove(name).unwrap();
        let Some(next) = hold.follow_up else { return };
        let key = self.tasks[&next].key.clone().unwrap();
        if key.is_over(now) {
            self.task(&next).key = None;
        } else {
            self.keys.insert(name.to_owned(), Hold { id: next, is_gone: false, until: key.until, follow_up: None });
        }
    }

    fn free_if_over(&mut self, name: &str, now: UnixMs) {
        if self.keys.get(name).is_some_and(|hold| hold.until.is_some_and(|until| until <= now)) {
            let holder = self.keys[name].clone();
            self.free(name, now);
            if !holder.is_gone {
                self.task(&holder.id).key = None;
            }
        }
    }

    fn free_key_of(&mut self, id: &str, now: UnixMs) {
        if let Some(name) = self.held_by(id) {
            self.free(&name, now);
            self.task(id).key = None;
        }
    }

    /// Of a task that has ended.
    fn end_key_of(&mut self, id: &str, now: UnixMs) {
        let Some(key) = self.tasks[id].key.clone() else { return };
        let is_completed = self.tasks[id].is(State::Completed);
        match self.held_by(id) {
            Some(name) if is_completed && key.until.is_some_and(|until| until > now) && self.keys[&name].follow_up.is_none() => {
                return;
            }
            Some(name) => self.free(&name, now),
            None => {
                if let Some(hold) = self.keys.get_mut(&key.name).filter(|hold| hold.follow_up.as_deref() == Some(id)) {
                    hold.follow_up = None;
                }
            }
        }
        let task = self.task(id);
        if key.follows {
            task.after = None;
        }
        task.key = Some(Key { follows: false, ..key }).filter(|_| !is_completed);
    }

    fn take_key(&mut self, id: &str, key: Key, now: UnixMs) {
        self.free_if_over(&key.name, now);
        let hold = Hold { id: id.to_owned(), is_gone: false, until: key.until, follow_up: None };
        if let Some(hold) = self.keys.get_mut(&key.name) {
            hold.follow_up = Some(id.to_owned());
        } else {
            self.keys.insert(key.name.clone(), hold);
        }
        self.task(id).key = Some(key);
    }

    fn forget(&mut self, id: &str, now: UnixMs) {
        self.free_key_of(id, now);
        self.drop(id);
    }

    fn keys_due(&self, now: UnixMs) -> Vec<String> {
        let due = self.keys.iter().filter_map(|(name, hold)| Some((hold.until?, name.clone())));
        let mut due: Vec<_> = due.filter(|&(until, _)| until <= now).collect();
        due.sort();
        due.into_iter().map(|(_, name)| name).collect()
    }

    fn drop(&mut self, id: &str) {
        self.goes(Of::Task(self.tasks[id].born));
        if let Some(name) = self.held_by(id) {
            self.keys.get_mut(&name).unwrap().is_gone = true;
        }
        self.leave_batch(id);
        self.tasks.remove(id).unwrap();
        self.totals.dropped += 1;
        if !self.has_groups() {
            self.rotation.clear();
        }
    }

    fn void(&mut self, id: &str) {
        let task = self.task(id);
        if task.attempt > 0 {
            task.claim = Claim::Voided;
        }
    }

    fn cancel(&mut self, id: &str, now: UnixMs, server: &Defaults) {
        let task = self.task(id);
        let mut drop_at = kept_until(task.settings(server).retain, now);
        if task.is(State::Claimed) {
            let lease_end = UnixMs(now.0 + task.lease.0);
            drop_at = drop_at.max(if task.session.is_some() { task.at.min(lease_end) } else { task.at });
        }
        self.void(id);
        self.end(id, State::Canceled, now, drop_at);
    }

    /// It begins again, unless what it depends on has ended badly: then maybe for this task.
    fn retry(&mut self, id: &str, now: UnixMs) -> Result<(), Option<String>> {
        let task = self.tasks[id].clone();
        let key = task.key.clone().filter(|key| task.ended_badly() && !key.is_over(now));
        if key.as_ref().is_some_and(|key| self.holder(&key.name, now).is_some()) {
            return Err(None);
        }
        let mut waits = None;
        if let Some(after) = task.after.filter(|_| task.state.is_some_and(State::is_terminal)) {
            let is_own = |name: &str| !after.is_of_batch && name == id;
            let look_up = |name: &str| self.look_up(name, after.is_of_batch).filter(|_| !is_own(name));
            let found: Vec<_> = after.on.iter().map(|one| (one.name.clone(), look_up(&one.name))).collect();
            let cannot_wait = self.is_awaited(task.batch.filter(|batch| self.batches[batch].name.is_some()));
            for (name, found) in &found {
                match found {
                    Some((_, Some(false))) if !after.run_anyway => return Err(Some(name.clone()).filter(|_| !after.is_of_batch)),
                    Some((_, None)) if cannot_wait => return Err(None),
                    _ => {}
                }
            }
            if found.iter().any(|(_, found)| found.is_some()) {
                waits = Some((found.into_iter().map(|(name, _)| name).collect(), After { due: None, on: Vec::new(), ..after }));
            }
        }
        self.reopen(id, now);
        self.void(id);
        let is_held = self.held_by(id).is_some();
        let task = self.task(id);
        (task.tries, task.error) = (0, None);
        if !is_held {
            task.key = None;
        }
        match waits {
            None => self.stand_at_the_end(id, now),
            Some((names, after)) => {
                self.wait(id, now);
                self.depend(id, names, &after);
            }
        }
        if let Some(key) = key {
            self.take_key(id, key, now);
        }
        Ok(())
    }

    /// Of a failed task and what it failed for, and so on, the first that can begin again, if that is failed too.
    fn retry_first_cause(&mut self, id: &str, now: UnixMs) -> bool {
        let mut id = id.to_owned();
        for _ in 0..10 {
            match self.retry(&id, now) {
                Ok(()) => return true,
                Err(Some(cause)) if self.tasks[&cause].is(State::Failed) => id = cause,
                Err(_) => return false,
            }
        }
        false
    }

    /// The first `count` of these, or if none of those can begin again, some behind them.
    fn retry_some(&mut self, ids: &[String], count: usize, retry: impl Fn(&mut Self, &str) -> bool) -> Answer {
        let mut retry = |id: &&String| self.tasks[*id].state().is_terminal() && retry(self, id);
        let first = ids.iter().take(count).filter(&mut retry).count();
        let more = ids.iter().skip(count).take(10 * count);
        Answer::Count(if first > 0 { first } else { more.filter(&mut retry).take(count).count() })
    }

    fn wait(&mut self, id: &str, now: UnixMs) {
        self.last_place += 1;
        self.task(id).place = self.last_place;
        self.enter(id, State::Waiting, now);
    }

    fn expire(&mut self, id: &str, now: UnixMs, server: &Defaults) {
        let drop_at = kept_until(self.task(id).settings(server).retain, now);
        self.end(id, State::Expired, now, drop_at);
    }

    // Commands.

    fn push_all(&mut self, spec: &PushSpec, payloads: &[Vec<u8>], floor: u64, now: UnixMs) -> Answer {
        let mut ids = Vec::new();
        if let Some(refusal) = self.refuses_more(payloads.len(), now).filter(|_| !is_past_ttl(spec, now)) {
            return Answer::Refused(refusal);
        }
        for payload in payloads {
            let batch = spec.batch.clone().map(|(name, _)| (name, false));
            let spec = PushSpec { payload: payload.clone(), batch, unique: None, ..spec.clone() };
            match self.push(&spec, None, false, floor, now) {
                Answer::Pushed { id, .. } => ids.push(id),
                refused => return refused,
            }
        }
        if let Some((name, true)) = &spec.batch {
            self.seal(name, now);
        }
        Answer::PushedAll(ids)
    }

    /// Whether a new task cannot come to its batch.
    fn is_refused(&self, spec: &PushSpec) -> bool {
        let batch = spec.batch.as_ref().and_then(|(name, _)| self.batch(name));
        batch.is_some_and(|batch| self.batches[&batch].sealed)
    }

    /// Whether there is a task of this id that is not about to follow its batch.
    fn is_there(&self, id: &str) -> bool {
        self.tasks.get(id).is_some_and(|task| !self.is_leaving(task))
    }

    fn push(&mut self, spec: &PushSpec, id: Option<&str>, renew: bool, floor: u64, now: UnixMs) -> Answer {
        let answers = id.is_some_and(|id| self.is_there(id) && !(renew && self.tasks[id].ended_badly()));
        let Some(unique) = spec.unique.as_ref().filter(|_| !answers) else { return self.push_plain(spec, id, renew, floor, now) };
        if is_past_ttl(spec, now) {
            return Answer::Refused(Refusal::DelayPastTtl);
        }
        let mut key = Key { name: unique.key.clone(), until: unique.hold.map(|ms| now.after(Ms(ms))), follows: false };
        let mut spec = spec.clone();
        if let Some((holder, is_gone, follow_up)) = self.holder(&unique.key, now) {
            let next = follow_up.unwrap_or_else(|| holder.clone());
            let can_change = unique.replace && !is_gone && !self.tasks[&next].state().is_terminal();
            if !(can_change && self.tasks[&next].is(State::Claimed)) {
                if can_change {
                    self.free_if_over(&unique.key, now);
                    self.replace(&next, &spec, &key, now);
                }
                if let Some((name, true)) = &spec.batch {
                    self.seal(name, now);
                }
                return Answer::Pushed { id: if can_change { next } else { holder }, added: can_change };
            }
            key.follows = true;
            spec.after = Some(AfterSpec { on: OnSpec::Tasks(vec![holder]), run_anyway: true });
        }
        let answer = self.push_plain(&spec, id, renew, floor, now);
        if let Answer::Pushed { id, .. } = &answer {
            self.take_key(id, key, now);
        }
        answer
    }

    /// A task that is not claimed begins anew with another payload.
    fn replace(&mut self, id: &str, spec: &PushSpec, key: &Key, now: UnixMs) {
        self.void(id);
        self.totals.pushed += 1;
        let due = Some(UnixMs(due_of(spec, now))).filter(|&due| due > now);
        let task = self.task(id);
        task.payload.clone_from(&spec.payload);
        (task.priority, task.options, task.created) = (spec.priority, spec.options, now);
        (task.tries, task.error, task.checkpoint) = (0, None, None);
        task.ttl_at = spec.ttl.map(|ttl| UnixMs(now.0 + ttl));
        task.key.as_mut().unwrap().until = key.until;
        match (task.state(), due) {
            (State::Waiting, due) => {
                task.after.as_mut().unwrap().due = due;
                self.enter(id, State::Waiting, now);
            }
            (_, Some(due)) => self.enter(id, State::Scheduled, due),
            (State::Ready, None) => self.enter(id, State::Ready, now),
            (_, None) => self.stand_at_the_end(id, now),
        }
        if self.held_by(id).is_some() {
            self.keys.get_mut(&key.name).unwrap().until = key.until;
        }
    }

    fn push_plain(&mut self, spec: &PushSpec, id: Option<&str>, renew: bool, floor: u64, now: UnixMs) -> Answer {
        let due = due_of(spec, now);
        if is_past_ttl(spec, now) {
            return Answer::Refused(Refusal::DelayPastTtl);
        }
        self.last_birth += 1;
        let mut task = Task { born: self.last_birth, ..Task::default() };
        let batch_of_push = spec.batch.as_ref().map(|(name, _)| &**name);
        let id = if let Some(id) = id {
            if let Some(known) = self.tasks.get(id).filter(|known| !self.is_leaving(known)).cloned() {
                if !(renew && known.ended_badly()) {
                    if let Some((name, true)) = &spec.batch {
                        self.seal(name, now);
                    }
                    return Answer::Pushed { id: id.to_owned(), added: false };
                }
                if let Some(refusal) = self.refuses_more(1, now) {
                    return Answer::Refused(refusal);
                }
                if spec.batch.as_ref().is_some_and(|(name, _)| known.batch.is_none() || self.batch(name) != known.batch) {
                    return Answer::Refused(Refusal::OtherBatch);
                }
                let own = known.batch.and_then(|batch| self.batches[&batch].name.as_deref());
                if let Some(refusal) = self.refuses(Some(id), spec, own) {
                    return Answer::Refused(refusal);
                }
                self.reopen(id, now);
                (task.batch, task.born) = (known.batch, known.born);
                // Begins again; but attempts never go back, and no claim before it counts any more.
                (task.attempt, task.worker) = (known.attempt, known.worker);
                // In its group, unless it is given another one.
                task.group = known.group;
                if task.attempt > 0 {
                    task.claim = Claim::Voided;
                }
            }
            if let Some(refusal) = self.refuses_more(1, now).filter(|_| !self.is_there(id)) {
                return Answer::Refused(refusal);
            }
            if !self.is_there(id) && self.is_refused(spec) {
                return Answer::Refused(Refusal::Sealed);
            }
            if let Some(refusal) = self.refuses(None, spec, batch_of_push).filter(|_| !self.is_there(id)) {
                return Answer::Refused(refusal);
            }
            id.to_owned()
        } else {
            if let Some(refusal) = self.refuses_more(1, now) {
                return Answer::Refused(refusal);
            }
            if self.is_refused(spec) {
                return Answer::Refused(Refusal::Sealed);
            }
            if let Some(refusal) = self.refuses(None, spec, batch_of_push) {
                return Answer::Refused(refusal);
            }
            let mut number = (now.0 << 16).max(self.last_id + 1).max(floor + 1);
            while self.tasks.contains_key(&made(number)) {
                number += 1;
            }
            self.last_id = number;
            made(number)
        };
        if let Some((name, seal)) = &spec.batch {
            let is_known = task.batch.is_some();
            let batch = self.batch_named(name);
            (batch.sealed, batch.touched) = (batch.sealed || *seal, now);
            if !is_known {
                batch.open.push(id.clone());
                task.batch = self.batch(name);
            }
        }
        if self.tasks.get(&id).is_some_and(|known| self.is_leaving(known)) {
            self.drop(&id);
        }
        task.payload.clone_from(&spec.payload);
        (task.priority, task.options, task.created) = (spec.priority, spec.options, now);
        task.ttl_at = spec.ttl.map(|ttl| UnixMs(now.0 + ttl));
        task.group = spec.group.clone().or(task.group);
        self.tasks.insert(id.clone(), task);
        self.totals.pushed += 1;
        if let Some(after) = &spec.after {
            self.wait(&id, now);
            let due = Some(UnixMs(due)).filter(|&due| due > now);
            let (names, is_of_batch) = names(after);
            self.depend(&id, names, &After { run_anyway: after.run_anyway, due, is_of_batch, on: Vec::new() });
        } else if due > now.0 {
            self.enter(&id, State::Scheduled, UnixMs(due));
        } else {
            self.stand_at_the_end(&id, now);
        }
        Answer::Pushed { id, added: true }
    }

    fn close(&mut self, connection: u64) -> Answer {
        for task in self.tasks.values_mut().filter(|task| task.session == Some(Session::Of(connection))) {
            task.session = Some(Session::Over);
        }
        Answer::Done
    }

    fn claim(&mut self, worker: &str, lease: Option<Ms>, session: Option<u64>, now: UnixMs, server: &Defaults) -> Answer {
        self.rewind_starts(now);
        if self.may_not_claim(now) {
            return Answer::Claimed(None);
        }
        while let Some(id) = self.next_ready() {
            if self.task(&id).ttl_at.is_some_and(|ttl_at| ttl_at <= now) {
                self.expire(&id, now, server);
                continue;
            }
            let settings = self.task(&id).settings(server);
            let lease = lease.unwrap_or(settings.lease);
            let timeout_at = settings.timeout.map(|timeout| UnixMs(now.0 + timeout.0));
            let lease_end = if session.is_some() { UnixMs(u64::MAX) } else { UnixMs(now.0 + lease.0) };
            let deadline = lease_end.min(timeout_at.unwrap_or(UnixMs(u64::MAX)));
            let group = self.task(&id).group.clone();
            self.rotation.retain(|other| *other != group);
            self.enter(&id, State::Claimed, deadline);
            let task = self.task(&id);
            (task.attempt, task.tries, task.claim) = (task.attempt + 1, task.tries + 1, Claim::Live);
            (task.worker, task.lease) = (Some(worker.to_owned()), lease);
            (task.claimed_at, task.timeout_at, task.ttl_at) = (now, timeout_at, None);
            task.session = session.map(Session::Of);
            let claimed = (id.clone(), task.payload.clone(), task.attempt, deadline);
            self.totals.claimed += 1;
            if let Some(rate) = self.settings.rate {
                self.starts.push(now);
                // What is over stays as far as a clock that steps back could make it count again.
                while self.starts.len() > rate.claims as usize && self.starts[0].0 + rate.window.0 <= now.0 {
                    self.starts.remove(0);
                }
            }
            return Answer::Claimed(Some(claimed));
        }
        Answer::Claimed(None)
    }

    /// How the claim of an answer stands, or why it is refused.
    fn standing(&self, id: &str, attempt: Option<u32>) -> Result<Claim, Refusal> {
        let task = self.tasks.get(id).ok_or(Refusal::NoTask)?;
        if task.is(State::Canceled) {
            return Err(Refusal::Canceled);
        }
        match attempt {
            Some(attempt) if attempt != task.attempt || task.attempt == 0 => Err(Refusal::Stale),
            Some(_) if task.claim == Claim::Voided => Err(Refusal::Stale),
            Some(_) if task.claim == Claim::Lapsed && !task.is(State::Ready) => Err(Refusal::NotClaimed(task.state())),
            None if !task.is(State::Claimed) => Err(Refusal::NotClaimed(task.state())),
            _ => Ok(task.claim),
        }
    }

    fn extend(&mut self, id: &str, attempt: Option<u32>, lease: Option<Ms>, checkpoint: Option<&Vec<u8>>, now: UnixMs) -> Answer {
        match self.standing(id, attempt) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Claim::Live) => {
                let task = self.task(id);
                let deadline = UnixMs(now.0 + lease.unwrap_or(task.lease).0).min(task.timeout_at.unwrap_or(UnixMs(u64::MAX)));
                if let Some(checkpoint) = checkpoint {
                    task.checkpoint = Some(checkpoint.clone());
                }
                if deadline != task.at && task.session.is_none() {
                    self.enter(id, State::Claimed, deadline);
                }
                Answer::Done
            }
            Ok(_) => Answer::Refused(Refusal::NotClaimed(self.task(id).state())),
        }
    }

    fn complete(
        &mut self,
        id: &str,
        attempt: Option<u32>,
        result: &[u8],
        retain: Option<Retention>,
        now: UnixMs,
        server: &Defaults,
    ) -> Answer {
        match self.standing(id, attempt) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Claim::Completed) => Answer::Completed(Completion::Repeated),
            Ok(Claim::Live | Claim::Lapsed) => {
                let task = self.task(id);
                let drop_at = kept_until(retain.unwrap_or(task.settings(server).retain), now);
                (task.claim, task.result) = (Claim::Completed, Some(result.to_vec()));
                (task.error, task.checkpoint) = (None, None);
                self.end(id, State::Completed, now, drop_at);
                Answer::Completed(Completion::Published)
            }
            Ok(_) => Answer::Refused(Refusal::NotClaimed(self.task(id).state())),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all that FAIL depends on")]
    fn fail(
        &mut self,
        id: &str,
        attempt: Option<u32>,
        error: &[u8],
        next: Next,
        now: UnixMs,
        server: &Defaults,
        hints: &Hints,
    ) -> Answer {
        match self.standing(id, attempt) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Claim::Failed(state)) => Answer::State(state),
            Ok(Claim::Live | Claim::Lapsed) => {
                let task = self.task(id);
                task.error = Some(error.to_vec());
                let state = if next == Next::Dead || !task.has_tries_left(server) {
                    let drop_at = kept_until(task.settings(server).retain_failed, now);
                    self.end(id, State::Failed, now, drop_at);
                    State::Failed
                } else {
                    let nominal = task.backoff(server);
                    self.totals.retried += 1;
                    let due = match next {
                        Next::RetryAfter(delay) => UnixMs(now.0 + delay.0),
                        // Jitter: any due time within ten per cent will do.
                        _ => hints
                            .due
                            .filter(|due| due.since(now).0.abs_diff(nominal) <= nominal / 10)
                            .unwrap_or(now.after(Ms(nominal))),
                    };
                    if due > now {
                        self.enter(id, State::Scheduled, due);
                        State::Scheduled
                    } else {
                        self.stand_at_the_end(id, now);
                        State::Ready
                    }
                };
                self.task(id).claim = Claim::Failed(state);
                Answer::State(state)
            }
            Ok(_) => Answer::Refused(Refusal::NotClaimed(self.task(id).state())),
        }
    }

    fn release(&mut self, id: &str, attempt: Option<u32>, delay: Ms, now: UnixMs) -> Answer {
        match self.standing(id, attempt) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Claim::Released) => Answer::Done,
            Ok(Claim::Live | Claim::Lapsed) => {
                let task = self.task(id);
                task.tries -= 1;
                task.claim = Claim::Released;
                if delay > Ms(0) {
                    self.enter(id, State::Scheduled, UnixMs(now.0 + delay.0));
                } else if task.is(State::Claimed) {
                    self.enter(id, State::Ready, now);
                }
                self.totals.released += 1;
                Answer::Done
            }
            Ok(_) => Answer::Refused(Refusal::NotClaimed(self.task(id).state())),
        }
    }

    /// Of the next to go of each state, the one that finished first.
    fn forget_first(&mut self, now: UnixMs) -> bool {
        let states = [State::Completed, State::Failed, State::Canceled, State::Expired];
        let free = |state| self.of_state(state).into_iter().find(|id| self.tasks[id].batch.is_none());
        let heads = states.into_iter().filter_map(free);
        let first = heads.min_by_key(|id| self.tasks[id].finished);
        first.inspect(|id| self.forget(id, now)).is_some()
    }

    // Time.

    fn due(&self, which: impl Fn(&Task) -> Option<UnixMs>, now: UnixMs) -> Vec<String> {
        let at = |task: &Task| which(task).map_or(u64::MAX, |at| at.0);
        self.sorted(|task| which(task).is_some_and(|at| at <= now), |task| (at(task), task.entered))
    }

    fn tick(&mut self, budget: usize, now: UnixMs, server: &Defaults, hints: &Hints) -> Answer {
        let drop_at = |task: &Task| task.state().is_terminal().then_some(task.at);
        let due_at = |task: &Task| task.is(State::Scheduled).then_some(task.at);
        let ttl_at = |task: &Task| task.ttl_at;
        let deadline = |task: &Task| task.is(State::Claimed).then_some(task.at);
        let over = |task: &Task| task.session == Some(Session::Over);

        for id in self.first_of(&self.due(drop_at, now), drop_at, budget, &hints.dropped) {
            self.drop(&id);
        }
        for done in [true, false] {
            for batch in self.batches_due(done, now, server).into_iter().take(budget) {
                self.drop_batch(batch);
            }
        }
        for id in self.leaving().into_iter().take(budget) {
            self.drop(&id);
        }
        for id in self.due(due_at, now).into_iter().take(budget) {
            self.stand_at_the_end(&id, now);
        }
        for id in self.first_of(&self.due(ttl_at, now), ttl_at, budget, &hints.expired) {
            self.expire(&id, now, server);
        }
        for id in self.sorted(over, |task| (task.place, 0)).into_iter().take(budget) {
            self.lapse(&id, now, server);
        }
        for id in self.due(deadline, now).into_iter().take(budget) {
            self.lapse(&id, now, server);
        }
        self.tell(budget, now, server);
        for _ in 0..budget {
            let Some(name) = self.keys_due(now).into_iter().next() else { break };
            self.free_if_over(&name, now);
        }
        Answer::Left(
            [&drop_at as &dyn Fn(&Task) -> Option<UnixMs>, &due_at, &ttl_at, &deadline]
                .into_iter()
                .any(|which| !self.due(which, now).is_empty())
                || self.tasks.values().any(over)
                || [true, false].into_iter().any(|done| !self.batches_due(done, now, server).is_empty())
                || !self.leaving().is_empty()
                || !self.excess().is_empty()
                || self.ties().any(|one| one.ended.is_some() && !one.told)
                || !self.keys_due(now).is_empty(),
        )
    }

    /// The first `budget` of `due`; which of one millisecond is first, and in which order they go, is left to the queue.
    fn first_of(&self, due: &[String], at: impl Fn(&Task) -> Option<UnixMs>, budget: usize, chosen: &[String]) -> Vec<String> {
        let times = |ids: &[String]| ids.iter().map(|id| self.tasks.get(id).and_then(&at)).collect::<Vec<_>>();
        let due = &due[..due.len().min(budget)];
        let chosen = &chosen[..chosen.len().min(due.len())];
        if times(chosen) == times(due) { chosen.to_vec() } else { due.to_vec() }
    }

    fn lapse(&mut self, id: &str, now: UnixMs, server: &Defaults) {
        self.totals.lapsed += 1;
        let task = self.task(id);
        task.claim = Claim::Lapsed;
        if task.has_tries_left(server) {
            self.enter(id, State::Ready, now);
        } else {
            let by_timeout = task.timeout_at.is_some_and(|at| at == task.at && at <= now);
            task.error = Some(if by_timeout { b"timeout".to_vec() } else { b"lease expired".to_vec() });
            let drop_at = kept_until(task.settings(server).retain_failed, now);
            self.end(id, State::Failed, now, drop_at);
        }
    }
}

/// When what is pushed is due.
fn due_of(spec: &PushSpec, now: UnixMs) -> u64 {
    match spec.delay {
        DelaySpec::For(ms) => now.0 + ms,
        DelaySpec::At(ms) => START.0 + ms,
    }
}

fn is_past_ttl(spec: &PushSpec, now: UnixMs) -> bool {
    spec.ttl.is_some_and(|ttl| due_of(spec, now) >= now.0 + ttl)
}

/// What a push is to wait for, and whether it is a batch.
fn names(spec: &AfterSpec) -> (Vec<String>, bool) {
    match &spec.on {
        OnSpec::Tasks(ids) => (ids.clone(), false),
        OnSpec::Batch(name) => (vec![name.clone()], true),
        OnSpec::Picks(_) => panic!("the driver has found out what is meant"),
    }
}

/// Whether all that can be seen of the queue is what the model says.
fn same(driver: &Driver, model: &Model) -> Result<(), String> {
    let queue = &driver.queue;
    for state in State::ALL {
        equal("order", listed(queue, state), model.of_state(state))?;
        equal("count", queue.count(state), model.of_state(state).len())?;
    }
    equal("length", queue.len(), model.tasks.len())?;
    equal("totals", *queue.totals(), model.totals)?;
    equal("settings of the queue", queue.settings(), model.settings)?;
    equal("last id", queue.last_id().0, model.last_id)?;
    equal("has ready", queue.has_ready(), model.next_ready().is_some())?;
    let groups: BTreeSet<&String> = model.tasks.values().filter_map(|task| task.group.as_ref()).collect();
    equal("groups", queue.groups(), groups.len())?;
    for number in 0..3 {
        let name = format!("batch-{number}");
        let found = model.batch(&name).map(|batch| &model.batches[&batch]);
        let of_state =
            |batch: &Batch, state| batch.open.iter().chain(&batch.ends).filter(|&id| model.tasks[id].is(state)).count();
        let expected = found.map(|batch| BatchView {
            total: batch.total(),
            counts: State::ALL.map(|state| of_state(batch, state)),
            sealed: batch.sealed,
            done: batch.is_done(),
        });
        equal("batch", queue.find_batch(&name).map(|batch| queue.view_batch(batch)), expected)?;
    }
    for number in 0..3 {
        let key = format!("key-{number}");
        equal("holder", queue.holder_of(&key).map(|id| id.to_string()), model.keys.get(&key).map(|hold| hold.id.clone()))?;
    }
    for (id, task) in &model.tasks {
        let slot = driver.find(id).ok_or(format!("{id} is lost"))?;
        let view = queue.view(slot, &driver.defaults);
        let state = task.state();
        let over = state.is_terminal();
        equal("id", view.id.to_string(), id.clone())?;
        equal("state", view.state, state)?;
        equal("payload", view.payload, (state != State::Completed).then_some(&*task.payload))?;
        equal("result", view.result, task.result.as_deref())?;
        equal("error", view.error, task.error.as_deref())?;
        equal("checkpoint", view.checkpoint, task.checkpoint.as_deref())?;
        equal("priority", view.priority, task.priority)?;
        equal("attempt", view.attempt, task.attempt)?;
        equal("tries", view.tries, task.tries)?;
        equal("worker", view.worker, task.worker.as_deref().filter(|_| over || state == State::Claimed))?;
        equal("created", view.created, task.created)?;
        equal("ready at", view.ready_at, matches!(state, State::Ready | State::Scheduled).then_some(task.at))?;
        equal("claimed at", view.claimed_at, (state == State::Claimed).then_some(task.claimed_at))?;
        equal("deadline", view.deadline, (state == State::Claimed && task.at != UnixMs::NEVER).then_some(task.at))?;
        equal("session", view.session, task.session.is_some())?;
        equal("finished", view.finished, over.then_some(task.finished))?;
        let batch = task.batch.map(|batch| &model.batches[&batch]);
        let drop_at = match batch {
            None => over.then_some(task.at),
            Some(batch) => over
                .then_some(batch.kept_until)
                .filter(|_| batch.is_done() && !task.batch.is_some_and(|batch| model.is_batch_needed(batch))),
        };
        equal("drop at", view.drop_at, drop_at.filter(|&at| at < TIED))?;
        if let Some(name) = batch.and_then(|batch| batch.name.as_deref()) {
            equal("batch", view.batch, Some(name))?;
        }
        equal("group", view.group, task.group.as_deref())?;
        equal("expires at", view.expire_at, task.ttl_at)?;
        equal("key", view.unique, task.key.as_ref().map(|key| &*key.name))?;
        equal("key until", view.unique_until, task.key.as_ref().and_then(|key| key.until))?;
        let follow_up = model.held_by(id).and_then(|name| model.keys[&name].follow_up.clone());
        equal("follow-up", view.follow_up.map(|id| id.to_string()), follow_up)?;
        equal("waits since", view.waits_since, (state == State::Waiting).then_some(task.at))?;
        let after = queue.after_view(slot).map(|after| {
            let on: Vec<String> = after.on().map(|id| id.to_string()).collect();
            (on, after.is_of_batch(), after.runs_anyway(), after.missing() as usize)
        });
        let expected = task.after.as_ref().map(|after| {
            let on = after.on.iter().map(|one| one.name.clone()).collect();
            (on, after.is_of_batch, after.run_anyway, after.missing())
        });
        equal("after", after, expected)?;
        equal("settings", view.settings, task.settings(&driver.defaults.with(&model.settings.options)))?;
        let data = match state {
            State::Completed => task.result.as_deref(),
            State::Failed => task.error.as_deref(),
            _ => None,
        };
        equal("result and state", queue.result(slot), (state, data))?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "calls are long enough")]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, is: T, expected: T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what} is {is:?}, not {expected:?}")) }
}
