//! `TASK.SEAL queue batch`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::op;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.seal",
    handler: handler(seal),
    flags: "write deny-oom fast",
    arity: 3,
    summary: "Says that no more tasks will come to a batch. Answers how many it has.",
    complexity: "O(log N) for N batches",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), Arg::string("batch")],
    access: Access::Insert,
    acl: "write fast",
};

fn seal(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, batch) = (args.key()?, args.batch()?);
    let total = transact(context, queue, Missing::Create, |txn, _| Ok(op::seal(txn, batch)))?;
    context.count(total.unwrap_or(0));
    Ok(())
}
