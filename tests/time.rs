//! Time: what falls due happens by itself, and wherever the queue went meanwhile.

use crate::support::{Events, Server, Shutdown, bulk, eventually, holds_for, int, now_ms, ok, simple};

/// How late anything may be on a busy machine; an idle one keeps 5 ms.
const LATE_MS: i64 = 1_000;

/// Expects `event` of jobs, by itself: not before `due`, and not late.
#[track_caller]
fn expect_at(events: &mut Events, event: &str, due: i64) {
    events.expect(&[event]);
    let late = now_ms() - due;
    assert!((-1..LATE_MS).contains(&late), "{event} is {late} ms late");
}

/// A delayed task becomes ready at its time; nobody has to ask.
#[test]
fn a_delay_ends_by_itself() {
    let server = Server::start();
    let mut events = Events::of(&server);
    let due = now_ms() + 40;
    server.run(&format!("TASK.PUSH jobs x ID a AT {due}"));
    events.expect(&["push"]);
    expect_at(&mut events, "ready", due);
    assert_eq!(server.claim("jobs").id, "a");
}

/// On an idle server things happen within milliseconds: the best of ten delays is not 5 ms late.
#[test]
fn lateness_is_small() {
    let server = Server::start();
    let mut events = Events::of(&server);
    let best = (0..10)
        .map(|_| {
            let due = now_ms() + 20;
            server.run("TASK.PUSH jobs x DELAY 20");
            events.expect(&["push", "ready"]);
            now_ms() - due
        })
        .min();
    assert!(best.is_some_and(|late| (-1..5).contains(&late)), "{best:?} ms late");
}

/// A claim whose lease ends lapses: the task is ready again, its try counted.
#[test]
fn a_lease_lapses_by_itself() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    let mut events = Events::of(&server);
    let due = now_ms() + 40;
    server.run("TASK.CLAIM jobs LEASE 40");
    events.expect(&["claim"]);
    expect_at(&mut events, "lapse", due);
    assert_eq!(server.state("jobs", "a"), "ready");
    assert_eq!(server.task("jobs", "a", "tries"), 1);
    assert!(server.task("jobs", "a", "worker").is_nil());
    assert_eq!(server.claim("jobs").attempt, 2);
}

/// The last try that lapses fails the task: "lease expired".
#[test]
fn the_last_lapse_fails() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", "TASK.CLAIM jobs LEASE 10"]);
    server.wait_for_state("a", "failed");
    assert_eq!(server.task("jobs", "a", "error"), "lease expired");
}

/// TIMEOUT ends a claim however often it is extended: "timeout".
#[test]
fn a_timeout_ends_the_claim() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1 TIMEOUT 60", "TASK.CLAIM jobs"]);
    let claimed = now_ms();
    eventually(|| server.run("TASK.EXTEND jobs a LEASE 100000").is_error());
    assert!(now_ms() - claimed >= 50, "too early");
    assert_eq!(server.state("jobs", "a"), "failed");
    assert_eq!(server.task("jobs", "a", "error"), "timeout");
}

/// EXTEND moves the end of a lease, both ways.
#[test]
fn a_heartbeat_keeps_the_claim() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 300"]);
    server.run("TASK.EXTEND jobs a LEASE 100000");
    holds_for(400, || server.state("jobs", "a") == "claimed");
    server.run("TASK.EXTEND jobs a LEASE 1");
    server.wait_for_state("a", "ready");
}

/// A task no worker has claimed by its TTL expires, also while it is delayed no more; the payload is kept.
#[test]
fn a_ttl_ends_by_itself() {
    let server = Server::start();
    let mut events = Events::of(&server);
    let due = now_ms() + 40;
    server.run("TASK.PUSH jobs x ID a TTL 40 DELAY 10");
    events.expect(&["push", "ready"]);
    expect_at(&mut events, "expire", due);
    assert_eq!(server.state("jobs", "a"), "expired");
    assert_eq!(server.task("jobs", "a", "payload"), "x");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// The first claim ends the TTL for good.
#[test]
fn a_claim_ends_the_ttl() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a TTL 100", "TASK.CLAIM jobs", "TASK.RELEASE jobs a"]);
    holds_for(150, || server.state("jobs", "a") == "ready");
}

/// A failed attempt is ready again after its backoff.
#[test]
fn a_backoff_ends_by_itself() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a BACKOFF 40", "TASK.CLAIM jobs"]);
    let mut events = Events::of(&server);
    let failed = now_ms();
    assert_eq!(server.run("TASK.FAIL jobs a no"), simple("scheduled"));
    events.expect(&["retry"]);
    expect_at(&mut events, "ready", failed + 36);
}

/// Finished tasks are kept for their retention and then dropped, completed and failed ones each by their own.
#[test]
fn retention_ends_by_itself() {
    let server = Server::start();
    for id in ["completed", "failed", "canceled"] {
        server.run(&format!("TASK.PUSH jobs x ID {id} RETAIN 40 RETAINFAILED 100000"));
        server.run("TASK.CLAIM jobs");
    }
    let mut events = Events::of(&server);
    server.run("TASK.FAIL jobs failed no DEAD");
    events.expect(&["fail"]);
    let due = now_ms() + 40;
    server.run("TASK.COMPLETE jobs completed done");
    events.expect(&["complete"]);
    expect_at(&mut events, "drop", due);
    assert_eq!(server.state("jobs", "completed"), "none");
    assert_eq!(server.state("jobs", "failed"), "failed");
}

/// RETAINFAILED is the failed task's retention; -1 keeps for ever, 0 not at all.
#[test]
fn retention_of_failed_tasks() {
    let server = Server::start();
    for (id, retain) in [("short", "20"), ("none", "0"), ("ever", "-1")] {
        server.run(&format!("TASK.PUSH jobs x ID {id} RETAIN 0 RETAINFAILED {retain}"));
        server.run_all(&["TASK.CLAIM jobs", &format!("TASK.FAIL jobs {id} no DEAD")]);
    }
    assert_eq!(server.state("jobs", "none"), "none");
    server.wait_for_state("short", "none");
    assert_eq!(server.state("jobs", "ever"), "failed");
}

/// An empty queue stays after its last task was dropped.
#[test]
fn an_empty_queue_stays() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 5", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    server.wait_for_state("a", "none");
    assert_eq!(server.run("TYPE jobs"), "taskqueue");
}

/// Many deadlines at one instant all happen, and only once each.
#[test]
fn many_deadlines_at_once() {
    let server = Server::start();
    let at = now_ms() + 200;
    let push = format!("TASK.PUSH jobs x AT {at}");
    let mut client = server.client();
    client.send_all(&vec![push.as_str(); 5_000]);
    for _ in 0..5_000 {
        assert!(!client.read().is_error());
    }
    eventually(|| server.count("jobs", "ready") == 5_000);
    assert_eq!(server.count("jobs", "scheduled"), 0);
}

/// While a great many deadlines fall due at one instant, other clients get their turns in between. The server's LATENCY shows what that took.
#[test]
fn many_deadlines_leave_others_their_turn() {
    const TASKS: i64 = 200_000;
    let server = Server::start();
    server.run("CONFIG SET latency-monitor-threshold 1");
    let mut client = server.client();
    let line = format!("TASK.MPUSH jobs 10000{} AT {}", " x".repeat(10_000), now_ms() + 5_000);
    client.run_each(&vec![line; usize::try_from(TASKS).expect("a count") / 10_000]);
    assert_eq!(server.count("jobs", "scheduled"), TASKS);
    let mut turns = 0;
    eventually(|| {
        let ready = server.count("jobs", "ready");
        turns += i32::from(0 < ready && ready < TASKS);
        ready == TASKS
    });
    assert!(turns >= 5, "{turns} turns");
    let latencies = server.run("LATENCY LATEST");
    assert!(latencies.items().iter().any(|event| *event.at(0) == "task-tick"), "{latencies:?}");
}

/// Deadlines follow the queue wherever it goes, and what stays behind has none.
#[test]
fn deadlines_follow_the_queue() {
    for how in ["RENAME", "COPY", "MOVE", "SWAPDB", "RESTORE", "DEBUG RELOAD"] {
        let server = Server::start();
        server.run_all(&[
            "TASK.PUSH jobs x ID lease PRIORITY 9",
            "TASK.CLAIM jobs LEASE 150",
            "TASK.PUSH jobs x ID delay DELAY 150",
        ]);
        server.run("TASK.PUSH jobs x ID ttl TTL 150");
        let mut client = server.client();
        let mut queue = "moved";
        match how {
            "RENAME" => client.run("RENAME jobs moved"),
            "COPY" => client.run("COPY jobs moved"),
            "MOVE" => client.run("MOVE jobs 1"),
            "SWAPDB" => client.run("SWAPDB 0 1"),
            "RESTORE" => {
                let dump = server.dump("jobs");
                client.cmd(&[b"RESTORE", b"moved", b"0", &dump])
            }
            _ => client.run("DEBUG RELOAD"),
        };
        if matches!(how, "MOVE" | "SWAPDB") {
            client.run("SELECT 1");
        }
        if !matches!(how, "RENAME" | "COPY" | "RESTORE") {
            queue = "jobs";
        }
        for (id, state) in [("lease", "ready"), ("delay", "ready"), ("ttl", "expired")] {
            let ask = format!("TASK.RESULT {queue} {id}");
            eventually(|| client.run(&ask).at(0) == &bulk(state));
        }
        if matches!(how, "COPY" | "RESTORE") {
            for (id, state) in [("lease", "ready"), ("delay", "ready"), ("ttl", "expired")] {
                server.wait_for_state(id, state);
            }
        } else if how != "DEBUG RELOAD" {
            assert_eq!(server.run("EXISTS jobs"), int(0), "{how}");
        }
    }
}

/// A queue that is renamed over, replaced or flushed leaves no deadline behind, and no key comes back.
#[test]
fn what_is_gone_has_no_deadlines() {
    for away in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHDB", "DEL jobs", "UNLINK jobs", "PEXPIRE jobs 10"] {
        let server = Server::start();
        let mut events = Events::of(&server);
        server.run_all(&["TASK.PUSH jobs x ID a DELAY 60", "TASK.PUSH jobs x ID b TTL 60"]);
        events.expect(&["push", "push"]);
        server.run(away);
        events.expect_none(100);
        assert_eq!(server.run("EXISTS jobs"), int(0), "{away}");
    }
}

/// After a restart from an RDB what fell due meanwhile happens, and what is not yet due waits.
#[test]
fn deadlines_survive_a_restart() {
    let mut server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID lapse PRIORITY 9",
        "TASK.CLAIM jobs LEASE 30",
        "TASK.PUSH jobs x ID due DELAY 30",
        "TASK.PUSH jobs x ID soon DELAY 700",
        "TASK.PUSH jobs x ID later DELAY 100000",
    ]);
    let due = server.task("jobs", "later", "ready-at");
    server.restart(Shutdown::Save);
    server.wait_for_state("lapse", "ready");
    server.wait_for_state("due", "ready");
    server.wait_for_state("soon", "ready");
    assert_eq!(server.state("jobs", "later"), "scheduled");
    assert_eq!(server.task("jobs", "later", "ready-at"), due);
}

/// An AOF that begins with an RDB and goes on with SWAPDB: the deadlines are where the queue is in the end.
#[test]
fn deadlines_follow_a_swapdb_in_the_aof() {
    let mut server = Server::builder().aof().start();
    server.run_all(&["TASK.PUSH jobs x ID a DELAY 1500", "BGREWRITEAOF"]);
    eventually(|| server.log().contains("Background AOF rewrite finished successfully"));
    server.run("SWAPDB 0 1");
    server.crash_and_restart();
    server.run("SELECT 1");
    server.wait_for_state("a", "ready");
}

/// While clients' writes are paused nothing happens and nothing crashes; then all of it does.
#[test]
fn a_pause_of_writes_stops_time() {
    let server = Server::start();
    let mut events = Events::of(&server);
    server.run_all(&["TASK.PUSH jobs x ID lease PRIORITY 9", "TASK.CLAIM jobs LEASE 100"]);
    let mut client = server.client();
    client.send_all(&["TASK.PUSH jobs x ID delay DELAY 50", "TASK.PUSH jobs x ID ttl TTL 60", "CLIENT PAUSE 60000 WRITE"]);
    for _ in 0..3 {
        assert!(!client.read().is_error());
    }
    events.expect(&["push", "claim", "push", "push"]);
    events.expect_none(200);
    assert_eq!(server.state("jobs", "delay"), "scheduled");
    server.run("CLIENT UNPAUSE");
    server.wait_for_state("lease", "ready");
    server.wait_for_state("delay", "ready");
    server.wait_for_state("ttl", "expired");
}

/// A deadline counts once the server has acted on it: a late EXTEND is in time until then.
#[test]
fn a_late_heartbeat_is_in_time_until_the_lapse() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 40"]);
    let mut client = server.client();
    client.send_all(&["DEBUG SLEEP 0.1", "TASK.EXTEND jobs a LEASE 100000"]);
    assert_eq!((client.read(), client.read()), (ok(), ok()));
    holds_for(20, || server.state("jobs", "a") == "claimed");
}

/// With too few good replicas time stands still, as writes do; it goes on when they are back.
#[test]
fn too_few_replicas_stop_time() {
    let server = Server::start();
    let mut client = server.client();
    client.send_all(&[
        "TASK.PUSH jobs x ID held ATTEMPTS 1",
        "TASK.CLAIM jobs LEASE 60",
        "TASK.PUSH jobs x ID a DELAY 60",
        "CONFIG SET min-replicas-to-write 1",
    ]);
    for _ in 0..4 {
        assert!(!client.read().is_error());
    }
    holds_for(200, || server.state("jobs", "a") == "scheduled" && server.state("jobs", "held") == "claimed");
    server.run("TASK.CLAIM jobs").assert_refused("NOREPLICAS", &[]);
    server.run("TASK.EXTEND jobs held ATTEMPT 1").assert_refused("NOREPLICAS", &[]);
    server.run("CONFIG SET min-replicas-to-write 0");
    server.wait_for_state("a", "ready");
    server.wait_for_state("held", "failed");
    assert_eq!(server.run("TASK.RESULT jobs held").at(1), "lease expired");
}

/// A claim never gets a task whose TTL is over, also before the server has acted on it.
#[test]
fn a_claim_never_gets_an_expired_task() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..50 {
        client.send_all(&["TASK.PUSH jobs x ID a TTL 1", "DEBUG SLEEP 0.003", "TASK.CLAIM jobs", "DEL jobs"]);
        client.read();
        client.read();
        assert!(client.read().is_nil(), "claimed after its TTL");
        client.read();
    }
}

/// A server that has nothing to do before long does nothing: Redis 7.0 spins on timers with more than 35 minutes to go.
#[test]
fn far_deadlines_cost_nothing() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID soon DELAY 5",
        "TASK.PUSH jobs x ID kept",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs kept done RETAIN 3600000",
        "TASK.PUSH jobs x ID later DELAY 86400000",
    ]);
    server.wait_for_state("soon", "ready");
    let cpu_seconds = || {
        let of = |field: &str| server.info(field).parse::<f64>().unwrap();
        of("used_cpu_user") + of("used_cpu_sys")
    };
    let (started, before) = (std::time::Instant::now(), cpu_seconds());
    eventually(|| started.elapsed().as_millis() > 500);
    let share = (cpu_seconds() - before) / started.elapsed().as_secs_f64();
    assert!(share < 0.05, "{share} of a core while idle");
}
