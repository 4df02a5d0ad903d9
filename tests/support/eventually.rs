//! Bounded polling: the only way a test waits.

use std::{
    env,
    fmt::Debug,
    sync::LazyLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const STEP: Duration = Duration::from_millis(2);

/// How long anything that must happen may take on a busy machine: five seconds, times `REDIS_TASK_PATIENCE`.
pub(crate) static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let factor = env::var("REDIS_TASK_PATIENCE").ok().map(|factor| factor.parse().expect("REDIS_TASK_PATIENCE is a number"));
    Duration::from_secs(5) * factor.unwrap_or(1)
});

/// Waits until `condition` holds; panics after five seconds.
#[track_caller]
pub(crate) fn eventually(condition: impl FnMut() -> bool) {
    eventually_within(*PATIENCE, condition);
}

/// Waits until `condition` holds; panics after `patience`: for what takes several servers and their timeouts.
#[track_caller]
pub(crate) fn eventually_within(patience: Duration, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < until, "did not come true within {patience:?}");
        thread::sleep(STEP);
    }
}

/// Waits until `actual` gives `expected`; panics with the last value after five seconds.
#[track_caller]
pub(crate) fn eventually_eq<T, E>(mut actual: impl FnMut() -> T, expected: E)
where
    T: Debug + PartialEq<E>,
    E: Debug,
{
    let until = Instant::now() + *PATIENCE;
    loop {
        let last = actual();
        if last == expected {
            return;
        }
        assert!(Instant::now() < until, "after {:?} still\n  {last:?}\nand not\n  {expected:?}", *PATIENCE);
        thread::sleep(STEP);
    }
}

/// Asserts that `condition` holds at every look for `ms` milliseconds.
#[track_caller]
pub(crate) fn holds_for(ms: u64, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < until {
        assert!(condition(), "ceased to hold");
        thread::sleep(STEP);
    }
}

/// The wall clock, which the server on this machine shares, in Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}
