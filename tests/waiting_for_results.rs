//! `TASK.RESULT … BLOCK`: clients that wait for the end of a task.

use crate::support::{Server, array, bulk, eventually, int, nil, nil_array};
use std::time::Instant;

const WAIT: &str = "TASK.RESULT jobs a BLOCK 0";

/// A server with `a` claimed.
fn claimed() -> Server {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    server
}

/// Every end of a task answers all that wait for it.
#[test]
fn is_woken_by_every_end() {
    for (end, state, data) in [
        ("TASK.COMPLETE jobs a done", "completed", bulk("done")),
        ("TASK.FAIL jobs a no DEAD", "failed", bulk("no")),
        ("TASK.CANCEL jobs a", "canceled", nil()),
        ("TASK.EXTEND jobs a LEASE 1", "failed", bulk("lease expired")),
    ] {
        let server = Server::start();
        server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", "TASK.CLAIM jobs"]);
        let mut first = server.block(WAIT);
        let mut second = server.block(WAIT);
        server.run(end);
        for waiter in [&mut first, &mut second] {
            let reply = waiter.read();
            assert_eq!((reply.at(0).text().as_str(), reply.at(1)), (state, &data), "{end}");
        }
    }
}

/// A task that expires answers who waits for it.
#[test]
fn is_woken_by_expiry_of_the_task() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a TTL 200");
    let mut waiter = server.block(WAIT);
    assert_eq!(waiter.read().at(0), "expired");
}

/// So does one that expires when a claim for somebody else comes upon it.
#[test]
fn is_woken_by_expiry_in_a_claim_for_another() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a DELAY 900 TTL 901");
    let mut waiter = server.block(WAIT);
    let _worker = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut client = server.client();
    client.send_all(&["DEBUG SLEEP 1", "TASK.RETRY jobs a"]);
    assert_eq!(waiter.read().at(0), "expired");
}

/// A finished task answers at once.
#[test]
fn does_not_wait_for_what_is_finished() {
    let server = claimed();
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.run(WAIT), array([bulk("completed"), bulk("done")]));
}

/// A state that is not the end wakes nobody.
#[test]
fn waits_through_other_states() {
    let server = claimed();
    let mut waiter = server.block(WAIT);
    server.run_all(&[
        "TASK.FAIL jobs a no DELAY 0",
        "TASK.CLAIM jobs",
        "TASK.EXTEND jobs a",
        "TASK.RELEASE jobs a",
        "TASK.PUSH jobs x ID b",
        "TASK.CANCEL jobs b",
    ]);
    assert_eq!(waiter.read_within(10), None);
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    assert_eq!(waiter.read().at(1), "done");
}

/// At the timeout the answer is the state there is, data nil; the best of five is not 20 ms late.
#[test]
fn times_out_with_the_state_there_is() {
    let server = claimed();
    let late = (0..5)
        .map(|_| {
            let start = Instant::now();
            let reply = server.run("TASK.RESULT jobs a BLOCK 30");
            let waited = start.elapsed().as_millis();
            assert_eq!((reply.at(0).text().as_str(), reply.at(1)), ("claimed", &nil()));
            assert!(waited >= 29, "{waited} ms are too early");
            waited - 29
        })
        .min();
    assert!(late < Some(20), "{late:?} ms late");
}

/// A waiter whose task or queue goes away is answered nil.
#[test]
fn is_woken_when_the_queue_goes_away() {
    for away in [
        "DEL jobs",
        "UNLINK jobs",
        "RENAME jobs old",
        "MOVE jobs 1",
        "FLUSHALL",
        "FLUSHDB ASYNC",
        "SWAPDB 0 1",
        "PEXPIRE jobs 20",
        "PEXPIREAT jobs 1",
    ] {
        let server = claimed();
        let mut waiter = server.block(WAIT);
        server.run(away);
        assert_eq!(waiter.read(), nil_array(), "{away}");
        server.wait_for_blocked(0);
    }
}

/// A queue that is replaced by another type answers as RESULT then would: WRONGTYPE; by another queue: nil.
#[test]
fn is_woken_when_the_queue_is_replaced() {
    let server = claimed();
    let mut waiter = server.block(WAIT);
    server.run("SET jobs string");
    let reply = waiter.read();
    assert!(reply.is_nil() || reply.code() == "WRONGTYPE", "{reply:?}");
    let server = claimed();
    server.run("TASK.PUSH other x ID b");
    let mut waiter = server.block(WAIT);
    server.run("RENAME other jobs");
    assert_eq!(waiter.read(), nil_array());
}

/// A queue replaced by one in which the task is finished answers its result.
#[test]
fn is_woken_when_a_finished_task_arrives() {
    let server = claimed();
    server.run_all(&["COPY jobs other", "TASK.COMPLETE other a done"]);
    let mut waiter = server.block(WAIT);
    server.run("COPY other jobs REPLACE");
    let reply = waiter.read();
    assert!(reply.is_nil() || reply.at(1) == &bulk("done"), "{reply:?}");
}

/// CLIENT UNBLOCK answers as at the timeout, or UNBLOCKED with ERROR.
#[test]
fn client_unblock() {
    let server = claimed();
    let mut waiter = server.client();
    let id = waiter.id();
    waiter.send(WAIT);
    server.wait_for_blocked(1);
    assert_eq!(server.run(&format!("CLIENT UNBLOCK {id}")), int(1));
    let reply = waiter.read();
    assert_eq!((reply.at(0).text().as_str(), reply.at(1)), ("claimed", &nil()));
    waiter.send(WAIT);
    server.wait_for_blocked(1);
    server.run(&format!("CLIENT UNBLOCK {id} ERROR"));
    waiter.read().assert_refused("UNBLOCKED", &[]);
}

/// A waiter that was killed is forgotten: the end of its task harms nobody.
#[test]
fn a_killed_waiter_is_forgotten() {
    let server = claimed();
    let first = server.block(WAIT);
    let mut second = server.block(WAIT);
    drop(first);
    server.wait_for_blocked(1);
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(second.read().at(1), "done");
}

/// Inside MULTI and scripts BLOCK does not wait: the state there is.
#[test]
fn does_not_wait_in_transactions_and_scripts() {
    let server = claimed();
    let mut client = server.client();
    client.run("MULTI");
    client.run(WAIT);
    assert_eq!(client.run("EXEC").at(0).at(0), "claimed");
    let reply = client.run(r#"EVAL "return redis.call('TASK.RESULT', KEYS[1], 'a', 'BLOCK', 0)" 1 jobs"#);
    assert_eq!(reply.at(0), "claimed");
}

/// RESULT blocks on a replica too and wakes by what arrives from the master.
#[test]
fn waits_on_a_replica() {
    let master = claimed();
    let replica = Server::replica_of(&master);
    let mut finished = replica.block(WAIT);
    master.run("TASK.COMPLETE jobs a done");
    assert_eq!(finished.read(), array([bulk("completed"), bulk("done")]));
    master.run("TASK.PUSH jobs x ID b");
    eventually(|| replica.state("jobs", "b") == "ready");
    let mut gone = replica.block("TASK.RESULT jobs b BLOCK 0");
    master.run("DEL jobs");
    assert_eq!(gone.read(), nil_array());
    let start = Instant::now();
    master.run("TASK.PUSH jobs x ID c");
    eventually(|| replica.state("jobs", "c") == "ready");
    assert_eq!(replica.run("TASK.RESULT jobs c BLOCK 30").at(0), "ready");
    assert!(start.elapsed().as_millis() >= 29);
}

/// A demotion unblocks: another's data are coming.
#[test]
fn a_demotion_unblocks() {
    let (master, server) = (Server::start(), claimed());
    let mut waiter = server.block(WAIT);
    server.run(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    waiter.read().assert_refused("UNBLOCKED", &[]);
}

/// In RESP3 a waiter is answered in RESP3.
#[test]
fn answers_resp3() {
    let server = claimed();
    let mut client = server.client();
    client.hello3();
    client.send(WAIT);
    server.wait_for_blocked(1);
    server.run("DEL jobs");
    assert_eq!(client.read(), crate::support::Value::Null);
}
