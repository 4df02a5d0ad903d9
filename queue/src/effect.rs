//! The vocabulary of change: what replicas, the AOF and snapshots are made of.
//!
//! Every value is an absolute fact (ids, attempt numbers, deadlines, drawn jitter), so whoever applies effects needs no clock, no
//! settings and no dice. Variants are appended, and none that exists changes, nor a struct in it, not even by a field at its end: stored bytes
//! of each version must still load.

#![allow(clippy::ref_option_ref, reason = "in what serde derives")]

use crate::error::Mismatch;
use crate::flow::Settings;
use crate::id::{MadeId, TaskId};
use crate::index::segments::Slot;
use crate::options::{Options, Start};
use crate::schedule::{Definition, Progress, SlotOutcome};
use crate::state::{LastClaim, State};
use crate::time::{Ms, UnixMs};
use serde::{Deserialize, Serialize};

/// One fact about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect<'a> {
    /// A task was added.
    #[serde(borrow)]
    Pushed(Pushed<'a>),
    /// Something happened to a task.
    Changed(#[serde(borrow)] TaskId<'a>, #[serde(borrow)] Change<'a>),
    /// The queue's own numbers; a snapshot begins with it.
    Restarted(Head),
    /// A task as it is, from a snapshot.
    #[serde(borrow)]
    Restored(Image<'a>),
    /// How long tasks waited and ran, from a snapshot: each a list of pairs of milliseconds and count, in postcard's wire format.
    Measured {
        /// From ready to claimed.
        #[serde(borrow, with = "serde_bytes")]
        waits: &'a [u8],
        /// From claimed to answered.
        #[serde(borrow, with = "serde_bytes")]
        runs: &'a [u8],
    },
    /// A task was added to the batch of that name, which came to be by that if there was none.
    PushedInto {
        /// The batch's name.
        batch: &'a str,
        /// The task.
        #[serde(borrow)]
        pushed: Pushed<'a>,
    },
    /// No more tasks will come to the batch of that name, which came to be by that if there was none.
    Sealed {
        /// The batch's name.
        batch: &'a str,
        /// When.
        at: UnixMs,
    },
    /// The batch of that name is gone; its tasks are dropped one by one.
    BatchDropped {
        /// The batch's name.
        batch: &'a str,
    },
    /// How many batches there were, from a snapshot.
    BatchesNumbered {
        /// The number of the last one.
        last: u64,
    },
    /// A batch as it is, from a snapshot, before its tasks.
    #[serde(borrow)]
    BatchRestored(BatchImage<'a>),
    /// A task depends on others: of a push or a retry, or from a snapshot after all tasks.
    Depends(#[serde(borrow)] TaskId<'a>, #[serde(borrow)] Depends<'a>),
    /// A task of a batch as it is, from a snapshot.
    MemberRestored {
        /// The batch's incarnation.
        batch: u64,
        /// The task's number among those that have ended, or among those that have not.
        number: u32,
        /// The task.
        #[serde(borrow)]
        image: Image<'a>,
    },
    /// What the queue sets for itself is this.
    Set(Settings),
    /// When the claims were that count for RATE, from a snapshot: a list of pairs of instant and count, in postcard's wire format.
    Started {
        /// The list.
        #[serde(borrow, with = "serde_bytes")]
        starts: &'a [u8],
    },
    /// Such claims that were later than this count as of this instant: the clock has stepped back.
    StartsRewound {
        /// When.
        at: UnixMs,
    },
    /// A task has a key that is to be its own alone: of a push or a retry, or from a snapshot after what tasks depend on.
    Keyed(#[serde(borrow)] TaskId<'a>, #[serde(borrow)] Keyed<'a>),
    /// A key is held on for a task that is gone. From a snapshot.
    KeyKept {
        /// The key.
        key: &'a str,
        /// The task's id.
        #[serde(borrow)]
        id: TaskId<'a>,
        /// When it is free.
        until: UnixMs,
    },
    /// The key's holder has it no longer, whatever becomes of that; its follow-up has it, if there is one.
    KeyFreed {
        /// The key.
        key: &'a str,
        /// When.
        at: UnixMs,
    },
    /// What follows and says no instant of its own happened then. Only where events are kept.
    Dated {
        /// When.
        at: UnixMs,
    },
    /// Where the numbers of events go on, from a snapshot.
    EventsNumbered {
        /// The number of the oldest one that is kept, or of the one that comes next.
        next: u64,
        /// When the last one was.
        at: UnixMs,
    },
    /// The events that come next, from a snapshot.
    EventsRestored {
        /// Each as the log keeps it, one after the other.
        #[serde(borrow, with = "serde_bytes")]
        rows: &'a [u8],
    },
    /// A task is of the group of that name, which came to be by that if there was none: of a push, or from a snapshot after the task.
    Grouped {
        /// The task.
        #[serde(borrow)]
        id: TaskId<'a>,
        /// The group's name.
        group: &'a str,
        /// The task was claimed, and has not ended since.
        holds: bool,
    },
    /// The group of that name, or the tasks without one, has the last turn: from a snapshot, whose next one comes first.
    Turned {
        /// The group's name.
        group: Option<&'a str>,
    },
    /// A schedule was set, in place of the one of that name if there was one.
    Scheduled {
        /// Its name.
        name: &'a str,
        /// What was said of it.
        #[serde(borrow)]
        definition: Definition<'a>,
        /// The next slot.
        next: UnixMs,
    },
    /// The schedule of that name is gone.
    Unscheduled {
        /// Its name.
        name: &'a str,
    },
    /// A slot of a schedule has passed. The task of it, if it has one, was pushed before.
    SlotPassed {
        /// The schedule's name.
        name: &'a str,
        /// The slot.
        slot: UnixMs,
        /// The next one; never, if there is none.
        next: UnixMs,
        /// Slots before it that were missed and are not made up for.
        missed: u64,
        /// What became of it.
        outcome: SlotOutcome,
    },
    /// A schedule as it is, from a snapshot.
    ScheduleRestored {
        /// Its name.
        name: &'a str,
        /// What was said of it.
        #[serde(borrow)]
        definition: Definition<'a>,
        /// How far it has come.
        progress: Progress,
    },
    /// The queue has begun to keep events, or had: of the first `Set` that says so, or from a snapshot.
    EventsBegun {
        /// When.
        at: UnixMs,
    },
}

/// A task was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: TaskId<'a>,
    /// The id was made by the queue: later ones are larger.
    pub made: bool,
    /// When it was pushed.
    pub at: UnixMs,
    /// What was pushed.
    #[serde(borrow)]
    pub order: Order<'a>,
}

/// What a push asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order<'a> {
    /// Any bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub payload: &'a [u8],
    /// Higher is sooner.
    pub priority: u8,
    /// When it can be claimed.
    pub start: Start,
    /// When it expires unless a worker has claimed it.
    pub ttl_at: Option<UnixMs>,
    /// What it sets for itself; most set nothing.
    pub options: Option<Options>,
}

/// What a task depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depends<'a> {
    /// A list of pairs of an id and a [`Tie`](crate::Tie), in postcard's wire format.
    #[serde(borrow, with = "serde_bytes")]
    pub on: &'a [u8],
    /// The one in it is a batch.
    pub of_batch: bool,
    /// The task runs whatever becomes of them.
    pub run_anyway: bool,
    /// When it may be claimed at the soonest.
    pub due: Option<UnixMs>,
}

/// What a task has to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed<'a> {
    /// The key.
    pub key: &'a str,
    /// When it is free at the latest, whatever becomes of the task.
    pub until: Option<UnixMs>,
    /// The task waits for a holder of the key, to have it then.
    pub follows: bool,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change<'a> {
    /// Its time has come: ready, at this place in line.
    Ripened {
        /// Its place in line.
        order: u64,
        /// When.
        at: UnixMs,
    },
    /// A worker holds it, as its `attempt`-th claim, until `deadline`; with `session`, as long as its connection is open.
    Claimed {
        /// The claim's number.
        attempt: u32,
        /// Who claimed it.
        worker: &'a str,
        /// What EXTEND renews.
        lease: Ms,
        /// When.
        at: UnixMs,
        /// When the claim lapses; of a session its timeout, or never.
        deadline: UnixMs,
        /// When it lapses however often it is extended.
        timeout_at: Option<UnixMs>,
        /// It is a session's.
        session: bool,
    },
    /// The worker holds it until `deadline`.
    Extended {
        /// When the claim lapses.
        deadline: UnixMs,
        /// What the worker wants kept, if it said so.
        #[serde(borrow, with = "serde_bytes")]
        checkpoint: Option<&'a [u8]>,
    },
    /// It ended with a result.
    Completed {
        /// Any bytes.
        #[serde(borrow, with = "serde_bytes")]
        result: &'a [u8],
        /// When.
        at: UnixMs,
        /// Kept until then.
        drop_at: UnixMs,
    },
    /// A try failed; the next one may begin at `due`.
    BackedOff {
        /// Why.
        #[serde(borrow, with = "serde_bytes")]
        error: &'a [u8],
        /// When.
        at: UnixMs,
        /// When it becomes ready.
        due: UnixMs,
    },
    /// A try failed; the next one may begin at once, from the end of the line.
    Requeued {
        /// Why.
        #[serde(borrow, with = "serde_bytes")]
        error: &'a [u8],
        /// Its place in line.
        order: u64,
        /// When.
        at: UnixMs,
    },
    /// It failed for good.
    Failed {
        /// Why.
        #[serde(borrow, with = "serde_bytes")]
        error: &'a [u8],
        /// Its last claim lapsed, rather than being answered.
        lapsed: bool,
        /// When.
        at: UnixMs,
        /// Kept until then.
        drop_at: UnixMs,
    },
    /// The worker gave it back; it is ready in its old place. The try does not count.
    Released {
        /// When.
        at: UnixMs,
    },
    /// The worker gave it back for later. The try does not count.
    Deferred {
        /// When it becomes ready.
        due: UnixMs,
    },
    /// Its lease or timeout ended; it is ready in its old place.
    Lapsed {
        /// When.
        at: UnixMs,
    },
    /// It was canceled.
    Canceled {
        /// When.
        at: UnixMs,
        /// Kept until then.
        drop_at: UnixMs,
    },
    /// Its TTL ended before any worker claimed it.
    Expired {
        /// When.
        at: UnixMs,
        /// Kept until then.
        drop_at: UnixMs,
    },
    /// RETRY made it ready, with all its tries.
    Revived {
        /// Its place in line.
        order: u64,
        /// When.
        at: UnixMs,
    },
    /// A push with RENEW began it again.
    Renewed {
        /// When.
        at: UnixMs,
        /// What was pushed.
        #[serde(borrow)]
        order: Order<'a>,
    },
    /// It left the queue.
    Dropped,
    /// The connection of a session's claim is not known to the master: from now on it is a claim like others.
    Bounded {
        /// When the claim lapses.
        deadline: UnixMs,
    },
    /// It was told of the end of something that it waits for, and waits for the rest.
    Told {
        /// Which of those that it depends on, from 0 on.
        dependency: u32,
    },
    /// All that it waited for has ended; its time has not come.
    Delayed {
        /// When it becomes ready.
        due: UnixMs,
    },
    /// Something that it waited for ended otherwise than completed, and so does it.
    Abandoned {
        /// Why.
        #[serde(borrow, with = "serde_bytes")]
        error: &'a [u8],
        /// When.
        at: UnixMs,
        /// Kept until then.
        drop_at: UnixMs,
    },
    /// It begins again, with all its tries, and waits.
    Awaited {
        /// Its place among those that wait.
        order: u64,
        /// When.
        at: UnixMs,
    },
    /// A push with REPLACE began it anew, as it had not been claimed or was not any more. If it waits, `order` says from when on it may
    /// be claimed.
    Replaced {
        /// When.
        at: UnixMs,
        /// What was pushed.
        #[serde(borrow)]
        order: Order<'a>,
    },
    /// The holder of its key that it followed has ended: it is ready or scheduled, and depends on nothing.
    Followed {
        /// When.
        at: UnixMs,
        /// When it can be claimed.
        start: Start,
    },
}

/// The numbers of a queue that its tasks do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last id made.
    pub last_id: MadeId,
    /// The last place in line given.
    pub last_order: u64,
    /// What happened since the queue was made.
    pub totals: Totals,
}

/// What happened since the queue was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tasks added.
    pub pushed: u64,
    /// Claims.
    pub claimed: u64,
    /// Results.
    pub completed: u64,
    /// Tasks that became failed.
    pub failed: u64,
    /// Failed tries that were scheduled again.
    pub retried: u64,
    /// Claims that lapsed.
    pub lapsed: u64,
    /// Claims given back.
    pub released: u64,
    /// Tasks canceled.
    pub canceled: u64,
    /// Tasks whose TTL ended.
    pub expired: u64,
    /// Tasks that left the queue.
    pub dropped: u64,
}

/// A task as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: TaskId<'a>,
    /// Its state.
    pub state: State,
    /// How its last claim ended.
    pub last_claim: LastClaim,
    /// Payload, or result.
    #[serde(borrow, with = "serde_bytes")]
    pub data: &'a [u8],
    /// See the table at `Task`.
    pub at: UnixMs,
    /// See the table at `Task`.
    pub order: u64,
    /// Number of its last claim.
    pub attempt: u32,
    /// Higher is sooner.
    pub priority: u8,
    /// Who holds or held it, and the lease.
    #[serde(borrow)]
    pub worker: Option<(&'a str, Ms)>,
    /// What few tasks have.
    #[serde(borrow)]
    pub extra: Option<ExtraImage<'a>>,
}

/// What few tasks have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraImage<'a> {
    /// When it was pushed, if the id does not tell.
    pub created: Option<UnixMs>,
    /// What it sets for itself.
    pub options: Option<Options>,
    /// When it expires unless a worker has claimed it.
    pub ttl_at: Option<UnixMs>,
    /// Claims that do not count as tries.
    pub uncounted: u32,
    /// When its claim began, if the deadline and the lease do not tell.
    pub claimed_at: Option<UnixMs>,
    /// When its claim lapses however often it is extended.
    pub timeout_at: Option<UnixMs>,
    /// Why the last try failed.
    #[serde(borrow, with = "serde_bytes")]
    pub error: Option<&'a [u8]>,
    /// What its worker wanted kept.
    #[serde(borrow, with = "serde_bytes")]
    pub checkpoint: Option<&'a [u8]>,
    /// Its claim is a session's.
    pub session: bool,
    /// It has ended, and stays as long as others need it; then for so long.
    pub keep: Option<Ms>,
}

/// A batch as it is; its tasks follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchImage<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number among all batches there were.
    pub incarnation: u64,
    /// No more tasks will come.
    pub is_sealed: bool,
    /// It is gone, and its name free, but not all of its tasks are.
    pub is_leaving: bool,
    /// When the last of its tasks could be dropped, if they were of no batch.
    pub kept_until: UnixMs,
    /// When a task last came, ended or began again.
    pub touched: UnixMs,
    /// The next number of a task that comes.
    pub opened: u32,
    /// The next number of a task that ends.
    pub ended: u32,
}

/// A change of state as the outside hears of it. Named like the notifications, without `task.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the meaning; PROTOCOL section 7")]
pub enum Event {
    Push,
    Ready,
    Claim,
    Extend,
    Complete,
    Fail,
    Retry,
    Lapse,
    Release,
    Cancel,
    Expire,
    Drop,
    /// It waits, or waits for less, or something is so with a key: the slot may then be none.
    Tell,
    /// A batch is done. Its slot is that of the batch.
    Batch,
    /// A batch was sealed, or is gone. Its slot is that of the batch, or was.
    Seal,
    /// The queue as a whole changed.
    Set,
    /// From a snapshot: nothing happened.
    Restore,
}

impl Event {
    /// As [`Queue::events`](crate::Queue::events) tells of it; nothing if that keeps no such event.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Push => "push",
            Self::Ready => "ready",
            Self::Claim => "claim",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Lapse => "lapse",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Drop => "drop",
            Self::Batch => "batch",
            Self::Extend | Self::Tell | Self::Seal | Self::Set | Self::Restore => return None,
        })
    }

    /// Whether the task has ended by it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Complete | Self::Fail | Self::Cancel | Self::Expire)
    }
}

impl Change<'_> {
    /// What the outside hears of it.
    #[must_use]
    pub const fn event(&self) -> Event {
        match self {
            Self::Ripened { .. } | Self::Revived { .. } | Self::Followed { start: Start::Ready { .. }, .. } => Event::Ready,
            Self::Claimed { .. } => Event::Claim,
            Self::Extended { .. } | Self::Bounded { .. } => Event::Extend,
            Self::Completed { .. } => Event::Complete,
            Self::BackedOff { .. } | Self::Requeued { .. } => Event::Retry,
            Self::Failed { .. } | Self::Abandoned { .. } => Event::Fail,
            Self::Awaited { .. } | Self::Delayed { .. } | Self::Told { .. } | Self::Followed { .. } => Event::Tell,
            Self::Released { .. } | Self::Deferred { .. } => Event::Release,
            Self::Lapsed { .. } => Event::Lapse,
            Self::Canceled { .. } => Event::Cancel,
            Self::Expired { .. } => Event::Expire,
            Self::Renewed { .. } | Self::Replaced { .. } => Event::Push,
            Self::Dropped => Event::Drop,
        }
    }
}

/// What the outside hears of an effect, and which task or batch it concerns.
pub type Heard = [Option<(Event, Slot)>; 2];

/// The version that packed effects begin with. A newer one is refused, not guessed at.
pub const VERSION: u8 = 1;

/// Effects packed for replication, the AOF or a snapshot: a version byte, then each in [postcard's wire format].
///
/// [postcard's wire format]: https://postcard.jamesmunns.com/wire-format
#[derive(Clone, Debug, Default)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Adds an effect at the end.
    pub fn push(&mut self, effect: &Effect<'_>) {
        if self.0.is_empty() {
            self.0.push(VERSION);
        }
        // A Vec always takes more, so this cannot fail; were it to, the effect would be missing and replicas would report it.
        if let Ok(bytes) = postcard::to_extend(effect, std::mem::take(&mut self.0)) {
            self.0 = bytes;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes to send or store; none if there is no effect.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes it empty, keeping its memory for the next ones unless that is much.
    pub fn clear(&mut self) {
        const KEEP: usize = 64 * 1024;
        self.0.clear();
        self.0.shrink_to(KEEP);
    }
}

/// Reads packed effects one by one; no bytes are no effects.
///
/// # Errors
/// Each item is an error from the first byte on that is no effect; it is then the last.
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = Result<Effect<'_>, Mismatch>> {
    let mut rest = match bytes.split_first() {
        None => Some(bytes),
        Some((&version, effects)) => (version == VERSION).then_some(effects),
    };
    std::iter::from_fn(move || {
        if rest.is_some_and(<[u8]>::is_empty) {
            return None;
        }
        let decoded = rest.and_then(|bytes| postcard::take_from_bytes(bytes).ok());
        rest = Some(decoded.map_or(&[], |(_, after)| after));
        Some(decoded.map(|(effect, _)| effect).ok_or(Mismatch::Undecodable))
    })
}
