//! Keys of which each is one task's at a time: who has one, who is to have it after that, and until when.

use crate::book::{Book, Said};
use crate::rules::ensure;
use crate::support::{AfterSpec, Answer, Command, OnSpec, PushSpec, UniqueSpec, task_id};
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::{Defaults, Ms, Queue, State, UnixMs};

/// The names of all keys.
pub(crate) const KEYS: [&str; 2] = ["key-0", "key-1"];

#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// Those that are not free.
    holds: BTreeMap<String, Hold>,
    /// What tasks know: the key that they have, are to have, or would have again.
    of: BTreeMap<Rc<str>, Key>,
}

/// Who has a key.
#[derive(Clone, Debug)]
struct Hold {
    id: Rc<str>,
    /// The task was dropped, and the time of its key is not over.
    is_gone: bool,
    until: Option<UnixMs>,
    /// Who has the key after it.
    follow_up: Option<Rc<str>>,
}

/// What a task knows of its key.
#[derive(Clone, Debug)]
struct Key {
    name: String,
    until: Option<UnixMs>,
    /// The task waits for the one before it.
    follows: bool,
}

impl Key {
    fn of_push(unique: &UniqueSpec, now: UnixMs) -> Self {
        Self { name: unique.key.clone(), until: unique.hold.map(|ms| now.after(Ms(ms))), follows: false }
    }
}

/// What a push finds that wants a key.
pub(crate) enum Found<'a> {
    Free,
    /// That task has it, and nothing happens.
    Held(&'a str),
    /// That task has it or is to have it, and takes what is pushed.
    Replaced(&'a str),
    /// That task has it and is claimed: what is pushed follows it.
    Followed(&'a str),
}

fn is_over(until: Option<UnixMs>, now: UnixMs) -> bool {
    until.is_some_and(|until| until <= now)
}

impl Keys {
    /// Who has the key, and who is to have it next. What time is about to do counts as done.
    fn holder(&self, name: &str, now: UnixMs) -> Option<(&str, bool, Option<&str>)> {
        let hold = self.holds.get(name)?;
        let next = hold.follow_up.as_deref();
        if is_over(hold.until, now) {
            return next.filter(|&next| !is_over(self.of[next].until, now)).map(|next| (next, false, None));
        }
        Some((&hold.id, hold.is_gone, next))
    }

    fn is_held_by(&self, name: &str, id: &str) -> bool {
        self.holds.get(name).is_some_and(|hold| !hold.is_gone && &*hold.id == id)
    }

    /// Nobody holds the key any more: it is the follow-up's, or free.
    fn pass_on(&mut self, name: &str, now: UnixMs) {
        let Some(next) = self.holds.remove(name).and_then(|hold| hold.follow_up) else { return };
        let until = self.of[&next].until;
        if is_over(until, now) {
            self.of.remove(&next);
        } else {
            self.holds.insert(name.to_owned(), Hold { id: next, is_gone: false, until, follow_up: None });
        }
    }

    /// As [`Self::pass_on`]; and the task that had it does not know it any more.
    fn free(&mut self, name: &str, now: UnixMs) {
        if let Some(hold) = self.holds.get(name).filter(|hold| !hold.is_gone) {
            self.of.remove(&hold.id.clone());
        }
        self.pass_on(name, now);
    }

    fn free_if_over(&mut self, name: &str, now: UnixMs) {
        if self.holds.get(name).is_some_and(|hold| is_over(hold.until, now)) {
            self.free(name, now);
        }
    }

    /// A task is not there any more. What it had is free if it was forgotten; else it is held on, if its time is not over.
    pub(crate) fn leave(&mut self, id: &str, is_forgotten: bool, now: UnixMs) {
        let Some(Key { name, .. }) = self.of.remove(id) else { return };
        if !self.is_held_by(&name, id) {
            return;
        }
        if is_forgotten {
            self.pass_on(&name, now);
        } else if let Some(hold) = self.holds.get_mut(&name) {
            hold.is_gone = true;
        }
    }

    /// A task that has ended is forgotten with its batch, and follows later.
    pub(crate) fn forget(&mut self, id: &str, now: UnixMs) {
        if let Some(name) = self.of.get(id).map(|key| key.name.clone()).filter(|name| self.is_held_by(name, id)) {
            self.free(&name, now);
        }
    }

    /// The tasks that have a key.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &str> {
        self.holds.values().filter(|hold| !hold.is_gone).map(|hold| &*hold.id)
    }

    /// Whether the time of a key is over.
    pub(crate) fn are_due(&self, now: UnixMs) -> bool {
        self.holds.values().any(|hold| is_over(hold.until, now))
    }

    /// Takes note of keys whose time is over, and which time has freed. Answers how many.
    pub(crate) fn note_ends(&mut self, queue: &Queue, now: UnixMs) -> usize {
        let is_freed = |(name, hold): &(&String, &Hold)| {
            is_over(hold.until, now) && queue.holder_of(name).is_none_or(|holder| holder != task_id(&hold.id))
        };
        let freed: Vec<String> = self.holds.iter().filter(is_freed).map(|(name, _)| name.clone()).collect();
        for name in &freed {
            self.free(name, now);
        }
        freed.len()
    }

    /// Whether a task may have again what it had before it ended.
    pub(crate) fn lets_begin_again(&self, id: &str, now: UnixMs) -> bool {
        let again = self.of.get(id).filter(|key| !is_over(key.until, now));
        again.is_none_or(|key| self.holder(&key.name, now).is_none_or(|(holder, ..)| holder == id))
    }

    /// Whether each key that is held will be free when the time of its holder is over.
    pub(crate) fn is_none_for_ever(&self) -> bool {
        self.holds.values().all(|hold| hold.until.is_some())
    }
}

impl Book {
    /// What a push of a new task, or of one that begins again, finds that wants this key.
    pub(crate) fn find_key(&self, unique: &UniqueSpec, now: UnixMs) -> Found<'_> {
        let Some((holder, is_gone, follow_up)) = self.keys.holder(&unique.key, now) else { return Found::Free };
        if is_gone || !unique.replace {
            return Found::Held(holder);
        }
        let next = follow_up.unwrap_or(holder);
        match self.tasks[next].seen.state {
            State::Claimed => Found::Followed(holder),
            state if state.is_terminal() => Found::Held(holder),
            _ => Found::Replaced(next),
        }
    }

    /// A push whose task is to follow another, as it is meant: that it waits for this, whatever becomes of it.
    pub(crate) fn following(&self, command: &Command, now: UnixMs) -> Option<Command> {
        let Command::Push { task, id, renew, floor } = command else { return None };
        let known = id.as_deref().and_then(|id| self.known(id));
        if known.is_some_and(|known| !(*renew && known.ended_badly())) {
            return None;
        }
        let Found::Followed(holder) = self.find_key(task.unique.as_deref()?, now) else { return None };
        let after = Some(AfterSpec { on: OnSpec::Tasks(vec![holder.to_owned()]), run_anyway: true });
        Some(Command::Push { task: PushSpec { after, ..task.clone() }, id: id.clone(), renew: *renew, floor: *floor })
    }

    /// What a push has found that wants a key, to be counted.
    pub(crate) fn found(&mut self, meant: &Command, answer: &Answer) -> Option<&'static str> {
        let (Command::Push { task, id, .. }, Answer::Pushed { id: answered, added }) = (meant, answer) else { return None };
        let unique = task.unique.as_ref()?;
        self.has_keys = true;
        match *added {
            true if self.known(answered).is_some_and(|known| !known.seen.state.is_terminal()) => Some("tasks that were replaced"),
            true if unique.replace && task.after.is_some() => Some("follow-ups"),
            true => Some("tasks with a key"),
            false if id.as_ref() != Some(answered) => Some("pushes that the holder of a key answered"),
            false => None,
        }
    }

    /// Takes note of what it means to a task's key that the task was in this state, or was not there, and is in another; and of what a
    /// push says of it.
    pub(crate) fn note_key(&mut self, id: &Rc<str>, was: Option<State>, said: &Said<'_>) -> Result<(), String> {
        let (now, state) = (said.now, self.tasks[id].seen.state);
        let pushed = match (said.command, said.answer) {
            (Command::Push { task, .. }, Answer::Pushed { id: pushed, added: true }) if **pushed == **id => Some(task),
            _ => None,
        };
        let of_push = || pushed.and_then(|task| task.unique.as_deref()).map(|unique| Key::of_push(unique, now));
        match (was.is_none_or(State::is_terminal), state.is_terminal()) {
            (true, false) => {
                let again = self.keys.of.remove(id).filter(|key| !is_over(key.until, now));
                let key = if pushed.is_some() { of_push() } else { again };
                key.map_or(Ok(()), |key| self.take_key(id, key, pushed.is_some(), now))
            }
            (false, true) => {
                self.end_key(id, state, now);
                Ok(())
            }
            (false, false) => {
                if let Some(Key { name, until, .. }) = of_push() {
                    self.keys.free_if_over(&name, now);
                    if let Some(hold) = self.keys.holds.get_mut(&name).filter(|hold| hold.id == *id) {
                        hold.until = until;
                    }
                    self.keys.of.entry(id.clone()).and_modify(|key| key.until = until);
                }
                if state != State::Waiting {
                    self.stop_following(id);
                }
                Ok(())
            }
            (true, true) => Ok(()),
        }
    }

    /// The task has the key from now on, or is to have it after the one that has it.
    fn take_key(&mut self, id: &Rc<str>, key: Key, may_follow: bool, now: UnixMs) -> Result<(), String> {
        self.keys.free_if_over(&key.name, now);
        let follows = match self.keys.holds.get_mut(&key.name) {
            None => {
                let hold = Hold { id: id.clone(), is_gone: false, until: key.until, follow_up: None };
                self.keys.holds.insert(key.name.clone(), hold);
                false
            }
            Some(hold) => {
                ensure(may_follow && !hold.is_gone && hold.follow_up.is_none(), "it has a key that another has")?;
                hold.follow_up = Some(id.clone());
                true
            }
        };
        self.keys.of.insert(id.clone(), Key { follows, ..key });
        Ok(())
    }

    /// The task has ended: its key is free or the follow-up's, unless it is held on. One that ended badly would have it again.
    fn end_key(&mut self, id: &Rc<str>, state: State, now: UnixMs) {
        let Some(Key { name, until, .. }) = self.keys.of.get(id).cloned() else { return };
        let is_held = self.keys.is_held_by(&name, id);
        if is_held {
            let has_follow_up = self.keys.holds[&name].follow_up.is_some();
            if state == State::Completed && until.is_some_and(|until| until > now) && !has_follow_up {
                return;
            }
            self.keys.pass_on(&name, now);
        } else if let Some(hold) = self.keys.holds.get_mut(&name).filter(|hold| hold.follow_up.as_ref() == Some(id)) {
            hold.follow_up = None;
        }
        self.stop_following(id);
        if state == State::Completed {
            self.keys.of.remove(id);
        }
    }

    /// It does not depend on the one before it any more.
    fn stop_following(&mut self, id: &Rc<str>) {
        if let Some(key) = self.keys.of.get_mut(id).filter(|key| key.follows)
            && let Some(known) = self.tasks.get_mut(id)
        {
            key.follows = false;
            Rc::make_mut(known).after = None;
        }
    }

    /// Whether keys are held as they are known to be.
    pub(crate) fn describes_keys(&self, queue: &Queue) -> Result<(), String> {
        let keys = &self.keys;
        ensure(queue.key_count() == keys.holds.len(), "a key is free, or held, and should not be")?;
        for (name, hold) in &keys.holds {
            ensure(queue.holder_of(name) == Some(task_id(&hold.id)), &format!("{name} is another's than {}", hold.id))?;
        }
        if !self.has_keys {
            return Ok(());
        }
        for id in self.tasks.keys() {
            let view = queue.view(queue.find(task_id(id)).unwrap(), &Defaults::default());
            let seen = (view.unique, view.unique_until, view.follow_up.map(|next| next.to_string()));
            let key = keys.of.get(id);
            let held = key.filter(|key| keys.is_held_by(&key.name, id)).map(|key| &keys.holds[&key.name]);
            let next = held.and_then(|hold| hold.follow_up.as_deref().map(str::to_owned));
            let known = (key.map(|key| &*key.name), key.and_then(|key| key.until), next);
            ensure(seen == known, &format!("the key of {id} should be {known:?} and is {seen:?}"))?;
        }
        Ok(())
    }
}
