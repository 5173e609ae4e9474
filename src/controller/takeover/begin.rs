//! From the first look at the topology to the claim: a dry run ends here, and so does what is already so.

use super::{Stop, run};
use crate::api::common::RoutingOrder;
use crate::api::takeover::{Finding, Mode, Severity};
use crate::api::{MySQLCluster, is_held};
use crate::controller::access::{Access, AccessError};
use crate::controller::claim::Claim;
use crate::controller::report::Report;
use crate::controller::{Context, Error, events, failpoint, observe, preflight};
use crate::kubernetes::{Commit, Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::admission::{Target, resolve};
use crate::takeover::preflight::blocks;
use crate::takeover::{Limits, Outcome, Reason, Step};
use kube::ResourceExt;
use std::time::Duration;

/// How soon a cluster that cannot be used is looked at again.
const UNUSABLE: Duration = Duration::from_secs(2);

/// How soon a cluster that was not looked at yet is looked for again.
const UNOBSERVED: Duration = Duration::from_millis(500);

/// Whether the cluster controller has looked at this version of the cluster: its Services and labels are made then.
fn observed(cluster: &MySQLCluster) -> bool {
    let seen = cluster.status.as_ref().map(|status| status.observed_generation);
    seen.is_some() && seen == cluster.metadata.generation
}

pub(super) async fn begin<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
    cluster: &MySQLCluster,
    limits: Limits,
    spec_hash: &str,
) -> Result<(), Stop> {
    if !observed(cluster) {
        let message = "the cluster was applied a moment ago, and is not looked at yet";
        report.progress(context, "ClusterNotObserved", message);
        report.flush(context).await?;
        return Err(Stop::Later(UNOBSERVED));
    }
    let access = match Access::read(context, cluster).await {
        Ok(access) => access,
        Err(AccessError::Api(error)) => return Err(error.into()),
        Err(AccessError::Unusable { reason, message }) => {
            // It may be mended before the starting deadline, which admission keeps.
            report.progress(context, reason, &message);
            report.flush(context).await?;
            return Err(Stop::Later(UNUSABLE));
        }
    };
    let mut look = observe::look(context, &access).await;
    let (old, new) = match resolve(&report.takeover.spec, &look.topology, &limits) {
        Target::End(outcome) => return Err(Stop::End(outcome)),
        Target::Unresolved { old, new } => (old, new),
        Target::Move { old, new, reason } => {
            let status = report.status();
            status.old_primary = Some(old.clone());
            status.new_primary = Some(new.clone());
            status.target_reason = Some(reason);
            (Some(old), Some(new))
        }
    };
    match report.takeover.spec.mode {
        Mode::DryRun => {
            let findings = preflight::check(
                context,
                cluster,
                &access,
                &mut look,
                (old.as_deref(), new.as_deref()),
                &limits,
            )
            .await?;
            Err(Stop::End(dry_run(report, cluster, &findings)))
        }
        Mode::Execute => {
            hold(context, report, cluster).await?;
            let cluster_key = Key::new(cluster.namespace().unwrap_or_default(), cluster.name_any());
            let (name, uid) = (report.takeover.name_any(), report.takeover.uid().unwrap_or_default());
            failpoint::before(Step::Admit);
            let claim = match Claim::take(context, &cluster_key, &name, &uid, spec_hash).await {
                Ok(claim) => claim,
                // Another takeover was faster: wait for it.
                Err(crate::controller::claim::ClaimError::Superseded) => {
                    return Err(Stop::Later(Duration::from_millis(200)));
                }
                Err(error) => return Err(error.into()),
            };
            failpoint::after(Step::Admit);
            context.metrics.takeover_started();
            report.plan_steps(&order(cluster));
            report.status().start_time = claim.active().map(|active| active.claimed_at.clone());
            report.begin(context, Step::Admit);
            report.end(
                context,
                Step::Admit,
                crate::api::takeover::StepState::Done,
                format!("claimed {} under epoch {}", cluster_key.name, claim.epoch()),
            );
            events::started(context, &report.takeover, old.as_deref(), new.as_deref()).await;
            run::fresh(context, report, claim, access, limits).await
        }
    }
}

/// The steps in the order in which this cluster takes them.
pub(super) fn order(cluster: &MySQLCluster) -> Vec<Step> {
    let mut steps = Step::ALL.to_vec();
    if cluster.spec.routing.order == RoutingOrder::FreezeFirst {
        steps.retain(|step| *step != Step::Route);
        let after = steps.iter().position(|step| *step == Step::Disconnect).map_or(steps.len(), |at| at + 1);
        steps.insert(after, Step::Route);
    }
    steps
}

/// From here on neither resource goes before what was done is undone or finished.
async fn hold<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
    cluster: &MySQLCluster,
) -> Result<(), Stop> {
    if !is_held(&report.takeover) {
        let mut fresh = written(context.kubernetes.set_finalizer(&report.takeover, true).await)?;
        fresh.status = report.takeover.status.take();
        report.takeover = fresh;
    }
    // The cluster holds the journal. It is let go by its own controller.
    if !is_held(cluster) {
        written(context.kubernetes.set_cluster_finalizer(cluster, true).await)?;
    }
    Ok(())
}

fn written<T>(commit: Commit<T>) -> Result<T, Stop> {
    match commit {
        Commit::Committed(fresh) => Ok(*fresh),
        Commit::Conflict => Err(Stop::Failed(Error::Conflict)),
        Commit::Unknown(error) | Commit::Refused(error) => Err(error.into()),
    }
}

fn dry_run(report: &mut Report, cluster: &MySQLCluster, findings: &[Finding]) -> Outcome {
    report.findings(findings);
    if blocks(findings) {
        return refused(findings);
    }
    let status = report.status();
    let old = status.old_primary.clone().unwrap_or_default();
    let new = status.new_primary.clone().unwrap_or_default();
    status.plan = order(cluster).into_iter().map(|step| describe(step, &old, &new)).collect();
    // Two round trips to the servers; the measured figure of a takeover before this one would be a better guess, but
    // says nothing about these two servers now.
    status.expected_outage_milliseconds = Some(expected_outage(cluster));
    let warnings = findings.len();
    Outcome::new(
        Reason::DryRunPassed,
        format!("{old} -> {new} would pass every check now ({warnings} warnings); nothing was changed"),
    )
}

/// What the last takeovers of this cluster took, or the figure of two round trips where there were none.
fn expected_outage(cluster: &MySQLCluster) -> i64 {
    const TWO_ROUND_TRIPS: i64 = 5;
    let history =
        cluster.status.as_ref().map(|status| status.takeover_history.as_slice()).unwrap_or_default();
    history
        .iter()
        .filter_map(|record| record.write_outage_microseconds)
        .take(5)
        .max()
        .map_or(TWO_ROUND_TRIPS, |microseconds| microseconds.saturating_add(999) / 1000)
}

/// Everything that refused it, in one message; the findings say each in full.
pub(super) fn refused(findings: &[Finding]) -> Outcome {
    let errors: Vec<String> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{}: {} {}", finding.code, finding.message, finding.remedy))
        .collect();
    Outcome::new(
        Reason::PreflightFailed,
        format!("{} checks refused the takeover; nothing was changed. {}", errors.len(), errors.join(" | ")),
    )
}

fn describe(step: Step, old: &str, new: &str) -> String {
    let what = match step {
        Step::Admit => "claim the cluster".to_owned(),
        Step::Preflight => "check everything once more".to_owned(),
        Step::ProveCatchUp => format!("show that {new} keeps up with {old} while writes flow"),
        Step::RecordIntent => {
            format!("lock both servers for this takeover and write down how {old} and {new} are now")
        }
        Step::Route => format!("send new connections to {new}, and wait until they land there"),
        Step::Freeze => format!("super_read_only=ON on {old}: the write outage begins"),
        Step::Open => format!("{new} waits for {old}'s GTID set and opens itself: the write outage ends"),
        Step::Disconnect => format!("end the client sessions on {old}, so that they reconnect to {new}"),
        Step::Detach => format!("check that {new} lacks nothing of {old}, then let {new} forget its source"),
        Step::Reattach => format!("the other replicas and {old} replicate from {new}"),
        Step::Verify => "look at every server afresh".to_owned(),
        Step::Finish => "write the history and release the cluster".to_owned(),
    };
    format!("{}: {what}", step.name())
}
