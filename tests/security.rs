//! docs/security.md: the recipe for users, and that the rights it gives are all they have.

use crate::support::{Client, Server};
use std::{path::Path, process::Command};

/// The commands a user is tried with, each on a queue inside and one outside of its pattern.
const ATTEMPTS: [&str; 32] = [
    "TASK.PUSH QUEUE x",
    "TASK.MPUSH QUEUE 1 x",
    "TASK.CALL QUEUE x BLOCK 1",
    "TASK.CLAIM QUEUE",
    "TASK.MCLAIM 1 QUEUE",
    "TASK.EXTEND QUEUE a",
    "TASK.MEXTEND QUEUE 1 a 1",
    "TASK.COMPLETE QUEUE a done",
    "TASK.MCOMPLETE QUEUE 1 a 1 done",
    "TASK.FAIL QUEUE a no",
    "TASK.RELEASE QUEUE a",
    "TASK.RESULT QUEUE a",
    "TASK.GATHER QUEUE 1 a",
    "TASK.SET QUEUE MAXLEN 0",
    "TASK.SCHEDULE QUEUE s x EVERY 900000000",
    "TASK.UNSCHEDULE QUEUE s",
    "TASK.SCHEDULES QUEUE",
    "TASK.GET QUEUE a",
    "TASK.EXPLAIN QUEUE a",
    "TASK.WORKERS QUEUE",
    "TASK.INFO QUEUE",
    "TASK.LIST QUEUE ready 0",
    "TASK.EVENTS QUEUE 0",
    "TASK.SEAL QUEUE b",
    "TASK.BATCH QUEUE b",
    "TASK.COLLECT QUEUE b 0",
    "TASK.CANCEL QUEUE a",
    "TASK.RETRY QUEUE a",
    "TASK.FORGET QUEUE a",
    "UNLINK QUEUE:none",
    "SET QUEUE:mark x",
    "INCRBY QUEUE:count 1",
];

/// The same of commands that name no key.
const WITHOUT_KEY: [&str; 8] = [
    "PING",
    "WAIT 0 1",
    "EVAL \"return 1\" 0",
    "SCRIPT LOAD \"return 1\"",
    "SLOWLOG GET",
    "CLUSTER SLOTS",
    "ASKING",
    "TASK.HELP",
];

/// The lines of the document that are fenced as `fence`.
fn lines(fence: &str) -> impl Iterator<Item = &'static str> {
    let document = include_str!("../docs/security.md");
    let block = document.split(&format!("```{fence}\n")).nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the block").lines()
}

fn apply(server: &Server, fence: &str) {
    for line in lines(fence) {
        assert_eq!(server.run(line), "OK", "{line}");
    }
}

/// A server with the users of the document.
fn server() -> Server {
    let server = Server::start();
    for fence in ["acl", "acl-effects"] {
        apply(&server, fence);
    }
    if !server.run("COMMAND INFO waitaof").at(0).is_nil() {
        apply(&server, "acl-7.2");
        assert!(!login(&server, "producer").run("WAITAOF 0 0 1").is_error());
    }
    server
}

fn login(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.run(&format!("AUTH {user} change-me")), "OK");
    client
}

/// Each user may do what the table says on its queues, and nothing on others.
#[test]
fn the_recipe_gives_these_rights() {
    let server = server();
    for (user, may) in [
        ("producer", "PUSH MPUSH SEAL MARK PING WAIT"),
        ("client", "PUSH MPUSH SEAL CALL RESULT GATHER BATCH COLLECT CANCEL PING WAIT"),
        ("worker", "CLAIM MCLAIM EXTEND MEXTEND COMPLETE MCOMPLETE FAIL RELEASE PING WAIT"),
        ("observer", "GET EXPLAIN WORKERS INFO LIST EVENTS RESULT GATHER BATCH COLLECT SCHEDULES HELP PING"),
        (
            "operator",
            "GET EXPLAIN WORKERS INFO LIST EVENTS RESULT GATHER BATCH COLLECT CANCEL RETRY FORGET SET SCHEDULE UNSCHEDULE SCHEDULES HELP UNLINK PING",
        ),
        ("seller", "CLAIM EXTEND COMPLETE FAIL RELEASE INCRBY PING WAIT EVAL SCRIPT"),
    ] {
        let mut client = login(&server, user);
        let is_allowed = |attempt: &str| {
            // Not TASK.SET.
            let mut words = attempt.strip_prefix("SET").map_or(attempt, |_| "MARK").split(['.', ' ']);
            let command = words.find(|word| *word != "TASK").expect("a command");
            may.split(' ').any(|allowed| allowed == command)
        };
        for attempt in ATTEMPTS {
            let inside = client.run(&attempt.replace("QUEUE", "jobs:mail"));
            let is_refused = inside.is_error() && inside.code() == "NOPERM";
            assert_eq!(is_refused, !is_allowed(attempt), "{user}: {attempt}: {inside:?}");
            let outside = client.run(&attempt.replace("QUEUE", "other"));
            outside.assert_refused("NOPERM", &[]);
        }
        for attempt in WITHOUT_KEY {
            let reply = client.run(attempt);
            let is_refused = reply.is_error() && reply.code() == "NOPERM";
            assert_eq!(is_refused, !is_allowed(attempt), "{user}: {attempt}: {reply:?}");
        }
        // Its mark is all that a producer can overwrite.
        client.run("SET jobs:mail x").assert_refused("NOPERM", &[]);
        client.run("MONITOR").assert_refused("NOPERM", &[]);
    }
}

/// A producer sees nothing, but learns whether an ID is there, and revives a task that has failed.
#[test]
fn a_producer_learns_by_nx() {
    let server = server();
    server.run_all(&["TASK.PUSH jobs:mail x ID a ATTEMPTS 1", "TASK.CLAIM jobs:mail", "TASK.FAIL jobs:mail a no"]);
    let mut producer = login(&server, "producer");
    assert!(producer.run("TASK.PUSH jobs:mail y ID a NX").is_nil());
    assert_eq!(producer.run("TASK.PUSH jobs:mail y ID b NX"), "b");
    assert_eq!(producer.run("TASK.PUSH jobs:mail y ID a RENEW"), "a");
    assert_eq!(server.state("jobs:mail", "a"), "ready");
}

/// An observer hears of its own queues, by the channel of the queue or by the one pattern.
#[test]
fn an_observer_hears_of_its_queues_only() {
    let server = server();
    // The last is one that the page warns of.
    for line in [
        "SUBSCRIBE __keyspace@0__:jobs:mail",
        "PSUBSCRIBE __keyspace@*__:jobs:*",
        "SUBSCRIBE task:jobs:mail",
        "SUBSCRIBE __keyspace@0__:other__:jobs:x",
    ] {
        let reply = login(&server, "observer").run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    }
    for line in [
        "SUBSCRIBE __keyspace@0__:other",
        "SUBSCRIBE task:other",
        "SUBSCRIBE __keyevent@0__:task.complete",
        "PSUBSCRIBE __keyspace@0__:jobs:*",
        "PSUBSCRIBE __key*__:*",
        "PSUBSCRIBE *",
    ] {
        login(&server, "observer").run(line).assert_refused("NOPERM", &[]);
    }
}

/// Redis-py's cluster client works with the rights that the page gives it.
#[test]
fn a_cluster_client_has_what_it_needs() {
    let server = Server::builder().cluster().start();
    apply(&server, "acl");
    let script = format!(
        "import redis\n\
         def user(name): return redis.RedisCluster(host='127.0.0.1', port={}, username=name, password='change-me')\n\
         user('producer').execute_command('TASK.PUSH', 'jobs:mail', 'x')\n\
         print(user('worker').execute_command('TASK.CLAIM', 'jobs:mail')[1])",
        server.port()
    );
    let run = || {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
        Command::new(python).args(["-c", &script]).output().expect("`make python` makes .venv, which this test needs")
    };
    assert!(!run().status.success(), "the page says that it needs more");
    apply(&server, "acl-cluster");
    let output = run();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b'x'\n", "{}", String::from_utf8_lossy(&output.stderr));
    let asked = login(&server, "worker").run("ASKING");
    assert_eq!(asked, "OK");
}

/// In a cluster the observer hears the channels of its queues by the right that the page names, and those that it warns of.
#[test]
fn an_observer_of_a_cluster_hears_its_queues() {
    let server = Server::builder().cluster().config("task.publish", "yes").start();
    apply(&server, "acl");
    server.run_all(&["ACL SETUSER observer &task:{jobs:*}"]);
    for (queue, channel, is_heard) in [
        ("jobs:mail", "task:{jobs:mail}", true),
        ("{jobs:mail}", "task:{jobs:mail}", true),
        ("{jobs:a}b}", "task:{jobs:a}b}", true),
        ("{jobs:a}secret", "task:{jobs:a}secret", false),
        ("secret", "task:{secret}", false),
    ] {
        let mut observer = login(&server, "observer");
        observer.send(&format!("SSUBSCRIBE {channel}"));
        let reply = observer.read();
        assert_eq!(!reply.is_error(), is_heard, "{channel}: {reply:?}");
        if is_heard {
            server.run(&format!("TASK.PUSH {queue} x"));
            assert!(observer.read().at(2).text().contains(&format!("\"queue\":\"{queue}\"")), "{queue}");
        } else {
            assert_eq!(reply.code(), "NOPERM");
        }
    }
}

/// The script of the page completes and writes, each right being there.
#[test]
fn effects_have_their_rights() {
    let server = server();
    let finish = |user: &str, id: &str, key: &str| {
        let script =
            "redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], 'sold', 'ATTEMPT', 1) return redis.call('INCRBY', KEYS[2], 3)";
        login(&server, user).run(&format!("EVAL \"{script}\" 2 jobs:shop {key} {id}"))
    };
    server.run_all(&["TASK.PUSH jobs:shop x ID a", "TASK.PUSH jobs:shop x ID b", "TASK.CLAIM jobs:shop COUNT 2"]);
    // The keys are looked at before the script begins.
    finish("seller", "a", "other").assert_refused("NOPERM", &[]);
    assert_eq!(server.state("jobs:shop", "a"), "claimed");
    assert_eq!(finish("seller", "a", "stock:apples"), 3);
    // A command is looked at when the script comes to it: the page warns of this.
    server.run_all(&["ACL SETUSER seller -incrby"]);
    assert!(finish("seller", "b", "stock:apples").is_error());
    assert_eq!(server.state("jobs:shop", "b"), "completed");
    assert_eq!(server.run("GET stock:apples"), "3");
}

/// The internal command is refused to everyone, however it is said.
#[test]
fn effects_come_from_no_client() {
    let server = server();
    server.run("TASK.PUSH jobs:mail x ID a");
    let before = server.dump("jobs:mail");
    server.run("TASK.APPLY jobs:mail x").assert_refused("ERR", &["TASK.APPLY"]);
    server.run(r#"EVAL "return redis.call('TASK.APPLY', KEYS[1], 'x')" 1 jobs:mail"#).assert_refused("ERR", &["TASK.APPLY"]);
    let library =
        "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('TASK.APPLY', keys[1], 'x') end)";
    server.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]);
    server.run("FCALL f 1 jobs:mail").assert_refused("ERR", &["TASK.APPLY"]);
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.APPLY jobs:mail x");
    client.run("EXEC").at(0).assert_refused("ERR", &["TASK.APPLY"]);
    assert!(server.dump("jobs:mail") == before);
    for user in ["producer", "worker", "operator"] {
        login(&server, user).run("TASK.APPLY jobs:mail x").assert_refused("NOPERM", &[]);
    }
}

/// The server's slow log shows payloads, and does not when it is turned off.
#[test]
fn the_slow_log_shows_payloads_unless_it_is_off() {
    let server = server();
    let shows = |slower_than: &str| {
        server.run_all(&[&format!("CONFIG SET slowlog-log-slower-than {slower_than}"), "SLOWLOG RESET"]);
        server.run("TASK.PUSH jobs:mail secret-payload");
        format!("{:?}", server.run("SLOWLOG GET")).contains("secret-payload")
    };
    assert!(shows("0"));
    assert!(!shows("-1"));
}

/// Nothing of a payload or a result gets into the log, whatever is wrong with it.
#[test]
fn the_log_keeps_secrets() {
    let server = server();
    server.run_all(&["TASK.PUSH jobs:mail secret-payload ID a", "TASK.CLAIM jobs:mail"]);
    for line in [
        "TASK.COMPLETE jobs:mail a secret-result ATTEMPT 9",
        "TASK.APPLY jobs:mail secret-effects",
        "TASK.PUSH jobs:mail secret-payload BAD",
    ] {
        let reply = server.run(line);
        assert!(reply.is_error() && !format!("{reply:?}").contains("secret"), "{line}: {reply:?}");
    }
    server.cmd(&[b"RESTORE", b"jobs:other", b"0", b"secret-dump"]);
    assert!(!server.log().contains("secret"), "{}", server.log());
}
