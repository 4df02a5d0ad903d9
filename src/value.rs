//! The value of a key: a queue, as the server saves, copies, counts and frees it.

use crate::agenda;
use crate::redis::aof::AofWriter;
use crate::redis::datatype::{DataType, Place, Value};
use crate::redis::digest::Digest;
use crate::redis::rdb::{RdbReader, RdbWriter};
use crate::{apply, state};
use std::cell::Cell;
use taskqueue::{Queue, UnixMs, effect};

/// Version of the RDB encoding: chunks of packed effects, ended by an empty one.
const ENCODING: i32 = 1;

/// The type, as TYPE shows it.
pub(crate) static QUEUE: DataType<QueueValue> = DataType::new(c"taskqueue", ENCODING);

/// A queue in its key.
#[derive(Debug)]
pub(crate) struct QueueValue {
    pub(crate) queue: Queue,
    /// When the agenda will look at it under the name it has.
    pub(crate) alarm: Cell<UnixMs>,
}

impl QueueValue {
    pub(crate) fn new(queue: Queue) -> Box<Self> {
        Box::new(Self { queue, alarm: Cell::new(UnixMs::NEVER) })
    }
}

impl Value for QueueValue {
    fn rdb_save(&self, writer: &mut RdbWriter<'_>) {
        self.queue.for_each_chunk(|chunk| writer.save_bytes(chunk));
        writer.save_bytes(b"");
    }

    fn rdb_load(reader: &mut RdbReader<'_>, version: i32) -> Option<Box<Self>> {
        if version != ENCODING {
            return None;
        }
        let mut queue = Queue::default();
        loop {
            let chunk = reader.load_bytes()?;
            if chunk.is_empty() {
                break;
            }
            for effect in effect::unpack(&chunk) {
                queue.apply(&effect.ok()?).ok()?;
            }
        }
        if let Some(name) = reader.key_name() {
            state::with(|state| state.agenda.loaded(reader.db(), name.bytes()));
        }
        Some(Self::new(queue))
    }

    fn aof_rewrite(&self, writer: &mut AofWriter<'_>) {
        self.queue.for_each_chunk(|chunk| writer.emit(apply::NAME, chunk));
    }

    fn digest(&self, digest: &mut Digest<'_>) {
        self.queue.for_each_chunk(|chunk| digest.add(chunk));
        digest.end();
    }

    fn mem_usage(&self) -> usize {
        size_of::<Self>() - size_of::<Queue>() + self.queue.bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.len()
    }

    fn copy(&self) -> Box<Self> {
        Self::new(self.queue.clone())
    }

    fn unlink(&self, place: Place<'_>) {
        self.alarm.set(UnixMs::NEVER);
        if let Some(name) = place.name {
            agenda::forget(place.db, name.bytes());
        }
    }
}
