//! Failover: what replicas have confirmed is on the new master, and its deadlines go on.

use crate::support::{
    Server, Value, eventually, eventually_within,
    history::{History, Load},
    holds_for, now_ms,
    sentinel::Sentinel,
    task::Claim,
};
use std::time::Duration;

/// Long enough for a link to be found broken and set up again.
const RELINK: Duration = Duration::from_secs(15);

#[track_caller]
fn eventually_same(master: &Server, replica: &Server) {
    eventually_within(RELINK, || replica.digest() == master.digest() && replica.dump("jobs") == master.dump("jobs"));
}

/// Waits until the server is a master that takes writes.
#[track_caller]
fn wait_for_promotion(server: &Server) {
    eventually_within(RELINK, || info(server, "role") == "master" && info(server, "master_failover_state") == "no-failover");
    server.reconnect();
}

/// A field of INFO over a connection of its own: Sentinel kills those that are open. Empty if it was killed.
fn info(server: &Server, field: &str) -> String {
    let reply = server.client().try_run("INFO replication").map_or_else(|_| String::new(), |info| info.text());
    let value = reply.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().trim_end().to_owned()
}

fn offset(replica: &Server) -> i64 {
    replica.info("slave_repl_offset").parse().expect("an offset")
}

fn follow(replica: &Server, master: &Server) {
    replica.run(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
}

fn total(server: &Server, name: &str) -> i64 {
    server.run("TASK.INFO jobs").field("totals").field(name).int()
}

/// Pushes `count` tasks that ripen one after the other from `from_ms` from now, and claims as many that lapse in the same time.
fn pending(server: &Server, count: i64, from_ms: i64) {
    let mut client = server.client();
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.PUSH jobs x ID held{n} PRIORITY 9 ATTEMPTS 0")).collect();
    client.run_each(&lines);
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.CLAIM jobs LEASE {}", from_ms + n % 400)).collect();
    client.run_each(&lines);
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.PUSH jobs x ID later{n} DELAY {}", from_ms + n % 400)).collect();
    client.run_each(&lines);
}

/// All that `pending` left falls due, each once.
#[track_caller]
fn all_fall_due(server: &Server, count: i64) {
    eventually(|| server.count("jobs", "ready") == 2 * count);
    assert_eq!((total(server, "lapsed"), total(server, "pushed")), (count, 2 * count));
    let claims = server.client().run_each(&vec!["TASK.CLAIM jobs COUNT 500"; usize::try_from(count / 250).expect("a count")]);
    let claims: Vec<_> = claims.iter().flat_map(Claim::all_of).collect();
    assert_eq!(claims.len(), usize::try_from(2 * count).expect("a count"));
    for claim in claims {
        assert_eq!(claim.attempt, if claim.id.starts_with("held") { 2 } else { 1 }, "{}", claim.id);
    }
}

/// What two replicas confirmed survives the master's death and the promotion of one of them.
#[test]
fn what_wait_confirmed_survives_a_promotion() {
    let mut master = Server::start();
    let replicas = [Server::replica_of(&master), Server::replica_of(&master)];
    let history = History::new();
    let load = Load::confirmed(&master, &history, 2);
    history.wait_for_ends(100);
    history.fault("kill -9 of the master and promotion");
    master.kill();
    load.join();
    let [a, b] = &replicas;
    let (new, other) = if offset(a) >= offset(b) { (a, b) } else { (b, a) };
    new.run("REPLICAOF NO ONE");
    follow(other, new);
    let load = Load::start(new, &history);
    history.wait_for_ends(100);
    load.stop();
    history.finish(new);
    eventually_same(new, other);
    history.check(other);
}

/// What is on two disks by WAITAOF survives the death of both servers: the replica starts from its own AOF and is promoted.
#[test]
fn what_waitaof_confirmed_survives_two_deaths() {
    let mut master = Server::builder().config("appendfsync", "always").aof().start();
    let mut replica = Server::builder().config("appendfsync", "always").aof().replica_of(&master).start();
    master.wait_for_replica(&replica);
    if master.run("WAITAOF 0 0 10").is_error() {
        println!("skipped: this server has no WAITAOF");
        return;
    }
    // A replica confirms nothing while it rewrites its AOF after the full sync.
    master.run("SET in-step yes");
    eventually_within(RELINK, || master.run("WAITAOF 1 1 1500").at(1) == &Value::Int(1));
    let history = History::new();
    let load = Load::on_disks(&master, &history, 1);
    history.wait_for_ends(50);
    history.fault("kill -9 of master and replica");
    replica.kill();
    master.kill();
    load.join();
    replica.start_again();
    replica.run("REPLICAOF NO ONE");
    history.finish(&replica);
}

/// With `min-replicas-to-write` a master without its replica acknowledges nothing that only it would know.
#[test]
fn a_master_without_enough_replicas_acknowledges_nothing() {
    let master = Server::builder().config("min-replicas-to-write", "1").start();
    let mut replica = Server::builder().replica_of(&master).start();
    master.wait_for_replica(&replica);
    eventually(|| !master.run("TASK.PUSH jobs x ID a").is_error());
    master.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs"]);
    master.wait_for_replica(&replica);
    replica.kill();
    eventually(|| master.info("connected_slaves") == "0");
    let before = master.dump("jobs");
    for line in [
        "TASK.PUSH jobs x",
        "TASK.CLAIM jobs",
        "TASK.EXTEND jobs a",
        "TASK.COMPLETE jobs a result ATTEMPT 1",
        "TASK.FAIL jobs a error ATTEMPT 1",
        "TASK.RELEASE jobs a ATTEMPT 1",
        "TASK.CANCEL jobs a",
    ] {
        master.run(line).assert_refused("NOREPLICAS", &[]);
    }
    assert!(master.dump("jobs") == before);
    replica.start_again();
    eventually_within(RELINK, || master.run("TASK.COMPLETE jobs a result ATTEMPT 1") == "OK");
}

/// Masters that die one after the other, each under load: what both replicas confirmed is on the next.
#[test]
#[ignore = "long: make soak"]
fn what_wait_confirmed_survives_many_promotions() {
    let first = Server::start();
    let mut servers = vec![Server::replica_of(&first), Server::replica_of(&first), first];
    let history = History::new();
    for _ in 0..30 {
        let mut master = servers.pop().expect("three servers");
        let load = Load::confirmed(&master, &history, 2);
        history.wait_for_ends(60);
        history.fault("kill -9 of the master and promotion");
        master.kill();
        load.join();
        servers.sort_by_key(offset);
        let [other, new] = &servers[..] else { panic!("two replicas") };
        new.run("REPLICAOF NO ONE");
        history.check(new);
        master.start_again();
        for replica in [other, &master] {
            follow(replica, new);
            eventually_within(RELINK, || replica.info("master_link_status") == "up");
            new.wait_for_replica(replica);
        }
        servers.insert(0, master);
    }
    history.finish(&servers[2]);
    eventually_same(&servers[2], &servers[0]);
    eventually_same(&servers[2], &servers[1]);
}

/// FAILOVERs there and back again under load lose nothing that was answered, confirmed or not.
#[track_caller]
fn failovers_lose_nothing(times: usize) {
    let (first, second) = (Server::start(), Server::start());
    follow(&second, &first);
    first.wait_for_replica(&second);
    let history = History::new();
    for (master, replica) in [(&first, &second), (&second, &first)].into_iter().cycle().take(times) {
        eventually_within(RELINK, || replica.info("master_link_status") == "up");
        master.wait_for_replica(replica);
        let load = Load::start(master, &history);
        history.wait_for_ends(100);
        history.fault("FAILOVER");
        assert_eq!(master.run("FAILOVER"), "OK");
        wait_for_promotion(replica);
        load.join();
    }
    history.finish(&first);
    eventually_same(&first, &second);
}

/// Twice, so that the first master is the last one.
#[test]
fn failover_loses_nothing() {
    failovers_lose_nothing(2);
}

#[test]
#[ignore = "long: make soak"]
fn many_failovers_lose_nothing() {
    failovers_lose_nothing(30);
}

/// FAILOVER with thousands of deadlines pending: each falls due once, on whichever is the master then.
#[test]
fn failover_with_deadlines_pending() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    pending(&master, 2_000, 1_000);
    eventually(|| total(&master, "lapsed") > 0);
    assert_eq!(master.run("FAILOVER"), "OK");
    wait_for_promotion(&replica);
    all_fall_due(&replica, 2_000);
    eventually_same(&replica, &master);
}

/// While writes are paused thousands of deadlines pass and nothing happens; then each falls due once, on the replica too.
#[test]
fn a_pause_with_deadlines_pending() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    pending(&master, 2_000, 1_000);
    eventually(|| total(&master, "lapsed") > 0);
    master.run("CLIENT PAUSE 60000 WRITE");
    let before = master.dump("jobs");
    holds_for(500, || master.info("blocked_clients") == "0");
    assert!(master.dump("jobs") == before, "time went on while writes were paused");
    master.wait_for_replica(&replica);
    assert!(replica.dump("jobs") == before);
    master.run("CLIENT UNPAUSE");
    all_fall_due(&master, 2_000);
    eventually_same(&master, &replica);
}

/// A partial and a full resync with thousands of deadlines pending, while they fall due: the same bytes in the end.
#[test]
fn resyncs_with_deadlines_pending() {
    let master = Server::builder().config("repl-backlog-size", "16kb").start();
    let replica = Server::replica_of(&master);
    let syncs = |kind: &str| master.info(kind).parse::<u64>().expect("a count");
    master.run("TASK.PUSH other x DELAY 900000");
    let partial = syncs("sync_partial_ok");
    master.run("CLIENT KILL TYPE replica");
    master.run("TASK.PUSH other x DELAY 900000");
    eventually_within(RELINK, || syncs("sync_partial_ok") > partial);
    eventually_same(&master, &replica);
    pending(&master, 2_000, 1_000);
    let full = syncs("sync_full");
    master.run("CLIENT KILL TYPE replica");
    eventually(|| total(&master, "lapsed") > 0);
    eventually_within(RELINK, || syncs("sync_full") > full || syncs("sync_partial_ok") > partial + 1);
    // A master of its own for a while, the replica goes another way: only a full sync brings it back.
    replica.run("REPLICAOF NO ONE");
    eventually(|| total(&master, "lapsed") > 500 && total(&replica, "lapsed") > 500);
    follow(&replica, &master);
    eventually_within(RELINK, || syncs("sync_full") > full);
    eventually(|| master.count("jobs", "ready") == 4_000);
    eventually_same(&master, &replica);
    replica.run("REPLICAOF NO ONE");
    all_fall_due(&replica, 2_000);
}

/// The middle of a chain is promoted: its own replica follows without a full sync and holds the same.
#[test]
fn the_middle_of_a_chain_is_promoted() {
    let mut master = Server::start();
    let middle = Server::builder().replica_of(&master).aof().start();
    master.wait_for_replica(&middle);
    let mut last = Server::builder().replica_of(&middle).aof().start();
    middle.wait_for_replica(&last);
    let history = History::new();
    let load = Load::start(&master, &history);
    history.wait_for_ends(100);
    load.stop();
    eventually_same(&master, &last);
    master.kill();
    middle.run("REPLICAOF NO ONE");
    let load = Load::start(&middle, &history);
    history.wait_for_ends(50);
    load.stop();
    history.finish(&middle);
    eventually_same(&middle, &last);
    last.run_all(&["REPLICAOF NO ONE", "CONFIG REWRITE"]);
    eventually(|| last.info("aof_rewrite_in_progress") == "0" && last.info("aof_rewrite_scheduled") == "0");
    last.crash_and_restart();
    history.check(&last);
}

/// Clients that wait on a master that is demoted are told so, and are served by the new master when they ask again.
#[test]
fn waiting_clients_are_sent_away_and_served_again() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    master.run_all(&["TASK.PUSH jobs x ID held", "TASK.CLAIM jobs LEASE 900000"]);
    master.wait_for_replica(&replica);
    let mut worker = master.block("TASK.CLAIM jobs BLOCK 0");
    let mut caller = master.block("TASK.RESULT jobs held BLOCK 0");
    let mut patient = replica.block("TASK.RESULT jobs held BLOCK 0");
    assert_eq!(master.run("FAILOVER"), "OK");
    worker.read().assert_refused("UNBLOCKED", &[]);
    caller.read().assert_refused("UNBLOCKED", &[]);
    wait_for_promotion(&replica);
    let mut worker = replica.block("TASK.CLAIM jobs BLOCK 0");
    let mut caller = replica.block("TASK.RESULT jobs held BLOCK 0");
    let mut late = master.block("TASK.RESULT jobs held BLOCK 0");
    replica.run("TASK.PUSH jobs x ID next");
    assert_eq!(Claim::of(&worker.read()).id, "next");
    replica.run("TASK.COMPLETE jobs held done ATTEMPT 1");
    for client in [&mut caller, &mut patient, &mut late] {
        assert_eq!(client.read().at(1), "done");
    }
}

/// Ends that a reader was given are lost with the master. It is told so, be it before others have come in their place or after, and
/// begins again; a reader whose ends the new master has goes on.
#[test]
fn a_reader_of_lost_ends_is_told() {
    let mut master = Server::start();
    let replica = Server::replica_of(&master);
    let collect = |server: &Server, cursor: &str| server.run(&format!("TASK.COLLECT jobs b {cursor}"));
    let ids = |page: &Value| page.at(2).items().iter().map(|end| end.at(0).text()).collect::<Vec<_>>();
    master.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "TASK.PUSH jobs x ID 2 BATCH b", "TASK.PUSH jobs x ID 3 BATCH b SEAL"]);
    master.run_all(&["TASK.CLAIM jobs COUNT 3", "TASK.COMPLETE jobs 1 one"]);
    master.wait_for_replica(&replica);
    let kept = collect(&master, "0").at(0).text();
    let mut waits = replica.block(&format!("TASK.COLLECT jobs b {kept} BLOCK 0"));
    // From here on nothing reaches the replica.
    replica.run("REPLICAOF NO ONE");
    master.run("TASK.COMPLETE jobs 2 two");
    let page = collect(&master, &kept);
    assert_eq!(ids(&page), ["2"]);
    let lost = page.at(0).text();
    master.run("TASK.COMPLETE jobs 3 three");
    let all = collect(&master, &kept).at(0).text();
    master.kill();
    for cursor in [&lost, &all] {
        collect(&replica, cursor).assert_refused("STALE", &["cursor", "failover"]);
    }
    replica.run("TASK.COMPLETE jobs 3 3");
    assert_eq!(ids(&waits.read()), ["3"]);
    collect(&replica, &lost).assert_refused("STALE", &["cursor", "failover"]);
    collect(&replica, &all).assert_refused("STALE", &["cursor", "failover"]);
    replica.run("TASK.COMPLETE jobs 2 2");
    collect(&replica, &all).assert_refused("STALE", &["cursor", "failover"]);
    assert_eq!(ids(&collect(&replica, &kept)), ["3", "2"]);
    let page = collect(&replica, "0");
    assert_eq!((page.at(1).int(), ids(&page)), (0, vec!["1".to_owned(), "3".to_owned(), "2".to_owned()]));
}

/// A replica that gave ends which the promoted one never had follows it: who waits there with such a cursor does not wait for ever.
#[test]
fn a_reader_on_another_replica_is_told_of_lost_ends() {
    let mut master = Server::start();
    let (new, other) = (Server::replica_of(&master), Server::replica_of(&master));
    master.run_all(&["TASK.PUSH jobs x ID 1 BATCH b", "TASK.PUSH jobs x ID 2 BATCH b", "TASK.CLAIM jobs COUNT 2"]);
    master.wait_for_replica(&new);
    new.run("REPLICAOF NO ONE");
    master.run("TASK.COMPLETE jobs 1 one");
    master.wait_for_replica(&other);
    let cursor = other.run("TASK.COLLECT jobs b 0").at(0).text();
    let mut waits = other.block(&format!("TASK.COLLECT jobs b {cursor} BLOCK 0"));
    master.kill();
    follow(&other, &new);
    assert!(waits.read().is_error());
    new.run("TASK.COMPLETE jobs 2 two");
    eventually_within(RELINK, || {
        let reply = other.run(&format!("TASK.COLLECT jobs b {cursor}"));
        reply.is_error() && reply.code() == "STALE"
    });
}

/// Leases, delays and retention are the same instants on the new master, and happen at them.
#[test]
fn deadlines_are_the_same_instants() {
    let master = Server::start();
    let replica = Server::replica_of(&master);
    master.run_all(&[
        "TASK.PUSH jobs x ID held PRIORITY 9",
        "TASK.CLAIM jobs LEASE 3000",
        "TASK.PUSH jobs x ID done PRIORITY 9 RETAIN 3000",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs done result",
        "TASK.PUSH jobs x ID soon DELAY 3000",
        "TASK.PUSH jobs x ID unclaimed TTL 3000",
    ]);
    let deadlines = |server: &Server| ["held", "done", "soon", "unclaimed"].map(|id| server.run(&format!("TASK.GET jobs {id}")));
    let before = deadlines(&master);
    let due = master.task("jobs", "soon", "ready-at").int();
    assert_eq!(master.run("FAILOVER"), "OK");
    wait_for_promotion(&replica);
    assert!(now_ms() < due, "the failover took too long for this test");
    assert!(deadlines(&replica) == before);
    assert!(deadlines(&replica).iter().all(|task| !task.is_nil()));
    for (id, state) in [("soon", "ready"), ("held", "ready"), ("unclaimed", "expired"), ("done", "none")] {
        replica.wait_for_state(id, state);
    }
    assert!(now_ms() >= due);
    eventually_same(&replica, &master);
}

/// Sentinel promotes a replica when the master dies; what was confirmed is there, and the other replica follows it.
#[test]
fn sentinel_promotes_a_replica() {
    let mut master = Server::start();
    let replicas = [Server::replica_of(&master), Server::replica_of(&master)];
    let mut sentinel = Sentinel::over(&master);
    sentinel.wait_for_replicas(2);
    let history = History::new();
    let load = Load::confirmed(&master, &history, 2);
    history.wait_for_ends(50);
    history.fault("kill -9 of a master under Sentinel");
    master.kill();
    load.join();
    eventually_within(Duration::from_secs(30), || sentinel.master_port() != master.port());
    let port = sentinel.master_port();
    let [a, b] = &replicas;
    let (new, other) = if a.port() == port { (a, b) } else { (b, a) };
    wait_for_promotion(new);
    let load = Load::start(new, &history);
    history.wait_for_ends(50);
    load.stop();
    history.finish(new);
    eventually_within(Duration::from_secs(30), || info(other, "master_port") == port.to_string());
    other.reconnect();
    eventually_same(new, other);
}

/// Blocked on a dying master, workers lose their connection and go on with the new one; nothing is given to the dead.
#[test]
fn workers_of_a_dead_master_go_on_with_the_new_one() {
    let mut master = Server::start();
    let replica = Server::replica_of(&master);
    let mut worker = master.block("TASK.CLAIM jobs BLOCK 0 LEASE 300");
    master.run("TASK.PUSH jobs x ID a DELAY 300");
    assert_eq!(master.run("WAIT 1 3000"), 1);
    master.kill();
    assert!(worker.try_read(Duration::from_secs(5)).is_err());
    replica.run("REPLICAOF NO ONE");
    let claim = replica.run("TASK.CLAIM jobs BLOCK 0");
    assert_eq!((claim.at(0), claim.at(2)), (&Value::Bulk(b"a".into()), &Value::Int(1)));
}
