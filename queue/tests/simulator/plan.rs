//! What is going to happen: drawn from one number, and nothing but data, so that steps can be left out and run again.

use crate::batches::BATCHES;
use crate::groups::GROUPS;
use crate::keys::KEYS;
use crate::limits::Setting;
use crate::slots::PLANS;
use crate::support::{AfterSpec, DelaySpec, OnSpec, PushSpec, ScheduleSpec, UniqueSpec};
use taskqueue::op::Next;
use taskqueue::{Defaults, EventsCursor, Misfire, Ms, Options, Overlap, Pause, Rate, Retention};

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) defaults: Defaults,
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens. Numbers pick among what there is at that moment, so that a step means something whatever comes before it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A producer pushes; if the answer is `lost`, it does not know that it did.
    Push {
        task: PushSpec,
        id: Option<usize>,
        renew: bool,
        lost: bool,
    },
    /// A producer pushes several at once.
    PushMany {
        task: PushSpec,
        payloads: Vec<Vec<u8>>,
        lost: bool,
    },
    /// A producer says an earlier push again.
    PushAgain {
        pick: usize,
    },
    /// A worker claims; if the answer is `lost`, nobody knows of the claim.
    Claim {
        worker: usize,
        lease: Option<Ms>,
        /// The claim lasts as long as the worker's connection.
        session: bool,
        lost: bool,
    },
    /// A worker extends a claim that it knows of.
    Extend {
        worker: usize,
        claim: usize,
        lease: Option<Ms>,
        checkpoint: Option<Vec<u8>>,
    },
    /// A worker answers for a claim that it knows of, live, lost or answered already; `bare`: without ATTEMPT.
    Answer {
        worker: usize,
        claim: usize,
        verdict: Verdict,
        bare: bool,
    },
    /// A worker says its last answer for a claim again.
    AnswerAgain {
        worker: usize,
        claim: usize,
    },
    /// A worker crashes and forgets its claims.
    Crash {
        worker: usize,
    },
    /// A worker's connection breaks.
    HangUp {
        worker: usize,
    },
    Cancel(usize),
    Retry(usize),
    Forget(usize),
    CancelAll(usize),
    RetryAll(usize),
    ForgetAll(usize),
    /// Somebody sets what holds for the queue.
    Set(Vec<Setting>),
    Seal(&'static str),
    CancelBatch(&'static str, usize),
    RetryBatch(&'static str, usize),
    ForgetBatch(&'static str),
    /// A reader of a batch's ends asks for so many more, or from the start; if the answer is `lost`, he asks again.
    Collect {
        reader: usize,
        count: usize,
        anew: bool,
        lost: bool,
    },
    /// A reader of events asks a node, or the master, for so many more, or begins; if the answer is `lost`, he asks again.
    ReadEvents {
        reader: usize,
        node: Option<usize>,
        count: usize,
        anew: Option<EventsCursor>,
        lost: bool,
    },
    /// Somebody deletes the queue, and may let one keep events that is made anew.
    Delete {
        events: Option<u32>,
    },
    /// Somebody makes a schedule or changes it.
    Schedule(&'static str, ScheduleSpec),
    /// Somebody says again what he said of a schedule.
    ScheduleAgain(usize),
    Unschedule(&'static str),
    /// The master does what has fallen due, at most so much of each kind; what schedules push, if it has memory for that.
    Tick {
        budget: usize,
        has_room: bool,
    },
    /// Time passes everywhere.
    Wait {
        ms: u64,
    },
    /// The clock of a node jumps.
    Jump {
        node: usize,
        ms: i64,
    },
    /// A replica receives so many commands' effects; the whole queue first, if it is of another history.
    Replicate {
        node: usize,
        commands: usize,
    },
    /// A node's AOF is on disk up to here.
    Sync {
        node: usize,
    },
    /// A node saves a snapshot, and its AOF begins anew with it.
    Save {
        node: usize,
    },
    /// A node crashes and starts again from its snapshot and, with `aof`, all that was synced and so many commands more.
    Restart {
        node: usize,
        aof: bool,
        unsynced: usize,
    },
    /// A node becomes the master, with what it has.
    Promote {
        node: usize,
    },
}

impl Step {
    /// Whether a client does not hear what it has done.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Push { lost: true, .. }
                | Self::PushMany { lost: true, .. }
                | Self::Claim { lost: true, .. }
                | Self::Collect { lost: true, .. }
                | Self::ReadEvents { lost: true, .. }
        )
    }
}

/// What a worker says of its task.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Complete { result: Vec<u8>, retain: Option<Retention> },
    Fail { error: Vec<u8>, next: Next, dice: u64 },
    Release { delay: Ms },
}

/// Random numbers: splitmix64, so that a run is one number.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn number(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.number(choices.len())].clone()
    }

    /// One of the last tasks, rather the very last.
    fn recent(&mut self) -> usize {
        self.number(6).min(self.number(6))
    }

    fn maybe<T>(&mut self, one_in: u64, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| draw(self))
    }

    fn millis(&mut self) -> Ms {
        Ms(1 + self.below(60))
    }

    fn retention(&mut self) -> Retention {
        let short = Retention::For(self.millis());
        self.of(&[Retention::For(Ms(0)), short, short, Retention::For(Ms(1000)), Retention::Forever])
    }

    fn bytes(&mut self) -> Vec<u8> {
        format!("{:x}", self.below(1 << 16)).into_bytes()
    }

    fn attempts(&mut self) -> u16 {
        self.of(&[0, 1, 1, 2, 2, 3])
    }

    fn backoff(&mut self) -> Ms {
        self.of(&[Ms(0), Ms(10), Ms(10), Ms(40), Ms(3_000_000)])
    }

    fn defaults(&mut self) -> Defaults {
        Defaults {
            attempts: self.attempts(),
            backoff: self.backoff(),
            lease: self.millis(),
            timeout: self.maybe(3, Self::millis),
            retain: self.retention(),
            retain_failed: self.retention(),
        }
    }

    fn options(&mut self) -> Options {
        Options {
            attempts: self.maybe(2, Self::attempts),
            backoff: self.maybe(2, Self::backoff),
            lease: self.maybe(2, Self::millis),
            timeout: self.maybe(4, Self::millis),
            retain: self.maybe(2, Self::retention),
            retain_failed: self.maybe(2, Self::retention),
        }
    }

    fn task(&mut self) -> PushSpec {
        let (wait, at) = (DelaySpec::For(self.millis().0), DelaySpec::At(self.below(1000)));
        let unique = self.maybe(2, Self::unique);
        let after = self.maybe(3, |dice| AfterSpec { on: dice.on(), run_anyway: dice.one_in(3) });
        PushSpec {
            payload: self.bytes(),
            priority: self.of(&[0, 0, 0, 7, 255]),
            delay: self.of(&[DelaySpec::For(0), DelaySpec::For(0), DelaySpec::For(0), wait, at]),
            ttl: self.maybe(4, |dice| dice.below(90)),
            options: if self.one_in(2) { self.options() } else { Options::default() },
            batch: self.maybe(3, |dice| (dice.batch().to_owned(), dice.one_in(5))),
            // As the command has it.
            after: after.filter(|_| !unique.as_ref().is_some_and(|unique| unique.replace)),
            unique: unique.map(Box::new),
            group: self.maybe(3, |dice| dice.of(&GROUPS).to_owned()),
        }
    }

    fn unique(&mut self) -> UniqueSpec {
        let (short, long) = (self.below(60), 200 + self.below(400));
        let hold = self.of(&[None, Some(short), Some(long)]);
        UniqueSpec { key: self.of(&KEYS).to_owned(), hold, replace: !self.one_in(3) }
    }

    /// Mostly the same, so that it is changed.
    fn plan(&mut self) -> &'static str {
        PLANS[usize::from(self.one_in(5))]
    }

    fn schedule(&mut self) -> ScheduleSpec {
        let seldom = self.of(&[(200, false), (1000, false), (1000, true), (2000, true)]);
        let (every, is_cron) = self.of(&[(20, false), (50, false), seldom]);
        // Not all of the many slots that a clock can leap over.
        let all = if every < 50 { Misfire::Once } else { Misfire::All };
        let delay = DelaySpec::For(if self.one_in(4) { self.millis().0 } else { 0 });
        ScheduleSpec {
            every,
            is_cron,
            misfire: self.of(&[Misfire::Skip, Misfire::Once, all]),
            overlap: self.of(&[Overlap::Allow, Overlap::Skip]),
            task: PushSpec { delay, batch: None, after: None, ..self.task() },
        }
    }

    /// Mostly none, or a wide one, so that not all is refused.
    fn limit(&mut self, few: u64) -> u32 {
        let few = u32::try_from(few + self.below(3)).unwrap();
        self.of(&[0, few, few])
    }

    fn setting(&mut self) -> Setting {
        match self.below(13) {
            12 => Setting::Events(self.events()),
            0 => Setting::Options(self.options()),
            9 | 10 => Setting::GroupConcurrency(self.of(&[0, 1, 1, 2])),
            1 | 2 | 11 => Setting::Rate((!self.one_in(4)).then(|| Rate {
                claims: 1 + u32::from(self.one_in(2)),
                window: if self.one_in(2) { self.millis() } else { Ms(400) },
            })),
            3 => Setting::Concurrency(self.limit(1)),
            4 => Setting::MaxLen(self.limit(3)),
            5 => Setting::RetainMax(self.limit(1)),
            6 => Setting::FailedMax(self.limit(1)),
            _ => {
                let pause = self.of(&[Pause::No, Pause::In, Pause::Out, Pause::Out, Pause::All]);
                let ms = if self.one_in(4) { None } else { Some(self.millis().0) };
                Setting::Pause(pause, ms)
            }
        }
    }

    fn events(&mut self) -> u32 {
        self.of(&[0, 1, 4, 4, 500])
    }

    fn batch(&mut self) -> &'static str {
        self.of(&BATCHES)
    }

    fn on(&mut self) -> OnSpec {
        if self.one_in(4) {
            return OnSpec::Batch(self.batch().to_owned());
        }
        OnSpec::Picks((0..=self.number(3)).map(|_| self.recent()).collect())
    }

    fn verdict(&mut self) -> Verdict {
        match self.below(6) {
            0 | 1 => Verdict::Complete { result: self.bytes(), retain: self.maybe(4, Self::retention) },
            2 | 3 => {
                let after = Next::RetryAfter(self.millis());
                let next = self.of(&[Next::Retry, Next::Retry, Next::RetryAfter(Ms(0)), after, Next::Dead]);
                Verdict::Fail { error: self.bytes(), next, dice: self.next() }
            }
            _ => Verdict::Release { delay: if self.one_in(2) { self.millis() } else { Ms(0) } },
        }
    }
}

/// A kind of step, how often it comes, and how it is drawn.
type Kind = (u64, fn(&mut Dice) -> Step);

const WORKERS: usize = 3;
pub(crate) const LOG_READERS: usize = 2;
pub(crate) const NODES_MAX: usize = 3;

const KINDS: [Kind; 34] = [
    (14, |dice| Step::Push {
        task: dice.task(),
        id: dice.maybe(2, |dice| dice.number(8)),
        renew: dice.one_in(2),
        lost: dice.one_in(5),
    }),
    (4, |dice| Step::PushAgain { pick: dice.number(8) }),
    (16, |dice| Step::Claim {
        worker: dice.number(WORKERS),
        lease: dice.maybe(4, Dice::millis),
        session: dice.one_in(4),
        lost: dice.one_in(8),
    }),
    (5, |dice| Step::Extend {
        worker: dice.number(WORKERS),
        claim: dice.number(3),
        lease: dice.maybe(2, Dice::millis),
        checkpoint: dice.maybe(2, Dice::bytes),
    }),
    (14, |dice| Step::Answer {
        worker: dice.number(WORKERS),
        claim: dice.number(4),
        verdict: dice.verdict(),
        bare: dice.one_in(10),
    }),
    (5, |dice| Step::AnswerAgain { worker: dice.number(WORKERS), claim: dice.number(4) }),
    (1, |dice| Step::Crash { worker: dice.number(WORKERS) }),
    (2, |dice| Step::HangUp { worker: dice.number(WORKERS) }),
    (5, |dice| Step::Cancel(dice.recent())),
    (8, |dice| Step::Retry(dice.recent())),
    (2, |dice| Step::Forget(dice.recent())),
    (1, |dice| Step::CancelAll(dice.number(4))),
    (1, |dice| Step::RetryAll(dice.number(4))),
    (1, |dice| Step::ForgetAll(dice.number(4))),
    (12, |dice| Step::Tick { budget: dice.of(&[1, 1, 2, 1000]), has_room: !dice.one_in(10) }),
    (12, |dice| Step::Wait { ms: dice.below(40) }),
    (2, |dice| Step::Jump { node: dice.number(NODES_MAX), ms: dice.of(&[-2000, -100, -20, 20, 100, 2000]) }),
    (12, |dice| Step::Replicate { node: dice.number(NODES_MAX), commands: 1 + dice.number(6) }),
    (3, |dice| Step::Sync { node: dice.number(NODES_MAX) }),
    (6, |dice| Step::Save { node: dice.number(NODES_MAX) }),
    (2, |dice| Step::Restart { node: dice.number(NODES_MAX), aof: !dice.one_in(4), unsynced: dice.number(4) }),
    (2, |dice| Step::Promote { node: dice.number(NODES_MAX) }),
    (2, |dice| Step::PushMany {
        task: dice.task(),
        payloads: (0..=dice.number(3)).map(|_| dice.bytes()).collect(),
        lost: dice.one_in(5),
    }),
    (3, |dice| Step::Seal(dice.batch())),
    (1, |dice| Step::CancelBatch(dice.batch(), dice.number(4))),
    (2, |dice| Step::RetryBatch(dice.batch(), dice.number(4))),
    (2, |dice| Step::ForgetBatch(dice.batch())),
    (6, |dice| Step::Set((0..=dice.number(2)).map(|_| dice.setting()).collect())),
    (6, |dice| Step::Schedule(dice.plan(), dice.schedule())),
    (2, |dice| Step::ScheduleAgain(dice.number(3))),
    (1, |dice| Step::Unschedule(dice.plan())),
    (8, |dice| Step::ReadEvents {
        reader: dice.number(LOG_READERS),
        node: dice.maybe(4, |dice| dice.number(NODES_MAX)),
        count: dice.of(&[1, 3, 1000]),
        anew: dice.maybe(10, |dice| dice.of(&[EventsCursor::Oldest, EventsCursor::End])),
        lost: dice.one_in(5),
    }),
    (1, |dice| {
        if dice.one_in(3) {
            return Step::Delete { events: dice.maybe(2, Dice::events) };
        }
        Step::Set(vec![Setting::Events(dice.events())])
    }),
    (10, |dice| Step::Collect { reader: dice.number(3), count: 1 + dice.number(3), anew: dice.one_in(10), lost: dice.one_in(5) }),
];

impl Plan {
    /// The run of a seed. Each leaves some kinds of steps out and has others twice as often.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let weights = KINDS.map(|(weight, _)| weight * dice.of(&[0, 1, 1, 1, 2]));
        let weights = [&[KINDS[0].0, weights[1], KINDS[2].0], &weights[3..]].concat();
        let draw = |dice: &mut Dice| {
            let mut left = dice.below(weights.iter().sum());
            let kind = weights.iter().position(|&weight| {
                let found = left < weight;
                left = left.saturating_sub(weight);
                found
            });
            KINDS[kind.unwrap()].1(dice)
        };
        let (nodes, defaults, len) = (2 + dice.number(NODES_MAX - 1), dice.defaults(), 20 + dice.number(160));
        let first = Step::Set(vec![Setting::Events(dice.of(&[0, 1, 4, 500, 500]))]);
        Self { nodes, defaults, steps: [first].into_iter().chain((0..len).map(|_| draw(&mut dice))).collect() }
    }
}
