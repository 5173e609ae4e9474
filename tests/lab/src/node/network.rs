//! Links, addresses and routes of the node and of the second node. There is no way out of these namespaces.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::command::Short;
use super::layout::{BRIDGE, Layout, NODE_ADDRESS, NODE_PREFIX, POD_RANGE, SECOND_ADDRESS, SERVICE_RANGE};
use super::namespace::Room;

/// Whether iptables sees what passes a bridge.
const BRIDGE_FILTER: &str = "net/bridge/bridge-nf-call-iptables";
/// The second node's end of the cable.
const SECOND_LINK: &str = "node0";

/// Makes the bridge that both nodes are on, with the node's address.
pub async fn arrange_node(room: &Room) -> Result<()> {
    let batch = format!(
        "link set lo up
         link add {BRIDGE} type bridge forward_delay 0
         address add {NODE_ADDRESS}/{NODE_PREFIX} dev {BRIDGE}
         link set {BRIDGE} up
         route add {SERVICE_RANGE} dev {BRIDGE}"
    );
    room.enter(async move || {
        run(batch).await?;
        // Traffic between Pods passes a bridge, where Service addresses are rewritten only if iptables sees it.
        set("net/ipv4/ip_forward", "1").await?;
        if !Path::new("/proc/sys").join(BRIDGE_FILTER).exists() {
            // A module on most machines, loaded by whoever needs it first. Where it cannot be loaded, the next line says so.
            let _ = Short::new("modprobe", ["br_netfilter"]).output().await;
        }
        set(BRIDGE_FILTER, "1")
            .await
            .context("the kernel needs its module br_netfilter: modprobe br_netfilter")
    })
    .await
    .context("cannot arrange the node's network")
}

/// Joins the second node to the bridge.
pub async fn join_second(layout: &Layout, first: &Room, second: &Room) -> Result<()> {
    let cable = format!(
        "link add second0 type veth peer name {SECOND_LINK} netns {}
         link set second0 master {BRIDGE} up",
        layout.second_network()
    );
    let far_end = format!(
        "link set lo up
         address add {SECOND_ADDRESS}/{NODE_PREFIX} dev {SECOND_LINK}
         link set {SECOND_LINK} up
         route add {POD_RANGE} via {NODE_ADDRESS}
         route add {SERVICE_RANGE} dev {SECOND_LINK}"
    );
    first.enter(|| run(cable)).await.context("cannot connect the second node")?;
    second
        .enter(async move || {
            run(far_end).await?;
            set("net/ipv4/ip_forward", "1").await
        })
        .await
        .context("cannot arrange the second node's network")
}

async fn run(batch: String) -> Result<()> {
    Short::new("ip", ["-batch", "-"]).input(batch).output().await.map(drop)
}

/// Sets a sysctl of the namespace that the caller is in.
async fn set(key: &str, value: &str) -> Result<()> {
    tokio::fs::write(format!("/proc/sys/{key}"), value).await.with_context(|| format!("cannot set {key}"))
}
