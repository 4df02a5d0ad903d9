//! `task.publish`: each change of state on the channel of its queue, with the task that it is of.

use crate::support::{Client, Server, array, cluster::Cluster, eventually, listener_module, now_ms, ok};
use serde_json::{Value as Json, json};
use std::path::Path;

/// A connection that has subscribed.
fn subscriber(server: &Server, line: &str) -> Client {
    let mut client = server.client();
    let reply = client.run(line);
    assert!(!reply.is_error(), "{line}: {reply:?}");
    client
}

/// The next message, after it was seen that it is of just now.
#[track_caller]
fn message(client: &mut Client) -> Json {
    let reply = client.read();
    let message: Json = serde_json::from_slice(reply.at(2).bytes()).expect("JSON");
    let at = message["at"].as_i64().expect("an instant");
    assert!((now_ms() - 10_000..=now_ms()).contains(&at), "{message}");
    message
}

/// Expects these messages of `jobs`: the event, the id, the state and the attempt.
#[track_caller]
fn expect(client: &mut Client, messages: &[(&str, &str, Option<&str>, u32)]) {
    for &(event, id, state, attempt) in messages {
        let mut message = message(client);
        message.as_object_mut().expect("an object").remove("at");
        let expected = json!({"event": event, "queue": "jobs", "db": 0, "id": id, "state": state, "attempt": attempt});
        assert_eq!(message, expected);
    }
}

fn publishing() -> Server {
    Server::builder().module_args(&["publish", "yes"]).start()
}

/// With another module beside it.
fn publishing_with(other: &Path) -> Server {
    Server::builder().module_args(&["publish", "yes"]).config("loadmodule", &other.display().to_string()).start()
}

/// A life, told as it happens: also of what is gone when it is told.
#[test]
fn tells_each_change() {
    let server = publishing();
    let mut client = subscriber(&server, "SUBSCRIBE task:jobs");
    server.run_all(&[
        "TASK.PUSH jobs x ID a DELAY 1",
        "TASK.CLAIM jobs BLOCK 0",
        "TASK.FAIL jobs a no DELAY 0",
        "TASK.CLAIM jobs LEASE 1 BLOCK 0",
        "TASK.CLAIM jobs BLOCK 0",
        "TASK.RELEASE jobs a",
        "TASK.CLAIM jobs",
        "TASK.EXTEND jobs a",
        "TASK.COMPLETE jobs a done RETAIN 0",
        "TASK.PUSH jobs x ID b ATTEMPTS 1",
        "TASK.CLAIM jobs",
        "TASK.FAIL jobs b no",
        "TASK.FORGET jobs b",
        "TASK.PUSH jobs x ID c",
        "TASK.CANCEL jobs c",
        "TASK.PUSH jobs x ID d BATCH e SEAL",
        "TASK.CANCEL jobs d",
    ]);
    expect(
        &mut client,
        &[
            ("push", "a", Some("scheduled"), 0),
            ("ready", "a", Some("ready"), 0),
            ("claim", "a", Some("claimed"), 1),
            ("retry", "a", Some("ready"), 1),
            ("claim", "a", Some("claimed"), 2),
            ("lapse", "a", Some("ready"), 2),
            ("claim", "a", Some("claimed"), 3),
            ("release", "a", Some("ready"), 3),
            ("claim", "a", Some("claimed"), 4),
            ("complete", "a", Some("completed"), 4),
            ("drop", "a", None, 4),
            ("push", "b", Some("ready"), 0),
            ("claim", "b", Some("claimed"), 1),
            ("fail", "b", Some("failed"), 1),
            ("drop", "b", None, 1),
            ("push", "c", Some("ready"), 0),
            ("cancel", "c", Some("canceled"), 0),
            ("push", "d", Some("ready"), 0),
            ("cancel", "d", Some("canceled"), 0),
            ("batch", "e", None, 0),
        ],
    );
    assert_eq!(client.read_within(50), None);
}

/// A slot that is used again within one command does not mix up who was in it.
#[test]
fn tells_who_it_was() {
    let server = publishing();
    server.run_all(&["TASK.SET jobs RETAINMAX 1", "TASK.MPUSH jobs 3 x x x", "TASK.CLAIM jobs COUNT 3"]);
    let ids: Vec<_> = server.run("TASK.LIST jobs claimed 0").at(1).items().iter().map(|task| task.at(0).text()).collect();
    let mut client = subscriber(&server, "SUBSCRIBE task:jobs");
    server.run(&format!("TASK.MCOMPLETE jobs 3 {} 1 x {} 1 x {} 1 x", ids[0], ids[1], ids[2]));
    let [a, b, c] = [&ids[0], &ids[1], &ids[2]].map(String::as_str);
    let ends = [a, b, c].map(|id| ("complete", id, Some("completed"), 1));
    expect(&mut client, &ends);
    expect(&mut client, &[("drop", a, None, 1), ("drop", b, None, 1)]);
}

/// It can be turned on and off at any time, and is off by default.
#[test]
fn is_a_setting() {
    let server = Server::start();
    let mut client = subscriber(&server, "PSUBSCRIBE task:*");
    server.run_all(&["TASK.PUSH jobs x", "CONFIG SET task.publish yes", "TASK.PUSH jobs x ID b"]);
    server.run_all(&["CONFIG SET task.publish no", "TASK.PUSH jobs x ID c"]);
    assert_eq!(client.read().at(3).text().matches("\"id\":\"b\"").count(), 1);
    assert_eq!(client.read_within(50), None);
}

/// A queue of any name, in scripts and transactions, and while writes are paused.
#[test]
fn at_any_time() {
    let server = publishing();
    let mut client = subscriber(&server, "PSUBSCRIBE task:*");
    server.cmd(&[b"TASK.PUSH", b"\xff{}", b"x", b"ID", b"a"]);
    let reply = client.read();
    assert_eq!(reply.at(2).bytes(), b"task:\xff{}");
    let message: Json = serde_json::from_slice(reply.at(3).bytes()).expect("JSON");
    assert_eq!(message["queue"]["base64"], "/3t9");
    server.run_all(&["EVAL \"return redis.call('TASK.PUSH', KEYS[1], 'x')\" 1 jobs", "MULTI", "TASK.PUSH jobs x", "EXEC"]);
    for _ in 0..2 {
        assert_eq!(client.read().at(2), "task:jobs");
    }
    let mut pipelined = server.client();
    pipelined.send_all(&["TASK.PUSH jobs x DELAY 30", "CLIENT PAUSE 200 WRITE"]);
    assert!(client.read().at(3).text().contains("\"push\""));
    assert!(client.read().at(3).text().contains("\"ready\""));
    assert_eq!(server.count("jobs", "ready"), 3);
}

/// What is done by who hears of a notification is told after what that was of, here and on a replica.
#[test]
fn changes_by_listeners_come_later() {
    let listener = listener_module();
    let server = publishing_with(&listener);
    let replica = Server::builder().replica_of(&server).config("task.publish", "yes").start();
    server.wait_for_replica(&replica);
    let mut here = subscriber(&server, "SUBSCRIBE task:jobs");
    let mut there = subscriber(&replica, "SUBSCRIBE task:jobs");
    server.run("TASK.PUSH jobs x ID nested");
    for client in [&mut here, &mut there] {
        expect(
            client,
            &[
                ("push", "nested", Some("ready"), 0),
                ("claim", "nested", Some("claimed"), 1),
                ("complete", "nested", Some("completed"), 1),
            ],
        );
    }
    server.wait_for_replica(&replica);
    assert_eq!(replica.digest(), server.digest());
    // Who waits is given it before.
    let mut worker = server.block("TASK.CLAIM jobs BLOCK 0");
    server.run_all(&["TASK.FORGET jobs nested", "TASK.PUSH jobs x ID nested"]);
    assert_eq!(worker.read().at(0), "nested");
}

/// A subscriber of RESP3 may say any command; where the server cannot let it wait (valkey), its time is up at once.
#[test]
fn subscribers_can_work() {
    let server = publishing();
    let mut client = server.client();
    client.hello3();
    client.run("SUBSCRIBE other");
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert!(client.run("TASK.CLAIM jobs BLOCK 20").is_nil());
    assert!(client.run("TASK.COMPLETE jobs a done ATTEMPT 1 NEXT BLOCK 20").is_nil());
    assert_eq!(server.state("jobs", "a"), "completed");
    assert!(client.run("TASK.MCLAIM 2 jobs mail BLOCK 20").is_nil());
    let reply = client.run("TASK.MCOMPLETE jobs 1 a 1 done NEXT BLOCK 20");
    assert_eq!((reply.at(0), reply.at(1).is_nil()), (&array([ok()]), true));
    assert_eq!(client.run("TASK.CALL jobs x ID b BLOCK 20").at(1), "ready");
    assert_eq!(client.run("TASK.RESULT jobs b BLOCK 20").at(0), "ready");
    assert_eq!(client.run("TASK.GATHER jobs 1 b BLOCK 20").at(0).at(1), "ready");
    assert!(!client.run("TASK.EVENTS none 0 BLOCK 20").is_error());
}

/// A replica tells its own subscribers of what it applies, each change once; and an AOF tells nobody.
#[test]
fn replicas_tell_their_own_subscribers() {
    let mut server = Server::builder().aof_without_preamble().config("task.publish", "yes").start();
    let replica = Server::builder().replica_of(&server).config("task.publish", "yes").start();
    server.wait_for_replica(&replica);
    let mut here = subscriber(&server, "SUBSCRIBE task:jobs");
    let mut there = subscriber(&replica, "SUBSCRIBE task:jobs");
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs", "TASK.COMPLETE jobs a done RETAIN 0"]);
    for client in [&mut here, &mut there] {
        expect(
            client,
            &[
                ("push", "a", Some("ready"), 0),
                ("claim", "a", Some("claimed"), 1),
                ("complete", "a", Some("completed"), 1),
                ("drop", "a", None, 1),
            ],
        );
        assert_eq!(client.read_within(50), None);
    }
    replica.run("CONFIG SET task.publish no");
    server.run("TASK.PUSH jobs x ID b");
    server.wait_for_replica(&replica);
    eventually(|| replica.state("jobs", "b") == "ready");
    assert_eq!(there.read_within(50), None);
    server.crash_and_restart();
    assert_eq!(server.state("jobs", "b"), "ready");
}

/// In a cluster the channel is of the queue's slot, and is heard at each node of its shard, once.
#[test]
fn is_sharded_in_a_cluster() {
    let cluster = Cluster::start(3, true);
    cluster.nodes().for_each(|node| node.run_all(&["CONFIG SET task.publish yes"]));
    for (queue, channel) in [("jobs", "task:{jobs}"), ("{jobs}:mail", "task:{jobs}:mail"), ("{open", "task:{{open}")] {
        let (slot, owner, other) = cluster.place(queue);
        assert_eq!(cluster.place(channel).0, slot, "{queue}");
        let place = cluster.masters.iter().position(|master| master.port() == owner.port()).expect("a master");
        let mut here = subscriber(owner, &format!("SSUBSCRIBE {channel}"));
        let mut there = subscriber(&cluster.replicas[place], &format!("SSUBSCRIBE {channel}"));
        other.run(&format!("SSUBSCRIBE {channel}")).assert_refused("MOVED", &[]);
        other.reconnect();
        owner.run_all(&[&format!("TASK.PUSH {queue} x ID a"), &format!("TASK.CANCEL {queue} a")]);
        for client in [&mut here, &mut there] {
            for event in ["push", "cancel"] {
                let message = message(client);
                assert_eq!((&message["event"], &message["queue"]), (&event.into(), &queue.into()));
            }
            assert_eq!(client.read_within(50), None);
        }
    }
    // No channel of that form is of these queues' slots.
    for queue in ["a}b", "{}c"] {
        let mut client = subscriber(&cluster.masters[0], "PSUBSCRIBE task:*");
        assert_eq!(cluster.client().run(&format!("TASK.PUSH {queue} x ID a")), "a");
        assert_eq!(client.read_within(50), None);
    }
}
