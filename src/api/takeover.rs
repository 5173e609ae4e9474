//! `MasterTakeover`: one handing over of the primary role. Runs once; finished is final.

// Every printer column has a type of its own, which the lint takes for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

use super::common::{DemotedPrimary, LongTransactionPolicy, ReplicaPolicy, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hands the primary role of a `MySQLCluster` to another instance, once. `newPrimary: X` says that X is primary
/// afterwards, `oldPrimary: Y` that Y is not; what is already true succeeds at once and changes nothing.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "mysql-takeover.io",
    version = "v1alpha1",
    kind = "MasterTakeover",
    plural = "mastertakeovers",
    singular = "mastertakeover",
    shortname = "takeover",
    category = "mysql-takeover",
    namespaced,
    status = "MasterTakeoverStatus",
    derive = "PartialEq",
    selectable = ".spec.clusterRef.name",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.clusterRef.name",
        description = "The cluster"
    ),
    printcolumn(
        name = "From",
        type_ = "string",
        json_path = ".status.oldPrimary",
        description = "The instance that hands over"
    ),
    printcolumn(
        name = "To",
        type_ = "string",
        json_path = ".status.newPrimary",
        description = "The instance that takes over"
    ),
    printcolumn(
        name = "Progress",
        type_ = "string",
        json_path = ".status.progress",
        description = "Steps done of all steps"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].status",
        description = "Unknown while it runs"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].reason",
        description = "Where it is, or how it ended"
    ),
    printcolumn(
        name = "Outage-ms",
        type_ = "integer",
        json_path = ".status.writeOutageMilliseconds",
        priority = 1,
        description = "Write outage in milliseconds"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].message",
        priority = 1,
        description = "What happened and what to do"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("has(self.newPrimary) || has(self.oldPrimary)", "at least one of `newPrimary` and `oldPrimary` must be set"),
    validation = ("!has(self.newPrimary) || !has(self.oldPrimary) || self.newPrimary != self.oldPrimary", "`newPrimary` must differ from `oldPrimary`"),
    validation = ("!has(self.catchUpDeadlineSeconds) || !has(self.activeDeadlineSeconds) || self.catchUpDeadlineSeconds < self.activeDeadlineSeconds", "`catchUpDeadlineSeconds` must be less than `activeDeadlineSeconds`"),
    validation = ("self.clusterRef == oldSelf.clusterRef", "`clusterRef` is immutable; create a new MasterTakeover"),
    validation = ("has(self.newPrimary) == has(oldSelf.newPrimary) && (!has(self.newPrimary) || self.newPrimary == oldSelf.newPrimary)", "`newPrimary` is immutable; create a new MasterTakeover"),
    validation = ("has(self.oldPrimary) == has(oldSelf.oldPrimary) && (!has(self.oldPrimary) || self.oldPrimary == oldSelf.oldPrimary)", "`oldPrimary` is immutable; create a new MasterTakeover"),
    validation = ("self.mode == oldSelf.mode", "`mode` is immutable; create a new MasterTakeover"),
    validation = ("has(self.demotedPrimary) == has(oldSelf.demotedPrimary) && (!has(self.demotedPrimary) || self.demotedPrimary == oldSelf.demotedPrimary)", "`demotedPrimary` is immutable; create a new MasterTakeover"),
    validation = ("has(self.replicaPolicy) == has(oldSelf.replicaPolicy) && (!has(self.replicaPolicy) || self.replicaPolicy == oldSelf.replicaPolicy)", "`replicaPolicy` is immutable; create a new MasterTakeover"),
    validation = ("has(self.longTransactionPolicy) == has(oldSelf.longTransactionPolicy) && (!has(self.longTransactionPolicy) || self.longTransactionPolicy == oldSelf.longTransactionPolicy)", "`longTransactionPolicy` is immutable; create a new MasterTakeover"),
    validation = ("has(self.startingDeadlineSeconds) == has(oldSelf.startingDeadlineSeconds) && (!has(self.startingDeadlineSeconds) || self.startingDeadlineSeconds == oldSelf.startingDeadlineSeconds)", "`startingDeadlineSeconds` is immutable; create a new MasterTakeover"),
    validation = ("has(self.activeDeadlineSeconds) == has(oldSelf.activeDeadlineSeconds) && (!has(self.activeDeadlineSeconds) || self.activeDeadlineSeconds == oldSelf.activeDeadlineSeconds)", "`activeDeadlineSeconds` is immutable; create a new MasterTakeover"),
    validation = ("has(self.catchUpDeadlineSeconds) == has(oldSelf.catchUpDeadlineSeconds) && (!has(self.catchUpDeadlineSeconds) || self.catchUpDeadlineSeconds == oldSelf.catchUpDeadlineSeconds)", "`catchUpDeadlineSeconds` is immutable; create a new MasterTakeover"),
    validation = ("has(self.maxReplicationLagSeconds) == has(oldSelf.maxReplicationLagSeconds) && (!has(self.maxReplicationLagSeconds) || self.maxReplicationLagSeconds == oldSelf.maxReplicationLagSeconds)", "`maxReplicationLagSeconds` is immutable; create a new MasterTakeover"),
    validation = ("has(self.notAfterTime) == has(oldSelf.notAfterTime) && (!has(self.notAfterTime) || self.notAfterTime == oldSelf.notAfterTime)", "`notAfterTime` is immutable; create a new MasterTakeover"),
    validation = ("!oldSelf.cancel || self.cancel", "`cancel` may not be unset")
)]
pub struct MasterTakeoverSpec {
    /// The `MySQLCluster` of this namespace whose primary moves.
    pub cluster_ref: ClusterReference,
    /// The Pod that is primary afterwards. Unset: the best candidate is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub new_primary: Option<String>,
    /// The Pod that is not primary afterwards. With `newPrimary` it is a guard: another primary fails the takeover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub old_primary: Option<String>,
    /// `Execute` (default), or `DryRun`: every check, no change, ends with the plan.
    #[serde(default)]
    pub mode: Mode,
    /// What the demoted primary does afterwards. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DemotedPrimary")]
    pub demoted_primary: Option<DemotedPrimary>,
    /// Whether every replica must be healthy. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ReplicaPolicy")]
    pub replica_policy: Option<ReplicaPolicy>,
    /// What to do about long transactions and held locks. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LongTransactionPolicy")]
    pub long_transaction_policy: Option<LongTransactionPolicy>,
    /// Give up if not started this many seconds after creation. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub starting_deadline_seconds: Option<i32>,
    /// Give up, and undo, if the new primary is not open this many seconds after the start. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 86_400))]
    pub active_deadline_seconds: Option<i32>,
    /// The write-outage budget in seconds: past it the old primary is opened again. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub catch_up_deadline_seconds: Option<i32>,
    /// Replication lag, in seconds, at which the new primary is refused. Default: as the cluster's `takeoverDefaults`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub max_replication_lag_seconds: Option<i32>,
    /// After this instant the takeover never starts, so that an old manifest cannot fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_time: Option<Time>,
    /// Delete this resource so many seconds after it ended. Unset (default): never. Leave it unset under GitOps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// Created but held until this is false. No effect once started.
    #[serde(default)]
    pub suspend: bool,
    /// Ends the takeover: before the new primary is open everything is undone, after it the takeover is finished. May not be unset.
    #[serde(default)]
    pub cancel: bool,
}

/// A `MySQLCluster` of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterReference {
    /// Name of the `MySQLCluster`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Whether the takeover is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// It is.
    #[default]
    Execute,
    /// Only its checks are.
    DryRun,
}

/// What became of the takeover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterTakeoverStatus {
    /// Generation of the spec that this status speaks of; -1 until the operator has seen the resource.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// When it claimed the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended, one way or the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// The instance that hands over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub old_primary: Option<String>,
    /// The instance that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub new_primary: Option<String>,
    /// Why this instance takes over, such as `RequestedByName` or `MostAdvanced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub target_reason: Option<String>,
    /// Steps done of all steps, such as `6/12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub progress: Option<String>,
    /// Every step with its times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub steps: Vec<StepStatus>,
    /// Everything that the preflight found, each with what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub findings: Vec<Finding>,
    /// GTID set of the old primary after the freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub frozen_gtid_set: Option<String>,
    /// Milliseconds from sending the freeze to the old primary until the new one was open, seen by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_outage_milliseconds: Option<i64>,
    /// The same in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_outage_microseconds: Option<i64>,
    /// Milliseconds that a dry run expects the write outage to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_outage_milliseconds: Option<i64>,
    /// The plan of a dry run, one line a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    pub plan: Vec<String>,
    /// `Succeeded` (Unknown while it runs), `Reconciling`, `Stalled`, `RolledBack`, `Degraded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for MasterTakeoverStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            start_time: None,
            completion_time: None,
            old_primary: None,
            new_primary: None,
            target_reason: None,
            progress: None,
            steps: Vec::new(),
            findings: Vec::new(),
            frozen_gtid_set: None,
            write_outage_milliseconds: None,
            write_outage_microseconds: None,
            expected_outage_milliseconds: None,
            plan: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// One step of the takeover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name of the step.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// What was done, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun, not ended.
    Running,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Done, then undone.
    Undone,
    /// Not needed.
    Skipped,
}

/// Something that the preflight found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable name, such as `TargetLagging`; `docs/preflight.md` explains each.
    #[schemars(length(max = 64))]
    pub code: String,
    /// Whether it refuses the takeover.
    pub severity: Severity,
    /// The instance, Service or Secret that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub subject: Option<String>,
    /// What was found.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// What to do about it.
    #[schemars(length(max = 1024))]
    pub remedy: String,
}

/// Weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// The takeover is refused.
    Error,
    /// The takeover goes on.
    Warning,
}

fn unseen() -> i64 {
    -1
}
