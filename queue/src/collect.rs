//! The ends of a batch in the order in which they came, page by page.

use crate::batch::Batch;
use crate::index::segments::Slot;
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
        /// The first end that was not given.
        number: u32,
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
        let (batch, number) = text.split_once('-')?;
        let cursor = Self::At { batch: batch.parse().ok()?, number: number.parse().ok()? };
        // Each has one spelling.
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for EndsCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => out.write_str("0"),
            Self::At { batch, number } => write!(out, "{batch}-{number}"),
        }
    }
}

impl Queue {
    /// At most `count` ends of the batch of that name, from the cursor on. `None` if there is no such batch, or the cursor is of an
    /// earlier one.
    ///
    /// A cursor past the last end is one whose ends were lost by a failover: it goes on with those that come.
    #[must_use]
    pub fn collect(&self, name: &str, cursor: EndsCursor, count: usize) -> Option<Ends> {
        let batch = self.batches.slots.at(self.find_batch(name)?);
        let start = match cursor {
            EndsCursor::Start => 0,
            EndsCursor::At { batch: incarnation, .. } if incarnation != batch.incarnation => return None,
            EndsCursor::At { number, .. } => number.min(batch.ends.next()),
        };
        let ends: Vec<(u32, Slot)> = batch.ends.from(start).take(count).collect();
        let number = match ends.last() {
            Some(&(last, _)) if ends.len() == count => last + 1,
            _ => batch.ends.next(),
        };
        let given = batch.ends.live_before(number);
        Some(Ends {
            slots: ends.into_iter().map(|(_, slot)| slot).collect(),
            next: EndsCursor::At { batch: batch.incarnation, number },
            remaining: batch.is_sealed.then(|| (batch.counts.total() - given) as usize),
            is_last: batch.is_done() && given == batch.ends.len(),
        })
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
