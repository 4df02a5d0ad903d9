//! Why a task is not running: only who has all of a queue's state can say.

use crate::flow::{Obstacle, Rate};
use crate::group::Group;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::{LastClaim, State};
use crate::time::{Ms, UnixMs};
use std::fmt;

/// A place in line is told exactly up to this many tasks before it.
const PLACE_MAX: usize = 1_000;

/// The reason, as a [word](Self::word) and a sentence.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    now: UnixMs,
    reason: Reason<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Reason<'a> {
    Ended { state: State, at: UnixMs },
    Claimed { worker: &'a str, attempt: u32, until: Option<UnixMs> },
    Due { at: UnixMs, cause: &'static str },
    After { missing: u32, all: usize, next: TaskId<'a> },
    Follows { holder: TaskId<'a>, key: &'a str },
    Batch { name: &'a str, is_sealed: bool, open: u32 },
    Expiring { at: UnixMs },
    Group { name: &'a str, claimed: u32, held: u32, holder: Option<(TaskId<'a>, State)>, place: Place<'a> },
    Blocked { obstacle: Obstacle, place: Place<'a> },
    InLine { place: Place<'a> },
}

/// Where a ready task stands.
#[derive(Clone, Copy, Debug, Default)]
struct Place<'a> {
    /// How many tasks are before it in its line.
    before: usize,
    /// In a queue with groups, how many others have their turn before its own.
    turns: usize,
    /// Its group.
    group: Option<&'a str>,
}

impl Explanation<'_> {
    /// What programs branch on.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.reason {
            Reason::Ended { state, .. } => state.name(),
            Reason::Claimed { .. } => "claimed",
            Reason::Due { .. } => "due",
            Reason::After { .. } => "after",
            Reason::Batch { .. } => "batch",
            Reason::Follows { .. } => "unique",
            Reason::Expiring { .. } => "ttl",
            Reason::Group { .. } => "group",
            Reason::Blocked { obstacle: Obstacle::Paused(_), .. } => "paused",
            Reason::Blocked { obstacle: Obstacle::Concurrency(_), .. } => "concurrency",
            Reason::Blocked { obstacle: Obstacle::Rate(..), .. } => "rate",
            Reason::InLine { place: Place { before: 0, turns: 0, .. } } => "next",
            Reason::InLine { .. } => "line",
        }
    }

    /// Nothing in the queue keeps the task from being claimed, in its turn, or from what is due.
    #[must_use]
    pub fn has_no_obstacle(&self) -> bool {
        match self.reason {
            Reason::InLine { .. } | Reason::Expiring { .. } => true,
            Reason::Due { at, .. } | Reason::Claimed { until: Some(at), .. } => at <= self.now,
            _ => false,
        }
    }

    fn wait(&self, until: UnixMs) -> Ms {
        until.since(self.now)
    }
}

/// The sentence.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Ended { state, at } => write!(out, "it ended at {}: it is {}", at.0, state.name()),
            Reason::Claimed { worker, attempt, until: Some(until) } => {
                let wait = self.wait(until).0;
                write!(
                    out,
                    "it is running: worker {worker} has it, as attempt {attempt}, for {wait} ms more unless it says EXTEND"
                )
            }
            Reason::Claimed { worker, attempt, until: None } => {
                write!(out, "it is running: worker {worker} has it, as attempt {attempt}, while its connection is open")
            }
            Reason::Due { at, cause } => write!(out, "it becomes ready in {} ms, at {}: {cause}", self.wait(at).0, at.0),
            Reason::After { missing, all, next } => {
                write!(out, "it waits for {missing} of the {all} tasks that it depends on, first {next}")
            }
            Reason::Follows { holder, key } => write!(out, "it waits for {holder}, which has its key {key} or had it last"),
            Reason::Batch { name, is_sealed: true, open } => {
                write!(out, "it waits for batch {name}, of which {} not ended", Tasks(open, "has", "have"))
            }
            Reason::Batch { name, is_sealed: false, open } => {
                let open = Tasks(open, "has", "have");
                write!(out, "it waits for batch {name}, which is not sealed, and of which {open} not ended")
            }
            Reason::Expiring { at } => write!(out, "its TTL ended at {}: it is about to expire", at.0),
            Reason::Group { name, claimed, held, holder, place } => {
                if claimed == 0 {
                    let held = Tasks(held, "that has begun holds", "that have begun hold");
                    write!(out, "GROUPCONCURRENCY is 1, and {held} its group {name}")?;
                } else {
                    let claimed = Tasks(claimed, "of its group", "of its group");
                    write!(out, "{claimed} {name} may be claimed at once by GROUPCONCURRENCY, and so many are")?;
                }
                if let Some((holder, state)) = holder {
                    write!(out, ", as {holder}, which is {}", state.name())?;
                }
                write!(out, "; {place}")
            }
            Reason::Blocked { obstacle, place } => {
                match obstacle {
                    Obstacle::Paused(None) => write!(out, "the queue is paused")?,
                    Obstacle::Paused(Some(until)) => write!(out, "the queue is paused for {} ms more", self.wait(until).0)?,
                    Obstacle::Concurrency(claimed) => {
                        write!(out, "{} claimed, as many as CONCURRENCY allows", Tasks(claimed, "is", "are"))?;
                    }
                    Obstacle::Rate(Rate { claims, window }, opens_at) => {
                        let wait = self.wait(opens_at).0;
                        let claims = if claims == 1 { "1 claim".to_owned() } else { format!("{claims} claims") };
                        write!(out, "RATE allows {claims} in {} ms: the next one may begin in {wait} ms", window.0)?;
                    }
                }
                write!(out, "; {place}")
            }
            Reason::InLine { place: Place { before: 0, turns: 0, .. } } => {
                out.write_str("it is the next to be claimed, when a worker asks")
            }
            Reason::InLine { place } => place.fmt(out),
        }
    }
}

/// How many tasks, and what one of them does, or several.
struct Tasks(u32, &'static str, &'static str);

impl fmt::Display for Tasks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(1, does, _) => write!(out, "1 task {does}"),
            Self(count, _, do_) => write!(out, "{count} tasks {do_}"),
        }
    }
}

/// In words.
impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            0 => out.write_str("it is the first in line"),
            1 => out.write_str("1 task is before it in line"),
            before if before < PLACE_MAX => write!(out, "{before} tasks are before it in line"),
            _ => write!(out, "{PLACE_MAX}+ tasks are before it in line"),
        }?;
        if let Some(group) = self.group {
            write!(out, " in its group {group}")?;
        }
        match self.turns {
            0 => Ok(()),
            1 => out.write_str(", and 1 other group has its turn before"),
            turns if turns < PLACE_MAX => write!(out, ", and {turns} other groups have their turn before"),
            _ => write!(out, ", and {PLACE_MAX}+ other groups have their turn before"),
        }
    }
}

impl Queue {
    /// Why the task in `slot`, which must be in use, is not running.
    #[must_use]
    pub fn explain(&self, slot: Slot, now: UnixMs) -> Explanation<'_> {
        let task = self.tasks.at(slot);
        let reason = match task.state() {
            State::Waiting => self.explain_wait(slot),
            State::Scheduled => Reason::Due { at: task.at, cause: cause_of_delay(task.last_claim()) },
            State::Ready => self.explain_ready(slot, now),
            State::Claimed => {
                let worker = self.worker(slot).map_or("", |(name, _)| name);
                let until = Some(task.at).filter(|&at| at != UnixMs::NEVER);
                Reason::Claimed { worker, attempt: task.attempt, until }
            }
            state => Reason::Ended { state, at: UnixMs(task.order) },
        };
        Explanation { now, reason }
    }

    fn explain_ready(&self, slot: Slot, now: UnixMs) -> Reason<'_> {
        if self.ttl_is_over(slot, now) {
            return Reason::Expiring { at: self.extra(self.tasks.at(slot)).ttl_at.get().unwrap_or(now) };
        }
        let place = self.place_of(slot);
        match (self.obstacle(now), self.group_of(slot)) {
            (Some(obstacle), _) => Reason::Blocked { obstacle, place },
            (None, Some(Group { name, claimed, held, turn: None, .. })) => {
                Reason::Group { name, claimed: *claimed, held: *held, holder: self.holder(slot), place }
            }
            (None, _) => Reason::InLine { place },
        }
    }

    /// A task that holds the group of this one, if it is among the first whose lease, or delay, ends.
    fn holder(&self, slot: Slot) -> Option<(TaskId<'_>, State)> {
        let group = self.group_slot(slot);
        let held = [&self.leases, &self.due].into_iter().flat_map(|index| index.iter(&self.tasks).take(PLACE_MAX));
        let mut of_group = held.filter(|&other| self.group_slot(other) == group && self.extra(self.tasks.at(other)).holds_group);
        of_group.next().map(|holder| (self.id_of(holder), self.tasks.at(holder).state()))
    }

    fn place_of(&self, slot: Slot) -> Place<'_> {
        let group = self.group_slot(slot);
        let turns = self.groups.iter().flat_map(|groups| groups.rotation.iter()).take(PLACE_MAX);
        let turns = turns.take_while(|&&(_, other)| other != group).count();
        match self.group_of(slot) {
            // A group that has no turn is not behind any other.
            Some(Group { turn: None, name, .. }) => Place { before: self.before_in_group(slot), turns: 0, group: Some(name) },
            Some(Group { name, .. }) => Place { before: self.before_in_group(slot), turns, group: Some(name) },
            None => {
                let before = self.ready.iter(&self.tasks).take(PLACE_MAX).take_while(|&other| other != slot).count();
                Place { before, turns, group: None }
            }
        }
    }

    fn before_in_group(&self, slot: Slot) -> usize {
        let stand = self.stand(slot);
        let before = self.group_of(slot).map(|group| group.before(&stand, self.group_limit()).take(PLACE_MAX).count());
        before.unwrap_or_default()
    }

    fn explain_wait(&self, slot: Slot) -> Reason<'_> {
        let untold = self.after(slot).and_then(|after| Some((after, after.on.iter().find(|one| one.untold)?)));
        let Some((after, next)) = untold else { return Reason::InLine { place: Place::default() } };
        if let Some(key) = self.key(slot).filter(|key| key.follows) {
            return Reason::Follows { holder: next.id.as_id(), key: &key.name };
        }
        match next.id.as_id() {
            TaskId::Named(name) if after.of_batch => {
                let batch = self.find_batch(name).map(|batch| self.batches.slots.at(batch));
                Reason::Batch {
                    name,
                    is_sealed: batch.is_none_or(|batch| batch.is_sealed),
                    open: batch.map_or(0, |batch| batch.open.len()),
                }
            }
            next => Reason::After { missing: after.missing, all: after.on.len(), next },
        }
    }
}

const fn cause_of_delay(last_claim: LastClaim) -> &'static str {
    match last_claim {
        LastClaim::FailedToScheduled => "a try failed, and this is the wait before the next",
        LastClaim::Released => "its worker released it with a delay",
        _ => "it was pushed with a delay",
    }
}
