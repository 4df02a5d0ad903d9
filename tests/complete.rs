//! `TASK.COMPLETE`: ends a task with its result.

use crate::support::{Server, array, bulk, nil_array, now_ms, ok, task::Claim};

/// A completed task has a result of any bytes; its payload is freed.
#[test]
fn keeps_the_result_and_frees_the_payload() {
    let server = Server::start();
    let result: Vec<u8> = (0..=255).collect();
    server.run_all(&["TASK.PUSH jobs hello ID a", "TASK.CLAIM jobs"]);
    assert_eq!(server.cmd(&[b"TASK.COMPLETE", b"jobs", b"a", &result]), ok());
    assert_eq!(server.state("jobs", "a"), "completed");
    assert_eq!(server.task("jobs", "a", "result"), bulk(&result));
    assert!(server.task("jobs", "a", "payload").is_nil());
    assert!((now_ms() - server.task("jobs", "a", "finished").int()).abs() < 5_000);
    assert_eq!(server.run("TASK.RESULT jobs a").at(1), &bulk(&result));
}

/// Said again with the same ATTEMPT it answers OK and changes nothing, whatever the result said then.
#[test]
fn a_repeat_answers_ok() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a first ATTEMPT 1"]);
    let before = server.dump("jobs");
    assert_eq!(server.run("TASK.COMPLETE jobs a first ATTEMPT 1"), ok());
    assert_eq!(server.run("TASK.COMPLETE jobs a second ATTEMPT 1 RETAIN 0"), ok());
    assert!(server.dump("jobs") == before);
    assert_eq!(server.task("jobs", "a", "result"), "first");
}

/// A claim that completed cannot then fail or release the task.
#[test]
fn only_the_first_answer_counts() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    for late in ["COMPLETE jobs a again", "FAIL jobs a no ATTEMPT 1", "RELEASE jobs a ATTEMPT 1", "FAIL jobs a no"] {
        server.run(&format!("TASK.{late}")).assert_refused("NOTCLAIMED", &["completed"]);
    }
    assert_eq!(server.task("jobs", "a", "result"), "done");
}

/// Refusals come in this order: NOTASK, CANCELED, STALE, NOTCLAIMED, and change nothing.
#[test]
fn refuses_what_is_not_held() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID ready",
        "TASK.PUSH jobs x ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID later DELAY 100000",
        "TASK.CLAIM jobs",
        "TASK.RELEASE jobs ready",
        "TASK.CLAIM jobs",
        "TASK.RELEASE jobs ready",
    ]);
    let before = server.dump("jobs");
    for (answer, code, words) in [
        ("none done", "NOTASK", &[][..]),
        ("canceled done", "CANCELED", &[]),
        ("canceled done ATTEMPT 9", "CANCELED", &[]),
        ("ready done ATTEMPT 1", "STALE", &[]),
        ("ready done ATTEMPT 3", "STALE", &[]),
        ("ready done ATTEMPT 2", "NOTCLAIMED", &["ready"]),
        ("ready done", "NOTCLAIMED", &["ready"]),
        ("later done", "NOTCLAIMED", &["scheduled"]),
    ] {
        server.run(&format!("TASK.COMPLETE jobs {answer}")).assert_refused(code, words);
    }
    server.run("TASK.COMPLETE none a done").assert_refused("NOTASK", &[]);
    assert!(server.dump("jobs") == before);
}

/// A worker that lost its claim to another cannot publish; the one that holds it can.
#[test]
fn a_lost_claim_cannot_publish() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    let second = Claim::of(&server.run("TASK.CLAIM jobs BLOCK 0"));
    assert_eq!(second.attempt, 2);
    server.run("TASK.COMPLETE jobs a first ATTEMPT 1").assert_refused("STALE", &[]);
    assert_eq!(server.run("TASK.COMPLETE jobs a second ATTEMPT 2"), ok());
    server.run("TASK.COMPLETE jobs a first ATTEMPT 1").assert_refused("STALE", &[]);
    assert_eq!(server.task("jobs", "a", "result"), "second");
}

/// With ATTEMPT a lapsed claim can still be answered while nobody else has the task; without it, not.
#[test]
fn a_lapsed_claim_can_still_complete() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    server.run("TASK.COMPLETE jobs a late").assert_refused("NOTCLAIMED", &["ready"]);
    assert_eq!(server.run("TASK.COMPLETE jobs a late ATTEMPT 1"), ok());
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("completed"), bulk("late")]));
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// After its last try lapsed a task is failed for good: a late result is refused.
#[test]
fn a_task_that_failed_by_lapse_cannot_be_completed() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "failed");
    server.run("TASK.COMPLETE jobs a late ATTEMPT 1").assert_refused("NOTCLAIMED", &["failed"]);
}

/// With RETAIN 0 whoever waits gets the result, then the task is gone.
#[test]
fn retain_0_answers_waiters_and_drops() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let mut waiter = server.block("TASK.RESULT jobs a BLOCK 0");
    assert_eq!(server.run("TASK.COMPLETE jobs a done RETAIN 0"), ok());
    assert_eq!(waiter.read().at(1), "done");
    assert_eq!(server.run("TASK.RESULT jobs a"), nil_array());
    assert_eq!(server.run("TASK.PUSH jobs y ID a NX"), bulk("a"), "the id is free again");
    assert_eq!(server.claim("jobs").attempt, 1, "a new task");
}

/// RETAIN of the completion wins over the push's.
#[test]
fn retain_of_the_completion_wins() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done RETAIN 90000"]);
    assert_eq!(server.state("jobs", "a"), "completed");
    server.run_all(&["TASK.PUSH jobs x ID b RETAIN 0", "TASK.CLAIM jobs", "TASK.COMPLETE jobs b done"]);
    assert_eq!(server.state("jobs", "b"), "none");
}
