//! The finalizer of a cluster: carried from before a claim until what the journal tells is done, and told by the status of
//! the takeover. A deletion in between would take the journal away while the old primary is frozen.

use crate::api::takeover::Mode;
use crate::api::{MasterTakeover, MySQLCluster, is_held};
use crate::controller::takeover::finished;
use crate::controller::{Context, Error};
use crate::kubernetes::{Commit, Key, Kubernetes};
use crate::mysql::Servers;
use kube::ResourceExt;

/// Removes the finalizer where nothing needs it any more. The cluster as it is then.
pub(super) async fn let_go<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    key: &Key,
    cluster: MySQLCluster,
) -> Result<MySQLCluster, Error> {
    let claimed = cluster.status.as_ref().is_some_and(|status| status.active_takeover.is_some());
    if claimed || !is_held(&cluster) {
        return Ok(cluster);
    }
    let takeovers = context.kubernetes.takeovers_of(key).await?;
    if takeovers.iter().any(|takeover| needs(takeover, &cluster)) {
        return Ok(cluster);
    }
    match context.kubernetes.set_cluster_finalizer(&cluster, false).await {
        Commit::Committed(fresh) => Ok(*fresh),
        // Perhaps claimed meanwhile: decided anew from a fresh read.
        Commit::Conflict => Err(Error::Conflict),
        Commit::Unknown(error) | Commit::Refused(error) => Err(error.into()),
    }
}

/// Whether a takeover without a claim still needs the cluster: its end stands in the history alone, or it may be about to
/// claim. One that is held back does not: it would keep a cluster for ever whose operator was uninstalled.
fn needs(takeover: &MasterTakeover, cluster: &MySQLCluster) -> bool {
    if finished(takeover) {
        return false;
    }
    let history =
        cluster.status.as_ref().map(|status| status.takeover_history.as_slice()).unwrap_or_default();
    let untold = history.iter().any(|record| Some(&record.uid) == takeover.uid().as_ref());
    let beginning = cluster.metadata.deletion_timestamp.is_none()
        && takeover.metadata.deletion_timestamp.is_none()
        && takeover.spec.mode == Mode::Execute
        && !takeover.spec.suspend
        && !takeover.spec.cancel;
    untold || beginning
}
