//! Another module that hears of changes and makes some: it claims and completes at once what is pushed with the id `nested`.
#![allow(missing_docs, reason = "the macro makes what has none")]

use redis_module::alloc::RedisAlloc;
use redis_module::{CallOptionsBuilder, CallReply, Context, NotifyEvent, redis_module};

fn on_event(context: &Context, _: NotifyEvent, event: &str, key: &[u8]) {
    let options = CallOptionsBuilder::new().replicate().errors_as_replies().build();
    let call = |command: &str, args: &[&[u8]]| drop(context.call_ext::<&[&[u8]], Result<CallReply<'_>, _>>(command, &options, args));
    if event == "task.push" {
        call("TASK.CLAIM", &[key]);
        // Refused if it was another one.
        call("TASK.COMPLETE", &[key, b"nested", b"done"]);
    }
}

redis_module! {
    name: "listener",
    version: 1,
    allocator: (RedisAlloc, RedisAlloc),
    data_types: [],
    commands: [],
    event_handlers: [[@MODULE: on_event]],
}
