//! `TASK.CANCEL`: ends what is not yet terminal.

use crate::support::{Server, int, nil_array, task::ids_of};

/// Answers how many it canceled: waiting to be claimed, scheduled and claimed ones; terminal and unknown ones do not count.
#[test]
fn cancels_what_is_not_terminal() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID claimed",
        "TASK.CLAIM jobs",
        "TASK.PUSH jobs x ID done",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs done result",
        "TASK.PUSH jobs x ID ready",
        "TASK.PUSH jobs x ID later DELAY 100000",
    ]);
    assert_eq!(server.run("TASK.CANCEL jobs claimed done ready later none ready"), int(3));
    for id in ["claimed", "ready", "later"] {
        assert_eq!(server.state("jobs", id), "canceled");
        assert_eq!(server.task("jobs", id, "payload"), "x", "payloads are kept");
    }
    assert_eq!(server.state("jobs", "done"), "completed");
    assert_eq!(server.run("TASK.CANCEL jobs claimed ready"), int(0));
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
}

/// The worker of a canceled task hears CANCELED from whatever it says next.
#[test]
fn the_worker_hears_it() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.CANCEL jobs a"]);
    for answer in ["EXTEND jobs a", "COMPLETE jobs a done", "FAIL jobs a no", "RELEASE jobs a"] {
        server.run(&format!("TASK.{answer}")).assert_refused("CANCELED", &[]);
        server.run(&format!("TASK.{answer} ATTEMPT 1")).assert_refused("CANCELED", &[]);
    }
}

/// A canceled task whose claim was live is kept until the lease would have ended, whatever its retention.
#[test]
fn is_kept_for_its_worker() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a RETAIN 0",
        "TASK.CLAIM jobs LEASE 300",
        "TASK.PUSH jobs x ID b RETAIN 0",
        "TASK.CANCEL jobs a b",
    ]);
    assert_eq!(server.state("jobs", "b"), "none");
    server.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("CANCELED", &[]);
    server.wait_for_state("a", "none");
    server.run("TASK.COMPLETE jobs a done ATTEMPT 1").assert_refused("NOTASK", &[]);
}

/// ALL cancels all but the claimed ones, the oldest first, COUNT a call, until it answers 0.
#[test]
fn all_but_the_claimed() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID claimed", "TASK.CLAIM jobs"]);
    for n in 0..5 {
        server.run(&format!("TASK.PUSH jobs x ID {n}"));
    }
    server.run("TASK.PUSH jobs x ID later DELAY 100000");
    assert_eq!(server.run("TASK.CANCEL jobs ALL COUNT 2"), int(2));
    assert_eq!(server.state("jobs", "0"), "canceled");
    assert_eq!(server.state("jobs", "1"), "canceled");
    assert_eq!(server.state("jobs", "2"), "ready");
    assert_eq!(server.run("TASK.CANCEL jobs all count 3"), int(3));
    assert_eq!(server.run("TASK.CANCEL jobs ALL"), int(1));
    assert_eq!(server.run("TASK.CANCEL jobs ALL"), int(0));
    assert_eq!(server.state("jobs", "claimed"), "claimed");
    assert_eq!(server.state("jobs", "later"), "canceled");
}

/// ALL cancels at most 1,000 a call unless COUNT says otherwise.
#[test]
fn all_is_bounded() {
    let server = Server::start();
    let mut client = server.client();
    client.send_all(&vec!["TASK.PUSH jobs x"; 1_500]);
    for _ in 0..1_500 {
        client.read();
    }
    assert_eq!(client.run("TASK.CANCEL jobs ALL"), int(1_000));
    assert_eq!(client.run("TASK.CANCEL jobs ALL"), int(500));
}

/// A queue that does not exist has nothing to cancel, and is not made.
#[test]
fn a_missing_queue_answers_0() {
    let server = Server::start();
    assert_eq!(server.run("TASK.CANCEL none a b"), int(0));
    assert_eq!(server.run("TASK.CANCEL none ALL"), int(0));
    assert_eq!(server.run("EXISTS none"), int(0));
}

/// Others keep their places when one in the middle of the line is canceled.
#[test]
fn leaves_the_line_in_order() {
    let server = Server::start();
    for id in ["a", "b", "c", "d"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run("TASK.CANCEL jobs b");
    assert_eq!(ids_of(&server.run("TASK.CLAIM jobs COUNT 9")), ["a", "c", "d"]);
}
