//! A queue and its replica, driven by bytes; what must always hold of them is looked at after each step.

use crate::bytes::Bytes;
use std::collections::BTreeSet;
use taskqueue::effect::unpack;
use taskqueue::op::{self, After, Claim, Completion, Delay, IntoBatch, Next, On, Push, PushOutcome, Unique};
use taskqueue::{
    Connection, Cursor, Defaults, Definition, Journal, MadeId, Misfire, Ms, Overlap, Queue, Recurrence, Rounding, State, TaskId,
    Txn, UnixMs,
};

/// Steps of one input: what comes after is not looked at.
const STEPS_MAX: usize = 200;
/// Most tasks a page may be asked for.
const COUNT_MAX: u16 = 10_000;

/// Ids that clients give. Some are of the form the queue makes, and of the time at which a life begins.
const IDS: [&str; 8] = ["a", "b", "c", "\u{e9}", "0-1", "0-2", "4-0", "4-1"];

pub struct Life {
    master: Queue,
    replica: Queue,
    journal: Journal,
    now: UnixMs,
    settings: Defaults,
    /// Ids of the tasks pushed, the latest last.
    ids: Vec<String>,
    snapshot: Vec<Vec<u8>>,
}

impl Life {
    pub fn of(master: Queue) -> Self {
        let snapshot = master.snapshot();
        Self {
            replica: restored(&snapshot),
            master,
            journal: Journal::default(),
            now: UnixMs(3),
            settings: Defaults::default(),
            ids: Vec::new(),
            snapshot,
        }
    }

    pub fn master(&self) -> &Queue {
        &self.master
    }

    /// Applies what can be applied of packed effects. A refused one changes nothing; the queue stays sound, and can be saved and
    /// loaded.
    pub fn feed(&mut self, packed: &[u8]) {
        for effect in unpack(packed) {
            let Ok(effect) = effect else { break };
            let is_applied = self.master.apply(&effect).is_ok();
            self.master.check().unwrap_or_else(|what| panic!("{what}, by {effect:?}"));
            let snapshot = self.master.snapshot();
            assert!(is_applied || snapshot == self.snapshot, "{effect:?} was refused and changed the queue");
            self.snapshot = snapshot;
        }
        self.replica = restored(&self.snapshot);
        assert_eq!(self.replica.snapshot(), self.snapshot);
    }

    /// Does as the bytes say. The replica, which was restored from a snapshot, follows.
    pub fn go_on(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..STEPS_MAX {
            if bytes.is_empty() {
                return;
            }
            self.step(bytes);
        }
    }

    /// All tasks end and are forgotten, whatever they went through.
    pub fn end(mut self) {
        self.look(&mut Bytes(&[]));
        let settings = self.settings;
        let all = self.master.len();
        self.transact(|txn| op::cancel_all(txn, all, &settings));
        let claimed = self.master.list(State::Claimed, Cursor::Zero, all).slots;
        let claimed: Vec<String> = claimed.into_iter().map(|slot| self.master.id(slot).to_string()).collect();
        for id in claimed {
            let done = self.transact(|txn| op::complete(txn, parse(&id), None, b"done", None, &settings));
            assert_eq!(done, Ok(Completion::Published));
        }
        self.transact(|txn| op::forget_all(txn, all));
        // Batches keep theirs.
        let listed = State::ALL.into_iter().flat_map(|state| self.master.list(state, Cursor::Zero, all).slots);
        for slot in listed {
            let task = self.master.view(slot, &settings);
            assert!(task.batch.is_some() && task.state.is_terminal(), "{} is left", task.id);
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let settings = self.settings;
        match bytes.byte() % 24 {
            0..4 => self.push(bytes, None, None, None),
            4..8 => {
                let worker = ["w", "x", "y", "z"][usize::from(bytes.byte() % 4)];
                let session = bytes.option(|bytes| Connection(1 + u64::from(bytes.byte() % 3)));
                let claim = Claim { worker, lease: bytes.option(Bytes::ms), session };
                self.transact(|txn| op::claim(txn, &claim, &settings));
            }
            8 => {
                let (id, attempt) = self.claim_of(bytes);
                let (lease, checkpoint) = (bytes.option(Bytes::ms), bytes.option(Bytes::text));
                let _ = self.transact(|txn| op::extend(txn, parse(&id), attempt, lease, checkpoint));
            }
            9 => {
                let (id, attempt) = self.claim_of(bytes);
                let (result, retain) = (bytes.text(), bytes.option(Bytes::retention));
                let _ = self.transact(|txn| op::complete(txn, parse(&id), attempt, result, retain, &settings));
            }
            10..12 => {
                let (id, attempt) = self.claim_of(bytes);
                let next = match bytes.byte() % 4 {
                    0 => Next::Dead,
                    1 => Next::RetryAfter(bytes.ms()),
                    _ => Next::Retry,
                };
                let (error, dice) = (bytes.text(), bytes.byte().into());
                let _ = self.transact(|txn| op::fail(txn, parse(&id), attempt, error, next, dice, &settings));
            }
            12 => {
                let (id, attempt) = self.claim_of(bytes);
                let delay = bytes.option(Bytes::ms).unwrap_or_default();
                let _ = self.transact(|txn| op::release(txn, parse(&id), attempt, delay));
            }
            13 => {
                let id = self.id(bytes);
                self.transact(|txn| op::cancel(txn, parse(&id), &settings));
            }
            14 => {
                let id = self.id(bytes);
                self.transact(|txn| op::forget(txn, parse(&id)));
            }
            15 => {
                let id = self.id(bytes);
                self.transact(|txn| op::retry(txn, parse(&id)));
            }
            16 => {
                let count = usize::from(bytes.byte() % 4);
                match bytes.byte() % 4 {
                    0 => self.transact(|txn| op::cancel_all(txn, count, &settings)),
                    1 => self.transact(|txn| op::forget_all(txn, count)),
                    2 => self.close(Connection(1 + u64::from(bytes.byte() % 3)), count),
                    _ => self.transact(|txn| op::retry_all(txn, count)),
                };
            }
            17..19 => self.tick(bytes),
            19..21 => {
                let wait = bytes.ms();
                self.now = self.now.after(wait).min(UnixMs::MAX);
            }
            21 => match bytes.byte() {
                0xff => self.settings = bytes.defaults(),
                back => self.now = self.now.before(Ms(back.into())),
            },
            22 => self.look(bytes),
            _ => match bytes.byte() {
                pick @ 128.. => self.batch(bytes, pick),
                pick @ 64..128 => self.push_after(bytes, pick),
                count @ 48..64 => self.transact(|txn| op::tell(txn, usize::from(count % 4), &settings)),
                pick @ 32..48 => self.schedule(bytes, pick),
                _ => read_names(bytes),
            },
        }
    }

    /// A connection is closed, which is no fact that replicas hear of. Answers 0.
    fn close(&mut self, connection: Connection, count: usize) -> usize {
        let is_left = self.master.close_session(connection, count);
        self.master.check().expect("the queue is sound");
        assert_eq!(is_left, self.master.has_session(connection));
        assert_eq!(self.master.snapshot(), self.snapshot);
        0
    }

    /// A task that waits for others, or for a batch.
    fn push_after(&mut self, bytes: &mut Bytes<'_>, pick: u8) {
        let mut ids: Vec<String> = (0..=pick % 4).map(|_| self.id(bytes)).collect();
        ids.sort();
        ids.dedup();
        let ids: Vec<TaskId<'_>> = ids.iter().map(|id| parse(id)).collect();
        let on = if pick & 4 == 4 { On::Batch(if pick & 8 == 8 { "a" } else { "b" }) } else { On::Tasks(&ids) };
        let batch = bytes.option(|bytes| IntoBatch { name: if bytes.flag() { "a" } else { "b" }, seal: false });
        self.push(bytes, batch, Some(After { on, run_anyway: pick & 16 == 16 }), None);
    }

    fn push(
        &mut self,
        bytes: &mut Bytes<'_>,
        batch: Option<IntoBatch<'_>>,
        after: Option<After<'_>>,
        unique: Option<Unique<'_>>,
    ) {
        let what = bytes.byte();
        let id = (what & 1 == 1).then(|| self.id(bytes));
        let push = Push {
            payload: bytes.text(),
            id: id.as_deref().map(parse),
            renew: what & 2 == 2,
            priority: if what & 4 == 4 { bytes.byte() } else { 0 },
            delay: match what >> 3 & 3 {
                0 | 1 => Delay::For(Ms(0)),
                2 => Delay::For(bytes.ms()),
                _ => Delay::Until(UnixMs(bytes.ms().0)),
            },
            ttl: (what & 32 == 32).then(|| bytes.ms()),
            options: if what & 64 == 64 { bytes.options() } else { taskqueue::Options::default() },
            batch,
            after,
            unique,
            group: bytes.option(|bytes| if bytes.flag() { "a" } else { "b" }),
        };
        let floor = if what & 128 == 128 { MadeId::first_of(UnixMs(bytes.ms().0)) } else { MadeId(0) };
        let outcome = self.transact(|txn| {
            let outcome = op::push(txn, &push, floor);
            outcome.map(|outcome| match outcome {
                PushOutcome::Added(slot) | PushOutcome::Existing(slot) => txn.queue().id(slot).to_string(),
                PushOutcome::Held => unique.and_then(|unique| txn.queue().holder_of(unique.key)).expect("a holder").to_string(),
            })
        });
        self.ids.extend(outcome);
    }

    /// Something about a batch.
    fn batch(&mut self, bytes: &mut Bytes<'_>, pick: u8) {
        let (name, count) = (["a", "b"][usize::from(pick >> 6 & 1)], usize::from(bytes.byte() % 4));
        let settings = self.settings;
        let into = IntoBatch { name, seal: pick & 32 == 32 };
        match pick % 8 {
            0 => self.transact(|txn| op::seal(txn, name)),
            1 => self.transact(|txn| op::cancel_batch(txn, name, count, &settings)),
            2 => self.transact(|txn| op::retry_batch(txn, name, count)),
            3 => self.transact(|txn| op::forget_batch(txn, name)),
            4 | 5 => return self.push(bytes, Some(into), None, None),
            _ => {
                let hold = bytes.option(Bytes::ms);
                let batch = (pick & 16 == 16).then_some(into);
                return self.push(bytes, batch, None, Some(Unique { key: name, hold, replace: pick & 8 == 8 }));
            }
        };
    }

    /// A schedule comes, or goes.
    fn schedule(&mut self, bytes: &mut Bytes<'_>, pick: u8) {
        let name = ["a", "b"][usize::from(pick & 1)];
        if pick & 6 == 6 {
            self.transact(|txn| op::unschedule(txn, name));
            return;
        }
        let expression = std::str::from_utf8(bytes.text()).unwrap_or("@hourly");
        let definition = Definition {
            recurrence: match pick & 8 {
                8 => Recurrence::Cron { expression, zone: "Europe/Berlin" },
                _ => Recurrence::Every(bytes.ms()),
            },
            misfire: [Misfire::Skip, Misfire::Once, Misfire::All][usize::from(bytes.byte() % 3)],
            overlap: if bytes.flag() { Overlap::Skip } else { Overlap::Allow },
            payload: bytes.text(),
            priority: 0,
            delay: bytes.option(Bytes::ms).unwrap_or_default(),
            ttl: bytes.option(Bytes::ms),
            options: bytes.options(),
            unique: None,
            group: bytes.flag().then_some("g"),
        };
        if let Ok(next) = self.transact(|txn| op::schedule(txn, name, &definition)) {
            assert!(self.master.next_slot() <= next && next <= UnixMs::MAX);
        }
    }

    /// With budget enough, all that is due is done, and no sooner instant is named than that of the next.
    fn tick(&mut self, bytes: &mut Bytes<'_>) {
        let (settings, now) = (self.settings, self.now);
        let budget = if bytes.flag() { usize::from(bytes.byte() % 4) } else { 4 * self.master.len() };
        let is_left = self.transact(|txn| {
            op::fire(txn, budget.max(1), true);
            op::tick(txn, budget, &settings)
        });
        assert_eq!(is_left, self.master.soonest() <= now);
    }

    /// All that can be seen: each listing, by pages, holds each task of its state; and the cursor may be any.
    fn look(&mut self, bytes: &mut Bytes<'_>) {
        let queue = &self.master;
        let (count, text) = (1 + bytes.wide() % COUNT_MAX, bytes.text());
        let cursor = Cursor::parse(text).unwrap_or(Cursor::Zero);
        for state in State::ALL {
            // Of one queue nobody changes, each listing ends, and from the beginning it holds all. Some twice, where a page is too small to
            // find on in a line.
            let (mut listed, mut next) = (BTreeSet::new(), cursor.to_string());
            for _ in 0..queue.len() + 4096 {
                let cursor = Cursor::parse(next.as_bytes()).expect("a cursor that was given is read");
                let page = queue.list(state, cursor, count.into());
                assert!(page.slots.len() <= count.into());
                for &slot in &page.slots {
                    let view = queue.view(slot, &self.settings);
                    assert_eq!((view.state, queue.find(view.id)), (state, Some(slot)));
                    let _ = (view.instant(), queue.result(slot));
                    let after = queue.after_view(slot).map_or(0, |after| after.missing());
                    assert_eq!(after > 0, state == State::Waiting && queue.after_view(slot).is_some());
                }
                listed.extend(page.slots);
                next = page.next;
                if next == "0" {
                    break;
                }
            }
            assert_eq!(next, "0", "endless");
            assert!(
                cursor != Cursor::Zero || listed.len() == queue.count(state),
                "{} listed of {}",
                listed.len(),
                queue.count(state)
            );
        }
        let _ = (queue.wait_times(), queue.run_times(), queue.oldest_ready_age(self.now), queue.bytes(Rounding::Classes));
    }

    /// The id of a task there was, the latest first, or one of a client's.
    fn id(&self, bytes: &mut Bytes<'_>) -> String {
        let pick = usize::from(bytes.byte());
        match pick.checked_sub(IDS.len()) {
            Some(back) => self.ids.iter().nth_back(back % self.ids.len().max(1)).map_or("none".to_owned(), Clone::clone),
            None => IDS[pick].to_owned(),
        }
    }

    /// A claim: mostly a task's last one.
    fn claim_of(&self, bytes: &mut Bytes<'_>) -> (String, Option<u32>) {
        let id = self.id(bytes);
        let last = self.master.find(parse(&id)).map_or(1, |slot| self.master.view(slot, &self.settings).attempt);
        let attempt = match bytes.byte() % 8 {
            0 => None,
            1 => Some(last.saturating_sub(1)),
            2 => Some(last.saturating_add(1)),
            _ => Some(last),
        };
        (id, attempt)
    }

    /// Does it, and all that must then hold is looked at.
    fn transact<T>(&mut self, operation: impl FnOnce(&mut Txn<'_>) -> T) -> T {
        self.journal.clear();
        let mut txn = Txn::new(&mut self.master, &mut self.journal, self.now);
        let answer = operation(&mut txn);
        txn.drop_unkept();
        if self.journal.packed.is_empty() {
            return answer;
        }
        for effect in unpack(self.journal.packed.bytes()) {
            let effect = effect.expect("what was packed is unpacked");
            self.replica.apply(&effect).unwrap_or_else(|mismatch| panic!("{mismatch}: {effect:?}"));
        }
        self.master.check().expect("the queue is sound");
        self.snapshot = self.master.snapshot();
        assert_eq!(self.replica.snapshot(), self.snapshot);
        answer
    }
}

fn parse(id: &str) -> TaskId<'_> {
    TaskId::parse(id.as_bytes()).expect("an id")
}

fn restored(snapshot: &[Vec<u8>]) -> Queue {
    let mut queue = Queue::default();
    for effect in snapshot.iter().flat_map(|chunk| unpack(chunk)) {
        let effect = effect.expect("a snapshot is unpacked");
        queue.apply(&effect).unwrap_or_else(|mismatch| panic!("{mismatch}: {effect:?}"));
    }
    queue.check().expect("a restored queue is sound");
    queue
}

/// What is read of a client's bytes is written as it is read.
fn read_names(bytes: &mut Bytes<'_>) {
    let count = bytes.byte();
    let text = bytes.take(count.into());
    if let Ok(id) = TaskId::parse(text) {
        assert!(id.is_valid());
        assert_eq!(id.to_string().as_bytes(), text);
    }
    if let Some(cursor) = Cursor::parse(text) {
        assert_eq!(Cursor::parse(cursor.to_string().as_bytes()), Some(cursor));
    }
    let _ = State::parse(text);
}
