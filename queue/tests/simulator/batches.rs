//! What is known of batches: who is in them, in which order they ended, and when they are done and go.

use crate::book::{Book, Known, Said};
use crate::needs::After;
use crate::rules::ensure;
use crate::support::{Command, PushSpec, task_id};
use std::rc::Rc;
use taskqueue::{BatchView, Defaults, EndsCursor, Event, Queue, Slot, State, UnixMs};

/// The names of all batches.
pub(crate) const BATCHES: [&str; 2] = ["batch-0", "batch-1"];

/// A batch, or one that is gone and whose tasks are about to follow.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// No other batch has the same allocation, on whatever history: so readers can tell it from others of its name.
    pub(crate) name: Rc<str>,
    /// Its number, by the clock, in cursors.
    pub(crate) incarnation: u64,
    stage: Stage,
    /// All ends that there were, in their order.
    pub(crate) ends: Vec<End>,
    /// When a task last ended, it was sealed, or it was last needed.
    touched: UnixMs,
    /// When the last of its tasks could go if they were of no batch.
    kept_until: UnixMs,
    /// Others depend on it, or on one of its tasks.
    is_needed: bool,
    /// As those know that wait for it.
    was_done: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The task. No other end has the same allocation.
    pub(crate) id: Rc<str>,
    /// The task has not begun again.
    pub(crate) stands: bool,
}

/// What has been done to a batch as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Sealed,
    Gone,
}

/// The batch that a push names, and whether it is sealed.
pub(crate) fn named(task: &PushSpec) -> Option<(&str, bool)> {
    task.batch.as_ref().map(|(name, seal)| (&**name, *seal))
}

impl Known {
    /// Whether it is of the batch of that name, which is there.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        !self.leaves && self.seen.batch.as_deref() == Some(name)
    }

    /// It begins again, though its batch is gone: it is of none from now on.
    pub(crate) fn outlive_batch(&mut self) {
        if self.leaves {
            (self.batch, self.leaves, self.seen.batch) = (None, false, None);
        }
    }
}

impl Book {
    /// The batch of that name, and its birth.
    pub(crate) fn batch(&self, name: &str) -> Option<(u64, &Batch)> {
        let found = self.batches.iter().find(|(_, batch)| batch.stage != Stage::Gone && &*batch.name == name);
        found.map(|(&born, batch)| (born, &**batch))
    }

    pub(crate) fn members(&self, born: u64) -> impl Iterator<Item = &Known> {
        self.tasks.values().map(|known| &**known).filter(move |known| known.batch == Some(born))
    }

    fn is_running(&self, born: u64) -> bool {
        self.members(born).any(|known| !known.seen.state.is_terminal())
    }

    pub(crate) fn is_done(&self, born: u64) -> bool {
        let batch = &self.batches[&born];
        batch.stage == Stage::Sealed && !self.is_running(born)
    }

    pub(crate) fn takes_tasks(&self, name: &str) -> bool {
        self.batch(name).is_none_or(|(_, batch)| batch.stage == Stage::Open)
    }

    /// Whether the batch is done, and if so, whether all of its tasks were completed.
    pub(crate) fn has_ended(&self, born: u64) -> Option<bool> {
        self.is_done(born).then(|| self.members(born).all(|known| known.seen.state == State::Completed))
    }

    fn change_batch(&mut self, born: u64, change: impl FnOnce(&mut Batch)) {
        if let Some(batch) = self.batches.get_mut(&born) {
            change(Rc::make_mut(batch));
        }
    }

    /// The batch of that name, made if there is none.
    pub(crate) fn batch_named(&mut self, name: &str, now: UnixMs) -> u64 {
        if let Some((born, _)) = self.batch(name) {
            return born;
        }
        self.births += 1;
        self.last_batch = now.0.max(self.last_batch + 1);
        let batch = Batch {
            name: name.into(),
            incarnation: self.last_batch,
            stage: Stage::Open,
            ends: Vec::new(),
            touched: now,
            kept_until: UnixMs(0),
            is_needed: false,
            was_done: false,
        };
        self.batches.insert(self.births, Rc::new(batch));
        self.births
    }

    /// No more tasks come to a batch.
    pub(crate) fn seal(&mut self, name: &str, now: UnixMs) {
        let born = self.batch_named(name, now);
        if self.batches[&born].stage == Stage::Open {
            self.change_batch(born, |batch| (batch.stage, batch.touched) = (Stage::Sealed, now));
        }
        self.note_done(born);
    }

    /// Those that wait for a batch are to hear when it is done. If it is not any more before they have, that was an end all the same.
    pub(crate) fn note_done(&mut self, born: u64) {
        let (was_done, ended) = (self.batches[&born].was_done, self.has_ended(born));
        if was_done != ended.is_some() {
            self.change_batch(born, |batch| batch.was_done = !was_done);
            match ended {
                Some(_) => {
                    self.happen_batch(&self.batches[&born].name.clone());
                    self.note_end(born, ended);
                }
                None => self.begins_again(born),
            }
        }
    }

    /// When the batch goes, if it does.
    fn goes_at(&self, born: u64, defaults: &Defaults) -> Option<UnixMs> {
        let batch = &self.batches[&born];
        let stays = batch.stage == Stage::Gone || batch.is_needed || self.is_running(born);
        let is_full = batch.stage == Stage::Sealed && self.members(born).next().is_some();
        let at = if is_full { batch.kept_until } else { self.defaults(defaults).retain_failed.drop_at(batch.touched) };
        Some(at).filter(|&at| !stays && at != UnixMs::NEVER)
    }

    /// Whether a batch is to go, or tasks are to follow theirs.
    pub(crate) fn has_batches_due(&self, now: UnixMs, defaults: &Defaults) -> bool {
        let is_due = |(&born, batch): (&u64, &Rc<Batch>)| {
            batch.stage == Stage::Gone || self.goes_at(born, defaults).is_some_and(|at| at <= now)
        };
        self.batches.iter().any(is_due)
    }

    /// Takes note of batches that are gone, if they may be. Answers how many.
    pub(crate) fn note_batches_gone(&mut self, queue: &Queue, said: &Said<'_>) -> Result<usize, String> {
        let is_there = |batch: &Batch| queue.find_batch(&batch.name).is_some();
        let gone = self.batches.iter().filter(|(_, batch)| batch.stage != Stage::Gone && !is_there(batch));
        let gone: Vec<(u64, Rc<str>)> = gone.map(|(&born, batch)| (born, batch.name.clone())).collect();
        for (born, name) in &gone {
            let may_go = match said.command {
                Command::ForgetBatch(of) => **name == **of && self.is_done(*born),
                Command::Tick { .. } => self.goes_at(*born, said.defaults).is_some_and(|at| at <= said.now),
                _ => false,
            };
            ensure(may_go, &format!("{name} is gone, and not all had ended, or it was to be kept"))?;
            self.change_batch(*born, |batch| batch.stage = Stage::Gone);
            let is_forgotten = matches!(said.command, Command::ForgetBatch(_));
            for (id, known) in self.tasks.iter_mut().filter(|(_, known)| known.batch == Some(*born)) {
                if is_forgotten {
                    self.keys.forget(id, said.now);
                }
                let known = Rc::make_mut(known);
                (known.leaves, known.seen.drop_at) = (true, None);
            }
            self.goes(*born);
            self.gone.push(name.clone());
        }
        self.lose_empty_ones();
        Ok(gone.len())
    }

    /// A batch that is gone is nothing any more when the last of its tasks has followed.
    fn lose_empty_ones(&mut self) {
        let has_tasks = |born| self.tasks.values().any(|known| known.batch == Some(born));
        self.batches.retain(|&born, batch| batch.stage != Stage::Gone || has_tasks(born));
    }

    /// Takes note of what a command has done to batches by what it has done to their tasks.
    pub(crate) fn settle_batches(&mut self, queue: &Queue, events: &[(Event, Slot)], now: UnixMs) {
        let needed = self.needed();
        for born in self.batches.keys().copied().collect::<Vec<_>>() {
            let mut batch = Batch::clone(&self.batches[&born]);
            self.note_ends(born, &mut batch, queue, events, now);
            let is_needed = needed.contains(&born) || self.members(born).any(|known| needed.contains(&known.born));
            if batch.is_needed && !is_needed && !self.is_running(born) {
                // What was left of its time when the last of its tasks ended begins anew.
                if batch.kept_until != UnixMs::NEVER {
                    batch.kept_until = now.after(batch.kept_until.since(batch.touched));
                }
                batch.touched = now;
            }
            batch.is_needed = is_needed;
            let goes_at = Some(batch.kept_until).filter(|&at| self.is_done(born) && !is_needed && at != UnixMs::NEVER);
            self.batches.insert(born, Rc::new(batch));
            for known in self.tasks.values_mut().filter(|known| known.batch == Some(born) && known.seen.state.is_terminal()) {
                if known.seen.drop_at != goes_at {
                    Rc::make_mut(known).seen.drop_at = goes_at;
                }
            }
        }
        self.lose_empty_ones();
    }

    /// Tasks that have ended are ends, in the order in which the queue says that they ended, until they begin again.
    fn note_ends(&self, born: u64, batch: &mut Batch, queue: &Queue, events: &[(Event, Slot)], now: UnixMs) {
        let has_ended = |id: &str| {
            let known = self.tasks.get(id).filter(|known| known.batch == Some(born));
            known.is_some_and(|known| known.seen.state.is_terminal())
        };
        batch.ends.iter_mut().for_each(|end| end.stands &= has_ended(&end.id));
        let is_known = |id: &str| batch.ends.iter().any(|end| end.stands && &*end.id == id);
        let mut ended: Vec<_> = self.tasks.iter().filter(|(id, _)| has_ended(id) && !is_known(id)).collect();
        let when = |id: &str| {
            queue.find(task_id(id)).and_then(|of| events.iter().rposition(|&(event, slot)| slot == of && event.is_end()))
        };
        ended.sort_by_key(|(id, _)| when(id));
        for (id, known) in ended {
            batch.touched = now;
            batch.kept_until = batch.kept_until.max(known.seen.drop_at.unwrap_or(UnixMs::NEVER));
            batch.ends.push(End { id: Rc::from(&**id), stands: true });
        }
    }

    /// Whether the queue's batches look as they are known to.
    pub(crate) fn describes_batches(&self, queue: &Queue) -> Result<(), String> {
        for name in BATCHES {
            let seen = queue.find_batch(name).map(|batch| queue.view_batch(batch));
            let known = self.batch(name).map(|(born, _)| self.view_batch(born));
            ensure(seen == known, &format!("{name} is not what it was\n  known {known:?}\n  seen  {seen:?}"))?;
            let Some((_, batch)) = self.batch(name) else { continue };
            let page = queue.collect(name, EndsCursor::Start, usize::MAX).map_err(|refusal| refusal.to_string())?;
            let given = page.slots.iter().map(|&slot| queue.id(slot).to_string());
            let ends = batch.ends.iter().filter(|end| end.stands).map(|end| &*end.id);
            ensure(given.eq(ends), &format!("the ends of {name} are not those of its tasks, in their order"))?;
        }
        Ok(())
    }

    pub(crate) fn view_batch(&self, born: u64) -> BatchView {
        let count = |state| self.members(born).filter(|known| known.seen.state == state).count();
        BatchView {
            total: self.members(born).count(),
            counts: State::ALL.map(count),
            sealed: self.batches[&born].stage == Stage::Sealed,
            done: self.is_done(born),
        }
    }

    /// Whether somebody waits for the batch of that name, which is not done: it takes no tasks that wait.
    pub(crate) fn is_awaited(&self, name: &str) -> bool {
        let waits = |after: &After, born| after.on.iter().any(|one| one.waits_for(born));
        let mut afters = self.tasks.values().filter_map(|known| known.after.as_ref());
        self.batch(name).is_some_and(|(born, _)| afters.any(|after| waits(after, born)))
    }
}
