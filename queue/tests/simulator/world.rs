//! The servers and their clients, and what happens to them step by step.

use crate::book::{Fact, Said};
use crate::bug::Bug;
use crate::describe::describe;
use crate::history::{Acknowledged, review};
use crate::node::{Entry, Node};
use crate::plan::{Plan, Step, Verdict};
use crate::support::{self, AfterSpec, Answer, Command, OnSpec, PushSpec, START};
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::effect::{Change, Effect, unpack};
use taskqueue::{Defaults, Journal, MadeId, State, TaskId, Txn, UnixMs, op};

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
    /// The ids of all tasks that there ever were.
    ids: Vec<String>,
    acknowledged: Vec<Acknowledged>,
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
            ids: Vec::new(),
            acknowledged: Vec::new(),
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
        if matches!(step, Step::Push { lost: true, .. } | Step::Claim { lost: true, .. }) {
            self.count("lost answers");
        }
        match step.clone() {
            Step::Push { task, id, renew, lost } => {
                let id = id.map(|id| self.client_id(id));
                let task = self.with_dependencies(task);
                self.push(Command::Push { task, id, renew, floor: MadeId::default() }, lost)
            }
            Step::PushAgain { pick } => match self.pushes.iter().rev().nth(pick).cloned() {
                Some(push) => self.push(push, false),
                None => Ok(()),
            },
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
                match held.and_then(|held| held.answered.clone()) {
                    Some(command) => self.say(&command).map(drop),
                    None => Ok(()),
                }
            }
            Step::Crash { worker } => {
                self.tell(|| format!("worker-{worker} crashes"));
                self.count("crashes of workers");
                self.workers[worker].clear();
                self.hang_up(worker);
                Ok(())
            }
            Step::HangUp { worker } => {
                self.hang_up(worker);
                Ok(())
            }
            Step::Cancel(pick) => self.say(&Command::Cancel(self.pick(pick))).map(drop),
            Step::Retry(pick) => self.say(&Command::Retry(self.pick(pick))).map(drop),
            Step::Forget(pick) => self.say(&Command::Forget(self.pick(pick))).map(drop),
            Step::CancelAll(count) => self.say(&Command::CancelAll(count)).map(drop),
            Step::RetryAll(count) => self.say(&Command::RetryAll(count)).map(drop),
            Step::ForgetAll(count) => self.say(&Command::ForgetAll(count)).map(drop),
            Step::Tick { budget } => self.tick(budget),
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
                self.nodes[node].save();
                Ok(())
            }
            Step::Restart { node, aof, unsynced } => self.restart(node % self.nodes.len(), aof, unsynced),
            Step::Promote { node } => self.promote(node % self.nodes.len()),
        }
    }

    fn push(&mut self, command: Command, lost: bool) -> Result<(), String> {
        let Command::Push { task, id, renew, .. } = command else { return Ok(()) };
        let floor = self.nodes[self.master].last_made;
        let command = Command::Push { task, id, renew, floor };
        let answer = self.say(&command)?;
        self.pushes.push(command);
        let Answer::Pushed { id, added } = answer else { return Ok(()) };
        let node = &mut self.nodes[self.master];
        if let (TaskId::Made(made), true) = (support::task_id(&id), added && made_here(&self.pushes)) {
            node.last_made = made;
        }
        if !lost {
            self.acknowledged.push(Acknowledged { id: id.clone(), at: node.log.len(), entry: node.log.last().cloned() });
        }
        if added {
            self.ids.retain(|known| *known != id);
            self.ids.push(id);
        }
        Ok(())
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

    /// Time is looked at when the queue asked for it, as the server's timer does.
    fn tick(&mut self, budget: usize) -> Result<(), String> {
        let node = &self.nodes[self.master];
        let now = node.now(self.time_ms);
        if node.queue.soonest() > now && node.book().is_due(now, &node.sessions) {
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

    /// Faults end, workers are well and time passes: every task comes to its end, and every node to the same queue.
    fn settle(&mut self) -> Result<(), String> {
        self.tell(|| "peace".to_owned());
        (0..self.workers.len()).for_each(|worker| self.hang_up(worker));
        for _ in 0..2_000 {
            let node = &self.nodes[self.master];
            let (now, soonest) = (node.now(self.time_ms), node.queue.soonest());
            let open: usize =
                State::ALL.into_iter().filter(|state| !state.is_terminal()).map(|state| node.queue.count(state)).sum();
            if open == 0 {
                return self.agree();
            }
            if soonest <= now {
                self.tick(1)?;
            } else if node.queue.has_ready() {
                let answer = self.say(&Command::Claim { worker: "well".to_owned(), lease: None, session: None })?;
                let Answer::Claimed(Some((id, _, attempt, _))) = answer else { continue };
                let (attempt, result) = (Some(attempt), b"well".to_vec());
                self.say(&Command::Complete { id, attempt, result, retain: None })?;
            } else if soonest == UnixMs::NEVER {
                return Err(format!("{open} tasks have not ended, and nothing will happen to them"));
            } else {
                self.time_ms += soonest.since(now).0;
            }
        }
        Err("tasks do not come to their end".to_owned())
    }

    /// All nodes have the master's queue, also after a restart.
    fn agree(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.replicate(node, usize::MAX)?;
            self.nodes[node].sync();
            self.restart(node, true, 0)?;
        }
        Ok(())
    }

    /// Says a command to the master, holds the answer and what it did against what is known, and puts it into the history.
    fn say(&mut self, command: &Command) -> Result<Answer, String> {
        let node = &mut self.nodes[self.master];
        let (now, mut book, mut journal) = (node.now(self.time_ms), node.book(), Journal::default());
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
        let expected = book.expected(command, &answer, now);
        if answer != expected {
            return Err(format!("{}: the answer should be {expected:?}", line()));
        }
        let there: Vec<String> = book.tasks.keys().map(std::string::ToString::to_string).collect();
        let (told, events) = (told(&txn), txn.journal().events.len());
        let said = Said { command, answer: &answer, now, defaults: &self.defaults, sessions: &node.sessions, told: &told };
        book.observe(txn.queue(), &txn.journal().events, &said).map_err(|what| format!("{}: {what}", line()))?;
        // Now and then, so that commands meet what has not been told.
        let count = usize::from(node.log.len().is_multiple_of(5));
        op::tell(&mut txn, count, &self.defaults);
        let more = self::told(&txn).split_off(told.len());
        let said = Said { command: &Command::Tick { budget: count }, answer: &Answer::Done, told: &more, ..said };
        book.observe(txn.queue(), &txn.journal().events[events..], &said).map_err(|what| format!("{}, then: {what}", line()))?;
        txn.drop_unkept();
        book.observe_drops(&node.queue, now).map_err(|what| format!("{}: {what}", line()))?;
        if !journal.packed.is_empty() {
            let dropped = there.into_iter().chain(pushed(&answer)).filter(|id| !book.tasks.contains_key(id.as_str()));
            let facts = fact(command, &answer).into_iter().chain(dropped.map(Fact::Dropped)).collect();
            let (packed, snapshot) = (journal.packed.bytes().to_vec(), node.queue.snapshot());
            node.log.push(Rc::new(Entry { packed, snapshot, book, facts }));
        }
        node.verify().map_err(|what| format!("{}: {what}", line()))?;
        self.count("commands");
        Ok(answer)
    }

    /// Ids that clients give: names, and some of the form and time that the queue makes.
    fn client_id(&self, number: usize) -> String {
        match number {
            0..6 => format!("name-{number}"),
            6 => format!("{}-0", START.0 + 60_100),
            _ => format!("{}-1", self.nodes[self.master].now(self.time_ms).0),
        }
    }

    /// The latest task is 0.
    fn pick(&self, pick: usize) -> String {
        self.ids.iter().rev().nth(pick).cloned().unwrap_or_else(|| "unknown".to_owned())
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

fn pushed(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Pushed { id, added: true } => Some(id.clone()),
        _ => None,
    }
}

/// What a client was told.
fn fact(command: &Command, answer: &Answer) -> Option<Fact> {
    match (command, answer) {
        (_, Answer::Pushed { id, added: true }) => Some(Fact::Pushed(id.clone())),
        (_, Answer::Claimed(Some((id, _, attempt, _)))) => Some(Fact::Claimed(id.clone(), *attempt)),
        (Command::Complete { id, .. }, Answer::Completed(taskqueue::op::Completion::Published)) => {
            Some(Fact::Completed(id.clone()))
        }
        _ => None,
    }
}
