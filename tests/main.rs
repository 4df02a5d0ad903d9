//! The promises of docs/commands.md, kept against real servers: one file per command or promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

mod batches;
mod call;
mod cancel;
mod claim;
mod clock;
mod cluster;
mod cluster_load;
mod cluster_nodes;
mod complete;
mod config;
mod crash;
mod defrag;
mod documents;
mod errors;
mod events;
mod exactly_once;
mod examples;
mod extend;
mod fail;
mod failover;
mod forget;
mod gather;
mod get;
mod hostile;
mod ids;
mod info;
mod introspection;
mod key_commands;
mod list;
mod listeners;
mod mclaim;
mod mcomplete;
mod memory;
mod memory_usage;
mod mpush;
mod next;
mod order;
mod panics;
mod persistence;
mod push;
mod random;
mod release;
mod replication;
mod result;
mod retry;
mod security;
mod sessions;
mod soak;
mod time;
mod traps;
mod waiting_for_results;
mod waiting_for_tasks;
