//! What effects do to dependencies. Part of [`crate::apply`].

use crate::apply::count;
use crate::batch::{TIED, droppable};
use crate::depend::{After, Dependency, Node, Of, Outcome, Tie, Ties, unpack};
use crate::effect::{Change, Depends};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::time::{Ms, UnixMs};
use std::mem;

impl Queue {
    /// The task depends on these from now on. If it has not been told of one, it waits.
    pub(crate) fn apply_depends(&mut self, slot: Slot, depends: &Depends<'_>) {
        let (mut on, mut missing) = (Vec::new(), 0);
        let place = self.tasks.at(slot).order;
        for (index, (id, tie)) in (0..).zip(unpack(depends.on).map_while(Result::ok)) {
            let node = match tie {
                Tie::Gone => Slot::NIL,
                Tie::UntoldGood => self.tie_to(Of::Gone(Outcome::Good)),
                Tie::UntoldBad => self.tie_to(Of::Gone(Outcome::Bad)),
                Tie::Untold | Tie::Held => self.look_up(id, depends.of_batch).map_or(Slot::NIL, |(of, _)| self.tie_to(of)),
            };
            let waits = !matches!(tie, Tie::Gone | Tie::Held);
            let untold = waits && !node.is_nil();
            if untold {
                self.change_node(node, |node| node.untold.insert((place, index, slot)));
                self.note_news(node);
            }
            missing += u32::from(untold);
            on.push(Dependency { id: id.into(), node, untold });
        }
        let after = After {
            on: on.into(),
            of_batch: depends.of_batch,
            run_anyway: depends.run_anyway,
            due: depends.due.into(),
            place,
            missing,
        };
        self.change_ties(slot, |ties| ties.after = Some(after));
    }

    /// What happens to a task that waits.
    #[cold]
    pub(crate) fn apply_wait(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
            Change::Told { dependency } => self.hear(slot, dependency),
            Change::Delayed { due } => {
                self.leave(slot);
                self.enter(slot, State::Scheduled, due);
            }
            Change::Abandoned { error, at, drop_at } => {
                self.set_error(slot, Some(error));
                self.finish(slot, State::Failed, at, drop_at);
                count(&mut self.head.totals.failed);
            }
            Change::Awaited { order, at } => {
                self.outlive_batch(slot);
                self.leave(slot);
                self.set_error(slot, None);
                // For what is there by now follows.
                self.clear_after(slot);
                self.begin_tries_anew(slot);
                self.enter_waiting(slot, order, at);
            }
            _ => {}
        }
    }

    /// The task has changed. When it ends, it needs nothing any more, and is kept while others need it; if it begins again, it has not
    /// ended for those that come to wait for it.
    #[cold]
    pub(crate) fn settle_ties(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
            // Nothing is left that it waits for.
            Change::Ripened { .. } | Change::Delayed { .. } => self.hear_all(slot),
            Change::Completed { at, .. }
            | Change::Failed { at, .. }
            | Change::Abandoned { at, .. }
            | Change::Canceled { at, .. }
            | Change::Expired { at, .. } => {
                self.let_go(slot, at);
                if let Some(node) = self.node(slot) {
                    self.keep_end(slot, node);
                    self.note_news(node);
                }
            }
            Change::Revived { .. } | Change::Renewed { .. } | Change::Awaited { .. } => {
                if let Some(node) = self.node(slot) {
                    let place = self.nodes.slots.at_mut(node);
                    place.keep = None;
                    if place.ties == 0 || (self.is_news(node) && !sabotaged!(EndForgotten)) {
                        self.leave_behind(node, Outcome::Bad);
                    } else if sabotaged!(EndForgotten) {
                        self.note_news(node);
                    }
                }
            }
            _ => {}
        }
    }

    /// The task no longer depends on anything.
    pub(crate) fn clear_after(&mut self, slot: Slot) {
        if self.after(slot).is_some() {
            self.change_ties(slot, |ties| ties.after = None);
        }
    }

    /// The task is about to be dropped.
    #[cold]
    pub(crate) fn disown_task(&mut self, slot: Slot) {
        if let Some(node) = self.node(slot) {
            self.leave_behind(node, self.outcome(slot));
        }
    }

    /// The owner of a node goes, or begins again, after it had ended like this. Those that have been told of it need it no more.
    pub(crate) fn leave_behind(&mut self, node: Slot, outcome: Outcome) {
        let of = mem::replace(&mut self.nodes.slots.at_mut(node).of, Of::Gone(outcome));
        self.set_node(of, Slot::NIL);
        if let Some(batch) = self.batch_that_keeps(of) {
            let place = self.batches.slots.at_mut(batch);
            place.held = place.held.saturating_sub(1);
        }
        if self.nodes.slots.at(node).ties == 0 {
            // Of a damaged snapshot, which had no ties to follow.
            self.nodes.slots.remove(node);
        } else {
            self.note_news(node);
        }
    }

    /// Whether the node's owner has ended and somebody has not been told.
    pub(crate) fn is_news(&self, node: Slot) -> bool {
        self.nodes.slots.at(node).news.is_some()
    }

    /// Enters the node among the news, or takes it out.
    pub(crate) fn note_news(&mut self, node: Slot) {
        let place = self.nodes.slots.at(node);
        let first = place.untold.first().map(|&(line, index, _)| (line, index));
        let is_over = sabotaged!(RestNotTold) && place.news.is_some();
        let next = first.filter(|_| !is_over && self.outcome_of(place.of) != Outcome::Open);
        if next != place.news {
            let old = mem::replace(&mut self.nodes.slots.at_mut(node).news, next);
            if let Some(old) = old {
                self.nodes.news.remove(&(old, node));
            }
            if let Some(next) = next {
                self.nodes.news.insert((next, node));
            }
        }
    }

    /// The task has been told of one of those that it depends on.
    fn hear(&mut self, slot: Slot, index: u32) {
        let Some(after) = self.after_mut(slot) else { return };
        let Some(dependency) = after.on.get_mut(index as usize).filter(|one| one.untold) else { return };
        dependency.untold = false;
        after.missing -= 1;
        let (node, untold) = (dependency.node, (after.place, index, slot));
        self.change_node(node, |node| node.untold.remove(&untold));
        self.note_news(node);
    }

    /// The task has been told of all that it depends on.
    fn hear_all(&mut self, slot: Slot) {
        let untold = |after: &After| (0..).zip(&after.on).filter(|(_, one)| one.untold).map(|(index, _)| index).collect();
        let untold: Vec<u32> = self.after(slot).filter(|after| after.missing > 0).map(untold).unwrap_or_default();
        for index in untold {
            self.hear(slot, index);
        }
    }

    /// One more tie to a task or batch; answers its node.
    fn tie_to(&mut self, of: Of) -> Slot {
        let node = match of {
            Of::Task(slot) => self.node(slot),
            Of::Batch(batch) => self.batches.slots.at(batch).node.get(),
            Of::Gone(_) => None,
        };
        let node = node.unwrap_or_else(|| {
            let node = self.nodes.slots.insert(Node::new(of));
            self.set_node(of, node);
            node
        });
        let place = self.nodes.slots.at_mut(node);
        place.ties += 1;
        if place.ties == 1 {
            self.hold(of, node);
        }
        node
    }

    fn set_node(&mut self, of: Of, node: Slot) {
        match of {
            Of::Task(slot) => self.change_ties(slot, |ties| ties.node = node),
            Of::Batch(batch) => self.batches.slots.at_mut(batch).node = node,
            Of::Gone(_) => {}
        }
    }

    /// The batch that is kept while this is.
    fn batch_that_keeps(&self, of: Of) -> Option<Slot> {
        match of {
            Of::Task(slot) => self.batch_slot_of(slot),
            Of::Batch(batch) => Some(batch),
            Of::Gone(_) => None,
        }
    }

    /// The first tie to it: it is kept from now on.
    fn hold(&mut self, of: Of, node: Slot) {
        if let Of::Task(slot) = of {
            self.keep_end(slot, node);
        }
        if let Some(batch) = self.batch_that_keeps(of) {
            self.batches.slots.at_mut(batch).held += 1;
            self.settle(batch);
        }
    }

    /// A task that has ended and has ties stands where nothing falls due, unless its batch sees to that.
    fn keep_end(&mut self, slot: Slot, node: Slot) {
        let task = self.tasks.at(slot);
        let (state, at, ended) = (task.state(), task.at, UnixMs(task.order));
        if state.is_terminal() && task.member().is_none() && at != TIED && !sabotaged!(NeededNotKept) {
            self.nodes.slots.at_mut(node).keep = (at != UnixMs::NEVER).then(|| at.since(ended));
            self.move_end(slot, TIED);
        }
    }

    /// A snapshot has the end of a task that is kept by its ties, which follow.
    pub(crate) fn restore_keep(&mut self, slot: Slot, keep: Option<Ms>) {
        let node = self.nodes.slots.insert(Node { keep, ..Node::new(Of::Task(slot)) });
        self.set_node(Of::Task(slot), node);
    }

    /// The task needs nothing of what it depends on any more.
    pub(crate) fn let_go(&mut self, slot: Slot, at: UnixMs) {
        let Some(after) = self.after_mut(slot) else { return };
        let place = after.place;
        let mut nodes = Vec::new();
        for (index, one) in (0..).zip(&mut after.on) {
            nodes.extend(one.node.get().map(|node| (node, (place, index, slot))));
            (one.node, one.untold) = (Slot::NIL, false);
        }
        after.missing = 0;
        for (node, untold) in nodes {
            let ties = self.change_node(node, |node| {
                node.untold.remove(&untold);
                node.ties -= 1;
                node.ties
            });
            self.note_news(node);
            if ties == 0 {
                self.release(node, at);
            }
        }
    }

    /// The last tie to it has gone: it is kept for its own retention from now on.
    fn release(&mut self, node: Slot, at: UnixMs) {
        let Node { of, keep, .. } = self.nodes.slots.remove(node);
        self.set_node(of, Slot::NIL);
        if let Of::Task(slot) = of {
            self.tidy_extra(slot);
            if self.is_kept_by_ties(slot) {
                self.move_end(slot, keep.map_or(UnixMs::NEVER, |keep| droppable(at.after(keep))));
            }
        }
        if let Some(batch) = self.batch_that_keeps(of) {
            self.release_batch(batch, at);
        }
    }

    /// The last tie to a batch, or to one of its tasks, has gone. What was left of its time when the last of its tasks ended begins
    /// anew; one that is gone has no time, and a snapshot of it no ties.
    fn release_batch(&mut self, batch: Slot, at: UnixMs) {
        let place = self.batches.slots.at_mut(batch);
        place.held = place.held.saturating_sub(1);
        if place.held == 0 && place.open.len() == 0 && !place.is_leaving() {
            if place.kept_until != UnixMs::NEVER {
                place.kept_until = at.after(place.kept_until.since(place.touched));
            }
            place.touched = at;
        }
        self.settle(batch);
    }

    /// Moves a task that has ended to another place among those of its state.
    fn move_end(&mut self, slot: Slot, to: UnixMs) {
        let task = self.tasks.at(slot);
        let (state, from) = (task.state(), task.at);
        let (tasks, ends) = self.deadlines_mut(state);
        ends.remove(tasks, slot);
        self.enter(slot, state, to);
        self.rewinds += u64::from(to < from);
    }

    fn change_node<R>(&mut self, node: Slot, change: impl FnOnce(&mut Node) -> R) -> R {
        let node = self.nodes.slots.at_mut(node);
        let before = node.owned();
        let answer = change(node);
        let after = node.owned();
        self.owned -= before;
        self.owned += after;
        answer
    }

    fn change_ties(&mut self, slot: Slot, change: impl FnOnce(&mut Ties)) {
        self.change_rare(slot, true, |rare| {
            let mut ties = rare.ties.take().unwrap_or_else(|| Box::new(Ties { after: None, node: Slot::NIL }));
            change(&mut ties);
            rare.ties = Some(ties).filter(|ties| ties.after.is_some() || !ties.node.is_nil());
        });
    }
}
