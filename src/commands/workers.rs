//! `TASK.WORKERS queue [JSON]`

use crate::args::Args;
use crate::commands::fields::{Fields, JSON_ARRAY, reply_all};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::now;
use crate::value::QUEUE;
use taskqueue::WorkerView;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.workers",
    handler: handler(workers),
    flags: "readonly",
    arity: -2,
    summary: "Shows who holds claims: how many, the oldest, the next to end, and when the worker was last seen.",
    complexity: "O(N) for N claimed tasks",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[Arg::key("queue"), JSON_ARRAY],
    access: Access::Read,
    acl: "read slow",
};

fn workers(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, json) = (args.key()?, args.json()?);
    let key = context.open_read(queue, &QUEUE)?;
    let workers = key.value()?.map(|value| value.queue.claimants(now())).unwrap_or_default();
    reply_all(context, workers.iter().map(fields), json);
    Ok(())
}

fn fields<'a>(worker: &WorkerView<'a>) -> Fields<'a> {
    Fields(vec![
        ("name", worker.name.into()),
        ("claimed", worker.claimed.into()),
        ("oldest-claim", worker.oldest_claim.into()),
        ("deadline", worker.deadline.into()),
        ("last-seen", worker.last_seen.into()),
    ])
}
