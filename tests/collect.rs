//! `TASK.COLLECT`: the results of a batch in the order in which they finish, by pages and cursors.

use crate::support::{Server, Value, bulk, eventually, eventually_within, int};
use std::time::Duration;

/// A page: the ids in it.
fn ids(page: &Value) -> Vec<String> {
    page.at(2).items().iter().map(|end| end.at(0).text()).collect()
}

fn collect(server: &Server, cursor: &str) -> Value {
    server.run(&format!("TASK.COLLECT jobs b {cursor}"))
}

fn push(server: &Server, ids: &[&str]) {
    for id in ids {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {id} BATCH b")]);
    }
}

fn complete(server: &Server, id: &str) {
    server.run_all(&[&format!("TASK.COMPLETE jobs {id} done-{id}")]);
}

/// Ends come in the order in which they happened, each once per cursor; `remaining` counts down once the batch is sealed.
#[test]
fn pages() {
    let server = Server::start();
    push(&server, &["1", "2", "3", "4"]);
    server.run_all(&["TASK.CLAIM jobs COUNT 3"]);
    let none = collect(&server, "0");
    assert_eq!((none.at(1).int(), ids(&none).len()), (-1, 0));
    complete(&server, "3");
    server.run_all(&["TASK.FAIL jobs 1 no DEAD", "TASK.CANCEL jobs 4"]);
    let first = server.run("TASK.COLLECT jobs b 0 COUNT 2");
    assert_eq!(first.at(1), &int(-1));
    assert_eq!(first.at(2).at(0).items(), [bulk("3"), bulk("completed"), bulk("done-3")]);
    assert_eq!(first.at(2).at(1).items(), [bulk("1"), bulk("failed"), bulk("no")]);
    server.run_all(&["TASK.SEAL jobs b"]);
    let second = collect(&server, &first.at(0).text());
    assert_eq!((second.at(1).int(), ids(&second)), (1, vec!["4".to_owned()]));
    assert!(second.at(2).at(0).at(2).is_nil());
    complete(&server, "2");
    let last = collect(&server, &second.at(0).text());
    assert_eq!((last.at(1).int(), ids(&last)), (0, vec!["2".to_owned()]));
    let after = collect(&server, &last.at(0).text());
    assert_eq!((after.at(1).int(), ids(&after).len()), (0, 0));
    assert_eq!(ids(&collect(&server, "0")), ["3", "1", "4", "2"]);
}

/// A task that RETRY takes back ends anew: who has seen its first end sees the second, who has not sees that alone.
#[test]
fn a_retried_task_ends_anew() {
    let server = Server::start();
    push(&server, &["1", "2"]);
    server.run_all(&["TASK.SEAL jobs b", "TASK.CANCEL jobs 1", "TASK.CANCEL jobs 2"]);
    let seen = collect(&server, "0");
    assert_eq!((seen.at(1).int(), ids(&seen)), (0, vec!["1".to_owned(), "2".to_owned()]));
    server.run("TASK.RETRY jobs 1");
    let cursor = seen.at(0).text();
    assert_eq!(collect(&server, &cursor).at(1), &int(1));
    server.run("TASK.CLAIM jobs");
    complete(&server, "1");
    assert_eq!(ids(&collect(&server, &cursor)), ["1"]);
    assert_eq!(ids(&collect(&server, "0")), ["2", "1"]);
}

/// The last end that a cursor was given may be taken back: the cursor goes on, also after a reload.
#[test]
fn a_cursor_outlives_its_last_end() {
    let server = Server::start();
    push(&server, &["1", "2"]);
    server.run_all(&["TASK.CANCEL jobs 1", "TASK.CANCEL jobs 2"]);
    let cursor = collect(&server, "0").at(0).text();
    server.run_all(&["TASK.RETRY jobs 2", "DEBUG RELOAD"]);
    let page = collect(&server, &cursor);
    assert_eq!((page.at(0), ids(&page).len()), (&bulk(cursor.as_str()), 0));
    server.run_all(&["TASK.CANCEL jobs 2", "DEBUG RELOAD"]);
    assert_eq!(ids(&collect(&server, &cursor)), ["2"]);
}

/// BLOCK waits for the next end, or for the seal if nothing else is left; it answers at once what there is.
#[test]
fn block() {
    let server = Server::start();
    push(&server, &["1", "2"]);
    server.run_all(&["TASK.CLAIM jobs COUNT 2"]);
    let mut first = server.block("TASK.COLLECT jobs b 0 BLOCK 0");
    let mut second = server.block("TASK.COLLECT jobs b 0 COUNT 1 BLOCK 0");
    complete(&server, "2");
    let page = first.read();
    assert_eq!(second.read(), page);
    assert_eq!((page.at(1).int(), ids(&page)), (-1, vec!["2".to_owned()]));
    assert_eq!(ids(&server.run("TASK.COLLECT jobs b 0 BLOCK 0")), ["2"]);
    complete(&server, "1");
    let page = collect(&server, &page.at(0).text());
    assert_eq!(ids(&page), ["1"]);
    // All have ended, but more may come.
    let cursor = page.at(0).text();
    let mut waits = server.block(&format!("TASK.COLLECT jobs b {cursor} BLOCK 0"));
    server.run("TASK.SEAL jobs b");
    let last = waits.read();
    assert_eq!(last.items()[..2], [bulk(cursor.as_str()), int(0)]);
    assert_eq!(server.run(&format!("TASK.COLLECT jobs b {cursor} BLOCK 0")), last, "at once");
}

/// One command or tick that ends many tasks wakes a reader once, with all that fit its page.
#[test]
fn many_ends_are_one_page() {
    let server = Server::start();
    server.run_all(&["TASK.MPUSH jobs 8 a b c d e f g h BATCH b SEAL"]);
    let mut reader = server.block("TASK.COLLECT jobs b 0 COUNT 5 BLOCK 0");
    server.run("TASK.CANCEL jobs BATCH b");
    let page = reader.read();
    assert_eq!((page.at(1).int(), ids(&page).len()), (3, 5));
}

/// The last result of a batch that retains nothing reaches who waits for it.
#[test]
fn what_is_not_retained_is_given_to_who_waits() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID 1 RETAIN 0 BATCH b SEAL", "TASK.CLAIM jobs"]);
    let mut reader = server.block("TASK.COLLECT jobs b 0 BLOCK 0");
    complete(&server, "1");
    let page = reader.read();
    assert_eq!((page.at(1).int(), ids(&page)), (0, vec!["1".to_owned()]));
    eventually(|| collect(&server, "0").is_error());
}

/// At the timeout the page is empty; in MULTI, and in a script, nobody waits.
#[test]
fn timeouts() {
    let server = Server::start();
    push(&server, &["1"]);
    for line in
        ["TASK.COLLECT jobs b 0 BLOCK 20", r#"EVAL "return redis.call('TASK.COLLECT', KEYS[1], 'b', 0, 'BLOCK', 0)" 1 jobs"#]
    {
        let page = server.run(line);
        assert_eq!((page.at(1).int(), ids(&page).len()), (-1, 0), "{line}");
    }
    let mut client = server.client();
    let page = client.run_each(&["MULTI", "TASK.COLLECT jobs b 0 BLOCK 0", "EXEC"]).pop().expect("a reply");
    assert_eq!(ids(page.at(0)).len(), 0);
}

/// An unknown batch, and a cursor of an earlier batch of the name, are errors; so is a batch that goes away while one waits.
#[test]
fn batches_that_are_gone() {
    let server = Server::start();
    server.run("TASK.COLLECT none b 0").assert_refused("NOTASK", &["batch"]);
    push(&server, &["1"]);
    server.run("TASK.COLLECT jobs c 0 BLOCK 0").assert_refused("NOTASK", &["batch"]);
    server.run_all(&["TASK.SEAL jobs b", "TASK.CANCEL jobs 1"]);
    let old = collect(&server, "0").at(0).text();
    server.run("TASK.FORGET jobs BATCH b");
    push(&server, &["2"]);
    for line in [format!("TASK.COLLECT jobs b {old}"), format!("TASK.COLLECT jobs b {old} BLOCK 0")] {
        server.run(&line).assert_refused("NOTASK", &["earlier"]);
    }
    // Also of a queue that was deleted meanwhile.
    let old = collect(&server, "0").at(0).text();
    let mut waits = server.block("TASK.COLLECT jobs b 0 BLOCK 0");
    server.run("DEL jobs");
    waits.read().assert_refused("NOTASK", &["batch"]);
    // A batch is told from those of a queue that was there before by the clock: let a millisecond pass.
    std::thread::sleep(Duration::from_millis(2));
    push(&server, &["3"]);
    collect(&server, &old).assert_refused("NOTASK", &["earlier"]);
    for gone in ["RENAME jobs elsewhere", "FLUSHALL"] {
        push(&server, &["4"]);
        let mut waits = server.block("TASK.COLLECT jobs b 0 BLOCK 0");
        server.run(gone);
        waits.read().assert_refused("NOTASK", &["batch"]);
    }
}

/// A cursor that was given ends which are lost, here by an older state of the queue, is refused: before others come in their place, and
/// then. Who waits with it is told.
#[test]
fn ends_that_are_lost() {
    let server = Server::start();
    push(&server, &["1", "2", "3"]);
    server.run_all(&["TASK.CLAIM jobs COUNT 3"]);
    complete(&server, "1");
    let kept = collect(&server, "0").at(0).text();
    let older = server.dump("jobs");
    complete(&server, "2");
    let lost = collect(&server, &kept).at(0).text();
    let mut waits = server.block(&format!("TASK.COLLECT jobs b {lost} BLOCK 0"));
    assert_eq!(server.cmd(&[b"RESTORE", b"jobs", b"0", &older, b"REPLACE"]), "OK");
    waits.read().assert_refused("STALE", &["cursor", "lost", "0"]);
    let refused = || {
        for block in ["", "BLOCK 0"] {
            server.run(&format!("TASK.COLLECT jobs b {lost} {block}")).assert_refused("STALE", &["cursor", "lost", "0"]);
        }
    };
    refused();
    complete(&server, "3");
    refused();
    assert_eq!(ids(&collect(&server, &kept)), ["3"]);
    assert_eq!(ids(&collect(&server, "0")), ["1", "3"]);
}

/// A replica that is behind does not take ends for lost that it has not got yet.
#[test]
fn a_replica_that_is_behind() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    push(&server, &["1", "2"]);
    server.run_all(&["TASK.CLAIM jobs COUNT 2"]);
    server.wait_for_replica(&replica);
    // Nobody is there.
    replica.run("REPLICAOF 127.0.0.1 1");
    complete(&server, "1");
    let cursor = collect(&server, "0").at(0).text();
    for block in ["", "BLOCK 0"] {
        replica.run(&format!("TASK.COLLECT jobs b {cursor} {block}")).assert_refused("TRYAGAIN", &["cursor", "master"]);
    }
    replica.run(&format!("REPLICAOF 127.0.0.1 {}", server.port()));
    eventually_within(Duration::from_secs(15), || !collect(&replica, &cursor).is_error());
    complete(&server, "2");
    eventually(|| ids(&collect(&replica, &cursor)) == ["2"]);
    replica.run("REPLICAOF NO ONE");
    assert_eq!(ids(&collect(&replica, &cursor)), ["2"]);
}

/// An abandoned batch goes, and who waits for it is told.
#[test]
fn an_abandoned_batch_is_told_of() {
    let server = Server::start();
    push(&server, &["1"]);
    server.run_all(&["TASK.CANCEL jobs 1"]);
    let cursor = collect(&server, "0").at(0).text();
    let mut waits = server.block(&format!("TASK.COLLECT jobs b {cursor} BLOCK 0"));
    server.run_all(&["CONFIG SET task.retain-failed 20", "TASK.PUSH jobs x ID 2 BATCH b", "TASK.CANCEL jobs 2"]);
    let page = waits.read();
    assert_eq!(ids(&page), ["2"]);
    let reply = server.run(&format!("TASK.COLLECT jobs b {} BLOCK 0", page.at(0).text()));
    reply.assert_refused("NOTASK", &["batch"]);
}

/// It waits on replicas, and the cursor goes on after a failover, a reload and an AOF.
#[test]
fn cursors_outlive_servers() {
    let server = Server::builder().aof().start();
    let replica = Server::replica_of(&server);
    push(&server, &["1", "2", "3"]);
    server.run_all(&["TASK.CLAIM jobs COUNT 3"]);
    server.wait_for_replica(&replica);
    let mut reader = replica.block("TASK.COLLECT jobs b 0 BLOCK 0");
    complete(&server, "2");
    let page = reader.read();
    assert_eq!(ids(&page), ["2"]);
    let mut waits = replica.block(&format!("TASK.COLLECT jobs b {} BLOCK 0", page.at(0).text()));
    complete(&server, "1");
    let page = waits.read();
    assert_eq!(ids(&page), ["1"]);
    server.run_all(&["DEBUG RELOAD", "DEBUG LOADAOF"]);
    server.wait_for_replica(&replica);
    let cursor = page.at(0).text();
    for at in [&server, &replica] {
        assert_eq!(ids(&collect(at, &cursor)).len(), 0);
    }
    replica.run_all(&["REPLICAOF NO ONE", "TASK.COMPLETE jobs 3 done", "TASK.SEAL jobs b"]);
    let page = collect(&replica, &cursor);
    assert_eq!((page.at(1).int(), ids(&page)), (0, vec!["3".to_owned()]));
}

/// Every argument is checked.
#[test]
fn errors() {
    let server = Server::start();
    push(&server, &["1"]);
    server.run("SET text x");
    for (line, code, words) in [
        ("TASK.COLLECT jobs b", "ERR", &["number of arguments"][..]),
        ("TASK.COLLECT jobs b x", "ERR", &["cursor"]),
        ("TASK.COLLECT jobs b 1", "ERR", &["cursor"]),
        ("TASK.COLLECT jobs b 1-2", "ERR", &["cursor"]),
        ("TASK.COLLECT jobs ALL 0", "ERR", &["batch"]),
        ("TASK.COLLECT jobs b 0 COUNT 0", "ERR", &["COUNT", "10000"]),
        ("TASK.COLLECT jobs b 0 COUNT 1 COUNT 1", "ERR", &["COUNT", "more than once"]),
        ("TASK.COLLECT jobs b 0 BLOCK -1", "ERR", &["BLOCK"]),
        ("TASK.COLLECT jobs b 0 NOW", "ERR", &["unknown option NOW"]),
        ("TASK.COLLECT text b 0", "WRONGTYPE", &[]),
    ] {
        server.run(line).assert_refused(code, words);
    }
}
