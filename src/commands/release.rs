//! `TASK.RELEASE queue id [ATTEMPT n] [DELAY ms] [NEXT [options of CLAIM]]`

use crate::args::{Args, DURATION};
use crate::commands::claiming::{self, Claiming, refuse_repeat};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::Env;
use taskqueue::{Txn, op};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.release",
    handler: handler(release),
    flags: "write fast blocking",
    arity: -3,
    summary: "Gives a claimed task back unfinished; the try does not count.",
    complexity: "O(log N) for N claims held",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("id"),
        Arg::integer("attempt").token("ATTEMPT").optional().summary("The claim's number: refused if it was lost."),
        Arg::integer("delay-ms")
            .token("DELAY")
            .optional()
            .summary("Ready again after so long. Default: at once, in its old place."),
        claiming::NEXT,
    ],
    access: Access::Update,
    acl: "write fast blocking",
};

fn release(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let (mut attempt, mut delay, mut next) = (None, None, None);
    while let Some(word) = args.option() {
        if word.is("ATTEMPT") {
            args.set_attempt(&mut attempt, &word)?;
        } else if word.is("DELAY") {
            args.set_duration(&mut delay, &word, &DURATION)?;
        } else if let Some(claiming) = Claiming::parse_next(context, &mut args, &word)? {
            next = Some(claiming);
        } else {
            return Err(word.unknown(SPEC.args));
        }
    }
    let operation = |txn: &mut Txn<'_>, _: &Env| {
        op::release(txn, id, attempt, delay.unwrap_or_default())?;
        refuse_repeat(context, txn.journal().events.is_empty())
    };
    claiming::answer(context, queue, next.as_ref(), operation, |()| context.ok())
}
