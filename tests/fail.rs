//! `TASK.FAIL`: ends an attempt without a result.

use crate::support::{Server, array, bulk, now_ms, ok, simple};

/// Pushes and claims `a` with these options of the push.
fn claimed(options: &str) -> Server {
    let server = Server::start();
    server.run(&format!("TASK.PUSH jobs x ID a {options}"));
    server.claim("jobs");
    server
}

/// With tries left the task is scheduled after the backoff; the answer is the new state, a simple string.
#[test]
fn schedules_a_retry() {
    let server = claimed("BACKOFF 100000");
    let before = now_ms();
    assert_eq!(server.run("TASK.FAIL jobs a \"no route\""), simple("scheduled"));
    let due = server.task("jobs", "a", "ready-at").int();
    assert!((before + 90_000 - 1..=now_ms() + 110_000).contains(&due), "{}", due - before);
    assert_eq!(server.task("jobs", "a", "error"), "no route");
    assert!(server.task("jobs", "a", "worker").is_nil());
}

/// The default backoff is one second.
#[test]
fn default_backoff() {
    let server = claimed("");
    let before = now_ms();
    server.run("TASK.FAIL jobs a no");
    let due = server.task("jobs", "a", "ready-at").int();
    assert!((before + 900 - 1..=now_ms() + 1_100).contains(&due), "{}", due - before);
}

/// Each next backoff is twice the one before, at most one hour, with 10 % of jitter.
#[test]
fn backoff_doubles_up_to_an_hour() {
    let server = Server::start();
    for tries in 1..=12 {
        let id = format!("t{tries}");
        server.run(&format!("TASK.PUSH jobs x ID {id} ATTEMPTS 0 BACKOFF 10000"));
        for _ in 1..tries {
            server.claim("jobs");
            assert_eq!(server.run(&format!("TASK.FAIL jobs {id} no DELAY 0")), simple("ready"));
        }
        server.claim("jobs");
        let before = now_ms();
        assert_eq!(server.run(&format!("TASK.FAIL jobs {id} no")), simple("scheduled"));
        let wait = server.task("jobs", &id, "ready-at").int() - before;
        let backoff = (10_000 << (tries - 1)).min(3_600_000);
        let bounds = backoff * 9 / 10 - 1..=backoff * 11 / 10 + 1_000;
        assert!(bounds.contains(&wait), "{wait} after try {tries}, not {backoff}");
    }
}

/// The jitter spreads retries of tasks that failed together.
#[test]
fn backoff_has_jitter() {
    let server = Server::start();
    for n in 0..50 {
        server.run(&format!("TASK.PUSH jobs x ID {n} BACKOFF 1000000"));
    }
    server.run("TASK.CLAIM jobs COUNT 50");
    let mut waits: Vec<_> = (0..50)
        .map(|n| {
            let before = now_ms();
            server.run(&format!("TASK.FAIL jobs {n} no"));
            server.task("jobs", &n.to_string(), "ready-at").int() - before
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[0] >= 899_999 && waits[49] <= 1_101_000, "{waits:?}");
    assert!(waits[49] - waits[0] > 50_000, "no jitter: {waits:?}");
}

/// DELAY replaces the backoff; 0: ready at once.
#[test]
fn delay_replaces_the_backoff() {
    let server = claimed("BACKOFF 1");
    let before = now_ms();
    assert_eq!(server.run("TASK.FAIL jobs a no DELAY 500000"), simple("scheduled"));
    let wait = server.task("jobs", "a", "ready-at").int() - before;
    assert!((499_999..=501_000).contains(&wait), "{wait}");
    server.run_all(&["TASK.RETRY jobs a", "TASK.CLAIM jobs"]);
    assert_eq!(server.run("TASK.FAIL jobs a no DELAY 0"), simple("ready"));
    assert_eq!(server.claim("jobs").attempt, 3);
}

/// BACKOFF 0 makes a failed attempt ready at once.
#[test]
fn backoff_0_is_ready_at_once() {
    let server = claimed("BACKOFF 0");
    assert_eq!(server.run("TASK.FAIL jobs a no"), simple("ready"));
}

/// Out of tries the task is failed: a dead letter with its error and its payload.
#[test]
fn out_of_tries_is_failed() {
    let server = claimed("ATTEMPTS 2");
    assert_eq!(server.run("TASK.FAIL jobs a one DELAY 0"), simple("ready"));
    server.claim("jobs");
    assert_eq!(server.run("TASK.FAIL jobs a two DELAY 0"), simple("failed"));
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("failed"), bulk("two")]));
    assert_eq!(server.task("jobs", "a", "payload"), "x");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// ATTEMPTS 0 is no limit.
#[test]
fn attempts_0_is_no_limit() {
    let server = claimed("ATTEMPTS 0");
    for attempt in 2..50 {
        assert_eq!(server.run("TASK.FAIL jobs a no DELAY 0"), simple("ready"));
        assert_eq!(server.claim("jobs").attempt, attempt);
    }
}

/// DEAD fails the task for good, tries or not.
#[test]
fn dead_fails_for_good() {
    let server = claimed("ATTEMPTS 0");
    assert_eq!(server.run("TASK.FAIL jobs a poison DEAD ATTEMPT 1"), simple("failed"));
    assert_eq!(server.state("jobs", "a"), "failed");
}

/// Said again with the same ATTEMPT it answers the same and changes nothing.
#[test]
fn a_repeat_answers_the_same() {
    let server = claimed("BACKOFF 1000000");
    for (options, answer) in [("", "scheduled"), (" DELAY 0", "ready"), (" DEAD", "failed")] {
        let attempt = server.task("jobs", "a", "attempt").int();
        let fail = format!("TASK.FAIL jobs a no ATTEMPT {attempt}{options}");
        assert_eq!(server.run(&fail), simple(answer));
        let before = server.dump("jobs");
        assert_eq!(server.run(&fail), simple(answer));
        assert!(server.dump("jobs") == before, "{fail}");
        if answer != "failed" {
            if answer == "scheduled" {
                server.run("TASK.RETRY jobs a");
            }
            server.claim("jobs");
        }
    }
}

/// A claim that failed the task cannot then complete it.
#[test]
fn only_the_first_answer_counts() {
    let server = claimed("BACKOFF 1000000");
    server.run("TASK.FAIL jobs a no ATTEMPT 1");
    server.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("NOTCLAIMED", &["scheduled"]);
    server.run("TASK.RELEASE jobs a ATTEMPT 1").assert_refused("NOTCLAIMED", &["scheduled"]);
    server.run_all(&["TASK.RETRY jobs a", "TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 0"]);
    server.run("TASK.COMPLETE jobs a done ATTEMPT 2").assert_refused("NOTCLAIMED", &["ready"]);
}

/// A lapsed claim can still be failed while nobody else has the task.
#[test]
fn a_lapsed_claim_can_still_fail() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a BACKOFF 100000", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    server.run("TASK.FAIL jobs a late").assert_refused("NOTCLAIMED", &["ready"]);
    assert_eq!(server.run("TASK.FAIL jobs a late ATTEMPT 1"), simple("scheduled"));
    assert_eq!(server.task("jobs", "a", "error"), "late");
}

/// Refusals come in this order: NOTASK, CANCELED, STALE, NOTCLAIMED.
#[test]
fn refuses_what_is_not_held() {
    let server = claimed("");
    server.run("TASK.FAIL jobs none no").assert_refused("NOTASK", &[]);
    server.run("TASK.FAIL jobs a no ATTEMPT 2").assert_refused("STALE", &[]);
    assert_eq!(server.run("TASK.RELEASE jobs a"), ok());
    server.run("TASK.FAIL jobs a no").assert_refused("NOTCLAIMED", &["ready"]);
    server.run("TASK.CANCEL jobs a");
    server.run("TASK.FAIL jobs a no ATTEMPT 7").assert_refused("CANCELED", &[]);
}

/// The error is any bytes.
#[test]
fn the_error_is_any_bytes() {
    let server = claimed("");
    server.cmd(&[b"TASK.FAIL", b"jobs", b"a", b"\xff\0", b"DEAD"]);
    assert_eq!(server.run("TASK.RESULT jobs a").at(1), &bulk(b"\xff\0"));
}
