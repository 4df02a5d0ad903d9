//! Active defragmentation: what a queue keeps is moved together, while work goes on, and is the same afterwards.

use crate::support::{Dice, Server, eventually, eventually_within, task::Claim};
use std::time::Duration;

const TASKS: u64 = 100_000;

/// Bytes that the allocator holds and cannot use for anything large.
fn scattered(server: &Server) -> i64 {
    server.info("allocator_frag_bytes").parse().expect("bytes")
}

/// A queue of which a tenth is left, in pieces all over the memory, is moved together.
#[test]
fn a_scattered_queue_is_moved_together() {
    let server = Server::start();
    if server.run("CONFIG SET activedefrag yes").is_error() {
        println!("skipped: this server cannot defragment (Redis built with its own jemalloc can)");
        return;
    }
    if server.info("redis_version").starts_with("7.4.") {
        println!("skipped: Redis 7.4 leaves most of what is scattered where it is, of strings and hashes too");
        return;
    }
    server.run_all(&["CONFIG SET activedefrag no", "CONFIG SET active-defrag-ignore-bytes 1mb"]);
    server.run_all(&["CONFIG SET active-defrag-threshold-lower 5", "CONFIG SET active-defrag-cycle-min 10"]);
    let mut client = server.client();
    let mut dice = Dice::new(7);
    let push = |n: u64| {
        let payload = "p".repeat(usize::try_from(10 + dice.roll(400)).expect("a size"));
        format!("TASK.PUSH jobs {payload} ID a-task-of-some-name-{n}")
    };
    client.run_each(&(0..TASKS).map(push).collect::<Vec<_>>());
    for n in 0..200 {
        let id = Claim::of(&client.run("TASK.CLAIM jobs LEASE 900000")).id;
        client.run(&format!("TASK.EXTEND jobs {id} CHECKPOINT {}", "c".repeat(n + 1)));
    }
    let mut dice = Dice::new(8);
    let dropped: Vec<_> =
        (200..TASKS).filter(|_| dice.roll(10) > 0).map(|n| format!("TASK.CANCEL jobs a-task-of-some-name-{n}")).collect();
    client.run_each(&dropped);
    while client.run("TASK.FORGET jobs ALL COUNT 10000") != 0 {}
    eventually(|| scattered(&server) > 12_000_000);
    let (before, digest) = (scattered(&server), server.digest());
    server.run_all(&["CONFIG SET activedefrag yes", "TASK.PUSH other x ID a DELAY 100"]);
    let mut worker = server.client();
    eventually_within(Duration::from_secs(30), || {
        // Work goes on meanwhile, in queues of all sizes.
        worker.run("TASK.PUSH other \"some payload\" ATTEMPTS 0 LEASE 2");
        worker.run("TASK.CLAIM other BLOCK 1");
        scattered(&server) < before / 8 * 3
    });
    println!("{before} bytes scattered, then {}", scattered(&server));
    assert!(server.info("active_defrag_hits").parse::<i64>().expect("a count") > 1_000);
    server.run("DEL other");
    assert_eq!(server.digest(), digest);
    // Every block that was moved is whole, and is given back once.
    server.run("CONFIG SET activedefrag no");
    assert_eq!(server.run("DEBUG RELOAD"), "OK");
    assert_eq!(server.digest(), digest);
    server.run_all(&["COPY jobs copy", "DEL jobs", "DEL copy"]);
}
