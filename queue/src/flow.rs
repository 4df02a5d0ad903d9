//! What a queue sets for itself: what holds for its tasks, how many it takes and gives out, and when.
//!
//! A queue that sets nothing has no `Flow`, and pays nothing for it.

use crate::batch::KEPT;
use crate::blocks::Rounding;
#[cfg(debug_assertions)]
use crate::check::ensure;
use crate::effect::{Change, Effect, Event, Heard};
use crate::error::Mismatch;
use crate::index::segments::Slot;
use crate::options::{Defaults, Options};
use crate::queue::Queue;
use crate::state::State;
use crate::time::{Ms, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most tasks that a limit can name.
pub const LIMIT_MAX: u32 = (1 << 31) - 1;
/// Most claims that RATE can allow in a window: each may have to be remembered, with 16 bytes.
pub const RATE_MAX: u32 = 1_000_000;
/// Most changes of state that a queue can keep.
pub const EVENTS_MAX: u32 = 1_000_000;

/// What a queue sets; of the limits 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What holds for tasks that say nothing themselves.
    pub options: Options,
    /// Most completed tasks that are kept, but for those of batches.
    pub retain_max: u32,
    /// Most failed tasks that are kept, but for those of batches.
    pub failed_max: u32,
    /// Most tasks that have not ended.
    pub max_len: u32,
    /// How often tasks are claimed.
    pub rate: Option<Rate>,
    /// Most tasks claimed at once.
    pub concurrency: u32,
    /// Most tasks of one group claimed at once.
    pub group_concurrency: u32,
    /// Most changes of state that are kept.
    pub events: u32,
    /// What rests.
    pub pause: Pause,
    /// When the rest is over, if that is certain.
    pub paused_until: Option<UnixMs>,
}

/// At most so many claims in any window of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the line above says it")]
pub struct Rate {
    pub claims: u32,
    pub window: Ms,
}

/// What of a queue rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// Nothing.
    #[default]
    No,
    /// It takes no pushes.
    In,
    /// It gives out no tasks.
    Out,
    /// Both.
    All,
}

impl Pause {
    /// As commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::In => "in",
            Self::Out => "out",
            Self::All => "all",
        }
    }
}

impl Settings {
    /// Whether each is within what a command would take.
    pub(crate) fn is_valid(&self) -> bool {
        let limits = [self.retain_max, self.failed_max, self.max_len, self.concurrency, self.group_concurrency];
        let is_rate = |rate: Rate| (1..=RATE_MAX).contains(&rate.claims) && (Ms(1)..=Ms::MAX).contains(&rate.window);
        limits.into_iter().all(|limit| limit <= LIMIT_MAX)
            && self.events <= EVENTS_MAX
            && self.options.is_valid()
            && self.rate.is_none_or(is_rate)
            && (self.paused_until.is_none() || self.pause != Pause::No)
            && self.paused_until != Some(UnixMs::NEVER)
    }

    fn rests(&self, now: UnixMs) -> Pause {
        if self.paused_until.is_some_and(|until| until <= now) { Pause::No } else { self.pause }
    }

    /// Whether pushes are refused.
    #[must_use]
    pub fn is_paused_in(&self, now: UnixMs) -> bool {
        matches!(self.rests(now), Pause::In | Pause::All) && !sabotaged!(PauseTakesPushes)
    }

    /// Whether no task is given out.
    #[must_use]
    pub fn is_paused_out(&self, now: UnixMs) -> bool {
        matches!(self.rests(now), Pause::Out | Pause::All)
    }
}

/// The settings, and what they need to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) settings: Settings,
    starts: Starts,
    /// When one more claim is within the rate; nothing if it is at any time.
    opens_at: Option<UnixMs>,
}

/// When the claims of the last window were, and at least as many as RATE allows in one; oldest first, those of one millisecond together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    log: VecDeque<(UnixMs, u32)>,
    total: u32,
}

impl Starts {
    /// One more. What seems to be later than it, as the clock has stepped back, counts as of now.
    fn record(&mut self, at: UnixMs, rate: Rate) {
        self.rewind(at);
        self.add(at, 1);
        // What is over stays as far as a clock that steps back could make it count again.
        self.cut(rate.claims, |oldest| oldest.after(rate.window) <= at);
        // No more than a snapshot may hold, whoever sent so many.
        self.cut(RATE_MAX, |_| true);
    }

    /// Forgets the oldest that `is_over`, but for the last `claims`.
    fn cut(&mut self, claims: u32, is_over: impl Fn(UnixMs) -> bool) {
        while self.total > claims
            && let Some((_, count)) = self.log.front_mut().filter(|(oldest, _)| is_over(*oldest))
        {
            let gone = (*count).min(self.total - claims);
            *count -= gone;
            self.total -= gone;
            if *count == 0 {
                self.log.pop_front();
            }
        }
    }

    fn add(&mut self, at: UnixMs, count: u32) {
        match self.log.back_mut().filter(|(last, _)| *last == at) {
            Some((_, claims)) => *claims += count,
            None => self.log.push_back((at, count)),
        }
        self.total += count;
    }

    /// What is later than this counts as of this instant.
    fn rewind(&mut self, at: UnixMs) {
        let mut later = 0;
        while self.is_ahead_of(at) {
            later += self.log.pop_back().map_or(0, |(_, count)| count);
        }
        if later > 0 {
            self.total -= later;
            self.add(at, later);
        }
    }

    /// When one more claim is within the rate; nothing if it is at any time. There are more than the rate allows after one that allowed more.
    fn opens_at(&self, rate: Rate) -> Option<UnixMs> {
        let mut too_many = self.total.checked_sub(rate.claims)?;
        let last = self.log.iter().find(|&&(_, count)| {
            let is_last = count > too_many;
            too_many = too_many.saturating_sub(count);
            is_last
        });
        last.map(|(at, _)| at.after(Ms(rate.window.0 - u64::from(sabotaged!(WindowShort)))))
    }

    fn is_ahead_of(&self, now: UnixMs) -> bool {
        self.log.back().is_some_and(|&(last, _)| last > now)
    }

    /// As bytes for a snapshot: pairs of instant and count, in postcard's wire format.
    fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(&self.log).unwrap_or_default()
    }

    /// From [`Starts::encode`].
    fn decode(bytes: &[u8]) -> Result<Self, Mismatch> {
        let log: VecDeque<(UnixMs, u32)> = postcard::from_bytes(bytes).map_err(|_| Mismatch::Invalid)?;
        let total: u64 = log.iter().map(|&(_, count)| u64::from(count)).sum();
        let is_valid = log.iter().is_sorted_by(|(a, _), (b, _)| a < b) && log.iter().all(|&(_, count)| count > 0);
        match u32::try_from(total) {
            Ok(total) if is_valid && total <= RATE_MAX => Ok(Self { log, total }),
            _ => Err(Mismatch::Invalid),
        }
    }
}

impl Flow {
    /// Whether what is known of claims is right.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_read = Starts::decode(&self.starts.encode()).as_ref() == Ok(&self.starts);
        ensure(
            is_read && (self.settings.rate.is_some() || self.starts.total == 0),
            "the claims that count for RATE are not in order",
        )?;
        let mut again = self.clone();
        again.reckon();
        ensure(again.opens_at == self.opens_at, "it is not right when the next claim may begin")
    }

    pub(crate) fn bytes(&self, rounding: Rounding) -> usize {
        rounding.block(size_of::<Self>()) + rounding.vec::<(UnixMs, u32)>(self.starts.log.capacity())
    }

    fn reckon(&mut self) {
        self.opens_at = self.settings.rate.and_then(|rate| self.starts.opens_at(rate));
    }

    /// Whether a claim seems to be later than now.
    pub(crate) fn is_ahead_of(&self, now: UnixMs) -> bool {
        self.starts.is_ahead_of(now)
    }

    /// The claims that count for RATE, for a snapshot, if any do.
    pub(crate) fn encoded_starts(&self) -> Option<Vec<u8>> {
        (self.starts.total > 0).then(|| self.starts.encode())
    }

    /// Takes them from a snapshot.
    ///
    /// # Errors
    /// If they are none, or none can count.
    pub(crate) fn restore_starts(&mut self, starts: &[u8]) -> Result<(), Mismatch> {
        if self.settings.rate.is_none() || self.starts.total > 0 {
            return Err(Mismatch::Invalid);
        }
        self.starts = Starts::decode(starts)?;
        self.reckon();
        Ok(())
    }

    /// When time first changes what is in the way of claims.
    pub(crate) fn soonest(&self) -> UnixMs {
        self.opens_at.into_iter().chain(self.settings.paused_until).min().unwrap_or(UnixMs::NEVER)
    }
}

/// What stands in the way of any claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The queue rests, until this instant if that is certain.
    Paused(Option<UnixMs>),
    /// As many tasks are claimed as may be.
    Concurrency(u32),
    /// As many were claimed as may be, until then.
    Rate(Rate, UnixMs),
}

impl Queue {
    /// What the queue sets for itself.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.flow.as_deref().map_or_else(Settings::default, |flow| flow.settings)
    }

    /// What holds for tasks that say nothing themselves.
    pub(crate) fn defaults(&self, defaults: &Defaults) -> Defaults {
        match self.flow.as_deref() {
            Some(flow) => defaults.with(&flow.settings.options),
            None => *defaults,
        }
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.len() - self.finished.iter().map(crate::index::deadlines::Deadlines::len).sum::<usize>()
    }

    /// What stands in the way of any claim, if anything does.
    pub(crate) fn obstacle(&self, now: UnixMs) -> Option<Obstacle> {
        let flow = self.flow.as_deref()?;
        let settings = &flow.settings;
        if settings.is_paused_out(now) {
            Some(Obstacle::Paused(settings.paused_until))
        } else if settings.concurrency > 0
            && self.leases.len() >= settings.concurrency as usize + usize::from(sabotaged!(OneTooManyClaimed))
        {
            Some(Obstacle::Concurrency(settings.concurrency))
        } else {
            let opens_at = flow.opens_at.filter(|&at| at > now);
            opens_at.and_then(|opens_at| Some(Obstacle::Rate(settings.rate?, opens_at)))
        }
    }

    fn apply_set(&mut self, settings: &Settings) {
        self.keep_events(settings.events);
        let group_limit = self.group_limit();
        let mut flow = self.flow.take().unwrap_or_default();
        if settings.options.retain_failed != flow.settings.options.retain_failed && !self.batches.is_empty() {
            // Batches that are left alone may have to go sooner. How soon hangs on the server's settings too, so the tick finds it out.
            self.soonest = UnixMs(0);
        }
        flow.settings = *settings;
        if settings.rate.is_none() {
            flow.starts = Starts::default();
        }
        flow.reckon();
        if *settings != Settings::default() {
            self.soonest = self.soonest.min(flow.soonest());
            self.flow = Some(flow);
        }
        if settings.group_concurrency != group_limit
            && let Some(groups) = self.groups.as_deref_mut()
        {
            groups.settle_held(settings.group_concurrency);
        }
    }

    /// What happens to the queue as a whole.
    pub(crate) fn apply_flow(&mut self, effect: &Effect<'_>) -> Heard {
        match (effect, &mut self.flow) {
            (Effect::Set(settings), _) => self.apply_set(settings),
            (Effect::StartsRewound { at }, Some(flow)) => {
                flow.starts.rewind(*at);
                flow.reckon();
                self.soonest = self.soonest.min(flow.soonest());
            }
            _ => {}
        }
        [Some((Event::Set, Slot::NIL)), None]
    }

    /// A task has changed: RATE counts claims.
    #[cold]
    pub(crate) fn settle_flow(&mut self, change: &Change<'_>) {
        if let Change::Claimed { at, .. } = *change
            && let Some(flow) = &mut self.flow
            && let Some(rate) = flow.settings.rate
        {
            flow.starts.record(at, rate);
            flow.reckon();
            self.soonest = self.soonest.min(flow.soonest());
        }
    }

    /// When time next changes what is in the way of claims, after `now`.
    pub(crate) fn next_opening(&self, now: UnixMs) -> UnixMs {
        let Some(flow) = self.flow.as_deref() else { return UnixMs::NEVER };
        let opens_at = flow.opens_at.filter(|&at| at > now);
        opens_at.into_iter().chain(flow.settings.paused_until).min().unwrap_or(UnixMs::NEVER)
    }

    /// The next task to go because more are kept than may be.
    pub(crate) fn next_excess(&self) -> Option<Slot> {
        let settings = &self.flow.as_deref()?.settings;
        let [completed, failed, ..] = &self.finished;
        let limits = [(State::Completed, completed, settings.retain_max), (State::Failed, failed, settings.failed_max)];
        limits.into_iter().find_map(|(state, index, max)| {
            let kept = index.len() - self.batches.counts.of(state) as usize;
            if max == 0 || kept <= max as usize + usize::from(sabotaged!(OneTooManyKept)) {
                return None;
            }
            index.first_outside(&self.tasks, KEPT..UnixMs::NEVER)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { claims: 3, window: Ms(10) };

    #[test]
    fn no_window_has_more_claims_than_the_rate() {
        let mut starts = Starts::default();
        for at in [5, 5, 9] {
            assert_eq!(starts.opens_at(RATE), None);
            starts.record(UnixMs(at), RATE);
        }
        assert_eq!(starts.opens_at(RATE), Some(UnixMs(15)));
        starts.record(UnixMs(15), RATE);
        assert_eq!(starts.opens_at(RATE), Some(UnixMs(15)));
        starts.record(UnixMs(15), RATE);
        assert_eq!(starts.opens_at(RATE), Some(UnixMs(19)));
        assert_eq!(Starts::decode(&starts.encode()), Ok(starts));
    }

    #[test]
    fn what_is_in_the_future_counts_as_now() {
        let mut starts = Starts::default();
        for at in [1_000, 1_001, 1_002] {
            starts.record(UnixMs(at), RATE);
        }
        starts.rewind(UnixMs(50));
        assert_eq!(starts.opens_at(RATE), Some(UnixMs(60)));
        starts.record(UnixMs(60), RATE);
        assert_eq!((starts.total, starts.log.len()), (3, 2));
    }

    #[test]
    fn a_rate_that_was_higher_is_not_forgotten() {
        let mut starts = Starts::default();
        for at in [5, 5, 9] {
            starts.record(UnixMs(at), RATE);
        }
        assert_eq!(starts.opens_at(Rate { claims: 1, ..RATE }), Some(UnixMs(19)));
        assert_eq!(starts.opens_at(Rate { claims: 2, ..RATE }), Some(UnixMs(15)));
        assert_eq!(starts.opens_at(Rate { claims: 4, ..RATE }), None);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for log in [
            vec![(UnixMs(2), 1_u32), (UnixMs(1), 1)],
            vec![(UnixMs(1), 0)],
            vec![(UnixMs(1), RATE_MAX + 1)],
            vec![(UnixMs(1), u32::MAX); 2],
        ] {
            assert!(Starts::decode(&postcard::to_allocvec(&log).unwrap_or_default()).is_err());
        }
        assert!(Starts::decode(&[255; 9]).is_err());
    }
}
