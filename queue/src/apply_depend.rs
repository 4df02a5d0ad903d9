//! What effects do to dependencies. Part of [`crate::apply`].

use crate::apply::count;
use crate::depend::{After, Dependency, Node, Of, Outcome, Tie, Ties, unpack};
use crate::effect::{Change, Depends};
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::state::State;
use crate::time::{Ms, UnixMs};
use std::collections::BTreeSet;
use std::mem;

impl Queue {
    /// The task depends on these from now on. If it has not been told of one, it waits.
    pub(crate) fn apply_depends(&mut self, slot: Slot, depends: &Depends<'_>) {
        let (mut on, mut missing) = (Vec::new(), 0);
        let place = self.tasks.at(slot).order;
        for (id, tie) in unpack(depends.on).map_while(Result::ok) {
            let known = (tie != Tie::Gone).then(|| self.look_up(id, depends.of_batch)).flatten();
            let node = known.map_or(Slot::NIL, |(of, _)| self.tie(of));
            let untold = tie == Tie::Untold
                && node.get().is_some_and(|node| self.change_node(node, |node| node.untold.insert((place, slot))));
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
        let nodes: Vec<Slot> = after.on.iter().filter_map(|one| one.node.get().filter(|_| one.untold)).collect();
        self.change_ties(slot, |ties| ties.after = Some(after));
        nodes.into_iter().for_each(|node| self.note_news(node));
    }

    /// The next one to be told of the end of a node's owner has been.
    pub(crate) fn apply_told(&mut self, node: Slot) {
        if let Some((_, dependant)) = self.change_node(node, |node| node.untold.pop_first()) {
            self.change_ties(dependant, |ties| {
                let after = ties.after.as_mut();
                let after = after.and_then(|after| {
                    Some((after.on.iter_mut().find(|one| one.node == node && one.untold)?, &mut after.missing))
                });
                if let Some((dependency, missing)) = after {
                    dependency.untold = false;
                    *missing -= 1;
                }
            });
        }
        self.note_news(node);
    }

    /// A snapshot has the end of a task that is kept by its ties, which follow.
    pub(crate) fn restore_keep(&mut self, slot: Slot, keep: Ms) {
        let node = self.add_node(Of::Task(slot));
        self.nodes.slots.at_mut(node).keep = Some(keep);
        self.change_ties(slot, |ties| ties.node = node);
    }

    /// What happens to a task that waits, or for which others do.
    #[cold]
    pub(crate) fn apply_wait(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
            Change::Told => {
                if let Some(node) = self.node(slot) {
                    self.apply_told(node);
                }
            }
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
                self.begin_tries_anew(slot);
                self.enter_waiting(slot, order, at);
            }
            _ => {}
        }
    }

    /// The task has changed. When it ends, it needs nothing any more, and is kept while others need it; if it begins again, it has not
    /// ended for those that wait for it.
    #[cold]
    pub(crate) fn settle_ties(&mut self, slot: Slot, change: &Change<'_>) {
        match *change {
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
                    self.nodes.slots.at_mut(node).keep = None;
                    self.note_news(node);
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
            self.disown(node);
        }
    }

    /// The owner of a node goes. Those that have been told of it need it no more.
    pub(crate) fn disown(&mut self, node: Slot) {
        self.nodes.slots.at_mut(node).of = Of::Gone;
        self.note_news(node);
    }

    /// Enters the node among the news, or takes it out.
    pub(crate) fn note_news(&mut self, node: Slot) {
        let Some(place) = node.get().and_then(|node| self.nodes.slots.get(node)) else { return };
        let has_ended = || self.outcome_of(place.of) != Outcome::Open;
        let next =
            place.untold.first().filter(|_| has_ended()).map(|&(line, dependant)| (line, self.place_among(dependant, node)));
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

    /// Where a node stands among the dependencies of a task that has not been told of it.
    fn place_among(&self, dependant: Slot, node: Slot) -> usize {
        let on = self.after(dependant).map(|after| &after.on);
        on.and_then(|on| on.iter().position(|one| one.node == node && one.untold)).unwrap_or_default()
    }

    /// One more tie to a task or batch; answers its node.
    fn tie(&mut self, of: Of) -> Slot {
        let node = match of {
            Of::Task(slot) => self.node(slot),
            Of::Batch(batch) => self.batches.slots.at(batch).node.get(),
            Of::Gone => None,
        };
        let node = node.unwrap_or_else(|| {
            let node = self.add_node(of);
            match of {
                Of::Task(slot) => self.change_ties(slot, |ties| ties.node = node),
                Of::Batch(batch) => self.batches.slots.at_mut(batch).node = node,
                Of::Gone => {}
            }
            node
        });
        let place = self.nodes.slots.at_mut(node);
        place.ties += 1;
        if place.ties == 1 {
            self.hold(of, node);
        }
        node
    }

    /// The first tie to it: it is kept from now on.
    fn hold(&mut self, of: Of, node: Slot) {
        match of {
            Of::Task(slot) => {
                self.keep_end(slot, node);
                if let Some(batch) = self.batch_slot_of(slot) {
                    self.batches.slots.at_mut(batch).held += 1;
                    self.settle(batch);
                }
            }
            Of::Batch(batch) => {
                self.batches.slots.at_mut(batch).held += 1;
                self.settle(batch);
            }
            Of::Gone => {}
        }
    }

    /// A task that has ended and has ties stands where nothing falls due, unless its batch sees to that.
    fn keep_end(&mut self, slot: Slot, node: Slot) {
        let task = self.tasks.at(slot);
        let (state, at, ended) = (task.state(), task.at, UnixMs(task.order));
        if state.is_terminal() && task.member().is_none() && at != UnixMs::NEVER {
            self.nodes.slots.at_mut(node).keep = Some(at.since(ended));
            self.move_end(slot, UnixMs::NEVER);
        }
    }

    /// The task needs nothing of what it depends on any more.
    pub(crate) fn let_go(&mut self, slot: Slot, at: UnixMs) {
        let (mut nodes, mut place) = (Vec::new(), (0, slot));
        if self.after(slot).is_some() {
            self.change_ties(slot, |ties| {
                let Some(after) = &mut ties.after else { return };
                place.0 = after.place;
                for dependency in &mut after.on {
                    nodes.extend(dependency.node.get());
                    (dependency.node, dependency.untold) = (Slot::NIL, false);
                }
                after.missing = 0;
            });
        }
        for node in nodes {
            self.change_node(node, |node| {
                node.untold.remove(&place);
                node.ties -= 1;
            });
            self.note_news(node);
            if self.nodes.slots.at(node).ties == 0 {
                self.release(node, at);
            }
        }
    }

    /// The last tie to it has gone: it is kept for its own retention from now on.
    fn release(&mut self, node: Slot, at: UnixMs) {
        let Node { of, keep, .. } = self.nodes.slots.remove(node);
        match of {
            Of::Task(slot) => {
                self.change_ties(slot, |ties| ties.node = Slot::NIL);
                self.tidy_extra(slot);
                if let Some(batch) = self.batch_slot_of(slot) {
                    self.release_batch(batch, at);
                } else if let Some(keep) = keep {
                    self.move_end(slot, at.after(keep));
                }
            }
            Of::Batch(batch) => {
                self.batches.slots.at_mut(batch).node = Slot::NIL;
                self.release_batch(batch, at);
            }
            Of::Gone => {}
        }
    }

    /// The last tie to a batch, or to one of its tasks, has gone.
    fn release_batch(&mut self, batch: Slot, at: UnixMs) {
        let place = self.batches.slots.at_mut(batch);
        place.held = place.held.saturating_sub(1);
        if place.held == 0 && place.is_done() {
            if place.kept_until != UnixMs::NEVER {
                place.kept_until = at.after(place.kept_until.since(place.touched));
            }
            place.touched = at;
        }
        self.settle(batch);
    }

    /// Moves a task that has ended to another instant to be dropped at.
    fn move_end(&mut self, slot: Slot, drop_at: UnixMs) {
        let state = self.tasks.at(slot).state();
        let (tasks, ends) = self.deadlines_mut(state);
        ends.remove(tasks, slot);
        tasks.at_mut(slot).at = drop_at;
        ends.insert(tasks, slot);
        self.rewinds += u64::from(drop_at != UnixMs::NEVER);
        self.soonest = self.soonest.min(drop_at);
    }

    fn add_node(&mut self, of: Of) -> Slot {
        self.nodes.slots.insert(Node { of, untold: BTreeSet::new(), ties: 0, news: None, keep: None })
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
