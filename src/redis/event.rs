//! What happens to the server as a whole.

use std::os::raw::c_void;

use redis_module::raw::{
    self, RedisModuleClientInfoV1, RedisModuleCtx, RedisModuleEvent, RedisModuleFlushInfoV1, RedisModuleSwapDbInfoV1,
};

use super::command::conjure;
use super::context::{Context, Level};
use super::guard::guard;
use super::{OK, api};

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// [`ServerEvent::RoleChanged`].
    Role,
    /// [`ServerEvent::LoadingStarted`], [`ServerEvent::LoadingEnded`].
    Loading,
    /// [`ServerEvent::FlushStarted`], [`ServerEvent::FlushEnded`].
    Flush,
    /// [`ServerEvent::Swapped`].
    SwapDb,
    /// [`ServerEvent::ClientConnected`], [`ServerEvent::ClientGone`].
    Client,
    /// [`ServerEvent::Shutdown`].
    Shutdown,
    /// [`ServerEvent::Cron`].
    Cron,
}

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
    LoadingEnded {
        /// Well.
        is_ok: bool,
    },
    /// A database, or all (None), is about to be emptied. No value's `unlink` is called for it.
    FlushStarted(Option<i32>),
    /// It is empty.
    FlushEnded(Option<i32>),
    /// Two databases changed places.
    Swapped(i32, i32),
    /// A client came.
    ClientConnected(u64),
    /// A client is gone, however it went. May happen inside another client's MULTI.
    ClientGone(u64),
    /// The server is about to end.
    Shutdown,
    /// Ten times a second or so.
    Cron,
}

impl EventKind {
    /// The server's id and version of the data.
    fn raw(self) -> RedisModuleEvent {
        let id = match self {
            EventKind::Role => raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
            EventKind::Loading => raw::REDISMODULE_EVENT_LOADING,
            EventKind::Flush => raw::REDISMODULE_EVENT_FLUSHDB,
            EventKind::SwapDb => raw::REDISMODULE_EVENT_SWAPDB,
            EventKind::Client => raw::REDISMODULE_EVENT_CLIENT_CHANGE,
            EventKind::Shutdown => raw::REDISMODULE_EVENT_SHUTDOWN,
            EventKind::Cron => raw::REDISMODULE_EVENT_CRON_LOOP,
        };
        RedisModuleEvent { id, dataver: 1 }
    }
}

/// Calls `function`, which captures nothing, for every event of these kinds. One function can be given per kind.
pub(crate) fn subscribe<F>(context: &Context, kinds: &[EventKind], _: F)
where
    F: Fn(&Context, ServerEvent) + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a subscriber captures nothing") };
    for &kind in kinds {
        // SAFETY: the context is live; the callback fits events of version 1.
        let status = unsafe {
            api!(RedisModule_SubscribeToServerEvent(
                context.raw(),
                kind.raw(),
                Some(on_event::<F>)
            ))
        };
        if status != Some(OK) {
            context.log(
                Level::Warning,
                &format!("this server does not tell events of the kind {kind:?}"),
            );
        }
    }
}

unsafe extern "C" fn on_event<F>(context: *mut RedisModuleCtx, event: RedisModuleEvent, subevent: u64, data: *mut c_void)
where
    F: Fn(&Context, ServerEvent) + Copy + 'static,
{
    guard((), || {
        // SAFETY: context and data live for the call, the data is what the event's id says; `subscribe` has seen a value of `F`.
        let (event, function, context) =
            unsafe { (decode(event.id, subevent, data), conjure::<F>(), Context::from_raw(context)) };
        if let Some(event) = event {
            function(&context, event);
        }
    });
}

/// # Safety
/// `data` is null or what the server passes with this event.
unsafe fn decode(id: u64, subevent: u64, data: *mut c_void) -> Option<ServerEvent> {
    // SAFETY: in all of these, as the caller promises.
    Some(match (id, subevent) {
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, role) => ServerEvent::RoleChanged {
            is_master: role == raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER,
        },
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_ENDED) => ServerEvent::LoadingEnded { is_ok: true },
        (raw::REDISMODULE_EVENT_LOADING, raw::REDISMODULE_SUBEVENT_LOADING_FAILED) => ServerEvent::LoadingEnded { is_ok: false },
        (raw::REDISMODULE_EVENT_LOADING, _) => ServerEvent::LoadingStarted,
        (raw::REDISMODULE_EVENT_FLUSHDB, phase) => {
            // SAFETY: see above.
            let info = unsafe { data.cast::<RedisModuleFlushInfoV1>().as_ref() }?;
            let db = (info.dbnum >= 0).then_some(info.dbnum);
            if phase == raw::REDISMODULE_SUBEVENT_FLUSHDB_START {
                ServerEvent::FlushStarted(db)
            } else {
                ServerEvent::FlushEnded(db)
            }
        }
        (raw::REDISMODULE_EVENT_SWAPDB, _) => {
            // SAFETY: see above.
            let info = unsafe { data.cast::<RedisModuleSwapDbInfoV1>().as_ref() }?;
            ServerEvent::Swapped(info.dbnum_first, info.dbnum_second)
        }
        (raw::REDISMODULE_EVENT_CLIENT_CHANGE, change) => {
            // SAFETY: see above.
            let client = unsafe { data.cast::<RedisModuleClientInfoV1>().as_ref() }?.id;
            if change == raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_CONNECTED {
                ServerEvent::ClientConnected(client)
            } else {
                ServerEvent::ClientGone(client)
            }
        }
        (raw::REDISMODULE_EVENT_SHUTDOWN, _) => ServerEvent::Shutdown,
        (raw::REDISMODULE_EVENT_CRON_LOOP, _) => ServerEvent::Cron,
        _ => return None,
    })
}
