//! Exactly-once effects: a worker that completes and writes in one script.

use crate::support::{Server, array, bulk, int, ok};

/// Completes the task first, then counts: KEYS queue, counter; ARGV id, attempt, result.
const SCRIPT: &str = "redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], ARGV[3], 'ATTEMPT', ARGV[2]) \
                      return redis.call('INCR', KEYS[2])";

fn finish(id: &str, attempt: i64) -> Vec<Vec<u8>> {
    let attempt = attempt.to_string();
    ["EVAL", SCRIPT, "2", "jobs", "done", id, &attempt, "result"].map(|word| word.as_bytes().to_vec()).into()
}

fn run(server: &Server, line: &[Vec<u8>]) -> crate::support::Value {
    server.cmd(&line.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The effects happen once; said again the script raises DONE before them.
#[test]
fn a_repeat_raises_done() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    let before = server.digest();
    for _ in 0..3 {
        run(&server, &finish("a", 1)).assert_refused("DONE", &[]);
    }
    assert_eq!(server.run("GET done"), "1");
    assert_eq!(server.digest(), before);
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("completed"), bulk("result")]));
}

/// Elsewhere the same repeat answers OK.
#[test]
fn elsewhere_a_repeat_is_ok() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    run(&server, &finish("a", 1));
    assert_eq!(server.run("TASK.COMPLETE jobs a again ATTEMPT 1"), ok());
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.COMPLETE jobs a again ATTEMPT 1");
    assert_eq!(client.run("EXEC"), array([ok()]));
}

/// A worker that lost its claim has no effects: the script stops at the refusal.
#[test]
fn a_lost_claim_has_no_effects() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    assert_eq!(server.claim("jobs").attempt, 2);
    run(&server, &finish("a", 1)).assert_refused("STALE", &[]);
    assert_eq!(server.run("GET done"), crate::support::nil());
    assert_eq!(run(&server, &finish("a", 2)), int(1));
    run(&server, &finish("a", 1)).assert_refused("STALE", &[]);
    run(&server, &finish("none", 1)).assert_refused("NOTASK", &[]);
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs", "TASK.CANCEL jobs b"]);
    run(&server, &finish("b", 1)).assert_refused("CANCELED", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// Functions hold the promise as scripts do.
#[test]
fn functions_hold_it_too() {
    let server = Server::start();
    let library = "#!lua name=lib\nredis.register_function('finish', function(KEYS, ARGV) ".to_owned() + SCRIPT + " end)";
    assert_eq!(server.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]), "lib");
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert_eq!(server.run("FCALL finish 2 jobs done a 1 result"), int(1));
    server.run("FCALL finish 2 jobs done a 1 result").assert_refused("DONE", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// A lost reply: the worker says the script again until it hears an answer; the effects are there once.
#[test]
fn a_lost_reply_is_harmless() {
    let server = Server::start();
    for n in 1..=30 {
        let id = n.to_string();
        server.run_all(&[&format!("TASK.PUSH jobs x ID {id}"), "TASK.CLAIM jobs"]);
        let line = finish(&id, 1);
        let mut lost = server.client();
        lost.send_cmd(&line.iter().map(Vec::as_slice).collect::<Vec<_>>());
        drop(lost);
        let again = run(&server, &line);
        assert!(again == int(n) || again.code() == "DONE", "{again:?}");
        assert_eq!(server.run("GET done"), n.to_string().as_str());
    }
}

/// A crash between: what was acknowledged stands, and the worker's repeat does not count twice.
#[test]
fn a_crash_is_harmless() {
    let mut server = Server::builder().aof().start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 100000"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    server.crash_and_restart();
    run(&server, &finish("a", 1)).assert_refused("DONE", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// Workers that crash, lapse, retry and repeat as they like count each task exactly once, on the replica too.
#[test]
fn many_unreliable_workers() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    for n in 0..200 {
        server.run(&format!("TASK.PUSH jobs x ID {n} ATTEMPTS 0 BACKOFF 1"));
    }
    let mut turn = 0;
    let mut stale = Vec::new();
    while server.count("jobs", "completed") < 200 {
        let task = server.run("TASK.CLAIM jobs LEASE 20 BLOCK 100");
        if task.is_nil() {
            continue;
        }
        turn += 1;
        let (id, attempt) = (task.at(0).text(), task.at(2).int());
        match turn % 5 {
            0 => stale.push((id, attempt)),
            1 => drop(server.run(&format!("TASK.FAIL jobs {id} no ATTEMPT {attempt}"))),
            2 => {
                run(&server, &finish(&id, attempt));
                run(&server, &finish(&id, attempt));
            }
            _ => drop(run(&server, &finish(&id, attempt))),
        }
        if turn % 7 == 0 {
            for (id, attempt) in stale.drain(..) {
                run(&server, &finish(&id, attempt));
            }
        }
    }
    for (id, attempt) in stale {
        run(&server, &finish(&id, attempt));
    }
    assert_eq!(server.run("GET done"), "200");
    server.wait_for_replica(&replica);
    assert_eq!(replica.run("GET done"), "200");
    assert_eq!(replica.digest(), server.digest());
}
