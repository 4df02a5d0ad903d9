//! worker [PORT]: works on the queue `sums` until SIGTERM.

use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUEUE: &str = "sums";
/// The task is not ours any more: nothing is wrong.
const REFUSED: [&str; 4] = ["NOTASK", "STALE", "CANCELED", "NOTCLAIMED"];
/// A failover, or a server that takes no writes now.
const AGAIN: [&str; 9] = ["UNBLOCKED", "TRYAGAIN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "BUSY"];

/// What a claim is answered with, but for the checkpoint.
type Task = (String, String, u32, u64, Option<Vec<u8>>);

enum Outcome {
    Done(String),
    Failed(String),
    /// We are to end, and give the task back.
    Stopped,
    /// The task was canceled, or another worker has it.
    Lost,
}

struct Worker {
    client: Client,
    connection: Option<Connection>,
    stopping: Arc<AtomicBool>,
}

impl Worker {
    fn stops(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Says a command until it is answered. None: the task is not ours any more, or we are to stop and have no task.
    fn ask<T: FromRedisValue>(&mut self, command: &Cmd, claims: bool) -> RedisResult<Option<T>> {
        loop {
            let error = match self.say(command) {
                Ok(reply) => return Ok(Some(reply)),
                Err(error) => error,
            };
            match error.code() {
                Some(code) if REFUSED.contains(&code) => return Ok(None),
                Some(code) if !AGAIN.contains(&code) => return Err(error), // a mistake of ours
                _ => eprintln!("{error}"),
            }
            self.connection = None; // the address may lead to a new master by now
            if claims && self.stops() {
                return Ok(None);
            }
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

    fn run(&mut self) -> RedisResult<()> {
        while !self.stops() {
            let claim = redis::cmd("TASK.CLAIM").arg(QUEUE).arg("WORKER").arg("rust").arg("BLOCK").arg(1000).to_owned();
            let Some(Some(task)) = self.ask::<Option<Task>>(&claim, true)? else { continue };
            let (id, _, attempt, ..) = &task;
            let mut answer = match self.work(&task)? {
                Outcome::Done(result) => redis::cmd("TASK.COMPLETE").arg(QUEUE).arg(id).arg(result).to_owned(),
                Outcome::Failed(error) => redis::cmd("TASK.FAIL").arg(QUEUE).arg(id).arg(error).to_owned(),
                Outcome::Stopped => redis::cmd("TASK.RELEASE").arg(QUEUE).arg(id).to_owned(),
                Outcome::Lost => continue,
            };
            self.ask::<()>(answer.arg("ATTEMPT").arg(attempt), false)?; // said again after a lost connection: safe
        }
        Ok(())
    }

    /// The work: here a sum of squares, made slow, with a heartbeat each third of the lease.
    fn work(&mut self, (id, payload, attempt, lease_ms, _): &Task) -> RedisResult<Outcome> {
        let number: u64 = match payload.parse() {
            Ok(number) => number,
            Err(error) => return Ok(Outcome::Failed(format!("{payload}: {error}"))),
        };
        let (mut sum, mut beaten) = (0, Instant::now());
        for n in 1..=number {
            if self.stops() {
                return Ok(Outcome::Stopped);
            }
            if beaten.elapsed() > Duration::from_millis(lease_ms / 3) {
                beaten = Instant::now();
                let mut extend = redis::cmd("TASK.EXTEND");
                if self.ask::<()>(extend.arg(QUEUE).arg(id).arg("ATTEMPT").arg(attempt), false)?.is_none() {
                    return Ok(Outcome::Lost);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
            sum += n * n;
        }
        Ok(Outcome::Done(sum.to_string()))
    }
}

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "6379".into());
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopping)).expect("a signal can be taken");
    }
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    Worker { client, connection: None, stopping }.run()
}
