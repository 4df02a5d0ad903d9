//! The order in which tasks are claimed.

use crate::support::{Server, task::ids_of};

/// The ids of all ready tasks in the order in which workers get them.
#[track_caller]
fn line(server: &Server) -> Vec<String> {
    ids_of(&server.run("TASK.CLAIM jobs COUNT 1000"))
}

/// Within a priority the first that became ready comes first.
#[test]
fn first_in_first_out() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    assert_eq!(line(&server), ["a", "b", "c"]);
}

/// Higher priority comes first, from 255 to 0.
#[test]
fn higher_priority_first() {
    let server = Server::start();
    for (id, priority) in [("low", 0), ("mid1", 7), ("top", 255), ("high", 254), ("mid2", 7), ("eight", 8)] {
        server.run(&format!("TASK.PUSH jobs x ID {id} PRIORITY {priority}"));
    }
    assert_eq!(line(&server), ["top", "high", "eight", "mid1", "mid2", "low"]);
}

/// A released task keeps its place.
#[test]
fn a_released_task_keeps_its_place() {
    let server = Server::start();
    for id in ["a", "b", "c", "d"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run_all(&["TASK.CLAIM jobs COUNT 3", "TASK.RELEASE jobs c", "TASK.RELEASE jobs a", "TASK.RELEASE jobs b"]);
    assert_eq!(line(&server), ["a", "b", "c", "d"]);
}

/// A lapsed task keeps its place.
#[test]
fn a_lapsed_task_keeps_its_place() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run("TASK.CLAIM jobs COUNT 2 LEASE 5");
    server.wait_for_state("a", "ready");
    server.wait_for_state("b", "ready");
    assert_eq!(line(&server), ["a", "b", "c"]);
}

/// A delayed task's place is by when it became ready, not by when it was pushed.
#[test]
fn a_delayed_task_queues_when_it_is_due() {
    let server = Server::start();
    server.run_all(&["MULTI", "TASK.PUSH jobs x ID later DELAY 30", "TASK.PUSH jobs x ID now", "EXEC"]);
    server.wait_for_state("later", "ready");
    server.run("TASK.PUSH jobs x ID last");
    assert_eq!(line(&server), ["now", "later", "last"]);
}

/// Tasks that fall due at different times become ready in that order, whatever the order of their pushes.
#[test]
fn delays_ripen_in_the_order_of_their_times() {
    let server = Server::start();
    let at = crate::support::now_ms() + 60;
    for (id, after) in [("c", 6), ("a", 0), ("b", 3)] {
        server.run(&format!("TASK.PUSH jobs x ID {id} AT {}", at + after));
    }
    server.wait_for_state("c", "ready");
    assert_eq!(line(&server), ["a", "b", "c"]);
}

/// A failed attempt without delay goes to the end, as does a retried task.
#[test]
fn a_failed_attempt_goes_to_the_end() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 0"]);
    server.run_all(&["TASK.CANCEL jobs b", "TASK.RETRY jobs b"]);
    assert_eq!(line(&server), ["c", "a", "b"]);
}

/// After a backoff the place is by when it ended; then a release keeps that place.
#[test]
fn a_release_keeps_the_place_since_the_backoff() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 10", "TASK.PUSH jobs x ID b"]);
    server.wait_for_state("a", "ready");
    server.run_all(&["TASK.PUSH jobs x ID c", "TASK.CLAIM jobs COUNT 2", "TASK.RELEASE jobs a", "TASK.RELEASE jobs b"]);
    assert_eq!(line(&server), ["b", "a", "c"]);
}

/// The order survives DUMP/RESTORE and a reload, places of released tasks included.
#[test]
fn the_order_survives_a_reload() {
    let server = Server::start();
    for n in 0..100 {
        server.run(&format!("TASK.PUSH jobs x ID {n} PRIORITY {}", n % 5));
    }
    server.run("TASK.CLAIM jobs COUNT 30");
    for n in [9, 4, 14, 3, 99, 24] {
        server.run(&format!("TASK.RELEASE jobs {n}"));
    }
    let dump = server.dump("jobs");
    server.run("DEBUG RELOAD");
    server.cmd(&[b"RESTORE", b"copy", b"0", &dump]);
    let reloaded = line(&server);
    assert_eq!(reloaded, ids_of(&server.run("TASK.CLAIM copy COUNT 1000")));
    assert_eq!(reloaded[..6], ["4", "9", "14", "24", "99", "3"]);
    assert_eq!(reloaded.len(), 76);
}
