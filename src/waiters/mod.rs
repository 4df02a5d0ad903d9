//! Clients that wait for a task, for the ends of tasks, or for events.
//!
//! Keys are never signalled: a push claims for the first in line itself, which costs the same however many stand there. Who waits
//! for the end of a task is found by its id. A client that waits is in the [`lines`] of each of its keys until it is given its reply
//! or is gone; who was given one is out of every line.

mod collectors;
mod ends;
mod followers;
mod lines;
mod tasks;
mod turns;

pub(crate) use collectors::{CollectWish, are_worth_it, ends_of, reply_ends, tell_batches};
pub(crate) use ends::{EndsWish, Form, Looked, Telling, Untold, may_end_a_wait, recheck};
pub(crate) use followers::{EventsWish, events_of, reply_events, tell_events};
pub(crate) use lines::{Awaited, Waiters};
pub(crate) use tasks::{Orphan, TasksForm, TasksWish};
pub(crate) use turns::{Turns, take_turn};

use crate::redis::blocking::{Blocked, Waiter};
use crate::redis::context::Context;
use crate::redis::string::{KeyName, OwnedName};
use crate::transact::Env;
use crate::{agenda, state};
use std::cell::Cell;
use std::mem;
use taskqueue::{Ms, Txn};

/// A client that waits.
pub(crate) type Client = Blocked<Wait>;

/// What a client waits for, and where.
pub(crate) struct Wait {
    pub(crate) db: i32,
    pub(crate) keys: Vec<OwnedName>,
    wish: Wish,
    /// Its place among all that wait; set when it gets in line.
    ticket: Cell<u64>,
    /// Whether it is in line, or has been and its reply is under way.
    waits: Cell<bool>,
    /// When it gives up, on the clock of [`agenda::monotonic_ms`].
    pub(crate) gives_up: Option<u64>,
}

/// What a client waits for, and what it was given.
pub(crate) enum Wish {
    /// A task to work on, or several.
    Tasks(TasksWish),
    /// The ends of tasks.
    Ends(EndsWish),
    /// The ends of a batch.
    Collect(CollectWish),
    /// Changes of state.
    Events(EventsWish),
}

/// What is said to clients in one turn of the event loop, in [bytes](Wish::reply_bytes): a millisecond or two.
const TURN_BYTES: usize = 1 << 20;
/// What a task in a reply counts beside its data, by the time it takes.
const TASK_BYTES: usize = 64;

/// Makes the caller wait; zero: for ever. If it cannot, its time is up at once.
pub(crate) fn wait(context: &Context, keys: &[KeyName<'_>], wish: Wish, block: Ms) {
    let wait = Wait {
        db: context.selected_db(),
        keys: keys.iter().map(|key| key.hold()).collect(),
        wish,
        ticket: Cell::new(0),
        waits: Cell::new(false),
        gives_up: (block > Ms(0)).then(|| agenda::monotonic_ms().saturating_add(block.0)),
    };
    let client = context.block_on_keys(keys, wait);
    if !client.waits() {
        return client.timeout(context);
    }
    state::with(|state| {
        state.waiters.enter(&client);
        state.agenda.client_waits(&client);
        // Who heard of this command's own change may have pushed, when the client was not in line.
        if mem::take(&mut state.was_nested) && matches!(client.wish, Wish::Tasks(_)) {
            client.keys.iter().for_each(|key| state.agenda.look_now(client.db, key.bytes()));
        }
    });
    agenda::arm();
}

/// Gives what the transaction made ready to those who wait for it, in line. What is claimed is recorded in the transaction. Whoever is
/// `served` is to be [unblocked](unblock) when the key is closed.
pub(crate) fn serve(txn: &mut Txn<'_>, env: &Env, db: i32, key: &[u8], served: &mut Vec<Client>) {
    if state::with(|state| state.waiters.is_empty()) {
        return;
    }
    while txn.queue().has_ready()
        && let Some(client) = state::with(|state| state.waiters.first_for_tasks(db, key))
        && let Wish::Tasks(wish) = &client.wish
        && let Some(queue) = client.keys.iter().find(|name| name.bytes() == key)
        && wish.claim(txn, env, queue)
    {
        state::with(|state| state.waiters.leave(&client));
        served.push(client);
    }
}

/// Tells those who wait for tasks that have ended in this transaction, or for what ends in a batch.
pub(crate) fn tell_ends(txn: &Txn<'_>, db: i32, key: &[u8], telling: &mut Telling) {
    if state::with(|state| state.waiters.is_empty() || !state.waiters.await_ends(db, key)) {
        return;
    }
    for &(event, slot) in &txn.journal().events {
        if event.is_end() && txn.queue().contains(slot) {
            telling.tell(Some(txn.queue()), txn.queue().id(slot), db, key);
        }
    }
    tell_batches(telling, txn.queue(), &txn.journal().events, db, key);
}

/// Lets clients go, who then reply with what they were given. When many have much to say, the rest do so at the next turns of the event
/// loop. No key may be open, no state lent.
pub(crate) fn unblock(clients: Vec<Client>) {
    let mut bytes_left = TURN_BYTES;
    let mut clients = clients.into_iter();
    while bytes_left > 0
        && let Some(client) = clients.next()
    {
        bytes_left = bytes_left.saturating_sub(client.wish.reply_bytes());
        client.unblock();
    }
    if clients.len() > 0 {
        state::with(|state| state.agenda.turns.let_go(clients));
        agenda::arm();
    }
}

impl Wish {
    /// About how long it takes to let the client go and to reply, as bytes.
    fn reply_bytes(&self) -> usize {
        /// Without a task.
        const LEAST: usize = 1_024;
        let tasks = match self {
            Self::Tasks(wish) => wish.reply_bytes(),
            Self::Ends(wish) => wish.reply_bytes(),
            Self::Collect(wish) => wish.reply_bytes(),
            Self::Events(wish) => wish.reply_bytes(),
        };
        LEAST + tasks
    }
}

impl Wait {
    /// Its place among all that wait.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.get()
    }

    /// What it was given is not to be had.
    pub(crate) fn take_back(&self) {
        if let Wish::Tasks(wish) = &self.wish {
            wish.take_back();
        }
    }

    /// The wait is over: out of every line, and off the agenda.
    fn leave(&self) {
        state::with(|state| {
            state.waiters.leave(self);
            state.agenda.client_left(self.gives_up, self.ticket.get());
        });
    }
}

impl Waiter for Wait {
    /// A key came to be by RENAME, RESTORE, COPY, MOVE, SWAPDB or a first push.
    fn ready(&self, _: &Context, key: KeyName<'_>) -> bool {
        // One look for all who wait, when the server takes writes: it does not if this came of a transaction that paused them.
        match self.wish {
            Wish::Tasks(_) => agenda::look_now(self.db, key.bytes()),
            Wish::Ends(_) | Wish::Collect(_) | Wish::Events(_) => agenda::recheck(self.db, key.bytes()),
        }
        false
    }

    fn timeout(&self, context: &Context) {
        self.leave();
        match &self.wish {
            Wish::Tasks(wish) => wish.reply(context),
            Wish::Ends(wish) => wish.reply_from(context, self.db, self.keys.first()),
            Wish::Collect(wish) => wish.reply_from(context, self.db, self.keys.first()),
            Wish::Events(wish) => wish.reply_from(context, self.db, self.keys.first()),
        }
    }

    fn disconnected(&self) {
        self.leave();
        if let Wish::Tasks(wish) = &self.wish {
            let orphans = wish.orphans(self.db);
            state::with(|state| state.agenda.orphans.extend(orphans));
            agenda::arm();
        }
    }
}
