//! What a command answers when it refuses.

use std::borrow::Cow;
use std::fmt;

/// A refusal, shown as `CODE sentence`, the form in which Redis clients expect an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    code: &'static str,
    sentence: Cow<'static, str>,
}

impl Error {
    /// The key holds something that is not ours, in the words every Redis command uses.
    pub(crate) const WRONG_TYPE: Error =
        Error { code: "WRONGTYPE", sentence: Cow::Borrowed("Operation against a key holding the wrong kind of value") };

    /// `code` is one upper-case word; `sentence` names the argument at fault and its range.
    pub(crate) fn new(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    /// It with more at the end of its sentence.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.sentence.to_mut().push_str(more);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.sentence)
    }
}

impl std::error::Error for Error {}
