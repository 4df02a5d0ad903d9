//! Tasks that wait for others: each sentence of PROTOCOL section 5 on dependencies, and that no number of them is too many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod ends;
mod kept;
mod many;
mod server;
#[path = "../support/mod.rs"]
mod support;
