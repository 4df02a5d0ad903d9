//! Bugs that need no broken queue: what goes from one node to another, or to disk and back, arrives otherwise than it was sent.

use taskqueue::effect::{Change, Head, Image, Packed};
use taskqueue::{Effect, LastClaim, MadeId, State, UnixMs, effect};

/// A bug on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The effects of one command overtake another's.
    EffectsOvertake,
    /// Effects are applied twice.
    EffectsTwice,
    /// A lapse is not sent.
    LapseNotSent,
    /// A drop is not sent.
    DropNotSent,
    /// A heartbeat is not sent.
    ExtensionNotSent,
    /// A release arrives as a lapse.
    ReleaseSentAsLapse,
    /// A replica reckons the deadline of a claim by its own clock.
    DeadlineByOwnClock,
    /// A snapshot forgets TTLs.
    SnapshotForgetsTtl,
    /// A snapshot forgets which claims were no tries.
    SnapshotForgetsUncounted,
    /// A snapshot forgets when a claim times out.
    SnapshotForgetsTimeout,
    /// A snapshot forgets checkpoints.
    SnapshotForgetsCheckpoint,
    /// A snapshot forgets the last id made.
    SnapshotForgetsLastId,
    /// A snapshot forgets that claims were voided.
    SnapshotForgetsVoiding,
    /// A snapshot forgets the places in line.
    SnapshotForgetsPlaces,
    /// A snapshot forgets which claims are of sessions.
    SnapshotForgetsSessions,
    /// That a claim is no session's any more is not sent.
    BoundNotSent,
}

impl Bug {
    pub(crate) const ALL: [Self; 16] = [
        Self::EffectsOvertake,
        Self::EffectsTwice,
        Self::LapseNotSent,
        Self::DropNotSent,
        Self::ExtensionNotSent,
        Self::ReleaseSentAsLapse,
        Self::DeadlineByOwnClock,
        Self::SnapshotForgetsTtl,
        Self::SnapshotForgetsUncounted,
        Self::SnapshotForgetsTimeout,
        Self::SnapshotForgetsCheckpoint,
        Self::SnapshotForgetsLastId,
        Self::SnapshotForgetsVoiding,
        Self::SnapshotForgetsPlaces,
        Self::SnapshotForgetsSessions,
        Self::BoundNotSent,
    ];

    /// What arrives of packed effects, at a node whose clock is so far off.
    pub(crate) fn in_flight(self, packed: &[u8], skew_ms: i64) -> Vec<u8> {
        let mut arrived = Packed::default();
        for effect in effect::unpack(packed).map(Result::unwrap) {
            if let Some(effect) = self.change(&effect, skew_ms) {
                arrived.push(&effect);
            }
        }
        arrived.bytes().to_vec()
    }

    fn change<'a>(self, effect: &Effect<'a>, skew_ms: i64) -> Option<Effect<'a>> {
        Some(match *effect {
            Effect::Changed(id, change) => Effect::Changed(id, self.change_of_task(change, skew_ms)?),
            Effect::Restarted(head) if self == Self::SnapshotForgetsLastId => {
                Effect::Restarted(Head { last_id: MadeId::default(), ..head })
            }
            Effect::Restored(image) => Effect::Restored(self.change_of_image(image)),
            other => other,
        })
    }

    fn change_of_task(self, change: Change<'_>, skew_ms: i64) -> Option<Change<'_>> {
        match (self, change) {
            (Self::LapseNotSent, Change::Lapsed { .. })
            | (Self::DropNotSent, Change::Dropped)
            | (Self::ExtensionNotSent, Change::Extended { .. })
            | (Self::BoundNotSent, Change::Bounded { .. }) => None,
            (Self::ReleaseSentAsLapse, Change::Released { at }) => Some(Change::Lapsed { at }),
            (Self::DeadlineByOwnClock, Change::Claimed { attempt, worker, lease, at, deadline, timeout_at, session }) => {
                let deadline = UnixMs(deadline.0.saturating_add_signed(skew_ms));
                Some(Change::Claimed { attempt, worker, lease, at, deadline, timeout_at, session })
            }
            (_, change) => Some(change),
        }
    }

    fn change_of_image(self, mut image: Image<'_>) -> Image<'_> {
        if let Some(extra) = &mut image.extra {
            match self {
                Self::SnapshotForgetsTtl => extra.ttl_at = None,
                Self::SnapshotForgetsUncounted => extra.uncounted = 0,
                Self::SnapshotForgetsTimeout => extra.timeout_at = None,
                Self::SnapshotForgetsCheckpoint => extra.checkpoint = None,
                Self::SnapshotForgetsSessions => extra.session = false,
                _ => {}
            }
        }
        match self {
            Self::SnapshotForgetsVoiding if image.state == State::Ready && image.last_claim == LastClaim::Voided => {
                image.last_claim = LastClaim::Lapsed;
            }
            Self::SnapshotForgetsPlaces if image.state == State::Ready => image.order = 1,
            _ => {}
        }
        image
    }
}
