//! The server's strings: the arguments of a command, and the names of keys.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use redis_module::raw::RedisModuleString;

use super::api;

/// A string of the server, borrowed for the length of a callback: an argument or the name of a key, any bytes.
///
/// The server may keep a reference to it, which [`PassingName`] does not allow.
/// `repr(transparent)`: a C array of string pointers is a slice of these.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct KeyName<'a> {
    raw: NonNull<RedisModuleString>,
    borrowed: PhantomData<&'a RedisModuleString>,
}

impl<'a> KeyName<'a> {
    /// # Safety
    /// `raw` is null or a string that lives as long as `'a`.
    pub(super) unsafe fn from_raw(raw: *const RedisModuleString) -> Option<Self> {
        NonNull::new(raw.cast_mut()).map(|raw| Self { raw, borrowed: PhantomData })
    }

    pub(super) fn raw(self) -> *mut RedisModuleString {
        self.raw.as_ptr()
    }

    /// The bytes themselves, not a copy.
    pub(crate) fn bytes(self) -> &'a [u8] {
        let mut length = 0;
        // SAFETY: the string lives for `'a`, and the server does not change a string that others hold.
        unsafe {
            let start = api!(RedisModule_StringPtrLen(self.raw(), &raw mut length)).unwrap_or(ptr::null());
            if start.is_null() { &[] } else { slice::from_raw_parts(start.cast(), length) }
        }
    }

    /// Keeps the name beyond the callback. Shares the server's string where it may, copies it where it must.
    pub(crate) fn hold(self) -> OwnedName {
        // SAFETY: a null context is allowed; the server adds a reference, or copies a string that lives on its stack.
        let held = unsafe { api!(RedisModule_HoldString(ptr::null_mut(), self.raw())) };
        match held.and_then(NonNull::new) {
            Some(raw) => OwnedName { raw },
            None => OwnedName::new(self.bytes()),
        }
    }
}

impl fmt::Debug for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// The name that a callback is told of, which may live on the server's stack: it can be read and copied, but a key
/// opened by it would make the server panic ("You tried to retain an object allocated in the stack"). Open `hold()`'s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassingName<'a>(KeyName<'a>);

impl<'a> PassingName<'a> {
    /// # Safety
    /// `raw` is null or a string that lives as long as `'a`.
    pub(super) unsafe fn from_raw(raw: *const RedisModuleString) -> Option<Self> {
        // SAFETY: the caller's promise is the same.
        unsafe { KeyName::from_raw(raw) }.map(Self)
    }

    /// The bytes themselves, not a copy.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0.bytes()
    }

    /// Keeps the name beyond the callback.
    pub(crate) fn hold(self) -> OwnedName {
        self.0.hold()
    }
}

/// A command's arguments, borrowed; number 0 is the command's own name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argv<'a>(&'a [KeyName<'a>]);

impl<'a> Argv<'a> {
    /// # Safety
    /// `start` points to `count` strings that live as long as `'a`, or `count` is 0.
    pub(super) unsafe fn from_raw(start: *mut *mut RedisModuleString, count: std::os::raw::c_int) -> Self {
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 || start.is_null() {
            return Self(&[]);
        }
        // SAFETY: the caller vouches for the array; `KeyName` is a transparent non-null pointer, as its elements are.
        Self(unsafe { slice::from_raw_parts(start.cast(), count) })
    }

    /// How many there are, the command's name included.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The bytes of argument `index`.
    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        self.0.get(index).map(|argument| argument.bytes())
    }

    /// Argument `index` as the name of a key.
    pub(crate) fn name(self, index: usize) -> Option<KeyName<'a>> {
        self.0.get(index).copied()
    }
}

/// A name of our own, kept as long as we like, on the main thread.
pub(crate) struct OwnedName {
    raw: NonNull<RedisModuleString>,
}

impl OwnedName {
    /// A new string of the server with these bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        // SAFETY: a null context is allowed and means that we free the string ourselves, in `drop`.
        let created = unsafe { api!(RedisModule_CreateString(ptr::null_mut(), bytes.as_ptr().cast(), bytes.len())) };
        let Some(raw) = created.and_then(NonNull::new) else {
            // Cannot happen on a server: every one has the function, and aborts when memory ends. There is no string to go on with.
            std::process::abort()
        };
        Self { raw }
    }

    /// # Safety
    /// `raw` is null or a string whose reference is now ours.
    pub(super) unsafe fn from_raw(raw: *mut RedisModuleString) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw })
    }

    /// As an argument for the functions that take a name.
    pub(crate) fn as_name(&self) -> KeyName<'_> {
        KeyName { raw: self.raw, borrowed: PhantomData }
    }

    /// The bytes themselves, not a copy.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.as_name().bytes()
    }
}

impl Drop for OwnedName {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and given back once.
        unsafe {
            api!(RedisModule_FreeString(ptr::null_mut(), self.raw.as_ptr()));
        }
    }
}

impl Clone for OwnedName {
    fn clone(&self) -> Self {
        self.as_name().hold()
    }
}

impl fmt::Debug for OwnedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}
