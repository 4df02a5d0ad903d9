//! `TASK.SET`: what a queue sets for itself; and what its settings do by themselves.

use crate::effect::Effect;
use crate::flow::{Pause, Settings};
use crate::txn::Txn;

/// Sets what the queue sets for itself. Nothing happens if that is what it has set; but a queue of which nothing else is known comes to be.
pub fn set(txn: &mut Txn<'_>, settings: &Settings) {
    let queue = txn.queue();
    if queue.settings() == *settings && !(queue.is_empty() && *settings == Settings::default()) {
        return;
    }
    let begins = settings.events > 0 && !txn.queue().has_events();
    txn.record_other(&Effect::Set(*settings));
    if begins {
        txn.record_other(&Effect::EventsBegun { at: txn.now() });
    }
}

/// Does what the settings have come to ask for: ends a pause, drops at most `count` tasks of which more are kept than may be.
pub(crate) fn keep_settings(txn: &mut Txn<'_>, count: usize) {
    rewind(txn);
    let settings = txn.queue().settings();
    if settings.paused_until.is_some_and(|until| until <= txn.now()) {
        set(txn, &Settings { pause: Pause::No, paused_until: None, ..settings });
    }
    drop_excess(txn, count);
}

/// Drops tasks of which more are kept than may be.
pub(crate) fn drop_excess(txn: &mut Txn<'_>, count: usize) {
    for _ in 0..count {
        let Some(slot) = txn.queue().next_excess() else { break };
        txn.record_drop(slot);
    }
}

/// Lets claims of the future count as of now: the clock has stepped back.
pub(crate) fn rewind(txn: &mut Txn<'_>) {
    let at = txn.now();
    if txn.queue().flow.as_deref().is_some_and(|flow| flow.is_ahead_of(at) && !sabotaged!(FutureStays)) {
        txn.record_other(&Effect::StartsRewound { at });
    }
}
