//! `TASK.EXTEND queue id [ATTEMPT n] [LEASE ms] [CHECKPOINT data]`

use crate::args::{Args, POSITIVE_DURATION, set};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::Refusal;
use taskqueue::op::{self, CHECKPOINT_BYTES_MAX};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.extend",
    handler: handler(extend),
    flags: "write fast",
    arity: -3,
    summary: "The heartbeat of a worker: renews the lease of its claim, and can keep a checkpoint.",
    complexity: "O(log N) for N claims held",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::string("id"),
        Arg::integer("attempt").token("ATTEMPT").optional().summary("The claim's number: refused if it is not the last."),
        Arg::integer("lease-ms").token("LEASE").optional().summary("From now. Default: the lease of the claim."),
        Arg::string("data").token("CHECKPOINT").optional().summary("Up to 64 KiB, given to the next attempt."),
    ],
    access: Access::Update,
    acl: "write fast",
};

fn extend(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let (mut attempt, mut lease, mut checkpoint) = (None, None, None);
    while let Some(word) = args.option() {
        if word.is("ATTEMPT") {
            args.set_attempt(&mut attempt, &word)?;
        } else if word.is("LEASE") {
            args.set_duration(&mut lease, &word, &POSITIVE_DURATION)?;
        } else if word.is("CHECKPOINT") {
            let data = args.value(&word)?;
            if data.len() > CHECKPOINT_BYTES_MAX {
                return Err(Error::new("ERR", format!("CHECKPOINT must be at most {CHECKPOINT_BYTES_MAX} bytes")));
            }
            set(&mut checkpoint, &word, data)?;
        } else {
            return Err(word.unknown(SPEC.args));
        }
    }
    transact(context, queue, Missing::Leave, |txn, _| Ok(op::extend(txn, id, attempt, lease, checkpoint)?))?
        .ok_or(Refusal::NoTask)?;
    context.ok();
    Ok(())
}
