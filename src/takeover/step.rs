//! The twelve steps of a takeover, and the facts about each in one place.

/// A step of a takeover, in the order of `RouteFirst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Resolves who hands over to whom, and claims the cluster.
    Admit,
    /// Checks everything that can be checked without changing anything.
    Preflight,
    /// Shows that the new primary keeps up while writes flow.
    ProveCatchUp,
    /// Takes the locks and writes down what is about to be done and how everything was before.
    RecordIntent,
    /// Sends new connections to the new primary.
    Route,
    /// Makes the old primary refuse writes.
    Freeze,
    /// Opens the new primary once it holds everything the old one has.
    Open,
    /// Ends the client sessions on the old primary.
    Disconnect,
    /// Lets the new primary forget its source, after a late check that nothing was left behind.
    Detach,
    /// Makes the siblings and the old primary replicate from the new one.
    Reattach,
    /// Looks at everything afresh.
    Verify,
    /// Writes the history and releases the claim.
    Finish,
}

/// What undoing a step means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversal {
    /// It changed nothing.
    Nothing,
    /// Its pre-image is restored.
    Undo,
    /// It is at or past the point of no return: only forward from here.
    Forbidden,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 12] = [
        Self::Admit,
        Self::Preflight,
        Self::ProveCatchUp,
        Self::RecordIntent,
        Self::Route,
        Self::Freeze,
        Self::Open,
        Self::Disconnect,
        Self::Detach,
        Self::Reattach,
        Self::Verify,
        Self::Finish,
    ];

    /// Name in status, metrics and documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admit => "Admit",
            Self::Preflight => "Preflight",
            Self::ProveCatchUp => "ProveCatchUp",
            Self::RecordIntent => "RecordIntent",
            Self::Route => "Route",
            Self::Freeze => "Freeze",
            Self::Open => "Open",
            Self::Disconnect => "Disconnect",
            Self::Detach => "Detach",
            Self::Reattach => "Reattach",
            Self::Verify => "Verify",
            Self::Finish => "Finish",
        }
    }

    /// Reason of the `Succeeded` condition while the step runs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Admit => "Admitting",
            Self::Preflight => "Preflight",
            Self::ProveCatchUp => "ProvingCatchUp",
            Self::RecordIntent => "RecordingIntent",
            Self::Route => "Routing",
            Self::Freeze => "FreezingWrites",
            Self::Open => "Opening",
            Self::Disconnect => "Disconnecting",
            Self::Detach => "Detaching",
            Self::Reattach => "Reattaching",
            Self::Verify => "Verifying",
            Self::Finish => "Finishing",
        }
    }

    /// What goes on while the step runs, for people.
    pub fn doing(self) -> &'static str {
        match self {
            Self::Admit => "claiming the cluster",
            Self::Preflight => "checking everything that can be checked without changing it",
            Self::ProveCatchUp => "waiting until the new primary keeps up with the old one",
            Self::RecordIntent => "locking both servers, writing down how they are",
            Self::Route => "sending new connections to the new primary",
            Self::Freeze => "making the old primary read-only",
            Self::Open => "the new primary applies what is left, then opens",
            Self::Disconnect => "the new primary is open; ending client sessions on the old one",
            Self::Detach => "the new primary is open; checking that nothing is left behind",
            Self::Reattach => "the new primary is open; the others are told to follow it",
            Self::Verify => "the new primary is open; looking at every server afresh",
            Self::Finish => "writing the history, releasing the cluster",
        }
    }

    /// What undoing it means.
    pub fn reversal(self) -> Reversal {
        match self {
            Self::Preflight | Self::ProveCatchUp => Reversal::Nothing,
            Self::Admit | Self::RecordIntent | Self::Route | Self::Freeze => Reversal::Undo,
            Self::Open | Self::Disconnect | Self::Detach | Self::Reattach | Self::Verify | Self::Finish => {
                Reversal::Forbidden
            }
        }
    }
}
