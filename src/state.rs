//! What the module keeps between commands beside the keys: who waits, what falls due, and where connections have claims. On the main thread alone.

use crate::agenda::Agenda;
#[cfg(feature = "fault-injection")]
use crate::redis::command::{Access, Arg, CommandSpec, handler};
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
    /// Transactions that are open: more than one, if who hears of a change makes another.
    pub(crate) depth: u32,
    /// Such a change was made.
    pub(crate) was_nested: bool,
}

/// `TASK.STATE key`: for tests, how much of each kind it holds, as names and counts: all 0 when nobody waits and nothing is due. The
/// key only makes it routable.
#[cfg(feature = "fault-injection")]
pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.state",
    handler: handler(|context, _| {
        let counts = with(|state| {
            [
                state.waiters.counts().as_slice(),
                &state.agenda.counts(),
                &state.agenda.turns.counts(),
                &state.agenda.sessions.counts(),
            ]
            .concat()
        });
        context.array(2 * counts.len());
        for (name, count) in counts {
            context.bulk(name.as_bytes());
            context.integer(i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(())
    }),
    flags: "readonly",
    arity: 2,
    summary: "For tests: how much the module remembers beside the keys.",
    complexity: "O(N)",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("key")],
    access: Access::Read,
    acl: "read dangerous",
};

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Lends the state. `body` must not call what may come back here: no unblocking, no opening of keys.
pub(crate) fn with<R>(body: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(body)
}
