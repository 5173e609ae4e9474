//! Whether a takeover may begin, waits, or is over before it begins.

use super::Limits;
use super::outcome::{Outcome, Reason};
use crate::api::journal::{ActiveTakeover, TakeoverRecord};
use crate::api::takeover::{MasterTakeoverSpec, Mode};
use crate::topology::{Primary, Topology, candidate};

/// What admission looks at besides the topology.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Name of the takeover.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// Its spec.
    pub spec: &'a MasterTakeoverSpec,
    /// Hash of the part of its spec that tells what it does.
    pub spec_hash: &'a str,
    /// Its status says that it claimed a cluster.
    pub begun: bool,
    /// It is being deleted.
    pub deleted: bool,
    /// Seconds since it was created.
    pub age_seconds: i64,
    /// `notAfterTime` has passed.
    pub expired: bool,
    /// Its limits.
    pub limits: &'a Limits,
}

/// What becomes of a takeover before the topology is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// This takeover holds the cluster already: carry it on.
    Continue,
    /// It ended before, but its own status does not say so yet.
    Ended(Box<TakeoverRecord>),
    /// It ends without having begun.
    Refuse(Outcome),
    /// It is held by `suspend`.
    Suspended,
    /// Another takeover holds the cluster, or an older one waits too.
    Queued {
        /// The one that goes first.
        behind: String,
    },
    /// It may look at the topology and begin.
    Begin,
}

/// Decides from the claim, the history and the other waiting takeovers (`older`: names of those created before this one).
pub fn admit(
    request: &Request<'_>,
    active: Option<&ActiveTakeover>,
    history: &[TakeoverRecord],
    older: &[String],
) -> Admission {
    if active.is_some_and(|active| active.uid == request.uid) {
        return Admission::Continue;
    }
    if let Some(record) = history.iter().find(|record| record.uid == request.uid) {
        return Admission::Ended(Box::new(record.clone()));
    }
    // This cluster knows nothing of it: it was applied anew. To begin again would carry it out twice, and to say that nothing
    // was changed might be untrue.
    if request.begun {
        return Admission::Refuse(without_journal(&request.spec.cluster_ref.name));
    }
    if request.deleted || request.spec.cancel {
        return Admission::Refuse(Outcome::new(
            Reason::Cancelled,
            "cancelled before it began; nothing was changed",
        ));
    }
    if let Some(record) = history
        .iter()
        .find(|record| record.moved && record.name == request.name && record.spec_hash == request.spec_hash)
    {
        return Admission::Refuse(Outcome::new(
            Reason::AlreadyExecuted,
            format!(
                "a MasterTakeover of this name and content was carried out at {}; nothing was changed. Use another name to move the primary again",
                record.completion_time.0
            ),
        ));
    }
    if request.expired {
        return Admission::Refuse(Outcome::new(
            Reason::Expired,
            "`notAfterTime` has passed; nothing was changed",
        ));
    }
    if request.spec.suspend {
        return Admission::Suspended;
    }
    if request.age_seconds > i64::from(request.limits.starting_deadline_seconds) {
        return Admission::Refuse(Outcome::new(
            Reason::StartingDeadlineExceeded,
            format!(
                "it could not start within `startingDeadlineSeconds` ({} s) of its creation; nothing was changed",
                request.limits.starting_deadline_seconds
            ),
        ));
    }
    // A dry run changes nothing, so that it need not wait.
    if request.spec.mode == Mode::DryRun {
        return Admission::Begin;
    }
    if let Some(active) = active {
        return Admission::Queued { behind: active.name.clone() };
    }
    match older.first() {
        Some(first) => Admission::Queued { behind: first.clone() },
        None => Admission::Begin,
    }
}

/// The end of a takeover whose cluster went, or was applied anew, under it.
pub fn without_journal(cluster: &str) -> Outcome {
    Outcome::new(
        Reason::ClusterUnusable,
        format!(
            "MySQLCluster {cluster} was removed together with its finalizer during this takeover, and its journal with it: \
             nothing was undone. Look which server accepts writes; if none does, compare their GTID sets and set \
             `read_only=OFF` on the one that lacks nothing"
        ),
    )
}

/// Who hands over to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A takeover from `old` to `new`.
    Move {
        /// The instance that hands over.
        old: String,
        /// The instance that takes over.
        new: String,
        /// Why this one.
        reason: String,
    },
    /// It ends at once.
    End(Outcome),
    /// It cannot be resolved; the preflight says why. What is known of the two is told.
    Unresolved {
        /// The instance that would hand over.
        old: Option<String>,
        /// The instance that would take over.
        new: Option<String>,
    },
}

/// Resolves who hands over to whom, from what the servers say now.
pub fn resolve(spec: &MasterTakeoverSpec, topology: &Topology, limits: &Limits) -> Target {
    let primary = match topology.primary() {
        Primary::One(primary) => primary,
        Primary::None | Primary::Many(_) => {
            return Target::Unresolved { old: spec.old_primary.clone(), new: spec.new_primary.clone() };
        }
    };
    match (&spec.new_primary, &spec.old_primary) {
        (Some(new), _) if *new == primary => Target::End(Outcome::new(
            Reason::AlreadySatisfied,
            format!("{new} is primary already; nothing was changed"),
        )),
        (None, Some(old)) if *old != primary => Target::End(Outcome::new(
            Reason::AlreadySatisfied,
            format!("{old} is not primary, {primary} is; nothing was changed"),
        )),
        (Some(_), Some(old)) if *old != primary => Target::End(Outcome::new(
            Reason::PreconditionFailed,
            format!(
                "`oldPrimary` says {old}, but {primary} is primary; nothing was changed. Look at the cluster again, then create a new MasterTakeover"
            ),
        )),
        (Some(new), _) => {
            Target::Move { old: primary, new: new.clone(), reason: "RequestedByName".to_owned() }
        }
        (None, _) => match candidate::choose(topology, &primary, limits) {
            Ok(choice) => Target::Move { old: primary, new: choice.name, reason: choice.reason.to_owned() },
            Err(_) => Target::Unresolved { old: Some(primary), new: None },
        },
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
