//! `TASK.FAIL queue id error [ATTEMPT n] [DELAY ms | DEAD] [NEXT [options of CLAIM]]`

use crate::args::{Args, DURATION, switch};
use crate::commands::claiming::{self, Claiming, refuse_repeat};
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::Env;
use std::hash::{BuildHasher, RandomState};
use taskqueue::op::{self, Next};
use taskqueue::{State, Txn};

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.fail",
    handler: handler(fail),
    flags: "write fast blocking",
    arity: -4,
    summary: "Reports that a try failed: the task is tried again after its backoff, or has failed.",
    complexity: "O(log N) for N tasks scheduled or kept",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[
        Arg::key("queue"),
        Arg::string("id"),
        Arg::string("error").summary("Why, for people: any bytes."),
        Arg::integer("attempt").token("ATTEMPT").optional().summary("The claim's number: refused if it was lost."),
        Arg::one_of(
            "next",
            &[
                Arg::integer("delay-ms").token("DELAY").summary("Instead of the backoff; 0: ready at once."),
                Arg::word("dead", "DEAD").summary("No more tries."),
            ],
        )
        .optional(),
        claiming::NEXT,
    ],
    access: Access::Update,
    acl: "write fast blocking",
};

fn fail(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id, error) = (args.key()?, args.id()?, args.payload("error")?);
    let (mut attempt, mut delay, mut dead, mut next_claim) = (None, None, false, None);
    while let Some(word) = args.option() {
        if word.is("ATTEMPT") {
            args.set_attempt(&mut attempt, &word)?;
        } else if word.is("DELAY") {
            args.set_duration(&mut delay, &word, &DURATION)?;
        } else if word.is("DEAD") {
            switch(&mut dead, &word)?;
        } else if let Some(claiming) = Claiming::parse_next(context, &mut args, &word)? {
            next_claim = Some(claiming);
        } else {
            return Err(word.unknown(SPEC.args));
        }
    }
    let next = match (delay, dead) {
        (Some(_), true) => return Err(Error::new("ERR", "syntax error: DELAY and DEAD do not go together")),
        (Some(delay), false) => Next::RetryAfter(delay),
        (None, true) => Next::Dead,
        (None, false) => Next::Retry,
    };
    let operation = |txn: &mut Txn<'_>, env: &Env| {
        let state = op::fail(txn, id, attempt, error, next, dice(), &env.defaults)?;
        refuse_repeat(context, txn.journal().events.is_empty())?;
        Ok(state)
    };
    claiming::answer(context, queue, next_claim.as_ref(), operation, |state| {
        context.simple(match state {
            State::Ready => c"ready",
            State::Scheduled => c"scheduled",
            _ => c"failed",
        });
    })
}

/// A random number for the jitter of a backoff. Each `RandomState` has keys of its own; jitter needs no more.
fn dice() -> u64 {
    RandomState::new().hash_one(0_u8)
}
