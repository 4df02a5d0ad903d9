//! Who waits for tasks to end: TASK.RESULT, TASK.CALL and TASK.GATHER.

use super::readers::tell_reader;
use super::{Awaited, Client, TASK_BYTES, Wish, unblock};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::{KeyName, OwnedName};
use crate::value::QUEUE;
use crate::{agenda, reply, state};
use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use taskqueue::{Event, OwnedId, Queue, State, TaskId};

/// The tasks whose ends a client waits for, and the ends it has been told.
///
/// An end is kept as it was when it came: a task that is not retained is gone before the last of them ends.
pub(crate) struct EndsWish {
    form: Form,
    /// Each task once.
    ids: Vec<OwnedId>,
    /// Which of them were asked for, in order.
    asked: Vec<usize>,
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
    pub(crate) fn new(form: Form, asked: &[OwnedId], queue: Option<&Queue>) -> Self {
        let mut ids = asked.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let asked = asked.iter().map(|id| ids.binary_search(id).unwrap_or_default()).collect();
        let ends: Vec<_> = ids.iter().map(|id| end_of(queue, id.as_id())).collect();
        let pending = Cell::new(ends.iter().filter(|end| end.is_none()).count());
        Self { form, ids, asked, ends: RefCell::new(ends), pending }
    }

    /// About how many bytes it takes to reply.
    pub(super) fn reply_bytes(&self) -> usize {
        let ends = self.ends.borrow();
        let data = |&place: &usize| ends.get(place)?.as_ref()?.as_ref()?.1.as_ref().map(|data| data.len());
        self.asked.iter().map(|place| TASK_BYTES + data(place).unwrap_or_default()).sum()
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.pending.get() == 0
    }

    /// The tasks whose ends have not come.
    pub(super) fn pending(&self) -> impl Iterator<Item = &OwnedId> {
        let is_pending = |(place, _): &(usize, &OwnedId)| self.ends.borrow().get(*place).is_some_and(Option::is_none);
        self.ids.iter().enumerate().filter(is_pending).map(|(_, id)| id)
    }

    /// The end of a task has come. Whether it was the last.
    fn tell(&self, id: &OwnedId, end: End) -> bool {
        if let Ok(place) = self.ids.binary_search(id)
            && let Some(place @ None) = self.ends.borrow_mut().get_mut(place)
        {
            *place = Some(end);
            self.pending.set(self.pending.get() - 1);
        }
        self.is_over()
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
            context.array(self.asked.len());
        }
        let ends = self.ends.borrow();
        for (id, end) in self.asked.iter().filter_map(|&place| self.ids.get(place).zip(ends.get(place))) {
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

/// Tells clients of ends, not too many in one go. Who was served is [unblocked](unblock) when this is dropped, also by a bug that was
/// caught: so it must outlive the open key.
pub(crate) struct Telling {
    pub(crate) served: Vec<Client>,
    pub(super) left: usize,
}

/// An end of which not all who wait for it have been told.
pub(crate) struct Untold {
    db: i32,
    key: Box<[u8]>,
    id: OwnedId,
    end: End,
    /// Who came later does not wait for this end.
    last_ticket: u64,
}

impl Drop for Telling {
    fn drop(&mut self) {
        unblock(mem::take(&mut self.served));
    }
}

impl Telling {
    /// Clients that are told of an end in one go: half a millisecond or so.
    const TURN: usize = 2_000;

    pub(crate) const fn new() -> Self {
        Self { served: Vec::new(), left: Self::TURN }
    }

    /// Tells those who wait for this task how it stands, if it has ended or is gone; the rest of very many at the next turns of the event
    /// loop.
    pub(crate) fn tell(&mut self, queue: Option<&Queue>, id: TaskId<'_>, db: i32, key: &[u8]) {
        if queue.and_then(|queue| Some(queue.result(queue.find(id)?))).is_some_and(|(state, _)| !state.is_terminal()) {
            return;
        }
        let id = OwnedId::from(id);
        let Some(last_ticket) = state::with(|state| state.waiters.awaits(db, key, &id).then(|| state.waiters.last_ticket()))
        else {
            return;
        };
        // One copy for all of them.
        if let Some(end) = end_of(queue, id.as_id()) {
            self.go_on(Untold { db, key: key.into(), id, end, last_ticket });
        }
    }

    /// Tells more of those who wait for this end. Whether it may tell of another.
    pub(crate) fn go_on(&mut self, untold: Untold) -> bool {
        let Untold { db, key, id, end, last_ticket } = &untold;
        let waiting = state::with(|state| state.waiters.take_awaiting(*db, key, id, *last_ticket, self.left));
        self.left -= waiting.len();
        let is_served = |client: &Client| matches!(&client.wish, Wish::Ends(wish) if wish.tell(id, end.clone()));
        self.served.extend(waiting.into_iter().filter(is_served));
        if self.left == 0 {
            state::with(|state| state.agenda.turns.tell(untold));
            agenda::arm();
        }
        self.left > 0
    }
}

/// How far a look at what clients wait for of a key has come.
pub(crate) enum Looked {
    /// To the end.
    All,
    /// To this one.
    Until(Awaited),
    /// The queue may be on another node: the server sends those who wait after it once its slot has moved.
    Elsewhere,
}

/// Tells those who wait for ends of this key's tasks, or read it on, what has ended, is gone, or can be read, as a look at the key shows, from
/// what comes after `after` on.
pub(crate) fn recheck(context: &Context, db: i32, key: &[u8], after: Option<&Awaited>, may_go_on: impl Fn() -> bool) -> Looked {
    if !context.select_db(db) {
        return Looked::All;
    }
    let name = OwnedName::new(key);
    // In this order: the key is closed before clients are unblocked.
    let mut telling = Telling::new();
    let mut looked = Looked::All;
    if let Ok(opened) = context.open_read(name.as_name(), &QUEUE) {
        let queue = opened.value().ok().flatten().map(|value| &value.queue);
        if queue.is_none() && is_elsewhere(context, name.as_name()) {
            return Looked::Elsewhere;
        }
        let next_after = |awaited: Option<&Awaited>| state::with(|state| state.waiters.next_awaited(db, key, awaited));
        let mut next = next_after(after);
        while let Some(awaited) = next {
            match &awaited {
                Awaited::Task(id) => telling.tell(queue, id.as_id(), db, key),
                Awaited::Page(of, ticket) => tell_reader(&mut telling, queue, of.as_deref(), *ticket, db, key),
            }
            next = next_after(Some(&awaited));
            if next.is_some() && !(telling.left > 0 && may_go_on()) {
                looked = Looked::Until(awaited);
                break;
            }
        }
    }
    looked
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
