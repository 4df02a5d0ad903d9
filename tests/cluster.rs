//! In a cluster: a queue is in one slot.

use crate::support::{Events, Server, eventually};

/// A queue works on a node that owns its slot.
#[test]
fn a_queue_is_in_one_slot() {
    let server = Server::builder().cluster().start();
    server.run("TASK.PUSH jobs x ID a DELAY 10");
    server.wait_for_state("a", "ready");
    assert_eq!(server.claim("jobs").id, "a");
    assert_eq!(server.run("TASK.COMPLETE jobs a done"), "OK");
    assert_eq!(server.run("TASK.RESULT jobs a").at(1), "done");
}

/// While the node does not own the slot time stands still in it, and no key is made; then it goes on.
#[test]
fn time_stands_still_in_a_slot_of_others() {
    let server = Server::builder().cluster().start();
    let mut events = Events::of(&server);
    server.run("TASK.PUSH jobs x ID a DELAY 100");
    events.expect(&["push"]);
    let slot = server.run("CLUSTER KEYSLOT jobs").int();
    server.run(&format!("CLUSTER DELSLOTS {slot}"));
    assert!(server.run("TASK.CLAIM jobs").is_error());
    events.expect_none(200);
    assert_eq!(server.run("DBSIZE"), 1);
    server.run(&format!("CLUSTER ADDSLOTS {slot}"));
    eventually(|| !server.run("TASK.RESULT jobs a").is_error());
    events.expect(&["ready"]);
}
