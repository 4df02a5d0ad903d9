//! Messages to subscribers. They are not replicated, so they may be sent at any time: also while writes are paused.

use super::api;
use super::context::Context;
use super::string::OwnedName;

impl Context {
    /// Sends a message to those who subscribe here, in a cluster on any node, as PUBLISH does; or `in_shard`, as SPUBLISH does: to those who subscribe
    /// with SSUBSCRIBE, in a cluster on the nodes of the channel's shard, which must be this one.
    pub(crate) fn publish(&self, channel: &OwnedName, message: &[u8], in_shard: bool) {
        let message = OwnedName::new(message);
        let (context, channel, message) = (self.raw(), channel.as_name().raw(), message.as_name().raw());
        // SAFETY: the context is live, and so are the strings; what the server keeps it counts.
        unsafe {
            if in_shard {
                api!(RedisModule_PublishMessageShard(context, channel, message));
            } else {
                api!(RedisModule_PublishMessage(context, channel, message));
            }
        }
    }
}
