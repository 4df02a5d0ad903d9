//! What a task, or the server for all of them, says about leases, tries and retention.

use crate::time::{Ms, Retention, UnixMs};
use serde::{Deserialize, Serialize};

/// The options that a push may set; `None` where the task leaves it to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    /// Tries the task may use up; 0: no limit.
    pub attempts: Option<u16>,
    /// Delay before the first retry.
    pub backoff: Option<Ms>,
    /// Lease of a claim.
    pub lease: Option<Ms>,
    /// Longest that one claim can be held, however often it is extended.
    pub timeout: Option<Ms>,
    /// How long a completed, canceled or expired task is kept.
    pub retain: Option<Retention>,
    /// How long a failed task is kept.
    pub retain_failed: Option<Retention>,
}

impl Options {
    /// Whether all times are within what a command would take.
    pub(crate) fn is_valid(&self) -> bool {
        let retention = |retention: Option<Retention>| match retention {
            Some(Retention::For(time)) => Some(time),
            Some(Retention::Forever) | None => None,
        };
        let times = [self.backoff, self.lease, self.timeout, retention(self.retain), retention(self.retain_failed)];
        times.into_iter().flatten().all(|time| time <= Ms::MAX)
    }
}

/// What holds where a task says nothing. Looked up when it is needed; the instant it gives is then fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// See [`Options::attempts`].
    pub attempts: u16,
    /// See [`Options::backoff`].
    pub backoff: Ms,
    /// See [`Options::lease`].
    pub lease: Ms,
    /// See [`Options::timeout`].
    pub timeout: Option<Ms>,
    /// See [`Options::retain`].
    pub retain: Retention,
    /// See [`Options::retain_failed`].
    pub retain_failed: Retention,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Ms(1_000),
            lease: Ms(30_000),
            timeout: None,
            retain: Retention::For(Ms(3_600_000)),
            retain_failed: Retention::For(Ms(7 * 86_400_000)),
        }
    }
}

impl Defaults {
    /// These, but for what `options` say.
    #[must_use]
    pub fn with(self, options: &Options) -> Self {
        Self {
            attempts: options.attempts.unwrap_or(self.attempts),
            backoff: options.backoff.unwrap_or(self.backoff),
            lease: options.lease.unwrap_or(self.lease),
            timeout: options.timeout.or(self.timeout),
            retain: options.retain.unwrap_or(self.retain),
            retain_failed: options.retain_failed.unwrap_or(self.retain_failed),
        }
    }
}

/// When a pushed task can be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At once, at this place in line.
    Ready {
        /// Its place in line.
        order: u64,
    },
    /// Not before this instant.
    Scheduled {
        /// When it becomes ready.
        due: UnixMs,
    },
    /// When what it depends on has ended.
    Waiting {
        /// Its place among those that wait.
        order: u64,
    },
}
