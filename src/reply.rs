//! Replies that several commands make.

use crate::redis::context::Context;
use crate::redis::error::Error;
use taskqueue::{ClaimView, State, TaskId};

impl Context {
    /// A task's id.
    pub(crate) fn id(&self, id: TaskId<'_>) {
        match id {
            TaskId::Named(name) => self.bulk(name.as_bytes()),
            TaskId::Made(made) => made.with_text(|text| self.bulk(text)),
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
pub(crate) fn claimed_task(context: &Context, task: &ClaimView<'_>) {
    context.array(5);
    context.id(task.id);
    context.bulk(task.payload);
    context.integer(i64::from(task.attempt));
    context.integer(task.lease.0.cast_signed());
    context.bulk_or_null(task.checkpoint);
}

/// What `TASK.RESULT` answers: `[state, data]`, or nil for no task.
pub(crate) fn result(context: &Context, found: Option<(State, Option<&[u8]>)>) {
    match found {
        Some((state, data)) => {
            context.array(2);
            context.state(state);
            context.bulk_or_null(data);
        }
        None => context.null_array(),
    }
}

/// What `TASK.CALL` and `TASK.GATHER` answer for a task: `[id, state, data]`, the state being nil for no task.
pub(crate) fn result_of(context: &Context, id: TaskId<'_>, found: Option<(State, Option<&[u8]>)>) {
    context.array(3);
    context.id(id);
    if let Some((state, data)) = found {
        context.state(state);
        context.bulk_or_null(data);
    } else {
        context.null();
        context.null();
    }
}

/// What became of each of several tasks.
pub(crate) type Outcomes = Vec<Result<(), Error>>;

/// OK or an error for each.
pub(crate) fn outcomes(context: &Context, outcomes: &Outcomes) {
    context.array(outcomes.len());
    for outcome in outcomes {
        match outcome {
            Ok(()) => context.ok(),
            Err(error) => context.refuse(error),
        }
    }
}

/// What a claim's answer is a part of.
#[derive(Clone, Copy)]
pub(crate) enum Frame<'a> {
    /// Nothing: it is the whole answer.
    Bare,
    /// Of `TASK.MCOMPLETE … NEXT`: `[outcomes, claim]`.
    After(&'a Outcomes),
    /// Of TASK.MCLAIM: `[queue, claim]`, or nil.
    Of(&'a [u8]),
}

impl Frame<'_> {
    /// What stands before the tasks.
    pub(crate) fn open(self, context: &Context) {
        match self {
            Self::Bare => {}
            Self::After(before) => {
                context.array(2);
                outcomes(context, before);
            }
            Self::Of(queue) => {
                context.array(2);
                context.bulk(queue);
            }
        }
    }

    /// The answer if there is no task.
    pub(crate) fn nil(self, context: &Context) {
        if let Self::After(_) = self {
            self.open(context);
        }
        context.null_array();
    }
}
