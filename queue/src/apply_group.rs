//! What effects do to groups, and to tasks as ones of a group. Part of [`crate::apply`].

use crate::group::{Group, Groups, UNGROUPED};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use std::mem;

impl Queue {
    /// The task, which has no group or has ended, is of the group of that name from now on.
    #[cold]
    pub(crate) fn apply_grouped(&mut self, slot: Slot, name: &str, holds: bool) {
        let (state, old) = (self.tasks.at(slot).state(), self.group_slot(slot));
        if state == State::Ready {
            self.ready.remove(&mut self.tasks, slot);
        }
        let group = self.group_named(name);
        let extra = self.extra_mut(slot);
        (extra.group, extra.holds_group) = (group, holds);
        self.change_group(group, |group| {
            group.tasks += 1;
            group.claimed += u32::from(state == State::Claimed);
        });
        self.note_held(group, false, holds);
        if state == State::Ready {
            self.stand_in_group(slot, group);
        }
        if old != UNGROUPED {
            self.release_group(old);
        }
        // If there was no group before, those without one come first.
        self.settle_group(UNGROUPED);
        self.settle_group(group);
    }

    /// The group of that name, or those without one, go to the end of the rotation.
    pub(crate) fn apply_turned(&mut self, name: Option<&str>) {
        let group = name.map_or(Some(UNGROUPED), |name| self.find_group(name));
        if let (Some(group), Some(groups), false) = (group, self.groups.as_deref_mut(), sabotaged!(TurnsForgotten)) {
            groups.set_turn(group, true);
        }
    }

    /// A ready task leaves its line, in a queue with groups.
    #[cold]
    pub(crate) fn leave_ready(&mut self, slot: Slot) {
        let group = self.group_slot(slot);
        if group == UNGROUPED {
            self.ready.remove(&mut self.tasks, slot);
            return;
        }
        if let Some(groups) = self.groups.as_deref_mut() {
            groups.line.remove(&mut self.tasks, slot);
        }
        let stand = self.stand(slot);
        self.change_group(group, |group| group.remove(stand));
    }

    /// A task becomes ready and enters its line, in a queue with groups.
    #[cold]
    pub(crate) fn line_up(&mut self, slot: Slot) {
        let (group, task) = (self.group_slot(slot), self.tasks.at_mut(slot));
        let from = task.state();
        task.set_state(State::Ready);
        if group == UNGROUPED {
            self.ready.insert(&mut self.tasks, slot);
        } else {
            if from == State::Claimed && sabotaged!(LapseLetsGroupGo) {
                self.set_holds(slot, group, false);
            }
            self.stand_in_group(slot, group);
            if from == State::Claimed {
                self.change_group(group, |group| group.claimed -= 1);
            }
        }
        self.settle_group(group);
    }

    /// A task goes from one state to another that is not ready, in a queue with groups: its group has a turn if it may have another task
    /// claimed.
    #[cold]
    pub(crate) fn move_in_group(&mut self, slot: Slot, from: State, to: State) {
        let group = self.group_slot(slot);
        if group != UNGROUPED && from != to {
            let is_kept = to == State::Canceled && sabotaged!(GroupSlotKept);
            let (left, entered) = (u32::from(from == State::Claimed && !is_kept), u32::from(to == State::Claimed));
            self.change_group(group, |group| group.claimed = group.claimed + entered - left);
            if to == State::Claimed {
                self.set_holds(slot, group, true);
            } else if to.is_terminal() {
                self.set_holds(slot, group, false);
            }
        }
        if from == State::Ready && to == State::Claimed && !sabotaged!(TurnNotPassedOn) {
            let (limit, ungrouped) = (self.group_limit(), self.ready.len());
            if let Some(groups) = self.groups.as_deref_mut() {
                groups.rotate(group, limit, ungrouped);
            }
        } else {
            self.settle_group(group);
        }
    }

    /// The task is about to be dropped.
    #[cold]
    pub(crate) fn leave_group(&mut self, slot: Slot) {
        if let Some(group) = self.group_slot(slot).get() {
            self.release_group(group);
        }
    }

    /// One task less: the group goes with its last task, and all there is of groups with the last group.
    fn release_group(&mut self, group: Slot) {
        self.change_group(group, |group| group.tasks -= 1);
        let Some(groups) = self.groups.as_deref_mut() else { return };
        if groups.slots.at(group).tasks > 0 {
            return;
        }
        let gone = groups.slots.remove(group);
        self.owned -= gone.owned();
        groups.names.remove(&gone.name);
        if groups.names.is_empty() {
            self.groups = None;
        }
    }

    fn group_named(&mut self, name: &str) -> Slot {
        let groups = self.groups.get_or_insert_with(Box::<Groups>::default);
        if let Some(&group) = groups.names.get(name) {
            return group;
        }
        let group = Group::new(name);
        self.owned += group.owned();
        let slot = groups.slots.insert(group);
        groups.names.insert(name.into(), slot);
        slot
    }

    /// A ready task of a group enters the line of all those, and that of its group.
    fn stand_in_group(&mut self, slot: Slot, group: Slot) {
        if let Some(groups) = self.groups.as_deref_mut() {
            groups.line.insert(&mut self.tasks, slot);
        }
        let stand = self.stand(slot);
        self.change_group(group, |group| group.ready.insert(stand));
    }

    fn set_holds(&mut self, slot: Slot, group: Slot, holds: bool) {
        let extra = self.extra_mut(slot);
        let before = mem::replace(&mut extra.holds_group, holds);
        self.note_held(group, before, holds);
    }

    /// A task of the group held it before, and does now, or not.
    fn note_held(&mut self, group: Slot, before: bool, now: bool) {
        let Some(groups) = self.groups.as_deref_mut() else { return };
        let place = groups.slots.at_mut(group);
        let was_held = place.held > 0;
        place.held = place.held + u32::from(now) - u32::from(before);
        match (was_held, place.held > 0) {
            (false, true) => _ = groups.held.insert(group),
            (true, false) => _ = groups.held.remove(&group),
            _ => {}
        }
    }

    fn settle_group(&mut self, group: Slot) {
        let (limit, ungrouped) = (self.group_limit(), self.ready.len());
        if let Some(groups) = self.groups.as_deref_mut() {
            groups.settle(group, limit, ungrouped);
        }
    }

    fn change_group<R>(&mut self, group: Slot, change: impl FnOnce(&mut Group) -> R) {
        let Some(groups) = self.groups.as_deref_mut() else { return };
        let group = groups.slots.at_mut(group);
        let before = group.owned();
        change(group);
        self.owned -= before;
        self.owned += group.owned();
    }
}
