//! Whole lives of tasks, as fast as the server goes.
//!
//! Every connection walks the same phases. As soon as one connection's replies are read its next batch goes out, so that the server
//! always has work from another.

use crate::connection::{Common, Connection};
use crate::scenario::Phase;
use crate::server::Usage;
use std::time::{Duration, Instant};

pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    /// So many cycles; else for so long.
    pub(crate) cycles: Option<u64>,
    pub(crate) duration: Duration,
    /// The phases to walk; none: those of the cycle.
    pub(crate) phases: Vec<String>,
    pub(crate) pid: Option<u32>,
}

pub(crate) fn run(common: &Common<'_>, control: &mut Connection<'_>, plan: &Plan, last_uid: &mut u64) -> Result<String, String> {
    let scenario = common.scenario;
    let phases: Vec<&Phase> = if plan.phases.is_empty() {
        scenario.phases.iter().filter(|phase| phase.is_in_cycle).collect()
    } else {
        plan.phases.iter().map(|name| scenario.phase(name)).collect::<Result<_, _>>()?
    };
    let mut connections = Vec::new();
    for index in 0..plan.connections {
        let role = role_of(&phases, index, plan.connections);
        let mut connection = Connection::open(common, plan.pipeline)?;
        if let Some((_, command)) = scenario.start.iter().find(|(of, _)| Some(of.as_str()) == role) {
            connection.send(std::slice::from_ref(command))?;
        }
        connections.push((connection, role));
    }
    // Each task is in the hands of one connection, or of one of each role.
    let batch = (connections.iter().filter(|(_, role)| *role == phases.first().and_then(|first| first.role.as_deref())).count()
        * plan.pipeline) as u64;
    let rounds = plan.cycles.map(|cycles| cycles.div_ceil(batch));
    let mut spent = vec![Duration::ZERO; phases.len()];
    let before = Usage::now(plan.pid, control, scenario.is_line)?;
    let begin = Instant::now();
    let mut done = 0;
    while rounds.map_or_else(|| begin.elapsed() < plan.duration, |rounds| done < rounds * batch) {
        for (step, phase) in phases.iter().enumerate() {
            let turn = Instant::now();
            for (connection, _) in connections.iter_mut().filter(|(_, role)| *role == phase.role.as_deref()) {
                connection.receive()?;
                if step == 0 {
                    connection.renew(last_uid);
                }
                connection.send(&phase.commands)?;
            }
            // The phase whose replies were read meanwhile.
            spent[(step + phases.len() - 1) % phases.len()] += turn.elapsed();
        }
        done += batch;
    }
    let turn = Instant::now();
    let last_role = if scenario.has_roles() { phases.first().and_then(|phase| phase.role.as_deref()) } else { None };
    for (connection, _) in connections.iter_mut().filter(|(_, role)| *role == last_role) {
        connection.receive()?;
    }
    if let Some(last) = spent.last_mut() {
        *last += turn.elapsed();
    }
    let wall = begin.elapsed().as_secs_f64();
    let after = Usage::now(plan.pid, control, scenario.is_line)?;
    let cycles = done as f64;
    let cpu = after.cpu_us - before.cpu_us;
    let phase_ns: Vec<String> = phases
        .iter()
        .zip(&spent)
        .map(|(phase, spent)| format!("\"{}\": {:.0}", phase.name, spent.as_nanos() as f64 / cycles))
        .collect();
    Ok(format!(
        "{{\"scenario\": \"{}\", \"cycles\": {done}, \"secs\": {wall:.4}, \"cycles_per_s\": {:.0}, \"cpu_us\": {:.4}, \"busy\": {:.3}, \
         \"misses\": {}, \"used_bytes\": {:.1}, \"resident_bytes\": {:.1}, \"phase_ns\": {{{}}}}}",
        scenario.name,
        cycles / wall,
        cpu / cycles,
        cpu / 1e6 / wall,
        connections.iter().map(|(connection, _)| connection.misses).sum::<u64>(),
        (after.used_memory - before.used_memory) as f64 / cycles,
        (after.resident_bytes - before.resident_bytes) as f64 / cycles,
        phase_ns.join(", ")
    ))
}

/// The part that a connection plays: they are dealt out in turn.
fn role_of<'a>(phases: &[&'a Phase], index: usize, connections: usize) -> Option<&'a str> {
    let mut roles: Vec<&str> = phases.iter().filter_map(|phase| phase.role.as_deref()).collect();
    roles.dedup();
    // The first half plays the first role, and so on: who waits for tasks is there before they come.
    roles.get(index * roles.len() / connections).copied()
}
