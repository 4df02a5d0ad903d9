//! A connection to the cluster that outlives its breaks.

use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{Cmd, ConnectionLike, FromRedisValue, Pipeline, RedisResult, cmd, pipe};

use crate::parts::key;

/// How long WAIT waits for the replica, in milliseconds.
const CONFIRM_MS: u64 = 100;

/// What became of a push.
#[derive(PartialEq)]
pub(crate) enum Pushed {
    /// The master took it, and a replica has it too.
    Confirmed,
    /// The master took it. If it dies now, the task may be lost.
    Answered,
}

pub(crate) struct Link {
    client: ClusterClient,
    connection: Option<ClusterConnection>,
}

impl Link {
    pub(crate) fn new(urls: &[String]) -> RedisResult<Link> {
        let client = ClusterClient::builder(urls.iter().map(String::as_str))
            .retries(3)
            .connection_timeout(Duration::from_secs(1))
            .response_timeout(Duration::from_secs(3))
            .build()?;
        Ok(Link { client, connection: None })
    }

    /// Says a command. After an error the next one goes out on a new connection, which learns who has which slot.
    pub(crate) fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.on_connection(|connection| command.query(connection))
    }

    /// Pushes a task, in a way that may be repeated until it is confirmed.
    ///
    /// WAIT speaks of what was written last *on its own connection*. So it goes out in one packet with the push, to the one node
    /// that has the part. And because a repeated push writes nothing, so that WAIT would have nothing to wait for, each packet
    /// writes a mark of its own, which is later in the replication stream than any push before it.
    pub(crate) fn push(&mut self, part: usize, id: &str, payload: &str) -> RedisResult<Pushed> {
        let queue = key(part);
        let mut packet = pipe();
        packet.cmd("TASK.PUSH").arg(&queue).arg(payload).arg("ID").arg(id).arg("LEASE").arg(crate::LEASE_MS);
        packet.cmd("SET").arg(format!("{queue}:mark")).arg(id);
        packet.cmd("WAIT").arg(1).arg(CONFIRM_MS);
        let (_, _, replicas): (String, String, u64) = self.on_connection(|connection| in_one_packet(&packet, connection))?;
        Ok(if replicas >= 1 { Pushed::Confirmed } else { Pushed::Answered })
    }

    fn on_connection<T>(&mut self, run: impl FnOnce(&mut ClusterConnection) -> RedisResult<T>) -> RedisResult<T> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.get_connection()?,
        };
        let connection = self.connection.insert(connection);
        let answer = run(connection);
        // An answer such as STALE is one: the connection is well.
        if answer.as_ref().is_err_and(|error| !error.code().is_some_and(crate::worker::has_ended)) {
            self.connection = None;
        }
        answer
    }
}

/// Sends all to the node that has the first command's key, and again if it is sent elsewhere.
fn in_one_packet<T: FromRedisValue>(packet: &Pipeline, connection: &mut ClusterConnection) -> RedisResult<T> {
    let answers = connection.req_packed_commands(&packet.get_packed_pipeline(), 0, packet.len())?;
    Ok(T::from_redis_value(redis::Value::Array(answers))?)
}

/// A command on a part.
pub(crate) fn on(part: usize, name: &str) -> Cmd {
    let mut command = cmd(name);
    command.arg(key(part));
    command
}
