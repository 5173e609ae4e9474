//! The port on a real API server, by `kube`. One request a call, each within a bound, none retried inside.

use super::port::{
    ApiError, Commit, DesiredService, EndpointView, Key, Kubernetes, Notice, PodView, Regarding, ServiceView,
};
use super::view;
use crate::api::{FIELD_MANAGER, FINALIZER, MasterTakeover, MySQLCluster};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{Selector, SelectorExt};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Bound on one request.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Longest note of an Event; the API server refuses more than 1 kB.
const NOTE_LIMIT: usize = 1000;

/// A client configuration as this adapter needs it: kube 5 retries 429, 503 and 504 by default, writes too, for minutes;
/// a write that was applied and then retried comes back as a conflict with oneself.
#[must_use]
pub fn configured(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config.connect_timeout = Some(REQUEST_LIMIT);
    config
}

/// The Kubernetes API by `kube`.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    recorder: Recorder,
}

impl KubeApi {
    /// An adapter on a client made from a [`configured`] configuration; `holder` is shown as the reporter of Events.
    pub fn new(client: Client, holder: &str) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(holder.to_owned()) };
        Self { recorder: Recorder::new(client.clone(), reporter), client }
    }

    fn api<T>(&self, namespace: &str) -> Api<T>
    where
        T: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Why a request failed, before it is told in words.
enum Failure {
    Answered(Box<kube::core::Status>),
    Unanswered(String),
}

async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>> + Send) -> Result<T, Failure> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(Failure::Answered(status)),
        Ok(Err(error)) => Err(Failure::Unanswered(error.to_string())),
        Err(_) => Err(Failure::Unanswered(format!("no answer within {} s", REQUEST_LIMIT.as_secs()))),
    }
}

impl Failure {
    fn told(self, action: &str) -> ApiError {
        let action = action.to_owned();
        match self {
            Self::Answered(status) => ApiError { action, status: Some(status.code), message: status.message },
            Self::Unanswered(message) => ApiError { action, status: None, message },
        }
    }

    fn is_not_found(&self) -> bool {
        matches!(self, Self::Answered(status) if status.code == 404)
    }
}

/// An object that may not be there.
async fn optional<T>(
    action: &str,
    request: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<Option<T>, ApiError> {
    match bounded(request).await {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure.told(action)),
    }
}

async fn required<T>(
    action: &str,
    request: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<T, ApiError> {
    bounded(request).await.map_err(|failure| failure.told(action))
}

/// What an answer to a compare-and-swap says. Only an answer of the API server itself is certain.
async fn committed<T>(
    action: &str,
    request: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Commit<T> {
    match bounded(request).await {
        Ok(value) => Commit::Committed(Box::new(value)),
        Err(Failure::Answered(status)) => match status.code {
            404 | 409 => Commit::Conflict,
            // Too many requests were refused before they were looked at, but by whom is not told.
            400..=428 | 430..=499 => Commit::Refused(Failure::Answered(status).told(action)),
            _ => Commit::Unknown(Failure::Answered(status).told(action)),
        },
        Err(failure @ Failure::Unanswered(_)) => Commit::Unknown(failure.told(action)),
    }
}

impl Kubernetes for KubeApi {
    async fn takeover(&self, key: &Key) -> Result<Option<MasterTakeover>, ApiError> {
        optional(
            &format!("read MasterTakeover {key}"),
            self.api::<MasterTakeover>(&key.namespace).get(&key.name),
        )
        .await
    }

    async fn cluster(&self, key: &Key) -> Result<Option<MySQLCluster>, ApiError> {
        optional(&format!("read MySQLCluster {key}"), self.api::<MySQLCluster>(&key.namespace).get(&key.name))
            .await
    }

    async fn takeovers_of(&self, cluster: &Key) -> Result<Vec<MasterTakeover>, ApiError> {
        let parameters = ListParams::default().fields(&format!("spec.clusterRef.name={}", cluster.name));
        let list = required(
            &format!("list MasterTakeovers of {cluster}"),
            self.api::<MasterTakeover>(&cluster.namespace).list(&parameters),
        )
        .await?;
        Ok(list.items)
    }

    async fn commit_cluster(&self, cluster: &MySQLCluster) -> Commit<MySQLCluster> {
        let name = cluster.name_any();
        let api = self.api::<MySQLCluster>(&cluster.namespace().unwrap_or_default());
        let action = format!("write status of MySQLCluster {name}");
        committed(&action, api.replace_status(&name, &PostParams::default(), cluster)).await
    }

    async fn commit_takeover(&self, takeover: &MasterTakeover) -> Commit<MasterTakeover> {
        let name = takeover.name_any();
        let api = self.api::<MasterTakeover>(&takeover.namespace().unwrap_or_default());
        let action = format!("write status of MasterTakeover {name}");
        committed(&action, api.replace_status(&name, &PostParams::default(), takeover)).await
    }

    async fn set_finalizer(&self, takeover: &MasterTakeover, present: bool) -> Commit<MasterTakeover> {
        let name = takeover.name_any();
        let api = self.api::<MasterTakeover>(&takeover.namespace().unwrap_or_default());
        let mut finalizers: Vec<&str> = takeover
            .finalizers()
            .iter()
            .map(String::as_str)
            .filter(|finalizer| *finalizer != FINALIZER)
            .collect();
        if present {
            finalizers.push(FINALIZER);
        }
        // The whole list, on the version it was read at: nobody else's finalizer is lost.
        let patch =
            json!({"metadata": {"resourceVersion": takeover.resource_version(), "finalizers": finalizers}});
        let action = format!("set finalizer of MasterTakeover {name}");
        committed(&action, api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))).await
    }

    async fn delete_takeover(&self, takeover: &MasterTakeover) -> Result<(), ApiError> {
        let name = takeover.name_any();
        let api = self.api::<MasterTakeover>(&takeover.namespace().unwrap_or_default());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: takeover.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        optional(&format!("delete MasterTakeover {name}"), api.delete(&name, &parameters)).await.map(drop)
    }

    async fn pods(&self, cluster: &MySQLCluster) -> Result<Vec<PodView>, ApiError> {
        let action = "list Pods";
        let selector: Selector =
            cluster.spec.discovery.selector.clone().try_into().map_err(|error| ApiError {
                action: action.to_owned(),
                status: None,
                message: format!("`spec.discovery.selector` cannot be used: {error}"),
            })?;
        let api = self.api::<Pod>(&cluster.namespace().unwrap_or_default());
        let list = required(action, api.list(&ListParams::default().labels_from(&selector))).await?;
        Ok(list.items.iter().filter(|pod| selector.matches(pod.labels())).map(view::pod).collect())
    }

    async fn label_pod(
        &self,
        namespace: &str,
        pod: &PodView,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        // A merge patch, not an apply: whoever else sets this label (a Pod template) keeps owning it, and no conflict is
        // forced. The UID keeps a later Pod of the same name from getting it.
        let patch = json!({"metadata": {"uid": pod.uid, "labels": {key: value}}});
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let action = format!("label Pod {}", pod.name);
        required(&action, self.api::<Pod>(namespace).patch(&pod.name, &parameters, &Patch::Merge(&patch)))
            .await
            .map(drop)
    }

    async fn service(&self, key: &Key) -> Result<Option<ServiceView>, ApiError> {
        let service =
            optional(&format!("read Service {key}"), self.api::<Service>(&key.namespace).get(&key.name))
                .await?;
        Ok(service.as_ref().map(view::service))
    }

    async fn ensure_service(&self, cluster: &MySQLCluster, service: &DesiredService) -> Result<(), ApiError> {
        let namespace = cluster.namespace().unwrap_or_default();
        let api = self.api::<Service>(&namespace);
        let action = format!("write Service {}", service.name);
        let wanted = view::desired_service(cluster, service);
        let Some(found) = optional(&action, api.get(&service.name)).await? else {
            return required(&action, api.create(&PostParams::default(), &wanted)).await.map(drop);
        };
        if view::service(&found).owner_uid != cluster.uid() {
            return Err(ApiError {
                action,
                status: None,
                message: format!(
                    "Service {} exists and is not owned by this MySQLCluster. Delete it, use another name, or set `routing.services.manage: Observe`",
                    service.name
                ),
            });
        }
        // Replaced as a whole on the version read: a selector that is merged would keep the keys of the old one.
        let mut next = found;
        let spec = next.spec.get_or_insert_default();
        spec.selector = Some(service.selector.clone());
        spec.ports = wanted.spec.and_then(|spec| spec.ports);
        required(&action, api.replace(&service.name, &PostParams::default(), &next)).await.map(drop)
    }

    async fn endpoints(&self, service: &Key) -> Result<Vec<EndpointView>, ApiError> {
        let parameters =
            ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
        let list = required(
            &format!("list EndpointSlices of {service}"),
            self.api::<EndpointSlice>(&service.namespace).list(&parameters),
        )
        .await?;
        Ok(list.items.iter().flat_map(view::endpoints).collect())
    }

    async fn secret(&self, key: &Key) -> Result<Option<BTreeMap<String, Arc<[u8]>>>, ApiError> {
        let secret =
            optional(&format!("read Secret {key}"), self.api::<Secret>(&key.namespace).get(&key.name))
                .await?;
        Ok(secret.map(|secret| {
            secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, Arc::from(value.0)))
                .collect()
        }))
    }

    async fn publish(&self, regarding: Regarding<'_>, notice: Notice) {
        let reference = match regarding {
            Regarding::Cluster(cluster) => cluster.object_ref(&()),
            Regarding::Takeover(takeover) => takeover.object_ref(&()),
        };
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(notice.note.chars().take(NOTE_LIMIT / 4).collect()),
            action: notice.action.to_owned(),
            secondary: None,
        };
        if let Err(failure) = bounded(self.recorder.publish(&event, &reference)).await {
            tracing::warn!(error = %failure.told("publish an Event"), reason = notice.reason, "Event lost");
        }
    }
}
