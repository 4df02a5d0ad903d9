//! producer [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult};
use std::time::{Duration, SystemTime};

const QUEUE: &str = "sums";
/// A failover, or a server that takes no writes now.
const AGAIN: [&str; 9] = ["UNBLOCKED", "TRYAGAIN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "BUSY"];

struct Link {
    client: Client,
    connection: Option<Connection>,
}

impl Link {
    /// Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        loop {
            let error = match self.say(command) {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.code().is_some_and(|code| !AGAIN.contains(&code)) {
                return Err(error);
            }
            eprintln!("{error}");
            self.connection = None; // the address may lead to a new master by now
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn say<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        if self.connection.is_none() {
            let connection = self.client.get_connection_with_timeout(Duration::from_secs(5))?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?; // longer than BLOCK
            self.connection = Some(connection);
        }
        command.query(self.connection.as_mut().expect("it was made"))
    }
}

fn main() -> RedisResult<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "6379".into());
    let run = arguments.next().unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        format!("{}-{}", now.as_nanos(), std::process::id())
    });
    let mut numbers: Vec<String> = arguments.collect();
    if numbers.is_empty() {
        numbers = (1..=10).map(|n| n.to_string()).collect();
    }
    let mut link = Link { client: Client::open(format!("redis://127.0.0.1:{port}"))?, connection: None };

    for number in &numbers {
        let mut push = redis::cmd("TASK.PUSH");
        push.arg(QUEUE).arg(number).arg("ID").arg(format!("{run}:{number}")).arg("BATCH").arg(&run);
        link.ask::<()>(push.arg("ATTEMPTS").arg(3).arg("BACKOFF").arg(200))?;
    }
    link.ask::<()>(redis::cmd("TASK.SEAL").arg(QUEUE).arg(&run))?;

    let (mut cursor, mut remaining, mut completed) = ("0".to_owned(), -1, 0);
    while remaining != 0 {
        let ends: Vec<(String, String, Option<String>)>;
        (cursor, remaining, ends) = link.ask(redis::cmd("TASK.COLLECT").arg(QUEUE).arg(&run).arg(&cursor).arg("BLOCK").arg(1000))?;
        for (id, state, data) in ends {
            println!("{id} {state} {}", data.unwrap_or_default());
            completed += usize::from(state == "completed");
        }
    }
    std::process::exit(i32::from(completed != numbers.len()));
}
