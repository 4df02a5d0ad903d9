//! When what recurs is due: every so many milliseconds, or by a cron expression.

mod cron;
mod fields;
mod zone;

#[cfg(test)]
mod tests;

use crate::blocks::Blocks;
use crate::error::Refusal;
use crate::time::{Ms, UnixMs};
use cron::Cron;
use serde::{Deserialize, Serialize};

/// Slots that are counted, where each has to be looked for.
pub(crate) const COUNTED_MAX: u64 = 1_000;

/// When a schedule's slots are, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recurrence<'a> {
    /// At each multiple of this since the Unix epoch.
    Every(Ms),
    /// Whenever the clocks of a time zone show what an expression says.
    Cron {
        /// Five fields, six with seconds, or a nickname.
        expression: &'a str,
        /// A name of the IANA database.
        zone: &'a str,
    },
}

/// When a schedule's slots are, as it was read.
#[derive(Clone, Debug)]
pub(crate) enum Timing {
    Every(Ms),
    Cron(Box<Cron>),
}

impl Timing {
    /// Reads it.
    ///
    /// # Errors
    /// [`Refusal::BadCron`], [`Refusal::BadZone`], [`Refusal::NoSlot`].
    pub(crate) fn parse(recurrence: Recurrence<'_>) -> Result<Self, Refusal> {
        match recurrence {
            Recurrence::Every(every) if (Ms(1)..=Ms::MAX).contains(&every) => Ok(Self::Every(every)),
            Recurrence::Every(_) => Err(Refusal::NoSlot),
            Recurrence::Cron { expression, zone } => Ok(Self::Cron(Box::new(Cron::parse(expression, zone)?))),
        }
    }

    /// As it is written, the zone as the database spells it.
    pub(crate) fn recurrence(&self) -> Recurrence<'_> {
        match self {
            Self::Every(every) => Recurrence::Every(*every),
            Self::Cron(cron) => Recurrence::Cron { expression: &cron.expression, zone: cron.zone.name() },
        }
    }

    /// What it owns, its time zone aside.
    pub(crate) fn owned(&self) -> Blocks {
        match self {
            Self::Every(_) => Blocks::default(),
            Self::Cron(cron) => Blocks::of(size_of::<Cron>()) + Blocks::of(cron.expression.len()),
        }
    }

    /// The first slot after this instant; never, if there is none.
    pub(crate) fn after(&self, instant: UnixMs) -> UnixMs {
        let next = match self {
            Self::Every(every) => (instant.0 / every.0).checked_add(1).and_then(|count| count.checked_mul(every.0)).map(UnixMs),
            Self::Cron(cron) => cron.after(instant),
        };
        next.filter(|&slot| slot <= UnixMs::MAX).unwrap_or(UnixMs::NEVER)
    }

    /// The first of the last `count` slots until this instant; `first` if there are fewer from that one on.
    pub(crate) fn first_of_last(&self, count: u64, first: UnixMs, until: UnixMs) -> UnixMs {
        let until = until.min(UnixMs::MAX);
        match self {
            Self::Every(every) => {
                UnixMs((until.0 / every.0).saturating_sub(count.saturating_sub(1)).saturating_mul(every.0)).max(first)
            }
            Self::Cron(cron) => {
                let (mut slot, mut rest) = (first, until);
                for _ in 0..count {
                    match cron.until(rest).filter(|&earlier| earlier > first) {
                        Some(earlier) => (slot, rest) = (earlier, earlier.before(Ms(1))),
                        None => return first,
                    }
                }
                slot
            }
        }
    }

    /// How many slots there are from this one on and before that one; of a cron expression, at most [`COUNTED_MAX`].
    pub(crate) fn count(&self, first: UnixMs, end: UnixMs) -> u64 {
        match self {
            Self::Every(every) => end.since(first).0.div_ceil(every.0),
            Self::Cron(_) => {
                let slots = std::iter::successors(Some(first), |&slot| Some(self.after(slot)));
                slots.take_while(|&slot| slot < end).zip(0..COUNTED_MAX).count() as u64
            }
        }
    }
}
