//! Tasks by the instant at which something happens to them.
//!
//! One map entry a millisecond, holding a line through the tasks: a storm of deadlines in one millisecond is one entry, leaves in
//! the order in which it came, and costs nothing beside the links. The instant itself is the task's `at`.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::line::Line;
use crate::index::segments::{Segments, Slot};
use crate::task::Task;
use crate::time::UnixMs;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

/// Tasks in order of their `at`, first come first within a millisecond.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    instants: BTreeMap<UnixMs, Line>,
    len: usize,
    /// It held something once: an emptied map keeps a node.
    was_used: bool,
}

impl Deadlines {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.tree::<(UnixMs, Line)>(self.instants.len().max(self.was_used.into()))
    }

    pub(crate) fn insert(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        self.instants.entry(tasks.at(slot).at).or_insert(Line::EMPTY).push_back(tasks, slot);
        self.len += 1;
        self.was_used = true;
    }

    pub(crate) fn remove(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        if let Entry::Occupied(mut entry) = self.instants.entry(tasks.at(slot).at) {
            entry.get_mut().unlink(tasks, slot);
            if entry.get().is_empty() {
                entry.remove();
            }
            self.len -= 1;
        }
    }

    /// The task whose instant comes first, and the instant.
    pub(crate) fn first(&self) -> Option<(UnixMs, Slot)> {
        self.instants.first_key_value().map(|(&at, line)| (at, line.head))
    }

    /// The first task at or after an instant.
    pub(crate) fn first_from(&self, at: UnixMs) -> Option<Slot> {
        self.instants.range(at..).next().map(|(_, line)| line.head)
    }

    /// Whether each task stands at its instant, and links and count are right.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, tasks: &Segments<Task>) -> Result<(), String> {
        let mut len = 0;
        for (&at, line) in &self.instants {
            ensure(!line.is_empty(), "an instant is empty")?;
            len += line.check(tasks, self.len)?;
            ensure(Line::from(tasks, line.head).all(|slot| tasks.at(slot).at == at), "a task stands at another's instant")?;
        }
        ensure(len == self.len, "the count of deadlines is wrong")
    }

    /// All tasks in order.
    pub(crate) fn iter<'a>(&'a self, tasks: &'a Segments<Task>) -> impl Iterator<Item = Slot> + 'a {
        self.range(tasks, Bound::Unbounded)
    }

    /// All tasks in order from `slot` on, which must be among them.
    pub(crate) fn iter_from<'a>(&'a self, tasks: &'a Segments<Task>, slot: Slot) -> impl Iterator<Item = Slot> + 'a {
        Line::from(tasks, slot).chain(self.range(tasks, Bound::Excluded(tasks.at(slot).at)))
    }

    fn range<'a>(&'a self, tasks: &'a Segments<Task>, start: Bound<UnixMs>) -> impl Iterator<Item = Slot> + 'a {
        self.instants.range((start, Bound::Unbounded)).flat_map(|(_, line)| Line::from(tasks, line.head))
    }
}
