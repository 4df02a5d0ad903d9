//! The operations: each checks, then records effects. A refused one has recorded nothing.

mod batch;
mod cancel;
mod claim;
mod complete;
mod depend;
mod extend;
mod fail;
mod flow;
mod forget;
mod push;
mod release;
mod retry;
mod standing;
mod tick;
mod unique;

pub use batch::{cancel_batch, forget_batch, seal};
pub use cancel::{cancel, cancel_all};
pub use claim::{Claim, claim};
pub use complete::{Completion, complete};
pub use depend::{After, On, tell};
pub use extend::{CHECKPOINT_BYTES_MAX, extend};
pub use fail::{Next, fail};
pub(crate) use flow::drop_excess;
pub use flow::set;
pub use forget::{forget, forget_all};
pub use push::{Delay, IntoBatch, Push, PushOutcome, push, push_all};
pub use release::release;
pub use retry::{retry, retry_all, retry_batch};
pub use tick::{LEASE_EXPIRED, TIMEOUT, tick};
pub use unique::Unique;
