//! `TASK.PUSH queue payload [options]`

use crate::args::{Args, DURATION, POSITIVE_DURATION, set, switch};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, id_floor, transact};
use taskqueue::op::{self, Delay, Push, PushOutcome};
use taskqueue::{Ms, Options, TaskId};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.push",
    handler: handler(push),
    flags: "write deny-oom fast",
    arity: -3,
    summary: "Adds a task to a queue and answers its id.",
    complexity: "O(1); O(log N) with DELAY, AT or TTL, for N tasks with one",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[
        Arg::key("queue"),
        Arg::string("payload").summary("Any bytes."),
        Arg::string("id").token("ID").optional().summary("Your own id: pushed again, it answers the task that is there."),
        Arg::word("renew", "RENEW").optional().summary("With ID: a failed, canceled or expired task begins again."),
        Arg::word("nx", "NX").optional().summary("With ID: answer nil if the task is there."),
        Arg::integer("priority").token("PRIORITY").optional().summary("0 to 255, higher is sooner. Default 0."),
        Arg::one_of(
            "start",
            &[
                Arg::integer("delay-ms").token("DELAY").summary("Becomes ready so long after the push."),
                Arg::unix_time("unix-ms").token("AT").summary("Becomes ready at this instant."),
            ],
        )
        .optional(),
        Arg::integer("ttl-ms").token("TTL").optional().summary("Expires then unless a worker has claimed it."),
        Arg::integer("attempts").token("ATTEMPTS").optional().summary("Tries it may use up; 0: no limit."),
        Arg::integer("backoff-ms").token("BACKOFF").optional().summary("Delay before the first retry, doubled for each next."),
        Arg::integer("lease-ms").token("LEASE").optional().summary("How long a claim holds without a heartbeat."),
        Arg::integer("timeout-ms").token("TIMEOUT").optional().summary("How long a claim holds with heartbeats."),
        Arg::integer("retain-ms").token("RETAIN").optional().summary("How long it is kept when completed; -1: for ever."),
        Arg::integer("retain-failed-ms")
            .token("RETAINFAILED")
            .optional()
            .summary("How long it is kept when failed; -1: for ever."),
    ],
    access: Access::Insert,
    acl: "write fast task",
};

/// What TASK.PUSH says beside the payload.
#[derive(Default)]
struct Request<'a> {
    id: Option<TaskId<'a>>,
    renew: bool,
    nx: bool,
    priority: Option<i64>,
    delay: Option<Delay>,
    ttl: Option<Ms>,
    options: Options,
}

fn push(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, payload) = (args.key()?, args.payload("payload")?);
    let request = parse(&mut args)?;
    let push = Push {
        payload,
        id: request.id,
        renew: request.renew,
        priority: request.priority.map_or(0, |priority| u8::try_from(priority).unwrap_or(u8::MAX)),
        delay: request.delay.unwrap_or(Delay::For(Ms(0))),
        ttl: request.ttl,
        options: request.options,
    };
    transact(context, queue, Missing::Create, |txn, _| {
        match op::push(txn, &push, id_floor())? {
            PushOutcome::Existing(_) if request.nx => context.null(),
            PushOutcome::Existing(slot) | PushOutcome::Added(slot) => context.id(txn.queue().id(slot)),
        }
        Ok(())
    })?;
    Ok(())
}

fn parse<'a>(args: &mut Args<'a>) -> Result<Request<'a>, Error> {
    let mut request = Request::default();
    while let Some(word) = args.option() {
        if word.is("ID") {
            let id = TaskId::parse(args.value(&word)?)?;
            set(&mut request.id, &word, id)?;
        } else if word.is("RENEW") {
            switch(&mut request.renew, &word)?;
        } else if word.is("NX") {
            switch(&mut request.nx, &word)?;
        } else if word.is("PRIORITY") {
            args.set_integer(&mut request.priority, &word, &(0..=255))?;
        } else if word.is("DELAY") || word.is("AT") {
            if request.delay.is_some() {
                return Err(Error::new("ERR", "syntax error: DELAY and AT can be given once, and not together"));
            }
            let (mut delay, mut instant) = (None, None);
            if word.is("AT") {
                args.set_instant(&mut instant, &word)?;
            } else {
                args.set_duration(&mut delay, &word, &DURATION)?;
            }
            request.delay = delay.map(Delay::For).or(instant.map(Delay::Until));
        } else if word.is("TTL") {
            args.set_duration(&mut request.ttl, &word, &POSITIVE_DURATION)?;
        } else if !args.set_task_option(&mut request.options, &word)? {
            return Err(word.unknown());
        }
    }
    if request.renew && request.id.is_none() {
        return Err(Error::new("ERR", "syntax error: RENEW goes with ID"));
    }
    Ok(request)
}
