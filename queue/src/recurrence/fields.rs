//! The fields of a cron expression, and the days and times of day that they name.

use crate::error::Refusal;

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// The day of the month that stands for the last one, whatever number it has.
const LAST: u32 = 0;

/// What a cron expression says. A set of numbers is a word with a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Days of the month and of the week are both named: one of them is enough.
    either_day: bool,
    /// It names times of day, rather than intervals: neither second, minute nor hour begins with `*`.
    pub(super) is_of_times: bool,
}

/// A field: how errors call it, what numbers it takes, and words for some of them.
struct Field {
    what: &'static str,
    min: u32,
    max: u32,
    words: &'static [(&'static str, u32)],
}

const SECOND: Field = Field { what: "second (0 to 59)", min: 0, max: 59, words: &[] };
const MINUTE: Field = Field { what: "minute (0 to 59)", min: 0, max: 59, words: &[] };
const HOUR: Field = Field { what: "hour (0 to 23)", min: 0, max: 23, words: &[] };
const DAY_OF_MONTH: Field = Field { what: "day of the month (1 to 31, or L)", min: 1, max: 31, words: &[] };
const MONTH: Field = Field {
    what: "month (1 to 12, or JAN to DEC)",
    min: 1,
    max: 12,
    words: &[
        ("JAN", 1),
        ("FEB", 2),
        ("MAR", 3),
        ("APR", 4),
        ("MAY", 5),
        ("JUN", 6),
        ("JUL", 7),
        ("AUG", 8),
        ("SEP", 9),
        ("OCT", 10),
        ("NOV", 11),
        ("DEC", 12),
    ],
};
const WEEKDAY: Field = Field {
    what: "day of the week (0 to 7, or SUN to SAT)",
    min: 0,
    max: 7,
    words: &[("SUN", 0), ("MON", 1), ("TUE", 2), ("WED", 3), ("THU", 4), ("FRI", 5), ("SAT", 6)],
};

/// Words that stand for whole expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Fields {
    /// Reads five fields, six with seconds before them, or a nickname.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let nickname = NICKNAMES.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        let text = nickname.map_or(text, |(_, expression)| expression);
        let mut fields = text.split([' ', '\t']).filter(|field| !field.is_empty());
        let seconds = match text.split([' ', '\t']).filter(|field| !field.is_empty()).count() {
            5 => "0",
            6 => fields.next().unwrap_or_default(),
            _ => return Err(Refusal::BadCron { what: None }),
        };
        let mut next = || fields.next().unwrap_or_default();
        let (minutes, hours, days, months, weekdays) = (next(), next(), next(), next(), next());
        let begins_with_star = |field: &str| field.starts_with('*');
        let week = WEEKDAY.parse(weekdays)?;
        Ok(Self {
            seconds: SECOND.parse(seconds)?,
            minutes: MINUTE.parse(minutes)?,
            hours: HOUR.parse(hours)?,
            days: parse_days(days)?,
            months: MONTH.parse(months)?,
            // Sunday has two numbers.
            weekdays: week | (week >> 7 & 1),
            either_day: !begins_with_star(days) && !begins_with_star(weekdays),
            is_of_times: ![seconds, minutes, hours].into_iter().any(begins_with_star),
        })
    }

    /// The first wall time from `from` on and before `end`.
    pub(super) fn first(&self, from: i64, end: i64) -> Option<i64> {
        let (mut day, mut time) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        while day * DAY < end {
            let found = if self.has_day(day) { self.time_from(time) } else { None };
            if let Some(found) = found {
                return Some(day * DAY + found).filter(|&wall| wall < end);
            }
            (day, time) = (day + 1, 0);
        }
        None
    }

    /// The last wall time until `until` and not before `start`.
    pub(super) fn last(&self, until: i64, start: i64) -> Option<i64> {
        let (mut day, mut time) = (until.div_euclid(DAY), until.rem_euclid(DAY));
        while (day + 1) * DAY > start {
            let found = if self.has_day(day) { self.time_until(time) } else { None };
            if let Some(found) = found {
                return Some(day * DAY + found).filter(|&wall| wall >= start);
            }
            (day, time) = (day - 1, DAY - 1);
        }
        None
    }

    fn has_day(&self, day: i64) -> bool {
        let (year, month, number) = civil(day);
        if !has(self.months, month) {
            return false;
        }
        let weekday = u32::try_from((day + 4).rem_euclid(7)).unwrap_or_default();
        let is_last = has(self.days, LAST) && number == days_of(year, month);
        let (of_month, of_week) = (has(self.days, number) || is_last, has(self.weekdays, weekday));
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The first time of day from this second of it on.
    fn time_from(&self, time: i64) -> Option<i64> {
        let (hour, minute, second) = parts(time);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first(self.seconds, second)
            {
                return Some(whole(hour, minute, second));
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return Some(whole(hour, minute, first(self.seconds, 0)?));
            }
        }
        Some(whole(first(self.hours, hour + 1)?, first(self.minutes, 0)?, first(self.seconds, 0)?))
    }

    /// The last time of day until this second of it.
    fn time_until(&self, time: i64) -> Option<i64> {
        let (hour, minute, second) = parts(time);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = last(self.seconds, second)
            {
                return Some(whole(hour, minute, second));
            }
            if let Some(minute) = last_before(self.minutes, minute) {
                return Some(whole(hour, minute, last(self.seconds, 59)?));
            }
        }
        Some(whole(last_before(self.hours, hour)?, last(self.minutes, 59)?, last(self.seconds, 59)?))
    }
}

impl Field {
    /// A list of `*`, numbers and ranges; the first and the last with a step behind them, if any.
    fn parse(&self, text: &str) -> Result<u64, Refusal> {
        let all = text.split(',').map(|item| self.parse_item(item));
        let all: Option<u64> = all.sum::<Option<Bits>>().map(|bits| bits.0);
        all.ok_or(Refusal::BadCron { what: Some(self.what) })
    }

    fn parse_item(&self, item: &str) -> Option<Bits> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|&step| (1..=self.max).contains(&step))?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if range == "*" => (self.min, self.max),
            None if step.is_some() => return None,
            None => (self.value(range)?, self.value(range)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        (from <= to).then(|| Bits((from..=to).step_by(step).fold(0, |bits, value| bits | 1 << value)))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|&(_, value)| value);
        word.or_else(|| number(text)).filter(|value| (self.min..=self.max).contains(value))
    }
}

/// Days of the month; `L` is the last one.
fn parse_days(text: &str) -> Result<u64, Refusal> {
    let (last, others): (Vec<&str>, Vec<&str>) = text.split(',').partition(|item| item.eq_ignore_ascii_case("L"));
    let others = if others.is_empty() { 0 } else { DAY_OF_MONTH.parse(&others.join(","))? };
    Ok(others | u64::from(!last.is_empty()) << LAST)
}

/// A set of numbers. The sum of sets is their union.
struct Bits(u64);

impl std::iter::Sum for Bits {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        Self(all.fold(0, |union, bits| union | bits.0))
    }
}

/// One or two digits.
fn number(text: &str) -> Option<u32> {
    let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

const fn has(set: u64, value: u32) -> bool {
    set >> value & 1 == 1
}

/// The least value that is not less than `from`.
fn first(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from).unwrap_or(0);
    (rest != 0).then(|| from + rest.trailing_zeros())
}

/// The greatest value that is not greater than `until`, which is less than 64.
fn last(set: u64, until: u32) -> Option<u32> {
    (set << (63 - until)).checked_ilog2().map(|place| place + until - 63)
}

fn last_before(set: u64, end: u32) -> Option<u32> {
    last(set, end.checked_sub(1)?)
}

/// Hour, minute and second of a second of a day.
fn parts(time: i64) -> (u32, u32, u32) {
    let time = u32::try_from(time).unwrap_or_default();
    (time / 3_600, time / 60 % 60, time % 60)
}

fn whole(hour: u32, minute: u32, second: u32) -> i64 {
    i64::from(hour * 3_600 + minute * 60 + second)
}

/// Year, month and day of the month of a day since the Unix epoch: see `civil_from_days` in Howard Hinnant's "chrono-compatible
/// low-level date algorithms".
fn civil(day: i64) -> (i64, u32, u32) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let number = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u32::try_from(month).unwrap_or_default(), u32::try_from(number).unwrap_or_default())
}

/// How many days a month has.
const fn days_of(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
