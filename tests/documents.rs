//! The transcripts in the documents are true.

use crate::support::{Server, transcript};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the README shows happens.
#[test]
fn readme() {
    transcript::run("README.md");
}

/// What the tutorial shows happens. (Its part in Python is among the examples.)
#[test]
fn tutorial() {
    transcript::run("docs/tutorial.md");
}

/// What the command reference shows happens.
#[test]
fn commands() {
    transcript::run("docs/commands.md");
}

/// What the page on schedules shows happens.
#[test]
fn schedules() {
    transcript::run("docs/schedules.md");
}

/// What the page on limits, turns and pauses shows happens.
#[test]
fn flow() {
    transcript::run("docs/flow.md");
}

/// What the page on operations shows happens.
#[test]
fn operations() {
    transcript::run("docs/operations.md");
}

/// The shell's way to save a queue, and to have it back paused, does that; also in the place of the queue that is there.
#[test]
fn backup_from_a_shell() {
    if Command::new("redis-cli").arg("--version").output().is_err() {
        println!("skipped: there is no redis-cli");
        return;
    }
    let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (_, part) = page.split_once("**One queue.**").expect("its part");
    let mut blocks = part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let (save, restore) = (blocks.next().expect("how to save"), blocks.next().expect("how to restore"));
    let server = Server::start();
    let says = |line: &str| {
        let line = line.replace("redis-cli", &format!("redis-cli -p {}", server.port()));
        let output = Command::new("sh").args(["-c", &line]).current_dir(server.directory()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(says(save), "nothing was saved");
    server.run_all(&["TASK.PUSH mail x ID a", "TASK.CLAIM mail", "TASK.PUSH mail x ID b"]);
    assert_eq!(says(save), "");
    assert_eq!(says(restore), "OK");
    assert!(server.run("TASK.CLAIM mail:restored").is_nil());
    assert_eq!((server.state("mail:restored", "a"), server.state("mail:restored", "b")), ("claimed".into(), "ready".into()));
    assert!(says(restore).starts_with("BUSYKEY"));

    let in_place = restore.replace("mail:restored", "mail").replace("ARGV[1]", "ARGV[1], 'REPLACE'");
    server.run_all(&["TASK.CANCEL mail b", "TASK.PUSH mail x ID c"]);
    assert!(says(&in_place.replace("mail.queue", "/dev/null")).contains("DUMP payload version or checksum are wrong"));
    assert_eq!(server.state("mail", "c"), "ready");
    assert_eq!(says(&in_place), "OK");
    assert_eq!(server.state("mail", "b"), "ready");
    assert!(server.run("TASK.GET mail c").is_nil());
    assert!(server.run("TASK.CLAIM mail").is_nil());
    let without_pause = part.split("Without the pause it is `").nth(1).and_then(|rest| rest.split('`').next()).expect("how");
    assert_eq!(says(without_pause), "OK");
    assert_eq!(server.run("TASK.CLAIM mail").at(0), "b");
}

/// What the page on migrating shows happens, before and after.
#[test]
fn migrating() {
    transcript::run("docs/migrating.md");
}

/// What the page on scaling shows happens.
#[test]
fn scaling() {
    transcript::run("docs/scaling.md");
}

/// What the page on distributed computing shows happens.
#[test]
fn distributed_computing() {
    transcript::run("docs/distributed-computing.md");
}

/// The programs on the pages of docs/clients/ are the files of clients/, which `make test-clients` runs. `clients/run --docs` writes them.
#[test]
fn clients() {
    let mut shown = 0;
    for page in fs::read_dir(root().join("docs/clients")).unwrap() {
        let page = page.unwrap().path();
        let text = fs::read_to_string(&page).unwrap();
        for part in text.split("](../../clients/").skip(1) {
            let Some((file, code)) = part.split_once(")\n\n```") else { continue };
            let (_, code) = code.split_once('\n').expect("a language");
            let program = fs::read_to_string(root().join("clients").join(file)).unwrap();
            assert!(code.starts_with(&format!("{program}```\n")), "{} shows another {file}", page.display());
            shown += 1;
        }
    }
    assert!(shown >= 18, "{shown} programs");
}

/// The page on guarantees: each promise names tests, and they exist.
#[test]
fn guarantees() {
    let page = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let (promises, notes): (Vec<_>, Vec<_>) = page.lines().partition(|line| !line.starts_with("[^"));
    let mut held = BTreeSet::new();
    let mut wrong = Vec::new();
    for note in notes {
        let (name, tests) = note[2..].split_once("]: ").expect("a note");
        held.insert(name);
        for file in tests.split("; ") {
            let (path, tests) = file.split_once(": ").expect("a file and its tests");
            let code = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            wrong
                .extend(tests.split(", ").filter(|test| !has_test(&code, test)).map(|test| format!("{path} has no test {test}")));
        }
    }
    let mut named: BTreeSet<String> = BTreeSet::new();
    for promise in items(&promises) {
        if notes_in(&promise).next().is_none() {
            wrong.push(format!("held by no test: {promise}"));
        }
    }
    named.extend(notes_in(&promises.join("\n")).map(str::to_owned));
    wrong.extend(held.iter().filter(|name| !named.contains(**name)).map(|name| format!("[^{name}] holds nothing")));
    wrong.extend(named.iter().filter(|name| !held.contains(name.as_str())).map(|name| format!("[^{name}] is not there")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named.len() > 60, "{} notes", named.len());
}

/// The names of the notes that a text refers to.
fn notes_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("[^").skip(1).filter_map(|rest| rest.split(']').next())
}

/// The items of lists and the rows of tables, but for what the page says is not promised.
fn items(lines: &[&str]) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let (mut promised, mut inside) = (true, false);
    for line in lines {
        if line.starts_with("## ") {
            promised = *line != "## What is not promised";
        }
        let begins = line.starts_with("- ") || line.starts_with("| ");
        if line.starts_with("| ---") {
            // What stood before is the head of a table.
            items.pop();
        } else if begins && promised {
            items.push((*line).to_owned());
        } else if inside && line.starts_with("  ") {
            items.last_mut().expect("an item").push_str(line);
        }
        inside = promised && (begins || (inside && line.starts_with("  ")));
    }
    items
}

/// Whether the code has this function, marked as a test.
fn has_test(code: &str, name: &str) -> bool {
    let before = code.split_once(&format!("fn {name}(")).and_then(|(before, _)| before.rsplit_once("#[test]"));
    before.is_some_and(|(_, between)| !between.contains("fn "))
}

/// The test of the page finds a test that is not there.
#[test]
fn a_test_is_told_from_other_functions() {
    let code = "#[test]\n#[ignore = \"long\"]\nfn a() {}\nfn b() {}\n";
    assert!(has_test(code, "a") && !has_test(code, "b") && !has_test(code, "c"));
    assert_eq!(items(&["| head |", "| --- |", "| row |", "text", "- one", "  more", "", "  code"]), ["| row |", "- one  more"]);
}
