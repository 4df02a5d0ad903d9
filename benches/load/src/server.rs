//! What the system and the server say of the server's process.

use crate::connection::Connection;
use crate::wire;
use std::fs;

/// What a server had used at one moment.
#[derive(Default)]
pub(crate) struct Usage {
    /// utime and stime, which the kernel counts in ticks of 10 ms.
    pub(crate) cpu_us: f64,
    pub(crate) resident_bytes: i64,
    pub(crate) used_memory: i64,
}

impl Usage {
    pub(crate) fn now(pid: Option<u32>, control: &mut Connection<'_>, is_line: bool) -> Result<Self, String> {
        let mut usage = Self::default();
        if let Some(pid) = pid {
            usage.cpu_us = cpu_us(pid).ok_or("the server's /proc/<pid>/stat cannot be read")?;
            usage.resident_bytes = resident_bytes(pid).unwrap_or(0);
        }
        if !is_line {
            let memory = control.say("INFO memory")?;
            let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
            usage.used_memory = used.and_then(|bytes| wire::number(bytes.as_bytes())).unwrap_or(0);
        }
        Ok(usage)
    }
}

fn cpu_us(pid: u32) -> Option<f64> {
    const TICK_US: f64 = 10_000.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * TICK_US)
}

fn resident_bytes(pid: u32) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    Some(line.split_whitespace().nth(1)?.parse::<i64>().ok()? * 1024)
}
