//! `TASK.FORGET queue (id [id …] | BATCH name [COUNT n] | ALL [COUNT n])`

use crate::commands::selection::{self, Verb};
use crate::redis::command::{Access, CommandSpec, handler};
use taskqueue::op;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.forget",
    handler: handler(|context, args| selection::run(context, args, &FORGET)),
    flags: "write",
    arity: -3,
    summary: "Drops tasks that have ended, now. Answers how many.",
    complexity: "O(C log N) for C tasks of N in the queue",
    since: "0.1.0",
    tips: "",
    args: selection::ARGS,
    access: Access::Update,
    acl: "write slow",
};

const FORGET: Verb = Verb {
    one: |txn, id, _| op::forget(txn, id),
    all: |txn, count, _| op::forget_all(txn, count),
    batch: |txn, name, _, _| op::forget_batch(txn, name),
};
