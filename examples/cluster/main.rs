//! A queue on a cluster, in twelve parts. Producers and workers go on while a master is killed, and in the end each task that was
//! confirmed has its result, once.
//!
//!     make demo-cluster      or      cargo run --release --example cluster
//!
//! How the queue is spread: `parts.rs`. How a push is made safe: `link.rs`. Producers and workers: `producer.rs`, `worker.rs`.

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

use redis::from_redis_value;

use crate::board::{Board, What};
use crate::link::{Link, on};
use crate::nodes::{MASTERS, Nodes, until};
use crate::parts::{PARTS, key, part_of};

mod board;
mod link;
mod nodes;
mod parts;
mod producer;
mod worker;

type Error = Box<dyn std::error::Error + Send + Sync>;

const PRODUCERS: usize = 4;

/// How soon the task of a lost claim comes back.
const LEASE_MS: u64 = 2_000;

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often we look at what is going on.
const TICK: Duration = Duration::from_millis(50);

/// How often we print it.
const LINE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Error> {
    let mut nodes = Nodes::start()?;
    let (urls, board) = (nodes.urls(), Board::new());
    let homes = (0..PARTS).map(|part| nodes.home(&key(part))).collect::<Result<Vec<_>, _>>()?;
    println!(
        "cluster    {MASTERS} masters, {MASTERS} replicas; the queue `jobs` in {PARTS} parts, {} to {}",
        key(0),
        key(PARTS - 1)
    );
    for master in 0..MASTERS {
        println!("           node {} has parts {}", nodes.get(master)?.port, list(&homes, master));
    }
    println!("crew       {PRODUCERS} producers, a worker for each part");
    println!("           # tasks flow   ~ pushes are answered, no replica confirms them   . nothing");
    let (ids, took) = thread::scope(|scope| {
        let (urls, board) = (&urls, &board);
        let producers: Vec<_> = (0..PRODUCERS).map(|n| scope.spawn(move || producer::run(urls, n, board))).collect();
        let workers: Vec<_> = (0..PARTS).map(|part| scope.spawn(move || worker::run(urls, part, board))).collect();
        let lines = scope.spawn(move || print_lines(board));
        let story = tell(&mut nodes, &homes, board);
        board.producers_stop.store(true, Relaxed);
        let ids = join(producers).map(|ids| ids.concat());
        let ended = ids.as_ref().map_err(ToString::to_string).map_err(Into::into).and_then(|ids| all_ended(urls, ids.len()));
        board.workers_stop.store(true, Relaxed);
        join(workers)?;
        lines.join().map_err(|_| "a thread panicked")?;
        ended?;
        Ok::<_, Error>((ids?, story?))
    })?;
    report(&homes, &board, took);
    check(&urls, &ids, &board)
}

/// What happens to the cluster. Answers which master died.
fn tell(nodes: &mut Nodes, homes: &[usize], board: &Board) -> Result<usize, Error> {
    let victim = homes.first().copied().unwrap_or_default();
    let heir = victim + MASTERS;
    sleep(Duration::from_secs(3));
    nodes.kill(victim)?;
    let killed = Instant::now();
    println!("kill -9    node {}, the master of parts {}", nodes.get(victim)?.port, list(homes, victim));
    until("the replica is promoted", || nodes.get(heir).is_ok_and(nodes::Node::is_master))?;
    let after = killed.elapsed().as_secs_f32();
    println!(
        "failover   its replica {} is a master {after:.1} s after the kill; no replica of its own yet",
        nodes.get(heir)?.port
    );
    sleep(Duration::from_secs(2));
    nodes.start_again(victim)?;
    println!("restart    node {} is started again, and finds itself a replica", nodes.get(victim)?.port);
    until("the old master is in step", || nodes.get(victim).is_ok_and(nodes::Node::is_in_step))?;
    let before = board.pulses().map(|[_, confirmed, _]| confirmed.count);
    until("pushes are confirmed in all parts", || {
        board.pulses().iter().zip(before).all(|([_, confirmed, _], before)| confirmed.count > before)
    })?;
    println!("complete   {:.1} s after the kill everything is as before", killed.elapsed().as_secs_f32());
    sleep(Duration::from_secs(1));
    Ok(victim)
}

/// One line of all parts, twice a second, until the producers stop.
fn print_lines(board: &Board) {
    let started = Instant::now();
    let mut before = board.pulses();
    while !board.producers_stop.load(Relaxed) {
        sleep(LINE);
        let now = board.pulses();
        let parts = now.iter().zip(&before).map(|(now, before)| {
            let moved = |what: What| {
                let count = |pulses: &[board::Pulse; 3]| pulses.get(what as usize).map_or(0, |pulse| pulse.count);
                count(now) > count(before)
            };
            match (moved(What::Pushed), moved(What::Confirmed), moved(What::Completed)) {
                (_, true, true) => '#',
                (true, ..) | (.., true) => '~',
                _ => '.',
            }
        });
        let parts: String = parts.collect();
        let [confirmed, completed] = [1, 2].map(|what| sum(&now, what));
        println!("{:>5.1} s    {parts}    {confirmed:>6} confirmed {completed:>6} completed", started.elapsed().as_secs_f32());
        before = now;
    }
}

fn sum(pulses: &[[board::Pulse; 3]], what: usize) -> u64 {
    pulses.iter().filter_map(|pulses| pulses.get(what)).map(|pulse| pulse.count).sum()
}

/// Waits until as many tasks are completed as there are, over all parts.
fn all_ended(urls: &[String], tasks: usize) -> Result<(), Error> {
    let mut link = Link::new(urls)?;
    until("all tasks are completed", || (0..PARTS).map(|part| completed(&mut link, part)).sum::<u64>() >= tasks as u64)
}

/// How many tasks of a part were ever completed.
fn completed(link: &mut Link, part: usize) -> u64 {
    let info: Option<std::collections::HashMap<String, redis::Value>> = link.ask(&on(part, "TASK.INFO")).ok();
    let totals = info.and_then(|mut info| info.remove("totals"));
    let totals: Option<std::collections::HashMap<String, u64>> = totals.and_then(|totals| from_redis_value(totals).ok());
    totals.and_then(|totals| totals.get("completed").copied()).unwrap_or(0)
}

/// How long each part was without.
fn report(homes: &[usize], board: &Board, victim: usize) {
    println!("\n                          longest time without a push");
    println!("   part    tasks      answered     confirmed     or a task completed");
    for (part, [pushed, confirmed, done]) in board.pulses().iter().enumerate() {
        let [a, b, c] = [pushed, confirmed, done].map(|pulse| pulse.longest_gap.as_secs_f32());
        let note = if homes.get(part) == Some(&victim) { "   its master was killed" } else { "" };
        println!("{part:>7} {:>8} {a:>11.1} s {b:>11.1} s {c:>21.1} s{note}", confirmed.count);
    }
}

/// Asks for the result of each task that was confirmed, and counts what the queue has completed.
fn check(urls: &[String], ids: &[String], board: &Board) -> Result<(), Error> {
    let mut link = Link::new(urls)?;
    let mut lost = Vec::new();
    for id in ids {
        let mut command = on(part_of(id), "TASK.RESULT");
        command.arg(id).arg("BLOCK").arg(1_000);
        let answer: Option<(String, Option<String>)> = link.ask(&command)?;
        let expected = worker::work(&producer::payload_of(id));
        if !matches!(&answer, Some((state, Some(result))) if state == "completed" && *result == expected) {
            lost.push(format!("{id} in {}: {answer:?}", key(part_of(id))));
        }
    }
    let completed: u64 = (0..PARTS).map(|part| completed(&mut link, part)).sum();
    println!("\n{} tasks confirmed, {} with their result, {completed} results published", ids.len(), ids.len() - lost.len());
    println!("{} done by two workers, as the failover lost a claim or result that nobody had confirmed", board.done_again());
    for line in &lost {
        println!("LOST: {line}");
    }
    let exact = lost.is_empty() && completed == ids.len() as u64;
    println!("each confirmed task has its result, once: {}", if exact { "yes" } else { "NO" });
    if exact { Ok(()) } else { Err("tasks were lost or published twice".into()) }
}

/// The parts of a master.
fn list(homes: &[usize], master: usize) -> String {
    let parts = homes.iter().enumerate().filter(|(_, home)| **home == master);
    parts.map(|(part, _)| part.to_string()).collect::<Vec<_>>().join(", ")
}

fn join<T>(threads: Vec<ScopedJoinHandle<'_, Result<T, Error>>>) -> Result<Vec<T>, Error> {
    threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
}
