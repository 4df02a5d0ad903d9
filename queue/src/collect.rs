//! The ends of a batch in the order in which they came, page by page.

use crate::batch::Batch;
use crate::error::Refusal;
use crate::index::segments::Slot;
use crate::mark::mark;
use crate::queue::Queue;
use std::fmt;

/// Where a reader of a batch's ends goes on. As text, `0` is the start of whatever batch has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsCursor {
    /// The first end.
    Start,
    /// In this batch, and no other of its name.
    At {
        /// The batch's incarnation.
        batch: u64,
        /// One more than the number of the last end that was given; 0 if none was.
        number: u32,
        /// How many ends stood before that number then: RETRY can make them fewer, but nothing can make them more.
        standing: u32,
        /// Tells that end from one that came in its place, after a failover had lost it; 0 if none was given.
        mark: u32,
    },
}

/// A page of a batch's ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The tasks.
    pub slots: Vec<Slot>,
    /// Where the next page begins.
    pub next: EndsCursor,
    /// How many tasks the reader has not been given after this page; `None` while more may come.
    pub remaining: Option<usize>,
    /// No other end will come, unless RETRY begins a task again.
    pub is_last: bool,
}

impl EndsCursor {
    /// Reads a cursor that a page gave.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if text == "0" {
            return Some(Self::Start);
        }
        let (batch, end) = text.split_once('-')?;
        let (number, end) = end.split_once('-')?;
        let (standing, mark) = end.split_once('-')?;
        let (batch, number) = (batch.parse().ok()?, number.parse().ok()?);
        let cursor = Self::At { batch, number, standing: standing.parse().ok()?, mark: mark.parse().ok()? };
        // Each has one spelling.
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for EndsCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => out.write_str("0"),
            Self::At { batch, number, standing, mark } => write!(out, "{batch}-{number}-{standing}-{mark}"),
        }
    }
}

impl Queue {
    /// At most `count` ends of the batch of that name, from the cursor on.
    ///
    /// # Errors
    /// [`Refusal::NoBatch`], [`Refusal::EndsLost`].
    pub fn collect(&self, name: &str, cursor: EndsCursor, count: usize) -> Result<Ends, Refusal> {
        let batch = self.batches.slots.at(self.find_batch(name).ok_or(Refusal::NoBatch)?);
        let (start, stood, mark) = match cursor {
            EndsCursor::Start => (0, 0, 0),
            EndsCursor::At { batch: incarnation, .. } if incarnation != batch.incarnation => return Err(Refusal::NoBatch),
            EndsCursor::At { number, standing, mark, .. } => (number, standing, mark),
        };
        let stands = batch.ends.live_before(start);
        self.check_given(batch, start, mark)?;
        if stands > stood {
            // A RETRY was lost that had taken one of them out.
            return Err(Refusal::EndsLost { may_come: true });
        }
        let ends: Vec<(u32, Slot)> = batch.ends.from(start).take(count).collect();
        let (number, mark) = ends.last().map_or((start, mark), |&(last, slot)| (last + 1, self.mark(slot)));
        // An empty page answers the cursor that it was asked with.
        let standing = if ends.is_empty() { stood } else { stands + u32::try_from(ends.len()).unwrap_or(u32::MAX) };
        let given = stands + u32::try_from(ends.len()).unwrap_or(u32::MAX);
        Ok(Ends {
            slots: ends.into_iter().map(|(_, slot)| slot).collect(),
            next: EndsCursor::At { batch: batch.incarnation, number, standing, mark },
            remaining: batch.is_sealed.then(|| (batch.counts.total() - given) as usize),
            is_last: batch.is_done() && given == batch.ends.len(),
        })
    }

    /// Whether the end before `number`, the last that a reader was given, is of this batch's history, and so all before it. What RETRY
    /// took out since cannot be compared.
    fn check_given(&self, batch: &Batch, number: u32, mark: u32) -> Result<(), Refusal> {
        let is_ahead = number > batch.ends.next();
        let end = number.checked_sub(1).and_then(|last| batch.ends.get(last));
        let is_another = end.is_some_and(|slot| self.mark(slot) != mark);
        if is_ahead || is_another { Err(Refusal::EndsLost { may_come: is_ahead }) } else { Ok(()) }
    }

    /// Of which task has ended, and when.
    fn mark(&self, slot: Slot) -> u32 {
        let (id, finished) = (self.id(slot).to_string(), self.tasks.at(slot).order);
        mark(id.bytes().chain(finished.to_le_bytes()))
    }

    /// The name of the batch that the task in `slot` is of.
    #[must_use]
    pub fn batch_name_of(&self, slot: Slot) -> Option<&str> {
        self.tasks.get(slot)?;
        self.batch_of(slot).map(|batch| &*batch.name)
    }

    /// The name of the batch in `slot`, also if it is leaving.
    #[must_use]
    pub fn batch_name(&self, batch: Slot) -> Option<&str> {
        self.batches.slots.get(batch).map(|batch: &Batch| &*batch.name)
    }
}
