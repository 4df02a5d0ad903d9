//! Numbers, and what else a command says, read from bytes.

use taskqueue::{Defaults, Ms, Options, Retention};

/// Bytes to be read; zeros when they are used up.
#[derive(Clone, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn wide(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// As many as there are of `count` bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A few bytes.
    pub fn text(&mut self) -> &'a [u8] {
        let count = self.byte();
        self.take(usize::from(count % 8))
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| read(self))
    }

    /// Mostly short, and sometimes as long as any command allows.
    pub fn ms(&mut self) -> Ms {
        match self.byte() {
            byte @ 0..0xf0 => Ms(u64::from(byte)),
            byte @ 0xf0..0xfe => Ms(1 << (10 + 2 * (byte - 0xf0))),
            _ => Ms::MAX,
        }
    }

    pub fn retention(&mut self) -> Retention {
        if self.flag() { Retention::Forever } else { Retention::For(self.ms()) }
    }

    pub fn options(&mut self) -> Options {
        Options {
            attempts: self.option(Self::attempts),
            backoff: self.option(Self::ms),
            lease: self.option(Self::ms),
            timeout: self.option(Self::ms),
            retain: self.option(Self::retention),
            retain_failed: self.option(Self::retention),
        }
    }

    pub fn defaults(&mut self) -> Defaults {
        Defaults {
            attempts: self.attempts(),
            backoff: self.ms(),
            lease: self.ms(),
            timeout: self.option(Self::ms),
            retain: self.retention(),
            retain_failed: self.retention(),
        }
    }

    fn attempts(&mut self) -> u16 {
        u16::from(self.byte() % 4)
    }
}
