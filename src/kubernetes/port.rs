//! What the operator asks of Kubernetes. Every call is one request with a time bound of the adapter's; none is retried
//! inside, since a write whose answer was lost must be resolved by reading, not by sending it again.

use crate::api::{MasterTakeover, MySQLCluster};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key of that namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// What became of a compare-and-swap.
#[derive(Debug)]
#[must_use]
pub enum Commit<T> {
    /// Written; this is the object now.
    Committed(Box<T>),
    /// The object moved, or is gone: decide again from a fresh read.
    Conflict,
    /// No answer, or an ambiguous one: it may have been written. Read again before anything else.
    Unknown(ApiError),
    /// The API server refuses this write (validation, permission): it will not pass by trying again.
    Refused(ApiError),
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {message}")]
pub struct ApiError {
    /// What was asked, in words.
    pub action: String,
    /// HTTP status, when the server answered.
    pub status: Option<u16>,
    /// In words, without secrets.
    pub message: String,
}

/// What the operator needs to know of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Address, once it has one.
    pub address: Option<IpAddr>,
    /// `spec.hostname`.
    pub hostname: Option<String>,
    /// `spec.subdomain`.
    pub subdomain: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Deletion has begun.
    pub terminating: bool,
    /// Condition Ready.
    pub ready: bool,
}

/// What the operator needs to know of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Name.
    pub name: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// `clusterIP`, when it is an address (not headless).
    pub cluster_ip: Option<IpAddr>,
    /// First port.
    pub port: Option<u16>,
    /// `type`: ClusterIP, NodePort, LoadBalancer or ExternalName.
    pub type_: String,
    /// It has `externalIPs`.
    pub external_ips: bool,
    /// UID of the `MySQLCluster` that owns it, if one does.
    pub owner_uid: Option<String>,
}

/// A Service as the operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService {
    /// Name.
    pub name: String,
    /// Selector.
    pub selector: BTreeMap<String, String>,
    /// Port and target port.
    pub port: u16,
    /// Role it stands for, as a label for people: `primary` or `replica`.
    pub role: &'static str,
}

/// One address of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// Name of the Pod behind it.
    pub pod: Option<String>,
    /// Condition ready.
    pub ready: bool,
}

/// Keys of a Secret with their values.
pub type SecretData = BTreeMap<String, Arc<[u8]>>;

/// What an Event is about.
#[derive(Clone, Copy, Debug)]
pub enum Regarding<'a> {
    /// A cluster.
    Cluster(&'a MySQLCluster),
    /// A takeover.
    Takeover(&'a MasterTakeover),
}

/// An Event to publish; catalogued in `controller::events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// CamelCase reason.
    pub reason: &'static str,
    /// CamelCase action.
    pub action: &'static str,
    /// In words.
    pub note: String,
}

/// The Kubernetes API, as far as the operator needs it.
pub trait Kubernetes: Clone + Send + Sync + 'static {
    /// A takeover, read fresh (never from a cache).
    fn takeover(&self, key: &Key) -> impl Future<Output = Result<Option<MasterTakeover>, ApiError>> + Send;
    /// A cluster, read fresh.
    fn cluster(&self, key: &Key) -> impl Future<Output = Result<Option<MySQLCluster>, ApiError>> + Send;
    /// All takeovers of a namespace that name that cluster, read fresh.
    fn takeovers_of(
        &self,
        cluster: &Key,
    ) -> impl Future<Output = Result<Vec<MasterTakeover>, ApiError>> + Send;

    /// Replaces the status of a cluster if its resourceVersion is still that of `cluster`.
    fn commit_cluster(&self, cluster: &MySQLCluster) -> impl Future<Output = Commit<MySQLCluster>> + Send;
    /// Replaces the status of a takeover if its resourceVersion is still that of `takeover`.
    fn commit_takeover(
        &self,
        takeover: &MasterTakeover,
    ) -> impl Future<Output = Commit<MasterTakeover>> + Send;
    /// Adds or removes our finalizer, if the resourceVersion is still that of `takeover`.
    fn set_finalizer(
        &self,
        takeover: &MasterTakeover,
        present: bool,
    ) -> impl Future<Output = Commit<MasterTakeover>> + Send;
    /// The same for a cluster, whose status holds the journal.
    fn set_cluster_finalizer(
        &self,
        cluster: &MySQLCluster,
        present: bool,
    ) -> impl Future<Output = Commit<MySQLCluster>> + Send;
    /// Deletes a takeover of that UID; already gone is no error.
    fn delete_takeover(&self, takeover: &MasterTakeover)
    -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Pods of the namespace that the cluster's selector selects.
    fn pods(&self, cluster: &MySQLCluster) -> impl Future<Output = Result<Vec<PodView>, ApiError>> + Send;
    /// Sets (or with `None` removes) a label of a Pod, if the Pod still has that UID.
    fn label_pod(
        &self,
        namespace: &str,
        pod: &PodView,
        key: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// A Service.
    fn service(&self, key: &Key) -> impl Future<Output = Result<Option<ServiceView>, ApiError>> + Send;
    /// Creates the Service, owned by the cluster, or brings it to this shape; refuses a Service that the cluster does not own.
    fn ensure_service(
        &self,
        cluster: &MySQLCluster,
        service: &DesiredService,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
    /// Names of ready and unready Pods in the Service's EndpointSlices.
    fn endpoints(&self, service: &Key) -> impl Future<Output = Result<Vec<EndpointView>, ApiError>> + Send;

    /// The data of a Secret, read now and not kept.
    fn secret(&self, key: &Key) -> impl Future<Output = Result<Option<SecretData>, ApiError>> + Send;

    /// Publishes an Event; losing one is no failure.
    fn publish(&self, regarding: Regarding<'_>, notice: Notice) -> impl Future<Output = ()> + Send;
}
