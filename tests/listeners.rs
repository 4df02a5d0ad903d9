//! Nothing is replicated where nobody listens; whoever begins to listen, at whatever moment, misses nothing.

use crate::support::{
    Client, Server, Shutdown, eventually, eventually_within,
    history::{History, Load},
    holds_for,
};
use std::time::Duration;

/// A server to which nobody listens, and which has had the time to find that out.
fn quiet() -> Server {
    let server = Server::start();
    holds_for(1_300, || true);
    assert_eq!((server.info("connected_slaves").as_str(), server.info("repl_backlog_active").as_str()), ("0", "0"));
    server
}

fn change(client: &mut Client, id: &str) {
    for line in [
        format!("TASK.PUSH jobs x ID {id} DELAY 60000 RETAIN -1"),
        format!("TASK.RETRY jobs {id}"),
        "TASK.CLAIM jobs".to_owned(),
        format!("TASK.COMPLETE jobs {id} done"),
    ] {
        let reply = client.run(&line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
}

/// A replica that comes while producers and workers are busy, at once or after the delay of a diskless sync, in a save or not.
#[test]
fn a_replica_comes_in_the_middle() {
    for (delay, save) in [("0", false), ("1", false), ("0", true)] {
        let server = quiet();
        server.run_all(&[&format!("CONFIG SET repl-diskless-sync-delay {delay}")]);
        let history = History::new();
        let load = Load::start(&server, &history);
        history.wait_for_ends(50);
        if save {
            server.run("BGSAVE");
        }
        let replica = Server::builder().config("replicaof", &format!("127.0.0.1 {}", server.port())).start();
        eventually_within(Duration::from_secs(15), || replica.info("master_link_status") == "up");
        history.wait_for_ends(50);
        load.stop();
        history.finish(&server);
        eventually(|| replica.digest() == server.digest() && replica.dump("jobs") == server.dump("jobs"));
        history.check(&replica);
    }
}

/// A replica that goes and comes back finds what happened meanwhile, also when the master had restarted from its RDB.
#[test]
fn a_replica_comes_back() {
    let mut server = quiet();
    let replica = Server::replica_of(&server);
    change(&mut server.client(), "a");
    server.wait_for_replica(&replica);
    let mut client = server.client();
    for n in 0..20 {
        client.run("CLIENT KILL TYPE replica");
        change(&mut client, &format!("b{n}"));
    }
    eventually_within(Duration::from_secs(15), || replica.digest() == server.digest());
    server.restart(Shutdown::Save);
    change(&mut server.client(), "c");
    eventually_within(Duration::from_secs(15), || replica.info("master_link_status") == "up");
    change(&mut server.client(), "d");
    eventually(|| replica.digest() == server.digest() && replica.dump("jobs") == server.dump("jobs"));
}

/// A replica asks to be synchronized, which makes a backlog, and waits, or is gone before anything was forked. A dump that is saved then
/// is a base to go on from, and what is changed after it must come as it does to every replica.
#[test]
fn a_replica_goes_on_from_a_save() {
    for stays in [false, true] {
        let server = quiet();
        server.run("CONFIG SET repl-diskless-sync-delay 60");
        let mut asks = server.client();
        assert_eq!(asks.run("REPLCONF capa eof capa psync2"), "OK");
        asks.send("PSYNC ? -1");
        eventually(|| server.info("repl_backlog_active") == "1");
        let asks = stays.then_some(asks);
        change(&mut server.client(), "a");
        assert_eq!(server.run("SAVE"), "OK");
        change(&mut server.client(), "b");
        let dump = std::fs::read(server.directory().join("dump.rdb")).expect("a dump");
        let replica = Server::builder().file("dump.rdb", dump).replica_of(&server).start();
        server.run("CONFIG SET repl-diskless-sync-delay 0");
        eventually_within(Duration::from_secs(15), || replica.info("master_link_status") == "up");
        change(&mut server.client(), "c");
        eventually_within(Duration::from_secs(5), || {
            replica.digest() == server.digest() && replica.dump("jobs") == server.dump("jobs")
        });
        drop(asks);
    }
}

/// A replica that is promoted, and then found to have no replicas of its own.
#[test]
fn a_promoted_replica_goes_on() {
    let server = quiet();
    let first = Server::replica_of(&server);
    let second = Server::replica_of(&server);
    change(&mut server.client(), "a");
    server.wait_for_replica(&first);
    server.wait_for_replica(&second);
    first.run("REPLICAOF NO ONE");
    change(&mut first.client(), "b");
    second.run(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    change(&mut first.client(), "c");
    eventually_within(Duration::from_secs(15), || second.digest() == first.digest() && second.dump("jobs") == first.dump("jobs"));
}

/// An AOF that is switched on holds all, what happened before it included; so does a queue that changes in the same MULTI.
#[test]
fn an_aof_is_switched_on() {
    let mut server = quiet();
    let mut client = server.client();
    change(&mut client, "a");
    server.run_all(&["CONFIG SET appendonly yes", "CONFIG SET appendfsync always"]);
    change(&mut client, "b");
    eventually(|| server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0");
    change(&mut client, "c");
    server.run_all(&["CONFIG REWRITE"]);
    let before = (server.digest(), server.dump("jobs"));
    server.crash_and_restart();
    assert!((server.digest(), server.dump("jobs")) == before);
}

/// Changes count for the server's `save` points all the same.
#[test]
fn save_points_see_the_changes() {
    let server = quiet();
    let changes = || server.info("rdb_changes_since_last_save").parse::<i64>().expect("a count");
    let before = changes();
    change(&mut server.client(), "a");
    assert_eq!(changes(), before + 4);
    server.run("TASK.PUSH jobs x ID a");
    server.run("TASK.CLAIM jobs");
    assert_eq!(changes(), before + 4, "what changed nothing does not count");
    server.run("TASK.PUSH jobs x ID b DELAY 10");
    server.wait_for_state("b", "ready");
    assert_eq!(changes(), before + 6);
}
