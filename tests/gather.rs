//! `TASK.GATHER`: the results of several tasks, together.

use crate::support::{Server, Value, array, bulk, eventually, nil};

/// `[id, state, data]`.
fn end(id: &str, state: Value, data: Value) -> Value {
    array([bulk(id), state, data])
}

/// It answers in the order asked, with nil for what is not there.
#[test]
fn answers_in_the_order_asked() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c", "TASK.CLAIM jobs COUNT 2"]);
    server.run_all(&["TASK.COMPLETE jobs a done", "TASK.FAIL jobs b no DEAD"]);
    let expected = array([
        end("c", bulk("ready"), nil()),
        end("none", nil(), nil()),
        end("b", bulk("failed"), bulk("no")),
        end("a", bulk("completed"), bulk("done")),
        end("a", bulk("completed"), bulk("done")),
    ]);
    assert_eq!(server.run("TASK.GATHER jobs 5 c none b a a"), expected);
    assert_eq!(server.run("TASK.GATHER none 1 a"), array([end("a", nil(), nil())]));
}

/// It waits until all have ended, and not for what is unknown; the results are there even if they are not kept.
#[test]
fn waits_for_all() {
    let server = Server::start();
    for id in ["a", "b", "c"] {
        server.run(&format!("TASK.PUSH jobs x ID {id} RETAIN 0 RETAINFAILED 0"));
    }
    server.run_all(&["TASK.CLAIM jobs COUNT 3", "TASK.COMPLETE jobs b early"]);
    let mut gatherer = server.block("TASK.GATHER jobs 5 a b none c a BLOCK 0");
    server.run("TASK.COMPLETE jobs c one");
    assert_eq!(gatherer.read_within(10), None);
    server.run("TASK.FAIL jobs a two DEAD");
    let expected = array([
        end("a", bulk("failed"), bulk("two")),
        end("b", nil(), nil()),
        end("none", nil(), nil()),
        end("c", bulk("completed"), bulk("one")),
        end("a", bulk("failed"), bulk("two")),
    ]);
    assert_eq!(gatherer.read(), expected);
    assert_eq!(server.run("TASK.GATHER jobs 1 a"), array([end("a", nil(), nil())]));
}

/// At the timeout what has ended has its data, the rest its state.
#[test]
fn times_out_with_what_there_is() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.PUSH jobs x ID b", "TASK.CLAIM jobs COUNT 2"]);
    let mut gatherer = server.block("TASK.GATHER jobs 2 a b BLOCK 200");
    server.run_all(&["TASK.COMPLETE jobs a done", "TASK.RELEASE jobs b"]);
    assert_eq!(gatherer.read(), array([end("a", bulk("completed"), bulk("done")), end("b", bulk("ready"), nil())]));
    server.wait_for_blocked(0);
    assert_eq!(server.claim("jobs").id, "b");
    assert_eq!(server.run("TASK.COMPLETE jobs b done"), "OK");
}

/// Many gatherers of overlapping tasks are each told once; a queue that goes away answers at once.
#[test]
fn many_gatherers() {
    let server = Server::start();
    let ids: Vec<_> = (0..50).map(|n| format!("t{n}")).collect();
    for id in &ids {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
    }
    server.run("TASK.CLAIM jobs COUNT 50");
    let mut gatherers: Vec<_> =
        (0..20).map(|n| (n, server.block(&format!("TASK.GATHER jobs {} {} BLOCK 0", n + 1, ids[..=n].join(" "))))).collect();
    for id in &ids[..10] {
        server.run(&format!("TASK.COMPLETE jobs {id} r-{id}"));
    }
    for (n, gatherer) in gatherers.iter_mut().take(10) {
        let reply = gatherer.read();
        assert_eq!(reply.items().len(), *n + 1);
        assert_eq!(reply.at(*n).at(2), &bulk(format!("r-t{n}")));
    }
    server.wait_for_blocked(10);
    server.run("RENAME jobs other");
    for (n, gatherer) in gatherers.iter_mut().skip(10) {
        let reply = gatherer.read();
        assert_eq!((reply.at(0).at(2), reply.at(*n)), (&bulk("r-t0"), &end(&format!("t{n}"), nil(), nil())));
    }
}

/// A task that is retried while others are waited for is answered by the end that came first.
#[test]
fn an_end_stands_as_it_came() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.CLAIM jobs COUNT 2"]);
    let mut gatherer = server.block("TASK.GATHER jobs 2 a b BLOCK 0");
    server.run_all(&["TASK.FAIL jobs a no DEAD", "TASK.RETRY jobs a", "TASK.COMPLETE jobs b done"]);
    assert_eq!(gatherer.read(), array([end("a", bulk("failed"), bulk("no")), end("b", bulk("completed"), bulk("done"))]));
}

/// It waits on a replica too, and in MULTI it does not.
#[test]
fn on_replicas_and_in_multi() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.CLAIM jobs COUNT 2"]);
    server.wait_for_replica(&replica);
    let mut gatherer = replica.block("TASK.GATHER jobs 2 a b BLOCK 0");
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.GATHER jobs 2 a b BLOCK 0");
    assert_eq!(client.run("EXEC").at(0).at(0), &end("a", bulk("claimed"), nil()));
    server.run("TASK.MCOMPLETE jobs 2 a 1 one b 1 two");
    assert_eq!(gatherer.read(), array([end("a", bulk("completed"), bulk("one")), end("b", bulk("completed"), bulk("two"))]));
}

/// Ten thousand tasks in one call, waited for.
#[test]
fn takes_ten_thousand() {
    let server = Server::start();
    let mut line = vec!["TASK.MPUSH", "jobs", "10000"];
    line.resize(3 + 10_000, "x");
    let line: Vec<_> = line.iter().map(|word| word.as_bytes()).collect();
    let ids: Vec<_> = server.cmd(&line).items().iter().map(Value::text).collect();
    let mut gatherer = server.block(&format!("TASK.GATHER jobs 10000 {} BLOCK 0", ids.join(" ")));
    let claims = server.run("TASK.CLAIM jobs COUNT 10000");
    let answers: Vec<_> = claims.items().iter().map(|claim| format!("{} 1 r", claim.at(0).text())).collect();
    server.run(&format!("TASK.MCOMPLETE jobs 10000 {}", answers.join(" ")));
    assert!(gatherer.read().items().iter().all(|end| end.at(2) == "r"));
}

fn blocked(server: &Server) -> usize {
    server.info("blocked_clients").parse().expect("a count")
}

/// However many wait for however much: others get their turn while those are told and answered.
#[test]
fn many_long_replies_stall_nobody() {
    const GATHERERS: usize = 20;
    let server = Server::start();
    let ids: Vec<_> = (0..10_000).map(|n| format!("t{n}")).collect();
    let asked = format!("TASK.GATHER jobs 10000 {} BLOCK 0", ids.join(" "));
    let one = "TASK.RESULT jobs t0 BLOCK 0".to_owned();
    let result = format!("TASK.COMPLETE jobs t0 {}", "r".repeat(1_000_000));
    for (asked, provoke) in
        [(&asked, "UNLINK jobs"), (&asked, "TASK.COMPLETE jobs t0 r"), (&asked, "RENAME other jobs"), (&one, &*result)]
    {
        server.run_all(&["UNLINK jobs", "TASK.PUSH jobs x ID t0", "TASK.CLAIM jobs", "TASK.PUSH other x"]);
        if !provoke.starts_with("TASK") {
            server.run_all(&["TASK.PUSH jobs x ID t1", "TASK.PUSH jobs x ID t9999"]);
        }
        let mut waiters: Vec<_> = (0..GATHERERS).map(|_| server.client()).collect();
        for waiter in &mut waiters {
            waiter.send(asked);
        }
        server.wait_for_blocked(GATHERERS);
        server.run(provoke);
        eventually(|| {
            assert!(blocked(&server) > 0, "{}: all were answered in one turn", &provoke[..20.min(provoke.len())]);
            blocked(&server) < GATHERERS
        });
        for waiter in &mut waiters {
            let reply = waiter.read();
            if reply.items().len() == 2 {
                assert_eq!((reply.at(0), reply.at(1).text().len()), (&bulk("completed"), 1_000_000));
            } else {
                assert_eq!((reply.items().len(), reply.at(9_999).at(0)), (10_000, &bulk("t9999")));
            }
        }
    }
}

/// One command ends so much for so many that not all are told by it: each still hears of the end as it was, also of tasks that are gone by
/// then or have begun again; who asks later hears of what there is.
#[test]
fn who_is_told_later_hears_of_the_same_end() {
    const TASKS: usize = 400;
    let server = Server::start();
    let ids: Vec<_> = (0..TASKS).map(|n| format!("t{n}")).collect();
    server.client().run_each(&ids.iter().map(|id| format!("TASK.PUSH jobs x ID {id} RETAIN 0")).collect::<Vec<_>>());
    server.run("TASK.CLAIM jobs COUNT 10000");
    let asked = format!("TASK.GATHER jobs {TASKS} {} BLOCK 0", ids.join(" "));
    let mut gatherers: Vec<_> = (0..30).map(|_| server.block(&asked)).collect();
    let answers: Vec<_> = ids.iter().map(|id| format!("{id} 1 r-{id}")).collect();
    let mut client = server.client();
    client.send_all(&[
        "MULTI",
        &format!("TASK.MCOMPLETE jobs {TASKS} {}", answers.join(" ")),
        "TASK.PUSH jobs x ID t399",
        "EXEC",
    ]);
    let mut late = server.client();
    late.send("TASK.RESULT jobs t399 BLOCK 0");
    for gatherer in &mut gatherers {
        let reply = gatherer.read();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(reply.at(n), &end(id, bulk("completed"), bulk(format!("r-{id}"))));
        }
    }
    server.run_all(&["TASK.CLAIM jobs", "TASK.COMPLETE jobs t399 second"]);
    assert_eq!(late.read().at(1), "second");
}

/// A task that is named twice is answered twice, and a queue that expires while those who wait are being told tells them all.
#[test]
fn a_queue_that_expires_meanwhile() {
    let server = Server::start();
    let ids: Vec<_> = (0..10_000).map(|n| format!("t{n}")).collect();
    for _ in 0..5 {
        let mut client = server.client();
        client.run_each(&ids.iter().step_by(100).map(|id| format!("TASK.PUSH jobs x ID {id}")).collect::<Vec<_>>());
        let asked = format!("TASK.GATHER jobs 10000 {} BLOCK 0", [&ids[..9_999], &["t0".to_owned()]].concat().join(" "));
        let mut gatherers: Vec<_> = (0..10).map(|_| server.block(&asked)).collect();
        // The looks begin while the key is there, and find it gone.
        client.run_each(&["PEXPIRE jobs 15", "MULTI", "SWAPDB 0 1", "SWAPDB 0 1", "EXEC"]);
        for gatherer in &mut gatherers {
            let reply = gatherer.read();
            assert_eq!(
                (reply.items().len(), reply.at(0), reply.at(9_999)),
                (10_000, &end("t0", nil(), nil()), &end("t0", nil(), nil()))
            );
        }
    }
}

/// Bad arguments.
#[test]
fn refuses_bad_arguments() {
    let server = Server::start();
    for (line, word) in [
        ("TASK.GATHER jobs 0 a", "numids"),
        ("TASK.GATHER jobs 10001 a", "10000"),
        ("TASK.GATHER jobs 2 a", "numids"),
        ("TASK.GATHER jobs 1 a b", "unknown option"),
        ("TASK.GATHER jobs 1 ALL", "id"),
        ("TASK.GATHER jobs 1 a BLOCK x", "BLOCK"),
    ] {
        server.run(line).assert_refused("ERR", &[word]);
    }
}
