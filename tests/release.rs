//! `TASK.RELEASE`: gives a task back unfinished.

use crate::support::{Server, array, bulk, int, nil, now_ms, ok};

/// The task is ready again and its try does not count.
#[test]
fn gives_the_try_back() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", "TASK.CLAIM jobs"]);
    assert_eq!(server.run("TASK.RELEASE jobs a"), ok());
    assert_eq!(server.state("jobs", "a"), "ready");
    assert_eq!(server.task("jobs", "a", "tries"), 0);
    let again = array([bulk("a"), bulk("x"), int(2), int(30_000), nil()]);
    assert_eq!(server.run("TASK.CLAIM jobs"), again);
}

/// With DELAY the task is scheduled; its try does not count either.
#[test]
fn delay_schedules() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let before = now_ms();
    assert_eq!(server.run("TASK.RELEASE jobs a DELAY 100000 ATTEMPT 1"), ok());
    assert_eq!(server.state("jobs", "a"), "scheduled");
    assert_eq!(server.task("jobs", "a", "tries"), 0);
    let wait = server.task("jobs", "a", "ready-at").int() - before;
    assert!((99_999..=101_000).contains(&wait), "{wait}");
}

/// Said again with the same ATTEMPT it answers OK and changes nothing.
#[test]
fn a_repeat_answers_ok() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.RELEASE jobs a ATTEMPT 1"]);
    let before = server.dump("jobs");
    assert_eq!(server.run("TASK.RELEASE jobs a ATTEMPT 1"), ok());
    assert!(server.dump("jobs") == before);
    server.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("NOTCLAIMED", &["ready"]);
    server.run("TASK.CLAIM jobs");
    server.run("TASK.RELEASE jobs a ATTEMPT 1").assert_refused("STALE", &[]);
    server.run_all(&["TASK.RELEASE jobs a ATTEMPT 2 DELAY 100000"]);
    let before = server.dump("jobs");
    assert_eq!(server.run("TASK.RELEASE jobs a ATTEMPT 2 DELAY 100000"), ok());
    assert!(server.dump("jobs") == before);
}

/// A lapsed claim can still be released while nobody else has the task: the try is given back.
#[test]
fn a_lapsed_claim_can_still_release() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    assert_eq!(server.task("jobs", "a", "tries"), 1);
    server.run("TASK.RELEASE jobs a").assert_refused("NOTCLAIMED", &["ready"]);
    assert_eq!(server.run("TASK.RELEASE jobs a ATTEMPT 1"), ok());
    assert_eq!(server.state("jobs", "a"), "ready");
    assert_eq!(server.task("jobs", "a", "tries"), 0);
}

/// Refusals come in this order: NOTASK, CANCELED, STALE, NOTCLAIMED.
#[test]
fn refuses_what_is_not_held() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    server.run("TASK.RELEASE jobs none").assert_refused("NOTASK", &[]);
    server.run("TASK.RELEASE none a").assert_refused("NOTASK", &[]);
    server.run("TASK.RELEASE jobs a ATTEMPT 2").assert_refused("STALE", &[]);
    server.run("TASK.RELEASE jobs a");
    server.run("TASK.RELEASE jobs a").assert_refused("NOTCLAIMED", &["ready"]);
    server.run("TASK.CANCEL jobs a");
    server.run("TASK.RELEASE jobs a ATTEMPT 1").assert_refused("CANCELED", &[]);
}
