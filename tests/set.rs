//! `TASK.SET`: what holds for a queue's tasks, how many it takes and gives out, and when.

use crate::support::{Clock, Server, Value, array, bulk, eventually, eventually_eq, holds_for, int, nil, nil_array, now_ms, ok};
use std::time::Instant;

/// One of the queue's settings as TASK.INFO shows it.
#[track_caller]
fn setting(server: &Server, name: &str) -> Value {
    server.run("TASK.INFO jobs").field("settings").field(name).clone()
}

/// Every setting is shown by INFO, stays what others leave alone, and goes back to what it was.
#[test]
fn every_setting_is_shown() {
    let server = Server::start();
    let all = "TASK.SET jobs LEASE 1 ATTEMPTS 2 BACKOFF 3 TIMEOUT 4 RETAIN -1 RETAINFAILED 5 RETAINMAX 6 FAILEDMAX 7 MAXLEN 8 RATE 9 10 \
               CONCURRENCY 11 GROUPCONCURRENCY 12 EVENTS 13 PAUSED out";
    assert_eq!(server.run(all), ok());
    let shown = [
        ("lease", 1),
        ("attempts", 2),
        ("backoff", 3),
        ("timeout", 4),
        ("retain", -1),
        ("retain-failed", 5),
        ("retain-max", 6),
        ("failed-max", 7),
        ("max-len", 8),
        ("rate", 9),
        ("rate-window", 10),
        ("concurrency", 11),
        ("group-concurrency", 12),
        ("events", 13),
    ];
    for (name, value) in shown {
        assert_eq!(setting(&server, name), int(value), "{name}");
    }
    assert_eq!((setting(&server, "paused"), setting(&server, "paused-until")), (bulk("out"), nil()));
    let back = "TASK.SET jobs LEASE default ATTEMPTS DEFAULT BACKOFF default TIMEOUT default RETAIN default RETAINFAILED default RETAINMAX 0 \
                FAILEDMAX 0 MAXLEN 0 RATE 0 0";
    assert_eq!(server.run(back), ok());
    for (name, value) in shown.iter().take(6) {
        assert_eq!(setting(&server, name), nil(), "{name} was {value}");
    }
    assert_eq!((setting(&server, "rate"), setting(&server, "concurrency")), (int(0), int(11)));
}

/// It makes the queue, as a push does, also if it sets nothing.
#[test]
fn makes_the_queue() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    assert_eq!(server.run("TASK.SET jobs"), ok());
    assert_eq!(server.run("TYPE jobs"), Value::Simple("taskqueue".into()));
    server.wait_for_replica(&replica);
    assert_eq!(replica.run("EXISTS jobs"), int(1));
}

/// A refused SET has changed nothing, and says what is allowed.
#[test]
fn refuses_what_it_does_not_know() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs MAXLEN 1", "SET text x"]);
    let before = server.dump("jobs");
    for (line, code, words) in [
        ("TASK.SET", "ERR", &["number of arguments"][..]),
        ("TASK.SET text MAXLEN 1", "WRONGTYPE", &[]),
        ("TASK.SET jobs SIZE 1", "ERR", &["unknown option", "SIZE"]),
        ("TASK.SET jobs MAXLEN 2 MAXLEN 2", "ERR", &["MAXLEN", "more than once"]),
        ("TASK.SET jobs MAXLEN 2 LEASE", "ERR", &["LEASE", "value"]),
        ("TASK.SET jobs MAXLEN 2147483648", "ERR", &["MAXLEN", "0 to 2147483647"]),
        ("TASK.SET jobs MAXLEN -1", "ERR", &["MAXLEN", "0 to"]),
        ("TASK.SET jobs MAXLEN default", "ERR", &["MAXLEN", "0 to"]),
        ("TASK.SET jobs LEASE 0", "ERR", &["LEASE", "1 to"]),
        ("TASK.SET jobs LEASE none", "ERR", &["LEASE", "1 to"]),
        ("TASK.SET jobs ATTEMPTS 65536", "ERR", &["ATTEMPTS", "65535"]),
        ("TASK.SET jobs RATE 1", "ERR", &["RATE", "value"]),
        ("TASK.SET jobs RATE 0 5", "ERR", &["RATE", "0 0"]),
        ("TASK.SET jobs RATE 5 0", "ERR", &["RATE", "0 0"]),
        ("TASK.SET jobs RATE 1000001 5", "ERR", &["RATE", "1000000"]),
        ("TASK.SET jobs EVENTS 1000001", "ERR", &["EVENTS", "1000000"]),
        ("TASK.SET jobs PAUSED", "ERR", &["PAUSED", "value"]),
        ("TASK.SET jobs PAUSED yes", "ERR", &["no, in, out or all"]),
        ("TASK.SET jobs PAUSED in FOR 0", "ERR", &["FOR", "1 to"]),
        ("TASK.SET jobs PAUSED no FOR 5", "ERR", &["FOR goes with PAUSED in, out or all"]),
        ("TASK.SET jobs FOR 5", "ERR", &["FOR goes with PAUSED"]),
        ("TASK.SET jobs PAUSED in FOR 5 FOR 5", "ERR", &["FOR", "more than once"]),
    ] {
        server.run(line).assert_refused(code, words);
    }
    assert!(server.dump("jobs") == before);
    assert_eq!(server.run("EXISTS SIZE"), int(0));
}

/// What a task says itself comes first, then what the queue says, then the server; looked up when it is needed.
#[test]
fn the_queue_speaks_for_its_tasks() {
    let server = Server::start();
    server.run_all(&[
        "CONFIG SET task.lease 90000",
        "TASK.SET jobs LEASE 70000 ATTEMPTS 1 RETAINFAILED 60000",
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs x ID b LEASE 50000 ATTEMPTS 0",
    ]);
    assert_eq!(server.task("jobs", "a", "lease"), 70_000);
    let claims = server.run("TASK.CLAIM jobs COUNT 2");
    assert_eq!((claims.at(0).at(3), claims.at(1).at(3)), (&int(70_000), &int(50_000)));
    assert_eq!(server.run("TASK.FAIL jobs a no"), Value::Simple("failed".into()));
    let kept = server.task("jobs", "a", "drop-at").int() - server.task("jobs", "a", "finished").int();
    assert_eq!(kept, 60_000);
    server.run("TASK.SET jobs LEASE default");
    assert_eq!((server.task("jobs", "b", "lease").int(), server.task("jobs", "a", "lease").int()), (50_000, 90_000));
}

/// MAXLEN counts what has not ended. An MPUSH fits as a whole or not at all; what is there already, and what comes back, is let in.
#[test]
fn a_full_queue_refuses_pushes() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs MAXLEN 3", "TASK.MPUSH jobs 2 x x", "TASK.PUSH jobs x ID a PRIORITY 9 ATTEMPTS 1"]);
    let before = server.dump("jobs");
    server.run("TASK.PUSH jobs x").assert_refused("QUEUEFULL", &["MAXLEN of 3"]);
    server.run("TASK.PUSH jobs x ID b BATCH c SEAL").assert_refused("QUEUEFULL", &[]);
    server.run("TASK.CALL jobs x BLOCK 1").assert_refused("QUEUEFULL", &[]);
    assert!(server.dump("jobs") == before);
    assert_eq!(server.run("TASK.PUSH jobs x ID a"), bulk("a"));
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no"]);
    server.run("TASK.MPUSH jobs 2 x x").assert_refused("QUEUEFULL", &[]);
    assert_eq!(server.count("jobs", "ready"), 2);
    server.run("TASK.PUSH jobs x ID b");
    server.run("TASK.PUSH jobs x ID a RENEW").assert_refused("QUEUEFULL", &[]);
    assert_eq!(server.run("TASK.RETRY jobs a"), int(1));
    assert_eq!(server.count("jobs", "ready"), 4);
    server.run("TASK.SET jobs MAXLEN 0");
    server.run_all(&["TASK.PUSH jobs x"]);
}

/// RETAINMAX and FAILEDMAX: the oldest go, at the end of the next and when the limit is set; whoever waits for one has its result.
#[test]
fn no_more_ended_tasks_are_kept_than_may_be() {
    let server = Server::start();
    server.run("TASK.SET jobs RETAINMAX 2 FAILEDMAX 1 ATTEMPTS 1");
    for n in 0..5 {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {n}"), "TASK.CLAIM jobs", &format!("TASK.COMPLETE jobs {n} r")]);
    }
    for n in 5..8 {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {n}"), "TASK.CLAIM jobs", &format!("TASK.FAIL jobs {n} r")]);
    }
    assert_eq!((server.count("jobs", "completed"), server.count("jobs", "failed")), (2, 1));
    assert_eq!(server.run("TASK.RESULT jobs 2"), nil_array());
    assert_eq!((server.state("jobs", "3"), server.state("jobs", "7")), ("completed".into(), "failed".into()));
    assert_eq!(server.run("TASK.INFO jobs").field("totals").field("dropped"), int(5));
    // One that is dropped at once still answers who waits for it.
    server.run_all(&[
        "TASK.SET jobs RETAINMAX 1",
        "TASK.PUSH jobs x ID long",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs long r RETAIN -1",
    ]);
    assert_eq!(server.count("jobs", "completed"), 1);
    server.run_all(&["TASK.PUSH jobs x ID short", "TASK.CLAIM jobs"]);
    let mut client = server.block("TASK.RESULT jobs short BLOCK 0");
    server.run("TASK.COMPLETE jobs short r RETAIN 1000");
    assert_eq!(client.read(), array([bulk("completed"), bulk("r")]));
    assert_eq!(server.count("jobs", "completed"), 1);
}

/// Many that are too many go soon, and no tick stalls for them.
#[test]
fn a_limit_that_is_lowered_drops_what_is_too_much() {
    let server = Server::start();
    for _ in 0..10 {
        let payloads = "x ".repeat(1_000);
        server.run(&format!("TASK.MPUSH jobs 1000 {payloads} PRIORITY 1"));
        let ids = crate::support::task::ids_of(&server.run("TASK.CLAIM jobs COUNT 1000"));
        let triples: String = ids.join(" 1 r ") + " 1 r";
        server.run(&format!("TASK.MCOMPLETE jobs 1000 {triples}"));
    }
    assert_eq!(server.count("jobs", "completed"), 10_000);
    server.run("TASK.SET jobs RETAINMAX 10");
    eventually(|| server.count("jobs", "completed") == 10);
}

/// Batches keep their tasks, and tasks those that they depend on, whatever the limit is.
#[test]
fn limits_of_ended_tasks_pass_over_batches_and_dependencies() {
    let server = Server::start();
    server.run_all(&[
        "TASK.SET jobs RETAINMAX 1",
        "TASK.PUSH jobs x ID needed",
        "TASK.PUSH jobs x ID later AFTER 1 needed",
        "TASK.PUSH jobs x ID b1 BATCH b",
        "TASK.PUSH jobs x ID b2 BATCH b",
        "TASK.CLAIM jobs COUNT 3",
        "TASK.COMPLETE jobs needed r",
        "TASK.COMPLETE jobs b1 r",
        "TASK.COMPLETE jobs b2 r",
    ]);
    assert_eq!(server.count("jobs", "completed"), 3);
    server.run_all(&["TASK.PUSH jobs x ID other PRIORITY 1", "TASK.CLAIM jobs", "TASK.COMPLETE jobs other r"]);
    assert_eq!(server.run("TASK.RESULT jobs other"), nil_array());
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs later r"]);
    eventually(|| server.count("jobs", "completed") == 3);
}

/// And what is kept for ever: however many others depend on, of the rest no more are kept than may be, also after a restart.
#[test]
fn limits_hold_for_what_is_kept_for_ever() {
    let mut server = Server::builder().aof().start();
    server.run("TASK.SET jobs RETAIN -1 RETAINMAX 75");
    let needed: Vec<String> = (0..70).map(|number| format!("needed:{number}")).collect();
    let complete = |server: &Server, id: &str| {
        server.run_all(&["TASK.CLAIM jobs", &format!("TASK.COMPLETE jobs {id} r")]);
    };
    for id in &needed {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run(&format!("TASK.PUSH jobs x ID sum AFTER 70 {}", needed.join(" ")));
    server.run("TASK.PUSH jobs x ID blocker DELAY 1000000");
    server.run("TASK.PUSH jobs x ID rest AFTER 2 needed:0 blocker");
    for id in &needed {
        complete(&server, id);
    }
    let others = |server: &Server, name: &str| {
        for number in 0..20 {
            let id = format!("{name}:{number}");
            server.run(&format!("TASK.PUSH jobs x ID {id} PRIORITY 1"));
            complete(server, &id);
        }
    };
    others(&server, "before");
    eventually(|| server.count("jobs", "completed") == 75);
    server.kill();
    server.start_again();
    others(&server, "after");
    eventually(|| server.count("jobs", "completed") == 75);
    let results = server.run(&format!("TASK.GATHER jobs 70 {}", needed.join(" ")));
    assert!(results.items().iter().all(|result| result.at(1) == "completed"), "{results:?}");
    assert_eq!(server.run("TASK.RESULT jobs after:14"), nil_array());
    complete(&server, "sum");
    // One is needed on. The others are kept for themselves from now on, and go in their turn.
    others(&server, "last");
    eventually(|| server.count("jobs", "completed") == 75);
    assert_eq!(server.run("TASK.RESULT jobs needed:0").at(0), "completed");
    assert_eq!(server.run("TASK.RESULT jobs last:19").at(0), "completed");
}

/// Said again it changes nothing: no WATCH is lost and nothing is replicated.
#[test]
fn said_again_changes_nothing() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs CONCURRENCY 5 EVENTS 10 PAUSED in", "TASK.SET empty LEASE default"]);
    let mut watcher = server.client();
    watcher.run("WATCH jobs");
    watcher.run("MULTI");
    watcher.run("PING");
    let changes = server.info("rdb_changes_since_last_save");
    server.run_all(&["TASK.SET jobs CONCURRENCY 5 EVENTS 10 PAUSED in", "TASK.SET jobs"]);
    assert_eq!(server.info("rdb_changes_since_last_save"), changes);
    assert_eq!(watcher.run("EXEC").items().len(), 1);
    watcher.run("WATCH jobs");
    watcher.run("MULTI");
    watcher.run("PING");
    server.run("TASK.SET jobs CONCURRENCY 6");
    assert_eq!(watcher.run("EXEC"), nil_array());
    assert_eq!(server.run("EXISTS empty"), 1);
}

/// CONCURRENCY: no more are claimed at once, and whatever ends a claim hands the place to who waits.
#[test]
fn a_free_place_wakes_the_next() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs CONCURRENCY 1", "TASK.MPUSH jobs 8 x x x x x x x x ATTEMPTS 0"]);
    let mut claim = server.run("TASK.CLAIM jobs");
    assert_eq!(server.run("TASK.CLAIM jobs COUNT 5"), nil_array());
    for (end, how) in
        [("COMPLETE", "r"), ("FAIL", "no DEAD"), ("FAIL", "no DELAY 100000"), ("RELEASE", "DELAY 100000"), ("CANCEL", "")]
    {
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0 LEASE 30000");
        server.run(&format!("TASK.{end} jobs {} {how}", claim.at(0).text()));
        claim = worker.read();
        assert_eq!(server.count("jobs", "claimed"), 1, "after {end} {how}");
    }
    // A lapse, and a session that is closed.
    server.run(&format!("TASK.EXTEND jobs {} LEASE 20", claim.at(0).text()));
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0 SESSION");
    worker.read();
    let mut next = server.block("TASK.CLAIM jobs BLOCK 0");
    drop(worker);
    let last = next.read();
    // One that is raised.
    let mut third = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run("TASK.SET jobs CONCURRENCY 2");
    assert_ne!(third.read().at(0), last.at(0));
}

/// A worker's own loop goes on under a limit of one: NEXT claims when the completion has made room, and after who waited before.
#[test]
fn next_goes_on_under_a_limit_of_one() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs CONCURRENCY 1", "TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c"]);
    server.run("TASK.CLAIM jobs");
    assert_eq!(server.run("TASK.COMPLETE jobs a r NEXT").at(0), "b");
    let mut waiting = server.block("TASK.CLAIM jobs BLOCK 0");
    assert_eq!(server.run("TASK.COMPLETE jobs b r NEXT"), nil_array());
    assert_eq!(waiting.read().at(0), "c");
}

/// RATE: never more claims in any window, and who waits is woken when it opens.
#[test]
fn no_window_has_more_claims_than_the_rate() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs RATE 3 150", &format!("TASK.MPUSH jobs 12 {}", "x ".repeat(12))]);
    let mut worker = server.client();
    let mut claimed = Vec::new();
    for _ in 0..12 {
        let task = worker.run("TASK.CLAIM jobs BLOCK 10000");
        claimed.push(server.task("jobs", &task.at(0).text(), "claimed-at").int());
    }
    for window in claimed.windows(4) {
        assert!(window[3] - window[0] >= 150, "{claimed:?}");
    }
    assert!(claimed[11] - claimed[0] < 450 + 200, "a window opened late: {claimed:?}");
}

/// A rate that is lowered and raised again has forgotten nothing.
#[test]
fn a_lowered_rate_forgets_nothing() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs RATE 3 600000", "TASK.MPUSH jobs 6 x x x x x x", "TASK.CLAIM jobs COUNT 6"]);
    server.run_all(&["TASK.SET jobs RATE 1 600000", "TASK.SET jobs RATE 4 600000"]);
    assert_eq!(server.run("TASK.CLAIM jobs COUNT 6").items().len(), 1);
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
}

/// The claims that count are remembered over a restart and a failover.
#[test]
fn a_rate_survives_restart_and_failover() {
    let mut server = Server::builder().aof().start();
    server.run_all(&["TASK.SET jobs RATE 2 600000", "TASK.MPUSH jobs 5 x x x x x", "TASK.CLAIM jobs COUNT 5"]);
    assert_eq!(server.count("jobs", "claimed"), 2);
    let replica = Server::replica_of(&server);
    server.wait_for_replica(&replica);
    assert_eq!(server.digest(), replica.digest());
    server.crash_and_restart();
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
    server.run("BGREWRITEAOF");
    eventually(|| server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0");
    server.crash_and_restart();
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
    replica.run("REPLICAOF NO ONE");
    assert_eq!(replica.run("TASK.CLAIM jobs"), nil_array());
    replica.run("TASK.SET jobs RATE 3 600000");
    assert!(!replica.run("TASK.CLAIM jobs").is_nil());
    assert!(replica.run("TASK.CLAIM jobs").is_nil());
}

/// Who waits for a window to open comes before who asks when it has.
#[test]
fn who_waited_for_the_window_comes_first() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs RATE 1 60", "TASK.PUSH jobs x", "TASK.CLAIM jobs"]);
    for round in 0..20 {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {round}a"), &format!("TASK.PUSH jobs x ID {round}b")]);
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
        let mut asks = server.client();
        let mut given = asks.run("TASK.CLAIM jobs");
        while given.is_nil() {
            given = asks.run("TASK.CLAIM jobs");
        }
        assert_eq!((worker.read().at(0), given.at(0)), (&bulk(format!("{round}a")), &bulk(format!("{round}b"))));
    }
}

/// After a clock that was an hour ahead the window is over in its length, not in an hour.
#[test]
fn claims_of_the_future_count_as_now() {
    let clock = Clock::new();
    clock.set(3_600_000);
    let server = Server::builder().clock(&clock).start();
    let server_ms = || server.run("TIME").at(0).text().parse::<i64>().unwrap() * 1_000;
    if server_ms() < now_ms() + 1_800_000 {
        println!("skipped: this server's clock cannot be set");
        return;
    }
    server.run_all(&["TASK.SET jobs RATE 1 100", "TASK.MPUSH jobs 3 x x x", "TASK.CLAIM jobs"]);
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    clock.set(0);
    assert!(worker.read_within(3_000).is_some(), "who waited was not woken");
    eventually(|| server_ms() < now_ms() + 1_800_000);
    let start = Instant::now();
    eventually(|| !server.run("TASK.CLAIM jobs").is_nil());
    assert!(start.elapsed().as_millis() < 2_000);
}

/// PAUSED out: nothing is given out, delays ripen all the same, and with the end of it everyone who waits is served, each once.
#[test]
fn a_pause_holds_tasks_back() {
    let server = Server::start();
    server.run_all(&[
        "TASK.SET jobs PAUSED out",
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs x ID b DELAY 10",
        "TASK.PUSH jobs x ID c",
    ]);
    server.wait_for_state("b", "ready");
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
    let mut workers = [0, 1, 2, 3].map(|_| server.block("TASK.CLAIM jobs BLOCK 0"));
    holds_for(50, || server.count("jobs", "ready") == 3);
    server.run("TASK.SET jobs PAUSED no");
    let ids: Vec<String> = workers.iter_mut().take(3).map(|worker| worker.read().at(0).text()).collect();
    assert_eq!(ids, ["a", "c", "b"]);
    server.run("TASK.PUSH jobs x ID d");
    assert_eq!(workers[3].read().at(0), "d");
}

/// PAUSED in refuses new tasks only: what is there is answered, retried and worked off.
#[test]
fn a_pause_refuses_pushes() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a ATTEMPTS 1", "TASK.SET jobs PAUSED in MAXLEN 1"]);
    server.run("TASK.PUSH jobs x").assert_refused("PAUSED", &["no pushes"]);
    server.run("TASK.MPUSH jobs 1 x").assert_refused("PAUSED", &[]);
    assert_eq!(server.run("TASK.PUSH jobs x ID a"), bulk("a"));
    server.run_all(&["TASK.CLAIM jobs", "TASK.FAIL jobs a no"]);
    server.run("TASK.PUSH jobs x ID a RENEW").assert_refused("PAUSED", &[]);
    assert_eq!(server.run("TASK.RETRY jobs a"), int(1));
    server.run("TASK.SET jobs PAUSED all");
    server.run("TASK.PUSH jobs x").assert_refused("PAUSED", &[]);
    assert_eq!(server.run("TASK.CLAIM jobs"), nil_array());
}

/// FOR: the pause ends by itself, and who waits is served; INFO and a replica show that it is over.
#[test]
fn a_pause_ends_by_itself() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x", "TASK.SET jobs PAUSED all FOR 200"]);
    let start = Instant::now();
    let left = setting(&server, "paused-until").int() - now_ms();
    assert!((0..=200).contains(&left), "{left}");
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    worker.read();
    assert!(start.elapsed().as_millis() >= 190);
    assert_eq!((setting(&server, "paused"), setting(&server, "paused-until")), (bulk("no"), nil()));
    eventually_eq(|| replica.digest(), server.digest());
}

/// TTLs run on while the queue rests.
#[test]
fn ttls_end_in_a_pause() {
    let server = Server::start();
    server.run_all(&["TASK.SET jobs PAUSED out", "TASK.PUSH jobs x ID a TTL 20"]);
    server.wait_for_state("a", "expired");
}

/// MCLAIM goes past a queue that gives out nothing.
#[test]
fn mclaim_goes_past_a_queue_that_rests() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH first x", "TASK.PUSH second x", "TASK.SET first PAUSED out"]);
    assert_eq!(server.run("TASK.MCLAIM 2 first second").at(0), "second");
    let mut worker = server.block("TASK.MCLAIM 2 first second BLOCK 0");
    server.run("TASK.SET first PAUSED no");
    assert_eq!(worker.read().at(0), "first");
}

/// Settings are of the queue: RDB, AOF, a copy and a replica have them.
#[test]
fn settings_are_of_the_queue() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.SET jobs MAXLEN 1 RATE 5 1000 LEASE 7 PAUSED in FOR 100000", "COPY jobs again"]);
    server.wait_for_replica(&replica);
    assert_eq!(server.digest(), replica.digest());
    assert!(server.dump("jobs") == server.dump("again"));
    let before = server.digest();
    server.crash_and_restart();
    assert_eq!(server.digest(), before);
    server.run("DEBUG RELOAD");
    assert_eq!(server.digest(), before);
    server.run("TASK.PUSH again x").assert_refused("PAUSED", &[]);
}
