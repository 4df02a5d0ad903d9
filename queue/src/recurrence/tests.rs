//! Cron expressions, with and without clocks that are set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::cron::Cron;
use super::{Recurrence, Timing};
use crate::error::Refusal;
use crate::time::{Ms, UnixMs};
use jiff::Timestamp;

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).unwrap()
}

fn instant(text: &str) -> UnixMs {
    UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond().cast_unsigned())
}

fn text(instant: UnixMs) -> String {
    Timestamp::from_millisecond(instant.0.cast_signed()).unwrap().to_string()
}

/// The first slots after an instant, in UTC.
fn slots(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(expression, zone);
    let slots = std::iter::successors(cron.after(instant(after)), |&slot| cron.after(slot));
    slots.take(count).map(text).collect()
}

/// The next slot, without seconds that are 0.
fn next(expression: &str, after: &str) -> String {
    slots(expression, "UTC", after, 1)[0].replace(":00Z", "Z")
}

#[test]
fn fields() {
    let after = "2026-01-15T10:20:30Z"; // a Thursday
    for (expression, expected) in [
        ("* * * * *", "2026-01-15T10:21Z"),
        ("*/15 * * * *", "2026-01-15T10:30Z"),
        ("5-20/5 * * * *", "2026-01-15T11:05Z"),
        ("20 10 * * *", "2026-01-16T10:20Z"),
        ("0 9,18 * * *", "2026-01-15T18:00Z"),
        ("30 2 1 * *", "2026-02-01T02:30Z"),
        ("0 0 L * *", "2026-01-31T00:00Z"),
        ("0 0 L feb *", "2026-02-28T00:00Z"),
        ("0 0 1,L * *", "2026-01-31T00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00Z"),
        ("0 0 * * MON-FRI", "2026-01-16T00:00Z"),
        ("0 0 * * sun", "2026-01-18T00:00Z"),
        ("0 0 * * 7", "2026-01-18T00:00Z"),
        ("0 0 * * 5-7", "2026-01-16T00:00Z"),
        ("0 0 * DEC 0", "2026-12-06T00:00Z"),
        // Either day is enough, if both are named; both are asked for, if one begins with a star.
        ("0 0 20 * 5", "2026-01-16T00:00Z"),
        ("0 0 */2 * 6", "2026-01-17T00:00Z"),
        ("@hourly", "2026-01-15T11:00Z"),
        ("@Daily", "2026-01-16T00:00Z"),
        ("@weekly", "2026-01-18T00:00Z"),
        ("@monthly", "2026-02-01T00:00Z"),
        ("@yearly", "2027-01-01T00:00Z"),
        ("  0\t12  * * * ", "2026-01-15T12:00Z"),
        ("*/10 * * * * *", "2026-01-15T10:20:40Z"),
        ("45 20 10 * * *", "2026-01-15T10:20:45Z"),
    ] {
        assert_eq!(next(expression, after), expected, "{expression}");
    }
}

#[test]
fn what_is_no_expression() {
    for (expression, what) in [
        ("", ""),
        ("* * * *", ""),
        ("* * * * * * *", ""),
        ("@reboot", ""),
        ("60 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("5/10 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("*/60 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("+1 * * * *", "minute"),
        ("001 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* 5-3 * * *", "hour"),
        ("* * 0 * *", "day of the month"),
        ("* * 32 * *", "day of the month"),
        ("* * L-3 * *", "day of the month"),
        ("* * * 13 *", "month"),
        ("* * * JANUARY *", "month"),
        ("* * * * 8", "day of the week"),
        ("* * * * FRI-SUN", "day of the week"),
        ("60 * * * * *", "second"),
        ("é * * * *", "minute"),
    ] {
        let refusal = Cron::parse(expression, "UTC").map(drop);
        assert!(matches!(refusal, Err(Refusal::BadCron { .. })), "{expression}: {refusal:?}");
        assert!(refusal.unwrap_err().to_string().contains(what), "{expression}");
    }
    assert_eq!(Cron::parse("* * * * *", "Mars/Olympus").map(drop), Err(Refusal::BadZone));
    assert!(Cron::parse(&"*".repeat(256), "UTC").is_err());
}

/// Names of zones are taken in any case, and old names are.
#[test]
fn zones() {
    for (given, name) in
        [("europe/berlin", "Europe/Berlin"), ("utc", "UTC"), ("US/Eastern", "US/Eastern"), ("Asia/Kolkata", "Asia/Kolkata")]
    {
        assert_eq!(cron("@daily", given).zone.name(), name);
    }
    assert_eq!(slots("0 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1), ["2026-01-01T03:30:00Z"]);
    assert_eq!(slots("0 9 * * *", "America/New_York", "2050-07-01T00:00:00Z", 1), ["2050-07-01T13:00:00Z"]);
}

/// In Berlin clocks go from 02:00 to 03:00 at 01:00 UTC on 29 March 2026.
#[test]
fn clocks_leap() {
    let slots = |expression| slots(expression, "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
    // A time of day that is left out is at the leap, once, and one that is not is as ever.
    assert_eq!(slots("30 2 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(slots("0,20,40 2 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(slots("30 2,3 * * *"), ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    assert_eq!(slots("0 2,3 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(slots("0 3 * * *"), ["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]);
    assert_eq!(slots("59 1 * * *"), ["2026-03-29T00:59:00Z", "2026-03-29T23:59:00Z"]);
    // An interval goes on.
    let hourly = super::tests::slots("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(hourly, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]);
    let of_one_hour = super::tests::slots("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 1);
    assert_eq!(of_one_hour, ["2026-03-30T00:00:00Z"]);
}

/// In Berlin clocks go from 03:00 to 02:00 at 01:00 UTC on 25 October 2026.
#[test]
fn clocks_show_an_hour_twice() {
    let slots = |expression, count| slots(expression, "Europe/Berlin", "2026-10-24T23:50:00Z", count);
    // A time of day is once, at the first.
    assert_eq!(slots("30 2 * * *", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    assert_eq!(slots("0 3 * * *", 2), ["2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"]);
    // An interval goes on.
    let expected =
        ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
    assert_eq!(slots("*/30 * * * *", 5), expected);
    assert_eq!(slots("*/30 2 * * *", 5)[..4], expected[..4]);
}

/// Samoa had no 30 December 2011; Lord Howe's clocks leap half an hour; Troll's by two.
#[test]
fn odd_leaps() {
    assert_eq!(slots("30 10 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["2011-12-30T10:00:00Z"]);
    assert_eq!(slots("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00Z", 1), ["2026-10-03T15:30:00Z"]);
    assert_eq!(
        slots("0 1 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T01:00:00Z", "2026-03-29T23:00:00Z"]
    );
}

/// What never comes is told in little time, and so is what comes rarely.
#[test]
fn rare_and_never() {
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 30 FEB *"] {
        let cron = cron(expression, "Europe/Berlin");
        assert_eq!(cron.after(instant("2026-01-01T00:00:00Z")), None, "{expression}");
        assert_eq!(cron.until(instant("2026-01-01T00:00:00Z")), None, "{expression}");
    }
    assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z"), "2104-02-29T00:00Z");
    // At the end of all calendars.
    assert_eq!(cron("@yearly", "UTC").after(UnixMs::MAX), None);
    let last = cron("@yearly", "Europe/Berlin").after(instant("9999-06-01T00:00:00Z")).unwrap();
    assert_eq!(cron("@yearly", "Europe/Berlin").after(last), None);
}

/// Forth and back are one walk, also where clocks are set.
#[test]
fn back_is_the_way_that_went_forth() {
    for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"] {
        for expression in
            ["*/30 * * * *", "30 2 * * *", "15,45 1-3 * * *", "0 */6 L * 1", "17 3 1 * MON", "0 0 1 1 *", "*/20 59 1,2 * * *"]
        {
            let (cron, mut slot) = (cron(expression, zone), instant("2025-12-31T12:00:00Z"));
            for _ in 0..2_000 {
                let next = cron.after(slot).unwrap();
                assert!(next > slot);
                assert_eq!(cron.until(next), Some(next), "{expression} in {zone}");
                assert_eq!(cron.after(next.before(Ms(1))), Some(next), "{expression} in {zone}");
                if slot > instant("2026-01-02T00:00:00Z") {
                    assert_eq!(cron.until(next.before(Ms(1))), Some(slot), "{expression} in {zone}");
                }
                slot = next;
                if slot > instant("2028-01-01T00:00:00Z") {
                    break;
                }
            }
        }
    }
}

/// As a walk second by second would have it, over the days on which clocks are set.
#[test]
fn as_second_by_second() {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
    for start in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
        let from = instant(start).0 / 1_000;
        let expected: Vec<u64> = (from + 1..from + 40_000)
            .filter(|&second| {
                let wall = zone.to_datetime(Timestamp::from_second(second.cast_signed()).unwrap());
                wall.minute() % 20 == 0 && wall.second() == 0
            })
            .collect();
        let cron = cron("*/20 * * * *", "Europe/Berlin");
        let slots = std::iter::successors(cron.after(instant(start)), |&slot| cron.after(slot));
        let slots: Vec<u64> = slots.map(|slot| slot.0 / 1_000).take_while(|&second| second < from + 40_000).collect();
        assert_eq!(slots, expected);
    }
}

#[test]
fn intervals() {
    let every = Timing::parse(Recurrence::Every(Ms(250))).unwrap();
    assert_eq!(
        (every.after(UnixMs(0)), every.after(UnixMs(249)), every.after(UnixMs(250))),
        (UnixMs(250), UnixMs(250), UnixMs(500))
    );
    assert_eq!(every.first_of_last(1, UnixMs(250), UnixMs(1_249)), UnixMs(1_000));
    assert_eq!(every.first_of_last(3, UnixMs(250), UnixMs(1_249)), UnixMs(500));
    assert_eq!(every.first_of_last(1_000, UnixMs(250), UnixMs(1_249)), UnixMs(250));
    assert_eq!(every.count(UnixMs(250), UnixMs(1_000)), 3);
    assert_eq!((every.after(UnixMs::MAX), every.after(UnixMs::NEVER)), (UnixMs::NEVER, UnixMs::NEVER));
    for bad in [Ms(0), Ms(Ms::MAX.0 + 1)] {
        assert_eq!(Timing::parse(Recurrence::Every(bad)).map(drop), Err(Refusal::NoSlot));
    }
    let hourly = Timing::parse(Recurrence::Cron { expression: "@hourly", zone: "UTC" }).unwrap();
    let (first, until) = (instant("2026-01-01T00:00:00Z"), instant("2026-01-01T09:59:00Z"));
    assert_eq!(text(hourly.first_of_last(3, first, until)), "2026-01-01T07:00:00Z");
    assert_eq!(hourly.first_of_last(11, first, until), first);
    assert_eq!(hourly.count(first, instant("2026-01-01T09:00:00Z")), 9);
    assert_eq!(hourly.count(first, instant("2036-01-01T09:00:00Z")), super::COUNTED_MAX);
}
