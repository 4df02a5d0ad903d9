//! Exactly-once effects: a worker that completes and writes in one script.

use crate::support::{Client, Dice, Server, Value, array, bulk, eventually, eventually_within, int, ok};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Completes the task first, then counts: KEYS queue, counter; ARGV id, attempt, result.
const SCRIPT: &str = "redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], ARGV[3], 'ATTEMPT', ARGV[2]) \
                      return redis.call('INCR', KEYS[2])";

fn finish(id: &str, attempt: i64) -> Vec<Vec<u8>> {
    let attempt = attempt.to_string();
    ["EVAL", SCRIPT, "2", "jobs", "done", id, &attempt, "result"].map(|word| word.as_bytes().to_vec()).into()
}

fn run(server: &Server, line: &[Vec<u8>]) -> Value {
    server.cmd(&line.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The effects happen once; said again the script raises DONE before them.
#[test]
fn a_repeat_raises_done() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    let before = server.digest();
    for _ in 0..3 {
        run(&server, &finish("a", 1)).assert_refused("DONE", &[]);
    }
    assert_eq!(server.run("GET done"), "1");
    assert_eq!(server.digest(), before);
    assert_eq!(server.run("TASK.RESULT jobs a"), array([bulk("completed"), bulk("result")]));
}

/// So does the repeat of a failure, or of a release.
#[test]
fn a_repeated_failure_raises_done() {
    let server = Server::start();
    for (answer, id) in [("'TASK.FAIL', KEYS[1], ARGV[1], 'no', 'DEAD'", "a"), ("'TASK.RELEASE', KEYS[1], ARGV[1]", "b")] {
        server.run_all(&[&format!("TASK.PUSH jobs x ID {id}"), "TASK.CLAIM jobs"]);
        let script = format!("redis.call({answer}, 'ATTEMPT', 1) return redis.call('INCR', KEYS[2])");
        let line = ["EVAL", &script, "2", "jobs", id, id].map(|word| word.as_bytes().to_vec());
        assert_eq!(run(&server, &line), int(1));
        run(&server, &line).assert_refused("DONE", &[]);
        assert_eq!(server.run(&format!("GET {id}")), "1");
    }
    assert_eq!(server.run("TASK.FAIL jobs a no DEAD ATTEMPT 1"), "failed");
}

/// Elsewhere the same repeat answers OK.
#[test]
fn elsewhere_a_repeat_is_ok() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    run(&server, &finish("a", 1));
    assert_eq!(server.run("TASK.COMPLETE jobs a again ATTEMPT 1"), ok());
    let mut client = server.client();
    client.run("MULTI");
    client.run("TASK.COMPLETE jobs a again ATTEMPT 1");
    assert_eq!(client.run("EXEC"), array([ok()]));
}

/// A worker that lost its claim has no effects: the script stops at the refusal.
#[test]
fn a_lost_claim_has_no_effects() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 1"]);
    server.wait_for_state("a", "ready");
    assert_eq!(server.claim("jobs").attempt, 2);
    run(&server, &finish("a", 1)).assert_refused("STALE", &[]);
    assert_eq!(server.run("GET done"), crate::support::nil());
    assert_eq!(run(&server, &finish("a", 2)), int(1));
    run(&server, &finish("a", 1)).assert_refused("STALE", &[]);
    run(&server, &finish("none", 1)).assert_refused("NOTASK", &[]);
    server.run_all(&["TASK.PUSH jobs x ID b", "TASK.CLAIM jobs", "TASK.CANCEL jobs b"]);
    run(&server, &finish("b", 1)).assert_refused("CANCELED", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// A task that is not retained cannot be told from one that never was; nothing is written twice.
#[test]
fn a_repeat_for_a_task_that_is_gone_hears_notask() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.CLAIM jobs"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    run(&server, &finish("a", 1)).assert_refused("NOTASK", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// An ID that is pushed again after its task is gone is a new task: an old worker's attempt passes for its first one.
#[test]
fn an_id_pushed_again_is_a_new_task() {
    let server = Server::start();
    server.run_all(&["TASK.PUSH jobs x ID a RETAIN 0", "TASK.CLAIM jobs"]);
    run(&server, &finish("a", 1));
    server.run_all(&["TASK.PUSH jobs y ID a"]);
    assert_eq!(server.claim("jobs").attempt, 1);
    assert_eq!(run(&server, &finish("a", 1)), int(2));
}

/// Over maxmemory a plain script completes and writes; a function does if it is flagged, else it is refused before it begins.
#[test]
fn a_full_server_runs_what_says_so() {
    let server = Server::start();
    let function = |name: &str, flags: &str| {
        format!(
            "redis.register_function{{function_name='{name}', callback=function(KEYS, ARGV) {SCRIPT} end, flags={{{flags}}}}}"
        )
    };
    let library = format!("#!lua name=lib\n{}\n{}", function("plain", ""), function("flagged", "'allow-oom'"));
    assert_eq!(server.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]), "lib");
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.PUSH jobs x ID b", "TASK.PUSH jobs x ID c", "TASK.CLAIM jobs COUNT 3"]);
    server.run_all(&["CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    server.run("FCALL plain 2 jobs done b 1 result").assert_refused("OOM", &[]);
    assert_eq!(server.state("jobs", "b"), "claimed");
    assert_eq!(server.run("FCALL flagged 2 jobs done b 1 result"), int(2));
    let script = |first: &str| {
        server.cmd(&[b"EVAL", format!("{first}\n{SCRIPT}").as_bytes(), b"2", b"jobs", b"done", b"c", b"1", b"result"])
    };
    script("#!lua").assert_refused("OOM", &[]);
    assert_eq!(script("#!lua flags=allow-oom"), int(3));
}

/// Functions hold the promise as scripts do.
#[test]
fn functions_hold_it_too() {
    let server = Server::start();
    let library = "#!lua name=lib\nredis.register_function('finish', function(KEYS, ARGV) ".to_owned() + SCRIPT + " end)";
    assert_eq!(server.cmd(&[b"FUNCTION", b"LOAD", library.as_bytes()]), "lib");
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs"]);
    assert_eq!(server.run("FCALL finish 2 jobs done a 1 result"), int(1));
    server.run("FCALL finish 2 jobs done a 1 result").assert_refused("DONE", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// A lost reply: the worker says the script again until it hears an answer; the effects are there once.
#[test]
fn a_lost_reply_is_harmless() {
    let server = Server::start();
    for n in 1..=30 {
        let id = n.to_string();
        server.run_all(&[&format!("TASK.PUSH jobs x ID {id}"), "TASK.CLAIM jobs"]);
        let line = finish(&id, 1);
        let mut lost = server.client();
        lost.send_cmd(&line.iter().map(Vec::as_slice).collect::<Vec<_>>());
        drop(lost);
        let again = run(&server, &line);
        assert!(again == int(n) || again.code() == "DONE", "{again:?}");
        assert_eq!(server.run("GET done"), n.to_string().as_str());
    }
}

/// A crash between: what was acknowledged stands, and the worker's repeat does not count twice.
#[test]
fn a_crash_is_harmless() {
    let mut server = Server::builder().aof().start();
    server.run_all(&["TASK.PUSH jobs x ID a", "TASK.CLAIM jobs LEASE 100000"]);
    assert_eq!(run(&server, &finish("a", 1)), int(1));
    server.crash_and_restart();
    run(&server, &finish("a", 1)).assert_refused("DONE", &[]);
    assert_eq!(server.run("GET done"), "1");
}

/// Workers that crash, lapse, retry and repeat as they like count each task exactly once, on the replica too.
#[test]
fn many_unreliable_workers() {
    let server = Server::start();
    let replica = Server::replica_of(&server);
    for n in 0..200 {
        server.run(&format!("TASK.PUSH jobs x ID {n} ATTEMPTS 0 BACKOFF 1"));
    }
    let mut turn = 0;
    let mut stale = Vec::new();
    while server.count("jobs", "completed") < 200 {
        let task = server.run("TASK.CLAIM jobs LEASE 20 BLOCK 100");
        if task.is_nil() {
            continue;
        }
        turn += 1;
        let (id, attempt) = (task.at(0).text(), task.at(2).int());
        match turn % 5 {
            0 => stale.push((id, attempt)),
            1 => drop(server.run(&format!("TASK.FAIL jobs {id} no ATTEMPT {attempt}"))),
            2 => {
                run(&server, &finish(&id, attempt));
                run(&server, &finish(&id, attempt));
            }
            _ => drop(run(&server, &finish(&id, attempt))),
        }
        if turn % 7 == 0 {
            for (id, attempt) in stale.drain(..) {
                run(&server, &finish(&id, attempt));
            }
        }
    }
    for (id, attempt) in stale {
        run(&server, &finish(&id, attempt));
    }
    assert_eq!(server.run("GET done"), "200");
    server.wait_for_replica(&replica);
    assert_eq!(replica.run("GET done"), "200");
    assert_eq!(replica.digest(), server.digest());
}

/// Completes the task first, then moves money: KEYS queue, accounts; ARGV id, attempt, from, to, amount.
const TRANSFER: &str = "redis.call('TASK.COMPLETE', KEYS[1], ARGV[1], 'moved', 'ATTEMPT', ARGV[2]) \
                        redis.call('HINCRBY', KEYS[2], ARGV[3], -ARGV[5]) \
                        redis.call('HINCRBY', KEYS[2], ARGV[4], ARGV[5]) return 'moved'";

/// How often what happened to the workers.
#[derive(Debug, Default)]
struct Mishaps {
    /// Died with a claim.
    deaths: AtomicUsize,
    /// Said the script again.
    repeats: AtomicUsize,
    /// Were refused: it had been done, another had the task by then, or the server knew nothing of it.
    done: AtomicUsize,
    stale: AtomicUsize,
    unknown: AtomicUsize,
}

/// Moves money until `stop`: dies with a claim, oversleeps its lease, says its script again, also when it lost its connection.
fn move_money(port: &AtomicU16, seed: u64, stop: &AtomicBool, mishaps: &Mishaps) {
    let mut dice = Dice::new(seed);
    let mut client: Option<Client> = None;
    let mut again: Option<String> = None;
    let count = |of: &AtomicUsize| of.fetch_add(1, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) {
        let Some(connection) = client.as_mut() else {
            thread::sleep(Duration::from_millis(2));
            client = Client::try_connect(port.load(Ordering::Relaxed)).ok();
            continue;
        };
        if let Some(line) = again.take() {
            let answer = connection.try_run(&line);
            match &answer {
                Err(_) => client = None,
                Ok(reply) if *reply == "moved" => {}
                Ok(reply) => match reply.code() {
                    "DONE" => drop(count(&mishaps.done)),
                    "STALE" => drop(count(&mishaps.stale)),
                    // The new master has not heard of this task, or of this claim.
                    "NOTASK" | "NOTCLAIMED" => drop(count(&mishaps.unknown)),
                    code => assert_eq!(code, "LOADING", "{line}: {reply:?}"),
                },
            }
            // No answer, or for the sake of it: once more.
            if answer.is_err() || dice.roll(4) == 0 {
                count(&mishaps.repeats);
                again = Some(line);
            }
            continue;
        }
        let Ok(task) = connection.try_run("TASK.CLAIM jobs BLOCK 20 LEASE 30") else {
            client = None;
            continue;
        };
        if task.is_nil() || task.is_error() {
            continue;
        }
        let line =
            format!("EVAL \"{TRANSFER}\" 2 jobs accounts {} {} {}", task.at(0).text(), task.at(2).int(), task.at(1).text());
        match dice.roll(10) {
            0 => {
                count(&mishaps.deaths);
                client = None;
            }
            1 => {
                thread::sleep(Duration::from_millis(50));
                again = Some(line);
            }
            _ => again = Some(line),
        }
    }
}

/// So many blows to the server while unreliable workers move money; in the end each account has what it should have. `blow` gives
/// the server that goes on.
fn money_moves_once(mut server: Server, blows: usize, mut blow: impl FnMut(Server) -> Server) -> Arc<Mishaps> {
    let (stop, mishaps) = (Arc::new(AtomicBool::new(false)), Arc::new(Mishaps::default()));
    let port = Arc::new(AtomicU16::new(server.port()));
    let workers: Vec<_> = (1..=4)
        .map(|seed| {
            let (port, stop, mishaps) = (port.clone(), stop.clone(), mishaps.clone());
            thread::spawn(move || move_money(&port, seed, &stop, &mishaps))
        })
        .collect();
    let mut dice = Dice::new(7);
    let mut expected = BTreeMap::<_, i64>::new();
    let mut pushes = Vec::new();
    let patience = Duration::from_secs(20);
    let open = |server: &Server, pushed: usize| i64::try_from(pushed).expect("a count") - server.count("jobs", "completed");
    for _ in 0..blows {
        for _ in 0..100 {
            let (from, way, amount) = (dice.roll(8), 1 + dice.roll(7), 1 + dice.roll(90).cast_signed());
            let to = (from + way) % 8;
            *expected.entry(from.to_string()).or_default() -= amount;
            *expected.entry(to.to_string()).or_default() += amount;
            pushes.push(format!("TASK.PUSH jobs \"{from} {to} {amount}\" ID {} ATTEMPTS 0", pushes.len()));
        }
        server.client().run_each(&pushes);
        eventually_within(patience, || open(&server, pushes.len()) < 60);
        server = blow(server);
        port.store(server.port(), Ordering::Relaxed);
        // Whatever the server has forgotten is pushed again; the rest stays as it is.
        server.client().run_each(&pushes);
    }
    eventually_within(patience, || open(&server, pushes.len()) == 0);
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("a worker without a surprise");
    }
    let mut accounts = BTreeMap::new();
    for pair in server.run("HGETALL accounts").items().chunks(2) {
        accounts.insert(pair[0].text(), pair[1].text().parse::<i64>().expect("an amount"));
    }
    assert_eq!(accounts, expected);
    println!("kill -9 of the server: {blows}; transfers, each once: {}; {mishaps:?}", pushes.len());
    assert!(
        [&mishaps.deaths, &mishaps.repeats, &mishaps.done, &mishaps.stale].into_iter().all(|of| of.load(Ordering::Relaxed) > 0)
    );
    mishaps
}

/// The server is killed and starts again: nothing that it knew is forgotten.
fn money_moves_once_over_crashes_of(times: usize) {
    let server = Server::builder().config("appendfsync", "always").aof().start();
    let mishaps = money_moves_once(server, times, |mut server| {
        server.crash_and_restart();
        server
    });
    assert_eq!(mishaps.unknown.load(Ordering::Relaxed), 0);
}

/// A replica is promoted while the master goes on for a while; then the master dies, and with it what only it knew.
fn money_moves_once_over_failovers_of(times: usize) {
    let server = Server::start();
    let mut replica = Some(Server::replica_of(&server));
    let mut lost = 0;
    money_moves_once(server, times, |mut master| {
        let new = replica.take().expect("a replica");
        new.run("REPLICAOF NO ONE");
        let known = new.count("jobs", "completed");
        let mut there = 0;
        eventually(|| {
            there = master.count("jobs", "completed");
            there >= known + 10
        });
        master.kill();
        lost += there - known;
        replica = Some(Server::replica_of(&new));
        new
    });
    println!("completions that were acknowledged, lost and made again: at least {lost}");
}

/// Workers that die, oversleep and repeat, and a server that is killed under them.
#[test]
fn money_moves_once_over_crashes() {
    money_moves_once_over_crashes_of(4);
}

/// A failover that loses acknowledged completions loses their writes with them: those transfers are made again, once.
#[test]
fn money_moves_once_over_failovers() {
    money_moves_once_over_failovers_of(3);
}

#[test]
#[ignore = "long: make soak"]
fn money_moves_once_over_many_crashes() {
    money_moves_once_over_crashes_of(100);
}

#[test]
#[ignore = "long: make soak"]
fn money_moves_once_over_many_failovers() {
    money_moves_once_over_failovers_of(30);
}
