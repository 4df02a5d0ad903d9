//! What has happened in this server since it started, over all queues: for the server's INFO.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use taskqueue::Event;

/// What is shown, in the order of the notifications' table.
const SHOWN: [(&CStr, Event); 12] = [
    (c"events_push", Event::Push),
    (c"events_ready", Event::Ready),
    (c"events_claim", Event::Claim),
    (c"events_release", Event::Release),
    (c"events_lapse", Event::Lapse),
    (c"events_retry", Event::Retry),
    (c"events_complete", Event::Complete),
    (c"events_fail", Event::Fail),
    (c"events_cancel", Event::Cancel),
    (c"events_expire", Event::Expire),
    (c"events_drop", Event::Drop),
    (c"events_batch", Event::Batch),
];

/// On the main thread alone, so a load and a store will do.
struct Total(AtomicU64);

impl Total {
    const fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self, count: u64) {
        self.0.store(self.get().wrapping_add(count), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// By kind of event.
static EVENTS: [Total; Event::Restore as usize + 1] = [const { Total::zero() }; Event::Restore as usize + 1];
static REPLICATED_BYTES: Total = Total::zero();

/// Something has happened to a task or a batch.
pub(crate) fn count(event: Event) {
    if let Some(total) = EVENTS.get(event as usize) {
        total.add(1);
    }
}

/// Effects of so many bytes went to replicas and the AOF.
pub(crate) fn count_replicated(bytes: usize) {
    REPLICATED_BYTES.add(bytes as u64);
}

/// What INFO shows of it.
pub(crate) fn figures() -> [(&'static CStr, u64); 13] {
    let mut figures = [(c"replicated_bytes", REPLICATED_BYTES.get()); 13];
    for (figure, (name, event)) in figures.iter_mut().zip(SHOWN) {
        *figure = (name, EVENTS.get(event as usize).map_or(0, Total::get));
    }
    figures
}
