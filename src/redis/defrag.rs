//! Active defragmentation: blocks are moved to where memory is less scattered. Only servers with a jemalloc of their own do it.

use std::marker::PhantomData;
use std::os::raw::c_ulong;
use std::ptr;

use redis_module::raw::RedisModuleDefragCtx;

use super::{OK, alloc, api};

/// A turn at defragmenting a value.
pub(crate) struct Defrag<'a> {
    raw: *mut RedisModuleDefragCtx,
    turn: PhantomData<&'a ()>,
}

impl Defrag<'_> {
    /// # Safety
    /// `raw` is the context of a `defrag` callback that is running.
    pub(super) unsafe fn new(raw: *mut RedisModuleDefragCtx) -> Self {
        Self { raw, turn: PhantomData }
    }

    /// Moves a block, if that is worth it.
    pub(crate) fn move_bytes(&self, block: &mut Box<[u8]>) {
        let len = block.len();
        let moved = self.moved(block.as_mut_ptr(), len);
        if !moved.is_null() {
            // SAFETY: the server copied the block to `moved` and freed the old one, so the old box is neither read nor dropped.
            unsafe { ptr::write(block, Box::from_raw(ptr::slice_from_raw_parts_mut(moved, len))) };
        }
    }

    /// Moves a text, if that is worth it.
    pub(crate) fn move_text(&self, block: &mut Box<str>) {
        let len = block.len();
        let moved = self.moved(block.as_mut_ptr(), len);
        if !moved.is_null() {
            // SAFETY: as in `move_bytes`; and the bytes are those of the text, so they are UTF-8.
            unsafe { ptr::write(block, Box::from_raw(ptr::slice_from_raw_parts_mut(moved, len) as *mut str)) };
        }
    }

    /// Where the server moved the block to; null if it left it.
    fn moved(&self, block: *mut u8, len: usize) -> *mut u8 {
        // An empty block is none; and what is not the server's it must not free.
        if len == 0 || !alloc::is_the_servers() {
            return ptr::null_mut();
        }
        // SAFETY: the block is from the server's allocator as it was given out: bytes need no alignment, see `alloc`. The context
        // lives.
        unsafe { api!(RedisModule_DefragAlloc(self.raw, block.cast())) }.unwrap_or(ptr::null_mut()).cast()
    }

    /// Where the last turn at this value stopped; 0 at first.
    pub(crate) fn cursor(&self) -> u32 {
        let mut cursor: c_ulong = 0;
        // SAFETY: the context lives; the cursor is written to.
        let known = unsafe { api!(RedisModule_DefragCursorGet(self.raw, &raw mut cursor)) } == Some(OK);
        if known { u32::try_from(cursor).unwrap_or(0) } else { 0 }
    }

    /// Whether the turn is over, and the next one will begin at `cursor`.
    pub(crate) fn stops_at(&self, cursor: u32) -> bool {
        // SAFETY: the context lives. A value that is small, as the server sees it, has no cursor and goes through in one turn.
        unsafe {
            api!(RedisModule_DefragShouldStop(self.raw)).is_some_and(|stop| stop != 0)
                && api!(RedisModule_DefragCursorSet(self.raw, cursor.into())) == Some(OK)
        }
    }
}
