//! A value's fingerprint, for DEBUG DIGEST: what two servers must agree on.

use std::marker::PhantomData;

use redis_module::raw::RedisModuleDigest;

use super::api;

/// Gathers what counts, in order; [`Self::end`] closes what belongs together.
pub(crate) struct Digest<'a> {
    raw: *mut RedisModuleDigest,
    borrowed: PhantomData<&'a mut RedisModuleDigest>,
}

impl Digest<'_> {
    /// # Safety
    /// `raw` is live for the borrow.
    pub(super) unsafe fn new(raw: *mut RedisModuleDigest) -> Self {
        Self { raw, borrowed: PhantomData }
    }

    /// Adds bytes to the current sequence.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        // SAFETY: the digest is live; the bytes are read before the call returns.
        unsafe {
            api!(RedisModule_DigestAddStringBuffer(self.raw, bytes.as_ptr().cast(), bytes.len()));
        }
    }

    /// Closes the sequence. Sequences are unordered among each other, so put whatever is ordered in one.
    pub(crate) fn end(&mut self) {
        // SAFETY: the digest is live.
        unsafe {
            api!(RedisModule_DigestEndSequence(self.raw));
        }
    }
}
