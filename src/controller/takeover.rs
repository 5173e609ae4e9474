//! The takeover controller.

use super::{Context, Error, Next};
use crate::kubernetes::{Key, Kubernetes};
use crate::mysql::Servers;

/// One pass over a `MasterTakeover`; a claimed takeover runs to its end in it.
pub async fn reconcile<K: Kubernetes, S: Servers>(context: &Context<K, S>, key: &Key) -> Result<Next, Error> {
    let _ = context.kubernetes.takeover(key).await?;
    Ok(Next::Await)
}
