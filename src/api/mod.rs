//! Custom resource types of `mysql-takeover.io/v1alpha1`: what users write and what they read back.
//!
//! Serde and schema only; no client, no decision. Numbers are signed (Kubernetes knows no `uint32` format), every
//! number, string and list is bounded, enums are externally tagged, durations are integers with their unit in the name.

pub mod cluster;
pub mod cluster_status;
pub mod common;
pub mod conditions;
pub mod crd;
pub mod journal;
pub mod takeover;

pub use cluster::{MySQLCluster, MySQLClusterSpec, MySQLClusterStatus};
pub use common::Timestamp;
pub use takeover::{MasterTakeover, MasterTakeoverSpec, MasterTakeoverStatus};

/// API group of both kinds.
pub const GROUP: &str = "mysql-takeover.io";
/// API version of both kinds.
pub const VERSION: &str = "v1alpha1";
/// Finalizer that holds a running `MasterTakeover` until it is undone or finished.
pub const FINALIZER: &str = "mysql-takeover.io/takeover";

/// Whether an object carries our finalizer.
pub fn is_held(object: &impl kube::ResourceExt) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
/// Field manager and event reporter of the operator.
pub const FIELD_MANAGER: &str = "mysql-takeover";
/// Label that names one instance, set on Pods that carry no StatefulSet Pod-name label.
pub const INSTANCE_LABEL: &str = "mysql-takeover.io/instance";
/// Label that the StatefulSet controller sets on each of its Pods, again whenever it makes the Pod anew.
pub const STATEFUL_SET_POD_LABEL: &str = "statefulset.kubernetes.io/pod-name";
