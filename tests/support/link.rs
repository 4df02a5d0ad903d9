//! One connection of a load, to a server or to a cluster.

use super::{
    Client, Server, Value,
    cluster::{Cluster, ClusterClient},
};

/// What makes an answer count.
#[derive(Clone, Copy)]
pub(crate) enum Confirmation {
    /// That it came.
    Answer,
    /// That so many replicas have its write (WAIT).
    Replicas(usize),
    /// That its write is on the master's disk and on those of so many replicas (WAITAOF).
    Disks(usize),
}

pub(crate) enum Link {
    Server(Client),
    Cluster(ClusterClient),
}

fn is_at_least(count: &Value, least: usize) -> bool {
    matches!(count, Value::Int(n) if usize::try_from(*n).is_ok_and(|n| n >= least))
}

impl From<&Server> for Link {
    fn from(server: &Server) -> Self {
        Self::Server(server.client())
    }
}

impl From<&Cluster> for Link {
    fn from(cluster: &Cluster) -> Self {
        Self::Cluster(cluster.client())
    }
}

impl Link {
    #[track_caller]
    pub(crate) fn run(&mut self, line: &str) -> Value {
        match self {
            Self::Server(client) => client.run(line),
            Self::Cluster(client) => client.run(line),
        }
    }

    /// Runs many lines, in pipelines where that can be.
    #[track_caller]
    pub(crate) fn run_each(&mut self, lines: &[String]) -> Vec<Value> {
        match self {
            Self::Server(client) => client.run_each(lines),
            Self::Cluster(client) => lines.iter().map(|line| client.run(line)).collect(),
        }
    }

    /// The answer to a line, said once or, in a cluster, wherever it is sent; None if there is none.
    pub(crate) fn try_run(&mut self, line: &str) -> Option<Value> {
        match self {
            Self::Server(client) => client.try_run(line).ok(),
            Self::Cluster(client) => client.try_run(line),
        }
    }

    /// Whether the last answer's write is where it must be. It is asked on that answer's connection, or not at all: on any other
    /// WAIT says nothing of that write.
    pub(crate) fn is_confirmed(&mut self, by: Confirmation) -> bool {
        let client = match self {
            Self::Server(client) => Some(client),
            Self::Cluster(client) => client.last(),
        };
        let Some(client) = client else { return false };
        match by {
            Confirmation::Answer => true,
            Confirmation::Replicas(replicas) => {
                client.try_run(&format!("WAIT {replicas} 3000")).is_ok_and(|count| is_at_least(&count, replicas))
            }
            Confirmation::Disks(replicas) => client
                .try_run(&format!("WAITAOF 1 {replicas} 3000"))
                .is_ok_and(|counts| !counts.is_error() && is_at_least(counts.at(0), 1) && is_at_least(counts.at(1), replicas)),
        }
    }
}
