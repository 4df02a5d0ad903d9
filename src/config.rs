//! The server-wide settings: what holds for a task that says nothing itself.

use crate::redis::config::Setting;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use taskqueue::{Defaults, Ms, Retention};

/// The longest duration, in milliseconds.
const MS_MAX: i64 = Ms::MAX.0.cast_signed();
/// The longest string that Redis takes by default, in bytes.
const BULK_MAX: i64 = 512 * 1024 * 1024;
/// For a retention: for ever.
const FOREVER: i64 = -1;

static LEASE: AtomicI64 = AtomicI64::new(0);
static ATTEMPTS: AtomicI64 = AtomicI64::new(0);
static BACKOFF: AtomicI64 = AtomicI64::new(0);
static TIMEOUT: AtomicI64 = AtomicI64::new(0);
static RETAIN: AtomicI64 = AtomicI64::new(0);
static RETAIN_FAILED: AtomicI64 = AtomicI64::new(0);
static MAX_PAYLOAD: AtomicI64 = AtomicI64::new(0);
static PUBLISH: AtomicBool = AtomicBool::new(false);
static APPLY_FROM_CLIENTS: AtomicBool = AtomicBool::new(false);

/// All settings, with default and range. The server sets the defaults while the module loads.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::integer("lease", &LEASE, 30_000, 1, MS_MAX),
    Setting::integer("attempts", &ATTEMPTS, 3, 0, u16::MAX as i64),
    Setting::integer("backoff", &BACKOFF, 1_000, 0, MS_MAX),
    Setting::integer("timeout", &TIMEOUT, 0, 0, MS_MAX),
    Setting::integer("retain", &RETAIN, 3_600_000, FOREVER, MS_MAX),
    Setting::integer("retain-failed", &RETAIN_FAILED, 604_800_000, FOREVER, MS_MAX),
    Setting::integer("max-payload", &MAX_PAYLOAD, BULK_MAX, 1, BULK_MAX),
    Setting::boolean("publish", &PUBLISH, false),
    Setting::boolean("apply-from-clients", &APPLY_FROM_CLIENTS, false).immutable(),
];

/// The settings as they are now.
pub(crate) fn defaults() -> Defaults {
    let timeout = duration(&TIMEOUT);
    Defaults {
        attempts: u16::try_from(ATTEMPTS.load(Ordering::Relaxed)).unwrap_or(u16::MAX),
        backoff: duration(&BACKOFF),
        lease: duration(&LEASE),
        timeout: (timeout != Ms(0)).then_some(timeout),
        retain: retention(RETAIN.load(Ordering::Relaxed)),
        retain_failed: retention(RETAIN_FAILED.load(Ordering::Relaxed)),
    }
}

/// Most bytes of a payload, a result or an error.
pub(crate) fn max_payload() -> usize {
    usize::try_from(MAX_PAYLOAD.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
}

/// Whether changes of state are told on the channels of the queues.
pub(crate) fn publishes() -> bool {
    PUBLISH.load(Ordering::Relaxed)
}

/// Whether a client may replay effects, as tools do that feed an AOF or a replication stream to a server.
pub(crate) fn applies_from_clients() -> bool {
    APPLY_FROM_CLIENTS.load(Ordering::Relaxed)
}

fn duration(cell: &AtomicI64) -> Ms {
    Ms(cell.load(Ordering::Relaxed).unsigned_abs())
}

/// A retention as commands and settings write it: milliseconds, or -1 for ever.
pub(crate) fn retention(ms: i64) -> Retention {
    u64::try_from(ms).map_or(Retention::Forever, |ms| Retention::For(Ms(ms)))
}

/// A retention as replies show it.
pub(crate) const fn retention_ms(retention: Retention) -> i64 {
    match retention {
        Retention::For(ms) => ms.0.cast_signed(),
        Retention::Forever => FOREVER,
    }
}
