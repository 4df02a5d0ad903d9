//! The states of a task, and how its last claim ended.

use serde::{Deserialize, Serialize};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Depends on tasks that are not finished.
    Waiting,
    /// Becomes ready at a time: a delay, or the backoff of a retry.
    Scheduled,
    /// Can be claimed.
    Ready,
    /// A worker has it until its lease ends.
    Claimed,
    /// Has a result.
    Completed,
    /// Out of tries, or failed for good.
    Failed,
    /// Canceled before it finished.
    Canceled,
    /// Its TTL ended before any worker claimed it.
    Expired,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Scheduled,
        Self::Ready,
        Self::Claimed,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
    ];

    /// The state's name in commands and replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }

    /// The state of that name, in any case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Final: nothing happens to the task any more but retention, or RETRY of one that did not complete.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Expired)
    }
}

/// How the last claim of a task ended: what its worker is told when it answers again, or too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastClaim {
    /// It is live, or there was none.
    #[default]
    Open,
    /// The worker completed the task.
    Completed,
    /// The worker failed it; it was scheduled again.
    FailedToScheduled,
    /// The worker failed it; it was ready again at once.
    FailedToReady,
    /// The worker failed it for good.
    FailedForGood,
    /// The worker gave it back.
    Released,
    /// Its lease or its timeout ended; the worker may still answer while the task is ready.
    Lapsed,
    /// CANCEL, RETRY or a renewal took it away.
    Voided,
}
