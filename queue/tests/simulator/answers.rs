//! What a command must answer, by what is known on the history that it meets.

use crate::book::{Book, Claim, Known};
use crate::keys::Found;
use crate::rules::due;
use crate::support::{Answer, Command, PushSpec, task_id};
use taskqueue::op::{Completion, Next};
use taskqueue::{Defaults, MadeId, Ms, Refusal, State, TaskId, UnixMs};

impl Book {
    /// The answer that is due to a command. Of what the queue may choose, a new id and what a tick leaves, `given` is taken.
    pub(crate) fn expected(&self, command: &Command, given: &Answer, now: UnixMs) -> Answer {
        let counted = |holds: bool| Answer::Count(usize::from(holds));
        let is = |id: &str, can: fn(&Known) -> bool| counted(self.tasks.get(id).is_some_and(|known| can(known)));
        let count_of = |count: usize, can: &dyn Fn(&Known) -> bool| {
            Answer::Count(count.min(self.tasks.values().filter(|known| can(known)).count()))
        };
        let count = |count: usize, can: fn(&Known) -> bool| count_of(count, &can);
        match command {
            Command::Push { task, id, renew, floor } => self.expected_of_push(task, id.as_deref(), *renew, *floor, given, now),
            Command::Claim { lease, session, .. } => Answer::Claimed(self.next(now).map(|(id, known)| {
                let Defaults { timeout, lease: usual, .. } = known.settings;
                let lease_end = if session.is_some() { UnixMs::NEVER } else { now.after(lease.unwrap_or(usual)) };
                let deadline = timeout.map_or(lease_end, |timeout| lease_end.min(now.after(timeout)));
                (id.to_owned(), known.seen.data.clone(), known.seen.attempt + 1, deadline)
            })),
            Command::Extend { id, attempt, .. } => answer(self.standing(id, *attempt), |known, stands| match stands {
                Claim::Live => Answer::Done,
                _ => not_claimed(known),
            }),
            Command::Complete { id, attempt, .. } => answer(self.standing(id, *attempt), |known, stands| match stands {
                _ if known.is_answerable() => Answer::Completed(Completion::Published),
                Claim::Completed => Answer::Completed(Completion::Repeated),
                _ => not_claimed(known),
            }),
            Command::Fail { id, attempt, next, .. } => answer(self.standing(id, *attempt), |known, stands| match stands {
                _ if known.is_answerable() => Answer::State(after_failure(known, *next)),
                Claim::FailedTo(state) => Answer::State(state),
                _ => not_claimed(known),
            }),
            Command::Release { id, attempt, .. } => answer(self.standing(id, *attempt), |known, stands| match stands {
                _ if known.is_answerable() => Answer::Done,
                Claim::Released => Answer::Done,
                _ => not_claimed(known),
            }),
            Command::Cancel(id) => is(id, |known| !known.seen.state.is_terminal()),
            Command::Retry(id) => counted(self.tasks.contains_key(&**id) && self.can_begin_again(id, now)),
            Command::Forget(id) => is(id, |known| known.seen.state.is_terminal() && (known.batch.is_none() || known.leaves)),
            Command::CancelAll(of) => {
                count(*of, |known| matches!(known.seen.state, State::Waiting | State::Ready | State::Scheduled))
            }
            Command::RetryAll(of) => self.expected_of_retry(*of, given, now, |known| known.seen.state == State::Failed),
            Command::ForgetAll(of) => count(*of, |known| known.seen.state.is_terminal() && known.batch.is_none()),
            Command::PushAll { task, payloads, floor } => self.expected_of_push_all(task, payloads.len(), *floor, given, now),
            Command::Seal(name) => Answer::Count(self.total(name)),
            Command::CancelBatch(name, of) => count_of(*of, &|known| known.is_of(name) && !known.seen.state.is_terminal()),
            Command::RetryBatch(name, of) => {
                self.expected_of_retry(*of, given, now, |known| known.is_of(name) && known.ended_badly())
            }
            Command::ForgetBatch(name) => {
                let is_done = self.batch(name).is_some_and(|(born, _)| self.is_done(born));
                Answer::Count(if is_done { self.total(name) } else { 0 })
            }
            Command::Set(_) => Answer::Done,
            Command::Schedule(name, spec) => self.expected_of_schedule(name, spec, now),
            Command::Unschedule(name) => counted(self.schedules.contains_key(name)),
            Command::Fire { has_room } => self.expected_of_fire(*has_room, now),
            // To close a connection leaves no effects.
            Command::Tick { .. } | Command::Close(_) => given.clone(),
        }
    }

    fn total(&self, batch: &str) -> usize {
        self.batch(batch).map_or(0, |(born, _)| self.members(born).count())
    }

    /// At most so many of these. None only if none can begin again: those it depends on stand in the way.
    fn expected_of_retry(&self, count: usize, given: &Answer, now: UnixMs, of: impl Fn(&Known) -> bool) -> Answer {
        let ended = || self.tasks.iter().filter(|(_, known)| of(known)).map(|(id, _)| &**id);
        let most = count.min(ended().count());
        match given {
            Answer::Count(0) if most > 0 && ended().any(|id| self.can_begin_again(id, now)) => Answer::Count(1),
            Answer::Count(given) => Answer::Count(most.min(*given)),
            _ => Answer::Count(most),
        }
    }

    fn expected_of_push(
        &self,
        task: &PushSpec,
        id: Option<&str>,
        renew: bool,
        floor: MadeId,
        given: &Answer,
        now: UnixMs,
    ) -> Answer {
        if task.ttl.is_some_and(|ttl| due(task.delay, now) >= now.after(Ms(ttl))) {
            return Answer::Refused(Refusal::DelayPastTtl);
        }
        let is_there = id.and_then(|id| self.known(id)).is_some_and(|known| !(renew && known.ended_badly()));
        if let Some(unique) = task.unique.as_deref().filter(|_| !is_there) {
            match self.find_key(unique, now) {
                Found::Held(holder) => return Answer::Pushed { id: holder.to_owned(), added: false },
                Found::Replaced(next) => return Answer::Pushed { id: next.to_owned(), added: true },
                Found::Free | Found::Followed(_) => {}
            }
        }
        if let Some(refusal) = self.refuses(id, renew, task, now) {
            return Answer::Refused(refusal);
        }
        if let Some(id) = id {
            return Answer::Pushed { id: id.to_owned(), added: !is_there };
        }
        match given {
            Answer::Pushed { id, added: true } if is_made_after(id, floor) => given.clone(),
            _ => Answer::Pushed { id: "a new id".to_owned(), added: true },
        }
    }

    fn expected_of_push_all(&self, task: &PushSpec, count: usize, floor: MadeId, given: &Answer, now: UnixMs) -> Answer {
        if task.ttl.is_some_and(|ttl| due(task.delay, now) >= now.after(Ms(ttl))) {
            return Answer::Refused(Refusal::DelayPastTtl);
        }
        if let Some(refusal) = self.refuses_more(count, now).or_else(|| self.refuses(None, false, task, now)) {
            return Answer::Refused(refusal);
        }
        match given {
            Answer::PushedAll(ids) if ids.len() == count && ids.iter().all(|id| is_made_after(id, floor)) => given.clone(),
            _ => Answer::PushedAll(vec!["a new id".to_owned(); count]),
        }
    }

    /// How the claim stands that a worker answers for, or why it is refused.
    fn standing(&self, id: &str, attempt: Option<u32>) -> Result<(&Known, Claim), Refusal> {
        let known = self.tasks.get(id).ok_or(Refusal::NoTask)?;
        let seen = &known.seen;
        if seen.state == State::Canceled {
            return Err(Refusal::Canceled);
        }
        if attempt.is_some_and(|attempt| attempt != seen.attempt || attempt == 0 || known.claim == Claim::Voided) {
            return Err(Refusal::Stale);
        }
        if attempt.is_none() && seen.state != State::Claimed {
            return Err(Refusal::NotClaimed(seen.state));
        }
        Ok((known, known.claim))
    }
}

fn is_made_after(id: &str, floor: MadeId) -> bool {
    matches!(task_id(id), TaskId::Made(made) if made > floor)
}

fn answer(standing: Result<(&Known, Claim), Refusal>, of: impl FnOnce(&Known, Claim) -> Answer) -> Answer {
    standing.map_or_else(Answer::Refused, |(known, stands)| of(known, stands))
}

fn not_claimed(known: &Known) -> Answer {
    Answer::Refused(Refusal::NotClaimed(known.seen.state))
}

fn after_failure(known: &Known, next: Next) -> State {
    match next {
        _ if !known.has_tries_left() => State::Failed,
        Next::Dead => State::Failed,
        Next::RetryAfter(Ms(0)) => State::Ready,
        Next::Retry if known.settings.backoff == Ms(0) => State::Ready,
        Next::Retry | Next::RetryAfter(_) => State::Scheduled,
    }
}
