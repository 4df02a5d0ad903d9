//! Keyspace notifications of class `d`: what happens to a queue, as it happens.

use crate::support::{Events, Server, eventually};

/// The life of a task raises an event at each change.
#[test]
fn a_life() {
    let server = Server::start();
    let mut events = Events::of(&server);
    for (line, expected) in [
        ("TASK.PUSH jobs x ID a", &["push"][..]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.RELEASE jobs a", &["release"]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.FAIL jobs a no DELAY 20", &["retry", "ready"]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.COMPLETE jobs a done", &["complete"]),
        ("TASK.FORGET jobs a", &["drop"]),
        ("TASK.PUSH jobs x ID b DELAY 20", &["push", "ready"]),
        ("TASK.CLAIM jobs LEASE 20", &["claim", "lapse"]),
        ("TASK.CANCEL jobs b", &["cancel"]),
        ("TASK.RETRY jobs b", &["ready"]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.FAIL jobs b no DEAD", &["fail"]),
        ("TASK.PUSH jobs x ID c TTL 20", &["push", "expire"]),
        ("TASK.PUSH jobs x ID d RETAIN 0", &["push"]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.COMPLETE jobs d done", &["complete", "drop"]),
        ("TASK.PUSH jobs x ID e RETAIN 20", &["push"]),
        ("TASK.CLAIM jobs", &["claim"]),
        ("TASK.COMPLETE jobs e done", &["complete", "drop"]),
    ] {
        let reply = server.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        events.expect(expected);
    }
    events.expect_none(20);
}

/// A lapse of the last try ends in `task.fail`.
#[test]
fn the_last_lapse_fails() {
    let server = Server::start();
    let mut events = Events::of(&server);
    server.run_all(&["TASK.PUSH jobs x ATTEMPTS 1", "TASK.CLAIM jobs LEASE 10"]);
    events.expect(&["push", "claim"]);
    let mut event = events.next();
    if event == "task.lapse jobs" {
        event = events.next();
    }
    assert_eq!(event, "task.fail jobs");
}

/// What changes nothing and what is refused raises nothing.
#[test]
fn nothing_happens_quietly() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    let mut events = Events::of(&server);
    for line in [
        "TASK.PUSH jobs x ID a",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs a done ATTEMPT 1",
        "TASK.FAIL jobs a no",
        "TASK.CANCEL jobs a",
        "TASK.RETRY jobs a",
        "TASK.GET jobs a",
        "TASK.PUSH jobs x PRIORITY 999",
    ] {
        server.run(line);
    }
    events.expect_none(20);
}

/// A push that serves a waiter raises both events.
#[test]
fn a_served_push_raises_both() {
    let server = Server::start();
    let mut events = Events::of(&server);
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run("TASK.PUSH jobs x");
    events.expect(&["push", "claim"]);
    assert!(!worker.read().is_nil());
}

/// A replica raises the events as it applies them.
#[test]
fn a_replica_raises_them_too() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let mut events = Events::of(&replica);
    master.run_all(&["TASK.PUSH jobs x ID a DELAY 20"]);
    eventually(|| master.state("jobs", "a") == "ready");
    master.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done RETAIN 0"]);
    events.expect(&["push", "ready", "claim", "complete", "drop"]);
}

/// The key's own channel names the event: class K.
#[test]
fn keyspace_channels() {
    let server = Server::start();
    server.run("CONFIG SET notify-keyspace-events Kd");
    let mut listener = server.client();
    listener.run("SUBSCRIBE __keyspace@0__:jobs");
    server.run("TASK.PUSH jobs x");
    assert_eq!(listener.read().at(2), "task.push");
}
