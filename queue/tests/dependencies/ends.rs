//! What ends do to those that wait for them.

use crate::server::{KEPT, Server, Task};
use State::{Canceled, Expired, Failed, Ready, Scheduled, Waiting};
use taskqueue::op::{self, Next};
use taskqueue::{Event, Refusal, State, TaskId};

// Waiting until all are completed.

#[test]
fn a_task_waits_until_all_are_completed() {
    let mut server = Server::new();
    server.push_plain(&["a", "b"]);
    server.push_after("c", &["a", "b"]);
    server.complete("a");
    assert_eq!(server.state("c"), Some(Waiting));
    server.complete("b");
    assert_eq!(server.state("c"), Some(Ready));
    assert!(server.heard(Event::Ready));
}

#[test]
fn many_wait_for_one() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    for id in ["b", "c", "d"] {
        server.push_after(id, &["a"]);
    }
    assert_eq!(server.claim().as_deref(), Some("a"));
    assert_eq!(server.claim(), None, "a task that waits cannot be claimed");
    server.complete("a");
    assert_eq!(server.states(&["b", "c", "d"]), [Some(Ready); 3]);
    assert_eq!(server.claim().as_deref(), Some("b"), "who began to wait first is ready first");
}

#[test]
fn a_diamond_runs_from_top_to_bottom() {
    let mut server = Server::new();
    server.push_plain(&["top"]);
    server.push_after("left", &["top"]);
    server.push_after("right", &["top"]);
    server.push_after("bottom", &["left", "right"]);
    server.complete("top");
    server.complete("left");
    assert_eq!(server.state("bottom"), Some(Waiting));
    server.complete("right");
    assert_eq!(server.state("bottom"), Some(Ready));
}

// Dependencies that end otherwise.

#[test]
fn the_first_that_ends_otherwise_fails_the_task() {
    let mut server = Server::new();
    server.push_plain(&["a", "b"]);
    server.push_after("c", &["a", "b"]);
    server.fail("b");
    assert_eq!((server.state("c"), &*server.error("c")), (Some(Failed), "dependency failed: b"));
    server.complete("a");
    assert_eq!(server.state("c"), Some(Failed));
}

#[test]
fn a_retry_is_no_end() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    server.take("a");
    server.transact(|txn, settings| op::fail(txn, TaskId::Named("a"), None, b"e", Next::Retry, 0, settings)).unwrap();
    assert_eq!(server.states(&["a", "b"]), [Some(Scheduled), Some(Waiting)]);
}

#[test]
fn onfail_run_waits_for_all_whatever_becomes_of_them() {
    let mut server = Server::new();
    server.push_plain(&["a", "b", "c"]);
    server.push(Task { id: "d", after: &["a", "b", "c"], run_anyway: true, ..Task::default() }).unwrap();
    server.fail("a");
    server.cancel("b");
    assert_eq!(server.state("d"), Some(Waiting));
    server.complete("c");
    assert_eq!(server.state("d"), Some(Ready));
}

#[test]
fn failures_go_on_to_those_that_wait_for_the_dependants() {
    let mut server = Server::new();
    server.push_plain(&["a", "other"]);
    server.push_after("b", &["a"]);
    server.push_after("c", &["b", "other"]);
    server.push_after("d", &["c"]);
    server.cancel("a");
    assert_eq!(server.states(&["a", "b", "c", "d"]), [Some(Canceled), Some(Failed), Some(Failed), Some(Failed)]);
    assert_eq!([server.error("b"), server.error("d")], ["dependency failed: a", "dependency failed: c"]);
    assert_eq!(server.queue.totals().failed, 3);
}

#[test]
fn a_ttl_that_ends_fails_the_dependants() {
    let mut server = Server::new();
    server.push(Task { id: "a", ttl: Some(10), ..Task::default() }).unwrap();
    server.push_after("b", &["a"]);
    server.wait(10);
    assert_eq!(server.states(&["a", "b"]), [Some(Expired), Some(Failed)]);
}

#[test]
fn a_ttl_runs_while_the_task_waits() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push(Task { id: "b", after: &["a"], ttl: Some(10), ..Task::default() }).unwrap();
    server.push_after("c", &["b"]);
    server.wait(9);
    assert_eq!(server.state("b"), Some(Waiting));
    server.wait(1);
    assert_eq!(server.states(&["b", "c"]), [Some(Expired), Some(Failed)]);
    server.complete("a");
    assert_eq!(server.state("b"), Some(Expired));
}

#[test]
fn a_waiting_task_can_be_canceled() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    assert!(server.cancel("b"));
    server.complete("a");
    assert_eq!(server.state("b"), Some(Canceled));
}

#[test]
fn cancel_all_takes_those_that_wait() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    server.push(Task { id: "c", after: &["a"], run_anyway: true, ..Task::default() }).unwrap();
    assert_eq!(server.transact(|txn, settings| op::cancel_all(txn, 10, settings)), 3);
    assert_eq!(server.states(&["a", "b", "c"]), [Some(Canceled); 3]);
}

// What has ended already, and what is not there.

#[test]
fn what_has_been_completed_counts_as_done() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.complete("a");
    server.push_after("b", &["a"]);
    assert_eq!(server.state("b"), Some(Ready));
}

#[test]
fn what_has_ended_otherwise_counts_as_that() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.fail("a");
    server.push_after("b", &["a"]);
    assert_eq!(server.error("b"), "dependency failed: a");
    server.push(Task { id: "c", after: &["a"], run_anyway: true, ..Task::default() }).unwrap();
    assert_eq!(server.state("c"), Some(Ready));
}

#[test]
fn an_unknown_id_or_batch_is_named() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    let refused = server.push(Task { id: "b", after: &["a", "x"], ..Task::default() });
    assert_eq!(refused, Err(Refusal::NoDependency { place: 1 }));
    assert_eq!(refused.unwrap_err().code(), "NOTASK");
    let refused = server.push(Task { id: "b", after_batch: Some("x"), batch: Some("new"), ..Task::default() });
    assert_eq!(refused, Err(Refusal::NoDependency { place: 0 }));
    assert_eq!((server.state("b"), server.has_batch("new")), (None, false), "a refused push has changed nothing");
    let refused = server.push(Task { id: "b", after: &["b"], ..Task::default() });
    assert_eq!(refused, Err(Refusal::NoDependency { place: 0 }), "itself is not there yet");
}

#[test]
fn a_push_that_is_said_again_needs_no_dependencies() {
    let mut server = Server::new();
    server.push_plain(&["a"]);
    server.push_after("b", &["a"]);
    server.cancel("a");
    server.forget("a");
    assert_eq!(server.push(Task { id: "b", after: &["a"], ..Task::default() }), Ok(false));
}

// Batches.

#[test]
fn a_batch_counts_when_it_is_done() {
    let mut server = Server::new();
    server.push_into("m", &["a", "b"]);
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    server.complete("a");
    server.complete("b");
    assert_eq!(server.state("r"), Some(Waiting), "more may come");
    server.push_into("m", &["c"]);
    server.seal("m");
    assert_eq!(server.state("r"), Some(Waiting));
    server.complete("c");
    assert_eq!(server.state("r"), Some(Ready));
}

#[test]
fn a_failure_in_a_batch_counts_when_the_batch_is_done() {
    let mut server = Server::new();
    server.push_into("m", &["a", "b"]);
    server.seal("m");
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    server.push(Task { id: "s", after_batch: Some("m"), run_anyway: true, ..Task::default() }).unwrap();
    server.fail("a");
    assert_eq!(server.states(&["r", "s"]), [Some(Waiting); 2]);
    server.complete("b");
    assert_eq!(server.error("r"), "dependency failed: m");
    assert_eq!(server.state("s"), Some(Ready));
}

#[test]
fn a_member_that_is_retried_before_the_batch_is_done_counts_as_it_ends_then() {
    let mut server = Server::new();
    server.push_into("m", &["a", "b"]);
    server.seal("m");
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    server.fail("a");
    assert!(server.retry("a"));
    server.complete("b");
    server.complete("a");
    assert_eq!(server.state("r"), Some(Ready));
}

#[test]
fn an_empty_batch_is_done_at_once() {
    let mut server = Server::new();
    server.seal("m");
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    assert_eq!(server.state("r"), Some(Ready));
}

#[test]
fn a_task_cannot_wait_for_its_own_batch() {
    let mut server = Server::new();
    server.push_into("m", &["a"]);
    let refused = server.push(Task { id: "b", after_batch: Some("m"), batch: Some("m"), ..Task::default() });
    assert_eq!(refused, Err(Refusal::OwnBatch));
}

#[test]
fn a_batch_that_a_task_waits_for_takes_only_tasks_that_wait_for_nothing() {
    let mut server = Server::new();
    server.push_plain(&["x"]);
    server.push_into("m", &["a"]);
    server.push(Task { id: "b", batch: Some("m"), after: &["x"], ..Task::default() }).unwrap();
    server.push(Task { id: "r", after_batch: Some("m"), ..Task::default() }).unwrap();
    let refused = server.push(Task { id: "c", batch: Some("m"), after: &["r"], ..Task::default() });
    assert_eq!(refused, Err(Refusal::BatchAwaited));
    server.push_into("m", &["d"]);
    // A member that begins again may not wait either for what has not ended.
    server.push_plain(&["y"]);
    server.cancel("b");
    server.complete("x");
    let renewed = server.push(Task { id: "b", after: &["y"], renew: true, ..Task::default() });
    assert_eq!(renewed, Err(Refusal::BatchAwaited));
    assert!(server.retry("b"), "what it waited for has ended");
    assert_eq!(server.state("b"), Some(Ready));
}

/// The last end in a batch is heard of also where nobody but a member waits for a member.
#[test]
fn a_batch_is_seen_to_be_done_by_a_task_that_waited_for_another_of_it() {
    let mut server = Server::new();
    server.push_into("m", &["a"]);
    server.push(Task { id: "b", batch: Some("m"), after: &["a"], ..Task::default() }).unwrap();
    server.seal("m");
    server.complete("a");
    assert!(!server.heard(Event::Batch));
    server.complete("b");
    assert!(server.heard(Event::Batch));
    server.wait(KEPT);
    assert!(!server.has_batch("m"));
}

// Time.

#[test]
fn a_due_time_is_fixed_at_the_push() {
    let mut server = Server::new();
    server.push_plain(&["a", "b"]);
    server.push(Task { id: "soon", after: &["a"], delay: 10, ..Task::default() }).unwrap();
    server.push(Task { id: "late", after: &["b"], delay: 10, ..Task::default() }).unwrap();
    server.complete("a");
    assert_eq!(server.state("soon"), Some(Scheduled));
    server.wait(10);
    assert_eq!(server.state("soon"), Some(Ready));
    server.complete("b");
    assert_eq!(server.state("late"), Some(Ready), "its time has come while it waited");
}
