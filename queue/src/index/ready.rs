//! The ready tasks in the order in which they will be claimed.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::line::Line;
use crate::index::segments::{Segments, Slot};
use crate::task::Task;
use std::collections::BTreeSet;

/// A place in line: higher priority first, so it is inverted; then the number given when the task became ready. The slot makes it
/// unique whatever a restored dump says.
type Place = (u8, u64, Slot);

/// A line a priority, and beside them what came back to its place.
///
/// Newly ready tasks have ever larger order numbers, so they go to the end of a line for nothing. What was released or lapsed
/// goes back to a place that its line has moved past; the few of those stand in an ordered map, whichever comes first is next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    /// The lines that are not empty, highest priority last. Few queues use more than a handful of the 256.
    lines: Vec<(u8, Line)>,
    returned: BTreeSet<Place>,
    len: usize,
}

fn place(tasks: &Segments<Task>, slot: Slot) -> Place {
    let task = tasks.at(slot);
    (u8::MAX - task.priority, task.order, slot)
}

#[allow(
    clippy::inline_always,
    reason = "nearly all tasks pass through one of the two lines of a queue, and 3 % of a claim hang on it"
)]
impl Ready {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.vec::<(u8, Line)>(self.lines.capacity()) + rounding.tree::<Place>(self.returned.len())
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        self.len += 1;
        let (priority, order) = (tasks.at(slot).priority, tasks.at(slot).order);
        match self.lines.binary_search_by_key(&priority, |&(priority, _)| priority) {
            Ok(index) => match self.lines.get_mut(index) {
                Some((_, line)) if tasks.at(line.tail).order < order => line.push_back(tasks, slot),
                _ => {
                    self.returned.insert(place(tasks, slot));
                }
            },
            Err(index) => {
                let mut line = Line::EMPTY;
                line.push_back(tasks, slot);
                self.lines.insert(index, (priority, line));
            }
        }
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        self.len -= 1;
        if !self.returned.is_empty() && self.remove_returned(tasks, slot) {
            return;
        }
        if let Ok(index) = self.lines.binary_search_by_key(&tasks.at(slot).priority, |&(priority, _)| priority)
            && let Some((_, line)) = self.lines.get_mut(index)
        {
            line.unlink(tasks, slot);
            if line.is_empty() {
                self.lines.remove(index);
            }
        }
    }

    /// Whether it was one of those that returned. Apart, as there are few.
    #[inline(never)]
    fn remove_returned(&mut self, tasks: &Segments<Task>, slot: Slot) -> bool {
        self.returned.remove(&place(tasks, slot))
    }

    /// Whether each task stands at its place, and links and count are right.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, tasks: &Segments<Task>) -> Result<(), String> {
        let mut len = self.returned.len();
        ensure(self.lines.is_sorted_by(|(a, _), (b, _)| a < b), "lines are out of order")?;
        for &(priority, line) in &self.lines {
            ensure(!line.is_empty(), "a line is empty")?;
            len += line.check(tasks, self.len)?;
            ensure(
                Line::from(tasks, line.head).all(|slot| tasks.at(slot).priority == priority),
                "a task stands in another's line",
            )?;
        }
        ensure(len == self.len, "the count of ready tasks is wrong")?;
        ensure(self.returned.iter().all(|&kept| kept == place(tasks, kept.2)), "a returned task is not at its place")?;
        ensure(self.iter(tasks).is_sorted_by_key(|slot| place(tasks, slot)), "ready tasks are out of order")
    }

    /// The task to be claimed next.
    #[inline(always)]
    pub(crate) fn first(&self, tasks: &Segments<Task>) -> Option<Slot> {
        let head = self.lines.last().map(|(_, line)| place(tasks, line.head));
        let next = head.into_iter().chain(self.returned.first().copied()).min()?;
        Some(next.2)
    }

    /// All ready tasks in claim order.
    pub(crate) fn iter<'a>(&'a self, tasks: &'a Segments<Task>) -> impl Iterator<Item = Slot> + 'a {
        let lined = self.lines.iter().rev().flat_map(|(_, line)| Line::from(tasks, line.head));
        merge(tasks, lined, self.returned.iter().copied())
    }

    /// Whether all ready tasks stand in one line, none of them returned.
    pub(crate) fn is_one_line(&self) -> bool {
        self.lines.len() == 1 && self.returned.is_empty()
    }

    /// The ready tasks in claim order from `slot` on. If it has returned to its place, its line is searched for what follows it;
    /// `None` if more than `search` tasks of the line come before that.
    pub(crate) fn iter_from<'a>(
        &'a self,
        tasks: &'a Segments<Task>,
        slot: Slot,
        search: usize,
    ) -> Option<impl Iterator<Item = Slot> + 'a> {
        let start = place(tasks, slot);
        let priority = tasks.at(slot).priority;
        let head = if self.returned.contains(&start) { self.line_after(tasks, start, priority, search)? } else { slot };
        let lower = self.lines.iter().rev().filter(move |&&(of, _)| of < priority);
        let lined = Line::from(tasks, head).chain(lower.flat_map(|&(_, line)| Line::from(tasks, line.head)));
        Some(merge(tasks, lined, self.returned.range(start..).copied()))
    }

    /// The first in the line of a priority that comes after `start`, or [`Slot::NIL`]; `None` if it is not among the first `search`.
    fn line_after(&self, tasks: &Segments<Task>, start: Place, priority: u8, search: usize) -> Option<Slot> {
        match self.lines.iter().find(|&&(of, _)| of == priority) {
            Some((_, line)) if place(tasks, line.tail) > start => {
                Line::from(tasks, line.head).take(search).find(|&slot| place(tasks, slot) > start)
            }
            _ => Some(Slot::NIL),
        }
    }

    /// The one that became ready first of all priorities.
    pub(crate) fn oldest(&self, tasks: &Segments<Task>) -> Option<Slot> {
        let heads = self.lines.iter().map(|(_, line)| line.head);
        heads.chain(self.returned_heads()).min_by_key(|&slot| tasks.at(slot).order)
    }

    /// The first returned task of each priority.
    fn returned_heads(&self) -> impl Iterator<Item = Slot> {
        let first = |priority: u8| self.returned.range((priority, 0, Slot(0))..).next();
        let next = move |&&(priority, _, _): &&Place| first(priority.checked_add(1)?);
        std::iter::successors(self.returned.first(), next).map(|&(_, _, slot)| slot)
    }
}

/// Two sequences in claim order as one.
fn merge<'a>(
    tasks: &'a Segments<Task>,
    lined: impl Iterator<Item = Slot> + 'a,
    returned: impl Iterator<Item = Place> + 'a,
) -> impl Iterator<Item = Slot> + 'a {
    let mut lined = lined.map(|slot| place(tasks, slot)).peekable();
    let mut returned = returned.peekable();
    std::iter::from_fn(move || match (lined.peek(), returned.peek()) {
        (Some(a), Some(b)) if b < a => returned.next(),
        (Some(_), _) => lined.next(),
        (None, _) => returned.next(),
    })
    .map(|(_, _, slot)| slot)
}
