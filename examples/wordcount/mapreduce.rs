//! The work of both kinds of tasks. It knows nothing of claims and leases.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::text::{self, Counts, Piece};
use crate::{Error, MAPS, PARTS, Page, QUEUE};

/// A task's payload, as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) enum Job {
    /// Count the words of these pieces of files.
    Map(Vec<Piece>),
    /// Add up what the maps have counted, of one part of the words.
    Reduce { part: usize },
}

/// Does the job and answers its result, unless `lost` says that it is not ours any more.
pub(crate) fn work(job: Job, link: &mut Link, lost: &AtomicBool) -> Result<String, Error> {
    match job {
        Job::Map(pieces) => map(&pieces, lost),
        Job::Reduce { part } => reduce(part, link, lost),
    }
}

/// The result has a section for each part of the words, so that who reduces a part need not read the others.
fn map(pieces: &[Piece], lost: &AtomicBool) -> Result<String, Error> {
    let mut counts = Counts::new();
    for piece in pieces {
        give_up_if(lost)?;
        text::count_piece(piece, &mut counts)?;
    }
    let section = |part| text::lines(counts.iter().filter(|(word, _)| part_of(word) == part));
    Ok((0..PARTS).map(section).collect::<Vec<_>>().join(SECTION))
}

/// Reads the results of all maps. They are there: the task was pushed AFTERBATCH, so it can be claimed only when all are
/// completed, and they are kept until it has ended.
fn reduce(part: usize, link: &mut Link, lost: &AtomicBool) -> Result<String, Error> {
    let (mut counts, mut cursor) = (Counts::new(), "0".to_owned());
    loop {
        give_up_if(lost)?;
        let (next, remaining, maps): Page = link.ask(&["TASK.COLLECT", QUEUE, MAPS, &cursor])?;
        for (_, _, result) in maps {
            for (word, count) in text::parse(result.unwrap_or_default().split(SECTION).nth(part).unwrap_or_default()) {
                *counts.entry(word.to_owned()).or_default() += count;
            }
        }
        if remaining == 0 {
            return Ok(text::lines(&counts));
        }
        cursor = next;
    }
}

/// Stands between the sections of a map's result, and in no word.
pub(crate) const SECTION: &str = "=\n";

/// Each word is of one part, and whoever reckons it comes to the same.
fn part_of(word: &str) -> usize {
    word.bytes().fold(0, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % PARTS
}

fn give_up_if(lost: &AtomicBool) -> Result<(), Error> {
    if lost.load(Relaxed) { Err("given up: the claim is lost".into()) } else { Ok(()) }
}
