//! What falls due, over all queues, and the one timer that wakes for it.
//!
//! The agenda knows for each queue an instant before which nothing falls due there, and when each waiting client gives up. Only a
//! master acts on queues; a replica keeps its agenda, so that it can go on the moment it is promoted. While the server would refuse
//! a client's write, or writes are paused, time changes nothing.

mod work;

pub(crate) use work::{PROBE, refusal};

use crate::redis::context::Context;
use crate::redis::string::OwnedName;
use crate::redis::timer::{self, Timer};
use crate::sessions::{self, Sessions};
use crate::transact::now;
use crate::value::{QUEUE, QueueValue};
use crate::waiters::{Client, Orphan, Turns};
use crate::{config, state};
use lazy_static::lazy_static;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::mem;
use std::rc::Rc;
use std::time::Instant;
use taskqueue::{Ms, Retention, UnixMs};

/// A wall clock that moved by more than this against the monotonic one was set.
const CLOCK_STEP_MS: u64 = 5;

lazy_static! {
    /// The zero of [`monotonic_ms`].
    static ref START: Instant = Instant::now();
}

/// The timer fires at least so often. Redis 7.0 reckons a timer's microseconds in 32 bits: with more than 35 minutes to go it would spin.
const TIMER_MAX_MS: u64 = 60_000;
/// A timer that is later than that is set anew.
const LATE_MAX_MS: u64 = 1_000;

type Key = Rc<[u8]>;

/// Where a queue is, or was: a database and a key.
pub(crate) type Place = (i32, Box<[u8]>);

/// What it takes to note a queue: a place in each of two maps, which are filled to two thirds or half, and its key.
pub(crate) const NOTE_BYTES: usize = 160;

/// What falls due, and what is to be done at the next turn of the event loop.
#[derive(Default)]
pub(crate) struct Agenda {
    queues: HashMap<i32, HashMap<Key, (UnixMs, u64)>>,
    order: BTreeMap<(UnixMs, u64), (i32, Key)>,
    last_ticket: u64,
    /// When clients give up waiting: monotonic milliseconds, and their ticket.
    clients: BTreeMap<(u64, u64), Client>,
    /// What is to be said to clients that wait.
    pub(crate) turns: Turns,
    /// Where connections have claims that last as long as they do.
    pub(crate) sessions: Sessions,
    /// Claims that did not reach their clients.
    pub(crate) orphans: Vec<Orphan>,
    /// Queues loaded from an RDB, to be looked at when loading has ended.
    loaded: Vec<Place>,
    is_loading: bool,
    is_master: bool,
    /// The wall clock at the last tick: what is overdue then takes its turn behind what was before.
    ticked: UnixMs,
    /// Queues rest until then, on the monotonic clock.
    held_until: u64,
    /// The last tick found something due, and writes refused.
    is_held: bool,
    /// The wall clock less the monotonic one, when the timer was last set.
    clock_offset: u64,
    timer: Option<(u64, Timer)>,
    /// For how long failed tasks were kept when the server last looked after its settings.
    retain_failed: Option<Retention>,
    /// How often the timer has fired, and how late: the last time, and at most.
    ticks: u64,
    late_ms: u64,
    late_max_ms: u64,
}

/// Milliseconds that only grow, for how long clients wait.
pub(crate) fn monotonic_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Where what was in `db` is when `a` and `b` have changed places.
pub(crate) const fn swapped(db: i32, a: i32, b: i32) -> i32 {
    if db == a {
        b
    } else if db == b {
        a
    } else {
        db
    }
}

impl Agenda {
    fn insert(&mut self, db: i32, key: &[u8], at: UnixMs) {
        self.remove(db, key);
        self.last_ticket += 1;
        let key: Key = key.into();
        self.order.insert((at, self.last_ticket), (db, key.clone()));
        self.queues.entry(db).or_default().insert(key, (at, self.last_ticket));
    }

    fn remove(&mut self, db: i32, key: &[u8]) {
        let Some(queues) = self.queues.get_mut(&db) else { return };
        if let Some(place) = queues.remove(key) {
            self.order.remove(&place);
        }
        if queues.is_empty() {
            self.queues.remove(&db);
        }
    }

    /// The next queue in which something may be due.
    fn pop_due(&mut self, now: UnixMs) -> Option<(i32, Key)> {
        let (&(at, _), _) = self.order.first_key_value()?;
        if at > now {
            return None;
        }
        let (_, (db, key)) = self.order.pop_first()?;
        self.remove(db, &key);
        Some((db, key))
    }

    fn swap(&mut self, a: i32, b: i32) {
        let of_a = self.queues.remove(&a).unwrap_or_default();
        let of_b = self.queues.remove(&b).unwrap_or_default();
        for (queues, to) in [(of_a, b), (of_b, a)] {
            for (key, place) in &queues {
                self.order.insert(*place, (to, key.clone()));
            }
            if !queues.is_empty() {
                self.queues.insert(to, queues);
            }
        }
        // An AOF that begins with an RDB may go on with SWAPDB.
        let loaded = self.loaded.iter_mut().map(|(db, _)| db);
        for db in loaded.chain(self.orphans.iter_mut().map(|orphan| &mut orphan.db)) {
            *db = swapped(*db, a, b);
        }
    }

    fn clear(&mut self, db: Option<i32>) {
        match db {
            None => {
                self.queues.clear();
                self.order.clear();
            }
            Some(db) => {
                for place in self.queues.remove(&db).unwrap_or_default().into_values() {
                    self.order.remove(&place);
                }
            }
        }
        self.orphans.retain(|orphan| db.is_some_and(|db| db != orphan.db));
    }

    /// An RDB held this queue. Where it will be is certain only when loading has ended.
    pub(crate) fn loaded(&mut self, db: i32, key: &[u8]) {
        if self.is_loading {
            self.loaded.push((db, key.into()));
        }
    }

    /// Wakes the client when it gives up.
    pub(crate) fn client_waits(&mut self, client: &Client) {
        if let Some(gives_up) = client.gives_up {
            self.clients.insert((gives_up, client.ticket()), client.clone());
        }
    }

    /// Lets those go who give up waiting by now.
    fn let_give_up(&mut self) {
        let later = self.clients.split_off(&(monotonic_ms() + 1, 0));
        self.turns.let_go(mem::replace(&mut self.clients, later).into_values());
    }

    /// Notes to look at a queue at the next turn of the event loop.
    pub(crate) fn look_now(&mut self, db: i32, key: &[u8]) {
        // As in `schedule`.
        let at = self.ticked.min(now());
        let is_noted = self.queues.get(&db).and_then(|queues| queues.get(key)).is_some_and(|&(noted, _)| noted <= at);
        if !is_noted {
            self.insert(db, key, at);
            self.arm();
        }
    }

    /// For how long failed tasks are kept has changed: with it when batches go that are left alone. Which queues have such is not known here.
    fn follow_settings(&mut self) {
        let retain_failed = Some(config::defaults().retain_failed);
        let before = mem::replace(&mut self.retain_failed, retain_failed);
        if before.is_some() && before != retain_failed {
            let queues: Vec<(i32, Key)> = self.order.values().cloned().collect();
            for (db, key) in &queues {
                self.look_now(*db, key);
            }
        }
    }

    /// It waits no longer.
    pub(crate) fn client_left(&mut self, gives_up: Option<u64>, ticket: u64) {
        if let Some(gives_up) = gives_up {
            self.clients.remove(&(gives_up, ticket));
        }
    }

    /// What INFO shows of it.
    pub(crate) fn figures(&self) -> [(&'static CStr, u64); 6] {
        [
            (c"queues_with_deadlines", self.order.len() as u64),
            (c"sessions", self.sessions.connections() as u64),
            (c"ticks", self.ticks),
            (c"tick_late_ms", self.late_ms),
            (c"tick_late_max_ms", self.late_max_ms),
            (c"writes_refused", u64::from(self.is_held && self.is_master && !self.order.is_empty())),
        ]
    }

    /// The timer has fired.
    fn timer_fired(&mut self) {
        if let Some((fires_at, _)) = self.timer.take() {
            self.ticks = self.ticks.wrapping_add(1);
            self.late_ms = monotonic_ms().saturating_sub(fires_at);
            self.late_max_ms = self.late_max_ms.max(self.late_ms);
        }
    }

    /// How much there is of each kind: for tests.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn counts(&self) -> [(&'static str, usize); 6] {
        [
            ("queues", self.queues.values().map(HashMap::len).sum()),
            ("deadlines", self.order.len()),
            ("timeouts", self.clients.len()),
            ("orphans", self.orphans.len()),
            ("loaded", self.loaded.len()),
            ("timers", usize::from(self.timer.is_some())),
        ]
    }

    /// Milliseconds until there is something to do.
    fn wait_ms(&self, now: UnixMs, monotonic: u64) -> Option<u64> {
        if self.turns.is_due() {
            return Some(0);
        }
        let client = self.clients.first_key_value().map(|(&(at, _), _)| at.saturating_sub(monotonic));
        let queue =
            if self.orphans.is_empty() { self.order.first_key_value().map(|(&(at, _), _)| at.since(now).0) } else { Some(0) };
        let queue = queue.filter(|_| self.is_master && !self.is_loading);
        let queue = queue.map(|wait| wait.max(self.held_until.saturating_sub(monotonic)));
        client.into_iter().chain(queue).chain(self.sessions.due_in_ms()).min()
    }

    /// Sets the timer for what comes first, if it is not set for that already.
    fn arm(&mut self) {
        let (now, monotonic) = (now(), monotonic_ms());
        let Some(wait) = self.wait_ms(now, monotonic) else { return };
        let wait = wait.min(TIMER_MAX_MS);
        let fires_at = monotonic.saturating_add(wait);
        // One that is late by so much is lost, to a bug that was caught where it fired.
        let will_do = |&(set_for, _): &(u64, Timer)| set_for <= fires_at && monotonic <= set_for.saturating_add(LATE_MAX_MS);
        if self.timer.as_ref().is_some_and(will_do) {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            timer.stop();
        }
        self.clock_offset = now.0.wrapping_sub(monotonic);
        self.timer = timer::after(wait, work::tick).map(|timer| (fires_at, timer));
    }
}

/// Notes when to look at a queue, if that is sooner than noted.
pub(crate) fn schedule(value: &QueueValue, db: i32, key: &[u8]) {
    let soonest = value.queue.soonest();
    if soonest >= value.alarm.get() {
        return;
    }
    state::with(|state| {
        let agenda = &mut state.agenda;
        // Not after now: the clock may have been set back since that tick.
        let at = soonest.max(agenda.ticked.min(now()));
        if at < value.alarm.get() {
            value.alarm.set(at);
            agenda.insert(db, key, at);
            agenda.arm();
        }
    });
}

/// Notes to look at a queue in a while: a bug has ended a transaction on it, so nothing may be noted for what falls due.
pub(crate) fn look_again(db: i32, key: &[u8]) {
    /// A bug that strikes at every look is not to fill the log.
    const SOON: Ms = Ms(1_000);
    state::with(|state| {
        state.agenda.insert(db, key, now().after(SOON));
        state.agenda.arm();
    });
}

/// This place no longer holds its queue.
pub(crate) fn forget(db: i32, key: &[u8]) {
    state::with(|state| {
        state.agenda.remove(db, key);
        // What comes to this place may have a claim of the same name.
        state.agenda.orphans.retain(|orphan| orphan.db != db || orphan.key.bytes() != key);
        if state.waiters.await_news(db, key) {
            state.agenda.turns.recheck(db, key);
            state.agenda.arm();
        }
    });
}

/// The queue of this key has changed in a way that may be news to clients that wait for the ends of its tasks, or read it on.
pub(crate) fn recheck(db: i32, key: &[u8]) {
    state::with(|state| {
        state.agenda.turns.recheck(db, key);
        state.agenda.arm();
    });
}

/// A queue has come to this place, and clients wait for its tasks.
pub(crate) fn look_now(db: i32, key: &[u8]) {
    state::with(|state| state.agenda.look_now(db, key));
}

/// Sets the timer anew if something is to be done sooner.
pub(crate) fn arm() {
    state::with(|state| state.agenda.arm());
}

/// A database, or all, is about to be emptied.
pub(crate) fn flush(db: Option<i32>) {
    state::with(|state| {
        state.agenda.clear(db);
        state.agenda.sessions.clear(db);
        state.agenda.turns.recheck_all(&state.waiters, db);
        state.agenda.arm();
    });
}

/// Two databases changed places.
pub(crate) fn swap(a: i32, b: i32) {
    state::with(|state| {
        state.agenda.swap(a, b);
        state.agenda.sessions.swap(a, b);
        for db in [a, b] {
            state.agenda.turns.recheck_all(&state.waiters, Some(db));
        }
        state.agenda.arm();
    });
}

/// The server became a master or a replica.
pub(crate) fn set_master(is_master: bool) {
    state::with(|state| {
        state.agenda.is_master = is_master;
        state.agenda.arm();
    });
}

/// Whether the server is a master.
pub(crate) fn is_master() -> bool {
    state::with(|state| state.agenda.is_master)
}

/// Data begins to load: time stands still.
pub(crate) fn loading_started() {
    state::with(|state| {
        state.agenda.is_loading = true;
        state.agenda.loaded.clear();
    });
}

/// All data is there: notes when to look at each queue that came from an RDB.
pub(crate) fn loading_ended(context: &Context) {
    let loaded = state::with(|state| {
        state.agenda.is_loading = false;
        mem::take(&mut state.agenda.loaded)
    });
    let before = context.selected_db();
    for (db, key) in loaded {
        if context.select_db(db) {
            note(context, &OwnedName::new(&key), db);
        }
    }
    context.select_db(before);
    arm();
}

/// Notes when to look at the queue that has come to this place, if one has.
pub(crate) fn note(context: &Context, name: &OwnedName, db: i32) {
    let Ok(key) = context.open_read(name.as_name(), &QUEUE) else {
        return;
    };
    if let Ok(Some(value)) = key.value() {
        sessions::arrived(&value.queue, db, name.bytes());
        schedule(value, db, name.bytes());
    }
}

/// Ten times a second: timers go by the wall clock, so when that is set they must be, too; and some of what falls due by the settings.
pub(crate) fn watch_clock() {
    state::with(|state| {
        let agenda = &mut state.agenda;
        let offset = now().0.wrapping_sub(monotonic_ms());
        let step = offset.wrapping_sub(agenda.clock_offset);
        if step.min(step.wrapping_neg()) > CLOCK_STEP_MS {
            agenda.clock_offset = offset;
            if let Some((_, timer)) = agenda.timer.take() {
                timer.stop();
            }
            agenda.ticked = UnixMs::default();
            // A window of RATE that is not over by the old time may be by the new one.
            for (db, key) in state.waiters.keys_awaiting_tasks() {
                agenda.look_now(db, &key);
            }
        }
        agenda.follow_settings();
        agenda.turns.recheck_elsewhere(&state.waiters);
        // Also if it was not: a bug that ended a tick early must not end time.
        agenda.arm();
    });
}
