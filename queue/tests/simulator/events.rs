//! What happens to tasks and batches, as it follows from what is known of them: those who are told by name are told of each once; and the
//! log that a queue keeps of it has it so.

use crate::book::{Book, Claim, Known};
use crate::rules::ensure;
use std::rc::Rc;
use taskqueue::{Event, EventRow, EventsCursor, EventsPage, Missed, Notice, Queue, State, UnixMs};

/// Something that must have happened, by what has become of a task or a batch.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    event: Event,
    /// The task, or the batch's name.
    id: Rc<str>,
    /// What the task is by it.
    state: Option<State>,
    attempt: u32,
    worker: Option<Rc<str>>,
    /// The delay of a task that has expired was over too: it may have become ready first.
    may_ripen: bool,
}

/// An event, which has its number by its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    at: UnixMs,
    event: Event,
    id: Rc<str>,
    attempt: u32,
    worker: Option<Rc<str>>,
}

/// All events of a queue since it first kept some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// When that was. No other log has the same allocation, on whatever history.
    pub(crate) begun: Option<Rc<UnixMs>>,
    /// No other event has the same allocation.
    pub(crate) rows: Vec<Rc<Row>>,
    /// So many of the first are not kept, or not any more.
    pub(crate) gone: usize,
}

/// What becomes of a task by an event that has a name, if it is one; a push is not seen by what it looks like.
fn what_happened(before: &Known, after: &Known, is_push: bool) -> Option<Event> {
    let (was, is) = (before.seen.state, after.seen.state);
    Some(match (is, after.claim) {
        _ if is_push => Event::Push,
        _ if after.seen.attempt > before.seen.attempt => Event::Claim,
        _ if was.is_terminal() && is.is_terminal() => return None,
        (State::Completed, _) => Event::Complete,
        (State::Failed, _) => Event::Fail,
        (State::Canceled, _) => Event::Cancel,
        (State::Expired, _) => Event::Expire,
        (_, Claim::FailedTo(_)) if before.is_answerable() => Event::Retry,
        (_, Claim::Released) if before.is_answerable() => Event::Release,
        (_, Claim::Lapsed) if was == State::Claimed => Event::Lapse,
        (State::Ready, _) if was != State::Ready => Event::Ready,
        _ => return None,
    })
}

impl Book {
    fn happen(&mut self, event: Event, id: &Rc<str>, state: Option<State>, attempt: u32, worker: Option<Rc<str>>) {
        self.happened.push(Happened { event, id: id.clone(), state, attempt, worker, may_ripen: false });
    }

    /// A task has come.
    pub(crate) fn happen_pushed(&mut self, id: &Rc<str>, state: State) {
        self.happen(Event::Push, id, Some(state), 0, None);
    }

    /// A task is gone.
    pub(crate) fn happen_dropped(&mut self, id: &Rc<str>, known: &Known) {
        self.happen(Event::Drop, id, None, known.seen.attempt, None);
    }

    /// A batch is done.
    pub(crate) fn happen_batch(&mut self, name: &Rc<str>) {
        self.happen(Event::Batch, name, None, 0, None);
    }

    /// A task has become something else.
    pub(crate) fn happen_to(&mut self, id: &Rc<str>, before: &Known, after: &Known, is_push: bool, now: UnixMs) {
        let Some(event) = what_happened(before, after, is_push) else { return };
        let holds = match event {
            Event::Claim => true,
            Event::Cancel => before.seen.state == State::Claimed,
            Event::Complete | Event::Fail | Event::Retry | Event::Release | Event::Lapse => before.is_answerable(),
            _ => false,
        };
        let worker = after.holder.clone().filter(|_| holds);
        self.happen(event, id, Some(after.seen.state), after.seen.attempt, worker);
        let was_due = before.seen.state == State::Scheduled && before.seen.at <= now;
        if let Some(happened) = self.happened.last_mut().filter(|happened| happened.event == Event::Expire) {
            happened.may_ripen = was_due;
        }
    }

    /// Takes note of what a command and what followed were told to be, by name, if that is what they did: in the order in which it was
    /// told. The log, if there is one, must have it all so.
    pub(crate) fn note_events(&mut self, queue: &Queue, told: &[Notice], now: UnixMs) -> Result<(), String> {
        let mut left = std::mem::take(&mut self.happened);
        let before = self.log.rows.len();
        for notice in told {
            let row = take(&mut left, notice, now).map_err(|what| format!("{what}: {notice:?} of {left:?}"))?;
            if self.log.begun.is_some() {
                self.log.rows.push(Rc::new(row));
            }
        }
        ensure(left.is_empty(), &format!("nobody was told of {left:?}"))?;
        self.log.keep(self.settings.events as usize);
        self.log.is_of(queue, before)
    }
}

/// What is told of is what happened next to that task or batch.
fn take(left: &mut Vec<Happened>, told: &Notice, now: UnixMs) -> Result<Row, String> {
    let id = told.id.as_id().to_string();
    let place = left.iter().position(|happened| *happened.id == *id).ok_or("something was told that did not happen")?;
    let ripens_first = left[place].may_ripen && told.event == Event::Ready;
    let happened = if ripens_first {
        left[place].may_ripen = false;
        Happened { event: Event::Ready, state: Some(State::Ready), ..left[place].clone() }
    } else {
        left.remove(place)
    };
    let Happened { event, id, state, attempt, worker, .. } = happened;
    let is_so = (told.event, told.state, told.attempt, told.at) == (event, state, attempt, now);
    ensure(is_so, &format!("what was told should be {event:?} of attempt {attempt}, to {state:?}"))?;
    Ok(Row { at: now, event, id, attempt, worker })
}

impl Row {
    fn is(&self, row: &EventRow<'_>) -> bool {
        let Self { at, event, id, attempt, worker } = self;
        (*at, *event, *attempt, worker.as_deref()) == (row.at, row.event, row.attempt, row.worker) && row.id.to_string() == **id
    }
}

impl Log {
    /// The queue keeps so many events from now on.
    pub(crate) fn begin(&mut self, events: u32, now: UnixMs) {
        if events > 0 && self.begun.is_none() {
            self.begun = Some(Rc::new(now));
        }
    }

    fn keep(&mut self, most: usize) {
        self.gone = self.gone.max(self.rows.len().saturating_sub(most));
    }

    /// Whether a page that begins after so many events has what it must.
    pub(crate) fn gives(&self, page: &EventsPage, from: usize, count: usize) -> Result<(), String> {
        let first = from.max(self.gone);
        let end = first.saturating_add(count).min(self.rows.len());
        let missed = (first > from).then(|| {
            let at = self.rows.get(first).or(self.rows.last()).map_or(UnixMs(0), |row| row.at);
            Missed { count: (first - from) as u64, last: first as u64, at }
        });
        ensure(page.missed == missed, &format!("the reader has missed {missed:?}, and is told {:?}", page.missed))?;
        let seqs = (first as u64 + 1)..=(end as u64);
        let is_right = page.len() == end - first && page.rows().map(|row| row.seq).eq(seqs);
        let rows = self.rows[first..end].iter();
        let is_right = is_right && page.rows().zip(rows.clone()).all(|(row, known)| known.is(&row));
        ensure(is_right, &format!("the events are not these: {rows:?}\n  but {:?}", page.rows().collect::<Vec<_>>()))?;
        let begun = self.begun.as_deref().copied().unwrap_or_default();
        let is_next = matches!(page.next, EventsCursor::At { begun: of, number, .. } if (of, number) == (begun, end as u64 + 1));
        ensure(is_next, &format!("the next page does not begin after event {end} of {begun:?}: {}", page.next))
    }

    /// Whether the queue has this log, of which so many events are known to be right.
    pub(crate) fn is_of(&self, queue: &Queue, known: usize) -> Result<(), String> {
        ensure(queue.has_events() == self.begun.is_some(), "a log is there, or is not, and should not be so")?;
        let numbers = (queue.last_event(), queue.event_count());
        let expected = (self.rows.len() as u64, (self.rows.len() - self.gone) as u64);
        ensure(numbers == expected, &format!("(last event, events kept) should be {expected:?} and are {numbers:?}"))?;
        let page = queue.events(EventsCursor::number(known as u64 + 1), usize::MAX).map_err(|refusal| refusal.to_string())?;
        self.gives(&page, known, usize::MAX)
    }
}
