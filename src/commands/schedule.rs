//! `TASK.SCHEDULE queue name payload (CRON expr [TZ zone] | EVERY ms) [options]`

use crate::args::{Args, POSITIVE_DURATION, Word, set};
use crate::commands::pushing::{self, Pushing};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::op::{self, Delay, schedule_name};
use taskqueue::{Definition, Misfire, Ms, Overlap, Recurrence};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.schedule",
    handler: handler(schedule),
    flags: "write deny-oom",
    arity: -6,
    summary: "Pushes a task again and again: by a cron expression, or every so many milliseconds. Answers when the next one is.",
    complexity: "O(log N) for N schedules",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ ARGS.len() + pushing::UNIQUE_OPTIONS.len() + pushing::TASK_OPTIONS.len() }>(&[
        ARGS,
        pushing::UNIQUE_OPTIONS,
        pushing::TASK_OPTIONS,
    ]),
    access: Access::Insert,
    acl: "write slow",
};

const ARGS: &[Arg] = &[
    Arg::key("queue"),
    Arg::string("name").summary("Up to 200 bytes. The same again replaces the schedule."),
    Arg::string("payload").summary("Of each task: any bytes."),
    Arg::one_of(
        "recurrence",
        &[
            Arg::block(
                "cron",
                &[
                    Arg::string("expression").token("CRON").summary("Minute, hour, day of the month, month and day of the week."),
                    Arg::string("zone").token("TZ").optional().summary("A time zone, as Europe/Berlin. Default UTC."),
                ],
            ),
            Arg::integer("every-ms").token("EVERY").summary("At each multiple of this since the Unix epoch."),
        ],
    ),
    Arg::one_of("misfire", &[Arg::word("skip", "SKIP"), Arg::word("once", "ONCE"), Arg::word("all", "ALL")])
        .token("MISFIRE")
        .optional()
        .summary("Which missed slots are made up for. Default: once, the last one."),
    Arg::one_of("overlap", &[Arg::word("allow", "ALLOW"), Arg::word("skip", "SKIP")])
        .token("OVERLAP")
        .optional()
        .summary("skip: no task while the last one has not ended. Default: allow."),
    Arg::integer("delay-ms").token("DELAY").optional().summary("Becomes ready so long after the push."),
];

fn schedule(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, name, payload) = (args.key()?, schedule_name(args.bytes()?)?, args.payload("payload")?);
    let (mut cron, mut zone, mut every) = (None, None, None);
    let (mut misfire, mut overlap, mut pushing) = (None, None, Pushing::default());
    while let Some(word) = args.option() {
        if word.is("CRON") {
            let expression = text(&mut args, &word)?;
            set(&mut cron, &word, expression)?;
        } else if word.is("TZ") {
            let name = text(&mut args, &word)?;
            set(&mut zone, &word, name)?;
        } else if word.is("EVERY") {
            args.set_duration(&mut every, &word, &POSITIVE_DURATION)?;
        } else if word.is("MISFIRE") {
            let given = one_of(&mut args, &word, [Misfire::Skip, Misfire::Once, Misfire::All].map(|it| (it.name(), it)))?;
            set(&mut misfire, &word, given)?;
        } else if word.is("OVERLAP") {
            let given = one_of(&mut args, &word, [Overlap::Allow, Overlap::Skip].map(|it| (it.name(), it)))?;
            set(&mut overlap, &word, given)?;
        } else if ["ID", "NX", "RENEW", "AT", "AFTER", "AFTERBATCH", "ONFAIL", "BATCH", "SEAL"]
            .into_iter()
            .any(|option| word.is(option))
        {
            return Err(Error::new("ERR", format!("syntax error: {word} goes with a push of one task, not with a schedule")));
        } else if !pushing.take_unique(&mut args, &word)? && !pushing.take(&mut args, &word)? {
            return Err(word.unknown(SPEC.args));
        }
    }
    let recurrence = match (cron, every) {
        (Some(expression), None) => Recurrence::Cron { expression, zone: zone.unwrap_or("UTC") },
        (None, Some(every)) if zone.is_none() => Recurrence::Every(every),
        (None, Some(_)) => return Err(Error::new("ERR", "syntax error: TZ goes with CRON")),
        (Some(_), Some(_)) => return Err(Error::new("ERR", "syntax error: CRON and EVERY do not go together")),
        (None, None) => return Err(Error::new("ERR", "syntax error: a schedule needs CRON or EVERY")),
    };
    let push = pushing.push(payload)?;
    let definition = Definition {
        recurrence,
        misfire: misfire.unwrap_or_default(),
        overlap: overlap.unwrap_or_default(),
        payload,
        priority: push.priority,
        delay: if let Delay::For(delay) = push.delay { delay } else { Ms(0) },
        ttl: push.ttl,
        options: push.options,
        unique: push.unique,
        group: push.group,
    };
    let next = transact(context, queue, Missing::Create, |txn, _| Ok(op::schedule(txn, name, &definition)?))?;
    context.integer(next.unwrap_or_default().0.cast_signed());
    Ok(())
}

/// The value of an option that takes text.
fn text<'a>(args: &mut Args<'a>, word: &Word<'_>) -> Result<&'a str, Error> {
    std::str::from_utf8(args.value(word)?).map_err(|_| Error::new("ERR", format!("{word} must be UTF-8")))
}

/// The value of an option that takes one of some words.
fn one_of<T, const N: usize>(args: &mut Args<'_>, word: &Word<'_>, words: [(&'static str, T); N]) -> Result<T, Error> {
    let value = args.value(word)?;
    let names = words.each_ref().map(|(name, _)| *name).join(", ");
    let found = words.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| value).ok_or_else(|| Error::new("ERR", format!("syntax error: {word} takes one of {names}")))
}
