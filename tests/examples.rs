//! The examples do what they say.

use crate::support::{Server, Value, cargo, eventually_within, sentinel::Sentinel};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

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

/// Map-reduce in Python, over the sources of Python's library: a worker dies, and the counts are those of one process.
#[test]
fn python_map_reduce() {
    let server = Server::start();
    let (output, printed) = run_python("mapreduce.py", &server, &[]);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.ends_with("; 1 worker died in the middle\nidentical: yes\n"), "{printed}");
    assert_eq!(server.count("words", "completed"), 0, "its batches are forgotten");
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

/// The worker in the README, and the one whose loop is one command, go on over restarts and failovers, and wait meanwhile.
#[test]
fn python_workers_outlive_a_failover() {
    outlives_a_failover(&python_block("README.md"));
    outlives_a_failover(&(beginning_of_the_worker_in_the_readme() + &python_block("docs/commands.md")));
}

/// The first block of Python on a page.
fn python_block(file: &str) -> String {
    let page = std::fs::read_to_string(root().join(file)).unwrap();
    page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block").to_owned()
}

/// Its connection and its `ask`, without its loop.
fn beginning_of_the_worker_in_the_readme() -> String {
    let readme = python_block("README.md");
    readme.split_once("while True:\n    # BLOCK").expect("its loop").0.to_owned()
}

fn with_port(program: &str, server: &Server) -> String {
    program.replace("redis.Redis(", &format!("redis.Redis(port={}, ", server.port()))
}

fn outlives_a_failover(worker: &str) {
    let mut server = Server::builder().aof().start();
    let script = server.directory().join("worker.py");
    std::fs::write(&script, with_port(worker, &server)).unwrap();
    let process = Command::new(python()).arg(script).stdout(Stdio::null()).spawn();
    let mut process = Worker(process.expect("`make python` makes .venv, which this test needs"));
    let mut pushed = 0;
    let mut works = |server: &Server| {
        pushed += 3;
        server.run("TASK.MPUSH mail 3 a b c");
        eventually_within(Duration::from_secs(20), || server.count("mail", "completed") == pushed);
    };
    works(&server);
    // It waits when its master becomes a replica: it is told, and from then on refused.
    server.wait_for_blocked(1);
    server.run("REPLICAOF 127.0.0.1 1");
    server.wait_for_blocked(0);
    let errors = || server.info("total_error_replies").parse::<u64>().expect("a count");
    let before = errors();
    eventually_within(Duration::from_secs(20), || errors() >= before + 2);
    std::thread::sleep(Duration::from_millis(500));
    assert!(errors() <= before + 4, "a hot loop: {} errors", errors() - before);
    server.run("REPLICAOF NO ONE");
    works(&server);
    server.crash_and_restart();
    works(&server);
    assert!(process.0.try_wait().unwrap().is_none(), "the worker has ended");
}

/// The Python blocks of the page on distributed computing are one program, which prints what stands below them.
#[test]
fn python_of_the_page_on_distributed_computing() {
    let page = std::fs::read_to_string(root().join("docs/distributed-computing.md")).unwrap();
    let (mut program, mut expected) = (beginning_of_the_worker_in_the_readme(), String::new());
    for part in page.split("```python\n").skip(1) {
        let (block, after) = part.split_once("```\n").expect("its end");
        program.push_str(block);
        expected.push_str(after.strip_prefix("\n```text\n").and_then(|text| text.split("```").next()).unwrap_or_default());
    }
    let server = Server::start();
    let script = server.directory().join("page.py");
    std::fs::write(&script, with_port(&program, &server)).unwrap();
    let output = Command::new(python()).arg(script).output().expect("`make python` makes .venv, which this test needs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// What stands in the place of a framework on the page on migrating prints what stands below it.
#[test]
fn python_of_the_page_on_migrating() {
    let page = std::fs::read_to_string(root().join("docs/migrating.md")).unwrap();
    let (block, after) = page.rsplit("```python\n").next().and_then(|rest| rest.split_once("```\n")).expect("a block");
    let expected = after.strip_prefix("\n```text\n").and_then(|text| text.split("```").next()).expect("what it prints");
    let server = Server::start();
    let script = server.directory().join("page.py");
    let program = beginning_of_the_worker_in_the_readme() + block;
    std::fs::write(&script, with_port(&program, &server)).unwrap();
    let output = Command::new(python()).arg(script).output().expect("`make python` makes .venv, which this test needs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

/// The last part of the tutorial, line by line in a new folder: its programs are saved, its commands said, and print what stands
/// below them. In the place of its own environment it has ours, which was made with the same two lines.
#[test]
fn python_of_the_tutorial() {
    let page = std::fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let (_, part) = page.split_once("\n## 7. In Python\n").expect("the part");
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join(".venv"), folder.path().join("venv")).unwrap();
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(folder.path()).env("LC_ALL", "C").stdout(Stdio::piped());
        command
    };
    let start = |line: &str| Worker(shell(&format!("exec {line}")).spawn().unwrap());
    let (mut name, mut printed, mut worker, mut compared) = ("", String::new(), None, 0);
    let mut fences = part.split("```");
    while let (Some(text), Some(block)) = (fences.next(), fences.next()) {
        let (language, block) = block.split_once('\n').expect("a language");
        let mut named = text.split('`').filter(|word| Path::new(word).extension().is_some_and(|extension| extension == "py"));
        name = named.next_back().unwrap_or(name);
        match language {
            "python" => std::fs::write(folder.path().join(name), with_port(block, &server)).unwrap(),
            "text" => {
                assert_eq!(std::mem::take(&mut printed), block);
                compared += 1;
            }
            _ => {
                for line in block.lines().filter(|line| !line.contains(" venv ") && !line.contains("venv/bin/pip ")) {
                    if line.ends_with("worker.py") {
                        worker = Some(start(line));
                    } else {
                        let output = shell(line).output().unwrap();
                        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
                        printed.push_str(&String::from_utf8_lossy(&output.stdout));
                    }
                }
            }
        }
    }
    assert_eq!((compared, printed.as_str()), (2, ""));
    // What is pushed while there is no worker is kept.
    drop(worker.expect("a worker"));
    let waiting = shell("exec venv/bin/python wait.py texts/b.txt").spawn().unwrap();
    eventually_within(Duration::from_secs(20), || server.count("files", "ready") == 1);
    let _worker = start("venv/bin/python worker.py");
    assert_eq!(waiting.wait_with_output().unwrap().stdout, b"completed 6 words\n");
}

/// A process that ends with the test, also if that fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Money is moved once also if the server steps down for a while, and dies, under the workers.
#[test]
fn python_money_outlives_a_failover() {
    let mut server = Server::builder().config("appendfsync", "always").aof().start();
    let port = server.port().to_string();
    let script = root().join("examples/python/money.py");
    let mut command = Command::new(python());
    let process = command.arg(script).args(["--port", &port]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let process = process.expect("`make python` makes .venv, which this test needs");
    let has_done = |server: &Server, count| server.count("{bank}:transfers", "completed") >= count;
    eventually_within(Duration::from_secs(60), || has_done(&server, 100));
    server.run("REPLICAOF 127.0.0.1 1");
    std::thread::sleep(Duration::from_millis(300));
    server.run("REPLICAOF NO ONE");
    let done = server.count("{bank}:transfers", "completed");
    eventually_within(Duration::from_secs(60), || has_done(&server, done + 100));
    server.crash_and_restart();
    let output = process.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.ends_with("each transfer once: yes\n"), "{printed}");
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

/// A list and a stream are moved whole and in order, also by a mover that is killed with -9 in the middle and started again.
#[test]
fn python_moves_lists_and_streams() {
    let server = Server::start();
    let count = 20_000;
    // Payloads that are there twice, and bytes that are no text.
    server.run(&format!(r#"EVAL "for n = 1, {count} do redis.call('LPUSH', 'old', n % 7 == 0 and '\\255same' or n) end" 0"#));
    server.run("XGROUP CREATE log workers 0 MKSTREAM");
    server.run("EVAL \"for n = 1, 300 do redis.call('XADD', 'log', '*', 'n', n) end\" 0");
    server.run("XREADGROUP GROUP workers w1 COUNT 20 STREAMS log >");
    let port = server.port().to_string();
    let script = root().join("examples/python/migrate.py");
    let mut mover = Command::new(python());
    let mover = mover.arg(script).args(["--port", &port, "list", "old", "new"]).stdout(Stdio::null()).spawn();
    let mover = Worker(mover.expect("`make python` makes .venv, which this test needs"));
    eventually_within(Duration::from_secs(20), || server.count("new", "ready") > 500);
    drop(mover); // kill -9
    let pushed = server.count("new", "ready");
    assert!(pushed < count, "it was too fast to be killed");
    // What came meanwhile is moved by another run.
    server.run("LPUSH old last");
    let (output, printed) = run_python("migrate.py", &server, &["list", "old", "new"]);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.count("new", "ready"), count);
    let (_, printed) = run_python("migrate.py", &server, &["list", "old", "new", "--", "PRIORITY", "0"]);
    assert_eq!((printed.as_str(), server.count("new", "ready")), ("1 moved\n", count + 1));
    for n in 1..=count {
        let expected = if n % 7 == 0 { b"\xffsame".to_vec() } else { n.to_string().into_bytes() };
        let task = server.run("TASK.CLAIM new");
        assert_eq!(task.at(1), &Value::Bulk(expected), "{n}");
    }
    assert_eq!(server.run("TASK.CLAIM new").at(1), "last");

    let (_, printed) = run_python("migrate.py", &server, &["stream", "log", "workers", "read", "--field", "n"]);
    assert_eq!(printed, "300 moved\n");
    assert_eq!(server.run("XPENDING log workers").at(0).int(), 0);
    assert_eq!(server.run("TASK.CLAIM read").at(1), "1");
    let (_, printed) = run_python("migrate.py", &server, &["stream", "log", "workers", "read"]);
    assert_eq!((printed.as_str(), server.count("read", "ready")), ("0 moved\n", 299));
}

/// What a run was refused is moved by the next one, also where --idle leaves alone what others were given; a second stream of the same name, and
/// another group, are not taken for the first; no field is lost.
#[test]
fn python_moves_streams_by_and_by() {
    let server = Server::start();
    let run = |arguments: &[&str]| {
        let (output, printed) = run_python("migrate.py", &server, arguments);
        (output.status.success(), printed, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let moved = |count: u64, said: &str| (true, format!("{count} moved\n"), said.to_owned());
    server.run_all(&["XGROUP CREATE log a 0 MKSTREAM", "XGROUP CREATE log b 0"]);
    for n in 1..=150 {
        server.run(&format!("XADD log {n}-0 n {n}"));
    }
    server.run("XADD log 151-0 n one m x n two");
    server.run("XREADGROUP GROUP a w1 COUNT 10 STREAMS log >");
    server.run("TASK.SET jobs MAXLEN 100");
    let idle = ["stream", "log", "a", "jobs", "--idle", "600000"];
    let (good, printed, said) = run(&idle);
    assert!(!good && said.contains("QUEUEFULL"), "{printed}{said}");
    assert_eq!(server.run("XPENDING log a").at(0).int(), 51, "the second page of the mover's, and those of a worker");
    server.run("XDEL log 111-0 151-0"); // which the mover was given
    server.run("XADD log 152-0 n one m x n two");
    let (good, ..) = run(&idle);
    assert!(!good, "it is still full");
    server.run("TASK.SET jobs MAXLEN 0");
    let left = "10 left, which workers were given meanwhile, or in the last --idle ms\n";
    assert_eq!(run(&idle), moved(40, left));
    assert_eq!(run(&idle), moved(0, left));
    assert_eq!(run(&idle[..4]), moved(10, ""));
    assert_eq!(server.count("jobs", "ready"), 150);
    assert_eq!(server.run("TASK.GET jobs log:a:152-0").field("payload"), r#"{"n": ["one", "two"], "m": "x"}"#);

    assert_eq!(run(&["stream", "log", "b", "jobs"]), moved(150, ""));
    server.run_all(&["DEL log", "XADD log 1-0 n other", "XGROUP CREATE log a 0", "XGROUP CREATE log c 0"]);
    assert_eq!(run(&["stream", "log", "a", "jobs", "--prefix", "second"]), moved(1, ""));
    assert_eq!(server.count("jobs", "ready"), 301);
    assert_eq!(server.run("TASK.GET jobs second:a:1-0").field("payload"), r#"{"n": "other"}"#);
    let (good, _, said) = run(&["stream", "log", "c", "jobs", "--field", "m"]);
    assert!(!good && said == "The entry 1-0 has 0 fields m, not one.\n", "{said}");
}

/// What would lose tasks is refused before anything is changed.
#[test]
fn python_moves_nothing_that_it_would_lose() {
    let server = Server::start();
    server.run_all(&["RPUSH old x y", "SET text x", "XADD log 1-0 n 1", "XGROUP CREATE log workers 0"]);
    for (arguments, error) in [
        ("list old new -- UNIQUE x", "UNIQUE is none of the options that can be given: "),
        ("list old new -- PRIORITY 1 NX", "NX is none of"),
        ("list old new -- BATCH b SEAL", "SEAL is none of"),
        ("list old new -- id x", "ID is none of"),
        ("list log new", "log is a stream, not a list."),
        ("list old text", "text is a string, not a taskqueue."),
        ("stream old workers new", "old is a list, not a stream."),
        ("list old new -- ATTEMPTS", "ATTEMPTS needs a value"),
        ("list old new -- delay 5s", "DELAY must be an integer from 0 to 315360000000, and is 5s."),
        ("list old new -- PRIORITY 256", "PRIORITY must be an integer from 0 to 255, and is 256."),
        ("list old new -- RETAIN -2", "RETAIN must be an integer from -1 to 315360000000, and is -2."),
        ("list old new -- AT 5 DELAY 5", "DELAY and AT not together."),
        ("list old new -- TTL 5 TTL 5", "can be given once"),
        ("stream log nobody new", "NOGROUP"),
        ("stream lgo workers new", "There is no stream lgo."),
        ("--url redis://127.0.0.1:1 list old new", "Connection refused"),
    ] {
        let (output, printed) = run_python("migrate.py", &server, &arguments.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr);
        let is_clean = !said.contains("Traceback") && !said.contains("What was moved");
        assert!(!output.status.success() && said.contains(error) && is_clean, "{arguments}: {printed}{said}");
    }
    assert_eq!(server.run("EXISTS new old:moving old:moving:run"), 0);
    let (output, printed) = run_python("migrate.py", &server, &["list", "odl", "new"]);
    assert_eq!((output.status.success(), printed.as_str()), (true, "0 moved: there is no list odl\n"));
    // A push that was refused has cut off nothing.
    server.run("TASK.SET new PAUSED in");
    let (output, _) = run_python("migrate.py", &server, &["list", "old", "new", "--", "PRIORITY", "0", "RETAIN", "-1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.ends_with("\nWhat was moved is moved. Say the same again to go on.\n"), "{said}");
    assert_eq!(server.run("LLEN old:moving"), 2);
    server.run("TASK.SET new PAUSED no");
    let (_, printed) = run_python("migrate.py", &server, &["list", "old", "new", "--", "PRIORITY", "0", "RETAIN", "-1"]);
    assert_eq!((printed.as_str(), server.count("new", "ready")), ("2 moved\n", 2));
}

/// The worker to run for real: it works longer than its lease, fails what fails, and on SIGTERM ends with its task.
#[test]
fn python_worker_finishes_its_task_on_sigterm() {
    let server = Server::start();
    server.run("TASK.PUSH jobs 0 ID works");
    server.run("TASK.PUSH jobs 1 ID fails ATTEMPTS 1");
    server.run("TASK.PUSH jobs 3 ID long");
    let port = server.port().to_string();
    let script = root().join("examples/python/worker.py");
    let work = r#"read n; echo "saw $TASK_ID" >&2; [ $n = 1 ] && exit 1; sleep $n; echo "slept $n, attempt $TASK_ATTEMPT""#;
    let mut command = Command::new(python());
    let command = command.arg(script).args(["--port", &port, "--lease", "900", "jobs", "sh", "-c", work]);
    let mut worker = Worker(command.stderr(Stdio::null()).spawn().expect("`make python` makes .venv"));
    eventually_within(Duration::from_secs(20), || server.state("jobs", "long") == "claimed");
    server.run("TASK.PUSH jobs 0 ID late");
    assert!(Command::new("kill").arg(worker.0.id().to_string()).status().unwrap().success());
    let mut status = None;
    eventually_within(Duration::from_secs(20), || {
        status = worker.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    assert_eq!(server.run("TASK.RESULT jobs works").at(1), "slept 0, attempt 1\n");
    assert_eq!(server.run("TASK.RESULT jobs fails").at(1), "exit code 1: saw fails");
    assert_eq!(server.run("TASK.RESULT jobs long").at(1), "slept 3, attempt 1\n");
    assert_eq!(server.state("jobs", "late"), "ready");
}

/// It finds its master by Sentinel, goes on with the next one, and keeps the server's password to itself.
#[test]
fn python_worker_follows_sentinel() {
    let mut master = Server::start();
    let replica = Server::replica_of(&master);
    let mut sentinel = Sentinel::over(&master);
    sentinel.wait_for_replicas(1);
    let user = "ACL SETUSER worker on >secret ~jobs nocommands +task.claim +task.extend +task.complete +task.fail";
    assert_eq!((master.run(user).text(), replica.run(user).text()), ("OK".to_owned(), "OK".to_owned()));
    let address = format!("127.0.0.1:{}", sentinel.port());
    let mut command = Command::new(python());
    command.arg(root().join("examples/python/worker.py")).env("REDIS_URL", "redis://worker:secret@");
    command.args(["--sentinel", &address, "--master", "tasks", "jobs", "sh", "-c", "echo ${REDIS_URL:-none}"]);
    let mut worker = Worker(command.stderr(Stdio::null()).spawn().expect("`make python` makes .venv"));
    let completes = |server: &Server, id: &str| {
        server.run(&format!("TASK.PUSH jobs x ID {id}"));
        eventually_within(Duration::from_secs(20), || server.state("jobs", id) == "completed");
        assert_eq!(server.run(&format!("TASK.RESULT jobs {id}")).at(1), "none\n");
    };
    completes(&master, "first");
    master.wait_for_replica(&replica);
    master.kill();
    eventually_within(Duration::from_secs(30), || sentinel.master_port() == replica.port());
    eventually_within(Duration::from_secs(30), || {
        replica.reconnect();
        replica.info("role") == "master"
    });
    completes(&replica, "second");
    // On SIGTERM it ends also while no server is there.
    drop(replica);
    drop(sentinel);
    assert!(Command::new("kill").arg(worker.0.id().to_string()).status().unwrap().success());
    eventually_within(Duration::from_secs(20), || worker.0.try_wait().unwrap().is_some());
}

/// A result that is too long and a program that is gone fail their tasks and say why; a program that was never there is refused at the start.
#[test]
fn python_worker_says_why_a_task_failed() {
    let server = Server::start();
    server.run_all(&["CONFIG SET task.max-payload 1000", "TASK.PUSH jobs x ID long ATTEMPTS 1"]);
    let program = server.directory().join("program");
    let (output, _) = run_python("worker.py", &server, &["jobs", program.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("there is no program "), "{said}");
    assert_eq!(server.state("jobs", "long"), "ready");

    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    let mut command = Command::new(python());
    command.arg(root().join("examples/python/worker.py")).args(["--port", &server.port().to_string(), "jobs"]);
    let _worker = Worker(command.arg(&program).args(["-c", "yes | head -1000"]).spawn().expect("`make python` makes .venv"));
    let fails = |id: &str, error: &str| {
        eventually_within(Duration::from_secs(20), || server.state("jobs", id) == "failed");
        let said = server.run(&format!("TASK.RESULT jobs {id}")).at(1).text();
        assert!(said.contains(error), "{said}");
    };
    fails("long", "TASK.COMPLETE was refused: result must be at most 1000 bytes");
    std::fs::remove_file(&program).unwrap();
    server.run("TASK.PUSH jobs x ID gone ATTEMPTS 1");
    fails("gone", "No such file or directory");
}

/// A wrong password, and a user without rights, end a worker: to say it again would not help.
#[test]
fn python_workers_end_without_rights() {
    let server = Server::start();
    server.run("ACL SETUSER nobody on >secret ~mail +ping");
    let readme = server.directory().join("readme.py");
    for (password, error) in [("wrong", "AuthenticationError"), ("secret", "NoPermissionError")] {
        let access = format!("redis.Redis(username='nobody', password='{password}', ");
        std::fs::write(&readme, with_port(&python_block("README.md"), &server).replace("redis.Redis(", &access)).unwrap();
        let url = format!("redis://nobody:{password}@127.0.0.1:{}", server.port());
        for (program, arguments) in [(&readme, ""), (&root().join("examples/python/worker.py"), "mail cat")] {
            let mut command = Command::new(python());
            command.arg(program).args(arguments.split_whitespace()).env("REDIS_URL", &url).stderr(Stdio::piped());
            let mut worker = Worker(command.stdout(Stdio::null()).spawn().expect("`make python` makes .venv"));
            eventually_within(Duration::from_secs(20), || worker.0.try_wait().unwrap().is_some());
            let mut said = String::new();
            worker.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(said.contains(error), "{said}");
        }
    }
}

/// A script that runs too long, so that all others are told BUSY, ends no worker.
#[test]
fn python_workers_outlive_a_long_script() {
    let server = Server::start();
    server.run("CONFIG SET busy-reply-threshold 10");
    let readme = server.directory().join("readme.py");
    std::fs::write(&readme, with_port(&python_block("README.md"), &server)).unwrap();
    let script = root().join("examples/python/worker.py");
    for (program, arguments) in [(readme, ""), (script, "--port PORT mail cat")] {
        let mut client = server.client();
        client.send("EVAL \"while true do end\" 0");
        let mut other = server.client();
        eventually_within(Duration::from_secs(10), || other.run("PING").is_error());
        let said = server.directory().join("said");
        let file = std::fs::File::create(&said).unwrap();
        let mut command = Command::new(python());
        command.arg("-u").arg(program).args(arguments.replace("PORT", &server.port().to_string()).split_whitespace());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let _worker = Worker(command.spawn().expect("`make python` makes .venv"));
        let is_told = || std::fs::read_to_string(&said).unwrap().contains("TASK.CLAIM");
        eventually_within(Duration::from_secs(10), is_told);
        let text = std::fs::read_to_string(&said).unwrap();
        assert!(text.contains("BUSY"), "{text}");
        assert_eq!(other.run("SCRIPT KILL"), "OK");
        assert!(client.read().is_error());
        let id = server.run("TASK.PUSH mail x").text();
        eventually_within(Duration::from_secs(20), || server.state("mail", &id) == "completed");
    }
}

/// What monitoring is given: the same metrics by the program for Prometheus and by the script for `redis_exporter`.
#[test]
fn python_metrics() {
    let server = server_with_queues();
    let _waiting = server.block("TASK.CLAIM idle BLOCK 0");
    server.run("TASK.SCHEDULE late often x EVERY 100");
    server.run("CONFIG SET min-replicas-to-write 1");
    eventually_within(Duration::from_secs(20), || server.info("task_writes_refused") == "1");
    let (output, printed) = run_python("metrics.py", &server, &["--schedules"]);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        r#"redis_task_tasks{queue="mail",state="claimed"} 1"#,
        r#"redis_task_tasks{queue="a \"queue\"\n",state="ready"} 1"#,
        r#"redis_task_events_total{queue="mail",event="pushed"} 2"#,
        r#"redis_task_slots_total{queue="mail",schedule="nightly",outcome="fired"} 0"#,
        r#"redis_task_paused{queue="mail",direction="in"} 1"#,
        r#"redis_task_paused{queue="mail",direction="out"} 0"#,
        r#"redis_task_waiting_workers{queue="idle"} 1"#,
        r#"redis_task_waiting_clients{for="tasks"} 1"#,
        "redis_task_replicated_bytes_total 0",
        "redis_task_writes_refused 1",
        "redis_task_scan_complete 1",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no {line} in\n{printed}");
    }
    // redis_task_tasks{queue="mail",state="ready"} is `tasks mail ready` of the script.
    let unquoted = |text: &str| text.replace("\\n", "\n").replace("\\\"", "\"");
    let by_program: BTreeMap<_, _> = printed
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("redis_task_slots_total"))
        .map(|line| {
            let (name, value) = line["redis_task_".len()..].rsplit_once(' ').expect("a value");
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
            let words = labels.map(|(_, value)| format!(" {}", unquoted(value.trim_end_matches('"'))));
            (name.to_owned() + &words.collect::<String>(), value.parse::<f64>().expect("a number"))
        })
        .collect();
    let by_script = exporter_values(&server.cmd(&[b"EVAL", QUEUES_LUA, b"0"]));
    assert_eq!(by_program.keys().collect::<Vec<_>>(), by_script.keys().collect::<Vec<_>>());
    for (key, value) in &by_program {
        let passes = ["oldest_ready_seconds", "tick_late_seconds"].iter().any(|name| key.starts_with(name));
        assert!(passes || (by_script[key] - value).abs() < 1e-9, "{key}: {value}, {}", by_script[key]);
    }
}

/// A monitor that may read some queues tells of them; one that may read none, or may not ask, does not say that all is empty.
#[test]
fn python_metrics_without_rights() {
    let server = server_with_queues();
    server.run("ACL SETUSER some on >pw %R~mail resetchannels nocommands +scan +task.info +info +eval");
    server.run("ACL SETUSER blind on >pw %R~other resetchannels nocommands +scan +task.info +info +eval");
    server.run("ACL SETUSER mute on >pw %R~* resetchannels nocommands +scan +info +eval");
    let run = |user: &str| {
        let url = format!("redis://{user}:pw@127.0.0.1:{}", server.port());
        let (output, printed) = run_python("metrics.py", &server, &["--url", &url]);
        let mut client = server.client();
        client.run(&format!("AUTH {user} pw"));
        (output.status.success(), printed, client.cmd(&[b"EVAL", QUEUES_LUA, b"0"]))
    };
    let (good, printed, values) = run("some");
    assert!(good && printed.contains("{queue=\"mail\"}") && !printed.contains("{queue=\"idle\"}"), "{printed}");
    let values = exporter_values(&values);
    assert!(values.contains_key("memory_bytes mail") && !values.contains_key("memory_bytes idle"), "{values:?}");
    for user in ["blind", "mute"] {
        let (good, printed, values) = run(user);
        assert!(!good && printed.is_empty() && values.is_error(), "{user}: {printed} {values:?}");
    }
}

/// A connection that says nothing keeps no scrape waiting.
#[test]
fn python_metrics_for_several_at_once() {
    let server = server_with_queues();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(python());
    let command = command.arg(root().join("examples/python/metrics.py")).args(["--port", &server.port().to_string()]);
    let _process = Worker(command.args(["--listen", &port.to_string()]).spawn().expect("`make python` makes .venv"));
    let connect = || std::net::TcpStream::connect(("127.0.0.1", port));
    let mut idle = None;
    eventually_within(Duration::from_secs(20), || {
        idle = connect().ok();
        idle.is_some()
    });
    let mut scrape = connect().unwrap();
    scrape.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    scrape.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    scrape.read_to_string(&mut page).expect("a page");
    assert!(page.starts_with("HTTP/1.0 200 ") && page.contains("redis_task_tasks{"), "{page}");
}

/// The script holds up the server for no more than so many queues, and says that there are more.
#[test]
fn the_script_for_the_exporter_is_bounded() {
    let server = Server::start();
    let complete = || exporter_values(&server.cmd(&[b"EVAL", QUEUES_LUA, b"0"]))["scan_complete"];
    server.run("EVAL \"for n = 1, 200 do redis.call('TASK.PUSH', n, 'x') end\" 0");
    assert!(complete() > 0.0);
    server.run("TASK.PUSH more x");
    let values = exporter_values(&server.cmd(&[b"EVAL", QUEUES_LUA, b"0"]));
    assert_eq!(values.keys().filter(|key| key.starts_with("memory_bytes ")).count(), 200);
    assert!(complete() < 1.0);
    server.run("FLUSHALL");
    server.run("EVAL \"for n = 1, 60000 do redis.call('SET', n, 'x') end\" 0");
    assert!(complete() < 1.0);
}

/// The dashboard and the alarms ask for metrics and labels that are there.
#[test]
fn dashboards_and_alarms_know_the_metrics() {
    let (_, printed) = run_python("metrics.py", &server_with_queues(), &["--schedules"]);
    for file in ["docs/grafana.json", "examples/deploy/alerts.yml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap().replace("\\\"", "\"");
        let mut asked = 0;
        for part in text.split("redis_task_").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let labels = labels.split(',').filter_map(|label| label.split(['=', '!']).next()).map(str::trim);
            let given = printed.lines().find(|line| line.split(['{', ' ']).next() == Some(&format!("redis_task_{name}")));
            let given = given.unwrap_or_else(|| panic!("{file} asks for redis_task_{name}"));
            for label in labels.filter(|label| !["", "instance"].contains(label)) {
                assert!(given.contains(&format!("{label}=\"")), "{file} asks redis_task_{name} for {label}");
            }
            asked += 1;
        }
        assert!(asked >= 7, "{file}: {asked}");
    }
}

/// A queue in which all has happened that there are metrics of, and another one.
fn server_with_queues() -> Server {
    let server = Server::start();
    server.run("TASK.PUSH mail x ID a");
    server.run("TASK.CLAIM mail");
    server.run("TASK.COMPLETE mail a x");
    server.run("TASK.PUSH mail x ID b");
    server.run("TASK.CLAIM mail");
    server.run("TASK.SCHEDULE mail nightly x CRON @daily");
    server.run_all(&["SET other x", "TASK.PUSH idle x", "TASK.CLAIM idle", "TASK.SET mail PAUSED in"]);
    server.cmd(&[b"TASK.PUSH", b"a \"queue\"\n", b"x"]);
    server
}

/// The script for `redis_exporter`.
const QUEUES_LUA: &[u8] = include_bytes!("../examples/deploy/queues.lua");

/// What it answers.
fn exporter_values(answer: &Value) -> BTreeMap<String, f64> {
    answer.items().chunks(2).map(|pair| (pair[0].text(), pair[1].text().parse().expect("a number"))).collect()
}

/// The wrapper with types; `clients/run` tries those in Python and TypeScript.
#[test]
fn typed_queue() {
    let server = Server::start();
    let printed = run_example("typed", &[&server.port().to_string()]);
    assert_eq!(printed, "1 4 9 16 25\nfailed negative\nlost true, half done, 30000 ms\n");
}

/// `make demo`: four workers, one of them killed with -9, count the same words by map-reduce as one process does.
#[test]
fn word_count_with_a_killed_worker() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.txt", "b.txt"] {
        // Enough for a second or two, so that there is a worker to kill.
        std::fs::write(folder.path().join(file), words(10_000_000)).unwrap();
    }
    let printed = run_example("wordcount", &[folder.path().to_str().unwrap()]);
    for part in ["killed with kill -9; it had map-", " came back as attempt 2 after ", "4 reduces collected: ", "identical: yes"]
    {
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
