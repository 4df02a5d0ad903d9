//! Minutes of mixed load over a master with an AOF and a replica: when it is over, everything is as it was before.
//!
//! The load comes in rounds. After each, all queues are drained to the last task and then deleted, and nothing may be left: no blocked
//! client, nothing in the module's own state, no memory; and the replica holds what the master does.

use crate::support::{Client, Dice, Server, Value, eventually, eventually_within, faulty_module, task::Claim};
use std::{
    env,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const QUEUES: [&str; 6] = ["soak:0", "soak:1", "soak:2", "soak:3", "soak:4", "soak:5"];
/// Tasks with ids of their own, in each queue.
const NAMES: u64 = 300;
/// Batches of each queue.
const BATCHES: u64 = 16;
/// Producers rest while a queue holds more tasks than this.
const TASKS_MAX: i64 = 3_000;
const ROUND: Duration = Duration::from_secs(15);
/// Rounds until all that the server keeps for good (tables, buffers, statistics of each command and error) has been made.
const WARM_UP: usize = 2;
/// How much more memory may be in use after the last round than after the warm-up.
///
/// The server's own tables and buffers come and go with the load: the backlog's blocks, the dictionary of keys, the buffers of the
/// replica's and the test's connection. A task that is lost costs at least 64 bytes, and a round has some ten thousands.
const TOLERANCE_BYTES: i64 = 131_072;
/// Errors that the load must expect, since everybody acts on everybody's tasks and keys.
const EXPECTED: [&str; 15] = [
    "NOTASK",
    "CANCELED",
    "STALE",
    "NOTCLAIMED",
    "DONE",
    "PAUSED",
    "QUEUEFULL",
    "WRONGTYPE",
    "ERR no such key",
    "ERR source and destination objects",
    "ERR BATCH names a sealed batch",
    "ERR BATCH names a batch that tasks wait for",
    "ERR BATCH must name the task's own batch",
    "ERR AFTERBATCH names the task's own batch",
    "ERR syntax error: REPLACE does not go with",
];

/// A queue without limits, but for its events.
const NO_LIMITS: &str = "RATE 0 0 CONCURRENCY 0 GROUPCONCURRENCY 0 MAXLEN 0 RETAINMAX 0 FAILEDMAX 0 PAUSED no \
    LEASE default ATTEMPTS default RETAIN default";

/// What one client of the load does again and again. Answers how many commands that were.
type Step = fn(&mut Client, &mut Dice, u16) -> usize;

/// Who takes part, each with a connection of its own.
const CAST: [Step; 12] =
    [push, push, work, work, work, wait_for_results, wait_for_results, collect, follow, manage, vanish, disturb];

fn queue(dice: &mut Dice) -> &'static str {
    dice.pick(&QUEUES)
}

#[track_caller]
fn expected(line: &str, reply: &Value) {
    if let Value::Error(message) = reply {
        assert!(EXPECTED.iter().any(|code| message.starts_with(code)), "{line}: {message}");
    }
}

/// Runs lines whose errors are all expected ones.
fn run_each(client: &mut Client, lines: &[String]) -> usize {
    for (line, reply) in lines.iter().zip(client.run_each(lines)) {
        expected(line, &reply);
    }
    lines.len()
}

/// Pushes tasks with all kinds of options.
fn push(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let queue = queue(dice);
    let lines: Vec<_> = (0..=dice.roll(19)).map(|_| push_line(dice, queue)).collect();
    let info = client.run(&format!("TASK.INFO {queue}"));
    if !info.is_error()
        && ["waiting", "ready", "scheduled", "completed", "failed"].iter().map(|state| info.field(state).int()).sum::<i64>()
            > TASKS_MAX
    {
        thread::sleep(Duration::from_millis(20));
        return 1;
    }
    thread::sleep(Duration::from_millis(dice.roll(8)));
    1 + run_each(client, &lines)
}

fn push_line(dice: &mut Dice, queue: &str) -> String {
    let size = if dice.roll(50) == 0 { dice.roll(20_000) } else { dice.roll(300) };
    let mut line = format!("TASK.PUSH {queue} \"{}\"", "p".repeat(usize::try_from(size).expect("a size")));
    let mut add = |dice: &mut Dice, one_in: u64, option: &dyn Fn(u64) -> String| {
        if dice.roll(one_in) == 0 {
            line.push(' ');
            line.push_str(&option(dice.roll(1 << 20)));
        }
    };
    add(dice, 2, &|n| format!("ID task-{} {}", n % NAMES, ["", "RENEW", "NX"][usize::try_from(n % 3).expect("an index")]));
    add(dice, 3, &|n| format!("PRIORITY {}", n % 256));
    add(dice, 4, &|n| format!("DELAY {}", n % 1_500));
    add(dice, 6, &|n| format!("TTL {}", 1_500 + n % 1_000));
    add(dice, 3, &|n| format!("ATTEMPTS {}", 1 + n % 4));
    add(dice, 3, &|n| format!("BACKOFF {}", 1 + n % 100));
    add(dice, 4, &|n| format!("LEASE {}", 1 + n % 500));
    add(dice, 6, &|n| format!("TIMEOUT {}", 1 + n % 500));
    add(dice, 3, &|n| format!("RETAIN {}", (n % 2_000).cast_signed() - 1));
    add(dice, 4, &|n| format!("RETAINFAILED {}", (n % 3_000).cast_signed() - 1));
    let replace = ["", "REPLACE", "FOR 300", "FOR 900 REPLACE"];
    add(dice, 8, &|n| format!("UNIQUE key-{} {}", n % NAMES, replace[usize::try_from(n % 4).expect("an index")]));
    add(dice, 4, &|n| format!("BATCH batch-{} {}", n % BATCHES, if n % 37 == 0 { "SEAL" } else { "" }));
    add(dice, 4, &|n| format!("GROUP group-{}", n % 100));
    let on_fail = ["", "ONFAIL fail", "ONFAIL run"];
    let after = match dice.roll(20) {
        0 | 1 => format!("AFTER 2 task-{} task-{} {}", dice.roll(NAMES), dice.roll(NAMES), dice.pick(&on_fail)),
        2 => format!("AFTERBATCH batch-{} {}", dice.roll(BATCHES), dice.pick(&on_fail)),
        _ => String::new(),
    };
    format!("{line} {after}")
}

/// Claims, waiting or not, and ends what it has got in one way or another, or forgets it.
fn work(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let queue = queue(dice);
    let block = if dice.roll(3) == 0 { String::new() } else { format!("BLOCK {}", 1 + dice.roll(200)) };
    let session = if dice.roll(6) == 0 { "SESSION" } else { "" };
    let line = format!(
        "TASK.CLAIM {queue} COUNT {} WORKER w{} LEASE {} {session} {block}",
        1 + dice.roll(30),
        dice.roll(200),
        5 + dice.roll(400)
    );
    let reply = client.run(&line);
    expected(&line, &reply);
    if reply.is_nil() || reply.is_error() {
        thread::sleep(Duration::from_millis(dice.roll(5)));
        return 1;
    }
    let mut lines = Vec::new();
    for Claim { id, attempt, .. } in Claim::all_of(&reply) {
        let said = format!("{queue} {id}");
        let fence = format!("ATTEMPT {attempt}");
        match dice.roll(16) {
            0..=6 => lines.push(format!(
                "TASK.COMPLETE {said} {} {fence}",
                "r".repeat(usize::try_from(1 + dice.roll(200)).expect("a size"))
            )),
            7 => lines.push(format!("TASK.COMPLETE {said} result {fence} RETAIN {}", dice.roll(100))),
            8 => lines
                .push(format!("TASK.FAIL {said} {} {fence}", "e".repeat(usize::try_from(1 + dice.roll(100)).expect("a size")))),
            9 => lines.push(format!("TASK.FAIL {said} error {fence} {}", dice.pick(&["DEAD", "DELAY 0", "DELAY 20"]))),
            10 => lines.push(format!("TASK.RELEASE {said} {fence} DELAY {}", dice.roll(20))),
            11 | 12 => {
                lines.push(format!(
                    "TASK.EXTEND {said} {fence} LEASE {} CHECKPOINT {}",
                    1 + dice.roll(300),
                    dice.pick(&["c", "half-way"])
                ));
                lines.push(format!("TASK.COMPLETE {said} done {fence}"));
            }
            13 => lines.push(format!("TASK.MEXTEND {queue} 1 {id} {attempt} LEASE {}", 1 + dice.roll(300))),
            14 => lines.push(format!(
                "EVAL \"return redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], 'r', 'ATTEMPT', ARGV[2])\" 1 {said} {attempt}"
            )),
            _ => {}
        }
    }
    1 + run_each(client, &lines)
}

/// Waits for the end of some task.
fn wait_for_results(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let line = format!("TASK.RESULT {} task-{} BLOCK {}", queue(dice), dice.roll(NAMES), 1 + dice.roll(300));
    run_each(client, &[line])
}

/// Reads some pages of a batch.
fn collect(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let (queue, batch) = (queue(dice), dice.roll(BATCHES));
    let mut cursor = "0".to_owned();
    for said in 1..=1 + usize::try_from(dice.roll(6)).expect("a count") {
        let (count, block) = (1 + dice.roll(50), 1 + dice.roll(200));
        let line = format!("TASK.COLLECT {queue} batch-{batch} {cursor} COUNT {count} BLOCK {block}");
        let reply = client.run(&line);
        expected(&line, &reply);
        if reply.is_error() {
            thread::sleep(Duration::from_millis(dice.roll(20)));
            return said;
        }
        cursor = reply.at(0).text();
    }
    6
}

/// Reads some pages of a log.
fn follow(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let queue = queue(dice);
    let mut cursor = dice.pick(&["0", "$", "$"]).to_owned();
    for said in 1..=1 + usize::try_from(dice.roll(6)).expect("a count") {
        let (count, block) = (1 + dice.roll(200), 1 + dice.roll(200));
        let line = format!("TASK.EVENTS {queue} {cursor} COUNT {count} BLOCK {block}");
        let reply = client.run(&line);
        expected(&line, &reply);
        if reply.is_error() {
            thread::sleep(Duration::from_millis(dice.roll(20)));
            return said;
        }
        cursor = reply.at(0).text();
    }
    6
}

/// What a queue sets for itself. A pause ends by itself; other limits are lifted as often as they are set.
fn settings(dice: &mut Dice) -> String {
    let n = dice.roll(200);
    match dice.roll(16) {
        0 => format!("RATE {} {}", 1 + n, 1 + dice.roll(500)),
        1 => format!("CONCURRENCY {}", 1 + n),
        2 => format!("GROUPCONCURRENCY {}", 1 + n % 3),
        3 => format!("MAXLEN {}", 500 + n),
        4 => format!("RETAINMAX {n} FAILEDMAX {n}"),
        5 => format!("PAUSED {} FOR {}", dice.pick(&["in", "out", "all"]), 1 + n),
        6 => format!("LEASE {} ATTEMPTS 2 RETAIN {n}", 1 + n),
        7..=10 => format!("EVENTS {}", n * 10),
        11 => "EVENTS 0".into(),
        _ => NO_LIMITS.into(),
    }
}

/// What happens to whole queues, and by hand to tasks.
fn manage(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    let (a, b, id, batch) = (queue(dice), queue(dice), dice.roll(NAMES), dice.roll(BATCHES));
    let lines = match dice.roll(40) {
        0 => vec![format!("RENAME {a} {b}")],
        1 => vec![format!("COPY {a} {b} REPLACE")],
        2 => vec![format!("DEL {a}")],
        3 => vec![format!("UNLINK {a}")],
        4 => vec![format!("PEXPIRE {a} {}", 1 + dice.roll(500))],
        5 if client.moves_well() => vec![format!("MOVE {a} 1")],
        6 => vec!["SWAPDB 0 1".into()],
        7 => vec![format!("SET {a} text PX 30")],
        8 => vec![
            "MULTI".into(),
            push_line(dice, a),
            format!("TASK.CLAIM {a} BLOCK 5 LEASE 200"),
            format!("DEL {b}"),
            "EXEC".into(),
        ],
        9 if dice.roll(10) == 0 => vec![dice.pick(&["FLUSHALL ASYNC", "FLUSHDB SYNC"]).into()],
        11 => vec![format!("TASK.CANCEL {a} task-{id} task-{}", dice.roll(NAMES))],
        12 => vec![format!("TASK.RETRY {a} ALL COUNT {}", 1 + dice.roll(100))],
        13 => vec![format!("TASK.RETRY {a} task-{id}")],
        14 | 15 => vec![format!("TASK.FORGET {a} ALL COUNT {}", 1 + dice.roll(1_000))],
        16 => vec![format!("TASK.FORGET {a} task-{id}")],
        17 => vec![format!("TASK.LIST {a} {} 0", dice.pick(&["ready", "claimed", "completed", "failed", "scheduled"]))],
        18 => vec![format!("TASK.GET {a} task-{id}"), format!("TASK.INFO {a}"), format!("MEMORY USAGE {a}")],
        19 => {
            let dump = client.cmd(&[b"DUMP", a.as_bytes()]);
            if let Value::Bulk(dump) = dump {
                expected("RESTORE", &client.cmd(&[b"RESTORE", b.as_bytes(), b"0", &dump, b"REPLACE"]));
            }
            vec![]
        }
        20 => vec![format!("TASK.CANCEL {a} BATCH batch-{batch} COUNT {}", 1 + dice.roll(500))],
        21 => vec![format!("TASK.RETRY {a} BATCH batch-{batch} COUNT {}", 1 + dice.roll(50))],
        22..=24 => vec![format!("TASK.SEAL {a} batch-{batch}"), format!("TASK.BATCH {a} batch-{batch}")],
        25..=28 => vec![
            format!("TASK.SEAL {a} batch-{batch}"),
            format!("TASK.CANCEL {a} BATCH batch-{batch}"),
            format!("TASK.FORGET {a} BATCH batch-{batch}"),
        ],
        29 | 30 => vec![format!("TASK.SCHEDULE {a} s-{batch} x EVERY {} OVERLAP skip RETAIN 0", 50 + dice.roll(500))],
        31 => vec![format!("TASK.UNSCHEDULE {a} s-{batch}"), format!("TASK.SCHEDULES {a}")],
        32 => vec![format!("TASK.EXPLAIN {a} task-{id}")],
        33..=36 => vec![format!("TASK.SET {a} {}", settings(dice))],
        37 => vec![format!("TASK.SET {a} {NO_LIMITS}")],
        _ => vec![],
    };
    thread::sleep(Duration::from_millis(dice.roll(40)));
    run_each(client, &lines)
}

/// A client that waits, and goes away or is sent away. Or a pause of writes, and nobody vanishes meanwhile: CLIENT UNBLOCK of a client
/// that a pause holds up ends Redis 7.0, whatever its command was.
fn vanish(client: &mut Client, dice: &mut Dice, port: u16) -> usize {
    if dice.roll(20) == 0 {
        client.run("CLIENT PAUSE 5000 WRITE");
        thread::sleep(Duration::from_millis(dice.roll(40)));
        client.run("CLIENT UNPAUSE");
        return 2;
    }
    let mut waiting = Client::connect(port);
    let id = waiting.id();
    let line = match dice.roll(5) {
        4 => format!("TASK.EVENTS {} $ BLOCK 0", queue(dice)),
        3 => format!("TASK.COLLECT {} batch-{} 0 BLOCK 0", queue(dice), dice.roll(BATCHES)),
        0 => format!("TASK.RESULT {} task-{} BLOCK 0", queue(dice), dice.roll(NAMES)),
        1 => format!("TASK.CLAIM {} COUNT 3 SESSION BLOCK 0 LEASE 300", queue(dice)),
        _ => format!("TASK.CLAIM {} BLOCK {} LEASE 300", queue(dice), dice.roll(1_000)),
    };
    waiting.send(&line);
    thread::sleep(Duration::from_millis(dice.roll(20)));
    match dice.roll(5) {
        0 => drop(client.run(&format!("CLIENT KILL ID {id}"))),
        1 => drop(client.run(&format!("CLIENT UNBLOCK {id}"))),
        2 => drop(client.run(&format!("CLIENT UNBLOCK {id} ERROR"))),
        _ => {}
    }
    drop(waiting);
    3
}

/// Rewrites the AOF, and cuts the replica off.
fn disturb(client: &mut Client, dice: &mut Dice, _: u16) -> usize {
    thread::sleep(Duration::from_millis(dice.roll(400)));
    match dice.roll(10) {
        0 => drop(client.run("BGREWRITEAOF")),
        1 if dice.roll(3) == 0 => drop(client.run("CLIENT KILL TYPE replica")),
        _ => return 0,
    }
    1
}

/// The cast at work, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(server: &Server, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let port = server.port();
        let play = |(step, n): (Step, u64)| {
            let (stop, mut dice) = (stop.clone(), Dice::new(seed ^ (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            thread::spawn(move || {
                let mut client = Client::connect(port);
                let mut commands = 0;
                while !stop.load(Ordering::Relaxed) {
                    commands += step(&mut client, &mut dice, port);
                }
                commands
            })
        };
        let clients = CAST.into_iter().zip(0..).map(play).collect();
        Self { stop, clients }
    }

    /// Answers how many commands it has run.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("a load without a surprise")).sum()
    }
}

/// Ends every task of every queue, waiting for leases and delays, and deletes the queues. Answers the most bytes that an empty one took.
fn drain(server: &Server) -> i64 {
    let mut client = server.client();
    let mut bytes_max = 0;
    for db in [0, 1] {
        client.run(&format!("SELECT {db}"));
        for queue in QUEUES.into_iter().chain(["soak:0"]) {
            eventually_within(Duration::from_secs(20), || drain_once(&mut client, queue));
            let bytes = client.run(&format!("MEMORY USAGE {queue}"));
            bytes_max = bytes_max.max(if bytes.is_nil() { 0 } else { bytes.int() });
            client.run(&format!("DEL {queue}"));
        }
        assert_eq!(client.run("DBSIZE"), 0);
    }
    bytes_max
}

/// Ends what can be ended now; true if the queue is empty or gone.
fn drain_once(client: &mut Client, queue: &str) -> bool {
    if client.run(&format!("TYPE {queue}")) != "taskqueue" {
        return true;
    }
    client.run(&format!("TASK.SET {queue} {NO_LIMITS}"));
    let claims = client.run(&format!("TASK.CLAIM {queue} COUNT 1000"));
    if !claims.is_nil() && !claims.is_error() {
        let lines: Vec<_> = Claim::all_of(&claims)
            .into_iter()
            .map(|Claim { id, attempt, .. }| format!("TASK.COMPLETE {queue} {id} done ATTEMPT {attempt} RETAIN 0"))
            .collect();
        run_each(client, &lines);
    }
    client.run(&format!("TASK.FORGET {queue} ALL COUNT 10000"));
    let schedules: Vec<_> = (0..BATCHES).map(|n| format!("s-{n}")).collect();
    client.run(&format!("TASK.UNSCHEDULE {queue} {}", schedules.join(" ")));
    // What is not sealed is never done, and keeps its tasks and those that wait for it.
    for batch in 0..BATCHES {
        if client.run(&format!("TASK.BATCH {queue} batch-{batch}")).is_nil() {
            continue;
        }
        run_each(client, &[format!("TASK.SEAL {queue} batch-{batch}"), format!("TASK.FORGET {queue} BATCH batch-{batch}")]);
    }
    let info = client.run(&format!("TASK.INFO {queue}"));
    let states = ["waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired"];
    info.is_error() || states.iter().all(|state| info.field(state) == 0)
}

/// Waits until nothing is under way any more, and asserts that nothing is left of the round.
#[track_caller]
fn nothing_is_left(master: &Server, replica: &Server) {
    let patience = Duration::from_secs(30);
    master.wait_for_blocked(0);
    for server in [master, replica] {
        eventually_within(patience, || {
            ["lazyfree_pending_objects", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"]
                .iter()
                .all(|field| server.info(field) == "0")
        });
    }
    eventually_within(patience, || {
        replica.info("master_link_status") == "up" && replica.info("slave_repl_offset") == master.info("master_repl_offset")
    });
    eventually_within(patience, || master.info("connected_clients") == "1");
    assert_eq!(master.digest(), replica.digest());
    // A timer that was set for something that is gone fires in vain, within a minute.
    let is_empty = |server: &Server| {
        let state = server.run("TASK.STATE any");
        state.items().chunks(2).all(|pair| pair[0] == "timers" || pair[1] == 0)
    };
    for server in [master, replica] {
        eventually(|| is_empty(server));
    }
}

fn used(server: &Server) -> i64 {
    server.info("used_memory").parse().expect("bytes")
}

/// Rounds of load for `length`, each of which leaves nothing behind.
fn soak(module: &Path, length: Duration, round: Duration) {
    let builder = || Server::builder().module(module).config("repl-backlog-size", "65536").config("slowlog-max-len", "0");
    let master = builder().aof().start();
    let replica = builder().aof_without_preamble().replica_of(&master).start();
    master.wait_for_replica(&replica);
    let seed = env::var("REDIS_TASK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_50a4);
    let start = Instant::now();
    let mut rounds: Vec<[i64; 2]> = Vec::new();
    let mut commands = 0;
    while start.elapsed() < length || rounds.len() <= WARM_UP {
        let load = Load::start(&master, seed + rounds.len() as u64);
        thread::sleep(round);
        let ran = load.stop();
        commands += ran;
        let loaded = used(&master);
        let replica_held = {
            master.run("CLIENT UNPAUSE");
            drain(&master)
        };
        nothing_is_left(&master, &replica);
        rounds.push([used(&master), used(&replica)]);
        println!(
            "round {}: {ran} commands; master {loaded} bytes, then {}, replica {}; an emptied queue took up to {replica_held}",
            rounds.len(),
            used(&master),
            used(&replica),
        );
    }
    // Too long for every run of the tests.
    for server in [&master, &replica].into_iter().filter(|_| length >= ROUND) {
        eventually_within(Duration::from_secs(65), || server.run("TASK.STATE any").items().chunks(2).all(|pair| pair[1] == 0));
    }
    let (before, after) = (rounds[WARM_UP - 1], rounds[rounds.len() - 1]);
    println!("{commands} commands in {} rounds, {:?}", rounds.len(), start.elapsed());
    for (name, before, after) in [("master", before[0], after[0]), ("replica", before[1], after[1])] {
        println!("{name}: {before} bytes after the warm-up, {after} at the end");
        assert!(after - before < TOLERANCE_BYTES, "the {name} uses {} bytes more than after the warm-up", after - before);
    }
}

/// A short soak, in every run of the tests.
#[test]
fn seconds_of_mixed_load_leave_nothing() {
    soak(&faulty_module("dev"), Duration::from_secs(5), Duration::from_millis(1_500));
}

/// `REDIS_TASK_SOAK_MINUTES` of it, ten by default.
#[test]
#[ignore = "long: make soak"]
fn minutes_of_mixed_load_leave_nothing() {
    let minutes = env::var("REDIS_TASK_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(10);
    soak(&faulty_module("release"), Duration::from_secs(60 * minutes), ROUND);
}
