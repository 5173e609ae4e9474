//! The cluster controller: looks at the servers, tells what it saw, keeps labels and owned Services right, repairs what
//! a takeover had to leave behind. While a takeover has changed something, it only looks.

mod hold;
mod repair;
mod status;

use super::access::{Access, AccessError};
use super::observe::{self, Look};
use super::routing::Router;
use super::{Context, Error, Next, events, preflight};
use crate::api::conditions;
use crate::api::takeover::Finding;
use crate::api::{MySQLCluster, MySQLClusterStatus, is_held};
use crate::kubernetes::{Commit, Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::Limits;
use crate::takeover::preflight::blocks;
use crate::topology::{Primary, Topology, candidate};
use kube::ResourceExt;

/// One pass over a `MySQLCluster`.
pub async fn reconcile<K: Kubernetes, S: Servers>(context: &Context<K, S>, key: &Key) -> Result<Next, Error> {
    let Some(cluster) = context.kubernetes.cluster(key).await? else {
        context.metrics.cluster_gone(&key.namespace, &key.name);
        context.gates.forget(key);
        return Ok(Next::Await);
    };
    super::takeover::carry_on_orphan(context, &cluster).await?;
    let cluster = hold::let_go(context, key, cluster).await?;
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(if is_held(&cluster) { Next::Again(context.settings.probe_period) } else { Next::Await });
    }
    let access = match Access::read(context, &cluster).await {
        Ok(access) => access,
        Err(AccessError::Api(error)) => return Err(error.into()),
        Err(AccessError::Unusable { reason, message }) => {
            let next = status::unusable(context, &cluster, reason, &message);
            write(context, cluster, next).await?;
            return Ok(Next::Again(context.settings.probe_period));
        }
    };
    let mut look = observe::look(context, &access).await;
    let findings = takeover_findings(context, &cluster, &access, &mut look).await?;
    let before = cluster.status.clone().unwrap_or_default();
    let topology = &look.topology;

    let mut next = status::seen(context, &cluster, topology, &findings);
    if let (Some(primary), Some(_gate)) = (stands(&before, topology), context.gates.try_enter(key)) {
        // What was read before the gate was entered may be overtaken: a takeover that stood in it has ended since.
        if unmoved(context, key, &cluster).await? {
            let router = Router { context, cluster: &cluster, access: &access };
            router.ensure_services(&primary).await?;
            router.label_all(&primary).await?;
            next.repairs = repair::repair(context, &access, topology, &primary, &before.repairs).await;
        }
    }
    tell(context, &cluster, &before, &next, topology).await;
    measure(context, key, &next, topology);
    write(context, cluster, next).await?;
    Ok(Next::Again(context.settings.probe_period))
}

/// The one primary, where routing may follow it: no takeover has changed anything that it has yet to finish or undo.
fn stands(before: &MySQLClusterStatus, topology: &Topology) -> Option<String> {
    let changing = before.active_takeover.as_ref().is_some_and(|active| active.intent.is_some());
    match topology.primary() {
        Primary::One(primary) if !changing => Some(primary),
        Primary::One(_) | Primary::None | Primary::Many(_) => None,
    }
}

/// Whether no takeover has begun or ended since `cluster` was read.
async fn unmoved<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    key: &Key,
    cluster: &MySQLCluster,
) -> Result<bool, Error> {
    let epoch = |cluster: &MySQLCluster| {
        cluster.status.as_ref().map(|status| (status.takeover_epoch, status.active_takeover.clone()))
    };
    let fresh = context.kubernetes.cluster(key).await?;
    Ok(fresh.is_some_and(|fresh| epoch(&fresh) == epoch(cluster)))
}

/// What a takeover to the best candidate would be told now.
async fn takeover_findings<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    access: &Access,
    look: &mut Look<S::Session>,
) -> Result<Vec<Finding>, Error> {
    let limits = Limits::of_cluster(&cluster.spec.takeover_defaults);
    let (old, new) = match look.topology.primary() {
        Primary::One(primary) => {
            let new = candidate::choose(&look.topology, &primary, &limits).ok().map(|choice| choice.name);
            (Some(primary), new)
        }
        Primary::None | Primary::Many(_) => (None, None),
    };
    Ok(preflight::check(context, cluster, access, look, (old.as_deref(), new.as_deref()), &limits).await?)
}

/// Events on transitions.
async fn tell<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    before: &MySQLClusterStatus,
    next: &MySQLClusterStatus,
    topology: &Topology,
) {
    if before.active_takeover.is_some() {
        return;
    }
    if let Primary::Many(names) = topology.primary()
        && conditions::find(&before.conditions, conditions::PRIMARY_WRITABLE)
            .is_none_or(|condition| condition.reason != "SeveralPrimaries")
    {
        let note = format!(
            "{} accept writes at the same time: set super_read_only=ON on all but one at once",
            names.join(", ")
        );
        events::unplanned(context, cluster, "MultipleWritablePrimaries", note).await;
    }
    if let (Some(was), Some(is)) = (&before.primary, &next.primary)
        && was != is
    {
        events::unplanned(
            context,
            cluster,
            "UnplannedPrimaryChange",
            format!("{was} -> {is}, not by a MasterTakeover"),
        )
        .await;
    }
}

fn measure<K, S>(context: &Context<K, S>, key: &Key, next: &MySQLClusterStatus, topology: &Topology) {
    let writable = topology
        .instances
        .iter()
        .filter(|instance| instance.facts().is_some_and(crate::topology::ServerFacts::accepts_writes))
        .count();
    let ready = conditions::find(&next.conditions, conditions::TAKEOVER_READY)
        .is_some_and(|condition| condition.status == "True");
    let busy = next.active_takeover.is_some();
    context.metrics.cluster_seen(&key.namespace, &key.name, topology.instances.len(), writable, ready, busy);
}

/// Writes the status if it changed. A conflict means that a takeover moved on: the next pass looks again.
async fn write<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: MySQLCluster,
    next: MySQLClusterStatus,
) -> Result<(), Error> {
    if cluster.status.as_ref() == Some(&next) {
        return Ok(());
    }
    let mut cluster = cluster;
    cluster.status = Some(next);
    match context.kubernetes.commit_cluster(&cluster).await {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict => {
            tracing::debug!(cluster = %cluster.name_any(), "the cluster changed meanwhile; looking again");
            Ok(())
        }
        Commit::Unknown(error) | Commit::Refused(error) => Err(error.into()),
    }
}

/// Whether these findings let a takeover pass.
fn passes(findings: &[Finding]) -> bool {
    !blocks(findings)
}
