//! The lines of clients that wait for a task, or for the end of one.
//!
//! Keys are never signalled: a push claims for the first in line itself, which costs the same however many stand there. Who waits
//! for the end of a task is found by its id. A client that waits is in the line of each of its keys until it is given its reply or
//! is gone; who was given one is out of every line.

use crate::redis::blocking::{Blocked, Waiter};
use crate::redis::context::Context;
use crate::redis::string::{KeyName, OwnedName};
use crate::transact::{Env, Missing, transact};
use crate::value::QUEUE;
use crate::{agenda, reply, state};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use taskqueue::op::{self, Claim};
use taskqueue::{Event, Ms, Queue, State, TaskId, Txn};

/// A client that waits.
pub(crate) type Client = Blocked<Wait>;

/// What a client waits for, and what it was given.
pub(crate) struct Wait {
    pub(crate) db: i32,
    pub(crate) keys: Vec<OwnedName>,
    pub(crate) wish: Wish,
    /// Its place among all that wait; set when it gets in line.
    ticket: Cell<u64>,
    /// When it gives up, on the clock of [`agenda::monotonic_ms`].
    pub(crate) gives_up: Option<u64>,
    given: RefCell<Option<Given>>,
}

/// What a client waits for.
pub(crate) enum Wish {
    /// Tasks to work on: one, or an array of up to `count`.
    Claim { worker: Box<str>, lease: Option<Ms>, count: Option<usize> },
    /// The end of a task.
    Result { id: Box<str> },
}

/// What a client was given and will be told when the server lets us.
enum Given {
    Tasks(Vec<ClaimedTask>),
    Result(Option<(State, Option<Rc<[u8]>>)>),
}

/// A claim on its way to the client.
struct ClaimedTask {
    id: Box<str>,
    payload: Box<[u8]>,
    attempt: u32,
    lease: Ms,
    checkpoint: Option<Box<[u8]>>,
}

/// A claim that did not reach its client, to be released.
pub(crate) struct Orphan {
    pub(crate) db: i32,
    pub(crate) key: OwnedName,
    pub(crate) id: Box<str>,
    pub(crate) attempt: u32,
}

/// Everyone who waits.
#[derive(Default)]
pub(crate) struct Waiters {
    keys: HashMap<i32, HashMap<Box<[u8]>, Line>>,
    last_ticket: u64,
}

/// Who waits on one key.
#[derive(Default)]
struct Line {
    claims: BTreeMap<u64, Client>,
    /// By task and ticket.
    results: BTreeMap<(Box<str>, u64), Client>,
}

impl Waiters {
    /// Puts the client at the end of the line of each of its keys.
    fn enter(&mut self, client: &Client) {
        self.last_ticket += 1;
        client.ticket.set(self.last_ticket);
        self.stand(client);
    }

    /// Puts the client into the line of each of its keys, where its ticket says.
    fn stand(&mut self, client: &Client) {
        for key in &client.keys {
            let line = self.keys.entry(client.db).or_default().entry(key.bytes().into()).or_default();
            match &client.wish {
                Wish::Claim { .. } => line.claims.insert(client.ticket(), client.clone()),
                Wish::Result { id } => line.results.insert((id.clone(), client.ticket()), client.clone()),
            };
        }
    }

    /// Takes a client out of all lines, if it is in any.
    fn leave(&mut self, wait: &Wait) -> Option<Client> {
        let keys = self.keys.get_mut(&wait.db)?;
        let mut client = None;
        for key in &wait.keys {
            let Some(line) = keys.get_mut(key.bytes()) else { continue };
            client = client.or(match &wait.wish {
                Wish::Claim { .. } => line.claims.remove(&wait.ticket.get()),
                Wish::Result { id } => line.results.remove(&(id.clone(), wait.ticket.get())),
            });
            if line.claims.is_empty() && line.results.is_empty() {
                keys.remove(key.bytes());
            }
        }
        if keys.is_empty() {
            self.keys.remove(&wait.db);
        }
        client
    }

    fn line(&self, db: i32, key: &[u8]) -> Option<&Line> {
        self.keys.get(&db)?.get(key)
    }

    /// How many wait, once for each key: for tests.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn counts(&self) -> [(&'static str, usize); 3] {
        let lines = || self.keys.values().flat_map(HashMap::values);
        [
            ("keys", lines().count()),
            ("claims", lines().map(|line| line.claims.len()).sum()),
            ("results", lines().map(|line| line.results.len()).sum()),
        ]
    }

    /// Whether nobody waits for anything: the usual case of a busy queue.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether anyone waits for the end of a task of this key.
    pub(crate) fn await_results(&self, db: i32, key: &[u8]) -> bool {
        self.line(db, key).is_some_and(|line| !line.results.is_empty())
    }

    /// The keys of a database, or of all, on which anyone waits for the end of a task.
    pub(crate) fn keys_awaiting_results(&self, db: Option<i32>) -> Vec<(i32, Box<[u8]>)> {
        let of_db = |&(&of, _): &(&i32, _)| db.is_none_or(|db| db == of);
        let lines = self.keys.iter().filter(of_db).flat_map(|(&db, keys)| keys.iter().map(move |(key, line)| (db, key, line)));
        lines.filter(|(_, _, line)| !line.results.is_empty()).map(|(db, key, _)| (db, key.clone())).collect()
    }

    fn first_claim(&self, db: i32, key: &[u8]) -> Option<Client> {
        self.line(db, key)?.claims.values().next().cloned()
    }

    /// Those who wait for the end of this task.
    fn on_task(&self, db: i32, key: &[u8], id: &str) -> Vec<Client> {
        let Some(line) = self.line(db, key) else { return Vec::new() };
        let waiting = line.results.range((Box::from(id), 0)..);
        waiting.take_while(|((of, _), _)| **of == *id).map(|(_, client)| client.clone()).collect()
    }

    fn on_any_task(&self, db: i32, key: &[u8]) -> Vec<Client> {
        self.line(db, key).map_or_else(Vec::new, |line| line.results.values().cloned().collect())
    }
}

/// Makes the caller wait. False if it cannot: then it is to be answered at once.
pub(crate) fn wait(context: &Context, keys: &[KeyName<'_>], wish: Wish, block_ms: u64) -> bool {
    let gives_up = (block_ms > 0).then(|| agenda::monotonic_ms().saturating_add(block_ms));
    let wait = Wait {
        db: context.selected_db(),
        keys: keys.iter().map(|key| key.hold()).collect(),
        wish,
        ticket: Cell::new(0),
        gives_up,
        given: RefCell::new(None),
    };
    let Some(client) = context.block_on_keys(keys, wait) else {
        return false;
    };
    state::with(|state| {
        state.waiters.enter(&client);
        state.agenda.client_waits(&client);
    });
    agenda::arm();
    true
}

/// Gives what the transaction made ready to those who wait for it, and tells those whose tasks ended. What is claimed is recorded in
/// the transaction. Answers whom to [unblock](Blocked::unblock) when the key is closed.
pub(crate) fn serve(txn: &mut Txn<'_>, env: &Env, db: i32, key: &[u8]) -> Vec<Client> {
    if state::with(|state| state.waiters.is_empty()) {
        return Vec::new();
    }
    let mut served = tell_ends(txn, db, key);
    while txn.queue().has_ready() {
        let Some(client) = state::with(|state| state.waiters.first_claim(db, key)) else {
            break;
        };
        let Wish::Claim { worker, lease, count } = &client.wish else {
            break;
        };
        let claim = Claim { worker, lease: *lease };
        let tasks = claim_tasks(txn, env, &claim, *count);
        if tasks.is_empty() {
            break;
        }
        give(&client, Given::Tasks(tasks));
        served.push(client);
    }
    served
}

fn claim_tasks(txn: &mut Txn<'_>, env: &Env, claim: &Claim<'_>, count: Option<usize>) -> Vec<ClaimedTask> {
    (0..count.unwrap_or(1)).map_while(|_| claim_task(txn, env, claim)).collect()
}

fn claim_task(txn: &mut Txn<'_>, env: &Env, claim: &Claim<'_>) -> Option<ClaimedTask> {
    let slot = op::claim(txn, claim, &env.defaults)?;
    let view = txn.queue().view(slot, &env.defaults);
    Some(ClaimedTask {
        id: view.id.to_string().into(),
        payload: view.payload.unwrap_or_default().into(),
        attempt: view.attempt,
        lease: view.deadline.unwrap_or_default().since(txn.now()),
        checkpoint: view.checkpoint.map(Into::into),
    })
}

/// Tells those who wait for tasks that have ended in this transaction.
fn tell_ends(txn: &Txn<'_>, db: i32, key: &[u8]) -> Vec<Client> {
    let mut served = Vec::new();
    if !state::with(|state| state.waiters.await_results(db, key)) {
        return served;
    }
    for &(event, slot) in &txn.journal().events {
        if event.is_end() && txn.queue().contains(slot) {
            served.extend(tell_end(txn.queue(), txn.queue().id(slot), db, key));
        }
    }
    served
}

/// Tells those who wait for this task how it stands, if it has ended or is gone.
pub(crate) fn tell_end(queue: &Queue, id: TaskId<'_>, db: i32, key: &[u8]) -> Vec<Client> {
    let end = queue.find(id).map(|slot| queue.result(slot));
    if end.is_some_and(|(state, _)| !state.is_terminal()) {
        return Vec::new();
    }
    let clients = state::with(|state| state.waiters.on_task(db, key, &id.to_string()));
    if clients.is_empty() {
        return clients;
    }
    // One copy for all of them.
    let end = end.map(|(state, data)| (state, data.map(Rc::from)));
    for client in &clients {
        give(client, Given::Result(end.clone()));
    }
    clients
}

fn give(client: &Client, given: Given) {
    client.given.replace(Some(given));
    state::with(|state| state.waiters.leave(client));
}

/// Answers those who wait for tasks of this key that have ended or are gone, as a look at the key shows.
pub(crate) fn recheck(context: &Context, db: i32, key: &[u8]) {
    let clients = state::with(|state| state.waiters.on_any_task(db, key));
    if clients.is_empty() || !context.select_db(db) {
        return;
    }
    let name = OwnedName::new(key);
    let mut served = Vec::new();
    if let Ok(opened) = context.open_read(name.as_name(), &QUEUE) {
        let empty = Queue::default();
        let queue = opened.value().ok().flatten().map_or(&empty, |value| &value.queue);
        for client in &clients {
            if let Wish::Result { id } = &client.wish {
                let id = TaskId::parse(id.as_bytes());
                served.extend(id.map_or_else(|_| Vec::new(), |id| tell_end(queue, id, db, key)));
            }
        }
    }
    unblock(&served);
}

/// Lets clients go who were given something. No key may be open, no state lent.
pub(crate) fn unblock(clients: &[Client]) {
    for client in clients {
        client.unblock();
    }
}

impl Waiter for Wait {
    /// A key came to be by RENAME, RESTORE, COPY, MOVE, SWAPDB or a first push.
    fn ready(&self, context: &Context, key: KeyName<'_>) -> bool {
        // Out of line meanwhile, so that what is claimed for this client is not claimed for it twice.
        let Some(client) = state::with(|state| state.waiters.leave(self)) else {
            return false;
        };
        let answered = match &self.wish {
            Wish::Claim { worker, lease, count } => {
                context.flags().is_master() && self.claim(context, key, &Claim { worker, lease: *lease }, *count)
            }
            Wish::Result { id } => answer_if_over(context, key, id),
        };
        if answered {
            self.leave();
        } else {
            state::with(|state| state.waiters.stand(&client));
        }
        answered
    }

    fn timeout(&self, context: &Context) {
        self.leave();
        match (&*self.given.borrow(), &self.wish) {
            (Some(Given::Tasks(tasks)), Wish::Claim { count, .. }) => reply_tasks(context, tasks, count.is_some()),
            (Some(Given::Result(Some((state, data)))), _) => reply_result(context, *state, data.as_deref()),
            (Some(Given::Result(None)), _) | (_, Wish::Claim { .. }) => context.null_array(),
            (_, Wish::Result { id }) => self.reply_state(context, id),
        }
    }

    fn disconnected(&self) {
        self.leave();
        let Some(Given::Tasks(tasks)) = self.given.take() else {
            return;
        };
        let Some(key) = self.keys.first() else { return };
        let orphan = |task: ClaimedTask| Orphan { db: self.db, key: key.clone(), id: task.id, attempt: task.attempt };
        state::with(|state| state.agenda.orphans.extend(tasks.into_iter().map(orphan)));
        agenda::arm();
    }
}

impl Wait {
    fn leave(&self) {
        state::with(|state| {
            state.waiters.leave(self);
            state.agenda.client_left(self.gives_up, self.ticket.get());
        });
    }

    /// Claims for this client and replies. False if there is nothing to claim.
    fn claim(&self, context: &Context, key: KeyName<'_>, claim: &Claim<'_>, count: Option<usize>) -> bool {
        let tasks = transact(context, key, Missing::Leave, |txn, env| Ok(claim_tasks(txn, env, claim, count)));
        let Some(tasks) = tasks.ok().flatten().filter(|tasks| !tasks.is_empty()) else {
            return false;
        };
        reply_tasks(context, &tasks, count.is_some());
        // Kept: should the client turn out to be gone, its claims are released.
        self.given.replace(Some(Given::Tasks(tasks)));
        true
    }

    /// Its place among all that wait.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.get()
    }

    /// The wait is over and the task is not: its state as it is.
    fn reply_state(&self, context: &Context, id: &str) {
        let key = self.keys.first().filter(|_| context.select_db(self.db));
        let opened = key.and_then(|key| context.open_read(key.as_name(), &QUEUE).ok());
        let value = opened.as_ref().and_then(|key| key.value().ok().flatten());
        let slot = value.and_then(|value| value.queue.find(TaskId::parse(id.as_bytes()).ok()?));
        match (value, slot) {
            (Some(value), Some(slot)) => reply::result(context, &value.queue, slot),
            _ => context.null_array(),
        }
    }
}

/// Replies to one who waits for the end of a task, if it has ended or is gone.
fn answer_if_over(context: &Context, key: KeyName<'_>, id: &str) -> bool {
    let (Ok(opened), Ok(id)) = (context.open_read(key, &QUEUE), TaskId::parse(id.as_bytes())) else {
        return false;
    };
    let value = opened.value().ok().flatten();
    let found = value.and_then(|value| Some((value, value.queue.find(id)?)));
    match found {
        Some((value, slot)) if value.queue.result(slot).0.is_terminal() => reply::result(context, &value.queue, slot),
        Some(_) => return false,
        None => context.null_array(),
    }
    true
}

fn reply_tasks(context: &Context, tasks: &[ClaimedTask], as_array: bool) {
    if as_array {
        context.array(tasks.len());
    }
    for task in tasks {
        context.array(5);
        context.bulk(task.id.as_bytes());
        context.bulk(&task.payload);
        context.integer(i64::from(task.attempt));
        context.integer(task.lease.0.cast_signed());
        context.bulk_or_null(task.checkpoint.as_deref());
    }
}

fn reply_result(context: &Context, state: State, data: Option<&[u8]>) {
    context.array(2);
    context.state(state);
    context.bulk_or_null(data);
}

/// Whether an event may end somebody's wait for a result.
pub(crate) const fn may_end_a_wait(event: Event) -> bool {
    event.is_end() || matches!(event, Event::Drop)
}
