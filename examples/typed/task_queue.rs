//! A queue with types, over the redis crate: a file to copy. Payloads are `P` and results `R`, sent as JSON.
//!
//! How a worker lives through failovers and ends on SIGTERM is its own: docs/clients/rust.md has one.

use redis::{Connection, FromRedisValue, ToRedisArgs};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;

/// A queue by its name.
pub(crate) struct Queue<P, R> {
    pub(crate) name: String,
    types: PhantomData<(P, R)>,
}

/// A claim.
pub(crate) struct Task<P> {
    pub(crate) id: String,
    pub(crate) payload: P,
    pub(crate) attempt: u32,
    pub(crate) lease_ms: u64,
    pub(crate) checkpoint: Option<Vec<u8>>,
}

/// What became of a task.
pub(crate) enum Outcome<R> {
    Completed(R),
    Failed(String),
    /// Another state: `ready`, `claimed`, `canceled`.
    Other(String),
}

pub(crate) type Error = Box<dyn std::error::Error>;

/// The task is not ours any more: it was canceled, or another worker has it. Nothing is wrong.
#[derive(Debug)]
pub(crate) struct Lost(String);

impl std::error::Error for Lost {}
impl Display for Lost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

type Reply = (String, String, Option<Vec<u8>>);

impl<P: Serialize + DeserializeOwned, R: Serialize + DeserializeOwned> Queue<P, R> {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), types: PhantomData }
    }

    /// With an id of yours the push may be said again. Options as in `&[("BATCH", "maps"), ("PRIORITY", "5")]`.
    pub(crate) fn push(&self, r: &mut Connection, id: &str, payload: &P, options: &[(&str, &str)]) -> Result<String, Error> {
        self.say(r, "TASK.PUSH", (serde_json::to_vec(payload)?, "ID", id, options))
    }

    /// No more tasks will come to the batch; answers how many there are.
    pub(crate) fn seal(&self, r: &mut Connection, batch: &str) -> Result<u64, Error> {
        self.say(r, "TASK.SEAL", batch)
    }

    /// A task, or None. The connection's read timeout has to be longer than `block_ms`. A payload that cannot be read fails for good.
    pub(crate) fn claim(&self, r: &mut Connection, worker: &str, block_ms: u64) -> Result<Option<Task<P>>, Error> {
        type Claimed = (String, Vec<u8>, u32, u64, Option<Vec<u8>>);
        let claimed: Option<Claimed> = self.say(r, "TASK.CLAIM", ("WORKER", worker, "BLOCK", block_ms))?;
        let Some((id, payload, attempt, lease_ms, checkpoint)) = claimed else { return Ok(None) };
        match serde_json::from_slice(&payload) {
            Ok(payload) => Ok(Some(Task { id, payload, attempt, lease_ms, checkpoint })),
            Err(error) => {
                let () = self.say(r, "TASK.FAIL", (id, format!("the payload: {error}"), "ATTEMPT", attempt, "DEAD"))?;
                Ok(None)
            }
        }
    }

    /// The heartbeat: say it each third of `lease_ms`.
    pub(crate) fn extend(&self, r: &mut Connection, task: &Task<P>, checkpoint: Option<&[u8]>) -> Result<(), Error> {
        let checkpoint = checkpoint.map(|data| ("CHECKPOINT", data));
        self.say(r, "TASK.EXTEND", (&task.id, "ATTEMPT", task.attempt, checkpoint.as_slice()))
    }

    pub(crate) fn complete(&self, r: &mut Connection, task: &Task<P>, result: &R) -> Result<(), Error> {
        self.say(r, "TASK.COMPLETE", (&task.id, serde_json::to_vec(result)?, "ATTEMPT", task.attempt))
    }

    /// Answers the state that the task has by it: `scheduled`, `ready` or `failed`.
    pub(crate) fn fail(&self, r: &mut Connection, task: &Task<P>, error: &str) -> Result<String, Error> {
        self.say(r, "TASK.FAIL", (&task.id, error, "ATTEMPT", task.attempt))
    }

    pub(crate) fn release(&self, r: &mut Connection, task: &Task<P>) -> Result<(), Error> {
        self.say(r, "TASK.RELEASE", (&task.id, "ATTEMPT", task.attempt))
    }

    /// What has become of a task; None if there is no such task.
    pub(crate) fn outcome(&self, r: &mut Connection, id: &str) -> Result<Option<Outcome<R>>, Error> {
        let reply: Option<(String, Option<Vec<u8>>)> = self.say(r, "TASK.RESULT", id)?;
        reply.map(|(state, data)| outcome(state, data)).transpose()
    }

    /// Gives the outcomes of a batch to `each` as its tasks end, until it is sealed and all have.
    pub(crate) fn collect(&self, r: &mut Connection, batch: &str, mut each: impl FnMut(String, Outcome<R>)) -> Result<(), Error> {
        let (mut cursor, mut remaining) = ("0".to_owned(), -1);
        while remaining != 0 {
            let ends: Vec<Reply>;
            (cursor, remaining, ends) = self.say(r, "TASK.COLLECT", (batch, cursor, "BLOCK", 1000))?;
            for (id, state, data) in ends {
                each(id, outcome(state, data)?);
            }
        }
        Ok(())
    }

    fn say<T: FromRedisValue>(&self, r: &mut Connection, command: &str, words: impl ToRedisArgs) -> Result<T, Error> {
        redis::cmd(command).arg(&self.name).arg(words).query(r).map_err(|error| match error.code() {
            Some("NOTASK" | "STALE" | "CANCELED" | "NOTCLAIMED") => Lost(error.to_string()).into(),
            _ => error.into(),
        })
    }
}

fn outcome<R: DeserializeOwned>(state: String, data: Option<Vec<u8>>) -> Result<Outcome<R>, Error> {
    let data = data.unwrap_or_default();
    Ok(match state.as_str() {
        "completed" => Outcome::Completed(serde_json::from_slice(&data)?),
        "failed" => Outcome::Failed(String::from_utf8_lossy(&data).into_owned()),
        _ => Outcome::Other(state),
    })
}
