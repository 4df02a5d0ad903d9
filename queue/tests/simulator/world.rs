//! The servers and their clients, and what happens to them step by step.

mod peace;
mod reading;

use crate::book::{Fact, Known, Said};
use crate::bug::Bug;
use crate::describe::describe;
use crate::history::{Acknowledged, facts, review};
use crate::limits::Setting;
use crate::log_readers::LogReader;
use crate::node::{Entry, Node};
use crate::plan::{LOG_READERS, Plan, Step, Verdict};
use crate::readers::Reader;
use crate::rules::ensure;
use crate::slots::{self, slot_id};
use crate::support::{self, AfterSpec, Answer, Command, OnSpec, Passed, PushSpec, START};
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::effect::{Change, Effect, unpack};
use taskqueue::{Defaults, EventsCursor, Journal, MadeId, Queue, SlotOutcome, TaskId, Txn, op};

/// A claim that a worker knows of, and what it has answered.
#[derive(Clone, Debug)]
struct Held {
    id: String,
    attempt: u32,
    answered: Option<Command>,
}

/// How often what happened.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

pub(crate) struct World {
    nodes: Vec<Node>,
    master: usize,
    /// Time everywhere; each node's clock is off from it in its own way.
    time_ms: u64,
    defaults: Defaults,
    workers: [Vec<Held>; 3],
    /// The node that each worker is connected to, and the connection's number there.
    connections: [Option<(usize, u64)>; 3],
    /// What producers have said, and may say again.
    pushes: Vec<Command>,
    /// What was said of schedules, and may be said again.
    schedules: Vec<Command>,
    /// The ids of all tasks that there ever were, those that were spoken of last at the end: so that it comes to more than one thing.
    ids: Vec<String>,
    acknowledged: Vec<Acknowledged>,
    readers: Vec<Reader>,
    log_readers: [LogReader; LOG_READERS],
    bug: Option<Bug>,
    /// How often each fault happened, and how much there was besides.
    pub(crate) counts: Counts,
    /// Readable lines of what happened, if anyone wants to read them.
    pub(crate) told: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: &Plan, bug: Option<Bug>) -> Self {
        Self {
            nodes: (0..plan.nodes).map(|_| Node::default()).collect(),
            master: 0,
            time_ms: 60_000,
            defaults: plan.defaults,
            workers: Default::default(),
            connections: [None; 3],
            pushes: Vec::new(),
            schedules: Vec::new(),
            ids: Vec::new(),
            acknowledged: Vec::new(),
            readers: Reader::all(),
            log_readers: [LogReader::new(EventsCursor::Oldest), LogReader::new(EventsCursor::End)],
            bug,
            counts: Counts::new(),
            told: None,
        }
    }

    /// All that is planned, then peace, then a look back.
    pub(crate) fn live(&mut self, plan: &Plan) -> Result<(), String> {
        plan.steps.iter().try_for_each(|step| self.step(step))?;
        // The peace that follows has no faults.
        let counts = self.counts.clone();
        self.settle()?;
        self.counts = counts;
        let last = self.nodes[self.master].log.clone();
        self.nodes.iter().try_for_each(|node| review(&node.log, &[]))?;
        review(&last, &self.acknowledged)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        if step.is_lost() {
            self.count("lost answers");
        }
        match step.clone() {
            Step::Push { task, id, renew, lost } => {
                let id = id.map(|id| self.client_id(id));
                let task = self.with_dependencies(task);
                self.push(Command::Push { task, id, renew, floor: MadeId::default() }, lost)
            }
            Step::PushMany { task, payloads, lost } => self.push_many(task, payloads, lost),
            Step::PushAgain { pick } => {
                let said = self.pushes.iter().rev().nth(pick).cloned();
                said.map_or(Ok(()), |push| self.push(push, false))
            }
            Step::Claim { worker, lease, session, lost } => {
                let session = session.then(|| self.connection(worker));
                self.claim(worker, lease, session, lost)
            }
            Step::Extend { worker, claim, lease, checkpoint } => self.with_claim(worker, claim, |held| Command::Extend {
                id: held.id.clone(),
                attempt: Some(held.attempt),
                lease,
                checkpoint,
            }),
            Step::Answer { worker, claim, verdict, bare } => self.with_claim(worker, claim, |held| {
                let command = verdict.command(&held.id, (!bare).then_some(held.attempt));
                held.answered = Some(command.clone());
                command
            }),
            Step::AnswerAgain { worker, claim } => {
                let held = self.workers[worker].iter().rev().nth(claim);
                let said = held.and_then(|held| held.answered.clone());
                said.map_or(Ok(()), |command| self.say(&command).map(drop))
            }
            Step::Crash { worker } => {
                self.crash(worker);
                Ok(())
            }
            Step::HangUp { worker } => {
                self.hang_up(worker);
                Ok(())
            }
            Step::Cancel(pick) => {
                self.say(&Command::Cancel(self.pick_of(pick, |known| !known.seen.state.is_terminal()))).map(drop)
            }
            Step::Retry(pick) => self.say(&Command::Retry(self.pick_of(pick, Known::ended_badly))).map(drop),
            Step::Forget(pick) => {
                self.say(&Command::Forget(self.pick_of(pick, |known| known.seen.state.is_terminal()))).map(drop)
            }
            Step::CancelAll(count) => self.say(&Command::CancelAll(count)).map(drop),
            Step::RetryAll(count) => self.say(&Command::RetryAll(count)).map(drop),
            Step::ForgetAll(count) => self.say(&Command::ForgetAll(count)).map(drop),
            Step::Set(changes) => self.set(&changes),
            Step::Seal(batch) => self.say(&Command::Seal(batch.to_owned())).map(drop),
            Step::CancelBatch(batch, count) => self.say(&Command::CancelBatch(batch.to_owned(), count)).map(drop),
            Step::RetryBatch(batch, count) => self.say(&Command::RetryBatch(batch.to_owned(), count)).map(drop),
            Step::ForgetBatch(batch) => self.say(&Command::ForgetBatch(batch.to_owned())).map(drop),
            Step::Collect { reader, count, anew, lost } => self.begin_or_collect(reader, count, anew, lost),
            Step::ReadEvents { reader, node, count, anew, lost } => self.begin_or_read(reader, node, count, anew, lost),
            Step::Delete { events } => self.delete(events),
            Step::Schedule(name, spec) => self.schedule(Command::Schedule(name.to_owned(), spec)),
            Step::ScheduleAgain(pick) => {
                let said = self.schedules.iter().rev().nth(pick).cloned();
                said.map_or(Ok(()), |schedule| self.schedule(schedule))
            }
            Step::Unschedule(name) => self.say(&Command::Unschedule(name.to_owned())).map(drop),
            Step::Tick { budget, has_room } => {
                self.fire(budget, has_room)?;
                self.tick(budget)
            }
            Step::Wait { ms } => {
                self.time_ms += ms;
                Ok(())
            }
            Step::Jump { node, ms } => {
                let node = node % self.nodes.len();
                self.tell(|| format!("the clock of node {node} jumps by {ms} ms"));
                self.nodes[node].jump(ms);
                self.count("jumps of a clock");
                Ok(())
            }
            Step::Replicate { node, commands } => self.replicate(node % self.nodes.len(), commands),
            Step::Sync { node } => {
                let node = node % self.nodes.len();
                self.tell(|| format!("node {node} has its AOF on disk"));
                self.nodes[node].sync();
                Ok(())
            }
            Step::Save { node } => {
                let node = node % self.nodes.len();
                self.tell(|| format!("node {node} saves a snapshot"));
                self.nodes[node].save(self.bug)
            }
            Step::Restart { node, aof, unsynced } => self.restart(node % self.nodes.len(), aof, unsynced),
            Step::Promote { node } => self.promote(node % self.nodes.len()),
        }
    }

    fn set(&mut self, changes: &[Setting]) -> Result<(), String> {
        let node = &self.nodes[self.master];
        let (mut settings, now) = (node.book().settings, node.now(self.time_ms));
        for change in changes {
            change.change(&mut settings, now);
        }
        self.count("changes of settings");
        self.say(&Command::Set(settings)).map(drop)
    }

    /// The queue is deleted, and with `events` one is made anew that keeps so many.
    fn delete(&mut self, events: Option<u32>) -> Result<(), String> {
        let node = &mut self.nodes[self.master];
        let (at, book) = (node.now(self.time_ms), node.book());
        let tasks = book.tasks.keys().map(|id| Fact::Dropped(id.to_string()));
        let facts = tasks.chain(book.schedules.keys().cloned().map(Fact::Unscheduled)).collect();
        node.queue = Queue::default();
        node.sessions.clear();
        let (snapshot, book) = (node.queue.snapshot(), book.without_queue());
        node.log.push(Rc::new(Entry { at, deletes: true, packed: Vec::new(), snapshot, book, facts }));
        self.tell(|| "the queue is deleted".to_owned());
        self.count("queues that were deleted");
        events.map_or(Ok(()), |events| self.set(&[Setting::Events(events)]))
    }

    fn push(&mut self, command: Command, lost: bool) -> Result<(), String> {
        let Command::Push { task, id, renew, .. } = command else { return Ok(()) };
        let floor = self.nodes[self.master].last_made;
        let command = Command::Push { task, id, renew, floor };
        let answer = self.say(&command)?;
        self.pushes.push(command);
        if let Answer::Pushed { id, added } = answer {
            self.note_pushed(&id, added, added && made_here(&self.pushes), lost);
        }
        Ok(())
    }

    fn push_many(&mut self, task: PushSpec, payloads: Vec<Vec<u8>>, lost: bool) -> Result<(), String> {
        let (mut task, floor) = (self.with_dependencies(task), self.nodes[self.master].last_made);
        task.unique = None;
        if let Answer::PushedAll(ids) = self.say(&Command::PushAll { task, payloads, floor })? {
            for id in ids {
                self.note_pushed(&id, true, true, lost);
            }
        }
        Ok(())
    }

    fn note_pushed(&mut self, id: &str, added: bool, made: bool, lost: bool) {
        let node = &mut self.nodes[self.master];
        if let (TaskId::Made(made), true) = (support::task_id(id), made) {
            // A push with a key may be answered by what was made before.
            node.last_made = node.last_made.max(made);
        }
        // What holds a key may be gone.
        if !lost && (added || node.log.last().is_some_and(|entry| entry.book.tasks.contains_key(id))) {
            self.acknowledged.push(Acknowledged { id: id.to_owned(), at: node.log.len(), entry: node.log.last().cloned() });
        }
        if added {
            self.ids.retain(|known| known != id);
            self.ids.push(id.to_owned());
        }
    }

    /// The tasks that are meant, each once.
    fn with_dependencies(&self, mut task: PushSpec) -> PushSpec {
        if let Some(AfterSpec { on, .. }) = &mut task.after
            && let OnSpec::Picks(picks) = on
        {
            let mut ids: Vec<String> = picks.iter().map(|&pick| self.pick(pick)).collect();
            ids.sort();
            ids.dedup();
            *on = OnSpec::Tasks(ids);
        }
        task
    }

    /// The worker's connection to the master, for which it leaves another node's.
    fn connection(&mut self, worker: usize) -> u64 {
        match self.connections[worker] {
            Some((node, connection)) if node == self.master => connection,
            _ => {
                self.hang_up(worker);
                let connection = self.nodes[self.master].connect();
                self.connections[worker] = Some((self.master, connection));
                connection
            }
        }
    }

    fn crash(&mut self, worker: usize) {
        self.tell(|| format!("worker-{worker} crashes"));
        self.count("crashes of workers");
        self.workers[worker].clear();
        self.hang_up(worker);
    }

    fn hang_up(&mut self, worker: usize) {
        if let Some((node, connection)) = self.connections[worker].take() {
            self.tell(|| format!("connection {connection} to node {node}, of worker-{worker}, is closed"));
            self.nodes[node].close(connection);
        }
    }

    fn claim(&mut self, worker: usize, lease: Option<taskqueue::Ms>, session: Option<u64>, lost: bool) -> Result<(), String> {
        let answer = self.say(&Command::Claim { worker: format!("worker-{worker}"), lease, session })?;
        if let (Answer::Claimed(Some((id, _, attempt, _))), false) = (answer, lost) {
            self.workers[worker].push(Held { id, attempt, answered: None });
        }
        Ok(())
    }

    /// A worker says something for a claim that it knows of, the latest first.
    fn with_claim(&mut self, worker: usize, claim: usize, what: impl FnOnce(&mut Held) -> Command) -> Result<(), String> {
        match self.workers[worker].iter_mut().rev().nth(claim).map(what) {
            Some(command) => self.say(&command).map(drop),
            None => Ok(()),
        }
    }

    fn schedule(&mut self, command: Command) -> Result<(), String> {
        self.say(&command)?;
        self.schedules.push(command);
        Ok(())
    }

    /// What schedules ask for is pushed, at most so many slots.
    fn fire(&mut self, slots: usize, has_room: bool) -> Result<(), String> {
        for _ in 0..slots {
            let node = &self.nodes[self.master];
            let now = node.now(self.time_ms);
            if !node.book().has_slots_due(now) {
                break;
            }
            ensure(node.queue.soonest() <= now, "a slot is due, and the queue does not want to be looked at")?;
            let answer = self.say(&Command::Fire { has_room })?;
            if let Answer::Passed(Some(Passed { name, slot, missed, outcome, .. })) = answer {
                self.count(match outcome {
                    SlotOutcome::Fired => "slots of schedules",
                    SlotOutcome::Skipped | SlotOutcome::Missed => "slots that were skipped or missed",
                });
                *self.counts.entry("slots that were skipped or missed").or_default() += missed;
                let id = slot_id(&name, slot);
                if self.nodes[self.master].book().tasks.contains_key(&*id) && !self.ids.contains(&id) {
                    self.note_pushed(&id, true, false, true);
                }
            }
        }
        Ok(())
    }

    /// Time is looked at when the queue asked for it, as the server's timer does.
    fn tick(&mut self, budget: usize) -> Result<(), String> {
        let node = &self.nodes[self.master];
        let now = node.now(self.time_ms);
        if node.queue.soonest() > now && node.book().is_due(now, &self.defaults, &node.sessions) {
            return Err(format!(
                "something is due, and the queue does not want to be looked at before {}",
                node.queue.soonest().0
            ));
        }
        self.say(&Command::Tick { budget }).map(drop)
    }

    fn replicate(&mut self, node: usize, commands: usize) -> Result<(), String> {
        if node == self.master {
            return Ok(());
        }
        let before = self.nodes[node].log.len();
        let (mut replica, bug) = (std::mem::take(&mut self.nodes[node]), self.bug);
        let outcome = replica.replicate(&self.nodes[self.master], commands, bug);
        let after = replica.log.len();
        self.nodes[node] = replica;
        if after < before {
            self.count("replicas that gave up another history");
        }
        self.tell(|| format!("node {node} replicates, from command {before} to {after}"));
        outcome
    }

    fn restart(&mut self, node: usize, aof: bool, unsynced: usize) -> Result<(), String> {
        let before = self.nodes[node].log.len();
        for connection in self.connections.iter_mut().filter(|connection| connection.is_some_and(|(to, _)| to == node)) {
            *connection = None;
        }
        let outcome = self.nodes[node].restart(aof, unsynced, self.bug);
        let after = self.nodes[node].log.len();
        self.tell(|| format!("node {node} restarts, and has {after} of {before} commands"));
        self.count("crashes of a node");
        if after < before {
            self.count("crashes of a node that lost commands");
        }
        outcome
    }

    fn promote(&mut self, node: usize) -> Result<(), String> {
        let (had, has) = (self.nodes[self.master].log.len(), self.nodes[node].log.len());
        self.tell(|| format!("node {node} becomes the master with {has} commands, the last one had {had}"));
        if node != self.master {
            self.count("failovers");
        }
        if has < had {
            self.count("failovers that lost commands");
        }
        self.master = node;
        self.nodes[node].verify()
    }

    /// Says a command to the master, holds the answer and what it did against what is known, and puts it into the history.
    fn say(&mut self, command: &Command) -> Result<Answer, String> {
        let node = &mut self.nodes[self.master];
        let (now, mut book) = (node.now(self.time_ms), node.book());
        let mut journal = Journal { notices: Some(Vec::new()), ..Journal::default() };
        let mut txn = Txn::new(&mut node.queue, &mut journal, now);
        let answer = support::say(&mut txn, &self.defaults, command);
        if let (Command::Claim { session, .. }, Answer::Claimed(Some((id, _, attempt, _)))) = (command, &answer) {
            let key = (id.clone(), *attempt);
            match session {
                Some(connection) => node.sessions.insert(key, (*connection, true)),
                None => node.sessions.remove(&key),
            };
        }
        let line = || format!("{:>6} node {}: {}", now.0, self.master, describe(command, &answer, now));
        if let Some(told) = &mut self.told {
            told.push(line());
        }
        let following = book.following(command, now);
        let asked = following.as_ref().unwrap_or(command);
        let expected = book.expected(asked, &answer, now);
        if answer != expected {
            return Err(format!("{}: the answer should be {expected:?}", line()));
        }
        // What schedules push is as if a client pushed it.
        let of_slot = book.pushed_for_slot(&answer, now);
        let (meant, told_so) = of_slot.as_ref().map_or((asked, &answer), |(push, answer)| (push, answer));
        let found = book.found(meant, told_so);
        let there: Vec<(Rc<str>, u64)> = book.tasks.iter().map(|(id, known)| (id.clone(), known.born)).collect();
        let (told, events) = (told(&txn), txn.journal().events.len());
        let own = if let Command::Set(settings) = command { settings.options } else { book.settings.options };
        let said =
            Said { command: meant, answer: told_so, now, defaults: &self.defaults, own, sessions: &node.sessions, told: &told };
        book.observe(txn.queue(), &txn.journal().events, &said).map_err(|what| format!("{}: {what}", line()))?;
        book.note_schedules(command, &answer);
        // Now and then, so that commands meet what has not been told.
        let count = usize::from(node.log.len().is_multiple_of(10));
        op::tell(&mut txn, count, &self.defaults);
        if txn.journal().events.len() > events {
            let more = self::told(&txn).split_off(told.len());
            let said = Said { command: &Command::Tick { budget: count }, answer: &Answer::Done, told: &more, ..said };
            book.observe(txn.queue(), &txn.journal().events[events..], &said)
                .map_err(|what| format!("{}, then: {what}", line()))?;
        }
        txn.drop_unkept();
        book.observe_drops(&node.queue, now).map_err(|what| format!("{}: {what}", line()))?;
        let notices = journal.notices.take().unwrap_or_default();
        book.note_events(&node.queue, &notices, now).map_err(|what| format!("{}: {what}", line()))?;
        if answer == Answer::Claimed(None) {
            book.will_be_woken(&node.queue, now).map_err(|what| format!("{}: {what}", line()))?;
        }
        let snapshot = node.queue.snapshot();
        if !journal.packed.is_empty() {
            let facts = facts(meant, told_so, &there, &book).into_iter().chain(slots::fact(command, &answer)).collect();
            let (packed, snapshot) = (journal.packed.bytes().to_vec(), snapshot.clone());
            node.log.push(Rc::new(Entry { at: now, deletes: false, packed, snapshot, book, facts }));
        }
        node.continues_with(&snapshot).map_err(|what| format!("{}: {what}", line()))?;
        self.count("commands");
        if let Some(found) = found {
            self.count(found);
        }
        if let Some(id) = spoken_of(command, &answer) {
            self.move_to_the_end(id);
        }
        Ok(answer)
    }

    /// Ids that clients give: names, and some of the form and time that the queue makes.
    fn client_id(&self, number: usize) -> String {
        match number {
            0..5 => format!("name-{number}"),
            // What a schedule is about to push, if there is one.
            5 => match self.nodes[self.master].queue.schedules().next() {
                Some(schedule) => slot_id(schedule.name, schedule.progress.next),
                None => "name-5".to_owned(),
            },
            6 => format!("{}-0", START.0 + 60_100),
            _ => format!("{}-1", self.nodes[self.master].now(self.time_ms).0),
        }
    }

    fn move_to_the_end(&mut self, id: &str) {
        if let Some(place) = self.ids.iter().position(|known| known == id) {
            self.ids[place..].rotate_left(1);
        }
    }

    /// The latest task is 0.
    fn pick(&self, pick: usize) -> String {
        self.ids.iter().rev().nth(pick).cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// The latest task of some, or if they are fewer, of all: it is mostly those that a command is meant for.
    fn pick_of(&self, pick: usize, which: impl Fn(&Known) -> bool) -> String {
        let book = self.nodes[self.master].book();
        let meant = |id: &&String| book.known(id).is_some_and(&which);
        self.ids.iter().rev().filter(meant).nth(pick).cloned().unwrap_or_else(|| self.pick(pick))
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(told) = &mut self.told {
            told.push(format!("       {}", line()));
        }
    }
}

impl Verdict {
    fn command(self, id: &str, attempt: Option<u32>) -> Command {
        let id = id.to_owned();
        match self {
            Self::Complete { result, retain } => Command::Complete { id, attempt, result, retain },
            Self::Fail { error, next, dice } => Command::Fail { id, attempt, error, next, dice },
            Self::Release { delay } => Command::Release { id, attempt, delay },
        }
    }
}

/// Who has been told of one of several that he waits for, and of which.
fn told(txn: &Txn<'_>) -> Vec<(String, usize)> {
    let effects = unpack(txn.journal().packed.bytes()).flatten();
    let told = effects.filter_map(|effect| match effect {
        Effect::Changed(id, Change::Told { dependency }) => Some((id.to_string(), dependency as usize)),
        _ => None,
    });
    told.collect()
}

/// Whether the last push had its id made.
fn made_here(pushes: &[Command]) -> bool {
    matches!(pushes.last(), Some(Command::Push { id: None, .. }))
}

/// The task that a command was about.
fn spoken_of<'a>(command: &'a Command, answer: &'a Answer) -> Option<&'a str> {
    match (command, answer) {
        (_, Answer::Claimed(Some((id, ..))))
        | (
            Command::Complete { id, .. }
            | Command::Fail { id, .. }
            | Command::Release { id, .. }
            | Command::Cancel(id)
            | Command::Retry(id),
            _,
        ) => Some(id),
        _ => None,
    }
}
