//! `TASK.COLLECT queue batch cursor [COUNT n] [BLOCK ms]`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::waiters::{self, Reading};
use taskqueue::EndsCursor;

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
    let (count, block) = args.count_and_block()?;
    waiters::read(context, name, Reading::Ends(batch.into(), cursor), count, block)
}
