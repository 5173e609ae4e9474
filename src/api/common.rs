//! Types that both kinds share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instant with microseconds, as Kubernetes writes it.
pub type Timestamp = MicroTime;

/// What the demoted primary does afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DemotedPrimary {
    /// It replicates from the new primary (orchestrator's `-auto` variant).
    #[default]
    StartReplication,
    /// Its source is set to the new primary, but replication is left stopped (orchestrator's plain variant).
    LeaveStopped,
}

/// Whether every replica must be healthy for a takeover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplicaPolicy {
    /// A replica that is unreachable, broken or lagging refuses the takeover.
    #[default]
    RequireAll,
    /// Replicas other than the new primary are repointed when they can be; the others are repaired afterwards.
    BestEffort,
}

/// What to do about transactions and statements on the old primary that would hold up the freeze.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LongTransactionPolicy {
    /// Refuse the takeover and name them.
    #[default]
    Fail,
    /// Wait for them before anything is changed, until the deadlines of the takeover.
    Wait,
    /// End their sessions at the freeze.
    Kill,
}

/// How much of a candidate a server is, in orchestrator's four words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PromotionRule {
    /// Chosen before others.
    Prefer,
    /// No preference.
    #[default]
    Neutral,
    /// Chosen only when nothing else can be.
    PreferNot,
    /// Never promoted, not even when named.
    MustNot,
}

/// Which comes first: moving new connections, or freezing the old primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RoutingOrder {
    /// New connections are moved while the old primary still takes writes on the connections it has.
    #[default]
    RouteFirst,
    /// The old primary is frozen and the new one opened before routing moves.
    FreezeFirst,
}
