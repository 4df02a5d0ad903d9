//! A seeded walk through all commands: at its end master, replica, AOF and RDB hold the same bytes.

use crate::support::{Dice, Server, Shutdown, Value, eventually};

const STEPS: usize = 2_000;

/// What a queue sets for itself.
const SETTINGS: [&str; 18] = [
    "RATE 3 10",
    "RATE 0 0",
    "CONCURRENCY 2",
    "CONCURRENCY 0",
    "GROUPCONCURRENCY 1",
    "GROUPCONCURRENCY 2",
    "GROUPCONCURRENCY 0",
    "RETAINMAX 5 FAILEDMAX 3",
    "RETAINMAX 0 FAILEDMAX 0",
    "PAUSED all FOR 5",
    "PAUSED out FOR 20",
    "MAXLEN 20",
    "MAXLEN 0",
    "LEASE 9 ATTEMPTS 2 RETAIN 20",
    "LEASE default ATTEMPTS default RETAIN default",
    "EVENTS 500",
    "EVENTS 20",
    "EVENTS 0",
];

/// One command, mostly sensible, on one of few tasks, with times of a few milliseconds.
fn step(dice: &mut Dice) -> String {
    let queue = dice.pick(&["jobs", "jobs", "jobs", "mails"]);
    let (id, ms, attempt, batch) = (dice.roll(60), dice.roll(30), 1 + dice.roll(4), dice.roll(4));
    match dice.roll(39) {
        0..=4 => {
            let options = dice.pick(&[
                "",
                "NX",
                "GROUP g1",
                "GROUP g2 RENEW",
                "DELAY 7",
                "TTL 9",
                "ATTEMPTS 1",
                "RETAIN 5 RETAINFAILED 6",
                "RENEW",
                "TIMEOUT 12",
            ]);
            format!("TASK.PUSH {queue} \"p{ms}\\x00\" ID {id} PRIORITY {} BACKOFF {ms} {options}", ms % 4)
        }
        5 => format!("TASK.PUSH {queue} made{ms} ATTEMPTS 2 BACKOFF 5 RETAIN {ms} GROUP g{batch}"),
        6..=9 => format!("TASK.CLAIM {queue} COUNT {} LEASE {} WORKER w{}", 1 + ms % 4, 1 + ms, ms % 5),
        10 | 11 => format!("TASK.COMPLETE {queue} {id} result{ms} ATTEMPT {attempt}"),
        12 => format!("TASK.COMPLETE {queue} {id} result{ms} RETAIN {ms}"),
        13 => format!("TASK.FAIL {queue} {id} error{ms} {}", dice.pick(&["", "DEAD", "DELAY 0", "DELAY 5"])),
        14 => format!("TASK.RELEASE {queue} {id} ATTEMPT {attempt} DELAY {}", ms % 3),
        15 => format!("TASK.EXTEND {queue} {id} LEASE {} CHECKPOINT c{ms}", 1 + ms),
        16 => format!("TASK.CANCEL {queue} {id} {ms}"),
        17 => format!("TASK.RETRY {queue} {}", dice.pick(&["ALL COUNT 3", "1 2 3", "7"])),
        18 => format!("TASK.MPUSH {queue} 2 a{ms} b{ms} PRIORITY {} RETAIN {ms}", ms % 4),
        19 => format!("TASK.COMPLETE {queue} {id} result{ms} NEXT LEASE {} COUNT 2 WORKER w{}", 1 + ms, ms % 5),
        20 => format!("TASK.MCOMPLETE {queue} 2 {id} {attempt} x 7 1 y NEXT BLOCK 1 LEASE 4"),
        21 => format!("TASK.FORGET {queue} {}", dice.pick(&["ALL COUNT 2", "4 5 6", "8"])),
        22 | 23 => {
            let options =
                dice.pick(&["", "GROUP g3", "SEAL", "RETAIN 5 RETAINFAILED 6", "RENEW", "AFTER 1 7", "DELAY 3", "SEAL RETAIN 0"]);
            format!("TASK.PUSH {queue} member{ms} ID {id} BATCH b{batch} {options}")
        }
        24 => {
            let on_fail = dice.pick(&["", "ONFAIL run", "ONFAIL fail RETAINFAILED 4", "TTL 15", "DELAY 5 ONFAIL run"]);
            let on = if dice.roll(2) == 0 { format!("AFTER 2 {ms} {}", ms + 9) } else { format!("AFTERBATCH b{batch}") };
            format!("TASK.PUSH {queue} waits ID {id} {on} {on_fail}")
        }
        25 => format!("TASK.MPUSH {queue} 3 a b c BATCH b{batch} RETAIN {ms}"),
        26 => format!("TASK.SEAL {queue} b{batch}"),
        27 => format!("TASK.COLLECT {queue} b{batch} 0 COUNT {} BLOCK 1", 1 + ms),
        28 => format!("TASK.{} {queue} BATCH b{batch} COUNT {}", dice.pick(&["CANCEL", "RETRY"]), 1 + ms),
        29 => format!("TASK.FORGET {queue} BATCH b{batch}"),
        30 => format!("TASK.BATCH {queue} b{batch}"),
        31 | 32 => {
            let flow = dice.pick(&SETTINGS);
            format!("TASK.SET {queue} {flow}")
        }
        33 | 34 => {
            let hold = dice.pick(&["", "", "FOR 20", "REPLACE", "REPLACE", "FOR 30 REPLACE", "REPLACE DELAY 4", "NX"]);
            let options = dice.pick(&["", "RETAIN 0", "RETAINFAILED 5", "TTL 9", "RENEW", "BATCH b1", "ATTEMPTS 0 BACKOFF 3"]);
            format!("TASK.PUSH {queue} unique{ms} ID {id} UNIQUE k{batch} {hold} {options}")
        }
        35 => {
            let misfire = dice.pick(&["", "MISFIRE skip", "MISFIRE all OVERLAP skip", "OVERLAP skip TTL 9", "UNIQUE k1 REPLACE"]);
            format!("TASK.SCHEDULE {queue} s{batch} scheduled{ms} EVERY {} RETAIN {ms} {misfire}", 3 + ms)
        }
        36 => format!("TASK.UNSCHEDULE {queue} s{batch}"),
        37 => {
            let cursor = dice.pick(&["0", "0", "$", "1", "70", "300"]);
            format!("TASK.EVENTS {queue} {cursor} COUNT {} BLOCK 1", 1 + ms)
        }
        _ => dice
            .pick(&[
                "RENAME jobs mails",
                "COPY jobs mails REPLACE",
                "DEL mails",
                "TASK.CALL jobs called BLOCK 1 RETAIN 4",
                "TASK.RELEASE jobs 7 NEXT LEASE 3",
                "TASK.FAIL jobs 8 no NEXT LEASE 3",
                "TASK.GATHER jobs 3 7 8 9 BLOCK 1",
                "TASK.GET jobs 7",
                "TASK.LIST jobs ready 0",
                "TASK.INFO jobs",
                r#"EVAL "return redis.call('TASK.CLAIM', KEYS[1], 'LEASE', 3)" 1 jobs"#,
                "TASK.CLAIM jobs BLOCK 2 LEASE 4",
                "TASK.MCLAIM 2 mails jobs COUNT 2 LEASE 4",
                "TASK.CLAIM jobs SESSION LEASE 4",
                "TASK.MCLAIM 2 jobs mails SESSION COUNT 3 LEASE 4",
            ])
            .to_owned(),
    }
}

fn dumps(server: &Server) -> (String, Vec<u8>, Vec<u8>) {
    (server.digest(), server.dump("jobs"), server.dump("mails"))
}

/// Waits until time has done all that it will do soon.
fn settle(server: &Server) {
    let busy = |queue: &str| {
        let info = server.run(&format!("TASK.INFO {queue}"));
        ["claimed", "scheduled"].into_iter().any(|state| info.field(state) != 0)
    };
    let mut last = dumps(server);
    let mut same = 0;
    eventually(|| {
        let now = dumps(server);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 25 && !busy("jobs") && !busy("mails")
    });
}

/// Walks over a master with an AOF and a replica with one of its own.
fn walk(mut dice: Dice) {
    let mut master = Server::builder().aof().start();
    let mut replica = Server::builder().aof_without_preamble().replica_of(&master).start();
    master.wait_for_replica(&replica);
    eventually(|| replica.info("aof_rewrite_in_progress") == "0" && replica.info("aof_rewrite_scheduled") == "0");
    let mut client = master.client();
    for n in 0..STEPS {
        let line = step(&mut dice);
        // Its sessions end.
        if dice.roll(100) == 0 {
            client = master.client();
        }
        if let Value::Error(message) = client.run(&line) {
            let known = [
                "NOTASK",
                "CANCELED",
                "STALE",
                "NOTCLAIMED",
                "ERR no such key",
                "ERR BATCH names a",
                "ERR BATCH must",
                "ERR AFTERBATCH",
                "PAUSED",
                "QUEUEFULL",
                "ERR the cursor is ahead",
            ];
            assert!(known.iter().any(|code| message.starts_with(code)), "step {n}, {line}: {message}");
        }
    }
    drop(client);
    for queue in ["jobs", "mails"] {
        // What has slots does not settle.
        master.run(&format!("TASK.UNSCHEDULE {queue} s0 s1 s2 s3"));
        master.run(&format!("TASK.SCHEDULE {queue} rare x CRON \"0 0 29 2 *\""));
    }
    settle(&master);
    eventually(|| replica.digest() == master.digest());
    let before = dumps(&master);
    assert!(dumps(&replica) == before, "the replica differs");
    master.run("DEBUG RELOAD");
    assert!(dumps(&master) == before, "the RDB differs");
    master.crash_and_restart();
    assert!(dumps(&master) == before, "the AOF differs");
    master.restart(Shutdown::NoSave);
    drop(master);
    replica.crash_and_restart();
    assert!(dumps(&replica) == before, "the replica's AOF differs");
}

/// A walk of 2,000 commands leaves the same bytes everywhere; `REDIS_TASK_SEED` walks elsewhere.
#[test]
fn a_walk_leaves_the_same_bytes_everywhere() {
    walk(Dice::asked_or(0x5eed_cafe));
}
