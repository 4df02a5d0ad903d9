//! What always holds of a queue, for tests and fuzzers: not in release builds.

use crate::batch::{Batch, Counts, KEPT, NUMBERS_MAX, Stage, TIED, kept};
use crate::blocks::Blocks;
use crate::depend::{Node, Of, Outcome};
use crate::effect::Effect;
use crate::flow::Settings;
use crate::id::TaskId;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::schedule::owned;
use crate::snapshot::image_of;
use crate::state::State;
use crate::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// An error that says `what`, unless it holds.
pub(crate) fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Queue {
    /// Whether all indexes agree with the tasks, and the sums with what they sum up.
    ///
    /// # Errors
    /// What does not hold.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        self.tasks.check()?;
        self.extras.check()?;
        let slots = self.check_states()?;
        for &slot in &slots {
            self.check_task(slot).map_err(|what| format!("{what}: {:?}", self.tasks.at(slot)))?;
        }
        self.ids.check(&self.tasks)?;
        self.check_ttls(&slots)?;
        let claims = slots.iter().map(|&slot| (self.tasks.at(slot), slot));
        self.sessions.check(claims.filter_map(|(task, slot)| Some((self.extra(task).rare().session?, task.order, slot))))?;
        self.check_batches(&slots)?;
        self.check_flow(&slots)?;
        self.events.as_deref().map_or(Ok(()), |log| log.check(self.settings().events))?;
        self.check_groups(&slots)?;
        self.check_ties(&slots)?;
        self.check_keys(&slots)?;
        self.check_schedules()?;
        self.check_sums(&slots)
    }

    /// Each task is in the index of its state once, in order, and nowhere else.
    fn check_states(&self) -> Result<BTreeSet<Slot>, String> {
        self.ready.check(&self.tasks)?;
        let mut slots: Vec<Slot> = self.all_ready().collect();
        for state in State::ALL {
            if let Some(deadlines) = self.deadlines(state) {
                deadlines.check(&self.tasks)?;
                slots.extend(deadlines.iter(&self.tasks));
            }
            let listed = slots.iter().filter(|&&slot| self.tasks.at(slot).state() == state).count();
            ensure(listed == self.count(state), "a task is in the index of another state")?;
        }
        let unique: BTreeSet<Slot> = slots.iter().copied().collect();
        ensure(unique.len() == slots.len() && slots.len() == self.len(), "not each task is in one index once")?;
        Ok(unique)
    }

    /// What the queue sets for itself could be of a snapshot, and what it needs to know is right.
    fn check_flow(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let mut counts = Counts::default();
        slots
            .iter()
            .filter(|&&slot| self.member(self.tasks.at(slot)).is_some())
            .for_each(|&slot| counts.add(self.tasks.at(slot).state()));
        ensure(self.batches.counts == counts, "the count of members is wrong")?;
        let Some(flow) = self.flow.as_deref() else { return Ok(()) };
        ensure(flow.settings.is_valid() && flow.settings != Settings::default(), "the settings are none")?;
        flow.check()?;
        ensure(flow.settings.paused_until.is_none_or(|until| self.soonest <= until), "a pause ends before the soonest instant")
    }

    fn check_task(&self, slot: Slot) -> Result<(), String> {
        let task = self.tasks.at(slot);
        let extra = self.extra(task);
        ensure(self.find(self.id_of(slot)) == Some(slot), "the id does not find its task")?;
        ensure(self.extra_slot(task).is_nil() || !extra.is_empty(), "an extra says nothing")?;
        ensure(task.state() != State::Scheduled || task.order == 0, "a scheduled task has a place in line")?;
        ensure(
            matches!(task.state(), State::Waiting | State::Ready) || task.at >= KEPT || self.soonest <= task.at,
            "a task is due before the soonest instant",
        )?;
        let told = |created| matches!(self.id_of(slot), TaskId::Made(id) if id.made_at() == created);
        ensure(!extra.created.get().is_some_and(told), "an extra says what the id tells")?;
        let lease = self.claim_lease(slot).unwrap_or_default();
        let told = |claimed_at: UnixMs| task.at.before(lease) == claimed_at;
        ensure(!extra.claimed_at.get().is_some_and(told), "an extra says what deadline and lease tell")?;
        // Or else a snapshot could not be loaded.
        let mut empty = Self { head: self.head, ..Self::default() };
        let image = self.image(slot);
        let admitted = match self.member(task).map(|member| (member, self.batches.slots.at(member.batch()))) {
            None => empty.admit_image(&image),
            Some((member, batch)) => {
                empty.batches.last = self.batches.last;
                empty
                    .apply(&Effect::BatchRestored(image_of(batch)))
                    .and_then(|_| empty.admit_member_image(batch.incarnation, member.number, &image))
            }
        };
        admitted.map_err(|_| "its image is refused".to_owned())
    }

    fn check_ttls(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let ttl = |&slot: &Slot| self.extra(self.tasks.at(slot)).ttl_at.get().map(|at| (at, slot));
        ensure(slots.iter().filter_map(ttl).collect::<BTreeSet<_>>() == self.ttls, "TTLs differ from their index")?;
        ensure(self.ttls.iter().all(|&(at, _)| self.soonest <= at), "a TTL ends before the soonest instant")
    }

    /// Each batch knows its members, each once, and stands among those that go when it should.
    fn check_batches(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let batches = &self.batches;
        batches.slots.check()?;
        batches.members.check()?;
        let mut members: BTreeMap<Slot, Vec<Slot>> = BTreeMap::new();
        for &slot in slots {
            if let Some(member) = self.member(self.tasks.at(slot)) {
                members.entry(member.batch()).or_default().push(slot);
            }
        }
        ensure(batches.members.len() == members.values().map(Vec::len).sum::<usize>(), "a member is shared or lost")?;
        ensure(batches.numbers.len() == batches.slots.len(), "a batch has no number")?;
        let (mut names, mut leaving, mut done, mut idle) = (0, 0, 0, 0);
        for (&incarnation, &slot) in &batches.numbers {
            let batch = batches.slots.at(slot);
            self.check_batch(batch, &members.remove(&slot).unwrap_or_default())?;
            ensure(batch.incarnation == incarnation && incarnation <= batches.last, "a batch has another's number")?;
            names += usize::from(!batch.is_leaving());
            ensure(batch.is_leaving() || self.find_batch(&batch.name) == Some(slot), "the name does not find its batch")?;
            let is_listed = match batch.stage {
                Stage::Running | Stage::Held => true,
                Stage::Leaving => {
                    let has_tasks = batch.ends.len() > 0;
                    leaving += usize::from(has_tasks);
                    batches.leaving.contains(&incarnation) == has_tasks && (!has_tasks || self.soonest == UnixMs(0))
                }
                Stage::Idle(at) | Stage::Empty(at) => {
                    idle += 1;
                    batches.idle.contains(&(at, incarnation))
                }
                Stage::Done(at) => {
                    done += 1;
                    batches.done.contains(&(at, incarnation)) && self.soonest <= at
                }
            };
            ensure(is_listed && batch.stage == batch.stage_now(), "a batch does not stand where it should")?;
        }
        let listed = (batches.names.len(), batches.leaving.len(), batches.done.len(), batches.idle.len());
        ensure(members.is_empty() && listed == (names, leaving, done, idle), "a batch is lost")
    }

    fn check_batch(&self, batch: &Batch, members: &[Slot]) -> Result<(), String> {
        batch.open.check()?;
        batch.ends.check()?;
        let (mut counts, mut bad) = (Counts::default(), BTreeSet::new());
        for &slot in members {
            let task = self.tasks.at(slot);
            let number = self.member(task).map_or(0, |member| member.number);
            let is_over = task.state().is_terminal();
            counts.add(task.state());
            ensure(if is_over { &batch.ends } else { &batch.open }.get(number) == Some(slot), "a member is not in its log")?;
            ensure(!is_over || task.at == kept(UnixMs(task.order)), "a member's end stands elsewhere")?;
            bad.extend((is_over && task.state() != State::Completed).then_some(number));
        }
        ensure(counts == batch.counts && bad == batch.bad, "a batch's counts are wrong")?;
        ensure((batch.open.len() + batch.ends.len()) as usize == members.len(), "a log holds others than members")?;
        let may_end = u64::from(batch.ends.next()) + u64::from(batch.open.len()) <= u64::from(NUMBERS_MAX);
        ensure(may_end, "a batch has too few numbers left")
    }

    /// Each schedule with a next slot is among those that fall due, and could be of a snapshot.
    fn check_schedules(&self) -> Result<(), String> {
        let Some(schedules) = self.schedules.as_deref() else { return Ok(()) };
        let (mut due, mut sum) = (BTreeSet::new(), Blocks::default());
        for (name, schedule) in &schedules.names {
            let next = schedule.progress.next;
            due.extend((next != UnixMs::NEVER).then(|| (next, name.clone())));
            sum += owned(name, schedule);
            let image = Effect::ScheduleRestored { name, definition: schedule.plan.definition(), progress: schedule.progress };
            ensure(Self::default().admit_schedule(&image).is_ok(), "the image of a schedule is refused")?;
        }
        ensure(!schedules.names.is_empty() && due == schedules.due, "a schedule is not where it falls due")?;
        ensure(sum == schedules.owned, "owned bytes are not what schedules own")?;
        ensure(self.soonest <= self.next_slot(), "a slot is before the soonest instant")
    }

    /// Each tie is known at both ends, and what has ties is kept.
    fn check_ties(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let nodes = &self.nodes.slots;
        nodes.check()?;
        let (mut ties, mut untold): (BTreeMap<Slot, u32>, BTreeSet<_>) = Default::default();
        let (mut owners, mut held): (BTreeSet<Slot>, BTreeMap<Slot, u32>) = Default::default();
        for &slot in slots {
            let is_over = self.tasks.at(slot).state().is_terminal();
            if let Some(node) = self.node(slot) {
                ensure(nodes.at(node).of == Of::Task(slot) && owners.insert(node), "a node is another's")?;
                let task = self.tasks.at(slot);
                ensure(!is_over || task.member().is_some() || task.at == TIED, "a task with ties can be dropped")?;
                if let Some(batch) = self.batch_slot_of(slot) {
                    *held.entry(batch).or_default() += 1;
                }
            }
            let Some(after) = self.after(slot) else { continue };
            let mut missing = 0;
            for (index, one) in (0..).zip(&after.on) {
                missing += u32::from(one.untold);
                if let Some(node) = one.node.get() {
                    *ties.entry(node).or_default() += 1;
                    if one.untold {
                        untold.insert((node, after.place, slot, index));
                    }
                }
                ensure(one.node.is_nil() || !is_over, "a task that has ended has ties")?;
            }
            ensure(missing == after.missing, "a task does not know how many it waits for")?;
            ensure(
                (missing > 0) == (self.tasks.at(slot).state() == State::Waiting),
                "a task waits and is not waiting, or the reverse",
            )?;
        }
        for &batch in self.batches.numbers.values() {
            let place = self.batches.slots.at(batch);
            if let Some(node) = place.node.get() {
                ensure(nodes.at(node).of == Of::Batch(batch) && owners.insert(node), "a node is another's")?;
                *held.entry(batch).or_default() += 1;
            }
            let is_right = place.is_leaving() || place.held == held.get(&batch).copied().unwrap_or_default();
            ensure(is_right, "a batch does not know by how many it is held")?;
        }
        // A snapshot has what is kept before those that it is kept for.
        let is_untied = |node: &&Node| node.ties == 0 && matches!(node.of, Of::Task(slot) if self.is_kept_by_ties(slot));
        let untied = (0..nodes.bound()).filter_map(|slot| nodes.get(Slot(slot))).filter(is_untied);
        ensure(
            ties.len() + untied.count() == nodes.len() && ties.iter().all(|(&node, &count)| nodes.at(node).ties == count),
            "ties are lost",
        )?;
        let listed: BTreeSet<_> = ties
            .keys()
            .flat_map(|&node| nodes.at(node).untold.iter().map(move |&(place, index, slot)| (node, place, slot, index)))
            .collect();
        ensure(listed == untold, "those to be told are not those that wait")?;
        for &node in ties.keys() {
            let place = nodes.at(node);
            let is_owned =
                !matches!(place.of, Of::Gone(_) if place.untold.is_empty() || self.outcome_of(place.of) != Outcome::Open);
            ensure(owners.contains(&node) || !is_owned, "a node has lost its owner")?;
            let is_news = !place.untold.is_empty() && self.outcome_of(place.of) != Outcome::Open;
            let listed = place.news.is_some_and(|next| self.nodes.news.contains(&(next, node)));
            ensure(listed == is_news && place.news.is_some() == is_news, "news are not told")?;
        }
        let news = ties.keys().filter(|&&node| nodes.at(node).news.is_some()).count();
        ensure(news == self.nodes.news.len(), "there is news of nothing")
    }

    fn check_sums(&self, slots: &BTreeSet<Slot>) -> Result<(), String> {
        let (mut owned, mut extras) = (Blocks::default(), BTreeSet::new());
        let (mut workers, mut options) = (HashMap::new(), HashMap::new());
        for &slot in slots {
            let task = self.tasks.at(slot);
            owned += Blocks::of(task.data.len()) + self.extra(task).owned();
            extras.extend(self.extra_slot(task).get());
            *workers.entry(task.worker).or_default() += 1;
            *options.entry(self.extra(task).options).or_default() += 1;
        }
        for (_, batch) in self.batches.numbers.values().map(|&slot| (slot, self.batches.slots.at(slot))) {
            owned += batch.owned();
        }
        for group in self.groups.iter().flat_map(|groups| groups.names.values().map(|&slot| groups.slots.at(slot))) {
            owned += group.owned();
        }
        for node in (0..self.nodes.slots.bound()).filter_map(|slot| self.nodes.slots.get(Slot(slot))) {
            owned += node.owned();
        }
        for (name, hold) in &self.uniques.holds {
            owned += hold.owned(name);
        }
        ensure(self.owned == owned, "owned bytes are not what tasks own")?;
        ensure(self.extras.len() == extras.len(), "an extra is shared or lost")?;
        self.option_sets.check(options)?;
        self.workers.check(workers)
    }
}
