//! A text that can be configured.

use std::sync::Mutex;

use redis_module::raw::RedisModuleString;

use super::string::OwnedName;

/// A configured text: set by the server, read by us. A `static`.
pub(crate) struct Text(Mutex<Option<Stored>>);

/// The string in the form in which CONFIG GET wants it.
struct Stored(OwnedName);

// SAFETY: the string is ours alone (`OwnedName::new`, never cloned), so its reference count has one owner, whichever thread
// holds the lock; the server reads it through `raw` on the main thread, the only one that replaces it.
unsafe impl Send for Stored {}

impl Text {
    /// Empty until the settings are loaded.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// A copy of the text.
    pub(crate) fn get(&self) -> Vec<u8> {
        self.with(|stored| stored.map(|text| text.bytes().to_vec()).unwrap_or_default())
    }

    pub(super) fn set(&self, bytes: &[u8]) {
        let mut stored = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *stored = Some(Stored(OwnedName::new(bytes)));
    }

    /// What the server copies from, before anything can replace it.
    pub(super) fn raw(&self) -> *mut RedisModuleString {
        self.with(|stored| stored.map_or(std::ptr::null_mut(), |text| text.as_name().raw()))
    }

    fn with<R>(&self, read: impl FnOnce(Option<&OwnedName>) -> R) -> R {
        let stored = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        read(stored.as_ref().map(|stored| &stored.0))
    }
}
