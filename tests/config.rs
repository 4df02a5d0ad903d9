//! `CONFIG SET task.*` and the module's arguments: the server's defaults.

use crate::support::{Server, now_ms};

/// The value of a setting.
#[track_caller]
fn setting(server: &Server, name: &str) -> String {
    server.run(&format!("CONFIG GET {name}")).at(1).text()
}

/// CONFIG GET shows the defaults.
#[test]
fn defaults() {
    let server = Server::start();
    for (name, value) in [
        ("task.lease", "30000"),
        ("task.attempts", "3"),
        ("task.backoff", "1000"),
        ("task.timeout", "0"),
        ("task.retain", "3600000"),
        ("task.retain-failed", "604800000"),
        ("task.max-payload", "536870912"),
        ("task.publish", "no"),
        ("task.apply-from-clients", "no"),
    ] {
        assert_eq!(setting(&server, name), value, "{name}");
    }
}

/// A setting holds for tasks that do not say otherwise, also those pushed before.
#[test]
fn settings_are_looked_up_when_needed() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b LEASE 7000", "CONFIG SET task.lease 5000"]);
    assert_eq!(server.claim("jobs").lease_ms, 5_000);
    assert_eq!(server.claim("jobs").lease_ms, 7_000);
    server.run("CONFIG SET task.attempts 1");
    assert_eq!(server.run("TASK.FAIL jobs a no"), "failed");
    server.run_all(&["CONFIG SET task.attempts 0", "CONFIG SET task.backoff 500000"]);
    let before = now_ms();
    assert_eq!(server.run("TASK.FAIL jobs b no"), "scheduled");
    let wait = server.task("jobs", "b", "ready-at").int() - before;
    assert!((449_999..=551_000).contains(&wait), "{wait}");
}

/// Retention and timeout are settings too.
#[test]
fn retention_and_timeout() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs x ID b",
        "TASK.PUSH jobs x ID c",
        "CONFIG SET task.timeout 20",
        "TASK.CLAIM jobs",
        "CONFIG SET task.timeout 0",
        "TASK.CLAIM jobs COUNT 2",
        "CONFIG SET task.retain 0",
        "CONFIG SET task.retain-failed 0",
        "TASK.COMPLETE jobs b done",
        "TASK.FAIL jobs c no DEAD",
    ]);
    assert_eq!(server.state("jobs", "b"), "none");
    assert_eq!(server.state("jobs", "c"), "none");
    server.wait_for_state("a", "ready");
}

/// A change of a setting does not move an instant that it gave before.
#[test]
fn instants_stay() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    let deadline = server.task("jobs", "a", "deadline");
    server.run("CONFIG SET task.lease 1");
    assert_eq!(server.task("jobs", "a", "deadline"), deadline);
}

/// Values outside their ranges are refused and change nothing.
#[test]
fn ranges() {
    let server = Server::start();
    for (name, values) in [
        ("task.lease", &["0", "-1", "315360000001", "abc"][..]),
        ("task.attempts", &["-1", "65536"]),
        ("task.backoff", &["-1", "315360000001"]),
        ("task.timeout", &["-1", "315360000001"]),
        ("task.retain", &["-2", "315360000001"]),
        ("task.retain-failed", &["-2", "315360000001"]),
        ("task.apply-from-clients", &["yes"]),
    ] {
        let before = setting(&server, name);
        for value in values {
            let reply = server.run(&format!("CONFIG SET {name} {value}"));
            assert!(reply.is_error(), "{name} {value}: {reply:?}");
        }
        assert_eq!(setting(&server, name), before, "{name}");
    }
}

/// Settings can stand after `loadmodule` in redis.conf, or be the module's arguments.
#[test]
fn from_the_conf_file_and_the_arguments() {
    let server = Server::builder().config("task.lease", "5000").start();
    assert_eq!(setting(&server, "task.lease"), "5000");
    let server = Server::builder().module_args(&["task.lease", "6000", "task.attempts", "9"]).start();
    assert_eq!(setting(&server, "task.lease"), "6000");
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(server.task("jobs", "a", "attempts"), 9);
    assert_eq!(server.claim("jobs").lease_ms, 6_000);
}

/// A bad module argument stops the start, and the log says which.
#[test]
fn bad_module_arguments() {
    for args in [&["task.lease", "0"][..], &["task.lease", "long"], &["task.lease"], &["task.nonsense", "1"]] {
        let Err(log) = Server::builder().module_args(args).try_start() else {
            panic!("started with {args:?}");
        };
        assert!(log.contains(args[0]), "{args:?}:\n{log}");
    }
}

/// CONFIG REWRITE keeps the settings.
#[test]
fn config_rewrite() {
    let mut server = Server::start();
    server.run_all(&["CONFIG SET task.lease 8000", "CONFIG REWRITE"]);
    server.crash_and_restart();
    assert_eq!(setting(&server, "task.lease"), "8000");
}

/// Payloads, results and errors have a limit, by which a refused command changes nothing.
#[test]
fn payloads_have_a_limit() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "CONFIG SET task.max-payload 4"]);
    let before = server.dump("jobs");
    for (line, what) in [("PUSH jobs 12345", "payload"), ("COMPLETE jobs a 12345", "result"), ("FAIL jobs a 12345", "error")] {
        server.run(&format!("TASK.{line}")).assert_refused("ERR", &[what, "4", "max-payload"]);
    }
    assert!(server.dump("jobs") == before);
    assert_eq!(server.run("TASK.COMPLETE jobs a 1234"), "OK");
}
