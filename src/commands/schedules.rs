//! `TASK.SCHEDULES queue [JSON]`

use crate::args::Args;
use crate::commands::fields::{Field, Fields, JSON_ARRAY, reply_all};
use crate::config::retention_ms;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use taskqueue::{Queue, Recurrence, Retention, ScheduleView, UnixMs};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.schedules",
    handler: handler(schedules),
    flags: "readonly",
    arity: -2,
    summary: "Shows the schedules of a queue: what was said of each, its next and its last slot, how many were fired.",
    complexity: "O(N) for N schedules",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("queue"), JSON_ARRAY],
    access: Access::Read,
    acl: "read slow",
};

fn schedules(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, json) = (args.key()?, args.json()?);
    let key = context.open_read(queue, &QUEUE)?;
    let empty = Queue::default();
    let schedules = key.value()?.map_or(&empty, |value| &value.queue).schedules();
    reply_all(context, schedules.map(|schedule| fields(&schedule)), json);
    Ok(())
}

fn fields<'a>(schedule: &ScheduleView<'a>) -> Fields<'a> {
    let ScheduleView { name, definition, progress } = *schedule;
    let options = definition.options;
    let retention = |retention: Option<Retention>| retention.map_or(Field::Nil, |time| Field::Integer(retention_ms(time)));
    let (cron, zone, every) = match definition.recurrence {
        Recurrence::Every(every) => (Field::Nil, Field::Nil, every.into()),
        Recurrence::Cron { expression, zone } => (expression.into(), zone.into(), Field::Nil),
    };
    Fields(vec![
        ("name", name.into()),
        ("cron", cron),
        ("tz", zone),
        ("every", every),
        ("misfire", definition.misfire.name().into()),
        ("overlap", definition.overlap.name().into()),
        ("payload", Field::Bytes(definition.payload)),
        ("next", Some(progress.next).filter(|&next| next != UnixMs::NEVER).into()),
        ("last", progress.last.into()),
        ("last-fired", progress.last_fired.into()),
        ("fired", progress.fired.into()),
        ("skipped", progress.skipped.into()),
        ("missed", progress.missed.into()),
        ("priority", u64::from(definition.priority).into()),
        ("delay", definition.delay.into()),
        ("ttl", definition.ttl.into()),
        ("attempts", options.attempts.map(u64::from).into()),
        ("backoff", options.backoff.into()),
        ("lease", options.lease.into()),
        ("timeout", options.timeout.into()),
        ("retain", retention(options.retain)),
        ("retain-failed", retention(options.retain_failed)),
        ("group", definition.group.into()),
        ("unique", definition.unique.map(|unique| unique.key).into()),
        ("unique-for", definition.unique.and_then(|unique| unique.hold).into()),
        ("unique-replace", definition.unique.map(|unique| u64::from(unique.replace)).into()),
    ])
}
