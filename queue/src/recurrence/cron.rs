//! Cron expressions in a time zone: when the next instant is, and which was the last.
//!
//! What happens where clocks are set follows cronie. An expression that names times of day (none of its second, minute and hour begins
//! with `*`) has each of them once a day: one that clocks leap over is at the instant of the leap, and one that they show twice is at the
//! first of the two. Any other follows the clock as it goes: leaps make fewer, and what clocks show twice counts twice.

use super::fields::{DAY, Fields};
use super::zone::{Stretch, Zone};
use crate::error::Refusal;
use crate::time::UnixMs;

/// Longest expression, in bytes.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 255;

/// So far an instant is looked for. Two 29ths of February are at most eight years apart; an expression with none in this time has none.
const SEARCHED: i64 = 10 * 366 * DAY;

/// An expression as it was read. Reading it takes microseconds, so it is done once.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    pub(crate) expression: Box<str>,
    pub(crate) zone: Zone,
    fields: Fields,
}

impl Cron {
    /// Reads an expression, and the name of a time zone.
    ///
    /// # Errors
    /// [`Refusal::BadCron`], [`Refusal::BadZone`].
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Self, Refusal> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(Refusal::BadCron { what: None });
        }
        let fields = Fields::parse(expression)?;
        let zone = Zone::named(zone).ok_or(Refusal::BadZone)?;
        Ok(Self { expression: expression.into(), zone, fields })
    }

    /// The first instant after this one, if there is one in the next ten years. Works for at most about as long as it takes to look at
    /// as many days.
    pub(crate) fn after(&self, instant: UnixMs) -> Option<UnixMs> {
        let mut from = seconds(instant).checked_add(1)?;
        let end = from.checked_add(SEARCHED)?;
        while from < end {
            let stretch = self.zone.stretch(from)?;
            if from == stretch.start && self.leaps(stretch) {
                return instant_of(from);
            }
            let first = (from + stretch.offset).max(self.first_new(stretch));
            if let Some(wall) = self.fields.first(first, stretch.end.min(end) + stretch.offset) {
                return instant_of(wall - stretch.offset);
            }
            from = stretch.end;
        }
        None
    }

    /// The last instant until this one, if there is one in the ten years before.
    pub(crate) fn until(&self, instant: UnixMs) -> Option<UnixMs> {
        let mut until = seconds(instant);
        let start = until - SEARCHED;
        while until >= start {
            let stretch = self.zone.stretch(until)?;
            let first = (stretch.start.max(start) + stretch.offset).max(self.first_new(stretch));
            if let Some(wall) = self.fields.last(until + stretch.offset, first) {
                return instant_of(wall - stretch.offset);
            }
            if self.leaps(stretch) {
                return instant_of(stretch.start);
            }
            until = stretch.start.checked_sub(1)?;
        }
        None
    }

    /// Whether clocks leap over a time of day that the expression names, when this stretch begins.
    fn leaps(&self, stretch: Stretch) -> bool {
        let Stretch { start, offset, offset_before, .. } = stretch;
        let is_leap = self.fields.is_of_times && offset > offset_before;
        is_leap && self.fields.first(start + offset_before, start + offset).is_some()
    }

    /// The first wall time of the stretch that counts: what clocks have shown before does not, for an expression that names times of day.
    fn first_new(&self, stretch: Stretch) -> i64 {
        let Stretch { start, offset, offset_before, .. } = stretch;
        if self.fields.is_of_times && offset < offset_before { start + offset_before } else { i64::MIN }
    }
}

fn seconds(instant: UnixMs) -> i64 {
    instant.min(UnixMs::MAX).0.cast_signed() / 1_000
}

fn instant_of(second: i64) -> Option<UnixMs> {
    u64::try_from(second).ok()?.checked_mul(1_000).map(UnixMs).filter(|&instant| instant <= UnixMs::MAX)
}
