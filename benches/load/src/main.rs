//! The load generator of the benchmarks. One thread, no dependencies; `benches/bench.py` runs it, one run a process.
//!
//! ```text
//! load cycles|latency|ping --address HOST:PORT --scenario FILE [--pid SERVER]
//!   cycles:  --connections N --pipeline N (--cycles N | --secs S) [--phases A,B] [--no-init 1] [--at UNIX-MS]
//!   latency: --samples N --workers N --gap-us N
//!   ping:    --gap-us N, until standard input ends
//! ```
//!
//! It prints one line of JSON. Its exit code is 3 if the server does not know a command, so that a scenario can be skipped.

mod connection;
mod cycles;
mod latency;
mod ping;
mod scenario;
mod server;
mod wire;

use connection::{Common, Connection, now_ms};
use scenario::Scenario;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The server lacks a command of the scenario.
const UNKNOWN_COMMAND: u8 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            let is_unknown = error.contains("unknown command");
            if is_unknown { ExitCode::from(UNKNOWN_COMMAND) } else { ExitCode::FAILURE }
        }
    }
}

struct Options(HashMap<String, String>);

impl Options {
    fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is missing"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("--{name} is no number: {text}"))
    }
}

fn run() -> Result<String, String> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().ok_or("say what to do: cycles, latency or ping")?;
    let mut options = Options(HashMap::new());
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").ok_or_else(|| format!("what is {word}?"))?;
        options.0.insert(name.to_owned(), words.next().ok_or_else(|| format!("{word} needs a value"))?);
    }
    let scenario = Scenario::load(Path::new(options.text("scenario")?))?;
    let address = options.text("address")?;
    let at_ms = options.number("at")?.unwrap_or(0);
    let bare = Common { scenario: &scenario, address, captured: Vec::new(), at_ms };
    let pid = options.number("pid")?;
    let gap = Duration::from_micros(options.number("gap-us")?.unwrap_or(500));
    if mode == "ping" {
        return ping::run(&bare, gap);
    }
    let mut control = Connection::open(&bare, 1)?;
    for name in &scenario.needs {
        if !control.say(&format!("COMMAND INFO {name}"))?.contains(&name.to_lowercase()) {
            return Err(format!("unknown command '{name}'"));
        }
    }
    let mut captured = Vec::new();
    for command in &scenario.init {
        if command.captures.is_empty() && options.0.contains_key("no-init") {
            continue;
        }
        control.send(std::slice::from_ref(command))?;
        control.receive()?;
        captured.extend(command.captures.iter().map(|capture| (capture.variable, control.variable(capture.variable).to_vec())));
    }
    let common = Common { captured, ..bare };
    let mut control = Connection::open(&common, 1)?;
    // Ids that no earlier run gave out.
    let mut last_uid = now_ms() << 20;
    match mode.as_str() {
        "cycles" => {
            let plan = cycles::Plan {
                connections: options.number("connections")?.unwrap_or(8),
                pipeline: options.number("pipeline")?.unwrap_or(100),
                cycles: options.number("cycles")?,
                duration: Duration::from_secs_f64(options.number("secs")?.unwrap_or(1.0)),
                phases: options.text("phases").map_or_else(|_| Vec::new(), |names| names.split(',').map(Into::into).collect()),
                pid,
            };
            cycles::run(&common, &mut control, &plan, &mut last_uid)
        }
        "latency" => {
            let (samples, workers) = (options.number("samples")?.unwrap_or(1000), options.number("workers")?.unwrap_or(1));
            latency::run(&common, &mut control, samples, workers, gap, pid, &mut last_uid)
        }
        _ => Err(format!("there is no {mode}: say cycles, latency or ping")),
    }
}
