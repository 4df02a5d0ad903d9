//! The server as a callback sees it: who calls, in which database, and what may be done.

use std::ffi::{CStr, CString};
use std::os::raw::c_int;
use std::process;
use std::ptr;
use std::slice;
use std::time::Duration;

use redis_module::raw::{self, RedisModuleCtx};

use super::blocking::is_connected;
use super::command_spec::Access;
use super::string::{KeyName, OwnedName};
use super::{OK, api, key, signed, unsigned};

/// The id of the client as which the server reads its append-only file: see `CLIENT_ID_AOF` in the server's source.
const AOF_CLIENT: u64 = u64::MAX;

/// What the server hands to every callback. It is only ever lent (`&Context`), as it is gone when the callback returns.
#[derive(Debug)]
pub(crate) struct Context {
    raw: *mut RedisModuleCtx,
    is_command: bool,
}

impl Context {
    /// # Safety
    /// `raw` stays a live context of this module until the `Context` is dropped, on the main thread.
    pub(super) unsafe fn from_raw(raw: *mut RedisModuleCtx) -> Self {
        Self { raw, is_command: false }
    }

    /// # Safety
    /// As [`Self::from_raw`]; and a client's command is running.
    pub(super) unsafe fn of_command(raw: *mut RedisModuleCtx) -> Self {
        Self { raw, is_command: true }
    }

    /// Whether a client's command is running, rather than a timer, an event or a waiting client's reply.
    pub(super) fn is_command(&self) -> bool {
        self.is_command
    }

    pub(super) fn raw(&self) -> *mut RedisModuleCtx {
        self.raw
    }

    /// Whether the server only wants to know which arguments are keys: of a command with the flag `getkeys-api`. Nothing is to be done
    /// then, and nothing to be answered.
    pub(crate) fn asks_for_keys(&self) -> bool {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_IsKeysPositionRequest(self.raw)) }.unwrap_or(0) != 0
    }

    /// The answer to that, for each key.
    pub(crate) fn tell_key(&self, position: usize, access: Access) {
        let Ok(position) = c_int::try_from(position) else { return };
        // SAFETY: the context is live, and the server asks for keys (else the call does nothing).
        unsafe {
            api!(RedisModule_KeyAtPosWithFlags(self.raw, position, signed(access.bits())));
        }
    }

    /// State of the server and of this call; one cheap call of the server, so ask once and keep the answer.
    pub(crate) fn flags(&self) -> Flags {
        // SAFETY: the context is live.
        Flags(unsafe { api!(RedisModule_GetContextFlags(self.raw)) }.unwrap_or(0))
    }

    /// The database that keys are opened in.
    pub(crate) fn selected_db(&self) -> i32 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetSelectedDb(self.raw)) }.unwrap_or(0)
    }

    /// Changes that database; false if there is none of that number, or while a key is open.
    pub(crate) fn select_db(&self, db: i32) -> bool {
        // SAFETY: the context is live; the server checks the number.
        !key::is_any_open() && unsafe { api!(RedisModule_SelectDb(self.raw, db)) } == Some(OK)
    }

    /// The client's id; of a script, a number of no meaning, and 0 where there is no client.
    pub(crate) fn client_id(&self) -> u64 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetClientId(self.raw)) }.unwrap_or(0)
    }

    /// The client's id, if it is a real one, and of a master: not a script's, another module's or a link between servers.
    pub(crate) fn connection(&self) -> Option<u64> {
        let (flags, id) = (self.flags(), self.client_id());
        let is_real = flags.is_master() && !flags.in_script() && !flags.is_replicated() && is_connected(id);
        is_real.then_some(id)
    }

    /// Whether this command comes from the server's own append-only file.
    pub(crate) fn is_from_aof(&self) -> bool {
        self.client_id() == AOF_CLIENT && self.flags().is_loading()
    }

    /// Ends the server, as it ends itself when it cannot read a file that it starts with or is sent by its master.
    pub(crate) fn end_server(&self, line: &str) -> ! {
        self.warn(line);
        process::exit(1)
    }

    /// What the client called itself with CLIENT SETNAME or HELLO.
    pub(crate) fn client_name(&self) -> Option<OwnedName> {
        // SAFETY: the context is live, and the returned reference is ours (no automatic memory is on).
        unsafe { OwnedName::from_raw(api!(RedisModule_GetClientNameById(self.raw, self.client_id()))?) }
    }

    /// Sends `command key bytes` to replicas and the AOF, in this call's unit; false if the server knows no such command.
    ///
    /// Never while [`avoid_replica_traffic`] unless a client's command is running: a timer that replicates then kills the server.
    pub(crate) fn replicate(&self, command: &CStr, key: KeyName<'_>, bytes: &[u8]) -> bool {
        // SAFETY: the context is live; the format `sb` takes a string, a pointer and a length, which follow and are copied.
        let replicated = unsafe {
            api!(RedisModule_Replicate(self.raw, command.as_ptr(), c"sb".as_ptr(), key.raw(), bytes.as_ptr(), bytes.len()))
        };
        replicated == Some(OK)
    }

    /// Sends this very command on, as it came.
    pub(crate) fn replicate_verbatim(&self) {
        // SAFETY: the context is live, and a command is running.
        unsafe {
            api!(RedisModule_ReplicateVerbatim(self.raw));
        }
    }

    /// Tells keyspace subscribers (class `d`, of modules) what happened to a key of the selected database.
    pub(crate) fn notify(&self, event: &CStr, key: KeyName<'_>) {
        let class = raw::REDISMODULE_NOTIFY_MODULE;
        // SAFETY: the context is live; event and name outlive the call.
        unsafe {
            api!(RedisModule_NotifyKeyspaceEvent(self.raw, class, event.as_ptr(), key.raw()));
        }
    }

    /// Fails the EXEC of those who WATCH the key, and invalidates what clients cached of it.
    pub(crate) fn signal_modified_key(&self, key: KeyName<'_>) {
        // SAFETY: the context is live, and so is the name.
        unsafe {
            api!(RedisModule_SignalModifiedKey(self.raw, key.raw()));
        }
    }

    /// Writes a warning to the server's log, which cuts it at about 1,000 bytes.
    pub(crate) fn warn(&self, line: &str) {
        let line: Vec<u8> = line.bytes().filter(|&byte| byte != 0).collect();
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the context is live; the format takes one C string, which follows.
        unsafe {
            api!(RedisModule_Log(self.raw, c"warning".as_ptr(), c"%s".as_ptr(), line.as_ptr()));
        }
    }

    /// Whether the server would refuse this write of a client now: too few replicas, failed persistence, a read-only replica,
    /// cluster down, a slot of another node. `probe` is a command of ours that writes nothing and takes one key.
    ///
    /// Not told by it: paused writes ([`avoid_replica_traffic`]) and a writable replica (check for a master first).
    pub(crate) fn refuses_writes(&self, probe: &CStr, key: KeyName<'_>) -> bool {
        self.refusal(probe, key).is_some()
    }

    /// The error with which it would: see [`Self::refuses_writes`].
    pub(crate) fn refusal(&self, probe: &CStr, key: KeyName<'_>) -> Option<String> {
        // S: check what a client's command is checked for. E: refusals as replies; valkey 9.1 crashes on `S` without it.
        self.error_of_call(probe, c"SEs", key)
    }

    /// Whether the server would refuse what takes memory, if a client asked for it now. `probe` as in [`Self::refuses_writes`], with the
    /// flag `deny-oom`.
    pub(crate) fn refuses_pushes(&self, probe: &CStr, key: KeyName<'_>) -> bool {
        let flags = self.flags();
        // A server that evicts keys makes room for a client first; whether it could for the last one is known to it alone.
        // M: check for memory as well. It tells of the last command, so only a server that is short of it now is asked.
        flags.is_out_of_memory() && (!flags.evicts() || self.error_of_call(probe, c"SEMs", key).is_some())
    }

    /// Whether this node serves the key's slot; always true outside a cluster.
    pub(crate) fn owns_key(&self, key: KeyName<'_>) -> bool {
        !self.flags().is_cluster() || self.error_of_call(c"EXISTS", c"Es", key).is_none()
    }

    /// What a command refuses with, if it does: no text, if the server says no more than that.
    fn error_of_call(&self, command: &CStr, format: &CStr, key: KeyName<'_>) -> Option<String> {
        // SAFETY: the context is live; all formats take one string, which follows; the text of the reply is copied before that is freed, once.
        unsafe {
            let reply = api!(RedisModule_Call(self.raw, command.as_ptr(), format.as_ptr(), key.raw()));
            let reply = reply.unwrap_or(ptr::null_mut());
            if reply.is_null() {
                return Some(String::new());
            }
            let kind = api!(RedisModule_CallReplyType(reply)).unwrap_or(-1);
            let error = (kind as isize == raw::REDISMODULE_REPLY_ERROR).then(|| {
                let mut length = 0;
                let text = api!(RedisModule_CallReplyStringPtr(reply, &raw mut length)).unwrap_or(ptr::null());
                if text.is_null() {
                    String::new()
                } else {
                    String::from_utf8_lossy(slice::from_raw_parts(text.cast(), length)).into_owned()
                }
            });
            api!(RedisModule_FreeCallReply(reply));
            error
        }
    }
}

/// Whether writes are paused (CLIENT PAUSE, FAILOVER, a cluster failover): what is not a client's command must wait.
pub(crate) fn avoid_replica_traffic() -> bool {
    // SAFETY: no arguments.
    unsafe { api!(RedisModule_AvoidReplicaTraffic()) }.unwrap_or(0) != 0
}

/// Shows in the server's LATENCY that something took so long, if that is what it watches for.
pub(crate) fn add_latency(event: &CStr, took: Duration) {
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    // SAFETY: the name lives for the call, in which the server copies it.
    unsafe {
        api!(RedisModule_LatencyAddSample(event.as_ptr(), ms));
    }
}

/// The wall clock, in Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    // SAFETY: no arguments.
    unsafe { api!(RedisModule_Milliseconds()) }.unwrap_or(0)
}

/// State of the server and of the running call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(c_int);

/// One question per flag.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bits:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub(crate) fn $name(self) -> bool {
                unsigned(self.0) & $bits != 0
            })*
        }
    };
}

flags! {
    /// The server is a master.
    is_master = raw::REDISMODULE_CTX_FLAGS_MASTER;
    /// The command came over the link from the master (on valkey also by slot migration).
    is_replicated = raw::REDISMODULE_CTX_FLAGS_REPLICATED;
    /// The server is loading its data: an RDB, an AOF, or a full sync.
    is_loading = raw::REDISMODULE_CTX_FLAGS_LOADING | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
    /// The caller cannot wait: it runs in MULTI, a script or another module.
    denies_blocking = raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING | raw::REDISMODULE_CTX_FLAGS_MULTI | raw::REDISMODULE_CTX_FLAGS_LUA;
    /// The command runs in a script or function, whose client is not a real one.
    in_script = raw::REDISMODULE_CTX_FLAGS_LUA;
    /// The server keeps an append-only file.
    has_aof = raw::REDISMODULE_CTX_FLAGS_AOF;
    /// The server uses more memory than `maxmemory` says.
    is_out_of_memory = raw::REDISMODULE_CTX_FLAGS_OOM;
    /// Keys may be deleted when it does.
    evicts = raw::REDISMODULE_CTX_FLAGS_EVICT;
    /// The server is a node of a cluster.
    is_cluster = raw::REDISMODULE_CTX_FLAGS_CLUSTER;
}
