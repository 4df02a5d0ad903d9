//! Listens to the keyspace events of the module.

use super::{Client, Server, eventually::PATIENCE};
use std::time::Duration;

/// A connection that has subscribed to `task.*` of database 0.
pub(crate) struct Events {
    client: Client,
}

impl Events {
    /// Turns the module's keyspace events on and listens to them.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        assert_eq!(server.run("CONFIG SET notify-keyspace-events Ed"), "OK");
        let mut client = server.client();
        client.run("PSUBSCRIBE __keyevent@0__:task.*");
        Self { client }
    }

    /// The next event and its key, as `task.push jobs`; panics after five seconds.
    #[track_caller]
    pub(crate) fn next(&mut self) -> String {
        self.next_within(*PATIENCE).expect("an event")
    }

    /// The next event, if one comes within `patience`.
    #[track_caller]
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<String> {
        let message = self.client.try_read(patience).expect("an open connection")?;
        let (channel, key) = (message.at(2).text(), message.at(3).text());
        let event = channel.strip_prefix("__keyevent@0__:").expect("a keyevent channel");
        Some(format!("{event} {key}"))
    }

    /// Expects these events next, in this order, all of the queue `jobs`.
    #[track_caller]
    pub(crate) fn expect(&mut self, events: &[&str]) {
        for (n, event) in events.iter().enumerate() {
            assert_eq!(self.next(), format!("task.{event} jobs"), "event {n} of {events:?}");
        }
    }

    /// Expects no event for `ms` milliseconds.
    #[track_caller]
    pub(crate) fn expect_none(&mut self, ms: u64) {
        assert_eq!(self.next_within(Duration::from_millis(ms)), None);
    }
}
