//! How long what others need is kept, and what becomes of it and of them by FORGET, RETRY and RENEW.

use crate::server::{KEPT, Server, TOLD, Task};
use crate::support::{apply_all, restored};
use State::{Completed, Failed, Ready, Waiting};
use taskqueue::op;
use taskqueue::{EndsCursor, Ms, Refusal, State, TaskId};

// How long a dependency is kept.

#[test]
fn a_dependency_is_kept_while_it_is_needed_and_then_for_its_retention() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    server.complete("a");
    server.wait(10 * KEPT);
    server.take("b");
    server.wait(10 * KEPT);
    assert_eq!(server.state("a"), Some(Completed), "its result is there for the worker");
    server.complete("b");
    server.wait(KEPT - 1);
    assert_eq!(server.states(&["a", "b"]), [Some(Completed); 2]);
    server.wait(1);
    assert_eq!(server.states(&["a", "b"]), [None, None]);
}

#[test]
fn a_dependency_that_is_not_to_be_kept_goes_with_the_last_that_needs_it() {
    let mut server = Server::new();
    server.push(Task { id: "a", retain: Some(0), ..Task::default() }).unwrap();
    server.push_after("b", &["a"]);
    server.push_after("c", &["a"]);
    server.complete("a");
    server.complete("b");
    assert_eq!(server.state("a"), Some(Completed));
    server.complete("c");
    server.wait(0);
    assert_eq!(server.states(&["a", "c"]), [None, Some(Completed)]);
}

#[test]
fn a_task_that_comes_to_wait_for_what_has_ended_keeps_it() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.complete("a");
    server.wait(KEPT - 1);
    server.push_after("b", &["a"]);
    server.wait(KEPT);
    assert_eq!(server.state("a"), Some(Completed));
    server.cancel("b");
    server.wait(KEPT - 1);
    assert_eq!(server.state("a"), Some(Completed));
    server.wait(1);
    assert_eq!(server.state("a"), None);
}

#[test]
fn a_batch_is_kept_while_it_is_needed() {
    let mut server = Server::new();
    server.push_into("m", &["a"]);
    server.seal("m");
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    server.complete("a");
    server.wait(10 * KEPT);
    let ends = server.queue.collect("m", EndsCursor::Start, 10).unwrap();
    assert_eq!(ends.slots.len(), 1, "its results are there for the worker");
    server.complete("r");
    server.wait(KEPT - 1);
    assert!(server.has_batch("m"));
    server.wait(1);
    assert_eq!((server.has_batch("m"), server.state("a")), (false, None));
}

/// A batch that is gone has no time of its own any more: who has it from a snapshot does not know who depended on its tasks.
#[test]
fn a_batch_that_is_gone_is_the_same_whoever_needed_it() {
    let mut server = Server::new();
    server.push_into("m", &["a"]);
    server.seal("m");
    server.push_plain(&["x"]);
    server.push_after("b", &["a", "x"]);
    server.complete("a");
    server.transact(|txn, _| op::forget_batch(txn, "m"));
    let mut loaded = restored(&server.queue.snapshot());
    server.now = server.now.after(Ms(1));
    server.cancel("b");
    apply_all(&mut loaded, server.journal.packed.bytes());
    assert_eq!(loaded.snapshot(), server.queue.snapshot());
}

#[test]
fn a_batch_stays_while_one_of_its_tasks_is_needed() {
    let mut server = Server::new();
    server.push_into("m", &["a", "b"]);
    server.seal("m");
    server.push_after("r", &["a"]);
    server.complete("a");
    server.complete("b");
    server.wait(10 * KEPT);
    assert!(server.has_batch("m"));
    server.complete("r");
    server.wait(KEPT);
    assert!(!server.has_batch("m"));
}

#[test]
fn forget_drops_a_dependency_and_changes_nothing_for_those_that_wait() {
    let mut server = Server::new();
    server.push_plain(&["a", "b"]);
    server.push_after("c", &["a", "b"]);
    server.complete("a");
    assert!(server.forget("a"));
    assert_eq!(server.states(&["a", "c"]), [None, Some(Waiting)]);
    // Another task of that name is not what it waits for.
    server.push_plain(&["a"]);
    server.fail("a");
    server.complete("b");
    assert_eq!(server.state("c"), Some(Ready));
    assert_eq!(server.queue.after_view(server.queue.find(TaskId::Named("c")).unwrap()).unwrap().on().len(), 2);
}

/// More wait than are told at once: what becomes of the dependency meanwhile changes nothing for the others.
#[test]
fn an_end_stays_an_end_for_those_that_have_not_been_told() {
    let names: Vec<String> = (0..3 * TOLD).map(|n| format!("d{n}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    for what in ["forget", "retry", "renew"] {
        let mut server = Server::new();
        server.push_plain(&["a"]);
        for id in &ids {
            server.push_after(id, &["a"]);
        }
        server.fail("a");
        assert_eq!(server.state("d8"), Some(Waiting), "not all are told");
        match what {
            "forget" => assert!(server.forget("a")),
            "retry" => assert!(server.retry("a")),
            _ => assert_eq!(server.push(Task { id: "a", renew: true, ..Task::default() }), Ok(true)),
        }
        assert_eq!(server.state("a"), (what != "forget").then_some(Ready));
        // So says a server that starts from a snapshot now.
        server.replica = restored(&server.queue.snapshot());
        assert_eq!(server.replica.snapshot(), server.queue.snapshot());
        server.wait(0);
        assert!(ids.iter().all(|id| server.error(id) == "dependency failed: a"), "{what}");
    }
}

#[test]
fn the_end_of_a_batch_stays_an_end_for_those_that_have_not_been_told() {
    let names: Vec<String> = (0..3 * TOLD).map(|n| format!("d{n}")).collect();
    for forgets in [false, true] {
        let mut server = Server::new();
        server.push_into("m", &["a", "b"]);
        server.seal("m");
        for id in &names {
            server.push(Task { id, after_batch: Some("m"), ..Task::default() }).unwrap();
        }
        server.complete("a");
        server.fail("b");
        assert_eq!(server.queue.count(Waiting), 2 * TOLD);
        if forgets {
            assert_eq!(server.transact(|txn, _| op::forget_batch(txn, "m")), 2);
        } else {
            assert!(server.retry("b"));
        }
        server.wait(0);
        assert_eq!(server.queue.count(Failed), names.len());
        assert_eq!(server.state("b"), (!forgets).then_some(Ready));
    }
}

// RETRY and RENEW.

#[test]
fn retry_of_a_dependency_revives_no_one() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    server.fail("a");
    assert!(server.retry("a"));
    server.complete("a");
    assert_eq!(server.state("b"), Some(Failed));
}

#[test]
fn retry_of_a_dependant_looks_at_its_dependencies_again() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push(Task { id: "b", after: &["a"], delay: 100, ..Task::default() }).unwrap();
    server.fail("a");
    assert!(!server.retry("b"), "it would fail again");
    assert_eq!(server.error("b"), "dependency failed: a");
    server.retry("a");
    assert!(server.retry("b"));
    assert_eq!(server.state("b"), Some(Waiting));
    server.complete("a");
    assert_eq!(server.state("b"), Some(Ready), "RETRY has no due time");
}

#[test]
fn dropped_dependencies_count_as_done() {
    let mut server = Server::new();
    server.push_plain(&["a", "x"]);
    server.push_after("b", &["a", "x"]);
    server.fail("a");
    server.forget("a");
    assert!(server.retry("b"));
    assert_eq!(server.state("b"), Some(Waiting));
    server.cancel("b");
    server.cancel("x");
    server.forget("x");
    assert!(server.retry("b"));
    assert_eq!(server.state("b"), Some(Ready));
}

#[test]
fn retry_of_a_dependant_that_runs_anyway_waits_for_what_has_not_ended() {
    let mut server = Server::new();
    server.push_plain(&["a", "b"]);
    server.push(Task { id: "c", after: &["a", "b"], run_anyway: true, ..Task::default() }).unwrap();
    server.fail("a");
    server.cancel("c");
    assert!(server.retry("c"));
    assert_eq!(server.state("c"), Some(Waiting));
    server.complete("b");
    assert_eq!(server.state("c"), Some(Ready));
}

/// Who says RETRY ALL again until it answers 0 has retried all that can be: before a task, what it failed for.
#[test]
fn retry_all_begins_with_what_others_failed_for() {
    let mut server = Server::new();
    server.push_plain(&["root"]);
    let names: Vec<String> = (0..200).map(|n| format!("leaf{n}")).collect();
    server.push_after("branch", &["root"]);
    for id in &names {
        server.push_after(id, &["branch"]);
    }
    server.fail("root");
    server.wait(0);
    assert_eq!(server.queue.count(Failed), 202);
    let mut retried = 0;
    while let more @ 1.. = server.transact(|txn, _| op::retry_all(txn, 5)) {
        retried += more;
    }
    assert_eq!((retried, server.queue.count(Failed), server.queue.count(Waiting)), (202, 0, 201));
    server.complete("root");
    server.complete("branch");
    server.wait(0);
    assert_eq!(server.queue.count(Ready), 200);
}

#[test]
fn a_renewed_task_depends_on_what_it_says_now() {
    let mut server = Server::new();
    server.push_plain(&["a", "x"]);
    server.push_after("b", &["a"]);
    server.fail("a");
    assert_eq!(server.push(Task { id: "b", after: &["x"], renew: true, ..Task::default() }), Ok(true));
    assert_eq!(server.state("b"), Some(Waiting));
    server.complete("x");
    assert_eq!(server.state("b"), Some(Ready));
    server.fail("b");
    assert_eq!(server.push(Task { id: "b", renew: true, ..Task::default() }), Ok(true));
    assert_eq!(server.state("b"), Some(Ready));
    let refused = server.push(Task { id: "a", after: &["a"], renew: true, ..Task::default() });
    assert_eq!(refused, Err(Refusal::NoDependency { place: 0 }), "it would wait for itself");
}

#[test]
fn a_dependency_that_begins_again_has_not_ended_for_those_that_come() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push(Task { id: "b", after: &["a"], run_anyway: true, ..Task::default() }).unwrap();
    server.fail("a");
    assert!(server.retry("a"));
    server.push_after("c", &["a"]);
    assert_eq!(server.states(&["b", "c"]), [Some(Ready), Some(Waiting)]);
    server.complete("a");
    assert_eq!(server.state("c"), Some(Ready));
}
