//! How a server is to be started: its redis.conf, its module, its port.

use super::{Clock, Server};
use std::{
    env,
    ffi::OsString,
    fmt::Write,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU16, Ordering},
};
use tempfile::TempDir;

/// What a server of the tests runs with unless a test says otherwise.
const DEFAULTS: &str = "\
bind 127.0.0.1
protected-mode no
save \"\"
appendonly no
appendfsync no
auto-aof-rewrite-percentage 0
enable-debug-command yes
repl-diskless-sync-delay 0
logfile server.log
";

/// How a server is to be started.
pub(crate) struct Builder {
    lines: Vec<String>,
    module: Option<PathBuf>,
    module_args: Vec<String>,
    cluster: bool,
    files: Vec<(PathBuf, Vec<u8>)>,
    environment: Vec<(OsString, OsString)>,
}

impl Builder {
    /// A server with the module and the defaults of the tests.
    pub(super) fn new() -> Self {
        Self {
            lines: Vec::new(),
            module: Some(module()),
            module_args: Vec::new(),
            cluster: false,
            files: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds a line of redis.conf.
    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }

    /// Keeps an append-only file (each write reaches the system before its reply).
    pub(crate) fn aof(self) -> Self {
        self.config("appendonly", "yes")
    }

    /// Keeps an append-only file that is rewritten as commands, not as an RDB.
    pub(crate) fn aof_without_preamble(self) -> Self {
        self.aof().config("aof-use-rdb-preamble", "no")
    }

    /// Starts as a replica of `master`; `Server::wait_for_replica` says when it is in step.
    pub(crate) fn replica_of(self, master: &Server) -> Self {
        self.config("replicaof", &format!("127.0.0.1 {}", master.port()))
    }

    /// Starts as a cluster of one node that owns all slots.
    pub(crate) fn cluster(mut self) -> Self {
        self.cluster = true;
        self.config("cluster-enabled", "yes").config("cluster-require-full-coverage", "no")
    }

    /// Goes by this wall clock.
    pub(crate) fn clock(mut self, clock: &Clock) -> Self {
        self.environment = clock.environment();
        self
    }

    /// Adds arguments to the loadmodule line.
    pub(crate) fn module_args(mut self, args: &[&str]) -> Self {
        self.module_args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Loads this build of the module instead.
    pub(crate) fn module(mut self, path: &Path) -> Self {
        self.module = Some(path.into());
        self
    }

    /// Starts a server without the module: for tests of these tests.
    pub(crate) fn without_module(mut self) -> Self {
        self.module = None;
        self
    }

    /// Puts a file into the server's directory: what it finds there when it starts.
    pub(crate) fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Starts the server; panics with its log if it does not come up.
    #[track_caller]
    pub(crate) fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(log) => panic!("the server did not start:\n{log}"),
        }
    }

    /// Starts the server, or gives the log of one that refused to start.
    #[track_caller]
    pub(crate) fn try_start(self) -> Result<Server, String> {
        let mut log = String::new();
        for _ in 0..20 {
            let port = free_port();
            let directory = TempDir::with_prefix("redis-task-").expect("a temporary directory");
            let conf = directory.path().join("redis.conf");
            fs::write(&conf, self.conf(port)).expect("a writable directory");
            for (path, content) in &self.files {
                let path = directory.path().join(path);
                fs::create_dir_all(path.parent().expect("a directory")).expect("a writable directory");
                fs::write(path, content).expect("a writable directory");
            }
            match Server::launch(directory, port, self.environment.clone()) {
                Ok(server) => {
                    if self.cluster {
                        server.own_all_slots();
                    }
                    return Ok(server);
                }
                Err(refusal) => log = refusal,
            }
            if !log.contains("Address already in use") {
                break;
            }
        }
        Err(log)
    }

    fn conf(&self, port: u16) -> String {
        let mut conf = format!("{DEFAULTS}port {port}\n");
        if let Some(path) = &self.module {
            let _ = writeln!(conf, "loadmodule {} {}", path.display(), self.module_args.join(" "));
        }
        for line in &self.lines {
            let _ = writeln!(conf, "{line}");
        }
        conf
    }
}

/// The module under test.
pub(crate) fn module() -> PathBuf {
    if let Some(path) = env::var_os("REDIS_TASK_MODULE") {
        return path.into();
    }
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target");
    ["release", "debug"]
        .map(|profile| target.join(profile).join("libredis_task.so"))
        .into_iter()
        .find(|path| path.exists())
        .expect("no module in target/: run `make build`")
}

/// The module with what only tests may have: TASK.FAULT, which makes callbacks panic, and TASK.STATE. `profile` is one of Cargo's.
pub(crate) fn faulty_module(profile: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fault");
    let mut build = cargo();
    build.args(["build", "--quiet", "--lib", "--features", "fault-injection", "--profile", profile, "--target-dir"]);
    assert!(build.arg(&target).status().expect("a cargo").success(), "the faulty module does not build");
    target.join(if profile == "dev" { "debug" } else { profile }).join("libredis_task.so")
}

/// A module that claims and completes at once whatever is pushed with the id `nested`.
pub(crate) fn listener_module() -> PathBuf {
    // Beside the tests, with which it shares what it depends on.
    let program = env::current_exe().expect("a program");
    let target = program.ancestors().nth(3).expect("a folder for what is built");
    let built = cargo().args(["build", "--quiet", "--example", "listener", "--target-dir"]).arg(target).status();
    assert!(built.expect("a cargo").success(), "the listening module does not build");
    target.join("debug/examples/liblistener.so")
}

/// The cargo that runs the tests, else the one in the PATH.
pub(crate) fn cargo() -> process::Command {
    let mut cargo = process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}

/// A free port below those that outgoing connections take; its cluster bus port is free too.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(process::id() % 997).unwrap_or_default() * 20;
    loop {
        let port = 10_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
}
