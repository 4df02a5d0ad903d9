//! Running a plan, and finding the shortest one that still fails.

use crate::bug::Bug;
use crate::plan::Plan;
use crate::world::{Counts, World};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// A panic in a run is a failure like any other: it is reported with it, not printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What is wrong with a run, if anything is.
pub(crate) fn failure(plan: &Plan, bug: Option<Bug>) -> Option<String> {
    outcome(plan, bug).err()
}

/// What happened in a run, or what is wrong with it.
pub(crate) fn outcome(plan: &Plan, bug: Option<Bug>) -> Result<Counts, String> {
    let mut world = World::new(plan, bug);
    run(&mut world, plan).map(|()| world.counts)
}

fn run(world: &mut World, plan: &Plan) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.live(plan)));
    QUIET.set(false);
    outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", said.unwrap_or("without a word")))
    })
}

/// Leaves out steps, in ever smaller pieces, as long as it still fails.
pub(crate) fn shrink(plan: &Plan, bug: Option<Bug>) -> Plan {
    let mut least = plan.clone();
    let mut size = least.steps.len().div_ceil(2);
    loop {
        let before = least.steps.len();
        let mut start = 0;
        while start < least.steps.len() {
            let mut fewer = least.clone();
            fewer.steps.drain(start..(start + size).min(least.steps.len()));
            if failure(&fewer, bug).is_some() {
                least = fewer;
            } else {
                start += size;
            }
        }
        if size == 1 && least.steps.len() == before {
            return least;
        }
        size = size.div_ceil(2);
    }
}

/// What happened, line by line, up to the failure.
pub(crate) fn report(seed: u64, plan: &Plan, bug: Option<Bug>) -> String {
    let mut world = World::new(plan, bug);
    world.told = Some(Vec::new());
    let outcome = run(&mut world, plan).err().unwrap_or_default();
    let history = world.told.unwrap_or_default().join("\n");
    format!("seed {seed} fails, also with these {} steps:\n{:?}\n{history}\n{outcome}\n", plan.steps.len(), plan.defaults)
}
