//! `TASK.SET queue [option value …]`

use crate::args::{Args, DURATION, NO_LIMIT, POSITIVE_DURATION, Word, set as set_once};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::flow::{EVENTS_MAX, LIMIT_MAX, RATE_MAX};
use taskqueue::{Ms, Pause, Rate, Settings, op};

/// The word for the server's setting.
const DEFAULT: Arg = Arg::word("default", "DEFAULT").summary("The server's setting.");

/// An option that takes a number or [`DEFAULT`].
const fn or_server(name: &'static str, token: &'static str, parts: &'static [Arg]) -> Arg {
    Arg::one_of(name, parts).token(token).optional()
}

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.set",
    handler: handler(set),
    flags: "write",
    arity: -2,
    summary: "Sets what holds for a queue's tasks, its limits, and whether it is paused.",
    complexity: "O(1); with another GROUPCONCURRENCY O(G log G) for G groups with a task that was claimed and has not ended",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        or_server("lease", "LEASE", &[Arg::integer("lease-ms"), DEFAULT]).summary("How long a claim holds without a heartbeat."),
        or_server("attempts", "ATTEMPTS", &[Arg::integer("attempts"), DEFAULT]).summary("Tries a task may use up; 0: no limit."),
        or_server("backoff", "BACKOFF", &[Arg::integer("backoff-ms"), DEFAULT]).summary("Delay before the first retry."),
        or_server("timeout", "TIMEOUT", &[Arg::integer("timeout-ms"), DEFAULT])
            .summary("How long a claim holds with heartbeats."),
        or_server("retain", "RETAIN", &[Arg::integer("retain-ms"), DEFAULT])
            .summary("How long completed, canceled and expired tasks are kept; -1: for ever."),
        or_server("retain-failed", "RETAINFAILED", &[Arg::integer("retain-failed-ms"), DEFAULT])
            .summary("How long failed tasks are kept; -1: for ever."),
        Arg::integer("retain-max").token("RETAINMAX").optional().summary("Most completed tasks that are kept; 0: no limit."),
        Arg::integer("failed-max").token("FAILEDMAX").optional().summary("Most failed tasks that are kept; 0: no limit."),
        Arg::integer("max-len").token("MAXLEN").optional().summary("Most tasks that have not ended; 0: no limit."),
        Arg::block(
            "rate",
            &[
                Arg::integer("claims").token("RATE").summary("Most claims in any window of that length; 0 0: no limit."),
                Arg::integer("window-ms"),
            ],
        )
        .optional(),
        Arg::integer("concurrency").token("CONCURRENCY").optional().summary("Most tasks claimed at once; 0: no limit."),
        Arg::integer("group-concurrency")
            .token("GROUPCONCURRENCY")
            .optional()
            .summary("Most tasks of one group claimed at once; 1: strict order; 0: no limit."),
        Arg::integer("events").token("EVENTS").optional().summary("Changes of state that are kept for TASK.EVENTS."),
        Arg::block(
            "pause",
            &[
                Arg::one_of(
                    "paused",
                    &[Arg::word("no", "NO"), Arg::word("in", "IN"), Arg::word("out", "OUT"), Arg::word("all", "ALL")],
                )
                .token("PAUSED")
                .summary("in: no pushes; out: no claims; all: neither."),
                Arg::integer("for-ms").token("FOR").optional().summary("The pause ends by itself."),
            ],
        )
        .optional(),
    ],
    access: Access::Insert,
    acl: "write slow",
};

fn set(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let mut changes: [Option<Change>; OPTIONS.len()] = Default::default();
    let (mut pause, mut time) = (None, None);
    while let Some(word) = args.option() {
        if word.is("PAUSED") {
            let given = parse_pause(&mut args, &word)?;
            set_once(&mut pause, &word, given)?;
        } else if word.is("FOR") {
            args.set_duration(&mut time, &word, &POSITIVE_DURATION)?;
        } else {
            let place = OPTIONS.iter().zip(&mut changes).find(|((name, _), _)| word.is(name));
            let ((_, read), change) = place.ok_or_else(|| word.unknown(SPEC.args))?;
            let given = read(&mut args, &word)?;
            set_once(change, &word, given)?;
        }
    }
    if time.is_some() && matches!(pause, None | Some(Pause::No)) {
        return Err(Error::new("ERR", "syntax error: FOR goes with PAUSED in, out or all"));
    }
    transact(context, queue, Missing::Create, |txn, _| {
        let (mut settings, now) = (txn.queue().settings(), txn.now());
        changes.into_iter().flatten().for_each(|change| change(&mut settings));
        if let Some(pause) = pause {
            settings.pause = pause;
            settings.paused_until = time.map(|time| now.after(time));
        }
        op::set(txn, &settings);
        Ok(())
    })?;
    context.simple(c"OK");
    Ok(())
}

/// What an option does to the settings.
type Change = Box<dyn FnOnce(&mut Settings)>;

type Read = fn(&mut Args<'_>, &Word<'_>) -> Result<Change, Error>;

/// What each option takes, and does, but PAUSED and its FOR, which are two for one thing.
const OPTIONS: &[(&str, Read)] = &[
    ("LEASE", |args, word| {
        let value = or_default(args, word, Args::positive_duration)?;
        Ok(Box::new(move |settings| settings.options.lease = value))
    }),
    ("ATTEMPTS", |args, word| {
        let value = or_default(args, word, Args::attempts)?;
        Ok(Box::new(move |settings| settings.options.attempts = value))
    }),
    ("BACKOFF", |args, word| {
        let value = or_default(args, word, Args::duration)?;
        Ok(Box::new(move |settings| settings.options.backoff = value))
    }),
    ("TIMEOUT", |args, word| {
        let value = or_default(args, word, Args::positive_duration)?;
        Ok(Box::new(move |settings| settings.options.timeout = value))
    }),
    ("RETAIN", |args, word| {
        let value = or_default(args, word, Args::retention)?;
        Ok(Box::new(move |settings| settings.options.retain = value))
    }),
    ("RETAINFAILED", |args, word| {
        let value = or_default(args, word, Args::retention)?;
        Ok(Box::new(move |settings| settings.options.retain_failed = value))
    }),
    ("RETAINMAX", |args, word| {
        let value = limit(args, word)?;
        Ok(Box::new(move |settings| settings.retain_max = value))
    }),
    ("FAILEDMAX", |args, word| {
        let value = limit(args, word)?;
        Ok(Box::new(move |settings| settings.failed_max = value))
    }),
    ("MAXLEN", |args, word| {
        let value = limit(args, word)?;
        Ok(Box::new(move |settings| settings.max_len = value))
    }),
    ("RATE", |args, word| {
        let value = rate(args, word)?;
        Ok(Box::new(move |settings| settings.rate = value))
    }),
    ("CONCURRENCY", |args, word| {
        let value = limit(args, word)?;
        Ok(Box::new(move |settings| settings.concurrency = value))
    }),
    ("GROUPCONCURRENCY", |args, word| {
        let value = limit(args, word)?;
        Ok(Box::new(move |settings| settings.group_concurrency = value))
    }),
    ("EVENTS", |args, word| {
        let value = args.integer_in(word, &(0..=i64::from(EVENTS_MAX)), "; 0: none are kept")?;
        let value = u32::try_from(value).unwrap_or(EVENTS_MAX);
        Ok(Box::new(move |settings| settings.events = value))
    }),
];

/// The value of an option of tasks, or `default`: the server's.
fn or_default<'a, T>(
    args: &mut Args<'a>,
    word: &Word<'_>,
    parse: impl FnOnce(&mut Args<'a>, &Word<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if args.skip("default") {
        return Ok(None);
    }
    let is_given = args.left() > 0;
    let or_default = |error: Error| if is_given { error.and("; default: the server's setting") } else { error };
    parse(args, word).map(Some).map_err(or_default)
}

fn limit(args: &mut Args<'_>, word: &Word<'_>) -> Result<u32, Error> {
    Ok(u32::try_from(args.integer_in(word, &(0..=i64::from(LIMIT_MAX)), NO_LIMIT)?).unwrap_or(LIMIT_MAX))
}

/// `n ms`, or `0 0` for none.
fn rate(args: &mut Args<'_>, word: &Word<'_>) -> Result<Option<Rate>, Error> {
    let claims = args.integer_in(word, &(0..=i64::from(RATE_MAX)), "; 0 0: no limit")?;
    let claims = u32::try_from(claims).unwrap_or(RATE_MAX);
    let window = args.milliseconds("the window of RATE", &DURATION)?;
    match (claims, window) {
        (0, Ms(0)) => Ok(None),
        (1.., Ms(1..)) => Ok(Some(Rate { claims, window })),
        _ => Err(Error::new("ERR", "RATE takes a number of claims and a window in ms, both at least 1, or 0 0 for no limit")),
    }
}

/// `no|in|out|all`
fn parse_pause(args: &mut Args<'_>, word: &Word<'_>) -> Result<Pause, Error> {
    let value = args.value(word)?;
    let pause = [Pause::No, Pause::In, Pause::Out, Pause::All]
        .into_iter()
        .find(|pause| value.eq_ignore_ascii_case(pause.name().as_bytes()));
    pause.ok_or_else(|| Error::new("ERR", "PAUSED takes no, in, out or all"))
}
