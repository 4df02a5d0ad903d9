//! Messages to subscribers. They are not replicated, so they may be sent at any time: also while writes are paused.

use super::api;
use super::context::Context;
use super::string::OwnedName;

impl Context {
    /// Sends a message to those who subscribe here, as PUBLISH does; in a cluster, on any node.
    pub(crate) fn publish(&self, channel: &OwnedName, message: &[u8]) {
        let message = OwnedName::new(message);
        // SAFETY: the context is live, and so are the strings; what the server keeps it counts.
        unsafe {
            api!(RedisModule_PublishMessage(self.raw(), channel.as_name().raw(), message.as_name().raw()));
        }
    }

    /// Sends a message to those who subscribe with SSUBSCRIBE, as SPUBLISH does: here, and in a cluster on the nodes of the shard, which must
    /// be this one.
    pub(crate) fn publish_in_shard(&self, channel: &OwnedName, message: &[u8]) {
        let message = OwnedName::new(message);
        // SAFETY: see `publish`.
        unsafe {
            api!(RedisModule_PublishMessageShard(self.raw(), channel.as_name().raw(), message.as_name().raw()));
        }
    }
}
