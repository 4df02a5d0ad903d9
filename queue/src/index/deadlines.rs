//! Tasks by the instant at which something happens to them.
//!
//! One map entry a stretch of 64 ms, holding a line through its tasks in order, the links being inside the tasks: a storm of deadlines in
//! one millisecond is one entry, and a task an hour from its neighbours costs a share of one. A new task's place in its line is found from
//! the end, where most belong; a stretch with many tasks knows the last one of each millisecond. The instant itself is the task's `at`.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::line::Line;
use crate::index::segments::{Segments, Slot};
use crate::task::Task;
use crate::time::UnixMs;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::ops::{Bound, Range};

/// A stretch is 2 to this power milliseconds long.
const STRETCH_BITS: u32 = 6;
const STRETCH_MS: usize = 1 << STRETCH_BITS;
/// A place is searched among so many tasks at most. More of them pay for a [`LastOf`] with
/// 6 bytes each; it stays until the stretch is empty.
const SEARCHED_MAX: u32 = 48;

/// Tasks in order of their `at`, first come first within a millisecond.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    stretches: BTreeMap<u64, Stretch>,
    len: usize,
    /// How many stretches have a [`LastOf`].
    crowded: usize,
    /// It held something once: an emptied map keeps a node.
    was_used: bool,
}

/// The tasks of one stretch, in order.
#[derive(Clone, Debug)]
struct Stretch {
    line: Line,
    len: u32,
    last_of: Option<Box<LastOf>>,
}

/// The last task of each millisecond of a stretch.
#[derive(Clone, Debug)]
struct LastOf {
    last: [Slot; STRETCH_MS],
    /// A bit for each millisecond that has one.
    occupied: u64,
}

const fn number(at: UnixMs) -> u64 {
    at.0 >> STRETCH_BITS
}

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a millisecond of a stretch is less than its length"
)]
impl LastOf {
    const fn millisecond(at: UnixMs) -> usize {
        at.0 as usize & (STRETCH_MS - 1)
    }

    const fn get(&self, at: UnixMs) -> Slot {
        self.last[Self::millisecond(at)]
    }

    const fn set(&mut self, at: UnixMs, slot: Slot) {
        let (ms, bit) = (Self::millisecond(at), 1 << Self::millisecond(at));
        self.last[ms] = slot;
        self.occupied = if slot.is_nil() { self.occupied & !bit } else { self.occupied | bit };
    }

    /// The last task at `at` or before.
    const fn until(&self, at: UnixMs) -> Slot {
        let occupied = self.occupied & u64::MAX >> (STRETCH_MS - 1 - Self::millisecond(at));
        match occupied.checked_ilog2() {
            Some(ms) => self.last[ms as usize],
            None => Slot::NIL,
        }
    }
}

impl Stretch {
    const EMPTY: Self = Self { line: Line::EMPTY, len: 0, last_of: None };

    /// The last task at `at` or before.
    fn last_until(&self, tasks: &Segments<Task>, at: UnixMs) -> Slot {
        if let Some(last_of) = &self.last_of {
            return last_of.until(at);
        }
        let mut slot = self.line.tail;
        while let Some(later) = slot.get().filter(|&slot| tasks.at(slot).at > at) {
            slot = tasks.at(later).prev;
        }
        slot
    }

    fn insert(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let at = tasks.at(slot).at;
        let before = self.last_until(tasks, at);
        self.line.insert_after(tasks, before, slot);
        self.len += 1;
        if let Some(last_of) = &mut self.last_of {
            last_of.set(at, slot);
        }
    }

    fn note_last_of_each(&mut self, tasks: &Segments<Task>) {
        let mut last_of = Box::new(LastOf { last: [Slot::NIL; STRETCH_MS], occupied: 0 });
        Line::from(tasks, self.line.head).for_each(|slot| last_of.set(tasks.at(slot).at, slot));
        self.last_of = Some(last_of);
    }

    fn remove(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let (at, prev) = (tasks.at(slot).at, tasks.at(slot).prev);
        self.line.unlink(tasks, slot);
        self.len -= 1;
        if let Some(last_of) = self.last_of.as_mut().filter(|last_of| last_of.get(at) == slot) {
            last_of.set(at, prev.get().filter(|&prev| tasks.at(prev).at == at).unwrap_or(Slot::NIL));
        }
    }
}

impl Deadlines {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let stretches = rounding.tree::<(u64, Stretch)>(self.stretches.len().max(self.was_used.into()));
        stretches + self.crowded * rounding.block(mem::size_of::<LastOf>())
    }

    pub(crate) fn insert(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        let stretch = self.stretches.entry(number(tasks.at(slot).at)).or_insert(Stretch::EMPTY);
        stretch.insert(tasks, slot);
        if stretch.len > SEARCHED_MAX && stretch.last_of.is_none() {
            stretch.note_last_of_each(tasks);
            self.crowded += 1;
        }
        self.len += 1;
        self.was_used = true;
    }

    pub(crate) fn remove(&mut self, tasks: &mut Segments<Task>, slot: Slot) {
        if let Entry::Occupied(mut entry) = self.stretches.entry(number(tasks.at(slot).at)) {
            entry.get_mut().remove(tasks, slot);
            self.len -= 1;
            if entry.get().len == 0 && entry.remove().last_of.is_some() {
                self.crowded -= 1;
            }
        }
    }

    /// The task whose instant comes first, and the instant.
    pub(crate) fn first(&self, tasks: &Segments<Task>) -> Option<(UnixMs, Slot)> {
        self.stretches.first_key_value().map(|(_, stretch)| (tasks.at(stretch.line.head).at, stretch.line.head))
    }

    /// The first task at or after an instant.
    pub(crate) fn first_from(&self, tasks: &Segments<Task>, at: UnixMs) -> Option<Slot> {
        let mut stretches = self.stretches.range(number(at)..);
        let (&of, first) = stretches.next()?;
        let earlier = (of == number(at)).then(|| at.0.checked_sub(1)).flatten().filter(|&earlier| earlier >> STRETCH_BITS == of);
        let in_first = match earlier.and_then(|earlier| first.last_until(tasks, UnixMs(earlier)).get()) {
            Some(before) => tasks.at(before).next,
            None => first.line.head,
        };
        in_first.get().or_else(|| stretches.next().map(|(_, stretch)| stretch.line.head))
    }

    /// The first task whose instant is not among these.
    pub(crate) fn first_outside(&self, tasks: &Segments<Task>, instants: Range<UnixMs>) -> Option<Slot> {
        let (at, slot) = self.first(tasks)?;
        if instants.contains(&at) { self.first_from(tasks, instants.end) } else { Some(slot) }
    }

    /// Whether each task stands at its place, and links and counts are right.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, tasks: &Segments<Task>) -> Result<(), String> {
        let (mut len, mut crowded) = (0, 0);
        for (&of, stretch) in &self.stretches {
            ensure(!stretch.line.is_empty(), "a stretch is empty")?;
            let of_stretch = stretch.line.check(tasks, self.len)?;
            ensure(of_stretch == stretch.len as usize, "the count of a stretch is wrong")?;
            len += of_stretch;
            let slots = || Line::from(tasks, stretch.line.head);
            ensure(slots().all(|slot| number(tasks.at(slot).at) == of), "a task stands in another's stretch")?;
            ensure(slots().is_sorted_by_key(|slot| tasks.at(slot).at), "a stretch is out of order")?;
            if let Some(last_of) = &stretch.last_of {
                crowded += 1;
                let mut again = stretch.clone();
                again.note_last_of_each(tasks);
                let same = again.last_of.is_some_and(|again| again.last == last_of.last && again.occupied == last_of.occupied);
                ensure(same, "a stretch does not know its last tasks")?;
            }
        }
        ensure(len == self.len && crowded == self.crowded, "the count of deadlines is wrong")
    }

    /// All tasks in order.
    pub(crate) fn iter<'a>(&'a self, tasks: &'a Segments<Task>) -> impl Iterator<Item = Slot> + 'a {
        self.range(tasks, Bound::Unbounded)
    }

    /// All tasks in order from `slot` on, which must be among them.
    pub(crate) fn iter_from<'a>(&'a self, tasks: &'a Segments<Task>, slot: Slot) -> impl Iterator<Item = Slot> + 'a {
        Line::from(tasks, slot).chain(self.range(tasks, Bound::Excluded(number(tasks.at(slot).at))))
    }

    fn range<'a>(&'a self, tasks: &'a Segments<Task>, start: Bound<u64>) -> impl Iterator<Item = Slot> + 'a {
        self.stretches.range((start, Bound::Unbounded)).flat_map(|(_, stretch)| Line::from(tasks, stretch.line.head))
    }
}
