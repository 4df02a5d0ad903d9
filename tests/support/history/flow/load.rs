//! Who takes part in the load: producers, workers and a reader of the log, each with a connection of its own.

use super::{Fact, Flow, Offer, log, log::Line, log::line_of};
use crate::support::{
    Server, Value,
    link::{Confirmation, Link},
    now_ms,
    task::Claim,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const PRODUCERS: usize = 2;
const WORKERS: usize = 4;
/// How long a claim lives that is forgotten.
const LEASE_MS: i64 = 60;

/// Producers, workers and a reader at work until the server dies.
pub(crate) struct FlowLoad {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl FlowLoad {
    /// Load whose answers count when so many replicas have them (WAIT); with 0, as they come.
    pub(crate) fn start(server: &Server, flow: &Arc<Flow>, replicas: usize) -> Self {
        let load = flow.loads.fetch_add(1, Ordering::Relaxed);
        let confirmation = if replicas == 0 { Confirmation::Answer } else { Confirmation::Replicas(replicas) };
        let stop = Arc::new(AtomicBool::new(false));
        // The last is a reader.
        let threads = (0..=PRODUCERS + WORKERS).map(|n| {
            let (mut actor, stop) = (flow.actor(server, confirmation, format!("{load}.{n}"), n), stop.clone());
            thread::spawn(move || {
                let run = |actor: &mut Actor| match n {
                    _ if n < PRODUCERS => actor.produce(n),
                    _ if n < PRODUCERS + WORKERS => actor.work(),
                    _ => actor.read(),
                };
                while !stop.load(Ordering::Relaxed) && run(&mut actor).is_some() {}
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    /// Waits until all have seen the server's end.
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
pub(super) struct Actor {
    pub(super) link: Link,
    pub(super) flow: Arc<Flow>,
    pub(super) name: String,
    pub(super) confirmation: Confirmation,
    pub(super) count: usize,
}

impl Actor {
    /// The answer to a line, when it counts; None if the server is gone or no master any more.
    fn say(&mut self, line: &str) -> Option<Value> {
        let reply = self.link.try_run(line)?;
        if let Value::Error(message) = &reply {
            let code = reply.code();
            if ["READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN"].contains(&code) {
                return None;
            }
            // A schedule's task that is not retained is gone when another worker has ended it.
            let is_gone = code == "NOTASK" && line.contains('@');
            if !is_gone && !["STALE", "NOTCLAIMED", "CANCELED", "QUEUEFULL"].contains(&code) {
                self.flow.records().wrong.push(format!("{line}: {message}"));
            }
        }
        self.link.is_confirmed(self.confirmation).then_some(reply)
    }

    fn record(&self, asked_ms: i64, event: &'static str, id: &str, attempt: i64) {
        let worker = if event == "push" { String::new() } else { self.name.clone() };
        let fact = Fact { asked_ms, answered_ms: now_ms(), event, id: id.to_owned(), attempt, worker };
        self.flow.records().facts.push(fact);
    }

    /// Pushes a task into one of the lines: those of a group have one producer, so that they have an order.
    fn produce(&mut self, n: usize) -> Option<()> {
        self.count += 1;
        let lines = &self.flow.lines;
        let name = lines[self.count % lines.len()];
        let rule = (self.flow.rules.line)(name);
        let has_key = matches!(rule, Line::Unique | Line::Followed);
        if !has_key && (self.count % lines.len()) % PRODUCERS != n {
            thread::sleep(Duration::from_micros(100));
            return Some(());
        }
        let number = {
            let mut records = self.flow.records();
            let next = records.next.entry(name.to_owned()).or_insert(1);
            // Who shares a line does not say anything again.
            *next += usize::from(has_key);
            *next
        };
        let id = format!("{name}:{number}");
        let place = match rule {
            Line::Free | Line::Strict => format!("GROUP {name}"),
            Line::Unique => format!("UNIQUE {name}"),
            Line::Followed => format!("UNIQUE {name} REPLACE"),
        };
        let offer = Offer { asked: Instant::now(), over: None, is_acknowledged: false };
        self.flow.records().offers.insert(id.clone(), offer);
        let asked_ms = now_ms();
        let reply = self.say(&format!("TASK.PUSH jobs {id} ID {id} {place} ATTEMPTS 0 BACKOFF 3 RETAIN -1 RETAINFAILED -1"));
        let is_answered = reply.as_ref().is_some_and(|reply| !reply.is_error());
        if let Some(offer) = self.flow.records().offers.get_mut(&id) {
            offer.over = Some(Instant::now());
            offer.is_acknowledged = is_answered;
        }
        let reply = reply?;
        if is_answered && line_of(&reply.text()) != name {
            self.flow.records().wrong.push(format!("{id}: answered by {reply:?}"));
        }
        if reply == id.as_str() {
            self.record(asked_ms, "push", &id, 0);
        }
        if is_answered && !has_key {
            self.flow.records().next.insert(name.to_owned(), number + 1);
        }
        self.flow.records().refused += usize::from(reply.is_error());
        thread::sleep(Duration::from_micros(if reply.is_error() { 2_000 } else { 500 }));
        Some(())
    }

    /// Claims, and remembers what it was given.
    pub(super) fn claim(&mut self, options: &str) -> Option<Vec<Claim>> {
        let asked_ms = now_ms();
        let reply = self.say(&format!("TASK.CLAIM jobs WORKER {} COUNT {} {options}", self.name, 1 + self.count % 3))?;
        Some(self.given(asked_ms, &reply))
    }

    fn given(&self, asked_ms: i64, reply: &Value) -> Vec<Claim> {
        if reply.is_nil() || reply.is_error() {
            return Vec::new();
        }
        let claims = Claim::all_of(reply);
        for claim in &claims {
            self.record(asked_ms, "claim", &claim.id, claim.attempt);
            let payload = String::from_utf8_lossy(&claim.payload).into_owned();
            self.flow.records().runs.insert((claim.id.clone(), claim.attempt), payload);
        }
        self.flow.claims.fetch_add(claims.len(), Ordering::Relaxed);
        claims
    }

    /// Claims some tasks and does with each one of the things that workers do.
    fn work(&mut self) -> Option<()> {
        self.count += 1;
        // Every other worker asks and does not wait: what it has it was given since it asked.
        let is_patient = self.count.is_multiple_of(2);
        let session = self.count.is_multiple_of(5);
        let options = [if is_patient { "BLOCK 20" } else { "" }, if session { "SESSION" } else { "" }].join(" ");
        let mut claims = self.claim(&format!("LEASE {LEASE_MS} {options}"))?;
        if claims.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        while let Some(claim) = claims.pop() {
            self.count += 7;
            let Claim { id, attempt, .. } = &claim;
            let fence = format!("{id} ATTEMPT {attempt}");
            match self.count % 20 {
                0 => self.answer(&format!("TASK.RELEASE jobs {fence}"))?,
                1 => self.answer(&format!("TASK.RELEASE jobs {fence} DELAY 2"))?,
                2 => self.answer(&format!("TASK.FAIL jobs {id} again ATTEMPT {attempt}"))?,
                // Not what may hold a newer payload by now.
                3 if (self.flow.rules.line)(line_of(id)) != Line::Followed => self.answer(&format!("TASK.CANCEL jobs {id}"))?,
                4 => self.end(&claim, "fail")?,
                // Forgotten: the lease ends. A session ends with its connection.
                5 | 6 if !session => {}
                7 if !session => self.answer(&format!("TASK.EXTEND jobs {fence} LEASE 30"))?,
                8..=10 => claims.extend(self.complete(&claim, "NEXT COUNT 1 LEASE 60")?),
                _ => self.end(&claim, "complete")?,
            }
        }
        Some(())
    }

    fn answer(&mut self, line: &str) -> Option<()> {
        self.say(line).map(drop)
    }

    pub(super) fn end(&mut self, claim: &Claim, event: &'static str) -> Option<()> {
        if event == "complete" {
            return self.complete(claim, "").map(drop);
        }
        let asked_ms = now_ms();
        let reply = self.say(&format!("TASK.FAIL jobs {} no ATTEMPT {} DEAD", claim.id, claim.attempt))?;
        self.ended(asked_ms, claim, "fail", &reply);
        Some(())
    }

    /// Completes a task, and is given the next ones, if it asks for them.
    fn complete(&mut self, claim: &Claim, next: &str) -> Option<Vec<Claim>> {
        let asked_ms = now_ms();
        let worker = if next.is_empty() { String::new() } else { format!("WORKER {}", self.name) };
        let reply = self.say(&format!("TASK.COMPLETE jobs {} done ATTEMPT {} {next} {worker}", claim.id, claim.attempt))?;
        self.ended(asked_ms, claim, "complete", &reply);
        Some(if next.is_empty() { Vec::new() } else { self.given(asked_ms, &reply) })
    }

    fn ended(&self, asked_ms: i64, claim: &Claim, event: &'static str, reply: &Value) {
        if !reply.is_error() {
            self.record(asked_ms, event, &claim.id, claim.attempt);
            self.flow.ends.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads on in the log from where the last reader was. It may see what would be lost with the master: it believes a page when a
    /// write of its own, which came after it, is where it must be.
    pub(super) fn read(&mut self) -> Option<()> {
        self.count += 1;
        let cursor = self.flow.records().cursor.clone();
        let count = if self.count.is_multiple_of(2) { 7 } else { 500 };
        let reply = self.say_of_log(&format!("TASK.EVENTS jobs {cursor} COUNT {count} BLOCK 20"))?;
        if reply.is_error() {
            return Some(());
        }
        let (next, rows) = log::page(&reply);
        self.say(&format!("SET cursor {next}"))?;
        let mut records = self.flow.records();
        records.cursor = next;
        records.read.extend(rows);
        Some(())
    }

    /// An answer that is confirmed by what comes after it.
    fn say_of_log(&mut self, line: &str) -> Option<Value> {
        let confirmation = std::mem::replace(&mut self.confirmation, Confirmation::Answer);
        let reply = self.say(line);
        self.confirmation = confirmation;
        reply
    }
}
