//! Panics on demand, to prove that [`super::guard`] stands wherever the server calls us. Compiled only for that test.

use super::command::{Access, Arg, CommandSpec, handler};
use super::error::Error;
use std::cell::RefCell;
use std::panic::Location;

thread_local! {
    /// The source file whose next callback panics, and how many are let pass before.
    static NEXT: RefCell<Option<(String, u32)>> = RefCell::default();
}

/// `TASK.FAULT key file`: the next callback guarded in this file panics, or the next [`point`] in it. The key only makes it routable.
pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.fault",
    handler: handler(|context, args| {
        let file = args.get(2).map(String::from_utf8_lossy).ok_or_else(|| Error::new("ERR", "which file?"))?;
        context.ok();
        // This command itself has one more guarded step to go.
        let passes = u32::from(file == "command.rs");
        NEXT.with_borrow_mut(|next| *next = Some((file.into_owned(), passes)));
        Ok(())
    }),
    flags: "readonly",
    arity: 3,
    summary: "For tests: makes a callback panic.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "",
    args: &[Arg::key("key"), Arg::string("file")],
    access: Access::Read,
    acl: "read dangerous",
};

/// The body of a callback, or a panic in its place.
#[track_caller]
pub(super) fn injected<R>(body: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let file = Location::caller().file();
    let strikes = NEXT.with_borrow_mut(|next| {
        let passes = next.as_mut().filter(|(of, _)| file.ends_with(of.as_str())).map(|(_, passes)| passes);
        match passes {
            Some(0) => next.take().is_some(),
            Some(passes) => {
                *passes -= 1;
                false
            }
            None => false,
        }
    });
    move || if strikes { strike(file) } else { body() }
}

/// A place in the middle of something, which may panic like a callback.
#[track_caller]
pub(crate) fn point() {
    injected(|| ())();
}

#[allow(clippy::panic, reason = "it is what this is for")]
fn strike(file: &str) -> ! {
    panic!("a panic that was asked for, in {file}")
}
