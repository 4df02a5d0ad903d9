//! A queue as effects: what RDB, DUMP, an AOF rewrite and a digest are made of.
//!
//! The order is canonical: equal queues give equal bytes, whatever slots their tasks have and however they came to be.

use crate::batch::Batch;
use crate::effect::{BatchImage, Depends, Effect, ExtraImage, Image, Keyed, Packed};
use crate::flow::Settings;
use crate::index::deadlines::Deadlines;
use crate::index::segments::Slot;
use crate::queue::Queue;
use crate::schedule::ScheduleView;
use crate::time::UnixMs;
use crate::unique::Holder;
use std::{iter, mem};

/// Packed effects of a snapshot are given in pieces of at least this many bytes, but the last.
const CHUNK_BYTES: usize = 64 * 1024;

impl Queue {
    /// Gives the queue to `sink` as packed effects, in pieces of about 64 KiB and whole tasks. Applied in order to an empty queue they
    /// make it anew.
    pub fn for_each_chunk(&self, mut sink: impl FnMut(&[u8])) {
        let mut packed = Packed::default();
        packed.push(&Effect::Restarted(self.head));
        packed.push(&Effect::Measured { waits: &self.waits.encode(), runs: &self.runs.encode() });
        if let Some(flow) = &self.flow {
            let paused_until = flow.settings.paused_until.filter(|_| !sabotaged!(PauseEndForgotten));
            packed.push(&Effect::Set(Settings { paused_until, ..flow.settings }));
            if let Some(starts) = flow.encoded_starts().filter(|_| !sabotaged!(StartsForgotten)) {
                packed.push(&Effect::Started { starts: &starts });
            }
        }
        if self.batches.last > 0 {
            packed.push(&Effect::BatchesNumbered { last: self.batches.last });
        }
        let batches = self.batches.numbers.values().map(|&batch| Effect::BatchRestored(image_of(self.batches.slots.at(batch))));
        let tasks = self.in_order().flat_map(|slot| {
            let image = self.image(slot);
            let restored = match self.member(self.tasks.at(slot)) {
                None => Effect::Restored(image),
                Some(member) => {
                    let batch = self.batches.slots.at(member.batch()).incarnation;
                    Effect::MemberRestored { batch, number: member.number, image }
                }
            };
            iter::once(restored).chain(self.grouped(slot))
        });
        let mut give = |effect: &Effect<'_>| {
            packed.push(effect);
            if packed.bytes().len() >= CHUNK_BYTES {
                sink(packed.bytes());
                packed.clear();
            }
        };
        batches.chain(tasks).for_each(|effect| give(&effect));
        // When all are there that tasks may depend on.
        for (slot, after) in self.in_order().filter_map(|slot| Some((slot, self.after(slot)?))) {
            let on = self.packed_after(after);
            let depends = Depends { on: &on, of_batch: after.of_batch, run_anyway: after.run_anyway, due: after.due.get() };
            give(&Effect::Depends(self.id_of(slot), depends));
        }
        // When all have their groups that take turns.
        self.groups.iter().flat_map(|groups| groups.turns()).for_each(|group| give(&Effect::Turned { group }));
        self.for_each_key(&mut give);
        for ScheduleView { name, definition, mut progress } in self.schedules() {
            if sabotaged!(PassedSlotsForgotten) {
                (progress.last, progress.last_fired) = (None, None);
            }
            give(&Effect::ScheduleRestored { name, definition, progress });
        }
        if let Some(log) = &self.events {
            log.for_each_effect(give);
        }
        if !packed.is_empty() {
            sink(packed.bytes());
        }
    }

    /// Keys come behind what tasks depend on, as a follow-up depends on the holder: each with its holder and then its follow-up; at last
    /// what tasks know that have none, but would have it again.
    fn for_each_key(&self, give: &mut impl FnMut(&Effect<'_>)) {
        let keyed = |slot| {
            let key = self.key(slot)?;
            let keyed = Keyed { key: &key.name, until: key.until.get(), follows: key.follows };
            Some(Effect::Keyed(self.id_of(slot), keyed))
        };
        for (key, hold) in &self.uniques.holds {
            match &hold.holder {
                Holder::Task(slot) => keyed(*slot).iter().for_each(&mut *give),
                Holder::Gone(_) if sabotaged!(HeldOnForgotten) => {}
                Holder::Gone(id) => {
                    let until = hold.until.get().unwrap_or(UnixMs::NEVER);
                    give(&Effect::KeyKept { key, id: id.as_id(), until });
                }
            }
            hold.follow_up.get().and_then(keyed).iter().for_each(&mut *give);
        }
        if self.uniques.has_tasks() {
            self.in_order().filter(|&slot| self.ended_badly(slot)).filter_map(keyed).for_each(|effect| give(&effect));
        }
    }

    /// The whole snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        self.for_each_chunk(|chunk| chunks.push(chunk.to_vec()));
        chunks
    }

    fn in_order(&self) -> impl Iterator<Item = Slot> + '_ {
        let deadlines = [&self.waiting, &self.due, &self.leases].into_iter().chain(&self.finished);
        self.all_ready().chain(deadlines.flat_map(|deadlines: &Deadlines| deadlines.iter(&self.tasks)))
    }

    /// What makes a restored task one of its group, if it has one.
    fn grouped(&self, slot: Slot) -> Option<Effect<'_>> {
        let groups = self.groups.as_deref()?;
        let extra = self.extra(self.tasks.at(slot));
        let group = groups.slots.at(extra.group.get()?);
        Some(Effect::Grouped { id: self.id_of(slot), group: &group.name, holds: extra.holds_group })
    }

    pub(crate) fn image(&self, slot: Slot) -> Image<'_> {
        let task = self.tasks.at(slot);
        let extra = self.extra(task);
        let extra = ExtraImage {
            created: extra.created.get(),
            options: self.own_options(task).copied(),
            ttl_at: extra.ttl_at.get(),
            uncounted: extra.uncounted,
            claimed_at: extra.claimed_at.get(),
            timeout_at: extra.rare().timeout_at,
            error: extra.rare().error.as_deref(),
            checkpoint: extra.rare().checkpoint.as_deref(),
            session: extra.rare().session.is_some(),
            keep: self.node(slot).and_then(|node| self.nodes.slots.at(node).keep),
        };
        Image {
            id: self.id_of(slot),
            state: task.state(),
            last_claim: task.last_claim(),
            data: &task.data,
            at: task.at,
            order: task.order,
            attempt: task.attempt,
            priority: task.priority,
            worker: self.worker(slot),
            extra: (extra != ExtraImage::default()).then_some(extra),
        }
    }
}

pub(crate) fn image_of(batch: &Batch) -> BatchImage<'_> {
    BatchImage {
        name: &batch.name,
        incarnation: batch.incarnation,
        is_sealed: batch.is_sealed,
        is_leaving: batch.is_leaving(),
        kept_until: batch.kept_until,
        touched: batch.touched,
        opened: batch.open.next(),
        ended: batch.ends.next(),
    }
}

const _: () = assert!(mem::size_of::<Image<'_>>() <= 512, "an image is passed by value");
