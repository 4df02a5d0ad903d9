//! `SESSION`: claims that last as long as the connection that made them.

use crate::support::{
    Client, Clock, Server, Shutdown, Value, bulk, eventually, eventually_eq, eventually_within, faulty_module, holds_for, int,
    nil, now_ms, ok,
    task::{Claim, ids_of},
};
use std::time::Duration;

/// A lease that a test outlives at once.
const SHORT_MS: i64 = 60;
/// One that it does not outlive.
const LONG_MS: i64 = 900_000;

/// A connection that holds task `a` of `jobs` in a session, with this lease.
#[track_caller]
fn session(server: &Server, lease_ms: i64) -> Client {
    server.run("TASK.PUSH jobs x ID a ATTEMPTS 0");
    let mut worker = server.client();
    claim(&mut worker, lease_ms);
    worker
}

#[track_caller]
fn claim(worker: &mut Client, lease_ms: i64) {
    let claim = Claim::of(&worker.run(&format!("TASK.CLAIM jobs SESSION LEASE {lease_ms}")));
    assert_eq!(claim.lease_ms, lease_ms);
}

/// Task `a` of `jobs` is claimed, with a deadline one full lease after `from_ms`.
#[track_caller]
fn is_bounded(server: &Server, queue: &str, from_ms: i64, lease_ms: i64) {
    eventually_eq(|| server.task(queue, "a", "session"), int(0));
    assert_eq!(server.state(queue, "a"), "claimed");
    let (deadline, until_ms) = (server.task(queue, "a", "deadline").int(), now_ms());
    assert!((from_ms + lease_ms..=until_ms + lease_ms).contains(&deadline), "{deadline}: {from_ms} to {until_ms}");
}

fn lapsed(server: &Server) -> i64 {
    server.run("TASK.INFO jobs").field("totals").field("lapsed").int()
}

/// The lease of a session's claim does not end while its connection is open.
#[test]
fn the_lease_does_not_end() {
    let server = Server::start();
    let mut worker = session(&server, SHORT_MS);
    server.run_all(&["TASK.PUSH jobs x ID b", &format!("TASK.CLAIM jobs LEASE {SHORT_MS}")]);
    server.wait_for_state("b", "ready");
    holds_for(2 * SHORT_MS.unsigned_abs(), || server.state("jobs", "a") == "claimed");
    assert_eq!(server.task("jobs", "a", "session"), int(1));
    assert_eq!(server.task("jobs", "a", "deadline"), nil());
    assert_eq!(server.task("jobs", "b", "session"), nil());
    let listed = server.run("TASK.LIST jobs claimed 0");
    assert_eq!(listed.at(1).at(0).items()[2], nil());
    let json = server.run("TASK.GET jobs a JSON").text();
    assert!(json.contains(r#""deadline":null,"session":1,"#), "{json}");
    assert_eq!(worker.run("TASK.COMPLETE jobs a done ATTEMPT 1"), "OK");
}

/// Claims without an end are listed after those with one.
#[test]
fn is_listed_last() {
    let server = Server::start();
    let _worker = session(&server, SHORT_MS);
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs LEASE 900000"]);
    let page = server.run("TASK.LIST jobs claimed 0 COUNT 1");
    assert_eq!(page.at(1).at(0).at(0), &bulk("b"));
    let page = server.run(&format!("TASK.LIST jobs claimed {}", page.at(0).text()));
    assert_eq!((page.at(0), page.at(1).at(0).at(0)), (&bulk("0"), &bulk("a")));
}

/// However a connection ends, its claims lapse at once: the task is ready in its old place, and the try counts.
#[test]
fn ends_with_its_connection() {
    let server = Server::start();
    for how in ["close", "QUIT", "CLIENT KILL", "protocol error", "kill in MULTI"] {
        let mut worker = session(&server, LONG_MS);
        let id = worker.id();
        let mut other = None;
        match how {
            "close" => drop(worker),
            "QUIT" => assert_eq!(worker.run("QUIT"), "OK"),
            "CLIENT KILL" => assert_eq!(server.run(&format!("CLIENT KILL ID {id}")), int(1)),
            "protocol error" => {
                worker.send_raw(b"*1\r\n!x\r\n");
                other = Some(worker);
            }
            _ => {
                let mut client = server.client();
                for line in ["MULTI", &format!("CLIENT KILL ID {id}"), "TASK.GET jobs a"] {
                    client.run(line);
                }
                assert_eq!(client.run("EXEC").at(1).field("state"), "claimed");
            }
        }
        server.wait_for_state("a", "ready");
        assert_eq!(server.task("jobs", "a", "tries"), int(1), "{how}");
        drop(other);
        server.run("DEL jobs");
    }
}

/// A client whose output grows past its limit is closed, and so are its claims.
#[test]
fn ends_by_the_output_limit() {
    let server = Server::builder().config("client-output-buffer-limit", "normal 1mb 0 0").start();
    server.cmd(&[b"SET", b"big", &vec![b'x'; 4 << 20]]);
    let mut worker = session(&server, LONG_MS);
    worker.send_all(&vec!["GET big"; 30]);
    server.wait_for_state("a", "ready");
}

/// The lapse of a last try is a failure.
#[test]
fn a_last_try_ends_in_failure() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a ATTEMPTS 1");
    let mut worker = server.client();
    claim(&mut worker, LONG_MS);
    let mut reader = server.block("TASK.RESULT jobs a BLOCK 0");
    drop(worker);
    assert_eq!(reader.read().items(), [bulk("failed"), bulk("lease expired")]);
    // Before its timeout has come, too.
    server.run("TASK.PUSH jobs x ID b ATTEMPTS 1 TIMEOUT 800000");
    let mut worker = server.client();
    assert_eq!(Claim::of(&worker.run("TASK.CLAIM jobs SESSION LEASE 900000")).lease_ms, 800_000);
    assert!(server.task("jobs", "b", "deadline").int() > now_ms());
    drop(worker);
    server.wait_for_state("b", "failed");
    assert_eq!(server.task("jobs", "b", "error"), "lease expired");
}

/// TIMEOUT ends an attempt, session or not, however often it is extended.
#[test]
fn a_timeout_ends_it() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a TIMEOUT 100 ATTEMPTS 1");
    let mut worker = server.client();
    assert_eq!(Claim::of(&worker.run("TASK.CLAIM jobs SESSION LEASE 10")).lease_ms, 10);
    let deadline = server.task("jobs", "a", "deadline");
    assert_eq!(worker.run("TASK.EXTEND jobs a LEASE 900000"), "OK");
    assert_eq!(server.task("jobs", "a", "deadline"), deadline);
    server.wait_for_state("a", "failed");
    assert_eq!(server.task("jobs", "a", "error"), "timeout");
    assert!(now_ms() >= deadline.int());
}

/// EXTEND is harmless: a short lease does not end either. Its checkpoint is kept.
#[test]
fn extend_changes_no_end() {
    let server = Server::start();
    let mut worker = session(&server, LONG_MS);
    assert_eq!(worker.run("TASK.EXTEND jobs a ATTEMPT 1 LEASE 1 CHECKPOINT half"), "OK");
    assert_eq!(server.run("TASK.MEXTEND jobs 1 a 1 LEASE 1").at(0), &ok());
    holds_for(50, || server.state("jobs", "a") == "claimed");
    assert_eq!(server.task("jobs", "a", "session"), int(1));
    drop(worker);
    server.wait_for_state("a", "ready");
    assert_eq!(server.task("jobs", "a", "checkpoint"), "half");
}

/// Whatever ends a claim ends its session: the next claim is one of its own.
#[test]
fn a_claim_that_was_answered_is_over() {
    let server = Server::start();
    let mut workers = Vec::new();
    for answer in ["COMPLETE jobs a done RETAIN 0", "FAIL jobs a no DELAY 0", "RELEASE jobs a", "CANCEL jobs a"] {
        workers.push(session(&server, LONG_MS));
        server.run(&format!("TASK.{answer}"));
        server.run_all(&["TASK.PUSH jobs x ID a RENEW ATTEMPTS 0", "TASK.CLAIM jobs LEASE 900000"]);
        assert_eq!(server.task("jobs", "a", "session"), int(0), "{answer}");
        drop(workers.pop());
        server.run("TASK.PUSH jobs x ID probe");
        let mut probe = server.client();
        claim(&mut probe, LONG_MS);
        drop(probe);
        server.wait_for_state("probe", "ready");
        assert_eq!(server.state("jobs", "a"), "claimed", "{answer}");
        server.run("DEL jobs");
    }
}

/// Canceled, a session's claim is kept for one lease, so that its worker hears of it; not for ever.
#[test]
fn canceled_is_heard_for_one_lease() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a RETAIN 0");
    let mut worker = server.client();
    claim(&mut worker, 200);
    assert_eq!(server.run("TASK.CANCEL jobs a"), int(1));
    worker.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("CANCELED", &[]);
    server.wait_for_state("a", "none");
}

/// Given a task while it waits, a client holds it in its session; also by MCLAIM, and after NEXT.
#[test]
fn waiting_and_next() {
    let server = Server::start();
    let mut workers = [
        server.block("TASK.CLAIM jobs SESSION LEASE 10 BLOCK 0"),
        server.block("TASK.MCLAIM 2 mail jobs SESSION LEASE 10 COUNT 5 BLOCK 0"),
    ];
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 0", "TASK.PUSH jobs x ID b ATTEMPTS 0"]);
    assert_eq!(Claim::of(&workers[0].read()).id, "a");
    assert_eq!(ids_of(workers[1].read().at(1)), ["b"]);
    server.run("TASK.PUSH jobs x ID c ATTEMPTS 0");
    let next = workers[0].run("TASK.COMPLETE jobs a done NEXT SESSION LEASE 10");
    assert_eq!(Claim::of(&next).id, "c");
    let ended = workers[1].run("TASK.MCOMPLETE jobs 1 b 1 done NEXT SESSION LEASE 10 BLOCK 1");
    assert!(ended.at(1).is_nil());
    holds_for(50, || server.state("jobs", "c") == "claimed");
    drop(workers);
    server.wait_for_state("c", "ready");
    assert_eq!(server.state("jobs", "b"), "completed");
}

/// One that is killed in the breath in which it is given a task did not have it: the try does not count. (Its last one, else it would
/// have failed.)
#[test]
fn a_dying_waiter_uses_up_no_try() {
    let clock = Clock::new();
    // By a clock that shows the same microsecond for a while, too: the module's timer then fires several times in one turn of the event loop.
    for step_us in [1, 50] {
        clock.go_in_steps(step_us);
        let server = Server::builder().clock(&clock).start();
        dying_waiters_use_up_no_try(&server);
    }
}

fn dying_waiters_use_up_no_try(server: &Server) {
    for _ in 0..20 {
        let mut worker = server.client();
        let id = worker.id();
        worker.send("TASK.CLAIM jobs SESSION LEASE 900000 BLOCK 0");
        server.wait_for_blocked(1);
        let mut client = server.client();
        client.send_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", &format!("CLIENT KILL ID {id}")]);
        assert_eq!((client.read(), client.read()), (bulk("a"), int(1)));
        server.wait_for_state("a", "ready");
        assert_eq!(server.task("jobs", "a", "tries"), int(0));
        server.run("DEL jobs");
    }
}

/// In MULTI it is the connection's claim like any other.
#[test]
fn in_a_transaction() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a ATTEMPTS 0");
    let mut worker = server.client();
    for line in ["MULTI", "TASK.CLAIM jobs SESSION LEASE 10"] {
        worker.run(line);
    }
    assert_eq!(Claim::of(worker.run("EXEC").at(0)).id, "a");
    holds_for(50, || server.state("jobs", "a") == "claimed");
    drop(worker);
    server.wait_for_state("a", "ready");
}

/// Scripts and functions have no connection: SESSION is refused there, and nothing happens. Twice it is an error anywhere.
#[test]
fn is_refused_where_there_is_no_connection() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    let library = "#!lua name=l\nredis.register_function('f', function(keys, args) \
                   return redis.call('TASK.CLAIM', keys[1], 'SESSION') end)";
    server.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
    for line in [
        r#"EVAL "return redis.call('TASK.CLAIM', KEYS[1], 'SESSION')" 1 jobs"#,
        r#"EVAL "return redis.call('TASK.MCLAIM', 1, KEYS[1], 'SESSION', 'BLOCK', 0)" 1 jobs"#,
        "FCALL f 1 jobs",
    ] {
        server.run(line).assert_refused("ERR", &["SESSION", "script"]);
        let mut client = server.client();
        client.run("MULTI");
        client.run(line);
        client.run("EXEC").at(0).assert_refused("ERR", &["SESSION", "script"]);
    }
    server.run("TASK.CLAIM jobs SESSION SESSION").assert_refused("ERR", &["SESSION", "more than once"]);
    assert_eq!(server.task("jobs", "a", "attempt"), int(0));
}

/// RESET, HELLO, a change of user or database or name: the client lives on, and so does its session.
#[test]
fn lives_on_with_its_client() {
    let server = Server::start();
    let mut worker = session(&server, SHORT_MS);
    for line in ["RESET", "HELLO 2", "CLIENT SETNAME ann", "AUTH default x", "SELECT 3", "HELLO 3"] {
        worker.run(line);
    }
    holds_for(2 * SHORT_MS.unsigned_abs(), || server.state("jobs", "a") == "claimed");
    drop(worker);
    server.wait_for_state("a", "ready");
}

/// While writes are paused a closed connection's claims do not lapse; then they do, replicated like any lapse.
#[test]
fn a_pause_of_writes() {
    let mut master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    let mut worker = session(&master, LONG_MS);
    let id = worker.id();
    let mut client = master.client();
    client.send_all(&["CLIENT PAUSE 10000 WRITE", &format!("CLIENT KILL ID {id}")]);
    assert_eq!((client.read(), client.read()), (ok(), int(1)));
    holds_for(100, || master.state("jobs", "a") == "claimed");
    client.run("CLIENT UNPAUSE");
    master.wait_for_state("a", "ready");
    eventually(|| master.digest() == replica.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
}

/// A queue that expires in such a pause, whose connection is closed meanwhile, is not deleted before its end.
#[test]
fn a_queue_expires_in_a_pause() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let mut worker = session(&master, LONG_MS);
    let id = worker.id();
    let mut client = master.client();
    client.send_all(&["PEXPIRE jobs 20", "CLIENT PAUSE 10000 WRITE"]);
    assert_eq!((client.read(), client.read()), (int(1), ok()));
    eventually(|| client.run("PTTL jobs") == int(-2));
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")), int(1));
    let offset = master.info("master_repl_offset");
    // Longer than the turn or two that its end takes.
    holds_for(50, || master.info("master_repl_offset") == offset);
    client.run("CLIENT UNPAUSE");
    eventually(|| master.run("DBSIZE") == int(0) && replica.run("DBSIZE") == int(0));
}

/// A thousand claims on one connection lapse at once, each to its place in line; one that claims and answers for ever leaves nothing.
#[test]
fn many_on_one_connection() {
    let server = Server::start();
    let ids: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
    let mut client = server.client();
    client.run_each(&ids.iter().map(|id| format!("TASK.PUSH jobs x ID {id} ATTEMPTS 0")).collect::<Vec<_>>());
    let mut worker = server.client();
    assert_eq!(ids_of(&worker.run("TASK.CLAIM jobs COUNT 10000 SESSION LEASE 10")), ids);
    server.run("TASK.PUSH jobs x ID later");
    holds_for(50, || lapsed(&server) == 0);
    drop(worker);
    eventually(|| lapsed(&server) == 1_000);
    assert_eq!(server.count("jobs", "ready"), 1_001);
    let again = ids_of(&server.run("TASK.CLAIM jobs COUNT 10000"));
    assert_eq!((&again[..1_000], again[1_000].as_str()), (&ids[..], "later"));
}

/// What is remembered of a connection is as much as it holds: nothing of what it answered, of queues that are gone, or once it is closed.
#[test]
fn is_remembered_as_long_as_it_holds_something() {
    let server = Server::builder().module(&faulty_module("dev")).start();
    let remembered = || {
        let state = server.run("TASK.STATE jobs");
        (state.field("sessions").int(), state.field("gone").int())
    };
    let mut worker = server.client();
    for queue in ["a", "b", "c", "d"] {
        for _ in 0..50 {
            worker.run(&format!("TASK.MPUSH {queue} 2 x x"));
            let claims = Claim::all_of(&worker.run(&format!("TASK.CLAIM {queue} COUNT 2 SESSION")));
            let answers = claims.iter().map(|claim| format!("TASK.COMPLETE {queue} {} done RETAIN 0", claim.id));
            worker.run_each(&answers.collect::<Vec<_>>());
        }
    }
    assert_eq!(remembered(), (0, 0));
    for queue in ["a", "b", "c", "d", "e"] {
        worker.run(&format!("TASK.MPUSH {queue} 3 x x x"));
        worker.run(&format!("TASK.CLAIM {queue} COUNT 2 SESSION"));
    }
    assert_eq!(remembered(), (5, 0));
    // SELECT: see `Client::moves_well`.
    server.run_all(&["RENAME a f", "COPY b g", "DEL c", "SET d x", "MOVE e 1", "SELECT 0"]);
    assert_eq!(remembered(), (3, 0));
    server.run("FLUSHDB");
    assert_eq!(remembered(), (1, 0));
    drop(worker);
    eventually_eq(remembered, (0, 0));
    let mut other = server.client();
    other.run("SELECT 1");
    eventually(|| other.run("TASK.INFO e").field("ready") == 3);
}

/// Many queues, many connections: each connection's end ends its own claims alone.
#[test]
fn each_connection_ends_its_own() {
    let server = Server::start();
    let mut workers: Vec<_> = (0..10).map(|_| server.client()).collect();
    for queue in 0..30 {
        server.run(&format!("TASK.MPUSH q{queue} 10 {}", "x ".repeat(10).trim_end()));
        for worker in &mut workers {
            worker.run(&format!("TASK.CLAIM q{queue} SESSION LEASE 10"));
        }
    }
    for left in (0..10).rev() {
        workers.pop();
        for queue in 0..30 {
            eventually_eq(|| server.count(&format!("q{queue}"), "claimed"), left);
        }
    }
}

/// Wherever its queue goes in the server, the connection's end finds it.
#[test]
fn follows_the_queue() {
    for how in ["RENAME", "MOVE", "SWAPDB", "SWAPDB twice", "RENAME after the end"] {
        let server = Server::start();
        let worker = session(&server, SHORT_MS);
        let mut client = server.client();
        match how {
            "RENAME" => {
                drop(client.run_each(&["RENAME jobs other", "TASK.PUSH jobs x", "RENAME other third", "RENAME third moved"]));
            }
            "MOVE" => drop(client.run_each(&["MOVE jobs 1", "SELECT 1", "RENAME jobs moved"])),
            "SWAPDB" => drop(client.run_each(&["SWAPDB 0 1", "SELECT 1", "RENAME jobs moved"])),
            "SWAPDB twice" => drop(client.run_each(&["RENAME jobs moved", "SWAPDB 0 1", "SWAPDB 1 2", "SELECT 2"])),
            _ => {
                client.send_all(&["CLIENT KILL TYPE normal SKIPME yes", "RENAME jobs moved"]);
                assert!(client.read().int() > 0);
                assert_eq!(client.read(), "OK");
            }
        }
        if how != "RENAME after the end" {
            holds_for(2 * SHORT_MS.unsigned_abs(), || client.run("TASK.RESULT moved a").at(0) == &bulk("claimed"));
        }
        drop(worker);
        eventually(|| client.run("TASK.RESULT moved a").at(0) == &bulk("ready"));
        assert_eq!(client.run("TASK.GET moved a").field("tries"), int(1), "{how}");
        server.reconnect();
    }
}

/// A copy is of no connection: its claims have one lease from then. Those of the original go on.
#[test]
fn a_copy_has_one_lease() {
    for how in ["COPY", "RESTORE"] {
        let server = Server::start();
        let worker = session(&server, 400);
        let from_ms = now_ms();
        match how {
            "COPY" => assert_eq!(server.run("COPY jobs copy"), int(1)),
            _ => assert_eq!(server.cmd(&[b"RESTORE", b"copy", b"0", &server.dump("jobs")]), "OK"),
        }
        is_bounded(&server, "copy", from_ms, 400);
        assert_eq!(server.task("jobs", "a", "session"), int(1));
        eventually_eq(|| server.state("copy", "a"), "ready");
        assert_eq!(server.state("jobs", "a"), "claimed", "{how}");
        drop(worker);
        server.wait_for_state("a", "ready");
    }
}

/// Queues that are gone, flushed or replaced hold nothing up; what comes after under their names is untouched.
#[test]
fn queues_that_are_gone() {
    let server = Server::start();
    for how in ["DEL jobs", "UNLINK jobs", "FLUSHALL", "FLUSHDB ASYNC", "SET jobs x", "PEXPIRE jobs 1", "RENAME other jobs"] {
        server.run("DEL jobs");
        let worker = session(&server, LONG_MS);
        server.run_all(&["TASK.PUSH other x ID a", "TASK.CLAIM other LEASE 900000", how, "DEL jobs other"]);
        server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 900000"]);
        drop(worker);
        server.run("TASK.PUSH jobs x ID probe");
        let mut probe = server.client();
        claim(&mut probe, LONG_MS);
        drop(probe);
        server.wait_for_state("probe", "ready");
        assert_eq!(server.state("jobs", "a"), "claimed", "{how}");
    }
}

/// After a restart, from an AOF or an RDB, and after a reload, a session's claim has one lease. A new connection of the same number is
/// no part of it; EXTEND keeps it.
#[test]
fn a_restart_leaves_one_lease() {
    for how in ["AOF", "AOF without preamble", "RDB", "DEBUG RELOAD"] {
        let builder = Server::builder();
        let mut server = match how {
            "AOF" => builder.aof().start(),
            "AOF without preamble" => builder.aof_without_preamble().start(),
            _ => builder.start(),
        };
        // So that its number is not one of the first, which the server's own and ours get after the restart.
        let _before: Vec<_> = (0..30).map(|_| server.client()).collect();
        let mut worker = session(&server, 600);
        let number = worker.id();
        let from_ms = now_ms();
        match how {
            "RDB" => drop(server.restart(Shutdown::Save)),
            "DEBUG RELOAD" => assert_eq!(server.run("DEBUG RELOAD"), "OK"),
            _ => drop(server.crash_and_restart()),
        }
        is_bounded(&server, "jobs", from_ms, 600);
        if how == "DEBUG RELOAD" {
            drop(worker);
        } else {
            let mut clients: Vec<_> = (0..60).map(|_| server.client()).collect();
            let same = clients.iter_mut().position(|client| client.id() == number);
            let mut same = clients.swap_remove(same.expect("a connection of the same number"));
            server.run("TASK.PUSH jobs x ID b ATTEMPTS 0");
            claim(&mut same, LONG_MS);
            drop(same);
            server.wait_for_state("b", "ready");
        }
        assert_eq!(server.run("TASK.EXTEND jobs a ATTEMPT 1 LEASE 800"), "OK");
        let deadline = server.task("jobs", "a", "deadline").int();
        assert_eq!(server.state("jobs", "a"), "claimed", "{how}");
        server.wait_for_state("a", "ready");
        assert!(now_ms() >= deadline, "{how}");
    }
}

/// A restart long after: the lease is counted from the restart, the timeout from the claim.
#[test]
fn down_for_long() {
    let clock = Clock::new();
    let mut server = Server::builder().aof().clock(&clock).start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b ATTEMPTS 1 TIMEOUT 50000"]);
    let mut worker = server.client();
    worker.run("TASK.CLAIM jobs COUNT 2 SESSION LEASE 20000");
    let claimed_ms = server.task("jobs", "a", "claimed-at").int();
    eventually(|| server.info("aof_pending_bio_fsync") == "0");
    server.kill();
    clock.set(3_600_000);
    server.start_again();
    eventually_eq(|| server.task("jobs", "a", "session"), int(0));
    assert!(server.task("jobs", "a", "deadline").int() >= claimed_ms + 3_600_000 + 20_000);
    server.wait_for_state("b", "failed");
    assert_eq!(server.task("jobs", "b", "error"), "timeout");
}

/// A replica holds the same and has no end for it, whoever connects to it; promoted, one lease from then. Back again, too.
#[test]
fn a_promotion_leaves_one_lease() {
    let (first, second) = (Server::start(), Server::start());
    second.run(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    eventually(|| second.info("master_link_status") == "up");
    let mut worker = session(&first, 500);
    first.wait_for_replica(&second);
    holds_for(600, || second.state("jobs", "a") == "claimed");
    assert_eq!((second.task("jobs", "a", "session"), second.task("jobs", "a", "deadline")), (int(1), nil()));
    assert_eq!(second.digest(), first.digest());
    second.run("TASK.CLAIM jobs SESSION").assert_refused("READONLY", &[]);
    let from_ms = now_ms();
    second.run("REPLICAOF NO ONE");
    is_bounded(&second, "jobs", from_ms, 500);
    assert_eq!(first.task("jobs", "a", "session"), int(1), "the first goes on by itself");
    assert_eq!(second.run("TASK.EXTEND jobs a ATTEMPT 1"), "OK");
    // The first follows the second; its connection is still open, but is no longer what holds the claim.
    first.run(&format!("REPLICAOF 127.0.0.1 {}", second.port()));
    eventually(|| first.info("master_link_status") == "up" && first.digest() == second.digest());
    assert_eq!(first.task("jobs", "a", "session"), int(0));
    first.run("REPLICAOF NO ONE");
    second.run(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    first.wait_for_state("a", "ready");
    claim(&mut worker, 500);
    first.wait_for_replica(&second);
    drop(worker);
    first.wait_for_state("a", "ready");
    eventually(|| first.digest() == second.digest());
}

/// A master that was a replica for a while, of nobody: who is still connected holds its claims, who left has lost them.
#[test]
fn demoted_and_promoted_again() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 0", "TASK.PUSH jobs x ID b ATTEMPTS 0"]);
    let (mut stays, mut leaves) = (server.client(), server.client());
    claim(&mut stays, SHORT_MS);
    claim(&mut leaves, SHORT_MS);
    // Nobody listens there.
    server.run("REPLICAOF 127.0.0.1 1");
    drop(leaves);
    holds_for(100, || server.count("jobs", "claimed") == 2);
    server.run("REPLICAOF NO ONE");
    server.wait_for_state("b", "ready");
    holds_for(2 * SHORT_MS.unsigned_abs(), || server.state("jobs", "a") == "claimed");
    drop(stays);
    server.wait_for_state("a", "ready");
}

/// FAILOVER in order: sessions of the old master have one lease on the new one, and no connection holds them.
#[test]
fn a_failover_leaves_one_lease() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let worker = session(&master, 1_500);
    let from_ms = now_ms();
    assert_eq!(master.run("FAILOVER"), "OK");
    eventually_within(Duration::from_secs(20), || replica.info("role") == "master");
    is_bounded(&replica, "jobs", from_ms, 1_500);
    drop(worker);
    eventually_within(Duration::from_secs(20), || master.info("master_link_status") == "up");
    eventually(|| master.digest() == replica.digest());
    assert_eq!(replica.state("jobs", "a"), "claimed");
    replica.wait_for_state("a", "ready");
    eventually(|| master.digest() == replica.digest());
}

/// Too few replicas to write: the end of a connection waits for them, too.
#[test]
fn too_few_replicas() {
    let server = Server::start();
    let worker = session(&server, LONG_MS);
    server.run("CONFIG SET min-replicas-to-write 1");
    drop(worker);
    holds_for(100, || server.state("jobs", "a") == "claimed");
    server.run("CONFIG SET min-replicas-to-write 0");
    server.wait_for_state("a", "ready");
}

/// Others are told: keyspace events, and a worker that waits is served.
#[test]
fn wakes_who_waits() {
    let server = Server::start();
    let worker = session(&server, LONG_MS);
    let mut next = server.block("TASK.CLAIM jobs BLOCK 0");
    drop(worker);
    let claim = Claim::of(&next.read());
    assert_eq!((claim.id.as_str(), claim.attempt), ("a", 2));
    let Value::Int(lapsed) = server.run("TASK.INFO jobs").field("totals").field("lapsed") else { panic!("a count") };
    assert_eq!(lapsed, 1);
}
