//! One connection of a load, to a server or to a cluster.

use super::{
    Client, Server, Value,
    cluster::{Cluster, ClusterClient},
};

pub(crate) enum Link {
    Server(Client),
    Cluster(ClusterClient),
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

    /// Whether so many replicas have the last answer's write. It is asked on that answer's connection, or not at all: on any other
    /// WAIT says nothing of that write.
    pub(crate) fn is_confirmed_by(&mut self, replicas: usize) -> bool {
        let client = match self {
            Self::Server(client) => Some(client),
            Self::Cluster(client) => client.last(),
        };
        let count = client.and_then(|client| client.try_run(&format!("WAIT {replicas} 3000")).ok());
        count.is_some_and(|count| matches!(count, Value::Int(n) if usize::try_from(n).is_ok_and(|n| n >= replicas)))
    }
}
