//! Batches: PUSH, MPUSH and CALL … BATCH, `TASK.SEAL`, `TASK.BATCH`, and CANCEL, RETRY and FORGET … BATCH.

use crate::support::{Events, Server, Value, bulk, eventually, eventually_eq, int, nil_array, task::ids_of};

/// What TASK.BATCH says, as `total ready claimed completed failed canceled sealed done`.
fn shown(server: &Server, batch: &str) -> String {
    let reply = server.run(&format!("TASK.BATCH jobs {batch}"));
    if reply.is_nil() {
        return "none".to_owned();
    }
    let fields = ["total", "ready", "claimed", "completed", "failed", "canceled", "sealed", "done"];
    fields.map(|field| reply.field(field).int().to_string()).join(" ")
}

fn complete(server: &Server, id: &str) {
    assert_eq!(server.claim("jobs").id, id);
    server.run_all(&[&format!("TASK.COMPLETE jobs {id} done-{id}")]);
}

/// Tasks come by PUSH and MPUSH; the batch counts them by state, and is done when it is sealed and all have ended.
#[test]
fn a_life() {
    let server = Server::start();
    assert_eq!(shown(&server, "b"), "none");
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "TASK.PUSH jobs x ID other", "TASK.CANCEL jobs other"]);
    assert_eq!(server.run("TASK.MPUSH jobs 2 x x BATCH b").items().len(), 2);
    assert_eq!(shown(&server, "b"), "3 3 0 0 0 0 0 0");
    assert_eq!(server.task("jobs", "1", "batch"), "b");
    assert!(server.task("jobs", "other", "batch").is_nil());
    complete(&server, "1");
    let rest = ids_of(&server.run("TASK.CLAIM jobs COUNT 2"));
    assert_eq!(shown(&server, "b"), "3 0 2 1 0 0 0 0");
    server.run_all(&[&format!("TASK.FAIL jobs {} no DEAD", rest[0]), &format!("TASK.CANCEL jobs {}", rest[1])]);
    assert_eq!(shown(&server, "b"), "3 0 0 1 1 1 0 0");
    assert_eq!(server.run("TASK.SEAL jobs b"), int(3));
    assert_eq!(server.run("TASK.SEAL jobs b"), int(3));
    assert_eq!(shown(&server, "b"), "3 0 0 1 1 1 1 1");
}

/// TASK.BATCH has its fields in order, in both protocols.
#[test]
fn the_map() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x BATCH b SEAL");
    let names =
        ["total", "waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "expired", "sealed", "done"];
    let flat = server.run("TASK.BATCH jobs b");
    let flat: Vec<String> = flat.items().iter().step_by(2).map(Value::text).collect();
    assert_eq!(flat, names);
    let mut client = server.client();
    client.hello3();
    let map = client.run("TASK.BATCH jobs b");
    assert_eq!(
        (map.field("total"), map.field("ready"), map.field("sealed"), map.field("done")),
        (int(1), int(1), int(1), int(0))
    );
}

/// A sealed batch takes no task: nothing of such a push happens, and no queue is made by one that is refused.
#[test]
fn a_sealed_batch_takes_no_task() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID 1 BATCH b seal");
    let before = server.digest();
    for line in [
        "TASK.PUSH jobs x BATCH b",
        "TASK.MPUSH jobs 2 x y BATCH b SEAL",
        "TASK.CALL jobs x BATCH b",
        "TASK.PUSH jobs x ID 2 BATCH b",
    ] {
        server.run(line).assert_refused("ERR", &["BATCH", "sealed"]);
    }
    assert_eq!(server.digest(), before);
}

/// A push that is answered by a task that is there adds nothing, but its SEAL takes effect.
#[test]
fn a_repeated_push_seals() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "TASK.PUSH jobs x ID 1 BATCH c"]);
    assert_eq!((shown(&server, "b"), shown(&server, "c")), ("1 1 0 0 0 0 0 0".to_owned(), "none".to_owned()));
    server.run("TASK.PUSH jobs x ID 1 BATCH b SEAL");
    assert_eq!(shown(&server, "b"), "1 1 0 0 0 0 1 0");
    // Said again, as after a lost reply.
    assert_eq!(server.run("TASK.PUSH jobs x ID 1 BATCH b SEAL"), "1");
}

/// A map over nothing is done at once; TASK.SEAL makes the queue.
#[test]
fn an_empty_batch_is_done() {
    let server = Server::start();
    let mut events = Events::of(&server);
    assert_eq!(server.run("TASK.SEAL jobs b"), int(0));
    events.expect(&["batch"]);
    assert_eq!(shown(&server, "b"), "0 0 0 0 0 0 1 1");
    assert_eq!(server.run("TASK.FORGET jobs BATCH b"), int(0));
    assert_eq!(shown(&server, "b"), "none");
}

/// `task.batch` is raised when the last task ends, or by the seal if that comes later; and again after a RETRY.
#[test]
fn done_is_an_event() {
    let server = Server::start();
    let mut events = Events::of(&server);
    for (line, expected) in [
        ("TASK.PUSH jobs x ID 1 BATCH b SEAL", &["push"][..]),
        ("TASK.CANCEL jobs 1", &["cancel", "batch"]),
        ("TASK.RETRY jobs 1", &["ready"]),
        ("TASK.CANCEL jobs 1", &["cancel", "batch"]),
        ("TASK.PUSH jobs x ID 2 BATCH c", &["push"]),
        ("TASK.CANCEL jobs 2", &["cancel"]),
        ("TASK.SEAL jobs c", &["batch"]),
        ("TASK.SEAL jobs c", &[]),
    ] {
        let reply = server.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
        events.expect(expected);
    }
    events.expect_none(20);
}

/// Whatever RETAIN and FORGET say, a task is kept until its batch is done and the longest retention of all has passed. Then all of them go.
#[test]
fn members_are_kept_until_all_is_done() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b RETAIN 0", "TASK.PUSH jobs x ID 2 RETAIN 1500 BATCH b SEAL"]);
    server.run_all(&["TASK.PUSH jobs x ID free RETAIN 0"]);
    complete(&server, "1");
    assert_eq!(server.run("TASK.FORGET jobs 1"), int(0));
    assert!(server.task("jobs", "1", "drop-at").is_nil());
    complete(&server, "2");
    assert_eq!(server.run("TASK.FORGET jobs ALL"), int(0));
    assert_eq!(server.task("jobs", "1", "drop-at"), server.task("jobs", "2", "drop-at"));
    assert!(!server.task("jobs", "1", "drop-at").is_nil());
    assert_eq!(server.run("TASK.RESULT jobs 1").at(1), "done-1");
    eventually_eq(|| shown(&server, "b"), "none");
    server.wait_for_state("1", "none");
    server.wait_for_state("2", "none");
    assert_eq!(server.state("jobs", "free"), "ready");
}

/// TASK.FORGET … BATCH drops a batch that is done, at once: its name and its ids are free.
#[test]
fn forget() {
    let server = Server::start();
    let ids: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    for id in &ids {
        server.run(&format!("TASK.PUSH jobs x ID {id} BATCH b"));
    }
    assert_eq!(server.run("TASK.FORGET jobs BATCH b"), int(0));
    assert_eq!(server.run("TASK.CANCEL jobs BATCH b"), int(500));
    assert_eq!(server.run("TASK.FORGET jobs BATCH b"), int(0), "not sealed");
    server.run("TASK.SEAL jobs b");
    // All or none of it.
    server.run("TASK.FORGET jobs BATCH b COUNT 9").assert_refused("ERR", &["COUNT goes with ALL"]);
    // In one unit with the pushes that follow, before time could drop any of the tasks.
    let mut client = server.client();
    let lines = [
        "MULTI",
        "TASK.FORGET jobs BATCH b",
        "TASK.BATCH jobs b",
        "TASK.PUSH jobs new ID 7 BATCH b",
        "TASK.RETRY jobs 8",
        "EXEC",
    ];
    let replies = client.run_each(&lines).pop().expect("a reply to EXEC");
    assert_eq!(replies.items(), [int(500), nil_array(), bulk("7"), int(1)]);
    assert_eq!(shown(&server, "b"), "1 1 0 0 0 0 0 0");
    eventually_eq(|| server.count("jobs", "canceled").to_string(), "0");
    assert_eq!(server.task("jobs", "7", "payload"), "new");
    assert_eq!(server.state("jobs", "8"), "ready");
    assert!(server.task("jobs", "8", "batch").is_nil(), "it lives on by itself");
    assert_eq!(server.run("TASK.FORGET jobs BATCH b"), int(0));
}

/// CANCEL takes claimed ones too, COUNT a call, oldest first, and of other tasks none.
#[test]
fn cancel() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID other",
        "TASK.MPUSH jobs 3 a b c BATCH b",
        "TASK.PUSH jobs x ID late DELAY 100000 BATCH b",
    ]);
    server.run_all(&["TASK.CLAIM jobs COUNT 2"]);
    assert_eq!(server.run("TASK.CANCEL jobs BATCH b COUNT 2"), int(2));
    assert_eq!(shown(&server, "b"), "4 1 0 0 0 2 0 0");
    assert_eq!(server.run("TASK.CANCEL jobs batch b"), int(2));
    assert_eq!(server.run("TASK.CANCEL jobs BATCH b"), int(0));
    assert_eq!(server.state("jobs", "other"), "claimed");
    assert_eq!(server.run("TASK.CANCEL jobs BATCH none"), int(0));
    assert_eq!(server.run("TASK.CANCEL none BATCH b"), int(0));
}

/// RETRY takes what failed, was canceled or expired, those that ended first first; the batch is then not done any more.
#[test]
fn retry() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "TASK.PUSH jobs x ID 2 BATCH b", "TASK.PUSH jobs x ID 3 BATCH b SEAL"]);
    complete(&server, "1");
    server.run_all(&["TASK.CANCEL jobs 3", "TASK.CLAIM jobs", "TASK.FAIL jobs 2 no DEAD"]);
    assert_eq!(shown(&server, "b"), "3 0 0 1 1 1 1 1");
    assert_eq!(server.run("TASK.RETRY jobs BATCH b COUNT 1"), int(1));
    assert_eq!(server.state("jobs", "3"), "ready");
    assert_eq!(server.run("TASK.RETRY jobs BATCH b"), int(1));
    assert_eq!(server.run("TASK.RETRY jobs BATCH b"), int(0));
    assert_eq!(shown(&server, "b"), "3 2 0 1 0 0 1 0");
    complete(&server, "3");
    complete(&server, "2");
    assert_eq!(shown(&server, "b"), "3 0 0 3 0 0 1 1");
}

/// A task that RENEW begins again stays in its batch, sealed or not, and cannot go to another.
#[test]
fn renew() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b SEAL", "TASK.PUSH jobs x ID free", "TASK.CANCEL jobs 1 free"]);
    for line in ["TASK.PUSH jobs y ID 1 RENEW BATCH c", "TASK.PUSH jobs y ID free RENEW BATCH b"] {
        server.run(line).assert_refused("ERR", &["BATCH", "own batch"]);
    }
    assert_eq!(server.run("TASK.PUSH jobs y ID 1 RENEW BATCH b"), "1");
    assert_eq!(shown(&server, "b"), "1 1 0 0 0 0 1 0");
    server.run("TASK.CANCEL jobs 1");
    assert_eq!(server.run("TASK.PUSH jobs y ID 1 RENEW"), "1");
    assert_eq!(shown(&server, "b"), "1 1 0 0 0 0 1 0");
}

/// An unsealed batch whose tasks have all ended goes when nothing has touched it for as long as failed tasks are kept.
#[test]
fn an_abandoned_batch_goes() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b RETAIN -1", "TASK.PUSH jobs x ID 2 BATCH c"]);
    complete(&server, "1");
    assert_eq!(shown(&server, "b"), "1 0 0 1 0 0 0 0");
    server.run_all(&["CONFIG SET task.retain-failed 50", "TASK.CLAIM jobs", "TASK.COMPLETE jobs 2 done"]);
    eventually_eq(|| shown(&server, "b") + &shown(&server, "c"), "nonenone");
    server.wait_for_state("1", "none");
}

/// So it does when failed tasks are kept for less long from now on, or not for ever any more, and nobody says anything else to the queue.
#[test]
fn an_abandoned_batch_goes_sooner() {
    for before in ["604800000", "-1"] {
        let server = Server::start();
        server.run_all(&[&format!("CONFIG SET task.retain-failed {before}"), "TASK.PUSH jobs x ID 1 BATCH b RETAIN -1"]);
        complete(&server, "1");
        // Time has looked at it, and noted when to look again.
        let ticks = || server.info("task_ticks").parse::<u64>().unwrap();
        let ticked = ticks();
        server.run_all(&[
            "TASK.PUSH other x DELAY 5",
            "TASK.SET own RETAINFAILED -1",
            "TASK.PUSH own x ID 1 BATCH b",
            "TASK.CANCEL own 1",
        ]);
        eventually(|| server.count("other", "ready") == 1 && ticks() > ticked + 1);
        assert_eq!(shown(&server, "b"), "1 0 0 1 0 0 0 0");
        server.run("CONFIG SET task.retain-failed 50");
        eventually_eq(|| shown(&server, "b"), "none");
        assert_eq!(server.run("TASK.BATCH own b").field("canceled"), int(1), "what the queue sets itself stands");
    }
}

/// Every argument is checked, and a refused command changes nothing.
#[test]
fn errors() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "SET text x"]);
    let before = server.digest();
    for (line, code, words) in [
        ("TASK.SEAL jobs", "ERR", &["number of arguments"][..]),
        ("TASK.SEAL jobs b c", "ERR", &["number of arguments"]),
        ("TASK.SEAL jobs all", "ERR", &["batch"]),
        ("TASK.BATCH jobs", "ERR", &["number of arguments"]),
        ("TASK.BATCH jobs \"a b\"", "ERR", &["batch", "255"]),
        ("TASK.PUSH jobs x BATCH", "ERR", &["BATCH", "value"]),
        ("TASK.PUSH jobs x BATCH ALL", "ERR", &["BATCH", "255"]),
        ("TASK.PUSH jobs x SEAL", "ERR", &["SEAL goes with BATCH"]),
        ("TASK.MPUSH jobs 1 x SEAL", "ERR", &["SEAL goes with BATCH"]),
        ("TASK.PUSH jobs x BATCH c BATCH d", "ERR", &["BATCH", "more than once"]),
        ("TASK.PUSH jobs x BATCH c SEAL SEAL", "ERR", &["SEAL is given more than once"]),
        ("TASK.CANCEL jobs BATCH", "ERR", &["too few"]),
        ("TASK.CANCEL jobs BATCH b c", "ERR", &["unknown option C"]),
        ("TASK.CANCEL jobs BATCH b COUNT 0", "ERR", &["COUNT"]),
        ("TASK.SEAL text b", "WRONGTYPE", &[]),
        ("TASK.BATCH text b", "WRONGTYPE", &[]),
    ] {
        let reply = server.run(line);
        reply.assert_refused(code, words);
    }
    assert_eq!(server.digest(), before);
    assert_eq!(server.run("TASK.BATCH none b"), nil_array());
    assert_eq!(server.run("EXISTS none"), int(0));
}

/// Replica, RDB, AOF and copies hold batches as the master does, those about to go included.
#[test]
fn is_the_same_everywhere() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    for batch in ["b", "c", "d"] {
        server.run(&format!("TASK.MPUSH jobs 40 {}BATCH {batch}", "x ".repeat(40)));
    }
    for id in ids_of(&server.run("TASK.CLAIM jobs COUNT 60")) {
        server.run(&format!("TASK.COMPLETE jobs {id} result"));
    }
    server.run_all(&[
        "TASK.CANCEL jobs BATCH c COUNT 7",
        "TASK.RETRY jobs BATCH c COUNT 3",
        "TASK.SEAL jobs b",
        "TASK.SEAL jobs d",
    ]);
    server.wait_for_replica(&replica);
    assert_eq!(replica.digest(), server.digest());
    assert_eq!(shown(&replica, "c"), shown(&server, "c"));
    server.run("COPY jobs copy");
    assert_eq!(server.run("DEBUG DIGEST-VALUE jobs"), server.run("DEBUG DIGEST-VALUE copy"));
    server.run("DEL copy");
    let (before, digest) = (shown(&server, "c"), server.digest());
    server.run("DEBUG RELOAD");
    assert_eq!((shown(&server, "c"), server.digest()), (before.clone(), digest.clone()));
    server.run("DEBUG LOADAOF");
    assert_eq!((shown(&server, "c"), server.digest()), (before, digest));
    server.crash_and_restart();
    assert_eq!(server.run("TASK.CANCEL jobs BATCH d"), int(40));
    assert_eq!(server.run("TASK.FORGET jobs BATCH d"), int(40));
    eventually_eq(|| server.run("TASK.INFO jobs").field("totals").field("dropped").int().to_string(), "40");
}
