//! Command lines of the node's servers, and when they are ready.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{Api, Client};

use super::command::Short;
use super::layout::{Layout, NODE_ADDRESS, NODE_NAME};
use super::namespace::{self, Room};
use super::{Options, containerd, dns, kubelet, proxy};
use crate::control_plane::ControlPlane;
use crate::process::{Process, Program};
use crate::run::Run;
use crate::wait::{Look, until};

/// How long kube-proxy may take to write its first rules.
const PROXY_LIMIT: Duration = Duration::from_secs(30);
/// Name of the node's kube-proxy process.
pub(super) const KUBE_PROXY: &str = "kube-proxy";

/// Starts the node's servers.
pub(super) struct Servers<'a> {
    pub(super) run: &'a Run,
    pub(super) layout: &'a Layout,
    pub(super) options: &'a Options,
    pub(super) mounts: &'a File,
}

impl Servers<'_> {
    pub(super) fn containerd(&self) -> Result<Process> {
        let configuration = containerd::configure(self.layout, &self.options.binaries.cni_plugins)?;
        self.mounted("containerd", &self.options.binaries.containerd)
            .argument("--config")
            .argument(configuration)
            .start(self.run)
    }

    /// All servers that need the API.
    pub(super) fn start(&self, control_plane: &ControlPlane) -> Result<Vec<Process>> {
        let binaries = &self.options.binaries;
        let administrator = control_plane.admin_kubeconfig();

        let user = format!("system:node:{NODE_NAME}");
        let kubelet_kubeconfig = control_plane.kubeconfig(&user, Some("system:nodes"))?;
        let kubelet = kubelet::configure(self.layout, &control_plane.authority_certificate())?;
        let kubelet = self
            .mounted("kubelet", &binaries.kubelet)
            .argument(format!("--config={}", kubelet.display()))
            .argument(format!("--kubeconfig={}", kubelet_kubeconfig.display()))
            .argument(format!("--hostname-override={NODE_NAME}"))
            .argument(format!("--node-ip={NODE_ADDRESS}"))
            .start(self.run)?;

        let kubeconfig = control_plane.kubeconfig("system:kube-scheduler", None)?;
        let scheduler = self
            .plain("kube-scheduler", &binaries.kube_scheduler)
            .argument(format!("--kubeconfig={}", kubeconfig.display()))
            // With leader election it ends when the API is away for ten seconds, which tests want it to survive.
            .arguments(["--leader-elect=false", "--bind-address=127.0.0.1"])
            .start(self.run)?;

        let kubeconfig = control_plane.kubeconfig("system:kube-proxy", None)?;
        let proxy = proxy::configure(self.layout, NODE_NAME, &kubeconfig)?;
        let proxy = self
            .plain(KUBE_PROXY, &binaries.kube_proxy)
            .argument(format!("--config={}", proxy.display()))
            .start(self.run)?;

        let names = dns::configure(self.layout, administrator)?;
        let names =
            self.plain("coredns", &self.options.coredns).argument("-conf").argument(names).start(self.run)?;
        Ok(vec![kubelet, scheduler, proxy, names])
    }

    /// A program in the network namespace.
    fn plain(&self, name: &str, executable: &Path) -> Program {
        Program::new(name, executable)
            .network_namespace(Some(namespace::network_path(&self.layout.network())))
    }

    /// A program in the network namespace and the private mount namespace, which has no name: this process holds it open.
    fn mounted(&self, name: &str, executable: &Path) -> Program {
        let held = format!("--mount=/proc/{}/fd/{}", std::process::id(), self.mounts.as_raw_fd());
        self.plain(name, Path::new("nsenter")).argument(held).argument("--").argument(executable)
    }
}

/// One look at whether kubelet reports the node as Ready.
pub(super) async fn node_ready(client: Client) -> Result<Look<()>> {
    let node = match Api::<NodeObject>::all(client).get(NODE_NAME).await {
        Ok(node) => node,
        Err(error) => return Ok(Look::NotYet(format!("{:#}", anyhow::Error::new(error)))),
    };
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    Ok(match conditions.into_iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => Look::Ready(()),
        Some(ready) => Look::NotYet(ready.message.unwrap_or_default()),
        None => Look::NotYet("kubelet has not reported yet".to_owned()),
    })
}

/// Waits until a kube-proxy has written its rules.
pub(super) async fn wait_for_proxy(room: &Room, process: &Process) -> Result<()> {
    until("kube-proxy's rules", PROXY_LIMIT, Duration::from_millis(50), async || {
        process.ensure_running()?;
        let probe = Short::new("busybox", ["wget", "-q", "-O", "-", "http://127.0.0.1:10256/healthz"]);
        Ok(Look::from_result(room.enter(|| probe.output()).await))
    })
    .await
    .map(drop)
}
