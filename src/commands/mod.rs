//! The commands, a file each: how it is described, how its arguments read, what it does, what it answers.

pub(crate) mod batch;
pub(crate) mod call;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod collect;
pub(crate) mod complete;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod extend;
pub(crate) mod fail;
pub(crate) mod forget;
pub(crate) mod gather;
pub(crate) mod get;
pub(crate) mod help;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod mclaim;
pub(crate) mod mcomplete;
pub(crate) mod mextend;
pub(crate) mod mpush;
pub(crate) mod push;
pub(crate) mod release;
pub(crate) mod result;
pub(crate) mod retry;
pub(crate) mod schedule;
pub(crate) mod schedules;
pub(crate) mod seal;
pub(crate) mod set;
pub(crate) mod unschedule;
pub(crate) mod workers;

pub(crate) mod fields;

mod claiming;
mod pushing;
mod selection;
