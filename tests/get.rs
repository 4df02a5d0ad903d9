//! `TASK.GET`: all of a task.

use crate::support::{Server, Value, nil, nil_array, now_ms};

/// A map with all there is to know of a task, as a flat array in RESP2.
#[test]
fn answers_a_map() {
    let server = Server::start();
    let before = now_ms();
    server.run("TASK.PUSH jobs hello ID a PRIORITY 9 ATTEMPTS 5 LEASE 20000");
    let reply = server.run("TASK.GET jobs a");
    assert!(matches!(reply, Value::Array(_)));
    assert_eq!(reply.pairs()[0].0, "id");
    assert_eq!(reply.field("id"), "a");
    assert_eq!(reply.field("state"), "ready");
    assert_eq!(reply.field("payload"), "hello");
    assert_eq!(reply.field("lease"), 20_000);
    for (field, value) in [("priority", 9), ("attempt", 0), ("tries", 0), ("attempts", 5)] {
        assert_eq!(reply.field(field), value, "{field}");
    }
    for field in ["created", "ready-at"] {
        let at = reply.field(field).int();
        assert!((before - 1..=now_ms()).contains(&at), "{field}: {at}");
    }
    for field in ["worker", "result", "error", "checkpoint", "deadline", "finished"] {
        assert!(reply.field(field).is_nil(), "{field}");
    }
}

/// A claimed task shows its worker, attempt, deadline and checkpoint.
#[test]
fn shows_the_claim() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs WORKER ann", "TASK.EXTEND jobs a CHECKPOINT half"]);
    let task = server.run("TASK.GET jobs a");
    assert_eq!(task.field("state"), "claimed");
    assert_eq!(task.field("worker"), "ann");
    assert_eq!(task.field("attempt"), 1);
    assert_eq!(task.field("tries"), 1);
    assert_eq!(task.field("checkpoint"), "half");
    assert!((task.field("deadline").int() - now_ms() - 30_000).abs() < 5_000);
}

/// A finished task shows when, and its result or error.
#[test]
fn shows_the_end() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs", "TASK.FAIL jobs b no DEAD"]);
    assert_eq!(server.task("jobs", "a", "result"), "done");
    assert_eq!(server.task("jobs", "b", "error"), "no");
    for id in ["a", "b"] {
        assert!((server.task("jobs", id, "finished").int() - now_ms()).abs() < 5_000);
        assert!(server.task("jobs", id, "deadline").is_nil());
    }
}

/// In RESP3 the answer is a map.
#[test]
fn answers_a_map_in_resp3() {
    let server = Server::start();
    server.run("TASK.PUSH jobs hello ID a");
    let mut client = server.client();
    client.hello3();
    let reply = client.run("TASK.GET jobs a");
    assert!(matches!(reply, Value::Map(_)), "{reply:?}");
    assert_eq!(reply.field("payload"), "hello");
    assert_eq!(client.run("TASK.GET jobs none"), Value::Null);
}

/// nil where a map (RESP2: an array) or, with JSON, a string would stand; no key is made.
#[test]
fn answers_nil_for_the_unknown() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x");
    for task in ["jobs none", "none a"] {
        assert_eq!(server.run(&format!("TASK.GET {task}")), nil_array());
        assert_eq!(server.run(&format!("TASK.GET {task} JSON")), nil());
    }
    assert_eq!(server.run("EXISTS none"), 0);
}

/// With JSON the answer is one JSON object with the same fields.
#[test]
fn answers_json() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs \"say \\\"hi\\\"\" ID a PRIORITY 3", "TASK.CLAIM jobs WORKER ann"]);
    let reply = server.run("TASK.GET jobs a json");
    let json: serde_json::Value = serde_json::from_slice(reply.bytes()).unwrap();
    assert_eq!(json["id"], "a");
    assert_eq!(json["state"], "claimed");
    assert_eq!(json["payload"], "say \"hi\"");
    assert_eq!(json["priority"], 3);
    assert_eq!(json["worker"], "ann");
    assert_eq!(json["attempt"], 1);
}

/// A payload that is no UTF-8 does not break the JSON.
#[test]
fn json_survives_any_bytes() {
    let server = Server::start();
    server.cmd(&[b"TASK.PUSH", b"jobs", b"\xff\x00\"", b"ID", b"a"]);
    let reply = server.run("TASK.GET jobs a JSON");
    let json: serde_json::Value = serde_json::from_slice(reply.bytes()).unwrap();
    assert_eq!(json["id"], "a");
}

/// Looking changes nothing.
#[test]
fn changes_nothing() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    let (before, offset) = (server.dump("jobs"), server.info("rdb_changes_since_last_save"));
    server.run_all(&["TASK.GET jobs a", "TASK.GET jobs a JSON", "TASK.INFO jobs", "TASK.LIST jobs ready 0"]);
    assert!(server.dump("jobs") == before);
    assert_eq!(server.info("rdb_changes_since_last_save"), offset);
}
