//! `TASK.UNSCHEDULE queue name [name …]`

use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::op::{self, schedule_name};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.unschedule",
    handler: handler(unschedule),
    flags: "write",
    arity: -3,
    summary: "Removes schedules. Their tasks stay. Answers how many.",
    complexity: "O(C log N) for C of N schedules",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), Arg::string("name").multiple().summary("Up to 1,000.")],
    access: Access::Update,
    acl: "write slow",
};

/// Most names that one call may give.
const NAMES_MAX: usize = 1_000;

fn unschedule(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    if args.left() > NAMES_MAX {
        return Err(Error::new("ERR", format!("at most {NAMES_MAX} names can be given")));
    }
    let names = (0..args.left()).map(|_| Ok(schedule_name(args.bytes()?)?)).collect::<Result<Vec<&str>, Error>>()?;
    let count = transact(context, queue, Missing::Leave, |txn, _| {
        Ok(names.into_iter().filter(|name| op::unschedule(txn, name)).count())
    })?;
    context.count(count.unwrap_or(0));
    Ok(())
}
