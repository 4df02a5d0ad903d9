//! What a queue sets for itself: how many tasks it takes, gives out and keeps, how often, and whether it is paused.

use crate::book::{Book, Fact, Known, Said};
use crate::node::Entry;
use crate::rules::ensure;
use crate::support::{Answer, Command, task_id};
use std::rc::Rc;
use taskqueue::{Defaults, Options, Pause, Queue, Rate, Refusal, Settings, State, UnixMs};

/// A task and its id.
type Named = (Rc<str>, Rc<Known>);

/// One thing that SET says.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Options(Options),
    Rate(Option<Rate>),
    Concurrency(u32),
    GroupConcurrency(u32),
    MaxLen(u32),
    RetainMax(u32),
    FailedMax(u32),
    Events(u32),
    /// With FOR, how long.
    Pause(Pause, Option<u64>),
}

impl Setting {
    pub(crate) fn change(&self, settings: &mut Settings, now: UnixMs) {
        match *self {
            Self::Options(options) => settings.options = options,
            Self::Rate(rate) => settings.rate = rate,
            Self::Concurrency(most) => settings.concurrency = most,
            Self::GroupConcurrency(most) => settings.group_concurrency = most,
            Self::MaxLen(most) => settings.max_len = most,
            Self::RetainMax(most) => settings.retain_max = most,
            Self::FailedMax(most) => settings.failed_max = most,
            Self::Events(most) => settings.events = most,
            Self::Pause(pause, ms) => {
                settings.pause = pause;
                settings.paused_until = ms.filter(|_| pause != Pause::No).map(|ms| UnixMs(now.0 + ms));
            }
        }
    }
}

fn rests(settings: &Settings, pause: Pause, now: UnixMs) -> bool {
    let is_over = settings.paused_until.is_some_and(|until| until <= now);
    (settings.pause == pause || settings.pause == Pause::All) && !is_over
}

impl Said<'_> {
    /// What holds for a task with these options of its own.
    pub(crate) fn settings(&self, options: &Options) -> Defaults {
        self.defaults.with(&self.own).with(options)
    }

    /// The same, over the usual defaults.
    pub(crate) fn shown(&self, options: &Options) -> Defaults {
        Defaults::default().with(&self.own).with(options)
    }
}

impl Book {
    /// What holds for tasks that say nothing themselves.
    pub(crate) fn defaults(&self, server: &Defaults) -> Defaults {
        server.with(&self.settings.options)
    }

    fn of_state(&self, state: State) -> impl Iterator<Item = &Known> {
        self.tasks.values().map(|known| &**known).filter(move |known| known.seen.state == state)
    }

    /// Why so many tasks more cannot come.
    pub(crate) fn refuses_more(&self, count: usize, now: UnixMs) -> Option<Refusal> {
        let max = self.settings.max_len;
        let open = self.tasks.values().filter(|known| !known.seen.state.is_terminal()).count();
        if rests(&self.settings, Pause::In, now) {
            return Some(Refusal::Paused);
        }
        (max > 0 && open + count > max as usize).then_some(Refusal::MaxLen { max })
    }

    /// Whether the settings stand in the way of any claim.
    pub(crate) fn gives_nothing(&self, now: UnixMs) -> bool {
        let Settings { concurrency, rate, .. } = self.settings;
        // One of the future counts as of now.
        let counts = |rate: Rate| self.starts.iter().filter(|start| start.after(rate.window) > now).count();
        rests(&self.settings, Pause::Out, now)
            || (concurrency > 0 && self.of_state(State::Claimed).count() >= concurrency as usize)
            || rate.is_some_and(|rate| counts(rate) >= rate.claims as usize)
    }

    /// Takes note of what a command means to the settings and to what they need to know. Answers whether time ended a pause.
    pub(crate) fn note_settings(&mut self, said: &Said<'_>) -> bool {
        let now = said.now;
        let mut has_ended = false;
        match (said.command, said.answer) {
            (Command::Set(settings), _) => {
                if settings.options != self.settings.options {
                    self.tasks.values_mut().for_each(|known| Rc::make_mut(known).live_with(said));
                }
                self.settings = *settings;
                self.log.begin(settings.events, now);
                if settings.rate.is_none() {
                    self.starts.clear();
                }
            }
            (Command::Claim { .. }, answer) => {
                self.rewind_starts(now);
                if matches!(answer, Answer::Claimed(Some(_))) {
                    self.note_start(now);
                }
            }
            (Command::Tick { .. }, Answer::Left(_)) => {
                self.rewind_starts(now);
                has_ended = self.settings.paused_until.is_some_and(|until| until <= now);
                if has_ended {
                    (self.settings.pause, self.settings.paused_until) = (Pause::No, None);
                }
            }
            _ => {}
        }
        has_ended
    }

    fn note_start(&mut self, now: UnixMs) {
        let Some(rate) = self.settings.rate else { return };
        self.starts.push(now);
        // What is over stays as far as a clock that steps back could make it count again.
        while self.starts.len() > rate.claims as usize && self.starts[0].after(rate.window) <= now {
            self.starts.remove(0);
        }
    }

    /// Claims of the future count as of now, as the clock has stepped back.
    fn rewind_starts(&mut self, now: UnixMs) {
        self.starts.iter_mut().for_each(|start| *start = now.min(*start));
    }

    /// How many more tasks are kept than may be, and which may go.
    fn excess(&self, state: State, max: u32) -> (usize, Vec<Named>) {
        let kept = || self.tasks.iter().filter(|(_, known)| known.seen.state == state && known.batch.is_none());
        let excess = if max == 0 { 0 } else { kept().count().saturating_sub(max as usize) };
        let needed = if excess > 0 { self.needed() } else { Vec::new() };
        let may_go = kept().filter(|(_, known)| excess > 0 && !needed.contains(&known.born));
        (excess, may_go.map(|(id, known)| (id.clone(), known.clone())).collect())
    }

    const fn kept_at_most(&self) -> [(State, u32); 2] {
        [(State::Completed, self.settings.retain_max), (State::Failed, self.settings.failed_max)]
    }

    /// Whether the settings have something to do.
    pub(crate) fn has_settings_due(&self, now: UnixMs) -> bool {
        self.settings.paused_until.is_some_and(|until| until <= now)
            || self.kept_at_most().into_iter().any(|(state, max)| !self.excess(state, max).1.is_empty())
    }

    /// Takes note of tasks that left the queue because more were kept than may be. Batches keep theirs, and those go first that would go
    /// first anyway, but for those that others depend on.
    pub(crate) fn note_excess(&mut self, queue: &Queue, now: UnixMs) -> Result<(), String> {
        for (state, max) in self.kept_at_most() {
            let (excess, may_go) = self.excess(state, max);
            if excess == 0 {
                continue;
            }
            let (stay, gone): (Vec<_>, Vec<_>) = may_go.iter().partition(|(id, _)| queue.find(task_id(id)).is_some());
            ensure(gone.len() <= excess, "more went than had to")?;
            ensure(gone.len() == excess || stay.is_empty(), "more are kept than may be")?;
            let when = |(_, known): &&Named| known.seen.drop_at.unwrap_or(UnixMs::NEVER);
            let is_first = gone.iter().map(when).max() <= stay.iter().map(when).min().or(Some(UnixMs::NEVER));
            ensure(is_first, "others went than those that would go first")?;
            for (id, _) in gone {
                self.leave(id, false, now);
            }
        }
        Ok(())
    }

    /// Whether the queue wants to be looked at as soon as time ends what a worker was just refused for.
    pub(crate) fn will_be_woken(&self, queue: &Queue, now: UnixMs) -> Result<(), String> {
        let Settings { paused_until, concurrency, rate, .. } = self.settings;
        let is_full = concurrency > 0 && self.of_state(State::Claimed).count() >= concurrency as usize;
        let ends_at = if rests(&self.settings, Pause::Out, now) {
            paused_until
        } else {
            // When a claim ends, the rate is looked at anyway.
            let rate = rate.filter(|rate| !is_full && self.starts.len() >= rate.claims as usize);
            let shuts = |rate: Rate| self.starts.get(self.starts.len() - rate.claims as usize);
            rate.and_then(|rate| Some(shuts(rate)?.after(rate.window)))
        };
        let is_in_time = |at: UnixMs| at <= now || queue.soonest() <= at;
        ensure(ends_at.is_none_or(is_in_time), "nobody is woken when tasks can be claimed again")
    }
}

impl Known {
    /// The queue has set other options.
    fn live_with(&mut self, said: &Said<'_>) {
        let had_tries_left = self.has_tries_left();
        (self.settings, self.seen.settings) = (said.settings(&self.options), said.shown(&self.options));
        self.has_lost_tries |= had_tries_left && !self.has_tries_left();
    }
}

/// Whether a history kept to its settings, by its claims alone and the instants that they had.
pub(crate) fn review(log: &[Rc<Entry>]) -> Result<(), String> {
    let (mut settings, mut starts) = (Settings::default(), Vec::<UnixMs>::new());
    for entry in log {
        let is_claim = matches!(entry.facts.first(), Some(Fact::Claimed(..)));
        for start in &mut starts {
            *start = entry.at.min(*start);
        }
        if is_claim {
            starts.push(entry.at);
            let claimed = entry.book.of_state(State::Claimed).count();
            ensure(!rests(&settings, Pause::Out, entry.at), "a task was claimed in a pause")?;
            ensure(
                settings.concurrency == 0 || claimed <= settings.concurrency as usize,
                "more tasks were claimed at once than CONCURRENCY allows",
            )?;
            if let Some(rate) = settings.rate {
                let in_window = starts.iter().filter(|start| start.after(rate.window) > entry.at).count();
                ensure(in_window <= rate.claims as usize, "more tasks were claimed in a window than RATE allows")?;
            }
        }
        if entry.book.settings.rate != settings.rate {
            starts.clear();
        }
        settings = entry.book.settings;
    }
    Ok(())
}
