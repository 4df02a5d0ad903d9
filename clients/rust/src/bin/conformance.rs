//! conformance PORT [CLUSTER-PORT]: the checks of clients/README.md with the redis crate.

use redis::{cluster::ClusterClient, Cmd, Connection, ConnectionLike, RedisError, Value};
use std::time::{Duration, Instant};

fn command(line: &str) -> Cmd {
    let mut command = Cmd::new();
    line.split(' ').for_each(|word| {
        command.arg(word);
    });
    command
}

/// `query` makes an error of any reply with an error in it; this is the reply as it is.
fn t(connection: &mut Connection, line: &str) -> String {
    connection.req_packed_command(&command(line).get_packed_command()).map_or_else(|error| refused(&error), |reply| show(&reply))
}

/// As text: `'string'`, integer, nil, OK, `!CODE` of an error.
fn show(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Int(n) => n.to_string(),
        Value::BulkString(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".into(),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::ServerError(error) => format!("!{}", error.code()),
        other => format!("{other:?}"),
    }
}

fn refused(error: &RedisError) -> String {
    error.code().map_or_else(|| format!("{error:?}"), |code| format!("!{code}"))
}

fn ok(check: &str, pairs: &[(String, &str)]) {
    for (got, expected) in pairs {
        assert_eq!(got, expected, "FAILED {check}");
    }
    println!("ok {check}");
}

fn main() -> redis::RedisResult<()> {
    let ports: Vec<String> = std::env::args().skip(1).collect();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", ports[0]))?;
    let connect = || {
        let connection = client.get_connection()?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        redis::RedisResult::Ok(connection)
    };
    let mut r = connect()?;
    t(&mut r, "FLUSHALL");
    // A macro, not a closure: it borrows the connection only for the command.
    macro_rules! t {
        ($line:expr) => {
            t(&mut r, $line)
        };
    }

    ok(
        "push",
        &[
            (t!("TASK.PUSH q low ID a"), "'a'"),
            (t!("TASK.PUSH q high ID b PRIORITY 5 ATTEMPTS 2 BACKOFF 50 LEASE 7000"), "'b'"),
            (t!("TASK.PUSH q low ID a"), "'a'"),
            (t!("TASK.PUSH q low ID a NX"), "nil"),
        ],
    );
    ok(
        "claim",
        &[
            (t!("TASK.CLAIM q WORKER w"), "['b' 'high' 1 7000 nil]"),
            (t!("TASK.CLAIM q COUNT 9"), "[['a' 'low' 1 30000 nil]]"),
            (t!("TASK.CLAIM q"), "nil"),
        ],
    );
    let began = Instant::now();
    let nothing = t!("TASK.CLAIM q BLOCK 200");
    assert!(began.elapsed() > Duration::from_millis(150), "FAILED block");
    t!("TASK.PUSH q later ID c DELAY 200");
    ok("block", &[(nothing, "nil"), (t!("TASK.CLAIM q BLOCK 5000"), "['c' 'later' 1 30000 nil]")]);
    t!("TASK.PUSH q n ID d");
    ok(
        "next",
        &[
            (t!("TASK.COMPLETE q c done ATTEMPT 1 NEXT BLOCK 1000"), "['d' 'n' 1 30000 nil]"),
            (t!("TASK.COMPLETE q c again ATTEMPT 1"), "OK"),
            (t!("TASK.COMPLETE q d done ATTEMPT 1 NEXT BLOCK 100"), "nil"),
            (t!("TASK.RESULT q c BLOCK 1000"), "['completed' 'done']"),
        ],
    );
    ok(
        "fail",
        &[
            (t!("TASK.FAIL q b oops ATTEMPT 1"), "scheduled"),
            (t!("TASK.CLAIM q BLOCK 5000"), "['b' 'high' 2 7000 nil]"),
            (t!("TASK.FAIL q b no ATTEMPT 2"), "failed"),
            (t!("TASK.RESULT q b"), "['failed' 'no']"),
            (t!("TASK.RETRY q b"), "1"),
        ],
    );
    ok(
        "release",
        &[
            (t!("TASK.CLAIM q"), "['b' 'high' 3 7000 nil]"),
            (t!("TASK.RELEASE q b ATTEMPT 3"), "OK"),
            (t!("TASK.CLAIM q"), "['b' 'high' 4 7000 nil]"),
        ],
    );
    ok(
        "extend",
        &[
            (t!("TASK.EXTEND q b ATTEMPT 4 CHECKPOINT half"), "OK"),
            (t!("TASK.RELEASE q b ATTEMPT 4"), "OK"),
            (t!("TASK.CLAIM q"), "['b' 'high' 5 7000 'half']"),
        ],
    );
    t!("SET text x");
    ok(
        "errors",
        &[
            (t!("TASK.COMPLETE q b x ATTEMPT 4"), "!STALE"),
            (t!("TASK.COMPLETE q nobody x"), "!NOTASK"),
            (t!("TASK.EXTEND q c ATTEMPT 1"), "!NOTCLAIMED"),
            (t!("TASK.PUSH text x"), "!WRONGTYPE"),
            (t!("TASK.PUSH q x COLOR red"), "!ERR"),
            (t!("TASK.CANCEL q b"), "1"),
            (t!("TASK.COMPLETE q b x ATTEMPT 5"), "!CANCELED"),
        ],
    );
    ok("array-errors", &[(t!("TASK.MCOMPLETE q 2 a 1 done b 5 done"), "[OK !CANCELED]")]);
    let gathered = "[['c' 'completed' 'done'] ['b' 'canceled' nil] ['x' nil nil]]";
    ok("gather", &[(t!("TASK.GATHER q 3 c b x BLOCK 100"), gathered)]);
    for n in 0..3 {
        t!(&format!("TASK.PUSH m {n} ID m{n} BATCH maps"));
        t!("TASK.CLAIM m");
        t!(&format!("TASK.COMPLETE m m{n} {} ATTEMPT 1", n * n));
    }
    type Page = (String, i64, Vec<(String, String, String)>);
    let (cursor, unsealed, mut ends): Page = command("TASK.COLLECT m maps 0 COUNT 2").query(&mut r)?;
    let sealed = t!("TASK.SEAL m maps");
    let (_, remaining, rest): Page = command(&format!("TASK.COLLECT m maps {cursor} BLOCK 1000")).query(&mut r)?;
    ends.extend(rest);
    let collected = format!("{unsealed} {sealed} {remaining} {}", ends.iter().map(|(id, _, data)| format!("{id}={data}")).collect::<Vec<_>>().join(" "));
    ok("collect", &[(collected, "-1 3 0 m0=0 m1=1 m2=4")]);
    let every: Vec<u8> = (0..=255).chain([13, 10]).collect();
    for (id, data) in [("x", every.clone()), ("y", Vec::new()), ("z", every.repeat(4096))] {
        redis::cmd("TASK.PUSH").arg("bin").arg(&data).arg("ID").arg(id).exec(&mut r)?;
        let claimed: (String, Vec<u8>, u32, u64, Option<Vec<u8>>) = redis::cmd("TASK.CLAIM").arg("bin").query(&mut r)?;
        redis::cmd("TASK.COMPLETE").arg("bin").arg(id).arg(&data).arg("ATTEMPT").arg(1).exec(&mut r)?;
        let (_, result): (String, Vec<u8>) = redis::cmd("TASK.RESULT").arg("bin").arg(id).query(&mut r)?;
        assert!(claimed.1 == data && result == data, "FAILED binary");
    }
    ok("binary", &[]);
    ok("info", &[(t!("TASK.INFO m").contains("'completed' 3").to_string(), "true")]);
    t!("TASK.PUSH s x ID s");
    let mut other = connect()?;
    t(&mut other, "TASK.CLAIM s SESSION");
    drop(other);
    ok("session", &[(t!("TASK.CLAIM s BLOCK 5000"), "['s' 'x' 2 30000 nil]")]);
    let own = t!("CLIENT ID");
    t!("TASK.COMPLETE s s done ATTEMPT 2");
    t(&mut connect()?, &format!("CLIENT KILL ID {own}"));
    let lost = command("TASK.COMPLETE s s done ATTEMPT 2").exec(&mut r).expect_err("FAILED reconnect");
    assert!(lost.is_io_error() || lost.is_connection_dropped(), "FAILED reconnect: {lost:?}");
    r = connect()?; // it does not connect again by itself
    ok("reconnect", &[(t(&mut r, "TASK.COMPLETE s s done ATTEMPT 2"), "OK")]);
    let mut pipe = redis::pipe();
    for n in 0..100 {
        pipe.cmd("TASK.PUSH").arg("p").arg(n).arg("ID").arg(format!("p{n}"));
    }
    let pushed: Vec<String> = pipe.query(&mut r)?;
    let claimed: Vec<Value> = command("TASK.CLAIM p COUNT 1000").query(&mut r)?;
    ok("pipeline", &[(format!("{} {} {}", pushed.len(), pushed[99], claimed.len()), "100 p99 100")]);
    let client = redis::Client::open(format!("redis://127.0.0.1:{}?protocol=resp3", ports[0]))?;
    let mut three = client.get_connection()?;
    let info: std::collections::HashMap<String, Value> = command("TASK.INFO m").query(&mut three)?;
    ok(
        "resp3",
        &[
            (show(&info["completed"]), "3"),
            (t(&mut three, "TASK.CLAIM m"), "nil"),
            (t(&mut three, "TASK.RESULT q b"), "['canceled' nil]"),
            (t(&mut three, "TASK.MCOMPLETE p 2 p0 1 x p1 9 x"), "[OK !STALE]"),
        ],
    );
    let Some(port) = ports.get(1) else {
        println!("skip cluster: no cluster was started");
        return Ok(());
    };
    let mut cluster = ClusterClient::new([format!("redis://127.0.0.1:{port}")])?.get_connection()?;
    let mut ask = |line: String| command(&line).query::<Value>(&mut cluster).map_or_else(|error| refused(&error), |reply| show(&reply));
    for n in 0..8 {
        let got = [
            ask(format!("TASK.PUSH queue:{n} x ID i")),
            ask(format!("TASK.MCLAIM 1 queue:{n} BLOCK 100")),
            ask(format!("TASK.COMPLETE queue:{n} i y ATTEMPT 1")),
            ask(format!("TASK.RESULT queue:{n} i")),
        ];
        assert_eq!(got.join(" "), format!("'i' ['queue:{n}' ['i' 'x' 1 30000 nil]] OK ['completed' 'y']"), "FAILED cluster");
    }
    ok("cluster", &[]);
    Ok(())
}
