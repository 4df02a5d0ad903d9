//! `TASK.EXPLAIN queue id`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::now;
use crate::value::QUEUE;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.explain",
    handler: handler(explain),
    flags: "readonly fast",
    arity: 3,
    summary: "Says why a task is not running: a word, and a sentence.",
    complexity: "O(N) for N tasks before it in line, of which at most 1,000 are counted",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[Arg::key("queue"), Arg::string("id")],
    access: Access::Read,
    acl: "read fast",
};

fn explain(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let key = context.open_read(queue, &QUEUE)?;
    match key.value()?.and_then(|value| Some(value.queue.explain(value.queue.find(id)?, now()))) {
        Some(explanation) => {
            context.array(2);
            context.bulk(explanation.word().as_bytes());
            context.bulk(explanation.to_string().as_bytes());
        }
        None => context.null_array(),
    }
    Ok(())
}
