//! Panics stop here: one that crossed into the server's C frames would abort it.

use std::any::Any;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::api;

/// Runs `body`; if it panics, logs why and answers `default`.
///
/// Assertion of unwind safety: what a panic leaves half done is the module's own data, which the next command meets as
/// it is; the alternative is the loss of the user's whole server.
#[cfg_attr(feature = "fault-injection", track_caller)]
pub(super) fn guard<R>(default: R, body: impl FnOnce() -> R) -> R {
    #[cfg(feature = "fault-injection")]
    let body = super::fault::injected(body);
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            log_panic(payload);
            default
        }
    }
}

/// Writes the panic's message to the server's log. The payload is forgotten, as dropping a strange one could panic again.
fn log_panic(payload: Box<dyn Any + Send>) {
    let reason = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let line: Vec<u8> = b"task: a bug was caught (please report it): "
        .iter()
        .chain(reason.as_bytes())
        .copied()
        .filter(|&byte| byte != 0)
        .collect();
    if let Ok(line) = CString::new(line) {
        // SAFETY: the server accepts a null context here; level, format and text are C strings that outlive the call.
        unsafe {
            api!(RedisModule_Log(ptr::null_mut(), c"warning".as_ptr(), c"%s".as_ptr(), line.as_ptr()));
        }
    }
    std::mem::forget(payload);
}
