//! The Redis module `task`: a task queue with results as native commands.
//!
//! This crate is the shell around [`taskqueue`]: it parses commands, opens keys, replicates what the queue did, wakes who waits and
//! keeps time. See ARCHITECTURE.md.

mod agenda;
mod apply;
mod args;
mod commands;
mod config;
mod events;
mod publish;
mod redis;
mod reply;
mod report;
mod sessions;
mod state;
mod totals;
mod transact;
mod value;
mod waiters;

use redis::command::CommandSpec;
use redis::info;
use redis::load::Module;

/// The commands for clients, in the order of a task's life.
const COMMANDS: &[CommandSpec] = &[
    commands::push::SPEC,
    commands::mpush::SPEC,
    commands::call::SPEC,
    commands::claim::SPEC,
    commands::mclaim::SPEC,
    commands::extend::SPEC,
    commands::mextend::SPEC,
    commands::complete::SPEC,
    commands::mcomplete::SPEC,
    commands::fail::SPEC,
    commands::release::SPEC,
    commands::result::SPEC,
    commands::gather::SPEC,
    commands::seal::SPEC,
    commands::batch::SPEC,
    commands::collect::SPEC,
    commands::cancel::SPEC,
    commands::forget::SPEC,
    commands::retry::SPEC,
    commands::set::SPEC,
    commands::schedule::SPEC,
    commands::unschedule::SPEC,
    commands::schedules::SPEC,
    commands::get::SPEC,
    commands::info::SPEC,
    commands::list::SPEC,
    commands::explain::SPEC,
    commands::workers::SPEC,
    commands::events::SPEC,
    commands::help::SPEC,
];

/// The commands that the module says to itself and to other servers.
const INTERNAL: &[CommandSpec] = &[
    apply::SPEC,
    agenda::PROBE,
    #[cfg(feature = "fault-injection")]
    redis::fault::SPEC,
    #[cfg(feature = "fault-injection")]
    state::SPEC,
];

/// What the server loads.
static MODULE: Module = Module {
    name: c"task",
    version: VERSION,
    acl_category: "task",
    commands: &[COMMANDS, INTERNAL],
    settings: config::SETTINGS,
    register: |loader| loader.data_type(&value::QUEUE),
    start: |context| {
        info::subscribe(context, report::report);
        events::subscribe(context);
    },
};

/// The package's version as MODULE LIST shows it: 1.2.3 is 10203.
const VERSION: i32 = 100;
