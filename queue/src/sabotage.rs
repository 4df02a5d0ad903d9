//! Ways to break the queue on purpose, so that the simulator can show that it would notice. Without the feature `sabotage`, which
//! only tests enable, `sabotaged!` is `false` and nothing of this is compiled.

/// Whether this thread is to suffer from a mutation: stands at the very place that it breaks.
#[cfg(feature = "sabotage")]
macro_rules! sabotaged {
    ($mutation:ident) => {
        $crate::sabotage::is($crate::sabotage::Mutation::$mutation)
    };
}

#[cfg(not(feature = "sabotage"))]
macro_rules! sabotaged {
    ($mutation:ident) => {
        false
    };
}

#[cfg(feature = "sabotage")]
pub(crate) use switch::is;
#[cfg(feature = "sabotage")]
pub use switch::{Mutation, with};

#[cfg(feature = "sabotage")]
mod switch {
    use std::cell::Cell;

    /// A bug that can be switched on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Mutation {
        /// An answer's ATTEMPT is not looked at.
        FencingSkipped,
        /// What a claim said before is taken for a lost claim's answer.
        RepeatNotRecognised,
        /// A second COMPLETE of a claim publishes its result anew.
        ResultRepublished,
        /// The answer of a lapsed claim is refused though nobody has claimed the task since.
        LateAnswerRefused,
        /// CANCEL, RETRY and RENEW leave the claims before them valid.
        VoidingSkipped,
        /// RETRY and RENEW number the claims from 1 again.
        AttemptReset,
        /// A claim uses up no try.
        TriesNotCounted,
        /// RELEASE does not give the try back.
        ReleasedTryCounted,
        /// A lapse makes the task ready though it was its last try.
        LastTryLapsesOn,
        /// A claim leaves the TTL running.
        TtlOutlivesClaim,
        /// A claim gets a task whose TTL is over.
        TtlIgnoredByClaim,
        /// A released or lapsed task goes to the end of the line.
        PlaceLost,
        /// A scheduled task is not entered among those that fall due.
        DeadlineDropped,
        /// A new deadline does not make the queue be looked at sooner.
        SoonestLate,
        /// A lapse happens, but is not sent to replicas and the AOF.
        LapseNotRecorded,
        /// EXTEND takes the lease past the TIMEOUT.
        TimeoutOutlived,
        /// RETRY takes a completed task.
        CompletedRevived,
        /// A canceled task is dropped before its worker could hear of it.
        CanceledDroppedEarly,
        /// A made id goes back with the clock.
        IdsFollowTheClock,
        /// A session's claim lapses when its lease ends.
        SessionLapses,
        /// A session's claim does not lapse when its connection is closed.
        SessionOutlivesConnection,
        /// A session's claim whose connection is not known has no end.
        SessionNotBounded,
        /// A dependency that failed counts as completed.
        FailureNotPassedOn,
        /// A task that waits for several is ready after the first.
        FirstIsEnough,
        /// Only one of those that wait is told of an end.
        RestNotTold,
        /// A result is dropped though others need it.
        NeededNotKept,
        /// Those that have not been told of an end wait for the next, if the dependency begins again.
        EndForgotten,
        /// FORGET takes a task that its batch keeps.
        MemberForgotten,
        /// A batch goes when the task that ended last may go.
        LastEndDecides,
        /// A batch that is done goes though others depend on it.
        NeededBatchNotKept,
        /// A push into a sealed batch is taken.
        SealIgnored,
        /// A snapshot forgets that a batch is sealed.
        SealForgotten,
        /// A batch is done for those that wait for it when it is sealed.
        SealIsEnough,
        /// A batch of which a task ended badly counts as completed.
        BadEndNotCounted,
        /// The end of a task that has begun again stays among the ends.
        OldEndStays,
        /// A snapshot leaves no holes among the ends.
        EndsRenumbered,
        /// A batch has the number of one that is gone.
        IncarnationReused,
        /// A snapshot forgets the claims that count for RATE.
        StartsForgotten,
        /// A window of RATE ends a millisecond early.
        WindowShort,
        /// Claims that the clock has stepped back behind stay in the future for RATE.
        FutureStays,
        /// A snapshot forgets when a pause ends.
        PauseEndForgotten,
        /// A queue that takes no pushes takes them.
        PauseTakesPushes,
        /// One more task is claimed than CONCURRENCY allows.
        OneTooManyClaimed,
        /// One more task comes than MAXLEN allows.
        OneTooManyTaken,
        /// One more task is kept than RETAINMAX or FAILEDMAX allows.
        OneTooManyKept,
        /// A snapshot forgets whose turn it is.
        TurnsForgotten,
        /// A group that had a task claimed stays first.
        TurnNotPassedOn,
        /// A task whose claim lapses, or is given back, does not hold its group any more.
        LapseLetsGroupGo,
        /// A canceled task goes on taking its group's slot.
        GroupSlotKept,
        /// A lapse frees the task's key.
        LapseFreesKey,
        /// A completed task's key is free though its time is not over.
        ForEndsWithTask,
        /// A key is free when its completed task is dropped.
        ForEndsWithDrop,
        /// A key is held on though its task was forgotten.
        ForgottenHoldsKey,
        /// A snapshot forgets keys whose task is gone.
        HeldOnForgotten,
        /// The end of a key's time does not make the queue be looked at sooner.
        KeyEndLate,
        /// The follow-up does not have the key after the holder.
        KeyNotPassedOn,
        /// REPLACE puts what is pushed into the holder though another follows it.
        FollowUpPassedOver,
        /// A follow-up fails with the holder.
        FollowUpFailsToo,
        /// A ready task that is replaced goes to the end of the line.
        ReplacedGoesLast,
        /// REPLACE does not count FOR anew.
        ReplaceLeavesFor,
        /// RETRY does not take the key again.
        RetryTakesNoKey,
        /// RETRY takes a task whose key another has.
        RetryIgnoresKey,
        /// That a slot has passed is not sent to replicas and the AOF.
        SlotNotRecorded,
        /// A slot that is late is pushed for, though MISFIRE says skip.
        LateSlotPushed,
        /// All missed slots are made up for, though MISFIRE says once or skip.
        OnceMakesUpAll,
        /// One missed slot is made up for, though MISFIRE says all.
        AllMakesUpOne,
        /// Missed slots are not counted.
        MissedNotCounted,
        /// A slot is pushed for though the task of the last one has not ended and OVERLAP says skip.
        OverlapIgnored,
        /// A slot at which the queue takes no task does not pass.
        RefusedSlotStays,
        /// A slot is pushed for though the server is out of memory.
        PushedWithoutRoom,
        /// A schedule that is said again leaves out the slots that are due.
        SaidAgainSkipsAhead,
        /// A schedule that is changed goes back with the clock.
        SlotsFollowTheClock,
        /// A schedule that is changed does not know the last slot of the one before.
        LastSlotForgotten,
        /// A snapshot forgets which slots of a schedule were the last.
        PassedSlotsForgotten,
        /// The next slot does not make the queue be looked at sooner.
        SlotLate,
        /// A lapse is no event.
        LapseNotKept,
        /// That a push put something in the place of a task is kept twice.
        ReplacedKeptTwice,
        /// A last lapse, by which the task failed, is kept as any other.
        LastLapseKeptAsLapse,
        /// That a batch is done by its seal is no event.
        SealNotKept,
        /// The event of a claim has the attempt before it.
        ClaimBeforeKept,
        /// The event of a late answer does not say whose it was.
        LateWorkerForgotten,
        /// The event of CANCEL names who held the task last.
        LastWorkerKept,
        /// The event of a drop has the instant of the one before.
        DropUndated,
        /// When a drop happened is not sent to replicas and the AOF.
        DateNotRecorded,
        /// One more event is kept than EVENTS says.
        OneTooManyEvents,
        /// EVENTS lets go what is too much only when more comes.
        LoweredLate,
        /// EVENTS 0 lets the numbers of events begin anew.
        OffForgetsNumbers,
        /// What happens with EVENTS 0 is not counted.
        OffNotCounted,
        /// A page gives all events that are in memory, kept or not.
        UnkeptGiven,
        /// A reader is not told that he has missed some.
        MissedNotTold,
        /// A page has all events of its last chunk.
        PageTooLong,
        /// Chunks are looked for as if none were gone.
        FirstChunksForgotten,
        /// The mark in a cursor is not looked at.
        MarkNotChecked,
        /// A cursor is refused if what it was given last is not kept.
        UnkeptTakenForLost,
        /// A cursor that is ahead of the log goes on at its end.
        AheadNotChecked,
        /// A cursor is good for each queue of that name.
        BeginNotChecked,
        /// A replica that is behind takes for lost what is to come.
        BehindTakenForLost,
        /// When a log began is not sent to replicas and the AOF.
        BeginNotRecorded,
        /// A snapshot forgets when the log began.
        BeginForgotten,
        /// A snapshot numbers events from 1 on.
        NumbersForgotten,
    }

    impl Mutation {
        /// All of them.
        pub const ALL: [Self; 100] = [
            Self::FencingSkipped,
            Self::RepeatNotRecognised,
            Self::ResultRepublished,
            Self::LateAnswerRefused,
            Self::VoidingSkipped,
            Self::AttemptReset,
            Self::TriesNotCounted,
            Self::ReleasedTryCounted,
            Self::LastTryLapsesOn,
            Self::TtlOutlivesClaim,
            Self::TtlIgnoredByClaim,
            Self::PlaceLost,
            Self::DeadlineDropped,
            Self::SoonestLate,
            Self::LapseNotRecorded,
            Self::TimeoutOutlived,
            Self::CompletedRevived,
            Self::CanceledDroppedEarly,
            Self::IdsFollowTheClock,
            Self::SessionLapses,
            Self::SessionOutlivesConnection,
            Self::SessionNotBounded,
            Self::FailureNotPassedOn,
            Self::FirstIsEnough,
            Self::RestNotTold,
            Self::NeededNotKept,
            Self::EndForgotten,
            Self::MemberForgotten,
            Self::LastEndDecides,
            Self::NeededBatchNotKept,
            Self::SealIgnored,
            Self::SealForgotten,
            Self::SealIsEnough,
            Self::BadEndNotCounted,
            Self::OldEndStays,
            Self::EndsRenumbered,
            Self::IncarnationReused,
            Self::StartsForgotten,
            Self::WindowShort,
            Self::FutureStays,
            Self::PauseEndForgotten,
            Self::PauseTakesPushes,
            Self::OneTooManyClaimed,
            Self::OneTooManyTaken,
            Self::OneTooManyKept,
            Self::TurnsForgotten,
            Self::TurnNotPassedOn,
            Self::LapseLetsGroupGo,
            Self::GroupSlotKept,
            Self::LapseFreesKey,
            Self::ForEndsWithTask,
            Self::ForEndsWithDrop,
            Self::ForgottenHoldsKey,
            Self::HeldOnForgotten,
            Self::KeyEndLate,
            Self::KeyNotPassedOn,
            Self::FollowUpPassedOver,
            Self::FollowUpFailsToo,
            Self::ReplacedGoesLast,
            Self::ReplaceLeavesFor,
            Self::RetryTakesNoKey,
            Self::RetryIgnoresKey,
            Self::SlotNotRecorded,
            Self::LateSlotPushed,
            Self::OnceMakesUpAll,
            Self::AllMakesUpOne,
            Self::MissedNotCounted,
            Self::OverlapIgnored,
            Self::RefusedSlotStays,
            Self::PushedWithoutRoom,
            Self::SaidAgainSkipsAhead,
            Self::SlotsFollowTheClock,
            Self::LastSlotForgotten,
            Self::PassedSlotsForgotten,
            Self::SlotLate,
            Self::LapseNotKept,
            Self::ReplacedKeptTwice,
            Self::LastLapseKeptAsLapse,
            Self::SealNotKept,
            Self::ClaimBeforeKept,
            Self::LateWorkerForgotten,
            Self::LastWorkerKept,
            Self::DropUndated,
            Self::DateNotRecorded,
            Self::OneTooManyEvents,
            Self::LoweredLate,
            Self::OffForgetsNumbers,
            Self::OffNotCounted,
            Self::UnkeptGiven,
            Self::MissedNotTold,
            Self::PageTooLong,
            Self::FirstChunksForgotten,
            Self::MarkNotChecked,
            Self::UnkeptTakenForLost,
            Self::AheadNotChecked,
            Self::BeginNotChecked,
            Self::BehindTakenForLost,
            Self::BeginNotRecorded,
            Self::BeginForgotten,
            Self::NumbersForgotten,
        ];
    }

    thread_local! {
        static MUTATION: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this thread's queues are broken in this way.
    pub(crate) fn is(mutation: Mutation) -> bool {
        MUTATION.get() == Some(mutation)
    }

    /// Does something with queues that are broken in this way, or whole.
    pub fn with<R>(mutation: Option<Mutation>, run: impl FnOnce() -> R) -> R {
        let before = MUTATION.replace(mutation);
        let outcome = run();
        MUTATION.set(before);
        outcome
    }
}
