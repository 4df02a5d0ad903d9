//! The module's sections of the server's INFO: what concerns all queues. TASK.INFO shows one.

use crate::redis::info::Report;
use crate::{state, totals};
use std::ffi::CStr;

/// What a client is told that asks for it.
pub(crate) fn report(report: &Report) {
    totals::report(report);
    if report.section(c"waiting") {
        show(report, state::with(|state| state.waiters.clients()));
    }
    if report.section(c"agenda") {
        show(report, state::with(|state| state.agenda.figures()));
    }
}

fn show<const N: usize>(report: &Report, figures: [(&CStr, u64); N]) {
    for (name, value) in figures {
        report.number(name, value);
    }
}
