//! Kubernetes objects, seen as the operator needs them.

use super::port::{DesiredService, EndpointView, PodView, ServiceView};
use crate::api::{FIELD_MANAGER, MySQLCluster};
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;

/// What the operator needs to know of a Pod.
pub fn pod(pod: &Pod) -> PodView {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        address: status.and_then(|status| status.pod_ip.as_ref()).and_then(|address| address.parse().ok()),
        hostname: spec.and_then(|spec| spec.hostname.clone()),
        subdomain: spec.and_then(|spec| spec.subdomain.clone()),
        labels: pod.labels().clone(),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        ready: status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        }),
    }
}

/// What the operator needs to know of a Service.
pub fn service(service: &Service) -> ServiceView {
    let spec = service.spec.clone().unwrap_or_default();
    ServiceView {
        name: service.name_any(),
        selector: spec.selector.unwrap_or_default(),
        cluster_ip: spec.cluster_ip.and_then(|address| address.parse().ok()),
        port: spec.ports.unwrap_or_default().first().and_then(|port| u16::try_from(port.port).ok()),
        type_: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
        external_ips: spec.external_ips.is_some_and(|addresses| !addresses.is_empty()),
        owner_uid: service
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| owner.uid.clone()),
    }
}

/// The addresses of an EndpointSlice.
pub fn endpoints(slice: &EndpointSlice) -> Vec<EndpointView> {
    slice
        .endpoints
        .iter()
        .map(|endpoint| EndpointView {
            pod: endpoint.target_ref.as_ref().and_then(|target| target.name.clone()),
            // Absent means ready, says the API.
            ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
        })
        .collect()
}

/// A Service that the cluster owns.
pub fn desired_service(cluster: &MySQLCluster, service: &DesiredService) -> Service {
    Service {
        metadata: ObjectMeta {
            name: Some(service.name.clone()),
            namespace: cluster.namespace(),
            labels: Some(BTreeMap::from([
                ("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned()),
                ("mysql-takeover.io/cluster".to_owned(), cluster.name_any()),
                ("mysql-takeover.io/service".to_owned(), service.role.to_owned()),
            ])),
            owner_references: cluster.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            selector: Some(service.selector.clone()),
            ports: Some(vec![ServicePort {
                name: Some("mysql".to_owned()),
                port: i32::from(service.port),
                target_port: Some(IntOrString::Int(i32::from(service.port))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
