//! `TASK.SCHEDULES queue [cursor [COUNT n]] [JSON]`

use crate::args::{Args, PAGE_COUNT};
use crate::commands::fields::{Field, Fields, reply_all};
use crate::commands::list::no_cursor;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use std::str;
use taskqueue::{Queue, Recurrence, ScheduleView, UnixMs};

/// What asks for a page.
const PAGE: [Arg; 2] = [
    Arg::string("cursor").summary("0 for the first page, then what the page before answered, until that is 0."),
    Arg::integer("count").token("COUNT").optional().summary("Most schedules on a page: 1 to 10,000, default 10."),
];

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.schedules",
    handler: handler(schedules),
    flags: "readonly",
    arity: -2,
    summary: "Shows the schedules of a queue: what was said of each, its next and its last slot, how many were fired.",
    complexity: "O(log N + COUNT) with a cursor, O(N) without one, for N schedules",
    since: "0.1.0",
    tips: "",
    args: &[
        Arg::key("queue"),
        Arg::block("page", &PAGE).optional().summary("Without it: all, as one array."),
        Arg::word("json", "JSON")
            .optional()
            .summary("Each schedule on a page as a JSON object; without a cursor one JSON array of objects. Bulk strings."),
    ],
    access: Access::Read,
    acl: "read slow",
};

fn schedules(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let is_option = |next: &[u8]| ["COUNT", "JSON"].iter().any(|word| next.eq_ignore_ascii_case(word.as_bytes()));
    let from = match args.peek().filter(|next| !is_option(next)) {
        Some(_) => Some(start(args.bytes()?).ok_or_else(no_cursor)?),
        None => None,
    };
    let (count, json) = args.count_and_json()?;
    if count.is_some() && from.is_none() {
        return Err(Error::new("ERR", "syntax error: COUNT needs a cursor"));
    }
    let key = context.open_read(queue, &QUEUE)?;
    let empty = Queue::default();
    let queue = key.value()?.map_or(&empty, |value| &value.queue);
    match from {
        Some(from) => reply_page(context, queue, from, count.unwrap_or(PAGE_COUNT), json),
        None => reply_all(context, queue.schedules().map(|schedule| fields(&schedule)), json),
    }
    Ok(())
}

/// The name from which on a cursor goes: [`cursor`] of it.
fn start(cursor: &[u8]) -> Option<&str> {
    match str::from_utf8(cursor).ok()? {
        "0" => Some(""),
        cursor => cursor.strip_prefix("n:").filter(|name| !name.is_empty()),
    }
}

fn cursor(next: Option<&ScheduleView<'_>>) -> String {
    next.map_or_else(|| "0".to_owned(), |next| format!("n:{}", next.name))
}

fn reply_page(context: &Context, queue: &Queue, from: &str, count: usize, json: bool) {
    let mut rest = queue.schedules_from(from);
    let page: Vec<_> = rest.by_ref().take(count).collect();
    context.array(2);
    context.bulk(cursor(rest.next().as_ref()).as_bytes());
    context.array(page.len());
    for schedule in &page {
        fields(schedule).reply_as(context, json);
    }
}

fn fields<'a>(schedule: &ScheduleView<'a>) -> Fields<'a> {
    let ScheduleView { name, definition, progress } = *schedule;
    let options = definition.options;
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
        ("retain", options.retain.into()),
        ("retain-failed", options.retain_failed.into()),
        ("group", definition.group.into()),
        ("unique", definition.unique.map(|unique| unique.key).into()),
        ("unique-for", definition.unique.and_then(|unique| unique.hold).into()),
        ("unique-replace", definition.unique.map(|unique| u64::from(unique.replace)).into()),
    ])
}
