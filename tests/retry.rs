//! `TASK.RETRY`: gives ended tasks new tries.

use crate::support::{Server, int};

/// Failed, canceled, expired and scheduled tasks become ready with tries 0; completed, claimed, ready and unknown
/// ones stay as they are and do not count.
#[test]
fn makes_ended_tasks_ready() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID completed",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs completed done",
        "TASK.PUSH jobs x ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs x ID claimed",
        "TASK.CLAIM jobs",
        "TASK.PUSH jobs x ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID expired TTL 1",
        "TASK.PUSH jobs x ID scheduled DELAY 100000",
    ]);
    server.wait_for_state("expired", "expired");
    server.run("TASK.PUSH jobs x ID ready");
    let retry = "TASK.RETRY jobs completed failed claimed canceled expired scheduled ready none failed";
    assert_eq!(server.run(retry), int(4));
    for id in ["failed", "canceled", "expired", "scheduled"] {
        assert_eq!(server.state("jobs", id), "ready");
        assert_eq!(server.task("jobs", id, "tries"), 0);
        assert!(server.task("jobs", id, "error").is_nil(), "{id}");
        assert!(server.task("jobs", id, "finished").is_nil(), "{id}");
    }
    assert_eq!(server.state("jobs", "completed"), "completed");
    assert_eq!(server.state("jobs", "claimed"), "claimed");
    let order: Vec<_> = (0..5).map(|_| server.claim("jobs").id).collect();
    assert_eq!(order, ["ready", "failed", "canceled", "expired", "scheduled"], "they go to the end");
}

/// ALL retries the failed ones only, oldest first, COUNT a call.
#[test]
fn all_retries_the_failed() {
    let server = Server::start();
    for n in 0..5 {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {n}"), "TASK.CLAIM jobs", &format!("TASK.FAIL jobs {n} no DEAD")]);
    }
    server.run_all(&["TASK.PUSH jobs x ID canceled", "TASK.CANCEL jobs canceled"]);
    server.run("TASK.PUSH jobs x ID later DELAY 100000");
    assert_eq!(server.run("TASK.RETRY jobs ALL COUNT 2"), int(2));
    assert_eq!(server.claim("jobs").id, "0");
    assert_eq!(server.claim("jobs").id, "1");
    assert_eq!(server.run("TASK.RETRY jobs ALL"), int(3));
    assert_eq!(server.run("TASK.RETRY jobs ALL"), int(0));
    assert_eq!(server.state("jobs", "canceled"), "canceled");
    assert_eq!(server.state("jobs", "later"), "scheduled");
}

/// A retried task keeps its priority and its checkpoint, and its attempts go on counting.
#[test]
fn keeps_priority_checkpoint_and_attempts() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a PRIORITY 7",
        "TASK.CLAIM jobs",
        "TASK.EXTEND jobs a CHECKPOINT half",
        "TASK.FAIL jobs a no DEAD",
        "TASK.PUSH jobs x ID low",
        "TASK.RETRY jobs a",
    ]);
    let claim = server.claim("jobs");
    assert_eq!((claim.id.as_str(), claim.attempt), ("a", 2));
    assert_eq!(claim.checkpoint.as_deref(), Some(&b"half"[..]));
    assert_eq!(server.task("jobs", "a", "priority"), 7);
}

/// RETRY voids the claims before it: a late answer is STALE.
#[test]
fn voids_earlier_claims() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.CANCEL jobs a", "TASK.RETRY jobs a"]);
    for answer in ["COMPLETE jobs a done", "FAIL jobs a no", "RELEASE jobs a", "EXTEND jobs a"] {
        server.run(&format!("TASK.{answer} ATTEMPT 1")).assert_refused("STALE", &[]);
    }
    assert_eq!(server.state("jobs", "a"), "ready");
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 100000", "TASK.RETRY jobs a"]);
    server.run("TASK.FAIL jobs a no ATTEMPT 2").assert_refused("STALE", &[]);
}

/// A retried task has all its tries again.
#[test]
fn tries_begin_again() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 2", "TASK.CLAIM jobs", "TASK.FAIL jobs a no DEAD", "TASK.RETRY jobs a"]);
    server.claim("jobs");
    assert_eq!(server.run("TASK.FAIL jobs a no DELAY 0"), "ready");
    server.claim("jobs");
    assert_eq!(server.run("TASK.FAIL jobs a no DELAY 0"), "failed");
}

/// A retried expired task does not expire again: nothing is left of its TTL.
#[test]
fn the_ttl_is_over() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a TTL 20");
    server.wait_for_state("a", "expired");
    server.run("TASK.RETRY jobs a");
    crate::support::holds_for(60, || server.state("jobs", "a") == "ready");
    assert_eq!(server.claim("jobs").id, "a");
}

/// A queue that does not exist has nothing to retry, and is not made.
#[test]
fn a_missing_queue_answers_0() {
    let server = Server::start();
    assert_eq!(server.run("TASK.RETRY none a"), int(0));
    assert_eq!(server.run("TASK.RETRY none ALL"), int(0));
    assert_eq!(server.run("EXISTS none"), int(0));
}
