//! The log of events against a list: each change of state once, as it happened, on the master, on a replica and in a snapshot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Command, Driver, PushSpec, cases, defaults, restored, step};
use taskqueue::effect::Change;
use taskqueue::{
    Defaults, Effect, EventsCursor, EventsPage, MadeId, Mismatch, Queue, Rounding, Settings, Start, Txn, UnixMs, effect, op,
};

/// Seq, instant, event, id, attempt, worker.
type Row = (u64, UnixMs, &'static str, String, u32, Option<String>);

/// What the log is to hold.
#[derive(Default)]
struct Model {
    max: u64,
    last: u64,
    rows: Vec<Row>,
    /// The last claim of each task, and whether it is live.
    claims: BTreeMap<String, (u32, String, bool)>,
}

impl Model {
    fn keep(&mut self, max: u64) {
        self.max = max;
        let len = self.rows.len();
        self.rows.drain(..len.saturating_sub(usize::try_from(max).unwrap()));
    }

    fn note(&mut self, at: UnixMs, event: &'static str, id: String, attempt: u32, worker: Option<String>) {
        if self.max > 0 {
            self.last += 1;
            self.rows.push((self.last, at, event, id, attempt, worker));
            self.keep(self.max);
        }
    }

    /// An effect is applied to a replica.
    fn hear(&mut self, replica: &mut Queue, effect: &Effect<'_>, now: UnixMs) {
        let heard = replica.apply(effect).unwrap();
        if let Effect::Pushed(pushed) | Effect::PushedInto { pushed, .. } = effect {
            // An id may come again.
            self.claims.remove(&pushed.id.to_string());
            self.note(now, "push", pushed.id.to_string(), 0, None);
        }
        if let Effect::Set(settings) = effect {
            self.keep(settings.events.into());
        }
        if let Effect::Changed(id, change) = effect {
            self.hear_change(id.to_string(), change, now);
        }
        for (event, slot) in heard.into_iter().flatten() {
            if event == taskqueue::Event::Batch {
                self.note(now, "batch", replica.batch_name(slot).unwrap().to_owned(), 0, None);
            }
        }
    }

    fn hear_change(&mut self, id: String, change: &Change<'_>, now: UnixMs) {
        let claim = self.claims.get(&id).cloned();
        let attempt = claim.as_ref().map_or(0, |(attempt, ..)| *attempt);
        let held = claim.as_ref().map(|(_, worker, _)| worker.clone());
        let is_live = claim.is_some_and(|(.., is_live)| is_live);
        let (event, worker) = match change {
            Change::Ripened { .. } | Change::Revived { .. } | Change::Followed { start: Start::Ready { .. }, .. } => {
                ("ready", None)
            }
            Change::Claimed { attempt, worker, .. } => {
                self.claims.insert(id.clone(), (*attempt, (*worker).to_owned(), true));
                self.note(now, "claim", id, *attempt, Some((*worker).to_owned()));
                return;
            }
            Change::Completed { .. } => ("complete", held),
            Change::BackedOff { .. } | Change::Requeued { .. } => ("retry", held),
            Change::Failed { .. } => ("fail", held),
            Change::Abandoned { .. } => ("fail", None),
            Change::Released { .. } | Change::Deferred { .. } => ("release", held),
            Change::Lapsed { .. } => ("lapse", held),
            Change::Canceled { .. } => ("cancel", held.filter(|_| is_live)),
            Change::Expired { .. } => ("expire", None),
            Change::Renewed { .. } | Change::Replaced { .. } => ("push", None),
            Change::Dropped => ("drop", None),
            Change::Extended { .. }
            | Change::Bounded { .. }
            | Change::Told { .. }
            | Change::Delayed { .. }
            | Change::Followed { .. }
            | Change::Awaited { .. } => return,
        };
        if let Some((.., is_live)) = self.claims.get_mut(&id) {
            *is_live = false;
        }
        self.note(now, event, id, attempt, worker);
    }

    /// What a reader is to be given.
    fn page(&self, from: u64, count: usize) -> (u64, Vec<Row>) {
        let rows: Vec<Row> = self.rows.iter().filter(|row| row.0 >= from).take(count).cloned().collect();
        let missed = self.rows.first().map_or(self.last + 1, |first| first.0).saturating_sub(from);
        (if from == 0 { 0 } else { missed }, rows)
    }
}

fn rows(page: &EventsPage) -> Vec<Row> {
    let row = |row: taskqueue::EventRow<'_>| {
        let worker = row.worker.map(str::to_owned);
        (row.seq, row.at, row.event.name().unwrap(), row.id.to_string(), row.attempt, worker)
    };
    page.rows().map(row).collect()
}

fn keep(driver: &mut Driver, events: u32) {
    driver.journal.clear();
    let mut txn = Txn::new(&mut driver.queue, &mut driver.journal, driver.now);
    let settings = Settings { events, ..txn.queue().settings() };
    op::set(&mut txn, &settings);
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn each_change_is_told_once(
        defaults in defaults(),
        steps in prop::collection::vec((step(), prop::option::weighted(0.04, prop_oneof![Just(0), 1..6_u32, Just(500)])), 1..200),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 1..90_usize), 200),
    ) {
        let (mut driver, mut replica, mut model) = (Driver::new(defaults), Queue::default(), Model::default());
        keep(&mut driver, 100);
        support::apply_all(&mut replica, driver.journal.packed.bytes());
        model.keep(100);
        for ((step, events), (from, count)) in steps.iter().zip(reads) {
            if let Some(events) = *events {
                keep(&mut driver, events);
                support::apply_all(&mut replica, driver.journal.packed.bytes());
                model.keep(events.into());
            }
            let Some(command) = driver.command(step) else { continue };
            driver.run(&command);
            for effect in effect::unpack(driver.journal.packed.bytes()) {
                model.hear(&mut replica, &effect.unwrap(), driver.now);
            }
            let anew = restored(&driver.queue.snapshot());
            let from = from.index(usize::try_from(model.last).unwrap() + 2) as u64;
            let cursor = if from == 0 { EventsCursor::Oldest } else { EventsCursor::At(from) };
            for queue in [&driver.queue, &replica, &anew] {
                #[cfg(debug_assertions)]
                queue.check().map_err(TestCaseError::fail)?;
                prop_assert_eq!(queue.snapshot(), driver.queue.snapshot());
                let page = queue.events(cursor, count).unwrap();
                let missed = page.missed.map_or(0, |missed| missed.count);
                prop_assert_eq!((missed, rows(&page)), model.page(from, count), "from {} after {:?}", from, command);
                prop_assert_eq!((queue.last_event(), queue.event_count()), (model.last, model.rows.len() as u64));
                let after = queue.events(EventsCursor::At(page.next), usize::MAX).unwrap();
                prop_assert_eq!(rows(&after), model.page(page.next, usize::MAX).1);
                prop_assert_eq!(queue.events(EventsCursor::At(model.last + 2), 1), None);
                prop_assert!(queue.events(EventsCursor::End, 1).unwrap().is_empty());
            }
        }
    }
}

/// A queue that keeps no events sends nothing more than it did.
#[test]
fn instants_are_sent_where_events_are_kept() {
    for (events, expected) in [(0, 0), (5, 1)] {
        let mut driver = Driver::new(Defaults::default());
        keep(&mut driver, events);
        let task = PushSpec::plain(vec![1]);
        driver.run(&Command::PushAll { task, payloads: vec![vec![1]; 3], floor: MadeId(0) });
        driver.run(&Command::CancelAll(3));
        driver.now = UnixMs(driver.now.0 + 5);
        driver.run(&Command::ForgetAll(3));
        let dated = driver.effects().into_iter().filter(|effect| matches!(effect, Effect::Dated { .. })).count();
        assert_eq!((dated, driver.effects().len()), (expected, 3 + expected), "once for all of them");
    }
}

/// A million events take what the docs say, and go at once.
#[test]
fn memory() {
    let mut driver = Driver::new(Defaults::default());
    let bytes = |driver: &Driver| driver.queue.bytes(Rounding::Classes);
    let cycle = |driver: &mut Driver| {
        let task = PushSpec::plain(vec![1]);
        driver.run(&Command::Push { task, id: None, renew: false, floor: MadeId(0) });
        driver.run(&Command::Claim { worker: "worker-1@host-0123".to_owned(), lease: None, session: None });
        let id = support::listed(&driver.queue, taskqueue::State::Claimed).pop().unwrap();
        driver.run(&Command::Complete {
            id,
            attempt: None,
            result: Vec::new(),
            retain: Some(taskqueue::Retention::For(taskqueue::Ms(0))),
        });
    };
    driver.now = UnixMs(1_763_953_200_123);
    cycle(&mut driver);
    let before = bytes(&driver);
    keep(&mut driver, 20_000);
    for _ in 0..6_000 {
        driver.now = UnixMs(driver.now.0 + 1);
        cycle(&mut driver);
    }
    let each = (bytes(&driver) - before) / 20_000;
    assert!((20..40).contains(&each), "{each} bytes an event");
    keep(&mut driver, 10);
    assert!(bytes(&driver) - before < 12_000);
    keep(&mut driver, 0);
    assert!(bytes(&driver) - before < 200);
    assert_eq!(driver.queue.last_event(), 24_000);
}

#[test]
fn only_cursors_that_were_given_are_read() {
    for text in ["", "00", "01", "+1", "-1", "1 ", "$0", "x", "18446744073709551616"] {
        assert_eq!(EventsCursor::parse(text.as_bytes()), None, "{text}");
    }
    for (text, cursor) in [("0", EventsCursor::Oldest), ("$", EventsCursor::End), ("17", EventsCursor::At(17))] {
        assert_eq!(EventsCursor::parse(text.as_bytes()), Some(cursor));
    }
}

/// Numbers do not go back, and rows are what a queue could have kept.
#[test]
fn impossible_events_are_refused() {
    let mut driver = Driver::new(Defaults::default());
    keep(&mut driver, 3);
    for _ in 0..2 {
        driver.run(&Command::Push { task: PushSpec::plain(vec![1]), id: None, renew: false, floor: MadeId(0) });
    }
    let chunks = driver.queue.snapshot();
    let rows = effect::unpack(&chunks[0]).find_map(|effect| match effect.unwrap() {
        Effect::EventsRestored { rows } => Some(rows),
        _ => None,
    });
    let rows = rows.unwrap();
    let refused = |queue: &mut Queue, effect: &Effect<'_>| {
        let before = queue.snapshot();
        assert_eq!(queue.apply(effect), Err(Mismatch::Invalid), "{effect:?}");
        assert_eq!(queue.snapshot(), before);
    };
    let at = UnixMs(1);
    refused(&mut Queue::default(), &Effect::EventsRestored { rows });
    refused(&mut driver.queue, &Effect::EventsNumbered { next: 9, at });
    refused(&mut driver.queue, &Effect::EventsRestored { rows });
    let mut queue = Queue::default();
    queue.apply(&Effect::Set(Settings { events: 3, ..Settings::default() })).unwrap();
    for next in [0, u64::MAX, u64::MAX / 2 + 1] {
        refused(&mut queue, &Effect::EventsNumbered { next, at });
    }
    queue.apply(&Effect::EventsNumbered { next: 7, at }).unwrap();
    refused(&mut queue, &Effect::EventsNumbered { next: 6, at });
    let half = rows.len() / 2;
    let with = |place: usize, byte: u8| {
        let mut rows = rows.to_vec();
        rows[place] = byte;
        rows
    };
    // The first event is a small instant in three bytes, then its kind.
    assert_eq!(rows[3], 0, "a push");
    for damaged in [&rows[..half - 1], &rows[4..], &with(3, 12), &[rows, rows].concat()] {
        refused(&mut queue, &Effect::EventsRestored { rows: damaged });
    }
    queue.apply(&Effect::EventsRestored { rows }).unwrap();
    assert_eq!(queue.events(EventsCursor::Oldest, 9).unwrap().rows().map(|row| row.seq).collect::<Vec<_>>(), [7, 8]);
}
