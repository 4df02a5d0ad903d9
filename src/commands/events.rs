//! `TASK.EVENTS queue cursor [COUNT n] [BLOCK ms]`

use crate::args::{Args, DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use crate::waiters::{self, EventsWish, Wish};
use taskqueue::{EventsCursor, Ms};

/// Events in a page, if COUNT does not say.
const COUNT_DEFAULT: usize = 10;

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
    let (mut count, mut block): (Option<usize>, Option<Ms>) = (None, None);
    while let Some(word) = args.option() {
        if word.is("COUNT") {
            args.set_count(&mut count, &word)?;
        } else if word.is("BLOCK") {
            args.set_duration(&mut block, &word, &DURATION)?;
        } else {
            return Err(word.unknown());
        }
    }
    let count = count.unwrap_or(COUNT_DEFAULT);
    let key = context.open_read(name, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    let page = waiters::events_of(queue, cursor, count)?;
    if let Some(block) = block.filter(|_| queue.is_some() && page.is_empty() && context.can_wait()) {
        drop(key);
        // What `$` means is settled now.
        waiters::wait(context, &[name], Wish::Events(EventsWish::new(page.next, count)), block);
        return Ok(());
    }
    waiters::reply_events(context, &page);
    Ok(())
}
