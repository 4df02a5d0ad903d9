//! What always holds of groups. Part of [`crate::check`].

use crate::check::ensure;
use crate::group::{Groups, Stand, UNGROUPED};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};

impl Queue {
    /// Each group knows its tasks, stands in the rotation if and only if one of them may be claimed, and is there for no other reason than them.
    pub(crate) fn check_groups(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let mut tasks: BTreeMap<Slot, Vec<Slot>> = BTreeMap::new();
        for &slot in slots {
            let group = self.group_slot(slot);
            let holds = self.extra(self.tasks.at(slot)).holds_group;
            if group == UNGROUPED {
                ensure(!holds, "a task holds no group")?;
                continue;
            }
            let name = self.group_of(slot).map_or("", |group| &group.name);
            ensure(self.may_hold(slot, holds) && self.find_group(name) == Some(group), "a task's group would be refused")?;
            tasks.entry(group).or_default().push(slot);
        }
        let Some(groups) = self.groups.as_deref() else {
            return ensure(tasks.is_empty(), "a task has a group that is not there");
        };
        groups.slots.check()?;
        groups.line.check(&self.tasks)?;
        ensure(!tasks.is_empty() && groups.names.len() == groups.slots.len(), "a group is lost or left over")?;
        let mut turns: BTreeSet<(u64, Slot)> = groups.turn_of_ungrouped.map(|turn| (turn, UNGROUPED)).into_iter().collect();
        ensure(turns.is_empty() == (self.ready.len() == 0), "the tasks without a group have no turn, or one for nothing")?;
        let (mut ready, mut held) = (0, BTreeSet::new());
        for (name, &slot) in &groups.names {
            let of_group = tasks.remove(&slot).unwrap_or_default();
            self.check_group(groups, name, slot, &of_group)?;
            let group = groups.slots.at(slot);
            ready += group.ready.len();
            turns.extend(group.turn.map(|turn| (turn, slot)));
            held.extend((group.held > 0).then_some(slot));
        }
        ensure(tasks.is_empty() && ready == groups.line.len(), "a task stands in no group's line, or in another's")?;
        ensure(groups.held == held, "groups that are held are not known")?;
        let is_unique = turns.iter().map(|(turn, _)| turn).collect::<BTreeSet<_>>().len() == turns.len();
        ensure(groups.rotation == turns && is_unique, "the rotation is not that of the groups")?;
        ensure(turns.last().is_none_or(|&(turn, _)| turn <= groups.last_turn), "a turn is yet to come")
    }

    fn check_group(&self, groups: &Groups, name: &str, slot: Slot, tasks: &[Slot]) -> Result<(), String> {
        let group = groups.slots.at(slot);
        ensure(*group.name == *name && !tasks.is_empty() && group.tasks as usize == tasks.len(), "a group's count is wrong")?;
        let count = |which: &dyn Fn(Slot) -> bool| tasks.iter().filter(|&&task| which(task)).count();
        let claimed = count(&|task| self.tasks.at(task).state() == State::Claimed);
        let held = count(&|task| self.extra(self.tasks.at(task)).holds_group);
        ensure((claimed, held) == (group.claimed as usize, group.held as usize), "a group does not know who holds it")?;
        let ready = tasks.iter().filter(|&&task| self.tasks.at(task).state() == State::Ready);
        let stand = |&task: &Slot| Stand::of(self.tasks.at(task), task, self.extra(self.tasks.at(task)).holds_group);
        ensure(group.ready == ready.map(stand).collect(), "a group's ready tasks are others")?;
        ensure(group.turn.is_some() == group.next(self.group_limit()).is_some(), "a group has no turn, or one for nothing")
    }
}
