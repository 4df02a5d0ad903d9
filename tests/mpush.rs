//! `TASK.MPUSH`: several tasks at once, all or none.

use crate::support::{Server, Value, int};

/// Ids come in order and grow; tasks are claimed in that order, with the options given.
#[test]
fn adds_all_in_order() {
    let server = Server::start();
    server.run("TASK.PUSH jobs first PRIORITY 5");
    let ids = server.cmd(&[b"TASK.MPUSH", b"jobs", b"3", b"one", b"\0\xff", b"", b"PRIORITY", b"5", b"ATTEMPTS", b"9"]);
    let ids: Vec<_> = ids.items().iter().map(Value::text).collect();
    let numbers = |id: &String| id.split_once('-').map(|(ms, seq)| (ms.parse::<u64>().unwrap(), seq.parse::<u64>().unwrap()));
    assert!(ids.is_sorted_by_key(numbers) && ids.len() == 3, "{ids:?}");
    let claims = server.run("TASK.CLAIM jobs COUNT 10");
    let payloads: Vec<_> = claims.items().iter().map(|claim| claim.at(1).bytes().to_vec()).collect();
    assert_eq!(payloads, [&b"first"[..], b"one", b"\0\xff", b""]);
    assert_eq!(server.task("jobs", &ids[1], "attempts"), 9);
    assert_eq!(server.run("TASK.INFO jobs").field("totals").field("pushed"), 4);
}

/// Delayed ones ripen together and wake those who wait, each one.
#[test]
fn wakes_those_who_wait() {
    let server = Server::start();
    let mut workers: Vec<_> = (0..3).map(|_| server.block("TASK.CLAIM jobs BLOCK 0")).collect();
    server.run("TASK.MPUSH jobs 2 one two");
    assert_eq!((workers[0].read().at(1), workers[1].read().at(1)), (&Value::Bulk(b"one".into()), &Value::Bulk(b"two".into())));
    server.run("TASK.MPUSH jobs 2 three four DELAY 20");
    assert_eq!(workers[2].read().at(1), "three");
}

/// Ids that tasks of the made form have already are stepped over.
#[test]
fn steps_over_ids_that_are_taken() {
    let server = Server::start();
    let first = server.run("TASK.PUSH jobs x").text();
    let (ms, _) = first.split_once('-').unwrap();
    let later = ms.parse::<u64>().unwrap() + 600_000;
    server.run(&format!("TASK.PUSH jobs x ID {later}-1"));
    server.run("TASK.MPUSH jobs 3 a b c");
    assert_eq!(server.count("jobs", "ready"), 5);
}

/// Bad arguments add nothing and make no key.
#[test]
fn refuses_bad_arguments() {
    let server = Server::start();
    for (line, word) in [
        ("TASK.MPUSH jobs 0 x", "numtasks"),
        ("TASK.MPUSH jobs 10001 x", "10000"),
        ("TASK.MPUSH jobs 3 x y", "numtasks"),
        ("TASK.MPUSH jobs 1 x y", "unknown option Y"),
        ("TASK.MPUSH jobs 1 x secret-42", "unknown option of 9 bytes"),
        ("TASK.MPUSH jobs 1 x ID a", "ID goes with a push of one task"),
        ("TASK.MPUSH jobs 1 x NX", "NX goes with"),
        ("TASK.MPUSH jobs 1 x RENEW", "RENEW goes with"),
        ("TASK.MPUSH jobs 1 x PRIORITY 256", "PRIORITY"),
        ("TASK.MPUSH jobs 1 x DELAY 5 TTL 5", "TTL"),
    ] {
        server.run(line).assert_refused("ERR", &[word]);
    }
    server.run("CONFIG SET task.max-payload 3");
    server.run("TASK.MPUSH jobs 2 x long").assert_refused("ERR", &["payload", "3 bytes"]);
    assert_eq!(server.run("EXISTS jobs"), int(0));
}

/// Ten thousand in one call, on the replica and after a crash too.
#[test]
fn takes_ten_thousand() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    let mut line = vec!["TASK.MPUSH", "jobs", "10000"];
    line.resize(3 + 10_000, "payload");
    let line: Vec<_> = line.iter().map(|word| word.as_bytes()).collect();
    let ids: Vec<_> = server.cmd(&line).items().iter().map(Value::text).collect();
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 10_000);
    server.wait_for_replica(&replica);
    let digest = server.digest();
    assert_eq!(replica.digest(), digest);
    assert_eq!(server.crash_and_restart().digest(), digest);
}
