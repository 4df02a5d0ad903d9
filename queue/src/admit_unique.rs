//! Whether what effects say of keys can be of a queue's history. Part of [`crate::admit`].

use crate::admit::{are_terms, comes, is_name, valid};
use crate::effect::{Effect, Keyed, Order};
use crate::error::Mismatch;
use crate::index::segments::Slot;
use crate::options::Start;
use crate::queue::Queue;
use crate::state::State;
use crate::time::UnixMs;
use crate::unique::Holder;

impl Queue {
    pub(crate) fn admit_key(&self, effect: &Effect<'_>) -> Result<(), Mismatch> {
        match *effect {
            Effect::Keyed(id, keyed) => {
                let slot = self.find(id).ok_or(Mismatch::UnknownTask)?;
                valid(is_name(keyed.key) && comes(keyed.until) && self.admit_keyed(slot, &keyed))
            }
            Effect::KeyKept { key, id, until } => {
                let is_free = !self.uniques.holds.contains_key(key);
                valid(is_name(key) && id.is_valid() && is_free && comes(Some(until)))
            }
            Effect::KeyFreed { key, .. } => valid(self.uniques.holds.contains_key(key)),
            _ => Err(Mismatch::Invalid),
        }
    }

    fn admit_keyed(&self, slot: Slot, keyed: &Keyed<'_>) -> bool {
        let state = self.tasks.at(slot).state();
        if let Some(key) = self.key(slot) {
            // For another time than before.
            return *key.name == *keyed.key && key.follows == keyed.follows && !state.is_terminal();
        }
        if self.ended_badly(slot) {
            return !keyed.follows;
        }
        let is_held_on = state != State::Completed || keyed.until.is_some();
        match self.uniques.holds.get(keyed.key) {
            None => is_held_on && (!keyed.follows || self.can_follow(slot, None)),
            Some(hold) => match hold.holder {
                Holder::Task(holder) => {
                    let is_next = hold.follow_up.is_nil() && keyed.follows;
                    is_next && !self.tasks.at(holder).state().is_terminal() && self.can_follow(slot, Some(holder))
                }
                Holder::Gone(_) => false,
            },
        }
    }

    /// A task that has not been claimed, or is not any more. What is ready may keep its place, what waits does so.
    pub(crate) fn admit_replaced(&self, slot: Slot, at: UnixMs, order: &Order<'_>) -> bool {
        let task = self.tasks.at(slot);
        let is_placed = match (task.state(), order.start) {
            (State::Waiting, Start::Waiting { order }) => order == task.order,
            (State::Waiting | State::Scheduled | State::Ready, Start::Scheduled { .. }) => true,
            (State::Scheduled | State::Ready, Start::Ready { order }) => {
                self.is_new_place(order) || (task.state() == State::Ready && order == task.order)
            }
            _ => false,
        };
        is_placed && self.key(slot).is_some() && are_terms(at, order)
    }

    /// What it followed has ended, so that it can be ready or scheduled.
    pub(crate) fn admit_followed(&self, slot: Slot, start: Start) -> bool {
        let is_placed = match start {
            Start::Ready { order } => self.is_new_place(order),
            Start::Scheduled { .. } => true,
            Start::Waiting { .. } => false,
        };
        let is_told = |node: Slot| self.is_news(node);
        let has_ended = self.after(slot).is_some_and(|after| matches!(&*after.on, [one] if one.node.get().is_some_and(is_told)));
        is_placed && self.tasks.at(slot).state() == State::Waiting && self.follows(slot) && has_ended
    }
}
