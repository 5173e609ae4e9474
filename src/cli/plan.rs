//! `mysql-takeover plan`: what a takeover would do, and what speaks against it. Nothing is changed.

use super::paint::{Paint, duration};
use super::session::{self, LOOK, Session};
use super::verdict::{TIMED_OUT, Verdict, told};
use crate::api::MasterTakeover;
use crate::api::takeover::{ClusterReference, Finding, MasterTakeoverSpec, Mode, Severity};
use crate::kubernetes::Kubernetes as _;
use anyhow::{Context as _, Result, bail};
use kube::ResourceExt;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Seconds after which the operator deletes the dry run, should this program not come to it.
const LEFT_BEHIND: i32 = 60;

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 would pass, 1 would be refused, 3 no verdict within the timeout, 4 could not be asked."
)]
pub(super) struct Arguments {
    /// Name of the MySQLCluster
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Pod that is to be primary afterwards [default: the best candidate]
    #[arg(long, value_name = "POD")]
    to: Option<String>,
    /// Pod that is not to be primary afterwards [default, without --to: the primary of now]
    #[arg(long, value_name = "POD")]
    from: Option<String>,
    /// Seconds to wait for the verdict
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(i32).range(1..=3600))]
    timeout: i32,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    session: session::Arguments,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
    Yaml,
}

/// The verdict, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    cluster: String,
    passed: bool,
    reason: String,
    message: String,
    old_primary: Option<String>,
    new_primary: Option<String>,
    target_reason: Option<String>,
    expected_outage_milliseconds: Option<i64>,
    findings: Vec<Finding>,
    plan: Vec<String>,
}

impl Arguments {
    pub(super) fn plan(self) -> Result<ExitCode> {
        session::block_on(async move {
            let session = self.session.clone().connect().await?;
            let from = match (&self.to, &self.from) {
                (None, None) => Some(primary(&session, &self.cluster).await?),
                (_, from) => from.clone(),
            };
            let created = session.create(&self.dry_run(from)).await?;
            // Whatever happens, ctrl-C included, nothing is left behind.
            let ended = tokio::select! {
                ended = self.verdict(&session, &created) => ended,
                _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
            };
            if let Err(error) = session.kubernetes.delete_takeover(&created).await {
                eprintln!("the dry run {} was not deleted: {error}", created.name_any());
            }
            let takeover = ended?;
            let verdict = Verdict::of(&takeover);
            if verdict == Verdict::Open {
                let (reason, message) = told(&takeover);
                eprintln!("no verdict within {} s: {reason}: {message}", self.timeout);
                if reason == "NotSeen" {
                    eprintln!("Is the operator running, and does it watch namespace {}?", session.namespace);
                }
                return Ok(ExitCode::from(TIMED_OUT));
            }
            self.print(&session.namespace, takeover, verdict == Verdict::Succeeded)?;
            Ok(ExitCode::from(u8::from(verdict != Verdict::Succeeded)))
        })
    }

    fn dry_run(&self, from: Option<String>) -> MasterTakeover {
        let spec = MasterTakeoverSpec {
            cluster_ref: ClusterReference { name: self.cluster.clone() },
            new_primary: self.to.clone(),
            old_primary: from,
            mode: Mode::DryRun,
            demoted_primary: None,
            replica_policy: None,
            long_transaction_policy: None,
            starting_deadline_seconds: Some(self.timeout),
            active_deadline_seconds: None,
            catch_up_deadline_seconds: None,
            max_replication_lag_seconds: None,
            not_after_time: None,
            ttl_seconds_after_finished: Some(LEFT_BEHIND),
            suspend: false,
            cancel: false,
        };
        let mut takeover = MasterTakeover::new("", spec);
        takeover.metadata.name = None;
        takeover.metadata.generate_name = Some(format!("plan-{}-", self.cluster));
        takeover
    }

    async fn verdict(&self, session: &Session, created: &MasterTakeover) -> Result<MasterTakeover> {
        let limit = Duration::from_secs(u64::try_from(self.timeout).unwrap_or_default());
        let deadline = Instant::now() + limit;
        let name = created.name_any();
        loop {
            let takeover = session.takeover(&name).await?;
            if Verdict::of(&takeover) != Verdict::Open || Instant::now() >= deadline {
                return Ok(takeover);
            }
            sleep(LOOK).await;
        }
    }

    fn print(&self, namespace: &str, takeover: MasterTakeover, passed: bool) -> Result<()> {
        let (reason, message) = told(&takeover);
        let status = takeover.status.unwrap_or_default();
        let answer = Answer {
            namespace: namespace.to_owned(),
            cluster: self.cluster.clone(),
            passed,
            reason,
            message,
            old_primary: status.old_primary,
            new_primary: status.new_primary,
            target_reason: status.target_reason,
            expected_outage_milliseconds: status.expected_outage_milliseconds,
            findings: status.findings,
            plan: status.plan,
        };
        match self.output {
            Output::Text => print!("{}", text(&answer, Paint::for_stdout())),
            Output::Json => {
                println!("{}", serde_json::to_string_pretty(&answer).context("cannot print the plan")?);
            }
            Output::Yaml => print!("{}", serde_saphyr::to_string(&answer).context("cannot print the plan")?),
        }
        Ok(())
    }
}

async fn primary(session: &Session, cluster: &str) -> Result<String> {
    let status = session.cluster(cluster).await?.status.unwrap_or_default();
    let Some(primary) = status.primary else {
        bail!("the primary of {cluster} is not known; name the instances with --to or --from");
    };
    Ok(primary)
}

fn text(answer: &Answer, paint: Paint) -> String {
    let unknown = || "?".to_owned();
    let mut lines = vec![format!(
        "{}  {} → {}{}",
        paint.strong(&answer.cluster),
        answer.old_primary.clone().unwrap_or_else(unknown),
        answer.new_primary.clone().unwrap_or_else(unknown),
        answer.target_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )];
    if !answer.findings.is_empty() {
        lines.push(format!("\n{}", paint.strong("FINDINGS")));
        lines.extend(answer.findings.iter().map(|found| finding(found, paint)));
    }
    if !answer.plan.is_empty() {
        lines.push(format!("\n{}", paint.strong("PLAN")));
        lines.extend(answer.plan.iter().enumerate().map(|(index, step)| format!("{:>2}. {step}", index + 1)));
    }
    if let Some(milliseconds) = answer.expected_outage_milliseconds {
        let expected = duration(milliseconds.saturating_mul(1000));
        lines.push(format!("\nExpected write outage: about {}", paint.strong(&expected)));
    }
    let reason = if answer.passed { paint.good(&answer.reason) } else { paint.bad(&answer.reason) };
    lines.push(format!("\n{reason}: {}\n", answer.message));
    lines.join("\n")
}

/// What was found, and below it what to do.
pub(super) fn finding(finding: &Finding, paint: Paint) -> String {
    let mark = match finding.severity {
        Severity::Error => paint.bad("✘"),
        Severity::Warning => paint.attention("!"),
    };
    let subject = finding.subject.as_ref().map(|subject| format!("  {subject}")).unwrap_or_default();
    format!("{mark} {}{subject}: {}\n    → {}", finding.code, finding.message, finding.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_comes_with_its_remedy() {
        let answer = Answer {
            namespace: "shop".to_owned(),
            cluster: "orders".to_owned(),
            passed: false,
            reason: "PreflightFailed".to_owned(),
            message: "1 error".to_owned(),
            old_primary: Some("mysql-0".to_owned()),
            new_primary: Some("mysql-1".to_owned()),
            target_reason: None,
            expected_outage_milliseconds: Some(4),
            findings: vec![Finding {
                code: "TargetLagging".to_owned(),
                severity: Severity::Error,
                subject: Some("mysql-1".to_owned()),
                message: "12 s behind".to_owned(),
                remedy: "wait".to_owned(),
            }],
            plan: vec!["Freeze mysql-0".to_owned()],
        };
        assert_eq!(
            text(&answer, Paint::plain()),
            "orders  mysql-0 → mysql-1\n\nFINDINGS\n✘ TargetLagging  mysql-1: 12 s behind\n    → wait\n\nPLAN\n 1. Freeze mysql-0\n\nExpected write outage: about 4.0 ms\n\nPreflightFailed: 1 error\n"
        );
    }
}
