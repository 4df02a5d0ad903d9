//! The numbers of docs/scaling.md: what one core of a server does, and what follows for hundreds of them.
//!
//!     cargo run --release --example scaling            measures this machine, then calculates
//!     cargo run --release --example scaling -- 80000   calculates with a rate of yours: tasks that a core does in a second

use std::env;
use std::process::ExitCode;

mod balance;
mod bus;
mod rate;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How full a core is to be on an average day: the rest is for peaks, forks, failovers and the operating system.
const UTILISATION: f64 = 0.5;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaling: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let mut rates = env::args().skip(1).map(|rate| rate.parse()).collect::<Result<Vec<f64>, _>>()?;
    if rates.is_empty() {
        rates = measure()?;
    }
    print_balance();
    print_shards(&rates);
    print_connections();
    print_bus();
    Ok(())
}

fn print_balance() {
    println!("The parts of the fullest shard over the mean. Random tags: mean and 99th percentile of 1,000 draws.");
    println!("  shards  parts/shard   random mean   random 99 %   tags 0, 1, 2 …   chosen tags");
    for shards in [3, 10, 100, 500] {
        for per_shard in [1, 4, 16, 32] {
            let parts = shards * per_shard;
            let (mean, high) = balance::random(parts, shards, 1_000, 1);
            let counted = balance::of(&balance::counted_tags(parts), shards);
            let chosen = balance::of(&balance::chosen_tags(parts), shards);
            println!("{shards:>8} {per_shard:>12} {mean:>13.2} {high:>13.2} {counted:>16.2} {chosen:>13.2}");
        }
    }
}

fn print_shards(rates: &[f64]) {
    println!("\nShards for so many tasks a second, by the tasks that a core does in a second, at {UTILISATION} of it:");
    let cells = |cells: Vec<String>| cells.into_iter().fold(String::new(), |line, cell| line + &format!("{cell:>12}"));
    println!("   tasks/s{}", cells(rates.iter().map(|rate| format!("{rate:.0}")).collect()));
    for goal in [100_000, 1_000_000, 5_000_000, 10_000_000] {
        let shards = |rate: &f64| (f64::from(goal) / (rate * UTILISATION)).ceil();
        println!("{goal:>10}{}", cells(rates.iter().map(|rate| shards(rate).to_string()).collect()));
    }
}

fn print_connections() {
    println!("\nWaiting connections of 1,000 worker processes, 16 parts a shard:");
    println!("    shards    each waits on all parts: a shard    each part has two that wait: a shard   a process");
    for shards in [3, 10, 100, 500] {
        let (processes, parts) = (1_000, 16 * shards);
        let (all, shared) = (processes * parts, 2 * parts);
        println!("{shards:>10} {:>34} {:>38} {:>11}", all / shards, shared / shards, f64::from(shared) / f64::from(processes));
    }
}

fn print_bus() {
    println!("\nCluster bus of one node, sent and received, with a node timeout of 15 s:");
    println!("    nodes       links   packets/s   bytes/packet      Mbit/s");
    for nodes in [6, 60, 200, 500, 1_000] {
        let bus = bus::of(nodes, 15.0);
        println!("{nodes:>9} {:>11} {:>11.0} {:>14.0} {:>11.2}", bus.links, bus.packets, bus.packet_bytes, bus.mbits);
    }
}

fn measure() -> Result<Vec<f64>, Error> {
    println!("One core: tasks of 100 bytes, each pushed, claimed, completed and its result of 32 bytes read; five rounds,");
    println!("counted by the CPU time of the server's main thread.");
    let mut medians = Vec::new();
    for depth in [1, 100] {
        let mut rates = rate::rounds(depth, 5)?;
        rates.sort_by(f64::total_cmp);
        let [lowest, _, median, _, highest] = rates.as_slice() else { return Err("not five rounds".into()) };
        println!("  {depth:>3} in a packet: {median:>8.0} tasks a CPU second (lowest {lowest:.0}, highest {highest:.0})");
        medians.push(*median);
    }
    println!();
    Ok(medians)
}
