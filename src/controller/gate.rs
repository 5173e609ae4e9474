//! One gate a cluster: whoever changes its routing or its replicas stands in it. The takeover stands in it from before
//! the first change to the end, so that the cluster controller cannot put back, from an older look, what the takeover moves.

use crate::kubernetes::Key;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// The gates of all clusters of this process. Between processes the lease and the epoch do the same.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<BTreeMap<Key, Arc<Gate<()>>>>>);

impl Gates {
    /// Enters the gate of a cluster, waiting for whoever stands in it.
    pub async fn enter(&self, cluster: &Key) -> OwnedMutexGuard<()> {
        self.gate(cluster).lock_owned().await
    }

    /// Enters the gate of a cluster if nobody stands in it.
    pub fn try_enter(&self, cluster: &Key) -> Option<OwnedMutexGuard<()>> {
        self.gate(cluster).try_lock_owned().ok()
    }

    /// Forgets the gate of a cluster that is gone.
    pub fn forget(&self, cluster: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster);
    }

    fn gate(&self, cluster: &Key) -> Arc<Gate<()>> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(cluster.clone()).or_default().clone()
    }
}
