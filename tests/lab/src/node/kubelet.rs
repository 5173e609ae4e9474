//! kubelet, the agent that runs Pods on the node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::containerd;
use super::layout::{DNS_SERVICE, Layout, NODE_ADDRESS};

/// Writes kubelet's configuration (JSON is YAML) and returns its path.
pub fn configure(layout: &Layout, authority: &Path) -> Result<PathBuf> {
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "healthzBindAddress": NODE_ADDRESS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.cgroup()),
        // Refused by default since 1.35.
        "failCgroupV1": false,
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", containerd::SOCKET),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": authority}
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        // The disk is the user's own and may be nearly full.
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%",
            "nodefs.inodesFree": "1%"
        },
        // Images cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        // The node is Ready, and seen to be gone, after seconds.
        "nodeStatusUpdateFrequency": "1s",
        "nodeLeaseDurationSeconds": 4,
        // Watches are enough, but a missed one should not cost a minute.
        "syncFrequency": "10s",
    });
    let path = layout.file("kubelet.json");
    fs::write(&path, serde_json::to_vec_pretty(&configuration)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
