//! `… NEXT`: a worker answers for a task and claims the next in one round trip.

use crate::support::{
    Server, array, bulk, nil, nil_array, ok,
    task::{Claim, ids_of},
};

/// A server with `a` and `b`, of which `a` is claimed.
fn claimed() -> Server {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs y ID b", "TASK.CLAIM jobs"]);
    server
}

/// COMPLETE, FAIL and RELEASE with NEXT do what they do, and answer as CLAIM does.
#[test]
fn answers_as_a_claim() {
    for (line, state) in [
        ("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT", "completed"),
        ("TASK.FAIL jobs a no ATTEMPT 1 NEXT", "scheduled"),
        ("TASK.FAIL jobs a no DEAD next", "failed"),
        ("TASK.RELEASE jobs a ATTEMPT 1 DELAY 900000 NEXT", "scheduled"),
    ] {
        let server = claimed();
        let next = Claim::of(&server.run(line));
        assert_eq!((next.id.as_str(), next.payload.as_slice(), next.attempt), ("b", &b"y"[..], 1), "{line}");
        assert_eq!(server.state("jobs", "a"), state, "{line}");
    }
}

/// The options after NEXT are those of CLAIM.
#[test]
fn takes_the_options_of_claim() {
    let server = claimed();
    server.run("TASK.PUSH jobs z ID c");
    let tasks = server.run("TASK.COMPLETE jobs a done RETAIN -1 NEXT COUNT 5 WORKER ann LEASE 7000");
    assert_eq!(ids_of(&tasks), ["b", "c"]);
    assert_eq!(tasks.at(0).at(3), &crate::support::int(7_000));
    assert_eq!(server.task("jobs", "c", "worker"), "ann");
    assert_eq!(server.run("TASK.COMPLETE jobs b done NEXT COUNT 5"), nil_array());
    assert_eq!(server.run("TASK.COMPLETE jobs c done NEXT"), nil_array());
}

/// A task that was released or failed at once may be the next one itself, if no other comes before it.
#[test]
fn may_get_the_same_task() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert_eq!(Claim::of(&server.run("TASK.RELEASE jobs a ATTEMPT 1 NEXT")).attempt, 2);
    assert_eq!(Claim::of(&server.run("TASK.FAIL jobs a no ATTEMPT 2 DELAY 0 NEXT")).attempt, 3);
}

/// Where nothing is ready it waits, the answer before it being in force and told.
#[test]
fn waits_for_the_next() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let mut caller = server.block("TASK.RESULT jobs a BLOCK 0");
    let mut worker = server.client();
    worker.send("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT BLOCK 0");
    assert_eq!(caller.read(), array([bulk("completed"), bulk("done")]));
    server.wait_for_blocked(1);
    server.run("TASK.PUSH jobs y ID b");
    assert_eq!(Claim::of(&worker.read()).id, "b");
    assert!(server.client().run("TASK.FAIL jobs b no ATTEMPT 1 NEXT BLOCK 20").is_nil());
}

/// Who waits already comes first.
#[test]
fn comes_after_those_who_wait() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let mut first = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut second = server.client();
    second.send("TASK.RELEASE jobs a ATTEMPT 1 NEXT BLOCK 0");
    assert_eq!(Claim::of(&first.read()).attempt, 2);
    server.wait_for_blocked(1);
    server.run("TASK.PUSH jobs x ID b");
    assert_eq!(Claim::of(&second.read()).id, "b");
}

/// A refused answer claims nothing and changes nothing.
#[test]
fn claims_nothing_if_refused() {
    let server = claimed();
    let before = server.dump("jobs");
    for (line, code) in [
        ("TASK.COMPLETE jobs a done ATTEMPT 2 NEXT", "STALE"),
        ("TASK.COMPLETE jobs none done NEXT", "NOTASK"),
        ("TASK.COMPLETE none a done NEXT BLOCK 0", "NOTASK"),
        ("TASK.FAIL jobs b no ATTEMPT 1 NEXT", "STALE"),
        ("TASK.RELEASE jobs b NEXT BLOCK 0", "NOTCLAIMED"),
        ("TASK.COMPLETE jobs a done NEXT LEASE 0", "ERR"),
        ("TASK.COMPLETE jobs a done NEXT ATTEMPT 1", "ERR"),
        ("TASK.COMPLETE jobs a done NEXT NEXT", "ERR"),
        ("TASK.MCOMPLETE jobs 1 a 1 done NEXT RETAIN 5", "ERR"),
    ] {
        server.run(line).assert_refused(code, &[]);
        assert!(server.dump("jobs") == before, "{line}");
    }
}

/// Said again after a lost reply, the answer stands and NEXT claims anew.
#[test]
fn a_repeat_claims_anew() {
    let server = claimed();
    server.run("TASK.PUSH jobs z ID c");
    for next in ["b", "c"] {
        assert_eq!(Claim::of(&server.run("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT")).id, next);
    }
    assert_eq!(server.run("TASK.RESULT jobs a").at(1), "done");
}

/// In MULTI and scripts it does not wait; a repeat raises there and claims nothing.
#[test]
fn in_multi_and_scripts() {
    let server = claimed();
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT BLOCK 0");
    client.run("TASK.COMPLETE jobs b done ATTEMPT 1 NEXT BLOCK 0");
    let replies = client.run("EXEC");
    assert_eq!(replies.at(0).at(0), "b");
    assert!(replies.at(1).is_nil());
    server.run("TASK.PUSH jobs z ID c");
    let repeat = r#"EVAL "return redis.call('TASK.COMPLETE', KEYS[1], 'a', 'done', 'ATTEMPT', 1, 'NEXT')" 1 jobs"#;
    server.run(repeat).assert_refused("DONE", &[]);
    assert_eq!(server.state("jobs", "c"), "ready");
    let first = r#"EVAL "redis.call('TASK.CLAIM', KEYS[1]) return redis.call('TASK.COMPLETE', KEYS[1], 'c', 'x', 'NEXT', 'BLOCK', 0)" 1 jobs"#;
    assert!(server.run(first).is_nil());
    assert_eq!(server.state("jobs", "c"), "completed");
}

/// Answer and claim reach replica and AOF as one unit, and are the same there.
#[test]
fn replicates_as_one() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.PUSH jobs y ID b", "TASK.CLAIM jobs"]);
    server.run("TASK.COMPLETE jobs a done NEXT WORKER ann");
    server.wait_for_replica(&replica);
    let digest = server.digest();
    assert_eq!(replica.digest(), digest);
    assert_eq!(server.crash_and_restart().digest(), digest);
    assert_eq!((server.state("jobs", "a"), server.state("jobs", "b")), ("none".into(), "claimed".into()));
}

/// A worker whose connection is gone before NEXT answers gives its task back, and its answer stands.
#[test]
fn a_lost_worker_keeps_its_answer() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let worker = server.block("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT BLOCK 0");
    drop(worker);
    server.wait_for_blocked(0);
    server.run("TASK.PUSH jobs y ID b");
    assert_eq!((server.state("jobs", "a"), server.state("jobs", "b")), ("completed".into(), "ready".into()));
}

/// MCOMPLETE with NEXT answers for each task, then as CLAIM, also when it has to wait.
#[test]
fn mcomplete_with_next() {
    let server = claimed();
    let reply = server.run("TASK.MCOMPLETE jobs 2 a 1 done none 1 done NEXT");
    assert_eq!(reply.at(0).at(0), &ok());
    reply.at(0).at(1).assert_refused("NOTASK", &[]);
    assert_eq!(reply.at(1).at(0), "b");
    let mut worker = server.client();
    worker.send("TASK.MCOMPLETE jobs 1 b 1 done NEXT COUNT 2 BLOCK 0");
    server.wait_for_blocked(1);
    server.run("TASK.PUSH jobs z ID c");
    let reply = worker.read();
    assert_eq!(reply.at(0), &array([ok()]));
    assert_eq!(ids_of(reply.at(1)), ["c"]);
    assert_eq!(server.run("TASK.MCOMPLETE jobs 1 c 1 done NEXT"), array([array([ok()]), nil_array()]));
    let reply = server.run("TASK.MCOMPLETE none 1 c 1 done NEXT BLOCK 1");
    reply.at(0).at(0).assert_refused("NOTASK", &[]);
    assert_eq!(reply.at(1), &nil_array());
    assert_eq!(nil(), server.run("GET none"));
}

/// With MCOMPLETE it is refused in scripts: the errors in its answer would stand where Valkey's scripts cannot take them.
#[test]
fn after_mcomplete_it_is_not_for_scripts() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let before = server.digest();
    for _ in 0..2 {
        let script = "return redis.pcall('TASK.MCOMPLETE', 'jobs', 1, 'a', 7, 'd', 'NEXT')";
        server.cmd(&[b"EVAL", script.as_bytes(), b"0"]).assert_refused("ERR", &["NEXT", "scripts"]);
        assert_eq!(server.cmd(&[b"EVAL", b"return redis.call('PING')", b"0"]), "PONG");
    }
    assert_eq!(server.digest(), before);
}
