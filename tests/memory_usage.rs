//! MEMORY USAGE tells the truth, to ten per cent: what `used_memory` grows by when queues come to be.

use crate::support::{Client, Server, eventually, now_ms};

/// Queues of one shape: so many of them, so many tasks in each, and the lines that make one. In these `#` counts the tasks,
/// `%100` is a payload of 100 bytes, and `LATER` is an instant.
struct Shape {
    name: &'static str,
    queues: usize,
    tasks: usize,
    lines: &'static [&'static str],
}

const fn large(name: &'static str, lines: &'static [&'static str]) -> Shape {
    Shape { name, queues: 1, tasks: 10_000, lines }
}

const fn small(name: &'static str, tasks: usize, lines: &'static [&'static str]) -> Shape {
    Shape { name, queues: 1_000, tasks, lines }
}

const PUSH: &str = "TASK.PUSH q %100";
const CLAIM: &str = "TASK.CLAIM q LEASE 900000";

const SHAPES: &[Shape] = &[
    large("waiting, without a payload", &["TASK.PUSH q \"\""]),
    large("waiting, payloads of 20 bytes", &["TASK.PUSH q %20"]),
    large("waiting, payloads of 100 bytes", &[PUSH]),
    large("waiting, payloads of 129 bytes", &["TASK.PUSH q %129"]),
    large("waiting, payloads of 520 bytes", &["TASK.PUSH q %520"]),
    Shape { name: "waiting, 100,000 of them", queues: 1, tasks: 100_000, lines: &[PUSH] },
    Shape { name: "waiting, payloads of 9,000 bytes", queues: 1, tasks: 2_000, lines: &["TASK.PUSH q %9000"] },
    large("ids of their own", &["TASK.PUSH q %100 ID mail-to-someone-#"]),
    large("options", &["TASK.PUSH q %100 ATTEMPTS 5 BACKOFF 70 LEASE 900000"]),
    large("options, others for each task", &["TASK.PUSH q %100 BACKOFF 1#"]),
    large("priorities", &["TASK.PUSH q %100 PRIORITY 7", "TASK.PUSH q %100 PRIORITY 3"]),
    large("groups of one task", &["TASK.PUSH q %100 GROUP group-number-#"]),
    large("groups of four tasks", &["TASK.PUSH q %100 GROUP group-number-#"; 4]),
    large("a single group", &["TASK.PUSH q %100 GROUP g"]),
    large("groups of one claimed task", &["TASK.PUSH q %100 GROUP group-number-#", CLAIM]),
    large("a TTL each", &["TASK.PUSH q %100 TTL 90#000"]),
    large("scheduled, an instant each", &["TASK.PUSH q %100 DELAY 90#000"]),
    large("scheduled, all for one instant", &["TASK.PUSH q %100 AT LATER"]),
    large("claimed", &[PUSH, CLAIM]),
    large("claimed, a lease each", &[PUSH, "TASK.CLAIM q LEASE 90#000"]),
    large("claimed, a worker each", &[PUSH, "TASK.CLAIM q LEASE 900000 WORKER worker-number-#"]),
    large("claimed, with checkpoints", &["TASK.PUSH q %100 ID #", CLAIM, "TASK.EXTEND q # CHECKPOINT %32"]),
    large("claimed, with a timeout", &["TASK.PUSH q %100 TIMEOUT 9000000", CLAIM]),
    large("released", &["TASK.PUSH q %100 ID #", CLAIM, "TASK.RELEASE q #"]),
    large("completed, with results", &["TASK.PUSH q %100 ID #", CLAIM, "TASK.COMPLETE q # %32 RETAIN -1"]),
    large("failed, with errors", &["TASK.PUSH q %100 ID #", CLAIM, "TASK.FAIL q # %32 DEAD"]),
    small("queues of one task", 1, &[PUSH]),
    small("queues of one delayed task", 1, &["TASK.PUSH q %100 DELAY 900000"]),
    small("queues of one claimed task", 1, &[PUSH, "TASK.CLAIM q LEASE 900000 WORKER worker-number-#"]),
    small("queues of five tasks", 5, &["TASK.PUSH q %20"]),
    small("queues of five tasks with ids of their own", 5, &["TASK.PUSH q %20 ID mail-to-someone-#"]),
    small("queues of one task with a group", 1, &["TASK.PUSH q %100 GROUP #"]),
    small("queues of one failed task", 1, &["TASK.PUSH q x ID #", CLAIM, "TASK.FAIL q # %32 DEAD"]),
    small("emptied queues", 1, &["TASK.PUSH q x ID #", CLAIM, "TASK.COMPLETE q # x RETAIN 0"]),
];

impl Shape {
    fn make(&self, client: &mut Client, name: &str) {
        let later = (now_ms() + 900_000).to_string();
        for queue in 0..self.queues {
            let queue = format!(" {name}{queue} ");
            for line in self.lines {
                let mut line = format!("{line} ").replace(" q ", &queue).replace("LATER", &later);
                for size in [9_000, 520, 129, 100, 32, 20] {
                    line = line.replace(&format!("%{size}"), &"p".repeat(size));
                }
                let lines: Vec<_> = (0..self.tasks).map(|n| line.replace('#', &n.to_string())).collect();
                assert!(client.run_each(&lines).iter().all(|reply| !reply.is_error()), "{}", self.name);
            }
        }
    }

    /// Bytes that the server grew by, and what MEMORY USAGE says of the queues.
    fn measure(&self, server: &Server) -> (i64, i64) {
        let used = |server: &Server| server.info("used_memory").parse::<i64>().expect("bytes");
        let mut client = server.client();
        // Once in vain, so that buffers and tables that stay are there already.
        self.make(&mut client, "vain");
        client.run("FLUSHALL SYNC");
        eventually(|| server.info("lazyfree_pending_objects") == "0");
        let before = used(server);
        self.make(&mut client, "queue");
        let grown = used(server) - before;
        let lines: Vec<_> = (0..self.queues).map(|n| format!("MEMORY USAGE queue{n}")).collect();
        let told = client.run_each(&lines).iter().map(crate::support::Value::int).sum();
        client.run("FLUSHALL SYNC");
        (grown, told)
    }
}

/// Every shape within ten per cent.
#[test]
fn it_is_right_to_ten_per_cent() {
    let server = Server::start();
    let mut wrong = Vec::new();
    for shape in SHAPES {
        let (grown, told) = shape.measure(&server);
        let per_mille = (told - grown) * 1_000 / grown;
        let each = i64::try_from(shape.queues * shape.tasks).expect("a count");
        let line = format!("{:45} {:6} bytes each, told {:6}: {per_mille:+} per mille", shape.name, grown / each, told / each);
        println!("{line}");
        if per_mille.abs() > 100 {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
