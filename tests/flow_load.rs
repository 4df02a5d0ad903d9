//! Limits, groups, keys, schedules and the log of events under load, while servers are killed and replicas promoted.
//!
//! The log of what survives is checked row by row, and against all that clients were answered (`support::history::flow`).

use crate::{
    clock::server_ms,
    support::{
        Client, Clock, Server, eventually, eventually_within,
        history::{
            flow::{Flow, FlowLoad},
            log::{self, Line, Row, Rules, check_slots, slots},
        },
        holds_for,
        link::Link,
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const GROUPS: [&str; 5] = ["g0", "g1", "g2", "g3", "g4"];
const KEYS: [&str; 4] = ["u0", "u1", "r0", "r1"];
const RATE: (usize, i64) = (30, 800);
/// Between two slots.
const EVERY_MS: i64 = 50;
/// Schedules by their names, with what becomes of slots that are missed.
const SCHEDULES: [(&str, &str); 5] = [
    ("each", "MISFIRE all RETAIN -1"),
    ("each-dropped", "MISFIRE all RETAIN 0"),
    ("last", "MISFIRE once RETAIN 0"),
    ("none-late", "MISFIRE skip RETAIN -1"),
    ("one-by-one", "OVERLAP skip MISFIRE all RETAIN 0"),
];
/// Long enough for a link to be found broken and set up again.
const RELINK: Duration = Duration::from_secs(15);

/// Whatever was acknowledged is on the disk.
#[track_caller]
fn durable() -> Server {
    Server::builder().config("appendfsync", "always").aof().start()
}

/// The server ends under load, some times; `goes_on` waits until enough has happened on it. Answers the log that there is in the end.
#[track_caller]
fn kill_under_load(server: &mut Server, flow: &Arc<Flow>, begin: impl Fn(&Server), goes_on: impl Fn(&Flow)) {
    for _ in 0..5 {
        begin(server);
        let load = FlowLoad::start(server, flow, 0);
        goes_on(flow);
        flow.fault();
        server.kill();
        load.join();
        server.start_again();
        flow.check(server);
    }
}

/// Masters that die under load, one after the other: what the replica has confirmed is on the next, and the load goes on there. Answers
/// the last master, and its replica.
#[track_caller]
fn promote_under_load(flow: &Arc<Flow>, begin: impl Fn(&Server), goes_on: impl Fn(&Flow)) -> (Server, Server) {
    let mut master = Server::start();
    let mut replica = Server::replica_of(&master);
    flow.set(&master);
    for _ in 0..3 {
        begin(&master);
        master.wait_for_replica(&replica);
        let load = FlowLoad::start(&master, flow, 1);
        goes_on(flow);
        flow.fault();
        master.kill();
        load.join();
        replica.run("REPLICAOF NO ONE");
        flow.check(&replica);
        begin(&replica);
        let load = FlowLoad::start(&replica, flow, 0);
        goes_on(flow);
        load.stop();
        // All of that is on the old one before the next fault.
        master.start_again();
        master.run(&format!("REPLICAOF 127.0.0.1 {}", replica.port()));
        eventually_within(RELINK, || master.info("master_link_status") == "up");
        std::mem::swap(&mut master, &mut replica);
        eventually_within(RELINK, || {
            master.run("SET in-step yes");
            master.run("WAIT 1 500") == 1
        });
    }
    (master, replica)
}

#[track_caller]
fn same(master: &Server, replica: &Server) {
    eventually_within(RELINK, || replica.digest() == master.digest() && replica.dump("jobs") == master.dump("jobs"));
}

fn strict(name: &str) -> Line {
    if name.starts_with('g') { Line::Strict } else { Line::Free }
}

fn keyed(name: &str) -> Line {
    match name.as_bytes() {
        [b'u', _] => Line::Unique,
        [b'r', _] => Line::Followed,
        _ => strict(name),
    }
}

/// In no window there are more claims than the rate allows, also if a server ended and began again in it.
#[test]
fn the_rate_is_exact_over_crashes() {
    let flow = Flow::new(Rules { rate: Some(RATE), maxlen: Some(50), ..Rules::NONE }, &GROUPS);
    let mut server = durable();
    flow.set(&server);
    kill_under_load(&mut server, &flow, |_| (), |flow| flow.wait_for_claims(RATE.0));
    let rows = flow.finish(&server);
    assert!(flow.held_over_faults(&rows) > 0, "no window was open at a crash");
}

/// Never more are claimed than CONCURRENCY allows, and never more are there than MAXLEN does.
#[test]
fn concurrency_and_maxlen_hold_over_crashes() {
    let flow = Flow::new(Rules { concurrency: Some(3), maxlen: Some(25), ..Rules::NONE }, &GROUPS);
    let mut server = durable();
    flow.set(&server);
    kill_under_load(&mut server, &flow, |_| (), |flow| flow.wait_for_ends(80));
    flow.finish(&server);
    assert!(flow.refused() > 0, "no push was refused");
}

/// The tasks of each group run in the order of their pushes, each after the end of the one before, whatever workers do and servers suffer.
#[test]
fn groups_are_in_order_over_crashes() {
    let flow = Flow::new(Rules { maxlen: Some(20), line: strict, ..Rules::NONE }, &GROUPS);
    let mut server = durable();
    flow.set(&server);
    kill_under_load(&mut server, &flow, |_| (), |flow| flow.wait_for_ends(60));
    flow.finish(&server);
}

/// All of these limits, on what a replica has confirmed when it is promoted.
#[test]
fn limits_and_order_hold_over_promotions() {
    let rules = Rules { rate: Some(RATE), concurrency: Some(3), maxlen: Some(25), line: strict };
    let flow = Flow::new(rules, &GROUPS);
    let (master, replica) = promote_under_load(&flow, |_| (), |flow| flow.wait_for_claims(RATE.0));
    let rows = flow.finish(&master);
    assert!(flow.held_over_faults(&rows) > 0, "no window was open at a promotion");
    same(&master, &replica);
}

/// No key has two holders; of what is pushed with REPLACE the newest runs last.
#[test]
fn keys_have_one_holder_over_crashes() {
    let flow = Flow::new(Rules { line: keyed, ..Rules::NONE }, &KEYS);
    let mut server = durable();
    flow.set(&server);
    kill_under_load(&mut server, &flow, |_| (), |flow| flow.wait_for_ends(60));
    flow.finish(&server);
}

#[test]
fn keys_have_one_holder_over_promotions() {
    let flow = Flow::new(Rules { line: keyed, ..Rules::NONE }, &KEYS);
    let (master, replica) = promote_under_load(&flow, |_| (), |flow| flow.wait_for_ends(40));
    flow.finish(&master);
    same(&master, &replica);
}

/// Says the schedules, as a program does whenever it starts.
#[track_caller]
fn schedule(server: &Server) {
    for (name, options) in SCHEDULES {
        server.run_all(&[&format!("TASK.SCHEDULE jobs {name} x EVERY {EVERY_MS} {options}")]);
    }
}

/// Ends the schedules, of which none has missed or skipped what was to be made up for.
#[track_caller]
fn unschedule(server: &Server) {
    for schedule in server.run("TASK.SCHEDULES jobs").items() {
        let name = schedule.field("name").text();
        if name.starts_with("each") {
            assert_eq!((schedule.field("missed").int(), schedule.field("skipped").int()), (0, 0), "{name}");
        }
    }
    assert_eq!(server.run(&format!("TASK.UNSCHEDULE jobs {}", SCHEDULES.map(|(name, _)| name).join(" "))), 5);
}

#[track_caller]
fn each_slot_came_once(rows: &[Row]) {
    for (name, _) in SCHEDULES {
        let slots = slots(rows, name);
        // Without workers the first is never over.
        let least = if name == "one-by-one" { 1 } else { 6 };
        let wrong = check_slots(&slots, EVERY_MS, name.starts_with("each"));
        assert!(wrong.is_empty() && slots.len() >= least, "{name}: {} slots, {wrong:?}", slots.len());
    }
}

/// Each slot is pushed once over crashes, also if its task is gone long since; with MISFIRE all none is left out.
#[test]
fn slots_come_once_over_crashes() {
    let flow = Flow::new(Rules::NONE, &GROUPS);
    let mut server = durable();
    flow.set(&server);
    kill_under_load(&mut server, &flow, schedule, |flow| flow.wait_for_ends(200));
    unschedule(&server);
    each_slot_came_once(&flow.finish(&server));
}

/// And over the promotion of replicas, which go on where they had heard that the master was.
#[test]
fn slots_come_once_over_promotions() {
    let flow = Flow::new(Rules::NONE, &GROUPS);
    let (master, replica) = promote_under_load(&flow, schedule, |flow| flow.wait_for_ends(100));
    unschedule(&master);
    each_slot_came_once(&flow.finish(&master));
    same(&master, &replica);
}

/// And over crashes after which the clock shows another time, later or earlier.
#[test]
fn slots_come_once_over_crashes_and_steps_of_the_clock() {
    let clock = Clock::new();
    clock.set(3_600_000);
    let mut server = Server::builder().config("appendfsync", "always").aof().clock(&clock).start();
    if (server_ms(&server) - crate::support::now_ms()).abs() < 60_000 {
        println!("skipped: this server's clock cannot be set");
        return;
    }
    server.run_all(&[&format!("TASK.SET jobs EVENTS {}", log::ALL)]);
    let fired = |server: &Server| slots(&log::read_from(&mut Link::from(server), "jobs", "0"), "each").len();
    for (step_ms, is_back) in [(3_000, false), (1_000, true), (6_000, false), (5_000, true), (9_000, false)] {
        if !is_back {
            schedule(&server);
            let before = fired(&server);
            eventually(|| fired(&server) > before + 5);
        }
        server.kill();
        clock.set(3_600_000 + step_ms);
        server.start_again();
        if is_back {
            let before = fired(&server);
            holds_for(200, || fired(&server) == before);
        }
    }
    let before = fired(&server);
    eventually(|| fired(&server) > before + 5);
    let rows = log::read_from(&mut Link::from(&server), "jobs", "0");
    each_slot_came_once(&rows);
    assert!(log::check(&rows, &Rules::NONE).1.is_empty());
}

/// Follows the log of a server that ends and begins again, until `stop` and the log's end.
fn follow(port: u16, stop: &AtomicBool) -> Vec<Row> {
    let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
    loop {
        let Ok(mut client) = Client::try_connect(port) else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        while let Ok(reply) = client.try_run(&format!("TASK.EVENTS jobs {cursor} COUNT 5 BLOCK 500")) {
            if reply.is_error() {
                assert_eq!(reply.code(), "LOADING", "{reply:?}");
                thread::sleep(Duration::from_millis(2));
                break;
            }
            let (next, rows) = log::page(&reply);
            if rows.is_empty() && stop.load(Ordering::Relaxed) {
                return all;
            }
            cursor = next;
            all.extend(rows);
        }
    }
}

/// What is to happen in a log that is looked at.
const KINDS: [&str; 10] = ["push", "ready", "claim", "release", "lapse", "retry", "complete", "fail", "cancel", "drop"];

/// A reader that waits for events, and keeps its cursor while the server ends and begins again, is given each once, without a gap; and
/// they tell of lives that tasks can have.
#[test]
fn a_reader_of_events_is_given_each_once_over_crashes() {
    let lines = ["g0", "u0", "g1", "r0", "g2"];
    let flow = Flow::new(Rules { line: keyed, ..Rules::NONE }, &lines);
    let mut server = durable();
    flow.set(&server);
    let (port, stop) = (server.port(), Arc::new(AtomicBool::new(false)));
    let reader = thread::spawn({
        let stop = stop.clone();
        move || follow(port, &stop)
    });
    let has_all = || {
        let (_, rows) = log::page(&Client::connect(port).run("TASK.EVENTS jobs 0 COUNT 10000"));
        KINDS.iter().all(|&event| rows.iter().any(|row| row.event == event))
    };
    kill_under_load(&mut server, &flow, schedule, |flow| {
        flow.wait_for_ends(60);
        eventually(has_all);
    });
    unschedule(&server);
    let rows = flow.finish(&server);
    stop.store(true, Ordering::Relaxed);
    let read = reader.join().expect("a reader");
    assert!(read == rows, "the reader was given {} rows of {}", read.len(), rows.len());
}
