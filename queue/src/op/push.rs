//! `TASK.PUSH`: a task comes into the queue.

use crate::admit::MADE_ID_MAX;
use crate::effect::{Change, Order, Pushed};
use crate::error::Refusal;
use crate::id::{MadeId, TaskId};
use crate::index::segments::Slot;
use crate::op::batch::seal;
use crate::op::depend::{After, resolve};
use crate::op::unique::{Unique, push_unique};
use crate::options::{Options, Start};
use crate::queue::{Queue, TASKS_MAX};
use crate::time::{Ms, UnixMs};
use crate::txn::Txn;

/// When a pushed task may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// So long after the push.
    For(Ms),
    /// Not before this instant.
    Until(UnixMs),
}

/// What `TASK.PUSH` says.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Any bytes.
    pub payload: &'a [u8],
    /// The client's own id; else one is made.
    pub id: Option<TaskId<'a>>,
    /// With an id: a failed, canceled or expired task begins again.
    pub renew: bool,
    /// Higher is sooner.
    pub priority: u8,
    /// When it may be claimed.
    pub delay: Delay,
    /// When it expires, from the push on, unless a worker has claimed it.
    pub ttl: Option<Ms>,
    /// What it sets for itself.
    pub options: Options,
    /// The batch that it is to be of.
    pub batch: Option<IntoBatch<'a>>,
    /// What it is to wait for.
    pub after: Option<After<'a>>,
    /// The key that is to be its own alone.
    pub unique: Option<Unique<'a>>,
    /// The group in which it takes turns; one that begins again stays in its own if none is given.
    pub group: Option<&'a str>,
}

/// The batch of a push.
#[derive(Clone, Copy, Debug)]
pub struct IntoBatch<'a> {
    /// Its name.
    pub name: &'a str,
    /// No more tasks will come.
    pub seal: bool,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The task is new, or began again.
    Added(Slot),
    /// A task of this id was there, or one that holds the key; nothing changed.
    Existing(Slot),
    /// The key is held on for a task that is gone, [`Queue::holder_of`] it; nothing changed.
    Held,
}

/// Adds a task. An id is made larger than `floor` and than any the queue made before, whatever the clock says.
///
/// # Errors
/// [`Refusal::DelayPastTtl`], [`Refusal::QueueFull`], [`Refusal::Sealed`], [`Refusal::OtherBatch`], and
/// those of what it is to wait for.
pub fn push(txn: &mut Txn<'_>, push: &Push<'_>, floor: MadeId) -> Result<PushOutcome, Refusal> {
    if let Some(unique) = push.unique {
        return push_unique(txn, push, unique, floor);
    }
    let terms = Terms::of(push, txn.now())?;
    let found = push.id.and_then(|id| txn.queue().find(id));
    if let Some(slot) = found.filter(|&slot| !txn.queue().is_leaving(slot)) {
        return push_known(txn, push, slot);
    }
    admits(txn, 1)?;
    let id = match push.id {
        Some(id) => {
            room_for(txn.queue(), 1)?;
            id
        }
        None => TaskId::Made(next_ids(txn, floor, 1)?),
    };
    let order = terms.order(push.payload, txn.next_order());
    let pushed = Pushed { id, made: push.id.is_none(), at: txn.now(), order };
    if push.batch.is_some() || push.after.is_some() || push.group.is_some() || found.is_some() {
        return push_among_others(txn, push, pushed, terms.due, found);
    }
    Ok(PushOutcome::Added(txn.record_push(&pushed)))
}

/// A task that has to do with others: as one of a batch or a group, as one that waits, or with one of its id whose batch is gone.
#[cold]
fn push_among_others(
    txn: &mut Txn<'_>,
    push: &Push<'_>,
    mut pushed: Pushed<'_>,
    due: Option<UnixMs>,
    gone: Option<Slot>,
) -> Result<PushOutcome, Refusal> {
    if let Some(batch) = push.batch {
        room_in_batch(txn.queue(), batch, 1)?;
    }
    let waits = resolve(txn.queue(), None, push.after, push.batch.map(|batch| batch.name))?;
    if let Some(slot) = gone {
        txn.record_drop(slot);
    }
    if waits.is_some() {
        pushed.order.start = Start::Waiting { order: txn.next_order() };
    }
    let slot = match push.batch {
        None => txn.record_push_apart(&pushed),
        Some(batch) => txn.record_push_into(batch.name, &pushed),
    };
    group_if_asked(txn, slot, push.group);
    seal_if_asked(txn, push.batch);
    if let Some(waits) = waits {
        waits.record(txn, slot, due);
    }
    Ok(PushOutcome::Added(slot))
}

/// A task of this id is there.
#[cold]
fn push_known(txn: &mut Txn<'_>, push: &Push<'_>, slot: Slot) -> Result<PushOutcome, Refusal> {
    if !(push.renew && txn.queue().ended_badly(slot)) {
        seal_if_asked(txn, push.batch);
        return Ok(PushOutcome::Existing(slot));
    }
    admits(txn, 1)?;
    let own = txn.queue().batch_of(slot).map(|batch| &*batch.name);
    if push.batch.is_some_and(|batch| own != Some(batch.name)) {
        return Err(Refusal::OtherBatch);
    }
    if !txn.queue().can_begin_again(slot) {
        return Err(Refusal::QueueFull);
    }
    let waits = resolve(txn.queue(), Some(slot), push.after, own)?;
    let terms = Terms::of(push, txn.now())?;
    let mut order = terms.order(push.payload, txn.next_order());
    if waits.is_some() {
        order.start = Start::Waiting { order: txn.next_order() };
    }
    // Before it is in line.
    group_if_asked(txn, slot, push.group);
    txn.record(slot, &Change::Renewed { at: txn.now(), order });
    if let Some(waits) = waits {
        waits.record(txn, slot, terms.due);
    }
    seal_if_asked(txn, push.batch);
    Ok(PushOutcome::Added(slot))
}

/// Adds a task of each payload, all that `push` says being the same for them, with an id made. All or none.
///
/// # Errors
/// [`Refusal::DelayPastTtl`], [`Refusal::QueueFull`].
pub fn push_all(txn: &mut Txn<'_>, push: &Push<'_>, payloads: &[&[u8]], floor: MadeId) -> Result<Vec<Slot>, Refusal> {
    let terms = Terms::of(push, txn.now())?;
    admits(txn, payloads.len())?;
    let mut id = next_ids(txn, floor, payloads.len())?;
    if let Some(batch) = push.batch {
        room_in_batch(txn.queue(), batch, payloads.len())?;
    }
    let waits = resolve(txn.queue(), None, push.after, push.batch.map(|batch| batch.name))?;
    let mut slots = Vec::with_capacity(payloads.len());
    for payload in payloads {
        id = free_from(txn.queue(), id);
        let mut order = terms.order(payload, txn.next_order());
        if waits.is_some() {
            order.start = Start::Waiting { order: txn.next_order() };
        }
        let pushed = Pushed { id: TaskId::Made(id), made: true, at: txn.now(), order };
        let slot = match push.batch {
            None => txn.record_push(&pushed),
            Some(batch) => txn.record_push_into(batch.name, &pushed),
        };
        slots.push(slot);
        group_if_asked(txn, slot, push.group);
        if let Some(waits) = &waits {
            waits.record(txn, slot, terms.due);
        }
        id = id.next();
    }
    seal_if_asked(txn, push.batch);
    Ok(slots)
}

/// What a push says beside id and payload, as instants.
pub(super) struct Terms {
    priority: u8,
    /// When it becomes ready, if not at once.
    due: Option<UnixMs>,
    ttl_at: Option<UnixMs>,
    options: Option<Options>,
}

impl Terms {
    pub(super) fn of(push: &Push<'_>, now: UnixMs) -> Result<Self, Refusal> {
        let due = match push.delay {
            Delay::For(wait) => now.after(wait),
            Delay::Until(instant) => instant,
        };
        let ttl_at = push.ttl.map(|ttl| now.after(ttl));
        if ttl_at.is_some_and(|ttl_at| due >= ttl_at) {
            return Err(Refusal::DelayPastTtl);
        }
        let options = (push.options != Options::default()).then_some(push.options);
        Ok(Self { priority: push.priority, due: (due > now).then_some(due), ttl_at, options })
    }

    pub(super) fn order<'a>(&self, payload: &'a [u8], place: u64) -> Order<'a> {
        let start = match self.due {
            Some(due) => Start::Scheduled { due },
            None => Start::Ready { order: place },
        };
        Order { payload, priority: self.priority, start, ttl_at: self.ttl_at, options: self.options }
    }
}

#[cold]
fn room_in_batch(queue: &Queue, batch: IntoBatch<'_>, count: usize) -> Result<(), Refusal> {
    let known = queue.find_batch(batch.name).map(|batch| queue.batches.slots.at(batch));
    match known {
        Some(batch) if batch.is_sealed && !sabotaged!(SealIgnored) => Err(Refusal::Sealed),
        Some(batch) if !batch.has_room_for(count) => Err(Refusal::QueueFull),
        None if !queue.can_number_batch() => Err(Refusal::QueueFull),
        _ => Ok(()),
    }
}

fn group_if_asked(txn: &mut Txn<'_>, slot: Slot, group: Option<&str>) {
    if let Some(group) = group.filter(|&group| txn.queue().group_of(slot).is_none_or(|own| *own.name != *group)) {
        txn.record_group(slot, group);
    }
}

pub(super) fn seal_if_asked(txn: &mut Txn<'_>, batch: Option<IntoBatch<'_>>) {
    if let Some(batch) = batch.filter(|batch| batch.seal) {
        seal(txn, batch.name);
    }
}

/// Whether the queue's settings let so many tasks come.
fn admits(txn: &Txn<'_>, count: usize) -> Result<(), Refusal> {
    let queue = txn.queue();
    let Some(flow) = &queue.flow else { return Ok(()) };
    let max = flow.settings.max_len;
    if flow.settings.is_paused_in(txn.now()) {
        Err(Refusal::Paused)
    } else if max > 0 && queue.unfinished() + count > max as usize + usize::from(sabotaged!(OneTooManyTaken)) {
        Err(Refusal::MaxLen { max })
    } else {
        Ok(())
    }
}

fn room_for(queue: &Queue, count: usize) -> Result<(), Refusal> {
    if queue.len() + count > TASKS_MAX { Err(Refusal::QueueFull) } else { Ok(()) }
}

/// The first free id after all that were made, if there is room for `count` tasks, and so many ids are left whatever ids tasks have.
fn next_ids(txn: &Txn<'_>, floor: MadeId, count: usize) -> Result<MadeId, Refusal> {
    let queue = txn.queue();
    room_for(queue, count)?;
    let mut id = MadeId::first_of(txn.now()).max(floor.max(queue.last_id()).next());
    if sabotaged!(IdsFollowTheClock) {
        id = MadeId::first_of(txn.now());
    }
    let last = id.0.saturating_add((queue.len() + count) as u64);
    if last > MADE_ID_MAX.0 { Err(Refusal::QueueFull) } else { Ok(free_from(queue, id)) }
}

/// The first id from this one on that no task has.
fn free_from(queue: &Queue, mut id: MadeId) -> MadeId {
    while !queue.ids.is_surely_free(id) && queue.find(TaskId::Made(id)).is_some() {
        id = id.next();
    }
    id
}
