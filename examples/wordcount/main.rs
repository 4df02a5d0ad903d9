//! Word count, shared out: a folder of text is cut into tasks, worker processes count their words,
//! one of them is killed, and the sum is compared with what one process counts alone.
//!
//!     make demo      or      cargo run --release --example wordcount [-- FOLDER]
//!
//! How a worker is written: `worker.rs`. How tasks are pushed and results collected: here.

use std::cmp::Reverse;
use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use crate::crew::Crew;
use crate::link::Link;
use crate::server::Server;
use crate::text::{Counts, Piece};

mod crew;
mod link;
mod server;
mod text;
mod worker;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The queue: a key like any other.
const QUEUE: &str = "words";

/// How soon the task of a dead worker comes back. Those alive extend theirs.
const LEASE_MS: &str = "1000";

/// The longest that an attempt may take, however often it is extended: the end of one that hangs.
const TIMEOUT_MS: &str = "60000";

/// A task's share of the text, if there is enough for some hundreds.
const TASK_BYTES: u64 = 1 << 20;

/// How long we wait for any one result.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often we look at what is going on.
const TICK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (first, url, name) = (arguments.next(), arguments.next(), arguments.next());
    let done = match (first.as_deref(), url, name) {
        (Some("worker"), Some(url), Some(name)) => worker::run(&url, &name),
        (folder, None, None) => demo(folder),
        _ => Err("usage: wordcount [FOLDER]".into()),
    };
    if let Err(error) = done {
        eprintln!("wordcount: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn demo(folder: Option<&str>) -> Result<(), Error> {
    let files = text::files(folder)?;
    let bytes: u64 = files.iter().map(|file| file.to).sum();
    let tasks = text::cut_into_tasks(&files, TASK_BYTES.min(bytes / 200 + 1))?;
    let (file_count, task_count) = (files.len(), tasks.len());
    println!("text     {file_count} files, {bytes} bytes, {task_count} tasks");
    let server = Server::start()?;
    let mut link = Link::new(&server.url)?;

    let started = Instant::now();
    let workers = available_parallelism()?.get().max(4);
    let mut crew = Crew::hire(&server.url, workers - 1)?;
    let (url, last) = (server.url.clone(), format!("worker-{workers}"));
    let last = thread::spawn(move || crew::lose_one(&url, &last, task_count as u64));
    let ids = push(&mut link, &tasks)?;
    let shared = collect(&mut link, &ids, &mut crew)?;
    let shared_took = started.elapsed();
    last.join().map_err(|_| "lose_one panicked")??;
    drop(crew);
    crew::print(&format!("{task_count} results collected"));

    println!("check    one process counts the same files");
    let started = Instant::now();
    let mut alone = Counts::new();
    for file in &files {
        text::count_file(&file.path, &mut alone)?;
    }
    compare(&shared, &alone);
    let took = [shared_took, started.elapsed()].map(|took| took.as_secs_f32());
    println!("{:>17} {:>13.1}s {:>13.1}s", "time", took[0], took[1]);
    println!("identical: {}", if shared == alone { "yes" } else { "NO" });
    if shared == alone { Ok(()) } else { Err("the counts differ".into()) }
}

/// Pushes the tasks and answers their ids: our own, so that a push said twice adds nothing.
fn push(link: &mut Link, tasks: &[Vec<Piece>]) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        let (payload, id) = (serde_json::to_string(task)?, format!("part-{number}"));
        let options = ["ID", &id, "LEASE", LEASE_MS, "TIMEOUT", TIMEOUT_MS];
        ids.push(link.ask(&[&["TASK.PUSH", QUEUE, &payload][..], &options].concat())?);
    }
    Ok(ids)
}

/// Waits for each task's result and adds them up.
fn collect(link: &mut Link, ids: &[String], crew: &mut Crew) -> Result<Counts, Error> {
    let mut sum = Counts::new();
    let mut drawn = Instant::now();
    for id in ids {
        let give_up = Instant::now() + PATIENCE;
        let result = loop {
            if drawn.elapsed() > TICK {
                drawn = Instant::now();
                draw(crew::completed(link)?, ids.len() as u64);
                crew.check()?;
            }
            let answer: Vec<Option<String>> = link.ask(&["TASK.RESULT", QUEUE, id, "BLOCK", "50"])?;
            match answer.as_slice() {
                [Some(state), Some(result), ..] if state == "completed" => break result.clone(),
                [Some(state), ..] if is_open(state) && Instant::now() < give_up => {}
                other => return Err(format!("no result of {id}: {other:?}").into()),
            }
        };
        for (word, count) in serde_json::from_str::<Counts>(&result)? {
            *sum.entry(word).or_default() += count;
        }
    }
    Ok(sum)
}

fn is_open(state: &str) -> bool {
    matches!(state, "waiting" | "scheduled" | "ready" | "claimed")
}

/// Draws the bar over itself; nothing where no one watches.
fn draw(done: u64, total: u64) {
    if stdout().is_terminal() {
        let bar: String = (0..40).map(|at| if at * total < done * 40 { '#' } else { '.' }).collect();
        print!("\r         {bar} {done} of {total} tasks");
        let _ = stdout().flush();
    }
}

/// Prints both counts side by side: the most frequent words, and all.
fn compare(shared: &Counts, alone: &Counts) {
    let mut words: Vec<_> = alone.iter().filter(|(word, _)| word.chars().count() > 3).collect();
    words.sort_by_key(|(word, count)| (Reverse(**count), *word));
    println!("{:>17} {:>14} {:>14}", "4 letters or more", "workers", "one process");
    for (word, count) in words.into_iter().take(10) {
        println!("{word:>17} {:>14} {count:>14}", shared.get(word).unwrap_or(&0));
    }
    let total = |counts: &Counts| counts.values().sum::<u64>();
    println!("{:>17} {:>14} {:>14}", "all words", total(shared), total(alone));
    println!("{:>17} {:>14} {:>14}", "distinct", shared.len(), alone.len());
}
