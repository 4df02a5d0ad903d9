//! Files that were cut or damaged: a server that starts on them refuses and says so, or has a whole state that there was.

use super::{dumps::lives, make_rich};
use crate::support::{Builder, Dice, Server, eventually};
use std::{fs, ops::Range, path::Path};

/// What a server says before it ends, having met a file that it cannot load.
const REFUSALS: [&str; 11] = [
    "FATAL: Data file was created with a",
    "Can't handle RDB format version",
    "Internal error in RDB reading",
    "Unrecoverable error, aborting now",
    "Terminating server after rdb file reading failure",
    "Fatal error loading the DB",
    "Wrong RDB checksum",
    "Bad file format reading the append only file",
    "Unexpected end of file reading the append only file",
    "the truncated file is not the last file",
    "The append-only file is damaged, the server ends",
];

fn plain() -> Builder {
    Server::builder().config("rdbcompression", "no")
}

/// The server that `builder` starts; None if it refuses, which it must say. A crash, or a start that never ends, is neither.
#[track_caller]
fn started(builder: Builder) -> Option<Server> {
    match builder.try_start() {
        Ok(server) => Some(server),
        Err(log) => {
            let says_why = REFUSALS.iter().any(|refusal| log.contains(refusal));
            assert!(says_why, "the server ended without saying why:\n{log}");
            None
        }
    }
}

/// All of `range`, or about `count` of it.
fn sampled(range: Range<usize>, count: Option<usize>, dice: &mut Dice) -> Vec<usize> {
    match count.filter(|&count| count < range.len()) {
        None => range.collect(),
        Some(count) => (0..count).map(|_| range.start + dice.index(range.len())).collect(),
    }
}

/// An RDB with a queue between other keys, and where in it the queue's value is.
fn rdb() -> (Vec<u8>, Range<usize>, Vec<u8>) {
    let server = plain().start();
    make_rich(&server, "rich");
    server.run_all(&["SET a before", "SET z behind", "SAVE"]);
    let dump = server.dump("rich");
    let rdb = fs::read(server.directory().join("dump.rdb")).unwrap();
    // The type stands before the key; a dump's version and checksum are ten bytes.
    let value = &dump[1..dump.len() - 10];
    let start = rdb.windows(value.len()).position(|bytes| bytes == value).expect("the value, not compressed");
    let end = start + value.len();
    (rdb, start..end, dump)
}

/// Cuts and flips of an RDB.
fn load_bad_rdbs(mut dice: Dice, count: Option<usize>) {
    let (rdb, value, whole) = rdb();
    let on = |content: &[u8], checksum| plain().config("rdbchecksum", checksum).file("dump.rdb", content);
    assert!(started(on(&rdb, "yes")).expect("a good file").dump("rich") == whole);
    for cut in sampled(0..rdb.len(), count, &mut dice) {
        let checksum = dice.pick(&["yes", "no"]);
        assert!(started(on(&rdb[..cut], checksum)).is_none(), "cut at {cut}, rdbchecksum {checksum}");
    }
    for at in sampled(0..rdb.len(), count, &mut dice) {
        let mut flipped = rdb.clone();
        flipped[at] ^= 1 << dice.roll(8);
        if let Some(server) = started(on(&flipped, "yes")) {
            // The first nine bytes name the format's version, and old versions have no checksum.
            assert!(at < 9, "byte {at} was flipped, and nobody noticed");
            assert!(server.dump("rich") == whole, "byte {at}");
        }
    }
    let mut taken = 0;
    for at in sampled(value, count, &mut dice) {
        let mut flipped = rdb.clone();
        flipped[at] ^= 1 << dice.roll(8);
        if let Some(server) = started(on(&flipped, "no")) {
            taken += 1;
            server.run_all(&["RENAME rich m"]);
            lives(&server, &mut dice);
        }
    }
    println!("{taken} flips that no checksum guards were taken");
}

/// A cut RDB is refused, and a flipped one by its checksum; without checksum it is refused or the queue works.
#[test]
fn bad_rdbs_are_refused() {
    load_bad_rdbs(Dice::asked_or(0xc0de), Some(30));
}

#[test]
#[ignore = "long: make soak"]
fn bad_rdbs_are_refused_at_every_byte() {
    load_bad_rdbs(Dice::asked_or(0xc0de), None);
}

/// An append-only file: the files of its folder, and the states that there were.
struct Aof {
    files: Vec<(String, Vec<u8>)>,
    /// How long the last file was, and the queue, after each command.
    states: Vec<(usize, Vec<u8>)>,
}

impl Aof {
    /// Queues in the base, and commands in the file behind it.
    fn made(preamble: bool) -> Self {
        let server = with_preamble(preamble).start();
        make_rich(&server, "rich");
        let rewritten = || server.info("aof_rewrite_in_progress") == "0" && server.info("aof_rewrite_scheduled") == "0";
        eventually(rewritten);
        server.run("BGREWRITEAOF");
        eventually(rewritten);
        assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
        let folder = server.directory().join("appendonlydir");
        let state = || (content(&folder, ".incr.aof").len(), server.dump("rich"));
        let mut states = vec![state()];
        let mut client = server.client();
        for line in [
            "TASK.PUSH rich more ID n1",
            "TASK.CLAIM rich COUNT 3 LEASE 900000",
            "MULTI",
            "TASK.PUSH rich more ID n2",
            "TASK.COMPLETE rich 7-7 result",
            "EXEC",
            "TASK.CANCEL rich ALL COUNT 2",
            "TASK.RETRY rich ALL",
            "TASK.FORGET rich done",
        ] {
            let reply = client.run(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
            states.push(state());
        }
        assert!(states.windows(2).all(|pair| pair[0].0 <= pair[1].0) && states[0].0 < states[9].0);
        let files = fs::read_dir(&folder).unwrap().map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (format!("appendonlydir/{name}"), fs::read(folder.join(&name)).unwrap())
        });
        Self { files: files.collect(), states }
    }

    fn file(&self, part: &str) -> &[u8] {
        &self.files.iter().find(|(name, _)| name.contains(part)).expect("the file").1
    }

    /// `builder` on these files, that with `part` in its name being `content`.
    fn with(&self, builder: Builder, part: &str, content: &[u8]) -> Builder {
        self.files.iter().fold(builder, |builder, (name, bytes)| {
            builder.file(name, if name.contains(part) { content.to_vec() } else { bytes.clone() })
        })
    }
}

fn with_preamble(preamble: bool) -> Builder {
    if preamble { plain().aof() } else { plain().aof_without_preamble() }
}

fn content(folder: &Path, end: &str) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.to_string_lossy().ends_with(end)).max().expect("the file");
    fs::read(file).unwrap()
}

/// Where the arguments of the commands in an append-only file are.
fn arguments(aof: &[u8]) -> Vec<Range<usize>> {
    let (mut at, mut found) = (0, Vec::new());
    while at < aof.len() {
        let line_end = at + aof[at..].iter().position(|&byte| byte == b'\n').expect("a line");
        let head = std::str::from_utf8(&aof[at..line_end]).unwrap().trim_end();
        at = line_end + 1;
        if let Some(len) = head.strip_prefix('$') {
            let end = at + len.parse::<usize>().unwrap();
            found.push(at..end);
            at = end + 2;
        }
    }
    found
}

/// Where the packed effects in an append-only file are: behind the command's name and the key.
fn effects(aof: &[u8]) -> Vec<Range<usize>> {
    let arguments = arguments(aof);
    let is_apply = |range: &Range<usize>| aof[range.clone()].eq_ignore_ascii_case(b"task.apply");
    arguments.windows(3).filter(|command| is_apply(&command[0])).map(|command| command[2].clone()).collect()
}

/// Cuts and flips of an append-only file.
fn load_bad_aofs(mut dice: Dice, preamble: bool, count: Option<usize>) {
    let aof = Aof::made(preamble);
    let (base, last) = (aof.file(".base."), aof.file(".incr.aof"));
    for cut in sampled(aof.states[0].0..last.len() + 1, count, &mut dice) {
        let (size, state) = aof.states.iter().rfind(|(size, _)| *size <= cut).expect("a state");
        let torn = aof.with(with_preamble(preamble), ".incr.aof", &last[..cut]);
        let server = started(torn).expect("a torn tail is cut off");
        assert!(server.dump("rich") == *state, "cut at {cut}: not the state at {size}");
        drop(server);
        if *size == cut || dice.once_in(3) {
            let strict = with_preamble(preamble).config("aof-load-truncated", "no");
            let server = started(aof.with(strict, ".incr.aof", &last[..cut]));
            assert!(server.is_none_or(|server| server.dump("rich") == *state), "cut at {cut}, aof-load-truncated no");
        }
    }
    // Not the last file: a crash does not tear it.
    let bounds: Vec<_> = if preamble { Vec::new() } else { arguments(base).into_iter().map(|range| range.end + 2).collect() };
    for cut in sampled(0..base.len(), count, &mut dice) {
        let server = started(aof.with(with_preamble(preamble), ".base.", &base[..cut]));
        assert!(server.is_none() || cut == 0 || bounds.contains(&cut), "the base was cut at {cut}, and nobody noticed");
    }
    // Nothing guards the bytes of an append-only file: what can be of the queue's history is taken.
    let applied: Vec<usize> = effects(last).into_iter().flatten().collect();
    for index in sampled(0..applied.len(), count, &mut dice) {
        let mut flipped = last.to_vec();
        flipped[applied[index]] ^= 1 << dice.roll(8);
        if let Some(server) = started(aof.with(with_preamble(preamble), ".incr.aof", &flipped)) {
            server.run_all(&["RENAME rich m"]);
            lives(&server, &mut dice);
        }
    }
}

/// An effect that cannot have been recorded is refused: what followed from it would be lost, and the rest taken for the whole.
#[test]
fn an_aof_with_an_effect_that_does_not_fit_is_refused() {
    let server = Server::builder().aof().start();
    server.run_all(&[
        "TASK.PUSH jobs x ID first",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs first result",
        "TASK.PUSH jobs x ID second",
    ]);
    let folder = server.directory().join("appendonlydir");
    let mut is_flipped = false;
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let builder = files.fold(Server::builder().aof(), |builder, name| {
        let mut content = fs::read(folder.join(&name)).unwrap();
        if name.ends_with(".incr.aof") {
            // The completion names the task last.
            let last = content.windows(5).rposition(|bytes| bytes == b"first").expect("the completion");
            content[last] ^= 8;
            is_flipped = true;
        }
        builder.file(format!("appendonlydir/{name}"), content)
    });
    assert!(is_flipped && started(builder).is_none());
}

/// A torn tail gives the state before the command that it tore; a cut base is refused; flipped bytes crash nothing.
#[test]
fn bad_aofs_give_a_state_that_there_was() {
    load_bad_aofs(Dice::asked_or(0xaf0f), true, Some(25));
}

/// As with a base that is an RDB, so with one of commands.
#[test]
fn bad_aofs_without_preamble_give_a_state_that_there_was() {
    load_bad_aofs(Dice::asked_or(0xfa0f), false, Some(25));
}

#[test]
#[ignore = "long: make soak"]
fn bad_aofs_give_a_state_that_there_was_at_every_byte() {
    for preamble in [true, false] {
        load_bad_aofs(Dice::asked_or(0xaf0f), preamble, None);
    }
}
