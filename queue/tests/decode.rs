//! Bytes from disks, networks and RESTORE: whatever they say, a queue refuses them or stays sound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![cfg(debug_assertions)]

mod support;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::{Command, Driver, PushSpec, START, cases, history, restored, run};
use taskqueue::effect::{
    BatchImage, Change, Depends, ExtraImage, Head, Image, Keyed, Order, Packed, Pushed, Totals, VERSION, unpack,
};
use taskqueue::op::Unique;
use taskqueue::{
    Defaults, Definition, Effect, Journal, LastClaim, MadeId, Misfire, Mismatch, Ms, Options, Overlap, Progress, Queue, Rate,
    Recurrence, Retention, Settings, SlotOutcome, Start, State, TaskId, Tie, UnixMs,
};

/// Applies what can be applied. A refused effect changes nothing, an accepted one leaves the queue sound.
fn feed(queue: &mut Queue, packed: &[u8]) -> Result<(), TestCaseError> {
    for effect in unpack(packed) {
        let Ok(effect) = effect else { break };
        let before = queue.snapshot();
        if queue.apply(&effect).is_ok() {
            queue.check().map_err(|what| TestCaseError::fail(format!("{what}, by {effect:?}")))?;
        } else {
            prop_assert_eq!(before, queue.snapshot());
        }
    }
    Ok(())
}

/// A queue that took whatever it was given still does its work, ends it, and is saved and loaded.
fn lives_on(mut queue: Queue) -> Result<(), TestCaseError> {
    prop_assert_eq!(restored(&queue.snapshot()).snapshot(), queue.snapshot());
    let (mut journal, settings) = (Journal::default(), Defaults::default());
    let spec = PushSpec { priority: 3, ..PushSpec::plain(vec![1]) };
    let mut commands = vec![Command::Push { task: spec, id: None, renew: false, floor: MadeId(0) }, Command::RetryAll(2)];
    for _ in 0..6 {
        commands.push(Command::Claim { worker: "w".to_owned(), lease: None, session: None });
    }
    for slot in queue.list(State::Claimed, taskqueue::Cursor::Zero, 10).slots {
        let id = queue.id(slot).to_string();
        commands.push(Command::Extend { id: id.clone(), attempt: None, lease: None, checkpoint: None });
        commands.push(Command::Release { id, attempt: None, delay: Ms(0) });
    }
    commands.extend([
        Command::Tick { budget: 3 },
        Command::CancelAll(100),
        Command::ForgetAll(100),
        Command::Tick { budget: 1000 },
    ]);
    for (seconds, command) in (0..).zip(&commands) {
        let (replica, now) = (queue.clone(), START.after(Ms(seconds * 1000)));
        run(&mut queue, &mut journal, now, &settings, command);
        queue.check().map_err(TestCaseError::fail)?;
        let mut replica = replica;
        support::apply_all(&mut replica, journal.packed.bytes());
        prop_assert_eq!(replica.snapshot(), queue.snapshot());
        prop_assert_eq!(restored(&queue.snapshot()).snapshot(), queue.snapshot());
    }
    Ok(())
}

fn damage() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    prop::collection::vec((any::<Index>(), 0..4_u8, prop_oneof![any::<u8>(), select(vec![0, 1, 127, 128, 255])]), 1..6)
}

/// Bytes changed, put in, left out, or cut off.
fn damaged(mut bytes: Vec<u8>, damage: &[(Index, u8, u8)]) -> Vec<u8> {
    for (place, kind, byte) in damage {
        if bytes.len() < 2 {
            break;
        }
        // The version stays, or all ends there.
        let place = 1 + place.index(bytes.len() - 1);
        match kind {
            0 => bytes[place] = *byte,
            1 => bytes.insert(place, *byte),
            2 => drop(bytes.remove(place)),
            _ if *byte > 200 => bytes.truncate(place),
            _ => bytes[place] ^= 1 << (byte % 8),
        }
    }
    bytes
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..6_u64, 2 => START.0 - 5..START.0 + 50, 1 => select(vec![u64::MAX, u64::MAX / 2, u64::MAX - 1]), 1 => any::<u64>()]
}

fn instant() -> impl Strategy<Value = UnixMs> {
    number().prop_map(UnixMs)
}

const NAMES: [&str; 6] = ["a", "b", "c", "12-3", "", "ALL"];

fn id() -> impl Strategy<Value = TaskId<'static>> {
    prop_oneof![
        number().prop_map(|number| TaskId::Made(MadeId(number))),
        select(&NAMES[..3]).prop_map(TaskId::Named),
        select(&NAMES[..]).prop_map(TaskId::Named),
    ]
}

fn options() -> impl Strategy<Value = Option<Options>> {
    let options = (any::<Option<u16>>(), prop::option::of(number()), prop::option::of(number()), prop::option::of(number()));
    prop::option::of(options.prop_map(|(attempts, backoff, lease, retain)| Options {
        attempts,
        backoff: backoff.map(Ms),
        lease: lease.map(Ms),
        timeout: lease.map(Ms),
        retain: retain.map(|ms| Retention::For(Ms(ms))),
        retain_failed: retain.map(|_| Retention::Forever),
    }))
}

fn order() -> impl Strategy<Value = Order<'static>> {
    let start = prop_oneof![
        number().prop_map(|order| Start::Ready { order }),
        instant().prop_map(|due| Start::Scheduled { due }),
        number().prop_map(|order| Start::Waiting { order }),
    ];
    (any::<u8>(), start, prop::option::of(instant()), options()).prop_map(|(priority, start, ttl_at, options)| Order {
        payload: b"payload",
        priority,
        start,
        ttl_at,
        options,
    })
}

fn change() -> impl Strategy<Value = Change<'static>> {
    let claimed = (0..4_u32, number(), instant(), instant(), prop::option::of(instant()), any::<bool>());
    prop_oneof![
        (number(), instant()).prop_map(|(order, at)| Change::Ripened { order, at }),
        claimed.prop_map(|(attempt, lease, at, deadline, timeout_at, session)| Change::Claimed {
            attempt,
            worker: "w",
            lease: Ms(lease),
            at,
            deadline,
            timeout_at,
            session,
        }),
        (instant(), any::<bool>())
            .prop_map(|(deadline, keep)| Change::Extended { deadline, checkpoint: keep.then_some(b"checkpoint") }),
        (instant(), instant()).prop_map(|(at, drop_at)| Change::Completed { result: b"result", at, drop_at }),
        instant().prop_map(|due| Change::BackedOff { error: b"error", at: UnixMs(0), due }),
        (number(), instant()).prop_map(|(order, at)| Change::Requeued { error: b"error", order, at }),
        (any::<bool>(), instant(), instant()).prop_map(|(lapsed, at, drop_at)| Change::Failed {
            error: b"error",
            lapsed,
            at,
            drop_at
        }),
        instant().prop_map(|at| Change::Released { at }),
        instant().prop_map(|due| Change::Deferred { due }),
        instant().prop_map(|at| Change::Lapsed { at }),
        (instant(), instant()).prop_map(|(at, drop_at)| Change::Canceled { at, drop_at }),
        (instant(), instant()).prop_map(|(at, drop_at)| Change::Expired { at, drop_at }),
        (number(), instant()).prop_map(|(order, at)| Change::Revived { order, at }),
        (instant(), order()).prop_map(|(at, order)| Change::Renewed { at, order }),
        Just(Change::Dropped),
        instant().prop_map(|deadline| Change::Bounded { deadline }),
        (0..3_u32).prop_map(|dependency| Change::Told { dependency }),
        instant().prop_map(|due| Change::Delayed { due }),
        (instant(), instant()).prop_map(|(at, drop_at)| Change::Abandoned { error: b"error", at, drop_at }),
        (number(), instant()).prop_map(|(order, at)| Change::Awaited { order, at }),
        (instant(), order()).prop_map(|(at, order)| Change::Replaced { at, order }),
        (instant(), order()).prop_map(|(at, Order { start, .. })| Change::Followed { at, start }),
    ]
}

fn image() -> BoxedStrategy<Image<'static>> {
    use LastClaim::{Completed, FailedForGood, FailedToReady, FailedToScheduled, Lapsed, Open, Released, Voided};
    let claims = vec![Open, Completed, FailedToScheduled, FailedToReady, FailedForGood, Released, Lapsed, Voided];
    let status = (select(&State::ALL[..]), select(claims), prop_oneof![0..3_u32, Just(u32::MAX)], any::<u8>());
    let text = || prop::option::weighted(0.2, Just(&b"text"[..]));
    let rare = || prop::option::weighted(0.2, instant());
    let extra = (
        (prop::option::weighted(0.7, instant()), options(), rare(), prop_oneof![Just(0), 0..3_u32, Just(u32::MAX)]),
        (rare(), rare(), text(), text(), prop::bool::weighted(0.2)),
    );
    let extra =
        extra.prop_map(|((created, options, ttl_at, uncounted), (claimed_at, timeout_at, error, checkpoint, session))| {
            let keep = timeout_at.filter(|_| claimed_at.is_none()).map(|at| Ms(at.0));
            ExtraImage { created, options, ttl_at, uncounted, claimed_at, timeout_at, error, checkpoint, session, keep }
        });
    let worker = (any::<bool>(), number());
    (id(), status, instant(), number(), worker, prop::option::of(extra))
        .prop_map(|(id, status, at, order, worker, extra)| {
            let (state, last_claim, attempt, priority) = status;
            let has_worker = if worker.0 { attempt > 0 } else { worker.1 % 2 == 0 };
            let worker = has_worker.then_some(("w", Ms(worker.1)));
            Image { id, state, last_claim, data: b"data", at, order, attempt, priority, worker, extra }
        })
        .boxed()
}

/// Of lists of times and counts, some are well-formed.
const COUNTS: [&[u8]; 6] = [b"", &[0], &[1, 5, 1], &[2, 9, 1, 7, 1], &[1, 5, 0], &[255, 255, 255, 255, 15]];

fn effect() -> impl Strategy<Value = Effect<'static>> {
    let head = (number(), number(), number()).prop_map(|(last_id, last_order, pushed)| {
        let totals = Totals { pushed, released: pushed, ..Totals::default() };
        Effect::Restarted(Head { last_id: MadeId(last_id), last_order, totals })
    });
    let pushed = (id(), any::<bool>(), instant(), order())
        .prop_map(|(id, made, at, order)| Effect::Pushed(Pushed { id, made, at, order }));
    let counts = || select(&COUNTS[..]);
    let measured = (counts(), counts()).prop_map(|(waits, runs)| Effect::Measured { waits, runs });
    // Boxed, for they are large and stand on the stack.
    let changed = (id(), change()).prop_map(|(id, change)| Effect::Changed(id, change)).boxed();
    let depends = (id(), depends()).prop_map(|(id, depends)| Effect::Depends(id, depends)).boxed();
    prop_oneof![
        1 => head,
        1 => measured,
        4 => pushed,
        8 => image().prop_map(Effect::Restored),
        12 => changed,
        4 => depends,
        3 => batch().boxed(),
        3 => schedule().boxed(),
        2 => rate().boxed(),
        2 => events().boxed(),
        4 => key().boxed(),
        4 => group().boxed(),
    ]
}

fn key() -> impl Strategy<Value = Effect<'static>> {
    let name = || select(&NAMES[..3]);
    let keyed = (id(), name(), prop::option::of(instant()), any::<bool>());
    prop_oneof![
        4 => keyed.prop_map(|(id, key, until, follows)| Effect::Keyed(id, Keyed { key, until, follows })),
        1 => (name(), id(), instant()).prop_map(|(key, id, until)| Effect::KeyKept { key, id, until }),
        1 => (name(), instant()).prop_map(|(key, at)| Effect::KeyFreed { key, at }),
    ]
}

fn group() -> impl Strategy<Value = Effect<'static>> {
    let name = || select(&NAMES[..3]);
    prop_oneof![
        4 => (id(), name(), any::<bool>()).prop_map(|(id, group, holds)| Effect::Grouped { id, group, holds }),
        2 => prop::option::of(name()).prop_map(|group| Effect::Turned { group }),
        1 => (0..3_u32).prop_map(|group_concurrency| Effect::Set(Settings { group_concurrency, ..Settings::default() })),
    ]
}

fn batch() -> impl Strategy<Value = Effect<'static>> {
    let name = || select(&NAMES[..3]);
    let pushed = (id(), any::<bool>(), instant(), order());
    prop_oneof![
        2 => (name(), pushed).prop_map(|(batch, (id, made, at, order))| {
            Effect::PushedInto { batch, pushed: Pushed { id, made, at, order } }
        }),
        1 => (name(), instant()).prop_map(|(batch, at)| Effect::Sealed { batch, at }),
        1 => name().prop_map(|batch| Effect::BatchDropped { batch }),
        1 => number().prop_map(|last| Effect::BatchesNumbered { last }),
        1 => saved_batch(),
        2 => (0..4_u64, 0..4_u32, image()).prop_map(|(batch, number, image)| Effect::MemberRestored { batch, number, image }),
    ]
}

fn saved_batch() -> impl Strategy<Value = Effect<'static>> {
    let count = || prop_oneof![4 => 0..4_u32, 1 => any::<u32>()];
    let flags = (any::<bool>(), any::<bool>());
    (select(&NAMES[..3]), number(), flags, (instant(), instant()), (count(), count())).prop_map(
        |(name, incarnation, (is_sealed, is_leaving), (kept_until, touched), (opened, ended))| {
            Effect::BatchRestored(BatchImage { name, incarnation, is_sealed, is_leaving, kept_until, touched, opened, ended })
        },
    )
}

/// Limits of rate, and claims that count for them, some well-formed.
fn rate() -> impl Strategy<Value = Effect<'static>> {
    let rate = prop::option::of((0..4_u32, number()).prop_map(|(claims, window)| Rate { claims, window: Ms(window) }));
    let starts = prop::collection::vec((number(), 0..3_u32), 0..3);
    prop_oneof![
        rate.prop_map(|rate| Effect::Set(Settings { rate, ..Settings::default() })),
        starts.prop_map(|starts| {
            let starts: Vec<u8> = starts.iter().flat_map(|start| postcard::to_allocvec(start).unwrap()).collect();
            Effect::Started { starts: Vec::leak(starts) }
        }),
        instant().prop_map(|at| Effect::StartsRewound { at }),
    ]
}

fn schedule() -> impl Strategy<Value = Effect<'static>> {
    let name = || select(&NAMES[..]);
    let progress = (instant(), prop::option::of(instant()), prop::option::of(instant()), number(), number(), number())
        .prop_map(|(next, last, last_fired, fired, skipped, missed)| Progress { next, last, last_fired, fired, skipped, missed });
    let outcome = select(vec![SlotOutcome::Fired, SlotOutcome::Skipped, SlotOutcome::Missed]);
    let passed = (name(), instant(), instant(), number(), outcome);
    prop_oneof![
        2 => (name(), definition(), instant()).prop_map(|(name, definition, next)| Effect::Scheduled { name, definition, next }),
        1 => name().prop_map(|name| Effect::Unscheduled { name }),
        2 => passed.prop_map(|(name, slot, next, missed, outcome)| Effect::SlotPassed { name, slot, next, missed, outcome }),
        2 => (name(), definition(), progress)
            .prop_map(|(name, definition, progress)| Effect::ScheduleRestored { name, definition, progress }),
    ]
}

/// What no TASK.SCHEDULE says is among it.
fn definition() -> BoxedStrategy<Definition<'static>> {
    let cron = (select(vec!["* * * * * *", "@daily", "61 * * * *", ""]), select(vec!["UTC", "Europe/Berlin", "Mars", ""]))
        .prop_map(|(expression, zone)| Recurrence::Cron { expression, zone });
    let recurrence = prop_oneof![number().prop_map(|every| Recurrence::Every(Ms(every))), cron];
    let kept = (
        select(vec![Misfire::Skip, Misfire::Once, Misfire::All]),
        select(vec![Overlap::Allow, Overlap::Skip]),
        any::<u8>(),
        number(),
        prop::option::of(number()),
    );
    let unique = (select(&NAMES[..]), prop::option::of(number()), any::<bool>()).prop_map(|(key, hold, replace)| Unique {
        key,
        hold: hold.map(Ms),
        replace,
    });
    (recurrence, kept, options(), prop::option::of(unique), prop::option::of(select(&NAMES[..])))
        .prop_map(|(recurrence, (misfire, overlap, priority, delay, ttl), options, unique, group)| Definition {
            recurrence,
            misfire,
            overlap,
            payload: b"payload",
            priority,
            delay: Ms(delay),
            ttl: ttl.map(Ms),
            options: options.unwrap_or_default(),
            unique,
            group,
        })
        .boxed()
}

/// What the log of events is restored from, some well-formed; and that it is kept.
fn events() -> impl Strategy<Value = Effect<'static>> {
    let rows = (instant(), 0..14_u8, id(), 0..3_u32, prop::option::of(Just("w")));
    let rows = prop::collection::vec(rows.prop_map(|row| postcard::to_allocvec(&row).unwrap()), 0..4);
    prop_oneof![
        2 => (0..4_u32).prop_map(|events| Effect::Set(Settings { events, ..Settings::default() })),
        1 => instant().prop_map(|at| Effect::Dated { at }),
        1 => instant().prop_map(|at| Effect::EventsBegun { at }),
        1 => (number(), instant()).prop_map(|(next, at)| Effect::EventsNumbered { next, at }),
        2 => rows.prop_map(|rows| Effect::EventsRestored { rows: Vec::leak(rows.concat()) }),
    ]
}

/// Lists of dependencies, some well-formed: of the ids and batches that the other effects name.
fn depends() -> impl Strategy<Value = Depends<'static>> {
    let tie = select(vec![Tie::Untold, Tie::Untold, Tie::Held, Tie::Gone, Tie::UntoldGood, Tie::UntoldBad]);
    let on = prop::collection::vec((id(), tie), 0..3);
    (on, any::<bool>(), any::<bool>(), prop::option::of(instant())).prop_map(|(on, of_batch, run_anyway, due)| {
        let on: Vec<u8> = on.iter().flat_map(|one| postcard::to_allocvec(one).unwrap()).collect();
        Depends { on: Vec::leak(on), of_batch, run_anyway, due }
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(prop_oneof![0..20_u8, any::<u8>()], 0..300)) {
        let mut queue = Queue::default();
        feed(&mut queue, &bytes)?;
        feed(&mut queue, &[&[VERSION], &bytes[..]].concat())?;
        lives_on(queue)?;
    }

    #[test]
    fn damaged_snapshots((defaults, steps) in history(40), damage in damage()) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
            }
        }
        let mut queue = Queue::default();
        for chunk in driver.queue.snapshot() {
            feed(&mut queue, &damaged(chunk, &damage))?;
        }
        lives_on(queue)?;
    }

    #[test]
    fn damaged_replication((defaults, steps) in history(40), damage in damage(), which in any::<Index>()) {
        let mut driver = Driver::new(defaults);
        let mut replica = Queue::default();
        let damaged_at = which.index(steps.len());
        for (number, step) in steps.iter().enumerate() {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
                let packed = driver.journal.packed.bytes().to_vec();
                feed(&mut replica, &if number >= damaged_at { damaged(packed, &damage) } else { packed })?;
            }
        }
        lives_on(replica)?;
    }

    /// Well-formed effects that no master can have recorded.
    #[test]
    fn impossible_effects(effects in prop::collection::vec(effect(), 1..60)) {
        let mut queue = Queue::default();
        let head = Head { last_order: 3, ..Head::default() };
        queue.apply(&Effect::Restarted(head)).unwrap();
        for effect in &effects {
            let mut packed = Packed::default();
            packed.push(effect);
            prop_assert_eq!(unpack(packed.bytes()).collect::<Vec<_>>(), vec![Ok(*effect)]);
            feed(&mut queue, packed.bytes())?;
        }
        lives_on(queue)?;
    }

    /// What follows damage is not looked at, and a newer version is not guessed at.
    #[test]
    fn unpacking_ends_at_the_first_damage(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let effects: Vec<_> = unpack(&bytes).collect();
        prop_assert!(effects.iter().rev().skip(1).all(Result::is_ok));
        if bytes.first().is_some_and(|&version| version != VERSION) {
            prop_assert_eq!(effects, vec![Err(Mismatch::Undecodable)]);
        }
    }
}

fn refused(queue: &mut Queue, effect: &Effect<'_>) -> Mismatch {
    let before = queue.snapshot();
    let mismatch = queue.apply(effect).unwrap_err();
    assert_eq!(queue.snapshot(), before);
    mismatch
}

#[test]
fn effects_of_another_history_are_told_apart() {
    let mut driver = Driver::new(Defaults::default());
    let spec = PushSpec { priority: 3, ..PushSpec::plain(vec![1]) };
    driver.run(&Command::Push { task: spec, id: Some("a".to_owned()), renew: false, floor: MadeId(0) });
    let pushed = driver.journal.packed.bytes().to_vec();
    let push = unpack(&pushed).next().unwrap().unwrap();
    let (queue, a) = (&mut driver.queue, TaskId::Named("a"));
    assert_eq!(refused(queue, &push), Mismatch::KnownTask);
    assert_eq!(refused(queue, &Effect::Changed(TaskId::Named("b"), Change::Dropped)), Mismatch::UnknownTask);
    assert_eq!(refused(queue, &Effect::Changed(a, Change::Dropped)), Mismatch::Invalid);
    assert_eq!(refused(queue, &Effect::Changed(a, Change::Lapsed { at: START })), Mismatch::Invalid);
    assert_eq!(refused(queue, &Effect::Changed(a, Change::Bounded { deadline: START })), Mismatch::Invalid);
    assert_eq!(refused(queue, &Effect::Restarted(Head::default())), Mismatch::Invalid);
    let lease = Ms(Ms::MAX.0 + 1);
    let claimed =
        Change::Claimed { attempt: 1, worker: "w", lease, at: START, deadline: START, timeout_at: None, session: false };
    assert_eq!(refused(queue, &Effect::Changed(a, claimed)), Mismatch::Invalid, "no snapshot of it would load");
    let Effect::Pushed(push) = push else { panic!("{push:?}") };
    let order = Order { start: Start::Ready { order: 2 }, ..push.order };
    let made = |id| Effect::Pushed(Pushed { id: TaskId::Made(MadeId(id)), made: true, order, ..push });
    queue.apply(&made(5)).unwrap();
    assert_eq!(refused(queue, &made(6)), Mismatch::Invalid, "its place in line is taken");
    queue.apply(&Effect::Changed(TaskId::Made(MadeId(5)), Change::Canceled { at: START, drop_at: START })).unwrap();
    queue.apply(&Effect::Changed(TaskId::Made(MadeId(5)), Change::Dropped)).unwrap();
    let order = Order { start: Start::Scheduled { due: START }, ..order };
    let made = |id| Effect::Pushed(Pushed { id: TaskId::Made(MadeId(id)), made: true, order, ..push });
    assert_eq!(refused(queue, &made(5)), Mismatch::Invalid, "made ids only grow");
    queue.apply(&made(6)).unwrap();
}

/// A group is for life, only tasks that were claimed hold theirs, and only who stands in the rotation can go to its end.
#[test]
fn impossible_groups_are_refused() {
    let mut driver = Driver::new(Defaults::default());
    for (id, group) in [("a", Some("g")), ("b", None), ("c", Some("h"))] {
        let spec = PushSpec { group: group.map(str::to_owned), ..PushSpec::plain(vec![1]) };
        driver.run(&Command::Push { task: spec, id: Some(id.to_owned()), renew: false, floor: MadeId(0) });
    }
    for _ in 0..2 {
        driver.run(&Command::Claim { worker: "w".to_owned(), lease: None, session: None });
    }
    let queue = &mut driver.queue;
    let grouped = |id, group, holds| Effect::Grouped { id: TaskId::Named(id), group, holds };
    for (effect, mismatch) in [
        (grouped("a", "h", true), Mismatch::Invalid),
        (grouped("b", "g", false), Mismatch::Invalid),
        (grouped("b", "no name", true), Mismatch::Invalid),
        (grouped("d", "g", false), Mismatch::UnknownTask),
        (Effect::Turned { group: Some("g") }, Mismatch::Invalid),
        (Effect::Turned { group: None }, Mismatch::Invalid),
        (Effect::Turned { group: Some("none") }, Mismatch::UnknownTask),
    ] {
        assert_eq!(refused(queue, &effect), mismatch, "{effect:?}");
    }
    queue.apply(&Effect::Turned { group: Some("h") }).unwrap();
    queue.apply(&grouped("b", "g", true)).unwrap();
    queue.check().unwrap();
    assert_eq!(refused(&mut Queue::default(), &Effect::Turned { group: None }), Mismatch::Invalid);
}

/// Tasks as no master can hold them.
#[test]
fn impossible_tasks_are_refused() {
    let extra = ExtraImage { uncounted: 1, timeout_at: Some(START), ..ExtraImage::default() };
    let claimed = Image {
        id: TaskId::Made(MadeId(1)),
        state: State::Claimed,
        last_claim: LastClaim::Open,
        data: b"data",
        at: START,
        order: 3,
        attempt: 2,
        priority: 0,
        worker: Some(("w", Ms(5))),
        extra: Some(extra),
    };
    let with = |extra| Image { extra: Some(extra), ..claimed };
    let ready = Image { state: State::Ready, last_claim: LastClaim::Lapsed, extra: None, ..claimed };
    let impossible = [
        Image { state: State::Waiting, ..claimed },
        Image { last_claim: LastClaim::Lapsed, ..claimed },
        Image { attempt: 0, extra: None, ..claimed },
        Image { worker: None, ..claimed },
        Image { order: 4, ..claimed },
        Image { id: TaskId::Named("no created"), ..claimed },
        Image { id: TaskId::Named("12-3"), ..with(ExtraImage { created: Some(START), ..extra }) },
        with(ExtraImage { uncounted: 3, ..extra }),
        with(ExtraImage { ttl_at: Some(START), ..extra }),
        Image { order: 4, ..ready },
        Image { last_claim: LastClaim::Open, ..ready },
        Image { extra: Some(ExtraImage { ttl_at: Some(START), ..ExtraImage::default() }), ..ready },
        Image { extra: Some(ExtraImage { timeout_at: Some(START), ..ExtraImage::default() }), ..ready },
        Image { extra: Some(ExtraImage { claimed_at: Some(START), ..ExtraImage::default() }), ..ready },
        Image { extra: Some(ExtraImage { session: true, ..ExtraImage::default() }), ..ready },
    ];
    for possible in [claimed, ready] {
        let mut queue = Queue::default();
        queue.apply(&Effect::Restarted(Head { last_order: 3, ..Head::default() })).unwrap();
        for image in impossible {
            assert_eq!(refused(&mut queue, &Effect::Restored(image)), Mismatch::Invalid, "{image:?}");
        }
        queue.apply(&Effect::Restored(possible)).unwrap();
        queue.check().unwrap();
    }
}

/// The largest id that could be made exists already: pushes are refused, rather than looking for a larger one for ever.
#[test]
fn ids_that_run_out_refuse_pushes() {
    let last_id = MadeId(u64::MAX / 2);
    let mut driver = Driver::new(Defaults::default());
    assert_eq!(
        refused(&mut driver.queue, &Effect::Restarted(Head { last_id: last_id.next(), ..Head::default() })),
        Mismatch::Invalid
    );
    driver.queue.apply(&Effect::Restarted(Head { last_id, ..Head::default() })).unwrap();
    let spec = PushSpec { priority: 3, ..PushSpec::plain(vec![1]) };
    let push = |id: Option<String>, floor| Command::Push { task: spec.clone(), id, renew: false, floor };
    let full = support::Answer::Refused(taskqueue::Refusal::QueueFull);
    assert_eq!(driver.run(&push(None, MadeId(0))), full);
    assert_eq!(Driver::new(Defaults::default()).run(&push(None, MadeId(u64::MAX))), full);
    assert!(matches!(
        driver.run(&push(Some(MadeId(u64::MAX).to_string()), MadeId(0))),
        support::Answer::Pushed { added: true, .. }
    ));
}
