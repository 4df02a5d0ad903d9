//! What the server tells of the commands: documentation, key specs, access.

use crate::support::{Server, Value, array, bulk, int, simple};

const COMMANDS: [&str; 28] = [
    "push",
    "mpush",
    "call",
    "claim",
    "mclaim",
    "extend",
    "mextend",
    "complete",
    "mcomplete",
    "fail",
    "release",
    "result",
    "gather",
    "seal",
    "batch",
    "collect",
    "cancel",
    "forget",
    "retry",
    "schedule",
    "unschedule",
    "schedules",
    "get",
    "info",
    "list",
    "explain",
    "workers",
    "events",
];

/// Commands that only look.
const READERS: [&str; 11] =
    ["result", "gather", "batch", "collect", "schedules", "get", "info", "list", "explain", "workers", "events"];

/// COMMAND DOCS has a summary, since, complexity and arguments of each command.
#[test]
fn docs() {
    let server = Server::start();
    for command in COMMANDS {
        let reply = server.run(&format!("COMMAND DOCS task.{command}"));
        let docs = reply.field(&format!("task.{command}"));
        for field in ["summary", "since", "complexity"] {
            assert!(!docs.field(field).is_nil() && !docs.field(field).text().is_empty(), "{command}: {field}");
        }
        let arguments = docs.field("arguments");
        let queue = arguments.at(usize::from(command == "mclaim"));
        assert_eq!((queue.field("name"), queue.field("type")), (bulk("queue"), bulk("key")), "{command}");
    }
}

/// COMMAND DOCS names every option of a push.
#[test]
fn docs_name_the_options() {
    let server = Server::start();
    let docs = format!("{:?}", server.run("COMMAND DOCS task.push")).to_uppercase();
    for option in [
        "ID",
        "RENEW",
        "NX",
        "PRIORITY",
        "DELAY",
        "AT",
        "TTL",
        "ATTEMPTS",
        "BACKOFF",
        "LEASE",
        "TIMEOUT",
        "RETAIN",
        "RETAINFAILED",
        "BATCH",
        "SEAL",
    ] {
        assert!(docs.contains(&format!("\"{option}\"")), "no {option}");
    }
}

/// COMMAND DOCS names every option of a schedule, and no other.
#[test]
fn docs_name_the_options_of_schedules() {
    let server = Server::start();
    let docs = format!("{:?}", server.run("COMMAND DOCS task.schedule")).to_uppercase();
    for option in ["CRON", "TZ", "EVERY", "MISFIRE", "OVERLAP", "PRIORITY", "DELAY", "TTL", "ATTEMPTS", "RETAINFAILED"] {
        assert!(docs.contains(&format!("\"{option}\"")), "no {option}");
    }
    for option in ["ID", "NX", "AT", "BATCH", "AFTER"] {
        assert!(!docs.contains(&format!("\"{option}\"")), "{option}");
    }
}

/// COUNT stands where it may be said: with the cursor of a page, and not where a batch is taken as a whole.
#[test]
fn help_shows_where_count_may_stand() {
    let server = Server::start();
    let help: Vec<String> = server.run("TASK.HELP").items().iter().map(Value::text).collect();
    for line in [
        "TASK.SCHEDULES queue [cursor [COUNT count]] [JSON]",
        "TASK.FORGET queue (id [id ...] | BATCH batch | ALL [COUNT count])",
        "TASK.CANCEL queue (id [id ...] | BATCH batch [COUNT count] | ALL [COUNT count])",
        "TASK.RETRY queue (id [id ...] | BATCH batch [COUNT count] | ALL [COUNT count])",
    ] {
        assert!(help.contains(&line.to_owned()), "{line} is not in {help:?}");
    }
}

/// COMMAND DOCS names every option of a claim, also after NEXT.
#[test]
fn docs_name_the_options_of_claims() {
    let server = Server::start();
    for command in ["claim", "mclaim", "complete", "mcomplete", "fail", "release"] {
        let docs = format!("{:?}", server.run(&format!("COMMAND DOCS task.{command}"))).to_uppercase();
        for option in ["COUNT", "WORKER", "LEASE", "SESSION", "BLOCK"] {
            assert!(docs.contains(&format!("\"{option}\"")), "{command}: no {option}");
        }
    }
}

/// COMMAND INFO has the key in second place, or a number of keys, and says who writes.
#[test]
fn info() {
    let server = Server::start();
    for command in COMMANDS {
        let reply = server.run(&format!("COMMAND INFO task.{command}"));
        let info = reply.at(0).items();
        assert_eq!(info[1].int() > 0, ["seal", "explain"].contains(&command), "{command}: arity");
        let place = if command == "mclaim" { (0, 0, 0) } else { (1, 1, 1) };
        assert_eq!((info[3].int(), info[4].int(), info[5].int()), place, "{command}: key");
        let has = |flag: &str| info[2].items().iter().any(|given| given == flag);
        let reads = READERS.contains(&command);
        assert_eq!((has("readonly"), has("write")), (reads, !reads), "{command}: {:?}", info[2]);
        assert_eq!(has("denyoom"), ["push", "mpush", "call", "seal", "schedule"].contains(&command), "{command}");
        assert_eq!(has("movablekeys"), command == "mclaim", "{command}");
        assert_eq!(info[8].items().len(), 1, "{command}: one key spec");
    }
}

/// TASK.HELP has a line with the syntax of each command that is not internal, and below it what it does; it needs no key.
#[test]
fn help() {
    let server = Server::start();
    let reply = server.run("TASK.HELP");
    let lines: Vec<_> = reply.items().iter().map(Value::text).collect();
    let (syntax, summaries): (Vec<_>, Vec<_>) = lines.chunks(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).unzip();
    let listed = server.run("COMMAND LIST FILTERBY MODULE task");
    let mut names: Vec<_> = listed.items().iter().map(|name| name.text().to_uppercase()).collect();
    names.retain(|name| !["TASK.APPLY", "TASK.PROBE"].contains(&name.as_str()));
    let mut told: Vec<_> = syntax.iter().map(|line| line.split(' ').next().expect("a name").to_owned()).collect();
    names.sort();
    told.sort();
    assert_eq!(told, names);
    assert!(summaries.iter().all(|line| line.starts_with("    ") && line.ends_with('.')), "{summaries:?}");
    for line in [
        "TASK.MCLAIM numqueues queue [queue ...] [COUNT count] [WORKER worker] [LEASE lease-ms] [SESSION] [BLOCK block-ms]",
        "TASK.CANCEL queue (id [id ...] | BATCH batch [COUNT count] | ALL [COUNT count])",
        "TASK.HELP",
    ] {
        assert!(syntax.contains(&line), "no {line} in {syntax:#?}");
    }
    server.run("TASK.HELP me").assert_refused("ERR", &[]);
    let info = server.run("COMMAND INFO task.help");
    let info = info.at(0).items();
    assert_eq!((info[1].int(), info[3].int(), info[4].int(), info[5].int()), (1, 0, 0, 0));
    assert!(info[8].items().is_empty(), "a key spec: {:?}", info[8]);
    assert!(!server.run("COMMAND DOCS task.help").field("task.help").field("summary").text().is_empty());
}

/// COMMAND GETKEYS finds the queue.
#[test]
fn getkeys() {
    let server = Server::start();
    for line in [
        "TASK.PUSH jobs x ID a",
        "TASK.CLAIM jobs COUNT 3 BLOCK 0",
        "TASK.MEXTEND jobs 1 a 1",
        "TASK.COMPLETE jobs a done",
        "TASK.CANCEL jobs a b",
        "TASK.LIST jobs ready 0",
    ] {
        assert_eq!(server.run(&format!("COMMAND GETKEYS {line}")), array([bulk("jobs")]), "{line}");
    }
    let keys = array(["jobs", "mail", "jobs"].map(bulk));
    assert_eq!(server.run("COMMAND GETKEYS TASK.MCLAIM 3 jobs mail jobs COUNT 3 BLOCK 0"), keys);
    assert!(server.run("COMMAND GETKEYS TASK.MCLAIM 3 jobs mail").is_error());
    let flags = array(["RW", "access", "update"].map(simple));
    let keys = server.run("COMMAND GETKEYSANDFLAGS TASK.MCLAIM 2 jobs mail");
    assert_eq!(keys, array(["jobs", "mail"].map(|key| array([bulk(key), flags.clone()]))));
}

/// A producer needs only `%W~`: it can push and not claim; a reader `%R~`: it can look and change nothing.
#[test]
fn access() {
    let server = Server::start();
    let commands = COMMANDS.map(|command| format!("+task.{command}")).join(" ");
    server.run_all(&[
        &format!("ACL SETUSER producer on nopass resetkeys %W~jobs {commands}"),
        &format!("ACL SETUSER reader on nopass resetkeys %R~jobs {commands}"),
        &format!("ACL SETUSER worker on nopass resetkeys ~jobs {commands}"),
    ]);
    let allowed = |user: &str, line: &str| {
        let mut client = server.client();
        client.run(&format!("AUTH {user} x"));
        let reply = client.run(&format!("TASK.{line}"));
        let refused = matches!(&reply, Value::Error(message) if message.starts_with("NOPERM"));
        assert!(refused || !reply.is_error(), "{line}: {reply:?}");
        !refused
    };
    for (line, producer, reader) in [
        ("PUSH jobs x ID a", true, false),
        ("MPUSH jobs 1 x", true, false),
        ("CALL jobs x BLOCK 1", false, false),
        ("SEAL jobs b", true, false),
        ("BATCH jobs b", false, true),
        ("SCHEDULE jobs s x EVERY 900000000", true, false),
        ("SCHEDULES jobs", false, true),
        ("UNSCHEDULE jobs s", false, false),
        ("COLLECT jobs b 0", false, true),
        ("GATHER jobs 1 a", false, true),
        ("GET jobs a", false, true),
        ("RESULT jobs a", false, true),
        ("INFO jobs", false, true),
        ("LIST jobs ready 0", false, true),
        ("EXPLAIN jobs a", false, true),
        ("WORKERS jobs", false, true),
        ("EVENTS jobs 0", false, true),
        ("CLAIM jobs", false, false),
        ("MCLAIM 1 jobs", false, false),
        ("EXTEND jobs a", false, false),
        ("RELEASE jobs a", false, false),
        ("CANCEL jobs a", false, false),
        ("FORGET jobs a", false, false),
    ] {
        assert_eq!(allowed("producer", line), producer, "producer: {line}");
        assert_eq!(allowed("reader", line), reader, "reader: {line}");
        assert!(allowed("worker", line), "worker: {line}");
        let other = line.replace("jobs", "other");
        assert!(!allowed("worker", &other), "worker: {other}");
    }
}

/// Read-only scripts may look at a queue and not change it.
#[test]
fn read_only_scripts() {
    let server = Server::start();
    server.run("TASK.PUSH jobs x ID a");
    let reply = server.run(r#"EVAL_RO "return redis.call('TASK.RESULT', KEYS[1], 'a')" 1 jobs"#);
    assert_eq!(reply.at(0), "ready");
    for line in ["'TASK.PUSH', KEYS[1], 'x'", "'TASK.CLAIM', KEYS[1]", "'TASK.CANCEL', KEYS[1], 'a'"] {
        let reply = server.run(&format!(r#"EVAL_RO "return redis.call({line})" 1 jobs"#));
        assert!(reply.is_error(), "{line}: {reply:?}");
    }
    assert_eq!(server.state("jobs", "a"), "ready");
}

/// The module is listed, and all its commands are known.
#[test]
fn module_and_commands() {
    let server = Server::start();
    let modules = server.run("MODULE LIST");
    assert!(modules.items().iter().any(|module| module.field("name") == "task"));
    assert_eq!(server.run("EXISTS jobs"), int(0));
    let listed = server.run("COMMAND LIST FILTERBY PATTERN task.*");
    for command in COMMANDS {
        let name = format!("task.{command}");
        assert!(listed.items().iter().any(|listed| listed == name.as_str()), "{name}");
    }
}
