//! typed [PORT]: a queue with types, from the push to the results.

mod task_queue;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use task_queue::{Error, Lost, Outcome, Queue};

#[derive(Serialize, Deserialize)]
struct Job {
    n: i64,
}

fn work(n: i64) -> Result<i64, String> {
    if n < 0 { Err("negative".into()) } else { Ok(n * n) }
}

fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "6379".into());
    let mut connection = redis::Client::open(format!("redis://127.0.0.1:{port}"))?.get_connection()?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?; // longer than BLOCK
    let r = &mut connection;
    let squares = Queue::<Job, i64>::new("squares");

    for n in 1..=5 {
        squares.push(r, &format!("some:{n}"), &Job { n }, &[("BATCH", "some")])?;
    }
    squares.seal(r, "some")?;
    let wrong = squares.push(r, "wrong", &Job { n: -1 }, &[("ATTEMPTS", "1"), ("PRIORITY", "5")])?;
    while let Some(task) = squares.claim(r, "typed", 100)? {
        squares.extend(r, &task, None)?;
        match work(task.payload.n) {
            Ok(result) => squares.complete(r, &task, &result)?,
            Err(error) => drop(squares.fail(r, &task, &error)?),
        }
    }

    let mut results = Vec::new();
    squares.collect(r, "some", |_, outcome| {
        if let Outcome::Completed(result) = outcome {
            results.push(result.to_string());
        }
    })?;
    println!("{}", results.join(" "));
    match squares.outcome(r, &wrong)?.ok_or("no task")? {
        Outcome::Completed(result) => println!("completed {result}"),
        Outcome::Failed(error) => println!("failed {error}"),
        Outcome::Other(state) => println!("{state}"),
    }

    squares.push(r, "lost", &Job { n: 7 }, &[])?;
    let first = squares.claim(r, "typed", 100)?.ok_or("no task")?;
    squares.extend(r, &first, Some(b"half"))?;
    squares.release(r, &first)?;
    let second = squares.claim(r, "typed", 100)?.ok_or("no task")?;
    let _: u32 = redis::cmd("TASK.CANCEL").arg(&squares.name).arg(&second.id).query(r)?;
    let refused = squares.complete(r, &second, &49).is_err_and(|error| error.is::<Lost>());
    let checkpoint = second.checkpoint.unwrap_or_default();
    println!("lost {refused}, {} done, {} ms", String::from_utf8_lossy(&checkpoint), second.lease_ms);
    Ok(())
}
