//! A wall clock that a test sets while a server runs.

use std::{ffi::OsString, fs::File, os::unix::fs::FileExt, path::Path, process::Command};
use tempfile::TempDir;

/// The wall clock of the servers that are started with it; their monotonic clock goes on as it does.
pub(crate) struct Clock {
    directory: TempDir,
    offset: File,
}

impl Clock {
    /// A clock that is right. It is a library that a C compiler makes, which the module's build needs too.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let directory = TempDir::with_prefix("redis-task-clock-").expect("a temporary directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(directory.path().join("clock.so")).arg(source);
        assert!(compile.status().expect("a C compiler").success(), "the clock does not compile");
        let offset = File::create(directory.path().join("offset")).expect("a file");
        let clock = Self { directory, offset };
        clock.set(0);
        clock.go_in_steps(1);
        clock
    }

    /// Lets it show the same time for so many microseconds each.
    pub(crate) fn go_in_steps(&self, step_us: i64) {
        self.offset.write_all_at(&step_us.to_ne_bytes(), 8).expect("eight bytes");
    }

    /// Sets it to the true time and so many milliseconds more, or less.
    pub(crate) fn set(&self, offset_ms: i64) {
        self.offset.write_all_at(&(offset_ms * 1_000).to_ne_bytes(), 0).expect("eight bytes");
    }

    /// What a server is started with.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = |name: &str| self.directory.path().join(name).into_os_string();
        vec![("LD_PRELOAD".into(), path("clock.so")), ("REDIS_TASK_CLOCK".into(), path("offset"))]
    }
}
