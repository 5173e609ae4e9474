//! Status of a `MySQLCluster`: what the operator saw last, and the claim of a running takeover.

use super::journal::{ActiveTakeover, Repair, TakeoverRecord};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw last. Written on transitions only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MySQLClusterStatus {
    /// Generation of the spec that this status speaks of; -1 until the operator has seen the resource.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// The instance that accepts writes, when there is exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub primary: Option<String>,
    /// Healthy replicas of known replicas, such as `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub replicas: Option<String>,
    /// Every instance that was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub instances: Vec<InstanceStatus>,
    /// The highest epoch ever claimed. Each claim, and each adoption of a running takeover, is one higher.
    #[serde(default)]
    pub takeover_epoch: i64,
    /// The takeover that holds the cluster now, with its journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_takeover: Option<ActiveTakeover>,
    /// Takeovers that ended, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub takeover_history: Vec<TakeoverRecord>,
    /// Instances that a finished takeover could not repoint; retried until they replicate from the primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub repairs: Vec<Repair>,
    /// `Ready`, `Reconciling`, `Stalled`, `PrimaryWritable`, `ReplicationHealthy`, `TakeoverReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions::schema")]
    pub conditions: Vec<Condition>,
}

impl Default for MySQLClusterStatus {
    fn default() -> Self {
        Self {
            observed_generation: unseen(),
            primary: None,
            replicas: None,
            instances: Vec::new(),
            takeover_epoch: 0,
            active_takeover: None,
            takeover_history: Vec::new(),
            repairs: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// What was last seen of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Name of the Pod.
    #[schemars(length(max = 253))]
    pub name: String,
    /// `server_uuid` of the server in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub server_uuid: Option<String>,
    /// Version that the server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Its role in the topology.
    pub role: InstanceRole,
    /// Whether it accepts writes.
    pub writable: bool,
    /// Its health.
    pub state: InstanceState,
    /// What is wrong, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// Role of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InstanceRole {
    /// It has replicas or accepts writes, and replicates from nobody in the topology.
    Primary,
    /// It replicates from another instance.
    Replica,
    /// Not known: unreachable, or neither of the two.
    Unknown,
}

/// Health of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InstanceState {
    /// As it should be.
    Healthy,
    /// Replicates, but further behind than a takeover allows.
    Lagging,
    /// Replication is stopped or has an error.
    Broken,
    /// The Pod or the server cannot be reached.
    Unreachable,
    /// Login refused.
    AccessDenied,
}

fn unseen() -> i64 {
    -1
}
