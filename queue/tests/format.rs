//! The bytes of effects, as files and masters of other versions have them. They never change: a line that no longer holds is a mistake, and a
//! new effect or change gets a line at the end of its list.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "a test")]

use serde::Serialize;
use std::fmt::{Debug, Write};
use taskqueue::effect::{
    BatchImage, Change, Depends, ExtraImage, Head, Image, Keyed, Order, Packed, Pushed, Totals, VERSION, unpack,
};
use taskqueue::op::Unique;
use taskqueue::{
    Definition, Effect, LastClaim, MadeId, Misfire, Ms, Options, Overlap, Pause, Progress, Rate, Recurrence, Retention, Settings,
    SlotOutcome, Start, State, TaskId, Tie, UnixMs,
};

const AT: UnixMs = UnixMs(1000);
const LATER: UnixMs = UnixMs(2000);
const ID: TaskId<'static> = TaskId::Named("a");

const OPTIONS: Options = Options {
    attempts: Some(3),
    backoff: Some(Ms(4)),
    lease: Some(Ms(5)),
    timeout: Some(Ms(6)),
    retain: Some(Retention::For(Ms(7))),
    retain_failed: Some(Retention::Forever),
};

const ORDER: Order<'static> =
    Order { payload: b"p", priority: 8, start: Start::Scheduled { due: LATER }, ttl_at: Some(LATER), options: Some(OPTIONS) };

const PUSHED: Pushed<'static> = Pushed { id: ID, made: false, at: AT, order: ORDER };

const EXTRA: ExtraImage<'static> = ExtraImage {
    created: Some(AT),
    options: Some(OPTIONS),
    ttl_at: Some(LATER),
    uncounted: 2,
    claimed_at: Some(AT),
    timeout_at: Some(LATER),
    error: Some(b"e"),
    checkpoint: Some(b"c"),
    session: true,
    keep: Some(Ms(9)),
};

const IMAGE: Image<'static> = Image {
    id: TaskId::Made(MadeId(300)),
    state: State::Claimed,
    last_claim: LastClaim::Voided,
    data: b"d",
    at: AT,
    order: 7,
    attempt: 2,
    priority: 8,
    worker: Some(("w", Ms(30))),
    extra: Some(EXTRA),
};

const SETTINGS: Settings = Settings {
    options: OPTIONS,
    retain_max: 1,
    failed_max: 2,
    max_len: 3,
    rate: Some(Rate { claims: 4, window: Ms(5) }),
    concurrency: 6,
    group_concurrency: 7,
    events: 8,
    pause: Pause::All,
    paused_until: Some(LATER),
};

const DEFINITION: Definition<'static> = Definition {
    recurrence: Recurrence::Cron { expression: "@daily", zone: "UTC" },
    misfire: Misfire::All,
    overlap: Overlap::Skip,
    payload: b"p",
    priority: 8,
    delay: Ms(1),
    ttl: Some(Ms(2)),
    options: OPTIONS,
    unique: Some(Unique { key: "k", hold: Some(Ms(3)), replace: true }),
    group: Some("g"),
};

const TOTALS: Totals = Totals {
    pushed: 1,
    claimed: 2,
    completed: 3,
    failed: 4,
    retried: 5,
    lapsed: 6,
    released: 7,
    canceled: 8,
    expired: 9,
    dropped: 10,
};

/// Every effect, in the order in which they were added, but for changes: of those one.
fn effects() -> Vec<(Effect<'static>, &'static str)> {
    let batch = BatchImage {
        name: "b",
        incarnation: 1,
        is_sealed: true,
        is_leaving: false,
        kept_until: LATER,
        touched: AT,
        opened: 2,
        ended: 3,
    };
    let depends = Depends { on: &[1], of_batch: true, run_anyway: false, due: Some(AT) };
    let progress = Progress { next: LATER, last: Some(AT), last_fired: Some(AT), fired: 1, skipped: 2, missed: 3 };
    vec![
        (Effect::Pushed(PUSHED), "0001016100e80701700801d00f01d00f0101030104010501060100070101"),
        (Effect::Changed(ID, Change::Dropped), "010101610e"),
        (Effect::Restarted(Head { last_id: MadeId(300), last_order: 7, totals: TOTALS }), "02ac02070102030405060708090a"),
        (
            Effect::Restored(IMAGE),
            "0300ac0203070164e8070702080101771e0101e807010103010401050106010007010101d00f0201e80701d00f010165010163010109",
        ),
        (Effect::Measured { waits: &[1], runs: &[2] }, "0401010102"),
        (Effect::PushedInto { batch: "b", pushed: PUSHED }, "05016201016100e80701700801d00f01d00f0101030104010501060100070101"),
        (Effect::Sealed { batch: "b", at: AT }, "060162e807"),
        (Effect::BatchDropped { batch: "b" }, "070162"),
        (Effect::BatchesNumbered { last: 5 }, "0805"),
        (Effect::BatchRestored(batch), "090162010100d00fe8070203"),
        (Effect::Depends(ID, depends), "0a0101610101010001e807"),
        (
            Effect::MemberRestored { batch: 1, number: 2, image: Image { extra: None, ..IMAGE } },
            "0b010200ac0203070164e8070702080101771e00",
        ),
        (Effect::Set(SETTINGS), "0c010301040105010601000701010102030104050607080301d00f"),
        (Effect::Started { starts: &[1] }, "0d0101"),
        (Effect::StartsRewound { at: AT }, "0ee807"),
        (Effect::Keyed(ID, Keyed { key: "k", until: Some(AT), follows: true }), "0f010161016b01e80701"),
        (Effect::KeyKept { key: "k", id: ID, until: AT }, "10016b010161e807"),
        (Effect::KeyFreed { key: "k", at: AT }, "11016be807"),
        (Effect::Dated { at: AT }, "12e807"),
        (Effect::EventsNumbered { next: 5, at: AT }, "1305e807"),
        (Effect::EventsRestored { rows: &[1] }, "140101"),
        (Effect::Grouped { id: ID, group: "g", holds: true }, "15010161016701"),
        (Effect::Turned { group: Some("g") }, "16010167"),
        (
            Effect::Scheduled { name: "s", definition: DEFINITION, next: LATER },
            "1701730106406461696c790355544302010170080101020103010401050106010007010101016b010301010167d00f",
        ),
        (Effect::Unscheduled { name: "s" }, "180173"),
        (Effect::SlotPassed { name: "s", slot: AT, next: LATER, missed: 3, outcome: SlotOutcome::Missed }, "190173e807d00f0302"),
        (
            Effect::ScheduleRestored {
                name: "s",
                definition: Definition { recurrence: Recurrence::Every(Ms(60)), ..DEFINITION },
                progress,
            },
            "1a0173003c02010170080101020103010401050106010007010101016b010301010167d00f01e80701e807010203",
        ),
    ]
}

/// Every change, in the order in which they were added.
fn changes() -> Vec<(Change<'static>, &'static str)> {
    let claimed = Change::Claimed {
        attempt: 2,
        worker: "w",
        lease: Ms(30),
        at: AT,
        deadline: LATER,
        timeout_at: Some(LATER),
        session: true,
    };
    vec![
        (Change::Ripened { order: 7, at: AT }, "0007e807"),
        (claimed, "010201771ee807d00f01d00f01"),
        (Change::Extended { deadline: LATER, checkpoint: Some(b"c") }, "02d00f010163"),
        (Change::Completed { result: b"r", at: AT, drop_at: LATER }, "030172e807d00f"),
        (Change::BackedOff { error: b"e", at: AT, due: LATER }, "040165e807d00f"),
        (Change::Requeued { error: b"e", order: 7, at: AT }, "05016507e807"),
        (Change::Failed { error: b"e", lapsed: true, at: AT, drop_at: LATER }, "06016501e807d00f"),
        (Change::Released { at: AT }, "07e807"),
        (Change::Deferred { due: LATER }, "08d00f"),
        (Change::Lapsed { at: AT }, "09e807"),
        (Change::Canceled { at: AT, drop_at: LATER }, "0ae807d00f"),
        (Change::Expired { at: AT, drop_at: LATER }, "0be807d00f"),
        (Change::Revived { order: 7, at: AT }, "0c07e807"),
        (
            Change::Renewed { at: AT, order: Order { start: Start::Ready { order: 7 }, options: None, ..ORDER } },
            "0de807017008000701d00f00",
        ),
        (Change::Dropped, "0e"),
        (Change::Bounded { deadline: LATER }, "0fd00f"),
        (Change::Told { dependency: 1 }, "1001"),
        (Change::Delayed { due: LATER }, "11d00f"),
        (Change::Abandoned { error: b"e", at: AT, drop_at: LATER }, "120165e807d00f"),
        (Change::Awaited { order: 7, at: AT }, "1307e807"),
        (
            Change::Replaced { at: AT, order: Order { start: Start::Waiting { order: 7 }, ttl_at: None, ..ORDER } },
            "14e8070170080207000101030104010501060100070101",
        ),
        (Change::Followed { at: AT, start: Start::Ready { order: 7 } }, "15e8070007"),
    ]
}

/// The bytes behind the version, and that they are read as what they are of.
#[track_caller]
fn bytes(effect: &Effect<'_>) -> String {
    let mut packed = Packed::default();
    packed.push(effect);
    assert_eq!(unpack(packed.bytes()).collect::<Vec<_>>(), vec![Ok(*effect)]);
    let (version, bytes) = packed.bytes().split_first().unwrap();
    assert_eq!((*version, VERSION), (1, 1));
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[test]
fn effects_keep_their_bytes() {
    for (number, (effect, expected)) in effects().iter().enumerate() {
        let bytes = bytes(effect);
        assert!(bytes.starts_with(&format!("{number:02x}")), "{effect:?} is not the {number}th");
        assert_eq!(bytes, *expected, "{effect:?}");
    }
}

#[test]
fn changes_keep_their_bytes() {
    for (number, (change, expected)) in changes().iter().enumerate() {
        // An effect of the number 1, of the task with the name of one byte, `a`.
        let bytes = bytes(&Effect::Changed(ID, *change));
        let bytes = bytes.strip_prefix("01010161").unwrap_or(&bytes);
        assert!(bytes.starts_with(&format!("{number:02x}")), "{change:?} is not the {number}th");
        assert_eq!(bytes, *expected, "{change:?}");
    }
}

#[track_caller]
fn are_numbered(values: &[impl Serialize + Debug]) {
    for (number, value) in values.iter().enumerate() {
        assert_eq!(postcard::to_allocvec(value).unwrap(), [u8::try_from(number).unwrap()], "{value:?}");
    }
}

/// What is written as a number.
#[test]
fn words_keep_their_numbers() {
    use LastClaim::{Completed, FailedForGood, FailedToReady, FailedToScheduled, Lapsed, Open, Released, Voided};
    are_numbered(&State::ALL);
    are_numbered(&[Open, Completed, FailedToScheduled, FailedToReady, FailedForGood, Released, Lapsed, Voided]);
    are_numbered(&[Tie::Untold, Tie::Held, Tie::Gone, Tie::UntoldGood, Tie::UntoldBad]);
    are_numbered(&[Pause::No, Pause::In, Pause::Out, Pause::All]);
    are_numbered(&[Misfire::Skip, Misfire::Once, Misfire::All]);
    are_numbered(&[Overlap::Allow, Overlap::Skip]);
    are_numbered(&[SlotOutcome::Fired, SlotOutcome::Skipped, SlotOutcome::Missed]);
}
