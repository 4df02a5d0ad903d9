//! docs/security.md: the recipe for users, and that the rights it gives are all they have.

use crate::support::{Client, Server};

/// The commands a user is tried with, each on a queue inside and one outside of its pattern.
const ATTEMPTS: [&str; 22] = [
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
    "TASK.GET QUEUE a",
    "TASK.INFO QUEUE",
    "TASK.LIST QUEUE ready 0",
    "TASK.SEAL QUEUE b",
    "TASK.BATCH QUEUE b",
    "TASK.COLLECT QUEUE b 0",
    "TASK.CANCEL QUEUE a",
    "TASK.RETRY QUEUE a",
    "TASK.FORGET QUEUE a",
];

/// A server with the users of the document.
fn server() -> Server {
    let server = Server::start();
    let document = include_str!("../docs/security.md");
    let recipe = document.split("```acl").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for line in recipe.lines().filter(|line| !line.trim().is_empty()) {
        assert_eq!(server.run(line), "OK", "{line}");
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
        ("producer", "PUSH MPUSH SEAL"),
        ("client", "PUSH MPUSH SEAL CALL RESULT GATHER BATCH COLLECT CANCEL"),
        ("worker", "CLAIM MCLAIM EXTEND MEXTEND COMPLETE MCOMPLETE FAIL RELEASE"),
        ("observer", "GET INFO LIST RESULT GATHER BATCH COLLECT"),
        ("operator", "GET INFO LIST RESULT GATHER BATCH COLLECT CANCEL RETRY FORGET"),
    ] {
        let mut client = login(&server, user);
        for attempt in ATTEMPTS {
            let command = attempt.split(['.', ' ']).nth(1).unwrap();
            let inside = client.run(&attempt.replace("QUEUE", "jobs:mail"));
            let allowed = may.split(' ').any(|allowed| allowed == command);
            assert_eq!(inside.is_error() && inside.code() == "NOPERM", !allowed, "{user}: {attempt}: {inside:?}");
            let outside = client.run(&attempt.replace("QUEUE", "other"));
            outside.assert_refused("NOPERM", &[]);
        }
    }
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
