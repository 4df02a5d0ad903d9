//! What the module keeps between commands beside the keys: who waits, and what falls due. On the main thread alone.

use crate::agenda::Agenda;
use crate::waiters::Waiters;
use std::cell::RefCell;
use taskqueue::Journal;

/// The module's memory. Nothing in it outlives a restart, and nothing of it is needed to understand a key.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) waiters: Waiters,
    pub(crate) agenda: Agenda,
    /// Kept for its memory.
    pub(crate) journal: Journal,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Lends the state. `body` must not call what may come back here: no unblocking, no opening of keys.
pub(crate) fn with<R>(body: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(body)
}
