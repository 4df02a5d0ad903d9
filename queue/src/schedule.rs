//! Schedules: pushes that recur.
//!
//! A queue without schedules has no [`Schedules`], and pays nothing for them.

use crate::blocks::{Blocks, Rounding};
use crate::effect::{Effect, Event, Heard};
use crate::error::Refusal;
use crate::index::segments::Slot;
use crate::op::Unique;
use crate::options::Options;
use crate::queue::Queue;
use crate::recurrence::{Recurrence, Timing};
use crate::time::{Ms, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Longest name of a schedule, in bytes: `<name>@<unix-ms>` is an id.
pub(crate) const NAME_BYTES_MAX: usize = 200;
/// Most schedules of a queue.
pub(crate) const SCHEDULES_MAX: usize = 100_000;

/// What becomes of slots at which nothing could be pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misfire {
    /// They are left out.
    Skip,
    /// The last one is made up for.
    #[default]
    Once,
    /// Each is made up for, of very many the last ones.
    All,
}

/// Whether a slot's task may come while the last one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// It may.
    #[default]
    Allow,
    /// The slot is left out.
    Skip,
}

impl Misfire {
    /// As commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

impl Overlap {
    /// As commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
        }
    }
}

/// What `TASK.SCHEDULE` says of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition<'a> {
    /// When.
    #[serde(borrow)]
    pub recurrence: Recurrence<'a>,
    /// What becomes of slots that were missed.
    pub misfire: Misfire,
    /// What becomes of one that comes too soon.
    pub overlap: Overlap,
    /// Any bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub payload: &'a [u8],
    /// Of each task: higher is sooner.
    pub priority: u8,
    /// When each task may be claimed, from its push on.
    pub delay: Ms,
    /// When each task expires, from its push on, unless a worker has claimed it.
    pub ttl: Option<Ms>,
    /// What each task sets for itself.
    pub options: Options,
    /// The key that is to be each task's alone.
    #[serde(borrow)]
    pub unique: Option<Unique<'a>>,
    /// The group of each task.
    pub group: Option<&'a str>,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotOutcome {
    /// There is a task of it.
    Fired,
    /// The queue could not take a task, or the last one has not ended.
    Skipped,
    /// It is too late for it.
    Missed,
}

/// How far a schedule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The next slot; never, if there is none.
    pub next: UnixMs,
    /// The last slot that has passed, whatever became of it.
    pub last: Option<UnixMs>,
    /// The last slot of which there was a task.
    pub last_fired: Option<UnixMs>,
    /// Slots of which there was a task.
    pub fired: u64,
    /// Slots of which there was none, as the queue could not take one or the last one had not ended.
    pub skipped: u64,
    /// Slots that were missed and not made up for.
    pub missed: u64,
}

/// A schedule's definition, as it was read. Never changed, so that it can be held while the queue changes.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) timing: Timing,
    pub(crate) misfire: Misfire,
    pub(crate) overlap: Overlap,
    pub(crate) payload: Box<[u8]>,
    pub(crate) priority: u8,
    pub(crate) delay: Ms,
    pub(crate) ttl: Option<Ms>,
    pub(crate) options: Options,
    unique: Option<Key>,
    group: Option<Box<str>>,
}

/// The key of each task, kept.
#[derive(Debug)]
struct Key {
    name: Box<str>,
    hold: Option<Ms>,
    replace: bool,
}

impl Plan {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`Refusal::BadCron`], [`Refusal::BadZone`], [`Refusal::NoSlot`], [`Refusal::DelayPastTtl`].
    pub(crate) fn of(definition: &Definition<'_>) -> Result<Self, Refusal> {
        let Definition { recurrence, misfire, overlap, payload, priority, delay, ttl, options, unique, group } = *definition;
        if ttl.is_some_and(|ttl| delay >= ttl) {
            return Err(Refusal::DelayPastTtl);
        }
        let timing = Timing::parse(recurrence)?;
        let unique = unique.map(|Unique { key, hold, replace }| Key { name: key.into(), hold, replace });
        Ok(Self {
            timing,
            misfire,
            overlap,
            payload: payload.into(),
            priority,
            delay,
            ttl,
            options,
            unique,
            group: group.map(Into::into),
        })
    }

    pub(crate) fn definition(&self) -> Definition<'_> {
        Definition {
            recurrence: self.timing.recurrence(),
            misfire: self.misfire,
            overlap: self.overlap,
            payload: &self.payload,
            priority: self.priority,
            delay: self.delay,
            ttl: self.ttl,
            options: self.options,
            unique: self.unique.as_ref().map(|key| Unique { key: &key.name, hold: key.hold, replace: key.replace }),
            group: self.group.as_deref(),
        }
    }

    /// What it takes, its time zone aside, which all of that zone share.
    fn owned(&self) -> Blocks {
        /// The counts of those who hold it.
        const COUNTS: usize = 16;
        let key = self.unique.as_ref().map_or(0, |key| key.name.len());
        let group = self.group.as_ref().map_or(0, |group| group.len());
        Blocks::of(COUNTS + size_of::<Self>())
            + Blocks::of(self.payload.len())
            + Blocks::of(key)
            + Blocks::of(group)
            + self.timing.owned()
    }
}

/// A schedule.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) plan: Arc<Plan>,
    pub(crate) progress: Progress,
}

/// The schedules of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedules {
    pub(crate) names: BTreeMap<Box<str>, Schedule>,
    /// Those that have a next slot, by it.
    pub(crate) due: BTreeSet<(UnixMs, Box<str>)>,
    /// What they own outside the two trees.
    pub(crate) owned: Blocks,
}

/// What a schedule owns outside the two trees: its name stands in both.
pub(crate) fn owned(name: &str, schedule: &Schedule) -> Blocks {
    let name = Blocks::of(name.len());
    let listed = if schedule.progress.next == UnixMs::NEVER { Blocks::default() } else { name };
    name + listed + schedule.plan.owned()
}

impl Schedules {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.block(size_of::<Self>())
            + rounding.tree::<(Box<str>, Schedule)>(self.names.len())
            + rounding.tree::<(UnixMs, Box<str>)>(self.due.len())
            + self.owned.bytes(rounding)
    }

    fn insert(&mut self, name: &str, schedule: Schedule) {
        self.remove(name);
        self.owned += owned(name, &schedule);
        if schedule.progress.next != UnixMs::NEVER {
            self.due.insert((schedule.progress.next, name.into()));
        }
        self.names.insert(name.into(), schedule);
    }

    fn remove(&mut self, name: &str) -> Option<Schedule> {
        let (name, schedule) = self.names.remove_entry(name)?;
        self.owned -= owned(&name, &schedule);
        self.due.remove(&(schedule.progress.next, name));
        Some(schedule)
    }
}

/// What can be seen of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was said of it.
    pub definition: Definition<'a>,
    /// How far it has come.
    pub progress: Progress,
}

impl Schedule {
    fn view<'a>(&'a self, name: &'a str) -> ScheduleView<'a> {
        ScheduleView { name, definition: self.plan.definition(), progress: self.progress }
    }
}

impl Queue {
    /// The schedules, by name.
    #[must_use]
    pub fn schedules(&self) -> impl ExactSizeIterator<Item = ScheduleView<'_>> {
        self.schedules_by_name().iter().map(|(name, schedule)| schedule.view(name))
    }

    /// The schedules from this name on, be there one of it or not.
    pub fn schedules_from(&self, name: &str) -> impl Iterator<Item = ScheduleView<'_>> {
        let rest = self.schedules_by_name().range::<str, _>((Bound::Included(name), Bound::Unbounded));
        rest.map(|(name, schedule)| schedule.view(name))
    }

    fn schedules_by_name(&self) -> &BTreeMap<Box<str>, Schedule> {
        static NONE: BTreeMap<Box<str>, Schedule> = BTreeMap::new();
        self.schedules.as_deref().map_or(&NONE, |schedules| &schedules.names)
    }

    /// When the next slot of all schedules is; never, if there is none.
    #[must_use]
    pub fn next_slot(&self) -> UnixMs {
        let first = self.schedules.as_deref().and_then(|schedules| schedules.due.first());
        first.map_or(UnixMs::NEVER, |(slot, _)| *slot)
    }

    pub(crate) fn find_schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.as_deref()?.names.get(name)
    }

    /// What happens to a schedule. That it can be read, its effect's admission has shown.
    pub(crate) fn apply_schedule(&mut self, effect: &Effect<'_>) -> Heard {
        match effect {
            Effect::Scheduled { name, definition, next } => {
                let known = self.find_schedule(name).filter(|_| !sabotaged!(LastSlotForgotten)).map(|known| known.progress);
                let new = Progress { next: *next, last: None, last_fired: None, fired: 0, skipped: 0, missed: 0 };
                self.put_schedule(name, definition, Progress { next: *next, ..known.unwrap_or(new) });
            }
            Effect::ScheduleRestored { name, definition, progress } => self.put_schedule(name, definition, *progress),
            Effect::Unscheduled { name } => {
                if let Some(schedules) = &mut self.schedules {
                    schedules.remove(name);
                }
                self.schedules = self.schedules.take().filter(|schedules| !schedules.names.is_empty());
            }
            Effect::SlotPassed { name, slot, next, missed, outcome } => {
                if let Some(Schedule { plan, progress }) = self.find_schedule(name) {
                    let (plan, progress) = (plan.clone(), progress.after(*slot, *next, *missed, *outcome));
                    self.put(name, Schedule { plan, progress });
                }
            }
            _ => {}
        }
        [Some((Event::Set, Slot::NIL)), None]
    }

    fn put_schedule(&mut self, name: &str, definition: &Definition<'_>, progress: Progress) {
        if let Ok(plan) = Plan::of(definition) {
            self.put(name, Schedule { plan: Arc::new(plan), progress });
        }
    }

    fn put(&mut self, name: &str, schedule: Schedule) {
        if !sabotaged!(SlotLate) {
            self.soonest = self.soonest.min(schedule.progress.next);
        }
        self.schedules.get_or_insert_default().insert(name, schedule);
    }
}

impl Progress {
    /// What it is when a slot has passed, and so many before it that were missed.
    fn after(self, slot: UnixMs, next: UnixMs, missed: u64, outcome: SlotOutcome) -> Self {
        let is = |this: SlotOutcome| u64::from(outcome == this);
        Self {
            next,
            last: Some(slot),
            last_fired: if outcome == SlotOutcome::Fired { Some(slot) } else { self.last_fired },
            fired: self.fired.saturating_add(is(SlotOutcome::Fired)),
            skipped: self.skipped.saturating_add(is(SlotOutcome::Skipped)),
            missed: self.missed.saturating_add(missed).saturating_add(is(SlotOutcome::Missed)),
        }
    }
}
