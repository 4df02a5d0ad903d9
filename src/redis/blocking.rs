//! Clients that wait. The server blocks them on keys, so that it treats them as it treats BLPOP's (cluster moves, REPLICAOF,
//! CLIENT UNBLOCK); but keys are never signalled: the module keeps its own line, and unblocks who is served.
//!
//! What the server calls, and when (7.0, 8.2, valkey 9.1):
//!
//! | cause | calls |
//! | --- | --- |
//! | [`Blocked::unblock`] | `timeout`: inside `unblock` on 7.0 and valkey, before the next sleep of the event loop on 8.2 |
//! | CLIENT UNBLOCK id TIMEOUT | `timeout` at once |
//! | the key comes to be (RENAME, RESTORE, the first push …) | `ready`, of every waiter on it |
//! | close, CLIENT KILL, CLIENT UNBLOCK id ERROR, REPLICAOF, a slot that moved | `disconnected` at once, if nothing was replied yet |
//! | the same within the event-loop turn of `unblock` or `ready`, where the client is gone | `disconnected`, at the turn's end |
//! | in the end, always | the waiter's drop, once no [`Blocked`] is left |
//!
//! The server itself calls the timeout callback twice at times, and the disconnect callback after a reply (7.0), or not at
//! all (7.0 and valkey, after `unblock`). Here `timeout` runs once at most, and not after `ready` served; `disconnected` once at most.

use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Deref;
use std::os::raw::c_int;
use std::ptr;
use std::rc::Rc;

use redis_module::raw::{RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};

use super::context::Context;
use super::guard::guard;
use super::string::KeyName;
use super::{ERR, OK, api};

/// What a waiting client waits for. Shared ([`Blocked`]), so what changes in it is in cells.
pub(crate) trait Waiter: 'static {
    /// A key it waits for came to be or was changed by a command that signals. True: served, and the reply is made here.
    /// May change queues and replicate, each call being a unit of its own; but must change nothing if it answers false.
    fn ready(&self, context: &Context, key: KeyName<'_>) -> bool;

    /// Makes the reply: what the waiter was given before `unblock`, else what a timeout answers.
    ///
    /// It may run inside `unblock`, so it must borrow nothing that a caller of `unblock` holds; and it must neither change
    /// a queue nor replicate, as writes may be paused.
    fn timeout(&self, context: &Context);

    /// The client is gone, or was sent an error by the server: what the waiter was given, if anything, did not reach it, even
    /// if the reply was made already. No changes here (writes may be paused): at most a timer that makes them.
    ///
    /// Not told of: a client whose connection breaks after the reply was handed to the network; and on valkey, CLIENT UNBLOCK
    /// ERROR or REPLICAOF in the very turn of `unblock`, which drop the reply of a client that lives on.
    fn disconnected(&self);
}

/// A client that waits, or has waited. Cheap to clone.
pub(crate) struct Blocked<W>(Rc<Record<W>>);

struct Record<W> {
    /// The server's handle; null once it has freed it.
    handle: Cell<*mut RedisModuleBlockedClient>,
    /// The reply was made.
    answered: Cell<bool>,
    /// The waiter was told that the client is gone.
    gone: Cell<bool>,
    client: u64,
    waiter: W,
}

impl Context {
    /// Whether the caller can be made to wait: not in MULTI, a script or another module's call, and not the master's link.
    pub(crate) fn can_wait(&self) -> bool {
        let flags = self.flags();
        !(flags.denies_blocking() || flags.is_replicated() || flags.is_loading())
    }

    /// Makes the caller wait on these keys, for ever unless unblocked, if it [can](Blocked::waits). It must not have been replied to.
    pub(crate) fn block_on_keys<W: Waiter>(&self, keys: &[KeyName<'_>], waiter: W) -> Blocked<W> {
        let record = Record {
            handle: Cell::new(ptr::null_mut()),
            answered: Cell::new(false),
            gone: Cell::new(false),
            client: self.client_id(),
            waiter,
        };
        let blocked = Blocked(Rc::new(record));
        let Some(count) = c_int::try_from(keys.len()).ok().filter(|&count| count > 0 && self.can_wait()) else {
            return blocked;
        };
        let shared = Rc::into_raw(Rc::clone(&blocked.0)).cast_mut().cast::<c_void>();
        // SAFETY: the context is that of a running command; `KeyName` is a transparent pointer, and the server takes references of
        // its own on the keys; `shared` is one reference count, given back by `on_free`, which the server calls once.
        let handle = unsafe {
            api!(RedisModule_BlockClientOnKeys(
                self.raw(),
                Some(on_ready::<W>),
                Some(on_timeout::<W>),
                Some(on_free::<W>),
                0,
                keys.as_ptr().cast_mut().cast(),
                count,
                shared
            ))
        };
        let handle = handle.unwrap_or(ptr::null_mut());
        if handle.is_null() {
            // SAFETY: the server has nothing of it then: nothing else holds this count.
            drop(unsafe { Rc::from_raw(shared.cast::<Record<W>>()) });
            return blocked;
        }
        // SAFETY: the handle is live.
        unsafe {
            api!(RedisModule_SetDisconnectCallback(handle, Some(on_disconnect::<W>)));
        }
        blocked.0.handle.set(handle);
        blocked
    }
}

impl<W: Waiter> Blocked<W> {
    /// Whether the client waits. [`Context::can_wait`] knows most who cannot; valkey refuses one of RESP3 that has subscribed, too.
    pub(crate) fn waits(&self) -> bool {
        !self.0.handle.get().is_null()
    }

    /// Ends the wait: the waiter's `timeout` replies. Harmless when it has ended already.
    pub(crate) fn unblock(&self) {
        let handle = self.0.handle.get();
        if !handle.is_null() {
            // SAFETY: the handle is live until `on_free`, which nulls it; for clients blocked on keys the server minds repetition.
            unsafe {
                api!(RedisModule_UnblockClient(handle, ptr::null_mut()));
            }
        }
    }
}

impl<W> Clone for Blocked<W> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<W> Deref for Blocked<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.0.waiter
    }
}

/// The record of the blocked client that a callback is about.
///
/// # Safety
/// `context` is that of a callback of a client blocked with a `Record<W>`, before `on_free`.
unsafe fn record<W>(context: *mut RedisModuleCtx) -> Option<Rc<Record<W>>> {
    // SAFETY: the private data is the reference count that `block_on_keys` gave away; it stays, so ours is one more.
    unsafe {
        let shared: *const Record<W> = api!(RedisModule_GetBlockedClientPrivateData(context))?.cast();
        if shared.is_null() {
            return None;
        }
        Rc::increment_strong_count(shared);
        Some(Rc::from_raw(shared))
    }
}

unsafe extern "C" fn on_ready<W: Waiter>(context: *mut RedisModuleCtx, _: *mut *mut RedisModuleString, _: c_int) -> c_int {
    guard(ERR, || {
        // SAFETY: the server calls this for a client blocked with a `Record<W>`; context and key live for the call.
        let (record, key, context) = unsafe {
            let key = api!(RedisModule_GetBlockedClientReadyKey(context)).unwrap_or(ptr::null_mut());
            (record::<W>(context), KeyName::from_raw(key), Context::from_raw(context))
        };
        let (Some(record), Some(key)) = (record, key) else {
            return ERR;
        };
        if record.answered.get() || record.gone.get() || !record.waiter.ready(&context, key) {
            return ERR;
        }
        record.answered.set(true);
        OK
    })
}

unsafe extern "C" fn on_timeout<W: Waiter>(context: *mut RedisModuleCtx, _: *mut *mut RedisModuleString, _: c_int) -> c_int {
    // SAFETY: the server calls this for a client blocked with a `Record<W>`; the context lives for the call.
    let (record, context) = unsafe { (record::<W>(context), Context::from_raw(context)) };
    let Some(record) = record else { return OK };
    if record.gone.get() || record.answered.replace(true) {
        return OK;
    }
    let replied = guard(false, || {
        record.waiter.timeout(&context);
        true
    });
    if !replied {
        context.error("ERR a bug was caught in this command, see the server's log");
        // Whatever it was given is lost on it, and it must not be given more.
        guard((), || record.tell_gone());
    }
    OK
}

/// Called before the client is freed, but also when the server unblocks it with an error.
unsafe extern "C" fn on_disconnect<W: Waiter>(context: *mut RedisModuleCtx, _: *mut RedisModuleBlockedClient) {
    guard((), || {
        // SAFETY: the server calls this for a client blocked with a `Record<W>`.
        let Some(record) = (unsafe { record::<W>(context) }) else {
            return;
        };
        // After a reply it may be either, and `on_free` can tell.
        if !record.answered.get() {
            record.tell_gone();
        }
    });
}

/// Called last, in the turn of the event loop in which the wait ended, before replies are sent.
unsafe extern "C" fn on_free<W: Waiter>(_: *mut RedisModuleCtx, shared: *mut c_void) {
    guard((), || {
        // SAFETY: the reference count that `block_on_keys` gave away, given back once.
        let record = unsafe { Rc::from_raw(shared.cast::<Record<W>>()) };
        record.handle.set(ptr::null_mut());
        if !record.answered.get() || !is_connected(record.client) {
            record.tell_gone();
        }
    });
}

impl<W: Waiter> Record<W> {
    fn tell_gone(&self) {
        if !self.gone.replace(true) {
            self.waiter.disconnected();
        }
    }
}

/// Whether there is a client of this id.
pub(super) fn is_connected(client: u64) -> bool {
    // SAFETY: null asks for nothing but the status.
    unsafe { api!(RedisModule_GetClientInfoById(ptr::null_mut(), client)) == Some(OK) }
}
