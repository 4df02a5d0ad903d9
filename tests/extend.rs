//! `TASK.EXTEND` and `TASK.MEXTEND`: the heartbeat.

use crate::support::{Server, array, bulk, int, now_ms, ok};

/// A queue with one claimed task `a` of attempt 1.
fn claimed() -> Server {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a LEASE 50000", "TASK.CLAIM jobs"]);
    server
}

/// The lease now ends LEASE from now; without LEASE, the claim's lease from now.
#[test]
fn moves_the_deadline() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 50000"]);
    for (extend, lease_ms) in [("TASK.EXTEND jobs a LEASE 90000", 90_000), ("TASK.EXTEND jobs a ATTEMPT 1 LEASE 1000", 1_000)] {
        let before = now_ms();
        assert_eq!(server.run(extend), ok());
        let deadline = server.task("jobs", "a", "deadline").int();
        assert!((before + lease_ms - 1..=now_ms() + lease_ms).contains(&deadline), "{extend}: {deadline}");
    }
}

/// Without LEASE the claim's own lease counts, not the task's or the server's.
#[test]
fn default_is_the_claims_lease() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a LEASE 40000", "TASK.CLAIM jobs LEASE 70000"]);
    let before = now_ms();
    assert_eq!(server.run("TASK.EXTEND jobs a"), ok());
    let deadline = server.task("jobs", "a", "deadline").int();
    assert!((before + 70_000 - 1..=now_ms() + 70_000).contains(&deadline), "{deadline}");
}

/// However often it is extended, a claim ends at its TIMEOUT.
#[test]
fn never_passes_the_timeout() {
    let server = Server::start();
    let before = now_ms();
    server.run_all(&["TASK.PUSH jobs x ID a TIMEOUT 60000", "TASK.CLAIM jobs"]);
    let latest = now_ms() + 60_000;
    assert_eq!(server.run("TASK.EXTEND jobs a LEASE 500000"), ok());
    let deadline = server.task("jobs", "a", "deadline").int();
    assert!((before + 60_000 - 1..=latest).contains(&deadline), "{deadline}");
}

/// CHECKPOINT is kept, shown by TASK.GET and given to the next attempt; without it the last one stays.
#[test]
fn checkpoints_reach_the_next_attempt() {
    let server = claimed();
    let checkpoint = vec![0xfe; 64 * 1024];
    assert_eq!(server.cmd(&[b"TASK.EXTEND", b"jobs", b"a", b"CHECKPOINT", &checkpoint]), ok());
    assert_eq!(server.run("TASK.EXTEND jobs a"), ok());
    assert!(server.task("jobs", "a", "checkpoint") == bulk(&checkpoint));
    server.run("TASK.RELEASE jobs a");
    assert!(server.claim("jobs").checkpoint == Some(checkpoint));
    assert_eq!(server.run("TASK.EXTEND jobs a CHECKPOINT page-2 ATTEMPT 2"), ok());
    server.run("TASK.FAIL jobs a no DELAY 0");
    assert_eq!(server.claim("jobs").checkpoint.as_deref(), Some(&b"page-2"[..]));
}

/// More than 64 KiB of checkpoint are refused, and change nothing.
#[test]
fn a_checkpoint_has_a_limit() {
    let server = claimed();
    let before = server.dump("jobs");
    let checkpoint = vec![b'x'; 64 * 1024 + 1];
    let reply = server.cmd(&[b"TASK.EXTEND", b"jobs", b"a", b"CHECKPOINT", &checkpoint]);
    reply.assert_refused("ERR", &["checkpoint"]);
    assert!(server.dump("jobs") == before);
}

/// Refusals come in this order: NOTASK, CANCELED, STALE, NOTCLAIMED.
#[test]
fn refuses_what_is_not_held() {
    let server = claimed();
    server.run("TASK.EXTEND jobs none").assert_refused("NOTASK", &[]);
    server.run("TASK.EXTEND none a").assert_refused("NOTASK", &[]);
    server.run("TASK.EXTEND jobs a ATTEMPT 2").assert_refused("STALE", &[]);
    server.run("TASK.EXTEND jobs a ATTEMPT 0").assert_refused("ERR", &["ATTEMPT", "1", "4294967295"]);
    server.run("TASK.RELEASE jobs a");
    server.run("TASK.EXTEND jobs a ATTEMPT 1").assert_refused("NOTCLAIMED", &["ready"]);
    server.run("TASK.EXTEND jobs a").assert_refused("NOTCLAIMED", &["ready"]);
    server.run("TASK.EXTEND jobs a ATTEMPT 2").assert_refused("STALE", &[]);
    server.run("TASK.CLAIM jobs");
    server.run("TASK.EXTEND jobs a ATTEMPT 1").assert_refused("STALE", &[]);
    server.run("TASK.CANCEL jobs a");
    server.run("TASK.EXTEND jobs a ATTEMPT 1").assert_refused("CANCELED", &[]);
    server.run("TASK.EXTEND jobs a").assert_refused("CANCELED", &[]);
}

/// A claim that lapsed is not revived.
#[test]
fn does_not_revive_a_lapsed_claim() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    server.run("TASK.EXTEND jobs a ATTEMPT 1").assert_refused("NOTCLAIMED", &["ready"]);
    assert_eq!(server.state("jobs", "a"), "ready");
}

/// TASK.MEXTEND answers OK or an error for each, each on its own.
#[test]
fn mextend_extends_each_on_its_own() {
    let server = claimed();
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs", "TASK.PUSH jobs x ID c", "TASK.CLAIM jobs"]);
    server.run("TASK.CANCEL jobs c");
    let before = now_ms();
    let replies = server.run("TASK.MEXTEND jobs 4 a 1 b 2 none 1 c 1 LEASE 200000");
    assert_eq!(replies.at(0), &ok());
    replies.at(1).assert_refused("STALE", &[]);
    replies.at(2).assert_refused("NOTASK", &[]);
    replies.at(3).assert_refused("CANCELED", &[]);
    assert_eq!(replies.items().len(), 4);
    let deadline = server.task("jobs", "a", "deadline").int();
    assert!((before + 200_000 - 1..=now_ms() + 200_000).contains(&deadline));
    assert_eq!(server.run("TASK.MEXTEND jobs 2 a 1 b 1"), array([ok(), ok()]));
    assert_eq!(server.run("EXISTS none"), int(0));
}

/// TASK.MEXTEND on a missing queue answers NOTASK for each and makes no key.
#[test]
fn mextend_of_a_missing_queue() {
    let server = Server::start();
    server.run("TASK.MEXTEND none 1 a 1").at(0).assert_refused("NOTASK", &[]);
    assert_eq!(server.run("EXISTS none"), int(0));
}
