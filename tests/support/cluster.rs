//! A cluster of real servers, each master with a replica or without, and a client that goes where it is sent.

use super::{Client, Server, Value, eventually_within};
use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    time::Duration,
};

const SLOTS: usize = 16_384;
/// How long several servers may take to agree.
pub(crate) const AGREEMENT: Duration = Duration::from_secs(30);

/// Masters that share the slots evenly, and their replicas in the same order.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Server>,
    pub(crate) replicas: Vec<Server>,
}

impl Cluster {
    /// A cluster in which everybody knows everybody and all slots are served.
    #[track_caller]
    pub(crate) fn start(masters: usize, with_replicas: bool) -> Self {
        let start = |_| {
            let node = Server::builder().config("cluster-enabled", "yes").config("cluster-node-timeout", "1500");
            node.config("cluster-replica-validity-factor", "0").config("repl-diskless-load", "disabled").start()
        };
        let replicas: Vec<_> = (0..if with_replicas { masters } else { 0 }).map(start).collect();
        let masters: Vec<_> = (0..masters).map(start).collect();
        let share = |n: usize| n * SLOTS / masters.len();
        for (n, master) in masters.iter().enumerate() {
            let Range { start, end } = share(n)..share(n + 1);
            let reply = master.run(&format!("CLUSTER ADDSLOTSRANGE {start} {}", end - 1));
            assert_eq!(reply, "OK");
        }
        let cluster = Self { masters, replicas };
        for (n, node) in cluster.nodes().enumerate() {
            node.run(&format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1));
            for other in cluster.nodes().skip(n + 1) {
                node.run(&format!("CLUSTER MEET 127.0.0.1 {}", other.port()));
            }
        }
        let size = cluster.nodes().count();
        cluster.agree(|node| {
            node.run("CLUSTER NODES").text().matches("connected").count() == size
                && !node.run("CLUSTER NODES").text().contains("handshake")
        });
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            assert_eq!(replica.run(&format!("CLUSTER REPLICATE {}", id(master))), "OK");
        }
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            eventually_within(AGREEMENT, || replica.info("master_link_status") == "up");
            eventually_within(AGREEMENT, || master.info("connected_slaves") == "1");
        }
        let replicas = cluster.replicas.len();
        cluster.agree(|node| {
            let nodes = node.run("CLUSTER NODES").text();
            node.run("CLUSTER INFO").text().contains("cluster_state:ok") && nodes.matches("slave").count() == replicas
        });
        cluster
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Server> {
        self.masters.iter().chain(&self.replicas)
    }

    /// Waits until each node says so.
    #[track_caller]
    pub(crate) fn agree(&self, says: impl Fn(&Server) -> bool) {
        eventually_within(AGREEMENT, || self.nodes().all(&says));
    }

    /// The slot of a key, its master, and another one.
    #[track_caller]
    pub(crate) fn place(&self, key: &str) -> (usize, &Server, &Server) {
        let slot = self.masters[0].run(&format!("CLUSTER KEYSLOT {key}")).int();
        let slot = usize::try_from(slot).expect("a slot");
        let owner = (0..self.masters.len()).find(|n| slot < (n + 1) * SLOTS / self.masters.len()).expect("an owner");
        (slot, &self.masters[owner], &self.masters[(owner + 1) % self.masters.len()])
    }

    /// A client that goes where it is sent.
    pub(crate) fn client(&self) -> ClusterClient {
        ClusterClient { ports: self.nodes().map(Server::port).collect(), at: 0, last: 0, clients: HashMap::new() }
    }
}

/// The node's name in the cluster.
#[track_caller]
pub(crate) fn id(node: &Server) -> String {
    node.run("CLUSTER MYID").text()
}

/// Moves a slot that others use meanwhile, key by key, as redis-cli does.
#[track_caller]
pub(crate) fn migrate_slot(slot: usize, source: &Server, target: &Server) {
    target.run_all(&[&format!("CLUSTER SETSLOT {slot} IMPORTING {}", id(source))]);
    source.run_all(&[&format!("CLUSTER SETSLOT {slot} MIGRATING {}", id(target))]);
    loop {
        let keys = source.run(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
        if keys.items().is_empty() {
            break;
        }
        for key in keys.items() {
            let reply = source.run(&format!("MIGRATE 127.0.0.1 {} {} 0 5000", target.port(), key.text()));
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
    for node in [target, source] {
        node.run_all(&[&format!("CLUSTER SETSLOT {slot} NODE {}", id(target))]);
    }
}

/// Whether the server can move slots whole (Valkey 9).
#[track_caller]
pub(crate) fn migrates_atomically(server: &Server) -> bool {
    let help = server.run("CLUSTER HELP");
    !help.is_error() && help.items().iter().any(|line| line.text().contains("MIGRATESLOTS"))
}

/// Moves a slot whole.
#[track_caller]
pub(crate) fn migrate_slot_atomically(slot: usize, source: &Server, target: &Server) {
    let reply = source.run(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {}", id(target)));
    assert_eq!(reply, "OK");
    eventually_within(AGREEMENT, || {
        let migrations = format!("{:?}", source.run("CLUSTER GETSLOTMIGRATIONS"));
        assert!(!migrations.contains("failed"), "{migrations}");
        migrations.contains("success")
    });
}

/// Follows MOVED and ASK, and tries again while a node or the cluster is down.
pub(crate) struct ClusterClient {
    ports: Vec<u16>,
    at: usize,
    /// Who gave the last answer.
    last: u16,
    clients: HashMap<u16, Client>,
}

impl ClusterClient {
    /// Runs a line wherever its key is.
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Value {
        let mut answer = None;
        eventually_within(AGREEMENT, || {
            answer = self.try_run(line);
            answer.is_some()
        });
        answer.expect("an answer")
    }

    /// Runs a line wherever its key is; None if there is no answer now.
    pub(crate) fn try_run(&mut self, line: &str) -> Option<Value> {
        let mut port = self.ports[self.at];
        let mut ask = false;
        for _ in 0..5 {
            let Some(reply) = self.run_at(port, ask, line) else { break };
            let Value::Error(message) = &reply else { return Some(reply) };
            match message.split(' ').next().unwrap_or_default() {
                code @ ("MOVED" | "ASK") => {
                    ask = code == "ASK";
                    port = message.rsplit(':').next()?.parse().ok()?;
                }
                "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "READONLY" | "UNBLOCKED" | "MASTERDOWN" => break,
                _ => return Some(reply),
            }
        }
        self.at = (self.at + 1) % self.ports.len();
        None
    }

    /// The connection of the last answer, if it is still open.
    pub(crate) fn last(&mut self) -> Option<&mut Client> {
        self.clients.get_mut(&self.last)
    }

    fn run_at(&mut self, port: u16, ask: bool, line: &str) -> Option<Value> {
        let client = match self.clients.entry(port) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(free) => free.insert(Client::try_connect(port).ok()?),
        };
        self.last = port;
        let reply = if ask { client.try_run("ASKING").and_then(|_| client.try_run(line)) } else { client.try_run(line) };
        if reply.is_err() {
            self.clients.remove(&port);
        }
        reply.ok()
    }
}
