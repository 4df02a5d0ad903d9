//! The last changes of state, kept with the queue: `TASK.EVENTS`.
//!
//! Whoever applies effects appends the rows, so replicas, the AOF and snapshots have the same log without being sent it. A row is kept
//! as the bytes that a snapshot has of it, about 20 and the worker's name; in chunks, so that the log grows without copying what is
//! there and shrinks by whole chunks. A queue that never kept events has no log, and pays a comparison for each change.

use crate::blocks::Rounding;
use crate::effect::{Change, Effect, Event, Pushed};
use crate::error::{Mismatch, Refusal};
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::mark::mark;
use crate::queue::Queue;
use crate::state::State;
use crate::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// What a row can tell of, by the number that it has in snapshots: appended to, never changed.
const KINDS: [Event; 12] = [
    Event::Push,
    Event::Ready,
    Event::Claim,
    Event::Complete,
    Event::Fail,
    Event::Retry,
    Event::Lapse,
    Event::Release,
    Event::Cancel,
    Event::Expire,
    Event::Drop,
    Event::Batch,
];

/// Events in a chunk: so many rows at most are passed over in search of one.
const CHUNK_LEN: u64 = 64;

/// Numbers end here, which no honest queue comes near: so what is admitted from a dump is what a dump can hold.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// One change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow<'a> {
    /// Its number among all events of the queue, from 1 on.
    pub seq: u64,
    /// When.
    pub at: UnixMs,
    /// What happened.
    pub event: Event,
    /// To which task; the name of a batch that is done.
    pub id: TaskId<'a>,
    /// The number of the task's last claim; 0: never claimed.
    pub attempt: u32,
    /// Who holds the claim, or held the one that ended by it.
    pub worker: Option<&'a str>,
}

/// Where a reader goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsCursor {
    /// At the oldest event that is kept.
    Oldest,
    /// At the event with this number, which is 1 at least.
    At {
        /// When the queue began to keep events; 0: of whatever queue has the name.
        begun: UnixMs,
        /// The number.
        number: u64,
        /// Tells the event before it from one that came in its place, after a failover had lost it; 0 if it was not kept, or there was none.
        mark: u32,
    },
    /// After the newest one.
    End,
}

impl EventsCursor {
    /// At an event, whatever came before it.
    #[must_use]
    pub const fn number(number: u64) -> Self {
        Self::At { begun: UnixMs(0), number, mark: 0 }
    }

    /// Reads `0`, `$`, a number, or what a page gave.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let cursor = match text {
            "0" => Self::Oldest,
            "$" => Self::End,
            _ => match text.split_once('-') {
                None => Self::number(text.parse().ok()?),
                Some((begun, rest)) => {
                    let (number, mark) = rest.split_once('-')?;
                    Self::At { begun: UnixMs(begun.parse().ok()?), number: number.parse().ok()?, mark: mark.parse().ok()? }
                }
            },
        };
        // Each has one spelling.
        let is_place = !matches!(cursor, Self::At { number: 0, .. });
        (is_place && cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for EventsCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oldest => out.write_str("0"),
            Self::End => out.write_str("$"),
            Self::At { begun: UnixMs(0), number, .. } => write!(out, "{number}"),
            Self::At { begun, number, mark } => write!(out, "{}-{number}-{mark}", begun.0),
        }
    }
}

/// A page of events, with all that is needed to tell of them later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// Those that the reader came too late for.
    pub missed: Option<Missed>,
    /// Where the next page begins.
    pub next: EventsCursor,
    first: u64,
    end: u64,
    rows: Vec<u8>,
}

/// Events that are not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// The number of the last one.
    pub last: u64,
    /// When the next one was; if none is kept, when the last one was.
    pub at: UnixMs,
}

impl EventsPage {
    /// How many events are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.end - self.first).unwrap_or(usize::MAX)
    }

    /// Whether there is nothing in it to tell a reader.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end == self.first && self.missed.is_none()
    }

    /// How many bytes its events take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// The events, oldest first.
    pub fn rows(&self) -> impl Iterator<Item = EventRow<'_>> {
        (self.first..).zip(unpack(&self.rows).map_while(Result::ok)).map(|(seq, row)| row.numbered(seq))
    }
}

/// An event as it is kept, in postcard's wire format.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Row<'a> {
    at: UnixMs,
    /// Its place in [`KINDS`].
    kind: u8,
    #[serde(borrow)]
    id: TaskId<'a>,
    attempt: u32,
    worker: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn numbered(self, seq: u64) -> EventRow<'a> {
        let Self { at, id, attempt, worker, .. } = self;
        // An unknown kind is not admitted.
        let event = KINDS.get(usize::from(self.kind)).copied().unwrap_or(Event::Restore);
        EventRow { seq, at, event, id, attempt, worker }
    }

    fn is_valid(&self) -> bool {
        usize::from(self.kind) < KINDS.len() && self.id.is_valid()
    }
}

/// The number that an event has in a row, if it is kept.
fn kind_of(event: Event) -> Option<u8> {
    KINDS.iter().position(|&kind| kind == event).and_then(|kind| u8::try_from(kind).ok())
}

/// Reads rows one by one; the first that is none is the last.
fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = Result<Row<'_>, Mismatch>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let row = postcard::take_from_bytes(bytes);
        bytes = row.as_ref().map_or(&[], |(_, rest)| rest);
        Some(row.map(|(row, _)| row).map_err(|_| Mismatch::Undecodable))
    })
}

/// Rows, the first of which has this number.
#[derive(Clone, Debug)]
struct Chunk {
    first: u64,
    rows: Vec<u8>,
}

impl Chunk {
    /// Where the row of this number begins, or would if it is of a later chunk.
    fn place(&self, seq: u64) -> usize {
        let mut rest: &[u8] = &self.rows;
        for _ in 0..seq.saturating_sub(self.first).min(CHUNK_LEN) {
            let Ok((_, after)) = postcard::take_from_bytes::<Row<'_>>(rest) else { break };
            rest = after;
        }
        self.rows.len() - rest.len()
    }

    /// The rows from one number up to another.
    fn rows(&self, from: u64, to: u64) -> &[u8] {
        let is_whole = to / CHUNK_LEN > self.first / CHUNK_LEN;
        let end = if is_whole || sabotaged!(PageTooLong) { self.rows.len() } else { self.place(to) };
        self.rows.get(self.place(from)..end).unwrap_or_default()
    }
}

/// The events of a queue that keeps some, or did.
#[derive(Clone, Debug)]
pub(crate) struct EventLog {
    /// A chunk ends where a multiple of [`CHUNK_LEN`] begins. The first may have rows that are not kept any more.
    chunks: VecDeque<Chunk>,
    /// When it began, which tells it from that of an earlier queue.
    begun: UnixMs,
    /// At most so many events are kept.
    max: u32,
    /// The oldest one that is kept.
    first: u64,
    /// The one that comes next.
    next: u64,
    /// When the last one was: for changes that have no instant of their own.
    at: UnixMs,
}

impl EventLog {
    const fn new() -> Self {
        Self { chunks: VecDeque::new(), begun: UnixMs(0), max: 0, first: 1, next: 1, at: UnixMs(0) }
    }

    const fn len(&self) -> u64 {
        self.next - self.first
    }

    /// From now on, at most so many events are kept.
    fn keep(&mut self, max: u32) {
        self.max = max;
        if !sabotaged!(LoweredLate) {
            self.trim();
        }
        if max == 0 {
            self.chunks.clear();
        }
        self.chunks.shrink_to_fit();
    }

    /// Something has happened: one more event, which counts also if none are kept.
    fn note(&mut self, event: Event, at: UnixMs, id: TaskId<'_>, attempt: u32, worker: Option<&str>) {
        if let Some(kind) = kind_of(event).filter(|_| self.next < NUMBER_MAX) {
            self.append(&Row { at, kind, id, attempt, worker });
            self.at = at;
        }
    }

    fn append(&mut self, row: &Row<'_>) {
        if self.max > 0 {
            self.store(row);
        }
        if self.max > 0 || !sabotaged!(OffNotCounted) {
            self.next = self.next.saturating_add(1);
        }
        self.trim();
    }

    fn store(&mut self, row: &Row<'_>) {
        if self.chunks.is_empty() || self.next.is_multiple_of(CHUNK_LEN) {
            // As long as the last one, and not much longer than it must be.
            let bytes = self.chunks.back_mut().map_or(0, |last| {
                last.rows.shrink_to_fit();
                last.rows.len()
            });
            self.chunks.push_back(Chunk { first: self.next, rows: Vec::with_capacity(bytes) });
        }
        let Some(last) = self.chunks.back_mut() else { return };
        // A Vec always takes more, so this cannot fail.
        if let Ok(rows) = postcard::to_extend(row, std::mem::take(&mut last.rows)) {
            last.rows = rows;
        }
    }

    /// Lets those go that are more than are kept.
    fn trim(&mut self) {
        let max = u64::from(self.max) + u64::from(self.max > 0 && sabotaged!(OneTooManyEvents));
        self.first = self.first.max(self.next.saturating_sub(max));
        while self.chunks.get(1).is_some_and(|second| second.first <= self.first) {
            self.chunks.pop_front();
        }
    }

    /// The rows from one number up to another, by chunks.
    fn rows(&self, from: u64, to: u64) -> impl Iterator<Item = &[u8]> {
        let front = self.chunks.front().filter(|_| !sabotaged!(FirstChunksForgotten)).map_or(0, |front| front.first / CHUNK_LEN);
        let skipped = usize::try_from((from / CHUNK_LEN).saturating_sub(front)).unwrap_or(usize::MAX);
        self.chunks.iter().skip(skipped).take_while(move |chunk| chunk.first < to).map(move |chunk| chunk.rows(from, to))
    }

    fn page(&self, cursor: EventsCursor, count: usize) -> Result<EventsPage, Refusal> {
        let (from, given) = match cursor {
            EventsCursor::Oldest => (self.first, 0),
            EventsCursor::End => (self.next, 0),
            EventsCursor::At { begun, number, mark } => {
                self.check_given(begun, number, mark)?;
                (if sabotaged!(AheadNotChecked) { number.min(self.next) } else { number }, mark)
            }
        };
        let in_memory = self.chunks.front().filter(|_| sabotaged!(UnkeptGiven)).map(|front| front.first);
        let first = from.max(in_memory.unwrap_or(self.first));
        let end = first.saturating_add(count as u64).min(self.next);
        // What a reader was given last it may still tell when it is not kept any more.
        let mark = self.mark_before(end).unwrap_or(if end == from { given } else { 0 });
        let missed = first - from;
        let missed = (missed > 0 && !sabotaged!(MissedNotTold)).then(|| {
            let at = self.rows(first, first + 1).flat_map(unpack).next().and_then(Result::ok).map_or(self.at, |row| row.at);
            Missed { count: missed, last: first - 1, at }
        });
        let next = EventsCursor::At { begun: self.begun, number: end, mark };
        Ok(EventsPage { missed, next, first, end, rows: self.rows(first, end).collect::<Vec<_>>().concat() })
    }

    /// Whether the event before `number`, the last that a reader was given, is of this log's history, and so all before it. What is not
    /// kept any more cannot be compared.
    fn check_given(&self, begun: UnixMs, number: u64, mark: u32) -> Result<(), Refusal> {
        let is_of_other = begun > UnixMs(0) && begun != self.begun && !sabotaged!(BeginNotChecked);
        let is_ahead = number > self.next && !sabotaged!(AheadNotChecked);
        let kept = self.mark_before(number).or_else(|| sabotaged!(UnkeptTakenForLost).then_some(0));
        let is_another = mark > 0 && kept.is_some_and(|kept| kept != mark) && !sabotaged!(MarkNotChecked);
        if is_of_other || is_ahead || is_another {
            let may_come = if is_of_other { begun > self.begun } else { is_ahead && !sabotaged!(BehindTakenForLost) };
            return Err(Refusal::EventsLost { may_come });
        }
        Ok(())
    }

    /// Of the event before this number, if it is kept.
    fn mark_before(&self, number: u64) -> Option<u32> {
        let last = number.checked_sub(1).filter(|last| (self.first..self.next).contains(last))?;
        Some(mark(self.rows(last, number).flatten().copied()))
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let rows = self.chunks.iter().map(|chunk| rounding.block(chunk.rows.capacity()));
        rounding.block(size_of::<Self>()) + rounding.vec::<Chunk>(self.chunks.capacity()) + rows.sum::<usize>()
    }

    /// What stands in a snapshot, after the settings.
    pub(crate) fn for_each_effect(&self, mut give: impl FnMut(&Effect<'_>)) {
        if self.begun > UnixMs(0) && !sabotaged!(BeginForgotten) {
            give(&Effect::EventsBegun { at: self.begun });
        }
        if self.next > 1 {
            let next = if sabotaged!(NumbersForgotten) { 1 } else { self.first };
            give(&Effect::EventsNumbered { next, at: self.at });
            self.rows(self.first, self.next).for_each(|rows| give(&Effect::EventsRestored { rows }));
        }
    }

    /// Whether the rows are those that the numbers say.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, max: u32) -> Result<(), String> {
        use crate::check::ensure;
        ensure(self.max == max && self.len() <= u64::from(max), "more events are kept than are to be")?;
        let mut seq = self.chunks.front().map_or(self.next, |front| front.first);
        ensure(seq <= self.first && self.first - seq < CHUNK_LEN, "a chunk of events is kept in vain")?;
        for (number, chunk) in self.chunks.iter().enumerate() {
            ensure(chunk.first == seq && !chunk.rows.is_empty(), "a chunk of events begins elsewhere")?;
            ensure(number == 0 || seq.is_multiple_of(CHUNK_LEN), "a chunk of events is too short")?;
            for row in unpack(&chunk.rows) {
                ensure(row.is_ok_and(|row| row.is_valid()), "an event would not be admitted")?;
                seq += 1;
            }
        }
        ensure(seq == self.next, "events are lost")
    }
}

impl Change<'_> {
    /// When it happened, if it says so.
    pub(crate) const fn instant(&self) -> Option<UnixMs> {
        match *self {
            Self::Ripened { at, .. }
            | Self::Claimed { at, .. }
            | Self::Completed { at, .. }
            | Self::BackedOff { at, .. }
            | Self::Requeued { at, .. }
            | Self::Failed { at, .. }
            | Self::Released { at }
            | Self::Lapsed { at }
            | Self::Canceled { at, .. }
            | Self::Expired { at, .. }
            | Self::Revived { at, .. }
            | Self::Renewed { at, .. }
            | Self::Abandoned { at, .. }
            | Self::Awaited { at, .. }
            | Self::Replaced { at, .. }
            | Self::Followed { at, .. } => Some(at),
            _ => None,
        }
    }
}

impl Queue {
    /// At most `count` events from the cursor on.
    ///
    /// # Errors
    /// [`Refusal::EventsLost`]: the cursor was given by another queue of that name, or by a master whose last events a failover has lost.
    pub fn events(&self, cursor: EventsCursor, count: usize) -> Result<EventsPage, Refusal> {
        self.events.as_deref().unwrap_or(&EventLog::new()).page(cursor, count)
    }

    /// Whether it keeps events, or did.
    #[must_use]
    pub const fn has_events(&self) -> bool {
        self.events.is_some()
    }

    /// How many events it keeps.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.events.as_deref().map_or(0, EventLog::len)
    }

    /// The number of the last event, 0 before the first.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.events.as_deref().map_or(0, |log| log.next - 1)
    }

    /// How many blocks of memory its events are in.
    #[must_use]
    pub fn event_blocks(&self) -> usize {
        self.events.as_deref().map_or(0, |log| log.chunks.len())
    }

    /// The setting EVENTS has been set.
    pub(crate) fn keep_events(&mut self, max: u32) {
        if max > 0 || self.events.is_some() {
            self.events.get_or_insert_with(|| Box::new(EventLog::new())).keep(max);
        }
        self.events.take_if(|_| max == 0 && sabotaged!(OffForgetsNumbers));
        // One of which a snapshot would not know.
        self.events.take_if(|log| log.max == 0 && log.begun == UnixMs(0) && log.next == 1);
    }

    /// A task was pushed.
    #[cold]
    pub(crate) fn note_push(&mut self, pushed: &Pushed<'_>) {
        if let Some(log) = &mut self.events {
            log.note(Event::Push, pushed.at, pushed.id, 0, None);
        }
    }

    /// A batch is done.
    #[cold]
    pub(crate) fn note_batch(&mut self, batch: Slot, at: UnixMs) {
        if let Some(log) = &mut self.events {
            let name = &*self.batches.slots.at(batch).name;
            // It may look like an id that a queue makes.
            let id = TaskId::parse(name.as_bytes()).unwrap_or(TaskId::Named(name));
            log.note(Event::Batch, at, id, 0, None);
        }
    }

    /// A task is about to change: while it is still there, and still claimed by whoever holds it.
    #[cold]
    pub(crate) fn note_change(&mut self, slot: Slot, change: &Change<'_>) {
        let Some(mut log) = self.events.take() else { return };
        let task = self.tasks.at(slot);
        let (attempt, worker) = match *change {
            Change::Claimed { worker, .. } if sabotaged!(ClaimBeforeKept) => (task.attempt, Some(worker)),
            Change::Claimed { attempt, worker, .. } => (attempt, Some(worker)),
            _ if task.state() != State::Claimed && sabotaged!(LateWorkerForgotten) => (task.attempt, None),
            _ if ends_claim(change, task.state()) => (task.attempt, self.worker(slot).map(|(name, _)| name)),
            _ => (task.attempt, None),
        };
        let (at, id) = (change.instant().unwrap_or(log.at), self.id_of(slot));
        let is_last_lapse = sabotaged!(LastLapseKeptAsLapse) && matches!(change, Change::Failed { lapsed: true, .. });
        let event = if is_last_lapse { Event::Lapse } else { change.event() };
        let is_lost = sabotaged!(LapseNotKept) && matches!(change, Change::Lapsed { .. });
        if !is_lost {
            log.note(event, at, id, attempt, worker);
        }
        if sabotaged!(ReplacedKeptTwice) && matches!(change, Change::Replaced { .. }) {
            log.note(event, at, id, attempt, worker);
        }
        self.events = Some(log);
    }

    /// Whether the change is kept, and not of the instant that would be taken for its own.
    #[cold]
    pub(crate) fn must_date(&self, change: &Change<'_>, now: UnixMs) -> bool {
        let is_other = self.events.as_deref().is_some_and(|log| log.at != now);
        is_other && !sabotaged!(DropUndated) && change.instant().is_none() && kind_of(change.event()).is_some()
    }

    /// What happens to the log itself.
    pub(crate) fn apply_events(&mut self, effect: &Effect<'_>) {
        match (effect, &mut self.events) {
            (Effect::Dated { at }, Some(log)) => log.at = *at,
            (Effect::EventsBegun { at }, log) => log.get_or_insert_with(|| Box::new(EventLog::new())).begun = *at,
            (&Effect::EventsNumbered { next, at }, log) => {
                let log = log.get_or_insert_with(|| Box::new(EventLog::new()));
                (log.first, log.next, log.at) = (next, next, at);
            }
            (Effect::EventsRestored { rows }, Some(log)) => unpack(rows).map_while(Result::ok).for_each(|row| log.append(&row)),
            _ => {}
        }
    }

    pub(crate) fn admits_begin_of_events(&self, at: UnixMs) -> bool {
        at > UnixMs(0) && self.events.as_deref().is_none_or(|log| log.begun == UnixMs(0) && log.next == 1)
    }

    pub(crate) fn admits_event_numbers(&self, next: u64) -> bool {
        let is_new = |log: &EventLog| log.len() == 0 && log.next <= next;
        next <= NUMBER_MAX && self.events.as_deref().map_or(next > 1, is_new)
    }

    pub(crate) fn admits_event_rows(&self, rows: &[u8]) -> bool {
        let room = self.events.as_deref().map_or(0, |log| u64::from(log.max).saturating_sub(log.len()));
        let mut count = 0;
        unpack(rows).all(|row| {
            count += 1;
            count <= room && row.is_ok_and(|row| row.is_valid())
        })
    }
}

/// Whether a claim of the task ends by this, or did before, and was answered now.
fn ends_claim(change: &Change<'_>, before: State) -> bool {
    match change {
        Change::Completed { .. }
        | Change::BackedOff { .. }
        | Change::Requeued { .. }
        | Change::Failed { .. }
        | Change::Released { .. }
        | Change::Deferred { .. }
        | Change::Lapsed { .. } => true,
        Change::Canceled { .. } => matches!(before, State::Claimed) || sabotaged!(LastWorkerKept),
        _ => false,
    }
}
