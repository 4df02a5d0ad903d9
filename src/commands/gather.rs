//! `TASK.GATHER queue numids id [id …] [BLOCK ms]`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::reply;
use crate::value::QUEUE;
use crate::waiters::{self, EndsWish, Form, Wish};
use taskqueue::TaskId;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.gather",
    handler: handler(gather),
    flags: "readonly blocking",
    arity: -4,
    summary: "Answers the states of several tasks and their results or errors; can wait until all have ended.",
    complexity: "O(N) for N ids",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::integer("numids"),
        Arg::string("id").multiple().summary("Up to 10,000."),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for all of them to end; 0: for ever."),
    ],
    access: Access::Read,
    acl: "read slow blocking",
};

fn gather(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let name = args.key()?;
    let count = args.count_of("numids", 1)?;
    let ids = (0..count).map(|_| args.id()).collect::<Result<Vec<TaskId<'_>>, _>>()?;
    let block = args.block()?;
    let key = context.open_read(name, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    let result = |id| queue.and_then(|queue| Some(queue.result(queue.find(id)?)));
    if let Some(block) = block
        && ids.iter().any(|&id| result(id).is_some_and(|(state, _)| !state.is_terminal()))
        && context.can_wait()
    {
        let wish = EndsWish::new(Form::Gather, &ids.iter().map(|&id| id.into()).collect::<Vec<_>>(), queue);
        drop(key);
        waiters::wait(context, &[name], Wish::Ends(wish), block);
        return Ok(());
    }
    context.array(ids.len());
    for id in ids {
        reply::result_of(context, id, result(id));
    }
    Ok(())
}
