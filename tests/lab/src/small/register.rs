//! A `MySQLCluster` for servers of the lab.

use super::{TestNamespace, pod_for, write_secret};
use crate::control_plane;
use crate::mysqld::Topology;
use anyhow::Result;
use serde_json::{Value, json};

/// Writes the Secrets and Pods of a topology, and registers it under this name; `change` is laid over the usual spec. Without
/// Services: endpoints on loopback are refused.
pub async fn register(
    namespace: &TestNamespace,
    topology: &Topology,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    write_secret(namespace, "operator", &topology.accounts.operator).await?;
    write_secret(namespace, "replication", &topology.accounts.replication).await?;
    for server in &topology.servers {
        pod_for(namespace, server, name).await?;
    }
    apply_cluster(namespace, name, change).await
}

/// Applies the `MySQLCluster` alone.
pub async fn apply_cluster(
    namespace: &TestNamespace,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let mut spec = json!({
        "discovery": {"selector": {"matchLabels": {"app": name}}},
        "credentials": {"secretRef": {"name": "operator"}},
        "replicationCredentials": {"secretRef": {"name": "replication"}},
        "tls": {"mode": "Required"},
    });
    change(&mut spec);
    let cluster = json!({
        "apiVersion": "mysql-takeover.io/v1alpha1",
        "kind": "MySQLCluster",
        "metadata": {"name": name},
        "spec": spec,
    });
    control_plane::apply(&namespace.client, &cluster.to_string(), Some(&namespace.name)).await
}
