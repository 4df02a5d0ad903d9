//! Whether an effect can be of a queue's history.
//!
//! Whoever applies effects refuses nothing that a master has done. But bytes come from disks, networks and `RESTORE` too, so what no
//! master can have done is told apart here, before anything changes: else an index would lose a task, or a count overflow.

use crate::effect::{Change, Head, Image, Order, Pushed};
use crate::error::Mismatch;
use crate::id::{MadeId, TaskId};
use crate::index::segments::Slot;
use crate::options::Start;
use crate::queue::{Queue, TASKS_MAX};
use crate::state::{LastClaim, State};
use crate::time::{Ms, UnixMs};

/// No made id is larger: it is of the year 6429. A dump that says so leaves room for the ids of other queues in the server, which are
/// made larger than its own.
pub(crate) const MADE_ID_MAX: MadeId = MadeId(u64::MAX / 2);

/// A task that is restored has claims left to number, as the fence needs. Four billion claims of one task are not reached honestly.
const ATTEMPT_MAX: u32 = u32::MAX - 1_000_000;

impl Queue {
    pub(crate) fn admit_pushed(&self, pushed: &Pushed<'_>) -> Result<(), Mismatch> {
        self.admit_id(pushed.id)?;
        let is_made = matches!(pushed.id, TaskId::Made(id) if id > self.head.last_id && id <= MADE_ID_MAX);
        valid((is_made || !pushed.made) && self.is_new(pushed.at, &pushed.order))
    }

    pub(crate) fn admit_change(&self, slot: Slot, change: &Change<'_>) -> Result<(), Mismatch> {
        let task = self.tasks.at(slot);
        let state = task.state();
        let is_answerable = state == State::Claimed || (state == State::Ready && task.last_claim() == LastClaim::Lapsed);
        let ended_badly = matches!(state, State::Failed | State::Canceled | State::Expired);
        valid(match *change {
            Change::Ripened { order, .. } => state == State::Scheduled && self.is_new_place(order),
            Change::Claimed { attempt, lease, at, .. } => {
                state == State::Ready && attempt == task.attempt.saturating_add(1) && lease <= Ms::MAX && comes(Some(at))
            }
            Change::Extended { .. } | Change::Lapsed { .. } | Change::Failed { lapsed: true, .. } => state == State::Claimed,
            Change::Requeued { order, .. } => is_answerable && self.is_new_place(order),
            Change::Completed { .. }
            | Change::BackedOff { .. }
            | Change::Failed { lapsed: false, .. }
            | Change::Released { .. }
            | Change::Deferred { .. } => is_answerable,
            Change::Canceled { .. } => !state.is_terminal(),
            Change::Expired { .. } => self.extra(task).ttl_at.get().is_some(),
            Change::Revived { order, .. } => (ended_badly || state == State::Scheduled) && self.is_new_place(order),
            Change::Renewed { at, order } => ended_badly && self.is_new(at, &order),
            Change::Dropped => state.is_terminal(),
            Change::Bounded { .. } => self.session(slot).is_some(),
        })
    }

    /// A snapshot begins with it, so there is nothing yet whose numbers it could take back.
    pub(crate) fn admit_head(&self, head: &Head) -> Result<(), Mismatch> {
        valid(self.is_empty() && head.last_id <= MADE_ID_MAX)
    }

    pub(crate) fn admit_image(&self, image: &Image<'_>) -> Result<(), Mismatch> {
        self.admit_id(image.id)?;
        let extra = image.extra.unwrap_or_default();
        let was_claimed = image.attempt > 0;
        let claim_fits = match (image.state, image.last_claim) {
            (State::Scheduled | State::Ready | State::Canceled | State::Expired, LastClaim::Open) => !was_claimed,
            (State::Scheduled | State::Ready | State::Canceled | State::Expired, LastClaim::Voided)
            | (State::Scheduled, LastClaim::FailedToScheduled | LastClaim::Released)
            | (State::Ready, LastClaim::FailedToScheduled | LastClaim::FailedToReady | LastClaim::Released | LastClaim::Lapsed)
            | (State::Claimed, LastClaim::Open)
            | (State::Completed, LastClaim::Completed)
            | (State::Failed, LastClaim::FailedForGood | LastClaim::Lapsed) => was_claimed,
            _ => false,
        };
        let may_have_ttl = matches!(image.state, State::Scheduled | State::Ready)
            && matches!(image.last_claim, LastClaim::Open | LastClaim::Voided);
        let has_place = matches!(image.state, State::Ready | State::Claimed);
        valid(
            claim_fits
                && image.worker.is_some() == was_claimed
                && extra.uncounted <= image.attempt
                && (extra.ttl_at.is_none() || may_have_ttl)
                && ((extra.claimed_at, extra.timeout_at, extra.session) == (None, None, false) || image.state == State::Claimed)
                && [extra.created, extra.ttl_at, extra.claimed_at].into_iter().all(comes)
                && image.attempt <= ATTEMPT_MAX
                && image.worker.is_none_or(|(_, lease)| lease <= Ms::MAX)
                && extra.options.is_none_or(|options| options.is_valid())
                && (extra.created.is_some() || matches!(image.id, TaskId::Made(_)))
                && (image.order <= self.head.last_order || !has_place),
        )
    }

    /// Whether a task of this id can be added.
    fn admit_id(&self, id: TaskId<'_>) -> Result<(), Mismatch> {
        valid(id.is_valid() && self.len() < TASKS_MAX)?;
        let is_free = matches!(id, TaskId::Made(id) if self.ids.is_surely_free(id)) || self.find(id).is_none();
        if is_free { Ok(()) } else { Err(Mismatch::KnownTask) }
    }

    fn is_new(&self, at: UnixMs, order: &Order<'_>) -> bool {
        let has_new_place = match order.start {
            Start::Ready { order } => self.is_new_place(order),
            Start::Scheduled { .. } => true,
        };
        has_new_place && comes(Some(at)) && comes(order.ttl_at) && order.options.is_none_or(|options| options.is_valid())
    }

    const fn is_new_place(&self, order: u64) -> bool {
        order == self.next_order()
    }
}

/// Whether an instant is one that comes; it is kept as none if not.
fn comes(instant: Option<UnixMs>) -> bool {
    instant != Some(UnixMs::NEVER)
}

const fn valid(holds: bool) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(Mismatch::Invalid) }
}
