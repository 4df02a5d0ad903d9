//! A worker: waits on its own part, and takes from others when there is nothing to do.

use std::sync::atomic::Ordering::Relaxed;

use redis::{RedisResult, Value};

use crate::board::Board;
use crate::link::{Link, on};
use crate::parts::PARTS;
use crate::{Error, TICK};

/// How long it waits on its own part before it looks at another one. Longer costs less; it only matters to a part whose own
/// workers are all busy or gone.
const BLOCK_MS: u64 = 250;

struct Claim {
    part: usize,
    id: String,
    payload: String,
    attempt: u64,
}

/// Works until it is told to stop.
pub(crate) fn run(urls: &[String], home: usize, board: &Board) -> Result<(), Error> {
    let mut link = Link::new(urls)?;
    let (name, mut other) = (format!("worker-{home}"), home);
    while !board.workers_stop.load(Relaxed) {
        let claim = match claim(&mut link, home, &name, BLOCK_MS) {
            Ok(Some(claim)) => Some(claim),
            // Nothing to do at home, or it is away: one look elsewhere.
            nothing => {
                if nothing.is_err() {
                    std::thread::sleep(TICK);
                }
                other = (other + 1) % PARTS;
                claim(&mut link, other, &name, 0).unwrap_or(None)
            }
        };
        if let Some(claim) = claim {
            finish(&mut link, &claim, board);
        }
    }
    Ok(())
}

fn claim(link: &mut Link, part: usize, name: &str, block_ms: u64) -> RedisResult<Option<Claim>> {
    let mut command = on(part, "TASK.CLAIM");
    command.arg("WORKER").arg(name);
    if block_ms > 0 {
        command.arg("BLOCK").arg(block_ms);
    }
    let claimed: Option<(String, String, u64, u64, Value)> = link.ask(&command)?;
    Ok(claimed.map(|(id, payload, attempt, _lease, _checkpoint)| Claim { part, id, payload, attempt }))
}

/// Does the work and says the result, until there is an answer. The fence makes it safe to say again, and the part may be on
/// another node by now.
fn finish(link: &mut Link, claim: &Claim, board: &Board) {
    let result = work(&claim.payload);
    let mut command = on(claim.part, "TASK.COMPLETE");
    command.arg(&claim.id).arg(result).arg("ATTEMPT").arg(claim.attempt);
    while !board.workers_stop.load(Relaxed) {
        match link.ask::<()>(&command) {
            Ok(()) => return board.completed(claim.part, &claim.id, claim.attempt),
            // Not ours any more, or the claim died with a master before the replica had it: somebody else does it.
            Err(error) if error.code().is_some_and(has_ended) => return,
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// The claim is over.
pub(crate) fn has_ended(code: &str) -> bool {
    matches!(code, "STALE" | "CANCELED" | "NOTCLAIMED" | "NOTASK")
}

/// The work: the square of a number.
pub(crate) fn work(payload: &str) -> String {
    let number: u64 = payload.parse().unwrap_or_default();
    (number * number).to_string()
}
