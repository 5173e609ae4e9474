//! `MySQLCluster`: a replication topology that something else deployed, registered here.

// Every printer column has a type of its own, which the lint takes for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

pub use super::cluster_status::{InstanceRole, InstanceState, InstanceStatus, MySQLClusterStatus};

use super::common::{DemotedPrimary, LongTransactionPolicy, PromotionRule, ReplicaPolicy, RoutingOrder};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A MySQL replication topology of Pods in this namespace: one primary and its direct replicas. The operator registers
/// it, watches it and moves its primary role on request; it does not own the servers.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "mysql-takeover.io",
    version = "v1alpha1",
    kind = "MySQLCluster",
    plural = "mysqlclusters",
    singular = "mysqlcluster",
    shortname = "mycluster",
    category = "mysql-takeover",
    namespaced,
    status = "MySQLClusterStatus",
    derive = "PartialEq",
    validation = ("size(self.metadata.name) <= 63", "`metadata.name` must have at most 63 characters: it is a label of the Services"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether the topology is healthy"
    ),
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".status.primary",
        description = "The instance that accepts writes"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.replicas",
        description = "Healthy replicas of known replicas"
    ),
    printcolumn(
        name = "Takeover",
        type_ = "string",
        json_path = ".status.activeTakeover.name",
        description = "The takeover that runs now"
    ),
    printcolumn(
        name = "TakeoverReady",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='TakeoverReady')].status",
        description = "Whether a takeover would pass its preflight now"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1,
        description = "Why the cluster is ready or not"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.discovery.selector.matchLabels) || !(self.routing.roleLabel.key in self.discovery.selector.matchLabels)", "`routing.roleLabel.key` must not be a label of `discovery.selector.matchLabels`: an instance would leave the cluster when its role changes"))]
#[x_kube(validation = ("!has(self.discovery.selector.matchExpressions) || !self.discovery.selector.matchExpressions.exists(expression, expression.key == self.routing.roleLabel.key)", "`routing.roleLabel.key` must not be a key of `discovery.selector.matchExpressions`: an instance would leave the cluster when its role changes"))]
pub struct MySQLClusterSpec {
    /// How the instances of the topology are found.
    pub discovery: Discovery,
    /// The account that the operator logs in with on every instance.
    pub credentials: Credentials,
    /// The account that replicas log in with at their source; written into every `CHANGE REPLICATION SOURCE`.
    pub replication_credentials: Credentials,
    /// Transport security of the operator's own connections and of replication. There is no default: `VerifyIdentity` is
    /// what you want and needs your certificate authority; less must be asked for.
    pub tls: Tls,
    /// How clients are sent to the primary.
    #[serde(default)]
    pub routing: Routing,
    /// Which instances may or should become primary. An instance without a rule is `Neutral`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["instance"]))]
    pub promotion_rules: Vec<InstanceRule>,
    /// Limits of a takeover that does not set its own.
    #[serde(default)]
    pub takeover_defaults: TakeoverDefaults,
}

/// How instances are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.selector.matchLabels) || self.selector.matchLabels.all(key, size(key) <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))", "the keys of `selector.matchLabels` must be label keys, such as `app.kubernetes.io/name`"))]
#[x_kube(validation = ("(has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || (has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)", "`selector` must not be empty: name at least one label of the MySQL Pods in `matchLabels`"))]
pub struct Discovery {
    /// Selects the MySQL Pods in the namespace of this resource. Must not be empty.
    #[schemars(schema_with = "selector_schema")]
    pub selector: LabelSelector,
    /// The port on which every instance listens. Default 3306.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The address that replicas are given for their source. Default `Auto`.
    #[serde(default)]
    pub replication_address: ReplicationAddress,
}

/// What is written into `SOURCE_HOST`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplicationAddress {
    /// The Pod's DNS name where the Pod has a hostname and a subdomain (every Pod of a StatefulSet), else its IP address.
    #[default]
    Auto,
    /// Always the Pod's DNS name under its headless Service.
    Hostname,
    /// Always the Pod's IP address; it changes when the Pod is made anew.
    PodIP,
}

/// Where an account's name and password are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// A Secret of this namespace with the keys `username` and `password`.
    pub secret_ref: SecretReference,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// Transport security.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.caSecretRef) || !(self.mode in ['VerifyIdentity', 'VerifyCA'])", "`caSecretRef` must be set when `mode` is VerifyIdentity or VerifyCA; set `mode: Required` to encrypt without verifying the server"))]
pub struct Tls {
    /// `VerifyIdentity` (default): encrypted, certificate chain and server name verified. `VerifyCA`: chain verified.
    /// `Required`: encrypted, not verified. `Disabled`: passwords and data cross the network in clear.
    #[serde(default)]
    pub mode: TlsMode,
    /// The certificate authority to verify servers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretReference>,
}

/// How far a server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Encrypted, chain and name verified.
    #[default]
    VerifyIdentity,
    /// Encrypted, chain verified.
    VerifyCA,
    /// Encrypted, not verified.
    Required,
    /// In clear.
    Disabled,
}

/// A Secret with a certificate authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretReference {
    /// Name of a Secret of this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key of the PEM file in it. Default `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
    /// The path of the same PEM file on the MySQL servers, written into `SOURCE_SSL_CA`. Needed for replication to
    /// verify its source; without it replication is encrypted but its source is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 511), regex(pattern = r"^/[-._/a-zA-Z0-9]+$"))]
    pub path_on_servers: Option<String>,
}

/// How clients find the primary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routing {
    /// The label that tells a Pod's role.
    #[serde(default)]
    pub role_label: RoleLabel,
    /// The Services in front of the topology. Unset: only the role labels are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Services>,
    /// Whether new connections move before the old primary is frozen (`RouteFirst`, default) or after the new one is open.
    #[serde(default)]
    pub order: RoutingOrder,
}

/// The label that tells a Pod's role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.primaryValue != self.replicaValue", "`primaryValue` must differ from `replicaValue`"))]
#[x_kube(validation = ("!self.key.matches('^([^/]*[.])?(kubernetes|k8s)[.]io/') || self.key.startsWith('app.kubernetes.io/')", "`key` must not be a label that Kubernetes sets itself (kubernetes.io/, k8s.io/)"))]
#[x_kube(validation = ("self.key != 'mysql-takeover.io/instance'", "`key` must not be `mysql-takeover.io/instance`, which names the instance"))]
pub struct RoleLabel {
    /// Label key. Default `mysql-takeover.io/role`.
    #[serde(default = "default_role_key")]
    #[schemars(
        length(min = 1, max = 317),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
        )
    )]
    pub key: String,
    /// Value on the primary. Default `primary`.
    #[serde(default = "default_primary_value")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub primary_value: String,
    /// Value on replicas. Default `replica`.
    #[serde(default = "default_replica_value")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"))]
    pub replica_value: String,
}

impl Default for RoleLabel {
    fn default() -> Self {
        Self {
            key: default_role_key(),
            primary_value: default_primary_value(),
            replica_value: default_replica_value(),
        }
    }
}

/// The Services in front of the topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.replicas) || self.replicas != self.primary", "`replicas` must differ from `primary`"))]
pub struct Services {
    /// `Create` (default): the operator creates and owns them, and the primary Service selects one instance. `Observe`:
    /// they are the user's and select on the role label; the operator only moves the labels.
    #[serde(default)]
    pub manage: ManageServices,
    /// Name of the Service that leads to the primary.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub primary: String,
    /// Name of the Service that leads to the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub replicas: Option<String>,
}

/// Who owns the Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManageServices {
    /// The operator.
    #[default]
    Create,
    /// The user.
    Observe,
}

/// The promotion rule of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceRule {
    /// Name of the Pod.
    #[schemars(length(min = 1, max = 253))]
    pub instance: String,
    /// `Prefer`, `Neutral`, `PreferNot` or `MustNot`.
    pub rule: PromotionRule,
}

/// Limits and policies of a takeover that does not set its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.catchUpDeadlineSeconds < self.activeDeadlineSeconds", "`catchUpDeadlineSeconds` must be less than `activeDeadlineSeconds`"))]
pub struct TakeoverDefaults {
    /// Give up if the takeover could not start within this many seconds of its creation. Default 300.
    #[serde(default = "default_starting")]
    #[schemars(range(min = 1, max = 604_800))]
    pub starting_deadline_seconds: i32,
    /// Give up, and undo what was done, if the new primary is not open this many seconds after the start. Default 120.
    #[serde(default = "default_active")]
    #[schemars(range(min = 5, max = 86_400))]
    pub active_deadline_seconds: i32,
    /// The write-outage budget: seconds for which the old primary may stay frozen before it is opened again. Default 10.
    #[serde(default = "default_catch_up")]
    #[schemars(range(min = 1, max = 600))]
    pub catch_up_deadline_seconds: i32,
    /// Replication lag, in seconds, at which the new primary is refused. Default 5.
    #[serde(default = "default_lag")]
    #[schemars(range(min = 0, max = 3600))]
    pub max_replication_lag_seconds: i32,
    /// Age in seconds from which a transaction or statement on the old primary counts as long. Default 5.
    #[serde(default = "default_long_transaction")]
    #[schemars(range(min = 1, max = 3600))]
    pub long_transaction_seconds: i32,
    /// What to do about long transactions and held locks. Default `Fail`.
    #[serde(default)]
    pub long_transaction_policy: LongTransactionPolicy,
    /// Whether every replica must be healthy. Default `RequireAll`.
    #[serde(default)]
    pub replica_policy: ReplicaPolicy,
    /// What the demoted primary does afterwards. Default `StartReplication`.
    #[serde(default)]
    pub demoted_primary: DemotedPrimary,
}

impl Default for TakeoverDefaults {
    fn default() -> Self {
        Self {
            starting_deadline_seconds: default_starting(),
            active_deadline_seconds: default_active(),
            catch_up_deadline_seconds: default_catch_up(),
            max_replication_lag_seconds: default_lag(),
            long_transaction_seconds: default_long_transaction(),
            long_transaction_policy: LongTransactionPolicy::default(),
            replica_policy: ReplicaPolicy::default(),
            demoted_primary: DemotedPrimary::default(),
        }
    }
}

/// A label key: an optional DNS prefix, and a name.
const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// A label value; it may be empty.
const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

fn default_port() -> i32 {
    3306
}
fn default_ca_key() -> String {
    "ca.crt".to_owned()
}
fn default_role_key() -> String {
    "mysql-takeover.io/role".to_owned()
}
fn default_primary_value() -> String {
    "primary".to_owned()
}
fn default_replica_value() -> String {
    "replica".to_owned()
}
fn default_starting() -> i32 {
    300
}
fn default_active() -> i32 {
    120
}
fn default_catch_up() -> i32 {
    10
}
fn default_lag() -> i32 {
    5
}
fn default_long_transaction() -> i32 {
    5
}

/// `LabelSelector` with bounds, which the type of k8s-openapi lacks; without them CEL rules cost too much to be accepted.
fn selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "x-kubernetes-map-type": "atomic",
        "description": "Selects the MySQL Pods in the namespace of this resource. Must not be empty.",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
                "description": "Labels that a Pod must carry."
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32, "x-kubernetes-list-type": "atomic",
                "description": "Requirements that a Pod's labels must meet.",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 317, "pattern": LABEL_KEY, "description": "Label key."},
                        "operator": {
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "How key and values relate."
                        },
                        "values": {
                            "type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                            "items": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
                            "description": "Label values, for In and NotIn."
                        }
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "`values` must be set for In and NotIn, and must not be for Exists and DoesNotExist"
                    }]
                }
            }
        }
    })
}
