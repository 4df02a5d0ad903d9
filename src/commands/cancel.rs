//! `TASK.CANCEL queue (id [id …] | BATCH name [COUNT n] | ALL [COUNT n])`

use crate::commands::selection::{self, Verb};
use crate::redis::command::{Access, CommandSpec, handler};
use taskqueue::op;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.cancel",
    handler: handler(|context, args| selection::run(context, args, &CANCEL)),
    flags: "write",
    arity: -3,
    summary: "Cancels tasks that have not ended; ALL means all that no worker has claimed. Answers how many.",
    complexity: "O(C log N) for C tasks of N in the queue",
    since: "0.1.0",
    tips: "",
    args: selection::ARGS,
    access: Access::Update,
    acl: "write slow",
};

const CANCEL: Verb = Verb { one: op::cancel, all: op::cancel_all, batch: op::cancel_batch };
