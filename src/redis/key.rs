//! Opening a key for its value.
//!
//! One key is open at a time, in the whole module. It is what makes `&mut T` safe to hand out: the server would give two
//! handles on one key, and opening any key may delete an expired one.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw::{self, RedisModuleKey};

use super::context::Context;
use super::datatype::{DataType, Value};
use super::error::Error;
use super::string::KeyName;
use super::{OK, api, signed};

/// Whether a key is open. Only the main thread opens keys, so relaxed loads and stores will do.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Whether the module holds an open key.
pub(super) fn is_any_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Held while a key is open.
struct OnlyOne(());

impl OnlyOne {
    /// None if a key is open already.
    fn take() -> Option<Self> {
        if is_any_open() {
            return None;
        }
        OPEN.store(true, Ordering::Relaxed);
        Some(Self(()))
    }
}

impl Drop for OnlyOne {
    fn drop(&mut self) {
        OPEN.store(false, Ordering::Relaxed);
    }
}

impl Context {
    /// Opens a key to look at it. Counts as a use of the key (LRU, hits and misses), as a read command does.
    pub(crate) fn open_read<'c, T: Value>(
        &'c self,
        name: KeyName<'c>,
        data_type: &'static DataType<T>,
    ) -> Result<ReadKey<'c, T>, Error> {
        Ok(ReadKey(Handle::open(self, name, data_type, raw::REDISMODULE_READ)?))
    }

    /// Opens a key to change it. WATCH does not notice until [`WriteKey::modified`].
    pub(crate) fn open_write<'c, T: Value>(
        &'c self,
        name: KeyName<'c>,
        data_type: &'static DataType<T>,
    ) -> Result<WriteKey<'c, T>, Error> {
        Ok(WriteKey(Handle::open(self, name, data_type, raw::REDISMODULE_READ | raw::REDISMODULE_WRITE)?))
    }
}

/// An open key, closed when dropped.
struct Handle<'c, T: Value> {
    /// Null for a key that was opened to be read and is not there.
    raw: *mut RedisModuleKey,
    context: &'c Context,
    name: KeyName<'c>,
    data_type: &'static DataType<T>,
    only: PhantomData<*mut T>,
    _only_one: OnlyOne,
}

impl<'c, T: Value> Handle<'c, T> {
    fn open(context: &'c Context, name: KeyName<'c>, data_type: &'static DataType<T>, mode: u32) -> Result<Self, Error> {
        let Some(only_one) = OnlyOne::take() else {
            return Err(Error::new("ERR", "a bug was caught: a key was opened while another one is open"));
        };
        // SAFETY: context and name are live; the mode is one of the two above.
        let raw = unsafe { api!(RedisModule_OpenKey(context.raw(), name.raw(), signed(mode))) };
        let raw = raw.unwrap_or(ptr::null_mut()).cast();
        Ok(Self { raw, context, name, data_type, only: PhantomData, _only_one: only_one })
    }

    /// The value if the key is there, or WRONGTYPE.
    fn value(&self) -> Result<Option<*mut T>, Error> {
        // SAFETY: the handle is open (null is allowed).
        unsafe {
            let kind = api!(RedisModule_KeyType(self.raw)).unwrap_or(0);
            if kind as isize == raw::REDISMODULE_KEYTYPE_EMPTY {
                return Ok(None);
            }
            let of = api!(RedisModule_ModuleTypeGetType(self.raw)).unwrap_or(ptr::null_mut());
            if of.is_null() || of != self.data_type.raw() {
                return Err(Error::WRONG_TYPE);
            }
            let value: *mut T = api!(RedisModule_ModuleTypeGetValue(self.raw)).unwrap_or(ptr::null_mut()).cast();
            if value.is_null() { Err(Error::WRONG_TYPE) } else { Ok(Some(value)) }
        }
    }
}

impl<T: Value> Drop for Handle<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and closed once (null is allowed); its context is live.
        unsafe {
            api!(RedisModule_CloseKey(self.raw));
        }
    }
}

/// A key opened to look at it.
pub(crate) struct ReadKey<'c, T: Value>(Handle<'c, T>);

impl<T: Value> ReadKey<'_, T> {
    /// The value if the key is there, or WRONGTYPE.
    pub(crate) fn value(&self) -> Result<Option<&T>, Error> {
        // SAFETY: a value of our type is a live `T` (only `WriteKey::set`, `rdb_load` and `copy` make them), and while this one key
        // is open nothing else can change or free it.
        Ok(self.0.value()?.map(|value| unsafe { &*value }))
    }
}

/// A key opened to change it.
pub(crate) struct WriteKey<'c, T: Value>(Handle<'c, T>);

impl<T: Value> WriteKey<'_, T> {
    /// The value if the key is there, or WRONGTYPE.
    pub(crate) fn value(&mut self) -> Result<Option<&mut T>, Error> {
        // SAFETY: as in `ReadKey::value`, and this key is borrowed mutably for as long.
        Ok(self.0.value()?.map(|value| unsafe { &mut *value }))
    }

    /// Gives the key this value, in place of any other, and tells those who WATCH. The key's time to live ends.
    ///
    /// Clients blocked on the key are woken: each one's `ready` runs after the command.
    pub(crate) fn set(&mut self, value: Box<T>) -> Result<&mut T, Error> {
        let value = Box::into_raw(value);
        // SAFETY: the key is open for writing, the type is registered (else null, which the server is not asked with), and the
        // value is a `T` of that type, whose ownership passes to the server.
        let set = unsafe {
            let of = self.0.data_type.raw();
            if of.is_null() { None } else { api!(RedisModule_ModuleTypeSetValue(self.0.raw, of, value.cast())) }
        };
        if set != Some(OK) {
            // SAFETY: the server did not take it.
            drop(unsafe { Box::from_raw(value) });
            return Err(Error::new("ERR", "a bug was caught: the server refused the value of a key"));
        }
        self.modified();
        // SAFETY: the value is in the key now; as in `value`.
        Ok(unsafe { &mut *value })
    }

    /// Tells those who WATCH the key, or cache it, that it changed.
    pub(crate) fn modified(&self) {
        self.0.context.signal_modified_key(self.0.name);
    }
}
