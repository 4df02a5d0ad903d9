//! Rust's memory comes from the server's allocator, so that `used_memory`, `maxmemory` and MEMORY USAGE see it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::raw::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::api;

#[global_allocator]
static ALLOCATOR: ServerAllocator = ServerAllocator;

struct ServerAllocator;

/// Nothing has been allocated yet.
const UNDECIDED: u8 = 0;
/// The C library's allocator: the server's was not known at the first allocation (a unit test, or code that ran before `OnLoad`).
const LIBC: u8 = 1;
/// The server's allocator, which aligns to 8 bytes only (a build that keeps each block's size in front of it, as on musl).
const SERVER_ALIGNS_8: u8 = 2;
/// The server's allocator, which aligns to 16 bytes, as jemalloc and glibc do.
const SERVER_ALIGNS_16: u8 = 3;

/// Decided at the first allocation and kept for ever, so that a block always goes back to where it came from.
static SOURCE: AtomicU8 = AtomicU8::new(UNDECIDED);

/// Whether memory is counted by the server; false means that something allocated before the API was there.
pub(super) fn is_the_servers() -> bool {
    source() >= SERVER_ALIGNS_8
}

/// What a block of `len` bytes takes of the server's memory, as one shows that is made for it; None if that cannot be seen.
pub(crate) fn block_bytes(len: usize) -> Option<usize> {
    // SAFETY: a plain allocation, given back at once.
    unsafe {
        let block = api!(RedisModule_Alloc(len)).filter(|block| !block.is_null())?;
        let bytes = api!(RedisModule_MallocSize(block));
        api!(RedisModule_Free(block));
        bytes
    }
}

/// Where memory comes from. Relaxed is enough: the first allocation is made by the one thread that loads the module.
fn source() -> u8 {
    match SOURCE.load(Ordering::Relaxed) {
        UNDECIDED => decide(),
        decided => decided,
    }
}

#[cold]
fn decide() -> u8 {
    // SAFETY: a plain allocation of 16 bytes, given back at once; both functions were set together, or neither was.
    let address = unsafe {
        let block = api!(RedisModule_Alloc(16)).unwrap_or(ptr::null_mut());
        if !block.is_null() {
            api!(RedisModule_Free(block));
        }
        block as usize
    };
    let decided = match address {
        0 => LIBC,
        address if address % 16 == 0 => SERVER_ALIGNS_16,
        _ => SERVER_ALIGNS_8,
    };
    SOURCE.store(decided, Ordering::Relaxed);
    decided
}

/// How many bytes to ask the server for, so that the block is aligned as the layout wants; None where asking does not help.
///
/// Redis builds its jemalloc with a quantum of 8: blocks of 24, 40 or 56 bytes are aligned to 8 only. Blocks of a multiple of
/// 16 bytes are aligned to 16 there, with the usual quantum, and in glibc. (hashbrown's tables ask for 16, of any size, and
/// crash the server when they do not get it.)
fn natural_size(layout: Layout, source: u8) -> Option<usize> {
    match layout.align() {
        ..=8 => Some(layout.size()),
        16 if source == SERVER_ALIGNS_16 => layout.size().checked_next_multiple_of(16),
        _ => None,
    }
}

/// A block for a layout that the server's allocator cannot align: a larger one, with its own address in the word before
/// the aligned part.
///
/// # Safety
/// The server's allocator is the source.
unsafe fn allocate_aligned(layout: Layout) -> *mut u8 {
    let room = layout.align().max(size_of::<usize>());
    let Some(total) = layout.size().checked_add(room) else {
        return ptr::null_mut();
    };
    // SAFETY: every block is aligned to 8, so the aligned address is at least 8 (room for the word) and at most `room` bytes
    // into the block, and `layout.size()` bytes remain after it.
    unsafe {
        let block = server_alloc(total);
        if block.is_null() {
            return block;
        }
        let aligned = block.add(room - (block as usize % room));
        word_before(aligned).write(block);
        aligned
    }
}

/// Where `allocate_aligned` keeps the block's own address.
///
/// # Safety
/// `aligned` is what `allocate_aligned` answered.
#[expect(clippy::cast_ptr_alignment, reason = "aligned parts begin at multiples of 8 at least")]
unsafe fn word_before(aligned: *mut u8) -> *mut *mut u8 {
    // SAFETY: the block has room for a word there.
    unsafe { aligned.cast::<*mut u8>().sub(1) }
}

/// # Safety
/// The server's allocator is the source.
unsafe fn server_alloc(size: usize) -> *mut u8 {
    // SAFETY: any size is fine.
    unsafe { api!(RedisModule_Alloc(size)) }.unwrap_or(ptr::null_mut::<c_void>()).cast()
}

// SAFETY: blocks come from the server's allocator or the C library's, from one of them only (`SOURCE`), and are aligned as
// asked: by the allocator itself, or by `allocate_aligned`.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let source = source();
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe {
            if source == LIBC {
                return System.alloc(layout);
            }
            match natural_size(layout, source) {
                Some(size) => server_alloc(size),
                None => allocate_aligned(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let source = source();
        // SAFETY: as in `alloc`; the aligned block has `layout.size()` bytes.
        unsafe {
            if source == LIBC {
                return System.alloc_zeroed(layout);
            }
            if let Some(size) = natural_size(layout, source) {
                return api!(RedisModule_Calloc(1, size)).unwrap_or(ptr::null_mut::<c_void>()).cast();
            }
            let block = allocate_aligned(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let source = source();
        // SAFETY: `block` came from this allocator with this layout, so from the same branch of `alloc`.
        unsafe {
            if source == LIBC {
                System.dealloc(block, layout);
            } else if natural_size(layout, source).is_some() {
                api!(RedisModule_Free(block.cast()));
            } else {
                let original = word_before(block).read();
                api!(RedisModule_Free(original.cast()));
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let source = source();
        // SAFETY: the caller promises that `new_size` is not 0 and does not overflow when rounded up to the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: as in `dealloc`; the server's realloc keeps what both sizes have in common.
        unsafe {
            if source == LIBC {
                return System.realloc(block, layout, new_size);
            }
            // Whether there is a natural size depends on the alignment, which stays.
            if let Some(size) = natural_size(new_layout, source) {
                return api!(RedisModule_Realloc(block.cast(), size)).unwrap_or(ptr::null_mut()).cast();
            }
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
