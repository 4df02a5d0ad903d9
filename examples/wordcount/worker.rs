//! How a worker is written: claim, beat while working, complete or fail, leave politely.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use redis::{RedisError, RedisResult};

use crate::link::Link;
use crate::mapreduce;
use crate::{Error, QUEUE};

/// A task that is ours until its lease ends.
struct Claim {
    id: String,
    payload: String,
    /// The fencing token: goes with all that we say about the task.
    attempt: String,
    lease: Duration,
}

/// Works until it is asked to stop, by the end of its stdin. That also comes when the parent dies:
/// no worker is left behind. (A service would rather listen to SIGTERM.)
pub(crate) fn run(url: &str, name: &str) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked_to_stop = Arc::clone(&stop);
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        asked_to_stop.store(true, Relaxed);
    });
    let (mut link, mut second) = (Link::new(url)?, Link::new(url)?);
    while !stop.load(Relaxed) {
        let Some(claim) = claim(&mut link, name)? else {
            continue;
        };
        let said = if stop.load(Relaxed) {
            say(&mut link, "TASK.RELEASE", &claim, &[]) // not begun: another can have it at once
        } else {
            let job = serde_json::from_str(&claim.payload);
            let work = |lost: &_| mapreduce::work(job?, &mut second, lost);
            match beating(&mut link, &claim, work) {
                Ok(result) => say(&mut link, "TASK.COMPLETE", &claim, &[&result]),
                Err(error) => say(&mut link, "TASK.FAIL", &claim, &[&error.to_string()]),
            }
        };
        match said {
            Err(error) if has_ended(&error) => eprintln!("{name}: too late for {}: {error}", claim.id),
            said => said?,
        }
    }
    Ok(())
}

/// The next task, or none within half a second: time to see whether we should stop.
fn claim(link: &mut Link, name: &str) -> Result<Option<Claim>, Error> {
    let answer: Option<Vec<Option<String>>> = link.ask(&["TASK.CLAIM", QUEUE, "WORKER", name, "BLOCK", "500"])?;
    match answer.unwrap_or_default().as_slice() {
        [Some(id), Some(payload), Some(attempt), Some(lease_ms), ..] => Ok(Some(Claim {
            id: id.clone(),
            payload: payload.clone(),
            attempt: attempt.clone(),
            lease: Duration::from_millis(lease_ms.parse()?),
        })),
        _ => Ok(None),
    }
}

/// Says EXTEND, COMPLETE, FAIL or RELEASE, fenced by the attempt.
fn say(link: &mut Link, command: &str, claim: &Claim, text: &[&str]) -> RedisResult<()> {
    let fence = ["ATTEMPT", &claim.attempt];
    link.ask(&[&[command, QUEUE, &claim.id], text, &fence].concat())
}

/// The claim has ended: its lease was over, or the task was canceled or forgotten. Nothing is wrong: a
/// result is published by the claim that is live, or not at all.
fn has_ended(error: &RedisError) -> bool {
    matches!(error.code(), Some("STALE" | "CANCELED" | "NOTCLAIMED" | "NOTASK"))
}

/// As [`has_ended`], and for good. NOTCLAIMED may only say that the lease is over: as long as no other
/// worker has the task, our result is still welcome.
fn is_lost(error: &RedisError) -> bool {
    has_ended(error) && error.code() != Some("NOTCLAIMED")
}

/// Works while another thread extends the lease, which can thus be short: it only says how soon
/// the task of a dead worker comes back. `lost` tells the work to give up.
fn beating<T>(link: &mut Link, claim: &Claim, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let lost = &AtomicBool::new(false);
    let (working, work_ends) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // The link is free while we work: work that asks for something has the second one.
        scope.spawn(move || {
            while work_ends.recv_timeout(claim.lease / 3) == Err(RecvTimeoutError::Timeout) {
                if say(link, "TASK.EXTEND", claim, &[]).is_err_and(|error| is_lost(&error)) {
                    return lost.store(true, Relaxed);
                }
            }
        });
        let _working = working; // dropped when the work ends, also in a panic
        work(lost)
    })
}
