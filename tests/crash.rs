//! Crashes: kill -9 under load loses nothing that was acknowledged, whatever the server was doing.

use crate::support::{
    Server, Value, eventually, eventually_within,
    history::{History, Load},
};
use std::{fs, path::PathBuf, time::Duration, time::Instant};

/// One history over many crashes, every third in a rewrite or a save.
#[test]
#[ignore = "long: make soak"]
fn nothing_is_lost_over_many_crashes() {
    let mut server = Server::builder().config("appendfsync", "always").aof().start();
    let history = History::new();
    for round in 0..100 {
        slow_saves(&server);
        let load = Load::start(&server, &history);
        history.wait_for_ends(40);
        let fault = match round % 6 {
            2 => {
                server.run("BGREWRITEAOF");
                "kill -9 in a rewrite"
            }
            5 => {
                server.run("BGSAVE");
                "kill -9 in a save"
            }
            _ => "kill -9",
        };
        history.wait_for_ends(20);
        history.fault(fault);
        server.kill();
        load.join();
        server.start_again();
        history.check(&server);
    }
    history.finish(&server);
}

/// Keys that make a save take two seconds, when each is saved slowly.
fn slow_saves(server: &Server) {
    let lines: Vec<_> = (0..100).map(|n| format!("SET filler:{n} {n}")).collect();
    server.client().run_each(&lines);
    assert_eq!(server.run("CONFIG SET rdb-key-save-delay 20000"), "OK");
}

/// Kills the server under load twice, the first time in the middle of what `during` began; nothing acknowledged is lost.
#[track_caller]
fn kill_under_load(mut server: Server, during: impl FnOnce(&Server), still: impl FnOnce(&Server) -> bool) {
    let history = History::new();
    let load = Load::start(&server, &history);
    history.wait_for_ends(100);
    during(&server);
    history.wait_for_ends(50);
    assert!(still(&server), "over before the crash");
    history.fault("kill -9");
    server.kill();
    load.join();
    server.start_again();
    history.check(&server);
    let load = Load::start(&server, &history);
    history.wait_for_ends(100);
    history.fault("kill -9");
    server.kill();
    load.join();
    server.start_again();
    history.finish(&server);
}

/// Every write is on the disk before its answer.
#[test]
fn nothing_is_lost_with_appendfsync_always() {
    kill_under_load(Server::builder().config("appendfsync", "always").aof().start(), |_| (), |_| true);
}

/// Every write has reached the system before its answer: a crash of the server alone loses nothing.
#[test]
fn nothing_is_lost_with_appendfsync_no() {
    kill_under_load(Server::builder().aof().start(), |_| (), |_| true);
}

/// With everysec a write waits, for at most two seconds, while a slow disk syncs: nothing older than that is lost.
#[test]
fn nothing_older_than_two_seconds_is_lost_with_everysec() {
    let mut server = Server::builder().config("appendfsync", "everysec").aof().start();
    let history = History::new();
    let load = Load::start(&server, &history);
    let begin = Instant::now();
    eventually(|| begin.elapsed() > Duration::from_millis(2_600));
    let killed = Instant::now();
    history.fault("kill -9");
    server.kill();
    load.join();
    server.start_again();
    history.forgive_after(killed.checked_sub(Duration::from_millis(2_100)).expect("a clock that has begun"));
    history.finish(&server);
}

#[track_caller]
fn kill_in_a_rewrite(server: Server) {
    slow_saves(&server);
    let is_rewriting = |server: &Server| server.info("aof_rewrite_in_progress") == "1";
    let rewrite = |server: &Server| {
        server.run("BGREWRITEAOF");
        eventually(|| is_rewriting(server));
    };
    kill_under_load(server, rewrite, is_rewriting);
}

/// In the middle of a rewrite of the AOF.
#[test]
fn nothing_is_lost_in_a_rewrite() {
    kill_in_a_rewrite(Server::builder().aof().start());
}

/// In the middle of a rewrite of the AOF as commands.
#[test]
fn nothing_is_lost_in_a_rewrite_as_commands() {
    kill_in_a_rewrite(Server::builder().aof_without_preamble().start());
}

/// In the middle of a BGSAVE.
#[test]
fn nothing_is_lost_in_a_save() {
    let server = Server::builder().aof().start();
    slow_saves(&server);
    let is_saving = |server: &Server| server.info("rdb_bgsave_in_progress") == "1";
    let save = |server: &Server| {
        server.run("BGSAVE");
        eventually(|| is_saving(server));
    };
    kill_under_load(server, save, is_saving);
}

/// Without an AOF a crash in the middle of a BGSAVE goes back to the last one, exactly.
#[test]
fn a_crash_in_a_save_goes_back_to_the_last() {
    let mut server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 900000", "TASK.PUSH jobs x ID b DELAY 900000"]);
    slow_saves(&server);
    server.run_all(&["CONFIG SET rdb-key-save-delay 0", "SAVE", "CONFIG SET rdb-key-save-delay 20000"]);
    let before = (server.dump("jobs"), server.digest());
    server.run_all(&["TASK.COMPLETE jobs a done", "TASK.PUSH jobs x ID c", "BGSAVE"]);
    eventually(|| server.info("rdb_bgsave_in_progress") == "1");
    server.run_all(&["TASK.PUSH jobs x ID d"]);
    server.crash_and_restart();
    assert!((server.dump("jobs"), server.digest()) == before);
}

/// In the middle of a storm of lapses: each happens once, before the crash or after it.
#[test]
fn a_storm_of_lapses_goes_on() {
    const TASKS: usize = 20_000;
    let tasks = i64::try_from(TASKS).expect("a count");
    let mut server = Server::builder().aof().start();
    let mut client = server.client();
    client.run_each(&vec!["TASK.PUSH jobs x ATTEMPTS 0"; TASKS]);
    client.run_each(&vec!["TASK.CLAIM jobs COUNT 1000 LEASE 1500"; TASKS / 1_000]);
    let lapsed = |server: &Server| server.run("TASK.INFO jobs").field("totals").field("lapsed").int();
    let mut seen = 0;
    eventually(|| {
        seen = lapsed(&server);
        seen > 0
    });
    assert!(seen < tasks, "over before the crash");
    server.crash_and_restart();
    eventually(|| server.count("jobs", "ready") == tasks);
    assert_eq!(lapsed(&server), tasks);
    let again = server.client().run_each(&vec!["TASK.CLAIM jobs COUNT 1000"; TASKS / 1_000]);
    assert!(again.iter().flat_map(Value::items).all(|task| task.at(2) == &Value::Int(2)));
}

/// In the middle of a full sync, the replica's crash and the master's: in the end both hold what was acknowledged.
#[test]
fn nothing_is_lost_in_a_full_sync() {
    let mut master = Server::builder().aof().start();
    let history = History::new();
    let load = Load::start(&master, &history);
    slow_saves(&master);
    let syncing = |master: &Server| master.info("rdb_bgsave_in_progress") == "1";
    let mut replica = Server::builder().replica_of(&master).aof().start();
    eventually(|| syncing(&master));
    history.wait_for_ends(50);
    history.fault("kill -9 of a replica in a full sync");
    replica.crash_and_restart();
    history.wait_for_ends(50);
    eventually(|| syncing(&master));
    history.fault("kill -9 of a master in a full sync");
    master.kill();
    load.join();
    master.start_again();
    let load = Load::start(&master, &history);
    history.wait_for_ends(50);
    eventually_within(Duration::from_secs(15), || replica.info("master_link_status") == "up");
    load.stop();
    history.finish(&master);
    master.wait_for_replica(&replica);
    assert!(replica.dump("jobs") == master.dump("jobs"));
    history.check(&replica);
}

fn aof(server: &Server) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(server.directory().join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".incr.aof"));
    files.pop().expect("an AOF")
}

/// An AOF whose tail was torn off holds the queue as it was after the last whole command, never half of one.
#[test]
fn a_torn_tail_is_cut_at_a_whole_command() {
    let mut server = Server::builder().aof().start();
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0 LEASE 900000");
    let path = aof(&server);
    let mut stages = Vec::new();
    for line in [
        "TASK.PUSH jobs x ID a",
        "TASK.PUSH jobs y ID b DELAY 900000",
        "TASK.PUSH jobs z ID c",
        "TASK.CLAIM jobs LEASE 900000",
        r#"EVAL "redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'd') return redis.call('TASK.CLAIM', KEYS[1], 'LEASE', 900000)" 1 jobs"#,
        "TASK.COMPLETE jobs a result",
        "TASK.FAIL jobs c no DEAD",
        "TASK.EXTEND jobs d LEASE 800000 CHECKPOINT half",
        "TASK.RETRY jobs b c",
        "TASK.MPUSH jobs 3 x y z PRIORITY 1",
    ] {
        assert!(!server.run(line).is_error(), "{line}");
        stages.push((fs::metadata(&path).unwrap().len(), server.dump("jobs"), server.digest()));
    }
    assert!(!worker.read().is_nil());
    drop(worker);
    server.kill();
    let whole = fs::read(&path).unwrap();
    for (n, (length, _, _)) in stages.iter().enumerate().skip(1) {
        for back in [0, 1, 9] {
            let cut = usize::try_from(length - back).expect("a length");
            fs::write(&path, &whole[..cut]).unwrap();
            server.start_again();
            let (_, dump, digest) = &stages[if back == 0 { n } else { n - 1 }];
            assert_eq!(server.digest(), *digest, "{back} bytes missing after {n}");
            assert!(server.dump("jobs") == *dump, "{back} bytes missing after {n}");
            server.kill();
        }
    }
}
