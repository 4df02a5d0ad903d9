//! A bug of ours costs an error, never the server: a panic in any callback is caught.
//!
//! These tests run a build of the module of their own, with `--features fault-injection`, in which `TASK.FAULT key file` makes the next
//! callback of that file panic.

use crate::support::{Server, eventually, faulty_module, int};

fn faulty() -> Server {
    Server::builder().module(&faulty_module("dev")).start()
}

/// Makes the next callback of the file panic while `provoke` runs, and waits until it has.
#[track_caller]
fn panics(server: &Server, file: &str, provoke: impl FnOnce(&Server)) {
    let caught = || server.log().matches("a panic that was asked for").count();
    let before = caught();
    assert_eq!(server.run(&format!("TASK.FAULT jobs {file}")), "OK");
    provoke(server);
    eventually(|| caught() == before + 1);
    assert_eq!(server.run("PING"), "PONG");
}

/// In a command: an error reply, and nothing changed.
#[test]
fn in_a_command() {
    let server = faulty();
    panics(&server, "command.rs", |server| {
        server.run("TASK.PUSH jobs x").assert_refused("ERR", &["bug", "log"]);
    });
    assert_eq!(server.run("EXISTS jobs"), 0);
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(server.claim("jobs").id, "a");
}

/// In the timer: what was due happens soon after.
#[test]
fn in_the_timer() {
    let server = faulty();
    panics(&server, "timer.rs", |server| {
        server.run("TASK.PUSH jobs x ID a DELAY 10");
    });
    server.wait_for_state("a", "ready");
}

/// In the middle of a transaction: what was done stands, here and on replicas, and whoever was given a task by it gets it. In one that
/// makes a queue, nothing was done.
#[test]
fn in_a_transaction() {
    let server = faulty();
    let replica = Server::builder().module(&faulty_module("dev")).replica_of(&server).start();
    server.wait_for_replica(&replica);
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    panics(&server, "transact.rs", |server| {
        server.run("TASK.PUSH jobs x ID a").assert_refused("ERR", &["bug", "log"]);
    });
    assert_eq!((server.run("EXISTS jobs"), worker.read().is_nil()), (int(0), true));
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let mut worker = server.block("TASK.CLAIM jobs LEASE 20 BLOCK 0");
    panics(&server, "transact.rs", |server| {
        server.run("TASK.PUSH jobs x ID b").assert_refused("ERR", &["bug", "log"]);
    });
    assert_eq!(worker.read().at(0), "b");
    server.wait_for_replica(&replica);
    // Its lease falls due all the same.
    server.wait_for_state("b", "ready");
    server.wait_for_replica(&replica);
    assert_eq!(replica.digest(), server.digest());
}

/// In a tick: what was due happens later.
#[test]
fn in_a_tick() {
    let server = faulty();
    server.run("TASK.PUSH jobs x ID a DELAY 100");
    panics(&server, "transact.rs", |_| ());
    server.wait_for_state("a", "ready");
}

/// In a waiting client's reply: it gets an error.
#[test]
fn in_a_waiting_client() {
    let server = faulty();
    panics(&server, "blocking.rs", |server| {
        let reply = server.client().run("TASK.CLAIM jobs BLOCK 20");
        reply.assert_refused("ERR", &["bug"]);
    });
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(server.claim("jobs").id, "a");
}

/// In what the server asks of a value: saving, loading, copying, counting, freeing.
#[test]
fn in_a_value() {
    let server = faulty();
    server.run("TASK.PUSH jobs x ID a");
    let dump = server.dump("jobs");
    for line in ["MEMORY USAGE jobs", "DEBUG DIGEST", "DUMP jobs", "COPY jobs other", "RENAME jobs jobs2", "RENAME jobs2 jobs"] {
        panics(&server, "datatype.rs", |server| {
            server.run(line);
        });
    }
    panics(&server, "datatype.rs", |server| {
        server.cmd(&[b"RESTORE", b"loaded", b"0", &dump]).assert_refused("ERR", &[]);
    });
    assert_eq!(server.state("jobs", "a"), "ready");
    panics(&server, "datatype.rs", |server| {
        server.run("DEL jobs");
    });
}

/// In what follows events of the server and of keys.
#[test]
fn in_an_event() {
    let server = faulty();
    server.run("TASK.PUSH jobs x ID a");
    panics(&server, "event.rs", |server| {
        server.run("FLUSHDB");
    });
    server.run("TASK.PUSH jobs x ID a");
    panics(&server, "keyspace.rs", |server| {
        server.run("RENAME jobs other");
    });
}

/// In a setting: the next one works.
#[test]
fn in_a_setting() {
    let server = faulty();
    panics(&server, "config_callbacks.rs", |server| {
        server.run("CONFIG GET task.lease");
    });
    assert_eq!(server.run("CONFIG GET task.lease").at(1), "30000");
}

/// The release build knows no such command.
#[test]
fn are_not_to_be_had_in_a_release() {
    let server = Server::start();
    server.run("TASK.FAULT jobs command.rs").assert_refused("ERR", &["unknown command"]);
}
