//! Replies. RESP2 and RESP3 are the server's business: a map is a flat array, a null the null of the protocol spoken.

use std::ffi::{CStr, CString};
use std::os::raw::c_long;
use std::ptr;
use std::sync::OnceLock;

use redis_module::raw::{self, RedisModuleCallReply};

use super::context::Context;
use super::error::Error;
use super::{OK, api};

/// Lengths of replies as the server takes them; it could not send more anyway.
fn length(len: usize) -> c_long {
    c_long::try_from(len).unwrap_or(c_long::MAX)
}

/// A command of ours that answers `+OK` and does nothing else.
const OK_COMMAND: &CStr = c"task.probe";

/// The server's reply, which only the main thread uses.
struct SentOk(*mut RedisModuleCallReply);

// SAFETY: replies are made on the main thread alone.
unsafe impl Send for SentOk {}
// SAFETY: as above.
unsafe impl Sync for SentOk {}

static OK_REPLY: OnceLock<SentOk> = OnceLock::new();

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

    /// `+OK`: most of what is answered, so it is made once. A status costs the server 720 instructions, the reply of a call that is passed
    /// on 120; an MCOMPLETE is an eighth cheaper by it.
    pub(crate) fn ok(&self) {
        // SAFETY: see `null`; the reply lives for ever, and passing it on copies it.
        let passed_on = |reply: *mut RedisModuleCallReply| unsafe { api!(RedisModule_ReplyWithCallReply(self.raw(), reply)) };
        let reply = OK_REPLY.get_or_init(|| SentOk(self.call_for_ok())).0;
        if reply.is_null() || passed_on(reply) != Some(OK) {
            self.simple(c"OK");
        }
    }

    /// The reply of a command that answers `+OK`; null where that is refused, as in a cluster whose node has not got its slot.
    fn call_for_ok(&self) -> *mut RedisModuleCallReply {
        // SAFETY: see `null`; the format takes one C string, and has errors answered as replies. The reply is kept, or freed once.
        unsafe {
            let reply = api!(RedisModule_Call(self.raw(), OK_COMMAND.as_ptr(), c"Ec".as_ptr(), c"any".as_ptr()))
                .unwrap_or(ptr::null_mut());
            if reply.is_null() || api!(RedisModule_CallReplyType(reply)).unwrap_or(-1) as isize == raw::REDISMODULE_REPLY_STRING {
                return reply;
            }
            api!(RedisModule_FreeCallReply(reply));
            ptr::null_mut()
        }
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
