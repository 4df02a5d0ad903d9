//! What is installed works.

use crate::support::{Server, Shutdown, eventually_within, module};
use std::{path::Path, process::Command, time::Duration};

/// Runs scripts/package with the module under test.
#[track_caller]
fn package(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/package"));
    let output = command.args(arguments).env("REDIS_TASK_MODULE", module()).output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The line that the installation prints, in redis.conf with settings below it, outlives CONFIG REWRITE, which Sentinel says too. A server
/// keeps the module that it has loaded while another one is installed.
#[test]
fn a_server_loads_what_was_installed() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("usr").display().to_string();
    let printed = package(&["install", &prefix]);
    let path = printed.lines().find_map(|line| line.strip_prefix("loadmodule ")).expect("a line that loads it");
    let builder = Server::builder().without_module().config("loadmodule", path);
    let mut server = builder.config("task.lease", "60000").config("task.attempts", "9").start();
    server.run_all(&["CONFIG SET task.attempts 7", "CONFIG REWRITE"]);
    let server = server.restart(Shutdown::NoSave);
    assert_eq!(server.run("CONFIG GET task.lease").at(1), "60000");
    assert_eq!(server.run("CONFIG GET task.attempts").at(1), "7");
    server.run("TASK.PUSH jobs x ID a");
    package(&["install", &prefix]);
    assert_eq!(server.run("TASK.CLAIM jobs").at(0), "a");
    assert_eq!(server.run("TASK.PUSH jobs x ID b"), "b");
    package(&["uninstall", &prefix]);
    let left = Command::new("find").arg(&prefix).args(["-type", "f"]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}

/// Without cargo, or with one that is too old, `make install` takes a module only if it is newer than its sources.
#[test]
fn what_is_out_of_date_is_not_installed() {
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("built.so");
    std::fs::copy(module(), &built).unwrap();
    let tools = folder.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let path = std::env::var_os("PATH").expect("a PATH");
    let names = "awk bash chmod dirname echo find head install make mv sed sh sort strip";
    for tool in names.split(' ') {
        let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.exists()).expect(tool);
        std::os::unix::fs::symlink(found, tools.join(tool)).unwrap();
    }
    let install = || {
        let mut command = Command::new("make");
        let prefix = format!("PREFIX={}/usr", folder.path().display());
        command.args(["--directory", env!("CARGO_MANIFEST_DIR"), "install", &prefix]);
        // As an argument it goes before what the Makefile says of it.
        let built = format!("REDIS_TASK_MODULE={}", built.display());
        let output = command.arg(built).env("PATH", &tools).env_remove("MAKEFLAGS").output().expect("make");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let cargo = tools.join("cargo");
    for old_cargo in [false, true] {
        if old_cargo {
            std::fs::write(&cargo, "#!/bin/sh\necho cargo 1.63.0\n").unwrap();
            std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        std::fs::File::open(&built).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        let (good, said) = install();
        assert!(good, "{said}");
        std::fs::File::open(&built).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let (good, said) = install();
        let why = if old_cargo { "cargo is 1.63.0" } else { "cargo is not in the PATH" };
        assert!(!good && said.contains(" is newer than ") && said.contains(why) && said.contains("Say `make build`"), "{said}");
    }
}

/// The Debian package holds the module, where its description says. (Where there is no dpkg, there is no such package.)
#[test]
fn the_package_has_what_its_description_loads() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let deb = package(&["deb", &path]);
    let root = folder.path().join("root");
    assert!(Command::new("dpkg-deb").args(["-x", deb.trim_end()]).arg(&root).status().unwrap().success());
    let field = |name: &str| {
        let output = Command::new("dpkg-deb").args(["-f", deb.trim_end(), name]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let description = field("Description");
    let load = description.lines().find_map(|line| line.strip_prefix(" loadmodule /")).expect("a line that loads it");
    let server = Server::builder().module(&root.join(load)).start();
    assert_eq!(server.run("TASK.PUSH jobs x ID a"), "a");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
}

/// The version that MODULE LIST shows is that of the package: 1.2.3 is 10203.
#[test]
fn module_list_has_the_version() {
    let server = Server::start();
    let numbers = env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse::<i64>().unwrap());
    let version = numbers.fold(0, |version, part| version * 100 + part);
    let modules = server.run("MODULE LIST");
    let task = modules.items().iter().find(|module| module.field("name") == "task").expect("the module");
    assert_eq!(task.field("ver").int(), version);
}

/// A replica is upgraded first, then the master fails over to it: a client that says its command again loses nothing.
#[test]
fn a_rolling_upgrade() {
    let mut first = Server::builder().aof().start();
    let mut second = Server::builder().aof().replica_of(&first).start();
    first.run("TASK.PUSH jobs x ID a");
    first.run("TASK.CLAIM jobs LEASE 600000");
    first.wait_for_replica(&second);
    second.crash_and_restart();
    let in_step = |replica: &Server| replica.info("master_link_status") == "up" && replica.info("master_sync_in_progress") == "0";
    eventually_within(Duration::from_secs(20), || in_step(&second));
    first.wait_for_replica(&second);
    assert_eq!(first.run("FAILOVER"), "OK");
    eventually_within(Duration::from_secs(20), || first.info("role") == "slave" && second.info("role") == "master");
    first.crash_and_restart();
    assert_eq!(second.run("TASK.COMPLETE jobs a done ATTEMPT 1"), "OK");
}
