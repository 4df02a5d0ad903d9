//! Nothing that anyone sends can take the server down: bytes for RESTORE, files to load, and commands, made up from a seed.
//!
//! `REDIS_TASK_SEED` chooses another seed than the one of the test.

mod commands;
mod dumps;
mod files;
mod limits;

use crate::support::{Server, Value};

const STATES: [&str; 8] = ["waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired"];

/// Commands that make a queue with tasks in all states, with ids of both kinds and all that tasks can have. Only what falls due at
/// once changes by itself.
const RICH: [&str; 43] = [
    "TASK.PUSH QUEUE payload ID done RETAIN -1",
    "TASK.CLAIM QUEUE WORKER w1",
    "TASK.COMPLETE QUEUE done \"a \\x00 result\"",
    "TASK.PUSH QUEUE payload ID dead",
    "TASK.CLAIM QUEUE WORKER w2",
    "TASK.FAIL QUEUE dead \"out of luck\" DEAD",
    "TASK.PUSH QUEUE payload ID gone",
    "TASK.CANCEL QUEUE gone",
    "TASK.PUSH QUEUE payload ID void",
    "TASK.CLAIM QUEUE WORKER w2 LEASE 900000",
    "TASK.CANCEL QUEUE void",
    "TASK.PUSH QUEUE \"\" ID late TTL 1",
    "TASK.PUSH QUEUE payload ID backs-off BACKOFF 900000 ATTEMPTS 9",
    "TASK.CLAIM QUEUE WORKER w1",
    "TASK.FAIL QUEUE backs-off \"try again\"",
    "TASK.PUSH QUEUE payload ID deferred PRIORITY 255",
    "TASK.CLAIM QUEUE WORKER w1",
    "TASK.RELEASE QUEUE deferred DELAY 900000",
    "TASK.PUSH QUEUE payload ID released",
    "TASK.CLAIM QUEUE WORKER w1",
    "TASK.RELEASE QUEUE released",
    "TASK.PUSH QUEUE payload ID held PRIORITY 9 TIMEOUT 900000 LEASE 900000 RETAINFAILED 0",
    "TASK.CLAIM QUEUE WORKER \"w\u{e9}\"",
    "TASK.EXTEND QUEUE held CHECKPOINT half",
    "TASK.PUSH QUEUE payload PRIORITY 9",
    "TASK.CLAIM QUEUE LEASE 800000",
    "TASK.PUSH QUEUE payload ID 7-7 TTL 900000",
    "TASK.PUSH QUEUE payload PRIORITY 3",
    "TASK.PUSH QUEUE payload DELAY 900000",
    "TASK.PUSH QUEUE payload ID later AT 281474976710655",
    "TASK.SCHEDULE QUEUE rare payload EVERY 315360000000 MISFIRE all TTL 5",
    "TASK.SET QUEUE EVENTS 40 MAXLEN 100000 RETAINMAX 900 FAILEDMAX 900 LEASE 700000",
    "TASK.SET QUEUE RATE 100000 600000 CONCURRENCY 900 GROUPCONCURRENCY 1",
    "TASK.PUSH QUEUE payload ID first GROUP g PRIORITY 9",
    "TASK.PUSH QUEUE payload ID second GROUP g",
    "TASK.PUSH QUEUE payload ID holder GROUP h UNIQUE key",
    "TASK.CLAIM QUEUE COUNT 3 WORKER w3 LEASE 900000",
    "TASK.PUSH QUEUE newer ID follower UNIQUE key FOR 800000 REPLACE",
    "TASK.PUSH QUEUE payload ID unique UNIQUE other FOR 900000 DELAY 900000",
    "TASK.PUSH QUEUE payload ID member BATCH b DELAY 900000",
    "TASK.PUSH QUEUE payload ID reduce AFTERBATCH b ONFAIL run",
    "TASK.PUSH QUEUE payload ID dependant AFTER 2 unique member",
    "TASK.SCHEDULE QUEUE leap-day \"\" CRON \"0 0 29 2 *\" TZ Europe/Berlin OVERLAP skip LEASE 7",
];

/// Makes that queue.
#[track_caller]
fn make_rich(server: &Server, queue: &str) {
    for line in RICH {
        let line = line.replace("QUEUE", queue);
        let reply = server.run(&line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        if line.contains("TTL 1") {
            server.wait_until_expired(queue, "late");
        }
    }
}

impl Server {
    #[track_caller]
    fn wait_until_expired(&self, queue: &str, id: &str) {
        crate::support::eventually_eq(|| self.state(queue, id), "expired");
    }

    /// Runs commands in one transaction, so that no time passes between them, and gives their replies.
    #[track_caller]
    fn at_once(&self, commands: &[Vec<&[u8]>]) -> Vec<Value> {
        let mut client = self.client();
        client.run("MULTI");
        for command in commands {
            let queued = client.cmd(command);
            assert_eq!(queued, "QUEUED");
        }
        client.run("EXEC").items().to_vec()
    }
}
