//! The takeover controller: admits a `MasterTakeover`, carries it on to its end, tidies up after it.

mod again;
mod begin;
mod finish;
mod forward;
pub mod hands;
mod outage;
mod prepare;
mod run;
mod unwind;

use super::claim::ClaimError;
use super::report::Report;
use super::{Context, Error, Next};
use crate::api::conditions::{self, Truth};
use crate::api::takeover::{ClusterReference, MasterTakeoverSpec, Mode};
use crate::api::{MasterTakeover, is_held};
use crate::kubernetes::{Commit, Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::admission::{Admission, Request, admit, without_journal};
use crate::takeover::{Limits, Outcome, Reason};
use kube::ResourceExt;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::Duration;

/// How soon a takeover that waits is looked at again without being asked.
const WAITING: Duration = Duration::from_secs(2);

/// Why a pass ends before the takeover does.
pub(super) enum Stop {
    /// The takeover is over.
    End(Outcome),
    /// Another operator instance goes on with it: send nothing more.
    Superseded,
    /// Look again after this time.
    Later(Duration),
    /// Something failed; the next pass decides from what is there then.
    Failed(Error),
}

impl From<ClaimError> for Stop {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Superseded => Self::Superseded,
            ClaimError::Api(error) => Self::Failed(Error::Api(error)),
            ClaimError::Contended => Self::Failed(Error::Conflict),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::kubernetes::ApiError> for Stop {
    fn from(error: crate::kubernetes::ApiError) -> Self {
        Self::Failed(Error::Api(error))
    }
}

/// One pass over a `MasterTakeover`; a claimed takeover runs to its end in it.
pub async fn reconcile<K: Kubernetes, S: Servers>(context: &Context<K, S>, key: &Key) -> Result<Next, Error> {
    let Some(takeover) = context.kubernetes.takeover(key).await? else { return Ok(Next::Await) };
    if finished(&takeover) {
        return tidy(context, takeover).await;
    }
    let mut report = Report::new(takeover);
    match pass(context, &mut report).await {
        Err(Stop::End(outcome)) => {
            report.finish(context, &outcome, false);
            report.flush(context).await?;
            // Else it had ended before, and told so.
            if end(&report.takeover) == Some(outcome.reason.as_str()) {
                let cluster = &report.takeover.spec.cluster_ref.name;
                context.metrics.takeover_finished(&key.namespace, cluster, outcome.reason.as_str(), None);
                super::events::ended(context, &report.takeover, &outcome).await;
            }
            tidy(context, report.takeover).await
        }
        Err(Stop::Superseded) => {
            tracing::info!(takeover = %key, "another operator instance carries this takeover on");
            Ok(Next::Again(WAITING))
        }
        Err(Stop::Later(after)) => Ok(Next::Again(after)),
        Err(Stop::Failed(error)) => Err(error),
        Ok(()) => tidy(context, report.takeover).await,
    }
}

/// Carries on a takeover whose resource is gone while its claim is not: its finalizer was removed by force. The journal
/// holds all that is needed; before Open it is undone, after it finished.
pub async fn carry_on_orphan<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &crate::api::MySQLCluster,
) -> Result<(), Error> {
    let Some(active) = cluster.status.as_ref().and_then(|status| status.active_takeover.clone()) else {
        return Ok(());
    };
    let namespace = cluster.namespace().unwrap_or_default();
    if let Some(takeover) = context.kubernetes.takeover(&Key::new(&namespace, &active.name)).await?
        && takeover.uid().as_deref() == Some(active.uid.as_str())
    {
        return Ok(());
    }
    tracing::warn!(takeover = active.name, "its resource is gone, its claim is not");
    let mut gone = MasterTakeover::new(
        &active.name,
        MasterTakeoverSpec {
            cluster_ref: ClusterReference { name: cluster.name_any() },
            new_primary: None,
            old_primary: None,
            mode: Mode::Execute,
            demoted_primary: None,
            replica_policy: None,
            long_transaction_policy: None,
            starting_deadline_seconds: None,
            active_deadline_seconds: None,
            catch_up_deadline_seconds: None,
            max_replication_lag_seconds: None,
            not_after_time: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            cancel: true,
        },
    );
    gone.metadata.namespace = Some(namespace.clone());
    gone.metadata.uid = Some(active.uid.clone());
    let limits = Limits::of(&gone.spec, &cluster.spec.takeover_defaults);
    let mut report = Report::new(gone);
    if let Some(intent) = &active.intent {
        let status = report.status();
        status.old_primary = Some(intent.plan.old_primary.name.clone());
        status.new_primary = Some(intent.plan.new_primary.name.clone());
    }
    match run::resume(context, &mut report, &Key::new(&namespace, cluster.name_any()), limits).await {
        Ok(()) | Err(Stop::Superseded | Stop::Later(_) | Stop::End(_)) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// From admission to the end. `Ok`: the status says how it ended.
async fn pass<K: Kubernetes, S: Servers>(context: &Context<K, S>, report: &mut Report) -> Result<(), Stop> {
    let key = report.key();
    let cluster_key = Key::new(&key.namespace, &report.takeover.spec.cluster_ref.name);
    let Some(cluster) = context.kubernetes.cluster(&cluster_key).await? else {
        return without_cluster(context, report).await;
    };
    let limits = Limits::of(&report.takeover.spec, &cluster.spec.takeover_defaults);
    let spec_hash = spec_hash(&report.takeover.spec);
    let older = older_waiting(context, report, &cluster_key).await?;
    let status = cluster.status.clone().unwrap_or_default();
    let request = Request {
        name: &key.name,
        uid: &report.takeover.uid().unwrap_or_default(),
        spec: &report.takeover.spec,
        spec_hash: &spec_hash,
        begun: begun(&report.takeover),
        deleted: report.takeover.metadata.deletion_timestamp.is_some(),
        age_seconds: age_seconds(context, &report.takeover),
        expired: report
            .takeover
            .spec
            .not_after_time
            .as_ref()
            .is_some_and(|time| context.clock.now().0 > time.0),
        limits: &limits,
    };
    match admit(&request, status.active_takeover.as_ref(), &status.takeover_history, &older) {
        Admission::Continue => run::resume(context, report, &cluster_key, limits).await,
        Admission::Ended(record) => {
            report.finish_from_record(context, &record);
            Ok(report.flush(context).await?)
        }
        Admission::Refuse(outcome) => Err(Stop::End(outcome)),
        Admission::Suspended => wait(context, report, "Suspended", "held by `suspend: true`").await,
        Admission::Queued { behind } => {
            wait(context, report, "Queued", &format!("MasterTakeover {behind} goes first on this cluster"))
                .await
        }
        // It goes as soon as nothing holds it: no takeover begins on it.
        Admission::Begin if cluster.metadata.deletion_timestamp.is_some() => {
            without_cluster(context, report).await
        }
        Admission::Begin => begin::begin(context, report, &cluster, limits, &spec_hash).await,
    }
}

async fn wait<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
    reason: &str,
    message: &str,
) -> Result<(), Stop> {
    report.progress(context, reason, message);
    report.flush(context).await?;
    Err(Stop::Later(WAITING))
}

/// The cluster may be applied a moment after the takeover: waits for it, visibly, until the starting deadline.
async fn without_cluster<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
) -> Result<(), Stop> {
    let name = report.takeover.spec.cluster_ref.name.clone();
    let limit = report.takeover.spec.starting_deadline_seconds.unwrap_or(300);
    if begun(&report.takeover) {
        return Err(Stop::End(without_journal(&name)));
    }
    if report.takeover.metadata.deletion_timestamp.is_some() || report.takeover.spec.cancel {
        return Err(Stop::End(Outcome::new(
            Reason::Cancelled,
            "cancelled before it began; nothing was changed",
        )));
    }
    if age_seconds(context, &report.takeover) > i64::from(limit) {
        return Err(Stop::End(Outcome::new(
            Reason::ClusterUnusable,
            format!(
                "there is no MySQLCluster {name} in this namespace; nothing was changed. Name one in `clusterRef`"
            ),
        )));
    }
    wait(context, report, "ClusterMissing", &format!("there is no MySQLCluster {name} in this namespace yet"))
        .await
}

/// Its status says that it claimed a cluster.
fn begun(takeover: &MasterTakeover) -> bool {
    takeover.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

/// Names of unfinished takeovers of the same cluster that were created before this one and want to run.
async fn older_waiting<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &Report,
    cluster: &Key,
) -> Result<Vec<String>, Error> {
    let mine = order(&report.takeover);
    let mut older: Vec<_> = context
        .kubernetes
        .takeovers_of(cluster)
        .await?
        .into_iter()
        .filter(|other| !finished(other) && other.spec.mode == Mode::Execute && !other.spec.suspend)
        .filter(|other| other.metadata.deletion_timestamp.is_none() && !other.spec.cancel)
        .filter(|other| order(other) < mine)
        .collect();
    older.sort_by_key(order);
    Ok(older.into_iter().map(|other| other.name_any()).collect())
}

fn order(takeover: &MasterTakeover) -> (i64, String) {
    let created = takeover.metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second());
    (created, takeover.name_any())
}

fn age_seconds<K, S>(context: &Context<K, S>, takeover: &MasterTakeover) -> i64 {
    let created = takeover.metadata.creation_timestamp.as_ref().map(|time| time.0);
    created.map_or(0, |created| context.clock.now().0.duration_since(created).as_secs())
}

/// The reason with which it ended, if its status says that it did.
pub fn end(takeover: &MasterTakeover) -> Option<&str> {
    let status = takeover.status.as_ref()?;
    let condition = conditions::find(&status.conditions, conditions::SUCCEEDED)?;
    (condition.status != Truth::Unknown.as_str()).then_some(condition.reason.as_str())
}

/// Whether its status says that it ended.
pub fn finished(takeover: &MasterTakeover) -> bool {
    end(takeover).is_some()
}

/// What remains to be done for an ended takeover: release the finalizer, follow the generation, delete it in time.
async fn tidy<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    takeover: MasterTakeover,
) -> Result<Next, Error> {
    let mut takeover = takeover;
    if is_held(&takeover) {
        match context.kubernetes.set_finalizer(&takeover, false).await {
            Commit::Committed(fresh) => takeover = *fresh,
            Commit::Conflict => return Err(Error::Conflict),
            Commit::Unknown(error) | Commit::Refused(error) => return Err(Error::Api(error)),
        }
    }
    if takeover.metadata.deletion_timestamp.is_some() {
        return Ok(Next::Await);
    }
    let ttl = takeover.spec.ttl_seconds_after_finished;
    let ended = takeover.status.as_ref().and_then(|status| status.completion_time.clone());
    let mut report = Report::new(takeover);
    // A reader that waits for `observedGeneration` must not wait for ever because of an edit after the end.
    let generation = report.generation();
    report.status().observed_generation = generation;
    for condition in &mut report.status().conditions {
        condition.observed_generation = Some(generation);
    }
    report.flush(context).await?;
    let (Some(ttl), Some(ended)) = (ttl, ended) else { return Ok(Next::Await) };
    let left = i64::from(ttl) - context.clock.now().0.duration_since(ended.0).as_secs();
    match u64::try_from(left) {
        Ok(left) if left > 0 => Ok(Next::Again(Duration::from_secs(left))),
        Ok(_) | Err(_) => {
            context.kubernetes.delete_takeover(&report.takeover).await?;
            Ok(Next::Await)
        }
    }
}

/// Hash of what a spec asks for, without the fields that may change meanwhile.
pub fn spec_hash(spec: &MasterTakeoverSpec) -> String {
    let fixed = MasterTakeoverSpec {
        suspend: false,
        cancel: false,
        ttl_seconds_after_finished: None,
        ..spec.clone()
    };
    let text = serde_json::to_string(&fixed).unwrap_or_default();
    let mut hash = String::with_capacity(32);
    for byte in Sha256::digest(text.as_bytes()).iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}
