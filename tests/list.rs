//! `TASK.LIST`: the tasks in a state, page by page.

use crate::support::{Server, array, bulk, now_ms};
use std::collections::HashSet;

/// Reads pages of `count` from `cursor` to the end; `between` runs after each page.
fn all_ids(server: &Server, state: &str, count: usize, mut between: impl FnMut()) -> Vec<String> {
    let (mut cursor, mut ids) = ("0".to_owned(), Vec::new());
    loop {
        let page = server.run(&format!("TASK.LIST jobs {state} {cursor} COUNT {count}"));
        let rows = page.at(1).items();
        ids.extend(rows.iter().map(|row| row.at(0).text()));
        cursor = page.at(0).text();
        if cursor == "0" {
            return ids;
        }
        between();
        assert!(ids.len() < 100_000, "no end");
    }
}

/// A page is `[next-cursor, rows]`, a row `[id, attempt, unix-ms, worker]`; the last page's cursor is 0.
#[test]
fn answers_a_page() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs WORKER ann LEASE 50000", "TASK.PUSH jobs x ID b"]);
    let claimed = server.run("TASK.LIST jobs claimed 0");
    assert_eq!(claimed.at(0).text(), "0");
    let row = claimed.at(1).at(0);
    assert_eq!((row.at(0).text(), row.at(1).int(), row.at(3).text()), ("a".into(), 1, "ann".into()));
    assert!((row.at(2).int() - now_ms() - 50_000).abs() < 5_000, "lease end");
    let ready = server.run("TASK.LIST jobs ready 0");
    let row = ready.at(1).at(0);
    assert_eq!((row.at(0).text(), row.at(1).int()), ("b".into(), 0));
    assert!(row.at(3).is_nil());
    assert!((row.at(2).int() - now_ms()).abs() < 5_000, "ready since");
}

/// The instant of a scheduled task is when it is due, of a finished one when it finished.
#[test]
fn shows_the_instant_that_counts() {
    let server = Server::start();
    let at = now_ms() + 100_000;
    server.run(&format!("TASK.PUSH jobs x ID later AT {at}"));
    assert_eq!(server.run("TASK.LIST jobs scheduled 0").at(1).at(0).at(2), &crate::support::int(at));
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    let finished = server.run("TASK.LIST jobs completed 0").at(1).at(0).at(2).int();
    assert_eq!(finished, server.task("jobs", "a", "finished").int());
}

/// Every state can be listed, in any case of letters; a missing queue is empty and not made.
#[test]
fn lists_every_state() {
    let server = Server::start();
    for state in ["waiting", "scheduled", "ready", "claimed", "completed", "failed", "canceled", "EXPIRED"] {
        let page = server.run(&format!("TASK.LIST none {state} 0"));
        assert_eq!((page.at(0).text(), page.at(1)), ("0".into(), &array([])), "{state}");
    }
    assert_eq!(server.run("EXISTS none"), 0);
}

/// Pages together list each task of a state once if nothing changes.
#[test]
fn pages_list_every_task_once() {
    let server = Server::start();
    for n in 0..500 {
        server.run(&format!("TASK.PUSH jobs x ID {n} PRIORITY {}", n % 3));
    }
    for count in [1, 7, 100, 10_000] {
        let mut ids = all_ids(&server, "ready", count, || ());
        assert_eq!(ids.len(), 500, "COUNT {count}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 500, "COUNT {count}");
    }
}

/// What is in the state from the first page to the last is listed, whatever comes and goes meanwhile.
#[test]
fn keeps_scans_guarantee() {
    for state in ["ready", "claimed", "scheduled", "completed"] {
        let server = Server::start();
        let to_state = |id: &str| {
            let delay = if state == "scheduled" { "DELAY 1000000" } else { "" };
            server.run(&format!("TASK.PUSH jobs x ID {id} {delay}"));
            if state == "claimed" || state == "completed" {
                server.run("TASK.CLAIM jobs");
            }
            if state == "completed" {
                server.run(&format!("TASK.COMPLETE jobs {id} done"));
            }
        };
        for n in 0..200 {
            to_state(&format!("stays{n}"));
            to_state(&format!("goes{n}"));
        }
        let mut n = 0;
        let ids = all_ids(&server, state, 10, || {
            for _ in 0..8 {
                server.run(&format!("TASK.CANCEL jobs goes{n}"));
                server.run(&format!("TASK.FORGET jobs goes{n}"));
                to_state(&format!("new{n}"));
                n += 1;
            }
        });
        let listed: HashSet<_> = ids.into_iter().collect();
        for n in 0..200 {
            assert!(listed.contains(&format!("stays{n}")), "{state}: stays{n}");
        }
    }
}

/// COUNT bounds a page.
#[test]
fn count_bounds_a_page() {
    let server = Server::start();
    for _ in 0..50 {
        server.run("TASK.PUSH jobs x");
    }
    let page = server.run("TASK.LIST jobs ready 0 COUNT 5");
    assert!((1..=5).contains(&page.at(1).items().len()));
    assert_ne!(page.at(0).text(), "0");
}

/// With JSON the rows are whole tasks without their payloads.
#[test]
fn answers_json() {
    let server = Server::start();
    server.run("TASK.PUSH jobs hello ID a PRIORITY 4");
    let page = server.run("TASK.LIST jobs ready 0 COUNT 10 JSON");
    let task: serde_json::Value = serde_json::from_slice(page.at(1).at(0).bytes()).unwrap();
    assert_eq!(task["id"], "a");
    assert_eq!(task["priority"], 4);
    assert!(task.get("payload").is_none());
    assert_ne!(page.at(1), &array([bulk("hello")]));
}
