//! A connection to the server that outlives its breaks.

use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Client, Connection, FromRedisValue, RedisError, RedisResult, RetryMethod};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Link {
    client: Client,
    connection: Option<Connection>,
}

impl Link {
    pub(crate) fn new(url: &str) -> RedisResult<Link> {
        Ok(Link { client: Client::open(url)?, connection: None })
    }

    /// Says a command, and says it again if the connection broke or the server is loading its data.
    ///
    /// All we say may be said twice: a push with its ID, and COMPLETE, FAIL and RELEASE with their
    /// ATTEMPT, change nothing the second time; a CLAIM whose answer was lost ends with its lease.
    pub(crate) fn ask<T: FromRedisValue>(&mut self, command: &[&str]) -> RedisResult<T> {
        let give_up = Instant::now() + PATIENCE;
        let (name, arguments) = command.split_first().unwrap_or((&"", &[]));
        loop {
            let answer = match self.connection.take() {
                Some(connection) => Ok(connection),
                None => self.client.get_connection(),
            }
            .and_then(|connection| redis::cmd(name).arg(arguments).query(self.connection.insert(connection)));
            match answer {
                Err(error) if Instant::now() < give_up && worth_it(&error) => {
                    self.connection = None;
                    sleep(Duration::from_millis(100));
                }
                answer => return answer,
            }
        }
    }
}

fn worth_it(error: &RedisError) -> bool {
    !matches!(error.retry_method(), RetryMethod::NoRetry)
}
