//! What happens, part by part, for those who watch.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::parts::PARTS;

/// What can happen to a task of a part.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// A push was answered.
    Pushed,
    /// A replica has it.
    Confirmed,
    /// A worker's result was taken.
    Completed,
}

/// How often something happened, when last, and the longest time between two.
#[derive(Clone, Copy)]
pub(crate) struct Pulse {
    pub(crate) count: u64,
    pub(crate) last: Instant,
    pub(crate) longest_gap: Duration,
}

pub(crate) struct Board {
    pub(crate) producers_stop: AtomicBool,
    pub(crate) workers_stop: AtomicBool,
    pulses: Mutex<[[Pulse; 3]; PARTS]>,
    /// By id, the attempts whose result was taken.
    completions: Mutex<HashMap<String, Vec<u64>>>,
}

impl Board {
    pub(crate) fn new() -> Board {
        let pulse = Pulse { count: 0, last: Instant::now(), longest_gap: Duration::ZERO };
        Board {
            producers_stop: AtomicBool::new(false),
            workers_stop: AtomicBool::new(false),
            pulses: Mutex::new([[pulse; 3]; PARTS]),
            completions: Mutex::default(),
        }
    }

    pub(crate) fn note(&self, part: usize, what: What) {
        if let Some(pulse) = lock(&self.pulses).get_mut(part).and_then(|pulses| pulses.get_mut(what as usize)) {
            let gap = pulse.last.elapsed();
            *pulse = Pulse { count: pulse.count + 1, last: Instant::now(), longest_gap: pulse.longest_gap.max(gap) };
        }
    }

    pub(crate) fn completed(&self, part: usize, id: &str, attempt: u64) {
        self.note(part, What::Completed);
        lock(&self.completions).entry(id.to_string()).or_default().push(attempt);
    }

    pub(crate) fn pulses(&self) -> [[Pulse; 3]; PARTS] {
        *lock(&self.pulses)
    }

    /// The tasks whose result was taken more than once: the first time by a master that died before its replica had it.
    pub(crate) fn done_again(&self) -> usize {
        lock(&self.completions).values().filter(|attempts| attempts.len() > 1).count()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
