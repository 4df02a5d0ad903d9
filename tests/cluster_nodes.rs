//! A cluster of several nodes: slots that move, masters that die, and the queues in them.

use crate::support::{
    Client, Server, Value, array, bulk,
    cluster::{AGREEMENT, Cluster, id, migrate_slot_atomically, migrates_atomically},
    eventually_eq, eventually_within, holds_for, int, now_ms,
    task::{Claim, ids_of},
};

/// Tasks of this queue that fall due one after the other over `from_ms` to `from_ms` + 600, half by delay and half by lapse.
fn pending(server: &Server, queue: &str, count: i64, from_ms: i64) {
    let mut client = server.client();
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.PUSH {queue} x ID held{n} PRIORITY 9 ATTEMPTS 0")).collect();
    client.run_each(&lines);
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.CLAIM {queue} LEASE {}", from_ms + n % 600)).collect();
    client.run_each(&lines);
    let lines: Vec<_> = (0..count).map(|n| format!("TASK.PUSH {queue} x ID later{n} DELAY {}", from_ms + n % 600)).collect();
    client.run_each(&lines);
}

fn total(server: &Server, queue: &str, name: &str) -> i64 {
    match server.run(&format!("TASK.INFO {queue}")) {
        info if info.is_error() => -1,
        info => info.field("totals").field(name).int(),
    }
}

/// All of `pending` has fallen due on `server`, each once.
#[track_caller]
fn all_fell_due(server: &Server, queue: &str, count: i64) {
    eventually_within(AGREEMENT, || {
        let info = server.run(&format!("TASK.INFO {queue}"));
        !info.is_error() && info.field("ready") == 2 * count
    });
    assert_eq!(total(server, queue, "lapsed"), count);
    let ready = usize::try_from(2 * count).expect("a count");
    let claims = server.client().run_each(&vec![format!("TASK.CLAIM {queue} COUNT 100"); ready / 100 + 1]);
    let claims: Vec<_> = claims.iter().filter(|claims| !claims.is_nil()).flat_map(Claim::all_of).collect();
    assert_eq!(claims.len(), ready);
    assert!(claims.iter().all(|claim| claim.attempt == if claim.id.starts_with("held") { 2 } else { 1 }));
}

/// A queue that moves: its task in hand, whose result somebody waits for, its worker that waits on another queue of the slot, its
/// many deadlines.
struct Moving<'a> {
    source: &'a Server,
    target: &'a Server,
    slot: usize,
    deadline: i64,
    worker: Client,
    reader: Client,
    /// Holds a task of its own in a session.
    session: Client,
}

const QUEUE: &str = "{moving}";
const EMPTY: &str = "{moving}.empty";
const HELD: &str = "{moving}.held";
const DEADLINES: i64 = 1_000;

impl<'a> Moving<'a> {
    fn prepare(cluster: &'a Cluster) -> Self {
        let (slot, source, target) = cluster.place(QUEUE);
        source.run_all(&[
            &format!("TASK.PUSH {QUEUE}.hand x ID hand"),
            &format!("TASK.CLAIM {QUEUE}.hand LEASE 900000 WORKER ann"),
        ]);
        let deadline = source.task(&format!("{QUEUE}.hand"), "hand", "deadline").int();
        pending(source, QUEUE, DEADLINES, 1_200);
        source.run(&format!("TASK.PUSH {HELD} x ID held"));
        let mut session = source.client();
        assert_eq!(Claim::of(&session.run(&format!("TASK.CLAIM {HELD} SESSION LEASE 3000"))).id, "held");
        let worker = source.block(&format!("TASK.CLAIM {EMPTY} BLOCK 0"));
        let reader = source.block(&format!("TASK.RESULT {QUEUE}.hand hand BLOCK 0"));
        Self { source, target, slot, deadline, worker, reader, session }
    }

    /// The slot has moved: time went on in it, once, and nothing of it is left behind.
    #[track_caller]
    fn has_moved(mut self) {
        let Self { source, target, slot, .. } = self;
        for client in [&mut self.worker, &mut self.reader] {
            let moved = client.try_read(AGREEMENT).expect("an open connection").expect("an answer");
            moved.assert_refused("MOVED", &[&slot.to_string(), &target.port().to_string()]);
        }
        let mut worker = target.block(&format!("TASK.CLAIM {EMPTY} BLOCK 0"));
        target.run(&format!("TASK.PUSH {EMPTY} x ID a DELAY 20"));
        assert_eq!(Claim::of(&worker.read()).id, "a");
        // No connection came with it: one lease from then, whatever becomes of the connection.
        eventually_eq(|| target.task(HELD, "held", "session"), 0);
        assert_eq!(target.state(HELD, "held"), "claimed");
        assert!(target.task(HELD, "held", "deadline").int() <= now_ms() + 3_000);
        drop(self.session);
        all_fell_due(target, QUEUE, DEADLINES);
        eventually_eq(|| target.state(HELD, "held"), "ready");
        let hand = format!("{QUEUE}.hand");
        assert_eq!(target.task(&hand, "hand", "deadline"), self.deadline);
        let mut reader = target.block(&format!("TASK.RESULT {hand} hand BLOCK 0"));
        source.run(&format!("TASK.COMPLETE {hand} hand done ATTEMPT 1")).assert_refused("MOVED", &[]);
        assert_eq!(target.run(&format!("TASK.COMPLETE {hand} hand done ATTEMPT 1")), "OK");
        assert_eq!(reader.read(), array([bulk("completed"), bulk("done")]));
        holds_for(100, || source.run("DBSIZE") == 0);
    }
}

/// Commands for another node's slot are sent there; queues with one hash tag are together; a client finds them all.
#[test]
fn queues_are_spread_and_found() {
    let cluster = Cluster::start(3, false);
    let mut client = cluster.client();
    for n in 0..30 {
        assert_eq!(client.run(&format!("TASK.PUSH queue:{n} x ID a DELAY 10")), "a");
    }
    assert!(cluster.masters.iter().all(|master| master.run("DBSIZE").int() > 0), "each has some");
    for n in 0..30 {
        let claim = client.run(&format!("TASK.CLAIM queue:{n} BLOCK 0"));
        assert_eq!(claim.at(0), "a");
        assert_eq!(client.run(&format!("TASK.COMPLETE queue:{n} a done ATTEMPT 1")), "OK");
        let (slot, owner, other) = cluster.place(&format!("queue:{n}"));
        let port = owner.port().to_string();
        other.run(&format!("TASK.INFO queue:{n}")).assert_refused("MOVED", &[&slot.to_string(), &port]);
    }
    let places: Vec<_> = (0..9).map(|n| cluster.place(&format!("{{tag}}:{n}")).0).collect();
    assert!(places.iter().all(|slot| *slot == places[0]));
    let other = cluster.place("{tag}").1;
    let script = r#"EVAL "redis.call('TASK.PUSH', KEYS[1], 'x') return redis.call('TASK.PUSH', KEYS[2], 'x', 'ID', 'b')" 2 {tag}:1 {tag}:2"#;
    assert_eq!(other.run(script), bulk("b"));
}

/// A line for each command of the module, and one more for those that can wait.
const LINES: [&str; 35] = [
    "TASK.PUSH queue x",
    "TASK.MPUSH queue 1 x",
    "TASK.CALL queue x BLOCK 1",
    "TASK.CLAIM queue",
    "TASK.CLAIM queue BLOCK 0",
    "TASK.MCLAIM 1 queue",
    "TASK.MCLAIM 1 queue BLOCK 0",
    "TASK.EXTEND queue a",
    "TASK.MEXTEND queue 1 a 1",
    "TASK.COMPLETE queue a x",
    "TASK.COMPLETE queue a x NEXT BLOCK 1",
    "TASK.MCOMPLETE queue 1 a 1 x",
    "TASK.FAIL queue a x",
    "TASK.RELEASE queue a",
    "TASK.RESULT queue a",
    "TASK.RESULT queue a BLOCK 0",
    "TASK.GATHER queue 1 a BLOCK 0",
    "TASK.SEAL queue b",
    "TASK.BATCH queue b",
    "TASK.COLLECT queue b 0 BLOCK 0",
    "TASK.CANCEL queue a",
    "TASK.FORGET queue a",
    "TASK.RETRY queue a",
    "TASK.SET queue",
    "TASK.SCHEDULE queue s x EVERY 900000000",
    "TASK.UNSCHEDULE queue s",
    "TASK.SCHEDULES queue",
    "TASK.GET queue a",
    "TASK.EXPLAIN queue a",
    "TASK.WORKERS queue",
    "TASK.EVENTS queue 0 BLOCK 0",
    "TASK.INFO queue",
    "TASK.LIST queue ready 0",
    "TASK.APPLY queue x",
    "TASK.PROBE queue",
];

/// Every command is sent to the node that has the slot (MOVED); while the slot moves, to the one that has the key (ASK).
#[test]
fn every_command_is_redirected() {
    let cluster = Cluster::start(3, false);
    let (slot, source, target) = cluster.place("queue");
    let listed = source.run("COMMAND LIST FILTERBY MODULE task");
    for command in listed.items() {
        let name = command.text().to_uppercase();
        if name == "TASK.HELP" {
            // It names no key, so each node answers.
            assert!(!target.run(&name).is_error());
            continue;
        }
        assert!(LINES.iter().any(|line| line.split(' ').next() == Some(&name)), "no line for {name}");
    }
    assert!(listed.items().len() >= 20, "{listed:?}");
    let [slot, from, to] = [slot.to_string(), source.port().to_string(), target.port().to_string()];
    for line in LINES {
        target.run(line).assert_refused("MOVED", &[&slot, &from]);
    }
    target.run_all(&[&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(source))]);
    source.run_all(&[&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(target))]);
    for line in LINES {
        source.run(line).assert_refused("ASK", &[&slot, &to]);
        target.run(line).assert_refused("MOVED", &[&slot, &from]);
        let mut asking = target.client();
        assert_eq!(asking.run("ASKING"), "OK");
        let answer = asking.run(&line.replace("BLOCK 0", "BLOCK 1"));
        let sent = answer.is_error() && ["ASK", "MOVED", "TRYAGAIN", "CLUSTERDOWN"].contains(&answer.code());
        assert!(!sent, "{line}: {answer:?}");
    }
    assert_eq!(source.run("DBSIZE"), 0, "the source made a key");
}

/// Queues of two slots are in no one command, script or transaction, be they on one node; nothing of it happens.
#[test]
fn queues_of_two_slots_do_not_mix() {
    let cluster = Cluster::start(2, false);
    let (slot, owner, _) = cluster.place("jobs:0");
    let beside = (1..).map(|n| format!("jobs:{n}"));
    let other = beside.into_iter().find(|name| {
        let (at, of, _) = cluster.place(name);
        at != slot && of.port() == owner.port()
    });
    let other = other.expect("a queue on the same node");
    owner.run_all(&["TASK.PUSH jobs:0 x ID a"]);
    let script = "redis.call('TASK.PUSH', KEYS[1], 'x') redis.call('TASK.PUSH', KEYS[2], 'x')";
    for line in [
        format!("RENAME jobs:0 {other}"),
        format!("COPY jobs:0 {other}"),
        format!("EVAL \"{script}\" 2 jobs:0 {other}"),
        format!("TASK.MCLAIM 2 jobs:0 {other}"),
        format!("TASK.MCLAIM 2 {other} jobs:0 BLOCK 0"),
    ] {
        owner.run(&line).assert_refused("CROSSSLOT", &[]);
    }
    let mut client = owner.client();
    for line in ["MULTI", "TASK.PUSH jobs:0 x ID b", &format!("TASK.PUSH {other} x ID b")] {
        client.run(line);
    }
    client.run("EXEC").assert_refused("CROSSSLOT", &[]);
    assert_eq!((owner.count("jobs:0", "ready"), owner.run("DBSIZE")), (1, int(1)));
}

/// A migration that is given up: who waits for the end of a task that is gone, is told so.
#[test]
fn a_migration_is_given_up() {
    let cluster = Cluster::start(3, false);
    let (slot, source, target) = cluster.place("queue");
    source.run_all(&["TASK.PUSH queue x ID a"]);
    let mut reader = source.block("TASK.RESULT queue a BLOCK 0");
    source.run_all(&[&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(target)), "DEL queue"]);
    assert_eq!(reader.read_within(150), None);
    source.run_all(&[&format!("CLUSTER SETSLOT {slot} STABLE")]);
    assert!(reader.read().is_nil());
}

/// A slot is moved key by key with MIGRATE, while claims are in hand, a worker waits and deadlines pass.
#[test]
fn a_slot_is_migrated() {
    let cluster = Cluster::start(3, false);
    let mut moving = Moving::prepare(&cluster);
    let Moving { source, target, slot, .. } = moving;
    let (from, to) = (id(source), id(target));
    target.run_all(&[&format!("CLUSTER SETSLOT {slot} IMPORTING {from}")]);
    source.run_all(&[&format!("CLUSTER SETSLOT {slot} MIGRATING {to}")]);
    let hand = format!("{QUEUE}.hand");
    assert_eq!(source.run(&format!("TASK.EXTEND {hand} hand ATTEMPT 1 LEASE 900000")), "OK");
    moving.deadline = source.task(&hand, "hand", "deadline").int();
    let mut hurried = source.client();
    let hurried_id = hurried.id();
    hurried.send(&format!("TASK.RESULT {hand} hand BLOCK 0"));
    source.wait_for_blocked(3);
    eventually_within(AGREEMENT, || total(source, QUEUE, "lapsed") > 0);
    for key in [QUEUE, &hand, HELD] {
        assert_eq!(source.run(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", target.port())), "OK");
    }
    // Whoever waits for its result is not told that there is no such task.
    assert_eq!(moving.reader.read_within(100), None);
    assert_eq!(source.run(&format!("CLIENT UNBLOCK {hurried_id} TIMEOUT")), 1);
    hurried.read().assert_refused("TRYAGAIN", &[]);
    source.run(&format!("TASK.GET {hand} hand")).assert_refused("ASK", &[&slot.to_string(), &target.port().to_string()]);
    target.run(&format!("TASK.GET {hand} hand")).assert_refused("MOVED", &[&source.port().to_string()]);
    let mut asking = target.client();
    assert_eq!(asking.run("ASKING"), "OK");
    assert_eq!(asking.run(&format!("TASK.GET {hand} hand")).field("state"), "claimed");
    // Nobody may write there without asking, and neither may time.
    let lapsed = |asking: &mut Client| {
        asking.run("ASKING");
        asking.run(&format!("TASK.INFO {QUEUE}")).field("totals").field("lapsed").int()
    };
    let before = lapsed(&mut asking);
    holds_for(150, || source.run("DBSIZE") == 0 && lapsed(&mut asking) == before);
    for node in [target, source] {
        node.run_all(&[&format!("CLUSTER SETSLOT {slot} NODE {to}")]);
    }
    moving.has_moved();
}

/// Valkey's atomic slot migration moves a slot whole, while claims are in hand, a worker waits and deadlines pass.
#[test]
fn a_slot_is_migrated_atomically() {
    let cluster = Cluster::start(3, false);
    if !migrates_atomically(&cluster.masters[0]) {
        assert!(
            !cluster.masters[0].info("server_name").contains("valkey") || cluster.masters[0].info("valkey_version") < "9".into()
        );
        println!("skipped: this server has no CLUSTER MIGRATESLOTS (Valkey 9 has)");
        return;
    }
    let moving = Moving::prepare(&cluster);
    let Moving { source, target, slot, .. } = moving;
    eventually_within(AGREEMENT, || total(source, QUEUE, "lapsed") > 0);
    migrate_slot_atomically(slot, source, target);
    moving.has_moved();
}

/// A master dies: what its replica confirmed is there on the promoted replica, deadlines go on, waiting clients find it; the dead
/// comes back as a replica and holds the same.
#[test]
fn a_master_dies() {
    let mut cluster = Cluster::start(3, true);
    let (_, owner, _) = cluster.place(QUEUE);
    let at = cluster.masters.iter().position(|master| master.port() == owner.port()).expect("a master");
    pending(&cluster.masters[at], QUEUE, 500, 1_000);
    let mut worker = cluster.masters[at].block(&format!("TASK.CLAIM {EMPTY} BLOCK 0"));
    let hand = format!("{QUEUE}.hand");
    let mut client = cluster.masters[at].client();
    client.run(&format!("TASK.PUSH {hand} x ID hand"));
    client.run(&format!("TASK.CLAIM {hand} LEASE 900000"));
    assert_eq!(client.run("WAIT 1 5000"), 1);
    cluster.masters[at].kill();
    assert!(worker.try_read(AGREEMENT).is_err(), "no answer but a closed connection");
    let replica = &cluster.replicas[at];
    eventually_within(AGREEMENT, || replica.info("role") == "master");
    let mut client = cluster.client();
    assert_eq!(client.run(&format!("TASK.COMPLETE {hand} hand done ATTEMPT 1")), "OK");
    assert_eq!(client.run(&format!("TASK.PUSH {EMPTY} x ID a DELAY 100")), "a");
    assert_eq!(client.run(&format!("TASK.CLAIM {EMPTY} BLOCK 0")).at(0), "a");
    all_fell_due(replica, QUEUE, 500);
    cluster.masters[at].start_again();
    let (old, replica) = (&cluster.masters[at], &cluster.replicas[at]);
    eventually_within(AGREEMENT, || old.info("master_link_status") == "up");
    eventually_within(AGREEMENT, || old.digest() == replica.digest());
}

/// CLUSTER FAILOVER with deadlines pending: each falls due once; waiting clients are sent away and served by the new master.
#[test]
fn a_replica_takes_over() {
    let cluster = Cluster::start(3, true);
    let (_, owner, _) = cluster.place(QUEUE);
    let at = cluster.masters.iter().position(|master| master.port() == owner.port()).expect("a master");
    let (master, replica) = (&cluster.masters[at], &cluster.replicas[at]);
    pending(master, QUEUE, 1_000, 1_000);
    master.run(&format!("TASK.PUSH {QUEUE} x ID awaited DELAY 900000"));
    let mut waiting = [format!("TASK.CLAIM {EMPTY} COUNT 5 BLOCK 0"), format!("TASK.RESULT {QUEUE} awaited BLOCK 0")]
        .map(|line| master.block(&line));
    eventually_within(AGREEMENT, || total(master, QUEUE, "lapsed") > 0);
    assert_eq!(replica.run("CLUSTER FAILOVER"), "OK");
    eventually_within(AGREEMENT, || replica.info("role") == "master");
    for client in &mut waiting {
        let sent = client.try_read(AGREEMENT).expect("an open connection").expect("an answer");
        assert!(["MOVED", "UNBLOCKED"].contains(&sent.code()), "{sent:?}");
    }
    let mut client = cluster.client();
    let due = now_ms() + 50;
    client.run(&format!("TASK.PUSH {EMPTY} x ID a AT {due}"));
    assert_eq!(ids_of(&client.run(&format!("TASK.CLAIM {EMPTY} COUNT 5 BLOCK 0"))), ["a"]);
    assert!(now_ms() >= due);
    all_fell_due(replica, QUEUE, 1_000);
    eventually_eq(|| master.info("role"), "slave");
    eventually_within(AGREEMENT, || master.digest() == replica.digest());
    let Value::Int(keys) = replica.run("DBSIZE") else { panic!("a count") };
    assert_eq!(keys, 2);
}
