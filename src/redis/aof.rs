//! Writing a value as commands: an AOF without RDB preamble, and valkey's slot migration.

use std::ffi::CStr;
use std::marker::PhantomData;

use redis_module::raw::RedisModuleIO;

use super::api;
use super::string::PassingName;

/// Where the commands that make one key go.
pub(crate) struct AofWriter<'a> {
    io: *mut RedisModuleIO,
    key: PassingName<'a>,
    borrowed: PhantomData<&'a mut RedisModuleIO>,
}

impl<'a> AofWriter<'a> {
    /// # Safety
    /// `io` is live for the borrow and being rewritten to.
    pub(super) unsafe fn new(io: *mut RedisModuleIO, key: PassingName<'a>) -> Self {
        Self { io, key, borrowed: PhantomData }
    }

    /// Writes `command key bytes`.
    pub(crate) fn emit(&mut self, command: &CStr, bytes: &[u8]) {
        let key = self.key.bytes();
        // SAFETY: the stream is live; the format `bb` takes two pointers with lengths, which follow and are copied.
        unsafe {
            api!(RedisModule_EmitAOF(
                self.io,
                command.as_ptr(),
                c"bb".as_ptr(),
                key.as_ptr(),
                key.len(),
                bytes.as_ptr(),
                bytes.len()
            ));
        }
    }
}
