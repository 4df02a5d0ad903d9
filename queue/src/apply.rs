//! The one function that changes a queue.
//!
//! [`Queue::apply`] takes an effect wherever it comes from: an operation on the master, the replication stream, the AOF, a snapshot.
//! It needs no clock and no settings. It refuses only what cannot be of this queue's history.

use crate::batch::{KEPT, TIED, droppable};
use crate::blocks::Blocks;
use crate::effect::{Change, Effect, Event, ExtraImage, Heard, Image, Order, Pushed};
use crate::error::Mismatch;
use crate::id::TaskId;
use crate::index::counted::Number;
use crate::index::deadlines::Deadlines;
use crate::index::segments::{Segments, Slot};
use crate::index::workers::Worker;
use crate::options::{Options, Start};
use crate::queue::Queue;
use crate::session::Connection;
use crate::state::{LastClaim, State};
use crate::task::{Extra, NO_EXTRA, Rare, Status, Task};
use crate::time::{MaybeMs, Ms, UnixMs};
use crate::times::Times;
use std::mem;

impl Queue {
    /// Applies one effect. Answers what the outside hears of it.
    ///
    /// # Errors
    /// A [`Mismatch`], and nothing changed, if the effect is of another history.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Result<Heard, Mismatch> {
        match effect {
            Effect::Pushed(pushed) => {
                self.admit_pushed(pushed)?;
                Ok([Some((Event::Push, self.apply_pushed_apart(pushed))), None])
            }
            Effect::Changed(id, change) => {
                let slot = self.find(*id).ok_or(Mismatch::UnknownTask)?;
                self.admit_change(slot, change)?;
                let done = self.apply_change(slot, change);
                Ok([Some((change.event(), slot)), done.map(|batch| (Event::Batch, batch))])
            }
            Effect::Restarted(head) => {
                self.admit_head(head)?;
                self.head = *head;
                Ok([None; 2])
            }
            Effect::Measured { waits, runs } => {
                let (waits, runs) = (Times::decode(waits)?, Times::decode(runs)?);
                (self.waits, self.runs) = (waits, runs);
                Ok([None; 2])
            }
            Effect::Restored(image) => {
                self.admit_image(image)?;
                Ok([Some((Event::Restore, self.apply_restored(image, None))), None])
            }
            Effect::PushedInto { batch, pushed } => {
                self.admit_pushed_into(batch, pushed)?;
                Ok([Some((Event::Push, self.apply_pushed_into(batch, pushed))), None])
            }
            Effect::BatchesNumbered { last } => {
                self.admit_batches_numbered(*last)?;
                self.batches.last = *last;
                Ok([None; 2])
            }
            Effect::BatchRestored(image) => {
                self.admit_batch_image(image)?;
                self.apply_batch_restored(image);
                Ok([None; 2])
            }
            Effect::Depends(id, depends) => {
                let slot = self.find(*id).ok_or(Mismatch::UnknownTask)?;
                self.admit_depends(slot, depends)?;
                self.apply_depends(slot, depends);
                Ok([Some((Event::Tell, slot)), None])
            }
            Effect::MemberRestored { batch, number, image } => {
                self.admit_member_image(*batch, *number, image)?;
                Ok([Some((Event::Restore, self.apply_restored(image, Some((*batch, *number))))), None])
            }
            Effect::Started { starts } => {
                let flow = self.flow.as_mut().ok_or(Mismatch::Invalid)?;
                flow.restore_starts(starts)?;
                self.soonest = self.soonest.min(flow.soonest());
                Ok([None; 2])
            }
            Effect::Grouped { id, group, holds } => {
                let slot = self.find(*id).ok_or(Mismatch::UnknownTask)?;
                self.admit_grouped(slot, group, *holds)?;
                self.apply_grouped(slot, group, *holds);
                Ok([None; 2])
            }
            Effect::Turned { group } => {
                self.admit_turned(*group)?;
                self.apply_turned(*group);
                Ok([None; 2])
            }
            Effect::Sealed { .. }
            | Effect::BatchDropped { .. }
            | Effect::Set(_)
            | Effect::StartsRewound { .. }
            | Effect::Keyed(..)
            | Effect::KeyKept { .. }
            | Effect::KeyFreed { .. }
            | Effect::Dated { .. }
            | Effect::EventsBegun { .. }
            | Effect::EventsNumbered { .. }
            | Effect::EventsRestored { .. }
            | Effect::Scheduled { .. }
            | Effect::Unscheduled { .. }
            | Effect::SlotPassed { .. }
            | Effect::ScheduleRestored { .. } => {
                self.admit_other(effect)?;
                Ok(self.apply_other(effect))
            }
        }
    }

    /// What happens to something else than tasks: batches as a whole, settings, keys, the log of events, schedules.
    pub(crate) fn apply_other(&mut self, effect: &Effect<'_>) -> Heard {
        match effect {
            Effect::Sealed { .. } | Effect::BatchDropped { .. } => self.apply_batch(effect),
            Effect::Set(_) | Effect::StartsRewound { .. } => self.apply_flow(effect),
            Effect::Keyed(..) | Effect::KeyKept { .. } | Effect::KeyFreed { .. } => self.apply_key(effect),
            Effect::Scheduled { .. }
            | Effect::Unscheduled { .. }
            | Effect::SlotPassed { .. }
            | Effect::ScheduleRestored { .. } => self.apply_schedule(effect),
            _ => {
                self.apply_events(effect);
                [None; 2]
            }
        }
    }

    /// As [`Self::apply_pushed`], which the compiler makes part of those who push much as long as few others call it.
    #[inline(never)]
    pub(crate) fn apply_pushed_apart(&mut self, pushed: &Pushed<'_>) -> Slot {
        self.apply_pushed(pushed)
    }

    pub(crate) fn apply_pushed(&mut self, pushed: &Pushed<'_>) -> Slot {
        if let (true, TaskId::Made(id)) = (pushed.made, pushed.id) {
            self.head.last_id = self.head.last_id.max(id);
        }
        count(&mut self.head.totals.pushed);
        if self.events.is_some() {
            self.note_push(pushed);
        }
        let slot = self.add(pushed.id, State::Waiting, LastClaim::Open);
        self.begin(slot, &pushed.order, pushed.at);
        slot
    }

    /// Answers the batch that is done by it, if one is.
    #[allow(clippy::too_many_lines, reason = "one arm a change: the whole life of a task on one page")]
    #[allow(clippy::inline_always, reason = "nearly all come from `record`, and 1 % of a cycle's instructions hang on it")]
    #[inline(always)]
    pub(crate) fn apply_change(&mut self, slot: Slot, change: &Change<'_>) -> Option<Slot> {
        if self.events.is_some() {
            self.note_change(slot, change);
        }
        match *change {
            Change::Ripened { order, at } => {
                self.leave(slot);
                self.enter_ready(slot, order, at);
            }
            Change::Claimed { attempt, worker, lease, at, deadline, timeout_at, session } => {
                self.waits.record(at.since(self.tasks.at(slot).at));
                self.leave(slot);
                if !sabotaged!(TtlOutlivesClaim) {
                    self.end_ttl(slot);
                }
                self.set_worker(slot, worker, lease);
                self.set_claim_times(slot, untold(at, deadline, lease), timeout_at);
                let task = self.tasks.at_mut(slot);
                task.attempt = attempt;
                task.set_last_claim(LastClaim::Open);
                self.enter(slot, State::Claimed, deadline);
                if session {
                    self.set_session(slot, Some(Connection::UNKNOWN));
                }
                count(&mut self.head.totals.claimed);
            }
            Change::Extended { deadline, checkpoint } => {
                if checkpoint.is_some() {
                    self.set_checkpoint(slot, checkpoint);
                }
                self.extend(slot, deadline);
            }
            Change::Completed { result, at, drop_at } => {
                self.measure_run(slot, at);
                self.set_data(slot, result);
                self.change_rare(slot, false, |rare| (rare.error, rare.checkpoint) = (None, None));
                self.tasks.at_mut(slot).set_last_claim(LastClaim::Completed);
                self.finish(slot, State::Completed, at, drop_at);
                count(&mut self.head.totals.completed);
            }
            Change::BackedOff { error, at, due } => {
                self.measure_run(slot, at);
                self.leave(slot);
                self.set_error(slot, Some(error));
                self.tasks.at_mut(slot).set_last_claim(LastClaim::FailedToScheduled);
                self.enter(slot, State::Scheduled, due);
                count(&mut self.head.totals.retried);
            }
            Change::Requeued { error, order, at } => {
                self.measure_run(slot, at);
                self.leave(slot);
                self.set_error(slot, Some(error));
                self.tasks.at_mut(slot).set_last_claim(LastClaim::FailedToReady);
                self.enter_ready(slot, order, at);
                count(&mut self.head.totals.retried);
            }
            Change::Failed { error, lapsed, at, drop_at } => {
                self.set_error(slot, Some(error));
                self.tasks.at_mut(slot).set_last_claim(if lapsed { LastClaim::Lapsed } else { LastClaim::FailedForGood });
                if lapsed {
                    count(&mut self.head.totals.lapsed);
                }
                count(&mut self.head.totals.failed);
                if !lapsed {
                    self.measure_run(slot, at);
                }
                self.finish(slot, State::Failed, at, drop_at);
            }
            Change::Released { at } => {
                self.end_claim(slot, LastClaim::Released);
                if self.tasks.at(slot).state() != State::Ready {
                    self.leave(slot);
                    self.enter_ready(slot, self.old_place(slot), at);
                }
            }
            Change::Deferred { due } => {
                self.end_claim(slot, LastClaim::Released);
                self.leave(slot);
                self.enter(slot, State::Scheduled, due);
            }
            Change::Lapsed { at } => {
                self.leave(slot);
                self.tasks.at_mut(slot).set_last_claim(LastClaim::Lapsed);
                self.enter_ready(slot, self.old_place(slot), at);
                count(&mut self.head.totals.lapsed);
            }
            Change::Canceled { at, drop_at } => {
                self.void_claims(slot);
                self.finish(slot, State::Canceled, at, drop_at);
                count(&mut self.head.totals.canceled);
            }
            Change::Expired { at, drop_at } => {
                self.finish(slot, State::Expired, at, drop_at);
                count(&mut self.head.totals.expired);
            }
            Change::Revived { order, at } => {
                self.outlive_batch(slot);
                self.leave(slot);
                self.set_error(slot, None);
                self.begin_tries_anew(slot);
                self.enter_ready(slot, order, at);
            }
            Change::Renewed { at, order } => {
                self.outlive_batch(slot);
                self.leave(slot);
                self.change_rare(slot, false, |rare| (rare.error, rare.checkpoint) = (None, None));
                self.clear_after(slot);
                self.begin_tries_anew(slot);
                self.begin(slot, &order, at);
                count(&mut self.head.totals.pushed);
            }
            Change::Dropped => {
                self.drop_task(slot);
                return None;
            }
            Change::Bounded { deadline } => {
                self.set_session(slot, None);
                self.extend(slot, deadline);
            }
            Change::Told { .. } | Change::Delayed { .. } | Change::Abandoned { .. } | Change::Awaited { .. } => {
                self.apply_wait(slot, change);
            }
            Change::Replaced { .. } | Change::Followed { .. } => self.apply_to_unique(slot, change),
        }
        // Before the ties: the last one may be all that keeps a batch, which is to be seen to be done.
        let done = if self.batches.has_members() { self.settle_member(slot, change) } else { None };
        if !self.nodes.is_empty() {
            self.settle_ties(slot, change);
        }
        if self.flow.is_some() {
            self.settle_flow(change);
        }
        if self.uniques.has_tasks() {
            self.settle_key(slot, change);
        }
        self.tidy_extra(slot);
        done
    }

    fn apply_restored(&mut self, image: &Image<'_>, member: Option<(u64, u32)>) -> Slot {
        let slot = self.add(image.id, image.state, image.last_claim);
        if let Some((batch, number)) = member {
            self.rejoin(slot, batch, number, image);
        }
        self.set_data(slot, image.data);
        let task = self.tasks.at_mut(slot);
        task.priority = image.priority;
        task.attempt = image.attempt;
        task.order = image.order;
        if let Some((name, lease)) = image.worker {
            self.set_worker(slot, name, lease);
        }
        if let Some(extra) = &image.extra {
            self.restore_extra(slot, extra, image.at);
        }
        if image.state.is_terminal() && image.at == TIED {
            self.restore_keep(slot, image.extra.and_then(|extra| extra.keep));
        }
        if image.state == State::Ready {
            self.enter_ready(slot, image.order, image.at);
        } else {
            self.enter(slot, image.state, image.at);
        }
        self.tidy_extra(slot);
        slot
    }

    fn restore_extra(&mut self, slot: Slot, image: &ExtraImage<'_>, at: UnixMs) {
        self.set_options(slot, image.options);
        if let Some(created) = image.created {
            self.set_created(slot, created);
        }
        let lease = self.claim_lease(slot).unwrap_or_default();
        self.extra_mut(slot).uncounted = image.uncounted;
        let claimed_at = image.claimed_at.and_then(|claimed_at| untold(claimed_at, at, lease));
        self.set_claim_times(slot, claimed_at, image.timeout_at);
        self.set_error(slot, image.error);
        self.set_checkpoint(slot, image.checkpoint);
        self.set_ttl(slot, image.ttl_at);
        self.set_session(slot, image.session.then_some(Connection::UNKNOWN));
    }

    /// Adds a task in no state's index yet.
    fn add(&mut self, id: TaskId<'_>, state: State, last_claim: LastClaim) -> Slot {
        let named = matches!(id, TaskId::Named(_));
        let slot = self.tasks.insert(Task {
            key: self.ids.key(id),
            data: Box::default(),
            at: UnixMs(0),
            order: 0,
            prev: Slot::NIL,
            next: Slot::NIL,
            chain: Slot::NIL,
            extra: Slot::NIL,
            attempt: 0,
            worker: Number::NONE,
            priority: 0,
            status: Status::new(state, last_claim, named),
        });
        if let TaskId::Named(name) = id {
            self.owned += Blocks::of(name.len());
            self.extra_mut(slot).name = Some(name.into());
        }
        self.ids.insert(&mut self.tasks, slot);
        slot
    }

    /// What a push and a renewal do alike: payload, options, TTL and the first state.
    pub(crate) fn begin(&mut self, slot: Slot, order: &Order<'_>, at: UnixMs) {
        self.set_created(slot, at);
        self.set_data(slot, order.payload);
        self.tasks.at_mut(slot).priority = order.priority;
        self.set_options(slot, order.options);
        match order.start {
            Start::Ready { order } => self.enter_ready(slot, order, at),
            Start::Scheduled { due } => self.enter(slot, State::Scheduled, due),
            Start::Waiting { order } => self.enter_waiting(slot, order, at),
        }
        self.set_ttl(slot, order.ttl_at);
    }

    /// Where a released or lapsed task stood in line.
    fn old_place(&self, slot: Slot) -> u64 {
        if sabotaged!(PlaceLost) { self.next_order() } else { self.tasks.at(slot).order }
    }

    pub(crate) fn begin_tries_anew(&mut self, slot: Slot) {
        self.void_claims(slot);
        if sabotaged!(AttemptReset) {
            self.tasks.at_mut(slot).attempt = 0;
        }
        let attempt = self.tasks.at(slot).attempt;
        if attempt > 0 {
            self.extra_mut(slot).uncounted = attempt;
        }
    }

    fn void_claims(&mut self, slot: Slot) {
        if self.tasks.at(slot).attempt > 0 && !sabotaged!(VoidingSkipped) {
            self.tasks.at_mut(slot).set_last_claim(LastClaim::Voided);
        }
    }

    /// A live claim was answered. How long one ran that had lapsed is not known.
    fn measure_run(&mut self, slot: Slot, at: UnixMs) {
        if self.tasks.at(slot).state() == State::Claimed {
            self.runs.record(at.since(self.claimed_at(slot)));
        }
    }

    /// A claim was given back: its try does not count.
    fn end_claim(&mut self, slot: Slot, last_claim: LastClaim) {
        let attempt = self.tasks.at(slot).attempt;
        let extra = self.extra_mut(slot);
        if !sabotaged!(ReleasedTryCounted) {
            extra.uncounted = extra.uncounted.saturating_add(1).min(attempt);
        }
        self.tasks.at_mut(slot).set_last_claim(last_claim);
        count(&mut self.head.totals.released);
    }

    pub(crate) fn finish(&mut self, slot: Slot, state: State, at: UnixMs, drop_at: UnixMs) {
        self.leave(slot);
        self.end_ttl(slot);
        self.tasks.at_mut(slot).order = at.0;
        self.enter(slot, state, droppable(drop_at));
    }

    /// A claim that is extended to its own deadline, as one that has met its timeout is, keeps its place in the index: see
    /// [`crate::list`].
    fn extend(&mut self, slot: Slot, deadline: UnixMs) {
        let (claimed_at, old) = (self.claimed_at(slot), self.tasks.at(slot).at);
        if deadline != old {
            self.rewinds += u64::from(deadline < old);
            self.leases.remove(&mut self.tasks, slot);
            self.enter(slot, State::Claimed, deadline);
            let lease = self.claim_lease(slot).unwrap_or_default();
            self.extra_mut(slot).claimed_at = untold(claimed_at, deadline, lease).into();
        }
    }

    /// Takes the task out of the index of its state, and its claim's times and session off it.
    pub(crate) fn leave(&mut self, slot: Slot) {
        if !self.sessions.is_empty() {
            self.set_session(slot, None);
        }
        match self.tasks.at(slot).state() {
            State::Ready if self.groups.is_none() => self.ready.remove(&mut self.tasks, slot),
            State::Ready => self.leave_ready(slot),
            state => {
                let (tasks, deadlines) = self.deadlines_mut(state);
                deadlines.remove(tasks, slot);
            }
        }
        self.set_claim_times(slot, None, None);
    }

    pub(crate) fn enter_ready(&mut self, slot: Slot, order: u64, at: UnixMs) {
        if self.batches.has_members() {
            self.move_member(slot, State::Ready, at);
        }
        self.head.last_order = self.head.last_order.max(order);
        let task = self.tasks.at_mut(slot);
        task.order = order;
        task.at = at;
        if self.groups.is_some() {
            self.line_up(slot);
            return;
        }
        task.set_state(State::Ready);
        self.ready.insert(&mut self.tasks, slot);
    }

    pub(crate) fn enter(&mut self, slot: Slot, state: State, at: UnixMs) {
        let at = if self.batches.has_members() { self.move_member(slot, state, at) } else { at };
        if self.groups.is_some() {
            self.move_in_group(slot, self.tasks.at(slot).state(), state);
        }
        let task = self.tasks.at_mut(slot);
        task.set_state(state);
        task.at = at;
        if state == State::Scheduled {
            task.order = 0;
        }
        if at < KEPT && !sabotaged!(SoonestLate) {
            self.soonest = self.soonest.min(at);
        }
        if state == State::Scheduled && sabotaged!(DeadlineDropped) {
            return;
        }
        let (tasks, deadlines) = self.deadlines_mut(state);
        deadlines.insert(tasks, slot);
    }

    #[cold]
    pub(crate) fn enter_waiting(&mut self, slot: Slot, place: u64, at: UnixMs) {
        self.head.last_order = self.head.last_order.max(place);
        self.tasks.at_mut(slot).order = place;
        let soonest = self.soonest;
        self.enter(slot, State::Waiting, at);
        // No instant ends the wait.
        self.soonest = soonest;
    }

    /// The index of a state ordered by an instant, beside the tasks it links.
    pub(crate) fn deadlines_mut(&mut self, state: State) -> (&mut Segments<Task>, &mut Deadlines) {
        let [completed, failed, canceled, expired] = &mut self.finished;
        let deadlines = match state {
            State::Claimed => &mut self.leases,
            State::Completed => completed,
            State::Failed => failed,
            State::Canceled => canceled,
            State::Expired => expired,
            State::Waiting => &mut self.waiting,
            State::Scheduled | State::Ready => &mut self.due,
        };
        (&mut self.tasks, deadlines)
    }

    fn drop_task(&mut self, slot: Slot) {
        if !self.nodes.is_empty() {
            self.disown_task(slot);
        }
        if self.uniques.has_tasks() {
            self.disown_key(slot);
        }
        self.leave(slot);
        self.end_ttl(slot);
        if self.groups.is_some() {
            self.leave_group(slot);
        }
        self.clear_worker(slot);
        self.ids.remove(&mut self.tasks, slot);
        let task = self.tasks.remove(slot);
        self.owned -= Blocks::of(task.data.len());
        let extra = task.member().map_or(task.extra, |member| self.leave_batch(member, task.state()));
        if let Some(extra) = extra.get() {
            let extra = self.extras.remove(extra);
            self.option_sets.release(extra.options);
            self.owned -= extra.owned();
        }
        count(&mut self.head.totals.dropped);
    }

    // What a task owns.

    fn set_data(&mut self, slot: Slot, data: &[u8]) {
        let old = mem::replace(&mut self.tasks.at_mut(slot).data, data.into());
        self.owned -= Blocks::of(old.len());
        self.owned += Blocks::of(data.len());
    }

    pub(crate) fn set_error(&mut self, slot: Slot, error: Option<&[u8]>) {
        self.change_rare(slot, error.is_some(), |rare| rare.error = error.map(Into::into));
    }

    fn set_checkpoint(&mut self, slot: Slot, checkpoint: Option<&[u8]>) {
        self.change_rare(slot, checkpoint.is_some(), |rare| rare.checkpoint = checkpoint.map(Into::into));
    }

    fn set_options(&mut self, slot: Slot, options: Option<Options>) {
        let options = options.filter(|options| *options != Options::default());
        if options.is_none() && !self.has_extra(slot) {
            return;
        }
        let number = options.map_or(Number::NONE, |options| self.option_sets.acquire(&options));
        let old = mem::replace(&mut self.extra_mut(slot).options, number);
        self.option_sets.release(old);
        let unnumbered = options.filter(|_| number.is_none()).map(Box::new);
        self.change_rare(slot, unnumbered.is_some(), |rare| rare.options = unnumbered);
    }

    /// Changes what few tasks have. A task that has nothing of it gets it only if `adds`.
    pub(crate) fn change_rare(&mut self, slot: Slot, adds: bool, change: impl FnOnce(&mut Rare)) {
        if adds || self.extra(self.tasks.at(slot)).rare.is_some() {
            let extra = self.extra_mut(slot);
            let before = extra.owned();
            extra.change_rare(change);
            let after = extra.owned();
            self.owned -= before;
            self.owned += after;
        }
    }

    fn set_created(&mut self, slot: Slot, at: UnixMs) {
        let told_by_id = matches!(self.id_of(slot), TaskId::Made(id) if id.made_at() == at);
        if !told_by_id {
            self.extra_mut(slot).created = Some(at).into();
        } else if let Some(extra) = self.extra_opt(slot) {
            extra.created = MaybeMs::NONE;
        }
    }

    /// Of a task that has none, as it is new or had ended.
    fn set_ttl(&mut self, slot: Slot, ttl_at: Option<UnixMs>) {
        if let Some(ttl_at) = ttl_at.filter(|&ttl_at| ttl_at != UnixMs::NEVER) {
            self.extra_mut(slot).ttl_at = Some(ttl_at).into();
            self.ttls.insert((ttl_at, slot));
            self.soonest = self.soonest.min(ttl_at);
        }
    }

    pub(crate) fn end_ttl(&mut self, slot: Slot) {
        if let Some(ttl_at) = self.extra_opt(slot).and_then(|extra| extra.ttl_at.take()) {
            self.ttls.remove(&(ttl_at, slot));
        }
    }

    fn set_claim_times(&mut self, slot: Slot, claimed_at: Option<UnixMs>, timeout_at: Option<UnixMs>) {
        if claimed_at.is_some() || self.has_extra(slot) {
            self.extra_mut(slot).claimed_at = claimed_at.into();
        }
        self.change_rare(slot, timeout_at.is_some(), |rare| rare.timeout_at = timeout_at);
    }

    fn set_worker(&mut self, slot: Slot, name: &str, lease: Ms) {
        let id = self.workers.acquire(name, lease);
        self.clear_worker(slot);
        self.tasks.at_mut(slot).worker = id;
        let unnumbered = id.is_none().then(|| Box::new(Worker { name: name.into(), lease }));
        self.change_rare(slot, unnumbered.is_some(), |rare| rare.worker = unnumbered);
    }

    fn clear_worker(&mut self, slot: Slot) {
        self.workers.release(mem::replace(&mut self.tasks.at_mut(slot).worker, Number::NONE));
        self.change_rare(slot, false, |rare| rare.worker = None);
    }

    fn has_extra(&self, slot: Slot) -> bool {
        !self.extra_slot(self.tasks.at(slot)).is_nil()
    }

    fn extra_opt(&mut self, slot: Slot) -> Option<&mut Extra> {
        self.extra_slot(self.tasks.at(slot)).get().map(|extra| self.extras.at_mut(extra))
    }

    pub(crate) fn extra_mut(&mut self, slot: Slot) -> &mut Extra {
        let mut extra = self.extra_slot(self.tasks.at(slot));
        if extra.is_nil() {
            extra = self.extras.insert(NO_EXTRA.clone());
            self.set_extra_slot(slot, extra);
        }
        self.extras.at_mut(extra)
    }

    fn set_extra_slot(&mut self, slot: Slot, extra: Slot) {
        let task = self.tasks.at_mut(slot);
        match task.member() {
            Some(member) => self.batches.members.at_mut(member).extra = extra,
            None => task.extra = extra,
        }
    }

    /// Drops an [`Extra`] that says nothing, so that equal tasks are equal whatever they went through.
    #[allow(clippy::inline_always, reason = "nearly all tasks have none, which is one comparison")]
    #[inline(always)]
    pub(crate) fn tidy_extra(&mut self, slot: Slot) {
        if let Some(extra) = self.extra_slot(self.tasks.at(slot)).get()
            && self.extras.at(extra).is_empty()
        {
            self.extras.remove(extra);
            self.set_extra_slot(slot, Slot::NIL);
        }
    }
}

/// One more; but a dump that says it had counted to the end cannot make it overflow.
pub(crate) const fn count(total: &mut u64) {
    *total = total.saturating_add(1);
}

/// When a claim began, unless its deadline and its lease tell.
fn untold(claimed_at: UnixMs, deadline: UnixMs, lease: Ms) -> Option<UnixMs> {
    (deadline.before(lease) != claimed_at).then_some(claimed_at)
}
