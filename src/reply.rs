//! Replies that several commands make.

use crate::redis::context::Context;
use std::io::Write;
use taskqueue::{Queue, Slot, State, TaskId, TaskView};

impl Context {
    /// A task's id.
    pub(crate) fn id(&self, id: TaskId<'_>) {
        match id {
            TaskId::Named(name) => self.bulk(name.as_bytes()),
            TaskId::Made(made) => {
                // The longest made id has 21 characters.
                let mut buffer = [0; 24];
                let mut rest = &mut buffer[..];
                let written = write!(rest, "{made}").map_or(0, |()| 24 - rest.len());
                self.bulk(buffer.get(..written).unwrap_or_default());
            }
        }
    }

    /// Any bytes, or nothing.
    pub(crate) fn bulk_or_null(&self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A number that is not negative.
    pub(crate) fn count(&self, number: usize) {
        self.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// The word for a state, as a bulk string.
    pub(crate) fn state(&self, state: State) {
        self.bulk(state.name().as_bytes());
    }
}

/// A claimed task, as `TASK.CLAIM` answers it: `[id, payload, attempt, lease-ms, checkpoint]`.
pub(crate) fn claimed_task(context: &Context, task: &TaskView<'_>, now: taskqueue::UnixMs) {
    context.array(5);
    context.id(task.id);
    context.bulk_or_null(task.payload);
    context.integer(i64::from(task.attempt));
    context.integer(task.deadline.map_or(0, |deadline| deadline.since(now).0.cast_signed()));
    context.bulk_or_null(task.checkpoint);
}

/// What `TASK.RESULT` answers: `[state, data]`.
pub(crate) fn result(context: &Context, queue: &Queue, slot: Slot) {
    let (state, data) = queue.result(slot);
    context.array(2);
    context.state(state);
    context.bulk_or_null(data);
}
