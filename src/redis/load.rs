//! Loading the module: the one symbol the server looks for, and the order in which everything is made known.

use std::ffi::CStr;
use std::os::raw::c_int;
use std::ptr;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};

use super::command::{self, CommandSpec};
use super::config::{self, Setting};
use super::context::Context;
use super::datatype::{DataType, Value};
use super::error::Error;
use super::guard::guard;
use super::string::Argv;
use super::{ERR, OK, alloc, api, signed};

/// What a module is. `crate::MODULE` is the one that the server loads.
pub(crate) struct Module {
    /// Up to 63 characters; settings begin with it.
    pub(crate) name: &'static CStr,
    /// As MODULE LIST shows it.
    pub(crate) version: i32,
    /// An ACL category for its commands.
    pub(crate) acl_category: &'static str,
    /// Its commands, list by list.
    pub(crate) commands: &'static [&'static [CommandSpec]],
    /// Its settings.
    pub(crate) settings: &'static [Setting],
    /// Registers its data types, and whatever else can fail. Before the commands; no subscriptions and timers here.
    pub(crate) register: fn(&Loader<'_>) -> Result<(), Error>,
    /// Subscribes to events and starts timers, when all else has succeeded: a server that gives a module up forgets its
    /// commands, but calls its subscribers in unloaded memory.
    pub(crate) start: fn(&Context),
}

/// What can be registered while the module loads.
pub(crate) struct Loader<'a> {
    context: &'a Context,
}

impl Loader<'_> {
    /// Makes a data type known.
    pub(crate) fn data_type<T: Value>(&self, data_type: &'static DataType<T>) -> Result<(), Error> {
        data_type.register(self.context)
    }
}

/// Valkey: its atomic slot migration may move our keys (`VALKEYMODULE_OPTIONS_HANDLE_ATOMIC_SLOT_MIGRATION`).
const HANDLE_ATOMIC_SLOT_MIGRATION: u32 = 1 << 5;

/// How the server is to treat the module.
///
/// I/O errors: a short RDB is refused, instead of a panic that any client with RESTORE could cause. Signals: a key opened to be
/// written is not "modified" for WATCH before we say so. Asynchronous loading is left out: while it runs, two data sets
/// exist side by side, and the module's memory of keys is of one.
const OPTIONS: u32 = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS
    | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED
    | HANDLE_ATOMIC_SLOT_MIGRATION;

/// A context that lives as long as the module, for timers; and the thread it may be used on.
struct Detached {
    context: *mut RedisModuleCtx,
    main: ThreadId,
}

// SAFETY: the pointer is only given out on the main thread (`detached`).
unsafe impl Send for Detached {}
// SAFETY: as above.
unsafe impl Sync for Detached {}

static DETACHED: OnceLock<Detached> = OnceLock::new();

/// A context without client, in database 0; None off the main thread, or before the module is loaded.
pub(super) fn detached() -> Option<*mut RedisModuleCtx> {
    let detached = DETACHED.get()?;
    (detached.main == thread::current().id()).then_some(detached.context)
}

/// What the server calls when it loads the module.
#[unsafe(no_mangle)]
extern "C" fn RedisModule_OnLoad(context: *mut RedisModuleCtx, arguments: *mut *mut RedisModuleString, count: c_int) -> c_int {
    let module = &crate::MODULE;
    // Before anything allocates: this finds the functions of the API, the allocator's among them.
    // SAFETY: the server passes a live context; the name is a C string.
    let status =
        unsafe { raw::Export_RedisModule_Init(context, module.name.as_ptr(), module.version, signed(raw::REDISMODULE_APIVER_1)) };
    if status != OK {
        return ERR;
    }
    guard(ERR, || {
        // SAFETY: the server lends context and arguments for this call.
        let (context, arguments) = unsafe { (Context::from_raw(context), Argv::from_raw(arguments, count)) };
        match load(&context, module, arguments) {
            Ok(()) => OK,
            Err(error) => {
                context.warn(&format!("not loaded: {error}"));
                ERR
            }
        }
    })
}

fn load(context: &Context, module: &'static Module, arguments: Argv<'_>) -> Result<(), Error> {
    if !alloc::is_the_servers() {
        context.warn("the module's memory is not counted by the server");
    }
    // SAFETY: the context is live; options that a server does not know are ignored by it.
    unsafe {
        api!(RedisModule_SetModuleOptions(context.raw(), signed(OPTIONS)));
    }
    (module.register)(&Loader { context })?;
    let category = command::add_acl_category(context, module.acl_category);
    for spec in module.commands.iter().copied().flatten() {
        command::register(context, spec, category)?;
    }
    for setting in module.settings {
        setting.register(context)?;
    }
    config::load(context)?;
    config::apply_arguments(&module.name.to_string_lossy(), module.settings, arguments)?;
    // SAFETY: the context is live.
    let detached = unsafe { api!(RedisModule_GetDetachedThreadSafeContext(context.raw())) }.unwrap_or(ptr::null_mut());
    if detached.is_null() {
        return Err(Error::new("ERR", "this server has no contexts for timers"));
    }
    let _ = DETACHED.set(Detached { context: detached, main: thread::current().id() });
    (module.start)(context);
    Ok(())
}
