//! `TASK.MCLAIM numqueues queue [queue …] [COUNT n] [WORKER name] [LEASE ms] [SESSION] [BLOCK ms]`

use crate::args::Args;
use crate::commands::claiming::{self, Claiming};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{Argv, KeyName};
use crate::reply::Frame;
use crate::value::QUEUE;
use crate::waiters::TasksForm;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.mclaim",
    handler: handler(mclaim),
    flags: "write blocking getkeys-api",
    arity: -3,
    summary: "Gives the next task, or several, of the first of several queues that has one; can wait for one.",
    complexity: "O(Q + C log N) for Q queues named, C tasks claimed and N claims held or N groups",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ 2 + claiming::OPTIONS.len() }>(&[
        &[Arg::integer("numqueues"), Arg::key("queue").multiple().summary("The first that has a task is claimed from.")],
        claiming::OPTIONS,
    ]),
    access: Access::UpdateCounted,
    acl: "write slow blocking",
};

/// Where the first queue stands, the command's name being number 0.
const QUEUES_AT: usize = 2;

fn mclaim(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    if context.asks_for_keys() {
        let count = args.count_of("numqueues", 1).unwrap_or(0);
        (QUEUES_AT..QUEUES_AT + count).for_each(|position| context.tell_key(position, SPEC.access));
        return Ok(());
    }
    let count = args.count_of("numqueues", 1)?;
    let queues = (0..count).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let claiming = Claiming::parse(context, &mut args)?;
    // All of them are looked at first: a key of another type refuses the command before it changes anything.
    let mut with_tasks = Vec::new();
    for &queue in &queues {
        if has_ready(context, queue)? {
            with_tasks.push(queue);
        }
    }
    for queue in with_tasks {
        // It may have none all the same, if their TTLs are over.
        if claiming.claim_and_reply(context, queue, Frame::Of(queue.bytes()))? {
            return Ok(());
        }
    }
    claiming.wait_or_nil(context, &queues, TasksForm::OfQueue);
    Ok(())
}

fn has_ready(context: &Context, queue: KeyName<'_>) -> Result<bool, Error> {
    let key = context.open_read(queue, &QUEUE)?;
    Ok(key.value()?.is_some_and(|value| value.queue.has_ready()))
}
