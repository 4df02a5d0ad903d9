//! Three masters and three replicas: real servers on free ports, in a folder that goes when they go.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{self, Child, Command};
use std::thread::sleep;
use std::time::Instant;

use redis::{Client, FromRedisValue, RedisResult, cmd};
use tempfile::TempDir;

use crate::{Error, PATIENCE, TICK};

const MODULE: &str = "target/release/libredis_task.so";
const SLOTS: usize = 16_384;
pub(crate) const MASTERS: usize = 3;

/// How long a node must be silent before the others take it for dead, in milliseconds.
const NODE_TIMEOUT_MS: &str = "1500";

/// The nodes: first the masters, then a replica of each, in the same order.
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    folder: TempDir,
}

pub(crate) struct Node {
    pub(crate) port: u16,
    process: Child,
}

impl Nodes {
    /// Starts them and waits until all slots are served and all replicas are in step.
    pub(crate) fn start() -> Result<Nodes, Error> {
        let mut nodes = Nodes { nodes: Vec::new(), folder: TempDir::with_prefix("redis-task-cluster-")? };
        let mut ports = free_ports();
        while nodes.nodes.len() < 2 * MASTERS {
            let port = ports.next().ok_or("no free ports")?;
            // Another program may have been quicker to take the port.
            if let Some(process) = nodes.launch(port)? {
                nodes.nodes.push(Node { port, process });
            }
        }
        nodes.join()?;
        Ok(nodes)
    }

    fn join(&self) -> Result<(), Error> {
        let first = self.nodes.first().ok_or("no node")?.port;
        for (n, node) in self.nodes.iter().enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()])?;
            if n < MASTERS {
                let (from, to) = (n * SLOTS / MASTERS, (n + 1) * SLOTS / MASTERS - 1);
                node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
            }
            if n > 0 {
                node.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &first.to_string()])?;
            }
        }
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (replica, master) in replicas.iter().zip(masters) {
            let id: String = master.ask(&["CLUSTER", "MYID"])?;
            // Refused until they have heard of each other.
            until("the nodes know each other", || replica.ask::<()>(&["CLUSTER", "REPLICATE", &id]).is_ok())?;
        }
        until("the cluster is complete", || self.nodes.iter().all(|node| node.sees(2 * MASTERS)))?;
        until("the replicas are in step", || replicas.iter().all(Node::is_in_step))
    }

    pub(crate) fn get(&self, n: usize) -> Result<&Node, Error> {
        Ok(self.nodes.get(n).ok_or("no such node")?)
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("redis://127.0.0.1:{}/", node.port)).collect()
    }

    /// Which of the masters begins with this key.
    pub(crate) fn home(&self, key: &str) -> Result<usize, Error> {
        let slot: usize = self.get(0)?.ask(&["CLUSTER", "KEYSLOT", key])?;
        Ok((0..MASTERS).find(|n| slot < (n + 1) * SLOTS / MASTERS).unwrap_or_default())
    }

    /// SIGKILL: it has no last word.
    pub(crate) fn kill(&mut self, n: usize) -> Result<(), Error> {
        let node = self.nodes.get_mut(n).ok_or("no such node")?;
        node.process.kill()?;
        node.process.wait()?;
        Ok(())
    }

    /// What a supervisor does with a dead process.
    pub(crate) fn start_again(&mut self, n: usize) -> Result<(), Error> {
        let port = self.get(n)?.port;
        let process = self.launch(port)?.ok_or("the node does not start again")?;
        self.nodes.get_mut(n).ok_or("no such node")?.process = process;
        Ok(())
    }

    /// Starts a server; none if it ended at once.
    fn launch(&self, port: u16) -> Result<Option<Child>, Error> {
        let module = env::var("REDIS_TASK_MODULE").unwrap_or_else(|_| MODULE.into());
        let module: PathBuf =
            fs::canonicalize(&module).map_err(|_| format!("no module at {module}: run `cargo build --release`"))?;
        let program = env::var("REDIS_TASK_SERVER").unwrap_or_else(|_| "redis-server".into());
        let folder = self.folder.path().join(port.to_string());
        fs::create_dir_all(&folder)?;
        let log = folder.join("log");
        let mut process = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes", "--save", ""])
            .args(["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT_MS])
            // While one part of the slots has no master, the others go on.
            .args(["--cluster-require-full-coverage", "no"])
            .args(["--repl-diskless-sync-delay", "0", "--dir"])
            .arg(&folder)
            .arg("--loadmodule")
            .arg(module)
            .stdout(File::create(&log)?)
            .spawn()
            .map_err(|error| format!("{program}: {error}; name one in REDIS_TASK_SERVER"))?;
        let give_up = Instant::now() + PATIENCE;
        let is_up = || Client::open(url(port)).and_then(|client| ask::<String>(&client, &["PING"])).is_ok();
        while Instant::now() < give_up && process.try_wait()?.is_none() {
            if is_up() {
                return Ok(Some(process));
            }
            sleep(TICK);
        }
        let _ = (process.kill(), process.wait());
        let said = fs::read_to_string(log)?;
        if said.contains("in use") { Ok(None) } else { Err(format!("the server did not start:\n{said}").into()) }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = (node.process.kill(), node.process.wait());
        }
    }
}

impl Node {
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        ask(&Client::open(url(self.port))?, command)
    }

    fn replication(&self) -> String {
        self.ask(&["INFO", "replication"]).unwrap_or_default()
    }

    pub(crate) fn is_master(&self) -> bool {
        self.replication().contains("role:master")
    }

    /// Whether it is a replica and has what its master has.
    pub(crate) fn is_in_step(&self) -> bool {
        self.replication().contains("master_link_status:up")
    }

    fn sees(&self, size: usize) -> bool {
        let info: String = self.ask(&["CLUSTER", "INFO"]).unwrap_or_default();
        let nodes: String = self.ask(&["CLUSTER", "NODES"]).unwrap_or_default();
        let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
        info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{size}")) && replicas == size - MASTERS
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

fn ask<T: FromRedisValue>(client: &Client, command: &[&str]) -> RedisResult<T> {
    let mut connection = client.get_connection()?;
    let (name, arguments) = command.split_first().unwrap_or((&"PING", &[]));
    cmd(name).arg(arguments).query(&mut connection)
}

/// Ports below those that outgoing connections take, so that a node finds its own again. That of its cluster bus is free too.
fn free_ports() -> impl Iterator<Item = u16> {
    let first = u16::try_from(process::id() % 9_000).unwrap_or_default();
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..9_000).map(move |n| 11_000 + (first + n) % 9_000).filter(move |port| free(*port) && free(*port + 10_000))
}

/// Waits for something that must come.
pub(crate) fn until(what: &str, mut comes: impl FnMut() -> bool) -> Result<(), Error> {
    let give_up = Instant::now() + PATIENCE;
    while !comes() {
        if Instant::now() > give_up {
            return Err(format!("waited in vain until {what}").into());
        }
        sleep(TICK);
    }
    Ok(())
}
