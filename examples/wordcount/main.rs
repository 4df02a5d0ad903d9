//! Word count by map-reduce: a folder of text is cut into tasks, worker processes count their words, others of the
//! tasks, which wait for these, add up a part of the words each, a worker is killed, and the sum is compared with what
//! one process counts alone.
//!
//!     make demo      or      cargo run --release --example wordcount [-- FOLDER]
//!
//! How tasks are pushed and results collected: here. What a map and a reduce do: `mapreduce.rs`. How a worker is
//! written: `worker.rs`.

use std::cmp::Reverse;
use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::thread::{self, available_parallelism};
use std::time::{Duration, Instant};

use crate::crew::Crew;
use crate::link::Link;
use crate::mapreduce::{Job, SECTION};
use crate::server::Server;
use crate::text::{Counts, Piece};

mod crew;
mod link;
mod mapreduce;
mod server;
mod text;
mod worker;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The queue: a key like any other.
const QUEUE: &str = "words";

/// The batches: all tasks that map, and all that reduce.
const MAPS: &str = "maps";
const REDUCES: &str = "reduces";

/// Into how many parts the words are divided: as many tasks reduce.
const PARTS: usize = 4;

/// An answer of `TASK.COLLECT`: the next cursor, how many tasks are still to come (-1: nobody knows yet), and of each that
/// has ended its id, state, and result or error.
type Page = (String, i64, Vec<(String, String, Option<String>)>);

/// How soon the task of a dead worker comes back. Those alive extend theirs.
const LEASE_MS: &str = "1000";

/// The longest that an attempt may take, however often it is extended: the end of one that hangs.
const TIMEOUT_MS: &str = "60000";

/// A task's share of the text, if there is enough for some hundreds.
const TASK_BYTES: u64 = 1 << 20;

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
    push(&mut link, tasks)?;
    let (mut words, mut shared) = (0, Counts::new());
    collect(&mut link, MAPS, &mut crew, |result| {
        words += result.split(SECTION).flat_map(text::parse).map(|(_, count)| count).sum::<u64>();
        format!("{words} words")
    })?;
    collect(&mut link, REDUCES, &mut crew, |result| {
        shared.extend(text::parse(result).map(|(word, count)| (word.to_owned(), count)));
        format!("{} distinct words", shared.len())
    })?;
    let shared_took = started.elapsed();
    last.join().map_err(|_| "lose_one panicked")??;
    drop(crew);

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

/// Pushes all tasks at once: those that reduce wait, in the server, until those that map are completed.
fn push(link: &mut Link, maps: Vec<Vec<Piece>>) -> Result<(), Error> {
    for (number, pieces) in maps.into_iter().enumerate() {
        push_one(link, &format!("map-{number}"), &Job::Map(pieces), &["BATCH", MAPS])?;
    }
    link.ask::<u64>(&["TASK.SEAL", QUEUE, MAPS])?;
    for part in 0..PARTS {
        push_one(link, &format!("reduce-{part}"), &Job::Reduce { part }, &["BATCH", REDUCES, "AFTERBATCH", MAPS])?;
    }
    link.ask::<u64>(&["TASK.SEAL", QUEUE, REDUCES])?;
    Ok(())
}

/// With an id of our own, so that a push said twice adds nothing.
fn push_one(link: &mut Link, id: &str, job: &Job, options: &[&str]) -> Result<(), Error> {
    let (payload, limits) = (serde_json::to_string(job)?, ["LEASE", LEASE_MS, "TIMEOUT", TIMEOUT_MS]);
    Ok(link.ask(&[&["TASK.PUSH", QUEUE, &payload, "ID", id], &limits[..], options].concat())?)
}

/// Takes the results of a batch as its tasks end, in whatever order, until it has all. Each does end, if only by its
/// TIMEOUT, as long as there is a worker. The cursor says what we have: with it we could go on over another connection, or
/// after a restart.
fn collect(link: &mut Link, batch: &str, crew: &mut Crew, mut take: impl FnMut(&str) -> String) -> Result<(), Error> {
    let (mut cursor, mut done, mut sum) = ("0".to_owned(), 0, String::new());
    loop {
        let (next, remaining, ends): Page = link.ask(&["TASK.COLLECT", QUEUE, batch, &cursor, "BLOCK", "500"])?;
        for (id, state, data) in ends {
            let data = data.unwrap_or_default();
            if state != "completed" {
                return Err(format!("{id} is {state}: {data}").into());
            }
            sum = take(&data);
            done += 1;
        }
        if remaining == 0 {
            crew::print(&format!("{done} {batch} collected: {sum}"));
            return Ok(());
        }
        draw(batch, done, done + remaining, &sum);
        crew.check()?;
        cursor = next;
    }
}

/// Draws the bar over itself; nothing where no one watches.
fn draw(batch: &str, done: i64, total: i64, sum: &str) {
    if stdout().is_terminal() {
        let bar: String = (0..40).map(|at| if at * total < done * 40 { '#' } else { '.' }).collect();
        print!("\r\x1b[K{batch:<8} {bar} {done} of {total}: {sum}");
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
