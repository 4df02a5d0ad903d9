//! What happens to keys. Never replicate here: the stream would hold it before the command that caused it.

use std::ffi::CStr;
use std::os::raw::{c_char, c_int};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::command::conjure;
use super::context::Context;
use super::guard::guard;
use super::string::PassingName;
use super::{OK, api};

/// One event of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyEvent<'a> {
    /// Such as `rename_to` or `restore`.
    pub(crate) event: &'a [u8],
    /// The key.
    pub(crate) key: PassingName<'a>,
    /// Its database.
    pub(crate) db: i32,
}

/// Calls `function`, which captures nothing, for every generic event (`del`, `rename_to`, `restore` …) of any key, whatever `notify-keyspace-events` says.
pub(crate) fn subscribe<F>(context: &Context, _: F)
where
    F: Fn(&Context, KeyEvent<'_>) + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a subscriber captures nothing") };
    // SAFETY: the context is live.
    let status = unsafe {
        api!(RedisModule_SubscribeToKeyspaceEvents(context.raw(), raw::REDISMODULE_NOTIFY_GENERIC, Some(on_key_event::<F>)))
    };
    if status != Some(OK) {
        context.warn("this server refused the subscription to key events");
    }
}

unsafe extern "C" fn on_key_event<F>(
    context: *mut RedisModuleCtx,
    _: c_int,
    event: *const c_char,
    key: *mut RedisModuleString,
) -> c_int
where
    F: Fn(&Context, KeyEvent<'_>) + Copy + 'static,
{
    guard((), || {
        // SAFETY: context, event and key live for the call, the event is a C string; `subscribe` has seen a value of `F`.
        let (context, event, key, function) =
            unsafe { (Context::from_raw(context), CStr::from_ptr(event), PassingName::from_raw(key), conjure::<F>()) };
        if let Some(key) = key {
            function(&context, KeyEvent { event: event.to_bytes(), key, db: context.selected_db() });
        }
    });
    OK
}
