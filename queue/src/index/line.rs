//! First-in-first-out lines whose links lie inside the tasks.

#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::segments::{Segments, Slot};
use crate::task::Task;
use std::mem;

/// A doubly linked line of tasks. A task is in at most one line at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) head: Slot,
    pub(crate) tail: Slot,
}

impl Line {
    pub(crate) const EMPTY: Self = Self { head: Slot::NIL, tail: Slot::NIL };

    pub(crate) const fn is_empty(self) -> bool {
        self.head.is_nil()
    }

    pub(crate) fn push_back(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        self.insert_after(tasks, self.tail, slot);
    }

    /// Puts a task behind another one of the line; in front of all if that is [`Slot::NIL`].
    pub(crate) fn insert_after(&mut self, tasks: &mut Segments<Task>, prev: Slot, slot: Slot) {
        let next = match prev.get() {
            Some(prev) => mem::replace(&mut tasks.at_mut(prev).next, slot),
            None => mem::replace(&mut self.head, slot),
        };
        match next.get() {
            Some(next) => tasks.at_mut(next).prev = slot,
            None => self.tail = slot,
        }
        let task = tasks.at_mut(slot);
        (task.prev, task.next) = (prev, next);
    }

    pub(crate) fn unlink(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let task = tasks.at_mut(slot);
        let (prev, next) = (task.prev, task.next);
        task.prev = Slot::NIL;
        task.next = Slot::NIL;
        match prev.get() {
            Some(prev) => tasks.at_mut(prev).next = next,
            None => self.head = next,
        }
        match next.get() {
            Some(next) => tasks.at_mut(next).prev = prev,
            None => self.tail = prev,
        }
    }

    /// How many tasks it holds, at most `max`, if each knows its neighbours.
    #[cfg(debug_assertions)]
    pub(crate) fn check(self, tasks: &Segments<Task>, max: usize) -> Result<usize, String> {
        let (mut last, mut len) = (Slot::NIL, 0);
        for slot in Self::from(tasks, self.head) {
            ensure(tasks.at(slot).prev == last, "a task does not know its neighbour")?;
            (last, len) = (slot, len + 1);
            ensure(len <= max, "a line is too long")?;
        }
        ensure(last == self.tail, "a line does not know its end")?;
        Ok(len)
    }

    /// The tasks from `start` on.
    pub(crate) fn from(tasks: &Segments<Task>, start: Slot) -> impl Iterator<Item = Slot> {
        std::iter::successors(start.get(), |&slot| tasks.at(slot).next.get())
    }
}
