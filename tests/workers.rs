//! `TASK.WORKERS`: who holds claims.

use crate::support::{Client, Server, Value, array, eventually_eq, now_ms};
use std::{thread, time::Duration};

/// The rows by the workers' names.
#[track_caller]
fn row(server: &Server, name: &str) -> Value {
    let reply = server.run("TASK.WORKERS jobs");
    let row = reply.items().iter().find(|row| row.field("name") == name);
    row.unwrap_or_else(|| panic!("no {name} in {reply:?}")).clone()
}

fn worker_with_session(server: &Server, name: &str, options: &str) -> Client {
    let mut worker = server.client();
    assert!(!worker.run(&format!("TASK.CLAIM jobs WORKER {name} SESSION {options}")).is_nil());
    worker
}

/// Each worker is one row, by name, with its claims counted, whatever their leases.
#[test]
fn a_row_for_each_worker() {
    let server = Server::start();
    server.run("TASK.MPUSH jobs 6 a b c d e f");
    let before = now_ms();
    server.run_all(&["TASK.CLAIM jobs WORKER bob LEASE 50000", "TASK.CLAIM jobs COUNT 2 WORKER ann LEASE 90000"]);
    let between = now_ms();
    thread::sleep(Duration::from_millis(5));
    server.run("TASK.CLAIM jobs WORKER ann LEASE 70000");
    let reply = server.run("TASK.WORKERS jobs");
    let names: Vec<_> = reply.items().iter().map(|row| row.field("name").text()).collect();
    assert_eq!(names, ["ann", "bob"]);
    let ann = row(&server, "ann");
    assert_eq!(ann.field("claimed"), 3);
    assert!((before..=between).contains(&ann.field("oldest-claim").int()));
    assert!((between..between + 5_000).contains(&(ann.field("deadline").int() - 70_000)));
    assert!((between + 5..=now_ms()).contains(&ann.field("last-seen").int()));
    let bob = row(&server, "bob");
    assert_eq!((bob.field("claimed").int(), bob.field("last-seen")), (1, bob.field("oldest-claim")));
    assert_eq!(bob.field("deadline").int(), bob.field("oldest-claim").int() + 50_000);
}

/// Who has answered for its tasks, or lost them, is not there; neither is a queue that is not.
#[test]
fn who_holds_nothing_is_not_there() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs WORKER ann"]);
    assert_eq!(server.run("TASK.WORKERS jobs").items().len(), 1);
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.run("TASK.WORKERS jobs"), array([]));
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs WORKER ann LEASE 1"]);
    server.wait_for_state("b", "ready");
    assert_eq!(server.run("TASK.WORKERS jobs"), array([]));
    assert_eq!(server.run("TASK.WORKERS none"), array([]));
    assert_eq!(server.run("EXISTS none"), 0);
}

/// A heartbeat is seen; where it says a lease of its own it is seen as well as can be, and never before the claim or in the future.
#[test]
fn a_heartbeat_is_seen() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs WORKER ann LEASE 50000"]);
    let claimed_at = row(&server, "ann").field("oldest-claim").int();
    thread::sleep(Duration::from_millis(20));
    let before = now_ms();
    server.run("TASK.EXTEND jobs a");
    let seen = |server: &Server| row(server, "ann").field("last-seen").int();
    let at = seen(&server);
    assert!((before..=now_ms()).contains(&at), "{at}");
    assert_eq!(row(&server, "ann").field("oldest-claim"), claimed_at);
    server.run("TASK.EXTEND jobs a LEASE 900000");
    let at = seen(&server);
    assert!((before..=now_ms()).contains(&at), "{at}");
    server.run("TASK.EXTEND jobs a LEASE 1000");
    assert_eq!(seen(&server), claimed_at);
}

/// A session's claim has no end but its timeout, and tells no more than when it began.
#[test]
fn of_sessions() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x", "TASK.PUSH jobs x TIMEOUT 500000"]);
    let open = worker_with_session(&server, "open", "");
    let bounded = worker_with_session(&server, "bounded", "LEASE 1000");
    assert!(row(&server, "open").field("deadline").is_nil());
    let bound = row(&server, "bounded");
    assert_eq!(bound.field("deadline").int(), bound.field("oldest-claim").int() + 500_000);
    for name in ["open", "bounded"] {
        assert_eq!(row(&server, name).field("last-seen"), row(&server, name).field("oldest-claim"), "{name}");
    }
    drop((open, bounded));
    eventually_eq(|| server.count("jobs", "ready"), 2);
    assert_eq!(server.run("TASK.WORKERS jobs"), array([]));
}

/// With JSON the answer is one array of objects with the same fields.
#[test]
fn answers_json() {
    let server = Server::start();
    assert_eq!(server.run("TASK.WORKERS jobs JSON"), "[]");
    server.run_all(&["TASK.PUSH jobs x", "TASK.CLAIM jobs WORKER ann"]);
    let json: serde_json::Value = serde_json::from_slice(server.run("TASK.WORKERS jobs json").bytes()).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["claimed"]), (&"ann".into(), &1.into()));
    assert_eq!(json[0]["deadline"], row(&server, "ann").field("deadline").int());
    assert_eq!(json.as_array().map(Vec::len), Some(1));
}

/// A replica says the same, in RESP3 as maps; and wrong arguments are refused.
#[test]
fn runs_on_replicas_and_refuses_what_it_does_not_know() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x", "TASK.CLAIM jobs WORKER ann", "SET text x"]);
    server.wait_for_replica(&replica);
    assert_eq!(replica.run("TASK.WORKERS jobs"), server.run("TASK.WORKERS jobs"));
    let mut client = replica.client();
    client.hello3();
    assert!(matches!(client.run("TASK.WORKERS jobs").at(0), Value::Map(_)));
    server.run("TASK.WORKERS text").assert_refused("WRONGTYPE", &[]);
    server.run("TASK.WORKERS").assert_refused("ERR", &["number of arguments"]);
    server.run("TASK.WORKERS jobs XML").assert_refused("ERR", &["XML"]);
    server.run("TASK.WORKERS jobs JSON JSON").assert_refused("ERR", &["JSON", "more than once"]);
}
