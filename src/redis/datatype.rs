//! A native type of the server: its values are Rust values, and this is what the server asks of them.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw::{
    RedisModuleDefragCtx, RedisModuleDigest, RedisModuleIO, RedisModuleKeyOptCtx, RedisModuleString, RedisModuleType,
    RedisModuleTypeMethods,
};

use super::aof::AofWriter;
use super::api;
use super::context::Context;
use super::defrag::Defrag;
use super::digest::Digest;
use super::error::Error;
use super::guard::guard;
use super::rdb::{RdbReader, RdbWriter};
use super::string::PassingName;

/// What the server asks of a value. Its drop frees it, maybe in a background thread: hence `Send`, and a `Drop` must touch
/// nothing that is shared. Saving, rewriting and the digest may run in a forked child.
pub(crate) trait Value: Send + Sized + 'static {
    /// Writes the value to an RDB.
    fn rdb_save(&self, writer: &mut RdbWriter<'_>);
    /// Reads it back; None for what is short, bad, or of a newer version. At boot and in a full sync None ends the server.
    fn rdb_load(reader: &mut RdbReader<'_>, version: i32) -> Option<Box<Self>>;
    /// Writes the commands that make the value.
    fn aof_rewrite(&self, writer: &mut AofWriter<'_>);
    /// Adds everything that replicas must agree on.
    fn digest(&self, digest: &mut Digest<'_>);
    /// Bytes used (MEMORY USAGE).
    fn mem_usage(&self) -> usize;
    /// How many allocations a drop frees, about; above 64 the server drops it in a background thread.
    fn free_effort(&self) -> usize;
    /// Moves its blocks from where it stopped last; false if it was stopped again.
    fn defrag(&mut self, defrag: &Defrag<'_>) -> bool;
    /// A copy for COPY.
    #[allow(clippy::unnecessary_box_returns, reason = "the server is given values in boxes")]
    fn copy(&self) -> Box<Self>;
    /// This place no longer holds the value: DEL, expiry, eviction, overwriting, but also RENAME and MOVE, where the value lives
    /// on. Runs on the main thread; not called for FLUSHALL, FLUSHDB and SWAPDB.
    fn unlink(&self, place: Place<'_>);
}

/// Where a value is: its database and its name, if the server tells them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The database; -1 if not told.
    pub(crate) db: i32,
    /// The key.
    pub(crate) name: Option<PassingName<'a>>,
}

impl Place<'_> {
    /// # Safety
    /// `context` is live as long as the place is used.
    unsafe fn here(context: *mut RedisModuleKeyOptCtx) -> Self {
        // SAFETY: as the caller promises; the name lives as long as the context.
        unsafe {
            Self {
                db: api!(RedisModule_GetDbIdFromOptCtx(context)).unwrap_or(-1),
                name: PassingName::from_raw(api!(RedisModule_GetKeyNameFromOptCtx(context)).unwrap_or(ptr::null())),
            }
        }
    }
}

/// A type as the server knows it; a `static`, registered while loading.
pub(crate) struct DataType<T: Value> {
    name: &'static CStr,
    version: i32,
    raw: AtomicPtr<RedisModuleType>,
    values: PhantomData<fn() -> T>,
}

impl<T: Value> DataType<T> {
    /// `name` has nine characters of `A-Za-z0-9_-`; `version` is 0 to 1023 and is told to [`Value::rdb_load`].
    pub(crate) const fn new(name: &'static CStr, version: i32) -> Self {
        Self { name, version, raw: AtomicPtr::new(ptr::null_mut()), values: PhantomData }
    }

    /// Null until registered.
    pub(super) fn raw(&self) -> *mut RedisModuleType {
        self.raw.load(Ordering::Relaxed)
    }

    /// Makes the type known to the server.
    pub(super) fn register(&'static self, context: &Context) -> Result<(), Error> {
        let mut methods = methods::<T>();
        // SAFETY: the context is live and loading; the methods are copied, and their functions fit `T`.
        let raw = unsafe { api!(RedisModule_CreateDataType(context.raw(), self.name.as_ptr(), self.version, &raw mut methods)) };
        match raw {
            Some(raw) if !raw.is_null() => {
                self.raw.store(raw, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(Error::new("ERR", format!("the server refused the data type {}", self.name.to_string_lossy()))),
        }
    }
}

/// The table of callbacks, version 4: it has the `…2` functions, and every server since 7.0 takes it.
fn methods<T: Value>() -> RedisModuleTypeMethods {
    RedisModuleTypeMethods {
        version: 4,
        rdb_load: Some(rdb_load::<T>),
        rdb_save: Some(rdb_save::<T>),
        aof_rewrite: Some(aof_rewrite::<T>),
        mem_usage: None,
        digest: Some(digest::<T>),
        free: Some(free::<T>),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: None,
        unlink: None,
        copy: None,
        defrag: Some(defrag::<T>),
        mem_usage2: Some(mem_usage::<T>),
        free_effort2: Some(free_effort::<T>),
        unlink2: Some(unlink::<T>),
        copy2: Some(copy::<T>),
        aux_save2: None,
    }
}

/// # Safety
/// `value` is one that `WriteKey::set`, `rdb_load` or `copy` gave to the server for this type, and nothing changes it meanwhile.
unsafe fn borrow<'a, T: Value>(value: *const c_void) -> Option<&'a T> {
    // SAFETY: as the caller promises.
    unsafe { value.cast::<T>().as_ref() }
}

/// A value's pointer as the server keeps it.
fn give<T>(value: Option<Box<T>>) -> *mut c_void {
    value.map_or(ptr::null_mut(), |value| Box::into_raw(value).cast())
}

// In all of these the server passes what it got from us, and streams and contexts that live for the call.

unsafe extern "C" fn rdb_load<T: Value>(io: *mut RedisModuleIO, version: c_int) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: see above; the module's options say that it handles errors.
        let mut reader = unsafe { RdbReader::new(io) };
        give(T::rdb_load(&mut reader, version))
    })
}

unsafe extern "C" fn rdb_save<T: Value>(io: *mut RedisModuleIO, value: *mut c_void) {
    guard((), || {
        // SAFETY: see above.
        if let Some(value) = unsafe { borrow::<T>(value) } {
            // SAFETY: see above.
            value.rdb_save(&mut unsafe { RdbWriter::new(io) });
        }
    });
}

unsafe extern "C" fn aof_rewrite<T: Value>(io: *mut RedisModuleIO, key: *mut RedisModuleString, value: *mut c_void) {
    guard((), || {
        // SAFETY: see above.
        let (value, key) = unsafe { (borrow::<T>(value), PassingName::from_raw(key)) };
        if let (Some(value), Some(key)) = (value, key) {
            // SAFETY: see above.
            value.aof_rewrite(&mut unsafe { AofWriter::new(io, key) });
        }
    });
}

unsafe extern "C" fn digest<T: Value>(digest: *mut RedisModuleDigest, value: *mut c_void) {
    guard((), || {
        // SAFETY: see above.
        if let Some(value) = unsafe { borrow::<T>(value) } {
            // SAFETY: see above.
            value.digest(&mut unsafe { Digest::new(digest) });
        }
    });
}

unsafe extern "C" fn free<T: Value>(value: *mut c_void) {
    guard((), || {
        if !value.is_null() {
            // SAFETY: the value was a `Box<T>`, and the server gives it up here, once.
            drop(unsafe { Box::from_raw(value.cast::<T>()) });
        }
    });
}

unsafe extern "C" fn mem_usage<T: Value>(_: *mut RedisModuleKeyOptCtx, value: *const c_void, _: usize) -> usize {
    guard(0, || {
        // SAFETY: see above.
        let value = unsafe { borrow::<T>(value) };
        value.map_or(0, Value::mem_usage)
    })
}

unsafe extern "C" fn free_effort<T: Value>(_: *mut RedisModuleKeyOptCtx, value: *const c_void) -> usize {
    // At least 1: 0 would mean "always in the background".
    guard(1, || {
        // SAFETY: see above.
        let value = unsafe { borrow::<T>(value) };
        value.map_or(1, |value| value.free_effort().max(1))
    })
}

unsafe extern "C" fn defrag<T: Value>(
    context: *mut RedisModuleDefragCtx,
    _: *mut RedisModuleString,
    value: *mut *mut c_void,
) -> c_int {
    // 0: done; a bug that was caught does not come again at once.
    guard(0, || {
        // SAFETY: see above. The server calls this between commands, when nobody else borrows the value.
        let (value, defrag) = unsafe { (value.as_ref().and_then(|value| value.cast::<T>().as_mut()), Defrag::new(context)) };
        value.map_or(0, |value| c_int::from(!value.defrag(&defrag)))
    })
}

unsafe extern "C" fn unlink<T: Value>(context: *mut RedisModuleKeyOptCtx, value: *const c_void) {
    guard((), || {
        // SAFETY: see above.
        if let Some(value) = unsafe { borrow::<T>(value) } {
            // SAFETY: see above.
            value.unlink(unsafe { Place::here(context) });
        }
    });
}

unsafe extern "C" fn copy<T: Value>(_: *mut RedisModuleKeyOptCtx, value: *const c_void) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: see above.
        let value = unsafe { borrow::<T>(value) };
        give(value.map(Value::copy))
    })
}
