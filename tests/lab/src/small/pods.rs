//! Hand-made Pods in front of server processes, and Secrets with their credentials.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::TestNamespace;
use crate::mysqld::{Account, Server};
use crate::wait::{Look, until};

/// What a hand-made Pod says about itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `status.podIP`.
    pub address: IpAddr,
    /// The container port.
    pub port: u16,
}

impl PodSpec {
    /// A Pod for a server, named and labelled as a `StatefulSet` `app` would do it.
    pub fn for_server(server: &Server, app: &str) -> Self {
        let name = server.name();
        let labels = [("app", app), ("statefulset.kubernetes.io/pod-name", &name)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self { labels: labels.into(), address: server.address(), port: server.port(), name }
    }
}

/// Makes the Pod and reports it running and ready at its address.
pub async fn create_pod(namespace: &TestNamespace, spec: &PodSpec) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": spec.name, "labels": spec.labels},
        "spec": {
            // Bound to a node by hand: no scheduler runs here.
            "nodeName": "lab",
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "mysql",
                "image": "registry.local/mysql",
                "ports": [{"name": "mysql", "containerPort": spec.port}],
            }],
        },
    }))
    .context("write a Pod")?;
    pods.create(&PostParams::default(), &pod).await.with_context(|| format!("create Pod {}", spec.name))?;
    set_status(namespace, spec, true).await
}

/// Makes a Pod for a server; see [`PodSpec::for_server`].
pub async fn pod_for(namespace: &TestNamespace, server: &Server, app: &str) -> Result<Pod> {
    create_pod(namespace, &PodSpec::for_server(server, app)).await
}

/// Reports the Pod ready or not ready.
pub async fn set_pod_ready(namespace: &TestNamespace, spec: &PodSpec, ready: bool) -> Result<Pod> {
    set_status(namespace, spec, ready).await
}

async fn set_status(namespace: &TestNamespace, spec: &PodSpec, ready: bool) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {
        "phase": "Running",
        "podIP": spec.address,
        "podIPs": [{"ip": spec.address}],
        "conditions": [
            {"type": "Ready", "status": ready},
            {"type": "ContainersReady", "status": ready},
        ],
    }});
    pods.patch_status(&spec.name, &PatchParams::default(), &Patch::Strategic(&status))
        .await
        .with_context(|| format!("report the status of Pod {}", spec.name))
}

/// Deletes a Pod and waits until it is gone.
pub async fn delete_pod(namespace: &TestNamespace, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    pods.delete(name, &DeleteParams::default().grace_period(0))
        .await
        .with_context(|| format!("delete Pod {name}"))?;
    let (limit, every) = (std::time::Duration::from_secs(10), std::time::Duration::from_millis(20));
    until(&format!("deletion of Pod {name}"), limit, every, async || {
        Ok(match pods.get_opt(name).await.context("read the Pod")? {
            None => Look::Ready(()),
            Some(_) => Look::NotYet("still there".to_owned()),
        })
    })
    .await
}

/// Writes a Secret with the keys `username` and `password`.
pub async fn write_secret(namespace: &TestNamespace, name: &str, account: &Account) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"username": account.user, "password": account.password},
    });
    secrets
        .patch(name, &PatchParams::apply("mysql-takeover-lab").force(), &Patch::Apply(&secret))
        .await
        .with_context(|| format!("write Secret {name}"))?;
    Ok(())
}
