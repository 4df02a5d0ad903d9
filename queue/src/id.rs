//! Task ids: made by the queue, or given by the client.

use crate::error::Refusal;
use crate::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest id or name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// An id in the form the queue makes: `<unix-ms>-<seq>`, 48 bits of time and 16 of sequence, so that ids sort as numbers.
///
/// When more than 65,536 are made in one millisecond the sequence carries into the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MadeId(pub u64);

impl MadeId {
    const SEQ_BITS: u32 = 16;

    /// The first id of the millisecond `now`.
    #[must_use]
    pub const fn first_of(now: UnixMs) -> Self {
        Self(now.0 << Self::SEQ_BITS)
    }

    /// The next larger id.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The millisecond in which it was made.
    #[must_use]
    pub const fn made_at(self) -> UnixMs {
        UnixMs(self.0 >> Self::SEQ_BITS)
    }

    const fn seq(self) -> u64 {
        self.0 & ((1 << Self::SEQ_BITS) - 1)
    }

    /// Reads the canonical form only, so that each number has one spelling.
    fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        let (ms, seq) = (canonical(ms, UnixMs::MAX.0)?, canonical(seq, u64::from(u16::MAX))?);
        Some(Self(ms << Self::SEQ_BITS | seq))
    }
}

/// A decimal number as it would be printed: digits only, no leading zero, at most `max`.
fn canonical(digits: &str, max: u64) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    digits.parse().ok().filter(|&number| plain && number <= max)
}

impl fmt::Display for MadeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.made_at().0, self.seq())
    }
}

/// The id of a task, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskId<'a> {
    /// In the form the queue makes, whoever wrote it.
    Made(MadeId),
    /// Any other name the client gave.
    Named(&'a str),
}

impl<'a> TaskId<'a> {
    /// Reads an id: a [name](parse_name) that is not `ALL` or `BATCH`.
    ///
    /// # Errors
    /// [`Refusal::BadName`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let name = parse_name("id", bytes)?;
        Ok(MadeId::parse(name).map_or(Self::Named(name), Self::Made))
    }

    /// Whether decoded bytes hold an id that [`TaskId::parse`] would have given.
    #[must_use]
    pub fn is_valid(self) -> bool {
        match self {
            Self::Made(_) => true,
            Self::Named(name) => Self::parse(name.as_bytes()) == Ok(self),
        }
    }
}

/// A task's id, kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnedId {
    /// Of the made form.
    Made(MadeId),
    /// Any other.
    Named(Box<str>),
}

impl From<TaskId<'_>> for OwnedId {
    fn from(id: TaskId<'_>) -> Self {
        match id {
            TaskId::Made(id) => Self::Made(id),
            TaskId::Named(name) => Self::Named(name.into()),
        }
    }
}

impl OwnedId {
    /// The id itself.
    #[must_use]
    pub const fn as_id(&self) -> TaskId<'_> {
        match self {
            Self::Made(id) => TaskId::Made(*id),
            Self::Named(name) => TaskId::Named(name),
        }
    }
}

impl fmt::Display for TaskId<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(id) => id.fmt(out),
            Self::Named(name) => out.write_str(name),
        }
    }
}

/// Reads the id or name that `what` stands for: valid UTF-8, 1 to 255 bytes, no white space or control characters, and not the
/// words `ALL` or `BATCH`, which commands use in an id's place.
///
/// # Errors
/// [`Refusal::BadName`].
pub fn parse_name<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
    let reserved = |name: &str| name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("BATCH");
    std::str::from_utf8(bytes)
        .ok()
        .filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len()))
        .filter(|name| !name.chars().any(|c| c.is_whitespace() || c.is_control()))
        .filter(|name| !reserved(name))
        .ok_or(Refusal::BadName { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_made_id() {
        assert_eq!(TaskId::parse(b"12-3"), Ok(TaskId::Made(MadeId(12 << 16 | 3))));
        for named in ["012-3", "12-03", "12-65536", "+12-3", "12-", "-3", "12", "281474976710656-0"] {
            assert_eq!(TaskId::parse(named.as_bytes()), Ok(TaskId::Named(named)));
        }
    }

    #[test]
    fn a_made_id_reads_back_as_itself() {
        for id in [MadeId(0), MadeId(u64::MAX), MadeId::first_of(UnixMs(1_700_000_000_000)).next()] {
            assert_eq!(TaskId::parse(id.to_string().as_bytes()), Ok(TaskId::Made(id)));
        }
    }

    #[test]
    fn names_have_limits() {
        let long = [b'a'; 256];
        for bad in [&b""[..], b"a b", b"a\tb", b"a\0", b"\xff", b"all", b"Batch", &long] {
            assert_eq!(TaskId::parse(bad), Err(Refusal::BadName { what: "id" }));
        }
        assert!(TaskId::parse("é:1".as_bytes()).is_ok());
        assert!(TaskId::parse(&[b'a'; 255]).is_ok());
    }
}
