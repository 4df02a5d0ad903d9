//! How tasks are claimed: by TASK.CLAIM and MCLAIM, and by what stands after NEXT.

use crate::args::{Args, DURATION, POSITIVE_DURATION, Word, set, worker_name};
use crate::redis::command::Arg;
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::KeyName;
use crate::reply::{self, Frame};
use crate::transact::{Env, Missing, transact, transact_then};
use crate::waiters::{self, TasksForm, TasksWish, Wish};
use std::borrow::Cow;
use std::iter;
use taskqueue::op::{self, Claim};
use taskqueue::{Connection, Ms, Queue, Refusal, Slot, Txn, id};

/// The options, for COMMAND DOCS.
pub(super) const OPTIONS: &[Arg] = &[
    Arg::integer("count").token("COUNT").optional().summary("Answer an array of 1 to this many tasks."),
    Arg::string("worker").token("WORKER").optional().summary("Who works: shown by TASK.GET. Default: the connection's name."),
    Arg::integer("lease-ms").token("LEASE").optional().summary("Overrides the task's lease."),
    Arg::word("session", "SESSION")
        .optional()
        .summary("No lease ends while this connection is open; when it closes, the claim lapses."),
    Arg::integer("block-ms").token("BLOCK").optional().summary("Wait so long for a task; 0: for ever."),
];

/// NEXT and the options after it, for COMMAND DOCS.
pub(super) const NEXT: Arg =
    Arg::block("next", OPTIONS).token("NEXT").optional().summary("Then claim, and answer, as TASK.CLAIM with these options.");

/// What a claim says.
pub(super) struct Claiming<'a> {
    worker: Cow<'a, str>,
    count: Option<usize>,
    lease: Option<Ms>,
    session: Option<Connection>,
    block: Option<Ms>,
}

/// The tasks that were claimed, of which most often there is one.
struct Claims {
    first: Option<Slot>,
    more: Vec<Slot>,
}

impl<'a> Claiming<'a> {
    /// Reads the options, up to the last argument.
    pub(super) fn parse(context: &Context, args: &mut Args<'a>) -> Result<Self, Error> {
        Self::parse_at(context, args, "")
    }

    /// The error for another option says in which place it is none.
    fn parse_at(context: &Context, args: &mut Args<'a>, place: &str) -> Result<Self, Error> {
        let (mut worker, mut count, mut lease, mut session, mut block) = (None, None, None, None, None);
        while let Some(word) = args.option() {
            if word.is("COUNT") {
                args.set_count(&mut count, &word)?;
            } else if word.is("WORKER") {
                let name = worker_name(args.value(&word)?)?;
                set(&mut worker, &word, name)?;
            } else if word.is("LEASE") {
                args.set_duration(&mut lease, &word, &POSITIVE_DURATION)?;
            } else if word.is("SESSION") {
                set(&mut session, &word, session_of(context)?)?;
            } else if word.is("BLOCK") {
                args.set_duration(&mut block, &word, &DURATION)?;
            } else {
                return Err(word.unknown(OPTIONS).and(place));
            }
        }
        let worker = worker.map_or_else(|| default_worker(context).into(), Cow::Borrowed);
        Ok(Self { worker, count, lease, session, block })
    }

    /// NEXT and what follows it; None if `word` is something else.
    pub(super) fn parse_next(context: &Context, args: &mut Args<'a>, word: &Word<'_>) -> Result<Option<Self>, Error> {
        if word.is("NEXT") { Self::parse_at(context, args, " after NEXT").map(Some) } else { Ok(None) }
    }

    /// Claims, waits or answers nil.
    pub(super) fn run(&self, context: &Context, queue: KeyName<'_>) -> Result<(), Error> {
        let is_claimed = self.claim_and_reply(context, queue, Frame::Bare)?;
        if !is_claimed {
            self.wait_or_nil(context, &[queue], TasksForm::Bare);
        }
        Ok(())
    }

    /// False, and no reply, if there is no task.
    pub(super) fn claim_and_reply(&self, context: &Context, queue: KeyName<'_>, frame: Frame<'_>) -> Result<bool, Error> {
        // After those who wait already, if a limit has just let go.
        let claim = |(): &(), txn: &mut Txn<'_>, env: &Env| self.claim(txn, env);
        let reply = |(): &(), claims: &Claims, queue: &Queue| self.reply(context, claims, queue, frame);
        let claims = transact_then(context, queue, Missing::Leave, |_, _| Ok(()), claim, reply)?;
        Ok(claims.is_some_and(|((), claims)| claims.first.is_some()))
    }

    /// What the operation does, and then a claim, which is the reply, in this frame. With the answer of the operation: whether there was a
    /// task; if not, there is no reply.
    pub(super) fn claim_after<R>(
        &self,
        context: &Context,
        queue: KeyName<'_>,
        operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
        frame: impl for<'r> FnOnce(&'r R) -> Frame<'r>,
    ) -> Result<Option<(R, bool)>, Error> {
        let then = |_: &R, txn: &mut Txn<'_>, env: &Env| self.claim(txn, env);
        let reply = |answer: &R, claims: &Claims, queue: &Queue| self.reply(context, claims, queue, frame(answer));
        let done = transact_then(context, queue, Missing::Leave, operation, then, reply)?;
        Ok(done.map(|(answer, claims)| (answer, claims.first.is_some())))
    }

    fn claim(&self, txn: &mut Txn<'_>, env: &Env) -> Claims {
        let mut claim = || op::claim(txn, &self.as_claim(), &env.defaults);
        let first = claim();
        let count = if first.is_some() { self.count.unwrap_or(1) } else { 0 };
        Claims { first, more: (1..count).map_while(|_| claim()).collect() }
    }

    fn reply(&self, context: &Context, claims: &Claims, queue: &Queue, frame: Frame<'_>) {
        let Some(first) = claims.first else { return };
        frame.open(context);
        if self.count.is_some() {
            context.array(1 + claims.more.len());
        }
        for &slot in iter::once(&first).chain(&claims.more) {
            reply::claimed_task(context, &queue.claim_view(slot));
        }
    }

    /// There is no task: waits for one, if asked to and able to, else answers nil.
    pub(super) fn wait_or_nil(&self, context: &Context, queues: &[KeyName<'_>], form: TasksForm) {
        if let Some(block) = self.block
            && context.can_wait()
        {
            let wish = TasksWish::new(&self.as_claim(), self.count, form);
            waiters::wait(context, queues, Wish::Tasks(wish), block);
        } else {
            form.frame(None).nil(context);
        }
    }

    fn as_claim(&self) -> Claim<'_> {
        Claim { worker: &self.worker, lease: self.lease, session: self.session }
    }
}

/// What a worker says of its claim, by `operation`, and then of the next one: COMPLETE, FAIL and RELEASE. Without `next`, what the operation answers
/// goes to `reply`; with it, the claim is the reply.
pub(super) fn answer<R>(
    context: &Context,
    queue: KeyName<'_>,
    next: Option<&Claiming<'_>>,
    operation: impl FnOnce(&mut Txn<'_>, &Env) -> Result<R, Error>,
    reply: impl FnOnce(R),
) -> Result<(), Error> {
    let Some(next) = next else {
        reply(transact(context, queue, Missing::Leave, operation)?.ok_or(Refusal::NoTask)?);
        return Ok(());
    };
    let (_, is_claimed) = next.claim_after(context, queue, operation, |_| Frame::Bare)?.ok_or(Refusal::NoTask)?;
    if !is_claimed {
        next.wait_or_nil(context, &[queue], TasksForm::Bare);
    }
    Ok(())
}

/// A script that answers first and then writes must not write twice: it is stopped by an error.
pub(super) fn refuse_repeat(context: &Context, is_repeat: bool) -> Result<(), Error> {
    let error = || Error::new("DONE", "this claim has been answered so already");
    if is_repeat && context.flags().in_script() { Err(error()) } else { Ok(()) }
}

/// The connection that a claim is to last as long as.
fn session_of(context: &Context) -> Result<Connection, Error> {
    let no_connection =
        || Error::new("ERR", "SESSION needs a client's own connection: not a script, a function or another module");
    context.connection().map(Connection).ok_or_else(no_connection)
}

/// The connection's name, if it is fit for one, else `client-<id>`.
fn default_worker(context: &Context) -> String {
    let name = context.client_name();
    let name = name.as_ref().and_then(|name| id::parse_name("WORKER", name.bytes()).ok());
    // Put together without `fmt`, as this is done for most claims.
    name.map_or_else(|| ["client-", itoa::Buffer::new().format(context.client_id())].concat(), Into::into)
}
