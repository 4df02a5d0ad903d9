//! One unit of change to a queue: what was done, and what is to be sent, as one.

use crate::effect::{Change, Depends, Effect, Event, Keyed, Packed, Pushed};
use crate::id::OwnedId;
use crate::index::segments::Slot;
use crate::notice::Notice;
use crate::op::drop_excess;
use crate::queue::Queue;
use crate::session::Connection;
use crate::state::State;
use crate::time::UnixMs;

/// What a transaction leaves behind for the shell to replicate and to tell.
#[derive(Debug, Default)]
pub struct Journal {
    /// The effects, in order.
    pub packed: Packed,
    /// What the outside hears of them, in order, with the slot of the task, or of the batch. That of a dropped one is no longer its own.
    pub events: Vec<(Event, Slot)>,
    /// Nobody is to be sent the effects, so they need not be packed.
    pub is_silent: bool,
    /// What is to be told by name, in order; `None` if nothing is. To be taken out before [`Self::clear`].
    pub notices: Option<Vec<Notice>>,
}

impl Journal {
    /// Makes it empty for the next transaction, keeping its memory unless that is much.
    pub fn clear(&mut self) {
        const KEEP: usize = 4_096;
        self.packed.clear();
        self.events.clear();
        self.events.shrink_to(KEEP);
    }
}

/// So many tasks that are more than may be kept are dropped at once, if no more than that have changed; the others by the tick.
const EXCESS_AT_ONCE: usize = 64;

/// An operation's hold on a queue. Operations check first and then record; what is recorded is applied at once.
#[derive(Debug)]
pub struct Txn<'q> {
    queue: &'q mut Queue,
    journal: &'q mut Journal,
    now: UnixMs,
}

impl<'q> Txn<'q> {
    /// Begins a transaction that happens at `now`.
    pub const fn new(queue: &'q mut Queue, journal: &'q mut Journal, now: UnixMs) -> Self {
        Self { queue, journal, now }
    }

    /// The queue as it is by now.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        self.queue
    }

    /// The instant at which all of this happens.
    #[must_use]
    pub const fn now(&self) -> UnixMs {
        self.now
    }

    /// What was recorded so far.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        self.journal
    }

    /// Drops the tasks that ended in this transaction and are not to be kept. To be called when whoever waits has their results.
    pub fn drop_unkept(&mut self) {
        let mut index = 0;
        while let Some(&(event, slot)) = self.journal.events.get(index) {
            index += 1;
            let is_over = self.queue.tasks.get(slot).is_some_and(|task| task.state().is_terminal() && task.at <= self.now);
            if event.is_end() && is_over {
                self.record_drop(slot);
            }
        }
        if self.queue.flow.is_some() {
            drop_excess(self, self.journal.events.len().max(EXCESS_AT_ONCE));
        }
    }

    pub(crate) fn record(&mut self, slot: Slot, change: &Change<'_>) {
        debug_assert_eq!(self.queue.admit_change(slot, change), Ok(()), "{change:?}");
        if self.queue.events.is_some() {
            self.date(change);
        }
        let is_lost = sabotaged!(LapseNotRecorded) && matches!(change, Change::Lapsed { .. });
        if !(self.journal.is_silent || is_lost) {
            self.journal.packed.push(&Effect::Changed(self.queue.id_of(slot), *change));
        }
        let done = self.queue.apply_change(slot, change);
        self.hear(change.event(), slot);
        if let Some(batch) = done {
            self.hear(Event::Batch, batch);
        }
    }

    /// As [`Self::record`]: the task is dropped. Which it was is noted while that is known.
    pub(crate) fn record_drop(&mut self, slot: Slot) {
        if self.journal.notices.is_some() {
            self.note(Event::Drop, slot);
        }
        self.record(slot, &Change::Dropped);
    }

    /// The outside hears of it. A task that was dropped has been noted before.
    #[allow(clippy::inline_always, reason = "it is a push and a comparison, in the middle of what is fast")]
    #[inline(always)]
    fn hear(&mut self, event: Event, slot: Slot) {
        self.journal.events.push((event, slot));
        if self.journal.notices.is_some() && event != Event::Drop {
            self.note(event, slot);
        }
    }

    /// Notes what is to be told by name.
    #[cold]
    #[inline(never)]
    fn note(&mut self, event: Event, slot: Slot) {
        if let Some(notices) = &mut self.journal.notices {
            notices.extend(self.queue.notice(event, slot, self.now));
        }
    }

    /// Says when a change happens that does not say so itself, if the queue keeps it.
    #[cold]
    fn date(&mut self, change: &Change<'_>) {
        if self.queue.must_date(change, self.now) {
            self.record_other(&Effect::Dated { at: self.now });
        }
    }

    /// The task depends on this.
    pub(crate) fn record_depends(&mut self, slot: Slot, depends: &Depends<'_>) {
        debug_assert_eq!(self.queue.admit_depends(slot, depends), Ok(()), "{depends:?}");
        if !self.journal.is_silent {
            self.journal.packed.push(&Effect::Depends(self.queue.id_of(slot), *depends));
        }
        self.queue.apply_depends(slot, depends);
        self.hear(Event::Tell, slot);
    }

    /// The task has this key.
    pub(crate) fn record_keyed(&mut self, slot: Slot, keyed: &Keyed<'_>) {
        let id = OwnedId::from(self.queue.id_of(slot));
        self.record_other(&Effect::Keyed(id.as_id(), *keyed));
    }

    /// Records what happens to something else than tasks.
    pub(crate) fn record_other(&mut self, effect: &Effect<'_>) {
        debug_assert_eq!(self.queue.admit_other(effect), Ok(()), "{effect:?}");
        let mut is_lost = sabotaged!(SlotNotRecorded) && matches!(effect, Effect::SlotPassed { .. });
        is_lost |= sabotaged!(DateNotRecorded) && matches!(effect, Effect::Dated { .. });
        is_lost |= sabotaged!(BeginNotRecorded) && matches!(effect, Effect::EventsBegun { .. });
        if !(self.journal.is_silent || is_lost) {
            self.journal.packed.push(effect);
        }
        let heard = self.queue.apply_other(effect);
        heard.into_iter().flatten().for_each(|(event, slot)| self.hear(event, slot));
    }

    /// The task, which is new or has ended, is of this group from now on.
    #[cold]
    pub(crate) fn record_group(&mut self, slot: Slot, group: &str) {
        debug_assert_eq!(self.queue.admit_grouped(slot, group, false), Ok(()), "{group}");
        if !self.journal.is_silent {
            self.journal.packed.push(&Effect::Grouped { id: self.queue.id_of(slot), group, holds: false });
        }
        self.queue.apply_grouped(slot, group, false);
    }

    #[allow(clippy::inline_always, reason = "nearly all tasks come from one caller, and 1 % of a push's instructions hang on it")]
    #[inline(always)]
    pub(crate) fn record_push(&mut self, pushed: &Pushed<'_>) -> Slot {
        debug_assert_eq!(self.queue.admit_pushed(pushed), Ok(()), "{pushed:?}");
        let slot = self.queue.apply_pushed(pushed);
        if !self.journal.is_silent {
            self.journal.packed.push(&Effect::Pushed(*pushed));
        }
        self.hear(Event::Push, slot);
        slot
    }

    /// As [`Self::record_push`], for those who do not push much.
    #[inline(never)]
    pub(crate) fn record_push_apart(&mut self, pushed: &Pushed<'_>) -> Slot {
        self.record_push(pushed)
    }

    /// As [`Self::record_push`]; the task is of a batch.
    #[cold]
    pub(crate) fn record_push_into(&mut self, batch: &str, pushed: &Pushed<'_>) -> Slot {
        debug_assert_eq!(self.queue.admit_pushed_into(batch, pushed), Ok(()), "{pushed:?}");
        let slot = self.queue.apply_pushed_into(batch, pushed);
        if !self.journal.is_silent {
            self.journal.packed.push(&Effect::PushedInto { batch, pushed: *pushed });
        }
        self.hear(Event::Push, slot);
        slot
    }

    /// The claim that was just recorded is this connection's. Only this server knows, so it is not recorded.
    pub(crate) fn attach(&mut self, slot: Slot, connection: Connection) {
        self.queue.set_session(slot, Some(connection));
    }

    /// The next place at the end of the line.
    pub(crate) const fn next_order(&self) -> u64 {
        self.queue.next_order()
    }

    /// The tick has looked at everything: nothing falls due before this.
    pub(crate) const fn set_soonest(&mut self, soonest: UnixMs) {
        self.queue.soonest = soonest;
    }

    pub(crate) fn state(&self, slot: Slot) -> State {
        self.queue.tasks.at(slot).state()
    }
}
