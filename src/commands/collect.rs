//! `TASK.COLLECT queue batch cursor [COUNT n] [BLOCK ms]`

use crate::args::{Args, DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use crate::waiters::{self, CollectWish, Wish};
use taskqueue::{EndsCursor, Ms};

/// Ends in a page, if COUNT does not say.
const COUNT_DEFAULT: usize = 10;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.collect",
    handler: handler(collect),
    flags: "readonly blocking",
    arity: -4,
    summary: "Answers the results of a batch in the order in which its tasks end, page by page; can wait for the next one.",
    complexity: "O(C) for C results; and 1 in 1,000 of those of the batch",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("batch"),
        Arg::string("cursor").summary("0, then what the last page gave."),
        Arg::integer("count").token("COUNT").optional().summary("At most so many results, default 10."),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for the next end; 0: for ever."),
    ],
    access: Access::Read,
    acl: "read slow blocking",
};

fn collect(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (name, batch) = (args.key()?, args.batch()?);
    let cursor = EndsCursor::parse(args.bytes()?)
        .ok_or_else(|| Error::new("ERR", "cursor must be 0 or one that TASK.COLLECT has given"))?;
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
    let ends = waiters::ends_of(queue, batch, cursor, count)?;
    if let Some(block) = block.filter(|_| !waiters::are_worth_it(&ends) && context.can_wait()) {
        drop(key);
        waiters::wait(context, &[name], Wish::Collect(CollectWish::new(batch, ends.next, count)), block);
        return Ok(());
    }
    if let Some(queue) = queue {
        waiters::reply_ends(context, queue, &ends);
    }
    Ok(())
}
