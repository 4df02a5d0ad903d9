//! Operations to count the instructions of, under callgrind: `make bench-check` does. Each is a function of its own that callgrind
//! sees; what makes the tasks ready for it is outside.
//!
//! The argument is how many tasks there are beside those that are worked on: so many ready, so many delayed, so many claimed.

#![allow(clippy::unwrap_used, reason = "a bench that goes wrong is to stop")]

use std::env;
use std::hint::black_box;
use taskqueue::op::{self, Claim, Delay, Next, Push};
use taskqueue::{Defaults, Journal, MadeId, Ms, Options, Queue, Retention, Slot, TaskId, Txn, UnixMs};

/// How often each operation is done.
const TIMES: usize = 2_000;
/// Pushes in a millisecond: ids of one time differ in their sequence.
const PER_MS: usize = 100;
const LONG: Ms = Ms(3_600_000);

struct Bench {
    queue: Queue,
    journal: Journal,
    now: UnixMs,
    settings: Defaults,
    said: usize,
}

impl Bench {
    /// One transaction, as the shell makes it.
    fn transact<R>(&mut self, operation: impl FnOnce(&mut Txn<'_>, &Defaults) -> R) -> R {
        self.said += 1;
        if self.said.is_multiple_of(PER_MS) {
            self.now = self.now.after(Ms(1));
        }
        self.journal.clear();
        let mut txn = Txn::new(&mut self.queue, &mut self.journal, self.now);
        let answer = operation(&mut txn, &self.settings);
        txn.drop_unkept();
        answer
    }

    #[inline(never)]
    fn push(&mut self, delay: Ms) {
        self.transact(|txn, _| op::push(txn, &task(delay), MadeId::default())).unwrap();
    }

    #[inline(never)]
    fn claim(&mut self, lease: Ms) -> Slot {
        let claim = Claim { worker: "worker-1", lease: Some(lease), session: None };
        self.transact(|txn, settings| op::claim(txn, &claim, settings)).unwrap()
    }

    #[inline(never)]
    fn extend(&mut self, id: TaskId<'_>) {
        self.transact(|txn, _| op::extend(txn, id, None, Some(LONG), None)).unwrap();
    }

    #[inline(never)]
    fn complete(&mut self, id: TaskId<'_>) {
        self.transact(|txn, settings| op::complete(txn, id, None, &[b'r'; 32], None, settings)).unwrap();
    }

    #[inline(never)]
    fn fail(&mut self, id: TaskId<'_>) {
        self.transact(|txn, settings| op::fail(txn, id, None, b"error", Next::Retry, 7, settings)).unwrap();
    }

    #[inline(never)]
    fn release(&mut self, id: TaskId<'_>) {
        self.transact(|txn, _| op::release(txn, id, None, Ms(0))).unwrap();
    }

    /// One delay, one lease and one retention end.
    #[inline(never)]
    fn tick(&mut self) {
        black_box(self.transact(|txn, settings| op::tick(txn, 1, settings)));
    }

    /// Many claimed tasks, from new.
    fn claimed(&mut self, lease: Ms) -> Vec<String> {
        for _ in 0..TIMES {
            self.push(Ms(0));
        }
        let claims = (0..TIMES).map(|_| self.claim(lease));
        claims.collect::<Vec<_>>().into_iter().map(|slot| self.queue.id(slot).to_string()).collect()
    }
}

fn task(delay: Ms) -> Push<'static> {
    Push {
        payload: &[b'x'; 100],
        id: None,
        renew: false,
        priority: 0,
        delay: Delay::For(delay),
        ttl: None,
        options: Options::default(),
        batch: None,
        after: None,
        unique: None,
        group: None,
    }
}

fn id(text: &str) -> TaskId<'_> {
    TaskId::parse(text.as_bytes()).unwrap()
}

fn main() {
    let beside = env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(0);
    let mut bench = Bench {
        queue: Queue::default(),
        journal: Journal::default(),
        now: UnixMs(1_700_000_000_000),
        settings: Defaults { retain: Retention::For(LONG), ..Defaults::default() },
        said: 0,
    };
    fill(&mut bench, beside);
    let ids = bench.claimed(LONG);
    for text in &ids {
        bench.extend(id(text));
    }
    for text in &ids {
        bench.complete(id(text));
    }
    for text in bench.claimed(LONG) {
        bench.fail(id(&text));
    }
    for text in bench.claimed(LONG) {
        bench.release(id(&text));
    }
    // A delay, a lease and a retention end for each tick.
    bench.settings.retain = Retention::For(Ms(1_000));
    for text in bench.claimed(LONG) {
        bench.complete(id(&text));
    }
    bench.claimed(Ms(1_000));
    for _ in 0..TIMES {
        bench.push(Ms(1_000));
    }
    bench.now = bench.now.after(Ms(10_000));
    for _ in 0..TIMES {
        bench.tick();
    }
}

/// Has functions of its own, so that its operations are not counted with the others.
#[inline(never)]
fn fill(bench: &mut Bench, beside: usize) {
    for _ in 0..beside {
        bench.transact(|txn, _| op::push(txn, &task(Ms(0)), MadeId::default())).unwrap();
        bench
            .transact(|txn, settings| op::claim(txn, &Claim { worker: "worker-2", lease: Some(LONG), session: None }, settings))
            .unwrap();
        bench.transact(|txn, _| op::push(txn, &task(LONG), MadeId::default())).unwrap();
    }
    for _ in 0..beside {
        bench.transact(|txn, _| op::push(txn, &task(Ms(0)), MadeId::default())).unwrap();
    }
}
