//! `TASK.EVENTS queue cursor [COUNT n] [BLOCK ms]`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::waiters::{self, Reading};
use taskqueue::EventsCursor;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.events",
    handler: handler(events),
    flags: "readonly blocking",
    arity: -3,
    summary: "Answers the changes of state that the queue keeps, page by page; can wait for the next one.",
    complexity: "O(C) for C events",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("cursor").summary("0: the oldest that is kept; $: after the newest; then what the last page gave."),
        Arg::integer("count").token("COUNT").optional().summary("At most so many events, default 10."),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for the next event; 0: for ever."),
    ],
    access: Access::Read,
    acl: "read slow blocking",
};

fn events(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let name = args.key()?;
    let cursor = EventsCursor::parse(args.bytes()?)
        .ok_or_else(|| Error::new("ERR", "cursor must be 0, $ or one that TASK.EVENTS has given"))?;
    let (count, block) = args.count_and_block()?;
    waiters::read(context, name, Reading::Events(cursor), count, block)
}
