//! Replicas, snapshots and copies hold the same queue as the one they come from, to the byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use support::{Command, Driver, PushSpec, apply_all, cases, history, listed, restored, run};
use taskqueue::{Defaults, Journal, MadeId, Ms, Queue, Rounding, State, UnixMs, effect};

/// What a command recorded, without what is left open: in which order tasks expire or are dropped that do so at once.
fn facts(packed: &[u8]) -> Vec<String> {
    let mut facts: Vec<String> = effect::unpack(packed).map(|effect| format!("{:?}", effect.unwrap())).collect();
    facts.sort();
    facts
}

/// A tick that has no choice whom to take first.
fn unhurried(command: Command) -> Command {
    match command {
        Command::Tick { .. } => Command::Tick { budget: usize::MAX },
        other => other,
    }
}

proptest! {
    #![proptest_config(cases(120))]

    /// One replica from the start, one that joins by a snapshot at some step and then lives on effects alike.
    #[test]
    fn replicas_equal_their_master((defaults, steps) in history(120), joins in 0..120_usize) {
        let mut driver = Driver::new(defaults);
        let (mut replica, mut joined) = (Queue::default(), None);
        for (number, step) in steps.iter().enumerate() {
            if number == joins {
                joined = Some(restored(&driver.queue.snapshot()));
            }
            let Some(command) = driver.command(step) else { continue };
            driver.run(&command);
            for copy in joined.iter_mut().chain([&mut replica]) {
                apply_all(copy, driver.journal.packed.bytes());
                prop_assert_eq!(copy.snapshot(), driver.queue.snapshot(), "after {:?}", command);
            }
        }
    }

    /// What does not change the queue is not replicated, and what is replicated changes it.
    #[test]
    fn nothing_is_recorded_of_what_changed_nothing((defaults, steps) in history(80)) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            let Some(command) = driver.command(step) else { continue };
            let before = driver.queue.snapshot();
            driver.run(&command);
            let changed = before != driver.queue.snapshot();
            // SET makes a queue, whatever it says.
            let may_change_nothing = matches!(command, Command::Extend { .. } | Command::Set(_));
            prop_assert!(changed != driver.journal.packed.is_empty() || may_change_nothing, "{:?}", command);
        }
    }

    /// A copy, and a queue made anew from a snapshot, go on as the original does, and do not touch it. But connections hold claims in
    /// the original alone.
    #[test]
    fn copies_go_on_as_the_original((defaults, steps) in history(80)) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            let Some(command) = driver.command(step).map(unhurried) else { continue };
            let before = driver.queue.snapshot();
            let (mut copy, mut anew) = (driver.queue.copied(), restored(&before));
            let has_sessions = anew.soonest() == UnixMs(0);
            // That of a queue which had something to do before may be early.
            prop_assert!(copy.soonest() == UnixMs(0) || !has_sessions);
            prop_assert_eq!(copy.connections().count(), 0);
            prop_assert_eq!(&copy.snapshot(), &before);
            prop_assert_eq!(&anew.snapshot(), &before);
            let (mut of_copy, mut of_anew) = (Journal::default(), Journal::default());
            let answers = [
                run(&mut copy, &mut of_copy, driver.now, &driver.defaults, &command),
                run(&mut anew, &mut of_anew, driver.now, &driver.defaults, &command),
            ];
            prop_assert_eq!(driver.queue.snapshot(), before);
            let answer = driver.run(&command);
            prop_assert_eq!(&answers[0], &answers[1]);
            prop_assert_eq!(facts(of_anew.packed.bytes()), facts(of_copy.packed.bytes()), "after {:?}", command);
            if !has_sessions || !matches!(command, Command::Tick { .. }) {
                prop_assert_eq!(&answers[0], &answer);
                prop_assert_eq!(of_copy.packed.bytes(), driver.journal.packed.bytes());
            }
        }
    }
}

fn spec(bytes: usize) -> PushSpec {
    PushSpec::plain(vec![7; bytes])
}

fn push(bytes: usize) -> Command {
    Command::Push { task: spec(bytes), id: None, renew: false, floor: MadeId(0) }
}

/// Equal queues give equal bytes, whatever they went through: here two that differ in slots, tables and segments.
#[test]
fn a_snapshot_does_not_tell_of_the_past() {
    let mut driver = Driver::new(Defaults::default());
    for n in 0..9_000 {
        let id = (n % 2 == 0).then(|| format!("n{n}"));
        driver.run(&Command::Push { task: spec(100), id, renew: false, floor: MadeId(0) });
    }
    for _ in 0..8_900 {
        driver.run(&Command::CancelAll(1));
        driver.run(&Command::ForgetAll(1));
    }
    let again = restored(&driver.queue.snapshot());
    assert_eq!(again.snapshot(), driver.queue.snapshot());
    assert!(again.bytes(Rounding::Classes) < driver.queue.bytes(Rounding::Classes));
}

/// A lease that was shortened and made longer again leaves no trace.
#[test]
fn a_snapshot_does_not_tell_of_extensions() {
    let mut driver = Driver::new(Defaults::default());
    driver.run(&push(1));
    driver.run(&Command::Claim { worker: "w".to_owned(), lease: None, session: None });
    let claimed = driver.queue.snapshot();
    let id = listed(&driver.queue, State::Claimed).remove(0);
    let extend = |lease| Command::Extend { id: id.clone(), attempt: Some(1), lease, checkpoint: None };
    driver.run(&extend(Some(Ms(5))));
    assert_ne!(driver.queue.snapshot(), claimed);
    driver.run(&extend(None));
    assert_eq!(driver.queue.snapshot(), claimed);
}

/// A snapshot comes in pieces of bounded size, each of whole tasks.
#[test]
fn a_snapshot_comes_in_pieces() {
    let mut driver = Driver::new(Defaults::default());
    for _ in 0..1_000 {
        driver.run(&push(1000));
    }
    let snapshot = driver.queue.snapshot();
    assert_eq!(snapshot.len(), 16);
    assert!(snapshot.iter().all(|chunk| chunk.len() < 67_000 && chunk[0] == effect::VERSION));
}
