//! From a push to an idle, blocked worker having the task.

use crate::connection::{Common, Connection};
use crate::server::Usage;
use std::thread;
use std::time::{Duration, Instant};

/// The phase `wait` is a worker's blocking claim, perhaps of several commands; a scenario without one has the round trip of its phase
/// `enqueue` measured. The phase `finish` then clears the task away. Of several workers each gets a task in its turn.
pub(crate) fn run(
    common: &Common<'_>,
    control: &mut Connection<'_>,
    samples: u32,
    workers: usize,
    gap: Duration,
    pid: Option<u32>,
    last_uid: &mut u64,
) -> Result<String, String> {
    let scenario = common.scenario;
    let enqueue = &scenario.phase("enqueue")?.commands;
    let wait = scenario.phase("wait").ok().and_then(|phase| phase.commands.split_first_chunk::<1>());
    let finish = scenario.phase("finish").ok();
    let mut producer = Connection::open(common, 1)?;
    let mut waiting = Vec::new();
    if let Some((block, _)) = wait {
        for _ in 0..workers {
            let mut worker = Connection::open(common, 1)?;
            worker.send(block)?;
            waiting.push(worker);
        }
    }
    let before = Usage::now(pid, control, scenario.is_line)?;
    let mut taken = Vec::new();
    for sample in 0..samples {
        // Not in step with any clock of the server.
        thread::sleep(gap + gap * (sample * 7919 % 100) / 100);
        producer.renew(last_uid);
        let began = Instant::now();
        producer.send(enqueue)?;
        let Some((block, then)) = wait else {
            producer.receive()?;
            taken.push(began.elapsed());
            continue;
        };
        let turn = sample as usize % waiting.len();
        let worker = &mut waiting[turn];
        worker.receive()?;
        for command in then {
            worker.send(std::slice::from_ref(command))?;
            worker.receive()?;
        }
        taken.push(began.elapsed());
        if worker.misses > 0 {
            return Err("a worker woke and got nothing".to_owned());
        }
        producer.receive()?;
        if let Some(finish) = finish {
            worker.send(&finish.commands)?;
            worker.receive()?;
        }
        worker.send(block)?;
    }
    let after = Usage::now(pid, control, scenario.is_line)?;
    taken.sort();
    Ok(format!(
        "{{\"scenario\": \"{}\", \"samples\": {}, \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"max_us\": {:.1}, \"cpu_us\": {:.2}}}",
        scenario.name,
        taken.len(),
        quantile_us(&taken, 500),
        quantile_us(&taken, 990),
        quantile_us(&taken, 1000),
        (after.cpu_us - before.cpu_us) / f64::from(samples)
    ))
}

/// What so many per mille of the sorted durations do not exceed, in microseconds.
pub(crate) fn quantile_us(sorted: &[Duration], per_mille: usize) -> f64 {
    sorted.get(sorted.len().saturating_sub(1) * per_mille / 1000).map_or(0.0, |taken| taken.as_nanos() as f64 / 1000.0)
}
