//! `TASK.INFO`: a queue in figures.

use crate::support::{Server, Value};

const STATES: [&str; 8] = ["waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired"];

/// A total since creation: in a map `totals`, since some share their names with states.
fn total(server: &Server, name: &str) -> i64 {
    server.run("TASK.INFO jobs").field("totals").field(name).int()
}

/// Counts tasks by state, under the states' names.
#[test]
fn counts_by_state() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID completed",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs completed done",
        "TASK.PUSH jobs x ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs x",
        "TASK.PUSH jobs x",
        "TASK.CLAIM jobs COUNT 2",
        "TASK.PUSH jobs x ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID expired TTL 1",
        "TASK.PUSH jobs x DELAY 100000",
        "TASK.PUSH jobs x DELAY 100000",
        "TASK.PUSH jobs x DELAY 100000",
    ]);
    server.wait_for_state("expired", "expired");
    server.run("TASK.PUSH jobs x");
    for (state, count) in STATES.into_iter().zip([0, 3, 1, 2, 1, 1, 1, 1]) {
        assert_eq!(server.count("jobs", state), count, "{state}");
    }
}

/// Totals count what has happened since the queue was made, and never go back.
#[test]
fn totals_count_what_happened() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs x ID b",
        "TASK.PUSH jobs x ID b",
        "TASK.PUSH jobs x ID c",
        "TASK.CLAIM jobs COUNT 2",
        "TASK.RELEASE jobs b",
        "TASK.COMPLETE jobs a done",
        "TASK.CANCEL jobs c",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs b no DELAY 0",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs b no DEAD",
        "TASK.FORGET jobs a",
    ]);
    for (name, count) in [
        ("pushed", 3),
        ("claimed", 4),
        ("completed", 1),
        ("failed", 1),
        ("retried", 1),
        ("released", 1),
        ("canceled", 1),
        ("dropped", 1),
        ("lapsed", 0),
        ("expired", 0),
    ] {
        assert_eq!(total(&server, name), count, "{name}");
    }
    server.run_all(&["TASK.PUSH jobs x ID d", "TASK.CLAIM jobs LEASE 1", "TASK.PUSH jobs x ID e TTL 1 PRIORITY 1"]);
    server.wait_for_state("d", "ready");
    server.wait_for_state("e", "expired");
    assert_eq!((total(&server, "lapsed"), total(&server, "expired")), (1, 1));
}

/// Of a queue that does not exist it answers as of an empty one, and makes no key.
#[test]
fn of_a_missing_queue() {
    let server = Server::start();
    for state in STATES {
        assert_eq!(server.count("none", state), 0, "{state}");
    }
    assert_eq!(server.run("EXISTS none"), 0);
}

/// Wait and run times are given as percentiles, the oldest ready task by its age.
#[test]
fn shows_times() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done", "TASK.PUSH jobs x"]);
    let info = server.run("TASK.INFO jobs JSON");
    let text = info.text();
    for word in ["p50", "p90", "p99", "max", "oldest", "memory"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

/// In RESP3 the answer is a map; with JSON one object with the same counts.
#[test]
fn answers_a_map_or_json() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x", "TASK.PUSH jobs x"]);
    let mut client = server.client();
    client.hello3();
    let info = client.run("TASK.INFO jobs");
    assert!(matches!(info, Value::Map(_)), "{info:?}");
    assert_eq!(info.field("ready"), 2);
    let json: serde_json::Value = serde_json::from_slice(client.run("TASK.INFO jobs JSON").bytes()).unwrap();
    assert_eq!(json["ready"], 2);
    assert_eq!(json["totals"]["pushed"], 2);
}
