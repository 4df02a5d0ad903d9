//! Tasks that take turns with those of other groups: which group is next, and which of its tasks.

use crate::book::{Book, Known, Said, Tasks};
use crate::rules::ensure;
use crate::support::{Answer, Command};
use std::collections::BTreeSet;
use std::rc::Rc;
use taskqueue::effect::{Effect, unpack};
use taskqueue::{Queue, State, UnixMs};

/// The names of all groups.
pub(crate) const GROUPS: [&str; 3] = ["group-0", "group-1", "group-2"];

/// A group, or the tasks without one.
pub(crate) type Group = Option<String>;

impl Book {
    /// The task to be claimed next, as the groups take turns; none whose TTL is over, and which so goes out of the way.
    pub(crate) fn next_in_turn(&self, now: UnixMs) -> Option<(&str, &Known)> {
        let is_over = |known: &Known| known.seen.expire_at.is_some_and(|at| at <= now);
        let mut expired = Vec::new();
        let ungrouped = [None];
        let turns = if has_groups(&self.tasks) { &*self.turns } else { &ungrouped };
        for group in turns {
            while let Some((id, known)) = self.next_of(group.as_deref(), &expired) {
                if !is_over(known) {
                    return Some((id, known));
                }
                expired.push(id);
            }
        }
        None
    }

    /// The task of a group to be claimed next, these aside: the highest priority, then what became ready first. With GROUPCONCURRENCY 1
    /// the one that holds the group.
    fn next_of(&self, group: Option<&str>, expired: &[&str]) -> Option<(&str, &Known)> {
        let of_group = || {
            let all = self.tasks.iter().map(|(id, known)| (&**id, &**known));
            all.filter(|(id, known)| known.seen.group.as_deref() == group && !expired.contains(id))
        };
        let limit = if group.is_some() { self.settings.group_concurrency as usize } else { 0 };
        let claimed = of_group().filter(|(_, known)| known.seen.state == State::Claimed).count();
        let is_held = limit == 1 && of_group().any(|(_, known)| known.holds);
        let ready = of_group().filter(|(_, known)| known.seen.state == State::Ready && (known.holds || !is_held));
        let next = ready.min_by_key(|(_, known)| (u8::MAX - known.seen.priority, known.place));
        next.filter(|_| limit == 0 || claimed < limit)
    }

    /// Takes note of whose turn it is, if that may be so after these changes of tasks: who comes goes last, and so does who had a turn.
    pub(crate) fn settle_turns(&mut self, queue: &Queue, before: &Tasks, said: &Said<'_>) -> Result<(), String> {
        if !has_groups(&self.tasks) {
            self.turns.clear();
            return ensure(queue.groups() == 0, "a group is left");
        }
        let seen = turns(queue);
        let groups: BTreeSet<Group> = self.tasks.values().map(|known| known.seen.group.clone()).chain([None]).collect();
        let due: Vec<&Group> = groups.iter().filter(|group| self.next_of(group.as_deref(), &[]).is_some()).collect();
        ensure(seen.iter().collect::<BTreeSet<_>>() == due.into_iter().collect(), &format!("these have turns: {seen:?}"))?;
        let claimed = match (said.command, said.answer) {
            (Command::Claim { .. }, Answer::Claimed(Some((id, ..)))) => {
                self.tasks.get(id.as_str()).map(|known| &known.seen.group)
            }
            _ => None,
        };
        ensure(
            claimed.is_none_or(|group| !seen.contains(group) || seen.last() == Some(group)),
            "a group does not go last that had a task claimed",
        )?;
        // Of several changes one may have taken the turn, and another given it back.
        let is_same = |(id, known): &(&Rc<str>, &Rc<Known>)| self.tasks.get(*id).is_some_and(|now| Rc::ptr_eq(now, known));
        let changed: Vec<&Group> = before.iter().filter(|task| !is_same(task)).map(|(_, known)| &known.seen.group).collect();
        let may_move = |group: &&Group| claimed == Some(group) || changed.iter().filter(|other| other == &group).count() > 1;
        let stay: Vec<&Group> = self.turns.iter().filter(|group| !may_move(group) && seen.contains(group)).collect();
        let stayed = seen.iter().filter(|group| stay.contains(group));
        ensure(stayed.eq(stay.iter().copied()), &format!("turns were {:?} and are {seen:?}", self.turns))?;
        let first_new = seen.iter().position(|group| !self.turns.contains(group)).unwrap_or(seen.len());
        let come: Vec<&Group> = seen[first_new..].iter().collect();
        ensure(!come.iter().any(|group| stay.contains(group)), "a group that comes is before one that was there")?;
        ensure(has_groups(before) || come.is_sorted(), "the first group does not come after the tasks without one")?;
        let place = |group: &&Group| self.next_of(group.as_deref(), &[]).map(|(_, known)| known.place);
        let is_by_place = matches!(said.command, Command::Set(_));
        ensure(!is_by_place || come.is_sorted_by_key(place), "groups do not come as their tasks became ready")?;
        self.turns = seen;
        Ok(())
    }

    pub(crate) fn describes_groups(&self, queue: &Queue) -> Result<(), String> {
        let groups: BTreeSet<&str> = self.tasks.values().filter_map(|known| known.seen.group.as_deref()).collect();
        ensure(queue.groups() == groups.len(), "a group is left, or lost")
    }
}

/// Whether a task has a group: else nobody takes turns.
pub(crate) fn has_groups(tasks: &Tasks) -> bool {
    tasks.values().any(|known| known.seen.group.is_some())
}

/// The groups that may have a task claimed, in turn, as a snapshot tells them.
fn turns(queue: &Queue) -> Vec<Group> {
    let mut turns = Vec::new();
    queue.for_each_chunk(|chunk| {
        turns.extend(unpack(chunk).flatten().filter_map(|effect| match effect {
            Effect::Turned { group } => Some(group.map(str::to_owned)),
            _ => None,
        }));
    });
    turns
}
