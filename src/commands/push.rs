//! `TASK.PUSH queue payload [options]`

use crate::args::Args;
use crate::commands::pushing::{self, Pushing};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.push",
    handler: handler(push),
    flags: "write deny-oom fast",
    arity: -3,
    summary: "Adds a task to a queue and answers its id.",
    complexity: "O(1); O(log N) with DELAY, AT, TTL or GROUP, for N tasks with one or N groups",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ 2 + pushing::ID_OPTIONS.len() + pushing::UNIQUE_OPTIONS.len() + pushing::OPTIONS.len() }>(&[
        &[Arg::key("queue"), Arg::string("payload").summary("Any bytes.")],
        pushing::ID_OPTIONS,
        pushing::UNIQUE_OPTIONS,
        pushing::OPTIONS,
    ]),
    access: Access::Insert,
    acl: "write fast",
};

fn push(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, payload) = (args.key()?, args.payload("payload")?);
    let mut pushing = Pushing::default();
    while let Some(word) = args.option() {
        if !pushing.take_id(&mut args, &word)? && !pushing.take_unique(&mut args, &word)? && !pushing.take(&mut args, &word)? {
            return Err(word.unknown(SPEC.args));
        }
    }
    match pushing.run(context, queue, payload)? {
        Some(id) => context.id(id.as_id()),
        None => context.null(),
    }
    Ok(())
}
