//! Why an operation was refused. A refused operation has changed nothing.

use crate::state::State;
use std::fmt;

/// Why an operation was refused; clients see `CODE sentence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No task of that id is in the queue.
    NoTask,
    /// The task was canceled: the claim is void.
    Canceled,
    /// The attempt is not the task's last claim, or that claim was voided.
    Stale,
    /// The task is not claimed.
    NotClaimed(State),
    /// An id or name breaks the rules of [`crate::id::parse_name`].
    BadName {
        /// The argument.
        what: &'static str,
    },
    /// A delay as long as the TTL: the task could never run.
    DelayPastTtl,
    /// The batch takes no more tasks.
    Sealed,
    /// BATCH of a renewal does not name the task's own batch.
    OtherBatch,
    /// Something that a task is to depend on is not in the queue.
    NoDependency {
        /// Its place among what was named, from 0 on.
        place: usize,
    },
    /// No batch of that name is in the queue, or the cursor is of an earlier one.
    NoBatch,
    /// The cursor was given ends that are not in the queue.
    EndsLost {
        /// No others have come in their place: on a replica that is behind they may still come.
        may_come: bool,
    },
    /// The cursor is of another history of the queue's events.
    EventsLost {
        /// Nothing has come in place of what it was given: on a replica that is behind it may still come.
        may_come: bool,
    },
    /// A task cannot wait for its own batch.
    OwnBatch,
    /// A batch that others wait for takes no tasks that wait.
    BatchAwaited,
    /// The queue takes no pushes.
    Paused,
    /// The queue would hold more tasks that have not ended than it allows.
    MaxLen {
        /// The limit.
        max: u32,
    },
    /// The queue holds as many tasks as it can number, or its ids have come to their end.
    QueueFull,
    /// No cron expression.
    BadCron {
        /// The field that is wrong, if it is one.
        what: Option<&'static str>,
    },
    /// No time zone that is known here.
    BadZone,
    /// The expression names no instant that comes.
    NoSlot,
    /// The name of a schedule breaks the rules of [`crate::id::parse_name`], or is too long for the ids of its tasks.
    BadScheduleName,
    /// The queue has as many schedules as it may.
    SchedulesFull,
}

impl Refusal {
    /// The word that clients branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoTask | Self::NoDependency { .. } | Self::NoBatch => "NOTASK",
            Self::Canceled => "CANCELED",
            Self::Stale | Self::EndsLost { .. } | Self::EventsLost { .. } => "STALE",
            Self::NotClaimed(_) => "NOTCLAIMED",
            Self::BadName { .. }
            | Self::DelayPastTtl
            | Self::Sealed
            | Self::OtherBatch
            | Self::OwnBatch
            | Self::BatchAwaited
            | Self::BadCron { .. }
            | Self::BadZone
            | Self::NoSlot
            | Self::BadScheduleName
            | Self::SchedulesFull => "ERR",
            Self::QueueFull | Self::MaxLen { .. } => "QUEUEFULL",
            Self::Paused => "PAUSED",
        }
    }
}

/// The sentence that stands after the [code](Refusal::code).
impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTask => out.write_str("no such task in the queue"),
            Self::Canceled => out.write_str("the task was canceled: the claim is void"),
            Self::Stale => out.write_str("ATTEMPT is not the task's last claim, or that claim was voided: it was lost"),
            Self::NotClaimed(state) => write!(out, "the task is not claimed: it is {}", state.name()),
            Self::BadName { what } => write!(
                out,
                "{what} must be 1 to 255 bytes of UTF-8 without white space or control characters, and not ALL or BATCH"
            ),
            Self::DelayPastTtl => out.write_str("DELAY or AT must be shorter than TTL: the task could never be claimed"),
            Self::Sealed => out.write_str("BATCH names a sealed batch: it takes no more tasks"),
            Self::OtherBatch => {
                out.write_str("BATCH must name the task's own batch: a task is of one batch, or of none, for its life")
            }
            Self::NoDependency { .. } => out.write_str("what the task is to wait for is not in the queue"),
            Self::NoBatch => out.write_str("no such batch in the queue, or the cursor is of an earlier one of that name"),
            Self::EndsLost { .. } => {
                out.write_str("cursor was given ends that a failover or a crash has lost: begin again at 0, with nothing")
            }
            Self::EventsLost { .. } => out.write_str(
                "cursor is of an earlier queue of that name, or was given events that a failover or a crash has lost: begin again at 0 or $",
            ),
            Self::OwnBatch => out.write_str("AFTERBATCH names the task's own batch, which could never be done"),
            Self::BatchAwaited => {
                out.write_str("BATCH names a batch that tasks wait for: it takes only tasks that wait for nothing")
            }
            Self::Paused => out.write_str("the queue takes no pushes (TASK.SET PAUSED)"),
            Self::MaxLen { max } => write!(out, "the push would pass the queue's MAXLEN of {max} tasks that have not ended"),
            Self::QueueFull => out.write_str("the queue holds as many tasks, or has made as many ids, as it can"),
            Self::BadCron { what: Some(what) } => {
                write!(
                    out,
                    "CRON has a wrong {what}: a field is *, a number, a range, a list of those, and */n or a-b/n for steps"
                )
            }
            Self::BadCron { what: None } => out.write_str(
                "CRON must be 5 fields (minute, hour, day of the month, month, day of the week), 6 with seconds before them, \
                 or @hourly, @daily, @weekly, @monthly or @yearly, and at most 255 bytes",
            ),
            Self::BadZone => out.write_str("TZ must be the name of a time zone, as Europe/Berlin"),
            Self::NoSlot => out.write_str("CRON names no instant of the next ten years"),
            Self::BadScheduleName => write!(
                out,
                "name of a schedule must be 1 to {} bytes of UTF-8 without white space or control characters, and not ALL or BATCH",
                crate::schedule::NAME_BYTES_MAX
            ),
            Self::SchedulesFull => {
                write!(out, "the queue has {} schedules, as many as it may", crate::schedule::SCHEDULES_MAX)
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Why an effect could not be applied: it is of another history, or the bytes are damaged. Nothing was changed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The bytes are no effect of any version known here.
    Undecodable,
    /// The effect names a task that is not in the queue.
    UnknownTask,
    /// The effect adds a task that is in the queue already.
    KnownTask,
    /// A value in it breaks a limit or a rule.
    Invalid,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Undecodable => "the bytes are not effects of a known version",
            Self::UnknownTask => "an effect names a task that is not in the queue",
            Self::KnownTask => "an effect adds a task that is in the queue already",
            Self::Invalid => "an effect holds a value out of its limits",
        })
    }
}

impl std::error::Error for Mismatch {}
