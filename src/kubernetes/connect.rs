//! Connecting to an API server.

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;

/// Bound on the TCP connection and TLS handshake with the API server.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Path of a kubeconfig; unset: `KUBECONFIG`, `~/.kube/config`, or in a Pod its service account.
    pub kubeconfig: Option<PathBuf>,
    /// A context of that kubeconfig; unset: its current one.
    pub context: Option<String>,
}

/// The configuration of a client of that cluster. Nothing is sent yet.
///
/// kube's own retries are off: they repeat writes on 429, 503 and 504 for minutes, and a write repeated after a lost answer
/// comes back as a conflict with itself.
pub async fn configuration(target: &Target) -> Result<Config> {
    let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match (&target.kubeconfig, &target.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?
        }
        (None, Some(context)) => Config::from_kubeconfig(&options)
            .await
            .with_context(|| format!("cannot use context {context:?} of the kubeconfig"))?,
        (None, None) => Config::infer().await.context(
            "no cluster to talk to: there is no usable kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) and this is \
             not a Pod with a service account",
        )?,
    };
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_LIMIT);
    Ok(config)
}

/// A client with connections of its own.
pub fn client(config: &Config) -> Result<Client> {
    Client::try_from(config.clone()).context("cannot make a Kubernetes client")
}
