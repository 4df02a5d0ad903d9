//! Listings: what is in a state from the first page to the last is listed, each page is cheap, and the pages end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{Command, DelaySpec, Driver, PushSpec, Step, cases, defaults, history, listed, step};
use taskqueue::effect::Change;
use taskqueue::{Cursor, Defaults, Effect, MadeId, Ms, Options, Page, Queue, State, effect};

/// Says the command and takes out of each state's set the tasks that were not in it all the while.
fn run_and_watch(driver: &mut Driver, command: &Command, stayed: &mut BTreeMap<State, BTreeSet<String>>) {
    let mut replica = driver.queue.clone();
    driver.run(command);
    for effect in effect::unpack(driver.journal.packed.bytes()) {
        let effect = effect.unwrap();
        let Effect::Changed(id, change) = effect else {
            replica.apply(&effect).unwrap();
            continue;
        };
        let before = replica.result(replica.find(id).unwrap()).0;
        replica.apply(&effect).unwrap();
        let after = replica.find(id).map(|slot| replica.result(slot).0);
        if after != Some(before) || change == Change::Dropped {
            stayed.get_mut(&before).unwrap().remove(&id.to_string());
        }
    }
}

fn page(queue: &Queue, state: State, cursor: &str, count: usize) -> Page {
    queue.list(state, Cursor::parse(cursor.as_bytes()).unwrap(), count)
}

fn ids(queue: &Queue, page: &Page) -> Vec<String> {
    page.slots.iter().map(|&slot| queue.id(slot).to_string()).collect()
}

/// All pages of a queue that nobody changes. They must end.
fn quiet_listing(queue: &Queue, state: State, mut cursor: String, count: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = page(queue, state, &cursor, count);
        assert!(page.slots.len() <= count);
        pages.push(ids(queue, &page));
        // A listing in slot order looks at ten slots for each task it may list; a segment has 4096.
        assert!(pages.len() <= 2 + queue.len() / count + 4096 / (10 * count), "endless");
        if page.next == "0" {
            return pages;
        }
        cursor = page.next;
    }
}

/// Steps that make many equal instants and many moves: whatever an index may trip over.
fn crowded_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => step(),
        1 => (any::<bool>(), 0..6_u8).prop_map(|(at, id)| Step::Push {
            task: PushSpec { delay: if at { DelaySpec::At(200) } else { DelaySpec::For(0) }, ..plain() },
            id: Some(id),
            renew: true,
            floor: 0,
        }),
        1 => Just(Step::Claim { worker: 0, lease: Some(50), session: false }),
    ]
}

fn plain() -> PushSpec {
    PushSpec::plain(Vec::new())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_stays_is_listed(
        defaults in defaults(),
        before in prop::collection::vec(crowded_step(), 1..80),
        between in prop::collection::vec(prop::collection::vec(crowded_step(), 0..4), 1..40),
        count in 1..5_usize,
    ) {
        let mut driver = Driver::new(defaults);
        for step in &before {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
            }
        }
        let members = |queue: &Queue, state| listed(queue, state).into_iter().collect::<BTreeSet<_>>();
        let mut stayed: BTreeMap<State, _> = State::ALL.into_iter().map(|state| (state, members(&driver.queue, state))).collect();
        let mut cursors: BTreeMap<State, String> = State::ALL.into_iter().map(|state| (state, "0".to_owned())).collect();
        let mut seen: BTreeMap<State, BTreeSet<String>> = BTreeMap::new();
        for steps in between {
            for (&state, cursor) in &mut cursors {
                let page = page(&driver.queue, state, cursor, count);
                prop_assert!(page.slots.len() <= count);
                let ids = ids(&driver.queue, &page);
                prop_assert!(ids.iter().all(|id| members(&driver.queue, state).contains(id)));
                seen.entry(state).or_default().extend(ids);
                cursor.clone_from(&page.next);
            }
            cursors.retain(|state, cursor| {
                let ended = cursor == "0";
                if ended {
                    let missed: Vec<_> = stayed[state].difference(&seen[state]).collect();
                    assert!(missed.is_empty(), "{missed:?} of {state:?} are not listed");
                }
                !ended
            });
            driver.now = driver.now.after(Ms(1));
            for step in &steps {
                // A clock that steps back could make two stays begin in the same millisecond.
                if let (false, Some(command)) = (matches!(step, Step::Clock { back: 1.., .. }), driver.command(step)) {
                    run_and_watch(&mut driver, &command, &mut stayed);
                }
            }
        }
        for (state, cursor) in cursors {
            let rest = quiet_listing(&driver.queue, state, cursor, count);
            let seen = seen.entry(state).or_default();
            seen.extend(rest.into_iter().flatten());
            prop_assert!(stayed[&state].is_subset(seen), "{:?} of {:?} are not listed", stayed[&state].difference(seen), state);
        }
    }

    /// Of a quiet queue each task is listed once, in order.
    #[test]
    fn a_quiet_queue_is_listed_once((defaults, steps) in history(100), count in 1..5_usize) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
            }
        }
        for state in State::ALL {
            let pages = quiet_listing(&driver.queue, state, "0".to_owned(), count);
            prop_assert!(pages.iter().rev().skip(1).all(|page| page.len() == count));
            prop_assert_eq!(pages.concat(), listed(&driver.queue, state));
        }
    }

    /// Cursors come from clients, so they may say anything.
    #[test]
    fn any_cursor_is_answered((defaults, steps) in history(60), text in "(t:|s:)?[0-9]{0,3}(:[0-9a-z-]{0,6}){0,5}", count in 1..5_usize) {
        let mut driver = Driver::new(defaults);
        for step in &steps {
            if let Some(command) = driver.command(step) {
                driver.run(&command);
            }
        }
        if Cursor::parse(text.as_bytes()).is_some() {
            for state in State::ALL {
                quiet_listing(&driver.queue, state, text.clone(), count);
            }
        }
    }
}

fn push(driver: &mut Driver, task: PushSpec, id: Option<&str>) -> String {
    driver.run(&Command::Push { task, id: id.map(str::to_owned), renew: false, floor: MadeId(0) });
    driver.queue.id(driver.journal.events.last().unwrap().1).to_string()
}

fn claim(driver: &mut Driver) {
    driver.run(&Command::Claim { worker: "w".to_owned(), lease: None, session: None });
}

/// The cursor names the next task; here it leaves and comes back to its instant, behind one that no page has shown.
#[test]
fn a_task_that_comes_back_to_its_instant_hides_no_other() {
    let forever = Options { retain: Some(taskqueue::Retention::Forever), ..Options::default() };
    let mut driver = Driver::new(Defaults::default());
    for id in ["a", "b", "c"] {
        push(&mut driver, PushSpec { options: forever, ..plain() }, Some(id));
        driver.run(&Command::Cancel(id.to_owned()));
    }
    let first = page(&driver.queue, State::Canceled, "0", 1);
    assert_eq!(ids(&driver.queue, &first), ["a"]);
    driver.now = driver.now.after(Ms(1));
    driver.run(&Command::Retry("b".to_owned()));
    driver.run(&Command::Cancel("b".to_owned()));
    let rest = quiet_listing(&driver.queue, State::Canceled, first.next, 5).concat();
    assert!(rest.contains(&"c".to_owned()), "{rest:?}");
}

/// As above: a claim that has met its timeout is extended to the deadline it has.
#[test]
fn an_extension_to_the_same_deadline_hides_no_other() {
    let mut driver = Driver::new(Defaults { timeout: Some(Ms(50)), lease: Ms(50), ..Defaults::default() });
    for id in ["a", "b", "c"] {
        push(&mut driver, plain(), Some(id));
        claim(&mut driver);
    }
    let first = page(&driver.queue, State::Claimed, "0", 1);
    driver.now = driver.now.after(Ms(1));
    driver.run(&Command::Extend { id: "b".to_owned(), attempt: Some(1), lease: None, checkpoint: None });
    assert_eq!(quiet_listing(&driver.queue, State::Claimed, first.next, 5).concat(), ["b", "c"]);
}

/// An earlier deadline moves a task to before the cursor.
#[test]
fn a_shorter_lease_hides_nothing() {
    let mut driver = Driver::new(Defaults::default());
    for id in ["a", "b", "c"] {
        push(&mut driver, plain(), Some(id));
        claim(&mut driver);
        driver.now = driver.now.after(Ms(1));
    }
    let first = page(&driver.queue, State::Claimed, "0", 1);
    driver.run(&Command::Extend { id: "c".to_owned(), attempt: Some(1), lease: Some(Ms(1)), checkpoint: None });
    let rest = quiet_listing(&driver.queue, State::Claimed, first.next, 5).concat();
    assert!(["b", "c"].iter().all(|&id| rest.contains(&id.to_owned())), "{rest:?}");
}

/// Lists pages of one task, each from the same cursor and each from where the last one ended. One that looks at the whole queue would
/// take milliseconds, and all of them seconds.
fn assert_cheap(queue: &Queue, state: State, cursor: &str) {
    const PAGES: usize = 500;
    let (start, mut next) = (Instant::now(), cursor.to_owned());
    for _ in 0..PAGES {
        page(queue, state, cursor, 1);
        next = page(queue, state, &next, 1).next;
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{PAGES} pages of {} tasks took {took:?}", queue.len());
}

#[test]
fn a_page_of_a_long_queue_is_cheap() {
    const TASKS: usize = 60_000;
    let mut driver = Driver::new(Defaults::default());
    for _ in 0..TASKS {
        push(&mut driver, plain(), None);
        claim(&mut driver);
    }
    assert_cheap(&driver.queue, State::Claimed, "0");
    // All but the last lapse into an empty line; one more is pushed to its end; then the last comes back to its place before that.
    let last = listed(&driver.queue, State::Claimed).pop().unwrap();
    driver.now = driver.now.after(Ms(20_000));
    driver.run(&Command::Extend { id: last.clone(), attempt: None, lease: None, checkpoint: None });
    driver.now = driver.now.after(Ms(20_000));
    driver.run(&Command::Tick { budget: TASKS });
    push(&mut driver, plain(), None);
    driver.run(&Command::Release { id: last.clone(), attempt: None, delay: Ms(0) });
    assert_eq!(driver.queue.count(State::Ready), TASKS + 1);
    assert_cheap(&driver.queue, State::Ready, "0");
    let at_last = format!("t:0:{TASKS}:0:0:{last}");
    assert_eq!(ids(&driver.queue, &page(&driver.queue, State::Ready, "0", 1)), listed(&driver.queue, State::Ready)[..1]);
    assert_cheap(&driver.queue, State::Ready, &at_last);
    // The task at the cursor has left.
    assert_cheap(&driver.queue, State::Ready, "t:0:1000:0:0:gone");
    // One state is rare among many tasks of another.
    driver.run(&Command::Cancel(last));
    assert_cheap(&driver.queue, State::Canceled, "s:0");
}
