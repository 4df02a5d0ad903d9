//! `TASK.RESULT queue id [BLOCK ms]`

use crate::args::{Args, DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{Argv, KeyName};
use crate::reply;
use crate::value::QUEUE;
use crate::waiters::{self, Wish};
use taskqueue::{Ms, TaskId};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.result",
    handler: handler(result),
    flags: "readonly fast blocking",
    arity: -3,
    summary: "Answers a task's state and its result or error; can wait until there is one.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("id"),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for the task to end; 0: for ever."),
    ],
    access: Access::Read,
    acl: "read fast blocking task",
};

fn result(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let mut block: Option<Ms> = None;
    while let Some(word) = args.option() {
        if !word.is("BLOCK") {
            return Err(word.unknown());
        }
        args.set_duration(&mut block, &word, &DURATION)?;
    }
    if let Some(block) = block
        && is_pending(context, queue, id)?
    {
        let id = id.to_string().into();
        if waiters::wait(context, &[queue], Wish::Result { id }, block.0) {
            return Ok(());
        }
    }
    answer(context, queue, id)
}

/// Whether there is such a task and it has not ended.
fn is_pending(context: &Context, queue: KeyName<'_>, id: TaskId<'_>) -> Result<bool, Error> {
    let key = context.open_read(queue, &QUEUE)?;
    let Some(value) = key.value()? else { return Ok(false) };
    Ok(value.queue.find(id).is_some_and(|slot| !value.queue.result(slot).0.is_terminal()))
}

fn answer(context: &Context, queue: KeyName<'_>, id: TaskId<'_>) -> Result<(), Error> {
    let key = context.open_read(queue, &QUEUE)?;
    let value = key.value()?;
    match value.and_then(|value| Some((value, value.queue.find(id)?))) {
        Some((value, slot)) => reply::result(context, &value.queue, slot),
        None => context.null_array(),
    }
    Ok(())
}
