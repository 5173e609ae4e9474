//! How the servers of a cluster are reached: Pods, addresses, Secrets. Read afresh for every pass, never kept.

use super::Context;
use crate::api::cluster::{Credentials, MySQLCluster, ReplicationAddress, TlsMode};
use crate::api::common::PromotionRule;
use crate::kubernetes::port::PodView;
use crate::kubernetes::{ApiError, Key, Kubernetes};
use crate::mysql::port::Source;
use crate::mysql::{Endpoint, Login, Servers, Tag, TlsSettings};
use kube::ResourceExt;
use std::sync::Arc;

/// What is needed to reach every server of a cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// Namespace and name of the cluster.
    pub key: Key,
    /// UID of the cluster.
    pub cluster_uid: String,
    /// Its Pods, sorted by name.
    pub pods: Vec<PodView>,
    /// The operator's account.
    pub login: Login,
    /// The replication account.
    pub replication: Login,
    port: u16,
    replication_address: ReplicationAddress,
    tls_mode: TlsMode,
    ca_pem: Option<Arc<[u8]>>,
    ca_path: Option<String>,
    rules: Vec<(String, PromotionRule)>,
}

/// Why a cluster cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A request failed; it is tried again.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The resource or a Secret has to be mended; the message says how.
    #[error("{message}")]
    Unusable {
        /// Reason of the condition.
        reason: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
}

impl Access {
    /// Reads Pods and Secrets of the cluster.
    pub async fn read<K: Kubernetes, S: Servers>(
        context: &Context<K, S>,
        cluster: &MySQLCluster,
    ) -> Result<Self, AccessError> {
        let key = Key::new(cluster.namespace().unwrap_or_default(), cluster.name_any());
        let spec = &cluster.spec;
        let (pods, login, replication, ca_pem) = tokio::join!(
            context.kubernetes.pods(cluster),
            login(context, &key.namespace, &spec.credentials, "credentials"),
            login(context, &key.namespace, &spec.replication_credentials, "replicationCredentials"),
            certificate_authority(context, &key.namespace, cluster),
        );
        let mut pods: Vec<PodView> = pods?.into_iter().filter(|pod| !pod.terminating).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        if pods.is_empty() {
            return Err(AccessError::Unusable {
                reason: "NoInstances",
                message: "`spec.discovery.selector` selects no Pod of this namespace. Compare it with the labels of the MySQL Pods".to_owned(),
            });
        }
        let port = u16::try_from(spec.discovery.port).map_err(|_| AccessError::Unusable {
            reason: "InvalidPort",
            message: "`spec.discovery.port` must be from 1 to 65535".to_owned(),
        })?;
        Ok(Self {
            cluster_uid: cluster.uid().unwrap_or_default(),
            pods,
            login: login?,
            replication: replication?,
            port,
            replication_address: spec.discovery.replication_address,
            tls_mode: spec.tls.mode,
            ca_pem: ca_pem?,
            ca_path: spec.tls.ca_secret_ref.as_ref().and_then(|ca| ca.path_on_servers.clone()),
            rules: spec.promotion_rules.iter().map(|rule| (rule.instance.clone(), rule.rule)).collect(),
            key,
        })
    }

    /// The Pod of that name.
    pub fn pod(&self, name: &str) -> Option<&PodView> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// The server in a Pod, as the operator reaches it; absent while the Pod has no address.
    pub fn endpoint(&self, pod: &PodView) -> Option<Endpoint> {
        Some(Endpoint {
            instance: pod.name.clone(),
            address: pod.address?,
            port: self.port,
            login: self.login.clone(),
            tls: self.tls(Some(self.host_name(pod).unwrap_or_else(|| pod.name.clone()))),
        })
    }

    /// Whoever is behind an address, such as a Service's.
    pub fn endpoint_at(&self, instance: &str, address: std::net::IpAddr, port: u16) -> Endpoint {
        Endpoint {
            instance: instance.to_owned(),
            address,
            port,
            login: self.login.clone(),
            tls: self.tls(None),
        }
    }

    /// How a replica is told to replicate from the server in a Pod.
    pub fn source(&self, pod: &PodView) -> Option<Source> {
        Some(Source {
            host: self.replication_host(pod)?,
            port: self.port,
            login: self.replication.clone(),
            tls_mode: self.tls_mode,
            tls_ca_path: self.ca_path.clone(),
        })
    }

    /// What replicas write into `SOURCE_HOST` for that Pod.
    pub fn replication_host(&self, pod: &PodView) -> Option<String> {
        match self.replication_address {
            ReplicationAddress::PodIP => pod.address.map(|address| address.to_string()),
            ReplicationAddress::Hostname => self.host_name(pod),
            ReplicationAddress::Auto => {
                self.host_name(pod).or_else(|| pod.address.map(|address| address.to_string()))
            }
        }
    }

    /// Promotion rule of an instance.
    pub fn rule(&self, instance: &str) -> PromotionRule {
        self.rules.iter().find(|(name, _)| name == instance).map_or(PromotionRule::Neutral, |(_, rule)| *rule)
    }

    /// Marks a session of this operator instance.
    pub fn tag<K, S>(&self, context: &Context<K, S>, epoch: i64, purpose: &'static str) -> Tag {
        Tag { cluster_uid: self.cluster_uid.clone(), holder: context.holder.clone(), epoch, purpose }
    }

    /// A Pod's name under its headless Service, as the cluster's DNS serves it. Without the cluster's domain, which
    /// every Pod's resolver adds.
    fn host_name(&self, pod: &PodView) -> Option<String> {
        match (&pod.hostname, &pod.subdomain) {
            (Some(hostname), Some(subdomain)) => {
                Some(format!("{hostname}.{subdomain}.{}.svc", self.key.namespace))
            }
            (Some(_) | None, None) | (None, Some(_)) => None,
        }
    }

    fn tls(&self, server_name: Option<String>) -> TlsSettings {
        TlsSettings { mode: self.tls_mode, ca_pem: self.ca_pem.clone(), server_name }
    }
}

async fn login<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    namespace: &str,
    credentials: &Credentials,
    field: &str,
) -> Result<Login, AccessError> {
    let name = &credentials.secret_ref.name;
    let data = context.kubernetes.secret(&Key::new(namespace, name)).await?.ok_or_else(|| AccessError::Unusable {
        reason: "SecretMissing",
        message: format!("`spec.{field}.secretRef`: there is no Secret {name} in namespace {namespace}. Create it with the keys username and password"),
    })?;
    let text = |key: &str, limit: usize| -> Result<String, AccessError> {
        let unusable = |what: &str| AccessError::Unusable {
            reason: "SecretInvalid",
            message: format!("`spec.{field}.secretRef`: key {key} of Secret {name} {what}"),
        };
        let bytes = data.get(key).ok_or_else(|| unusable("is missing"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| unusable("is not UTF-8 text"))?;
        match text {
            "" => Err(unusable("is empty")),
            _ if text.chars().any(char::is_control) => Err(unusable(
                "holds a line break or another control character; write it without a trailing line break",
            )),
            _ if text.chars().count() > limit => Err(unusable(&format!("is longer than {limit} characters"))),
            _ => Ok(text.to_owned()),
        }
    };
    Ok(Login::new(text("username", 32)?, text("password", 1024)?))
}

async fn certificate_authority<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    namespace: &str,
    cluster: &MySQLCluster,
) -> Result<Option<Arc<[u8]>>, AccessError> {
    let Some(reference) = &cluster.spec.tls.ca_secret_ref else { return Ok(None) };
    let name = &reference.name;
    let data = context.kubernetes.secret(&Key::new(namespace, name)).await?.ok_or_else(|| {
        AccessError::Unusable {
            reason: "SecretMissing",
            message: format!("`spec.tls.caSecretRef`: there is no Secret {name} in namespace {namespace}"),
        }
    })?;
    let pem =
        data.get(&reference.key).filter(|pem| !pem.is_empty()).ok_or_else(|| AccessError::Unusable {
            reason: "SecretInvalid",
            message: format!(
                "`spec.tls.caSecretRef`: key {} of Secret {name} is missing or empty",
                reference.key
            ),
        })?;
    Ok(Some(pem.clone()))
}
