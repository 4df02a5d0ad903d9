//! What is said to clients at the next turns of the event loop, as it was too much for the one in which it came up: others have their
//! turn in between.

use super::{Awaited, Client, Looked, Telling, Untold, Waiters, recheck, unblock};
use crate::agenda::Place;
use crate::redis::context::Context;
use crate::state;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::ops::Bound;

/// What is to be said.
#[derive(Default)]
pub(crate) struct Turns {
    /// Keys whose waiters must be told what became of their tasks, or what there is to read.
    rechecks: BTreeMap<Place, Recheck>,
    /// The last one of them that was taken up: they take turns.
    last_recheck: Option<Place>,
    /// Such keys in a slot that is moving: it may come back.
    elsewhere: BTreeSet<Place>,
    /// Ends of which not all who wait for them have been told.
    untold: VecDeque<Untold>,
    /// Clients to be unblocked.
    leaving: Vec<Client>,
}

/// How far a look at what clients wait for has come.
#[derive(Default)]
struct Recheck {
    /// What was looked at last.
    after: Option<Awaited>,
    /// To be done again from the beginning when it has come to the end: the key has changed meanwhile.
    again: bool,
}

impl Turns {
    /// Whether there is something to do at the next turn of the event loop.
    pub(crate) fn is_due(&self) -> bool {
        !(self.rechecks.is_empty() && self.leaving.is_empty() && self.untold.is_empty())
    }

    pub(crate) fn let_go(&mut self, clients: impl Iterator<Item = Client>) {
        self.leaving.extend(clients);
    }

    pub(super) fn tell(&mut self, untold: Untold) {
        self.untold.push_back(untold);
    }

    /// The queue of this key has changed in a way that may be news to clients that wait for the ends of its tasks, or read it on.
    pub(crate) fn recheck(&mut self, db: i32, key: &[u8]) {
        self.rechecks.entry((db, key.into())).and_modify(|recheck| recheck.again = recheck.after.is_some()).or_default();
    }

    /// So have all of a database, or of all.
    pub(crate) fn recheck_all(&mut self, waiters: &Waiters, db: Option<i32>) {
        for (db, key) in waiters.keys_awaiting_news(db) {
            self.recheck(db, &key);
        }
    }

    /// Looks again at keys whose slot was moving.
    pub(crate) fn recheck_elsewhere(&mut self, waiters: &Waiters) {
        for (db, key) in mem::take(&mut self.elsewhere) {
            if waiters.await_news(db, &key) {
                self.recheck(db, &key);
            }
        }
    }

    /// Takes up the look whose turn it is.
    fn next_recheck(&mut self) -> Option<(Place, Recheck)> {
        let last = self.last_recheck.take();
        let after = last.and_then(|last| self.rechecks.range((Bound::Excluded(last), Bound::Unbounded)).next());
        let place = after.or_else(|| self.rechecks.first_key_value()).map(|(place, _)| place.clone())?;
        self.last_recheck = Some(place.clone());
        self.rechecks.remove_entry(&place)
    }

    /// A look has come so far. What came up meanwhile is to be looked at from the beginning, when this one has come to the end.
    fn looked(&mut self, place: Place, looked: Looked, mut again: bool) {
        again |= self.rechecks.remove(&place).is_some();
        match looked {
            Looked::Until(id) => _ = self.rechecks.insert(place, Recheck { after: Some(id), again }),
            Looked::All if again => _ = self.rechecks.insert(place, Recheck::default()),
            Looked::All => {}
            Looked::Elsewhere => _ = self.elsewhere.insert(place),
        }
    }

    /// How much there is of each kind: for tests.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn counts(&self) -> [(&'static str, usize); 4] {
        [
            ("rechecks", self.rechecks.len()),
            ("elsewhere", self.elsewhere.len()),
            ("untold", self.untold.len()),
            ("leaving", self.leaving.len()),
        ]
    }
}

/// Says as much as one turn may: tells of ends, looks at keys while it may go on, and lets clients go.
pub(crate) fn take_turn(context: &Context, may_go_on: impl Fn() -> bool) {
    tell_more();
    while may_go_on()
        && let Some((place, Recheck { after, again })) = state::with(|state| state.agenda.turns.next_recheck())
    {
        let (db, key) = &place;
        let looked = recheck(context, *db, key, after.as_ref(), &may_go_on);
        state::with(|state| state.agenda.turns.looked(place, looked, again));
    }
    let leaving = state::with(|state| mem::take(&mut state.agenda.turns.leaving));
    unblock(leaving);
}

/// Tells more of those who wait for ends that were too many for the command that brought them.
fn tell_more() {
    let mut telling = Telling::new();
    while let Some(untold) = state::with(|state| state.agenda.turns.untold.pop_front())
        && telling.go_on(untold)
    {}
}
