//! A load of producers and workers, the history of what they were answered, and a checker of that history.
//!
//! What a server acknowledged binds it, over crashes and failovers: a pushed task is there until the end, a claim's number is
//! given once and only grows, an ended task is not claimed again, its result does not change; the ends of a batch come once and in
//! one order, and who waits for it comes after it. What was said and not answered may have happened or not.

mod batches;
pub(crate) mod flow;
pub(crate) mod log;

use super::{
    Value,
    eventually::PATIENCE,
    eventually_within,
    link::{Confirmation, Link},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use batches::{BATCH_EVERY, Batch, batch_of};

const PRODUCERS: usize = 2;
const WORKERS: usize = 4;
/// How long a claim of the load lives if it is forgotten.
const LEASE_MS: i64 = 400;

/// What a server acknowledged, and between which instants.
struct Fact {
    asked: Instant,
    answered: Instant,
    id: String,
    what: What,
}

enum What {
    Pushed,
    Claimed { attempt: i64 },
    Ended { attempt: i64, state: &'static str, data: String },
}

#[derive(Default)]
struct Records {
    facts: Vec<Fact>,
    /// Ids that somebody tried to push.
    offered: HashSet<String>,
    /// The ends that somebody tried to give a task.
    said: HashMap<String, Vec<(i64, &'static str, String)>>,
    /// By their names, also those that somebody tried to make.
    batches: BTreeMap<String, Batch>,
    /// Commands that were sent and not answered.
    in_doubt: Vec<(String, i64, String)>,
    /// Answers that must never come.
    wrong: Vec<String>,
    /// What was done to the servers meanwhile, and how often.
    faults: BTreeMap<&'static str, usize>,
}

/// All that a load was answered, over any number of servers and their lives.
pub(crate) struct History {
    /// Over which queues the tasks are spread, each by its id, those of a batch by its name.
    queues: Vec<String>,
    records: Mutex<Records>,
    ends: AtomicUsize,
    loads: AtomicUsize,
}

/// What is known of one task.
#[derive(Default)]
struct Known<'a> {
    pushed: bool,
    claims: Vec<&'a Fact>,
    ends: Vec<&'a Fact>,
}

impl History {
    /// Of the queue `jobs`.
    pub(crate) fn new() -> Arc<Self> {
        Self::over(["jobs".to_owned()])
    }

    /// Of these queues.
    pub(crate) fn over(queues: impl Into<Vec<String>>) -> Arc<Self> {
        Arc::new(Self { queues: queues.into(), records: Mutex::default(), ends: AtomicUsize::new(0), loads: AtomicUsize::new(0) })
    }

    fn queue_of(&self, id: &str) -> &str {
        let sum: usize = batch_of(id).bytes().map(usize::from).sum();
        &self.queues[sum % self.queues.len()]
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic in a load")
    }

    fn record(&self, asked: Instant, id: &str, what: What) {
        if matches!(what, What::Ended { .. }) {
            self.ends.fetch_add(1, Ordering::Relaxed);
        }
        self.records().facts.push(Fact { asked, answered: Instant::now(), id: id.to_owned(), what });
    }

    /// Waits until so many more tasks have ended.
    #[track_caller]
    pub(crate) fn wait_for_ends(&self, more: usize) {
        let ends = || self.ends.load(Ordering::Relaxed);
        let goal = ends() + more;
        eventually_within(2 * *PATIENCE, || ends() >= goal);
    }

    /// Counts a fault, to be told at the end with what was acknowledged.
    pub(crate) fn fault(&self, what: &'static str) {
        *self.records().faults.entry(what).or_default() += 1;
    }

    /// Prints what was done to the servers, and how much that they acknowledged has been checked.
    fn tell(&self) {
        let records = self.records();
        let (mut pushed, mut claimed, mut ended) = (0, 0, 0);
        for fact in &records.facts {
            match fact.what {
                What::Pushed => pushed += 1,
                What::Claimed { .. } => claimed += 1,
                What::Ended { .. } => ended += 1,
            }
        }
        let faults: Vec<_> = records.faults.iter().map(|(what, times)| format!("{what}: {times}")).collect();
        let (batches, collected) = Self::collected(&records);
        println!(
            "{}; acknowledged and kept: {pushed} pushes, {claimed} claims, {ended} ends, {collected} collected of {batches} batches",
            faults.join(", ")
        );
    }

    /// Takes back what was acknowledged after `instant`: the configuration does not promise to keep it.
    pub(crate) fn forgive_after(&self, instant: Instant) {
        let mut records = self.records();
        records.facts.retain(|fact| fact.answered < instant);
        records.batches.values_mut().for_each(|batch| batch.forgive_after(instant));
    }

    /// Asserts that a server or cluster, which nobody uses now, holds all that was acknowledged.
    #[track_caller]
    pub(crate) fn check(&self, place: impl Into<Link>) {
        let records = self.records();
        let mut wrong = records.wrong.clone();
        let known = known(&records);
        for (id, known) in &known {
            check_facts(id, known, &mut wrong);
        }
        let ids: Vec<_> = records.offered.iter().collect();
        let lines: Vec<_> = ids.iter().map(|id| format!("TASK.GET {} {id}", self.queue_of(id))).collect();
        let mut link = place.into();
        let tasks = link.run_each(&lines);
        let nothing = Known::default();
        for (id, task) in ids.into_iter().zip(&tasks) {
            let said = records.said.get(id).map_or(&[][..], Vec::as_slice);
            check_task(id, known.get(id.as_str()).unwrap_or(&nothing), said, task, &mut wrong);
        }
        self.check_batches(&records, &mut link, &mut wrong);
        assert!(wrong.is_empty(), "{} promises broken:\n{}", wrong.len(), first_lines(&wrong));
        let pushes = known.values().filter(|known| known.pushed).count();
        assert!(pushes > 0, "nothing was pushed");
    }

    /// Checks, says again what was in doubt, seals what was not, drains the queue, reads all batches to their ends, and checks that
    /// every task has ended.
    #[track_caller]
    pub(crate) fn finish(&self, place: impl Into<Link> + Copy) {
        self.check(place);
        let mut link = place.into();
        let in_doubt = std::mem::take(&mut self.records().in_doubt);
        for (id, attempt, data) in in_doubt {
            let asked = Instant::now();
            let reply = link.run(&format!("TASK.COMPLETE {} {id} {data} ATTEMPT {attempt}", self.queue_of(&id)));
            if reply == "OK" {
                self.record(asked, &id, What::Ended { attempt, state: "completed", data });
            } else {
                assert!(["STALE", "NOTCLAIMED"].contains(&reply.code()), "said again: {reply:?}");
            }
        }
        self.seal(&mut link);
        for queue in &self.queues {
            self.drain(&mut link, queue);
        }
        self.read_to_the_end(&mut link);
        self.check(place);
        for queue in &self.queues {
            let info = link.run(&format!("TASK.INFO {queue}"));
            for state in ["waiting", "scheduled", "ready", "claimed", "canceled", "expired"] {
                assert_eq!(info.field(state), 0, "{queue}: {state}");
            }
        }
        self.tell();
    }

    /// Completes all tasks of a queue, waiting for the leases and delays of the load.
    #[track_caller]
    fn drain(&self, link: &mut Link, queue: &str) {
        eventually_within(3 * *PATIENCE, || {
            let asked = Instant::now();
            let claims = link.run(&format!("TASK.CLAIM {queue} COUNT 200 LEASE 60000 WORKER drain"));
            if claims.is_nil() {
                // One look: between two a lapse may move a task from what is not yet counted to what was.
                let info = link.run(&format!("TASK.INFO {queue}"));
                return ["scheduled", "ready", "claimed"].into_iter().all(|state| info.field(state) == 0);
            }
            let claims: Vec<_> = claims.items().iter().map(|task| (task.at(0).text(), task.at(2).int())).collect();
            for (id, attempt) in &claims {
                self.record(asked, id, What::Claimed { attempt: *attempt });
                self.records().said.entry(id.clone()).or_default().push((*attempt, "completed", "drained".into()));
            }
            let asked = Instant::now();
            let lines: Vec<_> =
                claims.iter().map(|(id, attempt)| format!("TASK.COMPLETE {queue} {id} drained ATTEMPT {attempt}")).collect();
            for ((id, attempt), reply) in claims.into_iter().zip(link.run_each(&lines)) {
                assert_eq!(reply, "OK", "{id}");
                self.record(asked, &id, What::Ended { attempt, state: "completed", data: "drained".into() });
            }
            false
        });
    }
}

fn known(records: &Records) -> BTreeMap<&str, Known<'_>> {
    let mut known: BTreeMap<_, Known<'_>> = BTreeMap::new();
    for fact in &records.facts {
        let task = known.entry(fact.id.as_str()).or_default();
        match &fact.what {
            What::Pushed => task.pushed = true,
            What::Claimed { .. } => task.claims.push(fact),
            What::Ended { .. } => task.ends.push(fact),
        }
    }
    known
}

/// What the answers must be among themselves.
fn check_facts(id: &str, known: &Known<'_>, wrong: &mut Vec<String>) {
    for (n, claim) in known.claims.iter().enumerate() {
        let What::Claimed { attempt } = &claim.what else { continue };
        for other in &known.claims[n + 1..] {
            let What::Claimed { attempt: later } = &other.what else { continue };
            if attempt == later {
                wrong.push(format!("{id}: attempt {attempt} was given twice"));
            } else if (claim.answered < other.asked && attempt > later) || (other.answered < claim.asked && later > attempt) {
                wrong.push(format!("{id}: attempts went back between {attempt} and {later}"));
            }
        }
        for end in &known.ends {
            if let What::Ended { attempt: last, state, .. } = &end.what
                && attempt > last
            {
                wrong.push(format!("{id}: {state} at attempt {last} and claimed again as {attempt}"));
            }
        }
    }
    for pair in known.ends.windows(2) {
        if let (What::Ended { state, data, .. }, What::Ended { state: other, data: others, .. }) = (&pair[0].what, &pair[1].what)
            && (state, data) != (other, others)
        {
            wrong.push(format!("{id}: ended twice, {state} {data} and {other} {others}"));
        }
    }
}

/// What the server must hold of a task.
fn check_task(id: &str, known: &Known<'_>, said: &[(i64, &'static str, String)], task: &Value, wrong: &mut Vec<String>) {
    if task.is_nil() {
        if known.pushed || !known.claims.is_empty() {
            wrong.push(format!("{id}: lost"));
        }
        return;
    }
    let (state, attempt) = (task.field("state").text(), task.field("attempt").int());
    let data = match state.as_str() {
        "completed" => task.field("result"),
        "failed" => task.field("error"),
        _ => Value::Null,
    };
    for claim in &known.claims {
        if let What::Claimed { attempt: given } = claim.what
            && given > attempt
        {
            wrong.push(format!("{id}: attempt {given} was acknowledged, the server is at {attempt}"));
        }
    }
    for end in &known.ends {
        if let What::Ended { state: ended, data: last, .. } = &end.what
            && (state != *ended || data != last.as_str())
        {
            wrong.push(format!("{id}: was {ended} {last}, is {state} {data:?}"));
        }
    }
    if !data.is_nil() && !said.iter().any(|(at, ended, word)| *at == attempt && state == *ended && data == word.as_str()) {
        wrong.push(format!("{id}: {state} {data:?} at {attempt}, which nobody said"));
    }
    if state != "completed" && task.field("payload") != payload(id).as_str() {
        wrong.push(format!("{id}: the payload is {:?}", task.field("payload")));
    }
}

fn payload(id: &str) -> String {
    format!("payload-of-{id}")
}

fn first_lines(wrong: &[String]) -> String {
    wrong.iter().take(20).fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "  {line}");
        out
    })
}

/// Producers, workers and a reader at work on the queues of a history: on one server until it dies, ceases to be a master, or `stop`; on a
/// cluster until `stop`.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Load whose every answer counts.
    pub(crate) fn start(place: impl Into<Link> + Copy, history: &Arc<History>) -> Self {
        Self::run(place, history, Confirmation::Answer)
    }

    /// Load in which an answer counts when so many replicas have it (WAIT).
    pub(crate) fn confirmed(place: impl Into<Link> + Copy, history: &Arc<History>, replicas: usize) -> Self {
        Self::run(place, history, Confirmation::Replicas(replicas))
    }

    /// Load in which an answer counts when its write is on the disks of the master and of so many replicas (WAITAOF).
    pub(crate) fn on_disks(place: impl Into<Link> + Copy, history: &Arc<History>, replicas: usize) -> Self {
        Self::run(place, history, Confirmation::Disks(replicas))
    }

    fn run(place: impl Into<Link> + Copy, history: &Arc<History>, confirmation: Confirmation) -> Self {
        let load = history.loads.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        // The last is a reader.
        let threads = (0..=PRODUCERS + WORKERS).map(|n| {
            let mut actor = Actor {
                link: place.into(),
                history: history.clone(),
                name: format!("{load}.{n}"),
                confirmation,
                stop: stop.clone(),
                count: n,
                turn: n,
            };
            thread::spawn(move || {
                let run = match n {
                    _ if n < PRODUCERS => Actor::produce,
                    _ if n < PRODUCERS + WORKERS => Actor::work,
                    _ => Actor::read,
                };
                while !actor.stop.load(Ordering::Relaxed) && (run(&mut actor).is_some() || actor.goes_on()) {}
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Waits until all have ended: the server has died or is no master any more.
    #[track_caller]
    pub(crate) fn join(self) {
        for thread in self.threads {
            thread.join().expect("a load without panics");
        }
    }

    /// Ends the load when everybody has been answered.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

/// One connection of a load.
struct Actor {
    link: Link,
    history: Arc<History>,
    name: String,
    confirmation: Confirmation,
    stop: Arc<AtomicBool>,
    count: usize,
    /// Which queue it claims from.
    turn: usize,
}

impl Actor {
    /// Whether there is more to do after an answer that did not come: a cluster recovers.
    fn goes_on(&self) -> bool {
        thread::sleep(Duration::from_millis(5));
        matches!(self.link, Link::Cluster(_))
    }

    /// The answer to a line, when it counts; None if the server is gone or no master any more.
    fn say(&mut self, line: &str) -> Option<Value> {
        let reply = self.link.try_run(line)?;
        if let Value::Error(message) = &reply {
            let code = reply.code();
            if ["READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN"].contains(&code) {
                return None;
            }
            if !["STALE", "NOTCLAIMED"].contains(&code) {
                self.history.records().wrong.push(format!("{line}: {message}"));
            }
        }
        self.link.is_confirmed(self.confirmation).then_some(reply)
    }

    /// Pushes one task, or now and then a batch.
    fn produce(&mut self) -> Option<()> {
        if self.count.is_multiple_of(BATCH_EVERY) {
            return self.produce_batch();
        }
        self.count += 1;
        let id = format!("{}-{}", self.name, self.count);
        self.push(&id, "")
    }

    fn push(&mut self, id: &str, options: &str) -> Option<()> {
        self.history.records().offered.insert(id.to_owned());
        let delay = if self.count.is_multiple_of(5) { self.count % 40 } else { 0 };
        let line = format!(
            "TASK.PUSH {} {} ID {id} PRIORITY {} DELAY {delay} ATTEMPTS 0 BACKOFF 3 RETAIN -1 RETAINFAILED -1 {options}",
            self.history.queue_of(id),
            payload(id),
            self.count % 3
        );
        let asked = Instant::now();
        let reply = self.say(&line)?;
        if reply == id {
            self.history.record(asked, id, What::Pushed);
        }
        // Not faster than the workers.
        thread::sleep(Duration::from_micros(500));
        Some(())
    }

    /// Claims one task and does with it one of the things that workers do.
    fn work(&mut self) -> Option<()> {
        let asked = Instant::now();
        self.turn += 1;
        let queue = &self.history.queues[self.turn % self.history.queues.len()];
        let task = self.say(&format!("TASK.CLAIM {queue} WORKER {} LEASE {LEASE_MS} BLOCK 20", self.name))?;
        if task.is_nil() || task.is_error() {
            return Some(());
        }
        let (id, attempt) = (task.at(0).text(), task.at(2).int());
        if task.at(1) != payload(&id).as_str() {
            self.history.records().wrong.push(format!("{id}: claimed with payload {:?}", task.at(1)));
        }
        self.history.record(asked, &id, What::Claimed { attempt });
        self.check_claim(&id)?;
        self.count += 7;
        let queue = self.history.queue_of(&id).to_owned();
        match self.count % 20 {
            0 => drop(self.say(&format!("TASK.RELEASE {queue} {id} ATTEMPT {attempt}"))?),
            1 => drop(self.say(&format!("TASK.FAIL {queue} {id} again ATTEMPT {attempt}"))?),
            2 => drop(self.say(&format!("TASK.FAIL {queue} {id} again ATTEMPT {attempt} DELAY 2"))?),
            3 => self.end(&id, attempt, "failed")?,
            // Forgotten: the lease ends.
            4 => {}
            5 => drop(self.say(&format!("TASK.EXTEND {queue} {id} ATTEMPT {attempt} LEASE 30 CHECKPOINT half"))?),
            6..=8 => {
                self.say(&format!("TASK.EXTEND {queue} {id} ATTEMPT {attempt}"))?;
                self.end(&id, attempt, "completed")?;
            }
            9 => {
                self.end(&id, attempt, "completed")?;
                self.end(&id, attempt, "completed")?;
            }
            _ => self.end(&id, attempt, "completed")?,
        }
        Some(())
    }

    fn end(&mut self, id: &str, attempt: i64, state: &'static str) -> Option<()> {
        let data = format!("by-{}-at-{attempt}", self.name);
        self.history.records().said.entry(id.to_owned()).or_default().push((attempt, state, data.clone()));
        let queue = self.history.queue_of(id);
        let line = match state {
            "failed" => format!("TASK.FAIL {queue} {id} {data} ATTEMPT {attempt} DEAD"),
            _ => format!("TASK.COMPLETE {queue} {id} {data} ATTEMPT {attempt}"),
        };
        let asked = Instant::now();
        let Some(reply) = self.say(&line) else {
            if state == "completed" {
                self.history.records().in_doubt.push((id.to_owned(), attempt, data));
            }
            return None;
        };
        if !reply.is_error() {
            self.history.record(asked, id, What::Ended { attempt, state, data });
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Load, What, check_facts, known};
    use crate::support::Server;
    use std::time::Instant;

    fn complaints(facts: &[(&str, i64)]) -> usize {
        let history = History::new();
        for (word, attempt) in facts {
            let attempt = *attempt;
            let what = match *word {
                "claim" => What::Claimed { attempt },
                data => What::Ended { attempt, state: "completed", data: data.into() },
            };
            history.record(Instant::now(), "a", what);
        }
        let mut wrong = Vec::new();
        check_facts("a", &known(&history.records())["a"], &mut wrong);
        wrong.len()
    }

    /// The checker finds numbers given twice or backwards, second runs and changed results.
    #[test]
    fn the_checker_bites() {
        assert_eq!(complaints(&[("claim", 1), ("claim", 2), ("x", 2), ("x", 2)]), 0);
        assert_eq!(complaints(&[("claim", 1), ("claim", 1)]), 1);
        assert_eq!(complaints(&[("claim", 2), ("claim", 1)]), 1);
        assert_eq!(complaints(&[("claim", 1), ("x", 1), ("claim", 2)]), 1);
        assert_eq!(complaints(&[("x", 1), ("y", 1)]), 1);
    }

    /// The checker finds a server that lost a task.
    #[test]
    #[should_panic(expected = "lost")]
    fn the_checker_finds_a_loss() {
        let server = Server::start();
        let history = History::new();
        let load = Load::start(&server, &history);
        history.wait_for_ends(20);
        load.stop();
        history.check(&server);
        server.run("FLUSHALL");
        history.check(&server);
    }
}
