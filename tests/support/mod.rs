//! What the tests stand on: real servers, an exact client, bounded waiting, runnable documents.

pub(crate) mod builder;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod command_line;
pub(crate) mod dice;
pub(crate) mod dump;
pub(crate) mod events;
pub(crate) mod eventually;
pub(crate) mod history;
pub(crate) mod link;
pub(crate) mod render;
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod task;
pub(crate) mod transcript;
pub(crate) mod value;

pub(crate) use builder::{Builder, cargo, faulty_module, listener_module, module};
pub(crate) use client::Client;
pub(crate) use clock::Clock;
pub(crate) use dice::Dice;
pub(crate) use dump::Dump;
pub(crate) use events::Events;
pub(crate) use eventually::{eventually, eventually_eq, eventually_within, holds_for, now_ms};
pub(crate) use server::{Server, Shutdown};
pub(crate) use value::{Value, array, bulk, int, nil, nil_array, ok, simple};
