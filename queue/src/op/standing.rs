//! What a worker's answer meets: whether the claim it speaks for is still its own.

use crate::error::Refusal;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::{LastClaim, State};

/// How the claim stands that an answer speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The worker has the task.
    Live,
    /// The claim lapsed and nobody has claimed the task since: the answer is late but welcome.
    Lapsed,
    /// The claim was answered before, in this way.
    Said(LastClaim),
}

/// The task, and how the claim stands. `attempt` is the fencing token; without one the task must be claimed.
///
/// # Errors
/// In this order: [`Refusal::NoTask`], [`Refusal::Canceled`], [`Refusal::Stale`], [`Refusal::NotClaimed`].
pub(crate) fn standing(queue: &Queue, id: TaskId<'_>, attempt: Option<u32>) -> Result<(Slot, Standing), Refusal> {
    let slot = queue.find(id).ok_or(Refusal::NoTask)?;
    let task = queue.tasks.at(slot);
    let (state, last_claim) = (task.state(), task.last_claim());
    if state == State::Canceled {
        return Err(Refusal::Canceled);
    }
    let attempt = if sabotaged!(FencingSkipped) { attempt.map(|_| task.attempt) } else { attempt };
    if attempt.is_some_and(|attempt| attempt != task.attempt || attempt == 0 || last_claim == LastClaim::Voided) {
        return Err(Refusal::Stale);
    }
    let standing = match (state, last_claim) {
        (State::Claimed, _) => Standing::Live,
        (State::Ready, LastClaim::Lapsed) if attempt.is_some() => Standing::Lapsed,
        (_, said) if attempt.is_some() => Standing::Said(said),
        (state, _) => return Err(Refusal::NotClaimed(state)),
    };
    match standing {
        Standing::Lapsed if sabotaged!(LateAnswerRefused) => Err(Refusal::NotClaimed(state)),
        Standing::Said(_) if sabotaged!(RepeatNotRecognised) => Err(Refusal::Stale),
        standing => Ok((slot, standing)),
    }
}
