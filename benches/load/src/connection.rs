//! One connection: its slots, and what is sent and received for them.

use crate::scenario::{AT, Command, FAR, NOW, PAYLOAD, PIPELINE, RESULT, Scenario, UID, UNTIL};
use crate::wire::{self, Slot};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a payload; the first 16 are the task's own id in hexadecimal digits.
const PAYLOAD_LEN: usize = 100;
/// Bytes of a result.
const RESULT_LEN: usize = 32;
/// How far ahead `far` is: one hour, and up to another.
const FAR_MS: u64 = 3_600_000;

/// Longer than any reply should take: a scenario that waits for ever is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all connections of a run share.
pub(crate) struct Common<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) address: &'a str,
    /// What `init` captured, by variable.
    pub(crate) captured: Vec<(usize, Vec<u8>)>,
    /// The instant that `at` and `until` mean, in Unix milliseconds.
    pub(crate) at_ms: u64,
}

pub(crate) struct Connection<'a> {
    common: &'a Common<'a>,
    stream: TcpStream,
    out: Vec<u8>,
    received: Vec<u8>,
    read_to: usize,
    slots: Vec<Slot>,
    /// Sent, its replies not yet received.
    pub(crate) pending: Option<&'a [Command]>,
    pub(crate) misses: u64,
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Connection<'a> {
    pub(crate) fn open(common: &'a Common<'a>, pipeline: usize) -> Result<Self, String> {
        let stream = TcpStream::connect(common.address).map_err(|error| format!("{}: {error}", common.address))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let mut slot = vec![Vec::new(); common.scenario.variables.len()];
        for (variable, bytes) in &common.captured {
            slot[*variable].clone_from(bytes);
        }
        slot[PAYLOAD] = vec![0; PAYLOAD_LEN];
        slot[RESULT] = vec![b'r'; RESULT_LEN];
        slot[PIPELINE] = pipeline.to_string().into_bytes();
        slot[AT] = common.at_ms.to_string().into_bytes();
        let mut slots = vec![slot; pipeline];
        // No two alike: an RDB would compress them away.
        let mut random = u64::from(stream.local_addr().map_or(1, |address| address.port()));
        for slot in &mut slots {
            for byte in &mut slot[PAYLOAD] {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[(random >> 58) as usize];
            }
        }
        Ok(Self { common, stream, out: Vec::new(), received: Vec::new(), read_to: 0, slots, pending: None, misses: 0 })
    }

    /// Gives every slot a new task.
    pub(crate) fn renew(&mut self, last_uid: &mut u64) {
        let now = now_ms();
        for slot in &mut self.slots {
            *last_uid += 1;
            let uid = format!("{last_uid:016x}");
            slot[PAYLOAD][..16].copy_from_slice(uid.as_bytes());
            set(&mut slot[UID], uid.as_bytes());
            let spread = last_uid.wrapping_mul(0x9E37_79B9_7F4A_7C15) % FAR_MS;
            set_number(&mut slot[FAR], now + FAR_MS + spread);
            set_number(&mut slot[NOW], now);
            set_number(&mut slot[UNTIL], self.common.at_ms.saturating_sub(now).max(1));
        }
    }

    /// Brings `until` up to date without new tasks.
    fn tell_time(&mut self) {
        if self.common.at_ms > 0 {
            let until = self.common.at_ms.saturating_sub(now_ms()).max(1);
            self.slots.iter_mut().for_each(|slot| set_number(&mut slot[UNTIL], until));
        }
    }

    pub(crate) fn send(&mut self, commands: &'a [Command]) -> Result<(), String> {
        self.tell_time();
        self.out.clear();
        for me in 0..self.slots.len() {
            for command in commands.iter().filter(|command| !command.is_once || me == 0) {
                wire::encode(command, &self.slots, me, self.common.scenario.is_line, &mut self.out);
            }
        }
        self.pending = Some(commands);
        self.stream.write_all(&self.out).map_err(|error| error.to_string())
    }

    /// Receives the replies to what was sent last, and keeps what is to be kept of them.
    pub(crate) fn receive(&mut self) -> Result<(), String> {
        let Some(commands) = self.pending.take() else { return Ok(()) };
        for me in 0..self.slots.len() {
            for command in commands.iter().filter(|command| !command.is_once || me == 0) {
                let at = self.reply()?;
                if !self.common.scenario.is_line && self.received[at] == b'-' {
                    let error = String::from_utf8_lossy(&self.received[at..self.read_to]).trim().to_owned();
                    return Err(format!("{} -> {error}", command.text));
                }
                self.keep(command, at, me);
            }
        }
        Ok(())
    }

    fn keep(&mut self, command: &Command, at: usize, me: usize) {
        for capture in &command.captures {
            let mut found = Vec::new();
            wire::pick(&self.received, at, self.common.scenario.is_line, &capture.path, &mut found);
            let wanted = if command.is_once { self.slots.len() } else { 1 };
            self.misses += wanted.saturating_sub(found.len()) as u64;
            for (slot, bytes) in self.slots[me..].iter_mut().zip(found).take(wanted) {
                set(&mut slot[capture.variable], bytes);
            }
        }
    }

    /// Where the next reply begins; it ends at `read_to`.
    fn reply(&mut self) -> Result<usize, String> {
        loop {
            if let Some(end) = wire::skip(&self.received, self.read_to, self.common.scenario.is_line) {
                return Ok(std::mem::replace(&mut self.read_to, end));
            }
            self.received.drain(..self.read_to);
            self.read_to = 0;
            let len = self.received.len();
            self.received.resize(len + 65_536, 0);
            let got = self.stream.read(&mut self.received[len..]).map_err(|error| error.to_string())?;
            self.received.truncate(len + got);
            if got == 0 {
                return Err("the server closed the connection".to_owned());
            }
        }
    }

    /// What a variable of the first slot holds.
    pub(crate) fn variable(&self, index: usize) -> &[u8] {
        &self.slots[0][index]
    }

    /// Says a command that is in no scenario; answers the bytes of the reply.
    pub(crate) fn say(&mut self, line: &str) -> Result<String, String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).map_err(|error| error.to_string())?;
        let at = self.reply()?;
        Ok(String::from_utf8_lossy(&self.received[at..self.read_to]).into_owned())
    }
}

fn set(to: &mut Vec<u8>, bytes: &[u8]) {
    to.clear();
    to.extend_from_slice(bytes);
}

fn set_number(to: &mut Vec<u8>, number: u64) {
    to.clear();
    wire::put_number(to, number);
}
