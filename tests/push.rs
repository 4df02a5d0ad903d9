//! `TASK.PUSH`: adds one task.

use crate::support::{Server, bulk, int, nil, now_ms, task::Claim};

/// A push makes the queue and answers the id it made, `<unix-ms>-<seq>`, as a bulk string.
#[test]
fn answers_a_made_id() {
    let server = Server::start();
    let before = now_ms();
    let reply = server.run("TASK.PUSH jobs hello");
    let id = String::from_utf8(reply.bytes().to_vec()).unwrap();
    let (ms, seq) = id.split_once('-').unwrap();
    assert!((before - 1..=now_ms() + 1).contains(&ms.parse().unwrap()), "{id}");
    assert!(seq.parse::<u64>().is_ok(), "{id}");
    assert_eq!(server.state("jobs", &id), "ready");
    assert_eq!(server.run("EXISTS jobs"), int(1));
}

/// A push takes the id it is given and answers it.
#[test]
fn takes_an_id() {
    let server = Server::start();
    assert_eq!(server.run("TASK.PUSH jobs hello ID mail:7"), bulk("mail:7"));
    assert_eq!(server.task("jobs", "mail:7", "payload"), "hello");
}

/// Without options a task has priority 0, three tries and no claim yet.
#[test]
fn has_defaults() {
    let server = Server::start();
    server.run("TASK.PUSH jobs hello ID a");
    for (field, value) in [("priority", 0), ("attempt", 0), ("tries", 0), ("attempts", 3)] {
        assert_eq!(server.task("jobs", "a", field), value, "{field}");
    }
    assert!(server.task("jobs", "a", "worker").is_nil());
    assert_eq!(server.claim("jobs").lease_ms, 30_000);
}

/// A payload is any bytes, also none.
#[test]
fn payloads_are_any_bytes() {
    let server = Server::start();
    let all: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 3 << 20];
    for payload in [&b""[..], &all, b"\xff\xfe\0", &large] {
        server.cmd(&[b"TASK.PUSH", b"jobs", payload]);
        assert!(server.claim("jobs").payload == payload);
    }
}

/// A queue's name is any bytes, as any key's.
#[test]
fn queue_names_are_any_bytes() {
    let server = Server::start();
    for queue in [&b""[..], b"a b", b"\xff\0"] {
        assert_eq!(server.cmd(&[b"TASK.PUSH", queue, b"x", b"ID", b"a"]), "a");
        assert_eq!(server.cmd(&[b"TASK.CLAIM", queue]).at(0), &bulk("a"));
    }
}

/// Said again with the same ID, in whatever state the task is, a push changes nothing and answers the id.
#[test]
fn a_repeat_changes_nothing() {
    let server = Server::start();
    let states = ["ready", "scheduled", "claimed", "completed", "failed", "canceled"];
    server.run_all(&[
        "TASK.PUSH jobs old ID claimed",
        "TASK.CLAIM jobs",
        "TASK.PUSH jobs old ID completed",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs completed done",
        "TASK.PUSH jobs old ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs old ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs old ID ready",
        "TASK.PUSH jobs old ID scheduled DELAY 1000000",
    ]);
    let before = server.dump("jobs");
    for state in states {
        assert_eq!(server.state("jobs", state), state);
        let push = format!("TASK.PUSH jobs new ID {state} PRIORITY 9");
        assert_eq!(server.run(&push), bulk(state));
        assert_eq!(server.run(&format!("{push} NX")), nil(), "{state}");
    }
    assert!(server.dump("jobs") == before);
}

/// With NX a new task is pushed and answered as without.
#[test]
fn nx_pushes_a_new_task() {
    let server = Server::start();
    assert_eq!(server.run("TASK.PUSH jobs x ID a NX"), bulk("a"));
    assert!(server.run("TASK.PUSH jobs x NX").text().contains('-'));
}

/// With RENEW a failed, canceled or expired task begins again with the new payload; others stay as they are.
#[test]
fn renew_begins_an_unfinished_end_again() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs old ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs old ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs old ID expired TTL 1",
    ]);
    server.wait_for_state("expired", "expired");
    for id in ["failed", "canceled", "expired"] {
        assert_eq!(server.run(&format!("TASK.PUSH jobs new ID {id} RENEW")), bulk(id));
        assert_eq!(server.state("jobs", id), "ready");
        assert_eq!(server.task("jobs", id, "tries"), 0);
        assert!(server.task("jobs", id, "error").is_nil());
        assert!(server.task("jobs", id, "finished").is_nil());
        let claim = server.claim("jobs");
        assert_eq!((claim.id.as_str(), claim.payload.as_slice()), (id, &b"new"[..]));
        assert_eq!(claim.attempt, if id == "failed" { 2 } else { 1 }, "attempt never goes back: {id}");
        assert_eq!(server.run(&format!("TASK.COMPLETE jobs {id} done")), "OK");
        let before = server.dump("jobs");
        assert_eq!(server.run(&format!("TASK.PUSH jobs newer ID {id} RENEW")), bulk(id));
        assert!(server.dump("jobs") == before, "a completed task is not renewed");
    }
}

/// RENEW voids the claims before it.
#[test]
fn renew_voids_earlier_claims() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.CANCEL jobs a", "TASK.PUSH jobs y ID a RENEW"]);
    server.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("STALE", &[]);
    assert_eq!(server.state("jobs", "a"), "ready");
}

/// Options come in any order and case.
#[test]
fn options_in_any_order_and_case() {
    let server = Server::start();
    let push = "task.push jobs x retain 7000 Priority 9 LEASE 5000 attempts 2 id a backoff 9 ttl 90000 delay 1 \
                timeout 80000 retainfailed 8000";
    assert_eq!(server.run(push), "a");
    server.wait_for_state("a", "ready");
    assert_eq!(server.task("jobs", "a", "priority"), 9);
    assert_eq!(server.task("jobs", "a", "attempts"), 2);
    assert_eq!(server.claim("jobs").lease_ms, 5_000);
}

/// AT in the past makes a ready task; AT in the future a scheduled one, due exactly then.
#[test]
fn at_is_an_instant() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID past AT 1");
    assert_eq!(server.state("jobs", "past"), "ready");
    let at = now_ms() + 100_000;
    server.run(&format!("TASK.PUSH jobs x ID future AT {at}"));
    assert_eq!(server.state("jobs", "future"), "scheduled");
    assert_eq!(server.task("jobs", "future", "ready-at"), at);
}

/// DELAY 0 is no delay; a longer one makes a scheduled task that no claim gets.
#[test]
fn a_delayed_task_is_not_claimed() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID now DELAY 0");
    let before = now_ms();
    server.run("TASK.PUSH jobs x ID later DELAY 100000");
    let due = server.task("jobs", "later", "ready-at").int();
    assert!((before + 100_000 - 1..=now_ms() + 100_000).contains(&due), "{due} from {before}");
    assert_eq!(Claim::of(&server.run("TASK.CLAIM jobs")).id, "now");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// A full server refuses pushes, and drains: claims and their answers go on.
#[test]
fn a_full_server_refuses_pushes_and_drains() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c"]);
    server.run("CONFIG SET maxmemory 1");
    server.run("TASK.PUSH jobs x ID d").assert_refused("OOM", &[]);
    assert_eq!(server.claim("jobs").id, "a");
    assert_eq!(server.run("TASK.EXTEND jobs a"), "OK");
    assert_eq!(server.run("TASK.COMPLETE jobs a done"), "OK");
    assert_eq!(server.claim("jobs").id, "b");
    assert_eq!(server.run("TASK.FAIL jobs b no DEAD"), "failed");
    assert_eq!(server.claim("jobs").id, "c");
    assert_eq!(server.run("TASK.RELEASE jobs c"), "OK");
    assert_eq!(server.run("TASK.CANCEL jobs c"), int(1));
    assert_eq!(server.run("TASK.FORGET jobs a b"), int(2));
}
