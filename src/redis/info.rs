//! Our sections of INFO. The server puts the module's name before each section and field.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::c_int;

use redis_module::raw::RedisModuleInfoCtx;

use super::command::{c_string, conjure};
use super::context::{Context, Level};
use super::guard::guard;
use super::{OK, api};

/// Where the fields go.
pub(crate) struct InfoWriter<'a> {
    raw: *mut RedisModuleInfoCtx,
    borrowed: PhantomData<&'a mut RedisModuleInfoCtx>,
}

impl InfoWriter<'_> {
    /// Begins a section; false if the client did not ask for it, so its fields can be left out.
    pub(crate) fn section(&mut self, name: &CStr) -> bool {
        // SAFETY: the writer is live, the name a C string.
        unsafe { api!(RedisModule_InfoAddSection(self.raw, name.as_ptr())) == Some(OK) }
    }

    /// A count.
    pub(crate) fn unsigned(&mut self, name: &CStr, value: u64) {
        // SAFETY: as in `section`.
        unsafe {
            api!(RedisModule_InfoAddFieldULongLong(self.raw, name.as_ptr(), value));
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, name: &CStr, value: i64) {
        // SAFETY: as in `section`.
        unsafe {
            api!(RedisModule_InfoAddFieldLongLong(self.raw, name.as_ptr(), value));
        }
    }

    /// A text, on one line.
    pub(crate) fn text(&mut self, name: &CStr, value: &str) {
        let value = c_string(value);
        // SAFETY: as in `section`; the value is a C string, which is copied.
        unsafe {
            api!(RedisModule_InfoAddFieldCString(self.raw, name.as_ptr(), value.as_ptr()));
        }
    }
}

/// Calls `function`, which captures nothing, for every INFO that may show our sections; not for a crash report, where
/// nothing of ours can be relied on.
pub(crate) fn register<F>(context: &Context, _: F)
where
    F: Fn(&mut InfoWriter<'_>) + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "an INFO function captures nothing") };
    // SAFETY: the context is live.
    if unsafe { api!(RedisModule_RegisterInfoFunc(context.raw(), Some(on_info::<F>))) } != Some(OK) {
        context.log(Level::Warning, "this server refused our INFO sections");
    }
}

unsafe extern "C" fn on_info<F>(raw: *mut RedisModuleInfoCtx, for_crash_report: c_int)
where
    F: Fn(&mut InfoWriter<'_>) + Copy + 'static,
{
    if for_crash_report != 0 {
        return;
    }
    guard((), || {
        // SAFETY: `register` has seen a value of `F`.
        let function = unsafe { conjure::<F>() };
        function(&mut InfoWriter {
            raw,
            borrowed: PhantomData,
        });
    });
}
