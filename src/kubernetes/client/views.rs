//! What the operator needs to know of Kubernetes' own objects.

use crate::api::MySQLCluster;
use crate::kubernetes::port::{EndpointView, PodView, ServiceView};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Resource, ResourceExt};

pub(super) fn pod(pod: Pod) -> PodView {
    let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    // A Pod that ended keeps its address in its status, while another Pod may have got it since.
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    PodView {
        name,
        uid,
        address: status.pod_ip.filter(|_| !ended).and_then(|address| address.parse().ok()),
        hostname: spec.hostname,
        subdomain: spec.subdomain,
        labels: pod.metadata.labels.unwrap_or_default(),
        terminating,
        ready: status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    }
}

pub(super) fn service(service: Service) -> ServiceView {
    let name = service.name_any();
    let owner_uid = service
        .owner_references()
        .iter()
        .find(|owner| {
            owner.controller == Some(true)
                && owner.kind == MySQLCluster::kind(&())
                && owner.api_version == MySQLCluster::api_version(&())
        })
        .map(|owner| owner.uid.clone());
    let spec = service.spec.unwrap_or_default();
    ServiceView {
        name,
        selector: spec.selector.unwrap_or_default(),
        // Headless is the word `None`, which is no address.
        cluster_ip: spec.cluster_ip.and_then(|address| address.parse().ok()),
        port: spec.ports.unwrap_or_default().first().and_then(|port| u16::try_from(port.port).ok()),
        type_: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
        external_ips: spec.external_ips.is_some_and(|addresses| !addresses.is_empty()),
        owner_uid,
    }
}

pub(super) fn endpoints(slice: EndpointSlice) -> impl Iterator<Item = EndpointView> {
    slice.endpoints.into_iter().map(|endpoint| EndpointView {
        pod: endpoint
            .target_ref
            .filter(|target| target.kind.as_deref() == Some("Pod"))
            .and_then(|target| target.name),
        // Unset means ready (discovery/v1).
        ready: endpoint.conditions.and_then(|conditions| conditions.ready).unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn object<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_that_ended_has_no_address() {
        let with_phase = |phase: &str| {
            pod(object(json!({
                "metadata": {"name": "mysql-0", "uid": "u"},
                "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
            })))
        };
        assert_eq!(with_phase("Running").address, Some("10.0.0.1".parse().unwrap()));
        assert!(with_phase("Running").ready);
        assert_eq!(with_phase("Failed").address, None);
        assert_eq!(pod(object(json!({"metadata": {"name": "mysql-0"}}))).address, None);
    }

    #[test]
    fn a_headless_service_has_no_address() {
        let view = service(object(json!({
            "metadata": {"name": "db", "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other", "controller": false},
                {"apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MySQLCluster", "name": "orders", "uid": "u", "controller": true},
            ]},
            "spec": {"clusterIP": "None", "ports": [{"port": 3306}], "externalIPs": ["192.0.2.1"]},
        })));
        assert_eq!((view.cluster_ip, view.port), (None, Some(3306)));
        assert_eq!(view.owner_uid.as_deref(), Some("u"));
        assert_eq!(view.type_, "ClusterIP");
        assert!(view.external_ips);
    }

    #[test]
    fn an_endpoint_without_conditions_is_ready() {
        let slice: EndpointSlice = object(json!({
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "mysql-0"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
            ],
        }));
        let seen: Vec<_> = endpoints(slice).collect();
        assert_eq!(seen[0], EndpointView { pod: Some("mysql-0".to_owned()), ready: true });
        assert_eq!(seen[1], EndpointView { pod: None, ready: false });
    }
}
