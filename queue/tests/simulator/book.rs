//! What is known of a queue on one history: what its tasks looked like after each command, and what their workers were told.

use crate::batches::{Batch, named};
use crate::events::{Happened, Log};
use crate::groups::{Group, has_groups};
use crate::keys::Keys;
use crate::needs::After;
use crate::node::Sessions;
use crate::rules::{Deed, ensure};
use crate::slots::Schedules;
use crate::support::{Answer, Command, listed, task_id};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::slice;
use taskqueue::{Defaults, Event, MadeId, Ms, Options, Queue, Settings, Slot, State, TaskId, UnixMs};

/// A task as anybody can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) attempt: u32,
    pub(crate) tries: u32,
    pub(crate) priority: u8,
    pub(crate) created: UnixMs,
    /// Due, ready since, deadline, or finished; never, if a claim has no end.
    pub(crate) at: UnixMs,
    pub(crate) session: bool,
    pub(crate) claimed_at: Option<UnixMs>,
    pub(crate) drop_at: Option<UnixMs>,
    pub(crate) expire_at: Option<UnixMs>,
    pub(crate) worker: Option<String>,
    /// Payload or result.
    pub(crate) data: Vec<u8>,
    pub(crate) error: Option<Vec<u8>>,
    pub(crate) checkpoint: Option<Vec<u8>>,
    /// Its own options, over the usual defaults.
    pub(crate) settings: Defaults,
    /// How many it waits for.
    pub(crate) missing: usize,
    pub(crate) batch: Option<String>,
    pub(crate) group: Option<String>,
}

/// How the last claim of a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Never,
    Live,
    Lapsed,
    Voided,
    Completed,
    FailedTo(State),
    Released,
}

/// A task as it is known to be.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) seen: Seen,
    pub(crate) claim: Claim,
    /// When it became ready, as a number.
    pub(crate) place: u64,
    /// Whose its last claim is, or was.
    pub(crate) holder: Option<Rc<str>>,
    /// The lease of its last claim.
    pub(crate) lease: Ms,
    /// When its claim ends however often it is extended.
    pub(crate) timeout_at: Option<UnixMs>,
    /// What it sets for itself.
    pub(crate) options: Options,
    /// What holds for it.
    pub(crate) settings: Defaults,
    /// It had tries left until the queue set fewer: it may be claimed once more.
    pub(crate) has_lost_tries: bool,
    /// It holds its group: it was claimed, and has not ended since.
    pub(crate) holds: bool,
    /// Tells it from others that had or will have its id.
    pub(crate) born: u64,
    pub(crate) after: Option<After>,
    /// How long it is kept when nobody needs it any more; somebody does.
    pub(crate) keep: Option<Ms>,
    /// The birth of its batch.
    pub(crate) batch: Option<u64>,
    /// That is gone, and it is about to follow.
    pub(crate) leaves: bool,
}

/// What clients were told of a task, or that it left the queue.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Pushed(String),
    Claimed(String, u32),
    Completed(String),
    Dropped(String),
    /// A slot of a schedule passed.
    Slot(String, UnixMs),
    /// A schedule, and what it knew, was removed.
    Unscheduled(String),
}

/// A command, its answer, and when.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) command: &'a Command,
    pub(crate) answer: &'a Answer,
    pub(crate) now: UnixMs,
    /// The server's.
    pub(crate) defaults: &'a Defaults,
    /// What the queue sets for its tasks, once the command is done.
    pub(crate) own: Options,
    /// What the node knows of connections.
    pub(crate) sessions: &'a Sessions,
    /// Who was told of one of several that he waits for, and of which.
    pub(crate) told: &'a [(String, usize)],
}

pub(crate) type Tasks = BTreeMap<Rc<str>, Rc<Known>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) tasks: Tasks,
    pub(crate) last_made: MadeId,
    /// By their births.
    pub(crate) batches: BTreeMap<u64, Rc<Batch>>,
    /// The names of batches that were there, as they were allocated.
    pub(crate) gone: Vec<Rc<str>>,
    /// What the queue sets for itself.
    pub(crate) settings: Settings,
    /// The instants of the claims that count for RATE.
    pub(crate) starts: Vec<UnixMs>,
    /// The groups that may have a task claimed, in turn. None if no task has a group.
    pub(crate) turns: Vec<Group>,
    pub(crate) schedules: Schedules,
    pub(crate) keys: Keys,
    /// A push has named a key.
    pub(crate) has_keys: bool,
    /// What happened in this command so far.
    pub(crate) happened: Vec<Happened>,
    pub(crate) log: Log,
    /// The incarnation of the last batch.
    pub(crate) last_batch: u64,
    places: u64,
    pub(crate) births: u64,
}

impl Book {
    /// Takes note of what a command did, if it is what it may do.
    pub(crate) fn observe(&mut self, queue: &Queue, events: &[(Event, Slot)], said: &Said<'_>) -> Result<(), String> {
        let was_due = self.is_due(said.now, said.defaults, said.sessions);
        let mut changed = usize::from(self.note_settings(said));
        let gone = self.note_batches_gone(queue, said)?;
        let before = self.tasks.clone();
        let mut now_there = see(queue);
        let (mut entered, mut waiting) = (Vec::new(), Vec::new());
        for (id, before) in self.in_order(queue, events) {
            let after = now_there.remove(&*id);
            let deed = Deed::of(&id, Some(&before), said);
            if before.leaves && matches!(deed, Deed::Pushed(..)) {
                // It has followed its batch, and another has its id.
                self.leave(&id, false, said.now);
                now_there.extend(after.map(|after| (id.to_string(), after)));
                continue;
            }
            if after.as_ref().is_some_and(|after| before.looks_like(after)) && !deed.must_change() {
                continue;
            }
            let is_anew = matches!(deed, Deed::Pushed(..) | Deed::Replaced(_));
            if let Some(after) = after.as_ref().filter(|after| !is_anew && before.hangs_on_others(after)) {
                if before.seen.state == State::Waiting {
                    // By what has become of the others.
                    waiting.push((id, before, after.clone()));
                    continue;
                }
                changed += 1;
                let next = self.become_of_told(&id, after, said).map_err(|what| format!("{id}: {what}"))?;
                entered.push((next.seen.state == State::Ready).then(|| (UnixMs::NEVER, id.clone())));
                self.note(&id, &before, next, said)?;
                continue;
            }
            changed += 1;
            let told = |what: String| format!("{id}: {what}\n  before {before:?}\n  after {after:?}");
            match &after {
                None => {
                    before.may_go(&deed, said.now).map_err(told)?;
                    self.leave(&id, !matches!(deed, Deed::Time(_)), said.now);
                }
                Some(after) => {
                    let (mut known, enters) = before.become_of(&deed, after, said).map_err(told)?;
                    if enters {
                        entered.push((known.seen.state == State::Ready).then_some(before.seen.at).zip(Some(id.clone())));
                    }
                    if let Deed::Pushed(task, _) = deed {
                        known.after = self.depend_of_push(&id, task, said.now);
                    }
                    self.note(&id, &before, known, said)?;
                }
            }
        }
        for (id, after) in now_there {
            let deed = Deed::of(&id, None, said);
            let mut known = deed.born(&after, said).map_err(|what| format!("{id}: {what}: {after:?}"))?;
            self.births += 1;
            known.born = self.births;
            if let Deed::Pushed(task, _) = deed {
                known.batch = named(task).map(|(name, _)| self.batch_named(name, said.now));
                known.after = self.depend_of_push(&id, task, said.now);
            }
            let id: Rc<str> = id.into();
            entered.push((known.seen.state == State::Ready).then(|| (UnixMs(0), id.clone())));
            self.happen_pushed(&id, known.seen.state);
            self.tasks.insert(id.clone(), Rc::new(known));
            self.note_key(&id, None, said)?;
        }
        self.note_made(&before, said)?;
        if let Some(name) = sealed(said) {
            self.seal(name, said.now);
        }
        let told = self.hear(waiting, said)?;
        let told_nothing = told.is_empty() && said.told.is_empty();
        if matches!(said.command, Command::Tick { .. }) {
            changed += self.keys.note_ends(queue, said.now);
        }
        entered.extend(told.into_iter().map(|(id, is_ready)| is_ready.then_some((UnixMs::NEVER, id))));
        self.keep_what_is_needed(said.now);
        self.settle_batches(queue, events, said.now);
        self.give_places(queue, events, entered.into_iter().flatten().collect(), said)?;
        self.settle_turns(queue, &before, said)?;
        let is_of_tasks = !matches!(said.command, Command::Seal(_) | Command::ForgetBatch(_) | Command::Unschedule(_));
        if let Answer::Count(count) = said.answer {
            ensure(changed == *count || !is_of_tasks, "it did not do to as many tasks as it says")?;
        }
        if let Answer::Left(left) = said.answer {
            ensure(changed + gone > 0 || !told_nothing || !was_due, "a tick did nothing of what is due")?;
            ensure(
                *left == (self.is_due(said.now, said.defaults, said.sessions) || self.has_slots_due(said.now)),
                "a tick does not know whether it left something",
            )?;
        }
        Ok(())
    }

    /// All tasks, in the order in which the queue says that something last happened to them: one that begins again depends on what the
    /// others are by then.
    fn in_order(&self, queue: &Queue, events: &[(Event, Slot)]) -> Vec<(Rc<str>, Rc<Known>)> {
        let mut tasks: Vec<_> = self.tasks.iter().map(|(id, known)| (id.clone(), known.clone())).collect();
        let is_of = |found, (event, slot): (Event, Slot)| slot == found && !matches!(event, Event::Batch | Event::Seal);
        tasks.sort_by_cached_key(|(id, _)| {
            queue.find(task_id(id)).and_then(|found| events.iter().rposition(|&event| is_of(found, event)))
        });
        tasks
    }

    /// Takes note of what left the queue because it was not to be kept.
    pub(crate) fn observe_drops(&mut self, queue: &Queue, now: UnixMs) -> Result<(), String> {
        for (id, known) in self.tasks.clone() {
            if queue.find(task_id(&id)).is_none() && known.may_go(&Deed::Time(None), now).is_ok() {
                self.leave(&id, false, now);
            }
        }
        self.note_excess(queue, now)?;
        if !has_groups(&self.tasks) {
            self.turns.clear();
        }
        self.describes(queue)
    }

    /// Whether the queue looks as it is known to.
    pub(crate) fn describes(&self, queue: &Queue) -> Result<(), String> {
        let seen = see(queue);
        ensure(
            seen.len() == self.tasks.len() && seen.keys().map(String::as_str).eq(self.tasks.keys().map(|id| &**id)),
            "a task is lost or came from nowhere",
        )?;
        match seen.iter().zip(self.tasks.values()).find(|((_, seen), known)| **seen != known.seen) {
            Some(((id, seen), known)) => Err(format!("{id} is not what it was\n  known {:?}\n  seen  {seen:?}", known.seen)),
            None => {
                ensure(queue.settings() == self.settings, "the settings are not what they were")?;
                self.describes_groups(queue)?;
                self.describes_keys(queue)?;
                self.describes_schedules(queue)?;
                self.describes_batches(queue)
            }
        }
    }

    /// Whether time has something to do, but for what is pushed by schedules.
    pub(crate) fn is_due(&self, now: UnixMs, defaults: &Defaults, sessions: &Sessions) -> bool {
        self.has_news()
            || self.has_settings_due(now)
            || self.keys.are_due(now)
            || self.has_batches_due(now, defaults)
            || self.tasks.iter().any(|(id, known)| {
                let seen = &known.seen;
                let is_open = || sessions.get(&(id.to_string(), seen.attempt)).is_some_and(|&(_, is_open)| is_open);
                let by_state = match seen.state {
                    State::Scheduled | State::Claimed => seen.at <= now,
                    state => state.is_terminal() && seen.drop_at.is_some_and(|at| at <= now),
                };
                by_state || (seen.session && !is_open()) || seen.expire_at.is_some_and(|at| at <= now)
            })
    }

    /// The ready task to be claimed now.
    pub(crate) fn next(&self, now: UnixMs) -> Option<(&str, &Known)> {
        if self.gives_nothing(now) {
            return None;
        }
        self.next_in_turn(now)
    }

    /// The queue is gone, and everything in it.
    pub(crate) fn without_queue(&self) -> Self {
        let batches = self.batches.values().map(|batch| batch.name.clone());
        Self { gone: self.gone.iter().cloned().chain(batches).collect(), births: self.births, ..Self::default() }
    }

    /// The task of that id, unless it is about to follow its batch, and so as good as gone.
    pub(crate) fn known(&self, id: &str) -> Option<&Known> {
        self.tasks.get(id).map(|known| &**known).filter(|known| !known.leaves)
    }

    /// A task is not there any more: it was forgotten, or dropped.
    pub(crate) fn leave(&mut self, id: &str, is_forgotten: bool, now: UnixMs) {
        if let Some((id, known)) = self.tasks.remove_entry(id) {
            self.happen_dropped(&id, &known);
            self.keys.leave(&id, is_forgotten, now);
            self.goes(known.born);
        }
    }

    /// A made id is larger than any before. A push with a key may be answered by what there was.
    fn note_made(&mut self, before: &Tasks, said: &Said<'_>) -> Result<(), String> {
        let ids = match (said.command, said.answer) {
            (Command::Push { id: None, .. }, Answer::Pushed { id, added: true }) if !before.contains_key(&**id) => {
                slice::from_ref(id)
            }
            (_, Answer::PushedAll(ids)) => ids,
            _ => &[],
        };
        for id in ids {
            let TaskId::Made(made) = task_id(id) else { return Err("a name was made".to_owned()) };
            ensure(made > self.last_made, "a made id went back")?;
            self.last_made = made;
        }
        Ok(())
    }

    /// Tasks that became ready stand in line in the order in which the queue says that they did; delays ripen by their due times.
    fn give_places(
        &mut self,
        queue: &Queue,
        events: &[(Event, Slot)],
        mut entered: Vec<(UnixMs, Rc<str>)>,
        said: &Said<'_>,
    ) -> Result<(), String> {
        let is_of =
            |found, (event, slot): (Event, Slot)| slot == found && !matches!(event, Event::Tell | Event::Batch | Event::Seal);
        let when = |id: &str| queue.find(task_id(id)).and_then(|found| events.iter().rposition(|&event| is_of(found, event)));
        entered.sort_by_key(|(_, id)| when(id));
        let in_order = entered.is_sorted_by_key(|&(due, _)| due) || !matches!(said.command, Command::Tick { .. });
        ensure(in_order, "delays did not ripen in their order")?;
        for (_, id) in entered {
            self.places += 1;
            if let Some(known) = self.tasks.get_mut(&id) {
                Rc::make_mut(known).place = self.places;
            }
        }
        Ok(())
    }
}

/// The batch that a command sealed, if it did.
fn sealed<'a>(said: &Said<'a>) -> Option<&'a str> {
    match (said.command, said.answer) {
        (_, Answer::Refused(_)) => None,
        (Command::Push { task, .. } | Command::PushAll { task, .. }, _) => {
            named(task).filter(|&(_, seal)| seal).map(|(name, _)| name)
        }
        (Command::Seal(name), _) => Some(name),
        _ => None,
    }
}

/// All tasks of a queue as they look.
fn see(queue: &Queue) -> BTreeMap<String, Seen> {
    let ids = State::ALL.into_iter().flat_map(|state| listed(queue, state));
    ids.map(|id| {
        let view = queue.view(queue.find(task_id(&id)).unwrap(), &Defaults::default());
        let seen = Seen {
            state: view.state,
            attempt: view.attempt,
            tries: view.tries,
            priority: view.priority,
            created: view.created,
            at: view.instant().unwrap_or(UnixMs::NEVER),
            session: view.session,
            claimed_at: view.claimed_at,
            drop_at: view.drop_at,
            expire_at: view.expire_at,
            worker: view.worker.filter(|_| view.state == State::Claimed).map(str::to_owned),
            data: view.result.or(view.payload).unwrap().to_vec(),
            error: view.error.map(<[u8]>::to_vec),
            checkpoint: view.checkpoint.map(<[u8]>::to_vec),
            settings: view.settings,
            missing: queue.after_view(queue.find(task_id(&id)).unwrap()).map_or(0, |after| after.missing() as usize),
            batch: view.batch.map(str::to_owned),
            group: view.group.map(str::to_owned),
        };
        (id, seen)
    })
    .collect()
}
