//! A real server of the test's own: started in a directory of its own, ended with the test.

use super::{Builder, Client, Value, eventually, eventually::PATIENCE};
use std::{
    cell::RefCell,
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Words that only a broken server or a broken module writes into its log.
const SIGNS_OF_A_CRASH: [&str; 5] =
    ["BUG REPORT", "ASSERTION FAILED", "crashed by signal", "Guru Meditation", "a bug was caught"];

/// Whether a server that is shut down saves its data first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    Save,
    NoSave,
}

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
    client: RefCell<Option<Client>>,
    killed: bool,
}

impl Server {
    /// A server with the module and the defaults of the tests.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a server on the redis.conf in `directory`, or gives its log.
    pub(super) fn launch(directory: TempDir, port: u16, environment: Vec<(OsString, OsString)>) -> Result<Self, String> {
        let process = spawn(&directory, &environment);
        let mut server = Self { process, port, directory, environment, client: RefCell::default(), killed: false };
        if server.comes_up() { Ok(server) } else { Err(server.log()) }
    }

    /// A replica of `master`, in step with it.
    #[track_caller]
    pub(crate) fn replica_of(master: &Server) -> Self {
        let replica = Self::builder().replica_of(master).start();
        master.wait_for_replica(&replica);
        // A fresh replica can be online and receive nothing for up to a second.
        if !master.run("SET in-step yes").is_error() {
            eventually(|| replica.run("GET in-step") == "yes");
            master.run("DEL in-step");
            master.wait_for_replica(&replica);
        }
        replica
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Runs a line over the server's own connection; see `Client::run`.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Value {
        self.with_client(|client| client.run(line))
    }

    /// Runs a command given as arguments of any bytes.
    #[track_caller]
    pub(crate) fn cmd(&self, arguments: &[&[u8]]) -> Value {
        self.with_client(|client| client.cmd(arguments))
    }

    /// Runs lines one after the other, none of which may answer an error.
    #[track_caller]
    pub(crate) fn run_all(&self, lines: &[&str]) {
        for line in lines {
            let reply = self.run(line);
            assert!(!reply.is_error(), "{line}: {reply:?}");
        }
    }

    /// Leaves the server's own connection, which somebody has killed, for a new one.
    pub(crate) fn reconnect(&self) {
        self.client.take();
    }

    #[track_caller]
    fn with_client(&self, run: impl FnOnce(&mut Client) -> Value) -> Value {
        let mut client = self.client.borrow_mut();
        run(client.get_or_insert_with(|| self.client()))
    }

    /// A field of INFO, empty if there is none.
    #[track_caller]
    pub(crate) fn info(&self, field: &str) -> String {
        let info = self.run("INFO everything").text();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim_end().to_owned()
    }

    /// Waits until exactly `count` clients are blocked.
    #[track_caller]
    pub(crate) fn wait_for_blocked(&self, count: usize) {
        eventually(|| self.info("blocked_clients") == count.to_string());
    }

    /// Sends `line` over a connection of its own and waits until that connection is blocked.
    #[track_caller]
    pub(crate) fn block(&self, line: &str) -> Client {
        let blocked: usize = self.info("blocked_clients").parse().expect("a count");
        let mut client = self.client();
        client.send(line);
        self.wait_for_blocked(blocked + 1);
        client
    }

    /// DEBUG DIGEST: equal on two servers that hold the same data.
    #[track_caller]
    pub(crate) fn digest(&self) -> String {
        self.run("DEBUG DIGEST").text()
    }

    /// DUMP of `key`: the queue byte for byte; empty if there is no such key.
    #[track_caller]
    pub(crate) fn dump(&self, key: &str) -> Vec<u8> {
        match self.cmd(&[b"DUMP", key.as_bytes()]) {
            Value::NullBulk => Vec::new(),
            dump => dump.bytes().to_vec(),
        }
    }

    /// Waits until `replica` has applied all that this server has written so far.
    #[track_caller]
    pub(crate) fn wait_for_replica(&self, replica: &Server) {
        eventually(|| {
            let offset = self.info("master_repl_offset");
            replica.info("master_link_status") == "up"
                && replica.info("slave_repl_offset") == offset
                && self.info("master_repl_offset") == offset
                && (0..9).any(|n| {
                    let line = self.info(&format!("slave{n}"));
                    line.contains(&format!("port={},state=online", replica.port))
                })
        });
    }

    /// Kills the server where it stands and starts it again on its files.
    #[track_caller]
    pub(crate) fn crash_and_restart(&mut self) -> &Self {
        self.end();
        self.start_again();
        self
    }

    /// Kills the server where it stands; `start_again` starts it on its files.
    pub(crate) fn kill(&mut self) {
        self.end();
        self.killed = true;
    }

    /// Shuts the server down in order and starts it again on its files.
    #[track_caller]
    pub(crate) fn restart(&mut self, shutdown: Shutdown) -> &Self {
        let save = if shutdown == Shutdown::Save { "SAVE" } else { "NOSAVE" };
        self.client().send(&format!("SHUTDOWN {save}"));
        eventually(|| self.process.try_wait().expect("a child").is_some());
        self.start_again();
        self
    }

    /// Where the server keeps its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// All that the server has logged.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Starts a server that has ended again, on its files.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.client.take();
        self.killed = false;
        self.process = spawn(&self.directory, &self.environment);
        assert!(self.comes_up(), "the server did not start again:\n{}", self.log());
    }

    /// Whether the server answers PING before it ends or the patience does.
    fn comes_up(&mut self) -> bool {
        let mut until = Instant::now() + 2 * *PATIENCE;
        let mut has_given_up = false;
        while Instant::now() < until {
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            if let Ok(mut client) = Client::try_connect(self.port) {
                // One that refuses its files may close the connection at any moment.
                let reply = client.try_run("PING");
                if matches!(reply, Ok(Value::Simple(pong)) if pong == "PONG") {
                    // Another process's server may have got the port first.
                    let own = format!("process_id:{}\r\n", self.process.id());
                    if client.try_run("INFO server").is_ok_and(|info| !info.is_error() && info.text().contains(&own)) {
                        return true;
                    }
                }
            }
            // Having refused an RDB, a server reads it once more to say where it is bad. If a module's value ends between two of its
            // strings, Redis 8.2 and Valkey 9.1 never come to the end of that.
            if !has_given_up && self.log().contains("Unrecoverable error, aborting now") {
                has_given_up = true;
                until = until.min(Instant::now() + *PATIENCE / 10);
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    pub(super) fn own_all_slots(&self) {
        self.run("CLUSTER ADDSLOTSRANGE 0 16383");
        eventually(|| self.run("CLUSTER INFO").text().contains("cluster_state:ok"));
    }

    /// Lets the server come to its end: only then does valgrind look for what was lost.
    fn shut_down(&mut self) {
        let said = Client::try_connect(self.port).and_then(|mut client| client.try_run("SHUTDOWN NOSAVE NOW FORCE"));
        let until = Instant::now() + *PATIENCE;
        while said.is_err() && matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let died = !self.killed && matches!(self.process.try_wait(), Ok(Some(_)));
        if env::var_os("REDIS_TASK_SHUTDOWN").is_some() && !self.killed && !died {
            self.shut_down();
        }
        self.end();
        let log = self.log();
        if thread::panicking() {
            let lines: Vec<_> = log.lines().collect();
            // A report of a crash from its beginning, else the end.
            let report = lines.iter().position(|line| line.contains("BUG REPORT START"));
            let tail = &lines[report.unwrap_or(lines.len()).min(lines.len().saturating_sub(40))..];
            eprintln!("--- log of the server on port {}:\n{}", self.port, tail.join("\n"));
            return;
        }
        // What `panics.rs` asks for does not count.
        let log = log.lines().filter(|line| !line.contains("a panic that was asked for")).collect::<Vec<_>>().join("\n");
        let sign = SIGNS_OF_A_CRASH.into_iter().find(|sign| log.contains(sign));
        assert!(sign.is_none(), "the server crashed ({sign:?}):\n{log}");
        assert!(!died || log.is_empty() || !log.contains("Ready to accept"), "the server died:\n{log}");
    }
}

/// The server binary under test.
pub(super) fn program() -> OsString {
    env::var_os("REDIS_TASK_SERVER").unwrap_or_else(|| "redis-server".into())
}

fn spawn(directory: &TempDir, environment: &[(OsString, OsString)]) -> Child {
    let program = program();
    let spawned = Command::new(&program)
        .arg("redis.conf")
        .current_dir(directory)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(child) => child,
        Err(e) => panic!("cannot start {}: {e} (REDIS_TASK_SERVER)", program.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, Shutdown};
    use crate::support::{bulk, int, nil};

    /// A replica is in step, a crash keeps the AOF and loses the rest, SHUTDOWN keeps what it is told to.
    #[test]
    fn servers_replicate_crash_and_restart() {
        let mut master = Server::builder().without_module().aof().start();
        let mut replica = Server::builder().without_module().replica_of(&master).start();
        for n in 0..100 {
            master.run(&format!("SET k{n} {n}"));
        }
        master.wait_for_replica(&replica);
        let digest = master.digest();
        assert_eq!(replica.digest(), digest);
        assert_eq!(replica.dump("k7"), master.dump("k7"));
        assert_eq!(master.crash_and_restart().digest(), digest);
        replica.run("REPLICAOF NO ONE");
        replica.run("CONFIG REWRITE");
        assert_eq!(replica.restart(Shutdown::Save).digest(), digest);
        replica.run("SET k7 changed");
        assert_eq!(replica.restart(Shutdown::NoSave).run("GET k7"), bulk("7"));
        assert_eq!(replica.crash_and_restart().run("GET none"), nil());
    }

    /// A cluster of one owns all slots; a server that refuses to start gives its log.
    #[test]
    fn servers_cluster_and_refuse() {
        let cluster = Server::builder().without_module().cluster().start();
        assert_eq!(cluster.run("DEL any"), int(0));
        assert_eq!(cluster.dump("any"), b"");
        let refused = Server::builder().without_module().config("loadmodule", "/no/such/module.so").try_start();
        assert!(refused.is_err_and(|log| log.contains("/no/such/module.so")));
    }

    /// A builder's lines reach the server.
    #[test]
    fn lines_reach_the_server() {
        let server = Server::builder().without_module().aof_without_preamble().config("hz", "50").start();
        assert_eq!(server.run("CONFIG GET hz").at(1), "50");
        assert_eq!(server.run("CONFIG GET aof-use-rdb-preamble").at(1), "no");
        assert_eq!(server.info("aof_enabled"), "1");
        assert!(server.log().contains("Ready to accept"));
        assert!(server.directory().join("redis.conf").exists());
    }
}
