//! What follows the faults: everything comes to its end, and everybody hears of it.

use crate::batches::BATCHES;
use crate::readers::Told;
use crate::rules::ensure;
use crate::slots::PLANS;
use crate::support::{Answer, Command};
use crate::world::World;
use taskqueue::{Pause, Settings, State, UnixMs};

impl World {
    /// Faults end, workers are well and time passes: every task comes to its end, and every node to the same queue.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.tell(|| "peace".to_owned());
        (0..self.workers.len()).for_each(|worker| self.hang_up(worker));
        self.go_on()?;
        self.seal_all()?;
        self.let_slots_come()?;
        for _ in 0..2_000 {
            let node = &self.nodes[self.master];
            let (now, soonest) = (node.now(self.time_ms), node.queue.soonest());
            let open: usize =
                State::ALL.into_iter().filter(|state| !state.is_terminal()).map(|state| node.queue.count(state)).sum();
            if open == 0 {
                self.read_on()?;
                self.free_keys()?;
                self.read_all_events()?;
                return self.agree();
            }
            if soonest <= now {
                self.tick(1)?;
            } else if node.queue.has_ready() {
                let answer = self.say(&Command::Claim { worker: "well".to_owned(), lease: None, session: None })?;
                let Answer::Claimed(Some((id, _, attempt, _))) = answer else {
                    // A limit is in the way, or what was ready has expired.
                    let soonest = self.nodes[self.master].queue.soonest();
                    self.time_ms += if soonest == UnixMs::NEVER { 0 } else { soonest.since(now).0 };
                    continue;
                };
                let (attempt, result) = (Some(attempt), b"well".to_vec());
                self.say(&Command::Complete { id, attempt, result, retain: None })?;
            } else if soonest == UnixMs::NEVER {
                return Err(format!("{open} tasks have not ended, and nothing will happen to them"));
            } else {
                self.time_ms += soonest.since(now).0;
            }
        }
        Err("tasks do not come to their end".to_owned())
    }

    /// All nodes have the master's queue, also after a restart.
    fn agree(&mut self) -> Result<(), String> {
        for node in 0..self.nodes.len() {
            self.replicate(node, usize::MAX)?;
            self.nodes[node].sync();
            self.restart(node, true, 0)?;
        }
        Ok(())
    }

    /// Whatever rests goes on.
    fn go_on(&mut self) -> Result<(), String> {
        let settings = self.nodes[self.master].book().settings;
        if settings.pause == Pause::No {
            return Ok(());
        }
        self.say(&Command::Set(Settings { pause: Pause::No, paused_until: None, ..settings })).map(drop)
    }

    /// Batches get no more tasks, so that nobody waits for them for ever.
    fn seal_all(&mut self) -> Result<(), String> {
        for name in BATCHES {
            if self.nodes[self.master].book().batch(name).is_some() {
                self.say(&Command::Seal(name.to_owned()))?;
            }
        }
        Ok(())
    }

    /// Schedules push some tasks more, and are removed.
    fn let_slots_come(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            let node = &self.nodes[self.master];
            let wait = node.queue.next_slot().since(node.now(self.time_ms));
            self.time_ms += Some(wait.0).filter(|&ms| ms < 5_000).unwrap_or_default();
            self.fire(1_000, true)?;
        }
        PLANS.iter().try_for_each(|name| self.say(&Command::Unschedule((*name).to_owned())).map(drop))
    }

    /// Each key that is held has an end; but to forget the task frees it at once.
    fn free_keys(&mut self) -> Result<(), String> {
        let keys = self.nodes[self.master].book().keys;
        ensure(keys.is_none_for_ever(), "a key is held, and its task has ended")?;
        keys.holders().try_for_each(|id| self.say(&Command::Forget(id.to_owned())).map(drop))
    }

    /// Whoever reads is given all that is left.
    fn read_on(&mut self) -> Result<(), String> {
        for reader in 0..self.readers.len() {
            loop {
                match self.collect(reader, 2, false)? {
                    Told::Page { is_last: false, is_full: true } | Told::Lost(_) => {}
                    Told::Page { is_last: true, .. } | Told::Refused => break,
                    Told::Page { .. } => return Err("all has ended, and a reader is to wait for more".to_owned()),
                }
            }
        }
        Ok(())
    }
}
