//! `TASK.INFO queue [JSON]`

use crate::args::Args;
use crate::commands::fields::{Field, Fields, JSON_OBJECT};
use crate::config::retention_ms;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::state;
use crate::transact::now;
use crate::value::QUEUE;
use taskqueue::{Ms, Percentiles, Queue, Retention, Settings, State, UnixMs};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.info",
    handler: handler(info),
    flags: "readonly fast",
    arity: -2,
    summary: "Shows a queue: tasks by state, the age of the oldest ready one, totals, settings, memory.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[Arg::key("queue"), JSON_OBJECT],
    access: Access::Read,
    acl: "read fast",
};

fn info(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (name, json) = (args.key()?, args.json()?);
    let key = context.open_read(name, &QUEUE)?;
    let empty = Queue::default();
    let (queue, memory) = key.value()?.map_or((&empty, 0), |value| (&value.queue, value.bytes()));
    let waiting = state::with(|state| state.waiters.workers(context.selected_db(), name.bytes()));
    let fields = fields(queue, memory, waiting, now());
    fields.reply_as(context, json);
    Ok(())
}

fn fields(queue: &Queue, memory: usize, waiting: usize, now: UnixMs) -> Fields<'static> {
    let counts = State::ALL.into_iter().map(|state| (state.name(), queue.count(state).into()));
    let totals = queue.totals();
    let totals = Fields(vec![
        ("pushed", totals.pushed.into()),
        ("claimed", totals.claimed.into()),
        ("completed", totals.completed.into()),
        ("failed", totals.failed.into()),
        ("retried", totals.retried.into()),
        ("lapsed", totals.lapsed.into()),
        ("released", totals.released.into()),
        ("canceled", totals.canceled.into()),
        ("expired", totals.expired.into()),
        ("dropped", totals.dropped.into()),
    ]);
    let rest = [
        ("groups", queue.groups().into()),
        ("waiting-workers", waiting.into()),
        ("oldest-ready-ms", queue.oldest_ready_age(now).into()),
        ("wait-ms", percentiles(queue.wait_times())),
        ("run-ms", percentiles(queue.run_times())),
        ("totals", Field::Map(totals)),
        ("settings", Field::Map(of_settings(&queue.settings()))),
        ("events-kept", queue.event_count().into()),
        ("last-event", queue.last_event().into()),
        ("memory", memory.into()),
    ];
    Fields(counts.chain(rest).collect())
}

/// What the queue sets for itself: nothing where the server's settings hold, 0 for no limit.
fn of_settings(settings: &Settings) -> Fields<'static> {
    let options = &settings.options;
    let retention = |retention: Option<Retention>| retention.map_or(Field::Nil, |time| Field::Integer(retention_ms(time)));
    Fields(vec![
        ("lease", options.lease.into()),
        ("attempts", options.attempts.map(u64::from).into()),
        ("backoff", options.backoff.into()),
        ("timeout", options.timeout.into()),
        ("retain", retention(options.retain)),
        ("retain-failed", retention(options.retain_failed)),
        ("retain-max", u64::from(settings.retain_max).into()),
        ("failed-max", u64::from(settings.failed_max).into()),
        ("max-len", u64::from(settings.max_len).into()),
        ("rate", u64::from(settings.rate.map_or(0, |rate| rate.claims)).into()),
        ("rate-window", settings.rate.map_or(Ms(0), |rate| rate.window).into()),
        ("concurrency", u64::from(settings.concurrency).into()),
        ("group-concurrency", u64::from(settings.group_concurrency).into()),
        ("events", u64::from(settings.events).into()),
        ("paused", settings.pause.name().into()),
        ("paused-until", settings.paused_until.into()),
    ])
}

/// How long recent tasks took; nothing if there were none.
fn percentiles(times: Option<Percentiles>) -> Field<'static> {
    times.map_or(Field::Nil, |Percentiles { p50, p90, p99, max }| {
        Field::Map(Fields(vec![("p50", p50.into()), ("p90", p90.into()), ("p99", p99.into()), ("max", max.into())]))
    })
}
