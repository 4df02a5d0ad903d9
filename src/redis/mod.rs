//! The server's module API behind safe, thin wrappers: the only `unsafe` of the module.
//!
//! Three rules hold everywhere below. A function that a server lacks is looked up, never unwrapped. Whatever the server calls is
//! wrapped in [`guard::guard`], because a panic that crosses into C aborts the server. And everything but a value's drop
//! runs on the server's main thread, so nothing here is `Send` unless it says why.

pub(crate) mod alloc;
pub(crate) mod aof;
pub(crate) mod blocking;
pub(crate) mod command;
mod command_info;
mod command_spec;
pub(crate) mod config;
mod config_callbacks;
pub(crate) mod context;
pub(crate) mod datatype;
pub(crate) mod defrag;
pub(crate) mod digest;
pub(crate) mod error;
pub(crate) mod event;
#[cfg(feature = "fault-injection")]
pub(crate) mod fault;
mod guard;
pub(crate) mod info;
pub(crate) mod key;
pub(crate) mod keyspace;
mod listeners;
pub(crate) mod load;
mod publish;
pub(crate) mod rdb;
pub(crate) mod reply;
pub(crate) mod string;
pub(crate) mod timer;

/// Calls a function of the module API: `Some(result)`, or `None` where this server does not have it.
///
/// Used inside an `unsafe` block, whose SAFETY comment speaks for the arguments. Reading the function pointer is
/// sound because the pointers are written once, by `Export_RedisModule_Init`, before anything else of ours runs.
macro_rules! api {
    ($name:ident($($argument:expr),* $(,)?)) => {
        match redis_module::raw::$name {
            Some(function) => Some(function($($argument),*)),
            None => None,
        }
    };
}
use api;

/// Flags as the server takes them, bit for bit.
const fn signed(bits: u32) -> std::os::raw::c_int {
    std::os::raw::c_int::from_ne_bytes(bits.to_ne_bytes())
}

/// Flags as the server tells them, bit for bit.
const fn unsigned(bits: std::os::raw::c_int) -> u32 {
    u32::from_ne_bytes(bits.to_ne_bytes())
}

/// `REDISMODULE_OK`.
const OK: std::os::raw::c_int = 0;
/// `REDISMODULE_ERR`.
const ERR: std::os::raw::c_int = 1;
