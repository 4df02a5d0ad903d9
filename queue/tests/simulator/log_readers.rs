//! Clients that read the log of events page by page, on the master and on replicas, over everything that happens between two pages.

use crate::book::Book;
use crate::events::{Log, Row};
use crate::rules::ensure;
use std::rc::Rc;
use taskqueue::{EventsCursor, Queue, Refusal, UnixMs};

/// Who has written down where he goes on.
#[derive(Clone, Debug)]
pub(crate) struct LogReader {
    cursor: EventsCursor,
    /// The log that the cursor is of, if it is of one.
    of: Option<Rc<UnixMs>>,
    /// The events that the cursor has passed, those too that were not given.
    passed: Vec<Rc<Row>>,
    /// How many there were before the first page, and of how many he has been told since that they are, or were.
    start: usize,
    told: usize,
}

/// What a reader of a log was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many events, and of so many that they are missed.
    Page(usize, u64),
    /// The replica does not have what the cursor has passed, maybe not yet.
    TryAgain,
    /// What the cursor has passed is lost.
    Lost,
    /// It is, and nobody can know: what came in place of the last event is not kept, or is the same.
    LostUnseen,
}

/// What has become of what a cursor has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stands,
    /// The node has the first of it, and nothing else.
    Behind,
    Lost,
}

impl LogReader {
    pub(crate) const fn new(cursor: EventsCursor) -> Self {
        Self { cursor, of: None, passed: Vec::new(), start: 0, told: 0 }
    }

    /// As `EVENTS cursor COUNT count`.
    pub(crate) fn says(&self, count: usize) -> String {
        format!("EVENTS {} COUNT {count}", self.cursor)
    }

    /// Is given the next page by this node's queue, of which the book tells. If the answer is `lost` he will ask again from where he is.
    pub(crate) fn read(&mut self, queue: &Queue, book: &Book, of_master: bool, count: usize, lost: bool) -> Result<Read, String> {
        let (log, page) = (&book.log, queue.events(self.cursor, count));
        let fate = self.fate(log);
        let page = match (fate, page) {
            (Fate::Stands, Ok(page)) => page,
            (Fate::Stands, Err(refusal)) => return Err(format!("the cursor was refused, and nothing is lost: {refusal}")),
            (_, Err(Refusal::EventsLost { may_come })) => {
                ensure(may_come || fate != Fate::Behind, "what is to come is taken for lost")?;
                self.knows_other_logs(log, may_come)?;
                if may_come && !of_master {
                    return Ok(Read::TryAgain);
                }
                *self = Self::new(EventsCursor::Oldest);
                return Ok(Read::Lost);
            }
            (_, Err(refusal)) => return Err(format!("the cursor was refused: {refusal}")),
            (_, Ok(_)) => {
                ensure(fate == Fate::Lost && self.looks_unlost(log), "a cursor was taken whose events are lost")?;
                *self = Self::new(EventsCursor::Oldest);
                return Ok(Read::LostUnseen);
            }
        };
        let from = match self.cursor {
            EventsCursor::Oldest => log.gone,
            EventsCursor::At { .. } => self.passed.len(),
            EventsCursor::End => log.rows.len(),
        };
        log.gives(&page, from, count)?;
        let missed = page.missed.map_or(0, |missed| missed.count);
        if !lost {
            self.go_on(log, page.next, from)?;
            self.told += page.len() + usize::try_from(missed).unwrap();
        }
        Ok(Read::Page(page.len(), missed))
    }

    /// Writes down where the next page begins.
    fn go_on(&mut self, log: &Log, next: EventsCursor, from: usize) -> Result<(), String> {
        let EventsCursor::At { number, mark, .. } = next else { return Err("a page gives no place to go on at".to_owned()) };
        let end = usize::try_from(number - 1).unwrap();
        let told_before = matches!(self.cursor, EventsCursor::At { mark, .. } if mark > 0 && end == self.passed.len());
        let can_tell = (log.gone + 1..=log.rows.len()).contains(&end) || told_before;
        ensure((mark > 0) == can_tell, "a cursor does not tell what it was given last, or tells what is not known")?;
        if !matches!(self.cursor, EventsCursor::At { .. }) {
            self.start = from;
        }
        (self.cursor, self.of, self.passed) = (next, log.begun.clone(), log.rows[..end].to_vec());
        Ok(())
    }

    /// Whether the node's log begins with what the cursor has passed.
    fn fate(&self, log: &Log) -> Fate {
        let Some(of) = &self.of else { return Fate::Stands };
        let shared = self.passed.len().min(log.rows.len());
        let same = |last: usize| Rc::ptr_eq(&self.passed[last], &log.rows[last]);
        let is_same = log.begun.as_ref().is_none_or(|begun| Rc::ptr_eq(begun, of)) && shared.checked_sub(1).is_none_or(same);
        match log.begun {
            Some(_) if is_same && shared == self.passed.len() => Fate::Stands,
            _ if is_same => Fate::Behind,
            _ => Fate::Lost,
        }
    }

    /// A log that began later is of a queue that was made anew; one that began sooner may be of the queue before.
    fn knows_other_logs(&self, log: &Log, may_come: bool) -> Result<(), String> {
        let begun = log.begun.as_deref().copied().unwrap_or_default();
        let of = self.of.as_deref().copied().unwrap_or_default();
        ensure(begun == of || may_come == (of > begun), "a later queue is taken for an earlier one")
    }

    /// Whether the last event that the cursor has passed cannot be told from what is in its place, in a log that began at the same instant.
    fn looks_unlost(&self, log: &Log) -> bool {
        let is_there = |last: &usize| *last >= log.gone;
        let last = self.passed.len().checked_sub(1).filter(is_there);
        let tells = matches!(self.cursor, EventsCursor::At { mark, .. } if mark > 0);
        self.of == log.begun
            && self.passed.len() <= log.rows.len()
            && last.is_none_or(|last| !tells || self.passed[last] == log.rows[last])
    }

    /// Whether he has been told of each event of the log once, since he began.
    pub(crate) fn knows_all(&self, log: &Log) -> Result<(), String> {
        ensure(self.start + self.told == log.rows.len(), "a reader has not been told of each event once")
    }
}
