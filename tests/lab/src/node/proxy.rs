//! kube-proxy, which makes the addresses of Services work on a node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::layout::{CLUSTER_RANGE, Layout};

/// Writes the configuration of the kube-proxy of the node called `node`, and returns its path.
///
/// Periods are upstream's defaults: the benchmark measures what users have.
pub fn configure(layout: &Layout, node: &str, kubeconfig: &Path) -> Result<PathBuf> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": node,
        "clusterCIDR": CLUSTER_RANGE,
        // Loopback: each node has its own.
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // The limit belongs to the whole machine and is not writable in a network namespace: kube-proxy would end.
        "conntrack": {"maxPerCore": 0, "min": 0},
    });
    let path = layout.file(&format!("kube-proxy-{node}.json"));
    fs::write(&path, serde_json::to_vec_pretty(&configuration)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
