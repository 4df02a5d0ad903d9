//! PINGs on a connection of their own, while something else happens to the server: the longest it did not answer.

use crate::connection::{Common, Connection};
use crate::latency::quantile_us;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Sends a PING every `gap` until standard input ends.
pub(crate) fn run(common: &Common<'_>, gap: Duration) -> Result<String, String> {
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Ordering::Relaxed);
    });
    let mut connection = Connection::open(common, 1)?;
    let mut taken = Vec::new();
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        connection.say("PING")?;
        taken.push(sent.elapsed());
        due = Instant::now() + gap;
    }
    taken.sort();
    Ok(format!(
        "{{\"pings\": {}, \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"p999_us\": {:.1}, \"max_us\": {:.1}}}",
        taken.len(),
        quantile_us(&taken, 500),
        quantile_us(&taken, 990),
        quantile_us(&taken, 999),
        quantile_us(&taken, 1000)
    ))
}
