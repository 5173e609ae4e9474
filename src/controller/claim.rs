//! The claim on a cluster and its journal: every write is a compare-and-swap on `MySQLCluster.status`, and is refused by
//! ourselves once a higher epoch is seen there.

use super::{Context, failpoint};
use crate::api::journal::{ActiveTakeover, Intent};
use crate::api::{MySQLCluster, is_held};
use crate::kubernetes::{ApiError, Commit, Key, Kubernetes};
use crate::mysql::Servers;
use std::time::Duration;

/// How often one write is decided anew before the pass gives up.
const ATTEMPTS: usize = 8;
/// Pause before a write whose answer was lost is resolved by reading.
const PAUSE: Duration = Duration::from_millis(50);
/// Ended takeovers that the cluster remembers.
pub const HISTORY_LIMIT: usize = 20;

/// What a write to the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The cluster is claimed.
    Claim,
    /// Another operator instance carries it on.
    Adoption,
    /// What is about to be done, and how everything was before.
    Intent,
    /// The new primary was opened.
    Opened,
    /// It goes back, and why.
    TurnBack,
    /// It is over.
    Release,
}

impl Entry {
    /// Every entry, in order.
    pub const ALL: [Self; 6] =
        [Self::Claim, Self::Adoption, Self::Intent, Self::Opened, Self::TurnBack, Self::Release];
}

/// A held claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Namespace and name of the cluster.
    pub key: Key,
    /// The cluster as last read or written.
    pub cluster: MySQLCluster,
    uid: String,
    epoch: i64,
}

/// Why a write to the journal did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another operator instance, or nobody, holds the claim now: send nothing more.
    #[error("the claim on the cluster is held under another epoch")]
    Superseded,
    /// The API did not answer, or refuses the write.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Other writers were faster, again and again.
    #[error("the resource changed meanwhile, again and again")]
    Contended,
}

impl Claim {
    /// Claims the cluster for a takeover that no other holds. The cluster must carry our finalizer.
    pub async fn take<K: Kubernetes, S: Servers>(
        context: &Context<K, S>,
        key: &Key,
        name: &str,
        uid: &str,
        spec_hash: &str,
    ) -> Result<Self, ClaimError> {
        let now = context.clock.now();
        let cluster = update(context, key, |cluster| {
            // Without the finalizer a deletion would take the journal away while the old primary is frozen.
            if cluster.metadata.deletion_timestamp.is_some() || !is_held(cluster) {
                return Change::Superseded;
            }
            let status = cluster.status.get_or_insert_default();
            // Decided from an older look: another operator instance has carried it to its end meanwhile. A second claim
            // would carry it out again, and undo whatever takeover came after it.
            if status.takeover_history.iter().any(|record| record.uid == uid) {
                return Change::Superseded;
            }
            match &status.active_takeover {
                // Our own earlier write, whose answer was lost.
                Some(active) if active.uid == uid && active.holder == context.holder => {
                    return Change::Unneeded;
                }
                // Another takeover, or this one in the hands of another instance: a new claim would wipe out its journal.
                Some(_) => return Change::Superseded,
                None => {}
            }
            status.takeover_epoch += 1;
            status.active_takeover = Some(ActiveTakeover {
                name: name.to_owned(),
                uid: uid.to_owned(),
                spec_hash: spec_hash.to_owned(),
                epoch: status.takeover_epoch,
                holder: context.holder.clone(),
                claimed_at: now.clone(),
                direction: crate::api::journal::Direction::Forward,
                failure: None,
                intent: None,
                opened: None,
            });
            Change::Write(Entry::Claim)
        })
        .await?;
        Self::held(key, cluster, uid)
    }

    /// Takes a claim over from whoever held it, under a higher epoch. Idempotent for its holder.
    pub async fn adopt<K: Kubernetes, S: Servers>(
        context: &Context<K, S>,
        key: &Key,
        uid: &str,
    ) -> Result<Self, ClaimError> {
        let mut adopted = false;
        let cluster = update(context, key, |cluster| {
            let status = cluster.status.get_or_insert_default();
            let Some(active) = status.active_takeover.as_mut().filter(|active| active.uid == uid) else {
                return Change::Superseded;
            };
            if adopted && active.holder == context.holder && active.epoch == status.takeover_epoch {
                return Change::Unneeded;
            }
            adopted = true;
            status.takeover_epoch = status.takeover_epoch.max(active.epoch) + 1;
            active.epoch = status.takeover_epoch;
            active.holder.clone_from(&context.holder);
            Change::Write(Entry::Adoption)
        })
        .await?;
        Self::held(key, cluster, uid)
    }

    fn held(key: &Key, cluster: MySQLCluster, uid: &str) -> Result<Self, ClaimError> {
        let epoch = match cluster.status.as_ref().and_then(|status| status.active_takeover.as_ref()) {
            Some(active) if active.uid == uid => active.epoch,
            Some(_) | None => return Err(ClaimError::Superseded),
        };
        Ok(Self { key: key.clone(), cluster, uid: uid.to_owned(), epoch })
    }

    /// Epoch under which everything is done.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The journal, as last read or written.
    pub fn active(&self) -> Option<&ActiveTakeover> {
        self.cluster.status.as_ref().and_then(|status| status.active_takeover.as_ref())
    }

    /// The recorded intent.
    pub fn intent(&self) -> Option<&Intent> {
        self.active().and_then(|active| active.intent.as_ref())
    }

    /// Reads the claim afresh.
    pub async fn refresh<K: Kubernetes, S: Servers>(
        &mut self,
        context: &Context<K, S>,
    ) -> Result<(), ClaimError> {
        let (uid, epoch) = (self.uid.clone(), self.epoch);
        self.cluster = update(context, &self.key, |cluster| {
            match cluster.status.as_ref().and_then(|status| status.active_takeover.as_ref()) {
                Some(active) if active.uid == uid && active.epoch == epoch => Change::Unneeded,
                Some(_) | None => Change::Superseded,
            }
        })
        .await?;
        Ok(())
    }

    /// Changes the journal.
    pub async fn record<K: Kubernetes, S: Servers>(
        &mut self,
        context: &Context<K, S>,
        entry: Entry,
        change: impl Fn(&mut ActiveTakeover) + Send + Sync,
    ) -> Result<(), ClaimError> {
        self.update(context, entry, |status| {
            if let Some(active) = status.active_takeover.as_mut() {
                change(active);
            }
        })
        .await
    }

    /// Changes the status of the cluster, as long as this claim is held under this epoch.
    pub async fn update<K: Kubernetes, S: Servers>(
        &mut self,
        context: &Context<K, S>,
        entry: Entry,
        change: impl Fn(&mut crate::api::MySQLClusterStatus) + Send + Sync,
    ) -> Result<(), ClaimError> {
        let (uid, epoch) = (self.uid.clone(), self.epoch);
        self.cluster = update(context, &self.key, |cluster| {
            let status = cluster.status.get_or_insert_default();
            match &status.active_takeover {
                Some(active) if active.uid == uid && active.epoch == epoch => {}
                Some(_) | None => return Change::Superseded,
            }
            let before = status.clone();
            change(status);
            if *status == before { Change::Unneeded } else { Change::Write(entry) }
        })
        .await?;
        Ok(())
    }
}

enum Change {
    Write(Entry),
    Unneeded,
    Superseded,
}

/// Reads afresh, changes, writes with the version read; decides anew from a fresh read after a conflict or a lost answer.
async fn update<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    key: &Key,
    mut change: impl FnMut(&mut MySQLCluster) -> Change + Send,
) -> Result<MySQLCluster, ClaimError> {
    let mut last: Option<ApiError> = None;
    for _ in 0..ATTEMPTS {
        let mut cluster = match context.kubernetes.cluster(key).await {
            Ok(Some(cluster)) => cluster,
            Ok(None) => return Err(ClaimError::Superseded),
            Err(error) => {
                last = Some(error);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let entry = match change(&mut cluster) {
            Change::Superseded => return Err(ClaimError::Superseded),
            Change::Unneeded => return Ok(cluster),
            Change::Write(entry) => entry,
        };
        failpoint::before(entry);
        let commit = context.kubernetes.commit_cluster(&cluster).await;
        failpoint::after(entry);
        match commit {
            Commit::Committed(cluster) => return Ok(*cluster),
            Commit::Conflict => context.metrics.commit_conflict(),
            Commit::Unknown(error) => {
                context.metrics.commit_unknown();
                last = Some(error);
                tokio::time::sleep(PAUSE).await;
            }
            Commit::Refused(error) => return Err(ClaimError::Api(error)),
        }
    }
    Err(last.map_or(ClaimError::Contended, ClaimError::Api))
}
