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

const IDS: Arg = Arg::string("id").multiple().summary("Up to 1,000.");
const COUNT: Arg = Arg::integer("count").token("COUNT").optional();
const BATCH: Arg = Arg::string("batch").token("BATCH");
const ALL: Arg = Arg::block("all", &[Arg::word("all", "ALL"), COUNT])
    .summary("At most COUNT, default 1,000, oldest first: say it again until it answers 0.");

/// The arguments, for COMMAND DOCS.
pub(super) const ARGS: &[Arg] = &[
    Arg::key("queue"),
    Arg::one_of("tasks", &[IDS, Arg::block("batch", &[BATCH, COUNT]).summary("The tasks of a batch; COUNT as with ALL."), ALL]),
];
/// Those of a command that takes a batch as a whole.
pub(super) const ARGS_WHOLE_BATCH: &[Arg] =
    &[Arg::key("queue"), Arg::one_of("tasks", &[IDS, BATCH.summary("All tasks of a batch, and the batch."), ALL])];

/// What a command does to tasks.
pub(super) struct Verb {
    /// To the task of an id. Whether it did something.
    pub(super) one: fn(&mut Txn<'_>, TaskId<'_>, &Defaults) -> bool,
    /// To as many as that. How many there were.
    pub(super) all: fn(&mut Txn<'_>, usize, &Defaults) -> usize,
    /// To those of a batch. How many there were.
    pub(super) batch: OfBatch,
}

/// What a command does to the tasks of a batch.
pub(super) enum OfBatch {
    /// To as many as that.
    Some(fn(&mut Txn<'_>, &str, usize, &Defaults) -> usize),
    /// To all of them, and the batch.
    All(fn(&mut Txn<'_>, &str) -> usize),
}

impl OfBatch {
    /// What COUNT goes with, beside ALL.
    const fn or_batch(&self) -> &'static str {
        match self {
            Self::Some(_) => " or BATCH",
            Self::All(_) => "",
        }
    }
}

enum Selection<'a> {
    Ids(Vec<TaskId<'a>>),
    All(usize),
    SomeOfBatch(&'a str, usize, fn(&mut Txn<'_>, &str, usize, &Defaults) -> usize),
    Batch(&'a str, fn(&mut Txn<'_>, &str) -> usize),
}

/// Does it, and answers how many tasks it was done to.
pub(super) fn run(context: &Context, args: Argv<'_>, verb: &Verb) -> Result<(), Error> {
    let mut args = Args::new(args);
    let queue = args.key()?;
    let selection = parse(&mut args, verb)?;
    let count = transact(context, queue, Missing::Leave, |txn, env| {
        Ok(match selection {
            Selection::Ids(ids) => ids.into_iter().filter(|&id| (verb.one)(txn, id, &env.defaults)).count(),
            Selection::All(count) => (verb.all)(txn, count, &env.defaults),
            Selection::SomeOfBatch(name, count, act) => act(txn, name, count, &env.defaults),
            Selection::Batch(name, act) => act(txn, name),
        })
    })?;
    context.count(count.unwrap_or(0));
    Ok(())
}

fn parse<'a>(args: &mut Args<'a>, verb: &Verb) -> Result<Selection<'a>, Error> {
    if args.skip("ALL") {
        return Ok(Selection::All(parse_count(args)?));
    }
    if args.skip("BATCH") {
        let name = args.batch()?;
        return match verb.batch {
            OfBatch::Some(act) => Ok(Selection::SomeOfBatch(name, parse_count(args)?, act)),
            OfBatch::All(act) => match args.option() {
                None => Ok(Selection::Batch(name, act)),
                Some(word) if word.is("COUNT") => {
                    Err(Error::new("ERR", "syntax error: COUNT goes with ALL, as a batch is forgotten whole"))
                }
                Some(word) => Err(word.none_of(&[])),
            },
        };
    }
    if args.left() > IDS_MAX {
        return Err(Error::new("ERR", format!("at most {IDS_MAX} ids can be given")));
    }
    let ids = (0..args.left()).map(|_| args.id()).collect::<Result<Vec<_>, _>>()?;
    if let [TaskId::Named(word), TaskId::Named(number)] = ids[..]
        && word.eq_ignore_ascii_case("COUNT")
        && number.parse::<i64>().is_ok()
    {
        // ALL was forgotten: as ids they would be answered 0, as if nothing were left.
        return Err(Error::new("ERR", format!("syntax error: COUNT goes with ALL{}", verb.batch.or_batch())));
    }
    Ok(Selection::Ids(ids))
}

fn parse_count(args: &mut Args<'_>) -> Result<usize, Error> {
    let mut count = None;
    while let Some(word) = args.option() {
        if !word.is("COUNT") {
            return Err(word.none_of(&["COUNT"]));
        }
        args.set_count(&mut count, &word)?;
    }
    Ok(count.unwrap_or(COUNT_DEFAULT))
}
