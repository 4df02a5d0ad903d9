//! The module's sections of the server's INFO: what concerns all queues. TASK.INFO shows one.

use crate::redis::info::Report;
use crate::{state, totals};
use std::ffi::CStr;

/// What a client is told that asks for it.
pub(crate) fn report(report: &Report) {
    section(report, c"totals", totals::figures);
    section(report, c"waiting", || state::with(|state| state.waiters.clients()));
    section(report, c"agenda", || state::with(|state| state.agenda.figures()));
}

fn section<const N: usize>(report: &Report, name: &CStr, figures: impl FnOnce() -> [(&'static CStr, u64); N]) {
    if report.section(name) {
        for (name, value) in figures() {
            report.number(name, value);
        }
    }
}
