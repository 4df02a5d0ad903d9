//! `TASK.RETRY queue (id [id …] | BATCH name [COUNT n] | ALL [COUNT n])`

use crate::commands::selection::{self, Verb};
use crate::redis::command::{Access, CommandSpec, handler};
use taskqueue::op;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.retry",
    handler: handler(|context, args| selection::run(context, args, &RETRY)),
    flags: "write",
    arity: -3,
    summary: "Makes failed, canceled, expired and scheduled tasks ready, with all their tries; ALL means the failed ones. Answers how many.",
    complexity: "O(C log N) for C tasks of N in the queue",
    since: "0.1.0",
    tips: "",
    args: selection::ARGS,
    access: Access::Update,
    acl: "write slow",
};

const RETRY: Verb = Verb {
    one: |txn, id, _| op::retry(txn, id),
    all: |txn, count, _| op::retry_all(txn, count),
    batch: |txn, name, count, _| op::retry_batch(txn, name, count),
};
