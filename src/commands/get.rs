//! `TASK.GET queue id [JSON]`

use crate::args::Args;
use crate::commands::fields::{self, JSON_OBJECT};
use crate::config;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.get",
    handler: handler(get),
    flags: "readonly fast",
    arity: -3,
    summary: "Shows all of a task.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), Arg::string("id"), JSON_OBJECT],
    access: Access::Read,
    acl: "read fast",
};

fn get(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id, json) = (args.key()?, args.id()?, args.json()?);
    let key = context.open_read(queue, &QUEUE)?;
    let value = key.value()?;
    match value.and_then(|value| Some((value, value.queue.find(id)?))) {
        Some((value, slot)) => {
            let task = value.queue.view(slot, &config::defaults());
            let mut fields = fields::of_task(&task, true);
            fields.0.extend(fields::of_dependencies(value.queue.after_view(slot)));
            fields.0.extend(fields::of_key(&task));
            fields.reply_as(context, json);
        }
        None if json => context.null(),
        None => context.null_array(),
    }
    Ok(())
}
