//! Random commands, and a driver that says them to a queue.
//!
//! Times are short and ids few, so that deadlines meet, ids come again and commands find tasks in every state.

#![allow(dead_code, reason = "each test uses its part")]

use proptest::prelude::*;
use taskqueue::op::{self, After, Claim, Completion, Delay, IntoBatch, Next, On, Push, PushOutcome, Unique};
use taskqueue::{
    Connection, Defaults, Definition, Effect, Journal, MadeId, Misfire, Ms, Options, Overlap, Pause, Progress, Queue, Rate,
    Recurrence, Refusal, Retention, Settings, SlotOutcome, State, TaskId, Txn, UnixMs, effect,
};

/// When the tests begin.
pub(crate) const START: UnixMs = UnixMs(100_000);

/// A command as it is drawn: which task it means is found out when it is said.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Push {
        task: PushSpec,
        id: Option<u8>,
        renew: bool,
        floor: u8,
    },
    PushAll {
        task: PushSpec,
        payloads: Vec<Vec<u8>>,
        floor: u8,
    },
    Claim {
        worker: u8,
        lease: Option<u64>,
        session: bool,
    },
    /// A worker's connection is closed.
    Close(u8),
    Extend {
        task: Target,
        lease: Option<u64>,
        checkpoint: Option<Vec<u8>>,
    },
    Complete {
        task: Target,
        result: Vec<u8>,
        retain: Option<Retention>,
    },
    Fail {
        task: Target,
        error: Vec<u8>,
        next: Next,
        dice: u64,
    },
    Release {
        task: Target,
        delay: u64,
    },
    /// The last answer of a worker once more.
    Again,
    Cancel(usize),
    Forget(usize),
    Retry(usize),
    CancelAll(usize),
    ForgetAll(usize),
    RetryAll(usize),
    Seal(u8),
    CancelBatch(u8, usize),
    ForgetBatch(u8),
    RetryBatch(u8, usize),
    Tick {
        budget: usize,
    },
    Clock {
        forward: u64,
        back: u64,
    },
    Configure(Defaults),
    Set {
        settings: Settings,
        pause_ms: Option<u64>,
    },
}

/// What a push says besides its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PushSpec {
    pub(crate) payload: Vec<u8>,
    pub(crate) priority: u8,
    pub(crate) delay: DelaySpec,
    pub(crate) ttl: Option<u64>,
    pub(crate) options: Options,
    /// The batch, and whether it is sealed.
    pub(crate) batch: Option<(String, bool)>,
    /// What it waits for.
    pub(crate) after: Option<AfterSpec>,
    /// Its group.
    pub(crate) group: Option<String>,
    /// The key that it is to have alone.
    pub(crate) unique: Option<Box<UniqueSpec>>,
}

/// A key, for how long it is held if that is said, and REPLACE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UniqueSpec {
    pub(crate) key: String,
    pub(crate) hold: Option<u64>,
    pub(crate) replace: bool,
}

/// When a schedule has slots, and what is pushed at each: at multiples of so many milliseconds, said as EVERY or as CRON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScheduleSpec {
    pub(crate) every: u64,
    pub(crate) is_cron: bool,
    pub(crate) misfire: Misfire,
    pub(crate) overlap: Overlap,
    pub(crate) task: PushSpec,
}

impl ScheduleSpec {
    /// Whether both have the same slots, said in the same way.
    pub(crate) fn recurs_as(&self, other: &Self) -> bool {
        (self.every, self.is_cron) == (other.every, other.is_cron)
    }

    pub(crate) fn recurrence(&self) -> Recurrence<'_> {
        let expression = match self.every {
            _ if !self.is_cron => return Recurrence::Every(Ms(self.every)),
            1_000 => "* * * * * *",
            2_000 => "*/2 * * * * *",
            every => panic!("no CRON is every {every} ms"),
        };
        Recurrence::Cron { expression, zone: "UTC" }
    }

    pub(crate) fn definition(&self) -> Definition<'_> {
        let Push { payload, priority, delay, ttl, options, unique, group, .. } = as_push(&self.task, None, false, &[]);
        let Delay::For(delay) = delay else { panic!("a schedule has no AT") };
        let (recurrence, misfire, overlap) = (self.recurrence(), self.misfire, self.overlap);
        Definition { recurrence, misfire, overlap, payload, priority, delay, ttl, options, unique, group }
    }
}

/// A slot that has passed, and so many before it that were missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) slot: UnixMs,
    pub(crate) next: UnixMs,
    pub(crate) missed: u64,
    pub(crate) outcome: SlotOutcome,
}

impl PushSpec {
    /// A payload and nothing else.
    pub(crate) fn plain(payload: Vec<u8>) -> Self {
        let (delay, options) = (DelaySpec::For(0), Options::default());
        Self { payload, priority: 0, delay, ttl: None, options, batch: None, after: None, group: None, unique: None }
    }
}

/// What a task waits for, and whether it runs whatever becomes of that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AfterSpec {
    pub(crate) on: OnSpec,
    pub(crate) run_anyway: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OnSpec {
    /// Tasks that are found out when it is pushed.
    Picks(Vec<usize>),
    Tasks(Vec<String>),
    Batch(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DelaySpec {
    For(u64),
    /// `Until` so long after [`START`].
    At(u64),
}

/// A task that a worker speaks of, and what it says of its claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pick: usize,
    attempt: Token,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    Last,
    Before,
    Exactly(u32),
}

/// A command as it is said to queue and model alike.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Push {
        task: PushSpec,
        id: Option<String>,
        renew: bool,
        floor: MadeId,
    },
    PushAll {
        task: PushSpec,
        payloads: Vec<Vec<u8>>,
        floor: MadeId,
    },
    Claim {
        worker: String,
        lease: Option<Ms>,
        session: Option<u64>,
    },
    Close(u64),
    Extend {
        id: String,
        attempt: Option<u32>,
        lease: Option<Ms>,
        checkpoint: Option<Vec<u8>>,
    },
    Complete {
        id: String,
        attempt: Option<u32>,
        result: Vec<u8>,
        retain: Option<Retention>,
    },
    Fail {
        id: String,
        attempt: Option<u32>,
        error: Vec<u8>,
        next: Next,
        dice: u64,
    },
    Release {
        id: String,
        attempt: Option<u32>,
        delay: Ms,
    },
    Cancel(String),
    Forget(String),
    Retry(String),
    CancelAll(usize),
    ForgetAll(usize),
    RetryAll(usize),
    Seal(String),
    CancelBatch(String, usize),
    ForgetBatch(String),
    RetryBatch(String, usize),
    Tick {
        budget: usize,
    },
    Set(Settings),
    Schedule(String, ScheduleSpec),
    Unschedule(String),
    /// Time lets the next slot of all schedules pass, if it is due.
    Fire {
        has_room: bool,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Refused(Refusal),
    Pushed {
        id: String,
        added: bool,
    },
    PushedAll(Vec<String>),
    /// With the end of the claim; never, if it has none.
    Claimed(Option<(String, Vec<u8>, u32, UnixMs)>),
    Completed(Completion),
    State(State),
    Done,
    Count(usize),
    /// Whether something that is due is left.
    Left(bool),
    /// The next slot.
    Next(UnixMs),
    /// What slot has passed.
    Passed(Option<Passed>),
}

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![Just(10), 1..60_u64]
}

fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        2 => Just(Retention::For(Ms(0))),
        4 => millis().prop_map(|ms| Retention::For(Ms(ms))),
        2 => Just(Retention::Forever),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..6)
}

fn backoff() -> impl Strategy<Value = Ms> {
    prop::sample::select(vec![Ms(0), Ms(10), Ms(40), Ms(3_000_000)])
}

fn options() -> impl Strategy<Value = Options> {
    let none = Just(Options::default());
    let some = (
        prop::option::of(0..4_u16),
        prop::option::of(backoff()),
        prop::option::of(millis().prop_map(Ms)),
        prop::option::of(millis().prop_map(Ms)),
        prop::option::of(retention()),
        prop::option::of(retention()),
    );
    let some = some.prop_map(|(attempts, backoff, lease, timeout, retain, retain_failed)| Options {
        attempts,
        backoff,
        lease,
        timeout,
        retain,
        retain_failed,
    });
    prop_oneof![none, some]
}

pub(crate) fn defaults() -> impl Strategy<Value = Defaults> {
    (0..4_u16, backoff(), millis(), prop::option::weighted(0.3, millis()), retention(), retention()).prop_map(
        |(attempts, backoff, lease, timeout, retain, retain_failed)| Defaults {
            attempts,
            backoff,
            lease: Ms(lease),
            timeout: timeout.map(Ms),
            retain,
            retain_failed,
        },
    )
}

fn push_spec() -> impl Strategy<Value = PushSpec> {
    let delay = prop_oneof![
        5 => Just(DelaySpec::For(0)),
        2 => millis().prop_map(DelaySpec::For),
        1 => (0..300_u64).prop_map(DelaySpec::At),
    ];
    let priority = prop_oneof![4 => Just(0), 1 => Just(7), 1 => any::<u8>()];
    let batch = prop::option::weighted(0.4, (0..3_u8, prop::bool::weighted(0.2)));
    let batch = batch.prop_map(|batch| batch.map(|(number, seal)| (batch_name(number), seal)));
    let on = prop_oneof![
        3 => prop::collection::vec(0..6_usize, 1..4).prop_map(OnSpec::Picks),
        1 => (0..3_u8).prop_map(|number| OnSpec::Batch(batch_name(number))),
    ];
    let after = prop::option::weighted(0.4, (on, prop::bool::weighted(0.3)));
    let after = after.prop_map(|after| after.map(|(on, run_anyway)| AfterSpec { on, run_anyway }));
    let unique = (0..3_u8, prop::option::weighted(0.4, prop_oneof![1 => Just(0), 4 => 1..120_u64]), prop::bool::weighted(0.6));
    let unique = unique.prop_map(|(number, hold, replace)| Box::new(UniqueSpec { key: format!("key-{number}"), hold, replace }));
    let group = prop::option::weighted(0.5, (0..3_u8).prop_map(group_name));
    let related = (batch, after, prop::option::weighted(0.4, unique), group);
    (bytes(), priority, delay, prop::option::weighted(0.3, 1..90_u64), options(), related).prop_map(
        |(payload, priority, delay, ttl, options, (batch, after, unique, group))| PushSpec {
            payload,
            priority,
            delay,
            ttl,
            options,
            batch,
            // As the command has it.
            after: after.filter(|_| !unique.as_ref().is_some_and(|unique| unique.replace)),
            unique,
            group,
        },
    )
}

fn batch_name(number: u8) -> String {
    format!("batch-{number}")
}

fn group_name(number: u8) -> String {
    format!("group-{number}")
}

fn target() -> impl Strategy<Value = Target> {
    let attempt = prop_oneof![
        2 => Just(Token::None),
        6 => Just(Token::Last),
        1 => Just(Token::Before),
        1 => (0..4_u32).prop_map(Token::Exactly),
    ];
    (any::<usize>(), attempt).prop_map(|(pick, attempt)| Target { pick, attempt })
}

fn next() -> impl Strategy<Value = Next> {
    let after = prop_oneof![Just(0), millis()].prop_map(|ms| Next::RetryAfter(Ms(ms)));
    prop_oneof![3 => Just(Next::Retry), 2 => after, 1 => Just(Next::Dead)]
}

/// Most set little, so that not all is refused.
fn settings() -> impl Strategy<Value = Settings> {
    let limit = || prop_oneof![4 => Just(0), 1 => 1..4_u32];
    let rate = (1..4_u32, millis()).prop_map(|(claims, window)| Rate { claims, window: Ms(window) });
    let pause = prop_oneof![6 => Just(Pause::No), 1 => Just(Pause::In), 1 => Just(Pause::Out), 1 => Just(Pause::All)];
    let max_len = prop_oneof![4 => Just(0), 1 => 3..9_u32];
    let group_concurrency = prop_oneof![2 => Just(0), 3 => Just(1), 2 => 2..4_u32];
    let events = prop_oneof![1 => Just(0), 1 => 1..9_u32, 1 => Just(500)];
    let limits = (limit(), limit(), max_len, limit(), group_concurrency);
    (options(), limits, prop::option::weighted(0.3, rate), pause, events).prop_map(
        |(options, (retain_max, failed_max, max_len, concurrency, group_concurrency), rate, pause, events)| Settings {
            options,
            retain_max,
            failed_max,
            max_len,
            rate,
            concurrency,
            group_concurrency,
            pause,
            events,
            ..Settings::default()
        },
    )
}

/// Steps as a queue may meet them.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let push = (push_spec(), prop::option::weighted(0.4, 0..8_u8), any::<bool>(), prop_oneof![9 => Just(0), 1 => 0..3_u8])
        .prop_map(|(task, id, renew, floor)| Step::Push { task, id, renew, floor });
    let push_all = (push_spec(), prop::collection::vec(bytes(), 1..5), prop_oneof![9 => Just(0), 1 => 0..3_u8])
        .prop_map(|(task, payloads, floor)| Step::PushAll { task, payloads, floor });
    let lease = || prop::option::weighted(0.3, millis());
    prop_oneof![
        14 => push,
        2 => push_all,
        14 => (0..3_u8, lease(), prop::bool::weighted(0.3))
            .prop_map(|(worker, lease, session)| Step::Claim { worker, lease, session }),
        2 => (0..3_u8).prop_map(Step::Close),
        5 => (target(), lease(), prop::option::of(bytes()))
            .prop_map(|(task, lease, checkpoint)| Step::Extend { task, lease, checkpoint }),
        5 => (target(), bytes(), prop::option::weighted(0.3, retention()))
            .prop_map(|(task, result, retain)| Step::Complete { task, result, retain }),
        7 => (target(), bytes(), next(), any::<u64>()).prop_map(|(task, error, next, dice)| Step::Fail { task, error, next, dice }),
        5 => (target(), prop_oneof![Just(0), millis()]).prop_map(|(task, delay)| Step::Release { task, delay }),
        4 => Just(Step::Again),
        3 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<usize>().prop_map(Step::Forget),
        4 => any::<usize>().prop_map(Step::Retry),
        1 => (0..4_usize).prop_map(Step::CancelAll),
        1 => (0..4_usize).prop_map(Step::ForgetAll),
        1 => (0..4_usize).prop_map(Step::RetryAll),
        3 => (0..3_u8).prop_map(Step::Seal),
        1 => (0..3_u8, 0..4_usize).prop_map(|(batch, count)| Step::CancelBatch(batch, count)),
        1 => (0..3_u8).prop_map(Step::ForgetBatch),
        2 => (0..3_u8, 0..4_usize).prop_map(|(batch, count)| Step::RetryBatch(batch, count)),
        12 => prop_oneof![1..4_usize, Just(1000)].prop_map(|budget| Step::Tick { budget }),
        12 => (0..40_u64).prop_map(|forward| Step::Clock { forward, back: 0 }),
        1 => (0..120_u64).prop_map(|back| Step::Clock { forward: 0, back }),
        1 => defaults().prop_map(Step::Configure),
        2 => (settings(), prop::option::of(millis())).prop_map(|(settings, pause_ms)| Step::Set { settings, pause_ms }),
    ]
}

/// A history of at most `len` steps, under settings to begin with.
pub(crate) fn history(len: usize) -> impl Strategy<Value = (Defaults, Vec<Step>)> {
    (defaults(), prop::collection::vec(step(), 1..len))
}

/// A queue, its clock and its settings.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) queue: Queue,
    pub(crate) journal: Journal,
    pub(crate) now: UnixMs,
    pub(crate) defaults: Defaults,
    /// Ids of all tasks there ever were; more than once if they came again.
    ids: Vec<String>,
    last_answer: Option<Command>,
}

impl Driver {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self { queue: Queue::default(), journal: Journal::default(), now: START, defaults, ids: Vec::new(), last_answer: None }
    }

    /// The command that a step is now; `None` if it is none, but a change of clock or settings.
    pub(crate) fn command(&mut self, step: &Step) -> Option<Command> {
        let command = match step.clone() {
            Step::Push { task, id, renew, floor } => {
                let task = self.with_dependencies(task);
                Command::Push { task, id: id.map(|id| self.client_id(id)), renew, floor: self.floor(floor) }
            }
            Step::PushAll { task, payloads, floor } => {
                let task = self.with_dependencies(task);
                Command::PushAll { task, payloads, floor: self.floor(floor) }
            }
            Step::Claim { worker, lease, session } => Command::Claim {
                worker: format!("worker-{worker}"),
                lease: lease.map(Ms),
                session: session.then(|| connection_of(worker)),
            },
            Step::Close(worker) => Command::Close(connection_of(worker)),
            Step::Extend { task, lease, checkpoint } => {
                let (id, attempt) = self.resolve(task);
                Command::Extend { id, attempt, lease: lease.map(Ms), checkpoint }
            }
            Step::Complete { task, result, retain } => {
                let (id, attempt) = self.resolve(task);
                Command::Complete { id, attempt, result, retain }
            }
            Step::Fail { task, error, next, dice } => {
                let (id, attempt) = self.resolve(task);
                Command::Fail { id, attempt, error, next, dice }
            }
            Step::Release { task, delay } => {
                let (id, attempt) = self.resolve(task);
                Command::Release { id, attempt, delay: Ms(delay) }
            }
            Step::Again => self.last_answer.clone()?,
            Step::Cancel(pick) => Command::Cancel(self.pick(pick)),
            Step::Forget(pick) => Command::Forget(self.pick(pick)),
            Step::Retry(pick) => Command::Retry(self.pick(pick)),
            Step::CancelAll(count) => Command::CancelAll(count),
            Step::ForgetAll(count) => Command::ForgetAll(count),
            Step::RetryAll(count) => Command::RetryAll(count),
            Step::Seal(batch) => Command::Seal(batch_name(batch)),
            Step::CancelBatch(batch, count) => Command::CancelBatch(batch_name(batch), count),
            Step::ForgetBatch(batch) => Command::ForgetBatch(batch_name(batch)),
            Step::RetryBatch(batch, count) => Command::RetryBatch(batch_name(batch), count),
            Step::Tick { budget } => Command::Tick { budget },
            Step::Set { settings, pause_ms } => {
                let is_pause = settings.pause != Pause::No;
                let paused_until = pause_ms.filter(|_| is_pause).map(|ms| self.now.after(Ms(ms)));
                Command::Set(Settings { paused_until, ..settings })
            }
            Step::Clock { forward, back } => {
                self.now = self.now.after(Ms(forward)).before(Ms(back));
                return None;
            }
            Step::Configure(defaults) => {
                self.defaults = defaults;
                return None;
            }
        };
        if matches!(command, Command::Complete { .. } | Command::Fail { .. } | Command::Release { .. }) {
            self.last_answer = Some(command.clone());
        }
        Some(command)
    }

    fn with_dependencies(&self, mut task: PushSpec) -> PushSpec {
        if let Some(AfterSpec { on, .. }) = &mut task.after
            && let OnSpec::Picks(picks) = on
        {
            let mut ids: Vec<String> = Vec::new();
            for id in picks.iter().map(|&pick| self.pick(pick)) {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            *on = OnSpec::Tasks(ids);
        }
        task
    }

    /// The last id of another queue, so many milliseconds ahead; 0: there is none.
    fn floor(&self, ahead: u8) -> MadeId {
        if ahead == 0 { MadeId(0) } else { MadeId::first_of(self.now.after(Ms(u64::from(ahead)))) }
    }

    /// Ids that clients give: names, and some of the form and time that the queue makes.
    fn client_id(&self, number: u8) -> String {
        match number {
            0..4 => format!("name-{number}"),
            4 => format!("{}-0", START.0),
            5 => format!("{}-1", START.0 + 20),
            _ => format!("{}-{}", self.now.0, number - 6),
        }
    }

    fn pick(&self, pick: usize) -> String {
        // One more than there are, so that some are unknown; the latest first, since they are the ones that live.
        self.ids.iter().rev().nth(pick % (self.ids.len() + 1)).cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    fn resolve(&self, target: Target) -> (String, Option<u32>) {
        let id = self.pick(target.pick);
        let last = self.find(&id).map_or(1, |slot| self.queue.view(slot, &self.defaults).attempt);
        let attempt = match target.attempt {
            Token::None => None,
            Token::Last => Some(last),
            Token::Before => Some(last.saturating_sub(1)),
            Token::Exactly(attempt) => Some(attempt),
        };
        (id, attempt)
    }

    pub(crate) fn find(&self, id: &str) -> Option<taskqueue::Slot> {
        self.queue.find(task_id(id))
    }

    /// Says a command to the queue and drops what is not to be kept. The journal holds what it recorded.
    pub(crate) fn run(&mut self, command: &Command) -> Answer {
        let answer = run(&mut self.queue, &mut self.journal, self.now, &self.defaults, command);
        match &answer {
            Answer::Pushed { id, added: true } => self.ids.push(id.clone()),
            Answer::PushedAll(ids) => self.ids.extend_from_slice(ids),
            _ => {}
        }
        answer
    }

    /// What the last command recorded.
    pub(crate) fn effects(&self) -> Vec<Effect<'_>> {
        effect::unpack(self.journal.packed.bytes()).map(Result::unwrap).collect()
    }
}

/// Says a command to a queue and drops what is not to be kept. The journal holds what it recorded.
pub(crate) fn run(queue: &mut Queue, journal: &mut Journal, now: UnixMs, defaults: &Defaults, command: &Command) -> Answer {
    journal.clear();
    if let Command::Close(connection) = command {
        queue.close_session(Connection(*connection), usize::MAX);
    }
    let mut txn = Txn::new(queue, journal, now);
    let answer = say(&mut txn, defaults, command);
    // Few at a time, so that commands meet what has not been told.
    op::tell(&mut txn, 2, defaults);
    txn.drop_unkept();
    answer
}

pub(crate) fn say(txn: &mut Txn<'_>, defaults: &Defaults, command: &Command) -> Answer {
    let counted = |done: bool| Answer::Count(usize::from(done));
    match command {
        Command::Push { task, id, renew, floor } => push(txn, task, id.as_deref(), *renew, *floor),
        Command::PushAll { task, payloads, floor } => {
            let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let ids = dependencies(task);
            let push = Push { unique: None, ..as_push(task, None, false, &ids) };
            let pushed = op::push_all(txn, &push, &payloads, *floor);
            answer(pushed, |slots| Answer::PushedAll(slots.iter().map(|&slot| txn.queue().id(slot).to_string()).collect()))
        }
        Command::Claim { worker, lease, session } => {
            let claim = Claim { worker, lease: *lease, session: session.map(Connection) };
            let slot = op::claim(txn, &claim, defaults);
            Answer::Claimed(slot.map(|slot| {
                let view = txn.queue().view(slot, defaults);
                (view.id.to_string(), view.payload.unwrap().to_vec(), view.attempt, view.deadline.unwrap_or(UnixMs::NEVER))
            }))
        }
        // Nothing that is recorded.
        Command::Close(_) => Answer::Done,
        Command::Extend { id, attempt, lease, checkpoint } => {
            answer(op::extend(txn, task_id(id), *attempt, *lease, checkpoint.as_deref()), |()| Answer::Done)
        }
        Command::Complete { id, attempt, result, retain } => {
            answer(op::complete(txn, task_id(id), *attempt, result, *retain, defaults), Answer::Completed)
        }
        Command::Fail { id, attempt, error, next, dice } => {
            answer(op::fail(txn, task_id(id), *attempt, error, *next, *dice, defaults), Answer::State)
        }
        Command::Release { id, attempt, delay } => answer(op::release(txn, task_id(id), *attempt, *delay), |()| Answer::Done),
        Command::Cancel(id) => counted(op::cancel(txn, task_id(id), defaults)),
        Command::Forget(id) => counted(op::forget(txn, task_id(id))),
        Command::Retry(id) => counted(op::retry(txn, task_id(id))),
        Command::CancelAll(count) => Answer::Count(op::cancel_all(txn, *count, defaults)),
        Command::ForgetAll(count) => Answer::Count(op::forget_all(txn, *count)),
        Command::RetryAll(count) => Answer::Count(op::retry_all(txn, *count)),
        Command::Seal(batch) => Answer::Count(op::seal(txn, batch)),
        Command::CancelBatch(batch, count) => Answer::Count(op::cancel_batch(txn, batch, *count, defaults)),
        Command::ForgetBatch(batch) => Answer::Count(op::forget_batch(txn, batch)),
        Command::RetryBatch(batch, count) => Answer::Count(op::retry_batch(txn, batch, *count)),
        Command::Tick { budget } => Answer::Left(op::tick(txn, *budget, defaults)),
        Command::Set(settings) => {
            op::set(txn, settings);
            Answer::Done
        }
        Command::Schedule(name, spec) => answer(op::schedule(txn, name, &spec.definition()), Answer::Next),
        Command::Unschedule(name) => counted(op::unschedule(txn, name)),
        Command::Fire { has_room } => {
            let before = progress(txn.queue());
            op::fire(txn, 1, *has_room);
            let passed = progress(txn.queue()).into_iter().zip(before).find(|(after, before)| after != before);
            Answer::Passed(passed.map(|((name, after), (_, before))| passed_between(name, before, after)))
        }
    }
}

fn progress(queue: &Queue) -> Vec<(String, Progress)> {
    queue.schedules().map(|schedule| (schedule.name.to_owned(), schedule.progress)).collect()
}

/// The slot that has passed, as a schedule's progress tells.
fn passed_between(name: String, before: Progress, after: Progress) -> Passed {
    let outcome = if after.fired > before.fired {
        SlotOutcome::Fired
    } else if after.skipped > before.skipped {
        SlotOutcome::Skipped
    } else {
        SlotOutcome::Missed
    };
    let missed = (after.missed - before.missed).saturating_sub(u64::from(outcome == SlotOutcome::Missed));
    Passed { name, slot: after.last.unwrap_or_default(), next: after.next, missed, outcome }
}

fn dependencies(task: &PushSpec) -> Vec<TaskId<'_>> {
    match task.after.as_ref().map(|after| &after.on) {
        Some(OnSpec::Tasks(ids)) => ids.iter().map(|id| task_id(id)).collect(),
        _ => Vec::new(),
    }
}

fn as_push<'a>(task: &'a PushSpec, id: Option<&'a str>, renew: bool, on: &'a [TaskId<'a>]) -> Push<'a> {
    Push {
        payload: &task.payload,
        id: id.map(task_id),
        renew,
        priority: task.priority,
        delay: match task.delay {
            DelaySpec::For(ms) => Delay::For(Ms(ms)),
            DelaySpec::At(ms) => Delay::Until(START.after(Ms(ms))),
        },
        ttl: task.ttl.map(Ms),
        options: task.options,
        batch: task.batch.as_ref().map(|(name, seal)| IntoBatch { name, seal: *seal }),
        after: task.after.as_ref().map(|after| After {
            on: match &after.on {
                OnSpec::Batch(name) => On::Batch(name),
                OnSpec::Tasks(_) | OnSpec::Picks(_) => On::Tasks(on),
            },
            run_anyway: after.run_anyway,
        }),
        unique: task.unique.as_ref().map(|unique| Unique {
            key: &unique.key,
            hold: unique.hold.map(Ms),
            replace: unique.replace,
        }),
        group: task.group.as_deref(),
    }
}

fn push(txn: &mut Txn<'_>, task: &PushSpec, id: Option<&str>, renew: bool, floor: MadeId) -> Answer {
    let ids = dependencies(task);
    answer(op::push(txn, &as_push(task, id, renew, &ids), floor), |outcome| {
        let id = |slot| txn.queue().id(slot).to_string();
        let key = task.unique.as_ref().map(|unique| &*unique.key);
        match outcome {
            PushOutcome::Added(slot) => Answer::Pushed { id: id(slot), added: true },
            PushOutcome::Existing(slot) => Answer::Pushed { id: id(slot), added: false },
            PushOutcome::Held => {
                let holder = key.and_then(|key| txn.queue().holder_of(key));
                Answer::Pushed { id: holder.unwrap().to_string(), added: false }
            }
        }
    })
}

fn answer<T>(result: Result<T, Refusal>, said: impl FnOnce(T) -> Answer) -> Answer {
    result.map_or_else(Answer::Refused, said)
}

/// Each worker has one connection.
pub(crate) fn connection_of(worker: u8) -> u64 {
    u64::from(worker) + 1
}

pub(crate) fn task_id(id: &str) -> TaskId<'_> {
    TaskId::parse(id.as_bytes()).unwrap()
}

/// A queue made anew from a snapshot.
pub(crate) fn restored(snapshot: &[Vec<u8>]) -> Queue {
    let mut queue = Queue::default();
    for chunk in snapshot {
        apply_all(&mut queue, chunk);
    }
    queue
}

/// Applies packed effects as a replica does.
pub(crate) fn apply_all(queue: &mut Queue, packed: &[u8]) {
    for effect in effect::unpack(packed) {
        let effect = effect.unwrap();
        queue.apply(&effect).unwrap_or_else(|mismatch| panic!("{mismatch}: {effect:?}"));
    }
}

/// All tasks of a state, in the order of its index.
pub(crate) fn listed(queue: &Queue, state: State) -> Vec<String> {
    let page = queue.list(state, taskqueue::Cursor::Zero, 1_000_000);
    page.slots.into_iter().map(|slot| queue.id(slot).to_string()).collect()
}

/// How many cases a property is tried with, unless `PROPTEST_CASES` says otherwise.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
