//! A queue is a key: the commands for keys work on it.

use crate::support::{Server, Value, array, bulk, eventually, int, nil, ok, simple};

/// A queue with a ready, a claimed and a finished task.
fn queue() -> Server {
    let server = Server::start();
    server.run_all(&[
        "TASK.PUSH jobs x ID done",
        "TASK.CLAIM jobs",
        "TASK.COMPLETE jobs done result",
        "TASK.PUSH jobs x ID held",
        "TASK.CLAIM jobs LEASE 100000",
        "TASK.PUSH jobs hello ID ready",
    ]);
    server
}

/// Its type is `taskqueue`, and SCAN … TYPE finds it.
#[test]
fn has_a_type() {
    let server = queue();
    server.run("SET other string");
    assert_eq!(server.run("TYPE jobs"), simple("taskqueue"));
    assert_eq!(server.run("SCAN 0 TYPE taskqueue COUNT 1000"), array([bulk("0"), array([bulk("jobs")])]));
}

/// DEL and UNLINK remove it, claims included.
#[test]
fn del_and_unlink() {
    for remove in ["DEL", "UNLINK"] {
        let server = queue();
        assert_eq!(server.run(&format!("{remove} jobs")), int(1));
        assert_eq!(server.run("EXISTS jobs"), int(0));
        server.run("TASK.COMPLETE jobs held result").assert_refused("NOTASK", &[]);
        server.run("TASK.PUSH jobs x ID new");
        assert_eq!(server.claim("jobs").id, "new");
    }
}

/// RENAME moves it as it is.
#[test]
fn rename() {
    let server = queue();
    let before = server.dump("jobs");
    server.run("RENAME jobs mails");
    assert!(server.dump("mails") == before);
    assert_eq!(server.claim("mails").id, "ready");
    assert_eq!(server.run("TASK.COMPLETE mails held result ATTEMPT 1"), ok());
}

/// COPY makes an equal queue of its own.
#[test]
fn copy() {
    let server = queue();
    assert_eq!(server.run("COPY jobs copy"), int(1));
    assert!(server.dump("copy") == server.dump("jobs"));
    server.claim("copy");
    assert_eq!(server.state("jobs", "ready"), "ready");
    assert_eq!(server.state("copy", "ready"), "claimed");
    assert_eq!(server.run("COPY jobs copy"), int(0));
    assert_eq!(server.run("COPY jobs copy REPLACE"), int(1));
    assert_eq!(server.state("copy", "ready"), "ready");
}

/// MOVE and SWAPDB take it to another database.
#[test]
fn move_and_swapdb() {
    let server = queue();
    let before = server.dump("jobs");
    let mut other = server.client();
    other.run("SELECT 1");
    assert_eq!(server.run("MOVE jobs 1"), int(1));
    // See `Client::moves_well`.
    server.run("SELECT 0");
    assert_eq!(server.run("TASK.RESULT jobs done"), Value::NullArray);
    assert_eq!(other.run("DUMP jobs"), bulk(&before));
    server.run("SWAPDB 0 1");
    assert!(server.dump("jobs") == before);
    assert_eq!(server.claim("jobs").id, "ready");
}

/// RESTORE of a DUMP gives the same queue: claims, results, places.
#[test]
fn dump_and_restore() {
    let server = queue();
    let before = server.dump("jobs");
    assert_eq!(server.cmd(&[b"RESTORE", b"copy", b"0", &before]), ok());
    assert!(server.dump("copy") == before);
    server.run("DEL jobs");
    assert_eq!(server.cmd(&[b"RESTORE", b"jobs", b"0", &before]), ok());
    assert_eq!(server.run("TASK.COMPLETE jobs held result ATTEMPT 1"), ok());
    assert_eq!(server.run("TASK.RESULT jobs done").at(1), "result");
    assert_eq!(server.claim("jobs").payload, b"hello");
    let other = Server::start();
    assert_eq!(other.cmd(&[b"RESTORE", b"jobs", b"0", &before, b"REPLACE"]), ok());
    assert!(other.dump("jobs") == before);
}

/// A DUMP that was tampered with is refused, never believed: the server lives.
#[test]
fn a_broken_dump_is_refused() {
    let server = queue();
    let dump = server.dump("jobs");
    for at in 0..dump.len() {
        let mut broken = dump.clone();
        broken[at] ^= 0x55;
        assert!(server.cmd(&[b"RESTORE", b"broken", b"0", &broken]).is_error(), "byte {at}");
        assert!(server.cmd(&[b"RESTORE", b"broken", b"0", &dump[..at]]).is_error(), "cut at {at}");
    }
    assert_eq!(server.run("PING"), "PONG");
}

/// EXPIRE drops the whole queue, claims included; a push does not move it.
#[test]
fn expire() {
    let server = queue();
    assert_eq!(server.run("PEXPIRE jobs 60"), int(1));
    server.run("TASK.PUSH jobs x");
    assert!((0..=60).contains(&server.run("PTTL jobs").int()));
    eventually(|| server.run("EXISTS jobs") == int(0));
    server.run("TASK.COMPLETE jobs held result").assert_refused("NOTASK", &[]);
    server.run("TASK.PUSH jobs x");
    assert_eq!(server.run("TTL jobs"), int(-1));
}

/// MEMORY USAGE grows with the queue; OBJECT and DEBUG answer.
#[test]
fn memory_and_object() {
    let server = queue();
    let before = server.run("MEMORY USAGE jobs").int();
    for _ in 0..100 {
        server.cmd(&[b"TASK.PUSH", b"jobs", &[b'x'; 1_000]]);
    }
    let after = server.run("MEMORY USAGE jobs").int();
    assert!((100_000..300_000).contains(&(after - before)), "{before} to {after}");
    for ask in [
        "OBJECT ENCODING jobs",
        "OBJECT REFCOUNT jobs",
        "OBJECT IDLETIME jobs",
        "DEBUG OBJECT jobs",
        "MEMORY USAGE jobs SAMPLES 0",
        "TOUCH jobs",
    ] {
        let reply = server.run(ask);
        assert!(!reply.is_error(), "{ask}: {reply:?}");
    }
    assert_ne!(server.run("DEBUG DIGEST-VALUE jobs").at(0), "0000000000000000000000000000000000000000");
}

/// A command on a key of another type answers WRONGTYPE and leaves it alone.
#[test]
fn wrong_type() {
    let server = Server::start();
    server.run("SET jobs string");
    for line in [
        "PUSH jobs x",
        "PUSH jobs x ID a NX",
        "CLAIM jobs",
        "CLAIM jobs COUNT 2 BLOCK 0",
        "EXTEND jobs a",
        "MEXTEND jobs 1 a 1",
        "COMPLETE jobs a done",
        "FAIL jobs a no",
        "RELEASE jobs a",
        "RESULT jobs a",
        "RESULT jobs a BLOCK 0",
        "CANCEL jobs a",
        "CANCEL jobs ALL",
        "FORGET jobs a",
        "RETRY jobs ALL",
        "GET jobs a",
        "GET jobs a JSON",
        "INFO jobs",
        "LIST jobs ready 0",
    ] {
        server.run(&format!("TASK.{line}")).assert_refused("WRONGTYPE", &[]);
    }
    assert_eq!(server.run("GET jobs"), "string");
}

/// Other types' commands on a queue answer WRONGTYPE.
#[test]
fn wrong_type_the_other_way() {
    let server = queue();
    let before = server.dump("jobs");
    for line in ["GET jobs", "LPUSH jobs x", "HSET jobs a b", "INCR jobs", "XADD jobs * a b", "ZADD jobs 1 a"] {
        server.run(line).assert_refused("WRONGTYPE", &[]);
    }
    assert!(server.dump("jobs") == before);
}

/// WATCH sees a change of the queue, and none where nothing changed.
#[test]
fn watch() {
    let server = queue();
    let mut client = server.client();
    for (line, changes) in [
        ("TASK.GET jobs ready", false),
        ("TASK.PUSH jobs x ID ready", false),
        ("TASK.COMPLETE jobs done again ATTEMPT 1", false),
        ("TASK.COMPLETE jobs ready no", false),
        ("TASK.CANCEL jobs none", false),
        ("TASK.PUSH jobs x", true),
        ("TASK.CLAIM jobs", true),
        ("TASK.EXTEND jobs held", true),
    ] {
        client.run("WATCH jobs");
        server.run(line);
        client.run("MULTI");
        client.run("PING");
        assert_eq!(client.run("EXEC").is_nil(), changes, "{line}");
    }
}

/// The first task's end leaves an empty queue, which stays and is dumped, copied and reloaded as any.
#[test]
fn an_empty_queue_stays() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CANCEL jobs a", "TASK.FORGET jobs a"]);
    let before = server.dump("jobs");
    server.run_all(&["DEBUG RELOAD", "COPY jobs copy"]);
    assert!(server.dump("jobs") == before && server.dump("copy") == before);
    assert_eq!(server.run("TASK.CLAIM jobs"), Value::NullArray);
    assert_eq!(server.run("GET none"), nil());
}

/// MIGRATE takes it to another server, claims and all.
#[test]
fn migrate() {
    let (server, other) = (queue(), Server::start());
    let before = server.dump("jobs");
    assert_eq!(server.run(&format!("MIGRATE 127.0.0.1 {} jobs 0 2000", other.port())), ok());
    assert_eq!(server.run("EXISTS jobs"), int(0));
    assert!(other.dump("jobs") == before);
    assert_eq!(other.run("TASK.COMPLETE jobs held result ATTEMPT 1"), ok());
}
