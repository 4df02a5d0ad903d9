//! What has happened to which task, for those who are told by name.
//!
//! An [`Event`] comes with a slot, in which by the end of a transaction may be another task, or none. So what is to be told is noted when the
//! change is applied; of a task that is dropped, before.

use crate::effect::{Change, Effect, Event, Heard};
use crate::error::Mismatch;
use crate::id::{OwnedId, TaskId};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::time::UnixMs;

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// To which task; the name of a batch that is done.
    pub id: OwnedId,
    /// What the task is by it; nothing of one that was dropped, and of a batch.
    pub state: Option<State>,
    /// The number of the task's last claim; 0: never claimed.
    pub attempt: u32,
    /// When.
    pub at: UnixMs,
}

impl Queue {
    /// What is to be told of an event that has just happened, or is about to if it is a drop. Nothing if it is none that is told.
    #[must_use]
    pub(crate) fn notice(&self, event: Event, slot: Slot, at: UnixMs) -> Option<Notice> {
        event.name()?;
        if event == Event::Batch {
            let name = &*self.batches.slots.get(slot)?.name;
            // It may look like an id that a queue makes.
            let id = TaskId::parse(name.as_bytes()).unwrap_or(TaskId::Named(name));
            return Some(Notice { event, id: id.into(), state: None, attempt: 0, at });
        }
        let task = self.tasks.get(slot)?;
        let state = Some(task.state()).filter(|_| event != Event::Drop);
        Some(Notice { event, id: self.id_of(slot).into(), state, attempt: task.attempt, at })
    }

    /// As [`Self::apply`], and adds what is to be told. What does not say when it happened has happened now.
    ///
    /// # Errors
    /// Those of [`Self::apply`].
    pub fn apply_and_note(&mut self, effect: &Effect<'_>, now: UnixMs, notices: &mut Vec<Notice>) -> Result<Heard, Mismatch> {
        let at = effect.instant().unwrap_or(now);
        let dropped = match effect {
            Effect::Changed(id, Change::Dropped) => self.find(*id).and_then(|slot| self.notice(Event::Drop, slot, at)),
            _ => None,
        };
        let heard = self.apply(effect)?;
        let others = heard.into_iter().flatten().filter(|&(event, _)| event != Event::Drop);
        notices.extend(dropped.into_iter().chain(others.filter_map(|(event, slot)| self.notice(event, slot, at))));
        Ok(heard)
    }
}

impl Effect<'_> {
    /// When it happened, if it says so.
    const fn instant(&self) -> Option<UnixMs> {
        match self {
            Self::Pushed(pushed) | Self::PushedInto { pushed, .. } => Some(pushed.at),
            Self::Sealed { at, .. } => Some(*at),
            Self::Changed(_, change) => change.instant(),
            _ => None,
        }
    }
}
