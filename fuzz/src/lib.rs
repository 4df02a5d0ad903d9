//! What is done with the bytes that a fuzzer makes up. Each target of `targets/` hands them to one function here.
//!
//! The bytes are read twice: as what the target is about, and as the commands with which the queue then lives on.

mod bytes;
mod life;

use bytes::Bytes;
use life::Life;
use std::cell::OnceCell;
use taskqueue::effect::VERSION;
use taskqueue::op::{self, After, Claim, Delay, Next, On, Push, Unique};
use taskqueue::{Cursor, Defaults, Journal, MadeId, Ms, Options, Queue, State, TaskId, Txn, UnixMs};

/// Effects as they may come from a replication stream or an AOF, to an empty queue and to one that holds tasks in all states.
pub fn effects(data: &[u8]) {
    thread_local!(static POPULATED: OnceCell<Queue> = const { OnceCell::new() });
    let populated = POPULATED.with(|queue| queue.get_or_init(populated).clone());
    for queue in [Queue::default(), populated] {
        let mut life = Life::of(queue);
        life.feed(&[&[VERSION], data].concat());
        life.go_on(&mut Bytes(data));
        life.end();
    }
}

/// A snapshot as it may come from an RDB or RESTORE: one that commands have led to, damaged.
///
/// The input is a number of bytes of commands, the commands, and then the damage, which is also what happens afterwards.
pub fn snapshot(data: &[u8]) {
    let mut data = Bytes(data);
    let mut before = Life::of(Queue::default());
    let commands = data.byte();
    before.go_on(&mut Bytes(data.take(commands.into())));
    let mut snapshot = before.master().snapshot().concat();
    damage(&mut snapshot, &mut data.clone());
    let mut after = Life::of(Queue::default());
    after.feed(&snapshot);
    after.go_on(&mut data);
    after.end();
}

/// Commands as they may come from clients.
pub fn operations(data: &[u8]) {
    let mut life = Life::of(Queue::default());
    life.go_on(&mut Bytes(data));
    life.end();
}

/// What clients write as ids, names and cursors. What is read is written as it was, and is read as the same again.
pub fn words(data: &[u8]) {
    let id = TaskId::parse(data);
    match id {
        Ok(id) => {
            let text = id.to_string();
            assert_eq!(text.as_bytes(), data, "an id has one spelling");
            assert!(id.is_valid() && (1..=taskqueue::id::NAME_BYTES_MAX).contains(&data.len()));
            if let TaskId::Made(made) = id {
                made.with_text(|bytes| assert_eq!(bytes, data));
            }
        }
        Err(_) => assert!(taskqueue::id::parse_name("id", data).is_err(), "an id is a name"),
    }
    thread_local!(static POPULATED: OnceCell<Queue> = const { OnceCell::new() });
    if let Some(cursor) = Cursor::parse(data) {
        let text = cursor.to_string();
        assert_eq!(Cursor::parse(text.as_bytes()), Some(cursor));
        POPULATED.with(|queue| {
            let queue = queue.get_or_init(populated);
            for state in State::ALL {
                assert!(queue.list(state, cursor, 10).slots.len() <= 10);
            }
        });
    }
}

/// Up to four times: bytes are put in, put over others, xored, or left out.
fn damage(victim: &mut Vec<u8>, data: &mut Bytes<'_>) {
    for _ in 0..4 {
        let (kind, place, count) = (data.byte(), data.wide(), data.byte());
        if data.is_empty() {
            return;
        }
        // The version stays, or all ends there.
        let start = 1 + usize::from(place) % victim.len();
        let end = (start + usize::from(count % 16)).min(victim.len());
        let start = start.min(end);
        match kind % 4 {
            0 => drop(victim.splice(start..start, data.take(usize::from(count % 16)).iter().copied())),
            1 => drop(victim.splice(start..end, data.take(end - start).iter().copied())),
            2 => victim[start..end].iter_mut().for_each(|byte| *byte ^= data.byte()),
            _ => drop(victim.drain(start..end)),
        }
    }
}

fn plain(payload: &[u8]) -> Push<'_> {
    let (delay, options) = (Delay::For(Ms(0)), Options::default());
    Push { payload, id: None, renew: false, priority: 0, delay, ttl: None, options, batch: None, after: None, unique: None }
}

/// A queue with tasks in all states, whose ids are letters.
fn populated() -> Queue {
    let (mut queue, mut journal, settings) = (Queue::default(), Journal::default(), Defaults::default());
    let mut txn = Txn::new(&mut queue, &mut journal, UnixMs(3));
    let options = Options { attempts: Some(2), timeout: Some(Ms(9)), ..Options::default() };
    let after = After { on: On::Tasks(&[TaskId::Named("a"), TaskId::Named("c")]), run_anyway: false };
    for (index, id) in ["a", "b", "c", "d", "e", "f", "g", "h", "i"].into_iter().enumerate() {
        let push = Push {
            id: TaskId::parse(id.as_bytes()).ok(),
            delay: Delay::For(Ms(if id == "h" { 5 } else { 0 })),
            ttl: ("f".."i").contains(&id).then_some(Ms(if id == "f" { 1 } else { 100 })),
            options: if index % 2 == 0 { options } else { Options::default() },
            after: (id == "i").then_some(after),
            unique: ["c", "d", "e"].contains(&id).then_some(Unique {
                key: id,
                hold: (id == "c").then_some(Ms(50)),
                replace: false,
            }),
            ..plain(id.as_bytes())
            group: "adg".contains(id).then_some("group"),
        };
        op::push(&mut txn, &push, MadeId(0)).expect("a task is pushed");
    }
    for _ in 0..4 {
        op::claim(&mut txn, &Claim { worker: "w", lease: None, session: None }, &settings).expect("a task is claimed");
    }
    op::complete(&mut txn, TaskId::Named("a"), None, b"result", None, &settings).expect("a is completed");
    op::fail(&mut txn, TaskId::Named("b"), None, b"error", Next::Dead, 0, &settings).expect("b is failed");
    op::extend(&mut txn, TaskId::Named("c"), None, None, Some(b"checkpoint")).expect("c is extended");
    op::release(&mut txn, TaskId::Named("d"), None, Ms(0)).expect("d is released");
    op::cancel(&mut txn, TaskId::Named("e"), &settings);
    let mut txn = Txn::new(&mut queue, &mut journal, UnixMs(4));
    op::tick(&mut txn, 1, &settings);
    let follow_up = Push { unique: Some(Unique { key: "c", hold: None, replace: true }), ..plain(b"follow-up") };
    op::push(&mut txn, &follow_up, MadeId(0)).expect("c is claimed, and is followed");
    for state in State::ALL {
        assert!(queue.count(state) > 0, "{}", state.name());
    }
    queue
}
