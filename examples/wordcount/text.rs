//! The text: where it is, how it is cut into tasks, and how its words are counted.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What is read if no folder is named: so much of what the machine has.
const CORPUS_BYTES: u64 = 640 << 20;

/// How often each word occurs.
pub(crate) type Counts = HashMap<String, u64>;

/// A byte range of a file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The folder's text files, or else those that a machine with Rust has: the docs of Rust, the
/// sources of crates, the docs of Debian.
pub(crate) fn files(folder: Option<&str>) -> Result<Vec<Piece>, Error> {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = String::from_utf8(rustc.map(|rustc| rustc.stdout).unwrap_or_default())?;
    let home = env::var("HOME").unwrap_or_default();
    let docs = format!("{}/share/doc", sysroot.trim());
    let crates = format!("{home}/.cargo/registry/src");
    let (folders, mut room) = match folder {
        Some(folder) => (vec![folder.to_string()], u64::MAX),
        None => (vec![docs, crates, "/usr/share/doc".into()], CORPUS_BYTES),
    };
    let mut files = Vec::new();
    for folder in folders {
        let before = files.len();
        for file in files_below(folder.clone().into()) {
            if let Some(rest) = room.checked_sub(file.to) {
                room = rest;
                files.push(file);
            }
        }
        if files.len() > before {
            println!("folder   {folder}");
        }
    }
    if files.is_empty() {
        return Err("there is no text; name a folder that has some: make demo TEXT=folder".into());
    }
    Ok(files)
}

/// The text files below the folder, whole. Links and what may not be read are left out.
fn files_below(folder: PathBuf) -> Vec<Piece> {
    let (mut files, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(path),
                Ok(meta) if meta.is_file() && is_text(&path) => {
                    let to = meta.len();
                    files.push(Piece { path, from: 0, to });
                }
                _ => {}
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Neither binary nor written for browsers alone.
fn is_text(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1024).read_to_end(&mut start));
    let extension = path.extension().unwrap_or_default();
    read.is_ok() && !start.contains(&0) && !["js", "css", "svg"].iter().any(|no| extension == *no)
}

/// Cuts the files into tasks of about `task_bytes`: small ones together, large ones in pieces.
pub(crate) fn cut_into_tasks(files: &[Piece], task_bytes: u64) -> io::Result<Vec<Vec<Piece>>> {
    let (mut tasks, mut task, mut room) = (Vec::new(), Vec::new(), task_bytes);
    for Piece { path, to: end, .. } in files {
        let mut from = 0;
        while from < *end {
            let fits = end - from <= room;
            let to = if fits { *end } else { cut(path, from + room)? };
            room = room.saturating_sub(to - from);
            let path = path.clone();
            task.push(Piece { path, from, to });
            from = to;
            if room == 0 {
                tasks.push(std::mem::take(&mut task));
                room = task_bytes;
            }
        }
    }
    tasks.push(task);
    Ok(tasks)
}

/// The next place where the file can be cut so that its parts have exactly the words of the whole:
/// before a line's end, or in HTML before a tag, as what counts is said of each tag by itself.
fn cut(path: &Path, at: u64) -> io::Result<u64> {
    let border = if is_html(path) { b'<' } else { b'\n' };
    let (mut file, mut skipped) = (BufReader::new(File::open(path)?), Vec::new());
    file.seek(SeekFrom::Start(at))?;
    file.read_until(border, &mut skipped)?;
    Ok(at + skipped.strip_suffix(&[border]).unwrap_or(&skipped).len() as u64)
}

/// Counts the words of a piece of a file.
pub(crate) fn count_piece(piece: &Piece, counts: &mut Counts) -> Result<(), Error> {
    let (mut file, mut bytes) = (File::open(&piece.path)?, Vec::new());
    file.seek(SeekFrom::Start(piece.from))?;
    file.take(piece.to - piece.from).read_to_end(&mut bytes)?;
    count(&bytes, is_html(&piece.path), counts);
    Ok(())
}

/// Counts the words of a whole file, knowing nothing of pieces and tasks.
pub(crate) fn count_file(path: &Path, counts: &mut Counts) -> io::Result<()> {
    count(&fs::read(path)?, is_html(path), counts);
    Ok(())
}

/// A word is a run of letters, in lower case. In HTML tags, scripts and styles do not count.
fn count(bytes: &[u8], html: bool, counts: &mut Counts) {
    let text = String::from_utf8_lossy(bytes);
    let (before, tags) = text.split_once('<').filter(|_| html).unwrap_or((&text, ""));
    let after_tags = tags.split('<').filter_map(|part| {
        let (tag, text) = part.split_once('>')?;
        (!tag.starts_with("script") && !tag.starts_with("style")).then_some(text)
    });
    for text in after_tags.chain([before]) {
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
}

/// The counts as text, a word to a line.
pub(crate) fn lines<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> String {
    counts.into_iter().map(|(word, count)| format!("{word} {count}\n")).collect::<Vec<_>>().concat()
}

/// What [`lines`] wrote.
pub(crate) fn parse(lines: &str) -> impl Iterator<Item = (&str, u64)> {
    lines.lines().filter_map(|line| line.split_once(' ').and_then(|(word, count)| Some((word, count.parse().ok()?))))
}

fn is_html(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "html" || extension == "htm")
}
