//! Keys of `UNIQUE` where there are many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::time::{Duration, Instant};
use support::{Answer, Command, Driver, PushSpec, UniqueSpec};
use taskqueue::{Defaults, MadeId, State};

fn push(driver: &mut Driver, key: String, batch: Option<String>) -> String {
    let unique = Some(Box::new(UniqueSpec { key, hold: Some(1_000_000), replace: false }));
    let priority = u8::from(batch.is_some());
    let task = PushSpec { unique, priority, batch: batch.map(|name| (name, true)), ..PushSpec::plain(vec![1]) };
    let Answer::Pushed { id, added: true } = driver.run(&Command::Push { task, id: None, renew: false, floor: MadeId(0) }) else {
        panic!("the key is not free");
    };
    id
}

/// A batch that is forgotten frees the keys of its tasks, and has nothing to do with those of others, however many they are. If it looked
/// at all of them, each time would take some tens of milliseconds here, and all of them seconds.
#[test]
fn to_forget_a_batch_looks_at_its_own_keys() {
    const KEYS: usize = 60_000;
    const BATCHES: usize = 200;
    let mut driver = Driver::new(Defaults::default());
    for number in 0..KEYS {
        push(&mut driver, format!("other-{number}"), None);
    }
    let mut took = Duration::ZERO;
    for number in 0..BATCHES {
        let batch = format!("b-{number}");
        let id = push(&mut driver, "own".to_owned(), Some(batch.clone()));
        driver.run(&Command::Claim { worker: "w".to_owned(), lease: None, session: None });
        driver.run(&Command::Complete { id, attempt: None, result: Vec::new(), retain: None });
        assert_eq!(driver.queue.key_count(), KEYS + 1, "held on after its end");
        let start = Instant::now();
        assert_eq!(driver.run(&Command::ForgetBatch(batch)), Answer::Count(1));
        took += start.elapsed();
        assert_eq!(driver.queue.key_count(), KEYS);
    }
    assert!(took < Duration::from_secs(1), "{BATCHES} batches beside {KEYS} keys took {took:?}");
    assert_eq!(driver.queue.count(State::Ready), KEYS);
}
