//! Keys of which each is one task's at a time: `UNIQUE`.
//!
//! A key that is held has a [`Hold`], which knows its holder and, if a push wanted to replace a holder that was claimed, the follow-up: a
//! task that waits for the holder's end as any task waits for another, and has the key after it. A task knows its key, so that its end
//! frees it; one that ended without a result goes on knowing it, so that RETRY takes it again.

use crate::blocks::{Blocks, Rounding};
use crate::depend::Of;
use crate::id::{OwnedId, TaskId};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::time::{MaybeMs, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// What a task knows of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: Box<str>,
    /// When it is free at the latest, whatever becomes of the task.
    pub(crate) until: MaybeMs,
    /// The task is a follow-up, and waits for the holder that it follows.
    pub(crate) follows: bool,
}

impl Key {
    pub(crate) fn blocks(&self) -> Blocks {
        Blocks::of(mem::size_of::<Self>()) + Blocks::of(self.name.len())
    }
}

/// A key that is not free.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) holder: Holder,
    /// As the holder knows it, or knew it.
    pub(crate) until: MaybeMs,
    /// Who has the key after the holder, or nil.
    pub(crate) follow_up: Slot,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Of a task that has not ended; or was completed, and the time of its key is not over.
    Task(Slot),
    /// Of one that was dropped meanwhile.
    Gone(OwnedId),
}

impl Hold {
    /// What it owns outside its place: the key's name, twice if it ends at an instant, and the id of a holder that is gone.
    pub(crate) fn owned(&self, name: &str) -> Blocks {
        let name = Blocks::of(name.len());
        let mut owned = name;
        if self.until.get().is_some() {
            owned += name;
        }
        if let Holder::Gone(OwnedId::Named(id)) = &self.holder {
            owned += Blocks::of(id.len());
        }
        owned
    }
}

/// The keys of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uniques {
    pub(crate) holds: BTreeMap<Box<str>, Hold>,
    /// Those that are free at an instant, by it.
    pub(crate) ends: BTreeSet<(UnixMs, Box<str>)>,
    /// How many tasks know a key.
    pub(crate) tasks: usize,
}

impl Uniques {
    /// Whether any task knows a key: what is asked first, so that queues without keys pay nothing for them.
    pub(crate) const fn has_tasks(&self) -> bool {
        self.tasks > 0
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.tree::<(Box<str>, Hold)>(self.holds.len()) + rounding.tree::<(UnixMs, Box<str>)>(self.ends.len())
    }

    /// When the next key is free, whatever becomes of its task.
    pub(crate) fn first_end(&self) -> Option<(UnixMs, &str)> {
        self.ends.first().map(|(at, name)| (*at, &**name))
    }
}

/// How a push finds a key that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// By a task, which another follows or none.
    By { holder: Slot, follow_up: Option<Slot> },
    /// By one that is gone.
    ByGone,
}

impl Queue {
    /// How many keys are held, also for tasks that are gone.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.uniques.holds.len()
    }

    /// What the task in `slot` knows of its key.
    pub(crate) fn key(&self, slot: Slot) -> Option<&Key> {
        if self.uniques.has_tasks() { self.extra(self.tasks.at(slot)).rare().key.as_deref() } else { None }
    }

    /// Whether the task is a follow-up, and waits for the holder that it follows.
    pub(crate) fn follows(&self, slot: Slot) -> bool {
        self.key(slot).is_some_and(|key| key.follows)
    }

    /// What there is of a key that the task in `slot` holds.
    pub(crate) fn hold_of(&self, slot: Slot) -> Option<&Hold> {
        let hold = self.uniques.holds.get(&self.key(slot)?.name)?;
        (hold.holder == Holder::Task(slot)).then_some(hold)
    }

    /// Who holds the key at `now`; None if it is free. What the tick is about to do counts as done.
    pub(crate) fn held_at(&self, name: &str, now: UnixMs) -> Option<Held> {
        let hold = self.uniques.holds.get(name)?;
        let follow_up = hold.follow_up.get();
        if lasts(hold.until, now) {
            return Some(match hold.holder {
                Holder::Task(holder) => Held::By { holder, follow_up },
                Holder::Gone(_) => Held::ByGone,
            });
        }
        let holder = follow_up.filter(|&next| self.key(next).is_some_and(|key| lasts(key.until, now)))?;
        Some(Held::By { holder, follow_up: None })
    }

    /// The id of the task that holds the key, or did and was dropped while the key is held on.
    #[must_use]
    pub fn holder_of(&self, name: &str) -> Option<TaskId<'_>> {
        self.uniques.holds.get(name).map(|hold| match &hold.holder {
            Holder::Task(slot) => self.id_of(*slot),
            Holder::Gone(id) => id.as_id(),
        })
    }

    /// Whether the task waits for one other alone, as a follow-up does for the holder; for this one, if it is said.
    pub(crate) fn can_follow(&self, slot: Slot, holder: Option<Slot>) -> bool {
        let Some(after) = self.after(slot).filter(|after| after.run_anyway && !after.of_batch) else { return false };
        let is_right = |node: Slot| holder.is_none_or(|holder| self.nodes.slots.at(node).of == Of::Task(holder));
        matches!(&*after.on, [one] if one.untold && one.node.get().is_some_and(is_right))
    }
}

/// Whether the time of a key is not over at `now`.
pub(crate) fn lasts(until: MaybeMs, now: UnixMs) -> bool {
    until.get().is_none_or(|until| until > now)
}
