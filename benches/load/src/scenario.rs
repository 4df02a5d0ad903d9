//! A scenario: what is said to one kind of queue, in a file of `benches/scenarios/`.
//!
//! ```text
//! # comment
//! proto line                     beanstalkd's protocol; RESP without it
//! needs TASK.CALL                skipped where the server has no such command
//! init FLUSHALL                  once, before everything; --no-init leaves out what captures nothing
//! init SCRIPT LOAD @a.lua => sha
//! start worker CLAIM q BLOCK 0 => id@0     what each connection of that role says first
//! phase enqueue                  a phase of the cycle; `phase call caller` is for connections of that role
//!   PUSH q {payload} => id
//! extra delay                    a phase that only runs when it is named
//!   PUSH q {payload} AT {far}
//! ```
//!
//! A connection has as many slots as its pipeline is deep, each with the variables of one task. In a phase every slot sends the
//! phase's commands; `once CMD` is sent once for all slots. `{x}` is a variable, `{x/16}` its first 16 bytes, `@file` what the file
//! holds, and `{*x,y/16}` the variables of every slot in turn, each an argument. `=> x@0.1` keeps element 1 of element 0 of the
//! reply in `x`; `=> x@*.0` deals the elements out to the slots.

use std::fs;
use std::path::Path;

/// Variables that every scenario has.
pub(crate) const BUILT_IN: [&str; 8] = ["payload", "uid", "result", "far", "now", "P", "at", "until"];
pub(crate) const PAYLOAD: usize = 0;
pub(crate) const UID: usize = 1;
pub(crate) const RESULT: usize = 2;
pub(crate) const FAR: usize = 3;
pub(crate) const NOW: usize = 4;
pub(crate) const PIPELINE: usize = 5;
pub(crate) const AT: usize = 6;
pub(crate) const UNTIL: usize = 7;

/// A variable, and how many of its bytes are meant.
#[derive(Clone, Copy)]
pub(crate) struct Variable {
    pub(crate) index: usize,
    pub(crate) len_max: usize,
}

pub(crate) enum Piece {
    Literal(Vec<u8>),
    Variable(Variable),
}

pub(crate) enum Argument {
    One(Vec<Piece>),
    /// These variables of every slot in turn, each an argument.
    OfEverySlot(Vec<Variable>),
}

#[derive(Clone, Copy)]
pub(crate) enum Step {
    Element(usize),
    Every,
}

/// A part of a reply that is kept in a variable.
pub(crate) struct Capture {
    pub(crate) variable: usize,
    pub(crate) path: Vec<Step>,
}

pub(crate) struct Command {
    pub(crate) arguments: Vec<Argument>,
    pub(crate) captures: Vec<Capture>,
    pub(crate) is_once: bool,
    pub(crate) text: String,
}

pub(crate) struct Phase {
    pub(crate) name: String,
    /// Only connections of this role take part.
    pub(crate) role: Option<String>,
    pub(crate) is_in_cycle: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Default)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) is_line: bool,
    pub(crate) needs: Vec<String>,
    pub(crate) init: Vec<Command>,
    pub(crate) start: Vec<(String, Command)>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) variables: Vec<String>,
}

impl Scenario {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut scenario = Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            variables: BUILT_IN.iter().map(ToString::to_string).collect(),
            ..Self::default()
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            scenario.line(line, folder).map_err(|error| format!("{}: {line}: {error}", path.display()))?;
        }
        Ok(scenario)
    }

    pub(crate) fn phase(&self, name: &str) -> Result<&Phase, String> {
        self.phases.iter().find(|phase| phase.name == name).ok_or_else(|| format!("{} has no phase '{name}'", self.name))
    }

    /// Whether connections have parts to play, each its own.
    pub(crate) fn has_roles(&self) -> bool {
        self.phases.iter().any(|phase| phase.role.is_some())
    }

    fn line(&mut self, line: &str, folder: &Path) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "proto" => self.is_line = rest == "line",
            "needs" => self.needs.push(rest.to_owned()),
            "init" => {
                let command = self.command(rest, folder)?;
                self.init.push(command);
            }
            "start" => {
                let (role, text) = rest.split_once(' ').ok_or("start needs a role and a command")?;
                let command = self.command(text, folder)?;
                self.start.push((role.to_owned(), command));
            }
            "phase" | "extra" => {
                let mut words = rest.split_whitespace();
                self.phases.push(Phase {
                    name: words.next().ok_or("a phase needs a name")?.to_owned(),
                    role: words.next().map(ToOwned::to_owned),
                    is_in_cycle: word == "phase",
                    commands: Vec::new(),
                });
            }
            _ => {
                let command = self.command(line, folder)?;
                self.phases.last_mut().ok_or("a command before any phase")?.commands.push(command);
            }
        }
        Ok(())
    }

    fn command(&mut self, text: &str, folder: &Path) -> Result<Command, String> {
        let (said, kept) = text.split_once("=>").unwrap_or((text, ""));
        let (is_once, said) = match said.trim().strip_prefix("once ") {
            Some(said) => (true, said),
            None => (false, said.trim()),
        };
        let arguments = said.split_whitespace().map(|word| self.argument(word, folder)).collect::<Result<_, String>>()?;
        let captures = kept.split_whitespace().map(|word| self.capture(word)).collect::<Result<_, String>>()?;
        Ok(Command { arguments, captures, is_once, text: text.to_owned() })
    }

    fn argument(&mut self, word: &str, folder: &Path) -> Result<Argument, String> {
        if let Some(file) = word.strip_prefix('@') {
            let bytes = fs::read(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
            return Ok(Argument::One(vec![Piece::Literal(bytes)]));
        }
        if let Some(names) = word.strip_prefix("{*").and_then(|names| names.strip_suffix('}')) {
            return Ok(Argument::OfEverySlot(names.split(',').map(|name| self.variable(name)).collect::<Result<_, _>>()?));
        }
        let (mut pieces, mut rest) = (Vec::new(), word);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a brace is not closed")?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.into()));
            }
            pieces.push(Piece::Variable(self.variable(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.into()));
        }
        Ok(Argument::One(pieces))
    }

    fn variable(&mut self, text: &str) -> Result<Variable, String> {
        let (name, len_max) = text.split_once('/').map_or((text, Ok(usize::MAX)), |(name, len)| (name, len.parse()));
        Ok(Variable { index: self.index(name), len_max: len_max.map_err(|_| format!("no length: {text}"))? })
    }

    fn index(&mut self, name: &str) -> usize {
        self.variables.iter().position(|known| known == name).unwrap_or_else(|| {
            self.variables.push(name.to_owned());
            self.variables.len() - 1
        })
    }

    fn capture(&mut self, word: &str) -> Result<Capture, String> {
        let (name, path) = word.split_once('@').unwrap_or((word, ""));
        let step = |step: &str| match step {
            "*" => Ok(Step::Every),
            _ => step.parse().map(Step::Element).map_err(|_| format!("no path: {word}")),
        };
        let path = path.split('.').filter(|part| !part.is_empty()).map(step).collect::<Result<_, _>>()?;
        Ok(Capture { variable: self.index(name), path })
    }
}
