//! The journal of a takeover: what `MySQLCluster.status` remembers so that any operator instance, at any later time, can
//! end what another one began. It lives with the claim and the epoch in one object, so that one compare-and-swap covers all three.
//!
//! It tells what was *intended*. What *happened* is read from the servers.

use super::common::{DemotedPrimary, LongTransactionPolicy, ReplicaPolicy, RoutingOrder, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The claim on a cluster, with its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTakeover {
    /// Name of the `MasterTakeover`.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Hash of its spec, for the replay guard.
    #[schemars(length(max = 64))]
    pub spec_hash: String,
    /// Bumped by every claim and every adoption; a lower epoch sends nothing more.
    pub epoch: i64,
    /// The operator instance that holds the claim.
    #[schemars(length(max = 253))]
    pub holder: String,
    /// When the claim was made.
    pub claimed_at: Timestamp,
    /// Which way the takeover goes.
    pub direction: Direction,
    /// Why it turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Written before the first change to anything. Absent: nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Written after the new primary was seen open. A hint only: open is what the server says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
}

/// Which way a takeover goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// Towards the new primary.
    Forward,
    /// Back to the old one.
    Unwind,
}

/// Why a takeover failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Reason of the `Succeeded` condition.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened and what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// One instance, told apart from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Name of the Pod.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the Pod.
    #[schemars(length(max = 64))]
    pub pod_uid: String,
    /// `server_uuid` of the server in it.
    #[schemars(length(max = 36))]
    pub server_uuid: String,
}

/// What is about to be done, and how everything was before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Who does what to whom.
    pub plan: Plan,
    /// How everything was before.
    pub before: PreImage,
    /// Not opened by then: turn back.
    pub deadline: Timestamp,
}

/// Who does what to whom; frozen when the intent is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The instance that hands over.
    pub old_primary: Identity,
    /// The instance that takes over.
    pub new_primary: Identity,
    /// The other replicas.
    #[schemars(length(max = 64))]
    pub siblings: Vec<Identity>,
    /// Why this instance takes over.
    #[schemars(length(max = 64))]
    pub target_reason: String,
    /// What the demoted primary does afterwards.
    pub demoted_primary: DemotedPrimary,
    /// Whether every replica must be healthy.
    pub replica_policy: ReplicaPolicy,
    /// What to do about whoever holds up the freeze.
    pub long_transaction_policy: LongTransactionPolicy,
    /// The write-outage budget in seconds.
    pub catch_up_deadline_seconds: i32,
    /// Whether routing moves before the freeze.
    pub order: RoutingOrder,
}

/// How everything was before the first change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreImage {
    /// The old primary's read-only state.
    pub old_read_only: ReadOnly,
    /// The new primary's read-only state.
    pub new_read_only: ReadOnly,
    /// Transactions that the new primary had made itself, all of them known to the old one. More than these: it was open.
    #[serde(default)]
    #[schemars(length(max = 65_536))]
    pub new_own_transactions: String,
    /// Selector of the owned primary Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub service_selector: Option<BTreeMap<String, String>>,
    /// Role label of the old and the new primary's Pods; absent where there was none.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub role_labels: BTreeMap<String, String>,
    /// Events that were enabled on the old primary, as `definer`, `schema`, `name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub enabled_events: Vec<EventIdentity>,
}

/// An entry of the event scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventIdentity {
    /// Its schema.
    #[schemars(length(max = 64))]
    pub schema: String,
    /// Its name.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Account that it runs as, `user@host`.
    #[schemars(length(max = 512))]
    pub definer: String,
}

/// `read_only` and `super_read_only` together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadOnly {
    /// Both off: everybody may write.
    Off,
    /// `read_only` only: privileged sessions may write.
    ReadOnly,
    /// Both on: nobody may write but replication.
    SuperReadOnly,
}

/// The moment of opening.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// When the new primary was seen open.
    pub at: Timestamp,
    /// GTID set of the old primary after the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub frozen_gtid_set: Option<String>,
    /// Write outage in microseconds, where this operator instance saw both ends of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_outage_microseconds: Option<i64>,
}

/// An ended takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TakeoverRecord {
    /// Name of the `MasterTakeover`.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Hash of its spec.
    #[schemars(length(max = 64))]
    pub spec_hash: String,
    /// Whether the primary moved.
    pub moved: bool,
    /// Whether something had been changed and was undone.
    #[serde(default)]
    pub rolled_back: bool,
    /// Reason of its `Succeeded` condition.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Message of its `Succeeded` condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// The instance that handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub old_primary: Option<String>,
    /// The instance that took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub new_primary: Option<String>,
    /// Epoch under which it ended.
    pub epoch: i64,
    /// When it ended.
    pub completion_time: Timestamp,
    /// Write outage in microseconds, where it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_outage_microseconds: Option<i64>,
    /// GTID set of the old primary after the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub frozen_gtid_set: Option<String>,
    /// Instances that could not be repointed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub degraded: Vec<Repair>,
}

/// An instance that still has to be repointed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// The instance.
    #[schemars(length(max = 253))]
    pub instance: String,
    /// The primary that it must replicate from.
    #[schemars(length(max = 253))]
    pub source: String,
    /// Whether its replication is to be started.
    pub start: bool,
    /// Why it could not be done yet.
    #[schemars(length(max = 1024))]
    pub message: String,
}
