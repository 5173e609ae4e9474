//! The limits of one takeover: its own, where it sets them, else its cluster's defaults.

use crate::api::cluster::TakeoverDefaults;
use crate::api::common::{DemotedPrimary, LongTransactionPolicy, ReplicaPolicy};
use crate::api::takeover::MasterTakeoverSpec;

/// The limits and policies of one takeover, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds from creation within which it must start.
    pub starting_deadline_seconds: i32,
    /// Seconds from its start within which the new primary must be open.
    pub active_deadline_seconds: i32,
    /// Seconds for which the old primary may stay frozen.
    pub catch_up_deadline_seconds: i32,
    /// Replication lag at which the new primary is refused.
    pub max_replication_lag_seconds: i32,
    /// Age from which a transaction or statement counts as long.
    pub long_transaction_seconds: i32,
    /// What to do about long transactions and held locks.
    pub long_transaction_policy: LongTransactionPolicy,
    /// Whether every replica must be healthy.
    pub replica_policy: ReplicaPolicy,
    /// What the demoted primary does afterwards.
    pub demoted_primary: DemotedPrimary,
}

impl Limits {
    /// The limits of a takeover on a cluster with these defaults.
    pub fn of(spec: &MasterTakeoverSpec, defaults: &TakeoverDefaults) -> Self {
        let active_deadline_seconds =
            spec.active_deadline_seconds.unwrap_or(defaults.active_deadline_seconds);
        Self {
            starting_deadline_seconds: spec
                .starting_deadline_seconds
                .unwrap_or(defaults.starting_deadline_seconds),
            active_deadline_seconds,
            // Each may come from another object, so that no CEL rule sees both: a budget beyond the whole is the whole.
            catch_up_deadline_seconds: spec
                .catch_up_deadline_seconds
                .unwrap_or(defaults.catch_up_deadline_seconds)
                .min(active_deadline_seconds),
            max_replication_lag_seconds: spec
                .max_replication_lag_seconds
                .unwrap_or(defaults.max_replication_lag_seconds),
            long_transaction_seconds: defaults.long_transaction_seconds,
            long_transaction_policy: spec.long_transaction_policy.unwrap_or(defaults.long_transaction_policy),
            replica_policy: spec.replica_policy.unwrap_or(defaults.replica_policy),
            demoted_primary: spec.demoted_primary.unwrap_or(defaults.demoted_primary),
        }
    }

    /// The defaults of a cluster alone.
    pub fn of_cluster(defaults: &TakeoverDefaults) -> Self {
        Self {
            starting_deadline_seconds: defaults.starting_deadline_seconds,
            active_deadline_seconds: defaults.active_deadline_seconds,
            catch_up_deadline_seconds: defaults.catch_up_deadline_seconds,
            max_replication_lag_seconds: defaults.max_replication_lag_seconds,
            long_transaction_seconds: defaults.long_transaction_seconds,
            long_transaction_policy: defaults.long_transaction_policy,
            replica_policy: defaults.replica_policy,
            demoted_primary: defaults.demoted_primary,
        }
    }
}
