//! Time zones: stretches of time between two changes of what clocks show, from the database that is built in.
//!
//! Instants are seconds of the Unix epoch. What a clock shows at one, a wall time, is that number and the offset: so that days and times of
//! day are had by division.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A time zone of the IANA database.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

/// A stretch of time in which clocks are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its first second; `i64::MIN` if it has always been.
    pub(crate) start: i64,
    /// The first second of the next one; `i64::MAX` if there is none.
    pub(crate) end: i64,
    /// What clocks are ahead of UTC.
    pub(crate) offset: i64,
    /// What they were ahead just before it.
    pub(crate) offset_before: i64,
}

impl Zone {
    /// The zone of that name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled().get(name).ok().map(Self)
    }

    /// Its name as the database spells it.
    pub(crate) fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The stretch that holds this second; None in years that no calendar needs (after 9999).
    pub(crate) fn stretch(&self, second: i64) -> Option<Stretch> {
        let at = Timestamp::from_second(second).ok()?;
        let next = Timestamp::from_second(second.checked_add(1)?).ok()?;
        let start = self.0.preceding(next).next().map(|change| change.timestamp());
        let end = self.0.following(at).next().map_or(i64::MAX, |change| change.timestamp().as_second());
        let offset = |at| i64::from(self.0.to_offset(at).seconds());
        let before = start.and_then(|start| Timestamp::from_second(start.as_second() - 1).ok());
        Some(Stretch {
            start: start.map_or(i64::MIN, Timestamp::as_second),
            end,
            offset: offset(at),
            offset_before: offset(before.unwrap_or(at)),
        })
    }
}
