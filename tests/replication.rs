//! Replication: a replica holds the same queue, byte for byte, and carries on when it is promoted.

use crate::support::{Events, Server, eventually, eventually_eq, holds_for, now_ms};
use std::fs;
use taskqueue::effect::Change;
use taskqueue::{Effect, Ms, Packed, TaskId, UnixMs};

/// Waits until both hold the same data, by DUMP and DEBUG DIGEST.
#[track_caller]
fn eventually_same(master: &Server, replica: &Server) {
    eventually_eq(|| replica.digest(), master.digest());
    assert!(replica.dump("jobs") == master.dump("jobs"));
}

/// A mix of all that changes a queue, time included.
fn mixed_work(server: &Server) {
    for n in 0..100 {
        server.run(&format!("TASK.PUSH jobs \"payload {n}\" ID {n} PRIORITY {} DELAY {} ATTEMPTS 2 BACKOFF 3", n % 4, n % 10));
        server.run(&format!("TASK.PUSH jobs x RETAIN {} TTL {}", n % 7, 1 + n % 30));
        let task = server.run(&format!("TASK.CLAIM jobs LEASE {} WORKER w{}", 1 + n % 9, n % 3));
        if task.is_nil() {
            continue;
        }
        let (id, attempt) = (task.at(0).text(), task.at(2).int());
        match n % 6 {
            0 => server.run(&format!("TASK.COMPLETE jobs {id} \"result {n}\" ATTEMPT {attempt}")),
            1 => server.run(&format!("TASK.FAIL jobs {id} no ATTEMPT {attempt}")),
            2 => server.run(&format!("TASK.RELEASE jobs {id} DELAY 2 ATTEMPT {attempt}")),
            3 => server.run(&format!("TASK.EXTEND jobs {id} LEASE 5 CHECKPOINT half")),
            4 => server.run(&format!("TASK.CANCEL jobs {id} {n}")),
            _ => server.run(&format!("TASK.RETRY jobs {} ALL", n / 2)),
        };
        server.run(&format!("TASK.RETRY jobs {}", n / 2));
    }
    server.run_all(&["TASK.RETRY jobs ALL COUNT 5", "TASK.FORGET jobs ALL COUNT 9"]);
}

/// After a long mix of commands and lapses the replica's queue is the master's.
#[test]
fn a_replica_is_identical() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    mixed_work(&master);
    eventually(|| master.count("jobs", "claimed") + master.count("jobs", "scheduled") == 0);
    eventually(|| replica.digest() == master.digest());
    master.wait_for_replica(&replica);
    eventually_same(&master, &replica);
}

/// A replica that comes late gets the queue whole.
#[test]
fn a_late_replica_is_identical() {
    let master = Server::start();
    mixed_work(&master);
    let replica = Server::replica_of(&master);
    eventually(|| replica.digest() == master.digest());
}

/// A replica does not act on time: what its master does not say has not happened.
#[test]
fn a_replica_does_not_act_on_time() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    master.run_all(&["TASK.PUSH jobs x ID held PRIORITY 9", "TASK.CLAIM jobs LEASE 150", "TASK.PUSH jobs x ID later DELAY 150"]);
    eventually(|| replica.state("jobs", "later") == "scheduled");
    drop(master);
    holds_for(250, || replica.state("jobs", "held") == "claimed" && replica.state("jobs", "later") == "scheduled");
}

/// A promoted replica carries on with leases, delays and retention as they were.
#[test]
fn a_promotion_keeps_deadlines() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let long = now_ms() + 600_000;
    master.run_all(&[
        "TASK.PUSH jobs x ID done RETAIN 400",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs done result",
        "TASK.PUSH jobs x ID held",
        "TASK.CLAIM jobs LEASE 400",
        "TASK.PUSH jobs x ID soon DELAY 400",
        &format!("TASK.PUSH jobs x ID later AT {long}"),
        "TASK.PUSH jobs x ID kept PRIORITY 9",
        "TASK.CLAIM jobs LEASE 600000",
    ]);
    eventually(|| replica.state("jobs", "kept") == "claimed");
    drop(master);
    replica.run("REPLICAOF NO ONE");
    replica.wait_for_state("held", "ready");
    replica.wait_for_state("soon", "ready");
    replica.wait_for_state("done", "none");
    assert_eq!(replica.task("jobs", "later", "ready-at"), long);
    assert_eq!(replica.run("TASK.COMPLETE jobs kept result ATTEMPT 1"), "OK");
}

/// What fell due while nobody was master happens once, after the promotion.
#[test]
fn a_promotion_does_what_fell_due() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    master.run("TASK.PUSH jobs x ID a DELAY 500");
    eventually(|| replica.state("jobs", "a") == "scheduled");
    drop(master);
    let due = replica.task("jobs", "a", "ready-at").int();
    eventually(|| now_ms() > due + 20);
    let mut events = Events::of(&replica);
    replica.run("REPLICAOF NO ONE");
    events.expect(&["ready"]);
    events.expect_none(30);
}

/// A replica refuses what changes a queue, and answers what only looks.
#[test]
fn a_replica_is_read_only() {
    let master = Server::start();
    master.run("TASK.PUSH jobs x ID a");
    let replica = Server::replica_of(&master);
    for line in ["PUSH jobs x", "CLAIM jobs", "CLAIM jobs BLOCK 0", "COMPLETE jobs a done", "CANCEL jobs a", "FORGET jobs ALL"] {
        replica.run(&format!("TASK.{line}")).assert_refused("READONLY", &[]);
    }
    assert_eq!(replica.state("jobs", "a"), "ready");
    assert_eq!(replica.count("jobs", "ready"), 1);
    assert_eq!(replica.run("TASK.RESULT jobs a").at(0), "ready");
    assert_eq!(replica.run("TASK.LIST jobs ready 0").at(1).items().len(), 1);
}

/// A replica's own AOF holds all that it was told.
#[test]
fn a_replica_keeps_its_own_aof() {
    let master = Server::start();
    let mut replica = Server::builder().replica_of(&master).aof().start();
    master.wait_for_replica(&replica);
    eventually(|| replica.info("aof_rewrite_in_progress") == "0" && replica.info("aof_rewrite_scheduled") == "0");
    mixed_work(&master);
    eventually(|| master.count("jobs", "claimed") + master.count("jobs", "scheduled") == 0);
    eventually(|| replica.digest() == master.digest());
    drop(master);
    let before = (replica.dump("jobs"), replica.digest());
    replica.crash_and_restart();
    assert_eq!(replica.digest(), before.1);
    assert!(replica.dump("jobs") == before.0);
}

/// A replica of a replica is identical too.
#[test]
fn a_chain_is_identical() {
    let master = Server::start();
    let middle = Server::replica_of(&master);
    let last = Server::replica_of(&middle);
    mixed_work(&master);
    eventually(|| {
        let digest = master.digest();
        middle.digest() == digest && last.digest() == digest
    });
}

/// The command that carries effects is refused to clients, transactions and scripts.
#[test]
fn the_hidden_command_is_refused() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    let before = server.dump("jobs");
    for line in ["TASK.APPLY jobs x", "TASK.APPLY jobs \"\"", "TASK.APPLY none x"] {
        assert_eq!(server.run(line).code(), "ERR");
        let mut client = server.client();
        client.run("MULTI");
        let queued = client.run(line);
        let executed = client.run("EXEC");
        let refused = queued.is_error() || executed.is_error() || executed.at(0).is_error();
        assert!(refused, "{line}: {executed:?}");
    }
    let script = r#"EVAL "return redis.call('TASK.APPLY', KEYS[1], 'x')" 1 jobs"#;
    assert!(server.run(script).is_error());
    assert!(server.dump("jobs") == before);
    assert_eq!(server.run("EXISTS none"), 0);
}

/// With `task.apply-from-clients yes` an AOF can be replayed by an ordinary client; garbage is still refused.
#[test]
fn an_aof_can_be_replayed_by_a_client() {
    let source = Server::builder().aof().start();
    source.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 900000", "TASK.PUSH jobs x ID b DELAY 900000"]);
    let aof = fs::read_dir(source.directory().join("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .unwrap();
    let target = Server::builder().module_args(&["task.apply-from-clients", "yes"]).start();
    let mut client = target.client();
    client.send_raw(&fs::read(aof).unwrap());
    eventually(|| target.digest() == source.digest());
    assert!(target.dump("jobs") == source.dump("jobs"));
    assert_eq!(target.run("TASK.APPLY jobs garbage").code(), "ERR");
    assert!(target.dump("jobs") == source.dump("jobs"));
}

/// Effects that are partly of another history: what came before the mismatch is in the queue, and still falls due.
#[test]
fn what_came_before_a_mismatch_falls_due() {
    let target = Server::builder().module_args(&["task.apply-from-clients", "yes"]).start();
    target.run("TASK.PUSH jobs x ID a");
    let now = UnixMs(now_ms().unsigned_abs());
    let claim = Change::Claimed {
        attempt: 1,
        worker: "w",
        lease: Ms(200),
        at: now,
        deadline: now.after(Ms(200)),
        timeout_at: None,
        session: false,
    };
    let mut packed = Packed::default();
    packed.push(&Effect::Changed(TaskId::Named("a"), claim));
    packed.push(&Effect::Changed(TaskId::Named("unknown"), Change::Dropped));
    let reply = target.cmd(&[b"TASK.APPLY", b"jobs", packed.bytes()]);
    assert_eq!(reply.code(), "ERR");
    target.wait_for_state("a", "ready");
}
