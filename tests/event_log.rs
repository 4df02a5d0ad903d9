//! `TASK.EVENTS`: the last changes of state, kept with the queue.

use crate::support::{Server, Value, array, bulk, eventually, eventually_eq, int, nil, now_ms};
use std::time::Duration;

/// A server whose queue `jobs` keeps so many events.
fn keeping(events: u32) -> Server {
    let server = Server::start();
    keep(&server, events);
    server
}

fn keep(server: &Server, events: u32) {
    server.run_all(&[&format!("TASK.SET jobs EVENTS {events}")]);
}

fn read(server: &Server, cursor: &str) -> Value {
    server.run(&format!("TASK.EVENTS jobs {cursor}"))
}

/// Each event of a page as `seq event id attempt worker`.
fn lines(page: &Value) -> Vec<String> {
    let field = |value: &Value| if value.is_nil() { "-".to_owned() } else { value.text() };
    let line = |row: &Value| {
        let [seq, at, event, id, attempt, worker] = row.items() else { panic!("{row:?}") };
        assert!((now_ms() - at.int()).abs() < 60_000, "{row:?}");
        format!("{} {} {} {} {}", seq.int(), event.text(), field(id), attempt.int(), field(worker))
    };
    page.at(1).items().iter().map(line).collect()
}

/// The same of all that is kept, without the numbers.
fn events(server: &Server) -> Vec<String> {
    let page = server.run("TASK.EVENTS jobs 0 COUNT 10000");
    lines(&page).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

fn push(server: &Server, count: u32) {
    (0..count).for_each(|_| server.run_all(&["TASK.PUSH jobs x"]));
}

/// Every change of state is told, with who holds or held the claim.
#[test]
fn every_event() {
    let server = keeping(1_000);
    let takes = |commands: &[&str], expected: &[&str]| {
        let before = read(&server, "$").at(0).text();
        server.run_all(commands);
        let told = || {
            let page = server.run(&format!("TASK.EVENTS jobs {before} COUNT 1000"));
            lines(&page).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        eventually_eq(told, expected.to_vec());
    };
    takes(&["TASK.PUSH jobs x ID a ATTEMPTS 2"], &["push a 0 -"]);
    takes(&["TASK.CLAIM jobs WORKER w1"], &["claim a 1 w1"]);
    takes(&["TASK.EXTEND jobs a LEASE 10000 CHECKPOINT x"], &[]);
    takes(&["TASK.RELEASE jobs a"], &["release a 1 w1"]);
    takes(&["TASK.CLAIM jobs WORKER w2", "TASK.RELEASE jobs a DELAY 1"], &["claim a 2 w2", "release a 2 w2", "ready a 2 -"]);
    takes(&["TASK.CLAIM jobs WORKER w3", "TASK.FAIL jobs a no DELAY 1"], &["claim a 3 w3", "retry a 3 w3", "ready a 3 -"]);
    takes(&["TASK.CLAIM jobs WORKER w4", "TASK.FAIL jobs a no"], &["claim a 4 w4", "fail a 4 w4"]);
    takes(&["TASK.RETRY jobs a"], &["ready a 4 -"]);
    takes(&["TASK.CLAIM jobs WORKER w5 LEASE 1"], &["claim a 5 w5", "lapse a 5 w5"]);
    takes(&["TASK.CLAIM jobs WORKER w6", "TASK.CANCEL jobs a"], &["claim a 6 w6", "cancel a 6 w6"]);
    takes(&["TASK.FORGET jobs a"], &["drop a 6 -"]);
    takes(&["TASK.PUSH jobs x ID b TTL 1"], &["push b 0 -", "expire b 0 -"]);
    takes(&["TASK.PUSH jobs x ID b RENEW"], &["push b 0 -"]);
    takes(&["TASK.CLAIM jobs WORKER w7", "TASK.COMPLETE jobs b done"], &["claim b 1 w7", "complete b 1 w7"]);
    takes(
        &["TASK.PUSH jobs x ID c BATCH it SEAL", "TASK.PUSH jobs x ID d AFTER 1 c", "TASK.CANCEL jobs c"],
        &["push c 0 -", "push d 0 -", "cancel c 0 -", "batch it 0 -", "fail d 0 -"],
    );
    takes(&["TASK.SEAL jobs 12-3"], &["batch 12-3 0 -"]);
    takes(
        &["TASK.PUSH jobs x ID e RETAIN 0", "TASK.CLAIM jobs WORKER w8", "TASK.COMPLETE jobs e done"],
        &["push e 0 -", "claim e 1 w8", "complete e 1 w8", "drop e 1 -"],
    );
    takes(
        &["TASK.PUSH jobs x ID f ATTEMPTS 1", "TASK.CLAIM jobs WORKER w9 LEASE 1"],
        &["push f 0 -", "claim f 1 w9", "fail f 1 w9"],
    );
}

/// The numbers go up by one; a page begins where the cursor says, and COUNT is its length.
#[test]
fn pages() {
    let server = keeping(100);
    push(&server, 15);
    let first = read(&server, "0");
    let seqs = |page: &Value| page.at(1).items().iter().map(|row| row.at(0).int()).collect::<Vec<_>>();
    assert_eq!((first.at(0).text().as_str(), seqs(&first)), ("11", (1..=10).collect()));
    let second = read(&server, "11");
    assert_eq!((second.at(0).text().as_str(), seqs(&second)), ("16", (11..=15).collect()));
    assert_eq!(read(&server, "16"), array([bulk("16"), array([])]));
    assert_eq!(read(&server, "$"), array([bulk("16"), array([])]));
    assert_eq!(seqs(&server.run("TASK.EVENTS jobs 3 COUNT 2")), [3, 4]);
    assert_eq!(seqs(&server.run("TASK.EVENTS jobs 1 COUNT 10000")), (1..=15).collect::<Vec<_>>());
    let mut client = server.client();
    client.hello3();
    assert!(client.run("TASK.EVENTS jobs 15").at(1).at(0).at(5).is_nil());
}

/// Who fell behind is told how many are gone; from 0 on nothing is missed. A smaller number of events to keep holds at once.
#[test]
fn missed() {
    let server = keeping(3);
    push(&server, 200);
    assert_eq!(lines(&read(&server, "0")).len(), 3);
    let page = server.run("TASK.EVENTS jobs 4 COUNT 1");
    let missed = page.at(1).at(0).items();
    let kept = page.at(1).at(1).items();
    assert_eq!(missed, [int(197), kept[1].clone(), bulk("missed"), nil(), int(194), nil()]);
    assert_eq!((kept[0].int(), page.at(0).text().as_str()), (198, "199"));
    assert_eq!(lines(&read(&server, "198")).len(), 3);
    assert_eq!(lines(&read(&server, "197")).len(), 4);
    keep(&server, 1);
    assert_eq!(lines(&read(&server, "199"))[0], "199 missed - 1 -");
    keep(&server, 0);
    let page = read(&server, "200");
    assert_eq!((page.at(0).text().as_str(), lines(&page)), ("201", vec!["200 missed - 1 -".to_owned()]));
    assert_eq!(read(&server, "0"), array([bulk("201"), array([])]));
}

/// Numbers go on where they were when events are kept again, also by a queue that was saved meanwhile.
#[test]
fn numbers_do_not_go_back() {
    let mut server = Server::builder().aof().start();
    keep(&server, 5);
    push(&server, 7);
    keep(&server, 0);
    push(&server, 2);
    server.run("BGREWRITEAOF");
    eventually(|| server.info("aof_rewrite_in_progress") == "0" && server.info("aof_last_bgrewrite_status") == "ok");
    server.crash_and_restart();
    server.run("DEBUG RELOAD");
    server.run("COPY jobs copy");
    assert_eq!(server.run("TASK.EVENTS copy $").at(0), "8");
    keep(&server, 5);
    push(&server, 1);
    let page = read(&server, "0");
    assert_eq!((page.at(0).text().as_str(), page.at(1).at(0).at(0)), ("9", &int(8)));
    let info = server.run("TASK.INFO jobs");
    assert_eq!((info.field("events-kept"), info.field("last-event")), (int(1), int(8)));
}

/// A missing key answers as an empty queue, at once; a queue that keeps no events has none.
#[test]
fn queues_without_events() {
    let server = Server::start();
    for cursor in ["0", "$", "1"] {
        for block in ["", " BLOCK 0"] {
            assert_eq!(server.run(&format!("TASK.EVENTS none {cursor}{block}")), array([bulk("1"), array([])]));
        }
    }
    push(&server, 1);
    assert_eq!(read(&server, "0"), array([bulk("1"), array([])]));
    let mut reader = server.block("TASK.EVENTS jobs $ BLOCK 0");
    push(&server, 1);
    assert_eq!(reader.read_within(20), None);
    keep(&server, 5);
    push(&server, 1);
    assert_eq!(reader.read().at(0), "2");
}

/// BLOCK waits for the next event, which may come by a command or by time, and is given all of a command's at once.
#[test]
fn block() {
    let server = keeping(100);
    let mut first = server.block("TASK.EVENTS jobs $ BLOCK 0");
    let mut second = server.block("TASK.EVENTS jobs 1 BLOCK 0 COUNT 2");
    server.run("TASK.MPUSH jobs 4 a b c d RETAIN 0");
    let page = first.read();
    assert_eq!((page.at(0).text().as_str(), lines(&page).len()), ("5", 4));
    assert_eq!(second.read().at(0), "3");
    assert_eq!(lines(&server.run("TASK.EVENTS jobs 1 BLOCK 0")).len(), 4, "at once");
    let mut reader = server.block("TASK.EVENTS jobs 5 BLOCK 0");
    server.run("TASK.CANCEL jobs ALL");
    assert_eq!(lines(&reader.read()).len(), 8, "cancels and drops");
    let mut reader = server.block("TASK.EVENTS jobs $ BLOCK 0");
    server.run("TASK.PUSH jobs x ID a DELAY 20");
    assert_eq!(lines(&reader.read()), ["13 push a 0 -"]);
    let mut reader = server.block("TASK.EVENTS jobs 14 BLOCK 0");
    assert_eq!(lines(&reader.read()), ["14 ready a 0 -"]);
    // A claim that waits is served in the push.
    let mut reader = server.block("TASK.EVENTS jobs 15 BLOCK 0");
    server.run("TASK.CLAIM jobs");
    assert_eq!(lines(&reader.read()).len(), 1);
    let mut worker = server.client();
    worker.send("TASK.CLAIM jobs WORKER w BLOCK 0");
    server.wait_for_blocked(1);
    let mut reader = server.client();
    reader.send("TASK.EVENTS jobs 16 BLOCK 0");
    server.wait_for_blocked(2);
    server.run("TASK.PUSH jobs x ID b");
    assert_eq!(lines(&reader.read()), ["16 push b 0 -", "17 claim b 1 w"]);
    // More came than are kept.
    keep(&server, 2);
    let mut reader = server.block("TASK.EVENTS jobs $ BLOCK 0");
    server.run("TASK.MPUSH jobs 5 a b c d e");
    let page = reader.read();
    assert_eq!((lines(&page)[0].as_str(), lines(&page).len()), ("20 missed - 3 -", 3));
}

/// At the timeout the page is empty, with the cursor that `$` stood for; in MULTI, and in a script, nobody waits.
#[test]
fn timeouts() {
    let server = keeping(100);
    push(&server, 2);
    let empty = array([bulk("3"), array([])]);
    for line in ["TASK.EVENTS jobs $ BLOCK 20", r#"EVAL "return redis.call('TASK.EVENTS', KEYS[1], '$', 'BLOCK', 0)" 1 jobs"#] {
        assert_eq!(server.run(line), empty, "{line}");
    }
    let mut client = server.client();
    let page = client.run_each(&["MULTI", "TASK.EVENTS jobs 3 BLOCK 0", "EXEC"]).pop().expect("a reply");
    assert_eq!(page.at(0), &empty);
    let mut waits = server.client();
    let id = waits.id();
    waits.send("TASK.EVENTS jobs $ BLOCK 0");
    server.wait_for_blocked(1);
    server.run(&format!("CLIENT UNBLOCK {id}"));
    assert_eq!(waits.read(), empty);
    waits.send("TASK.EVENTS jobs $ BLOCK 0");
    server.wait_for_blocked(1);
    drop(waits);
    server.wait_for_blocked(0);
    push(&server, 1);
}

/// A reader whose queue goes away is told at once: by an error, if its cursor is of no use any more.
#[test]
fn queues_that_go_away() {
    for away in [
        "DEL jobs",
        "UNLINK jobs",
        "RENAME jobs old",
        "RENAME other jobs",
        "COPY other jobs REPLACE",
        "MOVE jobs 1",
        "FLUSHALL",
        "FLUSHDB ASYNC",
        "SWAPDB 0 1",
        "SET jobs x",
        "PEXPIRE jobs 20",
    ] {
        let server = keeping(10);
        server.run_all(&["TASK.PUSH other x"]);
        let mut early = server.block("TASK.EVENTS jobs $ BLOCK 0");
        if away.contains("other") {
            // In what has come the next event is its first, too.
            drop(early);
            server.wait_for_blocked(0);
        } else {
            server.run(away);
            assert_eq!(early.read(), array([bulk("1"), array([])]), "{away}");
        }
        let server = keeping(10);
        server.run_all(&["TASK.PUSH other x"]);
        push(&server, 3);
        let mut late = server.block("TASK.EVENTS jobs $ BLOCK 0");
        server.run(away);
        late.read().assert_refused("ERR", &["ahead", "0", "$"]);
    }
}

/// A queue with more events comes to the key by another way than a command: who waits there is given them.
#[test]
fn queues_that_come() {
    for comes in ["RENAME other jobs", "COPY other jobs REPLACE", "RESTORE"] {
        let server = keeping(10);
        push(&server, 1);
        server.run_all(&["COPY jobs other", "TASK.PUSH other x ID a"]);
        let mut reader = server.block("TASK.EVENTS jobs $ BLOCK 0");
        if comes == "RESTORE" {
            let dump = server.dump("other");
            server.cmd(&[b"RESTORE", b"jobs", b"0", &dump, b"REPLACE"]);
        } else {
            server.run(comes);
        }
        assert_eq!(lines(&reader.read()), ["2 push a 0 -"], "{comes}");
    }
}

/// The log is that of the master on replicas, in an RDB and in an AOF, byte for byte, drops included; a promoted replica goes on with it.
#[test]
fn logs_outlive_servers() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    keep(&server, 50);
    for n in 0..40 {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {n} RETAIN {}", n % 3), "TASK.CLAIM jobs WORKER w"]);
        if n % 4 < 2 {
            server.run_all(&[&format!("TASK.COMPLETE jobs {n} done")]);
        } else {
            server.run_all(&[&format!("TASK.RELEASE jobs {n} DELAY 100000"), &format!("TASK.CANCEL jobs {n}")]);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    eventually(|| server.count("jobs", "completed") + server.count("jobs", "canceled") == 0);
    server.wait_for_replica(&replica);
    let (log, digest) = (read(&server, "0"), server.digest());
    let same = |at: &Server| {
        assert_eq!(at.digest(), digest);
        assert_eq!((read(at, "0"), at.dump("jobs") == server.dump("jobs")), (log.clone(), true));
    };
    same(&replica);
    let late = Server::replica_of(&server);
    eventually_eq(|| late.digest(), digest.as_str());
    same(&late);
    server.run_all(&["DEBUG RELOAD"]);
    assert_eq!((read(&server, "0"), server.digest()), (log.clone(), digest.clone()));
    server.crash_and_restart();
    assert_eq!((read(&server, "0"), server.digest()), (log.clone(), digest.clone()));
    // From the promoted one on.
    let cursor = read(&replica, "$").at(0).text();
    replica.run_all(&["REPLICAOF NO ONE", "TASK.PUSH jobs x ID new"]);
    let page = read(&replica, &cursor);
    assert_eq!(lines(&page), [format!("{cursor} push new 0 -")]);
    assert_eq!(events(&replica).len(), 50);
}

/// It waits on a replica too, and is woken by what comes from the master.
#[test]
fn waits_on_a_replica() {
    let server = keeping(100);
    let replica = Server::replica_of(&server);
    eventually(|| replica.run("EXISTS jobs") == int(1));
    let mut reader = replica.block("TASK.EVENTS jobs $ BLOCK 0");
    server.run("TASK.MPUSH jobs 3 a b c DELAY 30");
    assert_eq!(lines(&reader.read()).len(), 3);
    let told = lines(&replica.run("TASK.EVENTS jobs 4 BLOCK 0"));
    assert!(told[0].starts_with("4 ready"), "{told:?}");
    server.wait_for_replica(&replica);
    let mut reader = replica.block("TASK.EVENTS jobs $ BLOCK 0");
    server.run("TASK.SET jobs EVENTS 0");
    server.run("DEL jobs");
    reader.read().assert_refused("ERR", &["ahead"]);
}

/// A cursor that is ahead of all that happened is refused, with BLOCK or without: its events are those of another history.
#[test]
fn cursors_that_are_ahead() {
    let server = keeping(100);
    push(&server, 2);
    for line in [
        "TASK.EVENTS jobs 4",
        "TASK.EVENTS jobs 4 BLOCK 0",
        "TASK.EVENTS jobs 18446744073709551615",
        "TASK.EVENTS none 2 BLOCK 0",
    ] {
        server.run(line).assert_refused("ERR", &["ahead", "failover"]);
    }
    // A master that has lost the last events.
    let replica = Server::replica_of(&server);
    eventually_eq(|| replica.digest(), server.digest());
    replica.run("REPLICAOF NO ONE");
    push(&server, 2);
    let cursor = read(&server, "$").at(0).text();
    read(&replica, &cursor).assert_refused("ERR", &["ahead"]);
}

/// Very many readers are woken by one event, all of them, and a reader of large pages does not hold up the others.
#[test]
fn many_readers() {
    let server = keeping(20_000);
    let mut readers: Vec<_> = (0..120).map(|_| server.client()).collect();
    for (n, reader) in readers.iter_mut().enumerate() {
        reader.send(if n % 3 == 0 { "TASK.EVENTS jobs $ COUNT 10000 BLOCK 0" } else { "TASK.EVENTS jobs $ BLOCK 0" });
    }
    server.wait_for_blocked(120);
    let payloads = "x ".repeat(1_000);
    server.run(&format!("TASK.MPUSH jobs 1000 {payloads}"));
    for (n, reader) in readers.iter_mut().enumerate() {
        let expected = if n % 3 == 0 { 1_000 } else { 10 };
        assert_eq!(reader.read().at(1).items().len(), expected);
    }
}

/// Every argument is checked.
#[test]
fn errors() {
    let server = keeping(10);
    server.run("SET text x");
    for (line, code, words) in [
        ("TASK.EVENTS jobs", "ERR", &["number of arguments"][..]),
        ("TASK.EVENTS jobs x", "ERR", &["cursor"]),
        ("TASK.EVENTS jobs -1", "ERR", &["cursor"]),
        ("TASK.EVENTS jobs 01", "ERR", &["cursor"]),
        ("TASK.EVENTS jobs 18446744073709551616", "ERR", &["cursor"]),
        ("TASK.EVENTS jobs $ COUNT 0", "ERR", &["COUNT", "10000"]),
        ("TASK.EVENTS jobs 0 COUNT 1 COUNT 1", "ERR", &["COUNT", "more than once"]),
        ("TASK.EVENTS jobs 0 BLOCK -1", "ERR", &["BLOCK"]),
        ("TASK.EVENTS jobs 0 NOW", "ERR", &["unknown option NOW"]),
        ("TASK.EVENTS text 0", "WRONGTYPE", &[]),
        ("TASK.SET jobs EVENTS 1000001", "ERR", &["EVENTS", "1000000"]),
    ] {
        server.run(line).assert_refused(code, words);
    }
}
