//! Files: what was acknowledged is there again, byte for byte.

use crate::support::{Server, Shutdown, eventually, holds_for};

/// A server of this kind whose queue holds tasks in every state, none of which will change by itself soon.
fn every_state(server: Server) -> Server {
    for id in ["completed", "failed", "retried", "released"] {
        server.run_all(&[&format!("TASK.PUSH jobs \"payload\\x00\\xff\" ID {id} PRIORITY 3"), "TASK.CLAIM jobs LEASE 900000"]);
    }
    server.run_all(&[
        "TASK.COMPLETE jobs completed \"done\\x00\"",
        "TASK.FAIL jobs failed no DEAD",
        "TASK.FAIL jobs retried no DELAY 900000",
        "TASK.RELEASE jobs released",
        "TASK.PUSH jobs x ID claimed PRIORITY 255 TIMEOUT 900000 BACKOFF 7 ATTEMPTS 9",
        "TASK.CLAIM jobs WORKER ann LEASE 900000",
        "TASK.EXTEND jobs claimed CHECKPOINT half",
        "TASK.PUSH jobs x ID canceled RETAIN -1",
        "TASK.CANCEL jobs canceled",
        "TASK.PUSH jobs x ID scheduled DELAY 900000 TTL 1000000",
        "TASK.PUSH jobs x ID expired TTL 1",
        "TASK.PUSH jobs x",
        "TASK.PUSH jobs x ID lapsed PRIORITY 254",
        "TASK.CLAIM jobs LEASE 1",
        "TASK.PUSH jobs x ID forgotten RETAIN 0 PRIORITY 255",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs forgotten gone",
    ]);
    server.wait_for_state("expired", "expired");
    server.wait_for_state("lapsed", "ready");
    for (id, state) in [("retried", "scheduled"), ("released", "ready"), ("claimed", "claimed"), ("forgotten", "none")] {
        assert_eq!(server.state("jobs", id), state);
    }
    server
}

/// What must not change: the queue's bytes and the data's digest.
fn state(server: &Server) -> (Vec<u8>, String) {
    (server.dump("jobs"), server.digest())
}

#[track_caller]
fn assert_same(server: &Server, before: &(Vec<u8>, String), when: &str) {
    let after = state(server);
    assert_eq!(after.1, before.1, "digest {when}");
    assert!(after.0 == before.0, "DUMP {when}");
}

/// A server that is started quietly, on an old file, changes nothing until it is told to, and can then pause a queue before anything is handed out.
#[test]
fn a_restored_server_can_be_looked_at_before_it_works() {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH mail x ID ready",
        "TASK.PUSH mail x ID due DELAY 100",
        "TASK.SCHEDULE mail often x EVERY 10",
        "SAVE",
    ]);
    let dump = std::fs::read(server.directory().join("dump.rdb")).unwrap();
    let server = Server::builder().file("dump.rdb", dump).config("min-replicas-to-write", "1").start();
    let mut worker = server.client();
    assert!(worker.run("TASK.CLAIM mail").is_error());
    let before = server.dump("mail");
    holds_for(200, || server.dump("mail") == before);
    let said = server.client().run_each(&["CONFIG SET min-replicas-to-write 0", "TASK.SET mail PAUSED all"]);
    assert!(said.iter().all(|reply| *reply == "OK"), "{said:?}");
    assert!(worker.run("TASK.CLAIM mail").is_nil());
    eventually(|| server.state("mail", "due") == "ready");
    assert_eq!(server.count("mail", "claimed"), 0);
}

/// An RDB holds the queue.
#[test]
fn rdb() {
    let mut server = every_state(Server::start());
    let before = state(&server);
    server.run("DEBUG RELOAD");
    assert_same(&server, &before, "after DEBUG RELOAD");
    server.restart(Shutdown::Save);
    assert_same(&server, &before, "after SHUTDOWN SAVE");
    assert_eq!(server.run("TASK.COMPLETE jobs claimed done ATTEMPT 1"), "OK");
}

/// An AOF holds the queue, after kill -9 too: every acknowledged change.
#[test]
fn aof() {
    let mut server = every_state(Server::builder().aof().start());
    let before = state(&server);
    server.crash_and_restart();
    assert_same(&server, &before, "after kill -9");
    server.run("DEBUG LOADAOF");
    assert_same(&server, &before, "after DEBUG LOADAOF");
    server.restart(Shutdown::NoSave);
    assert_same(&server, &before, "after SHUTDOWN NOSAVE");
    assert_eq!(server.run("TASK.COMPLETE jobs claimed done ATTEMPT 1"), "OK");
}

/// A rewritten AOF holds the queue, and what came after the rewrite; with an RDB preamble and as commands.
#[test]
fn rewritten_aof() {
    for builder in [Server::builder().aof(), Server::builder().aof_without_preamble()] {
        let mut server = every_state(builder.start());
        server.run_all(&["TASK.PUSH empty x ID a", "TASK.CANCEL empty a", "TASK.FORGET empty a"]);
        server.run("BGREWRITEAOF");
        eventually(|| server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0");
        assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
        server.run_all(&["TASK.PUSH jobs x ID after", "TASK.COMPLETE jobs claimed done ATTEMPT 1"]);
        let before = state(&server);
        server.crash_and_restart();
        assert_same(&server, &before, "after a rewrite and kill -9");
        assert_eq!(server.run("TYPE empty"), "taskqueue");
    }
}

/// A large queue goes through a rewrite as commands, whole.
#[test]
fn a_large_queue_is_rewritten() {
    let mut server = Server::builder().aof_without_preamble().start();
    let mut client = server.client();
    let push = format!("TASK.PUSH jobs {}", "x".repeat(300));
    client.send_all(&vec![push.as_str(); 20_000]);
    for _ in 0..20_000 {
        client.read();
    }
    server.run("TASK.CLAIM jobs COUNT 5000 LEASE 900000");
    server.run("BGREWRITEAOF");
    eventually(|| server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0");
    let before = state(&server);
    server.crash_and_restart();
    assert_same(&server, &before, "after a rewrite");
    assert_eq!(server.count("jobs", "claimed"), 5_000);
}

/// What time did is in the AOF as it happened: nothing happens twice after kill -9.
#[test]
fn what_time_did_is_kept() {
    let mut server = Server::builder().aof().start();
    for n in 0..20 {
        server.run(&format!("TASK.PUSH jobs x ID {n} DELAY {n} BACKOFF 1 RETAIN {n} RETAINFAILED -1 ATTEMPTS 2"));
    }
    eventually(|| {
        server.run("TASK.CLAIM jobs LEASE 1 BLOCK 5");
        server.count("jobs", "failed") == 20
    });
    let before = state(&server);
    holds_for(20, || state(&server) == before);
    server.crash_and_restart();
    assert_same(&server, &before, "after kill -9");
}

/// A task given to a waiting worker is claimed in the AOF too, in transactions and scripts as well.
#[test]
fn what_waiters_were_given_is_kept() {
    let mut server = Server::builder().aof().start();
    let mut workers: Vec<_> = (0..3).map(|_| server.block("TASK.CLAIM jobs BLOCK 0 LEASE 900000")).collect();
    let mut client = server.client();
    server.run("TASK.PUSH jobs x ID a");
    client.send_all(&["MULTI", "TASK.PUSH jobs x ID b", "EXEC"]);
    for _ in 0..3 {
        client.read();
    }
    server.run(r#"EVAL "return redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'c')" 1 jobs"#);
    for worker in &mut workers {
        assert!(!worker.read().is_nil());
    }
    let before = state(&server);
    drop(workers);
    server.crash_and_restart();
    assert_same(&server, &before, "after kill -9");
    assert_eq!(server.count("jobs", "claimed"), 3);
}
