//! The port on the `kube` client.

mod events;
mod request;
mod service;
mod views;

use super::port::{
    ApiError, Commit, DesiredService, EndpointView, Key, Kubernetes, Notice, PodView, Regarding, SecretData,
    ServiceView,
};
use crate::api::{FIELD_MANAGER, MasterTakeover, MySQLCluster};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{NamespaceResourceScope, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Bound on one request, unless set otherwise. An API server that needs longer is not one to change a primary with.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The Kubernetes API through one client. Every read is fresh: no `resourceVersion=0`, which may be answered from a cache.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    reporter: Arc<str>,
    limit: Duration,
}

impl KubeApi {
    /// The API through this client; its own retries must be off. `reporter` names this operator instance in Events.
    pub fn new(client: Client, reporter: &str) -> Self {
        Self { client, reporter: reporter.into(), limit: REQUEST_LIMIT }
    }

    /// The same with another bound on every request.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

impl Kubernetes for KubeApi {
    async fn takeover(&self, key: &Key) -> Result<Option<MasterTakeover>, ApiError> {
        let api = self.api::<MasterTakeover>(&key.namespace);
        self.bounded(&format!("read MasterTakeover {key}"), api.get_opt(&key.name)).await
    }

    async fn cluster(&self, key: &Key) -> Result<Option<MySQLCluster>, ApiError> {
        let api = self.api::<MySQLCluster>(&key.namespace);
        self.bounded(&format!("read MySQLCluster {key}"), api.get_opt(&key.name)).await
    }

    async fn takeovers_of(&self, cluster: &Key) -> Result<Vec<MasterTakeover>, ApiError> {
        let api = self.api::<MasterTakeover>(&cluster.namespace);
        let parameters = ListParams::default().fields(&format!("spec.clusterRef.name={}", cluster.name));
        let found =
            self.bounded(&format!("list the MasterTakeovers of {cluster}"), api.list(&parameters)).await?;
        Ok(found.items)
    }

    async fn commit_cluster(&self, cluster: &MySQLCluster) -> Commit<MySQLCluster> {
        self.commit_status("MySQLCluster", cluster).await
    }

    async fn commit_takeover(&self, takeover: &MasterTakeover) -> Commit<MasterTakeover> {
        self.commit_status("MasterTakeover", takeover).await
    }

    async fn set_finalizer(&self, takeover: &MasterTakeover, present: bool) -> Commit<MasterTakeover> {
        self.commit_finalizer("MasterTakeover", takeover, present).await
    }

    async fn set_cluster_finalizer(&self, cluster: &MySQLCluster, present: bool) -> Commit<MySQLCluster> {
        self.commit_finalizer("MySQLCluster", cluster, present).await
    }

    async fn delete_takeover(&self, takeover: &MasterTakeover) -> Result<(), ApiError> {
        let (namespace, name) = (takeover.namespace().unwrap_or_default(), takeover.name_any());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: takeover.uid(), resource_version: None }),
            ..DeleteParams::background()
        };
        let api = self.api::<MasterTakeover>(&namespace);
        let action = format!("delete MasterTakeover {namespace}/{name}");
        match self.bounded(&action, api.delete(&name, &parameters)).await {
            Ok(_) => Ok(()),
            // Gone, or another one of the same name: the one that was meant is no more.
            Err(error) if matches!(error.status, Some(404 | 409)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn pods(&self, cluster: &MySQLCluster) -> Result<Vec<PodView>, ApiError> {
        let namespace = cluster.namespace().unwrap_or_default();
        let action = format!("list the Pods of MySQLCluster {namespace}/{}", cluster.name_any());
        let selector = Selector::try_from(cluster.spec.discovery.selector.clone())
            .map_err(|error| ApiError::new(&action, format!("`spec.discovery.selector`: {error}")))?;
        // An empty selector would take every Pod of the namespace for a MySQL server. The schema refuses it too.
        if selector.selects_all() {
            return Err(ApiError::new(&action, "`spec.discovery.selector` must not be empty"));
        }
        let parameters = ListParams::default().labels_from(&selector);
        let pods = self.bounded(&action, self.api::<Pod>(&namespace).list(&parameters)).await?;
        Ok(pods.items.into_iter().map(views::pod).collect())
    }

    /// A merge patch. Server-side apply would have to name every label of ours at once, since what an apply leaves out it
    /// removes, and would make a Pod that is not there. The UID in it makes the API server refuse another Pod of that name.
    async fn label_pod(
        &self,
        namespace: &str,
        pod: &PodView,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid, "labels": {key: value}}}));
        let action = format!("label Pod {namespace}/{} with {key}={}", pod.name, value.unwrap_or_default());
        let api = self.api::<Pod>(namespace);
        match self.bounded(&action, api.patch_metadata(&pod.name, &field_manager(), &patch)).await {
            Ok(_) => Ok(()),
            Err(error) if error.status == Some(422) && error.message.contains("metadata.uid") => {
                Err(ApiError {
                    status: Some(409),
                    message: "there is another Pod of that name now".to_owned(),
                    ..error
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn service(&self, key: &Key) -> Result<Option<ServiceView>, ApiError> {
        let api = self.api::<Service>(&key.namespace);
        let service = self.bounded(&format!("read Service {key}"), api.get_opt(&key.name)).await?;
        Ok(service.map(views::service))
    }

    async fn ensure_service(&self, cluster: &MySQLCluster, service: &DesiredService) -> Result<(), ApiError> {
        service::ensure(self, cluster, service).await
    }

    async fn endpoints(&self, service: &Key) -> Result<Vec<EndpointView>, ApiError> {
        let api = self.api::<EndpointSlice>(&service.namespace);
        let parameters =
            ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
        let slices = self
            .bounded(&format!("list the EndpointSlices of Service {service}"), api.list(&parameters))
            .await?;
        Ok(slices.items.into_iter().flat_map(views::endpoints).collect())
    }

    async fn secret(&self, key: &Key) -> Result<Option<SecretData>, ApiError> {
        let api = self.api::<Secret>(&key.namespace);
        let secret = self.bounded(&format!("read Secret {key}"), api.get_opt(&key.name)).await?;
        Ok(secret.map(|secret| {
            secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, Arc::from(value.0)))
                .collect()
        }))
    }

    async fn publish(&self, regarding: Regarding<'_>, notice: Notice) {
        let event = events::event(&regarding, &notice, &self.reporter, jiff::Timestamp::now());
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api = self.api(&namespace);
        let action = format!("publish Event {}", notice.reason);
        if let Err(error) = self.bounded(&action, api.create(&PostParams::default(), &event)).await {
            tracing::warn!(%error, reason = notice.reason, note = notice.note, "an Event was lost");
        }
    }
}

/// Who writes, for `metadata.managedFields`.
fn field_manager() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
