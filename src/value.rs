//! The value of a key: a queue, as the server saves, copies, counts and frees it.

use crate::agenda;
use crate::redis::alloc;
use crate::redis::aof::AofWriter;
use crate::redis::datatype::{DataType, Place, Value};
use crate::redis::defrag::Defrag;
use crate::redis::digest::Digest;
use crate::redis::rdb::{RdbReader, RdbWriter};
use crate::{apply, sessions, state};
use std::cell::Cell;
use taskqueue::{Block, Mismatch, Queue, Rounding, UnixMs, effect};

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

    /// Bytes of memory it uses, what the agenda notes of it included.
    pub(crate) fn bytes(&self) -> usize {
        let rounding = rounding();
        let noted = if self.alarm.get() == UnixMs::NEVER { 0 } else { agenda::NOTE_BYTES };
        rounding.block(size_of::<Self>()) + self.queue.bytes(rounding) + noted
    }
}

/// How the server's allocator rounds, seen from one block of a size at which the two differ most.
fn rounding() -> Rounding {
    const ODD: usize = 520;
    let is_as_glibc = alloc::block_bytes(ODD).is_some_and(|bytes| bytes < Rounding::Classes.block(ODD));
    if is_as_glibc { Rounding::Words } else { Rounding::Classes }
}

/// Says in the log why a queue is not loaded: of that the server knows only that it was not.
fn not_loaded(reader: &RdbReader<'_>, mismatch: Mismatch) -> Option<Box<QueueValue>> {
    let name = reader.key_name().map_or_else(String::new, |name| name.bytes().escape_ascii().to_string());
    reader.warn(&format!(
        "the queue '{name}' cannot be loaded: {mismatch}. A newer version of the module saved it, or it is damaged"
    ));
    None
}

impl Value for QueueValue {
    fn rdb_save(&self, writer: &mut RdbWriter<'_>) {
        self.queue.for_each_chunk(|chunk| writer.save_bytes(chunk));
        writer.save_bytes(b"");
    }

    fn rdb_load(reader: &mut RdbReader<'_>, version: i32) -> Option<Box<Self>> {
        if version != ENCODING {
            return not_loaded(reader, Mismatch::Undecodable);
        }
        let mut queue = Queue::default();
        loop {
            let chunk = reader.load_bytes()?;
            if chunk.is_empty() {
                break;
            }
            if let Err(mismatch) = effect::unpack(&chunk).try_for_each(|effect| queue.apply(&effect?).map(drop)) {
                return not_loaded(reader, mismatch);
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
        self.bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.len() + self.queue.event_blocks() + self.queue.schedules().len() + self.queue.key_count()
    }

    fn defrag(&mut self, defrag: &Defrag<'_>) -> bool {
        /// Slots between two looks at the clock.
        const SLICE: u32 = 64;
        let mut next = Some(defrag.cursor());
        while let Some(from) = next {
            next = self.queue.for_each_block(from, SLICE, |block| match block {
                Block::Bytes(bytes) => defrag.move_bytes(bytes),
                Block::Text(text) => defrag.move_text(text),
            });
            if next.is_some_and(|cursor| defrag.stops_at(cursor)) {
                return false;
            }
        }
        true
    }

    fn copy(&self) -> Box<Self> {
        Self::new(self.queue.copied())
    }

    fn unlink(&self, place: Place<'_>) {
        self.alarm.set(UnixMs::NEVER);
        if let Some(name) = place.name {
            sessions::left(&self.queue, place.db, name.bytes());
            agenda::forget(place.db, name.bytes());
        }
    }
}
