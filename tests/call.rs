//! `TASK.CALL`: push, and wait for the result, in one round trip.

use crate::support::{Server, array, bulk, nil, nil_array};

/// It answers id, state and data when the task has ended, whatever end that is.
#[test]
fn answers_the_end() {
    for (end, state, data) in [
        ("TASK.COMPLETE jobs a done", "completed", bulk("done")),
        ("TASK.FAIL jobs a no DEAD", "failed", bulk("no")),
        ("TASK.CANCEL jobs a", "canceled", nil()),
    ] {
        let server = Server::start();
        let mut caller = server.block("TASK.CALL jobs question ID a PRIORITY 3");
        assert_eq!(server.run("TASK.CLAIM jobs").at(1), "question");
        server.run(end);
        assert_eq!(caller.read(), array([bulk("a"), bulk(state), data]));
    }
}

/// A waiting worker gets it at once, and its NEXT may answer it: two round trips for a cycle.
#[test]
fn a_cycle_of_two_round_trips() {
    let server = Server::start();
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut caller = server.client();
    caller.send("TASK.CALL jobs question RETAIN 0");
    let task = worker.read();
    worker.send(&format!("TASK.COMPLETE jobs {} answer ATTEMPT 1 NEXT BLOCK 0", task.at(0).text()));
    assert_eq!(caller.read(), array([task.at(0).clone(), bulk("completed"), bulk("answer")]));
    assert_eq!(server.count("jobs", "completed"), 0);
}

/// An existing task is waited for; one that has ended is answered at once; with NX both are nil.
#[test]
fn waits_for_a_task_that_is_there() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let mut caller = server.block("TASK.CALL jobs y ID a");
    assert_eq!(server.run("TASK.CALL jobs y ID a NX"), nil_array());
    server.run("TASK.COMPLETE jobs a done");
    let end = array([bulk("a"), bulk("completed"), bulk("done")]);
    assert_eq!(caller.read(), end);
    assert_eq!(server.run("TASK.CALL jobs y ID a"), end);
    assert_eq!(server.run("TASK.CALL jobs y ID a NX"), nil_array());
}

/// At the timeout it answers the state there is, and the task stays.
#[test]
fn times_out_with_the_state() {
    let server = Server::start();
    assert_eq!(server.run("TASK.CALL jobs x ID a BLOCK 20"), array([bulk("a"), bulk("ready"), nil()]));
    server.run("TASK.CLAIM jobs");
    assert_eq!(server.run("TASK.CALL jobs x ID a BLOCK 20"), array([bulk("a"), bulk("claimed"), nil()]));
}

/// A task or queue that goes away answers nil for state and data.
#[test]
fn a_task_that_goes_away() {
    let server = Server::start();
    let gone = array([bulk("a"), nil(), nil()]);
    for line in ["DEL jobs", "RENAME jobs other", "FLUSHALL", "SET jobs x"] {
        let mut caller = server.block("TASK.CALL jobs x ID a");
        server.run(line);
        assert_eq!(caller.read(), gone, "{line}");
        server.run("FLUSHALL");
    }
}

/// In MULTI and scripts it does not wait.
#[test]
fn in_multi_and_scripts() {
    let server = Server::start();
    let ready = array([bulk("a"), bulk("ready"), nil()]);
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.CALL jobs x ID a");
    assert_eq!(client.run("EXEC"), array([ready.clone()]));
    assert_eq!(server.run(r#"EVAL "return redis.call('TASK.CALL', KEYS[1], 'x', 'ID', 'a')" 1 jobs"#).at(1), "ready");
}

/// A caller that is gone leaves its task to be done.
#[test]
fn a_caller_that_is_gone() {
    let server = Server::start();
    drop(server.block("TASK.CALL jobs x ID a"));
    server.wait_for_blocked(0);
    assert_eq!(server.claim("jobs").id, "a");
    assert_eq!(server.run("TASK.COMPLETE jobs a done"), "OK");
}

/// Bad arguments push nothing; over maxmemory it is refused as a push is.
#[test]
fn refuses_as_push_does() {
    let server = Server::start();
    for (line, word) in [
        ("TASK.CALL jobs x COLOR red", "COLOR"),
        ("TASK.CALL jobs x BLOCK -1", "BLOCK"),
        ("TASK.CALL jobs x BLOCK 1 BLOCK 2", "BLOCK"),
        ("TASK.CALL jobs x RENEW", "ID"),
        ("TASK.CALL jobs x DELAY 9 TTL 9", "TTL"),
    ] {
        server.run(line).assert_refused("ERR", &[word]);
    }
    server.run("CONFIG SET maxmemory 1");
    server.run("TASK.CALL jobs x").assert_refused("OOM", &[]);
    assert_eq!(server.run("EXISTS jobs"), 0);
}
