//! What a push says of a task: TASK.PUSH, MPUSH and CALL.

use crate::args::{Args, DURATION, POSITIVE_DURATION, Word, set, switch};
use crate::redis::command::Arg;
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::KeyName;
use crate::transact::{Missing, id_floor, transact};
use taskqueue::op::{self, Delay, IntoBatch, Push, PushOutcome};
use taskqueue::{Ms, Options, OwnedId, TaskId, id};

/// The options of one task with an id of its own, for COMMAND DOCS.
pub(super) const ID_OPTIONS: &[Arg] = &[
    Arg::string("id").token("ID").optional().summary("Your own id: pushed again, it answers the task that is there."),
    Arg::word("renew", "RENEW").optional().summary("With ID: a failed, canceled or expired task begins again."),
    Arg::word("nx", "NX").optional().summary("Answer nil if nothing was changed."),
];

/// The options of any task, for COMMAND DOCS.
pub(super) const OPTIONS: &[Arg] = &[
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
    Arg::integer("retain-ms")
        .token("RETAIN")
        .optional()
        .summary("How long it is kept when completed, canceled or expired; -1: for ever."),
    Arg::integer("retain-failed-ms").token("RETAINFAILED").optional().summary("How long it is kept when failed; -1: for ever."),
    Arg::block(
        "into",
        &[
            Arg::string("batch").token("BATCH").summary("The batch that it is to be of."),
            Arg::word("seal", "SEAL").optional().summary("No more tasks will come to the batch."),
        ],
    )
    .optional(),
];

/// The options as they were given.
#[derive(Default)]
pub(super) struct Pushing<'a> {
    id: Option<TaskId<'a>>,
    renew: bool,
    /// Answer nil if nothing was changed.
    pub(super) nx: bool,
    priority: Option<i64>,
    delay: Option<Delay>,
    ttl: Option<Ms>,
    options: Options,
    batch: Option<IntoBatch<'a>>,
}

impl<'a> Pushing<'a> {
    /// Takes an option that one task may have; false if `word` is none of them.
    pub(super) fn take_id(&mut self, args: &mut Args<'a>, word: &Word<'_>) -> Result<bool, Error> {
        if word.is("ID") {
            let id = TaskId::parse(args.value(word)?)?;
            set(&mut self.id, word, id)?;
        } else if word.is("RENEW") {
            switch(&mut self.renew, word)?;
        } else if word.is("NX") {
            switch(&mut self.nx, word)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes an option that any task may have; false if `word` is none of them.
    pub(super) fn take(&mut self, args: &mut Args<'a>, word: &Word<'_>) -> Result<bool, Error> {
        if word.is("PRIORITY") {
            args.set_integer(&mut self.priority, word, &(0..=255))?;
        } else if word.is("DELAY") || word.is("AT") {
            if self.delay.is_some() {
                return Err(Error::new("ERR", "syntax error: DELAY and AT can be given once, and not together"));
            }
            let (mut delay, mut instant) = (None, None);
            if word.is("AT") {
                args.set_instant(&mut instant, word)?;
            } else {
                args.set_duration(&mut delay, word, &DURATION)?;
            }
            self.delay = delay.map(Delay::For).or(instant.map(Delay::Until));
        } else if word.is("TTL") {
            args.set_duration(&mut self.ttl, word, &POSITIVE_DURATION)?;
        } else if word.is("BATCH") {
            let name = id::parse_name("BATCH", args.value(word)?)?;
            let seal = args.skip("SEAL");
            set(&mut self.batch, word, IntoBatch { name, seal })?;
        } else {
            return args.set_task_option(&mut self.options, word);
        }
        Ok(true)
    }

    /// Pushes this payload. The task's id; None if there was one of it, and NX.
    pub(super) fn run(&self, context: &Context, queue: KeyName<'_>, payload: &[u8]) -> Result<Option<OwnedId>, Error> {
        let push = self.push(payload)?;
        let pushed = transact(context, queue, Missing::Create, |txn, _| {
            Ok(match op::push(txn, &push, id_floor())? {
                PushOutcome::Existing(_) if self.nx => None,
                PushOutcome::Existing(slot) | PushOutcome::Added(slot) => Some(txn.queue().id(slot).into()),
            })
        });
        Ok(pushed?.flatten())
    }

    /// All of it, for this payload.
    pub(super) fn push(&self, payload: &'a [u8]) -> Result<Push<'a>, Error> {
        if self.renew && self.id.is_none() {
            return Err(Error::new("ERR", "syntax error: RENEW goes with ID"));
        }
        Ok(Push {
            payload,
            id: self.id,
            renew: self.renew,
            priority: self.priority.map_or(0, |priority| u8::try_from(priority).unwrap_or(u8::MAX)),
            delay: self.delay.unwrap_or(Delay::For(Ms(0))),
            ttl: self.ttl,
            options: self.options,
            batch: self.batch,
        })
    }
}
