//! What effects do to batches, and to tasks as members of one. Part of [`crate::apply`].

use crate::batch::{Batch, Counts, Member, Stage, kept};
use crate::blocks::Blocks;
use crate::depend::Outcome;
use crate::effect::{BatchImage, Change, Effect, Event, Heard, Image, Pushed};
use crate::index::log::Log;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::task::Task;
use crate::time::UnixMs;
use std::collections::BTreeSet;

impl Queue {
    /// What happens to a batch as a whole.
    pub(crate) fn apply_batch(&mut self, effect: &Effect<'_>) -> Heard {
        match *effect {
            Effect::Sealed { batch, at } => {
                let (batch, is_done) = self.apply_sealed(batch, at);
                [Some((Event::Seal, batch)), is_done.then_some((Event::Batch, batch))]
            }
            Effect::BatchDropped { batch } => {
                let batch = self.find_batch(batch);
                batch
                    .inspect(|&batch| self.apply_batch_dropped(batch))
                    .map_or([None; 2], |batch| [Some((Event::Seal, batch)), None])
            }
            _ => [None; 2],
        }
    }

    /// No more tasks will come. Answers the batch, and whether it is done by that.
    fn apply_sealed(&mut self, name: &str, at: UnixMs) -> (Slot, bool) {
        let batch = self.batch_named(name, at);
        let place = self.batches.slots.at_mut(batch);
        place.is_sealed = true;
        place.touched = at;
        let is_done = self.settle(batch);
        if is_done && !sabotaged!(SealNotKept) {
            self.note_batch(batch, at);
        }
        (batch, is_done)
    }

    /// The batch is gone; its tasks follow one by one.
    fn apply_batch_dropped(&mut self, batch: Slot) {
        let place = self.batches.slots.at(batch);
        let (incarnation, is_empty) = (place.incarnation, place.counts.total() == 0);
        let node = place.node;
        self.batches.names.remove(&place.name);
        if let Some(node) = node.get() {
            self.leave_behind(node, self.outcome_of_batch(batch));
        }
        self.set_stage(batch, Stage::Leaving);
        if is_empty {
            self.remove_batch(batch);
        } else {
            self.batches.leaving.insert(incarnation);
            self.soonest = UnixMs(0);
        }
    }

    pub(crate) fn apply_batch_restored(&mut self, image: &BatchImage<'_>) {
        let stage = if image.is_leaving { Stage::Leaving } else { Stage::Running };
        let batch = self.add_batch(Batch {
            name: image.name.into(),
            incarnation: image.incarnation,
            is_sealed: image.is_sealed && !sabotaged!(SealForgotten),
            kept_until: image.kept_until,
            touched: image.touched,
            counts: Counts::default(),
            open: Log::default().starting_at(image.opened),
            ends: Log::default().starting_at(image.ended),
            bad: BTreeSet::new(),
            stage,
            node: Slot::NIL,
            held: 0,
        });
        self.settle(batch);
    }

    /// Adds a task to a batch, which is made if there is none of that name.
    pub(crate) fn apply_pushed_into(&mut self, name: &str, pushed: &Pushed<'_>) -> Slot {
        let (slot, at) = (self.apply_pushed_apart(pushed), pushed.at);
        let batch = self.batch_named(name, at);
        let state = self.tasks.at(slot).state();
        self.batches.counts.add(state);
        let number = self.change_batch(batch, |batch| {
            batch.touched = at;
            batch.counts.add(state);
            batch.open.append(slot)
        });
        self.link(slot, batch, number);
        self.settle(batch);
        slot
    }

    /// Makes a task from a snapshot the one that had this number in a batch.
    pub(crate) fn rejoin(&mut self, slot: Slot, incarnation: u64, number: u32, image: &Image<'_>) {
        let Some(&batch) = self.batches.numbers.get(&incarnation) else { return };
        self.batches.counts.add(image.state);
        let is_dense = sabotaged!(EndsRenumbered) && image.state.is_terminal();
        let number = if is_dense { self.batches.slots.at(batch).ends.len() } else { number };
        self.change_batch(batch, |batch| {
            batch.counts.add(image.state);
            if image.state.is_terminal() {
                batch.ends.set(number, slot);
                if image.state != State::Completed {
                    batch.bad.insert(number);
                }
            } else {
                batch.open.set(number, slot);
            }
        });
        self.link(slot, batch, number);
        if self.batches.slots.at(batch).is_leaving() {
            self.batches.leaving.insert(incarnation);
            self.soonest = UnixMs(0);
        }
        self.settle(batch);
    }

    /// The task is about to enter a state with this instant: its batch, if it has one, counts it there, and knows whether it has
    /// ended. Answers the instant with which it is to enter.
    #[cold]
    pub(crate) fn move_member(&mut self, slot: Slot, to: State, at: UnixMs) -> UnixMs {
        let task = self.tasks.at(slot);
        let (from, finished) = (task.state(), UnixMs(task.order));
        let Some(member) = task.member() else { return at };
        if from != to {
            self.count_member(slot, member, from, to);
        }
        if to.is_terminal() { kept(finished) } else { at }
    }

    fn count_member(&mut self, slot: Slot, member: Slot, from: State, to: State) {
        let Member { number, .. } = *self.batches.members.at(member);
        let batch = self.batches.members.at(member).batch();
        self.batches.counts.take(from);
        self.batches.counts.add(to);
        let number = self.change_batch(batch, |batch| {
            batch.counts.take(from);
            batch.counts.add(to);
            match (from.is_terminal(), to.is_terminal()) {
                (false, true) => {
                    batch.open.clear(number);
                    let number = batch.ends.append(slot);
                    if to != State::Completed {
                        batch.bad.insert(number);
                    }
                    number
                }
                (true, false) => {
                    if !sabotaged!(OldEndStays) {
                        batch.ends.clear(number);
                    }
                    batch.bad.remove(&number);
                    batch.open.append(slot)
                }
                _ => number,
            }
        });
        self.batches.members.at_mut(member).number = number;
    }

    /// The task has changed: its batch, if it has one, hears of its end and of when it could be dropped, were it of no batch; or of
    /// its beginning again. Answers the batch if it is done by that.
    #[cold]
    pub(crate) fn settle_member(&mut self, slot: Slot, change: &Change<'_>) -> Option<Slot> {
        let (at, drop_at) = match *change {
            Change::Completed { at, drop_at, .. }
            | Change::Failed { at, drop_at, .. }
            | Change::Abandoned { at, drop_at, .. }
            | Change::Canceled { at, drop_at }
            | Change::Expired { at, drop_at } => (at, Some(drop_at)),
            Change::Revived { at, .. } | Change::Renewed { at, .. } | Change::Awaited { at, .. } => (at, None),
            _ => return None,
        };
        let batch = self.member(self.tasks.at(slot))?.batch();
        let place = self.batches.slots.at_mut(batch);
        place.touched = at;
        place.kept_until = drop_at.into_iter().fold(place.kept_until, Ord::max);
        if sabotaged!(LastEndDecides) {
            place.kept_until = drop_at.unwrap_or(place.kept_until);
        }
        let is_done = self.settle(batch);
        if is_done {
            self.note_batch(batch, at);
        }
        is_done.then_some(batch)
    }

    /// The task's batch is gone, but the task is to stay: as one of no batch.
    pub(crate) fn outlive_batch(&mut self, slot: Slot) {
        if self.is_leaving(slot) {
            self.disown_task(slot);
            let task = self.tasks.at(slot);
            if let (Some(member), state) = (task.member(), task.state()) {
                self.tasks.at_mut(slot).extra = self.leave_batch(member, state);
            }
        }
    }

    /// Takes a task that has ended out of its batch. Answers what its `extra` is then.
    #[cold]
    pub(crate) fn leave_batch(&mut self, member: Slot, state: State) -> Slot {
        let member = self.batches.members.remove(member);
        let batch = member.batch();
        self.batches.counts.take(state);
        self.change_batch(batch, |batch| {
            batch.counts.take(state);
            batch.ends.clear(member.number);
            batch.bad.remove(&member.number);
        });
        if self.batches.slots.at(batch).counts.total() == 0 {
            self.remove_batch(batch);
        }
        member.extra
    }

    fn link(&mut self, slot: Slot, batch: Slot, number: u32) {
        let extra = self.tasks.at(slot).extra;
        let member = self.batches.members.insert(Member::new(batch, extra, number));
        self.tasks.at_mut(slot).extra = Task::link_to(member);
    }

    /// The batch of that name, made if there is none.
    fn batch_named(&mut self, name: &str, at: UnixMs) -> Slot {
        if let Some(batch) = self.find_batch(name) {
            return batch;
        }
        // By the clock, so that it tells the batch from one of a queue that was deleted before.
        self.batches.last = self.batches.last.saturating_add(1).max(at.min(UnixMs::MAX).0);
        if sabotaged!(IncarnationReused) {
            self.batches.last = self.batches.numbers.last_key_value().map_or(1, |(last, _)| last + 1);
        }
        self.add_batch(Batch {
            name: name.into(),
            incarnation: self.batches.last,
            is_sealed: false,
            kept_until: UnixMs(0),
            touched: at,
            counts: Counts::default(),
            open: Log::default(),
            ends: Log::default(),
            bad: BTreeSet::new(),
            stage: Stage::Running,
            node: Slot::NIL,
            held: 0,
        })
    }

    fn add_batch(&mut self, batch: Batch) -> Slot {
        let (incarnation, is_leaving) = (batch.incarnation, batch.is_leaving());
        let name = batch.name.clone();
        self.owned += batch.owned();
        let slot = self.batches.slots.insert(batch);
        self.batches.numbers.insert(incarnation, slot);
        if !is_leaving {
            self.batches.names.insert(name, slot);
        }
        slot
    }

    fn remove_batch(&mut self, batch: Slot) {
        let batch = self.batches.slots.remove(batch);
        self.owned -= batch.owned();
        self.batches.numbers.remove(&batch.incarnation);
        self.batches.leaving.remove(&batch.incarnation);
    }

    fn change_batch<R>(&mut self, batch: Slot, change: impl FnOnce(&mut Batch) -> R) -> R {
        let batch = self.batches.slots.at_mut(batch);
        let before: Blocks = batch.owned();
        let answer = change(batch);
        self.owned -= before;
        self.owned += batch.owned();
        answer
    }

    /// Enters the batch among those that go, or takes it out. Whether it is done by what has happened.
    pub(crate) fn settle(&mut self, batch: Slot) -> bool {
        let place = self.batches.slots.at(batch);
        let (was_done, stage) = (place.is_done(), place.stage_now());
        self.set_stage(batch, stage);
        let place = self.batches.slots.at(batch);
        let is_done = place.is_done();
        if let Some(node) = place.node.get() {
            if was_done && !is_done && self.is_news(node) {
                // What began again had ended badly.
                self.leave_behind(node, Outcome::Bad);
            } else {
                self.note_news(node);
            }
        }
        !was_done && is_done
    }

    fn set_stage(&mut self, batch: Slot, stage: Stage) {
        let place = self.batches.slots.at_mut(batch);
        if place.stage == stage {
            return;
        }
        let (old, incarnation) = (place.stage, place.incarnation);
        place.stage = stage;
        match old {
            Stage::Idle(since) | Stage::Empty(since) => _ = self.batches.idle.remove(&(since, incarnation)),
            Stage::Done(at) => _ = self.batches.done.remove(&(at, incarnation)),
            Stage::Running | Stage::Held | Stage::Leaving => {}
        }
        match stage {
            Stage::Idle(at) | Stage::Empty(at) => {
                self.batches.idle.insert((at, incarnation));
                self.soonest = self.soonest.min(at);
            }
            Stage::Done(at) => {
                self.batches.done.insert((at, incarnation));
                self.soonest = self.soonest.min(at);
            }
            Stage::Running | Stage::Held | Stage::Leaving => {}
        }
    }
}
