//! Keys of which each is one task's at a time: UNIQUE, FOR and REPLACE.

use crate::support::{Events, Server, Shutdown, array, bulk, eventually, holds_for, int, nil, nil_array, now_ms, ok};

/// Task `a` that has the key `k`, with these options of UNIQUE.
fn held(options: &str) -> Server {
    let server = Server::start();
    assert_eq!(server.run(&format!("TASK.PUSH jobs one ID a UNIQUE k {options}")), "a");
    server
}

/// The task that a push with the key comes to.
#[track_caller]
fn push(server: &Server, payload: &str, options: &str) -> String {
    server.run(&format!("TASK.PUSH jobs {payload} UNIQUE k {options}")).text()
}

/// Whether the key is free, by a push that takes it if it is.
#[track_caller]
fn is_free(server: &Server) -> bool {
    !server.run("TASK.PUSH jobs probe UNIQUE k NX").is_nil()
}

#[track_caller]
fn payload(server: &Server, id: &str) -> String {
    server.task("jobs", id, "payload").text()
}

/// While the key is held a push changes nothing and answers the holder's id, with NX nil, in whatever state the holder is.
#[test]
fn a_holder_answers() {
    let server = held("");
    for before in ["TASK.GET jobs a", "TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 60000"] {
        server.run(before);
        let dump = server.dump("jobs");
        assert_eq!(push(&server, "two", "PRIORITY 9 DELAY 5"), "a", "after {before}");
        assert_eq!(push(&server, "two", "FOR 5 ID b"), "a", "after {before}");
        assert_eq!(server.run("TASK.PUSH jobs two UNIQUE k NX"), nil(), "after {before}");
        assert!(server.dump("jobs") == dump, "after {before}");
    }
    assert_ne!(server.run("TASK.PUSH jobs two UNIQUE other NX"), nil());
    assert_ne!(server.run("TASK.PUSH jobs two"), "a");
    // Another queue has its own keys.
    assert_ne!(server.run("TASK.PUSH mails two UNIQUE k NX"), nil());
}

/// Whatever ends the holder frees the key.
#[test]
fn an_end_frees_it() {
    for end in [
        "TASK.COMPLETE jobs a done",
        "TASK.COMPLETE jobs a done RETAIN 0",
        "TASK.FAIL jobs a no DEAD",
        "TASK.CANCEL jobs a",
        "TASK.CANCEL jobs ALL",
    ] {
        let server = held("");
        if !end.ends_with("ALL") {
            server.run("TASK.CLAIM jobs");
        }
        assert!(!is_free(&server));
        server.run(end);
        assert!(is_free(&server), "{end}");
        assert!(!is_free(&server), "{end}");
    }
    let server = held("TTL 20");
    server.wait_for_state("a", "expired");
    assert!(is_free(&server));
    let server = held("ATTEMPTS 1 LEASE 20");
    server.run("TASK.CLAIM jobs");
    server.wait_for_state("a", "failed");
    assert!(is_free(&server));
}

/// What frees a claim without ending the task frees no key.
#[test]
fn a_task_that_goes_on_keeps_it() {
    let server = held("LEASE 20 BACKOFF 20 ATTEMPTS 0");
    server.run("TASK.CLAIM jobs");
    server.wait_for_state("a", "ready");
    assert!(!is_free(&server));
    server.run_all(&["TASK.CLAIM jobs LEASE 60000", "TASK.FAIL jobs a no"]);
    server.wait_for_state("a", "ready");
    assert!(!is_free(&server));
    server.run_all(&["TASK.CLAIM jobs LEASE 60000", "TASK.RELEASE jobs a", "TASK.RETRY jobs a"]);
    assert!(!is_free(&server));
}

/// With FOR it is held for so long from the push on: completed, and dropped.
#[test]
fn for_outlasts_completion() {
    for retain in ["", "RETAIN 0", "RETAIN 50"] {
        let pushed = now_ms();
        let server = held(&format!("FOR 400 {retain}"));
        server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
        if !retain.is_empty() {
            server.wait_for_state("a", "none");
        }
        assert_eq!((push(&server, "two", ""), push(&server, "two", "REPLACE")), ("a".to_owned(), "a".to_owned()));
        assert_eq!(server.count("jobs", "ready"), 0);
        eventually(|| is_free(&server));
        assert!(now_ms() - pushed >= 400, "after {} ms", now_ms() - pushed);
    }
}

/// And no longer, if the task has not ended by then.
#[test]
fn for_ends_while_the_task_runs() {
    let pushed = now_ms();
    let server = held("FOR 100");
    server.run("TASK.CLAIM jobs");
    assert!(server.task("jobs", "a", "unique-until").int() >= pushed + 100);
    eventually(|| is_free(&server));
    assert!(now_ms() - pushed >= 100);
    assert_eq!((server.state("jobs", "a"), server.task("jobs", "a", "unique")), ("claimed".to_owned(), nil()));
    // The end of the first one does not free what the second has.
    server.run("TASK.COMPLETE jobs a done");
    assert!(!is_free(&server));
    // Held for no time at all.
    assert_ne!(server.run("TASK.PUSH jobs x UNIQUE none FOR 0"), server.run("TASK.PUSH jobs x UNIQUE none FOR 0"));
}

/// FOR ends by itself, with nobody who pushes: then the key takes no memory.
#[test]
fn for_ends_by_itself() {
    let server = held("FOR 50 RETAIN 0");
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    let (held, digest) = (server.run("MEMORY USAGE jobs").int(), server.digest());
    eventually(|| server.digest() != digest && server.run("MEMORY USAGE jobs").int() < held);
}

/// Ends that are not completions, and FORGET, do not wait for FOR.
#[test]
fn for_does_not_outlast_other_ends() {
    for end in ["TASK.FAIL jobs a no DEAD", "TASK.CANCEL jobs a"] {
        let server = held("FOR 600000");
        server.run_all(&["TASK.CLAIM jobs", end]);
        assert!(is_free(&server), "{end}");
    }
    for forget in ["TASK.FORGET jobs a", "TASK.FORGET jobs ALL", "TASK.FORGET jobs BATCH b"] {
        let server = held(if forget.ends_with('b') { "FOR 600000 BATCH b SEAL" } else { "FOR 600000" });
        server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
        assert!(!is_free(&server));
        assert_eq!(server.run(forget), int(1));
        assert!(is_free(&server), "{forget}");
    }
    let server = held("FOR 600000 TTL 20");
    server.wait_for_state("a", "expired");
    assert!(is_free(&server));
}

/// RETRY takes it again, unless another has it: then the task stays as it is and is not counted.
#[test]
fn retry_takes_it_again() {
    for end in ["TASK.FAIL jobs a no DEAD", "TASK.CANCEL jobs a"] {
        let server = held("");
        server.run_all(&["TASK.CLAIM jobs", end, "TASK.PUSH jobs two ID b UNIQUE k"]);
        for retry in ["TASK.RETRY jobs a", "TASK.RETRY jobs ALL"] {
            assert_eq!(server.run(retry), int(0), "{end}, {retry}");
        }
        assert_ne!(server.state("jobs", "a"), "ready");
        server.run("TASK.CANCEL jobs b");
        assert_eq!(server.run("TASK.RETRY jobs a"), int(1));
        assert!(!is_free(&server));
        assert_eq!(server.run("TASK.RETRY jobs b"), int(0));
        assert_eq!(push(&server, "three", ""), "a");
    }
    // Also one whose holder has ended, as long as FOR lasts.
    let server = held("");
    server.run_all(&["TASK.CANCEL jobs a", "TASK.PUSH jobs two ID b UNIQUE k FOR 600000 RETAIN 0"]);
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs b done"]);
    assert_eq!(server.run("TASK.RETRY jobs a"), int(0));
    // But not where its own FOR is over.
    let server = held("FOR 20");
    server.run("TASK.CANCEL jobs a");
    eventually(|| now_ms() > server.task("jobs", "a", "unique-until").int() + 5);
    server.run("TASK.PUSH jobs two ID b UNIQUE k");
    assert_eq!(server.run("TASK.RETRY jobs a"), int(1));
    assert_eq!((server.task("jobs", "a", "unique"), push(&server, "x", "")), (nil(), "b".to_owned()));
}

/// Debounce: a holder that is not claimed takes payload and delay anew, and keeps its id.
#[test]
fn replace_debounces() {
    let server = held("DELAY 60000");
    let first = server.task("jobs", "a", "ready-at").int();
    assert_eq!(push(&server, "two", "REPLACE DELAY 120000"), "a");
    assert!(server.task("jobs", "a", "ready-at").int() >= first + 60_000);
    assert_eq!(push(&server, "three", "REPLACE ID other DELAY 60"), "a");
    assert_eq!((server.count("jobs", "scheduled"), payload(&server, "a")), (1, "three".to_owned()));
    assert_eq!(server.run("EXISTS jobs"), int(1));
    let claim = server.run("TASK.CLAIM jobs BLOCK 5000");
    assert_eq!((claim.at(0), claim.at(1)), (&bulk("a"), &bulk("three")));
    assert_eq!(server.run("TASK.GET jobs other"), nil_array());
    // A free key is taken.
    let server = Server::start();
    assert_eq!(push(&server, "one", "REPLACE ID a"), "a");
    assert_eq!((push(&server, "two", "REPLACE"), payload(&server, "a")), ("a".to_owned(), "two".to_owned()));
    // What is pushed counts, not what was.
    push(&server, "three", "REPLACE PRIORITY 7 TTL 60000 ATTEMPTS 9");
    let task = server.run("TASK.GET jobs a");
    assert_eq!((task.field("priority"), task.field("attempts")), (int(7), int(9)));
    assert!(task.field("expire-at").int() > now_ms());
    push(&server, "four", "REPLACE");
    assert_eq!(server.task("jobs", "a", "expire-at"), nil());
    server.run("TASK.PUSH jobs x UNIQUE k REPLACE DELAY 9 TTL 9").assert_refused("ERR", &["TTL"]);
}

/// A ready task that stays ready keeps its place in line, however often it is replaced.
#[test]
fn replace_does_not_lose_the_place() {
    let server = held("");
    server.run("TASK.PUSH jobs next ID b");
    push(&server, "two", "REPLACE");
    assert_eq!((server.claim("jobs").id, server.claim("jobs").id), ("a".to_owned(), "b".to_owned()));
}

/// A worker that waits is given a task that becomes ready by a replacement.
#[test]
fn replace_serves_a_waiting_worker() {
    let server = held("DELAY 60000");
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut events = Events::of(&server);
    assert_eq!(push(&server, "two", "REPLACE"), "a");
    assert_eq!(worker.read().at(1), "two");
    events.expect(&["push", "claim"]);
}

/// Its tries begin anew, and the claim that lapsed is void.
#[test]
fn replace_voids_a_lapsed_claim() {
    let server = held("ATTEMPTS 2");
    server.run("TASK.CLAIM jobs LEASE 10");
    server.wait_for_state("a", "ready");
    push(&server, "two", "REPLACE ATTEMPTS 2");
    let task = server.run("TASK.GET jobs a");
    assert_eq!((task.field("tries"), task.field("attempt")), (int(0), int(1)));
    for line in ["TASK.COMPLETE jobs a late ATTEMPT 1", "TASK.FAIL jobs a late ATTEMPT 1", "TASK.RELEASE jobs a ATTEMPT 1"] {
        server.run(line).assert_refused("STALE", &[]);
    }
    let claim = server.claim("jobs");
    assert_eq!((claim.attempt, claim.payload), (2, b"two".to_vec()));
    // One that backs off, too.
    server.run("TASK.FAIL jobs a no DELAY 60000");
    assert_eq!((push(&server, "three", "REPLACE"), server.state("jobs", "a")), ("a".to_owned(), "ready".to_owned()));
    assert_eq!(server.task("jobs", "a", "error"), nil());
    server.run("TASK.FAIL jobs a no ATTEMPT 2").assert_refused("STALE", &[]);
}

/// Behind a holder that is claimed one follow-up waits, with the newest payload; it is ready when the holder has ended, however.
#[test]
fn a_follow_up_waits_for_the_holder() {
    for end in
        ["TASK.COMPLETE jobs a done", "TASK.COMPLETE jobs a done RETAIN 0", "TASK.FAIL jobs a no DEAD", "TASK.CANCEL jobs a"]
    {
        let server = held("");
        server.run("TASK.CLAIM jobs");
        assert_eq!(push(&server, "two", "REPLACE ID b"), "b");
        assert_eq!(push(&server, "three", "REPLACE ID c"), "b");
        assert_eq!(push(&server, "four", ""), "a", "without REPLACE the holder answers");
        assert_eq!(server.run("TASK.PUSH jobs x UNIQUE k NX"), nil());
        assert_eq!((server.state("jobs", "b"), payload(&server, "b")), ("waiting".to_owned(), "three".to_owned()));
        assert_eq!(server.task("jobs", "a", "follow-up"), "b");
        assert_eq!(server.task("jobs", "b", "after"), array([bulk("a")]));
        assert_eq!((payload(&server, "a"), server.run("TASK.LIST jobs waiting 0").at(1).items().len()), ("one".to_owned(), 1));
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
        let mut events = Events::of(&server);
        server.run(end);
        assert_eq!(worker.read().at(1), "three", "{end}");
        let of_end = if end.contains("COMPLETE") {
            "complete"
        } else if end.contains("FAIL") {
            "fail"
        } else {
            "cancel"
        };
        events.expect(&[of_end, "ready", "claim"]);
        // It has the key now, and is claimed: another follows.
        assert_eq!(push(&server, "five", ""), "b", "{end}");
        assert_eq!(push(&server, "six", "REPLACE ID d"), "d", "{end}");
        // Nothing keeps the holder for those that follow it.
        let is_gone = end.ends_with("RETAIN 0");
        assert_eq!(server.state("jobs", "a") == "none", is_gone, "{end}");
        assert_eq!(server.task("jobs", "b", "after"), nil());
    }
}

/// The follow-up's delay counts from its push.
#[test]
fn a_follow_up_may_be_delayed() {
    let server = held("");
    server.run("TASK.CLAIM jobs");
    push(&server, "two", "REPLACE ID b");
    push(&server, "three", "REPLACE DELAY 60000");
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.state("jobs", "b"), "scheduled");
    assert_eq!((push(&server, "four", "REPLACE"), server.state("jobs", "b")), ("b".to_owned(), "ready".to_owned()));
}

/// A holder that lapses, fails with a try left or is released has not ended: the follow-up goes on waiting, and takes what is pushed.
#[test]
fn a_follow_up_outlasts_tries() {
    let server = held("ATTEMPTS 0");
    server.run("TASK.CLAIM jobs LEASE 10");
    push(&server, "two", "REPLACE ID b");
    server.wait_for_state("a", "ready");
    assert_eq!(push(&server, "three", "REPLACE"), "b");
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no DELAY 0", "TASK.CLAIM jobs", "TASK.RELEASE jobs a"]);
    assert_eq!((server.state("jobs", "a"), payload(&server, "a")), ("ready".to_owned(), "one".to_owned()));
    assert_eq!((server.state("jobs", "b"), payload(&server, "b")), ("waiting".to_owned(), "three".to_owned()));
    server.run("TASK.CANCEL jobs a");
    assert_eq!(server.claim("jobs").id, "b");
}

/// A follow-up that is canceled, or expires, makes room for another; RETRY takes it only when the key is free.
#[test]
fn a_follow_up_may_end_before() {
    let server = held("");
    server.run("TASK.CLAIM jobs");
    push(&server, "two", "REPLACE ID b");
    server.run("TASK.CANCEL jobs b");
    assert_eq!(push(&server, "three", "REPLACE ID c TTL 20"), "c");
    server.wait_for_state("c", "expired");
    assert_eq!(server.task("jobs", "a", "follow-up"), nil());
    assert_eq!(server.run("TASK.RETRY jobs b c"), int(0));
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.run("TASK.RETRY jobs b c"), int(1));
    assert_eq!(server.claim("jobs").id, "b");
}

/// When FOR ends, the key is the follow-up's, which waits on for the holder's end.
#[test]
fn for_ends_with_a_follow_up() {
    let server = held("FOR 60");
    server.run("TASK.CLAIM jobs");
    push(&server, "two", "REPLACE ID b");
    eventually(|| push(&server, "three", "") == "b");
    assert_eq!(push(&server, "three", "REPLACE"), "b");
    assert_eq!((server.state("jobs", "b"), payload(&server, "b")), ("waiting".to_owned(), "three".to_owned()));
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.claim("jobs").id, "b");
    assert!(!is_free(&server));
    server.run("TASK.COMPLETE jobs b done");
    assert!(is_free(&server));
}

/// Of a task that has ended REPLACE takes no notice while its FOR lasts; but the follow-up has the key after it, if there is one.
#[test]
fn replace_within_for() {
    let server = held("FOR 600000");
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs a done"]);
    let before = server.dump("jobs");
    assert_eq!(push(&server, "two", "REPLACE DELAY 5"), "a");
    assert!(server.dump("jobs") == before);
    let server = held("FOR 600000");
    server.run("TASK.CLAIM jobs");
    push(&server, "two", "FOR 600000 REPLACE ID b");
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!((push(&server, "three", ""), push(&server, "four", "REPLACE")), ("b".to_owned(), "b".to_owned()));
    assert_eq!(server.run("TASK.CLAIM jobs").at(1), "four");
}

/// What has the id answers first; a task that is renewed takes the key of the push, or is left alone while another has it.
#[test]
fn with_an_id() {
    let server = held("");
    server.run("TASK.PUSH jobs x ID b");
    assert_eq!(push(&server, "two", "REPLACE ID b"), "b");
    assert_eq!((payload(&server, "a"), payload(&server, "b")), ("one".to_owned(), "x".to_owned()));
    server.run("TASK.CANCEL jobs b");
    assert_eq!(push(&server, "two", "ID b RENEW"), "a");
    assert_eq!(server.state("jobs", "b"), "canceled");
    server.run("TASK.CANCEL jobs a");
    assert_eq!(push(&server, "two", "ID b RENEW"), "b");
    assert_eq!(server.task("jobs", "b", "unique"), "k");
    // Without UNIQUE it has none, whatever it had.
    assert_eq!(server.run("TASK.PUSH jobs three ID a RENEW"), "a");
    assert_eq!(server.task("jobs", "a", "unique"), nil());
    // Behind a holder it waits as a follow-up.
    server.run_all(&["TASK.CANCEL jobs a", "TASK.CLAIM jobs"]);
    assert_eq!((push(&server, "four", "REPLACE ID a RENEW"), server.state("jobs", "a")), ("a".to_owned(), "waiting".to_owned()));
    server.run("TASK.COMPLETE jobs b done");
    assert_eq!(server.run("TASK.CLAIM jobs").at(1), "four");
}

/// CALL waits for the task that the push comes to.
#[test]
fn call_waits_for_the_holder() {
    let server = held("");
    let mut caller = server.block("TASK.CALL jobs two UNIQUE k");
    let mut replacing = server.block("TASK.CALL jobs three UNIQUE k REPLACE");
    assert_eq!(server.run("TASK.CALL jobs two UNIQUE k NX"), nil_array());
    assert_eq!(server.run("TASK.CLAIM jobs").at(1), "three");
    let mut follower = server.client();
    follower.send("TASK.CALL jobs four UNIQUE k REPLACE ID b");
    server.wait_for_state("b", "waiting");
    server.run("TASK.COMPLETE jobs a done");
    let end = array([bulk("a"), bulk("completed"), bulk("done")]);
    assert_eq!((caller.read(), replacing.read()), (end.clone(), end));
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs b last"]);
    assert_eq!(follower.read(), array([bulk("b"), bulk("completed"), bulk("last")]));
    // Within FOR the result is there at once; once dropped it is nil.
    server.run("TASK.CALL jobs x ID c UNIQUE other FOR 600000 BLOCK 1");
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs c done RETAIN 30"]);
    assert_eq!(server.run("TASK.CALL jobs y UNIQUE other"), array([bulk("c"), bulk("completed"), bulk("done")]));
    server.wait_for_state("c", "none");
    assert_eq!(server.run("TASK.CALL jobs y UNIQUE other"), array([bulk("c"), nil(), nil()]));
}

/// A holder and its follow-up may be of batches, wait for others, and be waited for.
#[test]
fn among_batches_and_dependencies() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID z", "TASK.PUSH jobs one ID a UNIQUE k AFTER 1 z BATCH b"]);
    // One that waits for another goes on doing so.
    assert_eq!((push(&server, "two", "REPLACE"), server.state("jobs", "a")), ("a".to_owned(), "waiting".to_owned()));
    assert_eq!(server.task("jobs", "a", "waits-for"), int(1));
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs z done", "TASK.CLAIM jobs"]);
    assert_eq!(payload(&server, "a"), "two");
    // An answered push adds nothing to a batch, but its SEAL takes effect.
    assert_eq!(push(&server, "three", "REPLACE ID f BATCH b"), "f");
    assert_eq!(push(&server, "four", "BATCH b SEAL"), "a");
    assert_eq!(server.run("TASK.BATCH jobs b").field("total"), int(2));
    server.run_all(&["TASK.PUSH jobs y ID later AFTER 1 f", "TASK.PUSH jobs y ID sum AFTERBATCH b"]);
    server.run("TASK.COMPLETE jobs a done");
    assert_eq!(server.run("TASK.PUSH jobs y UNIQUE k REPLACE BATCH b"), "f", "a sealed batch is not asked");
    assert_eq!(server.claim("jobs").id, "f");
    assert_eq!(server.run("TASK.COMPLETE jobs f done"), ok());
    assert_eq!((server.state("jobs", "later"), server.state("jobs", "sum")), ("ready".to_owned(), "ready".to_owned()));
    // Where there is nothing to follow, the batch is asked.
    server.run("TASK.PUSH jobs y UNIQUE k REPLACE BATCH b").assert_refused("ERR", &["sealed"]);
    assert!(is_free(&server));
}

/// What is refused changes nothing, and says what it is about.
#[test]
fn refuses_bad_arguments() {
    let server = held("");
    let before = server.dump("jobs");
    let long = "k".repeat(256);
    for (line, word) in [
        ("TASK.PUSH jobs x UNIQUE", "UNIQUE needs"),
        ("TASK.PUSH jobs x UNIQUE all", "UNIQUE must"),
        ("TASK.PUSH jobs x UNIQUE \"a b\"", "UNIQUE must"),
        (&format!("TASK.PUSH jobs x UNIQUE {long}"), "255"),
        ("TASK.PUSH jobs x UNIQUE k UNIQUE k", "UNIQUE is given more than once"),
        ("TASK.PUSH jobs x UNIQUE k FOR", "FOR needs"),
        ("TASK.PUSH jobs x UNIQUE k FOR -1", "FOR must be an integer from 0 to 315360000000"),
        ("TASK.PUSH jobs x UNIQUE k FOR 315360000001", "FOR must"),
        ("TASK.PUSH jobs x UNIQUE k FOR soon", "FOR must"),
        ("TASK.PUSH jobs x UNIQUE k FOR 1 FOR 1", "FOR is given more than once"),
        ("TASK.PUSH jobs x UNIQUE k REPLACE REPLACE", "REPLACE is given more than once"),
        ("TASK.PUSH jobs x UNIQUE k REPLACE NX", "REPLACE does not go with NX"),
        ("TASK.PUSH jobs x NX UNIQUE k FOR 5 REPLACE", "REPLACE does not go with NX"),
        ("TASK.PUSH jobs x UNIQUE k REPLACE AFTER 1 a", "AFTER"),
        ("TASK.PUSH jobs x REPLACE", "REPLACE goes with UNIQUE"),
        ("TASK.PUSH jobs x FOR 5", "FOR goes with UNIQUE"),
        ("TASK.CALL jobs x UNIQUE k REPLACE NX", "NX"),
        ("TASK.MPUSH jobs 2 x y UNIQUE k", "UNIQUE goes with a push of one task"),
        ("TASK.MPUSH jobs 2 x y REPLACE", "REPLACE goes with a push of one task"),
    ] {
        server.run(line).assert_refused("ERR", &[word]);
        assert!(server.dump("jobs") == before, "{line}");
    }
    assert_eq!(push(&server, "x", "REPLACE FOR 5"), "a", "in either order");
}

/// Replica, AOF, RDB, DUMP and a rewritten AOF hold who has which key, and who follows; a promoted replica goes on.
#[test]
fn survives_restarts_and_failover() {
    let mut master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    master.run_all(&[
        "TASK.PUSH jobs x ID a UNIQUE k FOR 600000",
        "TASK.CLAIM jobs LEASE 600000",
        "TASK.PUSH jobs y ID b UNIQUE k FOR 600000 REPLACE",
        "TASK.PUSH jobs z UNIQUE k REPLACE DELAY 1",
        "TASK.PUSH jobs x ID gone UNIQUE dropped FOR 600000 PRIORITY 9 RETAIN 0",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs gone done",
        "TASK.PUSH jobs x ID kept UNIQUE completed FOR 600000",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs kept done",
        "TASK.PUSH jobs x ID dead UNIQUE again",
        "TASK.CANCEL jobs dead",
    ]);
    eventually(|| master.digest() == replica.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
    master.run("BGREWRITEAOF");
    eventually(|| master.info("aof_rewrite_in_progress") == "0" && master.info("aof_rewrite_scheduled") == "0");
    assert_eq!(master.crash_and_restart().digest(), digest);
    assert_eq!(master.restart(Shutdown::Save).digest(), digest);
    let dump = master.dump("jobs");
    assert_eq!(master.cmd(&[b"RESTORE", b"again", b"0", &dump]), ok());
    assert!(master.dump("again") == dump);
    master.run_all(&["COPY jobs copied", "RENAME copied moved"]);
    assert!(master.dump("moved") == dump);
    assert_eq!(master.run("TASK.PUSH moved x UNIQUE k"), "a");
    master.run("DEL again moved");
    eventually(|| replica.info("master_link_status") == "up" && replica.digest() == digest);
    replica.run("REPLICAOF NO ONE");
    for (key, holder) in [("k", "a"), ("dropped", "gone"), ("completed", "kept")] {
        assert_eq!(replica.run(&format!("TASK.PUSH jobs x UNIQUE {key}")), holder);
    }
    assert_eq!(replica.run("TASK.PUSH jobs last UNIQUE k REPLACE"), "b");
    assert_eq!(replica.run("TASK.RETRY jobs dead"), int(1));
    assert_eq!(replica.run("TASK.PUSH jobs x UNIQUE again"), "dead");
    replica.run("TASK.COMPLETE jobs a done");
    assert_eq!((replica.claim("jobs").id, replica.claim("jobs").id), ("dead".to_owned(), "b".to_owned()));
    assert_eq!(replica.run("TASK.PUSH jobs x UNIQUE k"), "b");
}

/// Ten thousand keys take memory while they are held, and none afterwards.
#[test]
fn keys_cost_memory_while_they_are_held() {
    let server = Server::start();
    let script =
        b"for n = 1, 10000 do redis.call('TASK.PUSH', 'jobs', 'x', 'RETAIN', 0, 'UNIQUE', 'key:' .. n, unpack(ARGV)) end";
    let push = |more: &[&[u8]]| server.cmd(&[&[&b"EVAL"[..], script, b"1", b"jobs"], more].concat());
    let usage = || server.run("MEMORY USAGE jobs SAMPLES 0").int();
    push(&[]);
    let held = usage();
    push(&[]);
    assert_eq!((usage(), server.count("jobs", "ready")), (held, 10_000));
    let done = || {
        let claims = server.run("TASK.CLAIM jobs COUNT 10000");
        let ids: Vec<String> = claims.items().iter().map(|claim| format!("{} 1 done", claim.at(0).text())).collect();
        server.run(&format!("TASK.MCOMPLETE jobs {} {}", ids.len(), ids.join(" ")));
        eventually(|| server.count("jobs", "completed") == 0);
    };
    done();
    let free = usage();
    assert!(free < held / 5, "{free} of {held}");
    push(&[b"FOR", b"3000"]);
    done();
    assert!(usage() > free + 10_000 * 50, "{} of {free}", usage());
    eventually(|| usage() <= free + free / 5);
    holds_for(20, || server.count("jobs", "ready") == 0);
}
