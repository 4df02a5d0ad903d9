//! Who waits for tasks to work on.

use super::TASK_BYTES;
use crate::redis::context::Context;
use crate::redis::string::OwnedName;
use crate::reply::{Frame, Outcomes};
use crate::transact::Env;
use std::cell::RefCell;
use taskqueue::op::{self, Claim};
use taskqueue::{Connection, Ms, OwnedId, Txn};

/// What a client that waits for tasks said, and what it was given.
pub(crate) struct TasksWish {
    worker: Box<str>,
    lease: Option<Ms>,
    session: Option<Connection>,
    /// One task, or an array of up to so many.
    count: Option<usize>,
    form: TasksForm,
    given: RefCell<Given>,
}

/// What the tasks are answered in.
pub(crate) enum TasksForm {
    /// Nothing else.
    Bare,
    /// With what is to be answered first: of TASK.MCOMPLETE … NEXT.
    After(Outcomes),
    /// With the name of their queue: of TASK.MCLAIM.
    OfQueue,
}

/// Claims, and the queue they are of.
#[derive(Default)]
struct Given {
    queue: Option<OwnedName>,
    tasks: Vec<ClaimedTask>,
}

/// A claim on its way to the client.
struct ClaimedTask {
    id: OwnedId,
    payload: Box<[u8]>,
    attempt: u32,
    lease: Ms,
    checkpoint: Option<Box<[u8]>>,
}

/// A claim that did not reach its client, to be released.
pub(crate) struct Orphan {
    pub(crate) db: i32,
    pub(crate) key: OwnedName,
    pub(crate) id: OwnedId,
    pub(crate) attempt: u32,
}

impl TasksWish {
    pub(crate) fn new(claim: &Claim<'_>, count: Option<usize>, form: TasksForm) -> Self {
        Self { worker: claim.worker.into(), lease: claim.lease, session: claim.session, count, form, given: RefCell::default() }
    }

    /// Claims of this queue for this client, and keeps what it got. False if there was nothing to claim.
    pub(super) fn claim(&self, txn: &mut Txn<'_>, env: &Env, queue: &OwnedName) -> bool {
        let claim = Claim { worker: &self.worker, lease: self.lease, session: self.session };
        let tasks: Vec<_> = (0..self.count.unwrap_or(1)).map_while(|_| claim_task(txn, env, &claim)).collect();
        let is_served = !tasks.is_empty();
        if is_served {
            *self.given.borrow_mut() = Given { queue: Some(queue.clone()), tasks };
        }
        is_served
    }

    /// What it was given is not to be had.
    pub(super) fn take_back(&self) {
        self.given.take();
    }

    /// About how many bytes it takes to reply.
    pub(super) fn reply_bytes(&self) -> usize {
        self.given.borrow().tasks.iter().map(|task| TASK_BYTES + task.payload.len()).sum()
    }

    /// Replies with what it was given, nothing included.
    pub(super) fn reply(&self, context: &Context) {
        let Given { queue, tasks } = &*self.given.borrow();
        let frame = self.form.frame(queue.as_ref());
        if tasks.is_empty() {
            frame.nil(context);
            return;
        }
        frame.open(context);
        if self.count.is_some() {
            context.array(tasks.len());
        }
        for task in tasks {
            context.array(5);
            context.id(task.id.as_id());
            context.bulk(&task.payload);
            context.integer(i64::from(task.attempt));
            context.integer(task.lease.0.cast_signed());
            context.bulk_or_null(task.checkpoint.as_deref());
        }
    }

    /// The client is gone: its claims are to be released.
    pub(super) fn orphans(&self, db: i32) -> Vec<Orphan> {
        let Given { queue, tasks } = self.given.take();
        let orphan = |task: ClaimedTask| Some(Orphan { db, key: queue.clone()?, id: task.id, attempt: task.attempt });
        tasks.into_iter().filter_map(orphan).collect()
    }
}

impl TasksForm {
    /// What the answer looks like if the tasks are of `queue`.
    pub(crate) fn frame<'a>(&'a self, queue: Option<&'a OwnedName>) -> Frame<'a> {
        match (self, queue) {
            (Self::After(outcomes), _) => Frame::After(outcomes),
            (Self::OfQueue, Some(queue)) => Frame::Of(queue.bytes()),
            (Self::Bare, _) | (Self::OfQueue, None) => Frame::Bare,
        }
    }
}

fn claim_task(txn: &mut Txn<'_>, env: &Env, claim: &Claim<'_>) -> Option<ClaimedTask> {
    let slot = op::claim(txn, claim, &env.defaults)?;
    let task = txn.queue().claim_view(slot);
    Some(ClaimedTask {
        id: task.id.into(),
        payload: task.payload.into(),
        attempt: task.attempt,
        lease: task.lease,
        checkpoint: task.checkpoint.map(Into::into),
    })
}
