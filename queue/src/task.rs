//! A task as the queue keeps it: 64 bytes and its data; what is rare stands apart in [`Extra`].

use crate::blocks::Blocks;
use crate::depend::Ties;
use crate::index::counted::Number;
use crate::index::segments::Slot;
use crate::index::workers::Worker;
use crate::options::Options;
use crate::session::Connection;
use crate::state::{LastClaim, State};
use crate::time::{MaybeMs, UnixMs};
use crate::unique::Key;
use std::mem;

/// A task in its slot.
///
/// `at` and `order` mean, in each state:
///
/// | state | `at` | `order` |
/// | --- | --- | --- |
/// | waiting | since when it waits | its place among those that wait |
/// | scheduled | when it becomes ready | – |
/// | ready | since when it is ready | its place in line |
/// | claimed | when the claim lapses; a session's with no timeout: never | its place in line |
/// | terminal | when it is dropped; of a batch's task, see [`crate::batch::kept`] | when it finished, Unix ms |
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// A made id itself, or the hash of a name (which is in [`Extra::name`]).
    pub(crate) key: u64,
    /// The payload; once completed, the result.
    pub(crate) data: Box<[u8]>,
    pub(crate) at: UnixMs,
    pub(crate) order: u64,
    /// Neighbours in the line of its state.
    pub(crate) prev: Slot,
    pub(crate) next: Slot,
    /// Next in the chain of [`crate::index::ids`].
    pub(crate) chain: Slot,
    /// What few tasks have, in `Queue::extras`; or, with [`IS_MEMBER`], the [`crate::batch::Member`] that says where that is.
    pub(crate) extra: Slot,
    /// Number of the last claim; 0: never claimed.
    pub(crate) attempt: u32,
    pub(crate) worker: Number,
    pub(crate) priority: u8,
    pub(crate) status: Status,
}

const _: () = assert!(size_of::<Task>() == 64, "a waiting task costs 64 bytes and its payload");

/// State, end of the last claim, and the kind of the id, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u8);

impl Status {
    const LAST_CLAIM_SHIFT: u8 = 3;
    const NAMED: u8 = 1 << 6;

    pub(crate) const fn new(state: State, last_claim: LastClaim, named: bool) -> Self {
        let named = if named { Self::NAMED } else { 0 };
        Self(state as u8 | (last_claim as u8) << Self::LAST_CLAIM_SHIFT | named)
    }

    const fn state(self) -> State {
        match self.0 & 7 {
            0 => State::Waiting,
            1 => State::Scheduled,
            2 => State::Ready,
            3 => State::Claimed,
            4 => State::Completed,
            5 => State::Failed,
            6 => State::Canceled,
            _ => State::Expired,
        }
    }

    const fn last_claim(self) -> LastClaim {
        match self.0 >> Self::LAST_CLAIM_SHIFT & 7 {
            0 => LastClaim::Open,
            1 => LastClaim::Completed,
            2 => LastClaim::FailedToScheduled,
            3 => LastClaim::FailedToReady,
            4 => LastClaim::FailedForGood,
            5 => LastClaim::Released,
            6 => LastClaim::Lapsed,
            _ => LastClaim::Voided,
        }
    }
}

/// Marks a slot as that of a member.
const IS_MEMBER: u32 = 1 << 31;

impl Task {
    /// Its slot among the members of batches, if it is one.
    pub(crate) const fn member(&self) -> Option<Slot> {
        let is_member = self.extra.0 & IS_MEMBER != 0 && !self.extra.is_nil();
        if is_member { Some(Slot(self.extra.0 & !IS_MEMBER)) } else { None }
    }

    /// What `extra` is for a member.
    pub(crate) const fn link_to(member: Slot) -> Slot {
        Slot(member.0 | IS_MEMBER)
    }

    pub(crate) const fn state(&self) -> State {
        self.status.state()
    }

    pub(crate) const fn last_claim(&self) -> LastClaim {
        self.status.last_claim()
    }

    /// Whether the client chose an id that is not of the made form.
    pub(crate) const fn is_named(&self) -> bool {
        self.status.0 & Status::NAMED != 0
    }

    pub(crate) const fn set_state(&mut self, state: State) {
        self.status = Status::new(state, self.last_claim(), self.is_named());
    }

    pub(crate) const fn set_last_claim(&mut self, last_claim: LastClaim) {
        self.status = Status::new(self.state(), last_claim, self.is_named());
    }
}

/// What few tasks have. Dropped when it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// The id, if it is not of the made form.
    pub(crate) name: Option<Box<str>>,
    /// When it was pushed, if the id does not tell.
    pub(crate) created: MaybeMs,
    /// When it expires, if no worker has claimed it.
    pub(crate) ttl_at: MaybeMs,
    /// When its claim began, if the deadline and the lease do not tell.
    pub(crate) claimed_at: MaybeMs,
    /// What very few tasks have.
    pub(crate) rare: Option<Box<Rare>>,
    /// Claims that do not count as tries: released ones, and all before a RETRY.
    pub(crate) uncounted: u32,
    /// What it sets for itself, in [`crate::index::option_sets`].
    pub(crate) options: Number,
    /// Its group, or nil.
    pub(crate) group: Slot,
    /// It has been claimed, and has not ended since: with GROUPCONCURRENCY 1 no other task of its group is claimed before it.
    pub(crate) holds_group: bool,
}

const _: () = assert!(size_of::<Option<Extra>>() == 64, "what few tasks have costs as much as a task");

/// What very few tasks have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    /// When its claim lapses however often it is extended.
    pub(crate) timeout_at: Option<UnixMs>,
    /// Why the last try failed.
    pub(crate) error: Option<Box<[u8]>>,
    pub(crate) checkpoint: Option<Box<[u8]>>,
    /// Who holds or held it, if the table of workers was full.
    pub(crate) worker: Option<Box<Worker>>,
    /// What it sets for itself, if the table of options was full.
    pub(crate) options: Option<Box<Options>>,
    /// The connection that its claim is a session of.
    pub(crate) session: Option<Connection>,
    /// What it depends on, and who depends on it.
    pub(crate) ties: Option<Box<Ties>>,
    /// The key that is to be its own alone.
    pub(crate) key: Option<Box<Key>>,
}

/// What a task without [`Extra`] has.
pub(crate) static NO_EXTRA: Extra = Extra {
    name: None,
    created: MaybeMs::NONE,
    ttl_at: MaybeMs::NONE,
    claimed_at: MaybeMs::NONE,
    rare: None,
    uncounted: 0,
    options: Number::NONE,
    group: Slot::NIL,
    holds_group: false,
};

/// What a task without [`Rare`] has.
static NOTHING_RARE: Rare =
    Rare { timeout_at: None, error: None, checkpoint: None, worker: None, options: None, session: None, ties: None, key: None };

impl Extra {
    pub(crate) fn is_empty(&self) -> bool {
        *self == NO_EXTRA
    }

    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    /// Changes what is rare, and drops it when it says nothing.
    pub(crate) fn change_rare<R>(&mut self, change: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let answer = change(&mut rare);
        self.rare = Some(rare).filter(|rare| **rare != NOTHING_RARE);
        answer
    }

    /// What it owns outside its slot.
    pub(crate) fn owned(&self) -> Blocks {
        let name = Blocks::of(self.name.as_ref().map_or(0, |name| name.len()));
        self.rare.as_ref().map_or(name, |rare| name + rare.blocks())
    }
}

impl Rare {
    fn blocks(&self) -> Blocks {
        let mut blocks = Blocks::of(mem::size_of::<Self>());
        for text in [&self.error, &self.checkpoint].into_iter().flatten() {
            blocks += Blocks::of(text.len());
        }
        if let Some(worker) = &self.worker {
            blocks += Blocks::of(mem::size_of::<Worker>()) + Blocks::of(worker.name.len());
        }
        if self.options.is_some() {
            blocks += Blocks::of(mem::size_of::<Options>());
        }
        if let Some(ties) = &self.ties {
            blocks += ties.blocks();
        }
        if let Some(key) = &self.key {
            blocks += key.blocks();
        }
        blocks
    }
}
