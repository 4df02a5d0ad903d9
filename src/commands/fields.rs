//! What the commands that look show: named values, as maps of the protocol or as JSON.

use crate::config::retention_ms;
use crate::redis::command::Arg;
use crate::redis::context::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use taskqueue::{AfterView, Ms, Retention, TaskView, UnixMs};

/// How those that show one thing are asked for JSON.
pub(super) const JSON_OBJECT: Arg = Arg::word("json", "JSON").optional().summary("One JSON object, as a bulk string.");
/// How those that show several are.
pub(super) const JSON_ARRAY: Arg = Arg::word("json", "JSON").optional().summary("One JSON array of objects, as a bulk string.");

/// A value that has a name.
pub(crate) enum Field<'a> {
    Nil,
    Integer(i64),
    Bytes(&'a [u8]),
    Text(String),
    Map(Fields<'a>),
    List(Vec<String>),
}

/// Names and values, in order.
pub(crate) struct Fields<'a>(pub(crate) Vec<(&'static str, Field<'a>)>);

impl Fields<'_> {
    /// Replies with a map.
    pub(super) fn reply(&self, context: &Context) {
        context.map(self.0.len());
        for (name, value) in &self.0 {
            context.bulk(name.as_bytes());
            match value {
                Field::Nil => context.null(),
                Field::Integer(number) => context.integer(*number),
                Field::Bytes(bytes) => context.bulk(bytes),
                Field::Text(text) => context.bulk(text.as_bytes()),
                Field::Map(fields) => fields.reply(context),
                Field::List(texts) => {
                    context.array(texts.len());
                    for text in texts {
                        context.bulk(text.as_bytes());
                    }
                }
            }
        }
    }

    /// Replies with one JSON object.
    pub(super) fn reply_json(&self, context: &Context) {
        context.bulk(&self.to_json());
    }

    /// One JSON object.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        json_of(|json| self.serialize(json))
    }

    /// Replies with a map, or with one JSON object.
    pub(super) fn reply_as(&self, context: &Context, json: bool) {
        if json { self.reply_json(context) } else { self.reply(context) }
    }
}

/// Replies with an array of maps, or with one JSON array of objects.
pub(super) fn reply_all<'a>(context: &Context, rows: impl ExactSizeIterator<Item = Fields<'a>>, json: bool) {
    if json {
        context.bulk(&json_of(|json| json.collect_seq(rows)));
        return;
    }
    context.array(rows.len());
    rows.for_each(|row| row.reply(context));
}

/// What `write` writes.
fn json_of(write: impl FnOnce(&mut serde_json::Serializer<&mut Vec<u8>>) -> serde_json::Result<()>) -> Vec<u8> {
    let mut json = Vec::with_capacity(128);
    // Writing JSON to memory fails for no value that fields have.
    write(&mut serde_json::Serializer::new(&mut json)).ok();
    json
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Bytes that are not UTF-8 are shown as `{"base64": "…"}`.
impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_none(),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Map(fields) => fields.serialize(serializer),
            Self::List(texts) => texts.serialize(serializer),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => Fields(vec![("base64", Field::Text(BASE64_STANDARD.encode(bytes)))]).serialize(serializer),
            },
        }
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl From<Ms> for Field<'_> {
    fn from(time: Ms) -> Self {
        Self::Integer(time.0.cast_signed())
    }
}

impl From<Retention> for Field<'_> {
    fn from(retention: Retention) -> Self {
        Self::Integer(retention_ms(retention))
    }
}

impl From<UnixMs> for Field<'_> {
    fn from(instant: UnixMs) -> Self {
        Self::Integer(instant.0.cast_signed())
    }
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(number.cast_signed())
    }
}

impl From<usize> for Field<'_> {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Field<'a>>> From<Option<T>> for Field<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

/// What a task depends on.
pub(super) fn of_dependencies(after: Option<AfterView<'_>>) -> [(&'static str, Field<'_>); 4] {
    let tasks = after.filter(|after| !after.is_of_batch());
    let batch = after.filter(|after| after.is_of_batch()).and_then(|after| after.on().next());
    [
        ("after", tasks.map_or(Field::Nil, |after| Field::List(after.on().map(|id| id.to_string()).collect()))),
        ("after-batch", batch.map_or(Field::Nil, |name| Field::Text(name.to_string()))),
        ("on-fail", after.map(|after| if after.runs_anyway() { "run" } else { "fail" }).into()),
        ("waits-for", after.map(|after| u64::from(after.missing())).into()),
    ]
}

/// The key that a task has, and who has it next.
pub(super) fn of_key<'a>(task: &TaskView<'a>) -> [(&'static str, Field<'a>); 3] {
    [
        ("unique", task.unique.into()),
        ("unique-until", task.unique_until.into()),
        ("follow-up", task.follow_up.map_or(Field::Nil, |id| Field::Text(id.to_string()))),
    ]
}

/// All of a task; without its payload if that is not wanted.
pub(super) fn of_task<'a>(task: &TaskView<'a>, with_payload: bool) -> Fields<'a> {
    let bytes = |bytes: Option<&'a [u8]>| bytes.map_or(Field::Nil, Field::Bytes);
    let integer = |number: i64| Field::Integer(number);
    let settings = &task.settings;
    let mut fields = vec![("id", Field::Text(task.id.to_string())), ("state", task.state.name().into())];
    if with_payload {
        fields.push(("payload", bytes(task.payload)));
    }
    fields.extend([
        ("result", bytes(task.result)),
        ("error", bytes(task.error)),
        ("checkpoint", bytes(task.checkpoint)),
        ("priority", integer(task.priority.into())),
        ("attempt", integer(task.attempt.into())),
        ("tries", integer(task.tries.into())),
        ("attempts", integer(settings.attempts.into())),
        ("worker", task.worker.into()),
        ("created", task.created.into()),
        ("ready-at", task.ready_at.into()),
        ("claimed-at", task.claimed_at.into()),
        ("deadline", task.deadline.into()),
        ("session", task.claimed_at.map_or(Field::Nil, |_| integer(task.session.into()))),
        ("finished", task.finished.into()),
        ("drop-at", task.drop_at.into()),
        ("expire-at", task.expire_at.into()),
        ("batch", task.batch.into()),
        ("group", task.group.into()),
        ("lease", settings.lease.into()),
        ("timeout", settings.timeout.into()),
        ("backoff", settings.backoff.into()),
        ("retain", settings.retain.into()),
        ("retain-failed", settings.retain_failed.into()),
    ]);
    Fields(fields)
}
