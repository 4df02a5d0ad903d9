//! Whether an effect can be of a queue's history.
//!
//! Whoever applies effects refuses nothing that a master has done. But bytes come from disks, networks and `RESTORE` too, so what no
//! master can have done is told apart here, before anything changes: else an index would lose a task, or a count overflow.

use crate::batch::{KEPT, NUMBERS_MAX, TIED, kept};
use crate::depend::{DEPENDENCIES_MAX, Of, Tie, unpack};
use crate::effect::{BatchImage, Change, Depends, Effect, Head, Image, Order, Pushed};
use crate::error::Mismatch;
use crate::group::UNGROUPED;
use crate::id::{MadeId, TaskId, parse_name};
use crate::index::segments::Slot;
use crate::options::Start;
use crate::queue::{Queue, TASKS_MAX};
use crate::state::{LastClaim, State};
use crate::time::{Ms, UnixMs};

/// No made id is larger: it is of the year 6429. A dump that says so leaves room for the ids of other queues in the server, which are
/// made larger than its own.
pub(crate) const MADE_ID_MAX: MadeId = MadeId(u64::MAX / 2);

/// Numbers of batches end here, which no honest queue comes near: so what is admitted from a dump is what a dump can hold.
const BATCHES_MAX: u64 = u64::MAX / 2;

impl Queue {
    pub(crate) fn admit_pushed_into(&self, batch: &str, pushed: &Pushed<'_>) -> Result<(), Mismatch> {
        let known = self.find_batch(batch).map(|batch| self.batches.slots.at(batch));
        let may_be = known.map_or(self.can_number_batch(), |batch| !batch.is_sealed && batch.has_room());
        valid(is_name(batch) && may_be)?;
        self.admit_pushed(pushed)
    }

    /// Whether an effect on something else than tasks can be of this queue's history.
    pub(crate) fn admit_other(&self, effect: &Effect<'_>) -> Result<(), Mismatch> {
        match effect {
            Effect::Sealed { batch, .. } => self.admit_sealed(batch),
            Effect::BatchDropped { batch } => self.admit_batch_dropped(batch),
            Effect::Set(settings) => valid(settings.is_valid()),
            Effect::Keyed(..) | Effect::KeyKept { .. } | Effect::KeyFreed { .. } => self.admit_key(effect),
            Effect::EventsBegun { .. } | Effect::EventsNumbered { .. } | Effect::EventsRestored { .. } => {
                self.admit_events(effect)
            }
            Effect::Scheduled { .. }
            | Effect::Unscheduled { .. }
            | Effect::SlotPassed { .. }
            | Effect::ScheduleRestored { .. } => self.admit_schedule(effect),
            _ => Ok(()),
        }
    }

    /// Of the log of events itself.
    pub(crate) fn admit_events(&self, effect: &Effect<'_>) -> Result<(), Mismatch> {
        valid(match effect {
            Effect::EventsBegun { at } => self.admits_begin_of_events(*at),
            Effect::EventsNumbered { next, .. } => self.admits_event_numbers(*next),
            Effect::EventsRestored { rows } => self.admits_event_rows(rows),
            _ => true,
        })
    }

    pub(crate) fn admit_grouped(&self, slot: Slot, group: &str, holds: bool) -> Result<(), Mismatch> {
        let may_change = self.tasks.at(slot).state().is_terminal() || self.group_slot(slot) == UNGROUPED;
        valid(is_name(group) && may_change && self.may_hold(slot, holds))
    }

    /// Whether the task, if it has a group, may be one that holds it, or one that does not.
    pub(crate) fn may_hold(&self, slot: Slot, holds: bool) -> bool {
        let task = self.tasks.at(slot);
        match (task.state().is_terminal() || task.attempt == 0, task.last_claim()) {
            (true, _) => !holds,
            // It has ended since its last claim, or was only made ready sooner.
            (false, LastClaim::Voided) => true,
            (false, _) => holds,
        }
    }

    pub(crate) fn admit_turned(&self, group: Option<&str>) -> Result<(), Mismatch> {
        let groups = self.groups.as_deref().ok_or(Mismatch::Invalid)?;
        let group = group.map_or(Some(UNGROUPED), |name| self.find_group(name)).ok_or(Mismatch::UnknownTask)?;
        let (has_turn, _) = groups.stands(group, self.group_limit(), self.ready.len());
        valid(has_turn)
    }

    pub(crate) fn admit_sealed(&self, batch: &str) -> Result<(), Mismatch> {
        let known = self.find_batch(batch).map(|batch| self.batches.slots.at(batch));
        valid(is_name(batch) && known.map_or(self.can_number_batch(), |batch| !batch.is_sealed))
    }

    /// Whether there can be another batch.
    pub(crate) const fn can_number_batch(&self) -> bool {
        self.batches.last < BATCHES_MAX
    }

    pub(crate) fn admit_batch_dropped(&self, batch: &str) -> Result<(), Mismatch> {
        let batch = self.find_batch(batch).ok_or(Mismatch::UnknownTask)?;
        let batch = self.batches.slots.at(batch);
        valid(batch.open.len() == 0 && !self.is_awaited(batch))
    }

    pub(crate) fn admit_depends(&self, slot: Slot, depends: &Depends<'_>) -> Result<(), Mismatch> {
        let (state, mut count, mut waits) = (self.tasks.at(slot).state(), 0, false);
        for one in unpack(depends.on) {
            let (id, tie) = one?;
            let is_valid = if depends.of_batch { matches!(id, TaskId::Named(name) if is_name(name)) } else { id.is_valid() };
            let is_there = || self.look_up(id, depends.of_batch).is_some_and(|(of, _)| of != Of::Task(slot));
            let needs_nothing = matches!(tie, Tie::Gone | Tie::UntoldGood | Tie::UntoldBad);
            valid(is_valid && (needs_nothing || is_there()) && (tie == Tie::Gone || !state.is_terminal()))?;
            count += 1;
            waits |= !matches!(tie, Tie::Gone | Tie::Held);
        }
        let has_ties = self.after(slot).is_some_and(|after| after.on.iter().any(|one| !one.node.is_nil()));
        let fits = if depends.of_batch { count == 1 } else { (1..=DEPENDENCIES_MAX).contains(&count) };
        valid(fits && !has_ties && waits == (state == State::Waiting) && comes(depends.due))
    }

    /// Whether the task still waits for more than this, which has ended.
    fn admit_told(&self, slot: Slot, dependency: u32) -> bool {
        let Some(after) = self.after(slot).filter(|after| after.missing > 1) else { return false };
        after.on.get(dependency as usize).is_some_and(|one| one.untold && self.is_news(one.node))
    }

    pub(crate) fn admit_batches_numbered(&self, last: u64) -> Result<(), Mismatch> {
        valid(self.batches.last == 0 && last <= BATCHES_MAX)
    }

    pub(crate) fn admit_batch_image(&self, image: &BatchImage<'_>) -> Result<(), Mismatch> {
        let is_numbered = (1..=self.batches.last).contains(&image.incarnation);
        valid(is_name(image.name) && is_numbered && image.opened <= NUMBERS_MAX && image.ended <= NUMBERS_MAX)?;
        let is_known = self.batches.numbers.contains_key(&image.incarnation);
        let is_taken = !image.is_leaving && self.find_batch(image.name).is_some();
        if is_known || is_taken { Err(Mismatch::KnownTask) } else { Ok(()) }
    }

    pub(crate) fn admit_member_image(&self, batch: u64, number: u32, image: &Image<'_>) -> Result<(), Mismatch> {
        let batch = self.batches.numbers.get(&batch).ok_or(Mismatch::UnknownTask)?;
        let batch = self.batches.slots.at(*batch);
        let is_over = image.state.is_terminal();
        let log = if is_over { &batch.ends } else { &batch.open };
        // So that there is a number left for the end of each.
        let may_end = is_over || batch.ends.next() < NUMBERS_MAX - batch.open.len();
        valid(number < log.next() && log.get(number).is_none() && may_end && (is_over || !batch.is_leaving()))?;
        valid(!is_over || image.at == kept(UnixMs(image.order)))?;
        self.admit_any_image(image)
    }

    pub(crate) fn admit_pushed(&self, pushed: &Pushed<'_>) -> Result<(), Mismatch> {
        self.admit_id(pushed.id)?;
        let is_made = matches!(pushed.id, TaskId::Made(id) if id > self.head.last_id && id <= MADE_ID_MAX);
        valid((is_made || !pushed.made) && self.is_new(pushed.at, &pushed.order))
    }

    pub(crate) fn admit_change(&self, slot: Slot, change: &Change<'_>) -> Result<(), Mismatch> {
        let task = self.tasks.at(slot);
        let state = task.state();
        let is_answerable = state == State::Claimed || (state == State::Ready && task.last_claim() == LastClaim::Lapsed);
        let ended_badly = self.ended_badly(slot);
        // Only by the end of what it follows.
        let may_stop_waiting = || state == State::Waiting && !self.follows(slot);
        valid(match *change {
            Change::Ripened { order, .. } => (state == State::Scheduled || may_stop_waiting()) && self.is_new_place(order),
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
            Change::Revived { order, .. } => {
                (ended_badly || state == State::Scheduled) && self.is_new_place(order) && self.can_begin_again(slot)
            }
            Change::Renewed { at, order } => ended_badly && self.is_new(at, &order) && self.can_begin_again(slot),
            Change::Dropped => state.is_terminal() && !self.is_kept_by_batch(slot),
            Change::Told { dependency } => self.admit_told(slot, dependency),
            Change::Delayed { .. } | Change::Abandoned { .. } => may_stop_waiting(),
            Change::Awaited { order, .. } => ended_badly && self.is_new_place(order) && self.can_begin_again(slot),
            Change::Bounded { .. } => self.session(slot).is_some(),
            Change::Replaced { at, order } => self.admit_replaced(slot, at, &order),
            Change::Followed { start, .. } => self.admit_followed(slot, start),
        })
    }

    /// Whether the task has ended without a result.
    pub(crate) fn ended_badly(&self, slot: Slot) -> bool {
        matches!(self.tasks.at(slot).state(), State::Failed | State::Canceled | State::Expired)
    }

    /// Whether the task's batch, if it has one, has a number for it.
    pub(crate) fn can_begin_again(&self, slot: Slot) -> bool {
        self.batch_of(slot).is_none_or(|batch| batch.is_leaving() || batch.has_room())
    }

    /// A snapshot begins with it, so there is nothing yet whose numbers it could take back.
    pub(crate) fn admit_head(&self, head: &Head) -> Result<(), Mismatch> {
        valid(self.is_empty() && head.last_id <= MADE_ID_MAX)
    }

    pub(crate) fn admit_image(&self, image: &Image<'_>) -> Result<(), Mismatch> {
        let is_of_batch = (KEPT..TIED).contains(&image.at);
        valid(!(image.state.is_terminal() && is_of_batch))?;
        self.admit_any_image(image)
    }

    /// Of a task that is of a batch, or not.
    fn admit_any_image(&self, image: &Image<'_>) -> Result<(), Mismatch> {
        self.admit_id(image.id)?;
        let extra = image.extra.unwrap_or_default();
        let was_claimed = image.attempt > 0;
        let claim_fits = match (image.state, image.last_claim) {
            (
                State::Waiting | State::Scheduled | State::Ready | State::Failed | State::Canceled | State::Expired,
                LastClaim::Open,
            ) => !was_claimed,
            (
                State::Waiting | State::Scheduled | State::Ready | State::Failed | State::Canceled | State::Expired,
                LastClaim::Voided,
            )
            | (State::Scheduled, LastClaim::FailedToScheduled | LastClaim::Released)
            | (State::Ready, LastClaim::FailedToScheduled | LastClaim::FailedToReady | LastClaim::Released | LastClaim::Lapsed)
            | (State::Claimed, LastClaim::Open)
            | (State::Completed, LastClaim::Completed)
            | (State::Failed, LastClaim::FailedForGood | LastClaim::Lapsed) => was_claimed,
            _ => false,
        };
        let may_have_ttl = matches!(image.state, State::Waiting | State::Scheduled | State::Ready)
            && matches!(image.last_claim, LastClaim::Open | LastClaim::Voided);
        let has_place = matches!(image.state, State::Waiting | State::Ready | State::Claimed);
        let is_tied = image.state.is_terminal() && image.at == TIED;
        valid(
            claim_fits
                && image.worker.is_some() == was_claimed
                && extra.uncounted <= image.attempt
                && (extra.ttl_at.is_none() || may_have_ttl)
                && ((extra.claimed_at, extra.timeout_at, extra.session) == (None, None, false) || image.state == State::Claimed)
                && [extra.created, extra.ttl_at, extra.claimed_at].into_iter().all(comes)
                && (extra.keep.is_none() || is_tied)
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

    pub(crate) fn is_new(&self, at: UnixMs, order: &Order<'_>) -> bool {
        let has_new_place = match order.start {
            Start::Ready { order } | Start::Waiting { order } => self.is_new_place(order),
            Start::Scheduled { .. } => true,
        };
        has_new_place && are_terms(at, order)
    }

    pub(crate) const fn is_new_place(&self, order: u64) -> bool {
        order == self.next_order()
    }
}

/// Whether it is what a push can say, but for when the task is ready.
pub(crate) fn are_terms(at: UnixMs, order: &Order<'_>) -> bool {
    comes(Some(at)) && comes(order.ttl_at) && order.options.is_none_or(|options| options.is_valid())
}

/// Whether it is a name that a command would take.
pub(crate) fn is_name(name: &str) -> bool {
    parse_name("batch", name.as_bytes()).is_ok()
}

/// Whether an instant is one that comes; it is kept as none if not.
pub(crate) fn comes(instant: Option<UnixMs>) -> bool {
    instant != Some(UnixMs::NEVER)
}

pub(crate) const fn valid(holds: bool) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(Mismatch::Invalid) }
}
