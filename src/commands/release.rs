//! `TASK.RELEASE queue id [ATTEMPT n] [DELAY ms]`

use crate::args::{Args, DURATION};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::{Refusal, op};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.release",
    handler: handler(release),
    flags: "write fast",
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
    ],
    access: Access::Update,
    acl: "write fast task",
};

fn release(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let (mut attempt, mut delay) = (None, None);
    while let Some(word) = args.option() {
        if word.is("ATTEMPT") {
            args.set_attempt(&mut attempt, &word)?;
        } else if word.is("DELAY") {
            args.set_duration(&mut delay, &word, &DURATION)?;
        } else {
            return Err(word.unknown());
        }
    }
    transact(context, queue, Missing::Leave, |txn, _| Ok(op::release(txn, id, attempt, delay.unwrap_or_default())?))?
        .ok_or(Refusal::NoTask)?;
    context.ok();
    Ok(())
}
