//! What the verbs for people share: a cluster, a namespace, and requests with a bound and an error in words.

use super::target;
use crate::api::{MasterTakeover, MySQLCluster};
use crate::kubernetes::{Key, KubeApi, Kubernetes as _, connect, words};
use anyhow::{Context as _, Result, anyhow, bail};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use std::time::Duration;

/// Bound on one request.
const LIMIT: Duration = Duration::from_secs(5);
/// Interval between two looks at a takeover.
pub(super) const LOOK: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, clap::Args)]
#[group(id = "session")]
pub(super) struct Arguments {
    /// Namespace of the cluster and its takeovers [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    target: target::Arguments,
}

/// A cluster and a namespace in it.
pub(super) struct Session {
    pub(super) kubernetes: KubeApi,
    pub(super) namespace: String,
    takeovers: Api<MasterTakeover>,
}

impl Arguments {
    pub(super) async fn connect(self) -> Result<Session> {
        let config = connect::configuration(&self.target.target()).await?;
        let namespace = self.namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = connect::client(&config)?;
        Ok(Session {
            kubernetes: KubeApi::new(client.clone(), "mysql-takeover-cli"),
            takeovers: Api::namespaced(client, &namespace),
            namespace,
        })
    }
}

impl Session {
    pub(super) fn key(&self, name: &str) -> Key {
        Key::new(&self.namespace, name)
    }

    /// A takeover that must be there.
    pub(super) async fn takeover(&self, name: &str) -> Result<MasterTakeover> {
        let found = self.kubernetes.takeover(&self.key(name)).await?;
        found.with_context(|| {
            let namespace = &self.namespace;
            format!(
                "there is no MasterTakeover {name} in namespace {namespace}; `kubectl get mastertakeovers -A` lists all"
            )
        })
    }

    /// A cluster that must be there.
    pub(super) async fn cluster(&self, name: &str) -> Result<MySQLCluster> {
        let found = self.kubernetes.cluster(&self.key(name)).await?;
        found.with_context(|| {
            let namespace = &self.namespace;
            format!("there is no MySQLCluster {name} in namespace {namespace}; `kubectl get mysqlclusters -A` lists all")
        })
    }

    pub(super) async fn create(&self, takeover: &MasterTakeover) -> Result<MasterTakeover> {
        let parameters =
            PostParams { field_manager: Some("mysql-takeover-cli".to_owned()), ..PostParams::default() };
        answer("create the MasterTakeover", self.takeovers.create(&parameters, takeover)).await
    }

    pub(super) async fn patch(&self, name: &str, patch: serde_json::Value) -> Result<MasterTakeover> {
        let parameters =
            PatchParams { field_manager: Some("mysql-takeover-cli".to_owned()), ..PatchParams::default() };
        let (action, patch) =
            (format!("change MasterTakeover {}/{name}", self.namespace), Patch::Merge(patch));
        answer(&action, self.takeovers.patch(name, &parameters, &patch)).await
    }
}

async fn answer<T>(action: &str, request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(anyhow!("cannot {action}: {}", words::told(&error))),
        Err(_elapsed) => bail!("cannot {action}: no answer from the API server within {} s", LIMIT.as_secs()),
    }
}

/// Runs a verb in an async runtime of its own; one thread does.
pub(super) fn block_on<T>(verb: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(verb)
}
