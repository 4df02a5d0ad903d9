//! What tasks depend on, tasks or a batch: who waits, what he is told, and how long what he needs is kept.

use crate::batches::named;
use crate::book::{Book, Known, Said, Seen};
use crate::rules::{due, ensure};
use crate::support::{AfterSpec, Answer, Command, OnSpec, PushSpec};
use std::rc::Rc;
use std::slice;
use taskqueue::{Refusal, State, UnixMs};

/// What a task depends on.
#[derive(Clone, Debug)]
pub(crate) struct After {
    pub(crate) on: Vec<Dependency>,
    /// It is one batch, by its name.
    is_of_batch: bool,
    run_anyway: bool,
    due: Option<UnixMs>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    id: String,
    /// The task or batch that is kept for it.
    born: Option<u64>,
    /// Whether it has ended, and if so, whether well.
    ended: Option<bool>,
    told: bool,
}

impl Dependency {
    const fn is_news(&self) -> bool {
        self.ended.is_some() && !self.told
    }

    /// Whether it is this, and has not ended.
    pub(crate) fn waits_for(&self, born: u64) -> bool {
        self.born == Some(born) && self.ended.is_none()
    }
}

impl After {
    /// Whether all have ended as they must.
    pub(crate) fn is_free(&self) -> bool {
        self.on.iter().all(|one| one.ended.is_some_and(|good| good || self.run_anyway))
    }

    /// The task has ended and needs nothing any more.
    pub(crate) fn let_go(&mut self) {
        for one in &mut self.on {
            (one.born, one.told) = (None, true);
        }
    }

    /// When it may be claimed at the soonest.
    pub(crate) const fn wait_until(&mut self, due: Option<UnixMs>) {
        self.due = due;
    }

    fn missing(&self) -> usize {
        self.on.iter().filter(|one| !one.told).count()
    }
}

/// The tasks that a push is to wait for, or the batch.
pub(crate) fn names(after: &AfterSpec) -> &[String] {
    match &after.on {
        OnSpec::Tasks(ids) => ids,
        OnSpec::Batch(name) => slice::from_ref(name),
        OnSpec::Picks(_) => panic!("the world has found out what is meant"),
    }
}

impl Known {
    /// Whether what it has become hangs on those that it depends on: it has been told, or it was retried.
    pub(crate) fn hangs_on_others(&self, after: &Seen) -> bool {
        let (was, is) = (self.seen.state, after.state);
        let was_told = was == State::Waiting && matches!(is, State::Waiting | State::Scheduled | State::Ready | State::Failed);
        let was_retried = self.ended_badly() && self.after.is_some() && matches!(is, State::Waiting | State::Ready);
        (was_told || was_retried) && after.created == self.seen.created && after.data == self.seen.data
    }
}

impl Book {
    /// Why a push that would add a task cannot be of its batch, or wait for these.
    pub(crate) fn refuses(&self, id: Option<&str>, renew: bool, task: &PushSpec, now: UnixMs) -> Option<Refusal> {
        let known = id.and_then(|id| self.known(id));
        if known.is_some_and(|known| !(renew && known.ended_badly())) {
            return None;
        }
        if let Some(refusal) = self.refuses_more(1, now) {
            return Some(refusal);
        }
        let (said, own) = (named(task).map(|(name, _)| name), known.map(|known| known.seen.batch.as_deref()));
        if let Some(name) = said {
            match own {
                Some(own) if own != Some(name) => return Some(Refusal::OtherBatch),
                None if !self.takes_tasks(name) => return Some(Refusal::Sealed),
                _ => {}
            }
        }
        let (after, batch) = (task.after.as_ref()?, own.unwrap_or(said));
        if batch.is_some_and(|batch| matches!(&after.on, OnSpec::Batch(name) if name == batch)) {
            return Some(Refusal::OwnBatch);
        }
        if batch.is_some_and(|batch| self.is_awaited(batch)) {
            return Some(Refusal::BatchAwaited);
        }
        let is_of_batch = matches!(after.on, OnSpec::Batch(_));
        let is_there = |on: &str| self.look_up(on, is_of_batch).is_some() && (is_of_batch || Some(on) != id);
        let place = names(after).iter().position(|on| !is_there(on))?;
        Some(Refusal::NoDependency { place })
    }

    /// What has this name, and if it has ended, whether well. A task that is about to follow its batch is as good as gone.
    fn look_up(&self, name: &str, is_of_batch: bool) -> Option<(u64, Option<bool>)> {
        if is_of_batch {
            let (born, _) = self.batch(name)?;
            return Some((born, self.has_ended(born)));
        }
        let known = self.known(name)?;
        Some((known.born, known.has_ended()))
    }

    pub(crate) fn depend_of_push(&self, id: &str, task: &PushSpec, now: UnixMs) -> Option<After> {
        let after = task.after.as_ref()?;
        let due = Some(due(task.delay, now)).filter(|&due| due > now);
        let is_of_batch = matches!(after.on, OnSpec::Batch(_));
        let after = After { on: Vec::new(), is_of_batch, run_anyway: after.run_anyway, due };
        Some(self.depend(id, names(task.after.as_ref()?).iter(), &after))
    }

    /// A tie to each that is there by now; what is not there counts as completed.
    fn depend<'a>(&self, id: &str, on: impl Iterator<Item = &'a String>, after: &After) -> After {
        let tie = |on: &String| {
            let found = self.look_up(on, after.is_of_batch).filter(|_| after.is_of_batch || on != id);
            let ended = found.map_or(Some(true), |(_, ended)| ended);
            Dependency { id: on.clone(), born: found.map(|(born, _)| born), ended, told: found.is_none() }
        };
        After { on: on.map(tie).collect(), ..*after }
    }

    /// What it would depend on if it began again now; nothing, if something stands in the way.
    fn again(&self, id: &str, after: &After) -> Option<After> {
        let again = self.depend(id, after.on.iter().map(|one| &one.id), &After { on: Vec::new(), due: None, ..*after });
        let is_bad = again.on.iter().any(|one| one.ended == Some(false));
        let own = self.known(id).and_then(|known| known.seen.batch.as_deref());
        // Else tasks could come to wait for each other.
        let may_wait = !own.is_some_and(|own| self.is_awaited(own)) || again.on.iter().all(|one| one.ended.is_some());
        ((again.run_anyway || !is_bad) && may_wait).then_some(again)
    }

    pub(crate) fn can_begin_again(&self, id: &str, now: UnixMs) -> bool {
        let known = &self.tasks[id];
        match &known.after {
            _ if !self.keys.lets_begin_again(id, now) => false,
            Some(after) if known.ended_badly() => self.again(id, after).is_some(),
            _ => known.ended_badly() || known.seen.state == State::Scheduled,
        }
    }

    /// Whether somebody has not been told of an end.
    pub(crate) fn has_news(&self) -> bool {
        self.ties().any(Dependency::is_news)
    }

    fn ties(&self) -> impl Iterator<Item = &Dependency> {
        self.tasks.values().filter_map(|known| known.after.as_ref()).flat_map(|after| &after.on)
    }

    fn each_tie(&mut self, change: impl Fn(&mut Dependency)) {
        for known in self.tasks.values_mut().filter(|known| known.after.is_some()) {
            Rc::make_mut(known).after.iter_mut().flat_map(|after| &mut after.on).for_each(&change);
        }
    }

    /// A task or batch is not there any more, and not kept for anybody. How it ended stays true.
    pub(crate) fn goes(&mut self, born: u64) {
        if self.ties().any(|one| one.born == Some(born)) {
            self.each_tie(|one| {
                if one.born == Some(born) {
                    one.born = None;
                }
            });
        }
    }

    /// Takes note of what a task has become, for itself and for those that depend on it.
    pub(crate) fn note(&mut self, id: &Rc<str>, before: &Known, mut known: Known, said: &Said<'_>) -> Result<(), String> {
        let (born, was_over) = (known.born, before.seen.state.is_terminal());
        if was_over && !known.seen.state.is_terminal() {
            known.keep = None;
            if before.leaves {
                self.goes(born);
            }
            self.begins_again(born);
        }
        let is_push = matches!(said.answer, Answer::Pushed { id: pushed, added: true } if **pushed == **id);
        self.happen_to(id, before, &known, is_push, said.now);
        let (ended, batch) = (known.has_ended().filter(|_| !was_over), known.batch);
        self.tasks.insert(id.clone(), Rc::new(known));
        if ended.is_some() {
            self.note_end(born, ended);
        }
        if let Some(batch) = batch {
            self.note_done(batch);
        }
        self.note_key(id, Some(before.seen.state), said)
    }

    /// A task or batch that others depend on has ended: they are to be told.
    pub(crate) fn note_end(&mut self, born: u64, ended: Option<bool>) {
        if self.ties().any(|one| one.born == Some(born)) {
            self.each_tie(|one| {
                if one.born == Some(born) && !one.told {
                    one.ended = ended;
                }
            });
        }
    }

    /// Its end stays one for those that have not been told of it.
    pub(crate) fn begins_again(&mut self, born: u64) {
        if self.ties().any(|one| one.born == Some(born) && one.is_news()) {
            self.goes(born);
        }
    }

    /// Takes note of those that were told of ends, if they may have become what they look like. One may hang on another, so the order is
    /// found out. Answers who they are, and whether they are ready.
    pub(crate) fn hear(
        &mut self,
        waiting: Vec<(Rc<str>, Rc<Known>, Seen)>,
        said: &Said<'_>,
    ) -> Result<Vec<(Rc<str>, bool)>, String> {
        let (mut told, mut left) = (Vec::new(), waiting);
        loop {
            let (mut rest, mut why) = (Vec::new(), String::new());
            let before = left.len();
            for (id, known, after) in left {
                match self.become_of_told(&id, &after, said) {
                    Ok(next) => {
                        told.push((id.clone(), next.seen.state == State::Ready));
                        self.note(&id, &known, next, said)?;
                    }
                    Err(what) => {
                        why = format!("{id}: {what}\n  before {known:?}\n  after {after:?}");
                        rest.push((id, known, after));
                    }
                }
            }
            if rest.is_empty() {
                return Ok(told);
            }
            ensure(rest.len() < before, &why)?;
            left = rest;
        }
    }

    /// What becomes of a task that has been told of an end, or begins again and looks at what it depends on.
    pub(crate) fn become_of_told(&self, id: &str, after: &Seen, said: &Said<'_>) -> Result<Known, String> {
        let mut known = Known::clone(&self.tasks[id]);
        if known.seen.state.is_terminal() {
            let is_meant = match said.command {
                Command::Retry(of) => of == id,
                Command::RetryAll(_) => known.seen.state == State::Failed,
                Command::RetryBatch(name, _) => known.is_of(name),
                _ => false,
            };
            ensure(is_meant, "it began again and nobody retried it")?;
            let again = known.after.as_ref().and_then(|after| self.again(id, after));
            let again = again.ok_or("it began again though it would fail again")?;
            let waits = again.missing() > 0;
            (known.seen.error, known.seen.tries, known.seen.missing) = (None, 0, again.missing());
            known.after = Some(again);
            known.stand(if waits { State::Waiting } else { State::Ready }, said.now);
            known.outlive_batch();
            known.void();
        } else {
            ensure(matches!(said.command, Command::Tick { .. }), "it was told by something else than the course of things")?;
            let ties = known.after.as_mut().ok_or("it waited for nothing")?;
            for (_, index) in said.told.iter().filter(|(told, _)| told == id) {
                ensure(ties.on[*index].is_news(), "it was told of something that has not ended, or twice")?;
                ties.on[*index].told = true;
            }
            let (is_free, due) = (ties.is_free(), ties.due.filter(|&due| due > said.now));
            let bad = ties.on.iter().find(|one| one.is_news() && one.ended == Some(false)).filter(|_| !ties.run_anyway);
            match after.state {
                State::Failed => {
                    let bad = bad.ok_or("it failed, and nothing that it depends on had")?;
                    known.seen.error = Some(format!("dependency failed: {}", bad.id).into_bytes());
                    known.end(State::Failed, known.settings.retain_failed, said.now);
                }
                State::Waiting => known.seen.missing = ties.missing(),
                _ => {
                    ensure(is_free, "it no longer waits, and not all had ended as it needs")?;
                    ties.on.iter_mut().for_each(|one| one.told = true);
                    known.seen.missing = 0;
                    match due {
                        Some(due) => known.stand(State::Scheduled, due),
                        None => known.stand(State::Ready, said.now),
                    }
                }
            }
        }
        ensure(known.looks_like(after), &format!("it should have become {:?}", known.seen))?;
        Ok(known)
    }

    /// What somebody depends on.
    pub(crate) fn needed(&self) -> Vec<u64> {
        self.ties().filter_map(|one| one.born).collect()
    }

    /// What has ended and is needed has no time to go at; what is not needed any more is kept for its own time from now on. Batches see
    /// to their own tasks.
    pub(crate) fn keep_what_is_needed(&mut self, now: UnixMs) {
        let needed = self.needed();
        for known in self.tasks.values_mut().filter(|known| known.seen.state.is_terminal() && known.batch.is_none()) {
            match (needed.contains(&known.born), known.seen.drop_at, known.keep) {
                (true, Some(drop_at), _) => {
                    let known = Rc::make_mut(known);
                    (known.keep, known.seen.drop_at) = (Some(drop_at.since(known.seen.at)), None);
                }
                (false, _, Some(keep)) => {
                    let known = Rc::make_mut(known);
                    (known.keep, known.seen.drop_at) = (None, Some(now.after(keep)));
                }
                _ => {}
            }
        }
    }
}

impl Known {
    /// Whether it has ended, and if so, whether well.
    fn has_ended(&self) -> Option<bool> {
        self.seen.state.is_terminal().then_some(self.seen.state == State::Completed)
    }
}
