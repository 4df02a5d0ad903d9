//! What happens to the server and to keys, as far as the agenda and the waiters must know.

use crate::agenda;
use crate::redis::context::Context;
use crate::redis::event::{self, ServerEvent};
use crate::redis::keyspace::{self, KeyEvent};
use crate::sessions;

/// Called once, when the module is loaded.
pub(crate) fn subscribe(context: &Context) {
    agenda::set_master(context.flags().is_master());
    event::subscribe(context, on_server_event);
    keyspace::subscribe(context, on_key_event);
}

fn on_server_event(context: &Context, event: ServerEvent) {
    match event {
        ServerEvent::RoleChanged { is_master } => agenda::set_master(is_master),
        ServerEvent::LoadingStarted => agenda::loading_started(),
        ServerEvent::LoadingEnded => agenda::loading_ended(context),
        ServerEvent::FlushStarted(db) => agenda::flush(db),
        ServerEvent::Swapped(a, b) => agenda::swap(a, b),
        ServerEvent::ClientGone(client) => sessions::client_gone(client),
        ServerEvent::Cron => agenda::watch_clock(),
    }
}

/// A queue has come to a key by another way than a push. Only noted here: nothing is replicated in a notification.
fn on_key_event(context: &Context, event: KeyEvent<'_>) {
    if matches!(event.event, b"rename_to" | b"move_to" | b"copy_to" | b"restore") {
        agenda::note(context, &event.key.hold(), event.db);
    }
}
