//! Slots in the order in which something happened to them, each with the number that it was given then.
//!
//! In chunks: a log grows without copying what is there, a number finds its slot at once, and a chunk whose slots have all been
//! cleared gives its memory back.

use crate::blocks::Blocks;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::segments::Slot;
use std::collections::BTreeMap;

/// Numbers in a chunk.
const CHUNK_LEN: u32 = 1024;

/// Numbered slots; a number is given once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    chunks: BTreeMap<u32, Box<Chunk>>,
    next: u32,
    len: u32,
    slots: Blocks,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// From the number `base` of the chunk on; cleared ones are [`Slot::NIL`].
    slots: Vec<Slot>,
    base: u32,
    live: u32,
    /// Nothing before this place in `slots` is live.
    start: usize,
}

impl Chunk {
    fn place(&self, number: u32) -> Option<usize> {
        Some((number % CHUNK_LEN).checked_sub(self.base)? as usize)
    }

    fn live_before(&self, number: u32) -> usize {
        let end = self.place(number).unwrap_or(0).min(self.slots.len());
        self.slots.get(..end).map_or(0, |slots| slots.iter().filter(|slot| !slot.is_nil()).count())
    }

    fn blocks(&self) -> Blocks {
        Blocks::of(size_of::<Self>()) + Blocks::of(self.slots.capacity() * size_of::<Slot>())
    }
}

impl Log {
    /// How many slots it holds.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// The number that comes next.
    pub(crate) const fn next(&self) -> u32 {
        self.next
    }

    /// What it owns.
    pub(crate) fn owned(&self) -> Blocks {
        self.slots + Blocks::tree::<(u32, Box<Chunk>)>(self.chunks.len())
    }

    /// Numbers go on from here: of a log from a snapshot.
    pub(crate) const fn starting_at(mut self, next: u32) -> Self {
        self.next = next;
        self
    }

    /// Gives the slot the next number.
    pub(crate) fn append(&mut self, slot: Slot) -> u32 {
        let number = self.next;
        self.next += 1;
        self.set(number, slot);
        number
    }

    /// Gives the slot a number that was given before and that no slot has.
    pub(crate) fn set(&mut self, number: u32, slot: Slot) {
        let offset = number % CHUNK_LEN;
        let mut is_new = false;
        let chunk = self.chunks.entry(number / CHUNK_LEN).or_insert_with(|| {
            is_new = true;
            Box::new(Chunk { slots: Vec::new(), base: offset, live: 0, start: 0 })
        });
        if !is_new {
            self.slots -= chunk.blocks();
        }
        if let Some(missing) = chunk.base.checked_sub(offset).filter(|&missing| missing > 0) {
            chunk.slots.splice(0..0, (0..missing).map(|_| Slot::NIL));
            (chunk.base, chunk.start) = (offset, chunk.start + missing as usize);
        }
        let place = (offset - chunk.base) as usize;
        if chunk.slots.len() <= place {
            chunk.slots.resize(place + 1, Slot::NIL);
        }
        if let Some(free) = chunk.slots.get_mut(place) {
            *free = slot;
        }
        chunk.live += 1;
        chunk.start = chunk.start.min(place);
        self.slots += chunk.blocks();
        self.len += 1;
    }

    /// Takes out the slot of that number.
    pub(crate) fn clear(&mut self, number: u32) {
        let Some(chunk) = self.chunks.get_mut(&(number / CHUNK_LEN)) else { return };
        if let Some(slot) = chunk.place(number).and_then(|place| chunk.slots.get_mut(place)) {
            *slot = Slot::NIL;
        }
        chunk.live -= 1;
        self.len -= 1;
        if chunk.live == 0 {
            self.slots -= chunk.blocks();
            self.chunks.remove(&(number / CHUNK_LEN));
            if self.chunks.is_empty() {
                self.chunks = BTreeMap::new();
            }
            return;
        }
        while chunk.slots.get(chunk.start).is_some_and(|slot| slot.is_nil()) {
            chunk.start += 1;
        }
    }

    pub(crate) fn get(&self, number: u32) -> Option<Slot> {
        let chunk = self.chunks.get(&(number / CHUNK_LEN))?;
        chunk.slots.get(chunk.place(number)?)?.get()
    }

    /// The slot of the lowest number.
    pub(crate) fn first(&self) -> Option<Slot> {
        let (_, chunk) = self.chunks.first_key_value()?;
        chunk.slots.get(chunk.start)?.get()
    }

    /// The slots from a number on, each with its number.
    pub(crate) fn from(&self, number: u32) -> impl Iterator<Item = (u32, Slot)> + '_ {
        self.chunks.range(number / CHUNK_LEN..).flat_map(move |(&of, chunk)| {
            let start = of * CHUNK_LEN + chunk.base;
            let skipped = number.saturating_sub(start) as usize;
            let numbered = (start..).zip(&chunk.slots).skip(skipped.max(chunk.start));
            numbered.filter_map(|(number, slot)| Some((number, slot.get()?)))
        })
    }

    /// How many slots have a number below this one. It counts from the end that is nearer.
    pub(crate) fn live_before(&self, number: u32) -> u32 {
        let of = number / CHUNK_LEN;
        let within = self.chunks.get(&of).map_or(0, |chunk| chunk.live_before(number));
        let within = u32::try_from(within).unwrap_or(u32::MAX);
        if number < self.next / 2 {
            self.chunks.range(..of).map(|(_, chunk)| chunk.live).sum::<u32>() + within
        } else {
            self.len - self.chunks.range(of..).map(|(_, chunk)| chunk.live).sum::<u32>() + within
        }
    }

    /// Whether its counts are those of its slots.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) -> Result<(), String> {
        let (mut slots, mut len) = (Blocks::default(), 0);
        for chunk in self.chunks.values() {
            let live = chunk.slots.iter().filter(|slot| !slot.is_nil()).count();
            ensure(live > 0 && live == chunk.live as usize, "a chunk's count is wrong")?;
            ensure(chunk.slots.iter().position(|slot| !slot.is_nil()) == Some(chunk.start), "a chunk starts elsewhere")?;
            ensure(chunk.base as usize + chunk.slots.len() <= CHUNK_LEN as usize, "a chunk is too long")?;
            slots += chunk.blocks();
            len += chunk.live;
        }
        ensure(self.slots == slots && self.len == len, "a log's sums are wrong")?;
        ensure(self.from(0).all(|(number, slot)| number < self.next && self.get(number) == Some(slot)), "a number is lost")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Against a map, through growth, holes, emptied chunks and numbers that come back in any order.
    #[test]
    fn a_log_is_a_map_of_numbers() {
        let (mut log, mut map) = (Log::default(), BTreeMap::new());
        for n in 0..5_000 {
            assert_eq!(log.append(Slot(n)), n);
            map.insert(n, Slot(n));
        }
        let mut dice = 1_u32;
        let mut roll = |below: u32| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 8) % below
        };
        for round in 0..30_000 {
            let number = roll(5_000);
            if map.remove(&number).is_some() {
                log.clear(number);
            } else if round > 12_000 {
                log.set(number, Slot(number));
                map.insert(number, Slot(number));
            }
            if round % 500 == 0 {
                log.check().unwrap();
                assert_eq!(log.first(), map.values().next().copied());
                let from = roll(6_000);
                assert_eq!(log.live_before(from) as usize, map.range(..from).count());
                let rest: Vec<(u32, Slot)> = map.range(from..).map(|(&number, &slot)| (number, slot)).collect();
                assert_eq!(log.from(from).collect::<Vec<_>>(), rest);
            }
        }
        for number in map.into_keys() {
            log.clear(number);
        }
        assert_eq!((log.len(), log.owned(), log.next()), (0, Blocks::default(), 5_000));
    }

    #[test]
    fn a_hole_at_the_start_of_a_chunk_costs_no_search() {
        let mut log = Log::default();
        (0..10).for_each(|n| _ = log.append(Slot(n)));
        (0..9).for_each(|n| log.clear(n));
        assert_eq!((log.first(), log.get(3), log.len()), (Some(Slot(9)), None, 1));
    }
}
