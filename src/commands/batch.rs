//! `TASK.BATCH queue batch [JSON]`

use crate::args::Args;
use crate::commands::fields::{Field, Fields, JSON_OBJECT};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use taskqueue::{BatchView, State};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.batch",
    handler: handler(batch),
    flags: "readonly fast",
    arity: -3,
    summary: "Shows a batch: how many tasks it has, by state, whether it is sealed and whether it is done.",
    complexity: "O(log N) for N batches",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), Arg::string("batch"), JSON_OBJECT],
    access: Access::Read,
    acl: "read fast",
};

fn batch(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, name, json) = (args.key()?, args.batch()?, args.json()?);
    let key = context.open_read(queue, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    match queue.and_then(|queue| Some(queue.view_batch(queue.find_batch(name)?))) {
        Some(view) => fields(&view).reply_as(context, json),
        None if json => context.null(),
        None => context.null_array(),
    }
    Ok(())
}

fn fields(batch: &BatchView) -> Fields<'static> {
    let counts = State::ALL.into_iter().zip(batch.counts).map(|(state, count)| (state.name(), count.into()));
    let ends = [("sealed", Field::Integer(batch.sealed.into())), ("done", Field::Integer(batch.done.into()))];
    Fields([("total", batch.total.into())].into_iter().chain(counts).chain(ends).collect())
}
