//! Replies. RESP2 and RESP3 are the server's business: a map is a flat array, a null the null of the protocol spoken.

use std::ffi::{CStr, CString};
use std::os::raw::c_long;

use super::api;
use super::context::Context;
use super::error::Error;

/// Lengths of replies as the server takes them; it could not send more anyway.
fn length(len: usize) -> c_long {
    c_long::try_from(len).unwrap_or(c_long::MAX)
}

impl Context {
    /// Nothing, where a value would stand.
    pub(crate) fn null(&self) {
        // SAFETY: the context is live; so in every function below.
        unsafe {
            api!(RedisModule_ReplyWithNull(self.raw()));
        }
    }

    /// Nothing, where an array would stand.
    pub(crate) fn null_array(&self) {
        // SAFETY: see `null`.
        unsafe {
            api!(RedisModule_ReplyWithNullArray(self.raw()));
        }
    }

    /// A whole number.
    pub(crate) fn integer(&self, value: i64) {
        // SAFETY: see `null`.
        unsafe {
            api!(RedisModule_ReplyWithLongLong(self.raw(), value));
        }
    }

    /// A status word; it must not hold CR or LF.
    pub(crate) fn simple(&self, word: &'static CStr) {
        // SAFETY: see `null`; the word lives for ever.
        unsafe {
            api!(RedisModule_ReplyWithSimpleString(self.raw(), word.as_ptr()));
        }
    }

    /// `+OK`.
    pub(crate) fn ok(&self) {
        self.simple(c"OK");
    }

    /// Any bytes.
    pub(crate) fn bulk(&self, bytes: &[u8]) {
        // SAFETY: see `null`; the bytes are copied.
        unsafe {
            api!(RedisModule_ReplyWithStringBuffer(self.raw(), bytes.as_ptr().cast(), bytes.len()));
        }
    }

    /// The head of an array; its `len` elements follow.
    pub(crate) fn array(&self, len: usize) {
        // SAFETY: see `null`.
        unsafe {
            api!(RedisModule_ReplyWithArray(self.raw(), length(len)));
        }
    }

    /// The head of a map; its `len` pairs follow, key and value in turn.
    pub(crate) fn map(&self, len: usize) {
        // SAFETY: see `null`.
        unsafe {
            api!(RedisModule_ReplyWithMap(self.raw(), length(len)));
        }
    }

    /// An error, `CODE sentence`, of any text: what would break the protocol or a C string becomes a space.
    pub(crate) fn error(&self, line: &str) {
        let line: Vec<u8> = line.bytes().map(|byte| if matches!(byte, 0 | b'\r' | b'\n') { b' ' } else { byte }).collect();
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: see `null`; the line is copied.
        unsafe {
            api!(RedisModule_ReplyWithError(self.raw(), line.as_ptr()));
        }
    }

    /// A refusal.
    pub(crate) fn refuse(&self, error: &Error) {
        self.error(&error.to_string());
    }
}
