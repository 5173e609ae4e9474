//! The name server: `CoreDNS` beside the node's other servers, behind the usual Service with an EndpointSlice by hand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::layout::{DNS_SERVICE, Layout, NODE_ADDRESS, NODE_NAME};

/// Writes the configuration and returns its path.
pub fn configure(layout: &Layout, kubeconfig: &Path) -> Result<PathBuf> {
    let path = layout.file("Corefile");
    fs::write(&path, corefile(kubeconfig)).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Names that are not the cluster's do not exist: there is no way out, and asking must not take long.
fn corefile(kubeconfig: &Path) -> String {
    let kubeconfig = kubeconfig.display();
    format!(
        "cluster.local in-addr.arpa ip6.arpa {{
    bind {NODE_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
. {{
    bind {NODE_ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"
    )
}

/// The Service that Pods ask, and where it leads.
pub fn manifest() -> String {
    let ports = json!([
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"}
    ]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": DNS_SERVICE, "ports": ports}
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "kube-dns"}
        },
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": true}, "nodeName": NODE_NAME}]
    });
    format!("{service}\n---\n{slice}\n")
}
