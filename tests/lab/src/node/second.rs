//! The second node: a network namespace with a kube-proxy of its own, where clients run whose Service traffic another
//! kube-proxy than the operator's steers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::layout::{Layout, SECOND_ADDRESS, SECOND_NAME};
use super::namespace::{self, Room};
use super::{network, proxy, servers};
use crate::control_plane::ControlPlane;
use crate::process::{Process, Program};
use crate::run::Run;

/// A running second node.
#[derive(Debug)]
pub struct Second {
    pub(super) room: Arc<Room>,
    _proxy: Process,
}

/// What starting it needs from the first node.
pub struct Needs<'a> {
    pub run: &'a Run,
    pub layout: &'a Layout,
    pub first: &'a Arc<Room>,
    pub control_plane: &'a Arc<ControlPlane>,
    pub kube_proxy: &'a std::path::Path,
}

impl Second {
    /// Makes the namespace, joins it to the first node's bridge and waits until its kube-proxy has written its rules.
    pub async fn start(needs: Needs<'_>) -> Result<Self> {
        let network = needs.layout.second_network();
        namespace::create_network(&network)?;
        let room = Arc::new(Room::open(&network, None, 2)?);
        network::join_second(needs.layout, needs.first, &room).await?;
        // Without its Node kube-proxy waits 30 s for it, and then takes loopback for its address.
        let control_plane = Arc::clone(needs.control_plane);
        needs.first.enter(async move || create_node(&control_plane).await).await?;
        let kubeconfig = needs.control_plane.kubeconfig("system:kube-proxy", None)?;
        let configuration = proxy::configure(needs.layout, SECOND_NAME, &kubeconfig)?;
        let proxy = Program::new("kube-proxy-second", needs.kube_proxy)
            .network_namespace(Some(namespace::network_path(&network)))
            .argument(format!("--config={}", configuration.display()))
            .start(needs.run)?;
        servers::wait_for_proxy(&room, &proxy).await?;
        Ok(Self { room, _proxy: proxy })
    }
}

/// No kubelet reports for it, so it turns `NotReady` soon; no Pod is ever meant for it.
async fn create_node(control_plane: &ControlPlane) -> Result<()> {
    let nodes: Api<Node> = Api::all(control_plane.client().await?);
    let parameters = PatchParams::apply("lab").force();
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": SECOND_NAME},
        "spec": {"unschedulable": true}
    });
    nodes.patch(SECOND_NAME, &parameters, &Patch::Apply(&node)).await.context("create the second Node")?;
    let status = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": SECOND_NAME},
        "status": {"addresses": [{"type": "InternalIP", "address": SECOND_ADDRESS}]}
    });
    nodes
        .patch_status(SECOND_NAME, &parameters, &Patch::Apply(&status))
        .await
        .context("set the second Node's address")?;
    Ok(())
}
