//! Values that many tasks share, each kept once and counted, so that a task keeps two bytes for one.

use crate::blocks::Rounding;

/// A value's number in [`Counted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number(u16);

impl Default for Number {
    fn default() -> Self {
        Self::NONE
    }
}

impl Number {
    /// No value, or one for which the table had no room.
    pub(crate) const NONE: Self = Self(u16::MAX);

    pub(crate) const fn is_none(self) -> bool {
        self.0 == Self::NONE.0
    }
}

/// At most 65,535 values with the count of tasks that refer to each.
#[derive(Clone, Debug)]
pub(crate) struct Counted<T> {
    entries: Vec<Option<(T, u32)>>,
    free: Vec<u16>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Counted<T> {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.vec::<Option<(T, u32)>>(self.entries.capacity()) + rounding.vec::<u16>(self.free.capacity())
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn get(&self, number: Number) -> Option<&T> {
        self.entries.get(usize::from(number.0))?.as_ref().map(|(value, _)| value)
    }

    /// Keeps a value for one task; [`Number::NONE`] if there is no room for another.
    pub(crate) fn add(&mut self, value: T) -> Number {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(usize::from(number)) {
                *place = Some((value, 1));
            }
            return Number(number);
        }
        match u16::try_from(self.entries.len()) {
            Ok(number) if number < u16::MAX => {
                self.entries.push(Some((value, 1)));
                Number(number)
            }
            _ => Number::NONE,
        }
    }

    /// Counts one more task.
    pub(crate) fn acquire(&mut self, number: Number) {
        if let Some(Some((_, tasks))) = self.entries.get_mut(usize::from(number.0)) {
            *tasks += 1;
        }
    }

    /// Counts one task less; gives the value back if that was the last.
    pub(crate) fn release(&mut self, number: Number) -> Option<T> {
        let place = self.entries.get_mut(usize::from(number.0))?;
        let (_, tasks) = place.as_mut()?;
        *tasks -= 1;
        if *tasks > 0 {
            return None;
        }
        self.free.push(number.0);
        place.take().map(|(value, _)| value)
    }

    /// All values with their numbers and counts.
    #[cfg(debug_assertions)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Number, &T, u32)> {
        let numbered = self.entries.iter().zip(0..);
        numbered.filter_map(|(entry, number)| entry.as_ref().map(|(value, tasks)| (Number(number), value, *tasks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_while_tasks_refer_to_it() {
        let mut values = Counted::default();
        let first = values.add("v");
        values.acquire(first);
        assert_eq!(values.release(first), None);
        assert_eq!(values.get(first), Some(&"v"));
        assert_eq!(values.release(first), Some("v"));
        assert_eq!(values.get(first), None);
        assert_eq!(values.add("w"), first);
    }

    #[test]
    fn a_full_table_says_none() {
        let mut values = Counted::default();
        for n in 0..u16::MAX {
            assert!(!values.add(n).is_none());
        }
        assert!(values.add(0).is_none());
        assert_eq!(values.release(Number::NONE), None);
    }
}
