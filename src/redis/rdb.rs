//! Reading and writing a value in an RDB (also DUMP, RESTORE, full sync). Nothing read here is to be trusted.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

use redis_module::raw::RedisModuleIO;

use super::api;
use super::context::Context;
use super::string::PassingName;

/// Where a value is saved to. The server keeps count of errors; a save that fails is repeated whole.
pub(crate) struct RdbWriter<'a> {
    io: *mut RedisModuleIO,
    borrowed: PhantomData<&'a mut RedisModuleIO>,
}

impl RdbWriter<'_> {
    /// # Safety
    /// `io` is live for the borrow and being saved to.
    pub(super) unsafe fn new(io: *mut RedisModuleIO) -> Self {
        Self { io, borrowed: PhantomData }
    }

    /// Any bytes, with their length.
    pub(crate) fn save_bytes(&mut self, bytes: &[u8]) {
        // SAFETY: the stream is live; the bytes are written before the call returns.
        unsafe {
            api!(RedisModule_SaveStringBuffer(self.io, bytes.as_ptr().cast(), bytes.len()));
        }
    }
}

/// Where a value is loaded from. Every read answers None once the stream is short or bad.
pub(crate) struct RdbReader<'a> {
    io: *mut RedisModuleIO,
    borrowed: PhantomData<&'a mut RedisModuleIO>,
}

impl<'a> RdbReader<'a> {
    /// # Safety
    /// `io` is live for the borrow and being loaded from, with the module option to handle its errors.
    pub(super) unsafe fn new(io: *mut RedisModuleIO) -> Self {
        Self { io, borrowed: PhantomData }
    }

    /// The name under which the value is loaded.
    pub(crate) fn key_name(&self) -> Option<PassingName<'a>> {
        // SAFETY: the stream is live, and the name is as long.
        unsafe { PassingName::from_raw(api!(RedisModule_GetKeyNameFromIO(self.io))?) }
    }

    /// The database into which the value is loaded; -1 if the server does not say.
    pub(crate) fn db(&self) -> i32 {
        // SAFETY: the stream is live.
        unsafe { api!(RedisModule_GetDbIdFromIO(self.io)) }.unwrap_or(-1)
    }

    /// Writes a warning to the server's log if the server loads its data. Who says RESTORE is told by its answer.
    pub(crate) fn warn(&self, line: &str) {
        // SAFETY: the stream is live, and the server frees the context with it.
        let Some(context) = (unsafe { api!(RedisModule_GetContextFromIO(self.io)) }) else { return };
        // SAFETY: as above.
        let context = unsafe { Context::from_raw(context) };
        if context.flags().is_loading() {
            context.warn(line);
        }
    }

    /// Bytes as they were saved.
    pub(crate) fn load_bytes(&mut self) -> Option<RdbBytes> {
        let mut len = 0;
        // SAFETY: the stream is live; the returned buffer is ours.
        let start = unsafe { api!(RedisModule_LoadStringBuffer(self.io, &raw mut len)) }?;
        let bytes = RdbBytes { start: NonNull::new(start.cast())?, len };
        (!self.failed()).then_some(bytes)
    }

    fn failed(&self) -> bool {
        // SAFETY: the stream is live.
        unsafe { api!(RedisModule_IsIOError(self.io)) }.unwrap_or(1) != 0
    }
}

/// Bytes that the server allocated for us; freed when dropped.
pub(crate) struct RdbBytes {
    start: NonNull<u8>,
    len: usize,
}

impl Deref for RdbBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is ours and has `len` bytes.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for RdbBytes {
    fn drop(&mut self) {
        // SAFETY: the buffer came from the server's allocator, and is freed once.
        unsafe {
            api!(RedisModule_Free(self.start.as_ptr().cast()));
        }
    }
}
