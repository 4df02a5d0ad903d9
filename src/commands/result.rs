//! `TASK.RESULT queue id [BLOCK ms]`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::reply;
use crate::value::QUEUE;
use crate::waiters::{self, EndsWish, Form, Wish};

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
    acl: "read fast blocking",
};

fn result(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (name, id) = (args.key()?, args.id()?);
    let block = args.block()?;
    let key = context.open_read(name, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    let found = queue.and_then(|queue| Some(queue.result(queue.find(id)?)));
    if let Some(block) = block
        && found.is_some_and(|(state, _)| !state.is_terminal())
        && context.can_wait()
    {
        let wish = EndsWish::new(Form::Result, &[id.into()], queue);
        drop(key);
        waiters::wait(context, &[name], Wish::Ends(wish), block);
        return Ok(());
    }
    reply::result(context, found);
    Ok(())
}
