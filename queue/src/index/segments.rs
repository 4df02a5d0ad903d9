//! A slab in segments: stable slots, no growth that copies what is there, and memory given back.
//!
//! A doubling `Vec` of ten million tasks would stop the server for seconds when it grows; a segment costs the same whatever
//! stands beside it. Only the first segment grows by doubling, so that a small queue stays small.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use {crate::check::ensure, std::collections::BTreeSet};

use std::mem;

/// Where something lies in a slab of tasks. Valid until it is removed; then the slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// No slot.
    pub(crate) const NIL: Self = Self(u32::MAX);

    pub(crate) const fn is_nil(self) -> bool {
        self.0 == Self::NIL.0
    }

    /// The slot itself, or `None` for [`Slot::NIL`].
    pub(crate) const fn get(self) -> Option<Self> {
        if self.is_nil() { None } else { Some(self) }
    }

    const fn segment(self) -> usize {
        (self.0 >> SEGMENT_BITS) as usize
    }

    const fn offset(self) -> u32 {
        self.0 & (SEGMENT_LEN - 1)
    }

    const fn at(segment: u32, offset: u32) -> Self {
        Self(segment << SEGMENT_BITS | offset)
    }
}

const SEGMENT_BITS: u32 = 12;
/// Entries in a segment: 256 KiB of tasks, small enough to allocate without a stall.
const SEGMENT_LEN: u32 = 1 << SEGMENT_BITS;

#[derive(Clone, Debug)]
enum Entry<T> {
    Live(T),
    /// Free; the next free offset of this segment, or [`NONE`].
    Free(u32),
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Segment<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    live: u32,
}

impl<T> Segment<T> {
    const EMPTY: Self = Self { entries: Vec::new(), free: NONE, live: 0 };

    fn has_room(&self) -> bool {
        self.live < SEGMENT_LEN
    }
}

/// A slab of `T`.
#[derive(Clone, Debug)]
#[allow(clippy::struct_field_names, reason = "they are the segments")]
pub(crate) struct Segments<T> {
    segments: Vec<Segment<T>>,
    /// Segments that hold something and have room, each once; the last is filled first.
    open: Vec<u32>,
    /// Segments whose memory was given back.
    vacant: Vec<u32>,
    len: usize,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), open: Vec::new(), vacant: Vec::new(), len: 0 }
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "segment numbers come from our own lists; an error here is a bug that must not pass unseen"
)]
impl<T> Segments<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Slots below this bound may be in use: what a scan in slot order goes through.
    pub(crate) fn bound(&self) -> u32 {
        u32::try_from(self.segments.len() << SEGMENT_BITS).unwrap_or(u32::MAX)
    }

    /// Bytes allocated for entries.
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        let entries = self.segments.iter().map(|segment| rounding.vec::<Entry<T>>(segment.entries.capacity()));
        let lists = rounding.vec::<u32>(self.open.capacity()) + rounding.vec::<u32>(self.vacant.capacity());
        entries.sum::<usize>() + rounding.vec::<Segment<T>>(self.segments.capacity()) + lists
    }

    pub(crate) fn insert(&mut self, value: T) -> Slot {
        let number = match self.open.last() {
            Some(&number) => number,
            None => self.open_segment(),
        };
        let segment = &mut self.segments[number as usize];
        let offset = if segment.free == NONE {
            Self::append(segment, number, value)
        } else {
            let offset = segment.free;
            let entry = &mut segment.entries[offset as usize];
            if let Entry::Free(next) = mem::replace(entry, Entry::Live(value)) {
                segment.free = next;
            }
            offset
        };
        segment.live += 1;
        if !segment.has_room() {
            self.open.pop();
        }
        self.len += 1;
        Slot::at(number, offset)
    }

    #[allow(clippy::cast_possible_truncation, reason = "at most 4096 entries")]
    fn append(segment: &mut Segment<T>, number: u32, value: T) -> u32 {
        let len = segment.entries.len();
        if number != 0 && len == segment.entries.capacity() {
            segment.entries.reserve_exact(SEGMENT_LEN as usize - len);
        }
        segment.entries.push(Entry::Live(value));
        len as u32
    }

    #[allow(clippy::cast_possible_truncation, reason = "at most 2^20 segments")]
    fn open_segment(&mut self) -> u32 {
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.segments.push(Segment::EMPTY);
            self.segments.len() as u32 - 1
        });
        self.open.push(number);
        number
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        match self.segments.get(slot.segment())?.entries.get(slot.offset() as usize)? {
            Entry::Live(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        match self.segments.get_mut(slot.segment())?.entries.get_mut(slot.offset() as usize)? {
            Entry::Live(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    /// What lies in `slot`, which must be in use.
    pub(crate) fn at(&self, slot: Slot) -> &T {
        self.get(slot).unwrap_or_else(|| vacant_slot())
    }

    /// What lies in `slot`, which must be in use.
    pub(crate) fn at_mut(&mut self, slot: Slot) -> &mut T {
        self.get_mut(slot).unwrap_or_else(|| vacant_slot())
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> T {
        let number = slot.0 >> SEGMENT_BITS;
        let segment = &mut self.segments[slot.segment()];
        let was_full = !segment.has_room();
        let entry = mem::replace(&mut segment.entries[slot.offset() as usize], Entry::Free(segment.free));
        let Entry::Live(value) = entry else { vacant_slot() };
        segment.free = slot.offset();
        segment.live -= 1;
        self.len -= 1;
        if was_full {
            self.open.push(number);
        } else if segment.live == 0 && self.open.len() > 1 {
            // Another segment has room, so this one's memory is given back. The search is paid for by the 4096 removals before.
            if let Some(place) = self.open.iter().rposition(|&open| open == number) {
                self.open.swap_remove(place);
                self.segments[slot.segment()] = Segment::EMPTY;
                self.vacant.push(number);
            }
        }
        value
    }
}

#[cfg(debug_assertions)]
impl<T> Segments<T> {
    /// Whether free lists, open and vacant segments and counts are what the entries say.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (mut len, mut open, mut vacant) = (0, BTreeSet::new(), BTreeSet::new());
        for (segment, number) in self.segments.iter().zip(0..) {
            let live = segment.entries.iter().filter(|entry| matches!(entry, Entry::Live(_))).count();
            let mut free = 0;
            let mut next = segment.free;
            while let Some(Entry::Free(after)) = segment.entries.get(next as usize) {
                (free, next) = (free + 1, *after);
                ensure(free <= SEGMENT_LEN as usize, "a free list has a loop")?;
            }
            ensure(next == NONE && live + free == segment.entries.len(), "a free entry is not in the free list")?;
            ensure(live == segment.live as usize, "a segment's count is wrong")?;
            len += live;
            if segment.entries.capacity() == 0 {
                vacant.insert(number);
            } else if segment.has_room() {
                open.insert(number);
            }
        }
        ensure(len == self.len, "the count is wrong")?;
        ensure(self.open.iter().copied().collect::<BTreeSet<_>>() == open && self.open.len() == open.len(), "open segments")?;
        ensure(
            self.vacant.iter().copied().collect::<BTreeSet<_>>() == vacant && self.vacant.len() == vacant.len(),
            "vacant segments",
        )
    }
}

#[cold]
#[allow(clippy::panic, reason = "only a bug of ours gets here; the shell catches it and the server lives")]
fn vacant_slot() -> ! {
    panic!("a slot that is not in use was used")
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn slots_are_stable_and_used_again() {
        let mut slab = Segments::default();
        let slots: Vec<Slot> = (0..10_000_u64).map(|n| slab.insert(n)).collect();
        assert!(slots.iter().zip(0..).all(|(&slot, n)| *slab.at(slot) == n));
        assert_eq!(slab.remove(slots[5000]), 5000);
        assert_eq!(slab.get(slots[5000]), None);
        assert_eq!(slab.len(), 9_999);
        let again: Vec<Slot> = (0..3_000_u64).map(|n| slab.insert(n)).collect();
        assert!(again.contains(&slots[5000]));
    }

    #[test]
    fn memory_of_empty_segments_is_given_back() {
        let mut slab = Segments::default();
        let slots: Vec<Slot> = (0..100_000_u64).map(|n| slab.insert(n)).collect();
        let full = slab.bytes(Rounding::Classes);
        for slot in slots {
            slab.remove(slot);
        }
        assert!(slab.bytes(Rounding::Classes) < full / 10, "{} of {full}", slab.bytes(Rounding::Classes));
        for n in 0..100_000_u64 {
            slab.insert(n);
        }
        assert!(slab.bytes(Rounding::Classes) <= full + full / 10);
    }
}
