//! What happens to the server as a whole.

use std::os::raw::c_void;

use redis_module::raw::{
    self, RedisModuleClientInfo, RedisModuleCtx, RedisModuleEvent, RedisModuleFlushInfoV1, RedisModuleSwapDbInfoV1,
};

use super::command::conjure;
use super::context::Context;
use super::guard::guard;
use super::{OK, api, listeners};

/// What is subscribed to: the server's ids, and words for them.
const KINDS: [(u64, &str); 9] = [
    (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, "role"),
    (raw::REDISMODULE_EVENT_LOADING, "loading"),
    (raw::REDISMODULE_EVENT_FLUSHDB, "flush"),
    (raw::REDISMODULE_EVENT_SWAPDB, "swap"),
    (raw::REDISMODULE_EVENT_CLIENT_CHANGE, "client"),
    (raw::REDISMODULE_EVENT_CRON_LOOP, "cron"),
    (raw::REDISMODULE_EVENT_FORK_CHILD, "fork"),
    (raw::REDISMODULE_EVENT_PERSISTENCE, "persistence"),
    (raw::REDISMODULE_EVENT_REPLICA_CHANGE, "replica"),
];

/// One event. What was decided in it must not be replicated in it: writes may be paused. Start a timer instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// The server became a master, or a replica.
    RoleChanged {
        /// A master.
        is_master: bool,
    },
    /// Data begins to load. On valkey this comes before the flush of the old data.
    LoadingStarted,
    /// Loading ended, well or not.
    LoadingEnded,
    /// A database, or all (None), is about to be emptied. No value's `unlink` is called for it.
    FlushStarted(Option<i32>),
    /// Two databases changed places.
    Swapped(i32, i32),
    /// The client of this id is about to be freed, however its connection ended.
    ClientGone(u64),
    /// Ten times a second or so.
    Cron,
}

/// Calls `function`, which captures nothing, for every event. One function can be given.
pub(crate) fn subscribe<F>(context: &Context, _: F)
where
    F: Fn(&Context, ServerEvent) + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a subscriber captures nothing") };
    let mut are_all_told = true;
    for (id, kind) in KINDS {
        // SAFETY: the context is live; the callback fits events of version 1.
        let status = unsafe {
            api!(RedisModule_SubscribeToServerEvent(context.raw(), RedisModuleEvent { id, dataver: 1 }, Some(on_event::<F>)))
        };
        if status != Some(OK) {
            context.warn(&format!("this server does not tell events of the kind {kind}"));
            are_all_told = false;
        }
    }
    listeners::watch(are_all_told);
}

unsafe extern "C" fn on_event<F>(context: *mut RedisModuleCtx, event: RedisModuleEvent, subevent: u64, data: *mut c_void)
where
    F: Fn(&Context, ServerEvent) + Copy + 'static,
{
    // Outside of the guard: this must not be missed. Of these two kinds nobody comes to listen.
    if event.id != raw::REDISMODULE_EVENT_CRON_LOOP && event.id != raw::REDISMODULE_EVENT_CLIENT_CHANGE {
        listeners::may_have_come();
    }
    guard((), || {
        // SAFETY: context and data live for the call, the data is what the event's id says; `subscribe` has seen a value of `F`.
        let (event, function, context) =
            unsafe { (decode(event.id, subevent, data), conjure::<F>(), Context::from_raw(context)) };
        if let Some(event) = event {
            if event == ServerEvent::Cron {
                listeners::look(&context);
            }
            function(&context, event);
        }
    });
}

/// # Safety
/// `data` is null or what the server passes with this event.
unsafe fn decode(id: u64, subevent: u64, data: *mut c_void) -> Option<ServerEvent> {
    // SAFETY: in all of these, as the caller promises.
    Some(match (id, subevent) {
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, role) => {
            ServerEvent::RoleChanged { is_master: role == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER }
        }
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_ENDED | raw::REDISMODULE_SUBEVENT_LOADING_FAILED) => {
            ServerEvent::LoadingEnded
        }
        (raw::REDISMODULE_EVENT_LOADING, _) => ServerEvent::LoadingStarted,
        (raw::REDISMODULE_EVENT_FLUSHDB, raw::REDISMODULE_SUBEVENT_FLUSHDB_START) => {
            // SAFETY: see above.
            let info = unsafe { data.cast::<RedisModuleFlushInfoV1>().as_ref() }?;
            ServerEvent::FlushStarted((info.dbnum >= 0).then_some(info.dbnum))
        }
        (raw::REDISMODULE_EVENT_SWAPDB, _) => {
            // SAFETY: see above.
            let info = unsafe { data.cast::<RedisModuleSwapDbInfoV1>().as_ref() }?;
            ServerEvent::Swapped(info.dbnum_first, info.dbnum_second)
        }
        (raw::REDISMODULE_EVENT_CLIENT_CHANGE, raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED) => {
            // SAFETY: see above.
            let info = unsafe { data.cast::<RedisModuleClientInfo>().as_ref() }?;
            ServerEvent::ClientGone(info.id)
        }
        (raw::REDISMODULE_EVENT_CRON_LOOP, _) => ServerEvent::Cron,
        _ => return None,
    })
}
