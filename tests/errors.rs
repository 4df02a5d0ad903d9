//! Refusals: the code, the argument and its range are named, and nothing has changed.

use crate::support::{Server, Value};

/// A queue with a task in each of these states, none of which will change by itself soon.
fn queue() -> Server {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID failed",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.PUSH jobs x ID claimed",
        "TASK.CLAIM jobs LEASE 900000",
        "TASK.PUSH jobs x ID ready",
        "TASK.PUSH jobs x ID scheduled DELAY 900000",
    ]);
    server
}

/// Runs each line and expects ERR with these words, and the queue as it was.
#[track_caller]
fn assert_all_refused(lines: &[(&str, &[&str])]) {
    let server = queue();
    let before = server.dump("jobs");
    for (line, words) in lines {
        let reply = server.run(line);
        assert!(matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        reply.assert_refused("ERR", words);
        assert!(server.dump("jobs") == before, "{line} changed the queue");
    }
    assert_eq!(server.run("DBSIZE"), 1, "a queue was made");
}

/// An unknown or repeated option, one without its value, or two that exclude each other: a syntax error naming it.
#[test]
fn options() {
    assert_all_refused(&[
        ("TASK.PUSH jobs x FOO", &["syntax", "FOO"]),
        ("TASK.PUSH none x FOO 1", &["syntax", "FOO"]),
        ("TASK.PUSH jobs x PRIORITY 1 PRIORITY 2", &["syntax", "PRIORITY"]),
        ("TASK.PUSH jobs x PRIORITY 1 priority 1", &["syntax", "PRIORITY"]),
        ("TASK.PUSH jobs x NX NX", &["syntax", "NX"]),
        ("TASK.PUSH jobs x ID", &["syntax", "ID"]),
        ("TASK.PUSH jobs x ID a DELAY", &["syntax", "DELAY"]),
        ("TASK.PUSH jobs x DELAY 1 AT 1", &["DELAY", "AT"]),
        ("TASK.PUSH jobs x RENEW", &["RENEW"]),
        ("TASK.CLAIM jobs FOO", &["syntax", "FOO"]),
        ("TASK.CLAIM jobs COUNT 1 COUNT 1", &["syntax", "COUNT"]),
        ("TASK.CLAIM jobs BLOCK", &["syntax", "BLOCK"]),
        ("TASK.EXTEND jobs claimed FOO 1", &["syntax", "FOO"]),
        ("TASK.EXTEND jobs claimed LEASE 5 LEASE 5", &["syntax", "LEASE"]),
        ("TASK.MEXTEND jobs 1 claimed 1 FOO 1", &["syntax", "FOO"]),
        ("TASK.COMPLETE jobs claimed done FOO 1", &["syntax", "FOO"]),
        ("TASK.COMPLETE jobs claimed done ATTEMPT", &["syntax", "ATTEMPT"]),
        ("TASK.FAIL jobs claimed no DELAY 1 DEAD", &["DELAY", "DEAD"]),
        ("TASK.FAIL jobs claimed no DEAD DEAD", &["syntax", "DEAD"]),
        ("TASK.FAIL jobs claimed no FOO", &["syntax", "FOO"]),
        ("TASK.RELEASE jobs claimed FOO", &["syntax", "FOO"]),
        ("TASK.RESULT jobs ready FOO", &["syntax", "FOO"]),
        ("TASK.RESULT jobs ready BLOCK 1 BLOCK 1", &["syntax", "BLOCK"]),
        ("TASK.CANCEL jobs ALL FOO", &["syntax", "FOO"]),
        ("TASK.FORGET jobs ALL COUNT", &["syntax", "COUNT"]),
        ("TASK.GET jobs ready FOO", &["syntax", "FOO"]),
        ("TASK.INFO jobs FOO", &["syntax", "FOO"]),
        ("TASK.LIST jobs ready 0 FOO", &["syntax", "FOO"]),
    ]);
}

/// Also an option that goes with another stands where one likes, before that one or after.
#[test]
fn any_order() {
    let server = Server::start();
    assert_eq!(server.run("TASK.PUSH jobs x FOR 600000 ID a UNIQUE k"), "a");
    assert_eq!(server.run("TASK.PUSH jobs y REPLACE ID b UNIQUE k FOR 600000"), "a");
    assert_eq!(server.run("TASK.PUSH jobs z UNIQUE k ID c PRIORITY 1 FOR 600000 REPLACE"), "a");
    assert_eq!(server.task("jobs", "a", "payload"), "z");
    server.run_all(&["TASK.PUSH jobs x SEAL PRIORITY 1 BATCH one", "TASK.MPUSH jobs 2 x x BATCH two TTL 600000 SEAL"]);
    for batch in ["one", "two"] {
        server.run(&format!("TASK.PUSH jobs x BATCH {batch}")).assert_refused("ERR", &["sealed"]);
    }
    server.run_all(&["TASK.SET jobs FOR 600000 MAXLEN 5 PAUSED in", "TASK.SET other PAUSED out MAXLEN 5 FOR 600000"]);
    for queue in ["jobs", "other"] {
        assert!(server.run(&format!("TASK.INFO {queue} JSON")).text().contains("\"paused-until\":1"), "{queue}");
    }
    let before = server.run("TASK.SCHEDULE jobs n x TZ Asia/Tokyo CRON \"0 0 * * *\"");
    let after = server.run("TASK.SCHEDULE jobs m x CRON \"0 0 * * *\" PRIORITY 1 TZ Asia/Tokyo");
    assert_eq!((before.int(), before.int() % 86_400_000), (after.int(), 54_000_000));
}

/// An unknown option: what is allowed in its place, in the order of the syntax. A word that could be a payload is not shown.
#[test]
fn unknown_options() {
    let next = "options are COUNT, WORKER, LEASE, SESSION, BLOCK";
    assert_all_refused(&[
        ("TASK.CLAIM jobs w1", &["unknown option of 2 bytes; options are COUNT, WORKER, LEASE, SESSION, BLOCK"]),
        ("TASK.MCLAIM 1 jobs w1", &[next]),
        ("TASK.RESULT jobs claimed 1000", &["unknown option of 4 bytes; the only option is BLOCK"]),
        ("TASK.GATHER jobs 1 claimed 1000", &["the only option is BLOCK"]),
        ("TASK.COMPLETE jobs claimed done 1", &["unknown option of 1 bytes; options are ATTEMPT, RETAIN, NEXT"]),
        ("TASK.COMPLETE jobs claimed done NEXT ATTEMPT 1", &["unknown option ATTEMPT", next, "BLOCK after NEXT"]),
        ("TASK.FAIL jobs claimed no 1", &["options are ATTEMPT, DELAY, DEAD, NEXT"]),
        ("TASK.RELEASE jobs claimed 1", &["options are ATTEMPT, DELAY, NEXT"]),
        ("TASK.EXTEND jobs claimed 1", &["options are ATTEMPT, LEASE, CHECKPOINT"]),
        ("TASK.MEXTEND jobs 1 claimed 1 5000", &["the only option is LEASE"]),
        ("TASK.MCOMPLETE jobs 1 claimed 1 done x", &["options are RETAIN, NEXT"]),
        ("TASK.LIST jobs ready 0 10", &["unknown option of 2 bytes; options are COUNT, JSON"]),
        ("TASK.EVENTS jobs 0 10", &["options are COUNT, BLOCK"]),
        ("TASK.GET jobs ready payload", &["unknown option PAYLOAD; the only option is JSON"]),
        ("TASK.CANCEL jobs ALL 5", &["the only option is COUNT"]),
        ("TASK.FORGET jobs BATCH b now", &["unknown option NOW; no options can be given here"]),
        (
            "TASK.PUSH jobs x 5000",
            &["options are ID, RENEW, NX, UNIQUE, FOR, REPLACE, PRIORITY, TTL,", "DELAY, AT, BATCH, SEAL, AFTER,"],
        ),
        ("TASK.CALL jobs x 5000", &["options are ID,", "AFTERBATCH, ONFAIL, BLOCK"]),
        ("TASK.MPUSH jobs 1 x 5000", &["options are PRIORITY,"]),
        ("TASK.SET jobs LIMIT 5", &["options are LEASE, ATTEMPTS,", "EVENTS, PAUSED, FOR"]),
        ("TASK.SCHEDULE jobs n x EVERY 5 5", &["options are CRON, TZ, EVERY, MISFIRE, OVERLAP, DELAY, UNIQUE,"]),
    ]);
}

/// A number of the wrong form: its unit, and what stands for something else.
#[test]
fn units() {
    assert_all_refused(&[
        ("TASK.PUSH jobs x DELAY 5s", &["DELAY must be an integer from 0 to 315360000000, in milliseconds"]),
        ("TASK.PUSH jobs x UNIQUE k FOR 5s", &["FOR must be an integer from 0 to 315360000000, in milliseconds"]),
        ("TASK.PUSH jobs x RETAIN ever", &["from -1 to 315360000000, in milliseconds; -1: for ever"]),
        ("TASK.PUSH jobs x ATTEMPTS unlimited", &["from 0 to 65535; 0: no limit"]),
        ("TASK.PUSH jobs x AT tomorrow", &["from 0 to 281474976710655, in Unix milliseconds"]),
        ("TASK.CLAIM jobs BLOCK 5s", &["BLOCK must be", "in milliseconds"]),
        ("TASK.SCHEDULE jobs n x EVERY 5m", &["EVERY must be", "in milliseconds"]),
        ("TASK.SET jobs MAXLEN unlimited", &["MAXLEN must be an integer from 0 to 2147483647; 0: no limit"]),
        ("TASK.SET jobs CONCURRENCY none", &["CONCURRENCY must be", "; 0: no limit"]),
        ("TASK.SET jobs EVENTS none", &["; 0: none are kept"]),
        ("TASK.SET jobs RATE none 0", &["; 0 0: no limit"]),
        ("TASK.SET jobs RATE 5 1s", &["window of RATE must be", "in milliseconds"]),
        ("TASK.SET jobs LEASE none", &["from 1 to 315360000000, in milliseconds; default: the server's setting"]),
        ("TASK.SET jobs RETAIN ever", &["in milliseconds; -1: for ever; default: the server's setting"]),
        ("TASK.SET jobs ATTEMPTS any", &["from 0 to 65535; 0: no limit; default: the server's setting"]),
        ("TASK.SET jobs LEASE", &["LEASE needs a value"]),
        ("TASK.SET jobs PAUSED in FOR 5m", &["FOR must be an integer from 1 to 315360000000, in milliseconds"]),
    ]);
}

/// Who forgets ALL is not told that nothing is left. An id COUNT alone, or with others that are no numbers, is an id.
#[test]
fn count_without_all() {
    assert_all_refused(&[
        ("TASK.RETRY jobs COUNT 1000", &["syntax error: COUNT goes with ALL or BATCH"]),
        ("TASK.CANCEL jobs count 5", &["syntax error: COUNT goes with ALL or BATCH"]),
        ("TASK.FORGET jobs COUNT 5", &["syntax error: COUNT goes with ALL"]),
    ]);
    let server = Server::start();
    for (ids, count) in [("COUNT", 1), ("COUNT a", 2), ("COUNT 5 6", 3), ("5 COUNT", 2)] {
        ids.split(' ').for_each(|id| server.run_all(&[&format!("TASK.PUSH jobs x ID {id}")]));
        assert_eq!(server.run(&format!("TASK.CANCEL jobs {ids}")), count, "{ids}");
        assert_eq!(server.run(&format!("TASK.FORGET jobs {ids}")), count, "{ids}");
    }
}

/// A duration outside its range is refused with the argument and its range.
#[test]
fn durations() {
    let server = queue();
    let before = server.dump("jobs");
    for (line, least) in [
        ("TASK.PUSH jobs x DELAY", 0),
        ("TASK.PUSH jobs x TTL", 1),
        ("TASK.PUSH jobs x BACKOFF", 0),
        ("TASK.PUSH jobs x LEASE", 1),
        ("TASK.PUSH jobs x TIMEOUT", 1),
        ("TASK.PUSH jobs x RETAIN", -1),
        ("TASK.PUSH jobs x RETAINFAILED", -1),
        ("TASK.CLAIM jobs LEASE", 1),
        ("TASK.CLAIM jobs BLOCK", 0),
        ("TASK.EXTEND jobs claimed LEASE", 1),
        ("TASK.MEXTEND jobs 1 claimed 1 LEASE", 1),
        ("TASK.COMPLETE jobs claimed done RETAIN", -1),
        ("TASK.FAIL jobs claimed no DELAY", 0),
        ("TASK.RELEASE jobs claimed DELAY", 0),
        ("TASK.RESULT jobs ready BLOCK", 0),
    ] {
        let name = line.rsplit(' ').next().unwrap();
        let below = (least - 1).to_string();
        for value in [&below, "315360000001", "1.5", "abc", "\"\"", "\" 1\"", "0x10", "99999999999999999999"] {
            let reply = server.run(&format!("{line} {value}"));
            assert!(matches!(reply, Value::Error(_)), "{line} {value}: {reply:?}");
            reply.assert_refused("ERR", &[name, "315360000000"]);
        }
    }
    assert!(server.dump("jobs") == before);
    for longest in ["DELAY", "TTL", "BACKOFF", "LEASE", "TIMEOUT", "RETAIN", "RETAINFAILED"] {
        let reply = server.run(&format!("TASK.PUSH jobs x {longest} 315360000000"));
        assert!(!reply.is_error(), "{longest}: {reply:?}");
    }
}

/// A number outside its range is refused with the argument and its range.
#[test]
fn numbers() {
    assert_all_refused(&[
        ("TASK.PUSH jobs x PRIORITY 256", &["PRIORITY", "0", "255"]),
        ("TASK.PUSH jobs x PRIORITY -1", &["PRIORITY", "0", "255"]),
        ("TASK.PUSH jobs x PRIORITY high", &["PRIORITY", "0", "255"]),
        ("TASK.PUSH jobs x ATTEMPTS 65536", &["ATTEMPTS", "0", "65535"]),
        ("TASK.PUSH jobs x ATTEMPTS -1", &["ATTEMPTS", "0", "65535"]),
        ("TASK.PUSH jobs x AT -1", &["AT"]),
        ("TASK.PUSH jobs x AT soon", &["AT"]),
        ("TASK.PUSH jobs x AT 99999999999999999999", &["AT"]),
        ("TASK.PUSH jobs x DELAY 100 TTL 100", &["DELAY", "TTL"]),
        ("TASK.PUSH jobs x DELAY 101 TTL 100", &["DELAY", "TTL"]),
        ("TASK.CLAIM jobs COUNT 0", &["COUNT", "1", "10000"]),
        ("TASK.CLAIM jobs COUNT 10001", &["COUNT", "1", "10000"]),
        ("TASK.CLAIM jobs COUNT -1", &["COUNT", "1", "10000"]),
        ("TASK.CLAIM jobs COUNT many", &["COUNT", "1", "10000"]),
        ("TASK.EXTEND jobs claimed ATTEMPT -1", &["ATTEMPT"]),
        ("TASK.EXTEND jobs claimed ATTEMPT one", &["ATTEMPT"]),
        ("TASK.COMPLETE jobs claimed done ATTEMPT one", &["ATTEMPT"]),
        ("TASK.FAIL jobs claimed no ATTEMPT 1.0", &["ATTEMPT"]),
        ("TASK.RELEASE jobs claimed ATTEMPT 99999999999999999999", &["ATTEMPT"]),
        ("TASK.MEXTEND jobs 0 claimed 1", &["numtasks", "1", "10000"]),
        ("TASK.MEXTEND jobs 10001 claimed 1", &["numtasks", "1", "10000"]),
        ("TASK.MEXTEND jobs many claimed 1", &["numtasks", "1", "10000"]),
        ("TASK.MEXTEND jobs 2 claimed 1", &[]),
        ("TASK.MEXTEND jobs 1 claimed one", &["attempt"]),
        ("TASK.CANCEL jobs ALL COUNT 0", &["COUNT", "1", "10000"]),
        ("TASK.FORGET jobs ALL COUNT 10001", &["COUNT", "1", "10000"]),
        ("TASK.RETRY jobs ALL COUNT -5", &["COUNT", "1", "10000"]),
        ("TASK.LIST jobs ready 0 COUNT 0", &["COUNT", "1", "10000"]),
        ("TASK.LIST jobs ready zero", &["cursor"]),
        ("TASK.LIST jobs ready -1", &["cursor"]),
        ("TASK.LIST jobs asleep 0", &["state", "asleep"]),
    ]);
}

/// A bad option is found before an existing ID is looked at.
#[test]
fn syntax_comes_first() {
    let server = queue();
    server.run("TASK.PUSH jobs x ID ready PRIORITY 256").assert_refused("ERR", &["PRIORITY"]);
    server.run("TASK.PUSH jobs x ID ready NX FOO").assert_refused("ERR", &["FOO"]);
    server.run("TASK.COMPLETE jobs none done ATTEMPT x").assert_refused("ERR", &["ATTEMPT"]);
    server.run("SET string x");
    server.run("TASK.PUSH string x PRIORITY 256").assert_refused("ERR", &["PRIORITY"]);
}

/// Up to 1,000 ids a call; more are refused, and none is touched.
#[test]
fn too_many_ids() {
    let server = queue();
    let before = server.dump("jobs");
    let ids = " none".repeat(1_000);
    for command in ["CANCEL", "FORGET", "RETRY"] {
        let state = if command == "CANCEL" { "ready" } else { "failed" };
        let reply = server.run(&format!("TASK.{command} jobs {state}{ids}"));
        reply.assert_refused("ERR", &["1000"]);
        assert_eq!(server.run(&format!("TASK.{command} jobs{ids}")), 0);
    }
    assert!(server.dump("jobs") == before);
}

/// An id that no task can have is refused as an argument where one is pushed, and unknown where one is asked for.
#[test]
fn impossible_ids() {
    let server = queue();
    server.cmd(&[b"TASK.PUSH", b"jobs", b"x", b"ID", b"a b"]).assert_refused("ERR", &["ID"]);
    let asked = server.cmd(&[b"TASK.RESULT", b"jobs", b"a b"]);
    assert!(asked.is_nil() || asked.code() == "ERR", "{asked:?}");
}

/// Too few arguments: the server's own words.
#[test]
fn arity() {
    assert_all_refused(&[
        ("TASK.PUSH", &["wrong number of arguments"]),
        ("TASK.PUSH jobs", &["wrong number of arguments"]),
        ("TASK.CLAIM", &["wrong number of arguments"]),
        ("TASK.EXTEND jobs", &["wrong number of arguments"]),
        ("TASK.MEXTEND jobs", &["wrong number of arguments"]),
        ("TASK.COMPLETE jobs claimed", &["wrong number of arguments"]),
        ("TASK.FAIL jobs claimed", &["wrong number of arguments"]),
        ("TASK.RELEASE jobs", &["wrong number of arguments"]),
        ("TASK.RESULT jobs", &["wrong number of arguments"]),
        ("TASK.CANCEL jobs", &["wrong number of arguments"]),
        ("TASK.FORGET jobs", &["wrong number of arguments"]),
        ("TASK.RETRY jobs", &["wrong number of arguments"]),
        ("TASK.GET jobs", &["wrong number of arguments"]),
        ("TASK.INFO", &["wrong number of arguments"]),
        ("TASK.LIST jobs ready", &["wrong number of arguments"]),
    ]);
}

/// Error messages quote what a client sent without letting it break the protocol.
#[test]
fn messages_are_one_line() {
    let server = queue();
    let reply = server.cmd(&[b"TASK.PUSH", b"jobs", b"x", b"A\r\nB\0\xff"]);
    reply.assert_refused("ERR", &["syntax"]);
    assert_eq!(server.run("PING"), "PONG");
    let long = vec![b'x'; 1 << 20];
    let reply = server.cmd(&[b"TASK.PUSH", b"jobs", b"x", &long]);
    assert!(reply.error().len() < 2_000, "{} bytes of message", reply.error().len());
}
