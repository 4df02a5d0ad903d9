//! `TASK.RESULT queue id [BLOCK ms]`

use crate::args::{Args, DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, KeySpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{Argv, KeyName};
use crate::value::QUEUE;
use crate::waiters::{self, Wish};
use crate::reply;
use taskqueue::{Ms, TaskId};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.result",
    handler: handler(result),
    flags: "readonly fast blocking",
    arity: -3,
    summary: "Answers a task's state and its result or error; can wait until there is one.",
    complexity: "O(1)",
    since: "0.1.0",
    history: &[],
    tips: "",
    args: &[
        Arg::key("queue", 0),
        Arg::string("id"),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for the task to end; 0: for ever."),
    ],
    keys: &[KeySpec::at(1, Access::Read)],
    acl: "read fast blocking task",
};

fn result(context: &Context, argv: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(argv);
    let (queue, id) = (args.key()?, args.id()?);
    let mut block: Option<Ms> = None;
    while let Some(word) = args.option() {
        if !word.is("BLOCK") {
            return Err(word.unknown());
        }
        args.set_duration(&mut block, &word, &DURATION)?;
    }
    if let (Some(block), true) = (block, is_pending(context, queue, id)?) {
        if waiters::wait(context, &[queue], Wish::Result { id: id.to_string().into() }, block.0) {
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
