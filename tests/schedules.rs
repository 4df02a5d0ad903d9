//! `TASK.SCHEDULE`, `TASK.UNSCHEDULE` and `TASK.SCHEDULES`: pushes that the server makes again and again, each once.

use crate::clock::{clocked, server_ms, set};
use crate::support::{
    Clock, Events, Server, Shutdown, Value, array, bulk, eventually, eventually_eq, eventually_within, holds_for, int, now_ms,
};
use std::{collections::BTreeSet, time::Duration};

const HOUR_MS: i64 = 3_600_000;

/// A field of the schedule of that name in `jobs`.
#[track_caller]
fn shown(server: &Server, name: &str, field: &str) -> Value {
    let schedules = server.run("TASK.SCHEDULES jobs");
    let found = schedules.items().iter().find(|schedule| schedule.field("name") == name).map(|schedule| schedule.field(field));
    found.unwrap_or_else(|| panic!("no schedule {name}"))
}

/// How many slots were fired, skipped and missed.
#[track_caller]
fn counts(server: &Server, name: &str) -> (i64, i64, i64) {
    let [fired, skipped, missed] = ["fired", "skipped", "missed"].map(|field| shown(server, name, field).int());
    (fired, skipped, missed)
}

/// The slots of the ready tasks of a schedule, oldest first.
#[track_caller]
fn slots(server: &Server, name: &str) -> Vec<i64> {
    let page = server.run("TASK.LIST jobs ready 0 COUNT 10000");
    let ids = page.at(1).items().iter().map(|task| task.at(0).text()).collect::<Vec<_>>();
    let mut slots: Vec<i64> = ids
        .iter()
        .filter_map(|id| id.strip_prefix(name)?.strip_prefix('@'))
        .map(|ms| ms.parse().expect("milliseconds"))
        .collect();
    slots.sort_unstable();
    assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len(), "a slot twice");
    slots
}

/// Slots are multiples of EVERY since the epoch, come in time, one after the other, and wake who waits.
#[test]
fn every() {
    let server = Server::start();
    let before = now_ms();
    let next = server.run("TASK.SCHEDULE jobs tick hello EVERY 200").int();
    assert!(next % 200 == 0 && next > before && next <= now_ms() + 200, "{next}");
    let mut best = i64::MAX;
    for slot in (0..5).map(|n| next + n * 200) {
        let mut worker = server.client();
        let task = worker.run("TASK.CLAIM jobs BLOCK 5000");
        best = best.min(now_ms() - slot);
        assert_eq!((task.at(0).text(), task.at(1)), (format!("tick@{slot}"), &bulk("hello")));
    }
    assert!((0..20).contains(&best), "{best} ms late at best");
    assert_eq!(shown(&server, "tick", "next"), int(next + 5 * 200));
    assert_eq!((shown(&server, "tick", "last"), shown(&server, "tick", "last-fired")), (int(next + 800), int(next + 800)));
    assert_eq!(counts(&server, "tick"), (5, 0, 0));
}

/// A cron expression with seconds fires as well, and its task is as TASK.PUSH would make it.
#[test]
fn cron() {
    let server = Server::start();
    let mut events = Events::of(&server);
    let line = "TASK.SCHEDULE jobs c x CRON \"* * * * * *\" TZ europe/berlin PRIORITY 7 GROUP g DELAY 10 TTL 900000 ATTEMPTS 5 BACKOFF 1 \
                LEASE 2 TIMEOUT 3 RETAIN 4 RETAINFAILED -1";
    let next = server.run(line).int();
    assert_eq!(next % 1_000, 0);
    events.expect(&["push", "ready"]);
    let id = format!("c@{next}");
    for (field, value) in
        [("priority", 7), ("attempts", 5), ("backoff", 1), ("lease", 2), ("timeout", 3), ("retain", 4), ("retain-failed", -1)]
    {
        assert_eq!(server.task("jobs", &id, field), int(value), "{field}");
        assert_eq!(shown(&server, "c", field), int(value), "{field}");
    }
    let created = server.task("jobs", &id, "created").int();
    assert!((next..next + 500).contains(&created));
    assert_eq!((server.task("jobs", &id, "group"), shown(&server, "c", "group")), (bulk("g"), bulk("g")));
    assert_eq!(server.task("jobs", &id, "expire-at"), int(created + 900_000));
}

/// With a cursor TASK.SCHEDULES answers pages, by name: each schedule that stays is on one of them, whatever comes and goes meanwhile.
#[test]
fn pages() {
    let server = Server::start();
    assert_eq!(server.run("TASK.SCHEDULES jobs 0"), array([bulk("0"), array([])]));
    for number in 0..25 {
        server.run(&format!("TASK.SCHEDULE jobs s{number:02} x EVERY 900000000"));
    }
    let names = |page: &Value| -> Vec<String> { page.at(1).items().iter().map(|row| row.at(1).text()).collect() };
    let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
    loop {
        let page = server.run(&format!("TASK.SCHEDULES jobs {cursor}"));
        let of_page = names(&page);
        assert_eq!(of_page.len(), if seen.len() == 20 { 3 } else { 10 });
        seen.extend(of_page);
        cursor = page.at(0).text();
        if cursor == "0" {
            break;
        }
        // The one at the cursor, among others that were seen or are to come.
        server.run("TASK.UNSCHEDULE jobs s03 s10 s22");
        server.run("TASK.SCHEDULE jobs s01 x EVERY 800000000");
    }
    let stays = |name: &&String| !["s03", "s10", "s22"].contains(&name.as_str());
    let expected: Vec<String> = (0..25).map(|number| format!("s{number:02}")).collect();
    assert_eq!(seen.iter().filter(stays).collect::<Vec<_>>(), expected.iter().filter(stays).collect::<Vec<_>>());
    let (first, rest) = (server.run("TASK.SCHEDULES jobs 0 COUNT 21"), server.run("TASK.SCHEDULES jobs n:s24 JSON"));
    assert_eq!((first.at(0), rest.at(0)), (&bulk("n:s24"), &bulk("0")));
    assert_eq!(first.at(1), &array(server.run("TASK.SCHEDULES jobs").items()[..21].to_vec()));
    assert_eq!(server.run("TASK.SCHEDULES jobs 0 COUNT 22").at(0), &bulk("0"));
    let whole = server.run("TASK.SCHEDULES jobs JSON").text();
    assert!(whole.ends_with(&format!(",{}]", rest.at(1).at(0).text())), "{rest:?}");
}

/// TASK.SCHEDULES has its fields in order, its schedules by name, in both protocols.
#[test]
fn the_maps() {
    let server = Server::start();
    assert_eq!(server.run("TASK.SCHEDULES jobs"), array([]));
    server.run_all(&["TASK.SCHEDULE jobs b x EVERY 900000000", "TASK.SCHEDULE jobs a \"\" CRON @daily MISFIRE all OVERLAP skip"]);
    let names = [
        "name",
        "cron",
        "tz",
        "every",
        "misfire",
        "overlap",
        "payload",
        "next",
        "last",
        "last-fired",
        "fired",
        "skipped",
        "missed",
        "priority",
        "delay",
        "ttl",
        "attempts",
        "backoff",
        "lease",
        "timeout",
        "retain",
        "retain-failed",
        "group",
        "unique",
        "unique-for",
        "unique-replace",
    ];
    let flat = server.run("TASK.SCHEDULES jobs");
    assert_eq!(flat.items().len(), 2);
    let flat: Vec<String> = flat.at(0).items().iter().step_by(2).map(Value::text).collect();
    assert_eq!(flat, names);
    let mut client = server.client();
    client.hello3();
    let maps = client.run("TASK.SCHEDULES jobs");
    let (a, b) = (maps.at(0), maps.at(1));
    let texts = |map: &Value, fields: [&str; 5]| fields.map(|field| map.field(field).text());
    assert_eq!(texts(a, ["name", "cron", "tz", "misfire", "overlap"]), ["a", "@daily", "UTC", "all", "skip"]);
    assert_eq!(texts(b, ["name", "payload", "misfire", "overlap", "name"]), ["b", "x", "once", "allow", "b"]);
    assert_eq!((a.field("next").int() % 86_400_000, a.field("delay"), b.field("every")), (0, int(0), int(900_000_000)));
    for field in ["every", "last", "last-fired", "ttl", "attempts", "lease", "retain", "unique", "unique-for"] {
        assert!(a.field(field).is_nil(), "{field}");
    }
    assert!(b.field("cron").is_nil() && b.field("tz").is_nil());
}

/// UNSCHEDULE answers how many there were; tasks stay, and none comes any more.
#[test]
fn unschedule() {
    let server = Server::start();
    assert_eq!(server.run("TASK.UNSCHEDULE jobs a"), 0);
    assert_eq!(server.run("EXISTS jobs"), 0);
    server.run_all(&[
        "TASK.SCHEDULE jobs a x EVERY 50",
        "TASK.SCHEDULE jobs b x EVERY 50",
        "TASK.SCHEDULE jobs c x EVERY 900000",
    ]);
    eventually(|| !slots(&server, "a").is_empty());
    assert_eq!(server.run("TASK.UNSCHEDULE jobs a b none a"), 2);
    let count = server.count("jobs", "ready");
    holds_for(150, || server.count("jobs", "ready") == count);
    assert_eq!(server.run("TASK.SCHEDULES jobs").items().len(), 1);
    // A queue with schedules and no tasks is one.
    server.run_all(&["TASK.CANCEL jobs ALL", "TASK.FORGET jobs ALL"]);
    assert_eq!(server.run("EXISTS jobs"), 1);
    assert_eq!(server.run("TASK.UNSCHEDULE jobs c"), 1);
    assert_eq!(server.run("TASK.SCHEDULES jobs"), array([]));
}

/// The same name replaces the schedule: counters go on, and no slot that has passed comes again.
#[test]
fn the_same_name_replaces() {
    let server = Server::start();
    server.run("TASK.SCHEDULE jobs a old EVERY 100 OVERLAP skip PRIORITY 3");
    eventually(|| counts(&server, "a").0 == 1);
    let last = shown(&server, "a", "last").int();
    let next = server.run("TASK.SCHEDULE jobs a new EVERY 250").int();
    assert!(next % 250 == 0 && next > last, "{next}");
    assert_eq!((shown(&server, "a", "priority"), shown(&server, "a", "overlap").text()), (int(0), "allow".to_owned()));
    server.wait_for_state(&format!("a@{next}"), "ready");
    assert_eq!(server.task("jobs", &format!("a@{next}"), "payload"), "new");
    assert!(counts(&server, "a").0 >= 2);
    assert_eq!(server.run("TASK.SCHEDULES jobs").items().len(), 1);
    // Said again as it is, it changes nothing: no replica hears of it.
    server.run("TASK.SCHEDULE jobs b x EVERY 900000000");
    let offset = server.info("rdb_changes_since_last_save");
    server.run_all(&["TASK.UNSCHEDULE jobs a"]);
    let changed = server.info("rdb_changes_since_last_save");
    assert_ne!(offset, changed);
    server.run_all(&["TASK.SCHEDULE jobs b x EVERY 900000000", "TASK.SCHEDULE jobs b x every 900000000 misfire ONCE"]);
    assert_eq!(server.info("rdb_changes_since_last_save"), changed);
}

/// Every argument is checked, the wrong one is named, and no queue is made.
#[test]
fn refusals() {
    let server = Server::start();
    for (line, words) in [
        ("SCHEDULE jobs a x CRON", &["wrong number of arguments"][..]),
        ("SCHEDULE jobs a x MISFIRE once", &["CRON", "EVERY"]),
        ("SCHEDULE jobs a x EVERY 5 EVERY 5", &["EVERY is given more than once"]),
        ("SCHEDULE jobs a x EVERY 5 CRON @daily", &["CRON", "EVERY", "together"]),
        ("SCHEDULE jobs a x EVERY 0", &["EVERY", "1", "315360000000"]),
        ("SCHEDULE jobs a x EVERY 315360000001", &["EVERY", "315360000000"]),
        ("SCHEDULE jobs a x EVERY soon", &["EVERY"]),
        ("SCHEDULE jobs a x EVERY 5 TZ UTC", &["TZ goes with CRON"]),
        ("SCHEDULE jobs a x TZ UTC EVERY 5", &["TZ goes with CRON"]),
        ("SCHEDULE jobs a x CRON @daily TZ UTC TZ UTC", &["TZ is given more than once"]),
        ("SCHEDULE jobs a x CRON @daily MISFIRE", &["syntax", "MISFIRE"]),
        ("SCHEDULE jobs a x EVERY 5 MISFIRE some", &["MISFIRE", "skip, once, all"]),
        ("SCHEDULE jobs a x EVERY 5 OVERLAP all", &["OVERLAP", "allow, skip"]),
        ("SCHEDULE jobs a x EVERY 5 MISFIRE all MISFIRE all", &["MISFIRE", "more than once"]),
        ("SCHEDULE jobs a x CRON @never", &["CRON", "5 fields"]),
        ("SCHEDULE jobs a x CRON \"* * * *\"", &["CRON", "5 fields"]),
        ("SCHEDULE jobs a x CRON \"* * 31 2 *\"", &["CRON", "ten years"]),
        ("SCHEDULE jobs a x CRON \"* 25 * * *\"", &["CRON", "hour", "0 to 23"]),
        ("SCHEDULE jobs a x CRON @daily TZ Mars", &["TZ"]),
        ("SCHEDULE jobs a x CRON @daily TZ", &["TZ needs a value"]),
        ("SCHEDULE jobs a x CRON \"\\xff\" TZ UTC", &["CRON", "UTF-8"]),
        ("SCHEDULE jobs a x EVERY 5 ID b", &["syntax", "ID"]),
        ("SCHEDULE jobs a x EVERY 5 NX", &["syntax", "NX"]),
        ("SCHEDULE jobs a x EVERY 5 AT 5", &["syntax", "AT"]),
        ("SCHEDULE jobs a x EVERY 5 BATCH b", &["syntax", "BATCH"]),
        ("SCHEDULE jobs a x EVERY 5 SEAL", &["SEAL goes with a push"]),
        ("SCHEDULE jobs a x EVERY 5 AFTER 1 b", &["syntax", "AFTER"]),
        ("SCHEDULE jobs a x EVERY 5 AFTERBATCH b", &["syntax", "AFTERBATCH"]),
        ("SCHEDULE jobs a x EVERY 5 FOO", &["syntax", "FOO"]),
        ("SCHEDULE jobs a x EVERY 5 DELAY 5 TTL 5", &["DELAY", "TTL"]),
        ("SCHEDULE jobs a x EVERY 5 PRIORITY 256", &["PRIORITY"]),
        ("SCHEDULE jobs \"a b\" x EVERY 5", &["name"]),
        ("SCHEDULE jobs ALL x EVERY 5", &["name"]),
        ("UNSCHEDULE jobs", &["wrong number of arguments"]),
        ("UNSCHEDULE jobs \"\"", &["name"]),
        ("SCHEDULES", &["wrong number of arguments"]),
        ("SCHEDULES jobs a", &["cursor", "must be 0"]),
        ("SCHEDULES jobs n:", &["cursor", "must be 0"]),
        ("SCHEDULES jobs 0 a", &["unknown option A"]),
        ("SCHEDULES jobs 0 JSON JSON", &["JSON is given more than once"]),
        ("SCHEDULES jobs 0 COUNT 0", &["COUNT", "1 to 10000"]),
        ("SCHEDULES jobs COUNT 5", &["COUNT needs a cursor"]),
    ] {
        server.run(&format!("TASK.{line}")).assert_refused("ERR", words);
    }
    let name = "a".repeat(201);
    server.run(&format!("TASK.SCHEDULE jobs {name} x EVERY 5")).assert_refused("ERR", &["name", "200"]);
    server.run(&format!("TASK.UNSCHEDULE jobs{}", " a".repeat(1_001))).assert_refused("ERR", &["1000"]);
    server.cmd(&[b"TASK.SCHEDULE", b"jobs", b"a", b"x", b"CRON", &vec![b'*'; 100_000]]).assert_refused("ERR", &["CRON"]);
    assert_eq!(server.run("DBSIZE"), 0);
    server.run("SET string x");
    for line in ["SCHEDULE string a x EVERY 5", "UNSCHEDULE string a", "SCHEDULES string"] {
        server.run(&format!("TASK.{line}")).assert_refused("WRONGTYPE", &[]);
    }
    assert!(!server.run(&format!("TASK.SCHEDULE jobs {} x EVERY 5", "a".repeat(200))).is_error());
}

/// UNIQUE is asked as of any push: while one is held no other comes.
#[test]
fn unique() {
    let server = Server::start();
    server.run("TASK.SCHEDULE jobs a old EVERY 40 UNIQUE k FOR 900000");
    eventually(|| counts(&server, "a").0 >= 3);
    assert_eq!(server.count("jobs", "ready"), 1);
    server.run("TASK.SCHEDULE jobs a new EVERY 40 UNIQUE k FOR 900000 REPLACE");
    let id = format!("a@{}", slots(&server, "a")[0]);
    eventually(|| server.task("jobs", &id, "payload") == "new");
    let said = ["unique", "unique-for", "unique-replace"].map(|field| shown(&server, "a", field));
    assert_eq!(said, [bulk("k"), int(900_000), int(1)]);
    server.run("TASK.SCHEDULE jobs a x EVERY 5 UNIQUE").assert_refused("ERR", &["UNIQUE"]);
    server.run("TASK.SCHEDULE jobs a x EVERY 5 UNIQUE k FOR -1").assert_refused("ERR", &["FOR"]);
}

/// What was missed while the server was down is made up for as MISFIRE says; the log and the RDB hold the schedules.
#[test]
fn missed_while_down() {
    for with_aof in [true, false] {
        let builder = Server::builder();
        let mut server = if with_aof { builder.aof() } else { builder }.start();
        for misfire in ["skip", "once", "all"] {
            server.run(&format!("TASK.SCHEDULE jobs {misfire}-late x EVERY 400 MISFIRE {misfire}"));
        }
        eventually(|| ["skip-late", "once-late", "all-late"].into_iter().all(|name| counts(&server, name).0 >= 1));
        if !with_aof {
            server.run("SAVE");
        }
        server.kill();
        let down = now_ms();
        eventually(|| now_ms() > down + 2_000);
        server.start_again();
        let up = now_ms();
        eventually(|| ["skip-late", "once-late", "all-late"].into_iter().all(|name| slots(&server, name).last() > Some(&up)));
        // The first slot after the start is known to all. Between, there are five or so that were missed.
        let between = |name: &str| slots(&server, name).into_iter().filter(|&slot| slot > down && slot < up - 100).count();
        assert!(between("skip-late") == 0, "{:?}", slots(&server, "skip-late"));
        assert!(between("once-late") <= 1, "{:?}", slots(&server, "once-late"));
        let all = slots(&server, "all-late");
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 400), "{all:?}");
        assert!(counts(&server, "skip-late").2 >= 4 && counts(&server, "once-late").2 >= 3);
        assert_eq!(counts(&server, "all-late").2, 0);
    }
}

/// A replica holds what the master does and fires nothing; promoted, it goes on where the master was, and no slot comes twice.
#[test]
fn failover() {
    let mut master = Server::builder().aof().start();
    let replica = Server::replica_of(&master);
    master.run_all(&["TASK.SCHEDULE jobs a x EVERY 100 MISFIRE all", "TASK.SCHEDULE jobs b x CRON \"* * * * * *\" OVERLAP skip"]);
    eventually(|| counts(&master, "a").0 > 12 && counts(&master, "b").1 >= 1);
    eventually(|| master.digest() == replica.digest());
    let aside = Server::builder().start();
    // Without its master the replica waits.
    replica.run(&format!("REPLICAOF 127.0.0.1 {}", aside.port()));
    eventually(|| replica.digest() == aside.digest());
    let replica = Server::replica_of(&master);
    eventually(|| replica.digest() == master.digest());
    master.kill();
    let fired = counts(&replica, "a").0;
    holds_for(300, || counts(&replica, "a").0 == fired);
    replica.run("REPLICAOF NO ONE");
    let promoted = now_ms();
    eventually(|| slots(&replica, "a").last() > Some(&promoted));
    let all = slots(&replica, "a");
    assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 100), "{all:?}");
    // The old master comes back with what it had.
    master.start_again();
    assert!(counts(&master, "a").0 >= fired);
}

/// Master, replica, AOF, its rewrite and the RDB hold the same.
#[test]
fn replicas_and_files_agree() {
    for preamble in [true, false] {
        let builder = Server::builder();
        let mut master = if preamble { builder.aof() } else { builder.aof_without_preamble() }.start();
        let replica = Server::replica_of(&master);
        for n in 0..50 {
            master.run(&format!("TASK.SCHEDULE jobs s{n} payload-{n} EVERY {} MISFIRE all TTL 900000", 20 + n));
            master.run(&format!("TASK.SCHEDULE jobs c{n} payload-{n} CRON \"*/{} * * * * *\" TZ Asia/Tokyo RETAIN 5", n + 1));
        }
        eventually(|| counts(&master, "s0").0 > 20);
        let stop: Vec<String> = (10..50).flat_map(|n| [format!("s{n}"), format!("c{n}")]).collect();
        assert_eq!(master.run(&format!("TASK.UNSCHEDULE jobs {}", stop.join(" "))), 80);
        for n in 0..10 {
            // Far away, so that the queue stands still.
            master.run(&format!("TASK.SCHEDULE jobs s{n} x EVERY 315360000000"));
            master.run(&format!("TASK.SCHEDULE jobs c{n} x CRON \"0 0 29 2 *\""));
        }
        eventually(|| master.digest() == replica.digest());
        assert_eq!(master.dump("jobs"), replica.dump("jobs"));
        let digest = master.digest();
        assert_eq!(master.crash_and_restart().digest(), digest);
        assert!(!master.run("BGREWRITEAOF").is_error());
        eventually(|| master.info("aof_rewrite_in_progress") == "0");
        assert_eq!(master.crash_and_restart().digest(), digest);
        assert_eq!(master.restart(Shutdown::Save).digest(), digest);
        assert_eq!(master.run("DEBUG RELOAD"), "OK");
        assert_eq!(master.digest(), digest);
    }
}

/// OVERLAP skip leaves slots out while the last task has not ended.
#[test]
fn overlap() {
    let server = Server::start();
    server.run("TASK.SCHEDULE jobs a x EVERY 40 OVERLAP skip");
    eventually(|| counts(&server, "a").1 >= 2);
    assert_eq!(server.count("jobs", "ready"), 1);
    let claim = server.claim("jobs");
    let skipped = counts(&server, "a").1;
    eventually(|| counts(&server, "a").1 >= skipped + 2);
    assert_eq!((server.count("jobs", "ready"), counts(&server, "a").0), (0, 1));
    server.run(&format!("TASK.COMPLETE jobs {} done", claim.id));
    eventually(|| server.count("jobs", "ready") == 1);
    assert_ne!(server.claim("jobs").id, claim.id);
}

/// A queue that rests or is full takes no slots: they are counted, and not made up for.
#[test]
fn a_queue_that_takes_nothing() {
    let server = Server::start();
    for refusing in ["PAUSED in", "PAUSED all", "MAXLEN 1"] {
        server.run_all(&[
            "TASK.PUSH jobs x",
            &format!("TASK.SET jobs {refusing}"),
            "TASK.SCHEDULE jobs a x EVERY 30 MISFIRE all",
        ]);
        eventually(|| counts(&server, "a").1 >= 3);
        assert_eq!((counts(&server, "a").0, counts(&server, "a").2), (0, 0), "{refusing}");
        server.run("TASK.SET jobs PAUSED no MAXLEN 0");
        let open = now_ms();
        eventually(|| counts(&server, "a").0 >= 1);
        assert!(slots(&server, "a").into_iter().all(|slot| slot >= open - 30), "{refusing}");
        server.run("DEL jobs");
    }
}

/// A server that is out of memory skips slots, also if no command has found that out.
#[test]
fn out_of_memory() {
    let server = Server::start();
    server.run("TASK.SCHEDULE jobs a x EVERY 30 MISFIRE all");
    for policy in ["noeviction", "volatile-lru"] {
        server.run_all(&["CONFIG SET maxmemory 0", "CONFIG SET maxmemory-policy noeviction"]);
        let before = counts(&server, "a").0;
        eventually(|| counts(&server, "a").0 > before);
        server.run_all(&[&format!("CONFIG SET maxmemory-policy {policy}"), "CONFIG SET maxmemory 1"]);
        // What a client would be told.
        server.run("TASK.PUSH jobs x").assert_refused("OOM", &[]);
        let (fired, skipped, _) = counts(&server, "a");
        eventually(|| counts(&server, "a").1 > skipped + 2);
        assert_eq!((counts(&server, "a").0, counts(&server, "a").2), (fired, 0), "{policy}");
        server.run("TASK.SCHEDULE jobs b x EVERY 5").assert_refused("OOM", &[]);
    }
    // Nothing was said to the server since its memory ran out: it knows all the same.
    server.run_all(&["CONFIG SET maxmemory 0", "CONFIG SET maxmemory-policy noeviction", "TASK.SCHEDULE jobs a x EVERY 100"]);
    server.run("CONFIG SET maxmemory 1");
    let (fired, skipped, _) = counts(&server, "a");
    std::thread::sleep(Duration::from_millis(350));
    let (fired_then, skipped_then, _) = counts(&server, "a");
    assert!(fired_then <= fired + 1 && skipped_then >= skipped + 2, "{fired} {skipped} {fired_then} {skipped_then}");
    assert!(!server.run("TASK.UNSCHEDULE jobs a").is_error());
}

/// While writes are paused no slot passes; what was missed is then made up for.
#[test]
fn paused_writes() {
    let server = Server::start();
    for misfire in ["skip", "once", "all"] {
        server.run(&format!("TASK.SCHEDULE jobs {misfire}-late x EVERY 100 MISFIRE {misfire}"));
    }
    eventually(|| counts(&server, "once-late").0 >= 2);
    let before = now_ms();
    server.run("CLIENT PAUSE 1000 WRITE");
    let fired = counts(&server, "once-late").0;
    let while_paused = counts(&server, "once-late").0;
    assert!(while_paused <= fired + 1);
    eventually(|| {
        ["skip-late", "once-late", "all-late"].into_iter().all(|name| slots(&server, name).last() > Some(&(before + 1_200)))
    });
    let during = |name| slots(&server, name).into_iter().filter(|slot| (before + 100..before + 900).contains(slot)).count();
    assert_eq!((during("skip-late"), during("once-late")), (0, 0));
    assert!(during("all-late") >= 7);
}

/// Wherever the queue goes, its schedules go; a copy has its own.
#[test]
fn schedules_are_of_the_queue() {
    let server = Server::start();
    server.run("TASK.SCHEDULE first a x EVERY 50");
    let ready = |queue: &str| server.count(queue, "ready");
    eventually(|| ready("first") > 0);
    server.run("RENAME first jobs");
    let count = ready("jobs");
    eventually(|| ready("jobs") > count + 1);
    assert_eq!(server.run("EXISTS first"), 0);
    server.run("COPY jobs other");
    let count = ready("other");
    eventually(|| ready("other") > count + 1);
    server.run("TASK.UNSCHEDULE jobs a");
    let (count, still) = (ready("other"), ready("jobs"));
    eventually(|| ready("other") > count + 1);
    assert_eq!(ready("jobs"), still);
    let dump = server.dump("other");
    server.run("DEL other");
    assert_eq!(server.cmd(&[b"RESTORE", b"again", b"0", &dump]), "OK");
    let count = ready("again");
    eventually(|| ready("again") > count + 1);
    server.run("SWAPDB 0 1");
    server.run("SELECT 1");
    let count = ready("again");
    eventually(|| ready("again") > count + 1);
    server.run("FLUSHALL");
    holds_for(150, || server.run("DBSIZE") == 0);
}

/// The schedules of several thousand that are due at once all fire, soon; and those of many queues too.
#[test]
fn many() {
    let server = Server::start();
    let mut client = server.client();
    let lines: Vec<_> =
        (0..4_000).map(|n| format!("TASK.SCHEDULE jobs s{n} x CRON \"*/2 * * * * *\" TZ America/New_York")).collect();
    let nexts = client.run_each(&lines);
    let lines: Vec<_> = (0..1_000).map(|n| format!("TASK.SCHEDULE queue-{n} s x EVERY 2000")).collect();
    client.run_each(&lines);
    let last = nexts.iter().map(Value::int).max().expect("schedules");
    eventually_within(Duration::from_secs(20), || now_ms() > last);
    eventually_within(Duration::from_secs(20), || slots(&server, "s3999").contains(&last));
    println!("the last of 5,000 tasks was there {} ms after its slot", now_ms() - last);
    eventually(|| server.count("jobs", "ready") >= 4_000 && server.count("queue-999", "ready") >= 1);
    let usage = server.run("MEMORY USAGE jobs SAMPLES 0").int();
    assert!(usage > 4_000 * 300, "{usage} bytes");
}

/// In MULTI and scripts a schedule is made as anywhere, and replicated.
#[test]
fn in_scripts() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    server.run_all(&["MULTI", "TASK.SCHEDULE jobs a x EVERY 900000000", "TASK.UNSCHEDULE jobs none", "EXEC"]);
    let reply = server.run("EVAL \"return redis.call('TASK.SCHEDULE', KEYS[1], 'b', 'x', 'CRON', '@yearly')\" 1 jobs");
    assert!(reply.int() > now_ms());
    assert_eq!(server.run("EVAL \"return #redis.call('TASK.SCHEDULES', KEYS[1])\" 1 jobs"), 2);
    eventually(|| server.digest() == replica.digest());
    replica.run("TASK.SCHEDULE jobs c x EVERY 5").assert_refused("READONLY", &[]);
    assert_eq!(replica.run("TASK.SCHEDULES jobs").items().len(), 2);
}

/// A step of the clock forth makes up for what it leaps over, as MISFIRE says; a step back makes no slot come again.
#[test]
fn the_clock_steps() {
    let Some((clock, server)) = clocked() else { return };
    for misfire in ["once", "all"] {
        server.run(&format!("TASK.SCHEDULE jobs {misfire}-late x CRON \"0 * * * * *\" MISFIRE {misfire}"));
    }
    let start = server_ms(&server);
    set(&clock, &server, 2 * HOUR_MS);
    eventually(|| slots(&server, "all-late").len() >= 119);
    let all = slots(&server, "all-late");
    assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 60_000), "{all:?}");
    assert!(slots(&server, "once-late").len() <= 2 && counts(&server, "once-late").2 >= 118);
    // Back by an hour: the next slot is where it was.
    let next = shown(&server, "all-late", "next");
    let count = server.count("jobs", "ready");
    set(&clock, &server, HOUR_MS);
    holds_for(700, || server.count("jobs", "ready") == count);
    assert_eq!(server.run("TASK.SCHEDULE jobs all-late y CRON \"0 * * * * *\""), next);
    let other = server.run("TASK.SCHEDULE jobs all-late y EVERY 1000").int();
    assert!(other > *all.last().expect("slots") && other > start + 2 * HOUR_MS - 60_000);
    holds_for(300, || server.count("jobs", "ready") == count);
    set(&clock, &server, 2 * HOUR_MS + 60_000);
    eventually(|| server.count("jobs", "ready") > count);
}

/// Years ahead: the server does not stop for all that was missed.
#[test]
fn the_clock_leaps_by_years() {
    let Some((clock, server)) = clocked() else { return };
    server.run_all(&["TASK.SCHEDULE jobs a x EVERY 1 MISFIRE all", "TASK.SCHEDULE jobs b x CRON \"* * * * * *\" MISFIRE all"]);
    set(&clock, &server, 3 * 365 * 24 * HOUR_MS);
    eventually(|| counts(&server, "b").0 >= 1_000);
    server.run("TASK.UNSCHEDULE jobs a");
    eventually(|| slots(&server, "b").last() > Some(&(server_ms(&server) - 2_000)));
    assert!(counts(&server, "b").0 < 1_020 && counts(&server, "b").2 == 1_000, "{:?}", counts(&server, "b"));
}

/// In Berlin clocks go from 02:00 to 03:00 on 28 March 2027, at 01:00 UTC: what they leap over is then. On 31 October they show 02:00 to 03:00
/// twice: what is then comes once.
#[test]
fn summer_time() {
    for (instant, slots_of) in [
        // 2027-03-28T00:59:58Z: half past two is at 01:00:00Z, and the full hour there follows the clock.
        (1_806_195_598_000, [1_806_195_600_000, 1_806_195_600_000]),
        // 2027-10-31T00:29:58Z: half past two is at 00:30:00Z; the full hour that is shown twice is at 01:00Z as well.
        (1_824_942_598_000, [1_824_942_600_000, 1_824_944_400_000]),
    ] {
        let clock = Clock::new();
        clock.set(instant - now_ms());
        let server = Server::builder().clock(&clock).start();
        if (server_ms(&server) - instant).abs() > HOUR_MS {
            println!("skipped: this server's clock cannot be set");
            return;
        }
        let at_half_past_two = server.run("TASK.SCHEDULE jobs a x CRON \"30 2 * * *\" TZ Europe/Berlin");
        let each_hour = server.run("TASK.SCHEDULE jobs b x CRON \"0 * * * *\" TZ Europe/Berlin");
        assert_eq!([at_half_past_two.int(), each_hour.int()], slots_of);
        server.wait_for_state(&format!("a@{}", slots_of[0]), "ready");
        // The one after is on the next day.
        let next = shown(&server, "a", "next").int();
        assert!((22 * HOUR_MS..=25 * HOUR_MS).contains(&(next - slots_of[0])), "{next}");
        eventually_eq(|| counts(&server, "a"), (1, 0, 0));
    }
}
