//! What a claim costs when tasks are of groups: time, and bytes, for each of so many tasks. `cargo bench --bench groups [tasks] [groups]`.
//!
//! All tasks are pushed, claimed and completed, one transaction each: without groups, in groups, and in groups in strict order.

#![allow(clippy::unwrap_used, reason = "a bench that goes wrong is to stop")]

use std::env;
use std::time::Instant;
use taskqueue::op::{self, Claim, Delay, Push};
use taskqueue::{Defaults, Journal, MadeId, Ms, Options, Queue, Retention, Rounding, Settings, TaskId, Txn, UnixMs};

fn main() {
    let mut numbers = env::args().skip(1).filter_map(|word| word.parse().ok());
    let (tasks, groups) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(100_000));
    for (what, groups, limit) in [("no group", 0, 0), ("groups", groups, 0), ("groups, one task at a time of each", groups, 1)] {
        let [push, claim, complete, bytes] = run(tasks, groups, limit);
        println!("{what}: push {push} ns, claim {claim} ns, complete {complete} ns, {bytes} bytes a ready task");
    }
}

/// Nanoseconds of a push, a claim and a completion, and the bytes that a ready task takes.
fn run(tasks: usize, groups: usize, limit: u32) -> [u128; 4] {
    let (mut queue, mut journal) = (Queue::default(), Journal::default());
    let settings = Defaults { retain: Retention::For(Ms(0)), ..Defaults::default() };
    let mut now = UnixMs(1_700_000_000_000);
    let names: Vec<String> = (0..groups).map(|number| format!("group-{number}")).collect();
    op::set(&mut Txn::new(&mut queue, &mut journal, now), &Settings { group_concurrency: limit, ..Settings::default() });
    let each = |begin: Instant| begin.elapsed().as_nanos() / tasks as u128;

    let begin = Instant::now();
    for number in 0..tasks {
        if number.is_multiple_of(100) {
            now = now.after(Ms(1));
        }
        let group = names.get(number.checked_rem(groups).unwrap_or(0)).map(String::as_str);
        journal.clear();
        op::push(&mut Txn::new(&mut queue, &mut journal, now), &task(group), MadeId::default()).unwrap();
    }
    let push = each(begin);
    let bytes = queue.bytes(Rounding::Classes) as u128 / tasks as u128;

    let (mut claim, mut complete) = (0, 0);
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..tasks / 1_000 {
        let begin = Instant::now();
        for _ in 0..1_000 {
            journal.clear();
            let said = Claim { worker: "worker", lease: None, session: None };
            let slot = op::claim(&mut Txn::new(&mut queue, &mut journal, now), &said, &settings).unwrap();
            ids.push(queue.id(slot).to_string());
        }
        claim += begin.elapsed().as_nanos();
        let begin = Instant::now();
        for id in ids.drain(..) {
            journal.clear();
            let mut txn = Txn::new(&mut queue, &mut journal, now);
            op::complete(&mut txn, TaskId::parse(id.as_bytes()).unwrap(), None, b"done", None, &settings).unwrap();
            txn.drop_unkept();
        }
        complete += begin.elapsed().as_nanos();
    }
    [push, claim / tasks as u128, complete / tasks as u128, bytes]
}

fn task(group: Option<&str>) -> Push<'_> {
    Push {
        payload: &[b'x'; 100],
        id: None,
        renew: false,
        priority: 0,
        delay: Delay::For(Ms(0)),
        ttl: None,
        options: Options::default(),
        batch: None,
        after: None,
        group,
        unique: None,
    }
}
