//! No number of dependencies is too many: an end costs no more than another, and nothing goes deep.

use crate::server::{KEPT, Server, TOLD};
use crate::support::{apply_all, restored};
use State::{Failed, Ready, Waiting};
use std::thread;
use taskqueue::{State, TaskId, Txn, effect, op};

/// Tells in slices until nobody is left to be told; each slice records no more than it was asked for.
fn tell_all(server: &mut Server) -> usize {
    const SLICE: usize = 64;
    let mut slices = 0;
    while server.queue.has_news() {
        server.journal.clear();
        let mut txn = Txn::new(&mut server.queue, &mut server.journal, server.now);
        op::tell(&mut txn, SLICE, &server.settings);
        txn.drop_unkept();
        let effects = effect::unpack(server.journal.packed.bytes()).count();
        assert!((1..=SLICE).contains(&effects), "{effects}");
        apply_all(&mut server.replica, server.journal.packed.bytes());
        slices += 1;
    }
    slices
}

/// On a stack that deep recursion would not fit in: also the queues are dropped there.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(256 * 1024).spawn(test).unwrap().join().unwrap();
}

const MANY: usize = 100_000;

fn name(n: usize) -> String {
    format!("t{n}")
}

#[test]
fn a_chain_of_many_fails_link_by_link() {
    on_a_small_stack(|| {
        let mut server = Server::new();
        server.push_plain(&["t0"]);
        for n in 1..MANY {
            server.push_after(&name(n), &[&name(n - 1)]);
        }
        // One that is dropped while it waits.
        assert_eq!(restored(&server.queue.snapshot()).count(Waiting), MANY - 1);
        server.transact(|txn, settings| op::cancel(txn, TaskId::Named("t0"), settings));
        assert_eq!(tell_all(&mut server), (MANY - 1 - TOLD).div_ceil(64));
        assert_eq!(server.queue.count(Failed), MANY - 1);
        assert_eq!(server.error(&name(MANY - 1)), format!("dependency failed: {}", name(MANY - 2)));
        let again = restored(&server.queue.snapshot());
        assert_eq!(again.snapshot(), server.replica.snapshot());
        server.wait(KEPT);
        assert!(server.queue.is_empty());
    });
}

#[test]
fn many_that_wait_for_one_are_told_in_slices() {
    on_a_small_stack(|| {
        let mut server = Server::new();
        server.push_plain(&["a"]);
        for n in 0..MANY {
            server.push_after(&name(n), &["a"]);
        }
        server.complete("a");
        assert_eq!(server.queue.count(Ready), TOLD);
        // A snapshot in the middle goes on from there.
        server.replica = restored(&server.queue.snapshot());
        assert_eq!(tell_all(&mut server), (MANY - TOLD).div_ceil(64));
        assert_eq!((server.queue.count(Ready), server.replica.count(Ready)), (MANY, MANY));
    });
}

#[test]
fn many_wait_for_many() {
    on_a_small_stack(|| {
        let (wide, count) = (taskqueue::DEPENDENCIES_MAX, 100_usize);
        let mut server = Server::new();
        let names: Vec<String> = (0..wide).map(name).collect();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        server.push_plain(&ids);
        for n in 0..count {
            server.push_after(&format!("d{n}"), &ids);
        }
        for (done, id) in (1..).zip(&ids) {
            server.complete(id);
            let slices = tell_all(&mut server);
            assert!(slices <= count.div_ceil(64), "{slices}");
            assert_eq!(server.queue.count(Ready), if done < wide { wide - done } else { count });
        }
        let again = restored(&server.queue.snapshot());
        assert_eq!(again.snapshot(), server.replica.snapshot());
        while server.claim().is_some() {}
        for n in 0..count {
            server.complete(&format!("d{n}"));
        }
        server.wait(KEPT);
        assert!(server.queue.is_empty());
    });
}
