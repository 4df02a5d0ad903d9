//! The module's sections of INFO: what concerns all queues of a server.

use crate::support::{Server, eventually, eventually_eq, int};
use std::{fs, thread, time::Duration};

/// A field of the module's sections, as a number.
#[track_caller]
fn field(server: &Server, name: &str) -> u64 {
    let value = server.info(&format!("task_{name}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}"))
}

/// Counts each kind of event, over all queues, whatever has become of them.
#[test]
fn counts_events() {
    let server = Server::start();
    server.run_all(&[
        "TASK.MPUSH jobs 3 x x x",
        "TASK.PUSH mail x ID a DELAY 1",
        "TASK.CLAIM jobs COUNT 2",
        "TASK.PUSH jobs x ID b ATTEMPTS 1 PRIORITY 9 BATCH c SEAL",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs b no",
        "TASK.PUSH jobs x ID d PRIORITY 9",
        "TASK.CLAIM jobs LEASE 1",
    ]);
    server.wait_for_state("d", "ready");
    eventually_eq(|| server.state("mail", "a"), "ready".to_owned());
    server.run_all(&["TASK.CLAIM mail", "TASK.COMPLETE mail a done RETAIN 0", "TASK.CANCEL jobs d", "DEL jobs"]);
    for (event, count) in [
        ("push", 6),
        ("ready", 1),
        ("claim", 5),
        ("lapse", 1),
        ("fail", 1),
        ("complete", 1),
        ("drop", 1),
        ("cancel", 1),
        ("batch", 1),
        ("retry", 0),
        ("release", 0),
        ("expire", 0),
    ] {
        assert_eq!(field(&server, &format!("events_{event}")), count, "{event}");
    }
}

/// A replica counts what it applies; a restart begins anew, and what an AOF tells of has happened before.
#[test]
fn counts_since_the_start() {
    let mut server = Server::builder().aof_without_preamble().start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x", "TASK.CLAIM jobs"]);
    server.wait_for_replica(&replica);
    assert_eq!((field(&replica, "events_push"), field(&replica, "events_claim")), (1, 1));
    let bytes = field(&server, "replicated_bytes");
    assert!((10..1_000).contains(&bytes), "{bytes}");
    assert_eq!(field(&replica, "replicated_bytes"), 0);
    server.crash_and_restart();
    assert_eq!(server.count("jobs", "claimed"), 1);
    assert_eq!((field(&server, "events_push"), field(&server, "replicated_bytes")), (0, 0));
}

/// Clients that wait are counted by what for, each once on however many queues or for however many tasks.
#[test]
fn counts_who_waits() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a DELAY 100000", "TASK.PUSH jobs x ID b DELAY 100000 BATCH c"]);
    let waiting = [
        server.block("TASK.CLAIM jobs BLOCK 0"),
        server.block("TASK.MCLAIM 3 jobs mail mail BLOCK 0"),
        server.block("TASK.GATHER jobs 2 a b BLOCK 0"),
        server.block("TASK.COLLECT jobs c 0 BLOCK 0"),
        server.block("TASK.EVENTS jobs $ BLOCK 0"),
    ];
    let counts = || ["tasks", "results", "batches", "events"].map(|what| field(&server, &format!("waiting_for_{what}")));
    assert_eq!(counts(), [2, 1, 1, 1]);
    let workers = |queue: &str| server.run(&format!("TASK.INFO {queue}")).field("waiting-workers");
    assert_eq!((workers("jobs"), workers("mail"), workers("none")), (int(2), int(1), int(0)));
    server.run("SELECT 1");
    assert_eq!(workers("jobs"), 0);
    server.run("SELECT 0");
    drop(waiting);
    eventually(|| counts() == [0; 4]);
}

/// Queues in which something falls due and connections with sessions are counted.
#[test]
fn counts_what_the_agenda_knows() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH still x", "TASK.PUSH jobs x DELAY 100000", "TASK.PUSH mail x DELAY 100000"]);
    assert_eq!(field(&server, "queues_with_deadlines"), 2);
    let mut worker = server.client();
    worker.run("TASK.CLAIM still SESSION");
    assert_eq!(field(&server, "sessions"), 1);
    drop(worker);
    eventually(|| field(&server, "sessions") == 0);
    server.run("FLUSHALL");
    assert_eq!(field(&server, "queues_with_deadlines"), 0);
}

/// What keeps the server from its timer is seen: the last delay, and the longest.
#[test]
fn tells_how_late_the_timer_was() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a DELAY 50");
    server.run("DEBUG SLEEP 0.3");
    server.wait_for_state("a", "ready");
    let late = field(&server, "tick_late_max_ms");
    assert!((150..5_000).contains(&late), "{late}");
    let ticks = field(&server, "ticks");
    thread::sleep(Duration::from_millis(20));
    server.run("TASK.PUSH jobs x ID b DELAY 1");
    server.wait_for_state("b", "ready");
    assert!(field(&server, "ticks") > ticks);
    assert!(field(&server, "tick_late_ms") < late);
    assert_eq!(field(&server, "tick_late_max_ms"), late);
}

/// The sections are shown to who asks for all, for the module or for one of them, and to nobody else.
#[test]
fn is_shown_on_demand() {
    let server = Server::start();
    let sections = |line: &str| {
        let info = server.run(line).text();
        ["totals", "waiting", "agenda"].map(|name| info.contains(&format!("# task_{name}\r\n")))
    };
    assert_eq!(sections("INFO task"), [true; 3]);
    assert_eq!(sections("INFO everything"), [true; 3]);
    assert_eq!(sections("INFO task_waiting"), [false, true, false]);
    assert_eq!(sections("INFO"), [false; 3]);
    let reply = server.run("EVAL \"return redis.call('INFO', 'task')\" 0");
    assert!(reply.text().contains("task_events_push:0"), "{reply:?}");
}

/// The report of a crash comes to its end, and has nothing of ours, which may be what has crashed.
#[test]
fn crash_reports_are_left_alone() {
    let mut server = Server::builder().config("crash-memcheck-enabled", "no").start();
    server.run("TASK.PUSH jobs x DELAY 100000");
    let crashed = server.client().try_run("DEBUG SEGFAULT");
    assert!(crashed.is_err(), "{crashed:?}");
    eventually(|| server.log().contains("BUG REPORT END"));
    assert!(!server.log().contains("# task_"));
    server.kill();
    // The sign of a crash is what was wanted.
    fs::write(server.directory().join("server.log"), "").expect("a file");
}

/// Says that time stands still: something is due, and the server would refuse to write it.
#[test]
fn shows_that_writes_are_refused() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x DELAY 50", "TASK.PUSH mail x DELAY 100000", "CONFIG SET min-replicas-to-write 1"]);
    assert_eq!(field(&server, "writes_refused"), 0);
    eventually(|| field(&server, "writes_refused") == 1);
    assert_eq!(server.count("jobs", "scheduled"), 1);
    server.run("CONFIG SET min-replicas-to-write 0");
    eventually(|| server.count("jobs", "ready") == 1);
    assert_eq!(field(&server, "writes_refused"), 0);
}
