//! How a takeover ends: the reasons of the `Succeeded` condition. Documented in `docs/takeover.md`; they are API.

/// The end of a takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The primary moved and every instance followed.
    Promoted,
    /// What was asked for was so already; nothing was changed.
    AlreadySatisfied,
    /// A takeover of this name and spec was carried out before; nothing was changed.
    AlreadyExecuted,
    /// Every check of a dry run passed.
    DryRunPassed,
    /// A check refused the takeover; nothing was changed.
    PreflightFailed,
    /// Another instance is primary than `oldPrimary` says; nothing was changed.
    PreconditionFailed,
    /// The new primary did not keep up while writes flowed; nothing was changed.
    CatchUpNotProven,
    /// Routing did not move in time; undone.
    RouteFailed,
    /// The old primary could not be frozen, because a session held it up; undone.
    FreezeBlocked,
    /// The old primary could not be frozen for another cause; undone.
    FreezeFailed,
    /// The new primary did not hold everything within the write-outage budget; undone.
    CatchUpDeadlineExceeded,
    /// The new primary could not be opened for another cause; undone.
    OpenFailed,
    /// Not open by the active deadline; undone.
    ActiveDeadlineExceeded,
    /// Not started by the starting deadline; nothing was changed.
    StartingDeadlineExceeded,
    /// Past `notAfterTime`; nothing was changed.
    Expired,
    /// A server could not be reached before the new primary was open; undone.
    ServerUnreachable,
    /// Cancelled or deleted before the new primary was open; undone.
    Cancelled,
    /// The `MySQLCluster` is not there or cannot be used; nothing was changed.
    ClusterUnusable,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Promoted,
        Self::AlreadySatisfied,
        Self::AlreadyExecuted,
        Self::DryRunPassed,
        Self::PreflightFailed,
        Self::PreconditionFailed,
        Self::CatchUpNotProven,
        Self::RouteFailed,
        Self::FreezeBlocked,
        Self::FreezeFailed,
        Self::CatchUpDeadlineExceeded,
        Self::OpenFailed,
        Self::ActiveDeadlineExceeded,
        Self::StartingDeadlineExceeded,
        Self::Expired,
        Self::ServerUnreachable,
        Self::Cancelled,
        Self::ClusterUnusable,
    ];

    /// As written into conditions, history and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "Promoted",
            Self::AlreadySatisfied => "AlreadySatisfied",
            Self::AlreadyExecuted => "AlreadyExecuted",
            Self::DryRunPassed => "DryRunPassed",
            Self::PreflightFailed => "PreflightFailed",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::CatchUpNotProven => "CatchUpNotProven",
            Self::RouteFailed => "RouteFailed",
            Self::FreezeBlocked => "FreezeBlocked",
            Self::FreezeFailed => "FreezeFailed",
            Self::CatchUpDeadlineExceeded => "CatchUpDeadlineExceeded",
            Self::OpenFailed => "OpenFailed",
            Self::ActiveDeadlineExceeded => "ActiveDeadlineExceeded",
            Self::StartingDeadlineExceeded => "StartingDeadlineExceeded",
            Self::Expired => "Expired",
            Self::ServerUnreachable => "ServerUnreachable",
            Self::Cancelled => "Cancelled",
            Self::ClusterUnusable => "ClusterUnusable",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Whether the takeover counts as succeeded.
    pub fn succeeded(self) -> bool {
        match self {
            Self::Promoted | Self::AlreadySatisfied | Self::AlreadyExecuted | Self::DryRunPassed => true,
            Self::PreflightFailed
            | Self::PreconditionFailed
            | Self::CatchUpNotProven
            | Self::RouteFailed
            | Self::FreezeBlocked
            | Self::FreezeFailed
            | Self::CatchUpDeadlineExceeded
            | Self::OpenFailed
            | Self::ActiveDeadlineExceeded
            | Self::StartingDeadlineExceeded
            | Self::Expired
            | Self::ServerUnreachable
            | Self::Cancelled
            | Self::ClusterUnusable => false,
        }
    }
}

/// A reason with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Reason of the `Succeeded` condition.
    pub reason: Reason,
    /// What happened and what to do.
    pub message: String,
}

impl Outcome {
    /// An outcome of that reason and message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_parse_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
    }
}
