//! Whether what is said of schedules can be of a queue's history. Part of [`crate::admit`].

use crate::admit::{is_name, valid};
use crate::effect::Effect;
use crate::error::Mismatch;
use crate::queue::Queue;
use crate::schedule::{Definition, NAME_BYTES_MAX, Plan, Progress, SCHEDULES_MAX};
use crate::time::{Ms, UnixMs};

impl Queue {
    pub(crate) fn admit_schedule(&self, effect: &Effect<'_>) -> Result<(), Mismatch> {
        match effect {
            Effect::Scheduled { name, definition, next } => {
                let last = self.find_schedule(name).and_then(|known| known.progress.last);
                self.admit_definition(name, definition)?;
                valid(is_next(*next, last))
            }
            Effect::ScheduleRestored { name, definition, progress } => {
                self.admit_definition(name, definition)?;
                valid(is_progress(progress))?;
                if self.find_schedule(name).is_some() { Err(Mismatch::KnownTask) } else { Ok(()) }
            }
            Effect::Unscheduled { name } => self.find_schedule(name).map(drop).ok_or(Mismatch::UnknownTask),
            Effect::SlotPassed { name, slot, next, .. } => {
                let known = self.find_schedule(name).ok_or(Mismatch::UnknownTask)?;
                valid(*slot <= UnixMs::MAX && *slot >= known.progress.next && is_next(*next, Some(*slot)))
            }
            _ => Err(Mismatch::Invalid),
        }
    }

    fn admit_definition(&self, name: &str, definition: &Definition<'_>) -> Result<(), Mismatch> {
        let count = self.schedules().len() + usize::from(self.find_schedule(name).is_none());
        valid(
            name.len() <= NAME_BYTES_MAX
                && is_name(name)
                && count <= SCHEDULES_MAX
                && definition.delay <= Ms::MAX
                && definition.ttl.is_none_or(|ttl| ttl <= Ms::MAX)
                && definition.options.is_valid()
                && definition.group.is_none_or(is_name)
                && definition.unique.is_none_or(|unique| is_name(unique.key) && unique.hold.is_none_or(|hold| hold <= Ms::MAX)),
        )?;
        Plan::of(definition).map(drop).map_err(|_| Mismatch::Invalid)
    }
}

fn is_progress(progress: &Progress) -> bool {
    let Progress { next, last, last_fired, .. } = *progress;
    is_next(next, last) && last.is_none_or(|last| last <= UnixMs::MAX) && last_fired <= last
}

/// Whether a slot can follow this one.
fn is_next(next: UnixMs, last: Option<UnixMs>) -> bool {
    (next <= UnixMs::MAX || next == UnixMs::NEVER) && last.is_none_or(|last| next > last)
}
