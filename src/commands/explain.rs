//! `TASK.EXPLAIN queue id`

use crate::agenda;
use crate::args::Args;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;
use crate::transact::now;
use crate::value::QUEUE;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.explain",
    handler: handler(explain),
    flags: "readonly fast",
    arity: 3,
    summary: "Says why a task is not running: a word, and a sentence.",
    complexity: "O(N) for N tasks before it in line, of which at most 1,000 are counted",
    since: "0.1.0",
    tips: "nondeterministic_output",
    args: &[Arg::key("queue"), Arg::string("id")],
    access: Access::Read,
    acl: "read fast",
};

/// The word for what is not the queue's doing.
const WRITES_REFUSED: &str = "writes-refused";

fn explain(context: &Context, args: Argv<'_>) -> Result<(), Error> {
    let mut args = Args::new(args);
    let (queue, id) = (args.key()?, args.id()?);
    let key = context.open_read(queue, &QUEUE)?;
    let Some(explanation) = key.value()?.and_then(|value| Some(value.queue.explain(value.queue.find(id)?, now()))) else {
        context.null_array();
        return Ok(());
    };
    let (mut word, mut sentence) = (explanation.word(), explanation.to_string());
    let may_be_refused = explanation.has_no_obstacle() && agenda::is_master();
    // Asking the server calls a command of the key.
    drop(key);
    if may_be_refused && let Some(refusal) = agenda::refusal(context, queue) {
        word = WRITES_REFUSED;
        sentence =
            format!("the server takes no writes, so nothing is handed out and time stands still: {refusal}; else {sentence}");
    }
    context.array(2);
    context.bulk(word.as_bytes());
    context.bulk(sentence.as_bytes());
    Ok(())
}
