//! Time as the queue knows it: milliseconds, always handed in, never read.

use serde::{Deserialize, Serialize};

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ms(pub u64);

impl Ms {
    /// Longest duration an option may give: 3,650 days.
    pub const MAX: Self = Self(315_360_000_000);
}

/// An instant: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The instant that never comes: what is kept until then is kept for ever.
    pub const NEVER: Self = Self(u64::MAX);
    /// Latest instant an option may give: what 48 bits hold, in the year 10889.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The instant `wait` later; never past [`UnixMs::NEVER`].
    #[must_use]
    pub const fn after(self, wait: Ms) -> Self {
        Self(self.0.saturating_add(wait.0))
    }

    /// The instant `wait` earlier; never before the epoch.
    #[must_use]
    pub const fn before(self, wait: Ms) -> Self {
        Self(self.0.saturating_sub(wait.0))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Ms {
        Ms(self.0.saturating_sub(earlier.0))
    }
}

/// How long a finished task is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retention {
    /// So long after it finished; zero: not at all.
    For(Ms),
    /// Until it is forgotten by command.
    Forever,
}

impl Retention {
    /// When a task that finishes at `now` is dropped.
    #[must_use]
    pub const fn drop_at(self, now: UnixMs) -> UnixMs {
        match self {
            Self::For(time) => now.after(time),
            Self::Forever => UnixMs::NEVER,
        }
    }
}

/// An instant that may be missing, in eight bytes: one that never comes is as good as none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaybeMs(UnixMs);

impl MaybeMs {
    pub(crate) const NONE: Self = Self(UnixMs::NEVER);

    pub(crate) fn get(self) -> Option<UnixMs> {
        (self != Self::NONE).then_some(self.0)
    }

    pub(crate) fn take(&mut self) -> Option<UnixMs> {
        std::mem::replace(self, Self::NONE).get()
    }
}

impl From<Option<UnixMs>> for MaybeMs {
    fn from(instant: Option<UnixMs>) -> Self {
        Self(instant.unwrap_or(UnixMs::NEVER))
    }
}
