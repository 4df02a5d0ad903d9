//! Ids: those a push makes and those it is given.

use crate::support::{Server, Shutdown, bulk};

/// The two numbers of a made id.
fn numbers(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').expect("a made id");
    (ms.parse().expect("an instant"), seq.parse().expect("a number"))
}

/// Asserts that each made id is greater than the one before.
#[track_caller]
fn assert_increasing(ids: &[String]) {
    for pair in ids.windows(2) {
        assert!(numbers(&pair[0]) < numbers(&pair[1]), "{pair:?}");
    }
}

/// Made ids are strictly increasing, also many in one millisecond.
#[test]
fn made_ids_increase() {
    let server = Server::start();
    let mut client = server.client();
    client.send_all(&vec!["TASK.PUSH jobs x"; 2_000]);
    let ids: Vec<_> = (0..2_000).map(|_| client.read().text()).collect();
    assert_increasing(&ids);
}

/// Made ids go on increasing after the queue was deleted, flushed, renamed or replaced.
#[test]
fn made_ids_increase_over_deletions() {
    let server = Server::start();
    let mut ids = Vec::new();
    for away in ["DEL jobs", "FLUSHALL", "RENAME jobs old", "UNLINK jobs", "PING"] {
        let mut client = server.client();
        client.send_all(&["TASK.PUSH jobs x", away, "TASK.PUSH jobs x"]);
        let replies = [client.read(), client.read(), client.read()];
        ids.extend([replies[0].text(), replies[2].text()]);
    }
    assert_increasing(&ids);
}

/// Made ids go on increasing over a restart, a crash and a promotion.
#[test]
fn made_ids_increase_over_restarts() {
    let mut server = Server::builder().aof().start();
    let mut ids = vec![server.run("TASK.PUSH jobs x").text()];
    server.crash_and_restart();
    ids.push(server.run("TASK.PUSH jobs x").text());
    server.restart(Shutdown::NoSave);
    ids.push(server.run("TASK.PUSH jobs x").text());
    let replica = Server::replica_of(&server);
    drop(server);
    replica.run("REPLICAOF NO ONE");
    ids.push(replica.run("TASK.PUSH jobs x").text());
    assert_increasing(&ids);
}

/// A made id that a task already has is skipped.
#[test]
fn a_taken_id_is_skipped() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..50 {
        let (ms, seq) = numbers(&client.run("TASK.PUSH jobs first").text());
        let taken: Vec<_> =
            (1..=3).flat_map(|n| [format!("{ms}-{}", seq + n), format!("{}-0", ms + n), format!("{}-1", ms + n)]).collect();
        let mut lines: Vec<_> = taken.iter().map(|id| format!("TASK.PUSH jobs taken ID {id} NX")).collect();
        lines.push("TASK.PUSH jobs made NX".to_owned());
        client.send_all(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in &taken {
            client.read();
        }
        let made = client.read().text();
        assert!(!taken.contains(&made), "{made} was taken");
        assert!(numbers(&made) > (ms, seq));
        assert_eq!(client.run(&format!("TASK.GET jobs {made}")).field("payload"), "made");
    }
}

/// A given id is 1 to 255 bytes of UTF-8 without white space or control characters.
#[test]
fn given_ids() {
    let server = Server::start();
    let longest = "x".repeat(255);
    for id in ["a", "0", "user:7/mail#1", "größe-é-✓", "all1", "batch-7", "-", "\"", longest.as_str()] {
        let reply = server.cmd(&[b"TASK.PUSH", b"jobs", b"x", b"ID", id.as_bytes()]);
        assert_eq!(reply, bulk(id));
        assert_eq!(server.claim("jobs").id, id);
        assert_eq!(server.cmd(&[b"TASK.COMPLETE", b"jobs", id.as_bytes(), b"done"]), "OK");
        assert_eq!(server.cmd(&[b"TASK.RESULT", b"jobs", id.as_bytes()]).at(1), &bulk("done"));
    }
}

/// Anything else is refused, and makes no queue; so are the words ALL and BATCH.
#[test]
fn refused_ids() {
    let server = Server::start();
    let too_long = "x".repeat(256);
    for id in [
        &b""[..],
        b" ",
        b"a b",
        b"a\tb",
        b"a\n",
        b"a\0",
        b"a\x7f",
        b"\xff",
        b"a\xc3",
        "a\u{a0}b".as_bytes(),
        "a\u{85}".as_bytes(),
        "\u{2003}".as_bytes(),
        b"ALL",
        b"all",
        b"Batch",
        b"BATCH",
        too_long.as_bytes(),
    ] {
        let reply = server.cmd(&[b"TASK.PUSH", b"jobs", b"x", b"ID", id]);
        reply.assert_refused("ERR", &["id"]);
    }
    assert_eq!(server.run("EXISTS jobs"), 0);
}

/// A worker's name obeys the same rules.
#[test]
fn refused_workers() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    for worker in [&b""[..], b"a b", b"\xff", b"all", "x".repeat(256).as_bytes()] {
        let reply = server.cmd(&[b"TASK.CLAIM", b"jobs", b"WORKER", worker]);
        reply.assert_refused("ERR", &["worker"]);
    }
    assert_eq!(server.state("jobs", "a"), "ready");
}
