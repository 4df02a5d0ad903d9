//! What a push says of a task: TASK.PUSH, MPUSH and CALL.

use crate::args::{Args, DURATION, POSITIVE_DURATION, Word, set, switch};
use crate::redis::command::{Arg, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::KeyName;
use crate::transact::{Missing, id_floor, transact};
use std::collections::BTreeSet;
use taskqueue::op::{self, After, Delay, IntoBatch, On, Push, PushOutcome, Unique};
use taskqueue::{DEPENDENCIES_MAX, Ms, Options, OwnedId, Refusal, TaskId, id};

/// The options of one task with an id of its own, for COMMAND DOCS.
pub(super) const ID_OPTIONS: &[Arg] = &[
    Arg::string("id").token("ID").optional().summary("Your own id: pushed again, it answers the task that is there."),
    Arg::word("renew", "RENEW").optional().summary("With ID: a failed, canceled or expired task begins again."),
    Arg::word("nx", "NX").optional().summary("Answer nil if nothing was changed."),
];

/// The options of one task that is to be the only one of a key, for COMMAND DOCS.
pub(super) const UNIQUE_OPTIONS: &[Arg] = &[Arg::block(
    "unique",
    &[
        Arg::string("unique-key").token("UNIQUE").summary("While a task has this key, it answers that task and adds none."),
        Arg::integer("for-ms").token("FOR").optional().summary("It has the key for so long, rather than until it has ended."),
        Arg::word("replace", "REPLACE")
            .optional()
            .summary("The task that has the key takes this payload and delay, or one after it does."),
    ],
)
.optional()];

/// The options that also a schedule may say of its tasks, for COMMAND DOCS.
pub(super) const TASK_OPTIONS: &[Arg] = &[
    Arg::integer("priority").token("PRIORITY").optional().summary("0 to 255, higher is sooner. Default 0."),
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
    Arg::string("group").token("GROUP").optional().summary("It takes turns with tasks of other groups."),
];

/// The options of any task, for COMMAND DOCS.
pub(super) const OPTIONS: &[Arg] = &join::<{ TASK_OPTIONS.len() + PUSH_OPTIONS.len() }>(&[TASK_OPTIONS, PUSH_OPTIONS]);

/// The options of any task that a client pushes.
const PUSH_OPTIONS: &[Arg] = &[
    Arg::one_of(
        "start",
        &[
            Arg::integer("delay-ms").token("DELAY").summary("Becomes ready so long after the push."),
            Arg::unix_time("unix-ms").token("AT").summary("Becomes ready at this instant."),
        ],
    )
    .optional(),
    Arg::block(
        "into",
        &[
            Arg::string("batch").token("BATCH").summary("The batch that it is to be of."),
            Arg::word("seal", "SEAL").optional().summary("No more tasks will come to the batch."),
        ],
    )
    .optional(),
    Arg::block(
        "dependencies",
        &[
            Arg::one_of(
                "on",
                &[
                    Arg::block(
                        "tasks",
                        &[
                            Arg::integer("numids").token("AFTER").summary("It waits until these tasks are completed."),
                            Arg::string("after-id").multiple().summary("Up to 1,000."),
                        ],
                    ),
                    Arg::string("after-batch")
                        .token("AFTERBATCH")
                        .summary("It waits until this batch is done, each task completed."),
                ],
            ),
            Arg::one_of("on-fail", &[Arg::word("fail", "FAIL"), Arg::word("run", "RUN")])
                .token("ONFAIL")
                .optional()
                .summary("What to do if one ends otherwise. Default: fail."),
        ],
    )
    .optional(),
];

/// The options as they were given.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a word that is there or not")]
pub(super) struct Pushing<'a> {
    id: Option<TaskId<'a>>,
    renew: bool,
    /// Answer nil if nothing was changed.
    pub(super) nx: bool,
    priority: Option<i64>,
    delay: Option<Delay>,
    ttl: Option<Ms>,
    options: Options,
    batch: Option<&'a str>,
    seal: bool,
    after: Option<Dependencies<'a>>,
    group: Option<&'a str>,
    run_anyway: Option<bool>,
    unique: Option<&'a str>,
    hold: Option<Ms>,
    replace: bool,
}

/// What a task is to wait for.
enum Dependencies<'a> {
    Tasks(Vec<TaskId<'a>>),
    Batch(&'a str),
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

    /// Takes UNIQUE or what goes with it; false if `word` is another.
    pub(super) fn take_unique(&mut self, args: &mut Args<'a>, word: &Word<'_>) -> Result<bool, Error> {
        if word.is("UNIQUE") {
            let key = id::parse_name("UNIQUE", args.value(word)?)?;
            set(&mut self.unique, word, key)?;
        } else if word.is("FOR") {
            args.set_duration(&mut self.hold, word, &DURATION)?;
        } else if word.is("REPLACE") {
            switch(&mut self.replace, word)?;
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
            set(&mut self.batch, word, name)?;
        } else if word.is("SEAL") {
            switch(&mut self.seal, word)?;
        } else if word.is("GROUP") {
            let name = id::parse_name("GROUP", args.value(word)?)?;
            set(&mut self.group, word, name)?;
        } else if word.is("AFTER") || word.is("AFTERBATCH") {
            let after = if word.is("AFTER") {
                tasks(args)?
            } else {
                Dependencies::Batch(id::parse_name("AFTERBATCH", args.value(word)?)?)
            };
            if self.after.replace(after).is_some() {
                return Err(Error::new("ERR", "syntax error: AFTER and AFTERBATCH can be given once, and not together"));
            }
        } else if word.is("ONFAIL") {
            let run_anyway = match args.value(word)? {
                value if value.eq_ignore_ascii_case(b"fail") => false,
                value if value.eq_ignore_ascii_case(b"run") => true,
                _ => return Err(Error::new("ERR", "syntax error: ONFAIL takes FAIL or RUN")),
            };
            set(&mut self.run_anyway, word, run_anyway)?;
        } else {
            return args.set_task_option(&mut self.options, word);
        }
        Ok(true)
    }

    /// Pushes this payload. The task's id; None if there was one of it, or one that holds the key, and NX.
    pub(super) fn run(&self, context: &Context, queue: KeyName<'_>, payload: &[u8]) -> Result<Option<OwnedId>, Error> {
        let push = self.push(payload)?;
        let pushed = transact(context, queue, Missing::Create, |txn, _| {
            Ok(match op::push(txn, &push, id_floor()).map_err(|refusal| self.refused(refusal))? {
                PushOutcome::Existing(_) | PushOutcome::Held if self.nx => None,
                PushOutcome::Existing(slot) | PushOutcome::Added(slot) => Some(txn.queue().id(slot).into()),
                PushOutcome::Held => push.unique.and_then(|unique| txn.queue().holder_of(unique.key)).map(OwnedId::from),
            })
        });
        Ok(pushed?.flatten())
    }

    /// What is said of a refused push: names what it is to wait for, if that is not there.
    pub(super) fn refused(&self, refusal: Refusal) -> Error {
        match (refusal, &self.after) {
            (Refusal::NoDependency { place }, Some(Dependencies::Tasks(ids))) => {
                let id = ids.get(place).map_or_else(String::new, ToString::to_string);
                Error::new(refusal.code(), format!("AFTER names '{id}', and no such task is in the queue"))
            }
            (Refusal::NoDependency { .. }, Some(Dependencies::Batch(name))) => {
                Error::new(refusal.code(), format!("AFTERBATCH names '{name}', and no such batch is in the queue"))
            }
            _ => refusal.into(),
        }
    }

    /// How many tasks each of these waits for.
    pub(super) fn dependencies(&self) -> usize {
        match &self.after {
            None => 0,
            Some(Dependencies::Tasks(ids)) => ids.len(),
            Some(Dependencies::Batch(_)) => 1,
        }
    }

    /// All of it, for this payload.
    pub(super) fn push<'s>(&'s self, payload: &'s [u8]) -> Result<Push<'s>, Error> {
        let goes_with = |option, other| Err(Error::new("ERR", format!("syntax error: {option} goes with {other}")));
        if self.renew && self.id.is_none() {
            return goes_with("RENEW", "ID");
        }
        if self.seal && self.batch.is_none() {
            return goes_with("SEAL", "BATCH");
        }
        if self.unique.is_none() && (self.hold.is_some() || self.replace) {
            return goes_with(if self.replace { "REPLACE" } else { "FOR" }, "UNIQUE");
        }
        if self.run_anyway.is_some() && self.after.is_none() {
            return goes_with("ONFAIL", "AFTER or AFTERBATCH");
        }
        if self.replace {
            let other = if self.nx { Some("NX") } else { self.after.as_ref().map(|_| "AFTER or AFTERBATCH") };
            if let Some(other) = other {
                return Err(Error::new("ERR", format!("syntax error: REPLACE does not go with {other}")));
            }
        }
        Ok(Push {
            payload,
            id: self.id,
            renew: self.renew,
            priority: self.priority.map_or(0, |priority| u8::try_from(priority).unwrap_or(u8::MAX)),
            delay: self.delay.unwrap_or(Delay::For(Ms(0))),
            ttl: self.ttl,
            options: self.options,
            batch: self.batch.map(|name| IntoBatch { name, seal: self.seal }),
            after: self.after.as_ref().map(|after| After {
                on: match after {
                    Dependencies::Tasks(ids) => On::Tasks(ids),
                    Dependencies::Batch(name) => On::Batch(name),
                },
                run_anyway: self.run_anyway.unwrap_or_default(),
            }),
            unique: self.unique.map(|key| Unique { key, hold: self.hold, replace: self.replace }),
            group: self.group,
        })
    }
}

/// `numids id [id …]`, each id once.
fn tasks<'a>(args: &mut Args<'a>) -> Result<Dependencies<'a>, Error> {
    let count = args.count_up_to(i64::try_from(DEPENDENCIES_MAX).unwrap_or(i64::MAX), "numids", 1)?;
    let mut known = BTreeSet::new();
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let id = args.id()?;
        if known.insert(OwnedId::from(id)) {
            ids.push(id);
        }
    }
    Ok(Dependencies::Tasks(ids))
}
