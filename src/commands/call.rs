//! `TASK.CALL queue payload [options of PUSH] [BLOCK ms]`

use crate::args::{Args, DURATION};
use crate::commands::pushing::{self, Pushing};
use crate::redis::command::{Access, Arg, CommandSpec, handler, join};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::value::QUEUE;
use crate::waiters::{self, EndsWish, Form, Wish};
use taskqueue::Ms;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.call",
    handler: handler(call),
    flags: "write deny-oom blocking",
    arity: -3,
    summary: "Adds a task, waits until it has ended, and answers its id, state and result or error.",
    complexity: "as TASK.PUSH",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &join::<{ 3 + pushing::ID_OPTIONS.len() + pushing::UNIQUE_OPTIONS.len() + pushing::OPTIONS.len() }>(&[
        &[Arg::key("queue"), Arg::string("payload").summary("Any bytes.")],
        pushing::ID_OPTIONS,
        pushing::UNIQUE_OPTIONS,
        pushing::OPTIONS,
        &[Arg::integer("block-ms").token("BLOCK").optional().summary("Wait at most so long; 0, the default: for ever.")],
    ]),
    access: Access::Update,
    acl: "write slow blocking",
};

fn call(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (name, payload) = (args.key()?, args.payload("payload")?);
    let (mut pushing, mut block) = (Pushing::default(), None);
    while let Some(word) = args.option() {
        if word.is("BLOCK") {
            args.set_duration(&mut block, &word, &DURATION)?;
        } else if !pushing.take_id(&mut args, &word)?
            && !pushing.take_unique(&mut args, &word)?
            && !pushing.take(&mut args, &word)?
        {
            return Err(word.unknown(SPEC.args));
        }
    }
    let Some(id) = pushing.run(context, name, payload)? else {
        context.null_array();
        return Ok(());
    };
    let key = context.open_read(name, &QUEUE)?;
    let queue = key.value()?.map(|value| &value.queue);
    let wish = EndsWish::new(Form::Call, &[id], queue);
    if wish.is_over() || !context.can_wait() {
        wish.reply(context, queue);
        return Ok(());
    }
    drop(key);
    waiters::wait(context, &[name], Wish::Ends(wish), block.unwrap_or(Ms(0)));
    Ok(())
}
