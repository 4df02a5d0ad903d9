//! A master, its replicas, their disks and clocks, producers, workers and readers, and all that may go wrong between them, from one
//! number.
//!
//! `SEEDS=n` runs so many seeds, from `SEED=n` on; `make simulate` runs many. A seed that fails is told as a short history.
//!
//! Every command's answer, and what it did to each task, is held against what PROTOCOL says ([`answers`], [`rules`]), on the history
//! that it met ([`book`]), with what is known of keys ([`keys`]) and schedules ([`slots`]); every replica, restart and promotion against what its master was at that point ([`node`]); every page of a
//! batch's ends, and of the log of events ([`events`]), against what its reader has been given ([`readers`], [`log_readers`]); in the end every task must end ([`world`]), and what
//! clients were told is looked at once more by itself ([`history`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::single_match_else,
    reason = "a test"
)]

mod answers;
mod batches;
mod book;
mod bug;
mod describe;
mod events;
mod groups;
mod history;
mod keys;
mod limits;
mod log_readers;
mod needs;
mod node;
mod plan;
mod readers;
mod rules;
mod slots;
#[path = "../support/mod.rs"]
mod support;
mod trial;
mod world;

use bug::Bug;
use plan::Plan;
use trial::{failure, outcome, report, shrink};
use world::Counts;

/// How many seeds are run unless `SEEDS` says otherwise, and within how many each bug must be found.
const SEEDS: u64 = 300;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

#[test]
fn every_promise_is_kept() {
    let first = asked("SEED").unwrap_or(1);
    let mut counts = Counts::new();
    for seed in first..first + asked("SEEDS").unwrap_or(SEEDS) {
        let plan = Plan::new(seed);
        let happened = outcome(&plan, None).unwrap_or_else(|_| panic!("{}", report(seed, &shrink(&plan, None), None)));
        for (what, times) in happened {
            *counts.entry(what).or_default() += times;
        }
    }
    for (what, times) in counts {
        println!("{times:>12} {what}");
    }
}

/// The first seed that finds a bug, and how it tells.
fn found(bug: Option<Bug>) -> Option<(u64, Plan, String)> {
    (1..=SEEDS).find_map(|seed| {
        let plan = Plan::new(seed);
        failure(&plan, bug).map(|what| (seed, plan, what))
    })
}

#[test]
fn bugs_on_the_way_are_found() {
    for bug in Bug::ALL {
        let (seed, _, what) = found(Some(bug)).unwrap_or_else(|| panic!("{bug:?} is not found"));
        println!("{bug:?}: seed {seed}: {}", what.lines().next().unwrap_or_default());
    }
}

#[test]
fn a_failure_is_told_shortly() {
    let bug = Some(Bug::LapseNotSent);
    let (seed, plan, _) = found(bug).unwrap();
    let least = shrink(&plan, bug);
    let told = report(seed, &least, bug);
    println!("{told}");
    assert!(least.steps.len() <= 6, "{told}");
    assert!(["PUSH", "CLAIM", "tick", "node 0"].iter().all(|word| told.contains(word)), "{told}");
}

#[cfg(feature = "sabotage")]
#[test]
fn bugs_in_the_queue_are_found() {
    use taskqueue::sabotage::{Mutation, with};
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        match with(Some(mutation), || found(None)) {
            Some((seed, _, what)) => println!("{mutation:?}: seed {seed}: {}", what.lines().next().unwrap_or_default()),
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
