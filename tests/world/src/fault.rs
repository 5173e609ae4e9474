//! What can go wrong, and at which call of an operator it does.

use std::fmt;
use std::time::Duration;

/// Something that goes wrong at one call of an operator through one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The operator is killed before the call is sent. Another instance leads once the lease has run out.
    CrashBefore,
    /// The operator is killed after the call took effect, before its answer is seen.
    CrashAfter,
    /// The operator stands still before the call is sent; another one leads meanwhile; then the first goes on.
    PauseBefore,
    /// The same after the call took effect.
    PauseAfter,
    /// A second operator leads from now on, while the first knows nothing of it.
    StolenLease,
    /// The call never arrives: refused at once.
    Refused,
    /// The call takes effect, its answer is lost.
    ReplyLost,
    /// The caller waits in vain; the call takes effect after it gave up.
    Late,
    /// The call takes effect twice.
    Twice,
    /// The API server is gone for a while.
    ApiGone,
    /// The server of this number crashes, and is back, read-only, after a while.
    ServerCrash(usize),
    /// The server of this number cannot be reached by any operator for a while.
    OperatorCut(usize),
    /// The server of this number neither sends nor receives replication for a while.
    ReplicationCut(usize),
    /// The applier of the server of this number stands still for a while.
    ApplierStalls(usize),
    /// A client of the old primary holds a lock that a freeze waits for, for a while.
    LockHeld,
    /// The Pod of the server of this number is made anew: another UID, another address, the same data.
    PodReplaced(usize),
    /// The user cancels.
    Cancelled,
    /// The user deletes the takeover.
    Deleted,
    /// The user deletes the takeover and removes its finalizer by force.
    DeletedByForce,
    /// The user deletes the cluster; it is applied anew once it is gone.
    ClusterDeleted,
    /// A client commits a prepared transaction on the frozen old primary. Not among [`Fault::all`]: where the old primary is lost
    /// next, what it alone holds is lost with it, and nobody can do anything about that.
    SlipsThrough,
    /// Somebody else writes to the cluster's status, so that the next write of ours conflicts.
    Conflict,
}

/// How long what ends by itself lasts. Longer than the write-outage budget and than the patience for one answer.
pub const LASTS: Duration = Duration::from_secs(20);

impl Fault {
    /// Every fault, for each server where it concerns one.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::CrashBefore,
            Self::CrashAfter,
            Self::PauseBefore,
            Self::PauseAfter,
            Self::StolenLease,
            Self::Refused,
            Self::ReplyLost,
            Self::Late,
            Self::Twice,
            Self::ApiGone,
            Self::LockHeld,
            Self::Cancelled,
            Self::Deleted,
            Self::DeletedByForce,
            Self::ClusterDeleted,
            Self::Conflict,
        ];
        for server in 0..crate::SERVERS {
            all.extend([
                Self::ServerCrash(server),
                Self::OperatorCut(server),
                Self::ReplicationCut(server),
                Self::ApplierStalls(server),
                Self::PodReplaced(server),
            ]);
        }
        all
    }

    /// The class under which figures are told.
    pub fn class(self) -> &'static str {
        match self {
            Self::CrashBefore | Self::CrashAfter => "operatorKilled",
            Self::PauseBefore | Self::PauseAfter => "operatorPaused",
            Self::StolenLease => "twoOperators",
            Self::Refused => "callRefused",
            Self::ReplyLost => "replyLost",
            Self::Late => "effectDelayed",
            Self::Twice => "effectTwice",
            Self::ApiGone => "apiGone",
            Self::ServerCrash(_) => "serverCrash",
            Self::OperatorCut(_) => "operatorCut",
            Self::ReplicationCut(_) => "replicationCut",
            Self::ApplierStalls(_) => "applierStalls",
            Self::LockHeld => "lockHeld",
            Self::SlipsThrough => "slipsThrough",
            Self::PodReplaced(_) => "podReplaced",
            Self::Cancelled | Self::Deleted | Self::DeletedByForce | Self::ClusterDeleted => "userChange",
            Self::Conflict => "conflict",
        }
    }

    /// Whether it takes a server away, so that a takeover may rightly end with another primary opened by a person.
    pub fn takes_a_server(self) -> bool {
        match self {
            Self::ServerCrash(_) | Self::PodReplaced(_) => true,
            Self::CrashBefore
            | Self::CrashAfter
            | Self::PauseBefore
            | Self::PauseAfter
            | Self::StolenLease
            | Self::Refused
            | Self::ReplyLost
            | Self::Late
            | Self::Twice
            | Self::ApiGone
            | Self::OperatorCut(_)
            | Self::ReplicationCut(_)
            | Self::ApplierStalls(_)
            | Self::LockHeld
            | Self::Cancelled
            | Self::Deleted
            | Self::DeletedByForce
            | Self::ClusterDeleted
            | Self::SlipsThrough
            | Self::Conflict => false,
        }
    }
}

/// A fault at the call of this number, counted over all operators from the start of the takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Number of the call, from 0.
    pub call: usize,
    /// What goes wrong there.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}@{}", self.fault, self.call)
    }
}

/// What the port does with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect and is answered.
    Normal,
    /// It does not arrive.
    Refused,
    /// It takes effect, the answer is lost.
    ReplyLost,
    /// It takes effect after the caller gave up.
    Late,
    /// It takes effect twice.
    Twice,
    /// It takes effect, then the operator is killed.
    CrashAfter,
    /// It takes effect, then the operator stands still.
    PauseAfter,
}
