//! Groups: PUSH, MPUSH and CALL … GROUP, and GROUPCONCURRENCY of TASK.SET.

use crate::support::{Clock, Server, Value, bulk, eventually_eq, holds_for, int, nil, ok, task::ids_of};

/// Pushes tasks whose ids begin with the name of their group: `a1 a2 b1`. One of `-` has none.
#[track_caller]
fn push(server: &Server, ids: &str) {
    for id in ids.split(' ') {
        push_one(server, id, "");
    }
}

#[track_caller]
fn push_one(server: &Server, id: &str, options: &str) {
    let group = if id.starts_with('-') { String::new() } else { format!("GROUP {}", &id[..1]) };
    assert_eq!(server.run(&format!("TASK.PUSH jobs x ID {id} {group} {options}")), id);
}

/// The ids of so many claims, one after the other, as long as there are some.
#[track_caller]
fn claimed(server: &Server, count: usize) -> String {
    let claim = |_| Some(server.run("TASK.CLAIM jobs LEASE 100000")).filter(|reply| !reply.is_nil());
    (0..count).map_while(claim).map(|task| task.at(0).text()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn claim_and_complete(server: &Server, id: &str) {
    assert_eq!(claimed(server, 1), id);
    server.run_all(&[&format!("TASK.COMPLETE jobs {id} done")]);
}

#[track_caller]
fn limit(server: &Server, limit: usize) {
    assert_eq!(server.run(&format!("TASK.SET jobs GROUPCONCURRENCY {limit}")), ok());
}

/// Groups take turns, whatever came first; tasks without a group are one of them.
#[test]
fn groups_take_turns() {
    let server = Server::start();
    push(&server, "a1 a2 a3 b1 -1 -2 b2 c1");
    assert_eq!(claimed(&server, 9), "a1 b1 -1 c1 a2 b2 -2 a3");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
    assert_eq!(server.run("TASK.INFO jobs").field("groups"), int(3));
    assert_eq!((server.task("jobs", "a1", "group"), server.task("jobs", "-1", "group")), (bulk("a"), nil()));
}

/// What was there before the first group came has the first turn.
#[test]
fn tasks_without_a_group_come_first_if_they_were_first() {
    let server = Server::start();
    push(&server, "-1 -2 a1");
    assert_eq!(claimed(&server, 3), "-1 a1 -2");
}

/// A group with a hundred tasks does not delay one with a single task by more than one.
#[test]
fn a_hot_group_does_not_delay_a_cold_one() {
    let server = Server::start();
    for n in 0..100 {
        push_one(&server, &format!("h{n}"), "PRIORITY 200");
    }
    assert_eq!(claimed(&server, 10).split(' ').count(), 10);
    push(&server, "c1");
    assert_eq!(claimed(&server, 3), "h10 c1 h11");
}

#[test]
fn priority_orders_within_a_group() {
    let server = Server::start();
    push_one(&server, "a1", "");
    push_one(&server, "a2", "PRIORITY 9");
    push_one(&server, "b1", "PRIORITY 1");
    push_one(&server, "b2", "PRIORITY 1");
    assert_eq!(claimed(&server, 4), "a2 b1 a1 b2");
}

/// COUNT takes turns as well, and MPUSH and CALL take a group.
#[test]
fn many_at_once() {
    let server = Server::start();
    let of_a = texts(&server.run("TASK.MPUSH jobs 3 x x x GROUP a"));
    let of_b = texts(&server.run("TASK.MPUSH jobs 1 x GROUP b"));
    let call = server.block("TASK.CALL jobs x ID c GROUP c BLOCK 0");
    let claimed = ids_of(&server.run("TASK.CLAIM jobs COUNT 10"));
    assert_eq!(claimed, [&of_a[0], &of_b[0], "c", &of_a[1], &of_a[2]]);
    drop(call);
}

fn texts(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::text).collect()
}

/// With 1, a task holds its group from its first claim until it has ended, whatever happens to it meanwhile.
#[test]
fn strict_order() {
    let clock = Clock::new();
    let server = Server::builder().clock(&clock).start();
    limit(&server, 1);
    push(&server, "a1 a2 b1");
    assert_eq!(claimed(&server, 9), "a1 b1");

    // Failed: it waits for its next try, and then comes first, though it stands behind the other.
    assert_eq!(server.run("TASK.FAIL jobs a1 no DELAY 5000").text(), "scheduled");
    push_one(&server, "a3", "PRIORITY 9");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
    clock.set(6_000);
    server.wait_for_state("a1", "ready");
    assert_eq!(claimed(&server, 9), "a1");

    // At once.
    assert_eq!(server.run("TASK.FAIL jobs a1 no DELAY 0").text(), "ready");
    assert_eq!(claimed(&server, 9), "a1");

    // Released, and released for later, which RETRY makes now.
    server.run_all(&["TASK.RELEASE jobs a1"]);
    assert_eq!(claimed(&server, 9), "a1");
    server.run_all(&["TASK.RELEASE jobs a1 DELAY 100000"]);
    assert!(server.run("TASK.CLAIM jobs").is_nil());
    assert_eq!(server.run("TASK.RETRY jobs a1"), int(1));
    assert_eq!(claimed(&server, 9), "a1");

    // Lapsed.
    server.run_all(&["TASK.EXTEND jobs a1 LEASE 1"]);
    server.wait_for_state("a1", "ready");
    assert_eq!(claimed(&server, 9), "a1");

    server.run_all(&["TASK.COMPLETE jobs a1 done"]);
    claim_and_complete(&server, "a3");
    claim_and_complete(&server, "a2");
}

/// With more, only claimed ones count.
#[test]
fn so_many_at_once() {
    let server = Server::start();
    limit(&server, 2);
    push(&server, "a1 a2 a3 a4");
    assert_eq!(claimed(&server, 9), "a1 a2");
    server.run_all(&["TASK.FAIL jobs a1 no DELAY 100000"]);
    assert_eq!(claimed(&server, 9), "a3");
    server.run_all(&["TASK.RELEASE jobs a2"]);
    assert_eq!(claimed(&server, 9), "a2", "it is back at its place");
    limit(&server, 0);
    assert_eq!(claimed(&server, 9), "a4");
}

/// Whatever frees a slot wakes a worker that waits; and tasks without a group are not limited.
#[test]
fn a_free_slot_wakes_who_waits() {
    let server = Server::start();
    limit(&server, 1);
    push(&server, "-1 -2");
    assert_eq!(claimed(&server, 9), "-1 -2");
    push(&server, "a1 a2 a3 a4 a5 a6");
    assert_eq!(claimed(&server, 9), "a1");
    for (line, next) in [
        ("TASK.COMPLETE jobs a1 done", "a2"),
        ("TASK.FAIL jobs a2 no DEAD", "a3"),
        ("TASK.CANCEL jobs a3", "a4"),
        ("TASK.RELEASE jobs a4", "a4"),
        ("TASK.FAIL jobs a4 no DELAY 1", "a4"),
        ("TASK.EXTEND jobs a4 LEASE 1", "a4"),
        ("TASK.COMPLETE jobs a4 done RETAIN 0", "a5"),
    ] {
        let mut waits = server.block("TASK.CLAIM jobs LEASE 100000 BLOCK 0");
        server.run_all(&[line]);
        assert_eq!(waits.read().at(0), next, "{line}");
    }
    let mut waits = server.block("TASK.CLAIM jobs BLOCK 0");
    holds_for(30, || server.count("jobs", "claimed") == 3);
    limit(&server, 2);
    assert_eq!(waits.read().at(0), "a6");
}

/// A worker that waits on two queues is not kept by a group that is full in the first.
#[test]
fn a_full_group_is_no_ready_task() {
    let server = Server::start();
    limit(&server, 1);
    push(&server, "a1 a2");
    server.run_all(&["TASK.CLAIM jobs", "TASK.PUSH other x ID o"]);
    let reply = server.run("TASK.MCLAIM 2 jobs other");
    assert_eq!((reply.at(0).text(), reply.at(1).at(0).text()), ("other".to_owned(), "o".to_owned()));
    assert_eq!(server.run("TASK.COMPLETE jobs a1 done NEXT").at(0), "a2");
}

/// Limits and pauses of the queue hold for groups, and cost no group its turn.
#[test]
fn beside_other_limits() {
    let server = Server::start();
    push(&server, "a1 a2 b1 b2");
    server.run_all(&["TASK.SET jobs CONCURRENCY 1 GROUPCONCURRENCY 1"]);
    assert_eq!(claimed(&server, 9), "a1");
    server.run_all(&["TASK.COMPLETE jobs a1 done"]);
    assert_eq!(claimed(&server, 9), "b1");
    server.run_all(&["TASK.SET jobs PAUSED out", "TASK.COMPLETE jobs b1 done"]);
    assert!(server.run("TASK.CLAIM jobs").is_nil());
    server.run_all(&["TASK.SET jobs PAUSED no CONCURRENCY 0 RATE 1 200"]);
    assert_eq!(claimed(&server, 9), "a2");
    let mut waits = server.block("TASK.CLAIM jobs BLOCK 0");
    assert_eq!(waits.read().at(0), "b2");
}

/// A task whose TTL is over when its group's turn comes expires, and the turn goes to the next of the group.
#[test]
fn an_expired_task_uses_no_turn() {
    let clock = Clock::new();
    let server = Server::builder().clock(&clock).start();
    push_one(&server, "a1", "TTL 1000");
    push(&server, "b1 a2");
    clock.set(2_000);
    server.wait_for_state("a1", "expired");
    assert_eq!(claimed(&server, 9), "a2 b1");
}

/// A worker whose connection closes loses its task, which still holds its group.
#[test]
fn with_a_session() {
    let server = Server::start();
    limit(&server, 1);
    push(&server, "a1 a2");
    let mut worker = server.client();
    assert_eq!(worker.run("TASK.CLAIM jobs SESSION").at(0), "a1");
    let mut waits = server.block("TASK.CLAIM jobs LEASE 100000 BLOCK 0");
    drop(worker);
    assert_eq!(waits.read().at(0), "a1");
    assert!(server.run("TASK.CLAIM jobs").is_nil());
}

/// A task of a batch, and one that waits for others, has its group when it is ready. RETRY keeps the group; RENEW keeps it unless it gives another.
#[test]
fn a_group_is_for_life() {
    let server = Server::start();
    push_one(&server, "a1", "BATCH b");
    push_one(&server, "a2", "AFTER 1 a1 BATCH b SEAL");
    push(&server, "b1 b2");
    claim_and_complete(&server, "a1");
    assert_eq!(claimed(&server, 9), "b1 a2 b2");
    assert_eq!(server.task("jobs", "a2", "group"), "a");
    server.run_all(&["TASK.FAIL jobs b1 no DEAD", "TASK.RETRY jobs b1", "TASK.CANCEL jobs b2", "TASK.CANCEL jobs b1"]);
    assert_eq!(server.task("jobs", "b1", "group"), "b");
    assert_eq!(server.run("TASK.PUSH jobs y ID b1 RENEW"), "b1");
    assert_eq!(server.run("TASK.PUSH jobs y ID b2 RENEW GROUP c"), "b2");
    assert_eq!((server.task("jobs", "b1", "group"), server.task("jobs", "b2", "group")), (bulk("b"), bulk("c")));
    // One that is there stays as it is.
    assert_eq!(server.run("TASK.PUSH jobs y ID b1 GROUP d"), "b1");
    assert_eq!(server.task("jobs", "b1", "group"), "b");
}

#[test]
fn names_are_checked() {
    let server = Server::start();
    for (line, words) in [
        ("TASK.PUSH jobs x GROUP \"a b\"", &["GROUP", "255"][..]),
        ("TASK.PUSH jobs x GROUP all", &["GROUP"]),
        ("TASK.PUSH jobs x GROUP a GROUP b", &["GROUP"]),
        ("TASK.MPUSH jobs 1 x GROUP", &["GROUP"]),
    ] {
        server.run(line).assert_refused("ERR", words);
    }
    assert_eq!(server.run("EXISTS jobs"), int(0));
}

/// A queue in which groups stand in every way, and who is next.
fn populate(server: &Server) {
    limit(server, 1);
    push(server, "a1 a2 b1 b2 c1 -1 d1 d2 e1 -2");
    assert_eq!(claimed(server, 5), "a1 b1 c1 -1 d1");
    server.run_all(&["TASK.RELEASE jobs d1", "TASK.FAIL jobs b1 no DELAY 100000", "TASK.COMPLETE jobs a1 done"]);
    push(server, "a3 b3 f1");
}

const NEXT: &str = "e1 -2 d1 a2 f1";

/// Replica, AOF, RDB and a dump hold the same groups and the same turns.
#[test]
fn every_copy_has_the_same_turns() {
    let mut server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    populate(&server);
    server.wait_for_replica(&replica);
    assert_eq!(replica.digest(), server.digest());
    let digest = server.digest();
    assert_eq!(server.crash_and_restart().digest(), digest);
    server.run_all(&["BGREWRITEAOF"]);
    eventually_eq(|| server.info("aof_rewrite_in_progress"), "0");
    assert_eq!(server.crash_and_restart().digest(), digest);
    server.run_all(&["SAVE", "DEBUG RELOAD"]);
    assert_eq!(server.digest(), digest);
    server.run_all(&["COPY jobs again", "DEL jobs", "RENAME again jobs"]);
    assert_eq!(claimed(&server, 9), NEXT);
    server.wait_for_replica(&replica);
    assert_eq!(replica.digest(), server.digest());
}

/// A replica that is promoted goes on with the next turn.
#[test]
fn failover_keeps_the_turns() {
    let server = Server::start();
    populate(&server);
    let replica = Server::replica_of(&server);
    server.wait_for_replica(&replica);
    assert_eq!(claimed(&server, 1), "e1");
    server.wait_for_replica(&replica);
    replica.run_all(&["REPLICAOF NO ONE"]);
    assert_eq!(claimed(&replica, 9), NEXT.trim_start_matches("e1 "));
}

/// LIST shows the ready tasks of all groups, those without one first, page by page.
#[test]
fn ready_tasks_are_listed() {
    let server = Server::start();
    for n in 0..25 {
        push_one(&server, &format!("a{n}"), "");
        push_one(&server, &format!("b{n}"), if n % 2 == 0 { "PRIORITY 3" } else { "" });
        push_one(&server, &format!("-{n}"), "");
    }
    let (mut cursor, mut listed) = ("0".to_owned(), Vec::new());
    loop {
        let page = server.run(&format!("TASK.LIST jobs ready {cursor} COUNT 7"));
        listed.extend(page.at(1).items().iter().map(|task| task.at(0).text()));
        cursor = page.at(0).text();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(listed.len(), 75);
    assert!(listed.iter().take(25).all(|id| id.starts_with('-')) && listed[25] == "b0");
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), 75);
    assert_eq!(server.run("TASK.CANCEL jobs ALL COUNT 2"), int(2));
    assert_eq!((server.state("jobs", "a0"), server.state("jobs", "b0")), ("canceled".to_owned(), "canceled".to_owned()));
}

/// A group takes memory while a task of it is there, as MEMORY USAGE says, and nothing after: then the queue takes as much as one whose tasks had
/// no group.
#[test]
fn groups_cost_nothing_when_they_are_empty() {
    let server = Server::start();
    let usage = |queue: &str| server.run(&format!("MEMORY USAGE {queue}")).int();
    for queue in ["jobs", "plain"] {
        server.run_all(&[&format!("TASK.SET {queue} RETAIN 0")]);
    }
    for n in 0..1_000 {
        server.run_all(&[
            &format!("TASK.PUSH jobs x ID n{n} GROUP a-group-with-a-long-name-{n}"),
            &format!("TASK.PUSH plain x ID n{n}"),
        ]);
    }
    assert_eq!(server.run("TASK.INFO jobs").field("groups"), int(1_000));
    assert!(usage("jobs") > usage("plain") + 250_000, "{} beside {}", usage("jobs"), usage("plain"));
    for queue in ["jobs", "plain"] {
        assert_eq!(server.run(&format!("TASK.CANCEL {queue} ALL COUNT 2000")), int(1_000));
    }
    assert_eq!(server.run("TASK.INFO jobs").field("groups"), int(0));
    // A single group would take more; glibc's blocks of the same length differ by 16 bytes at times.
    assert!((usage("jobs") - usage("plain")).abs() < 250, "{} beside {}", usage("jobs"), usage("plain"));
    push(&server, "a1 -1");
    assert_eq!(claimed(&server, 9), "a1 -1");
}
