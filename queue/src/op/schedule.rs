//! `TASK.SCHEDULE` and `TASK.UNSCHEDULE`; and the pushes that schedules make.

use crate::effect::Effect;
use crate::error::Refusal;
use crate::id::{MadeId, TaskId, parse_name};
use crate::op::push::{Delay, Push, push};
use crate::queue::Queue;
use crate::schedule::{Definition, Misfire, NAME_BYTES_MAX, Overlap, Plan, SCHEDULES_MAX, SlotOutcome};
use crate::time::{Ms, UnixMs};
use crate::txn::Txn;
use std::fmt::Write;
use std::sync::Arc;

/// Most missed slots that are made up for.
const MADE_UP_MAX: u64 = 1_000;

/// The name of a schedule.
///
/// # Errors
/// [`Refusal::BadScheduleName`].
pub fn schedule_name(bytes: &[u8]) -> Result<&str, Refusal> {
    let name = parse_name("name", bytes).ok().filter(|name| name.len() <= NAME_BYTES_MAX);
    name.ok_or(Refusal::BadScheduleName)
}

/// Sets a schedule, in place of the one of that name if there is one, whose last slot it knows. Answers the next slot: if the slots are those
/// of before, the one that comes; else the first from now on.
///
/// # Errors
/// [`Refusal::BadCron`], [`Refusal::BadZone`], [`Refusal::NoSlot`], [`Refusal::DelayPastTtl`], [`Refusal::SchedulesFull`].
pub fn schedule(txn: &mut Txn<'_>, name: &str, definition: &Definition<'_>) -> Result<UnixMs, Refusal> {
    let plan = Plan::of(definition)?;
    // As it will be seen: the zone has one spelling.
    let definition = plan.definition();
    let known = txn.queue().find_schedule(name);
    if known.is_none() && txn.queue().schedules().len() >= SCHEDULES_MAX {
        return Err(Refusal::SchedulesFull);
    }
    let progress = known.map(|known| known.progress);
    let is_as_before = known.is_some_and(|known| known.plan.timing.recurrence() == definition.recurrence);
    let next = match progress {
        Some(progress) if is_as_before && !sabotaged!(SaidAgainSkipsAhead) => progress.next,
        Some(_) if sabotaged!(SlotsFollowTheClock) => plan.timing.after(txn.now()),
        _ => plan.timing.after(progress.and_then(|progress| progress.last).unwrap_or_default().max(txn.now())),
    };
    if next == UnixMs::NEVER {
        return Err(Refusal::NoSlot);
    }
    if !known.is_some_and(|known| known.plan.definition() == definition) {
        txn.record_other(&Effect::Scheduled { name, definition, next });
    }
    Ok(next)
}

/// Removes a schedule. Answers whether there was one.
pub fn unschedule(txn: &mut Txn<'_>, name: &str) -> bool {
    let is_known = txn.queue().find_schedule(name).is_some();
    if is_known {
        txn.record_other(&Effect::Unscheduled { name });
    }
    is_known
}

/// Pushes what schedules ask for by now, at most `count` slots of all of them. Without `has_room`, as the server is out of memory, the
/// slots pass and nothing is pushed.
pub fn fire(txn: &mut Txn<'_>, count: usize, has_room: bool) {
    let mut left = count;
    while left > 0
        && let Some(name) = txn.queue().due_schedule(txn.now())
    {
        left -= catch_up(txn, &name, left, has_room).clamp(1, left);
    }
}

/// Lets slots of a schedule pass that is due, at most so many. Answers how many.
fn catch_up(txn: &mut Txn<'_>, name: &str, count: usize, has_room: bool) -> usize {
    let now = txn.now();
    let Some(known) = txn.queue().find_schedule(name) else { return 0 };
    let (plan, first) = (known.plan.clone(), known.progress.next);
    let is_all = plan.misfire == Misfire::All || sabotaged!(OnceMakesUpAll);
    let made_up = if is_all && !sabotaged!(AllMakesUpOne) { MADE_UP_MAX } else { 1 };
    let mut slot = plan.timing.first_of_last(made_up, first, now);
    let mut missed = if sabotaged!(MissedNotCounted) { 0 } else { plan.timing.count(first, slot) };
    for done in 1..=count {
        let next = plan.timing.after(slot);
        let outcome = if plan.misfire == Misfire::Skip && is_missed(slot, next, now) && !sabotaged!(LateSlotPushed) {
            SlotOutcome::Missed
        } else if (has_room || sabotaged!(PushedWithoutRoom)) && push_slot(txn, name, &plan, slot).is_ok() {
            SlotOutcome::Fired
        } else if sabotaged!(RefusedSlotStays) {
            return done;
        } else {
            SlotOutcome::Skipped
        };
        txn.record_other(&Effect::SlotPassed { name, slot, next, missed, outcome });
        if next > now {
            return done;
        }
        (slot, missed) = (next, 0);
    }
    count
}

/// Whether it is too late for a slot: by a second, or by a tenth of the time to the next one if that is less. What the server takes to
/// come to it on a common day, a few milliseconds, is not late.
fn is_missed(slot: UnixMs, next: UnixMs, now: UnixMs) -> bool {
    const LATE_MS: std::ops::RangeInclusive<u64> = 5..=1_000;
    let late = (next.since(slot).0 / 10).clamp(*LATE_MS.start(), *LATE_MS.end());
    now.since(slot) > Ms(late)
}

/// Pushes the task of a slot, as a client would, unless there is one. Whatever would refuse a client refuses it.
fn push_slot(txn: &mut Txn<'_>, name: &str, plan: &Arc<Plan>, slot: UnixMs) -> Result<(), Refusal> {
    let (known, mut id) = (txn.queue().find_schedule(name), String::new());
    if let Some(last) =
        known.and_then(|known| known.progress.last_fired).filter(|_| plan.overlap == Overlap::Skip && !sabotaged!(OverlapIgnored))
        && !txn.queue().has_ended(id_of(&mut id, name, last))
    {
        return Err(Refusal::QueueFull);
    }
    let definition = plan.definition();
    let task = Push {
        payload: &plan.payload,
        id: Some(id_of(&mut id, name, slot)),
        renew: false,
        priority: plan.priority,
        delay: Delay::For(plan.delay),
        ttl: plan.ttl,
        options: plan.options,
        batch: None,
        after: None,
        unique: definition.unique,
        group: definition.group,
    };
    push(txn, &task, MadeId::default()).map(drop)
}

/// The id of the task of a slot, written to `text`.
fn id_of<'a>(text: &'a mut String, name: &str, slot: UnixMs) -> TaskId<'a> {
    text.clear();
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}@{}", slot.0);
    TaskId::Named(text)
}

impl Queue {
    /// The schedule that is due first, if one is by now.
    fn due_schedule(&self, now: UnixMs) -> Option<Box<str>> {
        let (slot, name) = self.schedules.as_deref()?.due.first()?;
        (*slot <= now).then(|| name.clone())
    }

    fn has_ended(&self, id: TaskId<'_>) -> bool {
        self.find(id).is_none_or(|slot| self.tasks.at(slot).state().is_terminal())
    }
}
