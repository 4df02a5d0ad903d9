//! `TASK.EXPLAIN`: why a task is not running.

use crate::support::{Server, eventually, nil_array};

/// The word, after it was seen that the sentence has these words.
#[track_caller]
fn explained(server: &Server, id: &str, words: &[&str]) -> String {
    let answer = server.run(&format!("TASK.EXPLAIN jobs {id}"));
    let sentence = answer.at(1).text();
    for word in words {
        assert!(sentence.contains(word), "{sentence:?} does not say {word:?}");
    }
    answer.at(0).text()
}

/// A ready task is told its place in line, exactly up to a thousand.
#[test]
fn tells_the_place_in_line() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID first PRIORITY 1"]);
    assert_eq!(explained(&server, "first", &["next"]), "next");
    assert_eq!(explained(&server, "a", &["1 task is before it"]), "line");
    assert_eq!(explained(&server, "b", &["2 tasks are before it"]), "line");
    server.run(&format!("TASK.MPUSH jobs 997 {} PRIORITY 2", "x ".repeat(997)));
    assert_eq!(explained(&server, "b", &["999 tasks are before it"]), "line");
    server.run("TASK.PUSH jobs x PRIORITY 2");
    assert_eq!(explained(&server, "b", &["1000+ tasks are before it"]), "line");
}

/// What the queue sets stands in the way: a pause, a limit, a rate; and the place in line all the same.
#[test]
fn tells_what_the_queue_sets() {
    let server = Server::start();
    server.run_all(&["TASK.MPUSH jobs 3 x x x PRIORITY 1", "TASK.PUSH jobs x ID a", "TASK.SET jobs PAUSED out"]);
    assert_eq!(explained(&server, "a", &["paused", "3 tasks are before it"]), "paused");
    server.run("TASK.SET jobs PAUSED all FOR 100000");
    assert_eq!(explained(&server, "a", &["paused for", "ms more"]), "paused");
    server.run_all(&["TASK.SET jobs PAUSED in CONCURRENCY 2 RATE 3 100000", "TASK.CLAIM jobs"]);
    assert_eq!(explained(&server, "a", &["2 tasks are before it"]), "line");
    server.run("TASK.CLAIM jobs");
    assert_eq!(explained(&server, "a", &["2 tasks are claimed", "CONCURRENCY", "1 task is before it"]), "concurrency");
    server.run_all(&["TASK.SET jobs CONCURRENCY 0", "TASK.CLAIM jobs"]);
    assert_eq!(explained(&server, "a", &["3 claims in 100000 ms", "it is the first in line"]), "rate");
}

/// A task of a group says whose turn comes before, or what holds its group.
#[test]
fn tells_of_groups() {
    let server = Server::start();
    for line in ["a1 GROUP a", "a2 GROUP a", "a3 GROUP a PRIORITY 1", "b1 GROUP b", "c1 GROUP c", "x"] {
        server.run(&format!("TASK.PUSH jobs p ID {line}"));
    }
    assert_eq!(explained(&server, "a3", &["next"]), "next");
    assert_eq!(explained(&server, "a2", &["2 tasks are before it in line in its group a"]), "line");
    assert_eq!(explained(&server, "b1", &["first in line in its group b", "1 other group has its turn before"]), "line");
    assert_eq!(explained(&server, "x", &["first in line,", "3 other groups"]), "line");
    server.run_all(&["TASK.SET jobs GROUPCONCURRENCY 1", "TASK.CLAIM jobs"]);
    assert_eq!(
        explained(
            &server,
            "a1",
            &["1 task of its group a may be claimed at once", "GROUPCONCURRENCY", "as a3, which is claimed", "first in line"]
        ),
        "group"
    );
    server.run_all(&["TASK.FAIL jobs a3 no DELAY 100000"]);
    assert_eq!(explained(&server, "a2", &["holds its group a", "as a3, which is scheduled", "1 task is before it"]), "group");
    server.run_all(&["TASK.RETRY jobs a3"]);
    assert_eq!(explained(&server, "a1", &["1 task is before it", "3 other groups"]), "line");
    server.run_all(&["TASK.SET jobs PAUSED out"]);
    assert_eq!(explained(&server, "a1", &["paused", "1 task is before it in line in its group a"]), "paused");
}

/// A delay says when it ends, and where it comes from.
#[test]
fn tells_what_a_delay_is_for() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a DELAY 100000"]);
    assert_eq!(explained(&server, "a", &["becomes ready in", "pushed with a delay"]), "due");
    server.run_all(&["TASK.RETRY jobs a", "TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 100000"]);
    assert_eq!(explained(&server, "a", &["becomes ready in", "a try failed"]), "due");
    server.run_all(&["TASK.RETRY jobs a", "TASK.CLAIM jobs", "TASK.RELEASE jobs a DELAY 100000"]);
    assert_eq!(explained(&server, "a", &["becomes ready in", "released"]), "due");
}

/// A task that waits says for what.
#[test]
fn tells_what_a_task_waits_for() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a BATCH b",
        "TASK.PUSH jobs x ID c",
        "TASK.PUSH jobs x ID after AFTER 2 a c",
        "TASK.PUSH jobs x ID later AFTERBATCH b",
    ]);
    assert_eq!(explained(&server, "after", &["2 of the 2 tasks", "first a"]), "after");
    assert_eq!(explained(&server, "later", &["batch b", "not sealed", "1 task has not ended"]), "batch");
    server.run_all(&["TASK.SEAL jobs b", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a r"]);
    assert_eq!(explained(&server, "after", &["1 of the 2 tasks", "first c"]), "after");
    assert_eq!(explained(&server, "later", &["1 task is before it"]), "line");
}

/// One that follows a holder says whom.
#[test]
fn tells_whom_a_task_follows() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a UNIQUE k", "TASK.CLAIM jobs", "TASK.PUSH jobs x ID b UNIQUE k REPLACE"]);
    assert_eq!(explained(&server, "b", &["waits for a", "key k"]), "unique");
}

/// A claimed task says who has it and for how long, one that has ended that it has.
#[test]
fn tells_who_has_it_and_how_it_ended() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.CLAIM jobs WORKER w1 LEASE 100000"]);
    assert_eq!(explained(&server, "a", &["running", "worker w1", "attempt 1", "ms more"]), "claimed");
    let mut worker = server.client();
    worker.run("TASK.CLAIM jobs WORKER w2 SESSION");
    assert_eq!(explained(&server, "b", &["worker w2", "while its connection is open"]), "claimed");
    server.run("TASK.COMPLETE jobs a r");
    assert_eq!(explained(&server, "a", &["it ended at", "completed"]), "completed");
    server.run("TASK.CANCEL jobs b");
    assert_eq!(explained(&server, "b", &["canceled"]), "canceled");
}

/// If the server would refuse the claim, that is why: with its own error, or that writes are paused. What the queue says comes first.
#[test]
fn tells_that_the_server_takes_no_writes() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID late DELAY 100000"]);
    server.run("CONFIG SET min-replicas-to-write 1");
    assert_eq!(explained(&server, "a", &["NOREPLICAS", "it is the next"]), "writes-refused");
    assert_eq!(explained(&server, "b", &["NOREPLICAS", "1 task is before it"]), "writes-refused");
    assert_eq!(explained(&server, "late", &["becomes ready in"]), "due");
    server.run("CONFIG SET min-replicas-to-write 0");
    assert_eq!(explained(&server, "a", &["next"]), "next");
    server.run_all(&["TASK.PUSH jobs x ID held PRIORITY 1", "TASK.CLAIM jobs LEASE 1000", "CONFIG SET min-replicas-to-write 1"]);
    assert_eq!(explained(&server, "held", &["it is running"]), "claimed");
    eventually(|| server.run("TASK.EXPLAIN jobs held").at(0) == "writes-refused");
    server.run("CONFIG SET min-replicas-to-write 0");
    server.run("CLIENT PAUSE 100000 WRITE");
    assert_eq!(explained(&server, "a", &["writes are paused"]), "writes-refused");
    server.run_all(&["CLIENT UNPAUSE", "CONFIG SET maxmemory 1"]);
    assert_eq!(explained(&server, "a", &["next"]), "next", "a full server goes on to hand out");
}

/// A replica says the same; a task that is not there, nil; and wrong arguments are refused.
#[test]
fn runs_on_replicas_and_refuses_what_it_does_not_know() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x ID a", "SET text x"]);
    server.wait_for_replica(&replica);
    eventually(|| replica.run("TASK.EXPLAIN jobs a").at(0) == "next");
    assert_eq!(server.run("TASK.EXPLAIN jobs none"), nil_array());
    assert_eq!(server.run("TASK.EXPLAIN none a"), nil_array());
    server.run("TASK.EXPLAIN text a").assert_refused("WRONGTYPE", &[]);
    server.run("TASK.EXPLAIN jobs").assert_refused("ERR", &["number of arguments"]);
    server.run("TASK.EXPLAIN jobs a b").assert_refused("ERR", &["number of arguments"]);
    server.run("TASK.EXPLAIN jobs ALL").assert_refused("ERR", &["id"]);
}
