//! A way into a cluster: a node of our own, or the one that the user brings. What the demo is written against.

use std::ffi::OsStr;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::Client;

use super::command::Short;
use super::namespace::Room;
use crate::control_plane;

/// Names the kubeconfig of a cluster that is to be used instead of a node of our own.
pub const KUBECONFIG_VARIABLE: &str = "LAB_KUBECONFIG";
/// Bound on one command against a cluster, beside what the command itself waits for.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// How to talk to a cluster, and to the Pods and Services in it.
///
/// A cluster that the user brings must be reachable at Pod and Service addresses from where the lab runs (on one of its
/// nodes, or through a VPN): measuring clients connect to them directly, without port forwarding, which would hide what they measure.
#[derive(Clone, Debug)]
pub struct ClusterAccess {
    /// `None`: from where this process is.
    room: Option<Arc<Room>>,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
}

impl ClusterAccess {
    pub(super) fn inside(room: Arc<Room>, kubeconfig: &Path, kubectl: &Path, helm: &Path) -> Self {
        Self { room: Some(room), kubeconfig: kubeconfig.into(), kubectl: kubectl.into(), helm: helm.into() }
    }

    /// The cluster of a kubeconfig.
    pub fn given(kubeconfig: &Path, kubectl: &Path, helm: &Path) -> Result<Self> {
        if !kubeconfig.is_file() {
            bail!(
                "no kubeconfig {}; unset {KUBECONFIG_VARIABLE} to use a node of our own",
                kubeconfig.display()
            );
        }
        // Commands may run in another directory.
        let kubeconfig =
            std::path::absolute(kubeconfig).context("make the path of the kubeconfig absolute")?;
        Ok(Self { room: None, kubeconfig, kubectl: kubectl.into(), helm: helm.into() })
    }

    /// Whether it is a node that the lab started: images are imported there, and faults may be made.
    pub fn is_own(&self) -> bool {
        self.room.is_some()
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs `work` where Pod and Service addresses are reachable. Every socket and every child process that it makes is
    /// there too, and a client made in it may be used only in it. Dropping the returned future ends the work.
    pub async fn enter<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T>>,
    {
        match &self.room {
            Some(room) => room.enter(work).await,
            None => work().await,
        }
    }

    /// A client for the API. Make it inside [`Self::enter`]: it belongs to the runtime that made it.
    pub async fn client(&self) -> Result<Client> {
        control_plane::client(&self.kubeconfig).await
    }

    /// `kubectl` with these arguments; returns what it printed.
    pub async fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.command(&self.kubectl, arguments, Vec::new(), COMMAND_LIMIT).await
    }

    /// `helm` with these arguments; returns what it printed. Give `--wait` less than five minutes.
    pub async fn helm<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        self.command(&self.helm, arguments, Vec::new(), Duration::from_mins(5)).await
    }

    /// Applies YAML in a namespace.
    pub async fn apply(&self, namespace: &str, yaml: &str) -> Result<String> {
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--namespace", namespace, "--filename", "-"];
        self.command(&self.kubectl, arguments, yaml.as_bytes().to_vec(), COMMAND_LIMIT).await
    }

    /// Deletes what YAML names, and waits until it is gone; what is not there is fine.
    pub async fn delete(&self, namespace: &str, yaml: &str) -> Result<String> {
        let arguments = ["delete", "--ignore-not-found", "--namespace", namespace, "--filename", "-"];
        self.command(&self.kubectl, arguments, yaml.as_bytes().to_vec(), COMMAND_LIMIT).await
    }

    /// Waits until a workload (`statefulset/db`, `deployment/operator`) is rolled out and ready.
    ///
    /// # Errors
    /// That it is not within `limit`, with the state of the namespace's Pods and its last events.
    pub async fn wait_ready(&self, namespace: &str, workload: &str, limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs().max(1));
        let arguments = ["rollout", "status", "--namespace", namespace, workload, &timeout];
        let Err(error) =
            self.command(&self.kubectl, arguments, Vec::new(), limit + Duration::from_secs(10)).await
        else {
            return Ok(());
        };
        Err(error.context(format!("{workload} is not ready\n{}", self.explain(namespace).await)))
    }

    /// The log of a Pod's container, the previous one's too where it was restarted.
    pub async fn logs(&self, namespace: &str, pod: &str) -> Result<String> {
        self.kubectl(["logs", "--namespace", namespace, pod, "--all-containers", "--tail=-1"]).await
    }

    /// Runs a command in a Pod.
    pub async fn execute(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        let fixed = ["exec", "--namespace", namespace, pod, "--"];
        self.kubectl(fixed.iter().chain(command)).await
    }

    /// Deletes a Pod. `force`: without waiting for it to end, as when its node is lost.
    pub async fn delete_pod(&self, namespace: &str, pod: &str, force: bool) -> Result<()> {
        let forced: &[&str] = if force { &["--force", "--grace-period=0"] } else { &[] };
        let fixed = ["delete", "pod", "--namespace", namespace, pod];
        self.kubectl(fixed.iter().chain(forced)).await.map(drop)
    }

    /// Pods and latest events of a namespace, for errors.
    async fn explain(&self, namespace: &str) -> String {
        let pods = self.kubectl(["get", "pods", "--namespace", namespace, "--output=wide"]).await;
        let events = self
            .kubectl(["get", "events", "--namespace", namespace, "--sort-by=.metadata.creationTimestamp"])
            .await;
        let mut text = pods.unwrap_or_else(|error| format!("{error:#}\n"));
        let events = events.unwrap_or_else(|error| format!("{error:#}\n"));
        let lines: Vec<&str> = events.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(12)) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    async fn command<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        input: Vec<u8>,
        limit: Duration,
    ) -> Result<String> {
        let command = Short::new(program, arguments)
            .environment("KUBECONFIG", &self.kubeconfig)
            .input(input)
            .limit(limit);
        self.enter(|| command.output()).await
    }
}
