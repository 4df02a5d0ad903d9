//! `TASK.HELP`

use crate::COMMANDS;
use crate::redis::command::{Access, Arg, CommandSpec, handler};
use crate::redis::context::Context;
use crate::redis::error::Error;
use crate::redis::string::Argv;

pub(crate) const SPEC: CommandSpec = CommandSpec {
    name: "task.help",
    handler: handler(help),
    flags: "readonly fast",
    arity: 1,
    summary: "Shows the syntax of all commands, and what each does.",
    complexity: "O(1)",
    since: "0.1.0",
    tips: "",
    args: &[],
    access: Access::None,
    acl: "read fast",
};

#[allow(clippy::unnecessary_wraps, reason = "as all commands")]
fn help(context: &Context, _: Argv<'_>) -> Result<(), Error> {
    let lines: Vec<String> = COMMANDS.iter().flat_map(lines).collect();
    context.array(lines.len());
    for line in lines {
        context.bulk(line.as_bytes());
    }
    Ok(())
}

/// The syntax, and below it what it does, as the server's own HELP has it.
fn lines(spec: &CommandSpec) -> [String; 2] {
    let words = [spec.name.to_uppercase()].into_iter().chain(spec.args.iter().map(Arg::syntax));
    [words.collect::<Vec<_>>().join(" "), format!("    {}", spec.summary)]
}
