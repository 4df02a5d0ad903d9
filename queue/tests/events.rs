//! The log of events against a list: each change of state once, as it happened, on the master, on a replica and in a snapshot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Command, Driver, PushSpec, cases, defaults, restored, step};
use taskqueue::effect::Change;
use taskqueue::{
    Defaults, Effect, EventsCursor, EventsPage, MadeId, Mismatch, Queue, Refusal, Rounding, Settings, Start, Txn, UnixMs, effect,
    op,
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
        self.last += 1;
        self.rows.push((self.last, at, event, id, attempt, worker));
        self.keep(self.max);
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

fn number(cursor: EventsCursor) -> u64 {
    match cursor {
        EventsCursor::At { number, .. } => number,
        other => panic!("{other:?}"),
    }
}

/// All pages from a cursor on, and where the last one ended.
fn read_on(queue: &Queue, cursor: EventsCursor, count: usize) -> Result<(Vec<Row>, EventsCursor), Refusal> {
    let (mut all, mut at) = (Vec::new(), cursor);
    loop {
        let page = queue.events(at, count)?;
        all.extend(rows(&page));
        if page.is_empty() {
            return Ok((all, at));
        }
        at = page.next;
    }
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
            let cursor = if from == 0 { EventsCursor::Oldest } else { EventsCursor::number(from) };
            for queue in [&driver.queue, &replica, &anew] {
                #[cfg(debug_assertions)]
                queue.check().map_err(TestCaseError::fail)?;
                prop_assert_eq!(queue.snapshot(), driver.queue.snapshot());
                let page = queue.events(cursor, count).unwrap();
                let missed = page.missed.map_or(0, |missed| missed.count);
                prop_assert_eq!((missed, rows(&page)), model.page(from, count), "from {} after {:?}", from, command);
                prop_assert_eq!((queue.last_event(), queue.event_count()), (model.last, model.rows.len() as u64));
                prop_assert_eq!(EventsCursor::parse(page.next.to_string().as_bytes()), Some(page.next));
                let after = queue.events(page.next, usize::MAX).unwrap();
                prop_assert_eq!(rows(&after), model.page(number(page.next), usize::MAX).1);
                let ahead = EventsCursor::number(model.last + 2);
                prop_assert_eq!(queue.events(ahead, 1), Err(Refusal::EventsLost { may_come: true }));
                prop_assert!(queue.events(EventsCursor::End, 1).unwrap().is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// A replica that has not got the last commands of its master is promoted, and has another history from there on. A reader that was
    /// given what is lost is told so, as long as what came in place of the event that it was given last is kept; any other reads on as if
    /// nothing had been.
    #[test]
    fn a_failover_is_told(
        defaults in defaults(),
        shared in prop::collection::vec(step(), 0..60),
        lost in prop::collection::vec(step(), 0..20),
        instead in prop::collection::vec(step(), 0..40),
        max in prop_oneof![2..9_u32, Just(500)],
        count in 1..9_usize,
    ) {
        let mut driver = Driver::new(defaults);
        keep(&mut driver, max);
        let say = |driver: &mut Driver, steps: &[support::Step]| {
            for step in steps {
                if let Some(command) = driver.command(step) {
                    driver.run(&command);
                }
            }
        };
        say(&mut driver, &shared);
        let replica = restored(&driver.queue.snapshot());
        let last_shared = replica.last_event();
        say(&mut driver, &lost);
        // Each place at which a reader of the old master can be.
        let mut cursors = Vec::new();
        let mut at = driver.queue.events(EventsCursor::Oldest, 1).unwrap();
        while !at.is_empty() {
            cursors.push((at.next, rows(&at).pop().unwrap()));
            at = driver.queue.events(at.next, 1).unwrap();
        }
        driver.queue = replica;
        say(&mut driver, &instead);
        let kept = read_on(&driver.queue, EventsCursor::Oldest, count).unwrap().0;
        for (cursor, given) in cursors {
            let stands = kept.iter().find(|row| row.0 == given.0);
            match read_on(&driver.queue, cursor, count) {
                Err(Refusal::EventsLost { may_come }) => {
                    prop_assert!(given.0 > last_shared, "{given:?} was not lost");
                    prop_assert_eq!(may_come, stands.is_none());
                }
                Err(other) => prop_assert!(false, "{:?}", other),
                // What was said again in the same way, and at the same instant, is the same.
                Ok((rows, _)) => {
                    prop_assert!(stands.is_none_or(|stands| *stands == given));
                    prop_assert!(given.0 <= driver.queue.last_event());
                    let expected: Vec<Row> = kept.iter().filter(|row| row.0 > given.0).cloned().collect();
                    prop_assert_eq!(rows, expected);
                }
            }
        }
    }
}

/// A queue that was deleted and made anew has another log, however many numbers it has given; and the copy of one has the same.
#[test]
fn another_log_is_told() {
    let mut driver = Driver::new(Defaults::default());
    let push = |driver: &mut Driver| {
        driver.run(&Command::Push { task: PushSpec::plain(vec![1]), id: None, renew: false, floor: MadeId(0) });
    };
    // Before it keeps any there is nothing to tell apart.
    let before = driver.queue.events(EventsCursor::End, 9).unwrap().next;
    assert_eq!(before.to_string(), "1");
    keep(&mut driver, 3);
    let empty = driver.queue.events(EventsCursor::End, 9).unwrap().next;
    assert_eq!(empty.to_string(), format!("{}-1-0", driver.now.0));
    push(&mut driver);
    let copy = restored(&driver.queue.snapshot());
    let after = driver.queue.events(EventsCursor::Oldest, 9).unwrap().next;
    let new = |now: u64| {
        let mut driver = Driver::new(Defaults::default());
        driver.now = UnixMs(now);
        keep(&mut driver, 3);
        (0..5).for_each(|_| push(&mut driver));
        driver.queue
    };
    let (newer, older) = (new(driver.now.0 + 1), new(driver.now.0 - 1));
    for cursor in [empty, after] {
        assert_eq!(newer.events(cursor, 9), Err(Refusal::EventsLost { may_come: false }));
        assert_eq!(older.events(cursor, 9), Err(Refusal::EventsLost { may_come: true }), "of a replica that is behind");
        assert_eq!(Queue::default().events(cursor, 9), Err(Refusal::EventsLost { may_come: true }));
        assert!(copy.events(cursor, 9).is_ok());
    }
    // It knows no log, so it knows no other; and a number is a number.
    assert_eq!(newer.events(before, 9).unwrap().missed.unwrap().count, 2);
    assert_eq!(newer.events(EventsCursor::number(4), 9).unwrap().rows().count(), 2);
}

/// What happens while a queue keeps no events is counted, so that a reader is told how much it missed; replicas and snapshots agree.
#[test]
fn what_happens_meanwhile_is_missed() {
    let mut driver = Driver::new(Defaults::default());
    let push = |driver: &mut Driver, count: u64| {
        (0..count).for_each(|_| {
            driver.now = UnixMs(driver.now.0 + 1);
            driver.run(&Command::Push { task: PushSpec::plain(vec![1]), id: None, renew: false, floor: MadeId(0) });
        });
    };
    keep(&mut driver, 4);
    push(&mut driver, 2);
    let cursor = driver.queue.events(EventsCursor::Oldest, 1).unwrap().next;
    let at_end = driver.queue.events(cursor, 9).unwrap().next;
    keep(&mut driver, 0);
    for cursor in [cursor, at_end] {
        let page = driver.queue.events(cursor, 9).unwrap();
        assert_eq!((page.missed.map(|missed| missed.count), page.len()), ((cursor != at_end).then_some(1), 0));
        assert_eq!(number(page.next), 3);
    }
    assert_eq!(driver.queue.events(at_end, 9).unwrap().next, at_end, "it still tells what it was given");
    push(&mut driver, 70);
    let last = driver.now;
    for queue in [&driver.queue, &restored(&driver.queue.snapshot())] {
        let page = queue.events(at_end, 9).unwrap();
        assert_eq!((page.len(), page.missed), (0, Some(taskqueue::Missed { count: 70, last: 72, at: last })));
        assert_eq!((queue.last_event(), queue.event_count()), (72, 0));
    }
    // Also what says no instant of its own.
    driver.run(&Command::CancelAll(1));
    driver.now = UnixMs(driver.now.0 + 1);
    driver.run(&Command::ForgetAll(1));
    let page = driver.queue.events(at_end, 9).unwrap();
    assert_eq!(page.missed, Some(taskqueue::Missed { count: 72, last: 74, at: driver.now }));
    keep(&mut driver, 2);
    push(&mut driver, 1);
    let page = driver.queue.events(at_end, 9).unwrap();
    assert_eq!((page.missed.unwrap().count, rows(&page)[0].0), (72, 75));
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
    for text in [
        "",
        "00",
        "01",
        "+1",
        "-1",
        "1 ",
        "$0",
        "x",
        "18446744073709551616",
        "5-0-0",
        "5-1",
        "5-1-",
        "5-01-0",
        "0-1-0",
        "5-1-4294967296",
        "5-1-0-0",
        "-1-0",
    ] {
        assert_eq!(EventsCursor::parse(text.as_bytes()), None, "{text}");
    }
    let at = EventsCursor::At { begun: UnixMs(5), number: 17, mark: 9 };
    for (text, cursor) in
        [("0", EventsCursor::Oldest), ("$", EventsCursor::End), ("17", EventsCursor::number(17)), ("5-17-9", at)]
    {
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
    refused(&mut driver.queue, &Effect::EventsBegun { at });
    let mut queue = Queue::default();
    refused(&mut queue, &Effect::EventsBegun { at: UnixMs(0) });
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
