//! Readers of a batch's ends: each end once per cursor, in order, whatever happens between two pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Command, Driver, PushSpec, Step, apply_all, cases, history, restored};
use taskqueue::effect::Change;
use taskqueue::{Defaults, Effect, EndsCursor, MadeId, Ms, Queue, Refusal, State};

/// What a reader of one batch must still be given.
#[derive(Clone, Debug)]
struct Reader {
    cursor: EndsCursor,
    pending: Vec<String>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { cursor: EndsCursor::Start, pending: Vec::new() }
    }
}

#[derive(Clone, Debug, Default)]
struct Readers {
    readers: BTreeMap<String, Reader>,
    /// The batch of each task.
    batches: BTreeMap<String, String>,
}

impl Readers {
    fn hear(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::PushedInto { batch, pushed } => {
                self.batches.insert(pushed.id.to_string(), (*batch).to_owned());
            }
            Effect::BatchDropped { batch } => {
                self.readers.remove(*batch);
                self.batches.retain(|_, of| of != batch);
            }
            Effect::Changed(id, change) => {
                let id = id.to_string();
                let Some(batch) = self.batches.get(&id) else { return };
                let pending = &mut self.readers.entry(batch.clone()).or_default().pending;
                match change {
                    Change::Completed { .. }
                    | Change::Failed { .. }
                    | Change::Abandoned { .. }
                    | Change::Canceled { .. }
                    | Change::Expired { .. } => {
                        pending.push(id);
                    }
                    // It has not ended any more: who has not heard of that end never will.
                    Change::Revived { .. } | Change::Renewed { .. } | Change::Awaited { .. } => pending.retain(|end| *end != id),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The batch's reader is given a page, if there is that batch: the right one, by this queue and by one that was made from its snapshot.
    fn read(&mut self, queue: &Queue, name: &str, count: usize) -> Result<(), TestCaseError> {
        let Some(batch) = queue.find_batch(name) else { return Ok(()) };
        let view = queue.view_batch(batch);
        let reader = self.readers.entry(name.to_owned()).or_default();
        let page = queue.collect(name, reader.cursor, count).unwrap();
        let anew = restored(&queue.snapshot());
        let same = anew.collect(name, reader.cursor, count).unwrap();
        prop_assert_eq!(
            (same.next, same.remaining, ids(&anew, &same.slots)),
            (page.next, page.remaining, ids(queue, &page.slots))
        );
        let given: Vec<String> = reader.pending.drain(..count.min(reader.pending.len())).collect();
        prop_assert_eq!(ids(queue, &page.slots), given);
        let open: usize = view.counts[..4].iter().sum();
        prop_assert_eq!(page.remaining, view.sealed.then_some(open + reader.pending.len()));
        prop_assert_eq!(view.done, view.sealed && open == 0);
        prop_assert_eq!(page.is_last, view.done && reader.pending.is_empty());
        prop_assert_eq!(EndsCursor::parse(page.next.to_string().as_bytes()), Some(page.next));
        reader.cursor = page.next;
        Ok(())
    }
}

/// What was true after a command, and what it sent to replicas.
struct Point<T> {
    packed: Vec<u8>,
    snapshot: Vec<Vec<u8>>,
    /// What the test knew of it.
    known: T,
}

/// A node that has so much of a history: a snapshot of some time, and what came after it.
fn node<T>(log: &[Point<T>], snapshot: usize) -> Queue {
    let mut queue = snapshot.checked_sub(1).map_or_else(Queue::default, |last| restored(&log[last].snapshot));
    for point in &log[snapshot..] {
        apply_all(&mut queue, &point.packed);
    }
    queue
}

fn ids(queue: &Queue, slots: &[taskqueue::Slot]) -> Vec<String> {
    slots.iter().map(|&slot| queue.id(slot).to_string()).collect()
}

proptest! {
    #![proptest_config(cases(120))]

    #[test]
    fn each_end_is_given_once((defaults, steps) in history(120), reads in prop::collection::vec((0..3_u8, 1..4_usize, any::<bool>()), 120)) {
        let mut driver = Driver::new(defaults);
        let mut readers = Readers::default();
        for (step, (number, count, reads)) in steps.iter().zip(reads) {
            if let Some(command) = driver.command(step) {
                let before: BTreeMap<String, EndsCursor> = readers.readers.iter().map(|(name, reader)| (name.clone(), reader.cursor)).collect();
                driver.run(&command);
                for effect in driver.effects() {
                    readers.hear(&effect);
                    if let Effect::BatchDropped { batch } = effect
                        && let Some(&cursor @ EndsCursor::At { .. }) = before.get(batch)
                    {
                        prop_assert_eq!(driver.queue.collect(batch, cursor, 1), Err(Refusal::NoBatch), "an old cursor");
                    }
                }
            }
            if reads {
                readers.read(&driver.queue, &format!("batch-{number}"), count)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(120))]

    /// Nodes that have only the beginning of a history become the master, over and over. A reader goes on from the cursor that was
    /// written down on what they have, and is given each end of the new history that it has not been given.
    #[test]
    fn each_end_is_given_once_on_the_history_that_survives(
        (defaults, steps) in history(120),
        reads in prop::collection::vec((0..3_u8, 1..4_usize, any::<bool>()), 120),
        failovers in prop::collection::vec(prop::option::weighted(0.1, (0..12_usize, any::<prop::sample::Index>())), 120),
    ) {
        let mut driver = Driver::new(defaults);
        let mut readers = Readers::default();
        // Cursors were written down by the command at the latest.
        let mut log: Vec<Point<Readers>> = Vec::new();
        for ((step, (number, count, reads)), failover) in steps.iter().zip(reads).zip(failovers) {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
                for effect in driver.effects() {
                    readers.hear(&effect);
                }
                let packed = driver.journal.packed.bytes().to_vec();
                log.push(Point { packed, snapshot: driver.queue.snapshot(), known: readers.clone() });
            }
            if reads {
                readers.read(&driver.queue, &format!("batch-{number}"), count)?;
            }
            if let Some((lost, snapshot)) = failover {
                log.truncate(log.len().saturating_sub(lost));
                driver.queue = node(&log, snapshot.index(log.len() + 1));
                readers = log.last().map(|point| point.known.clone()).unwrap_or_default();
                let expected = log.last().map_or_else(|| Queue::default().snapshot(), |point| point.snapshot.clone());
                prop_assert_eq!(driver.queue.snapshot(), expected, "a node is what its history says");
            }
        }
        for name in readers.readers.keys().cloned().collect::<Vec<_>>() {
            readers.read(&driver.queue, &name, usize::MAX)?;
        }
    }
}

/// An end: whose, and a number that no other end has in whatever history.
type End = (String, usize);

/// The ends of each batch by their numbers, with holes.
#[derive(Clone, Debug, Default)]
struct Logs {
    ends: BTreeMap<String, Vec<Option<End>>>,
    batches: BTreeMap<String, String>,
}

impl Logs {
    fn hear(&mut self, effect: &Effect<'_>, last: &mut usize) {
        match effect {
            Effect::PushedInto { batch, pushed } => {
                self.batches.insert(pushed.id.to_string(), (*batch).to_owned());
            }
            Effect::BatchDropped { batch } => {
                self.ends.remove(*batch);
                self.batches.retain(|_, of| of != batch);
            }
            Effect::Changed(id, change) => {
                let id = id.to_string();
                let Some(batch) = self.batches.get(&id) else { return };
                let ends = self.ends.entry(batch.clone()).or_default();
                if change.event().is_end() {
                    *last += 1;
                    ends.push(Some((id, *last)));
                } else if matches!(change, Change::Revived { .. } | Change::Renewed { .. } | Change::Awaited { .. }) {
                    ends.iter_mut().filter(|end| end.as_ref().is_some_and(|end| end.0 == id)).for_each(|end| *end = None);
                }
            }
            _ => {}
        }
    }

    fn of(&self, batch: &str) -> &[Option<End>] {
        self.ends.get(batch).map_or(&[], Vec::as_slice)
    }
}

/// A reader that confirms nothing.
#[derive(Clone, Debug)]
struct Careless {
    cursor: EndsCursor,
    /// How far it has come, and the end before that.
    last: Option<(usize, End)>,
    /// How many ends stood there then.
    stood: usize,
}

impl Default for Careless {
    fn default() -> Self {
        Self { cursor: EndsCursor::Start, last: None, stood: 0 }
    }
}

impl Careless {
    /// It is given what comes after the last end that it was given, or is told that this one is lost, or that one before it stands again.
    /// Of a hole nobody can tell.
    fn read(&mut self, queue: &Queue, name: &str, ends: &[Option<End>], count: usize) -> Result<(), TestCaseError> {
        let is_lost = self.last.as_ref().is_some_and(|(next, last)| match ends.get(next - 1) {
            Some(Some(end)) => end != last,
            Some(None) => false,
            None => true,
        });
        let standing = |next: usize| ends.iter().take(next).flatten().count();
        let more_stand = self.last.as_ref().is_some_and(|(next, _)| standing(*next) > self.stood);
        match queue.collect(name, self.cursor, count) {
            Ok(page) => {
                prop_assert!(!is_lost && !more_stand, "{:?} is not there", self.last);
                let start = self.last.as_ref().map_or(0, |(next, _)| *next);
                let numbered = (1..).zip(ends).skip(start).filter_map(|(next, end)| Some((next, end.clone()?)));
                let given: Vec<_> = numbered.take(count).collect();
                prop_assert!(ids(queue, &page.slots).iter().eq(given.iter().map(|(_, (id, _))| id)));
                self.cursor = page.next;
                if let Some(last) = given.last() {
                    self.last = Some(last.clone());
                    self.stood = standing(last.0);
                }
            }
            Err(Refusal::EndsLost { may_come }) => {
                prop_assert!(is_lost || more_stand, "{:?} is there", self.last);
                prop_assert_eq!(may_come, !is_lost || self.last.take().is_some_and(|(next, _)| next > ends.len()));
                self.last = None;
                self.cursor = EndsCursor::Start;
            }
            Err(_) => *self = Self::default(),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(120))]

    /// A reader that was given an end which a failover has lost is told so, and no other is.
    #[test]
    fn a_reader_of_lost_ends_is_told(
        (defaults, steps) in history(120),
        reads in prop::collection::vec((1..4_usize, prop::array::uniform3(any::<bool>())), 120),
        failovers in prop::collection::vec(prop::option::weighted(0.15, (0..20_usize, any::<prop::sample::Index>())), 120),
    ) {
        let mut driver = Driver::new(defaults);
        let (mut logs, mut last) = (Logs::default(), 0);
        let mut readers: [Careless; 3] = Default::default();
        let mut log: Vec<Point<Logs>> = Vec::new();
        // What tells an end from others is when it came.
        let is_forward = |step: &&Step| !matches!(step, Step::Clock { back: 1.., .. });
        for ((step, (count, reads)), failover) in steps.iter().filter(is_forward).zip(reads).zip(failovers) {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
                driver.effects().iter().for_each(|effect| logs.hear(effect, &mut last));
                let packed = driver.journal.packed.bytes().to_vec();
                log.push(Point { packed, snapshot: driver.queue.snapshot(), known: logs.clone() });
            }
            for (number, reader) in readers.iter_mut().enumerate().filter(|(number, _)| reads[*number]) {
                let name = format!("batch-{number}");
                reader.read(&driver.queue, &name, logs.of(&name), count)?;
            }
            if let Some((lost, snapshot)) = failover {
                log.truncate(log.len().saturating_sub(lost));
                driver.queue = node(&log, snapshot.index(log.len() + 1));
                logs = log.last().map(|point| point.known.clone()).unwrap_or_default();
                driver.now = driver.now.after(Ms(1));
            }
        }
    }
}

#[test]
fn only_cursors_that_were_given_are_read() {
    for text in [
        "",
        "1",
        "0-",
        "-1",
        "1-2",
        "1-2-3",
        "1-2-3-",
        "01-2-3-4",
        "1-02-3-4",
        "1-2-03-4",
        "1-2-3-4-5",
        "+1-2-3-4",
        "1- 2-3-4",
        "1-4294967296-3-4",
        "x",
    ] {
        assert_eq!(EndsCursor::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(EndsCursor::parse(b"0"), Some(EndsCursor::Start));
    assert_eq!(EndsCursor::parse(b"7-3-2-9"), Some(EndsCursor::At { batch: 7, number: 3, standing: 2, mark: 9 }));
}

/// A reader was given what came after an end that RETRY had taken back. A failover loses that, and the end stands again: the reader is told.
#[test]
fn an_end_that_stands_again_is_told_of() {
    let mut driver = Driver::new(Defaults::default());
    let task = PushSpec { batch: Some(("b".to_owned(), true)), ..PushSpec::plain(vec![1]) };
    driver.run(&Command::PushAll { task, payloads: vec![Vec::new(); 2], floor: MadeId(0) });
    driver.run(&Command::CancelBatch("b".to_owned(), 2));
    let replica = restored(&driver.queue.snapshot());
    driver.run(&Command::Retry(support::listed(&driver.queue, State::Canceled).remove(0)));
    let page = driver.queue.collect("b", EndsCursor::Start, 10).unwrap();
    assert_eq!(page.slots.len(), 1);
    assert_eq!(replica.collect("b", page.next, 10), Err(Refusal::EndsLost { may_come: true }));
    // One that RETRY takes back later is no loss.
    driver.run(&Command::Retry(support::listed(&driver.queue, State::Canceled).remove(0)));
    assert!(driver.queue.collect("b", page.next, 10).is_ok());
}

/// A batch over many chunks of its logs, with holes, read to the end by small pages.
#[test]
fn a_large_batch_is_read_by_pages() {
    let mut driver = Driver::new(Defaults::default());
    let batch = Some(("b".to_owned(), false));
    let task = PushSpec { batch, ..PushSpec::plain(vec![1]) };
    driver.run(&Command::PushAll { task, payloads: vec![Vec::new(); 5_000], floor: MadeId(0) });
    driver.run(&Command::CancelBatch("b".to_owned(), 5_000));
    let canceled = support::listed(&driver.queue, State::Canceled);
    for id in canceled.iter().step_by(3) {
        driver.run(&Command::Retry(id.clone()));
    }
    driver.run(&Command::CancelBatch("b".to_owned(), 5_000));
    driver.run(&Command::Seal("b".to_owned()));
    let (mut cursor, mut seen) = (EndsCursor::Start, Vec::new());
    loop {
        let page = driver.queue.collect("b", cursor, 7).unwrap();
        seen.extend(ids(&driver.queue, &page.slots));
        assert_eq!(page.remaining, Some(5_000 - seen.len()));
        cursor = page.next;
        if page.is_last {
            break;
        }
    }
    let first = canceled.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, id)| id);
    let expected: Vec<String> = first.chain(canceled.iter().step_by(3)).cloned().collect();
    assert_eq!(seen, expected);
}
