//! `TASK.CLAIM`: hands out ready tasks.

use crate::support::{Server, Value, array, bulk, int, nil, nil_array, now_ms, task::ids_of};

/// A task is `[id, payload, attempt, lease-ms, checkpoint or nil]`.
#[test]
fn answers_one_task() {
    let server = Server::start();
    server.run("TASK.PUSH jobs hello ID a");
    let task = array([bulk("a"), bulk("hello"), int(1), int(30_000), nil()]);
    assert_eq!(server.run("TASK.CLAIM jobs"), task);
    assert_eq!(server.state("jobs", "a"), "claimed");
}

/// With COUNT the answer is an array of 1 to n tasks.
#[test]
fn answers_up_to_count_tasks() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c"]);
    assert_eq!(ids_of(&server.run("TASK.CLAIM jobs COUNT 1")), ["a"]);
    assert_eq!(ids_of(&server.run("TASK.CLAIM jobs COUNT 10")), ["b", "c"]);
    assert_eq!(server.count("jobs", "claimed"), 3);
}

/// With nothing ready the answer is a null array, with and without COUNT; RESP3's null there.
#[test]
fn answers_nil_when_nothing_is_ready() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    for claim in ["TASK.CLAIM jobs", "TASK.CLAIM jobs COUNT 5", "TASK.CLAIM jobs BLOCK 1", "TASK.CLAIM none"] {
        assert_eq!(server.run(claim), nil_array(), "{claim}");
    }
    let mut client = server.client();
    client.hello3();
    assert_eq!(client.run("TASK.CLAIM jobs"), Value::Null);
    assert_eq!(client.run("TASK.CLAIM jobs COUNT 2 BLOCK 1"), Value::Null);
}

/// A claim on a key that does not exist makes no key.
#[test]
fn makes_no_key() {
    let server = Server::start();
    assert_eq!(server.run("TASK.CLAIM none"), nil_array());
    assert_eq!(server.run("TASK.CLAIM none COUNT 2 BLOCK 1"), nil_array());
    assert_eq!(server.run("EXISTS none"), int(0));
}

/// A task is claimed by one worker at a time.
#[test]
fn a_task_is_claimed_once() {
    let server = Server::start();
    for n in 0..100 {
        server.run(&format!("TASK.PUSH jobs {n}"));
    }
    let mut workers: Vec<_> = (0..4).map(|_| server.client()).collect();
    let mut ids = Vec::new();
    for turn in 0..100 {
        ids.push(workers[turn % 4].claim("jobs").id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// TASK.GET shows the WORKER that holds a task: as named, else the connection's name, else `client-<id>`.
#[test]
fn shows_the_worker() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c"]);
    let mut client = server.client();
    client.run("TASK.CLAIM jobs WORKER ann");
    assert_eq!(server.task("jobs", "a", "worker"), "ann");
    let id = client.id();
    client.run("TASK.CLAIM jobs");
    assert_eq!(server.task("jobs", "b", "worker"), format!("client-{id}").as_str());
    client.run("CLIENT SETNAME bob");
    client.run("TASK.CLAIM jobs");
    assert_eq!(server.task("jobs", "c", "worker"), "bob");
}

/// LEASE overrides the task's lease; the deadline is the claim's time and the lease.
#[test]
fn lease_overrides_the_tasks() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a LEASE 5000", "TASK.PUSH jobs x ID b LEASE 5000"]);
    for (claim, lease_ms) in [("TASK.CLAIM jobs", 5_000), ("TASK.CLAIM jobs LEASE 70000", 70_000)] {
        let before = now_ms();
        let task = server.run(claim);
        assert_eq!(task.at(3), &int(lease_ms));
        let deadline = server.task("jobs", &task.at(0).text(), "deadline").int();
        assert!((before + lease_ms - 1..=now_ms() + lease_ms).contains(&deadline), "{deadline}");
    }
}

/// TIMEOUT caps the lease of an attempt.
#[test]
fn timeout_caps_the_lease() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a TIMEOUT 2000 LEASE 60000");
    server.run("TASK.CLAIM jobs");
    assert!(server.task("jobs", "a", "deadline").int() <= now_ms() + 2_000);
}

/// `attempt` numbers the claims and never goes back; `tries` is given back by RELEASE.
#[test]
fn attempts_count_claims() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    for attempt in 1..=20 {
        assert_eq!(server.claim("jobs").attempt, attempt);
        assert_eq!(server.task("jobs", "a", "tries"), 1);
        server.run("TASK.RELEASE jobs a");
        assert_eq!(server.task("jobs", "a", "tries"), 0);
    }
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no DEAD", "TASK.RETRY jobs a"]);
    assert_eq!(server.claim("jobs").attempt, 22);
    assert_eq!(server.task("jobs", "a", "tries"), 1);
}

/// Claims work in scripts and transactions as elsewhere.
#[test]
fn works_in_scripts_and_transactions() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b"]);
    let claim = r#"EVAL "return redis.call('TASK.CLAIM', KEYS[1])" 1 jobs"#;
    assert_eq!(server.run(claim).at(0), "a");
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.CLAIM jobs");
    client.run("TASK.COMPLETE jobs b done");
    let replies = client.run("EXEC");
    assert_eq!(replies.at(0).at(0), "b");
    assert_eq!(replies.at(1), "OK");
}
