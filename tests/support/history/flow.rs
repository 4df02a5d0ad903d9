//! A load on one queue that has limits, groups and keys, with a reader of its log, over any number of servers and their lives.
//!
//! The log of the queue is the history that survives. It must hold all that was acknowledged, and keep the rules (`log`). What
//! clients can know without it is checked beside: when they asked for claims and had them, and which payload was run after which.

mod load;

use super::log::{self, Line, Lives, Row, Rules, claims, line_of};
use crate::support::{
    Server,
    eventually::PATIENCE,
    eventually_within,
    link::{Confirmation, Link},
    now_ms,
};
use load::Actor;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

pub(crate) use load::FlowLoad;

/// What was acknowledged, and between which instants.
#[derive(Debug, Clone)]
struct Fact {
    asked_ms: i64,
    answered_ms: i64,
    event: &'static str,
    id: String,
    attempt: i64,
    worker: String,
}

/// A payload that was pushed, and from when to when it may have arrived.
#[derive(Debug, Clone, Copy)]
struct Offer {
    asked: Instant,
    /// None: nobody knows yet.
    over: Option<Instant>,
    is_acknowledged: bool,
}

#[derive(Default)]
struct Records {
    facts: Vec<Fact>,
    /// The number of each line's next task.
    next: BTreeMap<String, usize>,
    /// By their payloads, which are different.
    offers: HashMap<String, Offer>,
    /// What a worker was given, by id and attempt.
    runs: HashMap<(String, i64), String>,
    /// Where the reader is, and what it was given.
    cursor: String,
    read: Vec<Row>,
    /// Answers that must never come.
    wrong: Vec<String>,
    /// Pushes that met MAXLEN.
    refused: usize,
    /// When a server was ended.
    faults_ms: Vec<i64>,
}

/// All that a load was answered of the queue `jobs`.
pub(crate) struct Flow {
    rules: Rules,
    lines: Vec<&'static str>,
    records: Mutex<Records>,
    claims: AtomicUsize,
    ends: AtomicUsize,
    loads: AtomicUsize,
}

impl Flow {
    /// Of tasks in these lines, each by its rule.
    pub(crate) fn new(rules: Rules, lines: &[&'static str]) -> Arc<Self> {
        let records = Records { cursor: "0".into(), ..Records::default() };
        let [claims, ends, loads] = [0; 3].map(AtomicUsize::new);
        Arc::new(Self { rules, lines: lines.into(), records: records.into(), claims, ends, loads })
    }

    /// Sets the queue as the rules say.
    #[track_caller]
    pub(crate) fn set(&self, server: &Server) {
        let Rules { rate, concurrency, maxlen, line } = self.rules;
        let (claims, ms) = rate.unwrap_or_default();
        let strict = u8::from(self.lines.iter().any(|name| line(name) == Line::Strict));
        let (concurrency, maxlen) = (concurrency.unwrap_or(0), maxlen.unwrap_or(0));
        server.run_all(&[&format!(
            "TASK.SET jobs EVENTS {} RATE {claims} {ms} CONCURRENCY {concurrency} MAXLEN {maxlen} GROUPCONCURRENCY {strict}",
            log::ALL
        )]);
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no panic in a load")
    }

    #[track_caller]
    pub(crate) fn wait_for_claims(&self, more: usize) {
        wait_for(&self.claims, more);
    }

    #[track_caller]
    pub(crate) fn wait_for_ends(&self, more: usize) {
        wait_for(&self.ends, more);
    }

    /// Notes that a server is ended now.
    pub(crate) fn fault(&self) {
        self.records().faults_ms.push(now_ms());
    }

    /// How many pushes met MAXLEN.
    pub(crate) fn refused(&self) -> usize {
        self.records().refused
    }

    /// Asserts that the log of a server, which nobody uses now, keeps the rules and holds all that was acknowledged.
    #[track_caller]
    pub(crate) fn check(&self, server: &Server) -> (Vec<Row>, Lives) {
        let mut link = Link::from(server);
        let rows = log::read_from(&mut link, "jobs", "0");
        let (lives, mut wrong) = log::check(&rows, &self.rules);
        let records = self.records();
        wrong.extend(records.wrong.iter().cloned());
        check_facts(&records.facts, &rows, &self.rules, &mut wrong);
        check_read(&records.read, &rows, &mut wrong);
        check_tasks(&lives, &mut link, &mut wrong);
        let shown = wrong.iter().take(20).fold(String::new(), |mut out, line| {
            let _ = writeln!(out, "  {line}");
            out
        });
        assert!(wrong.is_empty(), "{} promises broken:\n{shown}", wrong.len());
        (rows, lives)
    }

    /// Checks, works through what is left, in the order that the rules ask for, and checks again; the reader reads to the end. Answers
    /// the log.
    #[track_caller]
    pub(crate) fn finish(self: &Arc<Self>, server: &Server) -> Vec<Row> {
        let (before, at) = self.check(server);
        assert!(self.rules.maxlen.is_none_or(|most| at.open_max == most), "at most {} were there", at.open_max);
        assert!(self.rules.concurrency.is_none_or(|most| at.claimed_max == most), "at most {} were claimed", at.claimed_max);
        let mut actor = self.actor(server, Confirmation::Answer, "drain".into(), 0);
        eventually_within(3 * *PATIENCE, || {
            let claims = actor.claim("LEASE 60000").expect("a server");
            for claim in &claims {
                actor.end(claim, "complete").expect("a server");
            }
            claims.is_empty() && log::check(&log::read_from(&mut Link::from(server), "jobs", "0"), &self.rules).0.open() == 0
        });
        let (rows, _) = self.check(server);
        loop {
            let had = self.records().read.len();
            actor.read().expect("a server");
            if self.records().read.len() == had {
                break;
            }
        }
        let records = self.records();
        assert!(records.read == rows, "the reader was given {} rows of {}", records.read.len(), rows.len());
        let mut wrong = Vec::new();
        check_payloads(&records, &rows, self.rules.line, &mut wrong);
        assert!(wrong.is_empty(), "{} promises broken: {wrong:#?}", wrong.len());
        println!(
            "{} faults; {} facts kept, in {} events, of which {} by the load",
            records.faults_ms.len(),
            records.facts.len(),
            rows.len(),
            before.len()
        );
        rows
    }

    /// How often the rate held a claim back beyond a server's end: claims before it counted after it.
    pub(crate) fn held_over_faults(&self, rows: &[Row]) -> usize {
        let (most, window_ms) = self.rules.rate.expect("a rate");
        let records = self.records();
        let is_held = |fault_ms: i64| {
            claims(rows).windows(most + 1).any(|pair| {
                let (first, last) = (pair[0].at_ms, pair[most].at_ms);
                first < fault_ms && fault_ms < last && last - first < window_ms + window_ms / 4
            })
        };
        records.faults_ms.iter().filter(|fault_ms| is_held(**fault_ms)).count()
    }

    fn actor(self: &Arc<Self>, server: &Server, confirmation: Confirmation, name: String, count: usize) -> Actor {
        Actor { link: server.into(), flow: self.clone(), name, confirmation, count }
    }
}

#[track_caller]
fn wait_for(counter: &AtomicUsize, more: usize) {
    let count = || counter.load(Ordering::Relaxed);
    let goal = count() + more;
    eventually_within(2 * *PATIENCE, || count() >= goal);
}

/// All that was acknowledged is in the log; and what clients know of claims by themselves.
fn check_facts(facts: &[Fact], rows: &[Row], rules: &Rules, wrong: &mut Vec<String>) {
    let mut told: HashMap<_, usize> = HashMap::new();
    for row in rows {
        // A push that replaces tells the attempt of the claim before.
        let attempt = if row.event == "push" { 0 } else { row.attempt };
        *told.entry((row.event.as_str(), row.id.as_str(), attempt, row.worker.as_str())).or_default() += 1;
    }
    for fact in facts {
        let times = told.get(&(fact.event, &fact.id, fact.attempt, &fact.worker)).copied().unwrap_or(0);
        if times == 0 || (times > 1 && fact.event != "push") {
            wrong.push(format!("{fact:?} is told {times} times"));
        }
    }
    let claims: Vec<_> = facts.iter().filter(|fact| fact.event == "claim").collect();
    if let Some((most, window_ms)) = rules.rate {
        for last in &claims {
            // Both clocks are cut to whole milliseconds.
            let from_ms = last.answered_ms - window_ms + 1;
            let within = claims.iter().filter(|fact| fact.asked_ms > from_ms && fact.answered_ms <= last.answered_ms).count();
            if within > most {
                wrong.push(format!("{within} claims were asked for and had within {window_ms} ms, to {last:?}"));
            }
        }
    }
    let mut of: BTreeMap<&str, Vec<&Fact>> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| (rules.line)(line_of(&claim.id)) == Line::Strict) {
        of.entry(line_of(&claim.id)).or_default().push(claim);
    }
    let number = |fact: &Fact| fact.id.split_once(':').and_then(|(_, number)| number.parse::<usize>().ok());
    for claims in of.values() {
        for later in claims {
            let overtaken = claims.iter().find(|early| number(early) < number(later) && early.asked_ms > later.answered_ms);
            wrong.extend(overtaken.map(|early| format!("{early:?} after {later:?}")));
        }
    }
}

/// A reader is given each row once, in the order of the log.
fn check_read(read: &[Row], rows: &[Row], wrong: &mut Vec<String>) {
    let same = read.iter().zip(rows).take_while(|(read, row)| read == row).count();
    if same < read.len() {
        wrong.push(format!("the reader was given {:?}, the log has {:?}", read[same], rows.get(same)));
    }
}

/// Each task is what the log says last of it. Those of schedules come and go by themselves.
fn check_tasks(lives: &Lives, link: &mut Link, wrong: &mut Vec<String>) {
    let ids: Vec<_> = lives.ids().filter(|id| !id.contains('@')).collect();
    let gets: Vec<_> = ids.iter().map(|id| format!("TASK.GET jobs {id}")).collect();
    for (id, task) in ids.into_iter().zip(link.run_each(&gets)) {
        let (state, attempt) = lives.end_of(id).expect("a task of the log");
        // What has not ended goes on by itself.
        let is_open = ["pending", "claimed"].contains(&state);
        if task.is_nil() || !is_open && (task.field("state") != state || task.field("attempt") != attempt) {
            wrong.push(format!("{id} is {state} at {attempt} by the log: {task:?}"));
        }
    }
}

/// Of what is pushed with REPLACE nothing runs after what was pushed after it, and the newest runs last.
fn check_payloads(records: &Records, rows: &[Row], line: fn(&str) -> Line, wrong: &mut Vec<String>) {
    let is_older = |a: &Offer, b: &Offer| a.over.is_some_and(|over| over < b.asked);
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for row in claims(rows) {
        let key = line_of(&row.id);
        if line(key) != Line::Followed {
            continue;
        }
        let Some(payload) = records.runs.get(&(row.id.clone(), row.attempt)) else { continue };
        let Some(offer) = records.offers.get(payload).filter(|_| line_of(payload) == key) else {
            wrong.push(format!("{row:?} runs {payload}, which nobody pushed"));
            continue;
        };
        if let Some(before) = last.insert(key, payload)
            && is_older(offer, &records.offers[before])
        {
            wrong.push(format!("{row:?} runs {payload} after {before}"));
        }
    }
    for (payload, offer) in records.offers.iter().filter(|(_, offer)| offer.is_acknowledged) {
        let key = line_of(payload);
        if line(key) == Line::Followed && last.get(key).is_none_or(|last| is_older(&records.offers[*last], offer)) {
            wrong.push(format!("{payload} was pushed after {:?}, which ran last", last.get(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fact, Flow, FlowLoad, Line, Offer, Records, Rules, check_facts, check_payloads, check_read, log};
    use crate::support::{Server, history::log::Row, link::Link};
    use std::time::{Duration, Instant};

    fn fact(asked_ms: i64, answered_ms: i64, id: &str, attempt: i64) -> Fact {
        Fact { asked_ms, answered_ms, event: "claim", id: id.into(), attempt, worker: "w".into() }
    }

    fn row(seq: i64, id: &str, attempt: i64) -> Row {
        Row { seq, at_ms: seq, event: "claim".into(), id: id.into(), attempt, worker: "w".into() }
    }

    /// The checker finds what was acknowledged and is not in the log, or twice; claims that came too fast by the clients' own clocks;
    /// and a group that went back.
    #[test]
    fn the_checker_of_facts_bites() {
        let complaints = |facts: &[Fact], rows: &[Row], rules: Rules| {
            let mut wrong = Vec::new();
            check_facts(facts, rows, &rules, &mut wrong);
            wrong.len()
        };
        let facts = [fact(0, 2, "a:1", 1), fact(3, 5, "a:2", 1)];
        let rows = [row(1, "a:1", 1), row(2, "a:2", 1)];
        assert_eq!(complaints(&facts, &rows, Rules::NONE), 0);
        assert_eq!(complaints(&facts, &rows[..1], Rules::NONE), 1);
        assert_eq!(complaints(&facts, &[rows[0].clone(), rows[1].clone(), rows[1].clone()], Rules::NONE), 1);
        assert_eq!(complaints(&facts, &rows, Rules { rate: Some((1, 5)), ..Rules::NONE }), 0);
        assert_eq!(complaints(&facts, &rows, Rules { rate: Some((1, 8)), ..Rules::NONE }), 1);
        let strict = Rules { line: |_| Line::Strict, ..Rules::NONE };
        assert_eq!(complaints(&facts, &rows, strict), 0);
        let back = [fact(0, 2, "a:2", 1), fact(3, 5, "a:1", 1)];
        assert_eq!(complaints(&back, &rows, strict), 1);
    }

    /// The checker finds a row that a reader was given twice, not at all, or otherwise than it is.
    #[test]
    fn the_checker_of_readers_bites() {
        let rows = [row(1, "a:1", 1), row(2, "a:2", 1), row(3, "a:3", 1)];
        let complaints = |read: &[usize]| {
            let (mut wrong, read) = (Vec::new(), read.iter().map(|n| rows[*n].clone()).collect::<Vec<_>>());
            check_read(&read, &rows, &mut wrong);
            wrong.len()
        };
        assert_eq!((complaints(&[]), complaints(&[0, 1]), complaints(&[0, 1, 2])), (0, 0, 0));
        for wrong in [&[1][..], &[0, 2], &[0, 0], &[0, 1, 2, 2]] {
            assert_eq!(complaints(wrong), 1, "{wrong:?}");
        }
    }

    /// The checker finds a payload that runs after a newer one, a newest one that does not run last, and one that nobody pushed.
    #[test]
    fn the_checker_of_payloads_bites() {
        let begin = Instant::now();
        let complaints = |runs: &[&str]| {
            let mut records = Records::default();
            for (n, payload) in (0_u32..).zip(["k:1", "k:2", "k:3"]) {
                let asked = begin + Duration::from_millis(1) * 10 * n;
                let offer = Offer { asked, over: Some(asked + Duration::from_millis(5)), is_acknowledged: true };
                records.offers.insert(payload.into(), offer);
            }
            let mut rows = Vec::new();
            for (n, payload) in (1..).zip(runs) {
                rows.push(row(n, "k:1", n));
                records.runs.insert(("k:1".into(), n), (*payload).into());
            }
            let mut wrong = Vec::new();
            check_payloads(&records, &rows, |_| Line::Followed, &mut wrong);
            wrong.len()
        };
        assert_eq!((complaints(&["k:1", "k:2", "k:3"]), complaints(&["k:1", "k:1", "k:3"]), complaints(&["k:3"])), (0, 0, 0));
        assert_eq!(complaints(&["k:2", "k:1", "k:3"]), 1);
        assert_eq!(complaints(&["k:1", "k:2"]), 1);
        assert_eq!(complaints(&["k:4", "k:3"]), 1);
        assert_eq!(complaints(&["k:3", "k:2"]), 2);
    }

    /// The checker finds a queue that was told none of the limits that it is to keep: the load goes beyond each of them, by the log and by
    /// what clients know.
    #[test]
    fn the_checker_finds_a_queue_without_limits() {
        let server = Server::start();
        server.run_all(&[&format!("TASK.SET jobs EVENTS {}", log::ALL)]);
        let rules = Rules { rate: Some((5, 2_000)), concurrency: Some(1), maxlen: Some(2), line: |_| Line::Strict };
        let flow = Flow::new(rules, &["g0", "g1"]);
        let load = FlowLoad::start(&server, &flow, 0);
        flow.wait_for_ends(100);
        load.stop();
        let rows = log::read_from(&mut Link::from(&server), "jobs", "0");
        let (_, mut wrong) = log::check(&rows, &rules);
        check_facts(&flow.records().facts, &rows, &rules, &mut wrong);
        for words in ["claims within", "are claimed", "have not ended", "while g", "asked for and had within"] {
            assert!(wrong.iter().any(|line| line.contains(words)), "no complaint: {words}");
        }
        assert!(!wrong.iter().any(|line| line.contains("of a task that is")), "{wrong:#?}");
    }
}
