//! What holds of a queue after every step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![cfg(debug_assertions)]

mod support;

use proptest::prelude::*;
use support::{Answer, Command, Driver, PushSpec, START, cases, history, restored};
use taskqueue::{Defaults, MadeId, Ms, Options, Queue, Rate, Retention, Rounding, Settings, State, UnixMs};

proptest! {
    #![proptest_config(cases(180))]

    #[test]
    fn all_indexes_agree_with_the_tasks((defaults, steps) in history(150)) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            let Some(command) = driver.command(step) else { continue };
            driver.run(&command);
            driver.queue.check().map_err(TestCaseError::fail)?;
            let counts: usize = State::ALL.into_iter().map(|state| driver.queue.count(state)).sum();
            prop_assert_eq!(counts, driver.queue.len());
        }
    }

    /// Whatever became of a queue, time empties it in the end, but for what is to be kept for ever, and gives its memory back.
    #[test]
    fn time_leaves_what_is_kept_for_ever((defaults, steps) in history(60)) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
            }
        }
        for worker in 0..3 {
            driver.run(&Command::Close(support::connection_of(worker)));
        }
        let mut ticks = 0;
        while driver.queue.soonest() != UnixMs::NEVER {
            driver.now = driver.now.max(driver.queue.soonest());
            driver.run(&Command::Tick { budget: 2 });
            ticks += 1;
            prop_assert!(ticks < 10_000);
        }
        driver.queue.check().map_err(TestCaseError::fail)?;
        driver.run(&Command::CancelAll(1000));
        driver.run(&Command::ForgetAll(1000));
        for batch in (0..3).map(|number| format!("batch-{number}")) {
            driver.run(&Command::CancelBatch(batch.clone(), 1000));
            driver.run(&Command::Seal(batch.clone()));
            driver.run(&Command::ForgetBatch(batch));
        }
        driver.now = driver.now.after(Ms(1000));
        driver.run(&Command::Tick { budget: 1000 });
        prop_assert_eq!((driver.queue.len(), driver.queue.soonest()), (0, UnixMs::NEVER));
        let bytes = driver.queue.bytes(Rounding::Classes);
        prop_assert!(bytes < 20_000, "{bytes} bytes of nothing");
    }
}

fn plain_push(id: Option<String>) -> Command {
    let task = PushSpec::plain(vec![0; 10]);
    Command::Push { task, id, renew: false, floor: taskqueue::MadeId(0) }
}

/// A batch that is left alone goes when failed tasks would: also when that comes to be sooner than the queue was to be looked at. The queue
/// is known to the server even if that is never, as the server's setting may change.
#[test]
fn a_shorter_retention_is_looked_at_at_once() {
    let mut driver = Driver::new(Defaults { retain_failed: Retention::Forever, ..Defaults::default() });
    driver.run(&Command::Seal("batch-0".to_owned()));
    driver.run(&Command::Tick { budget: 1 });
    assert_eq!(driver.queue.soonest(), UnixMs::MAX);
    let options = Options { retain_failed: Some(Retention::For(Ms(10))), ..Options::default() };
    driver.run(&Command::Set(Settings { options, ..Settings::default() }));
    assert!(driver.queue.soonest() <= driver.now.after(Ms(10)), "{:?}", driver.queue.soonest());
    driver.run(&Command::Tick { budget: 1 });
    assert_eq!(driver.queue.soonest(), driver.now.after(Ms(10)));
    driver.run(&Command::Set(Settings::default()));
    driver.run(&Command::Tick { budget: 1 });
    assert_eq!(driver.queue.soonest(), UnixMs::MAX);
}

/// A window that was open can be closed again by a clock that steps back: who is refused then is to be woken when it opens.
#[test]
fn a_window_that_a_clock_closes_again_is_waited_for() {
    let mut driver = Driver::new(Defaults::default());
    let rate = Some(Rate { claims: 1, window: Ms(20) });
    driver.run(&Command::Set(Settings { rate, ..Settings::default() }));
    driver.run(&Command::PushAll { task: PushSpec::plain(Vec::new()), payloads: vec![Vec::new(); 2], floor: MadeId(0) });
    let claim = Command::Claim { worker: "worker-0".to_owned(), lease: None, session: None };
    assert!(matches!(driver.run(&claim), Answer::Claimed(Some(_))));
    driver.now = START.after(Ms(30));
    driver.run(&Command::Tick { budget: 1 });
    driver.now = START.after(Ms(10));
    assert_eq!(driver.run(&claim), Answer::Claimed(None));
    assert!(driver.queue.soonest() <= START.after(Ms(20)), "{:?}", driver.queue.soonest());
}

/// Many tasks, so that segments fill and empty and the table of ids splits and merges.
#[test]
fn a_queue_that_grows_and_shrinks_gives_its_memory_back() {
    let mut driver = Driver::new(Defaults::default());
    let empty = driver.queue.bytes(Rounding::Classes);
    for round in 0..2_u64 {
        for n in 0..12_000 {
            let id = (n % 3 == 0).then(|| format!("{round}:{n}"));
            driver.run(&plain_push(id));
        }
        driver.queue.check().unwrap();
        while !driver.queue.is_empty() {
            // Not first in first out: the holes lie in all segments.
            let ids: Vec<String> = support::listed(&driver.queue, State::Ready).into_iter().step_by(2).collect();
            for id in ids {
                driver.run(&Command::Cancel(id.clone()));
                driver.run(&Command::Forget(id));
            }
            driver.queue.check().unwrap();
            assert_eq!(restored(&driver.queue.snapshot()).snapshot(), driver.queue.snapshot());
        }
        // What stays is one segment of tasks and of what the named ones have, and the first chunk of the table.
        let bytes = driver.queue.bytes(Rounding::Classes);
        assert!(bytes < empty + 1_500_000, "{bytes} bytes, {empty} at first");
    }
}

/// More workers than the table holds: the rest stand with their tasks, and no snapshot tells which.
#[test]
fn the_table_of_workers_overflows() {
    let mut driver = Driver::new(Defaults::default());
    let count = usize::from(u16::MAX) + 10;
    for n in 0..count {
        driver.run(&plain_push(None));
        driver.run(&Command::Claim { worker: format!("w{n}"), lease: None, session: None });
    }
    driver.queue.check().unwrap();
    let last = support::listed(&driver.queue, State::Claimed).pop().unwrap();
    let worker = |queue: &Queue| {
        let slot = queue.find(support::task_id(&last)).unwrap();
        queue.view(slot, &Defaults::default()).worker.map(str::to_owned)
    };
    assert_eq!(worker(&driver.queue), Some(format!("w{}", count - 1)));
    for id in support::listed(&driver.queue, State::Claimed) {
        driver.run(&Command::Complete { id, attempt: None, result: b"done".to_vec(), retain: None });
    }
    driver.run(&Command::ForgetAll(count - 5));
    driver.queue.check().unwrap();
    let again = restored(&driver.queue.snapshot());
    assert_eq!(again.snapshot(), driver.queue.snapshot());
    assert_eq!(worker(&again), worker(&driver.queue));
    assert!(again.bytes(Rounding::Classes) < driver.queue.bytes(Rounding::Classes));
}

/// A worker that claims with another lease each time costs no more than one that does not.
#[test]
fn one_worker_may_claim_with_many_leases() {
    let mut driver = Driver::new(Defaults::default());
    for n in 1..=40_000 {
        driver.run(&plain_push(None));
        driver.run(&Command::Claim { worker: "w".to_owned(), lease: Some(Ms(n)), session: None });
    }
    driver.queue.check().unwrap();
    assert_eq!(driver.queue.soonest(), START.after(Ms(1)));
}
