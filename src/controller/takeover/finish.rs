//! The end: the cluster's history and the release of the claim in one write, then the status of the takeover.

use super::Stop;
use super::run::Run;
use crate::api::journal::{Intent, TakeoverRecord};
use crate::controller::claim::{Entry, HISTORY_LIMIT};
use crate::controller::{events, failpoint};
use crate::kubernetes::Kubernetes;
use crate::mysql::Servers;
use crate::takeover::{Outcome, Reason, Step};
use kube::ResourceExt;
use std::time::Duration;

/// Longest GTID set that the history keeps: twenty long ones would outgrow what etcd takes in one object. The takeover's
/// own status has it whole.
const RECORDED_SET_LIMIT: usize = 4096;

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// The primary moved.
    pub(super) async fn finish_promoted(&mut self, intent: &Intent) -> Result<(), Stop> {
        self.report.begin(self.context, Step::Finish);
        failpoint::before(Step::Finish);
        let (old, new) = (&intent.plan.old_primary.name, &intent.plan.new_primary.name);
        let microseconds = self.outage_microseconds();
        let took = microseconds.map_or_else(
            || "the write outage was not seen as a whole, because the operator changed meanwhile".to_owned(),
            |microseconds| format!("write outage {:.1} ms", micros_to_millis(microseconds)),
        );
        let degraded = match self.repairs.len() {
            0 => String::new(),
            left => format!("; {left} instances are left to be repaired, see `Degraded`"),
        };
        let outcome = Outcome::new(Reason::Promoted, format!("{old} -> {new}, {took}{degraded}"));
        self.release(&outcome, true).await?;
        failpoint::after(Step::Finish);
        Ok(())
    }

    /// Everything is undone.
    pub(super) async fn finish_rolled_back(&mut self, outcome: &Outcome) -> Result<(), Stop> {
        self.release(outcome, false).await?;
        Ok(())
    }

    /// Nothing was changed.
    pub(super) async fn finish_unchanged(&mut self, outcome: &Outcome) -> Result<(), Stop> {
        self.release(outcome, false).await
    }

    async fn release(&mut self, outcome: &Outcome, moved: bool) -> Result<(), Stop> {
        let record = self.record_of(outcome, moved);
        let repairs = self.repairs.clone();
        self.claim
            .update(self.context, Entry::Release, |status| {
                status.takeover_history.insert(0, record.clone());
                status.takeover_history.truncate(HISTORY_LIMIT);
                status.active_takeover = None;
                if moved {
                    status.primary.clone_from(&record.new_primary);
                    status.repairs.clone_from(&repairs);
                }
            })
            .await?;
        if moved {
            self.report.end(
                self.context,
                Step::Finish,
                crate::api::takeover::StepState::Done,
                "claim released",
            );
        }
        self.report.degraded(self.context, &record);
        self.report.finish(self.context, outcome, record.rolled_back);
        self.report.flush(self.context).await?;

        let key = self.report.key();
        let cluster = self.claim.cluster.name_any();
        let outage = self
            .outage_microseconds()
            .and_then(|microseconds| u64::try_from(microseconds).ok())
            .map(Duration::from_micros);
        self.context.metrics.takeover_finished(&key.namespace, &cluster, outcome.reason.as_str(), outage);
        tracing::info!(takeover = %key, reason = outcome.reason.as_str(), message = outcome.message, "takeover ended");
        events::ended(self.context, &self.report.takeover, outcome).await;
        if moved {
            events::primary_changed(self.context, &self.claim.cluster, &outcome.message).await;
        }
        Ok(())
    }

    fn record_of(&self, outcome: &Outcome, moved: bool) -> TakeoverRecord {
        let active = self.claim.active();
        let status = self.report.takeover.status.clone().unwrap_or_default();
        TakeoverRecord {
            name: self.report.takeover.name_any(),
            uid: self.report.takeover.uid().unwrap_or_default(),
            spec_hash: active.map(|active| active.spec_hash.clone()).unwrap_or_default(),
            moved,
            rolled_back: !moved && self.claim.intent().is_some(),
            reason: outcome.reason.as_str().to_owned(),
            message: Some(crate::api::conditions::bounded(&outcome.message)),
            old_primary: status.old_primary,
            new_primary: status.new_primary,
            epoch: self.claim.epoch(),
            completion_time: self.context.clock.now(),
            write_outage_microseconds: self.outage_microseconds(),
            frozen_gtid_set: active
                .and_then(|active| active.opened.as_ref())
                .and_then(|opened| opened.frozen_gtid_set.clone())
                .filter(|set| set.len() <= RECORDED_SET_LIMIT),
            degraded: if moved { self.repairs.clone() } else { Vec::new() },
        }
    }

    fn outage_microseconds(&self) -> Option<i64> {
        let recorded = self
            .claim
            .active()
            .and_then(|active| active.opened.as_ref())
            .and_then(|opened| opened.write_outage_microseconds);
        recorded.or_else(|| self.outage.and_then(|outage| i64::try_from(outage.as_micros()).ok()))
    }
}

fn micros_to_millis(microseconds: i64) -> f64 {
    Duration::from_micros(u64::try_from(microseconds).unwrap_or_default()).as_secs_f64() * 1e3
}
