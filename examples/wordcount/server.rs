//! A Redis server of our own, with the module, on a free port, in a folder that goes when it goes.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Error;

const MODULE: &str = "target/release/libredis_task.so";

pub(crate) struct Server {
    pub(crate) url: String,
    process: Child,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Result<Server, Error> {
        let module = env::var("REDIS_TASK_MODULE").unwrap_or_else(|_| MODULE.into());
        let module = fs::canonicalize(&module).map_err(|_| format!("no module at {module}: run `cargo build --release`"))?;
        let program = env::var("REDIS_TASK_SERVER").unwrap_or_else(|_| "redis-server".into());
        let folder = TempDir::with_prefix("redis-task-demo-")?;
        let log = folder.path().join("log");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "yes"])
            .args(["--save", "", "--dir"])
            .arg(folder.path())
            .arg("--loadmodule")
            .arg(module)
            .stdout(File::create(&log)?)
            .spawn()
            .map_err(|error| format!("{program}: {error}; name one in REDIS_TASK_SERVER"))?;
        let url = format!("redis://127.0.0.1:{port}/");
        let mut server = Server { url, process, _folder: folder };
        let give_up = Instant::now() + Duration::from_secs(10);
        while redis::Client::open(&*server.url)?.get_connection().is_err() {
            if server.process.try_wait()?.is_some() || Instant::now() > give_up {
                let log = fs::read_to_string(log)?;
                return Err(format!("{program} did not come up. It says:\n{log}").into());
            }
            sleep(Duration::from_millis(20));
        }
        println!("server   {program} on port {port}, appendonly yes");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}
