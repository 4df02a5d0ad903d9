//! `TASK.CLAIM … BLOCK`: workers that wait for a task.

use crate::support::{
    Client, Server, bulk, eventually, eventually_eq, int, nil, nil_array, now_ms, ok,
    task::{Claim, ids_of},
};
use std::time::Instant;

/// The id of the task a waiting worker was given.
fn given(client: &mut Client) -> String {
    Claim::of(&client.read()).id
}

/// A waiting worker is given the task at the push.
#[test]
fn is_given_the_task_at_the_push() {
    let server = Server::start();
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0 WORKER ann LEASE 7000");
    assert_eq!(server.run("EXISTS jobs"), int(0), "waiting makes no key");
    server.run("TASK.PUSH jobs hello ID a");
    assert_eq!(server.state("jobs", "a"), "claimed");
    let claim = Claim::of(&worker.read());
    assert_eq!((claim.payload.as_slice(), claim.attempt, claim.lease_ms), (&b"hello"[..], 1, 7_000));
    assert_eq!(server.task("jobs", "a", "worker"), "ann");
}

/// What is ready is given at once, without waiting.
#[test]
fn does_not_wait_for_what_is_ready() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(Claim::of(&server.run("TASK.CLAIM jobs BLOCK 0")).id, "a");
}

/// First come, first served; each is served once.
#[test]
fn first_come_first_served() {
    let server = Server::start();
    let mut workers: Vec<_> = (0..5).map(|_| server.block("TASK.CLAIM jobs BLOCK 0")).collect();
    for n in 0..5 {
        server.run(&format!("TASK.PUSH jobs x ID {n}"));
    }
    for (n, worker) in workers.iter_mut().enumerate() {
        assert_eq!(given(worker), n.to_string());
    }
    server.wait_for_blocked(0);
}

/// Queues and databases have lines of their own.
#[test]
fn queues_and_databases_have_their_own_lines() {
    let server = Server::start();
    let mut other_queue = server.block("TASK.CLAIM mails BLOCK 0");
    let mut other_database = server.client();
    other_database.run("SELECT 1");
    other_database.send("TASK.CLAIM jobs BLOCK 0");
    server.wait_for_blocked(2);
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(given(&mut worker), "a");
    assert_eq!(other_queue.read_within(20), None);
    assert_eq!(other_database.read_within(20), None);
}

/// With COUNT a waiter's answer is an array, of what one push made ready or one tick.
#[test]
fn count_takes_what_a_tick_made_ready() {
    let server = Server::start();
    let mut worker = server.block("TASK.CLAIM jobs COUNT 10 BLOCK 0");
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(ids_of(&worker.read()), ["a"]);
    let at = now_ms() + 150;
    for id in ["b", "c", "d"] {
        server.run(&format!("TASK.PUSH jobs x ID {id} AT {at}"));
    }
    let mut worker = server.block("TASK.CLAIM jobs COUNT 2 BLOCK 0");
    assert_eq!(ids_of(&worker.read()), ["b", "c"]);
    assert_eq!(server.claim("jobs").id, "d");
}

/// At the timeout the answer is nil, within some milliseconds of it: the best of five is not 20 ms late.
#[test]
fn times_out_exactly() {
    let server = Server::start();
    for claim in ["TASK.CLAIM jobs BLOCK 30", "TASK.CLAIM jobs COUNT 3 BLOCK 30"] {
        let late = (0..5)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(server.run(claim), nil_array());
                let waited = start.elapsed().as_millis();
                assert!(waited >= 29, "{waited} ms are too early");
                waited - 29
            })
            .min();
        assert!(late < Some(20), "{late:?} ms late");
    }
    assert_eq!(server.run("EXISTS jobs"), int(0));
}

/// A waiter that timed out gets nothing later, and its connection goes on.
#[test]
fn a_timed_out_waiter_leaves_the_line() {
    let server = Server::start();
    let mut worker = server.client();
    assert_eq!(worker.run("TASK.CLAIM jobs BLOCK 5"), nil_array());
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(server.state("jobs", "a"), "ready");
    assert_eq!(worker.run("PING"), "PONG");
}

/// CLIENT UNBLOCK answers nil as at the timeout, or UNBLOCKED with ERROR; the waiter leaves the line.
#[test]
fn client_unblock() {
    let server = Server::start();
    for (how, is_error) in [("", false), ("TIMEOUT", false), ("ERROR", true)] {
        let mut worker = server.client();
        let id = worker.id();
        worker.send("TASK.CLAIM jobs BLOCK 0");
        server.wait_for_blocked(1);
        assert_eq!(server.run(&format!("CLIENT UNBLOCK {id} {how}")), int(1));
        if is_error {
            worker.read().assert_refused("UNBLOCKED", &[]);
        } else {
            assert_eq!(worker.read(), nil_array());
        }
        server.wait_for_blocked(0);
        server.run("TASK.PUSH jobs x");
        assert_eq!(server.count("jobs", "ready"), 1, "{how}");
        server.run("DEL jobs");
    }
}

/// A waiter whose connection is gone is passed over.
#[test]
fn a_killed_waiter_is_passed_over() {
    let server = Server::start();
    let mut first = server.client();
    let id = first.id();
    first.send("TASK.CLAIM jobs BLOCK 0");
    server.wait_for_blocked(1);
    let second = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut third = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run(&format!("CLIENT KILL ID {id}"));
    drop(second);
    server.wait_for_blocked(1);
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(given(&mut third), "a");
}

/// Given a task and killed in the same breath, a worker does not keep it: it is released or its lease ends.
#[test]
fn a_task_given_to_a_dying_waiter_is_not_lost() {
    let server = Server::start();
    for _ in 0..20 {
        let mut worker = server.client();
        let id = worker.id();
        worker.send("TASK.CLAIM jobs BLOCK 0 LEASE 50");
        server.wait_for_blocked(1);
        let mut client = server.client();
        client.send_all(&["TASK.PUSH jobs x ID a", &format!("CLIENT KILL ID {id}")]);
        assert_eq!((client.read(), client.read()), (bulk("a"), int(1)));
        let again = Claim::of(&server.run("TASK.CLAIM jobs BLOCK 0"));
        assert_eq!(again.id, "a");
        server.run("DEL jobs");
    }
}

/// The same, and then the queue is in another database: where the server tells of the kill at once, the task is released there.
#[test]
fn a_task_given_to_a_dying_waiter_is_released_where_the_queue_is() {
    let server = Server::start();
    let mut worker = server.client();
    let id = worker.id();
    worker.send("TASK.CLAIM jobs BLOCK 0 LEASE 900000");
    server.wait_for_blocked(1);
    let mut client = server.client();
    client.send_all(&["TASK.PUSH jobs x ID a", &format!("CLIENT KILL ID {id}"), "SWAPDB 0 1", "SELECT 1"]);
    assert_eq!((client.read(), client.read()), (bulk("a"), int(1)));
    assert_eq!((client.read(), client.read()), (ok(), ok()));
    let state = |client: &mut Client| client.run("TASK.GET jobs a").field("state").text();
    if server.info("redis_version").starts_with('8') {
        eventually(|| state(&mut client) == "ready");
    } else {
        assert!(["ready", "claimed"].contains(&state(&mut client).as_str()));
    }
}

/// Inside MULTI, scripts and functions BLOCK does not wait.
#[test]
fn does_not_wait_in_transactions_and_scripts() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.CLAIM jobs BLOCK 0");
    client.run("TASK.CLAIM jobs COUNT 3 BLOCK 100000");
    let replies = client.run("EXEC");
    assert_eq!(replies.items(), [nil_array(), nil_array()]);
    assert_eq!(client.run(r#"EVAL "return redis.call('TASK.CLAIM', KEYS[1], 'BLOCK', 0)" 1 jobs"#), nil());
    let library = "#!lua name=l\nredis.register_function('f', function(keys) \
                   return redis.call('TASK.CLAIM', keys[1], 'BLOCK', '0') end)";
    client.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
    assert_eq!(client.run("FCALL f 1 jobs"), nil());
}

/// A push in a transaction or script serves a waiter inside the same unit.
#[test]
fn is_served_inside_a_transaction() {
    let server = Server::start();
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.PUSH jobs x ID a");
    client.run("TASK.CLAIM jobs");
    let replies = client.run("EXEC");
    assert!(replies.at(1).is_nil(), "the waiter came first");
    assert_eq!(given(&mut worker), "a");
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run(r#"EVAL "return redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'b')" 1 jobs"#);
    assert_eq!(given(&mut worker), "b");
}

/// Whatever makes a task ready serves a waiter: release, failure, retry, delay, lapse.
#[test]
fn is_served_by_whatever_makes_a_task_ready() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a ATTEMPTS 0");
    let mut attempt = 1;
    for (lease_ms, cause) in [
        (90_000, "TASK.RELEASE jobs a"),
        (90_000, "TASK.RELEASE jobs a DELAY 10"),
        (90_000, "TASK.FAIL jobs a no DELAY 0"),
        (90_000, "TASK.FAIL jobs a no DELAY 10"),
        (90_000, "TASK.CANCEL jobs a"),
        (300, "PING"),
    ] {
        let claim = Claim::of(&server.run(&format!("TASK.CLAIM jobs LEASE {lease_ms}")));
        assert_eq!(claim.attempt, attempt);
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
        server.run(cause);
        if cause.contains("CANCEL") {
            server.run("TASK.RETRY jobs a");
        }
        assert_eq!(Claim::of(&worker.read()).attempt, attempt + 1, "{cause}");
        server.run("TASK.RELEASE jobs a");
        attempt += 2;
    }
}

/// A waiter goes on waiting when its key goes away, and is served when it comes back.
#[test]
fn goes_on_waiting_for_the_key() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    for away in ["DEL jobs", "UNLINK jobs", "FLUSHALL", "RENAME jobs old", "SET jobs string", "PEXPIRE jobs 1"] {
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
        server.run(away);
        assert_eq!(worker.read_within(10), None, "{away}");
        server.run("DEL jobs");
        server.run("TASK.PUSH jobs x ID b");
        assert_eq!(given(&mut worker), "b", "{away}");
    }
}

/// A queue that comes by RENAME, RESTORE, COPY, MOVE or SWAPDB serves those who wait for that key, in their order.
#[test]
fn a_key_that_comes_back_serves_waiters() {
    for how in ["RENAME", "RESTORE", "COPY", "MOVE", "SWAPDB"] {
        let server = Server::start();
        let source = if how == "MOVE" || how == "SWAPDB" { "jobs" } else { "source" };
        let mut client = server.client();
        if source == "jobs" {
            client.run("SELECT 1");
        }
        for id in ["a", "b", "c"] {
            client.run(&format!("TASK.PUSH {source} x ID {id}"));
        }
        let dump = client.run(&format!("DUMP {source}"));
        let mut first = server.block("TASK.CLAIM jobs BLOCK 0");
        let mut second = server.block("TASK.CLAIM jobs BLOCK 0 COUNT 5");
        match how {
            "RENAME" => client.run("RENAME source jobs"),
            "COPY" => client.run("COPY source jobs"),
            "MOVE" => client.run("MOVE jobs 0"),
            "SWAPDB" => client.run("SWAPDB 0 1"),
            _ => client.cmd(&[b"RESTORE", b"jobs", b"0", dump.bytes()]),
        };
        assert_eq!(given(&mut first), "a", "{how}");
        assert_eq!(ids_of(&second.read())[0], "b", "{how}");
        assert_eq!(server.state("jobs", "a"), "claimed", "{how}");
    }
}

/// A waiter on a server that becomes a replica gets UNBLOCKED, as BLPOP's clients do.
#[test]
fn a_demotion_unblocks() {
    let (master, server) = (Server::start(), Server::start());
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    worker.read().assert_refused("UNBLOCKED", &[]);
    server.run("TASK.CLAIM jobs BLOCK 0").assert_refused("READONLY", &[]);
}

/// A waiter on a key of another type is refused at once.
#[test]
fn another_type_is_refused() {
    let server = Server::start();
    server.run("SET jobs string");
    server.run("TASK.CLAIM jobs BLOCK 0").assert_refused("WRONGTYPE", &[]);
}

/// While clients' writes are paused nobody is given anything; then everybody is.
#[test]
fn a_pause_hands_nothing_out() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a DELAY 60");
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run("CLIENT PAUSE 10000 WRITE");
    assert_eq!(worker.read_within(150), None);
    server.run("CLIENT UNPAUSE");
    assert_eq!(given(&mut worker), "a");
}

/// Many workers each get one of many tasks, none twice, none lost.
#[test]
fn many_workers_get_one_each() {
    let server = Server::start();
    let mut workers: Vec<_> = (0..300).map(|_| server.client()).collect();
    for worker in &mut workers {
        worker.send("TASK.CLAIM jobs BLOCK 0");
    }
    server.wait_for_blocked(300);
    let mut client = server.client();
    client.send_all(&vec!["TASK.PUSH jobs x"; 300]);
    let mut pushed: Vec<_> = (0..300).map(|_| client.read().text()).collect();
    let mut claimed: Vec<_> = workers.iter_mut().map(given).collect();
    pushed.sort();
    claimed.sort();
    assert_eq!(pushed, claimed);
    eventually(|| server.info("blocked_clients") == "0");
    eventually_eq(|| server.count("jobs", "claimed"), 300);
}
