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

    /// Longest text of an id, in bytes.
    const TEXT_BYTES_MAX: usize = 15 + 1 + 5;

    /// Reads the canonical form only, so that each number has one spelling.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (ms, rest) = canonical(bytes, UnixMs::MAX.0)?;
        let (seq, rest) = canonical(rest.strip_prefix(b"-")?, u64::from(u16::MAX))?;
        rest.is_empty().then_some(Self(ms << Self::SEQ_BITS | seq))
    }

    /// Gives its text to `sink`. Every push and claim answers an id, and going through `fmt` costs ten times as much.
    pub fn with_text<R>(self, sink: impl FnOnce(&[u8]) -> R) -> R {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.made_at().0).as_bytes(), seq.format(self.seq()).as_bytes());
        let mut text = [b'-'; Self::TEXT_BYTES_MAX];
        let len = ms.len() + 1 + seq.len();
        if let Some(head) = text.get_mut(..ms.len()) {
            head.copy_from_slice(ms);
        }
        if let Some(tail) = text.get_mut(ms.len() + 1..len) {
            tail.copy_from_slice(seq);
        }
        sink(text.get(..len).unwrap_or_default())
    }
}

/// The decimal number that `bytes` begin with, as it would be printed (no leading zero) and at most `max`, and what follows it.
fn canonical(bytes: &[u8], max: u64) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0, bytes);
    while let Some((&digit @ b'0'..=b'9', after)) = rest.split_first() {
        number = number * 10 + u64::from(digit - b'0');
        if number > max {
            return None;
        }
        rest = after;
    }
    let len = bytes.len() - rest.len();
    let is_canonical = len == 1 || (len > 1 && !bytes.starts_with(b"0"));
    is_canonical.then_some((number, rest))
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
        match MadeId::parse(bytes) {
            Some(id) => Ok(Self::Made(id)),
            None => parse_name("id", bytes).map(Self::Named),
        }
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
        .filter(|name| {
            let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
            is_plain || !name.chars().any(|c| c.is_whitespace() || c.is_control())
        })
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
