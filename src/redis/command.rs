//! Commands: how one is described, registered and called.

use std::ffi::CString;
use std::os::raw::c_int;
use std::ptr::{self, NonNull};

use redis_module::raw::{RedisModuleCommand, RedisModuleCtx, RedisModuleString};

use super::command_info::Info;
pub(crate) use super::command_spec::{Access, Arg, join};
use super::context::Context;
use super::error::Error;
use super::guard::guard;
use super::string::Argv;
use super::{OK, api};

/// A command as the server and COMMAND DOCS know it. All texts are plain, without NUL.
#[derive(Debug)]
pub(crate) struct CommandSpec {
    /// As clients write it, such as `task.push`.
    pub(crate) name: &'static str,
    /// What runs: [`handler`] of a function.
    pub(crate) handler: Handler,
    /// The flags of `RM_CreateCommand`, such as `write deny-oom fast`.
    pub(crate) flags: &'static str,
    /// The number of arguments with the name; `-n` for at least n. The server checks it.
    pub(crate) arity: i32,
    /// One line.
    pub(crate) summary: &'static str,
    /// Such as `O(log N)`.
    pub(crate) complexity: &'static str,
    /// The version of the module that brought it.
    pub(crate) since: &'static str,
    /// Tips for clients and proxies, space-separated, such as `nondeterministic_output`; may be empty.
    pub(crate) tips: &'static str,
    /// Its arguments, without the name.
    pub(crate) args: &'static [Arg],
    /// What it does to its key, which is its first argument, or its keys.
    pub(crate) access: Access,
    /// ACL categories of the server, space-separated, such as `write fast`. Redis before 7.2 has none for modules.
    pub(crate) acl: &'static str,
}

/// Where the key, or the number of keys, stands among the arguments, the command's name being number 0.
pub(super) const KEY_POSITION: c_int = 1;

/// A function that answers a command, in the form in which the server can call it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler(unsafe extern "C" fn(*mut RedisModuleCtx, *mut *mut RedisModuleString, c_int) -> c_int);

/// The handler that runs `function`, replies with its error if it refuses, and catches its panics.
///
/// The server's callback has no room for a pointer of ours, so each function gets a C function of its own, made by the
/// compiler from the function's type: `function` must be a plain function or a closure that captures nothing.
pub(crate) const fn handler<F>(_: F) -> Handler
where
    F: Fn(&Context, Argv<'_>) -> Result<(), Error> + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a handler captures nothing") };
    Handler(run::<F>)
}

/// The one instance of a type of size zero.
///
/// # Safety
/// `F` has size zero, is `Copy`, and a value of it has existed.
pub(super) unsafe fn conjure<F: Copy>() -> F {
    // SAFETY: reading no bytes from a dangling, aligned pointer is fine, and the caller promises that `F` has a value.
    unsafe { NonNull::<F>::dangling().read() }
}

unsafe extern "C" fn run<F>(context: *mut RedisModuleCtx, arguments: *mut *mut RedisModuleString, count: c_int) -> c_int
where
    F: Fn(&Context, Argv<'_>) -> Result<(), Error> + Copy + 'static,
{
    // SAFETY: the server lends context and arguments for this call.
    let context = unsafe { Context::of_command(context) };
    let outcome = guard(None, || {
        // SAFETY: as above, and `handler` has seen a value of `F`, of size zero.
        let (function, arguments) = unsafe { (conjure::<F>(), Argv::from_raw(arguments, count)) };
        Some(function(&context, arguments))
    });
    guard((), || match outcome {
        Some(Ok(())) => {}
        Some(Err(error)) => context.refuse(&error),
        None => context.error("ERR a bug was caught in this command, see the server's log"),
    });
    OK
}

/// Registers a command with all there is to know about it; `category` is an ACL category of our own, if there is one.
pub(super) fn register(context: &Context, spec: &CommandSpec, category: Option<&str>) -> Result<(), Error> {
    let refused = |what: &str| Error::new("ERR", format!("the server refused {what} of the command {}", spec.name));
    let name = c_string(spec.name);
    create(context, spec, &name).ok_or_else(|| refused("the flags"))?;
    // SAFETY: the context is live, the name a C string.
    let command = unsafe { api!(RedisModule_GetCommand(context.raw(), name.as_ptr())) }.unwrap_or(ptr::null_mut());
    if command.is_null() {
        return Err(refused("the name"));
    }
    let info = Info::new(spec);
    // SAFETY: the command is live; the info and all it points to outlive the call, which copies them.
    if unsafe { api!(RedisModule_SetCommandInfo(command, info.raw())) } != Some(OK) {
        return Err(refused("the description"));
    }
    set_acl(command, spec, category).ok_or_else(|| refused("the ACL categories"))
}

fn create(context: &Context, spec: &CommandSpec, name: &CString) -> Option<()> {
    let flags = c_string(spec.flags);
    // As old clients know it; where that does not tell, they ask the server by COMMAND GETKEYS.
    let (place, step) = if matches!(spec.access, Access::None | Access::UpdateCounted) { (0, 0) } else { (KEY_POSITION, 1) };
    let function = Some(spec.handler.0 as _);
    // SAFETY: the context is live and loading; name and flags are C strings, which are copied; the handler is one of `run`.
    let created =
        unsafe { api!(RedisModule_CreateCommand(context.raw(), name.as_ptr(), function, flags.as_ptr(), place, place, step)) };
    (created == Some(OK)).then_some(())
}

fn set_acl(command: *mut RedisModuleCommand, spec: &CommandSpec, category: Option<&str>) -> Option<()> {
    let categories = c_string(&category.map_or_else(|| spec.acl.to_owned(), |category| format!("{} {category}", spec.acl)));
    // SAFETY: the command is live; the categories are a C string, which is copied.
    let set = unsafe { api!(RedisModule_SetCommandACLCategories(command, categories.as_ptr())) };
    // Absent before Redis 7.2: there the commands are in no category.
    set.is_none_or(|status| status == OK).then_some(())
}

/// Adds an ACL category of our own, and answers its name. None before Redis 7.4, where modules can have none: a command that names one there is refused.
pub(super) fn add_acl_category<'a>(context: &Context, name: &'a str) -> Option<&'a str> {
    let category = c_string(name);
    // SAFETY: the context is live and loading; the name is copied.
    match unsafe { api!(RedisModule_AddACLCategory(context.raw(), category.as_ptr())) } {
        None => None,
        Some(OK) => Some(name),
        Some(_) => {
            context.warn(&format!("the server refused the ACL category {name}"));
            None
        }
    }
}

/// A text of ours for the server; NULs, which none has, are dropped.
pub(super) fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().filter(|&byte| byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}
