//! The life of a task as PROTOCOL draws it: what may become of it by each deed, and by time.

use crate::batches::named;
use crate::book::{Claim, Known, Said, Seen};
use crate::needs::{After, names};
use crate::support::{Answer, Command, DelaySpec, PushSpec, START};
use taskqueue::op::{Completion, LEASE_EXPIRED, Next, TIMEOUT};
use taskqueue::{Ms, Retention, State, UnixMs};

/// An error that says `what`, unless it holds.
pub(crate) fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// What was done to a task, by what its client was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed<'a> {
    /// Nothing.
    Nothing,
    /// What time does; to a session's claim, if its node knows of its connection whether that is open.
    Time(Option<bool>),
    /// With this payload.
    Pushed(&'a PushSpec, &'a [u8]),
    /// A push has put this in the place of what it was.
    Replaced(&'a PushSpec),
    /// By whom, with which lease, and whether in a session.
    Claimed(&'a str, Option<Ms>, bool),
    Extended(Option<Ms>, Option<&'a [u8]>),
    Completed(&'a [u8], Option<Retention>),
    Failed(&'a [u8], Next, State),
    Released(Ms),
    /// To this and others, or to this if it can be.
    Canceled,
    Retried,
    Forgotten,
    /// One of those three, but only to some tasks that the queue chose.
    Some(Choice),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Cancel,
    Retry,
    Forget,
}

impl<'a> Deed<'a> {
    pub(crate) fn of(id: &str, before: Option<&Known>, said: &Said<'a>) -> Self {
        let is_open = before.is_some_and(Known::is_answerable);
        match (said.command, said.answer) {
            (Command::Push { task, .. }, Answer::Pushed { id: pushed, added: true }) if pushed == id => {
                match before.filter(|before| !before.seen.state.is_terminal()) {
                    Some(_) => Self::Replaced(task),
                    None => Self::Pushed(task, &task.payload),
                }
            }
            (Command::PushAll { task, payloads, .. }, Answer::PushedAll(ids)) if ids.iter().any(|pushed| pushed == id) => {
                let payload = ids.iter().zip(payloads).find(|(pushed, _)| *pushed == id);
                Self::Pushed(task, payload.map_or(&[], |(_, payload)| payload))
            }
            (Command::Claim { worker, lease, session }, Answer::Claimed(Some((claimed, ..)))) if claimed == id => {
                Self::Claimed(worker, *lease, session.is_some())
            }
            (Command::Extend { id: of, lease, checkpoint, .. }, Answer::Done) if of == id => {
                Self::Extended(*lease, checkpoint.as_deref())
            }
            (Command::Complete { id: of, result, retain, .. }, Answer::Completed(Completion::Published)) if of == id => {
                Self::Completed(result, *retain)
            }
            (Command::Fail { id: of, error, next, .. }, Answer::State(to)) if of == id && is_open => {
                Self::Failed(error, *next, *to)
            }
            (Command::Release { id: of, delay, .. }, Answer::Done) if of == id && is_open => Self::Released(*delay),
            (Command::Cancel(of), Answer::Count(1)) if of == id => Self::Canceled,
            (Command::Retry(of), Answer::Count(1)) if of == id => Self::Retried,
            (Command::Forget(of), Answer::Count(1)) if of == id => Self::Forgotten,
            (Command::CancelBatch(name, _), _) if before.is_some_and(|before| before.is_of(name)) => Self::Some(Choice::Cancel),
            (Command::RetryBatch(name, _), _) if before.is_some_and(|before| before.is_of(name)) => Self::Some(Choice::Retry),
            (Command::CancelAll(_), _) => Self::Some(Choice::Cancel),
            (Command::RetryAll(_), _) => Self::Some(Choice::Retry),
            (Command::ForgetAll(_), _) => Self::Some(Choice::Forget),
            (Command::Tick { .. } | Command::Claim { .. }, _) => {
                let session = before.filter(|before| before.seen.session).map(|before| (id.to_owned(), before.seen.attempt));
                Self::Time(session.and_then(|session| said.sessions.get(&session)).map(|&(_, is_open)| is_open))
            }
            _ => Self::Nothing,
        }
    }

    /// Whether a task to which it was done looks otherwise than before.
    pub(crate) const fn must_change(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Time(_) | Self::Some(_) | Self::Extended(..))
    }

    /// A task that was not there.
    pub(crate) fn born(&self, after: &Seen, said: &Said<'_>) -> Result<Known, String> {
        let Self::Pushed(task, payload) = self else { return Err("it was not pushed".to_owned()) };
        let seen = pushed(task, payload, 0, said);
        ensure(seen == *after, "it is not what was pushed")?;
        Ok(Known {
            seen,
            claim: Claim::Never,
            place: 0,
            holder: None,
            lease: Ms(0),
            timeout_at: None,
            options: task.options,
            settings: said.settings(&task.options),
            has_lost_tries: false,
            holds: false,
            born: 0,
            after: None,
            keep: None,
            batch: None,
            leaves: false,
        })
    }
}

fn pushed(task: &PushSpec, payload: &[u8], attempt: u32, said: &Said<'_>) -> Seen {
    let now = said.now;
    let due = if task.after.is_some() { now } else { due(task.delay, now) };
    Seen {
        state: match task.after {
            Some(_) => State::Waiting,
            None if due > now => State::Scheduled,
            None => State::Ready,
        },
        attempt,
        tries: 0,
        priority: task.priority,
        created: now,
        at: due.max(now),
        session: false,
        claimed_at: None,
        drop_at: None,
        expire_at: task.ttl.map(|ttl| now.after(Ms(ttl))),
        worker: None,
        data: payload.to_vec(),
        error: None,
        checkpoint: None,
        settings: said.shown(&task.options),
        missing: task.after.as_ref().map_or(0, |after| names(after).len()),
        batch: named(task).map(|(name, _)| name.to_owned()),
        group: task.group.clone(),
    }
}

pub(crate) fn due(delay: DelaySpec, now: UnixMs) -> UnixMs {
    match delay {
        DelaySpec::For(ms) => now.after(Ms(ms)),
        DelaySpec::At(ms) => START.after(Ms(ms)),
    }
}

impl Known {
    /// Whether its last claim can be answered.
    pub(crate) fn is_answerable(&self) -> bool {
        self.seen.state == State::Claimed || (self.seen.state == State::Ready && self.claim == Claim::Lapsed)
    }

    pub(crate) fn has_tries_left(&self) -> bool {
        let attempts = u32::from(self.settings.attempts);
        attempts == 0 || self.seen.tries < attempts
    }

    pub(crate) fn ended_badly(&self) -> bool {
        matches!(self.seen.state, State::Failed | State::Canceled | State::Expired)
    }

    /// Whether it may leave the queue.
    pub(crate) fn may_go(&self, deed: &Deed<'_>, now: UnixMs) -> Result<(), String> {
        ensure(self.seen.state.is_terminal(), "it is gone, and had not ended")?;
        match deed {
            Deed::Forgotten => ensure(self.batch.is_none() || self.leaves, "it was forgotten, and its batch is there"),
            Deed::Some(Choice::Forget) => ensure(self.batch.is_none(), "it was forgotten with others that are of no batch"),
            Deed::Time(_) if self.batch.is_some() => ensure(self.leaves, "it is gone before its batch"),
            Deed::Time(_) => ensure(self.seen.drop_at.is_some_and(|at| at <= now), "it is gone before its time"),
            _ => Err("it is gone, and nobody dropped it".to_owned()),
        }
    }

    /// What becomes of it, if that is as it looks; and whether it got a new place in line.
    pub(crate) fn become_of(&self, deed: &Deed<'_>, after: &Seen, said: &Said<'_>) -> Result<(Self, bool), String> {
        let mut next = self.clone();
        let enters = next.undergo(deed, after, said)?;
        ensure(next.looks_like(after), &format!("it should have become {:?}", next.seen))?;
        Ok((next, enters))
    }

    fn undergo(&mut self, deed: &Deed<'_>, after: &Seen, said: &Said<'_>) -> Result<bool, String> {
        let now = said.now;
        match *deed {
            Deed::Pushed(task, payload) => {
                ensure(self.ended_badly(), "it was pushed anew and had not ended badly")?;
                let (batch, group) = (self.seen.batch.take(), task.group.clone().or(self.seen.group.take()));
                self.seen = Seen { batch, group, ..pushed(task, payload, self.seen.attempt, said) };
                (self.options, self.settings, self.has_lost_tries) = (task.options, said.settings(&task.options), false);
                self.void();
                Ok(true)
            }
            Deed::Replaced(task) => self.be_replaced(task, said),
            Deed::Claimed(worker, lease, session) => self.be_claimed(worker, lease, session, now),
            Deed::Extended(lease, checkpoint) => {
                ensure(self.claim == Claim::Live, "a lost claim was extended")?;
                if !self.seen.session {
                    self.seen.at = self.lease_end(lease, now);
                }
                self.seen.checkpoint = checkpoint.map(<[u8]>::to_vec).or(self.seen.checkpoint.take());
                Ok(false)
            }
            Deed::Completed(result, retain) => {
                ensure(self.is_answerable(), "a lost claim completed it, or one that had been answered")?;
                self.claim = Claim::Completed;
                (self.seen.data, self.seen.error, self.seen.checkpoint) = (result.to_vec(), None, None);
                self.end(State::Completed, retain.unwrap_or(self.settings.retain), now);
                Ok(false)
            }
            Deed::Failed(error, next, to) => self.fail(error, next, to, after, now),
            Deed::Released(delay) => {
                let since = if self.seen.state == State::Ready { self.seen.at } else { now };
                self.claim = Claim::Released;
                self.seen.tries = self.seen.tries.saturating_sub(1);
                if delay == Ms(0) {
                    self.stand(State::Ready, since);
                } else {
                    self.stand(State::Scheduled, now.after(delay));
                }
                Ok(false)
            }
            Deed::Canceled | Deed::Some(Choice::Cancel) => {
                ensure(!self.seen.state.is_terminal(), "it was canceled and had ended")?;
                let end = if self.seen.session { self.lease_end(None, now) } else { self.seen.at };
                let deadline = (self.seen.state == State::Claimed).then_some(end);
                self.end(State::Canceled, self.settings.retain, now);
                self.seen.drop_at = self.seen.drop_at.map(|at| deadline.into_iter().fold(at, Ord::max));
                self.void();
                Ok(false)
            }
            Deed::Retried | Deed::Some(Choice::Retry) => {
                ensure(self.ended_badly() || self.seen.state == State::Scheduled, "what was retried had not ended badly")?;
                (self.seen.error, self.seen.tries, self.has_lost_tries) = (None, 0, false);
                self.stand(State::Ready, now);
                self.outlive_batch();
                self.void();
                Ok(true)
            }
            Deed::Time(is_open) => self.age(after, is_open, now),
            Deed::Nothing | Deed::Forgotten | Deed::Some(Choice::Forget) => Err("nobody did anything to it".to_owned()),
        }
    }

    /// It begins anew with what was pushed, but keeps its place in line, and waits for what it waits for.
    fn be_replaced(&mut self, task: &PushSpec, said: &Said<'_>) -> Result<bool, String> {
        let is_open = matches!(self.seen.state, State::Waiting | State::Scheduled | State::Ready);
        ensure(is_open, "a push replaced it, and it was claimed or had ended")?;
        let (was, missing) = (self.seen.state, self.seen.missing);
        let (batch, group) = (self.seen.batch.take(), self.seen.group.take());
        self.seen = Seen { missing, batch, group, ..pushed(task, &task.payload, self.seen.attempt, said) };
        if was == State::Waiting {
            (self.seen.state, self.seen.at) = (State::Waiting, said.now);
            if let Some(after) = &mut self.after {
                after.wait_until(Some(due(task.delay, said.now)).filter(|&due| due > said.now));
            }
        }
        (self.options, self.settings, self.has_lost_tries) = (task.options, said.settings(&task.options), false);
        self.void();
        Ok(was != State::Ready)
    }

    /// Whether it is the same to look at, but for when a task that has ended goes: that hangs on who needs it.
    pub(crate) fn looks_like(&self, seen: &Seen) -> bool {
        let drop_at = if self.seen.state.is_terminal() { seen.drop_at } else { self.seen.drop_at };
        Seen { drop_at, ..self.seen.clone() } == *seen
    }

    fn be_claimed(&mut self, worker: &str, lease: Option<Ms>, session: bool, now: UnixMs) -> Result<bool, String> {
        ensure(self.seen.state == State::Ready, "it was claimed and was not ready")?;
        let is_free = self.after.as_ref().is_none_or(After::is_free);
        ensure(is_free, "it was claimed before all that it depends on had ended as it needs")?;
        ensure(self.has_tries_left() || self.has_lost_tries, "it was claimed more often than its tries")?;
        self.lease = lease.unwrap_or(self.settings.lease);
        let timeout_at = self.settings.timeout.map(|timeout| now.after(timeout));
        let lease_end = if session { UnixMs::NEVER } else { now.after(self.lease) };
        self.stand(State::Claimed, timeout_at.into_iter().fold(lease_end, Ord::min));
        self.timeout_at = timeout_at;
        (self.seen.claimed_at, self.seen.expire_at, self.seen.session) = (Some(now), None, session);
        (self.seen.worker, self.holder) = (Some(worker.to_owned()), Some(worker.into()));
        self.seen.attempt += 1;
        self.seen.tries += 1;
        self.claim = Claim::Live;
        Ok(false)
    }

    fn fail(&mut self, error: &[u8], next: Next, to: State, after: &Seen, now: UnixMs) -> Result<bool, String> {
        self.claim = Claim::FailedTo(to);
        self.seen.error = Some(error.to_vec());
        if to == State::Failed {
            ensure(next == Next::Dead || !self.has_tries_left(), "it failed with tries left")?;
            self.end(State::Failed, self.settings.retain_failed, now);
            return Ok(false);
        }
        ensure(next != Next::Dead && self.has_tries_left(), "it goes on without tries left")?;
        let waits = match next {
            Next::RetryAfter(delay) => delay..=delay,
            // Doubled for each try before, at most an hour, and 10 % to either side.
            _ => {
                let doubled = self.settings.backoff.0 << (self.seen.tries - 1).min(30);
                let wait = doubled.min(3_600_000);
                Ms(wait * 9 / 10)..=Ms(wait * 11 / 10)
            }
        };
        if to == State::Ready {
            ensure(waits.contains(&Ms(0)), "its backoff was skipped")?;
            self.stand(State::Ready, now);
            return Ok(true);
        }
        ensure(waits.contains(&after.at.since(now)), "its backoff is not what was asked for")?;
        self.stand(State::Scheduled, after.at);
        Ok(false)
    }

    /// Time did something to it, which now looks to be in this state.
    fn age(&mut self, after: &Seen, is_open: Option<bool>, now: UnixMs) -> Result<bool, String> {
        if after.state == State::Expired {
            ensure(self.seen.expire_at.is_some_and(|at| at <= now), "it expired before its time")?;
            self.end(State::Expired, self.settings.retain, now);
            return Ok(false);
        }
        ensure(matches!(self.seen.state, State::Scheduled | State::Claimed), "time did something to it")?;
        if self.seen.session && is_open.is_none() {
            // Nobody knows its connection any more: one lease from now, which a timeout may have ended already.
            (self.seen.session, self.seen.at) = (false, self.lease_end(None, now));
            if after.state == State::Claimed {
                return Ok(false);
            }
        }
        let is_over = self.seen.session && is_open == Some(false);
        ensure(self.seen.at <= now || is_over, "it ripened or lapsed before its time")?;
        if self.seen.state == State::Scheduled {
            self.stand(State::Ready, now);
            return Ok(true);
        }
        self.claim = Claim::Lapsed;
        if self.has_tries_left() {
            self.stand(State::Ready, now);
            return Ok(false);
        }
        let timed_out = self.timeout_at == Some(self.seen.at) && self.seen.at <= now;
        self.seen.error = Some(if timed_out { TIMEOUT.to_vec() } else { LEASE_EXPIRED.to_vec() });
        self.end(State::Failed, self.settings.retain_failed, now);
        Ok(false)
    }

    /// When a lease ends that begins now.
    fn lease_end(&self, lease: Option<Ms>, now: UnixMs) -> UnixMs {
        self.timeout_at.into_iter().fold(now.after(lease.unwrap_or(self.lease)), Ord::min)
    }

    pub(crate) fn stand(&mut self, state: State, at: UnixMs) {
        (self.seen.state, self.seen.at, self.seen.session) = (state, at, false);
        self.holds = (self.holds || state == State::Claimed) && !state.is_terminal();
        (self.seen.claimed_at, self.seen.worker, self.seen.drop_at, self.timeout_at) = (None, None, None, None);
    }

    pub(crate) fn end(&mut self, state: State, kept: Retention, now: UnixMs) {
        self.stand(state, now);
        (self.seen.expire_at, self.seen.missing) = (None, 0);
        if let Some(after) = &mut self.after {
            after.let_go();
        }
        self.seen.drop_at = match kept {
            Retention::For(time) => Some(now.after(time)),
            Retention::Forever => None,
        };
    }

    /// Its claims so far are lost.
    pub(crate) fn void(&mut self) {
        if self.seen.attempt > 0 {
            self.claim = Claim::Voided;
        }
    }
}
