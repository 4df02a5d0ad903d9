//! Batches in the load: what was acknowledged of them, and what a reader was given by its cursor.
//!
//! A reader may see what would be lost with the master: it believes a page when a write of its own, which came after it, is where
//! it must be. Until then it keeps the cursor that it had.

use super::{Actor, History, PATIENCE, Records, What, payload};
use crate::support::{Value, link::Link};
use std::{thread, time::Duration, time::Instant};

/// Tasks of a batch.
const MEMBERS: usize = 4;
/// Of how many pushes one is a batch.
pub(super) const BATCH_EVERY: usize = 12;
/// Ends that a reader asks for at once.
const PAGE: usize = 3;
/// More than any batch has.
const ALL: usize = 1_000;

/// What is known of one batch.
#[derive(Default)]
pub(super) struct Batch {
    /// When a push into it, which makes it, was acknowledged first.
    made: Option<Instant>,
    /// When its seal was acknowledged.
    sealed: Option<Instant>,
    /// What its reader was given.
    pages: Vec<Page>,
}

struct Page {
    answered: Instant,
    next: String,
    ends: Vec<Value>,
    /// It said that no more will come.
    is_last: bool,
}

impl Batch {
    fn cursor(&self) -> String {
        self.pages.last().map_or_else(|| "0".into(), |page| page.next.clone())
    }

    fn is_read(&self) -> bool {
        self.pages.last().is_some_and(|page| page.is_last)
    }

    fn collected(&self) -> Vec<&Value> {
        self.pages.iter().flat_map(|page| &page.ends).collect()
    }

    pub(super) fn forgive_after(&mut self, instant: Instant) {
        self.pages.retain(|page| page.answered < instant);
        self.made = self.made.filter(|made| *made < instant);
        self.sealed = self.sealed.filter(|sealed| *sealed < instant);
    }
}

/// The batch that a task of the load is of, or waits for: its id begins with the name.
pub(super) fn batch_of(id: &str) -> &str {
    id.split_once('/').map_or(id, |(batch, _)| batch)
}

fn is_reduce(id: &str) -> bool {
    id.ends_with("/reduce")
}

/// Whether a reduce task runs also when a task of its batch has failed.
fn runs_anyway(batch: &str) -> bool {
    batch.bytes().map(usize::from).sum::<usize>().is_multiple_of(2)
}

fn page(reply: &Value, answered: Instant) -> Page {
    Page { answered, next: reply.at(0).text(), ends: reply.at(2).items().to_vec(), is_last: reply.at(1) == &Value::Int(0) }
}

impl Actor {
    /// Pushes a batch and a task that waits for it, and seals it.
    pub(super) fn produce_batch(&mut self) -> Option<()> {
        let number = self.count / BATCH_EVERY;
        self.count += 1;
        let batch = format!("{}-{}", self.name, self.count);
        self.history.records().batches.entry(batch.clone()).or_default();
        for n in 1..=MEMBERS {
            // The last seals it, or a command of its own does.
            let seals = n == MEMBERS && number.is_multiple_of(3);
            let id = format!("{batch}/{n}");
            self.push(&id, &format!("BATCH {batch} {}", if seals { "SEAL" } else { "" }))?;
            let now = Instant::now();
            let mut records = self.history.records();
            let facts = records.batches.entry(batch.clone()).or_default();
            facts.made.get_or_insert(now);
            if seals {
                facts.sealed = Some(now);
            }
            drop(records);
            if n == 1 + number % MEMBERS {
                let id = format!("{batch}/reduce");
                let on_fail = if runs_anyway(&batch) { "run" } else { "fail" };
                // What nobody says, but the queue.
                let end = (0, "failed", format!("dependency failed: {batch}"));
                self.history.records().said.entry(id.clone()).or_default().push(end);
                self.push(&id, &format!("AFTERBATCH {batch} ONFAIL {on_fail}"))?;
            }
        }
        if !number.is_multiple_of(3) {
            let total = self.seal(&batch)?;
            if total != i64::try_from(MEMBERS).expect("a count") {
                self.history.records().wrong.push(format!("{batch}: sealed with {total:?}"));
            }
        }
        Some(())
    }

    fn seal(&mut self, batch: &str) -> Option<Value> {
        let queue = self.history.queue_of(batch);
        let total = self.say(&format!("TASK.SEAL {queue} {batch}"))?;
        self.history.records().batches.entry(batch.to_owned()).or_default().sealed = Some(Instant::now());
        Some(total)
    }

    /// Reads on in some batch from where the last reader was, over as many servers as there were.
    pub(super) fn read(&mut self) -> Option<()> {
        self.turn += 1;
        let next = {
            let records = self.history.records();
            let open: Vec<_> = records.batches.iter().filter(|(_, facts)| facts.made.is_some() && !facts.is_read()).collect();
            (!open.is_empty()).then(|| {
                let (batch, facts) = open[self.turn % open.len()];
                (batch.clone(), facts.cursor(), facts.sealed.is_some())
            })
        };
        // A write, also for nothing new: a server that is no master any more would be read for ever.
        let Some((batch, cursor, is_sealed)) = next else {
            thread::sleep(Duration::from_millis(2));
            let queue = &self.history.queues[0];
            return self.say(&format!("HSET {queue}:cursors none 0")).map(drop);
        };
        let load = |name: &str| name.split('.').next().map(str::to_owned);
        if !is_sealed && load(&batch) != load(&self.name) {
            // Its producer has lost its server.
            self.seal(&batch)?;
        }
        let queue = self.history.queue_of(&batch).to_owned();
        let reply = self.say(&format!("TASK.COLLECT {queue} {batch} {cursor} COUNT {PAGE} BLOCK 5"))?;
        if reply.is_error() {
            // Also as STALE: the cursors that it keeps are where they must be.
            self.history.records().wrong.push(format!("{batch}: {cursor} is refused: {reply:?}"));
            return Some(());
        }
        let page = page(&reply, Instant::now());
        self.say(&format!("HSET {queue}:cursors {batch} {}", page.next))?;
        if !page.ends.is_empty() || page.is_last {
            self.history.records().batches.entry(batch).or_default().pages.push(page);
        }
        Some(())
    }

    /// Asserts that the batch is done of a reduce task that was claimed. No task of the load begins again: what is done stays so.
    pub(super) fn check_claim(&mut self, id: &str) -> Option<()> {
        if !is_reduce(id) {
            return Some(());
        }
        let batch = batch_of(id);
        let queue = self.history.queue_of(id).to_owned();
        let view = self.say(&format!("TASK.BATCH {queue} {batch}"))?;
        if let Some(wrong) = too_early(batch, &view) {
            self.history.records().wrong.push(wrong);
        }
        Some(())
    }
}

/// What is wrong with a claim of the task that waits for this batch.
fn too_early(batch: &str, view: &Value) -> Option<String> {
    let is_due = !view.is_nil()
        && view.field("done") == 1
        && (runs_anyway(batch) || view.field("completed").int() == view.field("total").int());
    (!is_due).then(|| format!("{batch}: who waits for it was claimed: {view:?}"))
}

/// What the server must hold of a batch: what it gives a new reader begins with what was collected, in that order, and all of it is
/// as the tasks are.
fn check_batch(name: &str, facts: &Batch, view: &Value, ends: &[Value], tasks: &[Value], wrong: &mut Vec<String>) {
    if view.is_nil() {
        if facts.made.is_some() {
            wrong.push(format!("{name}: the batch is lost"));
        }
        return;
    }
    if facts.sealed.is_some() && view.field("sealed") != 1 {
        wrong.push(format!("{name}: the seal is lost"));
    }
    let collected = facts.collected();
    if collected.len() > ends.len() || collected.iter().zip(ends).any(|(collected, end)| *collected != end) {
        wrong.push(format!("{name}: collected was {collected:?}, there is {ends:?}"));
    }
    for (end, task) in ends.iter().zip(tasks) {
        let data = if end.at(1) == "completed" { "result" } else { "error" };
        if task.is_nil() || task.field("state") != *end.at(1) || task.field(data) != *end.at(2) {
            wrong.push(format!("{name}: the end {end:?} is of {task:?}"));
        }
    }
}

impl History {
    /// Checks what a server or cluster holds of the batches.
    pub(super) fn check_batches(&self, records: &Records, link: &mut Link, wrong: &mut Vec<String>) {
        let lines = |command: &str, rest: &str| -> Vec<_> {
            records.batches.keys().map(|name| format!("{command} {} {name}{rest}", self.queue_of(name))).collect()
        };
        let views = link.run_each(&lines("TASK.BATCH", ""));
        let pages = link.run_each(&lines("TASK.COLLECT", &format!(" 0 COUNT {ALL}")));
        for (((name, facts), view), page) in records.batches.iter().zip(&views).zip(&pages) {
            let ends = if page.is_error() { &[][..] } else { page.at(2).items() };
            let queue = self.queue_of(name);
            let gets: Vec<_> = ends.iter().map(|end| format!("TASK.GET {queue} {}", end.at(0).text())).collect();
            check_batch(name, facts, view, ends, &link.run_each(&gets), wrong);
        }
    }

    /// Seals all batches, as their producers would have.
    pub(super) fn seal(&self, link: &mut Link) {
        let names: Vec<_> = self.records().batches.keys().cloned().collect();
        for name in names {
            let total = link.run(&format!("TASK.SEAL {} {name}", self.queue_of(&name)));
            assert!(!total.is_error(), "{name}: {total:?}");
            let mut records = self.records();
            let facts = records.batches.entry(name).or_default();
            facts.made.get_or_insert_with(Instant::now);
            facts.sealed.get_or_insert_with(Instant::now);
        }
    }

    /// Reads all batches to their ends. Each has been collected then, once, and nothing else.
    #[track_caller]
    pub(super) fn read_to_the_end(&self, link: &mut Link) {
        let mut records = self.records();
        let Records { batches, offered, facts: all, .. } = &mut *records;
        for (name, facts) in batches {
            let queue = self.queue_of(name);
            let until = Instant::now() + *PATIENCE;
            while !facts.is_read() {
                let reply = link.run(&format!("TASK.COLLECT {queue} {name} {} COUNT {PAGE}", facts.cursor()));
                assert!(!reply.is_error() && Instant::now() < until, "{name}: {reply:?}");
                facts.pages.push(page(&reply, Instant::now()));
            }
            let view = link.run(&format!("TASK.BATCH {queue} {name}"));
            assert_eq!(view.field("done"), 1, "{name}");
            let mut collected: Vec<_> = facts.collected().iter().map(|end| end.at(0).text()).collect();
            collected.sort();
            let members = (1..=MEMBERS).map(|n| format!("{name}/{n}")).filter(|id| offered.contains(id));
            let members: Vec<_> = members.filter(|id| !link.run(&format!("TASK.GET {queue} {id}")).is_nil()).collect();
            assert_eq!(collected, members, "{name}");
            assert_eq!(view.field("total").int(), i64::try_from(members.len()).expect("a count"), "{name}");
        }
        let pushed = all.iter().filter(|fact| matches!(fact.what, What::Pushed) && is_reduce(&fact.id)).count();
        assert!(pushed > 0, "no batch had a task that waits for it");
    }

    /// For the account: how many batches, and how many of their ends were collected.
    pub(super) fn collected(records: &Records) -> (usize, usize) {
        let ends = records.batches.values().flat_map(|facts| &facts.pages).map(|page| page.ends.len()).sum();
        (records.batches.len(), ends)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Page, check_batch, payload, too_early};
    use crate::support::{Server, Value};
    use std::time::Instant;

    /// A batch of two that have ended, and of which the reader was given these.
    fn complaints(collected: &[(&str, &str)], result: &str) -> Vec<String> {
        let server = Server::start();
        server.run_all(&[
            "TASK.MPUSH jobs 1 x BATCH other",
            &format!("TASK.PUSH jobs {} ID b/1 BATCH b", payload("b/1")),
            "TASK.PUSH jobs x ID b/2 BATCH b SEAL",
            "TASK.CLAIM jobs COUNT 3",
            "TASK.COMPLETE jobs b/1 one",
            &format!("TASK.COMPLETE jobs b/2 {result}"),
        ]);
        let ends = server.run("TASK.COLLECT jobs b 0").at(2).items().to_vec();
        let end = |(id, data): &(&str, &str)| Value::Array([*id, "completed", *data].map(|word| Value::Bulk(word.into())).into());
        let pages =
            vec![Page { answered: Instant::now(), next: "0".into(), ends: collected.iter().map(end).collect(), is_last: true }];
        let facts = Batch { made: Some(Instant::now()), sealed: Some(Instant::now()), pages };
        let tasks = ["b/1", "b/2"].map(|id| server.run(&format!("TASK.GET jobs {id}")));
        let mut wrong = Vec::new();
        check_batch("b", &facts, &server.run("TASK.BATCH jobs b"), &ends, &tasks, &mut wrong);
        check_batch("other", &facts, &Value::NullBulk, &[], &[], &mut wrong);
        assert_eq!(wrong.pop().as_deref(), Some("other: the batch is lost"));
        assert!(too_early("b", &server.run("TASK.BATCH jobs b")).is_none());
        assert!(too_early("other", &server.run("TASK.BATCH jobs other")).is_some());
        wrong
    }

    /// The checker finds ends that were given twice, left out, in another order, or with another result; and batches that are lost,
    /// and claims of who waits for one that is not done.
    #[test]
    fn the_checker_of_batches_bites() {
        let (one, two) = (("b/1", "one"), ("b/2", "two"));
        for right in [&[][..], &[one], &[one, two]] {
            assert!(complaints(right, "two").is_empty(), "{right:?}");
        }
        for wrong in [&[two][..], &[one, one], &[two, one], &[one, two, two], &[("b/1", "two")], &[one, ("b/2", "three")]] {
            assert_eq!(complaints(wrong, "two").len(), 1, "{wrong:?}");
        }
    }
}
