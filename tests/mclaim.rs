//! `TASK.MCLAIM`: hands out tasks of the first of several queues that has one.

use crate::support::{
    Client, Server, Value, array, bulk, eventually, eventually_eq, int, nil, nil_array,
    task::{Claim, ids_of},
};

/// The queue and the id of the one task in an answer.
#[track_caller]
fn one(reply: &Value) -> (String, String) {
    assert_eq!(reply.items().len(), 2, "{reply:?}");
    (reply.at(0).text(), Claim::of(reply.at(1)).id)
}

/// The same of what a waiting worker was given.
#[track_caller]
fn given(client: &mut Client) -> (String, String) {
    one(&client.read())
}

fn pair(queue: &str, id: &str) -> (String, String) {
    (queue.to_owned(), id.to_owned())
}

/// `[queue, task]`, of the first named that has one; nil if none has.
#[test]
fn first_named_first_served() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH low x ID a PRIORITY 255", "TASK.PUSH high y ID b", "TASK.PUSH high y ID c DELAY 900000"]);
    let task = array([bulk("b"), bulk("y"), int(1), int(7_000), nil()]);
    assert_eq!(server.run("TASK.MCLAIM 3 none high low LEASE 7000 WORKER ann"), array([bulk("high"), task]));
    assert_eq!(server.task("high", "b", "worker"), "ann");
    assert_eq!(one(&server.run("TASK.MCLAIM 3 none high low")), pair("low", "a"));
    assert_eq!(server.run("TASK.MCLAIM 3 none high low"), nil_array());
    assert_eq!(server.run("TASK.MCLAIM 1 none COUNT 5 BLOCK 1"), nil_array());
    assert_eq!(server.run("EXISTS none"), int(0), "a claim makes no key");
    let mut client = server.client();
    client.hello3();
    assert_eq!(client.run("TASK.MCLAIM 2 high low"), Value::Null);
}

/// With COUNT `[queue, [task …]]`, all from one queue.
#[test]
fn count_takes_of_one_queue() {
    let server = Server::start();
    server.run_all(&["TASK.MPUSH one 2 x x", "TASK.MPUSH two 3 x x x"]);
    let reply = server.run("TASK.MCLAIM 2 one two COUNT 10");
    assert_eq!((reply.at(0), ids_of(reply.at(1)).len()), (&bulk("one"), 2));
    let reply = server.run("TASK.MCLAIM 2 one two COUNT 1");
    assert_eq!((reply.at(0), ids_of(reply.at(1)).len()), (&bulk("two"), 1));
    let reply = server.run("TASK.MCLAIM 2 one two COUNT 10");
    assert_eq!((reply.at(0), ids_of(reply.at(1)).len()), (&bulk("two"), 2));
}

/// A queue whose ready tasks turn out to have expired is passed over.
#[test]
fn passes_over_what_has_expired() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH one x ID a TTL 900000", "TASK.PUSH two x ID b"]);
    let mut client = server.client();
    client.send_all(&["MULTI", "TASK.PUSH one x ID c TTL 1 PRIORITY 1", "DEBUG SLEEP 0.01", "TASK.CANCEL one a"]);
    client.send_all(&["TASK.MCLAIM 2 one two", "EXEC"]);
    let exec = (0..6).map(|_| client.read()).last().unwrap();
    assert_eq!(one(exec.at(3)), pair("two", "b"));
    assert_eq!(server.state("one", "c"), "expired");
}

/// Wrong arguments are told; nothing is claimed.
#[test]
fn arguments() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    for (line, words) in [
        ("TASK.MCLAIM 0 jobs", &["numqueues", "1 to 10000"][..]),
        ("TASK.MCLAIM 10001 jobs", &["numqueues", "1 to 10000"]),
        ("TASK.MCLAIM x jobs", &["numqueues"]),
        ("TASK.MCLAIM 2 jobs", &["numqueues", "2", "fewer"]),
        ("TASK.MCLAIM 1 jobs other", &["syntax", "other"]),
        ("TASK.MCLAIM 1 jobs COUNT 0", &["count", "1 to 10000"]),
        ("TASK.MCLAIM 1 jobs LEASE 0", &["lease"]),
        ("TASK.MCLAIM 1 jobs BLOCK 1 BLOCK 1", &["block", "more than once"]),
        ("TASK.MCLAIM 1", &["arguments"]),
    ] {
        server.run(line).assert_refused("ERR", words);
    }
    assert_eq!(server.state("jobs", "a"), "ready");
}

/// One key of another type, wherever it stands, and nothing happens.
#[test]
fn another_type_is_refused() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "SET string x"]);
    for line in ["TASK.MCLAIM 2 jobs string", "TASK.MCLAIM 2 string jobs", "TASK.MCLAIM 3 none string jobs BLOCK 0"] {
        server.run(line).assert_refused("WRONGTYPE", &[]);
    }
    assert_eq!(server.state("jobs", "a"), "ready");
}

/// A worker that waits on several queues is woken by the first, told which, and out of all lines.
#[test]
fn waits_on_all_of_them() {
    let server = Server::start();
    for queue in ["one", "two", "three"] {
        let mut worker = server.block("TASK.MCLAIM 3 one two three BLOCK 0 WORKER ann");
        server.run(&format!("TASK.PUSH {queue} x ID {queue}"));
        assert_eq!(given(&mut worker), pair(queue, queue));
        assert_eq!(server.task(queue, queue, "worker"), "ann");
        server.wait_for_blocked(0);
        for queue in ["one", "two", "three"] {
            server.run(&format!("TASK.PUSH {queue} x"));
            assert_eq!(server.count(queue, "ready"), 1, "nobody waits any more");
            server.run(&format!("DEL {queue}"));
        }
        assert_eq!(worker.run("PING"), "PONG");
    }
}

/// In each queue's line it stands where it came.
#[test]
fn first_come_first_served_in_each_line() {
    let server = Server::start();
    let mut first = server.block("TASK.CLAIM one BLOCK 0");
    let mut both = server.block("TASK.MCLAIM 2 two one BLOCK 0 COUNT 2");
    let mut last = server.block("TASK.CLAIM one BLOCK 0");
    server.run("TASK.MPUSH one 4 x x x x");
    assert_eq!(first.read().items().len(), 5);
    let reply = both.read();
    assert_eq!((reply.at(0), reply.at(1).items().len()), (&bulk("one"), 2));
    assert_eq!(last.read().items().len(), 5);
    server.run("TASK.PUSH two x");
    assert_eq!(server.count("two", "ready"), 1);
}

/// A queue that is named twice is one queue, ready or waited for.
#[test]
fn named_twice() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    assert_eq!(one(&server.run("TASK.MCLAIM 3 jobs jobs none")), pair("jobs", "a"));
    let mut worker = server.block("TASK.MCLAIM 3 jobs jobs none BLOCK 0");
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c"]);
    assert_eq!(given(&mut worker), pair("jobs", "b"));
    assert_eq!((server.state("jobs", "c").as_str(), worker.read_within(10)), ("ready", None));
    let mut worker = server.client();
    assert_eq!(one(&worker.run("TASK.MCLAIM 2 jobs jobs BLOCK 5")), pair("jobs", "c"));
    assert_eq!(worker.run("TASK.MCLAIM 2 jobs jobs BLOCK 5"), nil_array());
}

/// Ten thousand queues can be named, and waited on.
#[test]
fn as_many_as_allowed() {
    let server = Server::start();
    let queues: Vec<_> = (0..10_000).map(|n| format!("q{n}")).collect();
    let mut worker = server.block(&format!("TASK.MCLAIM 10000 {} BLOCK 0", queues.join(" ")));
    server.run("TASK.PUSH q9999 x ID a");
    assert_eq!(given(&mut worker), pair("q9999", "a"));
    server.run("TASK.PUSH q5000 x ID b");
    assert_eq!(one(&worker.run(&format!("TASK.MCLAIM 10000 {}", queues.join(" ")))), pair("q5000", "b"));
}

/// At the timeout, and by CLIENT UNBLOCK, the answer is nil; the worker is in no line after that.
#[test]
fn gives_up() {
    let server = Server::start();
    let mut worker = server.client();
    let id = worker.id();
    assert_eq!(worker.run("TASK.MCLAIM 2 one two BLOCK 5"), nil_array());
    for (how, code) in [("TIMEOUT", None), ("ERROR", Some("UNBLOCKED"))] {
        worker.send("TASK.MCLAIM 2 one two COUNT 3 BLOCK 0");
        server.wait_for_blocked(1);
        assert_eq!(server.run(&format!("CLIENT UNBLOCK {id} {how}")), int(1));
        match code {
            Some(code) => worker.read().assert_refused(code, &[]),
            None => assert_eq!(worker.read(), nil_array()),
        }
    }
    server.run_all(&["TASK.PUSH one x ID a", "TASK.PUSH two x ID a"]);
    assert_eq!((server.state("one", "a").as_str(), server.state("two", "a").as_str()), ("ready", "ready"));
}

/// A worker that is given a task and is gone before its reply does not keep it, of whichever queue it was.
#[test]
fn a_task_given_to_a_dying_worker_is_released() {
    let server = Server::start();
    for turn in 0..20 {
        let queue = ["one", "two", "three"][turn % 3];
        let mut worker = server.client();
        let id = worker.id();
        worker.send("TASK.MCLAIM 3 one two three BLOCK 0 LEASE 900000");
        server.wait_for_blocked(1);
        let mut client = server.client();
        client.send_all(&[&format!("TASK.PUSH {queue} x ID a ATTEMPTS 0"), &format!("CLIENT KILL ID {id}")]);
        assert_eq!((client.read(), client.read()), (bulk("a"), int(1)));
        assert_eq!(one(&server.run("TASK.MCLAIM 3 one two three BLOCK 0")), pair(queue, "a"));
        assert_eq!(server.task(queue, "a", "tries"), int(1), "the first did not count");
        server.run(&format!("DEL {queue}"));
    }
}

/// Its keys may go away, or become something else: it goes on waiting for each.
#[test]
fn goes_on_waiting_for_each_key() {
    let server = Server::start();
    server.run("TASK.PUSH one x ID held");
    for away in ["DEL one", "FLUSHALL", "RENAME one old", "SET one string", "PEXPIRE one 1"] {
        server.run_all(&["DEL one two", "TASK.PUSH one x ID held", "TASK.CLAIM one"]);
        let mut worker = server.block("TASK.MCLAIM 2 one two BLOCK 0");
        server.run(away);
        assert_eq!(worker.read_within(10), None, "{away}");
        server.run("TASK.PUSH two x ID a");
        assert_eq!(given(&mut worker), pair("two", "a"), "{away}");
        server.run("DEL one");
        let mut worker = server.block("TASK.MCLAIM 2 one two BLOCK 0");
        server.run("TASK.PUSH one x ID b");
        assert_eq!(given(&mut worker), pair("one", "b"), "{away}");
    }
}

/// A queue that comes to any of its keys serves it; what comes by one is not looked for in another.
#[test]
fn any_key_that_comes_back_serves() {
    for how in ["RENAME", "RESTORE", "COPY", "MOVE", "SWAPDB"] {
        for queue in ["one", "two"] {
            let server = Server::start();
            let mut client = server.client();
            let source = if how == "MOVE" || how == "SWAPDB" { queue } else { "source" };
            if source == queue {
                client.run("SELECT 1");
            }
            client.run(&format!("TASK.PUSH {source} x ID a"));
            client.run(&format!("TASK.PUSH {source} x ID b"));
            let dump = client.run(&format!("DUMP {source}"));
            let mut worker = server.block("TASK.MCLAIM 2 one two BLOCK 0");
            let mut second = server.block("TASK.MCLAIM 2 two one COUNT 5 BLOCK 0");
            match how {
                "RENAME" => client.run(&format!("RENAME source {queue}")),
                "COPY" => client.run(&format!("COPY source {queue}")),
                "MOVE" => client.run(&format!("MOVE {queue} 0")),
                "SWAPDB" => client.run("SWAPDB 0 1"),
                _ => client.cmd(&[b"RESTORE", queue.as_bytes(), b"0", dump.bytes()]),
            };
            assert_eq!(given(&mut worker), pair(queue, "a"), "{how}");
            let reply = second.read();
            assert_eq!((reply.at(0), ids_of(reply.at(1))), (&bulk(queue), vec!["b".to_owned()]), "{how}");
        }
    }
}

/// Inside MULTI, scripts and functions BLOCK does not wait; what is pushed there serves who waits.
#[test]
fn in_transactions_and_scripts() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.MCLAIM 2 one two BLOCK 0");
    assert_eq!(client.run("EXEC").items(), [nil_array()]);
    let script = "return redis.call('TASK.MCLAIM', 2, KEYS[1], KEYS[2], 'BLOCK', 0)";
    assert_eq!(client.run(&format!("EVAL \"{script}\" 2 one two")), nil());
    let mut worker = server.block("TASK.MCLAIM 2 one two BLOCK 0");
    client.run(r#"EVAL "return redis.call('TASK.PUSH', KEYS[1], 'x', 'ID', 'a')" 1 two"#);
    assert_eq!(given(&mut worker), pair("two", "a"));
    server.run("TASK.PUSH two x ID b");
    assert_eq!(one(&client.run(&format!("EVAL \"{script}\" 2 one two"))), pair("two", "b"));
}

/// Permission is needed for each of the keys.
#[test]
fn access_to_each_key() {
    let server = Server::start();
    server.run("ACL SETUSER worker on nopass resetkeys ~one ~two nocommands +task.mclaim");
    server.run("TASK.PUSH three x ID a");
    let mut client = server.client();
    client.run("AUTH worker x");
    assert_eq!(client.run("TASK.MCLAIM 2 one two"), nil_array());
    for line in ["TASK.MCLAIM 3 one two three", "TASK.MCLAIM 1 three", "TASK.MCLAIM 2 three one BLOCK 0"] {
        client.run(line).assert_refused("NOPERM", &[]);
    }
    assert_eq!(server.state("three", "a"), "ready");
}

/// Replica, AOF and master agree on what was claimed at once, and by one that waited.
#[test]
fn is_replicated() {
    let mut master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    master.run("TASK.MPUSH two 3 x x x");
    master.run("TASK.MCLAIM 2 one two COUNT 3");
    let mut worker = master.block("TASK.MCLAIM 2 one two BLOCK 0");
    master.run("TASK.PUSH one x ID a");
    assert_eq!(given(&mut worker), pair("one", "a"));
    replica.run("TASK.MCLAIM 2 one two").assert_refused("READONLY", &[]);
    eventually_eq(|| replica.digest(), master.digest());
    let digest = master.digest();
    assert_eq!(master.crash_and_restart().digest(), digest);
}

/// A worker that waits is dismissed as BLPOP's are when its server becomes a replica.
#[test]
fn a_demotion_unblocks() {
    let (master, server) = (Server::start(), Server::start());
    let mut worker = server.block("TASK.MCLAIM 2 one two BLOCK 0");
    server.run(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    worker.read().assert_refused("UNBLOCKED", &[]);
    eventually(|| server.info("master_link_status") == "up");
}
