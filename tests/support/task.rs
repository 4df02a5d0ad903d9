//! Reads tasks and queues out of replies.

use super::{Client, Server, Value, eventually_eq};

/// A task as TASK.CLAIM hands it out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claim {
    pub(crate) id: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) attempt: i64,
    pub(crate) lease_ms: i64,
    /// None: nil
    pub(crate) checkpoint: Option<Vec<u8>>,
}

impl Claim {
    /// Reads `[id, payload, attempt, lease-ms, checkpoint or nil]`.
    #[track_caller]
    pub(crate) fn of(reply: &Value) -> Self {
        let checkpoint = reply.at(4);
        Self {
            id: String::from_utf8(reply.at(0).bytes().to_vec()).expect("an id in UTF-8"),
            payload: reply.at(1).bytes().to_vec(),
            attempt: reply.at(2).int(),
            lease_ms: reply.at(3).int(),
            checkpoint: (!checkpoint.is_nil()).then(|| checkpoint.bytes().to_vec()),
        }
    }

    /// Reads an array of tasks.
    #[track_caller]
    pub(crate) fn all_of(reply: &Value) -> Vec<Self> {
        reply.items().iter().map(Self::of).collect()
    }
}

/// The ids of an array of tasks.
#[track_caller]
pub(crate) fn ids_of(reply: &Value) -> Vec<String> {
    Claim::all_of(reply).into_iter().map(|claim| claim.id).collect()
}

impl Client {
    /// Claims one task; panics if there is none.
    #[track_caller]
    pub(crate) fn claim(&mut self, queue: &str) -> Claim {
        Claim::of(&self.run(&format!("TASK.CLAIM {queue}")))
    }
}

impl Server {
    /// Claims one task; panics if there is none.
    #[track_caller]
    pub(crate) fn claim(&self, queue: &str) -> Claim {
        Claim::of(&self.run(&format!("TASK.CLAIM {queue}")))
    }

    /// A field of TASK.GET; nil if the field or the task is absent.
    #[track_caller]
    pub(crate) fn task(&self, queue: &str, id: &str, field: &str) -> Value {
        match self.run(&format!("TASK.GET {queue} {id}")) {
            task if task.is_nil() => Value::Null,
            task => task.field(field),
        }
    }

    /// The state of a task, or `none`.
    #[track_caller]
    pub(crate) fn state(&self, queue: &str, id: &str) -> String {
        match self.task(queue, id, "state") {
            Value::Null => "none".to_owned(),
            state => state.text(),
        }
    }

    /// Waits until a task of `jobs` is in `state` (`none`: dropped).
    #[track_caller]
    pub(crate) fn wait_for_state(&self, id: &str, state: &str) {
        eventually_eq(|| self.state("jobs", id), state);
    }

    /// How many tasks of `queue` are in `state`, by TASK.INFO.
    #[track_caller]
    pub(crate) fn count(&self, queue: &str, state: &str) -> i64 {
        self.run(&format!("TASK.INFO {queue}")).field(state).int()
    }
}

impl Value {
    /// Asserts that this is an error with `code` whose message contains each of `words`.
    #[track_caller]
    pub(crate) fn assert_refused(&self, code: &str, words: &[&str]) {
        assert_eq!(self.code(), code, "{self:?}");
        let message = self.error().to_lowercase();
        for word in words {
            assert!(message.contains(&word.to_lowercase()), "no {word} in: {message}");
        }
    }
}
