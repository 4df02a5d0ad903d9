//! A task queue as a pure state machine: no Redis, no clock, no randomness, no I/O.
//!
//! A [`Queue`] is changed by one function, [`Queue::apply`], which takes [`effect`]s: absolute facts that replicas, an append-only
//! file and snapshots hold as well. The operations in [`op`] decide which effects a command has: they check first, then record
//! them in a [`Txn`], which applies each at once and packs it for sending. Time comes in as an argument, as do settings.
//!
//! ```
//! use taskqueue::{op, Defaults, Journal, MadeId, Queue, Txn, UnixMs};
//! use taskqueue::op::{Claim, Delay, Push};
//!
//! let (mut queue, mut journal, settings) = (Queue::default(), Journal::default(), Defaults::default());
//! let mut txn = Txn::new(&mut queue, &mut journal, UnixMs(1_700_000_000_000));
//! let task = Push {
//!     payload: b"hello", id: None, renew: false, priority: 0, delay: Delay::For(Default::default()), ttl: None,
//!     options: Default::default(), batch: None, after: None, group: None, unique: None,
//! };
//! op::push(&mut txn, &task, MadeId::default())?;
//! let slot = op::claim(&mut txn, &Claim { worker: "w1", lease: None, session: None }, &settings).expect("a task is ready");
//! assert_eq!(txn.queue().view(slot, &settings).id.to_string(), "1700000000000-0");
//!
//! // A replica that applies the packed effects holds the same queue.
//! let mut replica = Queue::default();
//! for effect in taskqueue::effect::unpack(journal.packed.bytes()) {
//!     replica.apply(&effect?)?;
//! }
//! assert_eq!(replica.snapshot(), queue.snapshot());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[doc(hidden)]
#[macro_use]
pub mod sabotage;

pub mod backoff;
pub mod effect;
pub mod error;
pub mod flow;
pub mod id;
pub mod op;

mod admit;
mod admit_schedule;
mod admit_unique;
mod apply;
mod apply_batch;
mod apply_depend;
mod apply_group;
mod apply_unique;
mod batch;
mod blocks;
#[cfg(debug_assertions)]
mod check;
#[cfg(debug_assertions)]
mod check_group;
#[cfg(debug_assertions)]
mod check_unique;
mod claims;
mod collect;
mod defrag;
mod depend;
mod event_log;
mod explain;
mod group;
mod index;
mod list;
mod mark;
mod notice;
mod options;
mod queue;
mod recurrence;
mod schedule;
mod session;
mod snapshot;
mod state;
mod task;
mod time;
mod times;
mod txn;
mod unique;
mod view;

pub use batch::BatchView;
pub use blocks::Rounding;
pub use claims::WorkerView;
pub use collect::{Ends, EndsCursor};
pub use defrag::Block;
pub use depend::{AfterView, DEPENDENCIES_MAX, Tie};
pub use effect::{Effect, Event, Packed};
pub use error::{Mismatch, Refusal};
pub use event_log::{EventRow, EventsCursor, EventsPage, Missed};
pub use explain::Explanation;
pub use flow::{Pause, Rate, Settings};
pub use id::{MadeId, OwnedId, TaskId};
pub use index::segments::Slot;
pub use list::{Cursor, Page};
pub use notice::Notice;
pub use options::{Defaults, Options, Start};
pub use queue::Queue;
pub use recurrence::Recurrence;
pub use schedule::{Definition, Misfire, Overlap, Progress, ScheduleView, SlotOutcome};
pub use session::Connection;
pub use state::{LastClaim, State};
pub use time::{Ms, Retention, UnixMs};
pub use times::Percentiles;
pub use txn::{Journal, Txn};
pub use view::{ClaimView, TaskView};
