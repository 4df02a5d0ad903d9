//! Whether anybody listens to what is replicated.
//!
//! `RM_Replicate` costs nearly as much as a whole GET even where its command then goes nowhere, so it is left out where nobody listens
//! for certain: a master outside a cluster that has no AOF, no replica and no replication backlog.
//!
//! The AOF is asked for at each command. A backlog is only ever made anew with a new replication id, so whoever goes on from it has data that
//! was taken after that: by a fork, or by a SAVE. Both are told before the next command, and so is a replica that comes online. What
//! was done before is then in that data, and what follows is replicated. Whatever may bring a listener (these, a change of role,
//! loading) counts as one until a look at the server's figures shows none.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::api;
use super::context::{Context, now_ms};

/// How often to look.
const LOOK_MS: i64 = 1_000;

/// Whether replicas may be listening. On the main thread alone, so relaxed loads and stores will do; so for all of these.
static MAY_LISTEN: AtomicBool = AtomicBool::new(true);
/// Whether the server tells of all that may bring a listener.
static IS_WATCHED: AtomicBool = AtomicBool::new(false);
static LOOKED_MS: AtomicI64 = AtomicI64::new(0);

/// The server tells of all that may bring a listener, or not: then there always may be one.
pub(super) fn watch(is_told: bool) {
    IS_WATCHED.store(is_told, Ordering::Relaxed);
}

/// Something happened that may bring a listener.
pub(super) fn may_have_come() {
    MAY_LISTEN.store(true, Ordering::Relaxed);
}

/// Looks whether anybody listens. To be called often, between commands.
pub(super) fn look(context: &Context) {
    let now = now_ms();
    let is_time = now.abs_diff(LOOKED_MS.load(Ordering::Relaxed)) >= LOOK_MS.unsigned_abs();
    if is_time && IS_WATCHED.load(Ordering::Relaxed) {
        LOOKED_MS.store(now, Ordering::Relaxed);
        let flags = context.flags();
        let is_alone = flags.is_master() && !flags.is_cluster() && !flags.is_loading() && has_no_replication(context);
        MAY_LISTEN.store(!is_alone, Ordering::Relaxed);
    }
}

/// Whether the server says that it has neither replicas, in whatever state, nor a backlog.
fn has_no_replication(context: &Context) -> bool {
    // SAFETY: the context is live, and the name a C string.
    let info = unsafe { api!(RedisModule_GetServerInfo(context.raw(), c"replication".as_ptr())) };
    let Some(info) = info.filter(|info| !info.is_null()) else {
        return false;
    };
    let is_zero = |name: &CStr| {
        let mut error = 0;
        // SAFETY: the figures are live until they are freed below, the name is a C string, and the server writes one int.
        let value = unsafe { api!(RedisModule_ServerInfoGetFieldUnsigned(info, name.as_ptr(), &raw mut error)) };
        error == 0 && value == Some(0)
    };
    let has_none = is_zero(c"connected_slaves") && is_zero(c"repl_backlog_active");
    // SAFETY: the figures came from the server, and are freed once.
    unsafe {
        api!(RedisModule_FreeServerInfo(context.raw(), info));
    }
    has_none
}

impl Context {
    /// Whether what this call does must be replicated, as somebody may be listening.
    pub(crate) fn is_listened_to(&self) -> bool {
        MAY_LISTEN.load(Ordering::Relaxed) || !self.is_command() || self.flags().has_aof()
    }

    /// Counts a change that is not replicated, so that the server's `save` points see it.
    pub(crate) fn count_change(&self) {
        // To replicate the command as it came is the cheapest way to count one. It goes nowhere, or into a backlog from where nobody goes on.
        self.replicate_verbatim();
    }
}
