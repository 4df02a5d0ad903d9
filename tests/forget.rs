//! `TASK.FORGET`: drops terminal tasks now.

use crate::support::{Server, int, nil_array};

/// Drops completed, failed, canceled and expired tasks and answers how many; live and unknown ones stay uncounted.
#[test]
fn drops_terminal_tasks() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID completed",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs completed done",
        "TASK.PUSH jobs x ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs x ID claimed",
        "TASK.CLAIM jobs",
        "TASK.PUSH jobs x ID canceled",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID expired TTL 1",
        "TASK.PUSH jobs x ID scheduled DELAY 100000",
    ]);
    server.wait_for_state("expired", "expired");
    server.run("TASK.PUSH jobs x ID ready");
    let forget = "TASK.FORGET jobs completed failed canceled expired claimed scheduled ready none failed";
    assert_eq!(server.run(forget), int(4));
    for id in ["completed", "failed", "canceled", "expired"] {
        assert_eq!(server.run(&format!("TASK.RESULT jobs {id}")), nil_array());
    }
    for id in ["claimed", "scheduled", "ready"] {
        assert_eq!(server.state("jobs", id), id);
    }
    assert_eq!(server.run(forget), int(0));
}

/// ALL drops all terminal tasks, COUNT a call, until it answers 0; the empty queue stays.
#[test]
fn all_drops_until_none_is_left() {
    let server = Server::start();
    for n in 0..5 {
        server.run(&format!("TASK.PUSH jobs x ID {n}"));
    }
    server.run("TASK.CANCEL jobs ALL");
    assert_eq!(server.run("TASK.FORGET jobs ALL COUNT 2"), int(2));
    assert_eq!(server.run("TASK.FORGET jobs ALL"), int(3));
    assert_eq!(server.run("TASK.FORGET jobs ALL"), int(0));
    assert_eq!(server.run("TYPE jobs"), "taskqueue");
}

/// A forgotten id can be pushed again, as a new task.
#[test]
fn the_id_is_free_again() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done", "TASK.FORGET jobs a"]);
    assert_eq!(server.run("TASK.PUSH jobs y ID a NX"), "a");
    assert_eq!(server.claim("jobs").attempt, 1);
}

/// A queue that does not exist has nothing to forget, and is not made.
#[test]
fn a_missing_queue_answers_0() {
    let server = Server::start();
    assert_eq!(server.run("TASK.FORGET none a"), int(0));
    assert_eq!(server.run("TASK.FORGET none ALL"), int(0));
    assert_eq!(server.run("EXISTS none"), int(0));
}
