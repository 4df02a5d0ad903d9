//! `TASK.MEXTEND queue numtasks id attempt [id attempt …] [LEASE ms]`

use crate::args::{Args, POSITIVE_DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::reply::{self, Outcomes};
use crate::transact::{Missing, transact};
use taskqueue::{Refusal, TaskId, op};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.mextend",
    handler: handler(mextend),
    flags: "write",
    arity: -5,
    summary: "The heartbeat of a worker with several tasks: renews the lease of each claim, and answers for each.",
    complexity: "O(C log N) for C tasks named and N claims held",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::integer("numtasks"),
        Arg::block("task", &[Arg::string("id"), Arg::integer("attempt")]).multiple(),
        Arg::integer("lease-ms").token("LEASE").optional().summary("From now. Default: the lease of each claim."),
    ],
    access: Access::Update,
    acl: "write slow",
};

fn mextend(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let claims = claims(&mut args)?;
    let mut lease = None;
    while let Some(word) = args.option() {
        if !word.is("LEASE") {
            return Err(word.unknown(SPEC.args));
        }
        args.set_duration(&mut lease, &word, &POSITIVE_DURATION)?;
    }
    let outcomes = transact(context, queue, Missing::Leave, |txn, _| {
        Ok(claims.iter().map(|&(id, attempt)| Ok(op::extend(txn, id, Some(attempt), lease, None)?)).collect::<Outcomes>())
    })?;
    reply::outcomes(context, &outcomes.unwrap_or_else(|| vec![Err(Refusal::NoTask.into()); claims.len()]));
    Ok(())
}

/// `numtasks id attempt [id attempt …]`
fn claims<'a>(args: &mut Args<'a>) -> Result<Vec<(TaskId<'a>, u32)>, Error> {
    let count = args.count_of("numtasks", 2)?;
    (0..count).map(|_| Ok((args.id()?, args.attempt("attempt")?))).collect()
}
