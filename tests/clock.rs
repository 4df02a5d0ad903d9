//! The wall clock is set while the server runs, by hours, forth and back.

use crate::support::{Clock, Server, Value, eventually, holds_for, now_ms};
use std::time::{Duration, Instant};

const HOUR_MS: i64 = 3_600_000;

/// Sets the clock, and waits until the server has seen it: Valkey asks for the time once in a while, not at each command.
#[track_caller]
fn set(clock: &Clock, server: &Server, offset_ms: i64) {
    clock.set(offset_ms);
    eventually(|| (server_ms(server) - now_ms() - offset_ms).abs() < 2_000);
}

fn server_ms(server: &Server) -> i64 {
    server.run("TIME").at(0).text().parse::<i64>().expect("seconds") * 1_000
}

/// A clock and a server that goes by it; None, and a line that says so, if this server cannot be made to.
fn clocked() -> Option<(Clock, Server)> {
    let clock = Clock::new();
    clock.set(HOUR_MS);
    // The allocator's thread waits by the system's clock until instants of ours: set back, it would spin.
    let server = Server::builder().clock(&clock).aof().config("jemalloc-bg-thread", "no").start();
    if server_ms(&server) < now_ms() + HOUR_MS / 2 {
        println!("skipped: this server's clock cannot be set, it does not ask the C library for the time");
        return None;
    }
    set(&clock, &server, 0);
    Some((clock, server))
}

/// Milliseconds until `happened`.
#[track_caller]
fn time_until(happened: impl FnMut() -> bool) -> u128 {
    let start = Instant::now();
    eventually(happened);
    start.elapsed().as_millis()
}

/// A key is held until an instant of the clock.
#[test]
fn a_step_ends_the_time_of_a_key() {
    let Some((clock, server)) = clocked() else { return };
    let push = format!("TASK.PUSH jobs x UNIQUE k FOR {HOUR_MS} NX");
    assert!(!server.run(&push).is_nil());
    server.run_all(&["TASK.CLAIM jobs", "TASK.PUSH jobs y UNIQUE k REPLACE"]);
    set(&clock, &server, -HOUR_MS);
    assert!(server.run(&push).is_nil());
    server.run("TASK.CANCEL jobs ALL");
    set(&clock, &server, HOUR_MS + 5_000);
    assert!(!server.run(&push).is_nil());
    assert!(server.run(&push).is_nil());
}

/// Forth: what is due by the new time happens at once, within two looks at the clock a tenth of a second apart.
#[test]
fn a_step_forth_makes_deadlines_due() {
    let Some((clock, server)) = clocked() else { return };
    let mut best = u128::MAX;
    for round in 1..=5 {
        server.run_all(&[
            "TASK.PUSH jobs x ID lease PRIORITY 9",
            &format!("TASK.CLAIM jobs LEASE {HOUR_MS}"),
            &format!("TASK.PUSH jobs x ID delay DELAY {HOUR_MS}"),
            &format!("TASK.PUSH jobs x ID ttl TTL {HOUR_MS}"),
            &format!("TASK.PUSH jobs x ID later DELAY {}", 3 * HOUR_MS),
        ]);
        clock.set(round * 2 * HOUR_MS);
        best = best.min(time_until(|| server.state("jobs", "lease") == "ready" && server.state("jobs", "delay") == "ready"));
        server.wait_for_state("ttl", "expired");
        assert_eq!(server.state("jobs", "later"), "scheduled");
        server.run("DEL jobs");
    }
    assert!(best < 250, "{best} ms at best");
}

/// Back: deadlines are the instants that they were, and wait for them. A waiting worker is served then.
#[test]
fn a_step_back_delays_deadlines() {
    let Some((clock, server)) = clocked() else { return };
    server.run("TASK.PUSH jobs x ID a DELAY 300");
    let due = server.task("jobs", "a", "ready-at");
    set(&clock, &server, -HOUR_MS);
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    holds_for(700, || server.state("jobs", "a") == "scheduled");
    assert_eq!(server.task("jobs", "a", "ready-at"), due);
    // What is pushed now goes by the new time.
    server.run("TASK.PUSH jobs x ID b DELAY 30");
    assert_eq!(worker.read().at(0), "b");
    set(&clock, &server, 0);
    server.wait_for_state("a", "ready");
}

/// A made id as its two numbers.
fn made(id: &Value) -> (i64, i64) {
    let text = id.text();
    let (ms, seq) = text.split_once('-').expect("a made id");
    (ms.parse().expect("milliseconds"), seq.parse().expect("a number"))
}

/// Ids grow over all steps, in a queue, in others, and when their queue was deleted.
#[test]
fn ids_never_go_back() {
    let Some((clock, server)) = clocked() else { return };
    let mut last = made(&server.run("TASK.PUSH jobs x"));
    for offset in [-HOUR_MS, 0, HOUR_MS, 0, -24 * HOUR_MS, 2 * HOUR_MS, -1] {
        set(&clock, &server, offset);
        for line in ["TASK.PUSH jobs x", "TASK.PUSH other x", "DEL jobs", "TASK.PUSH jobs x", "FLUSHALL", "TASK.PUSH jobs x"] {
            let reply = server.run(line);
            if line.starts_with("TASK.PUSH") {
                assert!(made(&reply) > last, "{reply:?} after {last:?}, the clock at {offset}");
                last = made(&reply);
            }
        }
    }
}

/// First come, first served, whatever the clock said.
#[test]
fn order_is_not_by_the_clock() {
    let Some((clock, server)) = clocked() else { return };
    for (id, offset) in [("a", 0), ("b", -HOUR_MS), ("c", HOUR_MS), ("d", -2 * HOUR_MS), ("e", 0)] {
        set(&clock, &server, offset);
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    for id in ["a", "b", "c", "d", "e"] {
        assert_eq!(server.claim("jobs").id, id);
    }
}

/// BLOCK is a duration: neither step makes it longer or shorter.
#[test]
fn block_goes_by_another_clock() {
    let Some((clock, server)) = clocked() else { return };
    server.run("TASK.PUSH jobs x ID later DELAY 900000000");
    for offset in [HOUR_MS, -HOUR_MS, 0] {
        let start = Instant::now();
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 700");
        let mut caller = server.block("TASK.RESULT jobs later BLOCK 700");
        set(&clock, &server, offset);
        assert!(worker.read().is_nil());
        assert_eq!(caller.read().at(0), "scheduled");
        let waited = start.elapsed();
        assert!((Duration::from_millis(699)..Duration::from_millis(2_500)).contains(&waited), "{waited:?}");
    }
}

/// A master and a replica with clocks of their own, both set again and again while deadlines pass: replica and AOF hold what the master
/// does, and nothing is lost.
#[test]
fn replica_and_aof_agree_over_steps() {
    let Some((clock, mut master)) = clocked() else { return };
    let its_clock = Clock::new();
    let replica = Server::builder().clock(&its_clock).replica_of(&master).start();
    master.wait_for_replica(&replica);
    let mut worker = master.client();
    for (round, offset) in [0, HOUR_MS, -HOUR_MS, 30_000, -30_000, 24 * HOUR_MS, 0].into_iter().enumerate() {
        its_clock.set(-2 * offset);
        set(&clock, &master, offset);
        for n in 0..20 {
            worker.run(&format!("TASK.PUSH jobs x ID {round}-of-{n} DELAY {} ATTEMPTS 0", n * 1_000));
            worker.run("TASK.CLAIM jobs BLOCK 3 LEASE 5");
        }
    }
    set(&clock, &master, 48 * HOUR_MS);
    eventually(|| master.count("jobs", "ready") == 140);
    eventually(|| master.digest() == replica.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
    its_clock.set(0);
    replica.run("REPLICAOF NO ONE");
    replica.run("TASK.PUSH jobs x ID after DELAY 20");
    eventually(|| replica.state("jobs", "after") == "ready");
}

/// Neither step makes a server spin that has deadlines and waiters to look after.
#[test]
fn no_step_spins() {
    let Some((clock, server)) = clocked() else { return };
    server.run_all(&["TASK.PUSH jobs x ID a DELAY 600000", "TASK.PUSH jobs x ID b", "TASK.CLAIM jobs LEASE 600000"]);
    let _worker = server.block("TASK.CLAIM jobs BLOCK 600000");
    let cpu_seconds = || ["used_cpu_user", "used_cpu_sys"].map(|field| server.info(field).parse::<f64>().expect("seconds"));
    for offset in [-HOUR_MS, 0, -24 * HOUR_MS, 60_000] {
        set(&clock, &server, offset);
        let (start, before) = (Instant::now(), cpu_seconds());
        eventually(|| start.elapsed().as_millis() > 600);
        let used: f64 = cpu_seconds().iter().sum::<f64>() - before.iter().sum::<f64>();
        let share = used / start.elapsed().as_secs_f64();
        assert!(share < 0.05, "{share} of a core, the clock at {offset}");
    }
    assert_eq!(server.state("jobs", "a"), "scheduled");
}
