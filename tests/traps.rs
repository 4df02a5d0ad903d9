//! Ways in which a module brings its server down, or its replica out of step: each was seen to happen to some module, and none may
//! happen to this one.
//!
//! Held elsewhere:
//!
//! | trap | test |
//! | --- | --- |
//! | a timer that replicates during CLIENT PAUSE WRITE | `time::a_pause_of_writes_stops_time`, `waiting_for_tasks::a_pause_hands_nothing_out` |
//! | … during CLUSTER FAILOVER | `cluster_nodes::a_replica_takes_over` |
//! | a timer that makes the key of a slot that has moved away | `cluster_nodes::a_slot_is_migrated`, `cluster::time_stands_still_in_a_slot_of_others` |
//! | a timer that acts on a replica | `replication::a_replica_does_not_act_on_time` |
//! | a panic that crosses into C | `panics` |
//! | a damaged RDB or dump whose checksum is wrong | `key_commands::a_broken_dump_is_refused` |
//! | the probe without `E`, with too few replicas (Valkey) | `time::too_few_replicas_stop_time` |
//! | a timer with more than 35 minutes to go (Redis 7.0) | `time::far_deadlines_cost_nothing` |
//! | deadlines after RENAME, COPY, MOVE, SWAPDB, RESTORE, DEBUG RELOAD | `time::deadlines_follow_the_queue` |
//! | WATCH that is touched by a read or a refused command | `key_commands::watch` |
//! | a key of another type | `key_commands::wrong_type`, `waiting_for_results::is_woken_when_the_queue_is_replaced` |
//! | blocking in MULTI, in scripts and in functions | `waiting_for_tasks::does_not_wait_in_transactions_and_scripts` |
//! | clients that vanish in a pause of writes, in a transaction, or in the turn of their reply, and hold claims | `sessions::a_pause_of_writes`, `ends_with_its_connection`, `a_dying_waiter_uses_up_no_try` |
//! | client ids that come again after a restart | `sessions::a_restart_leaves_one_lease` |
//! | client ids of scripts, which are no clients' | `sessions::is_refused_where_there_is_no_connection` |
//! | keys that Redis 7.0 does not find in a cluster | `cluster_nodes::every_command_is_redirected` |
//! | waiting clients that vanish | `waiting_for_tasks::a_killed_waiter_is_passed_over`, `a_task_given_to_a_dying_waiter_is_not_lost` |
//! | all of them together, for minutes | `soak` |

use crate::support::{Client, Server, Value, bulk, eventually, eventually_within, holds_for, now_ms, task::Claim};
use std::time::Duration;

/// A master with an AOF and a replica.
fn pair() -> (Server, Server) {
    let master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    (master, replica)
}

/// Replica, AOF and master hold the same.
#[track_caller]
fn all_agree(master: &mut Server, replica: &Server) {
    eventually(|| master.digest() == replica.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
}

/// Timers during FAILOVER, which pauses writes: each of many deadlines falls due once, on one of the two.
#[test]
fn deadlines_in_a_failover() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    let mut client = master.client();
    client.run_each(&(0..500).map(|n| format!("TASK.PUSH jobs x ID {n} DELAY {}", 150 + n)).collect::<Vec<_>>());
    eventually(|| master.count("jobs", "ready") > 0);
    assert_eq!(master.run("FAILOVER"), "OK");
    eventually(|| replica.info("role") == "master");
    eventually(|| replica.count("jobs", "ready") == 500);
    eventually(|| master.info("master_link_status") == "up" && master.digest() == replica.digest());
}

/// A transaction brings a queue for which workers wait, and pauses writes: they are given its tasks when writes go on.
#[test]
fn a_queue_that_comes_with_a_pause() {
    for line in ["RENAME other jobs", "COPY other jobs", "MOVE jobs 0", "SWAPDB 0 1"] {
        let (mut master, replica) = pair();
        let mut client = master.client();
        if line.starts_with("MOVE") && !client.moves_well() {
            println!("skipped: {line}, which this version of Valkey replicates wrongly");
            continue;
        }
        let is_elsewhere = line.starts_with("MOVE") || line.starts_with("SWAPDB");
        let queue = if is_elsewhere { "jobs" } else { "other" };
        let mut worker = master.block("TASK.CLAIM jobs LEASE 600000 BLOCK 0");
        client.run_each(&[if is_elsewhere { "SELECT 1" } else { "SELECT 0" }, &format!("TASK.PUSH {queue} x ID a")]);
        client.run_each(&["MULTI", line, "CLIENT PAUSE 100 WRITE", "EXEC"]);
        assert_eq!(worker.read().at(0), "a", "{line}");
        all_agree(&mut master, &replica);
    }
}

/// Timers during CLIENT PAUSE ALL, and a worker that is killed meanwhile: its claim is given back when writes go on.
#[test]
fn a_worker_dies_in_a_pause() {
    let (mut master, replica) = pair();
    let mut worker = master.client();
    let id = worker.id();
    worker.send("TASK.CLAIM jobs BLOCK 0 LEASE 600000");
    master.wait_for_blocked(1);
    let mut client = master.client();
    client.send_all(&["TASK.PUSH jobs x ID a", &format!("CLIENT KILL ID {id}"), "CLIENT PAUSE 150 ALL"]);
    for _ in 0..3 {
        assert!(!client.read().is_error());
    }
    drop(worker);
    // Where the server cannot tell that the reply was lost, the claim stands until its lease ends.
    eventually(|| ["ready", "claimed"].contains(&master.state("jobs", "a").as_str()));
    all_agree(&mut master, &replica);
}

/// A push that serves a waiter, and a pause of writes in the same packet: the reply must replicate nothing.
#[test]
fn a_pause_in_the_packet_of_the_push() {
    let (mut master, replica) = pair();
    for n in 0..20 {
        let mut worker = master.block("TASK.CLAIM jobs BLOCK 0");
        let mut client = master.client();
        client.send_all(&[&format!("TASK.PUSH jobs x ID {n}"), "CLIENT PAUSE 10000 WRITE"]);
        assert_eq!(worker.read().at(0), &bulk(n.to_string()));
        assert_eq!(client.read(), bulk(n.to_string()));
        client.read();
        master.run("CLIENT UNPAUSE");
    }
    all_agree(&mut master, &replica);
}

/// Two replies to one command: the waiter is served and unblocked, killed or cut off in one packet. Its connection answers what comes
/// next, or is closed.
#[test]
fn a_waiter_is_answered_once() {
    let server = Server::start();
    for (how, answers) in [("CLIENT UNBLOCK ID", 2), ("CLIENT KILL ID ID", 1), ("CLIENT UNBLOCK ID TIMEOUT", 2)] {
        for order in [true, false] {
            for _ in 0..10 {
                let mut worker = server.client();
                let id = worker.id();
                worker.send("TASK.CLAIM jobs BLOCK 0");
                server.wait_for_blocked(1);
                let interrupt = how.replacen("ID", &id.to_string(), 1).replacen(&format!("{id} ID"), &format!("ID {id}"), 1);
                let lines = ["TASK.PUSH jobs x", interrupt.as_str()];
                let mut client = server.client();
                client.send_all(&if order { lines } else { [lines[1], lines[0]] });
                client.read();
                client.read();
                worker_is_in_step(&mut worker, answers == 1);
                server.run("DEL jobs");
            }
        }
    }
}

/// The connection answers its CLAIM once, then ECHO; or it is closed.
#[track_caller]
fn worker_is_in_step(worker: &mut Client, may_be_closed: bool) {
    match worker.try_read(Duration::from_secs(5)) {
        Ok(Some(reply)) => assert!(reply.is_nil() || reply.is_error() || !reply.at(0).is_nil()),
        Ok(None) => panic!("no answer"),
        Err(_) => return assert!(may_be_closed),
    }
    match worker.try_run("ECHO in-step") {
        // Redis 7.0 says goodbye after the answer.
        Ok(goodbye) if may_be_closed && goodbye.code() == "UNBLOCKED" => {
            assert!(worker.try_read(Duration::from_secs(5)).is_err());
        }
        Ok(reply) => assert_eq!(reply, "in-step"),
        Err(_) => assert!(may_be_closed),
    }
}

/// The same with REPLICAOF, which sends waiters away.
#[test]
fn a_demotion_in_the_packet_of_the_push() {
    let other = Server::start();
    for _ in 0..5 {
        let server = Server::start();
        let mut worker = server.block("TASK.CLAIM jobs BLOCK 0 LEASE 300");
        let mut client = server.client();
        client.send_all(&["TASK.PUSH jobs x ID a", &format!("REPLICAOF 127.0.0.1 {}", other.port()), "REPLICAOF NO ONE"]);
        for _ in 0..3 {
            client.read();
        }
        worker_is_in_step(&mut worker, true);
        // Served or not, the task is not lost.
        assert_eq!(Claim::of(&server.run("TASK.CLAIM jobs BLOCK 4000")).id, "a");
    }
}

/// CRC-64 as a dump ends with (the polynomial of Jones, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 })
    })
}

/// A dump that was changed or cut and given a right checksum: RESTORE refuses it, or what it makes is a queue; the server lives.
#[test]
fn a_damaged_dump_with_a_right_checksum() {
    assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs hello ID held PRIORITY 9 LEASE 900000 ATTEMPTS 7",
        "TASK.CLAIM jobs WORKER ann",
        "TASK.PUSH jobs hello TTL 900000",
        "TASK.PUSH jobs hello ID later DELAY 900000",
    ]);
    let dump = server.dump("jobs");
    let (body, version) = (&dump[..dump.len() - 10], &dump[dump.len() - 10..dump.len() - 8]);
    let restore = |body: &[u8]| {
        let mut forged = [body, version].concat();
        forged.extend(crc64(&forged).to_le_bytes());
        let reply = server.cmd(&[b"RESTORE", b"forged", b"0", &forged, b"REPLACE"]);
        if !reply.is_error() {
            server.run_all(&[
                "TASK.INFO forged",
                "TASK.CLAIM forged COUNT 10 LEASE 900000",
                "TASK.LIST forged claimed 0",
                "DEL forged",
            ]);
        }
        reply
    };
    assert_eq!(restore(body), "OK");
    // The first bytes say that it is a value of a module, and of which: what is another type's is not ours to test.
    for at in 10..body.len() {
        restore(&body[..at]);
        for change in [0x01, 0x80, 0xff] {
            let mut forged = body.to_vec();
            forged[at] ^= change;
            restore(&forged);
        }
    }
    assert_eq!(server.run("PING"), "PONG");
}

/// A queue is freed in a background thread, however the server is told to, while claims and deadlines go on in others.
#[test]
fn freed_in_the_background() {
    for lazily in ["yes", "no"] {
        let lazy = |server: crate::support::Builder, name: &str| server.config(&format!("lazyfree-lazy-{name}"), lazily);
        let names = ["eviction", "expire", "server-del", "user-del", "user-flush"];
        let server = names.into_iter().fold(Server::builder(), lazy).start();
        let mut worker = server.client();
        for away in ["UNLINK big", "DEL big", "FLUSHALL ASYNC", "FLUSHALL SYNC", "PEXPIRE big 1", "RENAME small big", "SET big x"]
        {
            let mut client = server.client();
            client.run("TASK.PUSH big x ID held DELAY 900000");
            client.run_each(&vec!["TASK.PUSH big \"a payload\" DELAY 900000"; 2_000]);
            client.run_each(&(0..2_000).map(|n| format!("TASK.PUSH big x ID {n} TTL {}", 1 + n % 60)).collect::<Vec<_>>());
            client.run_each(&(0..200).map(|n| format!("TASK.PUSH small x ID {n} DELAY {}", n % 60)).collect::<Vec<_>>());
            let waiter = server.block("TASK.RESULT big held BLOCK 600");
            client.send(away);
            for _ in 0..20 {
                worker.run("TASK.CLAIM small BLOCK 2 LEASE 3");
            }
            assert!(!client.read().is_error(), "{away}");
            drop(waiter);
            eventually(|| server.info("lazyfree_pending_objects") == "0");
            assert_eq!(server.run("PING"), "PONG");
            server.run("FLUSHALL SYNC");
        }
    }
}

/// The probe while the server refuses writes because a save failed (MISCONF): time stands still, and goes on.
#[test]
fn a_failed_save_stops_time() {
    let server = Server::builder().config("save", "900 100000").config("dbfilename", "taken.rdb").start();
    // A folder in the way of the file: the save fails whoever runs it.
    std::fs::create_dir_all(server.directory().join("taken.rdb/by-this")).expect("a folder");
    server.run_all(&["TASK.PUSH jobs x ID a DELAY 1000", "BGSAVE"]);
    eventually(|| server.info("rdb_last_bgsave_status") == "err");
    server.run("TASK.PUSH jobs x").assert_refused("MISCONF", &[]);
    holds_for(1_200, || server.state("jobs", "a") == "scheduled");
    server.run("CONFIG SET stop-writes-on-bgsave-error no");
    server.wait_for_state("a", "ready");
}

/// Timers that are set and stopped from within a timer: each lapse serves the next waiter, whose lease ends a millisecond later.
#[test]
fn timers_set_within_timers() {
    let (mut master, replica) = pair();
    let mut workers: Vec<_> = (0..60).map(|_| master.client()).collect();
    for worker in &mut workers {
        worker.send("TASK.CLAIM jobs BLOCK 60000 LEASE 1");
    }
    master.wait_for_blocked(workers.len());
    master.run("TASK.PUSH jobs x ID a ATTEMPTS 0");
    let mut attempts: Vec<_> = workers.iter_mut().map(|worker| Claim::of(&worker.read()).attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, (1..=60).collect::<Vec<_>>());
    master.wait_for_state("a", "ready");
    all_agree(&mut master, &replica);
}

/// Names with NUL and other bytes, wherever a name goes: keys, events, effects, deadlines, waiters.
#[test]
fn names_of_any_bytes() {
    let (mut master, replica) = pair();
    master.run("CONFIG SET notify-keyspace-events KEAd");
    let names: [&[u8]; 4] = [b"a\0b", b"\0", b"\xff\xfe\r\n", b""];
    for name in names {
        let mut waiter = master.client();
        waiter.send_cmd(&[b"TASK.RESULT", name, b"id", b"BLOCK", b"5000"]);
        let mut client = master.client();
        assert_eq!(client.cmd(&[b"TASK.PUSH", name, b"x\0y", b"ID", b"id", b"DELAY", b"5"]), bulk("id"));
        let claim = Claim::of(&client.cmd(&[b"TASK.CLAIM", name, b"BLOCK", b"5000", b"LEASE", b"5"]));
        assert_eq!((claim.id.as_str(), claim.payload.as_slice()), ("id", &b"x\0y"[..]));
        let again = Claim::of(&client.cmd(&[b"TASK.CLAIM", name, b"BLOCK", b"5000", b"LEASE", b"900000"]));
        assert_eq!(again.attempt, 2);
        client.cmd(&[b"RENAME", name, b"\0other"]);
        client.cmd(&[b"COPY", b"\0other", name]);
        assert_eq!(client.cmd(&[b"TASK.COMPLETE", name, b"id", b"\0", b"ATTEMPT", b"2"]), "OK");
        client.cmd(&[b"DEL", b"\0other"]);
        client.cmd(&[b"TASK.PUSH", name, b"x", b"ID", b"a\0b"]).assert_refused("ERR", &["id"]);
        client.cmd(&[b"TASK.CLAIM", name, b"WORKER", b"a\0b"]).assert_refused("ERR", &["worker"]);
        client.cmd(&[b"TASK.PUSH", name, b"x", b"\0"]).assert_refused("ERR", &[]);
    }
    all_agree(&mut master, &replica);
}

/// A key event that serves a waiter: what it is given must not come into the stream before the command that made it possible.
#[test]
fn served_by_a_key_event() {
    let (mut master, replica) = pair();
    master.run("CONFIG SET notify-keyspace-events KEAd");
    for make in [
        "RENAME from jobs",
        "COPY from jobs",
        "MULTI",
        "RESTORE",
        "EVAL \"return redis.call('RENAME', 'from', 'jobs')\" 2 from jobs",
    ] {
        master.run("TASK.PUSH from x ID a");
        let dump = master.dump("from");
        let mut worker = master.block("TASK.CLAIM jobs BLOCK 0");
        match make {
            "RESTORE" => drop(master.cmd(&[b"RESTORE", b"jobs", b"0", &dump])),
            "MULTI" => master.run_all(&["MULTI", "RENAME from jobs", "TASK.PUSH jobs x ID b", "EXEC"]),
            line => drop(master.run(line)),
        }
        assert_eq!(worker.read().at(0), "a", "{make}");
        eventually(|| master.digest() == replica.digest());
        master.run("DEL from jobs");
    }
    all_agree(&mut master, &replica);
}

/// RESTORE … REPLACE: the server loads the new value before it unlinks the old one, which must not take the new one's deadlines along.
#[test]
fn deadlines_of_a_replaced_queue() {
    let server = Server::start();
    server.run("TASK.PUSH from x ID a DELAY 150");
    let dump = server.dump("from");
    server.run("TASK.PUSH jobs x ID old DELAY 10");
    assert_eq!(server.cmd(&[b"RESTORE", b"jobs", b"0", &dump, b"REPLACE"]), "OK");
    assert_eq!(server.state("jobs", "old"), "none");
    server.wait_for_state("a", "ready");
}

/// A deadline whose key is of another type by then, or gone: nothing happens to it.
#[test]
fn a_deadline_of_a_key_of_another_type() {
    let server = Server::start();
    for over in ["SET jobs text", "DEL jobs", "RENAME list jobs"] {
        server.run_all(&["RPUSH list x", "TASK.PUSH jobs x ID a DELAY 30", "TASK.PUSH jobs x ID b TTL 40"]);
        server.run(over);
        let (kind, digest) = (server.run("TYPE jobs"), server.digest());
        holds_for(100, || server.run("TYPE jobs") == kind && server.digest() == digest);
        server.run("FLUSHALL");
    }
}

/// The AOF is rewritten, as commands and with a preamble, while deadlines fall due and waiters are served.
#[test]
fn a_rewrite_while_time_goes_on() {
    for preamble in ["yes", "no"] {
        let mut server = Server::builder().aof().config("aof-use-rdb-preamble", preamble).start();
        let mut client = server.client();
        client.run_each(&(0..1_000).map(|n| format!("TASK.PUSH jobs x ID {n} DELAY {} ATTEMPTS 0", n % 400)).collect::<Vec<_>>());
        let mut worker = server.client();
        let until = now_ms() + 500;
        let mut rewrites = 0;
        while now_ms() < until {
            rewrites += i32::from(!server.run("BGREWRITEAOF").is_error());
            for _ in 0..20 {
                worker.run("TASK.CLAIM jobs BLOCK 5 LEASE 3");
            }
        }
        assert!(rewrites > 0);
        eventually_within(Duration::from_secs(20), || {
            server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0"
        });
        eventually(|| server.count("jobs", "ready") == 1_000);
        let digest = server.digest();
        assert_eq!(server.crash_and_restart().digest(), digest);
    }
}

/// DEBUG RELOAD, which drops and loads everything, with clients waiting: they are served afterwards, and time goes on.
#[test]
fn a_reload_while_clients_wait() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID held PRIORITY 9");
    server.claim("jobs");
    let mut worker = server.block("TASK.CLAIM empty BLOCK 0");
    let mut caller = server.block("TASK.RESULT jobs held BLOCK 0");
    server.run("TASK.PUSH jobs x ID later DELAY 300");
    assert_eq!(server.run("DEBUG RELOAD"), "OK");
    server.run("TASK.PUSH empty x ID a DELAY 10");
    assert_eq!(worker.read().at(0), "a");
    server.wait_for_state("later", "ready");
    // The load replaced the queue that its task was in: it may be told so, or wait on for the same task.
    server.run("TASK.COMPLETE jobs held done ATTEMPT 1");
    let answer: Value = caller.read();
    assert!(answer.is_nil() || answer.at(1) == "done", "{answer:?}");
}

/// A script that calls commands which would wait, with others waiting already: nobody is lost.
#[test]
fn a_script_among_waiters() {
    let (mut master, replica) = pair();
    let mut worker = master.block("TASK.CLAIM jobs BLOCK 0");
    let script = "redis.call('TASK.CLAIM', KEYS[1], 'BLOCK', '1000') \
                  redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'a') \
                  redis.call('TASK.RESULT', KEYS[1], 'a', 'BLOCK', '1000') \
                  return redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'b')";
    let reply = master.cmd(&[b"EVAL", script.as_bytes(), b"1", b"jobs"]);
    assert_eq!(reply, bulk("b"));
    assert_eq!(worker.read().at(0), "a");
    assert_eq!(master.claim("jobs").id, "b");
    all_agree(&mut master, &replica);
}
