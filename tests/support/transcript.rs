//! Runs the blocks of a document that are fenced as `redis` and compares what it promises with what happens.
//!
//! A line after a prompt (`127.0.0.1:6379> ` or `redis> `) is a command; the lines up to the next prompt
//! or blank line are what redis-cli shows. Made ids, COLLECT's cursors and instants are compared as `<id>` and `<ms>`, and
//! an id shown in a document may be used in its later commands. A line `...` stands for any lines. Each
//! block begins on a flushed server, unless it is fenced as `redis continue`.

use super::{Client, Server, render::render};
use std::{collections::HashMap, fmt::Write, fs, path::Path};

/// One command of a document and what it says redis-cli shows.
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
    flush: bool,
}

/// Runs all blocks of `file` (relative to the project); panics with every difference.
#[track_caller]
pub(crate) fn run(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{file} has no block fenced as redis");
    let differences = run_steps(&Server::start(), file, &steps);
    assert!(differences.is_empty(), "{differences}");
}

fn run_steps(server: &Server, file: &str, steps: &[Step]) -> String {
    let mut differences = String::new();
    let mut ids = HashMap::new();
    let mut client = server.client();
    for step in steps {
        if step.flush {
            server.run("FLUSHALL");
            client = server.client();
            ids.clear();
        }
        let command = with_actual_ids(&step.command, &ids);
        let actual = show(&mut client, &command);
        let actual: Vec<_> = actual.lines().map(str::to_owned).collect();
        if matches(&step.expected, &actual) {
            learn_ids(&step.expected, &actual, &mut ids);
            continue;
        }
        let _ = writeln!(differences, "{file}:{}: {}", step.line, step.command);
        for line in &step.expected {
            let _ = writeln!(differences, "  - {line}");
        }
        for line in &actual {
            let _ = writeln!(differences, "  + {line}");
        }
    }
    differences
}

fn show(client: &mut Client, command: &str) -> String {
    let reply = client.run(command);
    // This redis-cli shows as it came.
    if command.starts_with("INFO") { reply.text() } else { render(&reply) }
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut flush, mut open) = (false, false, false);
    for (index, line) in text.lines().enumerate() {
        let bare = line.trim();
        if let Some(fence) = bare.strip_prefix("```") {
            (inside, flush) = match fence.trim() {
                "redis" if !inside => (true, true),
                "redis continue" if !inside => (true, false),
                _ => (false, false),
            };
            open = false;
        } else if !inside {
        } else if let Some(command) = command(bare) {
            let command = command.to_owned();
            steps.push(Step { line: index + 1, command, expected: Vec::new(), flush });
            (flush, open) = (false, true);
        } else if bare.is_empty() {
            open = false;
        } else if open
            && !is_duration(bare)
            && let Some(step) = steps.last_mut()
        {
            step.expected.push(line.trim_end().to_owned());
        }
    }
    steps
}

/// What stands after a prompt.
fn command(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("127.0.0.1:6379").or_else(|| line.strip_prefix("redis"))?;
    rest.strip_prefix("(TX)").unwrap_or(rest).strip_prefix("> ")
}

/// redis-cli's note of how long a slow command took, as `(1.02s)`.
fn is_duration(line: &str) -> bool {
    let number = line.strip_prefix('(').and_then(|rest| rest.strip_suffix("s)"));
    number.is_some_and(|number| number.parse::<f64>().is_ok())
}

fn matches(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first.trim() == "..." => (0..=actual.len()).any(|skip| matches(rest, &actual[skip..])),
        Some((first, rest)) => {
            actual.split_first().is_some_and(|(line, others)| normal(first) == normal(line.trim_end()) && matches(rest, others))
        }
    }
}

/// `line` with made ids as `<id>` and instants as `<ms>`.
fn normal(line: &str) -> String {
    replace_numbers(line, |_, is_id| if is_id { "<id>" } else { "<ms>" }.to_owned())
}

fn learn_ids(expected: &[String], actual: &[String], ids: &mut HashMap<String, String>) {
    let (promised, made) = (ids_in(expected), ids_in(actual));
    if promised.len() == made.len() {
        ids.extend(promised.into_iter().zip(made));
    }
}

fn ids_in(lines: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for line in lines {
        replace_numbers(line, |number, is_id| {
            if is_id {
                ids.push(number.to_owned());
            }
            String::new()
        });
    }
    ids
}

fn with_actual_ids(command: &str, ids: &HashMap<String, String>) -> String {
    replace_numbers(command, |number, _| ids.get(number).map_or(number, String::as_str).to_owned())
}

/// `line` with each 13-digit number, and each made id or cursor that begins with one, replaced.
fn replace_numbers(line: &str, mut replace: impl FnMut(&str, bool) -> String) -> String {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = digits(rest);
        let part =
            |from: usize| rest[from..].strip_prefix('-').map(digits).filter(|&digits| digits > 0).map_or(0, |digits| 1 + digits);
        let sequence = part(length);
        if length == 13 && sequence > 0 {
            let mut end = length + sequence;
            while part(end) > 0 {
                end += part(end);
            }
            let (id, after) = rest.split_at(end);
            out.push_str(&replace(id, true));
            rest = after;
        } else {
            let (number, after) = rest.split_at(length);
            out.push_str(&if length == 13 { replace(number, false) } else { number.to_owned() });
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::{normal, run_steps, steps, with_actual_ids};
    use crate::support::Server;

    /// A true document passes; ids of the document stand for those made now.
    #[test]
    fn a_true_document_passes() {
        let text = "\
```redis
redis> RPUSH ids 1763953200123-0
(integer) 1
redis> LRANGE ids 0 -1
1) \"1763953200123-0\"

127.0.0.1:6379> SET at 1763953200999
OK
127.0.0.1:6379> GET at
\"1763953200123\"
(0.50s)
```
```redis continue
redis> KEYS *
...
```
```sh
redis> not a command
```
```redis
redis> DBSIZE
(integer) 0
redis> TIME
1) ...
...
```
";
        let server = Server::builder().without_module().start();
        let steps = steps(text);
        assert_eq!(steps.len(), 7);
        let differences = run_steps(&server, "x.md", &steps);
        assert!(differences.starts_with("x.md:23: TIME\n  - 1) ...\n"), "{differences}");
    }

    /// Only whole 13-digit numbers are normalised.
    #[test]
    fn made_ids_and_instants_are_normalised() {
        assert_eq!(normal("1) \"1763953200123-12\" 1763953200123 12-3"), "1) \"<id>\" <ms> 12-3");
        assert_eq!(normal("1763953200123-12-0 1763953200123-12-"), "<id> <id>-");
        assert_eq!(normal("17639532001234-1"), "17639532001234-1");
        let ids = [("1763953200123-0".to_owned(), "1763953200999-7".to_owned())].into();
        assert_eq!(with_actual_ids("TASK.GET q 1763953200123-0", &ids), "TASK.GET q 1763953200999-7");
    }
}
