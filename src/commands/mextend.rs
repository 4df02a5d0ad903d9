//! `TASK.MEXTEND queue numtasks id attempt [id attempt …] [LEASE ms]`

use crate::args::{Args, COUNT, POSITIVE_DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
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
    acl: "write slow task",
};

fn mextend(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let claims = claims(&mut args)?;
    let mut lease = None;
    while let Some(word) = args.option() {
        if !word.is("LEASE") {
            return Err(word.unknown());
        }
        args.set_duration(&mut lease, &word, &POSITIVE_DURATION)?;
    }
    let extended = transact(context, queue, Missing::Leave, |txn, _| {
        Ok(claims.iter().map(|&(id, attempt)| op::extend(txn, id, Some(attempt), lease, None)).collect())
    })?;
    let answers: Vec<Result<(), Refusal>> = extended.unwrap_or_else(|| vec![Err(Refusal::NoTask); claims.len()]);
    context.array(answers.len());
    for answer in answers {
        match answer {
            Ok(()) => context.ok(),
            Err(refusal) => context.refuse(&refusal.into()),
        }
    }
    Ok(())
}

/// `numtasks id attempt [id attempt …]`
fn claims<'a>(args: &mut Args<'a>) -> Result<Vec<(TaskId<'a>, u32)>, Error> {
    let count = args.integer("numtasks", &COUNT)?.unsigned_abs();
    if usize::try_from(count).map_or(true, |count| args.left() < count * 2) {
        return Err(Error::new("ERR", format!("syntax error: numtasks is {count}, but fewer pairs of id and attempt follow")));
    }
    (0..count).map(|_| Ok((args.id()?, args.attempt("attempt")?))).collect()
}
