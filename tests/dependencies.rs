//! Tasks that wait for others: AFTER, AFTERBATCH and ONFAIL.

use crate::support::{Server, Shutdown, Value, array, bulk, eventually, eventually_eq, int, ok};

/// Two tasks that nobody has claimed, and one that waits for both.
fn fan_in(options: &str) -> Server {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs x ID b",
        &format!("TASK.PUSH jobs sum ID c AFTER 2 a b {options}"),
    ]);
    server
}

#[track_caller]
fn complete(server: &Server, id: &str) {
    assert_eq!(server.claim("jobs").id, id);
    assert_eq!(server.run(&format!("TASK.COMPLETE jobs {id} result-{id}")), ok());
}

/// It becomes ready with the last of them, its results are there for the worker, and it is seen in all that lists tasks.
#[test]
fn waits_for_all() {
    let server = fan_in("");
    assert_eq!((server.state("jobs", "c"), server.count("jobs", "waiting")), ("waiting".to_owned(), 1));
    let task = server.run("TASK.GET jobs c");
    assert_eq!(task.field("after"), array([bulk("a"), bulk("b")]));
    assert_eq!(
        (task.field("waits-for"), task.field("on-fail"), task.field("after-batch")),
        (int(2), bulk("fail"), Value::NullBulk)
    );
    assert_eq!(server.run("TASK.LIST jobs waiting 0").at(1).items().len(), 1);
    complete(&server, "a");
    assert_eq!(server.run("TASK.GET jobs c").field("waits-for"), int(1));
    assert_eq!(server.state("jobs", "c"), "waiting");
    complete(&server, "b");
    assert_eq!(server.claim("jobs").id, "c");
    let results = server.run("TASK.GATHER jobs 2 a b");
    assert_eq!((results.at(0).at(2), results.at(1).at(2)), (&bulk("result-a"), &bulk("result-b")));
    assert!(server.run("TASK.GET jobs c JSON").text().contains("\"after\":[\"a\",\"b\"]"));
}

/// A worker that waits is given it in the very transaction that completes the last of them.
#[test]
fn a_waiting_worker_is_given_it_at_once() {
    let server = fan_in("");
    server.run("TASK.CLAIM jobs COUNT 2");
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    let mut client = server.client();
    let replies = client.run_each(&["MULTI", "TASK.COMPLETE jobs a 1", "TASK.COMPLETE jobs b 2", "TASK.INFO jobs", "EXEC"]);
    assert_eq!(replies[4].at(2).field("claimed"), int(1));
    assert_eq!(worker.read().at(0), "c");
}

/// One that ends otherwise fails it, and those that wait for it in turn; with ONFAIL RUN it runs all the same.
#[test]
fn a_failure_is_passed_on() {
    for (end, options, state) in [
        ("TASK.FAIL jobs a no DEAD", "", "failed"),
        ("TASK.CANCEL jobs a", "", "failed"),
        ("TASK.CANCEL jobs b", "ONFAIL FAIL", "failed"),
        ("TASK.FAIL jobs a no DEAD", "ONFAIL RUN", "waiting"),
    ] {
        let server = fan_in(options);
        server.run_all(&["TASK.PUSH jobs y ID d AFTER 1 c", "TASK.PUSH jobs y ID e AFTER 1 c ONFAIL run"]);
        let mut reader = server.block("TASK.RESULT jobs d BLOCK 0");
        server.run_all(&["TASK.CLAIM jobs", end]);
        assert_eq!(server.state("jobs", "c"), state, "{end} {options}");
        if state == "failed" {
            let dependency = if end.contains(" b") { "b" } else { "a" };
            assert_eq!(server.run("TASK.RESULT jobs c").at(1), &bulk(format!("dependency failed: {dependency}")));
            assert_eq!(reader.read(), array([bulk("failed"), bulk("dependency failed: c")]));
            assert_eq!(server.state("jobs", "e"), "ready");
        } else {
            complete(&server, "b");
            assert_eq!(server.claim("jobs").id, "c");
        }
    }
}

/// A task that expires fails those that wait for it.
#[test]
fn expiry_is_a_failure() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a TTL 30 DELAY 20", "TASK.PUSH jobs y ID b AFTER 1 a"]);
    server.wait_for_state("b", "failed");
    server.run_all(&["TASK.PUSH jobs x ID c DELAY 60000", "TASK.PUSH jobs y ID d AFTER 1 c TTL 20"]);
    server.wait_for_state("d", "expired");
}

/// A batch is waited for until it is done.
#[test]
fn after_a_batch() {
    let server = Server::start();
    server.run_all(&[
        "TASK.MPUSH jobs 2 x y BATCH maps",
        "TASK.PUSH jobs reduce ID r AFTERBATCH maps",
        "TASK.PUSH jobs z BATCH maps SEAL",
        "TASK.PUSH jobs reduce ID s AFTERBATCH maps ONFAIL RUN",
    ]);
    assert_eq!(server.run("TASK.GET jobs r").field("after-batch"), "maps");
    for task in server.run("TASK.CLAIM jobs COUNT 3").items() {
        assert_eq!(server.state("jobs", "r"), "waiting");
        server.run(&format!("TASK.COMPLETE jobs {} done", task.at(0).text()));
    }
    assert_eq!((server.state("jobs", "r"), server.state("jobs", "s")), ("ready".to_owned(), "ready".to_owned()));
    assert_eq!(server.run("TASK.COLLECT jobs maps 0").at(2).items().len(), 3);
    // One that is done already; one that has failed; one of nothing.
    server.run_all(&[
        "TASK.PUSH jobs reduce ID t AFTERBATCH maps",
        "TASK.PUSH jobs x ID bad BATCH other SEAL",
        "TASK.CANCEL jobs bad",
    ]);
    server.run_all(&[
        "TASK.PUSH jobs reduce ID u AFTERBATCH other",
        "TASK.SEAL jobs none",
        "TASK.PUSH jobs v ID v AFTERBATCH none",
    ]);
    let states = ["t", "u", "v"].map(|id| server.state("jobs", id));
    assert_eq!(states, ["ready", "failed", "ready"]);
    assert_eq!(server.run("TASK.RESULT jobs u").at(1), "dependency failed: other");
}

/// Dependencies are kept until nobody needs them, and then for their own retention; FORGET does not ask.
#[test]
fn results_are_kept_while_they_are_needed() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.PUSH jobs y ID b AFTER 1 a", "TASK.PUSH jobs z ID c AFTER 1 b"]);
    complete(&server, "a");
    assert_eq!(server.claim("jobs").id, "b");
    eventually_eq(|| server.run("TASK.RESULT jobs a").at(1).clone(), bulk("result-a"));
    assert_eq!(server.run("TASK.GET jobs a").field("drop-at"), Value::NullBulk);
    server.run("TASK.COMPLETE jobs b done");
    eventually(|| server.run("TASK.GET jobs a").is_nil());
    assert_eq!(server.run("TASK.FORGET jobs b"), int(1));
    assert_eq!(server.claim("jobs").id, "c");
    assert_eq!(server.run("TASK.COMPLETE jobs c done"), ok());
}

/// RETRY of a task that failed by its dependencies looks at them again.
#[test]
fn a_retry_looks_again() {
    let server = fan_in("");
    server.run("TASK.CANCEL jobs a");
    assert_eq!(server.state("jobs", "c"), "failed");
    assert_eq!(server.run("TASK.RETRY jobs c"), int(0));
    assert_eq!(server.run("TASK.RETRY jobs a"), int(1));
    assert_eq!(server.state("jobs", "c"), "failed");
    assert_eq!(server.run("TASK.RETRY jobs c"), int(1));
    assert_eq!(server.state("jobs", "c"), "waiting");
    complete(&server, "b");
    complete(&server, "a");
    assert_eq!(server.claim("jobs").id, "c");
}

/// The due time is that of the push.
#[test]
fn a_delay_counts_from_the_push() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs y ID b AFTER 1 a DELAY 60000",
        "TASK.PUSH jobs y ID c AFTER 1 a DELAY 1",
    ]);
    eventually(|| server.run("TASK.INFO jobs").field("waiting") == int(2));
    complete(&server, "a");
    assert_eq!(server.state("jobs", "b"), "scheduled");
    server.wait_for_state("c", "ready");
}

/// What is refused changes nothing, and says what it is about.
#[test]
fn refuses_bad_arguments() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a BATCH own", "TASK.PUSH jobs x AFTERBATCH own", "TASK.PUSH jobs x ID f BATCH loose"]);
    let before = server.dump("jobs");
    for (line, code, word) in [
        ("TASK.PUSH jobs x AFTER 2 a none", "NOTASK", "'none'"),
        ("TASK.PUSH jobs x ID n AFTER 1 n", "NOTASK", "'n'"),
        ("TASK.PUSH jobs x AFTERBATCH none", "NOTASK", "'none'"),
        ("TASK.MPUSH jobs 2 x y AFTER 1 none", "NOTASK", "'none'"),
        ("TASK.CALL jobs x AFTER 1 none BLOCK 1", "NOTASK", "'none'"),
        ("TASK.PUSH none x AFTER 1 a", "NOTASK", "'a'"),
        ("TASK.PUSH jobs x AFTER 0", "ERR", "numids"),
        ("TASK.PUSH jobs x AFTER 1001 a", "ERR", "numids"),
        ("TASK.PUSH jobs x AFTER 2 a", "ERR", "numids"),
        ("TASK.PUSH jobs x AFTER", "ERR", "numids"),
        ("TASK.PUSH jobs x AFTER 1 a AFTERBATCH own", "ERR", "AFTERBATCH"),
        ("TASK.PUSH jobs x AFTER 1 a AFTER 1 a", "ERR", "once"),
        ("TASK.PUSH jobs x ONFAIL RUN", "ERR", "ONFAIL"),
        ("TASK.PUSH jobs x AFTER 1 a ONFAIL maybe", "ERR", "FAIL or RUN"),
        ("TASK.PUSH jobs x BATCH loose AFTERBATCH loose", "ERR", "own batch"),
        ("TASK.PUSH jobs x BATCH own AFTER 1 f", "ERR", "wait for nothing"),
    ] {
        server.run(line).assert_refused(code, &[word]);
        assert!(server.dump("jobs") == before, "{line}");
    }
    assert_eq!(server.run("EXISTS none"), int(0));
    let ids: Vec<_> = (0..1_000).map(|n| format!("t{n}")).collect();
    server.client().run_each(&ids.iter().map(|id| format!("TASK.PUSH jobs x ID {id}")).collect::<Vec<_>>());
    let after = format!("AFTER 1000 {}", ids.join(" "));
    assert_eq!(server.run(&format!("TASK.MPUSH jobs 10{} {after}", " x".repeat(10))).items().len(), 10);
    server.run(&format!("TASK.MPUSH jobs 11{} {after}", " x".repeat(11))).assert_refused("ERR", &["10000"]);
}

/// Replicas, RDB, AOF and DUMP hold who waits for whom; a promoted replica goes on.
#[test]
fn survives_restarts_and_failover() {
    let mut master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    master.run_all(&[
        "TASK.MPUSH jobs 3 x y z BATCH maps SEAL",
        "TASK.PUSH jobs r ID r AFTERBATCH maps",
        "TASK.PUSH jobs s ID s AFTER 1 r",
    ]);
    let claims = master.run("TASK.CLAIM jobs COUNT 3 LEASE 600000");
    master.run(&format!("TASK.COMPLETE jobs {} done", claims.at(0).at(0).text()));
    eventually(|| master.digest() == replica.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
    master.run("BGREWRITEAOF");
    eventually(|| master.info("aof_rewrite_in_progress") == "0" && master.info("aof_rewrite_scheduled") == "0");
    assert_eq!(master.crash_and_restart().digest(), digest);
    assert_eq!(master.restart(Shutdown::Save).digest(), digest);
    eventually(|| replica.info("master_link_status") == "up" && replica.digest() == digest);
    replica.run("REPLICAOF NO ONE");
    for claim in &claims.items()[1..] {
        assert_eq!(replica.run(&format!("TASK.COMPLETE jobs {} done ATTEMPT 1", claim.at(0).text())), ok());
    }
    assert_eq!(replica.claim("jobs").id, "r");
    assert_eq!(replica.run("TASK.COMPLETE jobs r done"), ok());
    assert_eq!(replica.claim("jobs").id, "s");
}

/// A long chain and a wide fan: what ends reaches all, without stopping the server; a chain that fails does so to its end.
#[test]
fn long_chains_and_wide_fans() {
    const LENGTH: usize = 20_000;
    let server = Server::start();
    let script = b"for n = ARGV[1], ARGV[2] do redis.call('TASK.PUSH', 'chain', 'x', 'ID', n, 'AFTER', 1, n - 1) end";
    server.run("TASK.PUSH chain x ID 0");
    for start in (1..LENGTH).step_by(5_000) {
        let (first, last) = (start.to_string(), LENGTH.min(start + 4_999).to_string());
        let reply = server.cmd(&[b"EVAL", script, b"1", b"chain", first.as_bytes(), last.as_bytes()]);
        assert!(!reply.is_error(), "{reply:?}");
    }
    assert_eq!(server.count("chain", "waiting"), i64::try_from(LENGTH).unwrap());
    server.run("TASK.CANCEL chain 0");
    eventually(|| server.count("chain", "failed") == i64::try_from(LENGTH).unwrap());
    assert_eq!(server.run(&format!("TASK.RESULT chain {LENGTH}")).at(1), &bulk(format!("dependency failed: {}", LENGTH - 1)));
    server.run_all(&["TASK.PUSH jobs x ID root", "TASK.CLAIM jobs"]);
    for _ in 0..4 {
        server.run(&format!("TASK.MPUSH jobs 5000{} AFTER 1 root", " x".repeat(5_000)));
    }
    server.run("TASK.COMPLETE jobs root done");
    eventually(|| server.count("jobs", "ready") == 20_000);
}
