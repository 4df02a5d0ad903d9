//! What blocks of memory take of an allocator, which rounds their sizes up: without that, a queue would count a tenth too little.
//!
//! Whoever asks for bytes says which allocator it is. What tasks own is summed up for both, change by change.

use std::mem;
use std::ops::{Add, AddAssign, SubAssign};

/// How the allocator rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// As jemalloc: to multiples of 16 up to 128, then to one of four sizes between two powers of two. (See "size classes" in its
    /// manual. Redis builds its own to multiples of 8 up to 64: the difference is too small to tell the two apart.)
    Classes,
    /// As glibc: blocks are multiples of 16 bytes, 32 at least, 8 of which are its own.
    Words,
}

impl Rounding {
    /// What a block of `len` bytes takes; an empty one is not allocated.
    #[must_use]
    pub const fn block(self, len: usize) -> usize {
        match (self, len) {
            (_, 0) => 0,
            (Self::Classes, 1..=8) => 8,
            (Self::Classes, 9..=128) => len.next_multiple_of(16),
            // The spacing is an eighth of the next power of two.
            (Self::Classes, _) => len.next_multiple_of(1 << (len - 1).ilog2() >> 2),
            (Self::Words, 1..=24) => 24,
            (Self::Words, _) => (len + 8).next_multiple_of(16) - 8,
        }
    }

    /// A `Vec` of so many `T`.
    pub(crate) const fn vec<T>(self, capacity: usize) -> usize {
        self.block(capacity * mem::size_of::<T>())
    }

    /// A `HashMap` with so many entries of `T`: seven eighths of its places at most are used, each with a byte beside it.
    pub(crate) const fn hash_map<T>(self, capacity: usize) -> usize {
        let places = match capacity {
            0 => return 0,
            1..=3 => 4,
            _ => capacity.next_power_of_two(),
        };
        self.block(places * (mem::size_of::<T>() + 1) + 16)
    }

    /// A `BTreeMap` or `BTreeSet` with so many entries of `T`, estimated: the nodes hold 11, and six or seven when they were filled in
    /// order.
    pub(crate) const fn tree<T>(self, len: usize) -> usize {
        const NODE: usize = 11;
        let leaf = NODE * mem::size_of::<T>() + 12;
        let inner = leaf + (NODE + 1) * mem::size_of::<usize>();
        match len {
            0 => 0,
            1..=NODE => self.block(leaf),
            _ => self.block(inner) + len * self.block(leaf) / 6,
        }
    }
}

/// The sum of many blocks, as either allocator rounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    classes: usize,
    words: usize,
}

impl Blocks {
    /// One block of `len` bytes.
    pub(crate) const fn of(len: usize) -> Self {
        Self { classes: Rounding::Classes.block(len), words: Rounding::Words.block(len) }
    }

    /// A `BTreeMap` or `BTreeSet` with so many entries of `T`, estimated.
    pub(crate) const fn tree<T>(len: usize) -> Self {
        Self { classes: Rounding::Classes.tree::<T>(len), words: Rounding::Words.tree::<T>(len) }
    }

    /// What they take.
    pub(crate) const fn bytes(self, rounding: Rounding) -> usize {
        match rounding {
            Rounding::Classes => self.classes,
            Rounding::Words => self.words,
        }
    }
}

impl AddAssign for Blocks {
    fn add_assign(&mut self, other: Self) {
        self.classes += other.classes;
        self.words += other.words;
    }
}

impl SubAssign for Blocks {
    fn sub_assign(&mut self, other: Self) {
        self.classes -= other.classes;
        self.words -= other.words;
    }
}

impl Add for Blocks {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Rounding::{Classes, Words};

    #[test]
    fn blocks_are_rounded_as_the_allocators_do() {
        for (len, block) in [(0, 0), (1, 8), (8, 8), (9, 16), (100, 112), (128, 128), (129, 160), (256, 256), (257, 320)] {
            assert_eq!(Classes.block(len), block, "{len}");
        }
        for (len, block) in [(513, 640), (1_025, 1_280), (16_384, 16_384), (16_385, 20_480), (262_144, 262_144)] {
            assert_eq!(Classes.block(len), block, "{len}");
        }
        for (len, block) in [(0, 0), (1, 24), (24, 24), (25, 40), (100, 104), (129, 136), (1_000, 1_000), (1_001, 1_016)] {
            assert_eq!(Words.block(len), block, "{len}");
        }
    }
}
