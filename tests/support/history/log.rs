//! The log of a queue's events, read to its end, and what it must never tell: a second life of a task, more claims than the limits of
//! the queue allow, a group out of its order, a key with two holders, a slot twice.
//!
//! The load names its tasks `<line>:<number>`. The line is the task's group, or the key that it holds; the numbers of a group are in
//! the order of its pushes.

use crate::support::{Value, link::Link};
use std::collections::{BTreeMap, HashMap};

/// How many events the tests let a queue keep: more than there are.
pub(crate) const ALL: usize = 1_000_000;
const PAGE: usize = 10_000;

/// One event, as TASK.EVENTS tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) at_ms: i64,
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) attempt: i64,
    /// Empty: nobody.
    pub(crate) worker: String,
}

/// The rows of a page, and the cursor of the next.
#[track_caller]
pub(crate) fn page(reply: &Value) -> (String, Vec<Row>) {
    let text = |value: &Value| if value.is_nil() { String::new() } else { value.text() };
    let row = |row: &Value| {
        let [seq, at, event, id, attempt, worker] = row.items() else { panic!("{row:?}") };
        Row { seq: seq.int(), at_ms: at.int(), event: event.text(), id: text(id), attempt: attempt.int(), worker: text(worker) }
    };
    (reply.at(0).text(), reply.at(1).items().iter().map(row).collect())
}

/// All that a queue tells from a cursor on.
#[track_caller]
pub(crate) fn read_from(link: &mut Link, queue: &str, cursor: &str) -> Vec<Row> {
    let (mut cursor, mut all) = (cursor.to_owned(), Vec::new());
    loop {
        let (next, rows) = page(&link.run(&format!("TASK.EVENTS {queue} {cursor} COUNT {PAGE}")));
        if rows.is_empty() {
            return all;
        }
        cursor = next;
        all.extend(rows);
    }
}

/// What a task of the load stands in: its group, or its key.
pub(crate) fn line_of(id: &str) -> &str {
    id.split_once(':').map_or(id, |(line, _)| line)
}

fn number_of(id: &str) -> usize {
    id.split_once(':').and_then(|(_, number)| number.parse().ok()).expect("a task with a number")
}

/// How the tasks of a line are to follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it comes.
    Free,
    /// One after the other, in the order of their numbers: GROUPCONCURRENCY 1.
    Strict,
    /// One that has not ended: UNIQUE.
    Unique,
    /// One that has not ended, and one that follows it: UNIQUE with REPLACE.
    Followed,
}

/// What the queue was set to. None: no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// At most so many claims in any so many milliseconds.
    pub(crate) rate: Option<(usize, i64)>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) maxlen: Option<usize>,
    /// By the line.
    pub(crate) line: fn(&str) -> Line,
}

impl Rules {
    pub(crate) const NONE: Self = Self { rate: None, concurrency: None, maxlen: None, line: |_| Line::Free };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ready, or waiting for its time or for others.
    Pending,
    Claimed,
    Completed,
    Failed,
    Canceled,
    Expired,
}

impl State {
    fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Claimed)
    }
}

#[derive(Debug)]
struct Life {
    state: State,
    /// The seq of the push that made it.
    born: i64,
    attempt: i64,
    worker: String,
}

/// What a log tells of all tasks, up to one of its rows.
#[derive(Default)]
pub(crate) struct Lives {
    tasks: HashMap<String, Life>,
    /// The tasks of each line that have not ended.
    lines: BTreeMap<String, Vec<String>>,
    claimed: usize,
    open: usize,
    /// The most there were of both.
    pub(crate) claimed_max: usize,
    pub(crate) open_max: usize,
}

impl Lives {
    /// What the last row says of a task: its state, and its last attempt.
    pub(crate) fn end_of(&self, id: &str) -> Option<(&'static str, i64)> {
        let life = self.tasks.get(id)?;
        let state = match life.state {
            State::Pending => "pending",
            State::Claimed => "claimed",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Canceled => "canceled",
            State::Expired => "expired",
        };
        Some((state, life.attempt))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.tasks.keys()
    }

    /// Those that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Goes on by one row. What cannot follow on what was is wrong.
    fn hear(&mut self, row: &Row, rules: &Rules, wrong: &mut Vec<String>) {
        let before = self.tasks.get(&row.id).map(|life| life.state);
        let line = (rules.line)(line_of(&row.id));
        // A worker may answer for a claim that has lapsed, while nobody else has the task.
        let was_claimed = self.tasks.get(&row.id).is_some_and(|life| life.attempt > 0);
        let after = match (row.event.as_str(), before) {
            ("push", None) | ("ready", Some(State::Pending)) | ("lapse" | "release" | "retry", Some(State::Claimed)) => {
                Some(State::Pending)
            }
            ("push", Some(State::Pending)) if line == Line::Followed => before,
            ("release" | "retry", Some(State::Pending)) if was_claimed => before,
            ("claim", Some(State::Pending)) => Some(State::Claimed),
            ("complete", Some(State::Claimed)) => Some(State::Completed),
            ("complete", Some(State::Pending)) if was_claimed => Some(State::Completed),
            ("fail", Some(State::Claimed | State::Pending)) => Some(State::Failed),
            ("cancel", Some(State::Claimed | State::Pending)) => Some(State::Canceled),
            ("expire", Some(State::Pending)) => Some(State::Expired),
            ("drop", Some(state)) if !state.is_open() => None,
            _ => {
                wrong.push(format!("{row:?} of a task that is {before:?}"));
                return;
            }
        };
        if row.event == "push" {
            self.check_push(row, line, before.is_none(), wrong);
        }
        if row.event == "claim" {
            self.check_claim(row, line, wrong);
        } else if before == Some(State::Claimed) && row.worker != self.tasks[&row.id].worker {
            wrong.push(format!("{row:?} of a claim of {}", self.tasks[&row.id].worker));
        }
        if self.tasks.get(&row.id).is_some_and(|life| row.attempt != life.attempt + i64::from(row.event == "claim")) {
            wrong.push(format!("{row:?} after attempt {}", self.tasks[&row.id].attempt));
        }
        self.count(before, after);
        self.keep(row, after);
        if rules.concurrency.is_some_and(|most| self.claimed > most) {
            wrong.push(format!("{row:?}: {} are claimed", self.claimed));
        }
        if row.event == "push" && rules.maxlen.is_some_and(|most| self.open > most) {
            wrong.push(format!("{row:?}: {} have not ended", self.open));
        }
    }

    fn count(&mut self, before: Option<State>, after: Option<State>) {
        let is = |state: Option<State>, of: fn(State) -> bool| usize::from(state.is_some_and(of));
        let is_claimed = |state| state == State::Claimed;
        self.claimed = self.claimed + is(after, is_claimed) - is(before, is_claimed);
        self.open = self.open + is(after, State::is_open) - is(before, State::is_open);
        self.claimed_max = self.claimed_max.max(self.claimed);
        self.open_max = self.open_max.max(self.open);
    }

    fn keep(&mut self, row: &Row, after: Option<State>) {
        let others = self.lines.entry(line_of(&row.id).to_owned()).or_default();
        let was_open = others.contains(&row.id);
        match after {
            Some(state) if state.is_open() && !was_open => others.push(row.id.clone()),
            Some(state) if !state.is_open() => others.retain(|id| *id != row.id),
            _ => {}
        }
        let Some(state) = after else {
            self.tasks.remove(&row.id);
            return;
        };
        let life = self.tasks.entry(row.id.clone()).or_insert(Life {
            state,
            born: row.seq,
            attempt: row.attempt,
            worker: String::new(),
        });
        life.state = state;
        life.attempt = row.attempt;
        if row.event == "claim" {
            life.worker.clone_from(&row.worker);
        }
    }

    /// The others of its line that have not ended.
    fn others(&self, id: &str) -> impl Iterator<Item = (&String, &Life)> {
        let line = self.lines.get(line_of(id)).map_or(&[][..], Vec::as_slice);
        line.iter().filter(move |other| *other != id).map(|other| (other, &self.tasks[other]))
    }

    fn check_push(&self, row: &Row, line: Line, is_new: bool, wrong: &mut Vec<String>) {
        let most = match line {
            Line::Free | Line::Strict => return,
            Line::Unique => 0,
            Line::Followed => 1,
        };
        let others: Vec<_> = self.others(&row.id).map(|(id, _)| id).collect();
        if is_new && others.len() > most {
            wrong.push(format!("{row:?} while {others:?} have the key"));
        }
    }

    fn check_claim(&self, row: &Row, line: Line, wrong: &mut Vec<String>) {
        for (other, life) in self.others(&row.id) {
            let is_early = match line {
                Line::Free => false,
                Line::Strict => life.attempt > 0 || number_of(other) < number_of(&row.id),
                Line::Unique => true,
                Line::Followed => life.state == State::Claimed || life.born < self.tasks[&row.id].born,
            };
            if is_early {
                wrong.push(format!("{row:?} while {other} is {:?} at {}", life.state, life.attempt));
            }
        }
    }
}

/// What is wrong with a log, and how it ends.
pub(crate) fn check(rows: &[Row], rules: &Rules) -> (Lives, Vec<String>) {
    let (mut lives, mut wrong) = (Lives::default(), Vec::new());
    for (n, row) in rows.iter().enumerate() {
        if row.seq != i64::try_from(n + 1).expect("a count") {
            wrong.push(format!("{row:?} is row {}", n + 1));
        }
        lives.hear(row, rules, &mut wrong);
    }
    if let Some((most, window_ms)) = rules.rate {
        check_rate(rows, most, window_ms, &mut wrong);
    }
    (lives, wrong)
}

/// The claims of a log.
pub(crate) fn claims(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.event == "claim").collect()
}

fn check_rate(rows: &[Row], most: usize, window_ms: i64, wrong: &mut Vec<String>) {
    for pair in claims(rows).windows(most + 1) {
        let took_ms = pair[most].at_ms - pair[0].at_ms;
        if took_ms < window_ms {
            wrong.push(format!("{} claims within {took_ms} ms, to {:?}", most + 1, pair[most]));
        }
    }
}

/// The slots of a schedule that a log tells of, in its order.
pub(crate) fn slots(rows: &[Row], name: &str) -> Vec<i64> {
    let pushes = rows.iter().filter(|row| row.event == "push");
    let slots = pushes.filter_map(|row| row.id.strip_prefix(name)?.strip_prefix('@'));
    slots.map(|slot| slot.parse().expect("milliseconds")).collect()
}

/// What is wrong with the slots of a schedule: one comes again, or one before the last; or is left out, where each is to come.
pub(crate) fn check_slots(slots: &[i64], every_ms: i64, is_each: bool) -> Vec<String> {
    let is_right = |pair: &[i64]| {
        let step = pair[1] - pair[0];
        if is_each { step == every_ms } else { step > 0 && step % every_ms == 0 }
    };
    slots.windows(2).filter(|pair| !is_right(pair)).map(|pair| format!("slot {} after {}", pair[1], pair[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::{Line, Row, Rules, check, check_slots, slots};

    /// A log of these events, each `<ms> <event> <id> <attempt> <worker>`.
    fn log(lines: &[&str]) -> Vec<Row> {
        let row = |(n, line): (usize, &&str)| {
            let words: Vec<_> = line.split(' ').collect();
            let number = |word: &str| word.parse().expect("a number");
            Row {
                seq: i64::try_from(n + 1).expect("a count"),
                at_ms: number(words[0]),
                event: words[1].into(),
                id: words[2].into(),
                attempt: number(words[3]),
                worker: words.get(4).copied().unwrap_or_default().into(),
            }
        };
        lines.iter().enumerate().map(row).collect()
    }

    fn complaints(rules: Rules, lines: &[&str]) -> usize {
        let (_, wrong) = check(&log(lines), &rules);
        wrong.len()
    }

    /// The checker finds lives that no task can have: a second claim beside the first, an end after the end, an attempt left out, an end
    /// by another worker, a claim of nothing; and a row that is missing.
    #[test]
    fn the_checker_of_lives_bites() {
        let life = ["0 push a:1 0", "1 claim a:1 1 w", "2 retry a:1 1 w", "3 ready a:1 1", "4 claim a:1 2 v", "5 lapse a:1 2 v"];
        let and = |more: &[&'static str]| complaints(Rules::NONE, &[&life[..], more].concat());
        assert_eq!(and(&[]), 0);
        assert_eq!(and(&["6 complete a:1 2 v", "7 drop a:1 2", "8 push a:1 0"]), 0);
        assert_eq!(and(&["6 claim a:1 3 w", "7 claim a:1 4 w"]), 1);
        assert_eq!(and(&["6 claim a:1 4 w"]), 1);
        assert_eq!(and(&["6 claim a:1 3 w", "7 complete a:1 3 v"]), 1);
        assert_eq!(and(&["6 complete a:1 2 v", "7 complete a:1 2 v"]), 1);
        assert_eq!(and(&["6 complete a:1 2 v", "7 claim a:1 3 v"]), 1);
        assert_eq!(and(&["6 claim b:1 1 v"]), 1);
        assert_eq!(and(&["6 push a:1 0"]), 1);
        assert_eq!(and(&["6 drop a:1 2"]), 1);
        let mut gap = log(&life);
        gap[5].seq = 7;
        assert_eq!(check(&gap, &Rules::NONE).1.len(), 1);
    }

    /// The checker finds one claim too many in a window, at once, and open.
    #[test]
    fn the_checker_of_limits_bites() {
        let claims = ["0 push a:1 0", "0 push a:2 0", "0 push a:3 0", "5 claim a:1 1 w", "6 claim a:2 1 w", "15 claim a:3 1 w"];
        let with = |rate, concurrency, maxlen| complaints(Rules { rate, concurrency, maxlen, ..Rules::NONE }, &claims);
        assert_eq!(with(Some((2, 10)), Some(3), Some(3)), 0);
        assert_eq!(with(Some((2, 11)), None, None), 1);
        assert_eq!(with(Some((1, 2)), None, None), 1);
        assert_eq!(with(None, Some(2), None), 1);
        assert_eq!(with(None, None, Some(2)), 1);
    }

    /// The checker finds a task of a group that is claimed before the one before it has ended, whatever that waits for.
    #[test]
    fn the_checker_of_groups_bites() {
        let strict = Rules { line: |_| Line::Strict, ..Rules::NONE };
        let pushes = ["0 push a:1 0", "0 push a:2 0", "0 push b:1 0", "1 claim a:1 1 w", "1 claim b:1 1 v"];
        let and = |more: &[&'static str]| complaints(strict, &[&pushes[..], more].concat());
        assert_eq!(and(&["2 complete a:1 1 w", "3 claim a:2 1 w"]), 0);
        for before in ["2 release a:1 1 w", "2 lapse a:1 1 w", "2 retry a:1 1 w", "2 ready b:1 1"] {
            assert!(and(&[before, "3 claim a:2 1 w"]) >= 1, "{before}");
        }
        assert_eq!(complaints(strict, &["0 push a:1 0", "0 push a:2 0", "1 claim a:2 1 w"]), 1);
    }

    /// The checker finds a second holder of a key, a second follow-up, and one that is claimed beside its holder, or before it.
    #[test]
    fn the_checker_of_keys_bites() {
        let unique = Rules { line: |_| Line::Unique, ..Rules::NONE };
        assert_eq!(complaints(unique, &["0 push a:1 0", "1 claim a:1 1 w", "2 fail a:1 1 w", "3 push a:2 0"]), 0);
        assert_eq!(complaints(unique, &["0 push a:1 0", "1 push a:2 0"]), 1);
        assert_eq!(complaints(unique, &["0 push a:1 0", "1 push a:1 0"]), 1);
        let followed = Rules { line: |_| Line::Followed, ..Rules::NONE };
        let and = |more: &[&'static str]| {
            complaints(followed, &[&["0 push a:1 0", "1 push a:1 0", "1 claim a:1 1 w", "2 push a:2 0"], more].concat())
        };
        assert_eq!(and(&["3 complete a:1 1 w", "3 ready a:2 0", "4 claim a:2 1 w"]), 0);
        assert_eq!(and(&["3 push a:3 0"]), 1);
        assert_eq!(and(&["4 claim a:2 1 w"]), 1);
        assert_eq!(and(&["3 lapse a:1 1 w", "4 claim a:2 1 w"]), 1);
    }

    /// The checker finds a slot that comes twice, or after a later one, or not at all.
    #[test]
    fn the_checker_of_slots_bites() {
        let rows = log(&["0 push s@100 0", "0 push other@7 0", "0 push s@150 0", "9 claim s@150 1 w", "9 push s@250 0"]);
        assert_eq!(slots(&rows, "s"), [100, 150, 250]);
        assert_eq!(check_slots(&slots(&rows, "s"), 50, false).len(), 0);
        assert_eq!(check_slots(&slots(&rows, "s"), 50, true).len(), 1);
        for wrong in [&[100, 100][..], &[150, 100], &[100, 160]] {
            assert_eq!(check_slots(wrong, 50, false).len(), 1, "{wrong:?}");
        }
    }
}
