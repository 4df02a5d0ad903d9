//! `TASK.MCOMPLETE queue numtasks id attempt result [id attempt result …] [RETAIN ms] [NEXT [options of CLAIM]]`

use crate::args::Args;
use crate::commands::claiming::{self, Claiming, refuse_repeat};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::reply::{self, Frame};
use crate::transact::{Env, Missing, transact};
use crate::waiters::TasksForm;
use taskqueue::op::{self, Completion};
use taskqueue::{Refusal, TaskId, Txn};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.mcomplete",
    handler: handler(mcomplete),
    flags: "write blocking",
    arity: -6,
    summary: "Publishes the results of several claimed tasks, each once, and answers for each.",
    complexity: "O(C log N) for C tasks named and N tasks kept",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::integer("numtasks"),
        Arg::block("task", &[Arg::string("id"), Arg::integer("attempt"), Arg::string("result")]).multiple(),
        Arg::integer("retain-ms").token("RETAIN").optional().summary("How long the results are kept; -1: for ever."),
        claiming::NEXT,
    ],
    access: Access::Update,
    acl: "write slow blocking",
};

fn mcomplete(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let count = args.count_of("numtasks", 3)?;
    let answers = (0..count).map(|_| Ok((args.id()?, args.attempt("attempt")?, args.payload("result")?)));
    let answers = answers.collect::<Result<Vec<(TaskId<'_>, u32, &[u8])>, Error>>()?;
    let (mut retain, mut next) = (None, None);
    while let Some(word) = args.option() {
        if word.is("RETAIN") {
            args.set_retention(&mut retain, &word)?;
        } else if let Some(claiming) = Claiming::parse_next(context, &mut args, &word)? {
            next = Some(claiming);
        } else {
            return Err(word.unknown(SPEC.args));
        }
    }
    if next.is_some() && context.flags().in_script() {
        // Valkey 9.1 runs no script any more after one that was answered an error in an array in an array.
        return Err(Error::new("ERR", "NEXT of TASK.MCOMPLETE is not for scripts and functions: say TASK.CLAIM after it"));
    }
    let complete_all = |txn: &mut Txn<'_>, env: &Env| {
        let complete = |&(id, attempt, result): &(TaskId<'_>, u32, &[u8])| {
            let completion = op::complete(txn, id, Some(attempt), result, retain, &env.defaults)?;
            refuse_repeat(context, completion == Completion::Repeated)
        };
        Ok(answers.iter().map(complete).collect::<Vec<_>>())
    };
    let Some(next) = next else {
        let outcomes = transact(context, queue, Missing::Leave, complete_all)?;
        reply::outcomes(context, &outcomes.unwrap_or_else(|| no_tasks(count)));
        return Ok(());
    };
    match next.claim_after(context, queue, complete_all, |outcomes| Frame::After(outcomes))? {
        Some((_, true)) => (),
        Some((outcomes, false)) => next.wait_or_nil(context, &[queue], TasksForm::After(outcomes)),
        None => next.wait_or_nil(context, &[queue], TasksForm::After(no_tasks(count))),
    }
    Ok(())
}

fn no_tasks(count: usize) -> Vec<Result<(), Error>> {
    vec![Err(Refusal::NoTask.into()); count]
}
