//! `TASK.COMPLETE queue id result [ATTEMPT n] [RETAIN ms] [NEXT [options of CLAIM]]`

use crate::args::Args;
use crate::commands::claiming::{self, Claiming, refuse_repeat};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::Env;
use taskqueue::Txn;
use taskqueue::op::{self, Completion};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.complete",
    handler: handler(complete),
    flags: "write fast blocking",
    arity: -4,
    summary: "Publishes the result of a claimed task, once, and wakes who waits for it.",
    complexity: "O(log N) for N tasks kept",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("id"),
        Arg::string("result").summary("Any bytes."),
        Arg::integer("attempt").token("ATTEMPT").optional().summary("The claim's number: refused if it was lost."),
        Arg::integer("retain-ms").token("RETAIN").optional().summary("How long the result is kept; -1: for ever."),
        claiming::NEXT,
    ],
    access: Access::Update,
    acl: "write fast blocking",
};

fn complete(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id, result) = (args.key()?, args.id()?, args.payload("result")?);
    let (mut attempt, mut retain, mut next) = (None, None, None);
    while let Some(word) = args.option() {
        if word.is("ATTEMPT") {
            args.set_attempt(&mut attempt, &word)?;
        } else if word.is("RETAIN") {
            args.set_retention(&mut retain, &word)?;
        } else if let Some(claiming) = Claiming::parse_next(context, &mut args, &word)? {
            next = Some(claiming);
        } else {
            return Err(word.unknown(SPEC.args));
        }
    }
    let operation = |txn: &mut Txn<'_>, env: &Env| {
        let completion = op::complete(txn, id, attempt, result, retain, &env.defaults)?;
        refuse_repeat(context, completion == Completion::Repeated)
    };
    claiming::answer(context, queue, next.as_ref(), operation, |()| context.ok())
}
