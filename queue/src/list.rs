//! Paging through the tasks of one state, with the guarantee of SCAN: what is in the state from the first page to the last is listed.
//!
//! Pages follow the state's index, next or oldest first, from a task that the cursor names. Where that place cannot be found again
//! without a search, or a task has moved to before it, the listing goes on in slot order, which never skips a task; some may
//! then be listed twice. A page costs no more than its COUNT allows.
//!
//! A task that left its place and came back to the same instant stands behind others that the cursor has not seen, so the cursor
//! also names the stay. Two stays that began in one millisecond look alike; no listing goes that fast.

use crate::group::UNGROUPED;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::time::UnixMs;
use std::fmt;

/// Slots a page may look at for each task it may list, when it goes in slot order.
const SLOTS_PER_TASK: usize = 10;

/// Where a listing goes on. As text it has no white space; `0` is the start and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor<'a> {
    /// The first page, or none to come.
    Zero,
    /// At this task, as it stood then.
    Task {
        /// How often tasks had moved to an earlier place, at the first page.
        rewinds: u64,
        /// The task's instant, or its place in line.
        place: u64,
        /// Its last claim, and what else tells this stay in the state from an earlier one.
        stay: (u32, u64),
        /// The task.
        id: TaskId<'a>,
    },
    /// At this slot.
    Slot(u32),
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tasks.
    pub slots: Vec<Slot>,
    /// The cursor of the next page.
    pub next: String,
}

impl<'a> Cursor<'a> {
    /// Reads a cursor that a page gave.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if text == "0" {
            return Some(Self::Zero);
        }
        if let Some(slot) = text.strip_prefix("s:") {
            return slot.parse().ok().map(Self::Slot);
        }
        let mut parts = text.strip_prefix("t:")?.splitn(5, ':');
        let mut number = || parts.next()?.parse().ok();
        let (rewinds, place, attempt, since) = (number()?, number()?, number()?, number()?);
        let stay = (u32::try_from(attempt).ok()?, since);
        Some(Self::Task { rewinds, place, stay, id: TaskId::parse(parts.next()?.as_bytes()).ok()? })
    }
}

impl fmt::Display for Cursor<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => out.write_str("0"),
            Self::Task { rewinds, place, stay: (attempt, since), id } => {
                write!(out, "t:{rewinds}:{place}:{attempt}:{since}:{id}")
            }
            Self::Slot(slot) => write!(out, "s:{slot}"),
        }
    }
}

impl Queue {
    /// A page of at most `count` tasks in `state`.
    #[must_use]
    pub fn list(&self, state: State, cursor: Cursor<'_>, count: usize) -> Page {
        match cursor {
            Cursor::Zero => self.list_from(state, None, self.rewinds, count),
            Cursor::Slot(slot) => self.list_slots(state, slot, count),
            Cursor::Task { rewinds, place, stay, id } => {
                let is_there = |slot| self.tasks.at(slot).state() == state && self.place(slot) == place;
                let at_place = |&slot: &Slot| is_there(slot) && (state == State::Ready || self.stay(slot) == stay);
                match self.find(id).filter(at_place).filter(|_| rewinds == self.rewinds) {
                    Some(slot) => self.list_from(state, Some(slot), rewinds, count),
                    None if rewinds == self.rewinds => self.list_after(state, place, count),
                    None => self.list_slots(state, 0, count),
                }
            }
        }
    }

    fn list_from(&self, state: State, start: Option<Slot>, rewinds: u64, count: usize) -> Page {
        match (state, self.deadlines(state), start) {
            (State::Ready, _, None) => self.page(self.all_ready(), rewinds, count),
            (State::Ready, _, Some(start)) => match self.line_of(start).iter_from(&self.tasks, start, count * SLOTS_PER_TASK) {
                // The line of those that have a group is the last.
                Some(rest) if self.group_slot(start) == UNGROUPED => {
                    let grouped = self.grouped_line().into_iter().flat_map(|line| line.iter(&self.tasks));
                    self.page(rest.chain(grouped), rewinds, count)
                }
                Some(rest) => self.page(rest, rewinds, count),
                None => self.list_slots(state, 0, count),
            },
            (_, Some(index), None) => self.page(index.iter(&self.tasks), rewinds, count),
            (_, Some(index), Some(start)) => self.page(index.iter_from(&self.tasks, start), rewinds, count),
            (_, None, _) => self.page(std::iter::empty(), rewinds, count),
        }
    }

    /// The task at the cursor has left. By instant its place is found all the same; a line is found again if it has moved past it.
    fn list_after(&self, state: State, place: u64, count: usize) -> Page {
        let start = match self.deadlines(state) {
            Some(index) => match index.first_from(&self.tasks, UnixMs(place)) {
                Some(slot) => slot,
                None => return self.page(std::iter::empty(), self.rewinds, count),
            },
            None => match self.ready.first(&self.tasks) {
                // Of a queue with groups the task may have stood in either line.
                _ if self.groups.is_some() => return self.list_slots(state, 0, count),
                Some(first) if self.tasks.at(first).order > place && self.ready.is_one_line() => first,
                Some(_) => return self.list_slots(state, 0, count),
                None => return self.page(std::iter::empty(), self.rewinds, count),
            },
        };
        self.list_from(state, Some(start), self.rewinds, count)
    }

    fn page(&self, mut from: impl Iterator<Item = Slot>, rewinds: u64, count: usize) -> Page {
        let slots: Vec<Slot> = from.by_ref().take(count).collect();
        let next = from.next().map(|slot| Cursor::Task {
            rewinds,
            place: self.place(slot),
            stay: self.stay(slot),
            id: self.id_of(slot),
        });
        Page { slots, next: next.unwrap_or(Cursor::Zero).to_string() }
    }

    #[allow(clippy::cast_possible_truncation, reason = "COUNT is at most 10,000")]
    fn list_slots(&self, state: State, start: u32, count: usize) -> Page {
        let bound = self.tasks.bound();
        let end = start.saturating_add((count * SLOTS_PER_TASK) as u32).min(bound);
        let in_state = |&slot: &Slot| self.tasks.get(slot).is_some_and(|task| task.state() == state);
        let mut slots: Vec<Slot> = (start..end).map(Slot).filter(in_state).take(count + 1).collect();
        // One more than fits: the page ends before it and the next begins there.
        let more = slots.get(count).copied();
        slots.truncate(count);
        let next = match more {
            Some(slot) => Cursor::Slot(slot.0),
            None if end < bound => Cursor::Slot(end),
            None => Cursor::Zero,
        };
        Page { slots, next: next.to_string() }
    }

    /// What tells a task's stay in a state other than ready from an earlier one.
    fn stay(&self, slot: Slot) -> (u32, u64) {
        let task = self.tasks.at(slot);
        (task.attempt, if task.state() == State::Scheduled { self.created(slot).0 } else { task.order })
    }

    fn place(&self, slot: Slot) -> u64 {
        let task = self.tasks.at(slot);
        if task.state() == State::Ready { task.order } else { task.at.0 }
    }
}
