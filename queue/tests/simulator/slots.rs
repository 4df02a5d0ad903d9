//! Schedules: which slots they have, what becomes of each, and what is pushed for it.

use crate::book::{Book, Fact};
use crate::rules::ensure;
use crate::support::{Answer, Command, DelaySpec, Passed, PushSpec, ScheduleSpec};
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::{MadeId, Misfire, Ms, Overlap, Progress, Queue, Refusal, SlotOutcome, UnixMs};

/// The names of all schedules.
pub(crate) const PLANS: [&str; 2] = ["plan-0", "plan-1"];

pub(crate) type Schedules = BTreeMap<String, Rc<Schedule>>;

/// A schedule as it is known to be.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    spec: ScheduleSpec,
    progress: Progress,
}

/// The id of a slot's task.
pub(crate) fn slot_id(name: &str, slot: UnixMs) -> String {
    format!("{name}@{}", slot.0)
}

impl Schedule {
    fn every(&self) -> Ms {
        Ms(self.spec.every)
    }

    /// What comes next at this instant: the slot, and how many before it are missed. Of MISFIRE all each is made up for, else the last.
    fn slot_at(&self, now: UnixMs) -> (UnixMs, u64) {
        let first = self.progress.next;
        let last = UnixMs(now.0 / self.spec.every * self.spec.every);
        let slot = if self.spec.misfire == Misfire::All { first } else { first.max(last) };
        (slot, slot.since(first).0 / self.spec.every)
    }

    /// Whether the server comes to a slot too late: by a second, or a tenth of the time to the next one, but not within 5 ms.
    fn is_late(&self, slot: UnixMs, now: UnixMs) -> bool {
        now.since(slot).0 > (self.spec.every / 10).clamp(5, 1_000)
    }
}

impl Book {
    /// What a SCHEDULE answers: the slot that was to come, if it says the same of when; else the first after now and after the last one.
    pub(crate) fn expected_of_schedule(&self, name: &str, spec: &ScheduleSpec, now: UnixMs) -> Answer {
        if let (Some(ttl), DelaySpec::For(delay)) = (spec.task.ttl, spec.task.delay)
            && delay >= ttl
        {
            return Answer::Refused(Refusal::DelayPastTtl);
        }
        let known = self.schedules.get(name);
        if let Some(known) = known.filter(|known| known.spec.recurs_as(spec)) {
            return Answer::Next(known.progress.next);
        }
        let last = known.and_then(|known| known.progress.last).unwrap_or_default();
        Answer::Next(UnixMs((now.max(last).0 / spec.every + 1) * spec.every))
    }

    fn due_schedule(&self, now: UnixMs) -> Option<(&str, &Schedule)> {
        let next = self.schedules.iter().min_by_key(|(name, known)| (known.progress.next, *name));
        next.filter(|(_, known)| known.progress.next <= now).map(|(name, known)| (&**name, &**known))
    }

    /// Whether a slot is to pass.
    pub(crate) fn has_slots_due(&self, now: UnixMs) -> bool {
        self.due_schedule(now).is_some()
    }

    /// What becomes of the next slot, if one is due.
    pub(crate) fn expected_of_fire(&self, has_room: bool, now: UnixMs) -> Answer {
        Answer::Passed(self.due_schedule(now).map(|(name, known)| {
            let (slot, missed) = known.slot_at(now);
            let Schedule { spec, progress } = known;
            let last = progress.last_fired.map(|last| slot_id(name, last));
            let is_running = |id: &str| self.tasks.get(id).is_some_and(|known| !known.seen.state.is_terminal());
            let outcome = if spec.misfire == Misfire::Skip && known.is_late(slot, now) {
                SlotOutcome::Missed
            } else if !has_room || (spec.overlap == Overlap::Skip && last.is_some_and(|last| is_running(&last))) {
                SlotOutcome::Skipped
            } else if let Answer::Refused(_) = self.answer_to_slot(name, &spec.task, slot, now) {
                SlotOutcome::Skipped
            } else {
                SlotOutcome::Fired
            };
            Passed { name: name.to_owned(), slot, next: slot.after(known.every()), missed, outcome }
        }))
    }

    /// What a client would be answered that pushes the task of a slot.
    fn answer_to_slot(&self, name: &str, task: &PushSpec, slot: UnixMs, now: UnixMs) -> Answer {
        let push = push_of(name, task, slot);
        let following = self.following(&push, now);
        self.expected(following.as_ref().unwrap_or(&push), &Answer::Done, now)
    }

    /// The push that a slot was, and its answer.
    pub(crate) fn pushed_for_slot(&self, answer: &Answer, now: UnixMs) -> Option<(Command, Answer)> {
        let Answer::Passed(Some(Passed { name, slot, outcome: SlotOutcome::Fired, .. })) = answer else { return None };
        let task = &self.schedules[name].spec.task;
        let push = push_of(name, task, *slot);
        Some((self.following(&push, now).unwrap_or(push), self.answer_to_slot(name, task, *slot, now)))
    }

    /// Takes note of what a command has done to schedules.
    pub(crate) fn note_schedules(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Schedule(name, spec), Answer::Next(next)) => {
                let new = Progress { next: *next, last: None, last_fired: None, fired: 0, skipped: 0, missed: 0 };
                let known = self.schedules.get(name).map_or(new, |known| known.progress);
                let schedule = Schedule { spec: spec.clone(), progress: Progress { next: *next, ..known } };
                self.schedules.insert(name.clone(), Rc::new(schedule));
            }
            (Command::Unschedule(name), _) => {
                self.schedules.remove(name);
            }
            (_, Answer::Passed(Some(Passed { name, slot, next, missed, outcome }))) => {
                let Some(known) = self.schedules.get_mut(name) else { return };
                let progress = &mut Rc::make_mut(known).progress;
                (progress.next, progress.last) = (*next, Some(*slot));
                progress.missed += missed;
                match outcome {
                    SlotOutcome::Fired => (progress.last_fired, progress.fired) = (Some(*slot), progress.fired + 1),
                    SlotOutcome::Skipped => progress.skipped += 1,
                    SlotOutcome::Missed => progress.missed += 1,
                }
            }
            _ => {}
        }
    }

    /// Whether the queue's schedules are those that are known, and have come as far.
    pub(crate) fn describes_schedules(&self, queue: &Queue) -> Result<(), String> {
        ensure(queue.schedules().len() == self.schedules.len(), "a schedule is lost, or came from nowhere")?;
        for (seen, (name, known)) in queue.schedules().zip(&self.schedules) {
            let is_same = seen.name == name && seen.definition == known.spec.definition() && seen.progress == known.progress;
            ensure(is_same, &format!("{name} is not what it was\n  known {known:?}\n  seen  {seen:?}"))?;
        }
        Ok(())
    }
}

fn push_of(name: &str, task: &PushSpec, slot: UnixMs) -> Command {
    Command::Push { task: task.clone(), id: Some(slot_id(name, slot)), renew: false, floor: MadeId::default() }
}

/// What is to be remembered of schedules.
pub(crate) fn fact(command: &Command, answer: &Answer) -> Option<Fact> {
    match (command, answer) {
        (Command::Unschedule(name), _) => Some(Fact::Unscheduled(name.clone())),
        (_, Answer::Passed(Some(passed))) => Some(Fact::Slot(passed.name.clone(), passed.slot)),
        _ => None,
    }
}
