//! The mistakes that a takeover of this kind is known to make: each can be planted, and the checker must find it.

/// A property that every state must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promise {
    /// A server that accepts writes holds every acknowledged one.
    NoLostAcknowledgement,
    /// At most one server accepts writes.
    OneWritable,
    /// Nothing is frozen without a recorded intent.
    FrozenImpliesIntent,
    /// Once faults stop, any one operator instance alone brings writes back.
    WritesComeBack,
}

impl Promise {
    /// Every promise.
    pub const ALL: [Self; 4] =
        [Self::NoLostAcknowledgement, Self::OneWritable, Self::FrozenImpliesIntent, Self::WritesComeBack];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoLostAcknowledgement => "NoLostAcknowledgement",
            Self::OneWritable => "OneWritable",
            Self::FrozenImpliesIntent => "FrozenImpliesIntent",
            Self::WritesComeBack => "WritesComeBack",
        }
    }
}

/// A mistake to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// Opens the new primary before the old one is frozen.
    PromoteBeforeFreeze,
    /// Takes a refused compare-and-swap for a success: writes whatever the journal says meanwhile.
    IgnoreConflict,
    /// Looks for no later epoch, neither on the servers nor in the journal, before it acts.
    ActUnderOldEpoch,
    /// Opens without waiting for the frozen set.
    SkipCatchUp,
    /// Takes an answer that did not come for a failure.
    TimeoutIsFailure,
    /// Leaves sessions of earlier epochs alive.
    KeepEarlierSessions,
    /// Takes no lock.
    SkipLock,
    /// Freezes with `read_only` alone.
    ReadOnlyIsEnough,
    /// Freezes before the intent is recorded.
    FreezeBeforeIntent,
    /// Takes the journal's word, not the server's, for whether the new primary is open.
    TrustJournal,
    /// Takes hold of a server and does not ask afterwards whether the claim is still its own.
    TrustHold,
    /// Forgets that it saw the new primary open, where that could not be recorded and the server is lost afterwards.
    ForgetOpen,
    /// Takes the answer to the thaw, and no later look, for the state in which it leaves the old primary.
    TrustThaw,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Self; 13] = [
        Self::PromoteBeforeFreeze,
        Self::IgnoreConflict,
        Self::ActUnderOldEpoch,
        Self::SkipCatchUp,
        Self::TimeoutIsFailure,
        Self::KeepEarlierSessions,
        Self::SkipLock,
        Self::ReadOnlyIsEnough,
        Self::FreezeBeforeIntent,
        Self::TrustJournal,
        Self::TrustHold,
        Self::ForgetOpen,
        Self::TrustThaw,
    ];
}
