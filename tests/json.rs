//! JSON: the same fields as without it, of each command that takes it.

use crate::support::{Server, Value};
use serde_json::Value as Json;

/// What JSON says, as the reply would.
#[track_caller]
fn assert_same(json: &Json, reply: &Value, what: &str) {
    match json {
        Json::Object(fields) => {
            let pairs = reply.pairs();
            let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(fields.len(), names.len(), "{what}: {names:?}");
            for (name, value) in &pairs {
                let field = fields.get(name).unwrap_or_else(|| panic!("{what}: no {name}"));
                assert_same(field, value, &format!("{what}, {name}"));
            }
        }
        Json::Array(items) => {
            assert_eq!(items.len(), reply.items().len(), "{what}");
            items.iter().zip(reply.items()).for_each(|(item, reply)| assert_same(item, reply, what));
        }
        Json::Null => assert!(reply.is_nil(), "{what}: {reply:?}"),
        Json::Number(number) => assert_eq!(reply.int(), number.as_i64().expect("an integer"), "{what}"),
        Json::String(text) => assert_eq!(reply.text(), *text, "{what}"),
        Json::Bool(_) => panic!("{what}: {json}"),
    }
}

/// Each field of the answers without JSON is in those with it, of the same value: settings, batches, dependencies and all.
#[test]
fn says_the_same() {
    let server = Server::start();
    server.run_all(&[
        "TASK.SET jobs LEASE 7000 ATTEMPTS 4 RETAIN -1 RATE 100 1000 CONCURRENCY 9 EVENTS 5 PAUSED in FOR 100000",
        "TASK.SET jobs PAUSED no",
        "TASK.PUSH jobs x ID a BATCH b GROUP g UNIQUE k FOR 100000 TTL 100000 PRIORITY 3 TIMEOUT 90000",
        "TASK.PUSH jobs x ID c AFTER 1 a ONFAIL run",
        "TASK.PUSH jobs x ID d AFTERBATCH b",
        "TASK.PUSH jobs x ID e UNIQUE l",
        "TASK.CLAIM jobs WORKER ann",
        "TASK.EXTEND jobs a CHECKPOINT half",
        "TASK.CLAIM jobs WORKER bob COUNT 9",
        "TASK.FAIL jobs e no DEAD",
        "TASK.SCHEDULE jobs s x CRON \"0 6 * * MON\" TZ europe/berlin UNIQUE u",
        "TASK.SCHEDULE jobs t x EVERY 100000000 MISFIRE skip RETAIN -1",
    ]);
    for line in [
        "TASK.GET jobs a",
        "TASK.GET jobs c",
        "TASK.GET jobs d",
        "TASK.GET jobs e",
        "TASK.INFO jobs",
        "TASK.BATCH jobs b",
        "TASK.WORKERS jobs",
        "TASK.SCHEDULES jobs",
        "TASK.INFO none",
        "TASK.WORKERS none",
        "TASK.SCHEDULES none",
    ] {
        // Between the two nothing is to change by time, but for how old what is ready has become.
        let json: Json = serde_json::from_slice(server.run(&format!("{line} JSON")).bytes()).expect("JSON");
        assert_same(&json, &server.run(line), line);
    }
    for line in ["TASK.GET jobs none", "TASK.BATCH jobs none"] {
        assert_eq!(server.run(&format!("{line} JSON")), Value::NullBulk, "{line}");
    }
}

/// What a task of TASK.LIST has in JSON it has in TASK.GET.
#[test]
fn lists_say_what_a_task_says() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a BATCH b GROUP g UNIQUE k", "TASK.CLAIM jobs WORKER ann"]);
    let page = server.run("TASK.LIST jobs claimed 0 JSON");
    let listed: Json = serde_json::from_slice(page.at(1).at(0).bytes()).expect("JSON");
    let got: Json = serde_json::from_slice(server.run("TASK.GET jobs a JSON").bytes()).expect("JSON");
    let (listed, mut got) = (listed.as_object().expect("an object").clone(), got.as_object().expect("an object").clone());
    got.retain(|name, _| !["payload", "after", "after-batch", "on-fail", "waits-for"].contains(&name.as_str()));
    assert_eq!(listed, got);
}

/// Bytes that are not UTF-8 are shown as base64, wherever they stand.
#[test]
fn any_bytes_are_kept() {
    let server = Server::start();
    server.cmd(&[b"TASK.PUSH", b"jobs", b"\xff\x00", b"ID", b"a"]);
    server.cmd(&[b"TASK.SCHEDULE", b"jobs", b"s", b"\xfe\"", b"EVERY", b"100000000"]);
    server.run("TASK.CLAIM jobs");
    server.cmd(&[b"TASK.EXTEND", b"jobs", b"a", b"CHECKPOINT", b"\xfd"]);
    let json = |line: &str| -> Json { serde_json::from_slice(server.run(line).bytes()).expect("JSON") };
    assert_eq!(json("TASK.GET jobs a JSON")["payload"]["base64"], "/wA=");
    assert_eq!(json("TASK.GET jobs a JSON")["checkpoint"]["base64"], "/Q==");
    assert_eq!(json("TASK.SCHEDULES jobs JSON")[0]["payload"]["base64"], "/iI=");
    server.cmd(&[b"TASK.COMPLETE", b"jobs", b"a", b"\xfc"]);
    assert_eq!(json("TASK.GET jobs a JSON")["result"]["base64"], "/A==");
}
