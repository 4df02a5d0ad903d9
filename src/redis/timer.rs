//! Timers that fire once. Timer contexts select database 0. A timer must not write while [`avoid_replica_traffic`], and never on
//! a replica.
//!
//! [`avoid_replica_traffic`]: super::context::avoid_replica_traffic

use std::cell::Cell;
use std::os::raw::c_void;
use std::ptr;
use std::rc::Rc;

use redis_module::raw::RedisModuleCtx;

use super::api;
use super::context::Context;
use super::guard::guard;
use super::load;

/// A timer that was started. Dropping it lets the timer run.
#[must_use = "dropped, the timer can no longer be stopped"]
#[derive(Debug)]
pub(crate) struct Timer {
    id: u64,
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    /// Set before the function runs: stopping a timer from within itself would make the server free it twice.
    fired: Cell<bool>,
    function: fn(&Context),
}

/// Calls `function` in `delay_ms` milliseconds, 0 being at the end of this turn of the event loop or in the next one. Needs no context, so it works from
/// `Value::unlink` and `Waiter::disconnected` too. None off the main thread, or while the module is not loaded.
pub(crate) fn after(delay_ms: u64, function: fn(&Context)) -> Option<Timer> {
    let context = load::detached()?;
    let state = Rc::new(State { fired: Cell::new(false), function });
    let shared = Rc::into_raw(Rc::clone(&state)).cast_mut().cast::<c_void>();
    // The server adds microseconds to its clock, so it must not overflow: ten years are as good as for ever.
    let delay_ms = i64::try_from(delay_ms).unwrap_or(i64::MAX).min(315_360_000_000);
    // SAFETY: the context lives as long as the module; `shared` is one reference count, given back by `on_timer` or `stop`.
    let Some(id) = (unsafe { api!(RedisModule_CreateTimer(context, delay_ms, Some(on_timer), shared)) }) else {
        // SAFETY: nothing took the count.
        drop(unsafe { Rc::from_raw(shared.cast::<State>()) });
        return None;
    };
    Some(Timer { id, state })
}

impl Timer {
    /// Stops it; nothing happens if it has fired, or is firing.
    pub(crate) fn stop(self) {
        if self.state.fired.get() {
            return;
        }
        let Some(context) = load::detached() else {
            return;
        };
        let mut shared: *mut c_void = ptr::null_mut();
        // SAFETY: the context lives as long as the module; the timer has not fired, so its id is still its own.
        let stopped = unsafe { api!(RedisModule_StopTimer(context, self.id, &raw mut shared)) };
        if stopped == Some(super::OK) && !shared.is_null() {
            // SAFETY: the count given to the timer, which will not fire any more.
            drop(unsafe { Rc::from_raw(shared.cast::<State>()) });
        }
    }
}

unsafe extern "C" fn on_timer(context: *mut RedisModuleCtx, shared: *mut c_void) {
    // SAFETY: the count that `after` gave away; the context lives for the call.
    let (state, context) = unsafe { (Rc::from_raw(shared.cast::<State>()), Context::from_raw(context)) };
    state.fired.set(true);
    guard((), || (state.function)(&context));
}
