//! What the module adds to the server's INFO.

use std::ffi::CStr;
use std::os::raw::c_int;

use redis_module::raw::RedisModuleInfoCtx;

use super::command::conjure;
use super::context::Context;
use super::guard::guard;
use super::{OK, api};

/// The answer to an INFO that is being made. It is only ever lent.
#[derive(Debug)]
pub(crate) struct Report {
    raw: *mut RedisModuleInfoCtx,
}

impl Report {
    /// Begins a section, which is shown as `task_name`; false if it is not asked for, and what follows is not shown.
    pub(crate) fn section(&self, name: &CStr) -> bool {
        // SAFETY: the report is live, and the name is copied.
        let added = unsafe { api!(RedisModule_InfoAddSection(self.raw, name.as_ptr())) };
        added == Some(OK)
    }

    /// A field of the section, which is shown as `task_name`.
    pub(crate) fn number(&self, name: &CStr, value: u64) {
        // SAFETY: the report is live, and the name is copied.
        unsafe {
            api!(RedisModule_InfoAddFieldULongLong(self.raw, name.as_ptr(), value));
        }
    }
}

/// Calls `function`, which captures nothing, whenever a client asks for the module's sections. One function can be given.
pub(crate) fn subscribe<F>(context: &Context, _: F)
where
    F: Fn(&Report) + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "what makes the report captures nothing") };
    // SAFETY: the context is live and loading.
    if unsafe { api!(RedisModule_RegisterInfoFunc(context.raw(), Some(on_info::<F>))) } != Some(OK) {
        context.warn("this server refused the module's part of INFO");
    }
}

unsafe extern "C" fn on_info<F>(report: *mut RedisModuleInfoCtx, is_for_crash: c_int)
where
    F: Fn(&Report) + Copy + 'static,
{
    // The server has crashed, maybe in the middle of us, maybe in another thread: nothing of ours may be touched.
    if is_for_crash != 0 {
        return;
    }
    guard((), || {
        // SAFETY: `subscribe` has seen a value of `F`.
        let function = unsafe { conjure::<F>() };
        function(&Report { raw: report });
    });
}
