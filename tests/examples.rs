//! The examples do what they say.

use crate::support::{Server, cargo};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python of `make python`, which has the client.
fn python() -> PathBuf {
    root().join(".venv/bin/python")
}

#[track_caller]
fn run_python(name: &str, server: &Server, arguments: &[&str]) -> (Output, String) {
    let port = server.port().to_string();
    let script = root().join("examples/python").join(name);
    let command = Command::new(python()).arg(script).args(["--port", &port]).args(arguments).output();
    let output = command.expect("`make python` makes .venv, which this test needs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, printed)
}

/// The recipe in Python: tasks pushed, computed by several processes, results collected by the task's id.
#[test]
fn python_recipe() {
    let server = Server::start();
    let (output, printed) = run_python("tasks.py", &server, &[]);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains(" 100000  completed: 9592"), "{printed}");
    assert_eq!(printed.lines().last(), Some("20 of 20 tasks completed"), "{printed}");
}

/// A task that fails is told apart from those that do not.
#[test]
fn python_recipe_with_a_failure() {
    let server = Server::start();
    let (output, printed) = run_python("tasks.py", &server, &["1000", "oops", "10"]);
    assert!(!output.status.success());
    assert!(printed.contains("failed: ValueError"), "{printed}");
    assert!(printed.contains("2 of 3 tasks completed"), "{printed}");
}

/// Workers that are killed with -9 and repeat themselves move money, each transfer once; and not once, if they are careless.
#[test]
fn python_money_is_moved_once() {
    let server = Server::start();
    let (output, printed) = run_python("money.py", &server, &[]);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("workers killed with kill -9") && !printed.contains(" 0 workers"), "{printed}");
    assert!(printed.ends_with("each transfer once: yes\n"), "{printed}");
    let (output, printed) = run_python("money.py", &server, &["--careless", "--transfers", "300"]);
    assert!(!output.status.success() && printed.ends_with("each transfer once: no\n"), "{printed}");
}

/// `make demo`: four workers, one of them killed with -9, count the same words as one process does.
#[test]
fn word_count_with_a_killed_worker() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.txt", "b.txt"] {
        std::fs::write(folder.path().join(file), words(1_500_000)).unwrap();
    }
    let printed = run_example("wordcount", &[folder.path().to_str().unwrap()]);
    for part in ["killed with kill -9; it had part-", " came back as attempt 2 after ", "identical: yes"] {
        assert!(printed.contains(part), "no '{part}' in {printed}");
    }
}

/// `make demo-cluster`: a master is killed under load, and nothing that was confirmed is lost.
#[test]
fn cluster_with_a_killed_master() {
    let printed = run_example("cluster", &[]);
    for part in ["kill -9    node ", "failover   its replica ", "complete   ", "its master was killed"] {
        assert!(printed.contains(part), "no '{part}' in {printed}");
    }
    assert!(printed.ends_with("each confirmed task has its result, once: yes\n"), "{printed}");
}

/// The page on scaling shows what its program calculates.
#[test]
fn scaling_calculates_what_the_page_shows() {
    let page = std::fs::read_to_string(root().join("docs/scaling.md")).unwrap();
    let printed = run_example("scaling", &["23000", "118000"]);
    let tables: Vec<_> = printed.trim_end().split("\n\n").map(|table| table.split_once('\n').expect("a heading").1).collect();
    assert_eq!(tables.len(), 4);
    for table in tables {
        assert!(page.contains(&format!("```text\n{table}\n```")), "docs/scaling.md does not show\n{table}");
    }
}

/// What an example prints that ends well.
#[track_caller]
fn run_example(name: &str, arguments: &[&str]) -> String {
    let output = cargo()
        .args(["run", "--quiet", "--example", name, "--"])
        .args(arguments)
        .env("REDIS_TASK_MODULE", crate::support::module())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// So many bytes of words, not all alike.
fn words(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut seed = 1_u64;
    while text.len() < bytes {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word: String = (0..4).map(|n| char::from(b'a' + u8::try_from((seed >> (33 + n)) % 26).unwrap())).collect();
        text.push_str(&word);
        text.push(if seed.is_multiple_of(11) { '\n' } else { ' ' });
    }
    text
}
