//! What one core of a server does.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Client, Connection, Pipeline, cmd, pipe};
use tempfile::TempDir;

use crate::Error;

const MODULE: &str = "target/release/libredis_task.so";
const TASKS: usize = 20_000;

struct Server {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Tasks in a second of CPU time, so many times over, with `depth` commands in each packet.
pub(crate) fn rounds(depth: usize, count: usize) -> Result<Vec<f64>, Error> {
    let server = start()?;
    let mut connection = connect(server.port)?;
    (0..count).map(|round| one_round(&mut connection, round, depth)).collect()
}

fn one_round(connection: &mut Connection, round: usize, depth: usize) -> Result<f64, Error> {
    let before = cpu(connection)?;
    for first in (0..TASKS).step_by(depth) {
        let ids: Vec<_> = (first..first + depth).map(|n| format!("{round}-{n}")).collect();
        each(&ids, |packet, id| packet.cmd("TASK.PUSH").arg("jobs").arg(&[b'x'; 100]).arg("ID").arg(id)).exec(connection)?;
        each(&ids, |packet, _| packet.cmd("TASK.CLAIM").arg("jobs")).exec(connection)?;
        each(&ids, |packet, id| packet.cmd("TASK.COMPLETE").arg("jobs").arg(id).arg(&[b'y'; 32]).arg("ATTEMPT").arg(1))
            .exec(connection)?;
        each(&ids, |packet, id| packet.cmd("TASK.RESULT").arg("jobs").arg(id)).exec(connection)?;
    }
    let took = cpu(connection)? - before;
    cmd("DEL").arg("jobs").exec(connection)?;
    Ok(f64::from(u32::try_from(TASKS)?) / took)
}

fn each(ids: &[String], add: impl for<'a> Fn(&'a mut Pipeline, &str) -> &'a mut Pipeline) -> Pipeline {
    let mut packet = pipe();
    for id in ids {
        add(&mut packet, id);
    }
    packet
}

/// The CPU seconds of the server's main thread.
fn cpu(connection: &mut Connection) -> Result<f64, Error> {
    let info: String = cmd("INFO").arg("cpu").query(connection)?;
    let mut sum = 0.0;
    for name in ["used_cpu_sys_main_thread:", "used_cpu_user_main_thread:"] {
        let value = info.lines().find_map(|line| line.strip_prefix(name)).ok_or("no CPU time in INFO")?;
        sum += value.trim().parse::<f64>()?;
    }
    Ok(sum)
}

fn start() -> Result<Server, Error> {
    let module = env::var("REDIS_TASK_MODULE").unwrap_or_else(|_| MODULE.into());
    let module = fs::canonicalize(&module).map_err(|_| format!("no module at {module}: run `cargo build --release`"))?;
    let program = env::var("REDIS_TASK_SERVER").unwrap_or_else(|_| "redis-server".into());
    let folder = TempDir::with_prefix("redis-task-rate-")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let process = Command::new(&program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(folder.path())
        .arg("--loadmodule")
        .arg(module)
        .stdout(File::create(folder.path().join("log"))?)
        .spawn()
        .map_err(|error| format!("{program}: {error}; name one in REDIS_TASK_SERVER"))?;
    let server = Server { port, process, _folder: folder };
    let give_up = Instant::now() + Duration::from_secs(10);
    while connect(port).is_err() && Instant::now() < give_up {
        sleep(Duration::from_millis(20));
    }
    Ok(server)
}

fn connect(port: u16) -> Result<Connection, Error> {
    Ok(Client::open(format!("redis://127.0.0.1:{port}/"))?.get_connection()?)
}
