//! `TASK.MCOMPLETE`: the results of several tasks at once.

use crate::support::{Server, array, bulk, int, ok};

/// A server with `a`, `b` and `c` claimed.
fn claimed() -> Server {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run("TASK.CLAIM jobs COUNT 3");
    server
}

/// Each is completed or refused on its own, in the order asked.
#[test]
fn answers_for_each() {
    let server = claimed();
    server.run("TASK.CANCEL jobs c");
    let replies = server.run("TASK.MCOMPLETE jobs 5 a 1 one b 2 two none 1 three c 1 four a 1 again");
    assert_eq!((replies.at(0), replies.at(4), replies.items().len()), (&ok(), &ok(), 5));
    replies.at(1).assert_refused("STALE", &[]);
    replies.at(2).assert_refused("NOTASK", &[]);
    replies.at(3).assert_refused("CANCELED", &[]);
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("completed"), bulk("one")]));
    assert_eq!(server.state("jobs", "b"), "claimed");
}

/// RETAIN holds for all; results are any bytes; waiting clients are told.
#[test]
fn keeps_all_as_told() {
    let server = claimed();
    let mut waiter = server.block("TASK.RESULT jobs b BLOCK 0");
    let reply = server.cmd(&[b"TASK.MCOMPLETE", b"jobs", b"2", b"a", b"1", b"\0\xff", b"b", b"1", b"", b"RETAIN", b"0"]);
    assert_eq!(reply, array([ok(), ok()]));
    assert_eq!(waiter.read(), array([bulk("completed"), bulk("")]));
    assert_eq!((server.state("jobs", "a"), server.state("jobs", "b")), ("none".into(), "none".into()));
}

/// In a script it does not raise, and tells a repeat by DONE. (Valkey 9.1 raises by itself where an array holds an error.)
#[test]
fn does_not_raise_in_a_script() {
    let server = claimed();
    server.run("TASK.COMPLETE jobs a done");
    let script = "local answers = redis.call('TASK.MCOMPLETE', KEYS[1], 2, 'a', 1, 'again', 'b', 1, 'done') \
                  return {answers[1].err ~= nil and string.sub(answers[1].err, 1, 4) or 'none', answers[2].ok}";
    let reply = server.cmd(&[b"EVAL", script.as_bytes(), b"1", b"jobs"]);
    assert!(reply == array([bulk("DONE"), bulk("OK")]) || reply.code() == "DONE", "{reply:?}");
    assert_eq!(server.state("jobs", "b"), "completed");
}

/// Bad arguments change nothing.
#[test]
fn refuses_bad_arguments() {
    let server = claimed();
    let before = server.dump("jobs");
    for (line, word) in [
        ("TASK.MCOMPLETE jobs 0 a 1 x", "numtasks"),
        ("TASK.MCOMPLETE jobs 10001 a 1 x", "10000"),
        ("TASK.MCOMPLETE jobs 2 a 1 x b 1", "numtasks"),
        ("TASK.MCOMPLETE jobs 1 a 0 x", "attempt"),
        ("TASK.MCOMPLETE jobs 1 a 1 x y", "unknown option"),
        ("TASK.MCOMPLETE jobs 1 a 1 x RETAIN -2", "RETAIN"),
    ] {
        server.run(line).assert_refused("ERR", &[word]);
    }
    server.run("CONFIG SET task.max-payload 3");
    server.run("TASK.MCOMPLETE jobs 2 a 1 x b 1 long").assert_refused("ERR", &["result", "3 bytes"]);
    assert!(server.dump("jobs") == before);
    assert_eq!(server.run("EXISTS none"), int(0));
}
