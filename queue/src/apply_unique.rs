//! What effects do to keys of `UNIQUE`. Part of [`crate::apply`].

use crate::apply::count;
use crate::effect::{Change, Effect, Event, Heard, Keyed, Order};
use crate::id::OwnedId;
use crate::index::segments::Slot;
use crate::options::Start;
use crate::queue::Queue;
use crate::state::State;
use crate::time::{MaybeMs, UnixMs};
use crate::unique::{Hold, Holder, Key, lasts};

impl Queue {
    /// What happens to a key.
    pub(crate) fn apply_key(&mut self, effect: &Effect<'_>) -> Heard {
        match *effect {
            Effect::Keyed(id, keyed) => {
                let Some(slot) = self.find(id) else { return [None; 2] };
                self.apply_keyed(slot, &keyed);
                [Some((Event::Tell, slot)), None]
            }
            Effect::KeyKept { key, id, until } => {
                let (holder, until) = (Holder::Gone(id.into()), Some(until).into());
                self.insert_hold(key.into(), Hold { holder, until, follow_up: Slot::NIL });
                [None; 2]
            }
            Effect::KeyFreed { key, at } => {
                self.apply_key_freed(key, at);
                // Of no task: its holder may be gone.
                [Some((Event::Tell, Slot::NIL)), None]
            }
            _ => [None; 2],
        }
    }

    /// The task has this key from now on, or will have it after its holder, or again; or has it for another time than before.
    fn apply_keyed(&mut self, slot: Slot, keyed: &Keyed<'_>) {
        let until = keyed.until.into();
        if self.key(slot).is_some() {
            self.change_key(slot, |key| key.until = until);
            if self.hold_of(slot).is_some()
                && let Some(hold) = self.remove_hold(keyed.key)
            {
                self.insert_hold(keyed.key.into(), Hold { until, ..hold });
            }
            return;
        }
        let key = Key { name: keyed.key.into(), until, follows: keyed.follows };
        self.change_rare(slot, true, |rare| rare.key = Some(Box::new(key)));
        self.uniques.tasks += 1;
        if self.ended_badly(slot) {
            return;
        }
        match self.uniques.holds.get_mut(keyed.key) {
            Some(hold) => hold.follow_up = slot,
            None => self.insert_hold(keyed.key.into(), Hold { holder: Holder::Task(slot), until, follow_up: Slot::NIL }),
        }
    }

    fn apply_key_freed(&mut self, name: &str, at: UnixMs) {
        if let Some(Holder::Task(slot)) = self.pass_on(name, at) {
            self.forget_key(slot);
            self.tidy_extra(slot);
        }
    }

    /// What happens to a task that has a key, and to no other.
    #[cold]
    pub(crate) fn apply_to_unique(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
            Change::Replaced { at, order } => self.replace(slot, order, at),
            Change::Followed { at, start } => {
                self.let_go(slot, at);
                self.clear_after(slot);
                self.change_key(slot, |key| key.follows = false);
                self.leave(slot);
                match start {
                    Start::Scheduled { due } => self.enter(slot, State::Scheduled, due),
                    Start::Ready { order } | Start::Waiting { order } => self.enter_ready(slot, order, at),
                }
            }
            _ => {}
        }
    }

    /// It begins anew with what was pushed; but waits for what it waits for.
    fn replace(&mut self, slot: Slot, mut order: Order<'_>, at: UnixMs) {
        let before = self.tasks.at(slot);
        let (state, was_at, priority) = (before.state(), before.at, before.priority);
        if state == State::Waiting {
            let due = if let Start::Scheduled { due } = order.start { Some(due) } else { None };
            order.start = Start::Waiting { order: before.order };
            if let Some(after) = self.after_mut(slot) {
                after.due = due.into();
            }
        }
        self.leave(slot);
        self.end_ttl(slot);
        self.change_rare(slot, false, |rare| (rare.error, rare.checkpoint) = (None, None));
        self.begin_tries_anew(slot);
        self.begin(slot, &order, at);
        count(&mut self.head.totals.pushed);
        let after = self.tasks.at(slot);
        let is_earlier = if state == State::Ready { after.priority > priority } else { after.at < was_at };
        self.rewinds += u64::from(after.state() == state && is_earlier);
    }

    /// The task has changed: by its end its key is free, unless it is to be held longer.
    #[cold]
    pub(crate) fn settle_key(&mut self, slot: Slot, change: &Change<'_>) {
        let Some(key) = self.key(slot) else { return };
        match *change {
            Change::Completed { at, .. } => {
                let is_held_on = key.until.get().is_some_and(|until| until > at) && !sabotaged!(ForEndsWithTask);
                let has_follow_up = self.hold_of(slot).is_some_and(|hold| !hold.follow_up.is_nil());
                if !is_held_on || has_follow_up {
                    self.let_go_of_key(slot, at);
                    self.forget_key(slot);
                }
            }
            Change::Failed { at, .. }
            | Change::Abandoned { at, .. }
            | Change::Canceled { at, .. }
            | Change::Expired { at, .. } => {
                self.let_go_of_key(slot, at);
                if self.follows(slot) {
                    self.clear_after(slot);
                    self.change_key(slot, |key| key.follows = false);
                }
            }
            Change::Lapsed { at } if sabotaged!(LapseFreesKey) => {
                self.let_go_of_key(slot, at);
                self.forget_key(slot);
            }
            // Whether it has the key again is said apart.
            Change::Revived { .. } | Change::Renewed { .. } | Change::Awaited { .. } if self.hold_of(slot).is_none() => {
                self.forget_key(slot);
            }
            _ => {}
        }
    }

    /// The task is about to be dropped. Its key is held on, if its time is not over.
    #[cold]
    pub(crate) fn disown_key(&mut self, slot: Slot) {
        let Some(name) = self.key(slot).map(|key| key.name.clone()) else { return };
        if self.hold_of(slot).is_some()
            && let Some(hold) = self.remove_hold(&name)
            && !sabotaged!(ForEndsWithDrop)
        {
            let id = OwnedId::from(self.id_of(slot));
            self.insert_hold(name, Hold { holder: Holder::Gone(id), ..hold });
        }
        // What it knows goes with it.
        self.uniques.tasks -= 1;
    }

    /// The task holds its key no longer, or will not hold it after another.
    fn let_go_of_key(&mut self, slot: Slot, at: UnixMs) {
        let Some(name) = self.key(slot).map(|key| key.name.clone()) else { return };
        match self.uniques.holds.get_mut(&name) {
            Some(hold) if hold.holder == Holder::Task(slot) => _ = self.pass_on(&name, at),
            Some(hold) if hold.follow_up == slot => hold.follow_up = Slot::NIL,
            _ => {}
        }
    }

    /// The key is free, or the follow-up's if its own time is not over. Answers whose it was.
    fn pass_on(&mut self, name: &str, at: UnixMs) -> Option<Holder> {
        let hold = self.remove_hold(name)?;
        if let Some(next) = hold.follow_up.get() {
            let until = self.key(next).map_or(MaybeMs::NONE, |key| key.until);
            if lasts(until, at) && !sabotaged!(KeyNotPassedOn) {
                self.insert_hold(name.into(), Hold { holder: Holder::Task(next), until, follow_up: Slot::NIL });
            } else {
                // It waits on, as any task waits for another.
                self.forget_key(next);
            }
        }
        Some(hold.holder)
    }

    fn insert_hold(&mut self, name: Box<str>, hold: Hold) {
        self.owned += hold.owned(&name);
        if let Some(until) = hold.until.get() {
            self.uniques.ends.insert((until, name.clone()));
            if !sabotaged!(KeyEndLate) {
                self.soonest = self.soonest.min(until);
            }
        }
        self.uniques.holds.insert(name, hold);
    }

    fn remove_hold(&mut self, name: &str) -> Option<Hold> {
        let (name, hold) = self.uniques.holds.remove_entry(name)?;
        self.owned -= hold.owned(&name);
        if let Some(until) = hold.until.get() {
            self.uniques.ends.remove(&(until, name));
        }
        Some(hold)
    }

    fn forget_key(&mut self, slot: Slot) {
        self.change_rare(slot, false, |rare| rare.key = None);
        self.uniques.tasks -= 1;
    }

    /// To change nothing that takes more or less memory then.
    fn change_key(&mut self, slot: Slot, change: impl FnOnce(&mut Key)) {
        self.change_rare(slot, false, |rare| {
            if let Some(key) = &mut rare.key {
                change(key);
            }
        });
    }
}
