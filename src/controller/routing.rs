//! Where new connections go: the owned primary Service's selector, or role labels that watched Services select on.

use super::Context;
use super::access::Access;
use super::landing::{Landing, Watchers};
use crate::api::cluster::{ManageServices, MySQLCluster, Services};
use crate::api::journal::PreImage;
use crate::api::{INSTANCE_LABEL, STATEFUL_SET_POD_LABEL};
use crate::kubernetes::port::{DesiredService, PodView};
use crate::kubernetes::{ApiError, Key, Kubernetes};
use crate::mysql::{Endpoint, Servers};
use crate::takeover::Routed;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Hits in a row that count where two label patches, and so two syncs of kube-proxy, are in play.
const HITS_WITH_LABELS: u32 = 8;
/// Pause between two looks at EndpointSlices.
const SLICE_PAUSE: Duration = Duration::from_millis(10);

/// The selector that an owned primary Service has for an instance: one instance, by a label that its owner sets again
/// when the Pod is made anew.
pub fn selector(pod: &PodView) -> BTreeMap<String, String> {
    let key = if pod.labels.get(STATEFUL_SET_POD_LABEL) == Some(&pod.name) {
        STATEFUL_SET_POD_LABEL
    } else {
        INSTANCE_LABEL
    };
    BTreeMap::from([(key.to_owned(), pod.name.clone())])
}

/// The Services of a cluster that the operator owns.
pub fn owned(cluster: &MySQLCluster) -> Option<&Services> {
    cluster.spec.routing.services.as_ref().filter(|services| services.manage == ManageServices::Create)
}

/// Moves new connections of one cluster.
pub struct Router<'a, K, S> {
    /// Surroundings.
    pub context: &'a Context<K, S>,
    /// The cluster.
    pub cluster: &'a MySQLCluster,
    /// Its Pods and accounts.
    pub access: &'a Access,
}

impl<K: Kubernetes, S: Servers> Router<'_, K, S> {
    /// The routing of the two instances as it is now.
    pub async fn pre_image(
        &self,
        old: &str,
        new: &str,
    ) -> Result<(Option<BTreeMap<String, String>>, BTreeMap<String, String>), ApiError> {
        let service_selector = match owned(self.cluster) {
            Some(services) => self
                .context
                .kubernetes
                .service(&Key::new(&self.access.key.namespace, &services.primary))
                .await?
                .map(|service| service.selector),
            None => None,
        };
        let key = &self.cluster.spec.routing.role_label.key;
        let labels = [old, new]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.access.pod(name)?.labels.get(key)?.clone())))
            .collect();
        Ok((service_selector, labels))
    }

    /// Where new connections go now, as far as the API tells.
    pub async fn observe(&self, old: &str, new: &str) -> Result<Routed, ApiError> {
        let namespace = &self.access.key.namespace;
        if let Some(services) = owned(self.cluster) {
            let service = self.context.kubernetes.service(&Key::new(namespace, &services.primary)).await?;
            let leads_to = |name: &str| {
                service
                    .as_ref()
                    .zip(self.access.pod(name))
                    .is_some_and(|(service, pod)| service.selector == selector(pod))
            };
            return Ok(match (leads_to(old), leads_to(new)) {
                (true, false) => Routed::Old,
                (false, true) => Routed::New,
                (true, true) | (false, false) => Routed::Unknown,
            });
        }
        let label = &self.cluster.spec.routing.role_label;
        let is_primary = |name: &str| {
            self.access
                .pod(name)
                .and_then(|pod| pod.labels.get(&label.key))
                .is_some_and(|value| *value == label.primary_value)
        };
        Ok(match (is_primary(old), is_primary(new)) {
            (true, false) => Routed::Old,
            (false, true) => Routed::New,
            (true, true) | (false, false) => Routed::Unknown,
        })
    }

    /// Sends new connections to `to` instead of `from`, and waits, bounded, until they really land there. The message
    /// tells what was seen. An owned Service is one write; labels are two, the new one first so that no slice is empty.
    pub async fn send_to(
        &self,
        from: &str,
        to: &str,
        server_uuid: &str,
        watchers: Watchers<'_, S::Session>,
    ) -> Result<String, RouteError> {
        let started = Instant::now();
        let pod = self.access.pod(to).ok_or_else(|| RouteError::Late(format!("there is no Pod {to}")))?;
        let landing = match self.service_endpoint().await? {
            Some(service) => Landing::try_out(&self.context.servers, service, watchers.old).await,
            None => None,
        };
        if let Some(services) = owned(self.cluster) {
            self.point(services, pod).await?;
        } else {
            let label = &self.cluster.spec.routing.role_label;
            self.label(to, Some(&label.primary_value)).await?;
            self.label(from, Some(&label.replica_value)).await?;
        }
        match (landing, &self.cluster.spec.routing.services) {
            (Some(landing), _) => {
                self.until_landed(&landing, server_uuid, watchers.new, started).await?;
                Ok(format!(
                    "new connections through the Service land on {to} after {} ms",
                    started.elapsed().as_millis()
                ))
            }
            (None, Some(services)) => {
                self.until_sliced(services, to, started).await?;
                Ok(format!(
                    "the EndpointSlices of {} show {to} after {} ms; the Service itself cannot be reached from the operator",
                    services.primary,
                    started.elapsed().as_millis()
                ))
            }
            (None, None) => Ok(format!("role label set on {to}")),
        }
    }

    /// Gives routing its recorded shape back.
    pub async fn restore(&self, before: &PreImage, old: &str, new: &str) -> Result<(), ApiError> {
        if let (Some(services), Some(pod)) = (owned(self.cluster), self.access.pod(old)) {
            let mut service = self.desired_primary(services, pod);
            if let Some(recorded) = &before.service_selector {
                service.selector.clone_from(recorded);
            }
            self.context.kubernetes.ensure_service(self.cluster, &service).await?;
        }
        // The old primary first: no moment without an endpoint.
        for name in [old, new] {
            self.label(name, before.role_labels.get(name).map(String::as_str)).await?;
        }
        Ok(())
    }

    /// Sets role labels of all Pods: `primary` on one, `replica` on all others. Only what differs from what was read is
    /// written, so the Pods must have been read after the last change of routing.
    pub async fn label_all(&self, primary: &str) -> Result<(), ApiError> {
        let label = &self.cluster.spec.routing.role_label;
        for pod in &self.access.pods {
            let wanted = if pod.name == primary { &label.primary_value } else { &label.replica_value };
            if pod.labels.get(&label.key) != Some(wanted) {
                self.label(&pod.name, Some(wanted)).await?;
            }
        }
        Ok(())
    }

    /// Makes the owned Services what they should be, with the primary Service leading to `primary`.
    pub async fn ensure_services(&self, primary: &str) -> Result<(), ApiError> {
        let (Some(services), Some(pod)) = (owned(self.cluster), self.access.pod(primary)) else {
            return Ok(());
        };
        self.point(services, pod).await?;
        if let Some(name) = &services.replicas {
            let label = &self.cluster.spec.routing.role_label;
            let mut wanted = self.cluster.spec.discovery.selector.match_labels.clone().unwrap_or_default();
            wanted.insert(label.key.clone(), label.replica_value.clone());
            let service =
                DesiredService { name: name.clone(), selector: wanted, port: self.port(), role: "replica" };
            self.ensure(&service).await?;
        }
        Ok(())
    }

    async fn point(&self, services: &Services, pod: &PodView) -> Result<(), ApiError> {
        let wanted = self.desired_primary(services, pod);
        if wanted.selector.contains_key(INSTANCE_LABEL) && pod.labels.get(INSTANCE_LABEL) != Some(&pod.name) {
            self.context
                .kubernetes
                .label_pod(&self.access.key.namespace, pod, INSTANCE_LABEL, Some(&pod.name))
                .await?;
        }
        self.ensure(&wanted).await
    }

    async fn ensure(&self, wanted: &DesiredService) -> Result<(), ApiError> {
        let key = Key::new(&self.access.key.namespace, &wanted.name);
        let seen = self.context.kubernetes.service(&key).await?;
        if seen.is_some_and(|seen| seen.selector == wanted.selector && seen.port == Some(wanted.port)) {
            return Ok(());
        }
        self.context.kubernetes.ensure_service(self.cluster, wanted).await
    }

    fn desired_primary(&self, services: &Services, pod: &PodView) -> DesiredService {
        DesiredService {
            name: services.primary.clone(),
            selector: selector(pod),
            port: self.port(),
            role: "primary",
        }
    }

    fn port(&self) -> u16 {
        u16::try_from(self.cluster.spec.discovery.port).unwrap_or(3306)
    }

    /// Sets a role label. The label may have been read before an earlier change, so that equality with what was read
    /// then proves nothing: it is always written.
    async fn label(&self, name: &str, value: Option<&str>) -> Result<(), ApiError> {
        let Some(pod) = self.access.pod(name) else { return Ok(()) };
        let key = &self.cluster.spec.routing.role_label.key;
        self.context.kubernetes.label_pod(&self.access.key.namespace, pod, key, value).await
    }

    /// The address behind which the primary Service answers.
    async fn service_endpoint(&self) -> Result<Option<Endpoint>, ApiError> {
        let Some(services) = &self.cluster.spec.routing.services else { return Ok(None) };
        let key = Key::new(&self.access.key.namespace, &services.primary);
        let service = self.context.kubernetes.service(&key).await?;
        Ok(service.and_then(|service| {
            Some(self.access.endpoint_at(&services.primary, service.cluster_ip?, service.port?))
        }))
    }

    async fn until_landed(
        &self,
        landing: &Landing<'_, S>,
        server_uuid: &str,
        new: Option<&mut S::Session>,
        started: Instant,
    ) -> Result<(), RouteError> {
        let hits = if owned(self.cluster).is_some() { 1 } else { HITS_WITH_LABELS };
        let limit = self.context.settings.route_limit.saturating_sub(started.elapsed());
        if landing.reached(server_uuid, new, hits, limit).await {
            return Ok(());
        }
        Err(RouteError::Late(format!(
            "new connections through Service {} did not reach the new primary within {} s. Look at its EndpointSlices and at kube-proxy",
            landing.service_name(),
            self.context.settings.route_limit.as_secs()
        )))
    }

    async fn until_sliced(&self, services: &Services, to: &str, started: Instant) -> Result<(), RouteError> {
        let key = Key::new(&self.access.key.namespace, &services.primary);
        while started.elapsed() < self.context.settings.route_limit {
            let endpoints = self.context.kubernetes.endpoints(&key).await?;
            let mut ready =
                endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.pod.as_deref());
            if ready.next() == Some(Some(to)) && ready.next().is_none() {
                return Ok(());
            }
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Err(RouteError::Late(format!(
            "the EndpointSlices of Service {} did not show {to} alone within {} s. Look at the Pod's readiness and at the Service's selector",
            services.primary,
            self.context.settings.route_limit.as_secs()
        )))
    }
}

/// Why routing did not move.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// It did not show in time.
    #[error("{0}")]
    Late(String),
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}
