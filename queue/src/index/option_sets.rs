//! What tasks set for themselves, each combination kept once: the tasks of a queue differ in few ways.

use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::index::counted::{Counted, Number};
use crate::options::Options;
use std::collections::HashMap;

/// The combinations of options that tasks refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct OptionSets {
    entries: Counted<Options>,
    numbers: HashMap<Options, Number>,
}

impl OptionSets {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        self.entries.bytes(rounding) + rounding.hash_map::<(Options, Number)>(self.numbers.capacity())
    }

    pub(crate) fn get(&self, number: Number) -> Option<&Options> {
        self.entries.get(number)
    }

    /// Counts one more task with these options; [`Number::NONE`] if there is no room for another combination.
    pub(crate) fn acquire(&mut self, options: &Options) -> Number {
        if let Some(&number) = self.numbers.get(options) {
            self.entries.acquire(number);
            return number;
        }
        let number = self.entries.add(*options);
        if !number.is_none() {
            self.numbers.insert(*options, number);
        }
        number
    }

    /// Counts one task less.
    pub(crate) fn release(&mut self, number: Number) {
        if let Some(options) = self.entries.release(number) {
            self.numbers.remove(&options);
        }
    }

    /// Whether each combination is kept once and counts its tasks; `tasks` says how many refer to which.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, mut tasks: HashMap<Number, u32>) -> Result<(), String> {
        tasks.remove(&Number::NONE);
        let mut count = 0;
        for (number, options, of_it) in self.entries.iter() {
            ensure(tasks.remove(&number) == Some(of_it), "a count of options is wrong")?;
            ensure(self.numbers.get(options) == Some(&number), "options are not found")?;
            count += 1;
        }
        ensure(tasks.is_empty() && self.numbers.len() == count, "options are lost")
    }
}
