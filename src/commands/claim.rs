//! `TASK.CLAIM queue [COUNT n] [WORKER name] [LEASE ms] [SESSION] [BLOCK ms]`

use crate::args::Args;
use crate::commands::claiming::{self, Claiming};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.claim",
    handler: handler(claim),
    flags: "write fast blocking",
    arity: -2,
    summary: "Gives the next task, or several, to a worker until the lease ends; can wait for one.",
    complexity: "O(C log N) for C tasks claimed and N claims held or N groups",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ 1 + claiming::OPTIONS.len() }>(&[&[Arg::key("queue")], claiming::OPTIONS]),
    access: Access::Update,
    acl: "write fast blocking",
};

fn claim(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    Claiming::parse(context, &mut args)?.run(context, queue)
}
