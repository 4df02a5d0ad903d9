//! The workers: processes that run this program again. One of them will not live to see the end.

use std::collections::HashMap;
use std::env::current_exe;
use std::io::{self, IsTerminal, stdout};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use redis::{FromRedisValue, Value};

use crate::link::Link;
use crate::{Error, QUEUE, TICK};

pub(crate) struct Crew(Vec<Child>);

impl Crew {
    pub(crate) fn hire(url: &str, size: usize) -> io::Result<Crew> {
        let names = (1..=size).map(|number| format!("worker-{number}"));
        Ok(Crew(names.map(|name| hire(url, &name)).collect::<Result<_, _>>()?))
    }

    /// Fails if no worker is left.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let works = |worker: &mut Child| matches!(worker.try_wait(), Ok(None));
        if self.0.iter_mut().any(works) { Ok(()) } else { Err("all workers are gone".into()) }
    }
}

/// Asks the workers to stop, by the end of their stdin, and waits until they have.
impl Drop for Crew {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|worker| drop(worker.stdin.take()));
        for worker in &mut self.0 {
            let _ = worker.wait();
        }
    }
}

fn hire(url: &str, name: &str) -> io::Result<Child> {
    Command::new(current_exe()?).args(["worker", url, name]).stdin(Stdio::piped()).spawn()
}

/// Hires one more worker, kills it in the middle of the job and of a task, and tells what becomes
/// of that task.
pub(crate) fn lose_one(url: &str, name: &str, tasks: u64) -> Result<(), Error> {
    let mut link = Link::new(url)?;
    let (id, attempt, killed) = loop {
        let mut victim = hire(url, name)?;
        sleep(TICK);
        while completed(&mut link)? * 4 < tasks {
            sleep(TICK);
        }
        if completed(&mut link)? >= tasks {
            print("no worker was killed, as all was done too soon: name a larger folder");
            drop(victim.stdin.take());
            return Ok(victim.wait().map(drop)?);
        }
        victim.kill()?; // SIGKILL: it has no last word
        victim.wait()?;
        let killed = Instant::now();
        sleep(TICK); // for the server to read what it may have said before
        if let Some((id, attempt)) = claim_of(&mut link, name)? {
            break (id, attempt, killed);
        } // else it was between two tasks: once more
    };
    print(&format!("{name} killed with kill -9; it had {id}, attempt {attempt}"));
    while number(&mut link, &["TASK.GET", QUEUE, &id], "attempt")? == attempt {
        sleep(TICK);
    }
    let (now, after) = (attempt + 1, killed.elapsed().as_secs_f32());
    print(&format!("{id} came back as attempt {now} after {after:.1} s"));
    Ok(())
}

/// How many tasks are done.
fn completed(link: &mut Link) -> Result<u64, Error> {
    number(link, &["TASK.INFO", QUEUE], "completed")
}

/// One number of a map.
fn number(link: &mut Link, command: &[&str], field: &str) -> Result<u64, Error> {
    let map: HashMap<String, Value> = link.ask(command)?;
    let value = map.get(field).ok_or_else(|| format!("{command:?} says nothing of {field}"))?;
    Ok(u64::from_redis_value_ref(value)?)
}

/// The id and attempt of the task that the worker has claimed.
fn claim_of(link: &mut Link, worker: &str) -> Result<Option<(String, u64)>, Error> {
    let page: Vec<Value> = link.ask(&["TASK.LIST", QUEUE, "claimed", "0", "COUNT", "1000"])?;
    let claims = page.get(1).unwrap_or(&Value::Nil);
    for claim in Vec::<Vec<Option<String>>>::from_redis_value_ref(claims)? {
        match claim.as_slice() {
            [Some(id), Some(attempt), _, Some(name), ..] if name == worker => {
                return Ok(Some((id.clone(), attempt.parse()?)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Prints a line where the bar is.
pub(crate) fn print(line: &str) {
    let clear = if stdout().is_terminal() { "\r\x1b[K" } else { "" };
    println!("{clear}         {line}");
}
