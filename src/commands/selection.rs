//! `id [id …] | BATCH name | ALL [COUNT n]`: which tasks CANCEL, FORGET and RETRY mean.

use crate::args::Args;
use crate::redis::command::Arg;
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::{Missing, transact};
use taskqueue::{Defaults, TaskId, Txn};

/// Most ids that one call may name.
const IDS_MAX: usize = 1_000;
/// Tasks that one call with ALL or BATCH means, if it does not say.
const COUNT_DEFAULT: usize = 1_000;

/// The arguments, for COMMAND DOCS.
pub(super) const ARGS: &[Arg] = &[
    Arg::key("queue"),
    Arg::one_of(
        "tasks",
        &[
            Arg::string("id").multiple().summary("Up to 1,000."),
            Arg::block("batch", &[Arg::string("batch").token("BATCH"), Arg::integer("count").token("COUNT").optional()])
                .summary("The tasks of a batch; COUNT as with ALL."),
            Arg::block("all", &[Arg::word("all", "ALL"), Arg::integer("count").token("COUNT").optional()])
                .summary("At most COUNT, default 1,000, oldest first: say it again until it answers 0."),
        ],
    ),
];

/// What a command does to tasks.
pub(super) struct Verb {
    /// To the task of an id. Whether it did something.
    pub(super) one: fn(&mut Txn<'_>, TaskId<'_>, &Defaults) -> bool,
    /// To as many as that. How many there were.
    pub(super) all: fn(&mut Txn<'_>, usize, &Defaults) -> usize,
    /// To as many of a batch. How many there were.
    pub(super) batch: fn(&mut Txn<'_>, &str, usize, &Defaults) -> usize,
}

enum Selection<'a> {
    Ids(Vec<TaskId<'a>>),
    All(usize),
    Batch(&'a str, usize),
}

/// Does it, and answers how many tasks it was done to.
pub(super) fn run(context: &Context, args: Argv<'_>, verb: &Verb) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let selection = parse(&mut args)?;
    let count = transact(context, queue, Missing::Leave, |txn, env| {
        Ok(match selection {
            Selection::Ids(ids) => ids.into_iter().filter(|&id| (verb.one)(txn, id, &env.defaults)).count(),
            Selection::All(count) => (verb.all)(txn, count, &env.defaults),
            Selection::Batch(name, count) => (verb.batch)(txn, name, count, &env.defaults),
        })
    })?;
    context.count(count.unwrap_or(0));
    Ok(())
}

fn parse<'a>(args: &mut Args<'a>) -> Result<Selection<'a>, Error> {
    if args.skip("ALL") {
        return Ok(Selection::All(parse_count(args)?));
    }
    if args.skip("BATCH") {
        return Ok(Selection::Batch(args.batch()?, parse_count(args)?));
    }
    if args.left() > IDS_MAX {
        return Err(Error::new("ERR", format!("at most {IDS_MAX} ids can be given")));
    }
    let ids = (0..args.left()).map(|_| args.id()).collect::<Result<_, _>>()?;
    Ok(Selection::Ids(ids))
}

fn parse_count(args: &mut Args<'_>) -> Result<usize, Error> {
    let mut count = None;
    while let Some(word) = args.option() {
        if !word.is("COUNT") {
            return Err(word.unknown());
        }
        args.set_count(&mut count, &word)?;
    }
    Ok(count.unwrap_or(COUNT_DEFAULT))
}
