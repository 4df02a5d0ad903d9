//! Reading a command's arguments. Every one is checked before anything changes.

use crate::config;
use crate::redis::command::Arg;
use crate::redis::error::Error;
use crate::redis::string::{Argv, KeyName};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use taskqueue::{Ms, Options, Retention, TaskId, UnixMs, id};

/// Durations that may be zero, in milliseconds.
pub(crate) const DURATION: RangeInclusive<i64> = 0..=Ms::MAX.0.cast_signed();
/// Durations that may not.
pub(crate) const POSITIVE_DURATION: RangeInclusive<i64> = 1..=Ms::MAX.0.cast_signed();
/// How many are on a page, if COUNT does not say.
pub(crate) const PAGE_COUNT: usize = 10;
/// What errors say of limits.
pub(crate) const NO_LIMIT: &str = "; 0: no limit";
/// Counts of tasks.
pub(crate) const COUNT: RangeInclusive<i64> = 1..=10_000;

/// A walk along the arguments, the command's name being behind it.
pub(crate) struct Args<'a> {
    argv: Argv<'a>,
    next: usize,
}

impl<'a> Args<'a> {
    pub(crate) fn new(argv: Argv<'a>) -> Self {
        Self { argv, next: 1 }
    }

    /// The next argument as a key.
    pub(crate) fn key(&mut self) -> Result<KeyName<'a>, Error> {
        let name = self.argv.name(self.next).ok_or_else(too_few)?;
        self.next += 1;
        Ok(name)
    }

    /// The next argument, any bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.next_bytes().ok_or_else(too_few)
    }

    /// The next argument as a payload, a result or an error: any bytes, but not too many. `what` names it.
    pub(crate) fn payload(&mut self, what: &str) -> Result<&'a [u8], Error> {
        let (bytes, max) = (self.bytes()?, config::max_payload());
        if bytes.len() > max {
            return Err(Error::new("ERR", format!("{what} must be at most {max} bytes (task.max-payload)")));
        }
        Ok(bytes)
    }

    /// The next argument as a task's id.
    pub(crate) fn id(&mut self) -> Result<TaskId<'a>, Error> {
        Ok(TaskId::parse(self.bytes()?)?)
    }

    /// The next argument as a batch's name.
    pub(crate) fn batch(&mut self) -> Result<&'a str, Error> {
        Ok(id::parse_name("batch", self.bytes()?)?)
    }

    /// The next argument as an integer in `range`; `what` names it.
    pub(crate) fn integer(&mut self, what: impl Display, range: &RangeInclusive<i64>) -> Result<i64, Error> {
        self.integer_in(what, range, "")
    }

    /// The next argument as a duration; `what` names it.
    pub(crate) fn milliseconds(&mut self, what: impl Display, range: &RangeInclusive<i64>) -> Result<Ms, Error> {
        Ok(Ms(self.integer_in(what, range, ", in milliseconds")?.unsigned_abs()))
    }

    /// The next argument as an integer in `range`, of which an error says more: its unit, and what stands for something else.
    pub(crate) fn integer_in(
        &mut self,
        what: impl Display,
        range: &RangeInclusive<i64>,
        more: &'static str,
    ) -> Result<i64, Error> {
        let bytes = self.next_bytes().ok_or_else(|| Error::new("ERR", format!("syntax error: {what} needs a value")))?;
        parse_integer(bytes).filter(|number| range.contains(number)).ok_or_else(|| {
            Error::new("ERR", format!("{what} must be an integer from {} to {}{more}", range.start(), range.end()))
        })
    }

    /// The next argument as the count of what follows, `each` arguments a piece; `what` names it.
    pub(crate) fn count_of(&mut self, what: &str, each: usize) -> Result<usize, Error> {
        self.count_up_to(*COUNT.end(), what, each)
    }

    /// As [`Self::count_of`], with a limit of its own.
    pub(crate) fn count_up_to(&mut self, max: i64, what: &str, each: usize) -> Result<usize, Error> {
        let count = usize::try_from(self.integer(what, &(1..=max))?).unwrap_or(usize::MAX);
        if self.left() < count.saturating_mul(each) {
            return Err(Error::new("ERR", format!("syntax error: {what} is {count}, but fewer follow")));
        }
        Ok(count)
    }

    /// How many arguments are left.
    pub(crate) fn left(&self) -> usize {
        self.argv.len().saturating_sub(self.next)
    }

    /// The next argument, without going on.
    pub(crate) fn peek(&self) -> Option<&'a [u8]> {
        self.argv.get(self.next)
    }

    /// Goes past the next argument if it is this word, in any case.
    pub(crate) fn skip(&mut self, word: &str) -> bool {
        let is_there = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        self.next += usize::from(is_there);
        is_there
    }

    /// The next option's word, if there is one.
    pub(crate) fn option(&mut self) -> Option<Word<'a>> {
        self.next_bytes().map(Word)
    }

    /// The value of the option `word`, any bytes.
    pub(crate) fn value(&mut self, word: &Word<'_>) -> Result<&'a [u8], Error> {
        self.next_bytes().ok_or_else(|| Error::new("ERR", format!("syntax error: {word} needs a value")))
    }

    fn next_bytes(&mut self) -> Option<&'a [u8]> {
        let bytes = self.argv.get(self.next)?;
        self.next += 1;
        Some(bytes)
    }
}

/// Options that set one value each; a second time is an error.
impl Args<'_> {
    /// An integer in `range`.
    pub(crate) fn set_integer(
        &mut self,
        to: &mut Option<i64>,
        word: &Word<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Error> {
        let value = self.integer(word, range)?;
        set(to, word, value)
    }

    /// A duration in milliseconds.
    pub(crate) fn set_duration(
        &mut self,
        to: &mut Option<Ms>,
        word: &Word<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Error> {
        let value = self.milliseconds(word, range)?;
        set(to, word, value)
    }

    /// A duration that may be zero.
    pub(crate) fn duration(&mut self, word: &Word<'_>) -> Result<Ms, Error> {
        self.milliseconds(word, &DURATION)
    }

    /// A duration that may not.
    pub(crate) fn positive_duration(&mut self, word: &Word<'_>) -> Result<Ms, Error> {
        self.milliseconds(word, &POSITIVE_DURATION)
    }

    /// All that is left, where BLOCK is the only option.
    pub(crate) fn block(&mut self) -> Result<Option<Ms>, Error> {
        let mut block = None;
        while let Some(word) = self.option() {
            if !word.is("BLOCK") {
                return Err(word.none_of(&["BLOCK"]));
            }
            self.set_duration(&mut block, &word, &DURATION)?;
        }
        Ok(block)
    }

    /// All that is left, where JSON is the only option: whether it is said.
    pub(crate) fn json(&mut self) -> Result<bool, Error> {
        let mut json = false;
        while let Some(word) = self.option() {
            if !word.is("JSON") {
                return Err(word.none_of(&["JSON"]));
            }
            switch(&mut json, &word)?;
        }
        Ok(json)
    }

    /// All that is left, where COUNT and BLOCK are the options: how many are on a page, and how long to wait for them.
    pub(crate) fn count_and_block(&mut self) -> Result<(usize, Option<Ms>), Error> {
        let (mut count, mut block) = (None, None);
        while let Some(word) = self.option() {
            if word.is("COUNT") {
                self.set_count(&mut count, &word)?;
            } else if word.is("BLOCK") {
                self.set_duration(&mut block, &word, &DURATION)?;
            } else {
                return Err(word.none_of(&["COUNT", "BLOCK"]));
            }
        }
        Ok((count.unwrap_or(PAGE_COUNT), block))
    }

    /// All that is left, where COUNT and JSON are the options: how many are on a page, if that is said, and whether it is JSON.
    pub(crate) fn count_and_json(&mut self) -> Result<(Option<usize>, bool), Error> {
        let (mut count, mut json) = (None, false);
        while let Some(word) = self.option() {
            if word.is("COUNT") {
                self.set_count(&mut count, &word)?;
            } else if word.is("JSON") {
                switch(&mut json, &word)?;
            } else {
                return Err(word.none_of(&["COUNT", "JSON"]));
            }
        }
        Ok((count, json))
    }

    /// An instant in Unix milliseconds.
    pub(crate) fn set_instant(&mut self, to: &mut Option<UnixMs>, word: &Word<'_>) -> Result<(), Error> {
        let value = self.integer_in(word, &(0..=UnixMs::MAX.0.cast_signed()), ", in Unix milliseconds")?;
        set(to, word, UnixMs(value.unsigned_abs()))
    }

    /// A count of tasks.
    pub(crate) fn set_count(&mut self, to: &mut Option<usize>, word: &Word<'_>) -> Result<(), Error> {
        let value = self.integer(word, &COUNT)?;
        set(to, word, usize::try_from(value).unwrap_or(usize::MAX))
    }

    /// The number of a claim.
    pub(crate) fn set_attempt(&mut self, to: &mut Option<u32>, word: &Word<'_>) -> Result<(), Error> {
        let value = self.attempt(word)?;
        set(to, word, value)
    }

    /// The number of a claim, as the argument that `what` names.
    pub(crate) fn attempt(&mut self, what: impl Display) -> Result<u32, Error> {
        let value = self.integer(what, &(1..=i64::from(u32::MAX)))?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// A retention.
    pub(crate) fn set_retention(&mut self, to: &mut Option<Retention>, word: &Word<'_>) -> Result<(), Error> {
        let value = self.retention(word)?;
        set(to, word, value)
    }

    /// A retention: milliseconds, or -1 for ever.
    pub(crate) fn retention(&mut self, word: &Word<'_>) -> Result<Retention, Error> {
        Ok(config::retention(self.integer_in(word, &(-1..=*DURATION.end()), ", in milliseconds; -1: for ever")?))
    }

    /// How many tries a task may use up.
    pub(crate) fn attempts(&mut self, word: &Word<'_>) -> Result<u16, Error> {
        Ok(u16::try_from(self.integer_in(word, &(0..=i64::from(u16::MAX)), NO_LIMIT)?).unwrap_or(u16::MAX))
    }

    /// An option that a task can set for itself; false if `word` is none of them.
    pub(crate) fn set_task_option(&mut self, to: &mut Options, word: &Word<'_>) -> Result<bool, Error> {
        if word.is("ATTEMPTS") {
            let attempts = self.attempts(word)?;
            set(&mut to.attempts, word, attempts)?;
        } else if word.is("BACKOFF") {
            self.set_duration(&mut to.backoff, word, &DURATION)?;
        } else if word.is("LEASE") {
            self.set_duration(&mut to.lease, word, &POSITIVE_DURATION)?;
        } else if word.is("TIMEOUT") {
            self.set_duration(&mut to.timeout, word, &POSITIVE_DURATION)?;
        } else if word.is("RETAIN") {
            self.set_retention(&mut to.retain, word)?;
        } else if word.is("RETAINFAILED") {
            self.set_retention(&mut to.retain_failed, word)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Sets what was not set yet.
pub(crate) fn set<T>(to: &mut Option<T>, word: &Word<'_>, value: T) -> Result<(), Error> {
    if to.is_some() {
        return Err(Error::new("ERR", format!("syntax error: {word} is given more than once")));
    }
    *to = Some(value);
    Ok(())
}

/// Switches on what was off.
pub(crate) fn switch(to: &mut bool, word: &Word<'_>) -> Result<(), Error> {
    let mut once = to.then_some(());
    set(&mut once, word, ())?;
    *to = true;
    Ok(())
}

/// The word of an option, in any case.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a>(&'a [u8]);

impl Word<'_> {
    pub(crate) fn is(&self, word: &str) -> bool {
        self.0.eq_ignore_ascii_case(word.as_bytes())
    }

    /// The error for a word that is no option of a command with these arguments.
    pub(crate) fn unknown(&self, args: &'static [Arg]) -> Error {
        self.none_of(&Arg::options(args))
    }

    /// The error for a word that is none of these options. It may be a payload in the wrong place, which is not for logs, so it is named only if it
    /// looks like an option.
    pub(crate) fn none_of(&self, options: &[&str]) -> Error {
        const LONGEST: usize = 20;
        let looks_like_one = self.0.len() <= LONGEST && self.0.iter().all(u8::is_ascii_alphabetic);
        let what = if looks_like_one { self.to_string() } else { format!("of {} bytes", self.0.len()) };
        let known = match options {
            [] => "no options can be given here".to_owned(),
            [only] => format!("the only option is {only}"),
            options => format!("options are {}", options.join(", ")),
        };
        Error::new("ERR", format!("syntax error: unknown option {what}; {known}"))
    }
}

/// Errors name the word in capitals, shortened, whatever bytes it has.
impl Display for Word<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let shown = self.0.get(..SHOWN).unwrap_or(self.0).to_ascii_uppercase();
        write!(out, "{}", shown.escape_ascii())
    }
}

/// A decimal integer as Redis takes it: no plus sign, no leading zeros, no spaces.
fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = !digits.starts_with('+') && (digits == "0" || !digits.starts_with('0')) && text != "-0";
    canonical.then_some(number)
}

fn too_few() -> Error {
    Error::new("ERR", "syntax error: too few arguments")
}

/// A worker's name as it is given.
pub(crate) fn worker_name(bytes: &[u8]) -> Result<&str, Error> {
    Ok(id::parse_name("WORKER", bytes)?)
}
