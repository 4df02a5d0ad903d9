//! A producer: pushes to the part of each id, goes on with other parts while one is away, and keeps a task until it is confirmed.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::board::{Board, What};
use crate::link::{Link, Pushed};
use crate::parts::{PARTS, part_of};
use crate::{Error, PATIENCE};

/// How long a part that refused is left alone.
const REST: Duration = Duration::from_millis(300);

/// So fast, if nothing holds it up.
const PACE: Duration = Duration::from_millis(4);

/// Pushes until it is told to stop, and then what is left. Answers the ids, all confirmed.
pub(crate) fn run(urls: &[String], name: usize, board: &Board) -> Result<Vec<String>, Error> {
    let mut link = Link::new(urls)?;
    let mut away = [None::<Instant>; PARTS];
    let (mut left, mut confirmed) = (VecDeque::new(), Vec::new());
    let (mut made, mut give_up) = (0, None);
    loop {
        if board.producers_stop.load(Relaxed) {
            if left.is_empty() {
                return Ok(confirmed);
            }
            if Instant::now() > *give_up.get_or_insert(Instant::now() + PATIENCE) {
                return Err(format!("{} tasks could not be confirmed", left.len()).into());
            }
        } else {
            made += 1;
            left.push_back(format!("p{name}-{made}"));
        }
        // The new one and one that was left before.
        for _ in 0..2 {
            let Some(id) = left.pop_front() else { break };
            let part = part_of(&id);
            let rests = away.get(part).copied().flatten().is_some_and(|until| Instant::now() < until);
            let pushed = if rests { None } else { Some(link.push(part, &id, &payload_of(&id))) };
            if matches!(pushed, Some(Ok(_))) {
                board.note(part, What::Pushed);
            }
            if matches!(pushed, Some(Ok(Pushed::Confirmed))) {
                board.note(part, What::Confirmed);
                confirmed.push(id);
                continue;
            }
            if let (Some(_), Some(until)) = (pushed, away.get_mut(part)) {
                *until = Some(Instant::now() + REST);
            }
            left.push_back(id);
        }
        sleep(PACE);
    }
}

/// A task's payload: a number that its id decides.
pub(crate) fn payload_of(id: &str) -> String {
    let number = id.bytes().fold(7_u64, |number, byte| (number * 31 + u64::from(byte)) % 1_000_003);
    number.to_string()
}
