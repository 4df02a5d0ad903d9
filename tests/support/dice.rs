//! Chance that a seed tells whole: a failure can be had again.

use std::env;

/// A small generator (xorshift64).
pub(crate) struct Dice(u64);

impl Dice {
    /// From `REDIS_TASK_SEED`, else from `seed`. The seed is printed, so that a test that fails shows it.
    pub(crate) fn asked_or(seed: u64) -> Self {
        let asked = env::var("REDIS_TASK_SEED").ok().map(|seed| seed.parse().expect("REDIS_TASK_SEED is a number"));
        let seed = asked.unwrap_or(seed);
        println!("REDIS_TASK_SEED={seed} does this again");
        Self::new(seed)
    }

    /// Throws that `seed` determines.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number from 0 to `sides - 1`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// An index into something of `len` elements.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).expect("an index")
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Some byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.roll(256).to_le_bytes()[0]
    }
}
