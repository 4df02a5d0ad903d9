//! Memory: a full server drains, large queues go without a stall, and what was used is given back.

use crate::support::{Client, Server, Value, eventually_within};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn used(server: &Server) -> i64 {
    server.info("used_memory").parse().expect("bytes")
}

/// Over maxmemory pushes are refused, and all that drains a queue goes on.
#[test]
fn a_full_server_drains() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c", "TASK.PUSH jobs x ID d"]);
    server.run_all(&["CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1"]);
    server.run("TASK.PUSH jobs x").assert_refused("OOM", &[]);
    server.run("TASK.PUSH jobs x ID a").assert_refused("OOM", &[]);
    for line in [
        "TASK.CLAIM jobs COUNT 3",
        "TASK.EXTEND jobs a CHECKPOINT half",
        "TASK.COMPLETE jobs a done ATTEMPT 1",
        "TASK.RESULT jobs a",
        "TASK.FAIL jobs b no DEAD",
        "TASK.RETRY jobs b",
        "TASK.RELEASE jobs c DELAY 1",
        "TASK.CANCEL jobs d",
        "TASK.GET jobs a",
        "TASK.LIST jobs completed 0",
        "TASK.INFO jobs",
        "TASK.FORGET jobs a",
    ] {
        let reply = server.run(line);
        assert!(!reply.is_error() && !reply.is_nil(), "{line}: {reply:?}");
    }
    server.wait_for_state("c", "ready");
    assert_eq!(server.state("jobs", "a"), "none");
    server.run("CONFIG SET maxmemory 0");
    assert!(!server.run("TASK.PUSH jobs x").is_error());
}

/// Fills `jobs` with tasks, some of them claimed and some delayed.
fn fill(server: &Server, tasks: usize) {
    let mut client = server.client();
    client.run_each(&vec!["TASK.PUSH jobs \"a payload of some forty bytes, as many are\" DELAY 900000"; tasks / 3]);
    client.run_each(&vec!["TASK.PUSH jobs \"a payload of some forty bytes, as many are\""; tasks - tasks / 3]);
    client.run_each(&vec!["TASK.CLAIM jobs COUNT 100 LEASE 900000"; tasks / 300]);
}

/// The longest that a PING took while `line` ran and what it began was done.
fn worst_ping(server: &Server, line: &str) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let mut client: Client = server.client();
    let pings = {
        let stop = stop.clone();
        thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.run("PING");
                worst = worst.max(start.elapsed());
            }
            worst
        })
    };
    assert!(!server.run(line).is_error());
    eventually_within(Duration::from_secs(20), || server.info("lazyfree_pending_objects") == "0");
    stop.store(true, Ordering::Relaxed);
    pings.join().expect("pings")
}

/// UNLINK and FLUSHALL ASYNC of a large queue leave the work to the background: no PING waits for it.
fn large_queues_go_without_a_stall(tasks: usize) {
    let server = Server::start();
    // glibc gives a gigabyte back to the system while it holds its lock: there a plain set of three million stalls a server for a second.
    let stalls_anyway = tasks > 1_000_000 && server.info("mem_allocator") == "libc";
    let limit = Duration::from_millis(if stalls_anyway { 4_000 } else { 100 });
    let empty = used(&server);
    for line in ["UNLINK jobs", "FLUSHALL ASYNC"] {
        fill(&server, tasks);
        let full = used(&server);
        let worst = worst_ping(&server, line);
        println!("{line} of {tasks} tasks, {} MB: the worst PING took {worst:?}", (full - empty) / 1_000_000);
        assert!(worst < limit, "{line}: a PING took {worst:?}");
        eventually_within(Duration::from_secs(20), || used(&server) < empty + (full - empty) / 20 + 2_000_000);
    }
}

#[test]
fn a_large_queue_goes_without_a_stall() {
    large_queues_go_without_a_stall(120_000);
}

#[test]
#[ignore = "long: make soak"]
fn a_very_large_queue_goes_without_a_stall() {
    large_queues_go_without_a_stall(5_000_000);
    // DEL does it all at once, if the server is told so. For the numbers: it stalls by what the value takes to drop.
    for lazily in ["no", "yes"] {
        let server = Server::builder().config("lazyfree-lazy-user-del", lazily).start();
        fill(&server, 5_000_000);
        println!("DEL with lazyfree-lazy-user-del {lazily}: the worst PING took {:?}", worst_ping(&server, "DEL jobs"));
    }
}

/// Memory after `cycle` ran again and again is about what it was after it had run once.
#[track_caller]
fn gives_back(server: &Server, times: usize, mut cycle: impl FnMut()) {
    let settle = || {
        eventually_within(Duration::from_secs(20), || server.info("lazyfree_pending_objects") == "0");
        used(server)
    };
    cycle();
    let before = settle();
    for _ in 0..times {
        cycle();
    }
    let grown = settle() - before;
    assert!(grown < 400_000, "{grown} bytes more");
}

/// Tasks that were pushed, completed and forgotten leave nothing, in a queue that stays.
#[test]
fn tasks_give_their_memory_back() {
    let server = Server::start();
    let mut client = server.client();
    gives_back(&server, 8, || {
        let lines: Vec<_> = (0..1_000).map(|n| format!("TASK.PUSH jobs {} ID task-{n}", "x".repeat(200))).collect();
        client.run_each(&lines);
        let workers: Vec<_> = (0..1_000).map(|n| format!("TASK.CLAIM jobs WORKER worker-{n}")).collect();
        client.run_each(&workers);
        let lines: Vec<_> = (0..1_000).map(|n| format!("TASK.COMPLETE jobs task-{n} {}", "y".repeat(200))).collect();
        client.run_each(&lines);
        assert_eq!(client.run("TASK.FORGET jobs ALL COUNT 10000"), 1_000);
    });
    assert_eq!(server.run("EXISTS jobs"), 1);
}

/// Queues that come and go leave nothing, and neither do deadlines in them.
#[test]
fn queues_give_their_memory_back() {
    let server = Server::start();
    let mut client = server.client();
    gives_back(&server, 8, || {
        let lines: Vec<_> = (0..1_000).map(|n| format!("TASK.PUSH queue-{n} x DELAY 900000")).collect();
        client.run_each(&lines);
        let lines: Vec<_> = (0..1_000).map(|n| format!("DEL queue-{n}")).collect();
        client.run_each(&lines);
    });
}

/// Clients that wait and time out, are served, are killed or give up leave nothing.
#[test]
fn waiters_give_their_memory_back() {
    let server = Server::start();
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    gives_back(&server, 30, || {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(&format!("TASK.CLAIM queue-{n} BLOCK 1 WORKER worker-{n}"));
        }
        for client in &mut clients {
            assert!(client.read().is_nil());
        }
        for client in &mut clients {
            client.send("TASK.CLAIM jobs BLOCK 0");
        }
        server.wait_for_blocked(clients.len());
        server.client().run_each(&vec!["TASK.PUSH jobs x RETAIN 0"; clients.len()]);
        for client in &mut clients {
            let task: Value = client.read();
            client.run(&format!("TASK.COMPLETE jobs {} done", task.at(0).text()));
        }
        drop([server.block("TASK.CLAIM jobs BLOCK 0"), server.block("TASK.CLAIM jobs BLOCK 60000")]);
        server.wait_for_blocked(0);
    });
    assert_eq!(server.count("jobs", "claimed"), 0);
}
