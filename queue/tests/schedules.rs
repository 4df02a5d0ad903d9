//! Schedules: which slots are pushed, once each, whatever the clock does and wherever the queue is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![cfg(debug_assertions)]

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::{Command, Driver, START, apply_all, cases, listed, restored, step};
use taskqueue::op::Unique;
use taskqueue::{
    Defaults, Definition, Effect, Misfire, Mismatch, Ms, Options, Overlap, Pause, Progress, Queue, Recurrence, Refusal, Rounding,
    Settings, SlotOutcome, State, Txn, UnixMs, effect::Packed, op,
};

fn every(ms: u64) -> Definition<'static> {
    Definition {
        recurrence: Recurrence::Every(Ms(ms)),
        misfire: Misfire::Once,
        overlap: Overlap::Allow,
        payload: b"payload",
        priority: 0,
        delay: Ms(0),
        ttl: None,
        options: Options::default(),
        unique: None,
        group: None,
    }
}

fn cron(expression: &'static str) -> Definition<'static> {
    Definition { recurrence: Recurrence::Cron { expression, zone: "UTC" }, ..every(1) }
}

/// What schedules ask of a driver.
trait Schedules {
    fn transact<R>(&mut self, operation: impl FnOnce(&mut Txn<'_>) -> R) -> R;
    fn schedule(&mut self, name: &str, definition: Definition<'_>) -> Result<UnixMs, Refusal>;
    fn fire(&mut self, count: usize, has_room: bool);
    /// The clock is set, and the tick runs until nothing is left.
    fn at(&mut self, now: u64);
    fn progress(&self, name: &str) -> Progress;
    /// The ids of tasks that have not ended, from the first slot on.
    fn ids(&self) -> Vec<String>;
}

impl Schedules for Driver {
    fn transact<R>(&mut self, operation: impl FnOnce(&mut Txn<'_>) -> R) -> R {
        self.journal.clear();
        let mut txn = Txn::new(&mut self.queue, &mut self.journal, self.now);
        let answer = operation(&mut txn);
        txn.drop_unkept();
        answer
    }

    fn schedule(&mut self, name: &str, definition: Definition<'_>) -> Result<UnixMs, Refusal> {
        self.transact(|txn| op::schedule(txn, name, &definition))
    }

    fn fire(&mut self, count: usize, has_room: bool) {
        self.transact(|txn| op::fire(txn, count, has_room));
    }

    fn at(&mut self, now: u64) {
        self.now = UnixMs(now);
        while self.queue.soonest() <= self.now {
            self.fire(64, true);
            self.run(&Command::Tick { budget: 64 });
            self.queue.check().unwrap();
        }
    }

    fn progress(&self, name: &str) -> Progress {
        self.queue.schedules().find(|schedule| schedule.name == name).unwrap().progress
    }

    fn ids(&self) -> Vec<String> {
        listed(&self.queue, State::Ready)
    }
}

fn driver() -> Driver {
    Driver::new(Defaults::default())
}

/// What has become of slots: fired, skipped, missed.
fn counts(progress: Progress) -> (u64, u64, u64) {
    (progress.fired, progress.skipped, progress.missed)
}

#[test]
fn slots_are_multiples_since_the_epoch() {
    let mut driver = driver();
    driver.now = UnixMs(100_010);
    assert_eq!(driver.schedule("a", every(300)), Ok(UnixMs(100_200)));
    assert_eq!(driver.queue.soonest(), UnixMs(100_200));
    driver.at(100_199);
    assert_eq!(driver.ids(), Vec::<String>::new());
    driver.at(100_200);
    driver.at(100_503);
    assert_eq!(driver.ids(), ["a@100200", "a@100500"]);
    let progress = driver.progress("a");
    assert_eq!(progress.next, UnixMs(100_800));
    assert_eq!((progress.last, progress.last_fired), (Some(UnixMs(100_500)), Some(UnixMs(100_500))));
    assert_eq!(counts(progress), (2, 0, 0));
    let id = driver.find("a@100500").unwrap();
    assert_eq!(driver.queue.view(id, &driver.defaults).payload, Some(&b"payload"[..]));
}

#[test]
fn a_task_is_as_a_client_would_push_it() {
    let mut driver = driver();
    let options = Options { attempts: Some(7), ..Options::default() };
    driver.schedule("a", Definition { priority: 9, delay: Ms(50), ttl: Some(Ms(90)), options, ..every(1_000) }).unwrap();
    driver.at(101_003);
    let view = driver.queue.view(driver.find("a@101000").unwrap(), &driver.defaults);
    assert_eq!((view.priority, view.state, view.settings.attempts), (9, State::Scheduled, 7));
    assert_eq!((view.ready_at, view.expire_at), (Some(UnixMs(101_053)), Some(UnixMs(101_093))));
}

#[test]
fn missed_slots() {
    for (misfire, ids, missed) in [
        (Misfire::Skip, vec![], 4),
        (Misfire::Once, vec!["a@104000"], 3),
        (Misfire::All, vec!["a@101000", "a@102000", "a@103000", "a@104000"], 0),
    ] {
        for definition in [every(1_000), cron("* * * * * *")] {
            let mut driver = driver();
            driver.schedule("a", Definition { misfire, ..definition }).unwrap();
            driver.at(104_500);
            assert_eq!(driver.ids(), ids, "{misfire:?}");
            assert_eq!(counts(driver.progress("a")), (ids.len() as u64, 0, missed), "{misfire:?}");
            assert_eq!(driver.progress("a").next, UnixMs(105_000));
            // And what comes in time is pushed, whatever is said of the others.
            driver.at(105_090);
            assert!(driver.find("a@105000").is_some(), "{misfire:?}");
        }
    }
}

/// A slot is late by a second, or by a tenth of the time to the next; but not by a few milliseconds.
#[test]
fn what_is_missed() {
    for (ms, late, fires) in
        [(10_000, 1_000, true), (10_000, 1_001, false), (1_000, 100, true), (1_000, 101, false), (20, 5, true), (20, 6, false)]
    {
        let mut driver = driver();
        let slot = driver.schedule("a", Definition { misfire: Misfire::Skip, ..every(ms) }).unwrap();
        driver.at(slot.0 + late);
        assert_eq!(driver.ids().len(), usize::from(fires), "{ms} {late}");
    }
}

/// Of very many missed slots the last thousand are made up for, in slices; the work does not depend on how many there are.
#[test]
fn years_of_missed_slots() {
    const YEARS: u64 = 5 * 365 * 86_400_000;
    for (definition, slot) in [(every(1), 1), (cron("* * * * * *"), 1_000), (cron("0 * * * *"), 3_600_000)] {
        let mut driver = driver();
        driver.now = UnixMs(1_700_000_000_000 - 1);
        driver.schedule("each", Definition { misfire: Misfire::All, ..definition }).unwrap();
        driver.schedule("once", definition).unwrap();
        driver.now = driver.now.after(Ms(YEARS));
        let last = driver.now.0 / slot * slot;
        let mut slices = 0;
        while driver.queue.next_slot() <= driver.now {
            driver.fire(64, true);
            assert!(driver.effects().len() <= 2 * 64);
            slices += 1;
        }
        assert_eq!(slices, 16);
        assert_eq!((driver.progress("each").fired, driver.progress("once").fired), (1_000, 1));
        for (id, is_there) in [
            (format!("each@{last}"), true),
            (format!("each@{}", last - 999 * slot), true),
            (format!("each@{}", last - 1_000 * slot), false),
            (format!("once@{last}"), true),
            (format!("once@{}", last - slot), false),
        ] {
            assert_eq!(driver.find(&id).is_some(), is_there, "{id}");
        }
        let missed = driver.progress("each").missed;
        assert_eq!(missed, if slot == 1 { YEARS - 1_000 } else { 1_000 });
    }
}

#[test]
fn overlap() {
    let mut driver = driver();
    driver.schedule("a", Definition { overlap: Overlap::Skip, ..every(1_000) }).unwrap();
    driver.at(101_000);
    driver.at(102_000);
    assert_eq!((driver.ids(), counts(driver.progress("a"))), (vec!["a@101000".to_owned()], (1, 1, 0)));
    driver.run(&Command::Claim { worker: "w".to_owned(), lease: None, session: None });
    driver.at(103_000);
    assert_eq!(counts(driver.progress("a")), (1, 2, 0));
    driver.run(&Command::Complete { id: "a@101000".to_owned(), attempt: None, result: b"done".to_vec(), retain: None });
    driver.at(104_000);
    assert_eq!((driver.ids(), counts(driver.progress("a"))), (vec!["a@104000".to_owned()], (2, 2, 0)));
    // One that is gone has ended as well.
    driver.run(&Command::Cancel("a@104000".to_owned()));
    driver.run(&Command::Forget("a@104000".to_owned()));
    driver.at(105_000);
    assert_eq!(counts(driver.progress("a")), (3, 2, 0));
}

/// What the queue does not take is not made up for.
#[test]
fn refused_slots_are_skipped() {
    let mut driver = driver();
    driver.schedule("a", Definition { misfire: Misfire::All, ..every(1_000) }).unwrap();
    let set = |driver: &mut Driver, settings: &Settings| driver.transact(|txn| op::set(txn, settings));
    set(&mut driver, &Settings { pause: Pause::In, ..Settings::default() });
    driver.at(102_000);
    set(&mut driver, &Settings { max_len: 1, ..Settings::default() });
    assert_eq!((driver.ids().len(), counts(driver.progress("a"))), (0, (0, 2, 0)));
    driver.at(104_000);
    assert_eq!((driver.ids(), counts(driver.progress("a"))), (vec!["a@103000".to_owned()], (1, 3, 0)));
    set(&mut driver, &Settings::default());
    driver.now = UnixMs(105_000);
    driver.fire(64, false);
    assert_eq!(counts(driver.progress("a")), (1, 4, 0));
    driver.at(105_500);
    assert_eq!(driver.ids().len(), 1);
}

/// A task that is there, whoever pushed it, is the slot's.
#[test]
fn a_slot_is_once() {
    let mut driver = driver();
    let task = support::PushSpec::plain(b"mine".to_vec());
    driver.run(&Command::Push { task, id: Some("a@101000".to_owned()), renew: false, floor: taskqueue::MadeId(0) });
    driver.schedule("a", every(1_000)).unwrap();
    driver.at(101_000);
    assert_eq!((driver.ids().len(), counts(driver.progress("a"))), (1, (1, 0, 0)));
    // Not again when the schedule is removed and made anew, and the clock steps back.
    driver.transact(|txn| assert!(op::unschedule(txn, "a") && !op::unschedule(txn, "a")));
    driver.now = UnixMs(100_500);
    driver.schedule("a", every(1_000)).unwrap();
    driver.at(101_000);
    assert_eq!(driver.ids().len(), 1);
}

/// A key is asked as by a client's push: who holds it is the slot's task, or takes its payload, or is followed.
#[test]
fn keys() {
    let key = |replace| Some(Unique { key: "k", hold: None, replace });
    let mut driver = driver();
    driver.schedule("a", Definition { unique: key(false), ..every(1_000) }).unwrap();
    driver.at(101_000);
    driver.at(102_000);
    assert_eq!((driver.ids(), counts(driver.progress("a"))), (vec!["a@101000".to_owned()], (2, 0, 0)));
    driver.schedule("a", Definition { unique: key(true), payload: b"new", ..every(1_000) }).unwrap();
    driver.at(103_000);
    let holder = driver.find("a@101000").unwrap();
    assert_eq!(driver.queue.view(holder, &driver.defaults).payload, Some(&b"new"[..]));
    driver.run(&Command::Claim { worker: "w".to_owned(), lease: Some(Ms(900_000)), session: None });
    driver.at(104_000);
    driver.at(105_000);
    assert_eq!(listed(&driver.queue, State::Waiting), ["a@104000"]);
    let again = restored(&driver.queue.snapshot());
    assert_eq!(again.snapshot(), driver.queue.snapshot());
    assert_eq!(again.schedules().next().unwrap().definition.unique, key(true));
    assert_eq!(counts(driver.progress("a")), (5, 0, 0));
}

#[test]
fn a_replaced_schedule_remembers_its_last_slot() {
    let mut driver = driver();
    driver.schedule("a", every(1_000)).unwrap();
    driver.at(110_000);
    // The clock steps back; the same name again, with other slots.
    driver.now = UnixMs(101_500);
    assert_eq!(driver.schedule("a", every(250)), Ok(UnixMs(110_250)));
    assert_eq!(driver.schedule("a", cron("* * * * * *")), Ok(UnixMs(111_000)));
    assert_eq!(driver.progress("a").last, Some(UnixMs(110_000)));
    assert_eq!(driver.progress("a").fired, 1);
    driver.at(110_999);
    assert_eq!(driver.ids().len(), 1);
    driver.at(111_000);
    assert_eq!(driver.ids().len(), 2);
    // With the same slots, what was missed is not lost.
    driver.now = UnixMs(113_500);
    assert_eq!(driver.schedule("a", Definition { payload: b"new", ..cron("* * * * * *") }), Ok(UnixMs(112_000)));
    driver.at(113_500);
    let id = driver.find("a@113000").unwrap();
    assert_eq!(driver.queue.view(id, &driver.defaults).payload, Some(&b"new"[..]));
    // Said again it changes nothing.
    driver.schedule("a", Definition { payload: b"new", ..cron("* * * * * *") }).unwrap();
    assert!(driver.journal.events.is_empty());
}

#[test]
fn what_is_refused() {
    let mut driver = driver();
    for (definition, refusal) in [
        (Definition { delay: Ms(5), ttl: Some(Ms(5)), ..every(1) }, Refusal::DelayPastTtl),
        (cron("0 0 30 2 *"), Refusal::NoSlot),
        (Definition { recurrence: Recurrence::Cron { expression: "@daily", zone: "Moon" }, ..every(1) }, Refusal::BadZone),
    ] {
        assert_eq!(driver.schedule("a", definition), Err(refusal));
        assert!(driver.journal.events.is_empty());
    }
    assert!(matches!(driver.schedule("a", cron("x")), Err(Refusal::BadCron { .. })));
    assert_eq!(op::schedule_name(&[b'a'; 201]), Err(Refusal::BadScheduleName));
    assert!(op::schedule_name(&[b'a'; 200]).is_ok());
    assert!(op::schedule_name(b"a b").is_err());
    // The longest id is one.
    driver.schedule(&"a".repeat(200), every(1_000)).unwrap();
    driver.at(101_000);
    assert_eq!(driver.ids().len(), 1);
}

/// What no master can have said changes nothing.
#[test]
fn hostile_effects() {
    let long = "a".repeat(201);
    let scheduled = |name, definition, next| Effect::Scheduled { name, definition, next };
    let passed = |name, slot, next| Effect::SlotPassed { name, slot, next, missed: u64::MAX, outcome: SlotOutcome::Fired };
    let progress =
        Progress { next: UnixMs(7_000), last: Some(UnixMs(6_000)), last_fired: None, fired: u64::MAX, skipped: 0, missed: 0 };
    let restored = |name, progress| Effect::ScheduleRestored { name, definition: every(1_000), progress };
    let mut queue = Queue::default();
    queue.apply(&scheduled("a", every(1_000), UnixMs(5_000))).unwrap();
    queue.apply(&passed("a", UnixMs(5_000), UnixMs(6_000))).unwrap();
    let before = queue.snapshot();
    for (effect, mismatch) in [
        (scheduled("", every(1), UnixMs(1)), Mismatch::Invalid),
        (scheduled("a b", every(1), UnixMs(1)), Mismatch::Invalid),
        (scheduled(&long, every(1), UnixMs(1)), Mismatch::Invalid),
        (scheduled("b", every(0), UnixMs(1)), Mismatch::Invalid),
        (scheduled("b", every(u64::MAX), UnixMs(1)), Mismatch::Invalid),
        (scheduled("b", cron("99 * * * *"), UnixMs(1)), Mismatch::Invalid),
        (scheduled("b", Definition { delay: Ms(u64::MAX), ..every(1) }, UnixMs(1)), Mismatch::Invalid),
        (scheduled("b", Definition { delay: Ms(9), ttl: Some(Ms(9)), ..every(1) }, UnixMs(1)), Mismatch::Invalid),
        (
            scheduled("b", Definition { unique: Some(Unique { key: "a b", hold: None, replace: false }), ..every(1) }, UnixMs(1)),
            Mismatch::Invalid,
        ),
        (
            scheduled(
                "b",
                Definition { unique: Some(Unique { key: "k", hold: Some(Ms(u64::MAX)), replace: false }), ..every(1) },
                UnixMs(1),
            ),
            Mismatch::Invalid,
        ),
        (scheduled("b", every(1), UnixMs(u64::MAX - 1)), Mismatch::Invalid),
        (scheduled("a", every(1), UnixMs(5_000)), Mismatch::Invalid),
        (passed("b", UnixMs(1), UnixMs(2)), Mismatch::UnknownTask),
        (passed("a", UnixMs(5_999), UnixMs(7_000)), Mismatch::Invalid),
        (passed("a", UnixMs(6_000), UnixMs(6_000)), Mismatch::Invalid),
        (passed("a", UnixMs::NEVER, UnixMs::NEVER), Mismatch::Invalid),
        (Effect::Unscheduled { name: "b" }, Mismatch::UnknownTask),
        (restored("a", progress), Mismatch::KnownTask),
        (restored("b", Progress { next: UnixMs(6_000), ..progress }), Mismatch::Invalid),
        (restored("b", Progress { last_fired: Some(UnixMs(6_001)), ..progress }), Mismatch::Invalid),
        (restored("b", Progress { last: Some(UnixMs(u64::MAX - 5)), next: UnixMs::NEVER, ..progress }), Mismatch::Invalid),
    ] {
        assert_eq!(queue.apply(&effect).map(drop), Err(mismatch), "{effect:?}");
    }
    assert_eq!(queue.snapshot(), before);
    // Counts that have come to their end stay there; slots that are none pass, and what follows is one.
    queue.apply(&restored("b", Progress { next: UnixMs(7_001), ..progress })).unwrap();
    let mut driver = driver();
    driver.queue = queue;
    driver.at(9_500);
    assert_eq!((driver.progress("b").fired, driver.progress("b").next), (u64::MAX, UnixMs(10_000)));
}

/// A queue of many schedules comes to each in its time, and gives all memory back.
#[test]
fn many_schedules() {
    let mut driver = driver();
    let empty = driver.queue.bytes(Rounding::Classes);
    for n in 0..5_000 {
        driver.schedule(&format!("schedule-{n}"), every(1_000 + n)).unwrap();
    }
    assert!(driver.queue.bytes(Rounding::Classes) > empty + 5_000 * 200);
    driver.queue.check().unwrap();
    let again = restored(&driver.queue.snapshot());
    assert_eq!((again.snapshot(), again.next_slot()), (driver.queue.snapshot(), driver.queue.next_slot()));
    assert_eq!(again.bytes(Rounding::Classes), driver.queue.bytes(Rounding::Classes));
    driver.now = UnixMs(106_000);
    while driver.queue.next_slot() <= driver.now {
        driver.fire(64, true);
    }
    assert_eq!(driver.queue.count(State::Ready), 5_000);
    driver.run(&Command::CancelAll(5_000));
    driver.run(&Command::ForgetAll(5_000));
    for n in 0..5_000 {
        driver.transact(|txn| assert!(op::unschedule(txn, &format!("schedule-{n}"))));
    }
    driver.run(&Command::Tick { budget: 10 });
    assert_eq!((driver.queue.schedules().len(), driver.queue.soonest()), (0, UnixMs::NEVER));
}

/// What a test may do to schedules, beside all that it may do to tasks.
#[derive(Clone, Debug)]
enum Step {
    Schedule { name: u8, recurrence: u8, misfire: u8, overlap: bool },
    Unschedule(u8),
    Fire { count: usize, has_room: bool },
    Clock { forward: u64, back: u64 },
    Pause(bool),
    Other(Box<support::Step>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3_u8, 0..6_u8, 0..3_u8, any::<bool>())
            .prop_map(|(name, recurrence, misfire, overlap)| Step::Schedule { name, recurrence, misfire, overlap }),
        1 => (0..3_u8).prop_map(Step::Unschedule),
        6 => (1..6_usize, prop::bool::weighted(0.9)).prop_map(|(count, has_room)| Step::Fire { count, has_room }),
        5 => (0..3_000_u64).prop_map(|forward| Step::Clock { forward, back: 0 }),
        1 => (0..9_000_u64).prop_map(|back| Step::Clock { forward: 0, back }),
        1 => any::<bool>().prop_map(Step::Pause),
        10 => step().prop_map(|step| Step::Other(Box::new(step))),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(cases(150))]

    /// Each slot is pushed at most once and never before its time, none before the last; replicas and snapshots hold the same.
    #[test]
    fn each_slot_is_once((defaults, steps) in (support::defaults(), steps())) {
        let mut driver = Driver::new(defaults);
        let (mut replica, mut pushed) = (Queue::default(), BTreeSet::new());
        let mut last: BTreeMap<String, UnixMs> = BTreeMap::new();
        for step in &steps {
            match step {
                Step::Schedule { name, recurrence, misfire, overlap } => {
                    let when = [every(7), every(500), every(1_300), cron("* * * * * *"), cron("*/3 * * * * *"), cron("* * * * *")];
                    let misfire = [Misfire::Skip, Misfire::Once, Misfire::All][usize::from(*misfire)];
                    let overlap = if *overlap { Overlap::Skip } else { Overlap::Allow };
                    let unique = (*name == 2).then_some(Unique { key: "k", hold: Some(Ms(900)), replace: true });
                    let group = (*name == 1).then_some("g");
                    let definition = Definition { misfire, overlap, unique, group, ..when[usize::from(*recurrence)] };
                    driver.schedule(&format!("s{name}"), definition).unwrap();
                }
                Step::Unschedule(name) => {
                    let name = format!("s{name}");
                    driver.transact(|txn| op::unschedule(txn, &name));
                    last.remove(&name);
                }
                Step::Fire { count, has_room } => {
                    let before: BTreeMap<_, _> =
                        driver.queue.schedules().map(|schedule| (schedule.name.to_owned(), schedule.progress)).collect();
                    driver.fire(*count, *has_room);
                    let now = driver.now;
                    let mut slots = 0;
                    let mut fresh = Vec::new();
                    for effect in driver.effects() {
                        match effect {
                            Effect::Pushed(task) => fresh.push(task.id.to_string()),
                            Effect::SlotPassed { name, slot, next, outcome, .. } => {
                                slots += 1;
                                prop_assert!(slot <= now && next > slot);
                                prop_assert!(last.insert(name.to_owned(), slot).is_none_or(|last| last < slot));
                                let id = format!("{name}@{}", slot.0);
                                prop_assert!(outcome == SlotOutcome::Fired || !fresh.contains(&id));
                                prop_assert!(*has_room || outcome != SlotOutcome::Fired);
                            }
                            _ => {}
                        }
                    }
                    prop_assert!(slots <= *count);
                    let due: Vec<_> = before.iter().filter(|(_, progress)| progress.next <= now).collect();
                    prop_assert!(due.is_empty() == (slots == 0));
                    pushed.extend(fresh);
                }
                Step::Clock { forward, back } => driver.now = driver.now.after(Ms(*forward)).before(Ms(*back)),
                Step::Pause(is_paused) => {
                    let pause = if *is_paused { Pause::In } else { Pause::No };
                    driver.transact(|txn| op::set(txn, &Settings { pause, events: 20, ..Settings::default() }));
                }
                Step::Other(step) => match driver.command(step) {
                    Some(command) => drop(driver.run(&command)),
                    None => continue,
                },
            }
            driver.queue.check().map_err(TestCaseError::fail)?;
            apply_all(&mut replica, driver.journal.packed.bytes());
            driver.journal.clear();
            let snapshot = driver.queue.snapshot();
            prop_assert_eq!(&replica.snapshot(), &snapshot, "after {:?}", step);
            let anew = restored(&snapshot);
            prop_assert_eq!(anew.next_slot(), driver.queue.next_slot());
            prop_assert_eq!(anew.snapshot(), snapshot);
        }
    }

    /// Bytes that were damaged are refused, or leave the queue sound.
    #[test]
    fn damaged_schedules(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut packed = Packed::default();
        let (next, last) = (START, Some(UnixMs(5)));
        let progress = Progress { next, last, last_fired: last, fired: 1, skipped: 2, missed: 3 };
        packed.push(&Effect::ScheduleRestored { name: "a", definition: every(1_000), progress });
        packed.push(&Effect::ScheduleRestored { name: "b", definition: cron("*/5 * * * *"), progress });
        packed.push(&Effect::SlotPassed { name: "b", slot: START, next: UnixMs(300_000), missed: 1, outcome: SlotOutcome::Skipped });
        let mut bytes = packed.bytes().to_vec();
        let place = 1 + place.index(bytes.len() - 1);
        bytes[place] = byte;
        let mut driver = driver();
        for effect in taskqueue::effect::unpack(&bytes) {
            let Ok(effect) = effect else { break };
            let before = driver.queue.snapshot();
            if driver.queue.apply(&effect).is_err() {
                prop_assert_eq!(before, driver.queue.snapshot());
            }
            driver.queue.check().map_err(TestCaseError::fail)?;
        }
        driver.now = START.after(Ms(600_000));
        for _ in 0..100 {
            driver.fire(3, true);
            driver.run(&Command::Tick { budget: 3 });
            driver.queue.check().map_err(TestCaseError::fail)?;
        }
        prop_assert_eq!(restored(&driver.queue.snapshot()).snapshot(), driver.queue.snapshot());
    }
}
