//! The one function that changes a queue.
//!
//! [`Queue::apply`] takes an effect wherever it comes from: an operation on the master, the replication stream, the AOF, a snapshot.
//! It needs no clock and no settings. It refuses only what cannot be of this queue's history.

use crate::effect::{Change, Effect, Event, ExtraImage, Image, Order, Pushed};
use crate::error::Mismatch;
use crate::id::TaskId;
use crate::index::deadlines::Deadlines;
use crate::index::segments::{Segments, Slot};
use crate::index::workers::{Worker, WorkerId};
use crate::options::{Options, Start};
use crate::queue::{Queue, TASKS_MAX};
use crate::state::{LastClaim, State};
use crate::task::{Extra, Status, Task};
use crate::time::{Ms, UnixMs};
use std::mem;

impl Queue {
    /// Applies one effect. Answers what the outside hears of it and the task, unless it concerned no task.
    ///
    /// # Errors
    /// A [`Mismatch`], and nothing changed, if the effect is of another history.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Result<Option<(Event, Slot)>, Mismatch> {
        match effect {
            Effect::Pushed(pushed) => {
                let slot = self.vacancy(pushed.id).and_then(|()| self.apply_pushed(pushed))?;
                Ok(Some((Event::Push, slot)))
            }
            Effect::Changed(id, change) => {
                let slot = self.find(*id).ok_or(Mismatch::UnknownTask)?;
                self.apply_change(slot, change);
                Ok(Some((change.event(), slot)))
            }
            Effect::Restarted(head) => {
                self.head = *head;
                Ok(None)
            }
            Effect::Restored(image) => {
                self.vacancy(image.id)?;
                let slot = self.apply_restored(image)?;
                Ok(Some((Event::Restore, slot)))
            }
        }
    }

    /// Whether a task of this id can be added.
    fn vacancy(&self, id: TaskId<'_>) -> Result<(), Mismatch> {
        if !id.is_valid() || self.len() >= TASKS_MAX {
            return Err(Mismatch::Invalid);
        }
        if self.find(id).is_some() { Err(Mismatch::KnownTask) } else { Ok(()) }
    }

    pub(crate) fn apply_pushed(&mut self, pushed: &Pushed<'_>) -> Result<Slot, Mismatch> {
        if let (true, TaskId::Made(id)) = (pushed.made, pushed.id) {
            self.head.last_id = self.head.last_id.max(id);
        }
        self.head.totals.pushed += 1;
        let slot = self.add(pushed.id, State::Waiting, LastClaim::Open);
        let told_by_id = matches!(pushed.id, TaskId::Made(id) if id.made_at() == pushed.at);
        if !told_by_id {
            self.extra_mut(slot).created = Some(pushed.at);
        }
        self.begin(slot, &pushed.order, pushed.at);
        Ok(slot)
    }

    #[allow(clippy::too_many_lines, reason = "one arm a change: the whole life of a task on one page")]
    pub(crate) fn apply_change(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
            Change::Ripened { order, at } => {
                self.leave(slot);
                self.enter_ready(slot, order, at);
            }
            Change::Claimed { attempt, worker, lease, at, deadline, timeout_at } => {
                self.leave(slot);
                self.end_ttl(slot);
                self.set_worker(slot, worker, lease);
                self.set_claim_times(slot, (deadline.before(lease) != at).then_some(at), timeout_at);
                let task = &mut self.tasks[slot];
                task.attempt = attempt;
                task.set_last_claim(LastClaim::Open);
                self.enter(slot, State::Claimed, deadline);
                self.head.totals.claimed += 1;
            }
            Change::Extended { deadline, checkpoint } => {
                let claimed_at = self.claimed_at(slot);
                self.extra_mut(slot).claimed_at = Some(claimed_at);
                if checkpoint.is_some() {
                    self.set_checkpoint(slot, checkpoint);
                }
                self.rewinds += u64::from(deadline < self.tasks[slot].at);
                self.leases.remove(&mut self.tasks, slot);
                self.enter(slot, State::Claimed, deadline);
            }
            Change::Completed { result, at, drop_at } => {
                self.set_data(slot, result);
                self.set_error(slot, None);
                self.set_checkpoint(slot, None);
                self.tasks[slot].set_last_claim(LastClaim::Completed);
                self.finish(slot, State::Completed, at, drop_at);
                self.head.totals.completed += 1;
            }
            Change::BackedOff { error, due } => {
                self.leave(slot);
                self.set_error(slot, Some(error));
                self.tasks[slot].set_last_claim(LastClaim::FailedToScheduled);
                self.enter(slot, State::Scheduled, due);
                self.head.totals.retried += 1;
            }
            Change::Requeued { error, order, at } => {
                self.leave(slot);
                self.set_error(slot, Some(error));
                self.tasks[slot].set_last_claim(LastClaim::FailedToReady);
                self.enter_ready(slot, order, at);
                self.head.totals.retried += 1;
            }
            Change::Failed { error, lapsed, at, drop_at } => {
                self.set_error(slot, Some(error));
                self.tasks[slot].set_last_claim(if lapsed { LastClaim::Lapsed } else { LastClaim::FailedForGood });
                self.head.totals.lapsed += u64::from(lapsed);
                self.head.totals.failed += 1;
                self.finish(slot, State::Failed, at, drop_at);
            }
            Change::Released { at } => {
                self.end_claim(slot, LastClaim::Released);
                if self.tasks[slot].state() != State::Ready {
                    self.leave(slot);
                    self.enter_ready(slot, self.tasks[slot].order, at);
                }
            }
            Change::Deferred { due } => {
                self.end_claim(slot, LastClaim::Released);
                self.leave(slot);
                self.enter(slot, State::Scheduled, due);
            }
            Change::Lapsed { at } => {
                self.leave(slot);
                self.tasks[slot].set_last_claim(LastClaim::Lapsed);
                self.enter_ready(slot, self.tasks[slot].order, at);
                self.head.totals.lapsed += 1;
            }
            Change::Canceled { at, drop_at } => {
                self.void_claims(slot);
                self.finish(slot, State::Canceled, at, drop_at);
                self.head.totals.canceled += 1;
            }
            Change::Expired { at, drop_at } => {
                self.finish(slot, State::Expired, at, drop_at);
                self.head.totals.expired += 1;
            }
            Change::Revived { order, at } => {
                self.leave(slot);
                self.set_error(slot, None);
                self.begin_tries_anew(slot);
                self.enter_ready(slot, order, at);
            }
            Change::Renewed { at, order } => {
                self.leave(slot);
                self.set_error(slot, None);
                self.set_checkpoint(slot, None);
                self.begin_tries_anew(slot);
                self.extra_mut(slot).created = Some(at);
                self.begin(slot, &order, at);
                self.head.totals.pushed += 1;
            }
            Change::Dropped => return self.drop_task(slot),
        }
        self.tidy_extra(slot);
    }

    fn apply_restored(&mut self, image: &Image<'_>) -> Result<Slot, Mismatch> {
        let has_ttl = image.extra.is_some_and(|extra| extra.ttl_at.is_some());
        let may_have_ttl = matches!(image.state, State::Scheduled | State::Ready);
        if image.state == State::Waiting || (has_ttl && !may_have_ttl) {
            return Err(Mismatch::Invalid);
        }
        let slot = self.add(image.id, image.state, image.last_claim);
        self.set_data(slot, image.data);
        let task = &mut self.tasks[slot];
        task.priority = image.priority;
        task.attempt = image.attempt;
        task.order = image.order;
        if let Some((name, lease)) = image.worker {
            self.set_worker(slot, name, lease);
        }
        if let Some(extra) = &image.extra {
            self.restore_extra(slot, extra);
        }
        if image.state == State::Ready {
            self.enter_ready(slot, image.order, image.at);
        } else {
            self.enter(slot, image.state, image.at);
        }
        self.tidy_extra(slot);
        Ok(slot)
    }

    fn restore_extra(&mut self, slot: Slot, image: &ExtraImage<'_>) {
        self.set_options(slot, image.options);
        let extra = self.extra_mut(slot);
        extra.created = image.created;
        extra.uncounted = image.uncounted;
        extra.claimed_at = image.claimed_at;
        extra.timeout_at = image.timeout_at;
        self.set_error(slot, image.error);
        self.set_checkpoint(slot, image.checkpoint);
        self.set_ttl(slot, image.ttl_at);
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
            worker: WorkerId::NONE,
            priority: 0,
            status: Status::new(state, last_claim, named),
        });
        if let TaskId::Named(name) = id {
            self.owned_bytes += name.len();
            self.extra_mut(slot).name = Some(name.into());
        }
        self.ids.insert(&mut self.tasks, slot);
        slot
    }

    /// What a push and a renewal do alike: payload, options, TTL and the first state.
    fn begin(&mut self, slot: Slot, order: &Order<'_>, at: UnixMs) {
        self.set_data(slot, order.payload);
        self.tasks[slot].priority = order.priority;
        self.set_options(slot, order.options);
        match order.start {
            Start::Ready { order } => self.enter_ready(slot, order, at),
            Start::Scheduled { due } => self.enter(slot, State::Scheduled, due),
        }
        self.set_ttl(slot, order.ttl_at);
    }

    fn begin_tries_anew(&mut self, slot: Slot) {
        self.void_claims(slot);
        let attempt = self.tasks[slot].attempt;
        if attempt > 0 {
            self.extra_mut(slot).uncounted = attempt;
        }
    }

    fn void_claims(&mut self, slot: Slot) {
        if self.tasks[slot].attempt > 0 {
            self.tasks[slot].set_last_claim(LastClaim::Voided);
        }
    }

    /// A claim was given back: its try does not count.
    fn end_claim(&mut self, slot: Slot, last_claim: LastClaim) {
        self.extra_mut(slot).uncounted += 1;
        self.tasks[slot].set_last_claim(last_claim);
        self.head.totals.released += 1;
    }

    fn finish(&mut self, slot: Slot, state: State, at: UnixMs, drop_at: UnixMs) {
        self.leave(slot);
        self.end_ttl(slot);
        self.tasks[slot].order = at.0;
        self.enter(slot, state, drop_at);
    }

    /// Takes the task out of the index of its state, and its claim's times off it.
    fn leave(&mut self, slot: Slot) {
        match self.tasks[slot].state() {
            State::Waiting => {}
            State::Ready => self.ready.remove(&mut self.tasks, slot),
            state => {
                let (tasks, deadlines) = self.deadlines_mut(state);
                deadlines.remove(tasks, slot);
            }
        }
        if let Some(extra) = self.extra_opt(slot) {
            extra.claimed_at = None;
            extra.timeout_at = None;
        }
    }

    fn enter_ready(&mut self, slot: Slot, order: u64, at: UnixMs) {
        self.head.last_order = self.head.last_order.max(order);
        let task = &mut self.tasks[slot];
        task.set_state(State::Ready);
        task.order = order;
        task.at = at;
        self.ready.insert(&mut self.tasks, slot);
    }

    fn enter(&mut self, slot: Slot, state: State, at: UnixMs) {
        let task = &mut self.tasks[slot];
        task.set_state(state);
        task.at = at;
        self.soonest = self.soonest.min(at);
        let (tasks, deadlines) = self.deadlines_mut(state);
        deadlines.insert(tasks, slot);
    }

    /// The index of a state ordered by an instant, beside the tasks it links.
    fn deadlines_mut(&mut self, state: State) -> (&mut Segments<Task>, &mut Deadlines) {
        let [completed, failed, canceled, expired] = &mut self.finished;
        let deadlines = match state {
            State::Claimed => &mut self.leases,
            State::Completed => completed,
            State::Failed => failed,
            State::Canceled => canceled,
            State::Expired => expired,
            State::Waiting | State::Scheduled | State::Ready => &mut self.due,
        };
        (&mut self.tasks, deadlines)
    }

    fn drop_task(&mut self, slot: Slot) {
        self.leave(slot);
        self.end_ttl(slot);
        self.clear_worker(slot);
        self.ids.remove(&mut self.tasks, slot);
        let task = self.tasks.remove(slot);
        self.owned_bytes -= task.data.len();
        if let Some(extra) = task.extra.get() {
            self.owned_bytes -= owned_by(&self.extras.remove(extra));
        }
        self.head.totals.dropped += 1;
    }

    // What a task owns.

    fn set_data(&mut self, slot: Slot, data: &[u8]) {
        let old = mem::replace(&mut self.tasks[slot].data, data.into());
        self.owned_bytes = self.owned_bytes - old.len() + data.len();
    }

    fn set_error(&mut self, slot: Slot, error: Option<&[u8]>) {
        self.set_text(slot, error, |extra| &mut extra.error);
    }

    fn set_checkpoint(&mut self, slot: Slot, checkpoint: Option<&[u8]>) {
        self.set_text(slot, checkpoint, |extra| &mut extra.checkpoint);
    }

    fn set_text(&mut self, slot: Slot, text: Option<&[u8]>, field: fn(&mut Extra) -> &mut Option<Box<[u8]>>) {
        if text.is_none() && self.tasks[slot].extra.is_nil() {
            return;
        }
        let old = mem::replace(field(self.extra_mut(slot)), text.map(Into::into));
        self.owned_bytes = self.owned_bytes - old.map_or(0, |old| old.len()) + text.map_or(0, <[u8]>::len);
    }

    fn set_options(&mut self, slot: Slot, options: Option<Options>) {
        let options = options.filter(|options| *options != Options::default());
        if options.is_none() && self.tasks[slot].extra.is_nil() {
            return;
        }
        let new = if options.is_some() { mem::size_of::<Options>() } else { 0 };
        let old = mem::replace(&mut self.extra_mut(slot).options, options.map(Box::new));
        self.owned_bytes = self.owned_bytes - old.map_or(0, |_| mem::size_of::<Options>()) + new;
    }

    fn set_ttl(&mut self, slot: Slot, ttl_at: Option<UnixMs>) {
        self.end_ttl(slot);
        if let Some(ttl_at) = ttl_at {
            self.extra_mut(slot).ttl_at = Some(ttl_at);
            self.ttls.insert((ttl_at, slot));
            self.soonest = self.soonest.min(ttl_at);
        }
    }

    fn end_ttl(&mut self, slot: Slot) {
        if let Some(ttl_at) = self.extra_opt(slot).and_then(|extra| extra.ttl_at.take()) {
            self.ttls.remove(&(ttl_at, slot));
        }
    }

    fn set_claim_times(&mut self, slot: Slot, claimed_at: Option<UnixMs>, timeout_at: Option<UnixMs>) {
        if claimed_at.is_some() || timeout_at.is_some() || !self.tasks[slot].extra.is_nil() {
            let extra = self.extra_mut(slot);
            extra.claimed_at = claimed_at;
            extra.timeout_at = timeout_at;
        }
    }

    fn set_worker(&mut self, slot: Slot, name: &str, lease: Ms) {
        let id = self.workers.acquire(name, lease);
        self.clear_worker(slot);
        self.tasks[slot].worker = id;
        if id == WorkerId::NONE {
            self.owned_bytes += name.len();
            self.extra_mut(slot).worker = Some(Box::new(Worker { name: name.into(), lease }));
        }
    }

    fn clear_worker(&mut self, slot: Slot) {
        self.workers.release(mem::replace(&mut self.tasks[slot].worker, WorkerId::NONE));
        if let Some(worker) = self.extra_opt(slot).and_then(|extra| extra.worker.take()) {
            self.owned_bytes -= worker.name.len();
        }
    }

    fn extra_opt(&mut self, slot: Slot) -> Option<&mut Extra> {
        self.tasks[slot].extra.get().map(|extra| &mut self.extras[extra])
    }

    pub(crate) fn extra_mut(&mut self, slot: Slot) -> &mut Extra {
        if self.tasks[slot].extra.is_nil() {
            self.tasks[slot].extra = self.extras.insert(Extra::default());
        }
        &mut self.extras[self.tasks[slot].extra]
    }

    /// Drops an [`Extra`] that says nothing, so that equal tasks are equal whatever they went through.
    fn tidy_extra(&mut self, slot: Slot) {
        if let Some(extra) = self.tasks[slot].extra.get() {
            if self.extras[extra].is_empty() {
                self.extras.remove(extra);
                self.tasks[slot].extra = Slot::NIL;
            }
        }
    }
}

/// What an [`Extra`] adds to [`Queue::owned_bytes`].
fn owned_by(extra: &Extra) -> usize {
    let texts = [&extra.error, &extra.checkpoint].into_iter().flatten().map(|text| text.len());
    let options = extra.options.as_ref().map_or(0, |_| mem::size_of::<Options>());
    texts.sum::<usize>() + options + extra.name.as_ref().map_or(0, |name| name.len())
}
