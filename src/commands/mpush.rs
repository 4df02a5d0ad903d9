//! `TASK.MPUSH queue numtasks payload [payload …] [options of PUSH]`

use crate::args::Args;
use crate::commands::pushing::{self, Pushing};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Env, Missing, id_floor, transact};
use taskqueue::{OwnedId, Txn, op};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.mpush",
    handler: handler(mpush),
    flags: "write deny-oom",
    arity: -4,
    summary: "Adds several tasks to a queue, all or none, and answers their ids.",
    complexity: "O(C); O(C log N) with DELAY, AT, TTL or GROUP, for C tasks added and N tasks with one or N groups",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ 3 + pushing::OPTIONS.len() }>(&[
        &[Arg::key("queue"), Arg::integer("numtasks"), Arg::string("payload").multiple().summary("Any bytes; up to 10,000.")],
        pushing::OPTIONS,
    ]),
    access: Access::Insert,
    acl: "write slow",
};

/// Most dependencies of all tasks together: one command's work is bounded.
const TIES_MAX: usize = 10_000;

fn mpush(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let name = args.key()?;
    let count = args.count_of("numtasks", 1)?;
    let payloads = (0..count).map(|_| args.payload("payload")).collect::<Result<Vec<&[u8]>, _>>()?;
    let mut pushing = Pushing::default();
    while let Some(word) = args.option() {
        if !pushing.take(&mut args, &word)? {
            let is_of_one = ["ID", "NX", "RENEW", "UNIQUE", "FOR", "REPLACE"].into_iter().any(|option| word.is(option));
            let error = || Error::new("ERR", format!("syntax error: {word} goes with a push of one task"));
            return Err(if is_of_one { error() } else { word.unknown(SPEC.args) });
        }
    }
    let ties = payloads.len() * pushing.dependencies();
    if ties > TIES_MAX {
        let error = format!("numtasks times numids is {ties}: one MPUSH makes at most {TIES_MAX} dependencies");
        return Err(Error::new("ERR", error));
    }
    let push = pushing.push(&[])?;
    let push_all = |txn: &mut Txn<'_>, _: &Env| {
        let slots = op::push_all(txn, &push, &payloads, id_floor()).map_err(|refusal| pushing.refused(refusal))?;
        Ok(slots.into_iter().map(|slot| txn.queue().id(slot).into()).collect())
    };
    let ids: Vec<OwnedId> = transact(context, name, Missing::Create, push_all)?.unwrap_or_default();
    context.array(ids.len());
    for id in ids {
        context.id(id.as_id());
    }
    Ok(())
}
