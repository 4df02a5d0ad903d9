//! What time does by itself: delays end, TTLs end, claims lapse, finished tasks go.

use crate::batch::KEPT;
use crate::effect::{Change, Effect};
use crate::index::segments::Slot;
use crate::op::depend::tell;
use crate::op::flow::keep_settings;
use crate::op::unique::free_keys;
use crate::options::Defaults;
use crate::queue::Queue;
use crate::session::Connection;
use crate::time::UnixMs;
use crate::txn::Txn;

/// Why a task failed whose last claim ended without an answer.
pub const LEASE_EXPIRED: &[u8] = b"lease expired";
/// Why a task failed whose last claim ran into its TIMEOUT.
pub const TIMEOUT: &[u8] = b"timeout";

/// What falls due first of a kind, and what then happens to it.
type Kind = (fn(&Queue, &Defaults) -> Option<(UnixMs, Slot)>, fn(&mut Txn<'_>, Slot, &Defaults));

/// Does what has fallen due, at most `count` of each kind, so that no kind starves another. Answers whether something is left;
/// if not, [`Queue::soonest`] is exact.
///
/// What ended earlier is dropped first: what ends in this very tick still has its waiters to tell. What schedules ask for is
/// [`fire`](super::fire)'s.
pub fn tick(txn: &mut Txn<'_>, count: usize, defaults: &Defaults) -> bool {
    let drops: [Kind; 1] = [(Queue::next_drop, |txn, slot, _| txn.record_drop(slot))];
    let batches: [Kind; 3] = [
        (|queue, _| queue.batches.first(&queue.batches.done), |txn, batch, _| drop_batch(txn, batch)),
        (Queue::next_abandoned, |txn, batch, _| drop_batch(txn, batch)),
        (|queue, _| Some((UnixMs(0), queue.batches.next_leaving()?)), |txn, slot, _| txn.record_drop(slot)),
    ];
    let tasks: [Kind; 5] = [
        (|queue, _| queue.due.first(&queue.tasks), |txn, slot, _| ripen(txn, slot)),
        (|queue, _| queue.ttls.first().copied(), expire),
        (Queue::next_closed, lapse),
        (Queue::next_unknown, |txn, slot, _| bound(txn, slot)),
        (|queue, _| queue.leases.first(&queue.tasks), lapse),
    ];
    if txn.queue().flow.is_some() {
        keep_settings(txn, count);
    }
    let has_batches = !txn.queue().batches.is_empty();
    happen(txn, drops, count, defaults);
    if has_batches {
        happen(txn, batches, count, defaults);
    }
    happen(txn, tasks, count, defaults);
    tell(txn, count, defaults);
    free_keys(txn, count);
    let mut soonest = soonest(txn, drops, defaults).min(soonest(txn, tasks, defaults));
    if let Some((at, _)) = txn.queue().uniques.first_end() {
        soonest = soonest.min(at);
    }
    if has_batches {
        soonest = soonest.min(self::soonest(txn, batches, defaults));
    }
    let others = txn.queue().next_opening(txn.now()).min(txn.queue().next_slot());
    txn.set_soonest(soonest.min(others));
    txn.queue().soonest() <= txn.now()
}

/// Does what has fallen due of these kinds.
#[allow(clippy::inline_always, reason = "so that the compiler sees which functions the kinds are: 4 % of a tick")]
#[inline(always)]
fn happen<const N: usize>(txn: &mut Txn<'_>, kinds: [Kind; N], count: usize, defaults: &Defaults) {
    let now = txn.now();
    for (next, happen) in kinds {
        for _ in 0..count {
            let Some((_, slot)) = next(txn.queue(), defaults).filter(|&(at, _)| at <= now) else { break };
            happen(txn, slot, defaults);
        }
    }
}

/// When the next of these kinds falls due.
#[allow(clippy::inline_always, reason = "so that the compiler sees which functions the kinds are: 4 % of a tick")]
#[inline(always)]
fn soonest<const N: usize>(txn: &Txn<'_>, kinds: [Kind; N], defaults: &Defaults) -> UnixMs {
    let instants = kinds.iter().filter_map(|(next, _)| next(txn.queue(), defaults));
    instants.map(|(at, _)| at).min().unwrap_or(UnixMs::NEVER)
}

fn drop_batch(txn: &mut Txn<'_>, batch: Slot) {
    let name = txn.queue().batches.slots.at(batch).name.clone();
    txn.record_other(&Effect::BatchDropped { batch: &name });
}

fn ripen(txn: &mut Txn<'_>, slot: Slot) {
    let change = Change::Ripened { order: txn.next_order(), at: txn.now() };
    txn.record(slot, &change);
}

pub(crate) fn expire(txn: &mut Txn<'_>, slot: Slot, defaults: &Defaults) {
    let at = txn.now();
    let drop_at = txn.queue().options(slot, defaults).retain.drop_at(at);
    txn.record(slot, &Change::Expired { at, drop_at });
}

fn lapse(txn: &mut Txn<'_>, slot: Slot, defaults: &Defaults) {
    let (at, queue) = (txn.now(), txn.queue());
    let options = queue.options(slot, defaults);
    let change = if queue.has_tries_left(slot, &options) || sabotaged!(LastTryLapsesOn) {
        Change::Lapsed { at }
    } else {
        // A session may end before its timeout.
        let timed_out = queue.timeout_at(slot).is_some_and(|timeout_at| timeout_at == queue.deadline(slot) && timeout_at <= at);
        let error = if timed_out { TIMEOUT } else { LEASE_EXPIRED };
        let drop_at = options.retain_failed.drop_at(at);
        Change::Failed { error, lapsed: true, at, drop_at }
    };
    txn.record(slot, &change);
}

/// A session's claim of which no connection is known has one lease from now.
fn bound(txn: &mut Txn<'_>, slot: Slot) {
    let deadline = txn.queue().lease_end(slot, None, txn.now());
    txn.record(slot, &Change::Bounded { deadline });
}

impl Queue {
    /// The next claim whose connection was closed. That is due at once.
    fn next_closed(&self, _: &Defaults) -> Option<(UnixMs, Slot)> {
        let is_overlooked = sabotaged!(SessionOutlivesConnection);
        self.sessions.first_of(Connection::CLOSED).filter(|_| !is_overlooked).map(|slot| (UnixMs(0), slot))
    }

    /// The next session's claim whose connection is not known. So is that.
    fn next_unknown(&self, _: &Defaults) -> Option<(UnixMs, Slot)> {
        let is_overlooked = sabotaged!(SessionNotBounded);
        self.sessions.first_of(Connection::UNKNOWN).filter(|_| !is_overlooked).map(|slot| (UnixMs(0), slot))
    }

    /// The finished task that goes next.
    fn next_drop(&self, _: &Defaults) -> Option<(UnixMs, Slot)> {
        self.finished.iter().filter_map(|deadlines| deadlines.first(&self.tasks)).min().filter(|&(at, _)| at < KEPT)
    }

    /// The batch that goes next because it has been left alone for as long as failed tasks are kept. Not never, if that is for ever: the
    /// server's setting may change, and such a queue must be known then.
    fn next_abandoned(&self, defaults: &Defaults) -> Option<(UnixMs, Slot)> {
        let (since, batch) = self.batches.first(&self.batches.idle)?;
        Some((self.defaults(defaults).retain_failed.drop_at(since).min(UnixMs::MAX), batch))
    }
}
