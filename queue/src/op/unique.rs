//! `UNIQUE` of a push: keys of which each is one task's at a time.

use crate::effect::{Change, Effect, Keyed};
use crate::error::Refusal;
use crate::id::{MadeId, OwnedId};
use crate::index::segments::Slot;
use crate::op::depend::{After, On};
use crate::op::push::{Push, PushOutcome, Terms, push, seal_if_asked};
use crate::options::Start;
use crate::queue::Queue;
use crate::state::State;
use crate::time::{Ms, UnixMs};
use crate::txn::Txn;
use crate::unique::{Held, Key, lasts};
use serde::{Deserialize, Serialize};

/// The key of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique<'a> {
    /// Its name.
    pub key: &'a str,
    /// It is held for so long after the push, rather than until the task has ended.
    pub hold: Option<Ms>,
    /// A holder takes what is pushed, or another task follows it.
    pub replace: bool,
}

/// A push with a key. What has the id answers first, then who holds the key; else the task is added, or begins again, and has it.
///
/// # Errors
/// Those of [`push`].
#[cold]
pub(super) fn push_unique(
    txn: &mut Txn<'_>,
    with_key: &Push<'_>,
    unique: Unique<'_>,
    floor: MadeId,
) -> Result<PushOutcome, Refusal> {
    let (now, plain) = (txn.now(), Push { unique: None, ..*with_key });
    let terms = Terms::of(&plain, now)?;
    let known = plain.id.and_then(|id| txn.queue().find(id)).filter(|&slot| !txn.queue().is_leaving(slot));
    if known.is_some_and(|slot| !(plain.renew && txn.queue().ended_badly(slot))) {
        return push(txn, &plain, floor);
    }
    let until = unique.hold.map(|hold| now.after(hold));
    let (outcome, follows) = match txn.queue().held_at(unique.key, now) {
        None => (push(txn, &plain, floor)?, false),
        Some(Held::ByGone) => return Ok(unchanged(txn, &plain, PushOutcome::Held)),
        Some(Held::By { holder, follow_up }) => {
            let next = follow_up.filter(|_| !sabotaged!(FollowUpPassedOver)).unwrap_or(holder);
            match txn.state(next) {
                _ if !unique.replace => return Ok(unchanged(txn, &plain, PushOutcome::Existing(holder))),
                State::Claimed => {
                    let holder = OwnedId::from(txn.queue().id_of(holder));
                    let after = After { on: On::Tasks(&[holder.as_id()]), run_anyway: true };
                    (push(txn, &Push { after: Some(after), ..plain }, floor)?, true)
                }
                state if state.is_terminal() => return Ok(unchanged(txn, &plain, PushOutcome::Existing(holder))),
                _ => {
                    replace(txn, next, &terms, plain.payload, unique.key, until);
                    return Ok(unchanged(txn, &plain, PushOutcome::Added(next)));
                }
            }
        }
    };
    if let PushOutcome::Added(slot) = outcome {
        take_key(txn, slot, unique.key, until, follows);
    }
    Ok(outcome)
}

/// No task was added; but the batch may be sealed by it.
fn unchanged(txn: &mut Txn<'_>, push: &Push<'_>, outcome: PushOutcome) -> PushOutcome {
    seal_if_asked(txn, push.batch);
    outcome
}

/// A holder or follow-up that is not claimed takes what is pushed. One that is ready and stays so keeps its place in line: or else it
/// would never be claimed where pushes come faster than workers.
fn replace(txn: &mut Txn<'_>, slot: Slot, terms: &Terms, payload: &[u8], key: &str, until: Option<UnixMs>) {
    free_if_over(txn, key);
    let goes_last = txn.state(slot) == State::Scheduled || (txn.state(slot) == State::Ready && sabotaged!(ReplacedGoesLast));
    let place = if goes_last { txn.next_order() } else { txn.queue().tasks.at(slot).order };
    let mut order = terms.order(payload, place);
    if let (State::Waiting, Start::Ready { order: place }) = (txn.state(slot), order.start) {
        order.start = Start::Waiting { order: place };
    }
    txn.record(slot, &Change::Replaced { at: txn.now(), order });
    let is_news = |key: &&Key| key.until.get() != until && !sabotaged!(ReplaceLeavesFor);
    if let Some(follows) = txn.queue().key(slot).filter(is_news).map(|key| key.follows) {
        txn.record_keyed(slot, &Keyed { key, until, follows });
    }
}

/// The task has the key, or will have it after its holder.
pub(super) fn take_key(txn: &mut Txn<'_>, slot: Slot, key: &str, until: Option<UnixMs>, follows: bool) {
    free_if_over(txn, key);
    txn.record_keyed(slot, &Keyed { key, until, follows });
}

/// The key that a task takes again which begins again, if its time is not over.
///
/// # Errors
/// If another has it.
pub(super) fn key_again(queue: &Queue, slot: Slot, now: UnixMs) -> Result<Option<Key>, ()> {
    let key = queue.key(slot).filter(|key| queue.ended_badly(slot) && lasts(key.until, now));
    match key {
        Some(_) if sabotaged!(RetryTakesNoKey) => Ok(None),
        Some(key) if queue.held_at(&key.name, now).is_some() => {
            if sabotaged!(RetryIgnoresKey) {
                Ok(None)
            } else {
                Err(())
            }
        }
        key => Ok(key.cloned()),
    }
}

/// The key is free now, if its time is over and the tick has not seen to it.
fn free_if_over(txn: &mut Txn<'_>, key: &str) {
    let hold = txn.queue().uniques.holds.get(key);
    if hold.is_some_and(|hold| !lasts(hold.until, txn.now())) {
        free(txn, key);
    }
}

fn free(txn: &mut Txn<'_>, key: &str) {
    txn.record_other(&Effect::KeyFreed { key, at: txn.now() });
}

/// The task is about to be forgotten: nothing holds its key on.
pub(super) fn free_key_of(txn: &mut Txn<'_>, slot: Slot) {
    let queue = txn.queue();
    if queue.hold_of(slot).is_some()
        && !sabotaged!(ForgottenHoldsKey)
        && let Some(name) = queue.key(slot).map(|key| key.name.clone())
    {
        free(txn, &name);
    }
}

/// The batch is about to be forgotten: nothing holds the keys of its tasks on.
pub(super) fn free_keys_of_batch(txn: &mut Txn<'_>, batch: &str) {
    let queue = txn.queue();
    let Some(batch) = queue.find_batch(batch).filter(|_| queue.uniques.has_tasks()) else { return };
    // All of its tasks have ended.
    let ends = queue.batches.slots.at(batch).ends.from(0).map(|(_, slot)| slot);
    let holders = ends.filter(|&slot| queue.hold_of(slot).is_some());
    let names: Vec<_> = holders.filter_map(|slot| Some(queue.key(slot)?.name.clone())).collect();
    for name in names {
        free(txn, &name);
    }
}

/// Frees at most `count` keys whose time is over.
pub(super) fn free_keys(txn: &mut Txn<'_>, count: usize) {
    for _ in 0..count {
        let next = txn.queue().uniques.first_end().filter(|&(at, _)| at <= txn.now());
        let Some(name) = next.map(|(_, name)| name.to_owned()) else { break };
        free(txn, &name);
    }
}
