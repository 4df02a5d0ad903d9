//! Who waits for tasks to end: TASK.RESULT, TASK.CALL and TASK.GATHER.

use super::collectors::tell_collector;
use super::{Awaited, Client, Wish, unblock};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{KeyName, OwnedName};
use crate::value::QUEUE;
use crate::{reply, state};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use taskqueue::{Event, OwnedId, Queue, State, TaskId};

/// The tasks whose ends a client waits for, and the ends it has been told.
///
/// An end is kept as it was when it came: a task that is not retained is gone before the last of them ends.
pub(crate) struct EndsWish {
    form: Form,
    ids: Vec<OwnedId>,
    ends: RefCell<Vec<Option<End>>>,
    pending: Cell<usize>,
}

/// How a task ended; None: there is no such task.
type End = Option<(State, Option<Rc<[u8]>>)>;

/// How the reply looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[state, data]`, or nil for no task.
    Result,
    /// `[id, state, data]`.
    Call,
    /// An array of `[id, state, data]`.
    Gather,
}

impl EndsWish {
    /// Waits for these tasks, as far as they have not ended in `queue` already.
    pub(crate) fn new(form: Form, ids: Vec<OwnedId>, queue: Option<&Queue>) -> Self {
        let (ends, pending) = (RefCell::new(vec![None; ids.len()]), Cell::new(ids.len()));
        let wish = Self { form, ids, ends, pending };
        wish.look(queue);
        wish
    }

    /// How many tasks it asked for.
    pub(super) const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.pending.get() == 0
    }

    /// The tasks whose ends have not come, each with its place among all.
    pub(super) fn pending(&self) -> impl Iterator<Item = (usize, &OwnedId)> {
        let is_pending = |&(place, _): &(usize, &OwnedId)| self.ends.borrow().get(place).is_some_and(Option::is_none);
        self.ids.iter().enumerate().filter(is_pending)
    }

    /// The end of the task at `place` has come. Whether it was the last.
    fn tell(&self, place: usize, end: End) -> bool {
        if let Some(place @ None) = self.ends.borrow_mut().get_mut(place) {
            *place = Some(end);
            self.pending.set(self.pending.get() - 1);
        }
        self.is_over()
    }

    /// Sees which tasks have ended or are gone.
    fn look(&self, queue: Option<&Queue>) {
        // A task that is named more than once is copied once.
        let mut ends: BTreeMap<&OwnedId, Option<End>> = BTreeMap::new();
        let pending: Vec<(usize, &OwnedId)> = self.pending().collect();
        for (place, id) in pending {
            if let Some(end) = ends.entry(id).or_insert_with(|| end_of(queue, id.as_id())) {
                self.tell(place, end.clone());
            }
        }
    }

    /// The wait is over, maybe by time: replies with the ends that came, and for the others with the states as they are.
    pub(super) fn reply_from(&self, context: &Context, db: i32, key: Option<&OwnedName>) {
        let opened = key.filter(|_| context.select_db(db)).and_then(|key| context.open_read(key.as_name(), &QUEUE).ok());
        let queue = opened.as_ref().and_then(|key| key.value().ok().flatten()).map(|value| &value.queue);
        let may_ask_again = self.form != Form::Call && !self.is_over();
        if may_ask_again && queue.is_none() && key.is_some_and(|key| is_elsewhere(context, key.as_name())) {
            // What the server says of a command that it cannot answer meanwhile, and clusters' clients say again.
            context.refuse(&Error::new("TRYAGAIN", "the queue is moving to another node"));
            return;
        }
        self.reply(context, queue);
    }

    /// Replies with the ends that came, and for the others with the states in `queue`.
    pub(crate) fn reply(&self, context: &Context, queue: Option<&Queue>) {
        if self.form == Form::Gather {
            context.array(self.ids.len());
        }
        for (id, end) in self.ids.iter().zip(&*self.ends.borrow()) {
            let id = id.as_id();
            let end = match end {
                Some(end) => end.as_ref().map(|(state, data)| (*state, data.as_deref())),
                None => queue.and_then(|queue| Some((queue.result(queue.find(id)?).0, None))),
            };
            match self.form {
                Form::Result => reply::result(context, end),
                Form::Call | Form::Gather => reply::result_of(context, id, end),
            }
        }
    }
}

/// The end of a task, if it has ended or is gone.
fn end_of(queue: Option<&Queue>, id: TaskId<'_>) -> Option<End> {
    let found = queue.and_then(|queue| Some(queue.result(queue.find(id)?)));
    match found {
        Some((state, data)) => state.is_terminal().then(|| Some((state, data.map(Rc::from)))),
        None => Some(None),
    }
}

/// Tells those who wait for this task how it stands, if it has ended or is gone. Answers those who wait for nothing else.
pub(crate) fn tell_end(queue: Option<&Queue>, id: TaskId<'_>, db: i32, key: &[u8]) -> Vec<Client> {
    if queue.and_then(|queue| Some(queue.result(queue.find(id)?))).is_some_and(|(state, _)| !state.is_terminal()) {
        return Vec::new();
    }
    let waiting = state::with(|state| state.waiters.take_awaiting(db, key, &id.into()));
    // One copy for all of them, and none for none.
    let Some(end) = (!waiting.is_empty()).then(|| end_of(queue, id)).flatten() else {
        return Vec::new();
    };
    let is_served = |(client, place): &(Client, usize)| match &client.wish {
        Wish::Ends(wish) => wish.tell(*place, end.clone()),
        Wish::Tasks(_) | Wish::Collect(_) => false,
    };
    waiting.into_iter().filter(is_served).map(|(client, _)| client).collect()
}

/// Tells those who wait for ends of this key's tasks and batches which have ended or are gone, as a look at the key shows, from what
/// comes after `after` on. Answers what it looked at last, if it had to stop before the end.
pub(crate) fn recheck(
    context: &Context,
    db: i32,
    key: &[u8],
    after: Option<&Awaited>,
    may_go_on: impl Fn() -> bool,
) -> Option<Awaited> {
    if !context.select_db(db) {
        return None;
    }
    let name = OwnedName::new(key);
    let (mut served, mut rest) = (Vec::new(), None);
    if let Ok(opened) = context.open_read(name.as_name(), &QUEUE) {
        let queue = opened.value().ok().flatten().map(|value| &value.queue);
        // The server sends those who wait after it, when the slot has moved.
        if queue.is_none() && is_elsewhere(context, name.as_name()) {
            return None;
        }
        let next_after = |awaited: Option<&Awaited>| state::with(|state| state.waiters.next_awaited(db, key, awaited));
        let mut next = next_after(after);
        while let Some(awaited) = next {
            match &awaited {
                Awaited::Task(id) => served.extend(tell_end(queue, id.as_id(), db, key)),
                Awaited::Batch(batch, ticket) => served.extend(tell_collector(queue, batch, *ticket, db, key)),
            }
            next = next_after(Some(&awaited));
            if next.is_some() && !may_go_on() {
                rest = Some(awaited);
                break;
            }
        }
    }
    unblock(served);
    rest
}

/// Whether a queue that is not here may be on another node of the cluster: its slot is moving, or has moved. Never on a replica,
/// which is not told of slots that move.
pub(super) fn is_elsewhere(context: &Context, name: KeyName<'_>) -> bool {
    context.flags().is_master() && !context.owns_key(name)
}

/// Whether an event may end somebody's wait for a result.
pub(crate) const fn may_end_a_wait(event: Event) -> bool {
    event.is_end() || matches!(event, Event::Drop)
}
