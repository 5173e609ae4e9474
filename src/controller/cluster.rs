//! The cluster controller.

use super::{Context, Error, Next};
use crate::kubernetes::{Key, Kubernetes};
use crate::mysql::Servers;

/// One pass over a `MySQLCluster`.
pub async fn reconcile<K: Kubernetes, S: Servers>(context: &Context<K, S>, key: &Key) -> Result<Next, Error> {
    let _ = context.kubernetes.cluster(key).await?;
    Ok(Next::Again(context.settings.probe_period))
}
