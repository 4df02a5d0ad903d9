//! `TASK.LIST queue state cursor [COUNT n] [JSON]`

use crate::args::{Args, switch};
use crate::commands::fields;
use crate::config;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use taskqueue::{Cursor, Page, Queue, State};

/// Tasks on a page, if COUNT does not say.
const COUNT_DEFAULT: usize = 10;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.list",
    handler: handler(list),
    flags: "readonly",
    arity: -4,
    summary: "Lists the tasks of a state, page by page.",
    complexity: "O(COUNT)",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[
        Arg::key("queue"),
        Arg::string("state").summary("waiting, scheduled, ready, claimed, completed, failed, canceled or expired."),
        Arg::string("cursor").summary("0 for the first page, then what the page before answered, until that is 0."),
        Arg::integer("count").token("COUNT").optional().summary("Most tasks on a page: 1 to 10,000, default 10."),
        Arg::word("json", "JSON").optional().summary("All of each task but its payload, as a JSON object."),
    ],
    access: Access::Read,
    acl: "read slow",
};

fn list(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let state = state(args.bytes()?)?;
    let cursor =
        Cursor::parse(args.bytes()?).ok_or_else(|| Error::new("ERR", "cursor must be 0, or what the page before answered"))?;
    let (mut count, mut json) = (None, false);
    while let Some(word) = args.option() {
        if word.is("COUNT") {
            args.set_count(&mut count, &word)?;
        } else if word.is("JSON") {
            switch(&mut json, &word)?;
        } else {
            return Err(word.unknown());
        }
    }
    let key = context.open_read(queue, &QUEUE)?;
    let empty = Queue::default();
    let queue = key.value()?.map_or(&empty, |value| &value.queue);
    reply(context, queue, &queue.list(state, cursor, count.unwrap_or(COUNT_DEFAULT)), json);
    Ok(())
}

fn state(name: &[u8]) -> Result<State, Error> {
    State::parse(name).ok_or_else(|| {
        let known = State::ALL.map(State::name).join(", ");
        let given = name.get(..64).unwrap_or(name).escape_ascii();
        Error::new("ERR", format!("unknown state '{given}': state must be one of {known}"))
    })
}

fn reply(context: &Context, queue: &Queue, page: &Page, json: bool) {
    let defaults = config::defaults();
    context.array(2);
    context.bulk(page.next.as_bytes());
    context.array(page.slots.len());
    for &slot in &page.slots {
        let task = queue.view(slot, &defaults);
        if json {
            let mut fields = fields::of_task(&task, false);
            fields.0.extend(fields::of_key(&task));
            fields.reply_json(context);
            continue;
        }
        context.array(4);
        context.id(task.id);
        context.integer(i64::from(task.attempt));
        match task.instant() {
            Some(instant) => context.integer(instant.0.cast_signed()),
            None => context.null(),
        }
        context.bulk_or_null(task.worker.map(str::as_bytes));
    }
}
