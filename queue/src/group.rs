//! Groups: tasks pushed under one name take turns with those of other names, and may be kept in strict order.
//!
//! All ready tasks of groups stand in one line, as those without a group do, for whoever lists them. Beside it each group has its own in
//! order, and the groups that may have a task claimed stand in the rotation: a claim takes of the first, which then goes to its end. Tasks
//! without a group take turns as one group. A queue without groups has no [`Groups`], and pays a comparison for them.
//!
//! Turns follow from the effects alone, so master, replicas and logs hold the same. A snapshot tells their order.

use crate::blocks::{Blocks, Rounding};
use crate::index::ready::Ready;
use crate::index::segments::{Segments, Slot};
use crate::queue::Queue;
use crate::task::Task;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// In the rotation, the tasks without a group.
pub(crate) const UNGROUPED: Slot = Slot::NIL;

/// Where a ready task stands in its group: those that hold it first, then as in any line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stand {
    /// It does not hold its group.
    is_new: bool,
    /// Inverted: higher is sooner.
    priority: u8,
    order: u64,
    slot: Slot,
}

impl Stand {
    /// Before all that do not hold the group.
    const NEW: Self = Self { is_new: true, priority: 0, order: 0, slot: Slot(0) };

    pub(crate) fn of(task: &Task, slot: Slot, holds: bool) -> Self {
        Self { is_new: !holds, priority: u8::MAX - task.priority, order: task.order, slot }
    }
}

/// A group. It is there as long as a task of it is, in whatever state: one that has ended may begin again.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: Box<str>,
    pub(crate) tasks: u32,
    pub(crate) claimed: u32,
    /// How many tasks hold it: they have been claimed, and have not ended.
    pub(crate) held: u32,
    pub(crate) ready: BTreeSet<Stand>,
    /// As it stands in the rotation, if it may have a task claimed.
    pub(crate) turn: Option<u64>,
}

impl Group {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), tasks: 0, claimed: 0, held: 0, ready: BTreeSet::new(), turn: None }
    }

    /// The task that is claimed next, if one may be: at most `limit` at once; 0: any number. With 1, whatever holds the group comes first,
    /// and while that is not ready nothing does.
    pub(crate) fn next(&self, limit: u32) -> Option<Slot> {
        self.next_stand(limit).map(|stand| stand.slot)
    }

    fn next_stand(&self, limit: u32) -> Option<&Stand> {
        let first = self.ready.first()?;
        let may_be_claimed = match limit {
            0 => true,
            1 => self.claimed == 0 && (self.held == 0 || !first.is_new),
            _ => self.claimed < limit,
        };
        // With any other, what holds the group counts for no more than its place.
        let new = if limit == 1 || first.is_new { None } else { self.ready.range(Stand::NEW..).next() };
        let next = new.into_iter().chain([first]).min_by_key(|stand| (stand.priority, stand.order));
        next.filter(|_| may_be_claimed)
    }

    /// Its ready tasks that are claimed before this one.
    pub(crate) fn before<'a>(&'a self, stand: &'a Stand, limit: u32) -> impl Iterator<Item = &'a Stand> {
        let is_before = move |other: &&Stand| {
            if limit == 1 { *other < stand } else { (other.priority, other.order) < (stand.priority, stand.order) }
        };
        let (held, new) = (self.ready.range(..Stand::NEW), self.ready.range(Stand::NEW..));
        held.take_while(is_before).chain(new.take_while(is_before))
    }

    /// What it owns outside its slot: its name is a key as well.
    pub(crate) fn owned(&self) -> Blocks {
        let name = Blocks::of(self.name.len());
        name + name + Blocks::tree::<Stand>(self.ready.len())
    }

    /// An emptied set would keep a node, and most groups are empty most of the time.
    pub(crate) fn remove(&mut self, stand: Stand) {
        self.ready.remove(&stand);
        if self.ready.is_empty() {
            self.ready = BTreeSet::new();
        }
    }
}

/// The groups of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) slots: Segments<Group>,
    pub(crate) names: BTreeMap<Box<str>, Slot>,
    /// All ready tasks of groups.
    pub(crate) line: Ready,
    /// The groups that may have a task claimed, by their turn; [`UNGROUPED`] among them.
    pub(crate) rotation: BTreeSet<(u64, Slot)>,
    /// As the tasks without a group stand in it, if any is ready.
    pub(crate) turn_of_ungrouped: Option<u64>,
    pub(crate) last_turn: u64,
    /// The groups that tasks hold: for those alone a change of GROUPCONCURRENCY may mean something.
    pub(crate) held: BTreeSet<Slot>,
}

impl Groups {
    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.block(mem::size_of::<Self>())
            + self.slots.bytes(rounding)
            + rounding.tree::<(Box<str>, Slot)>(self.names.len())
            + self.line.bytes(rounding)
            + rounding.tree::<(u64, Slot)>(self.rotation.len().max(1))
            + rounding.tree::<Slot>(self.held.len().max(1))
    }

    /// The group whose turn it is.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.rotation.first().map(|&(_, group)| group)
    }

    /// The names of those in the rotation, the next one first; None: the tasks without a group.
    pub(crate) fn turns(&self) -> impl Iterator<Item = Option<&str>> {
        self.rotation.iter().map(|&(_, group)| group.get().map(|group| &*self.slots.at(group).name))
    }

    /// The group has no turn any more; with `comes`, it has the last one.
    pub(crate) fn set_turn(&mut self, group: Slot, comes: bool) {
        let turn = comes.then(|| {
            self.last_turn = self.last_turn.saturating_add(1);
            self.last_turn
        });
        let place = if group == UNGROUPED { &mut self.turn_of_ungrouped } else { &mut self.slots.at_mut(group).turn };
        if let Some(old) = mem::replace(place, turn) {
            self.rotation.remove(&(old, group));
        }
        if let Some(turn) = turn {
            self.rotation.insert((turn, group));
        }
    }

    /// Gives the group its turn, the last one, or takes it away, if that is due by now. `ungrouped` tells how many ready tasks have no group.
    pub(crate) fn settle(&mut self, group: Slot, limit: u32, ungrouped: usize) {
        let (has_turn, comes) = self.stands(group, limit, ungrouped);
        if has_turn != comes {
            self.set_turn(group, comes);
        }
    }

    /// A task of the group has been claimed: if it may have another one claimed, after all others.
    pub(crate) fn rotate(&mut self, group: Slot, limit: u32, ungrouped: usize) {
        let (_, comes) = self.stands(group, limit, ungrouped);
        self.set_turn(group, comes);
    }

    /// The limit has changed, which means something only for groups that are held: they get turns, or lose them. They come in the order in
    /// which their next tasks became ready, so that all who do this give the same turns.
    pub(crate) fn settle_held(&mut self, limit: u32) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for &slot in &self.held {
            let group = self.slots.at(slot);
            match (group.turn, group.next_stand(limit)) {
                (Some(_), None) => gone.push(slot),
                (None, Some(next)) => come.push((next.order, slot)),
                _ => {}
            }
        }
        for group in gone {
            self.set_turn(group, false);
        }
        // A forged snapshot may give two tasks one place.
        let name = |slot: Slot| &*self.slots.at(slot).name;
        come.sort_unstable_by(|(a, of_a), (b, of_b)| a.cmp(b).then_with(|| name(*of_a).cmp(name(*of_b))));
        for (_, group) in come {
            self.set_turn(group, true);
        }
    }

    /// Whether the group has a turn, and whether it should.
    pub(crate) fn stands(&self, group: Slot, limit: u32, ungrouped: usize) -> (bool, bool) {
        if group == UNGROUPED {
            return (self.turn_of_ungrouped.is_some(), ungrouped > 0);
        }
        let group = self.slots.at(group);
        (group.turn.is_some(), group.next(limit).is_some())
    }
}

impl Queue {
    /// How many groups tasks are of.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.as_deref().map_or(0, |groups| groups.slots.len())
    }

    /// The group that a task is of, or [`UNGROUPED`].
    #[inline]
    pub(crate) fn group_slot(&self, slot: Slot) -> Slot {
        self.extra(self.tasks.at(slot)).group
    }

    pub(crate) fn group_of(&self, slot: Slot) -> Option<&Group> {
        let groups = self.groups.as_deref()?;
        Some(groups.slots.at(self.group_slot(slot).get()?))
    }

    pub(crate) fn find_group(&self, name: &str) -> Option<Slot> {
        self.groups.as_deref()?.names.get(name).copied()
    }

    /// Most tasks of one group claimed at once.
    pub(crate) fn group_limit(&self) -> u32 {
        self.flow.as_deref().map_or(0, |flow| flow.settings.group_concurrency)
    }

    /// Where the task stands in its group when it is ready.
    pub(crate) fn stand(&self, slot: Slot) -> Stand {
        let task = self.tasks.at(slot);
        Stand::of(task, slot, self.extra(task).holds_group)
    }

    /// The task to be claimed next, of those that stand in line and whose group has a free slot.
    #[cold]
    pub(crate) fn next_in_turn(&self, groups: &Groups) -> Option<Slot> {
        match groups.first()? {
            UNGROUPED => self.ready.first(&self.tasks),
            group => groups.slots.at(group).next(self.group_limit()),
        }
    }

    /// The line of the ready tasks that have a group.
    pub(crate) fn grouped_line(&self) -> Option<&Ready> {
        self.groups.as_deref().map(|groups| &groups.line)
    }

    /// The line in which the task stands when it is ready.
    pub(crate) fn line_of(&self, slot: Slot) -> &Ready {
        match self.groups.as_deref() {
            Some(groups) if self.group_slot(slot) != UNGROUPED => &groups.line,
            _ => &self.ready,
        }
    }

    /// All ready tasks: first those without a group.
    pub(crate) fn all_ready(&self) -> impl Iterator<Item = Slot> + '_ {
        self.ready.iter(&self.tasks).chain(self.grouped_line().into_iter().flat_map(|line| line.iter(&self.tasks)))
    }

    /// The one that became ready first of all.
    pub(crate) fn oldest_ready(&self) -> Option<Slot> {
        let of_lines = [self.ready.oldest(&self.tasks), self.grouped_line().and_then(|line| line.oldest(&self.tasks))];
        of_lines.into_iter().flatten().min_by_key(|&slot| self.tasks.at(slot).order)
    }
}
