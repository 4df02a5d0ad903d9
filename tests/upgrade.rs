//! Upgrades while the queues are used, replicas first, as docs/operations.md says it; and the way back.
//!
//! `REDIS_TASK_OLD_MODULE` names the module to upgrade from (`make test-upgrade` builds one); without it the same is installed anew.

use crate::support::{
    Builder, Client, Server, Shutdown, eventually_within,
    history::{
        History, Load,
        flow::{Flow, FlowLoad},
        log::{Line, Rules, check_slots, slots},
    },
    module,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Long enough for a link to be found broken and set up again.
const RELINK: Duration = Duration::from_secs(15);

fn old_module() -> PathBuf {
    env::var_os("REDIS_TASK_OLD_MODULE").map_or_else(module, PathBuf::from)
}

/// A server, and the file that it loads its module from.
struct Node {
    server: Server,
    folder: TempDir,
}

impl Node {
    fn start(file: &Path, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let folder = TempDir::with_prefix("redis-task-").expect("a temporary directory");
        let place = folder.path().join("libredis_task.so");
        fs::copy(file, &place).expect("a module");
        Self { server: configure(Server::builder().module(&place)).start(), folder }
    }

    /// Moves another module into the place of the one that is loaded, and restarts the server.
    fn install(&mut self, file: &Path) {
        let (new, place) = (self.folder.path().join("new.so"), self.folder.path().join("libredis_task.so"));
        fs::copy(file, &new).expect("a module");
        fs::rename(&new, &place).expect("a place in the same folder");
        // A server that writes the first AOF after a sync does not shut down.
        eventually_within(RELINK, || self.server.info("aof_rewrite_in_progress") == "0");
        self.server.restart(Shutdown::Save);
    }

    /// Says that it is a replica in step.
    fn follows(&self) -> bool {
        self.server.info("master_link_status") == "up" && self.server.info("master_sync_in_progress") == "0"
    }

    /// The module's version, and how many commands it has.
    fn loaded(&self) -> (i64, usize) {
        let modules = self.server.run("MODULE LIST");
        let module = modules.items().iter().find(|module| module.field("name") == "task").expect("the module");
        let version = module.field("ver").int();
        (version, self.server.run("COMMAND LIST FILTERBY MODULE task").items().len())
    }
}

/// `FAILOVER`, and who was the master is not one after its restart either.
fn fail_over(from: &Node, to: &Node) {
    assert_eq!(from.server.run("FAILOVER"), "OK");
    eventually_within(RELINK, || to.server.info("role") == "master" && to.server.info("master_failover_state") == "no-failover");
    eventually_within(RELINK, || from.follows());
    from.server.run_all(&["CONFIG REWRITE"]);
    to.server.run_all(&["CONFIG REWRITE"]);
}

/// Between two slots of the schedule.
const EVERY_MS: i64 = 50;

/// Those who use the servers: one queue with all that workers and producers do, and one with limits, groups, keys and a schedule.
struct Users {
    history: Arc<History>,
    flow: Arc<Flow>,
}

impl Users {
    fn begin(server: &Server) -> Self {
        let line = |name: &str| match name.as_bytes().first() {
            Some(b'g') => Line::Strict,
            Some(b'r') => Line::Followed,
            _ => Line::Free,
        };
        let rules = Rules { rate: Some((200, 800)), concurrency: Some(3), maxlen: Some(50), line };
        let flow = Flow::new(rules, &["g0", "r0", "g1", "r1"]);
        flow.set(server);
        server.run_all(&[&format!("TASK.SCHEDULE jobs each x EVERY {EVERY_MS} MISFIRE all RETAIN -1")]);
        Self { history: History::over(["work".to_owned()]), flow }
    }

    fn start(&self, server: &Server) -> (Load, FlowLoad) {
        (Load::start(server, &self.history), FlowLoad::start(server, &self.flow, 0))
    }

    #[track_caller]
    fn wait_for_ends(&self) {
        self.history.wait_for_ends(50);
        self.flow.wait_for_ends(20);
    }

    #[track_caller]
    fn finish(&self, server: &Server) {
        self.history.finish(server);
        assert_eq!(server.run("TASK.UNSCHEDULE jobs each"), 1);
        let rows = self.flow.finish(server);
        // Not each of them: the queue may have been full.
        let wrong = check_slots(&slots(&rows, "each"), EVERY_MS, false);
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// The procedure: first the replica, then the master, which is a replica then. All of it under load.
fn upgrade(nodes: &mut [Node; 2], to: &Path, users: &Users) {
    let [master, replica] = nodes;
    let (load, flow_load) = users.start(&master.server);
    users.wait_for_ends();
    replica.install(to);
    eventually_within(RELINK, || replica.follows());
    users.wait_for_ends();
    users.history.fault("FAILOVER to another version");
    users.flow.fault();
    fail_over(master, replica);
    load.join();
    flow_load.join();
    let (load, flow_load) = users.start(&replica.server);
    users.wait_for_ends();
    master.install(to);
    eventually_within(RELINK, || master.follows());
    users.wait_for_ends();
    load.stop();
    flow_load.stop();
    replica.server.wait_for_replica(&master.server);
    users.history.check(&replica.server);
    users.flow.check(&replica.server);
    assert_eq!(replica.loaded(), master.loaded());
    nodes.swap(0, 1);
}

/// There and back again: nothing that was answered is lost or doubled, and master and replica are the same to the byte.
#[track_caller]
fn there_and_back(configure: impl Fn(Builder) -> Builder) {
    let (old, new) = (old_module(), module());
    let master = Node::start(&old, &configure);
    let replica = Node::start(&old, |builder| configure(builder).replica_of(&master.server));
    master.server.wait_for_replica(&replica.server);
    let users = Users::begin(&master.server);
    let mut nodes = [master, replica];
    let mut loaded = vec![nodes[0].loaded()];
    for to in [&new, &old] {
        upgrade(&mut nodes, to, &users);
        loaded.push(nodes[0].loaded());
    }
    println!("versions and commands: {loaded:?}");
    assert_eq!(loaded[0], loaded[2]);
    let [master, replica] = &nodes;
    users.finish(&master.server);
    eventually_within(RELINK, || replica.server.digest() == master.server.digest());
    for queue in ["work", "jobs"] {
        assert!(replica.server.dump(queue) == master.server.dump(queue), "{queue}");
    }
}

/// What a restart keeps is in the append-only file: each replica syncs anew.
#[test]
fn rolling_upgrade_there_and_back() {
    there_and_back(Builder::aof);
}

/// What a restart keeps is in the snapshot of the shutdown, with which a replica goes on where it was.
#[test]
fn rolling_upgrade_there_and_back_with_snapshots() {
    there_and_back(|builder| builder.config("save", "3600 1").config("repl-backlog-size", "64mb"));
}

/// A replica that is sent what its version does not know ends, rather than having other queues than its master.
#[test]
fn a_replica_ends_at_what_it_does_not_know() {
    let master = Server::start();
    let mut replica = Server::replica_of(&master);
    master.run_all(&["TASK.PUSH jobs x ID a"]);
    master.wait_for_replica(&replica);
    // What no version knows yet, as a newer master would send it: the version of packed effects, and an effect of a high number.
    master.run_all(&[r#"DEBUG REPLICATE TASK.APPLY jobs "\x01\x7f""#]);
    eventually_within(RELINK, || Client::try_connect(replica.port()).is_err());
    let log = replica.log();
    assert!(log.contains("The master has a newer version of the module, the replica ends"), "{log}");
    replica.kill();
    assert_eq!(master.count("jobs", "ready"), 1);
}

/// A server that starts with files of a newer version ends, and says why.
#[test]
fn files_of_a_newer_version_are_refused() {
    let queue = || Server::builder().config("save", "3600 1").config("rdbchecksum", "no").config("rdbcompression", "no");
    let mut server = queue().start();
    server.run("TASK.PUSH jobs x ID a");
    server.restart(Shutdown::Save);
    assert_eq!(server.count("jobs", "ready"), 1);
    let mut rdb = fs::read(server.directory().join("dump.rdb")).expect("an RDB");
    let key = rdb.windows(5).position(|bytes| bytes == b"\x04jobs").expect("the key");
    // A queue's effects begin with their version, 1, and the effect of the number 2.
    let version = key + rdb[key..].windows(2).position(|bytes| bytes == [1, 2]).expect("the effects");
    rdb[version] += 1;
    let log = queue().file("dump.rdb", rdb).try_start().err().expect("a server that refuses its file");
    assert!(log.contains("the queue 'jobs' cannot be loaded: the bytes are not effects of a known version"), "{log}");
    server.run("TASK.PUSH jobs x ID b");
    assert_eq!(server.count("jobs", "ready"), 2);
}
