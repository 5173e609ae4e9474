//! Every Event that the operator publishes. Once a transition, never once a pass. Reasons are API.

use super::Context;
use crate::api::{MasterTakeover, MySQLCluster};
use crate::kubernetes::Kubernetes;
use crate::kubernetes::port::{Notice, Regarding};
use crate::mysql::Servers;
use crate::takeover::Outcome;

/// A takeover claimed its cluster.
pub async fn started<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    takeover: &MasterTakeover,
    old: Option<&str>,
    new: Option<&str>,
) {
    let note = format!("{} -> {}", old.unwrap_or("?"), new.unwrap_or("?"));
    let notice = Notice { warning: false, reason: "TakeoverStarted", action: "Claim", note };
    context.kubernetes.publish(Regarding::Takeover(takeover), notice).await;
}

/// A takeover ended.
pub async fn ended<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    takeover: &MasterTakeover,
    outcome: &Outcome,
) {
    let notice = Notice {
        warning: !outcome.reason.succeeded(),
        reason: outcome.reason.as_str(),
        action: "Takeover",
        note: outcome.message.clone(),
    };
    context.kubernetes.publish(Regarding::Takeover(takeover), notice).await;
}

/// The primary of a cluster changed by a takeover.
pub async fn primary_changed<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    note: &str,
) {
    let notice =
        Notice { warning: false, reason: "PrimaryChanged", action: "Takeover", note: note.to_owned() };
    context.kubernetes.publish(Regarding::Cluster(cluster), notice).await;
}

/// The primary of a cluster changed, or several instances accept writes, without a takeover of ours.
pub async fn unplanned<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    reason: &'static str,
    note: String,
) {
    let notice = Notice { warning: true, reason, action: "Observe", note };
    context.kubernetes.publish(Regarding::Cluster(cluster), notice).await;
}
