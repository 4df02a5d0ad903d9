//! Readers of a batch's ends: each end once per cursor, in order, whatever happens between two pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use support::{Command, DelaySpec, Driver, PushSpec, cases, history, restored};
use taskqueue::effect::Change;
use taskqueue::{Defaults, Effect, EndsCursor, MadeId, Options, Queue, State};

/// What a reader of one batch must still be given.
#[derive(Debug)]
struct Reader {
    cursor: EndsCursor,
    pending: Vec<String>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { cursor: EndsCursor::Start, pending: Vec::new() }
    }
}

#[derive(Debug, Default)]
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
                        prop_assert_eq!(driver.queue.collect(batch, cursor, 1), None, "an old cursor");
                    }
                }
            }
            let name = format!("batch-{number}");
            let Some(batch) = driver.queue.find_batch(&name).filter(|_| reads) else { continue };
            let view = driver.queue.view_batch(batch);
            let reader = readers.readers.entry(name.clone()).or_default();
            let page = driver.queue.collect(&name, reader.cursor, count).unwrap();
            let anew = restored(&driver.queue.snapshot());
            let same = anew.collect(&name, reader.cursor, count).unwrap();
            prop_assert_eq!((same.next, same.remaining, ids(&anew, &same.slots)), (page.next, page.remaining, ids(&driver.queue, &page.slots)));
            let given: Vec<String> = reader.pending.drain(..count.min(reader.pending.len())).collect();
            prop_assert_eq!(ids(&driver.queue, &page.slots), given);
            let open: usize = view.counts[..4].iter().sum();
            prop_assert_eq!(page.remaining, view.sealed.then_some(open + reader.pending.len()));
            prop_assert_eq!(page.is_last, view.done && reader.pending.is_empty());
            prop_assert_eq!(EndsCursor::parse(page.next.to_string().as_bytes()), Some(page.next));
            reader.cursor = page.next;
        }
    }
}

#[test]
fn only_cursors_that_were_given_are_read() {
    for text in ["", "1", "0-", "-1", "01-2", "1-02", "1-2-3", "+1-2", "1- 2", "1-4294967296", "x"] {
        assert_eq!(EndsCursor::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(EndsCursor::parse(b"0"), Some(EndsCursor::Start));
    assert_eq!(EndsCursor::parse(b"7-3"), Some(EndsCursor::At { batch: 7, number: 3 }));
}

/// A batch over many chunks of its logs, with holes, read to the end by small pages.
#[test]
fn a_large_batch_is_read_by_pages() {
    let mut driver = Driver::new(Defaults::default());
    let batch = Some(("b".to_owned(), false));
    let task = PushSpec {
        payload: vec![1],
        priority: 0,
        delay: DelaySpec::For(0),
        ttl: None,
        options: Options::default(),
        batch,
        after: None,
    };
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
