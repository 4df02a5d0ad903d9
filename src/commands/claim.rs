//! `TASK.CLAIM queue [COUNT n] [WORKER name] [LEASE ms] [BLOCK ms]`

use crate::args::{Args, DURATION, POSITIVE_DURATION, set, worker_name};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::claim_now;
use crate::waiters::{self, Wish};
use taskqueue::op::Claim;
use taskqueue::{Ms, id};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.claim",
    handler: handler(claim),
    flags: "write fast blocking",
    arity: -2,
    summary: "Gives the next task, or several, to a worker until the lease ends; can wait for one.",
    complexity: "O(C log N) for C tasks claimed and N claims held",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[
        Arg::key("queue"),
        Arg::integer("count").token("COUNT").optional().summary("Answer an array of 1 to this many tasks."),
        Arg::string("worker").token("WORKER").optional().summary("Who works: shown by TASK.GET. Default: the connection's name."),
        Arg::integer("lease-ms").token("LEASE").optional().summary("Overrides the task's lease."),
        Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for a task; 0: for ever."),
    ],
    access: Access::Update,
    acl: "write fast blocking task",
};

#[derive(Default)]
struct Request<'a> {
    count: Option<usize>,
    worker: Option<&'a str>,
    lease: Option<Ms>,
    block: Option<Ms>,
}

fn claim(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let request = parse(&mut args)?;
    let worker = request.worker.map_or_else(|| default_worker(context), Into::into);
    let claim = Claim { worker: &worker, lease: request.lease };
    if claim_now(context, queue, &claim, request.count)? {
        return Ok(());
    }
    let waits = request.block.is_some_and(|block| {
        let wish = Wish::Claim { worker: worker.into(), lease: request.lease, count: request.count };
        waiters::wait(context, &[queue], wish, block.0)
    });
    if !waits {
        context.null_array();
    }
    Ok(())
}

fn parse<'a>(args: &mut Args<'a>) -> Result<Request<'a>, Error> {
    let mut request = Request::default();
    while let Some(word) = args.option() {
        if word.is("COUNT") {
            args.set_count(&mut request.count, &word)?;
        } else if word.is("WORKER") {
            let worker = worker_name(args.value(&word)?)?;
            set(&mut request.worker, &word, worker)?;
        } else if word.is("LEASE") {
            args.set_duration(&mut request.lease, &word, &POSITIVE_DURATION)?;
        } else if word.is("BLOCK") {
            args.set_duration(&mut request.block, &word, &DURATION)?;
        } else {
            return Err(word.unknown());
        }
    }
    Ok(request)
}

/// The connection's name, if it is fit for one, else `client-<id>`.
fn default_worker(context: &Context) -> String {
    let name = context.client_name();
    let name = name.as_ref().and_then(|name| id::parse_name("WORKER", name.bytes()).ok());
    name.map_or_else(|| format!("client-{}", context.client_id()), Into::into)
}
