//! A Sentinel that watches over a master: the same server binary, told to be one.

use super::{Client, Server, builder::free_port, eventually, server::program};
use std::{
    fs,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A running Sentinel; it ends when this is dropped.
pub(crate) struct Sentinel {
    process: Child,
    port: u16,
    client: Client,
    _directory: TempDir,
}

impl Sentinel {
    /// A Sentinel that alone decides, and takes `master` for dead after some hundred milliseconds.
    #[track_caller]
    pub(crate) fn over(master: &Server) -> Self {
        let directory = TempDir::with_prefix("redis-task-sentinel-").expect("a temporary directory");
        let port = free_port();
        let conf = format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\nlogfile sentinel.log\n\
             sentinel monitor tasks 127.0.0.1 {} 1\nsentinel down-after-milliseconds tasks 400\n\
             sentinel failover-timeout tasks 3000\n",
            master.port()
        );
        fs::write(directory.path().join("sentinel.conf"), conf).expect("a writable directory");
        let process = Command::new(program())
            .args(["sentinel.conf", "--sentinel"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a server that can be a Sentinel");
        eventually(|| Client::try_connect(port).is_ok());
        Self { process, port, client: Client::connect(port), _directory: directory }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until it knows so many replicas.
    #[track_caller]
    pub(crate) fn wait_for_replicas(&mut self, count: usize) {
        eventually(|| self.client.run("SENTINEL REPLICAS tasks").items().len() == count);
    }

    /// The port of whom it takes for the master.
    #[track_caller]
    pub(crate) fn master_port(&mut self) -> u16 {
        let address = self.client.run("SENTINEL GET-MASTER-ADDR-BY-NAME tasks");
        address.at(1).text().parse().expect("a port")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
