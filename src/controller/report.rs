//! What people and tools read of a takeover: its status. A mirror of what happens; no decision is taken from it.

use super::takeover::end;
use super::{Context, Error};
use crate::api::conditions::{self, Truth};
use crate::api::journal::TakeoverRecord;
use crate::api::takeover::{Finding, StepState, StepStatus};
use crate::api::{MasterTakeover, MasterTakeoverStatus};
use crate::kubernetes::{ApiError, Commit, Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::{Outcome, Reason, Step};
use kube::ResourceExt;
use std::time::Duration;

const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// The status of one takeover, kept here and written when it costs nobody anything.
#[derive(Clone, Debug)]
pub struct Report {
    /// The resource as last read or written, with what is to be written.
    pub takeover: MasterTakeover,
    written: MasterTakeoverStatus,
}

impl Report {
    /// A report that starts from what the resource says.
    pub fn new(takeover: MasterTakeover) -> Self {
        let written = takeover.status.clone().unwrap_or_default();
        Self { takeover, written }
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(self.takeover.namespace().unwrap_or_default(), self.takeover.name_any())
    }

    /// The status to be written.
    pub fn status(&mut self) -> &mut MasterTakeoverStatus {
        self.takeover.status.get_or_insert_default()
    }

    /// Generation of the spec that is being worked on.
    pub fn generation(&self) -> i64 {
        self.takeover.metadata.generation.unwrap_or_default()
    }

    /// Puts all steps of `steps` there as pending, keeping those that are there.
    pub fn plan_steps(&mut self, steps: &[Step]) {
        let known = std::mem::take(&mut self.status().steps);
        self.status().steps = steps
            .iter()
            .map(|step| {
                known.iter().find(|status| status.name == step.name()).cloned().unwrap_or_else(|| {
                    StepStatus {
                        name: step.name().to_owned(),
                        state: StepState::Pending,
                        start_time: None,
                        completion_time: None,
                        message: None,
                    }
                })
            })
            .collect();
    }

    /// Marks a step as begun; the conditions tell it, too.
    pub fn begin<K, S>(&mut self, context: &Context<K, S>, step: Step) {
        let now = context.clock.now();
        self.progress(context, step.reason(), step.doing());
        if let Some(status) = self.step(step) {
            if status.state == StepState::Pending || status.start_time.is_none() {
                status.start_time = Some(now);
            }
            status.state = StepState::Running;
            status.completion_time = None;
        }
    }

    /// Marks a step as ended.
    pub fn end<K, S>(
        &mut self,
        context: &Context<K, S>,
        step: Step,
        state: StepState,
        message: impl Into<String>,
    ) {
        let now = context.clock.now();
        let message = conditions::bounded(&message.into());
        if let Some(status) = self.step(step) {
            status.state = state;
            status.completion_time = Some(now.clone());
            status.message = (!message.is_empty()).then_some(message);
            let took = status
                .start_time
                .as_ref()
                .and_then(|start| Duration::try_from(now.0.duration_since(start.0)).ok());
            context.metrics.step_finished(step.name(), took.unwrap_or_default(), state == StepState::Done);
        }
        self.count();
    }

    /// Marks steps that were done, or half done, as undone.
    pub fn undone(&mut self, step: Step, message: &str) {
        if let Some(status) = self.step(step)
            && matches!(status.state, StepState::Done | StepState::Running)
        {
            status.state = StepState::Undone;
            status.message = Some(message.to_owned());
        }
        self.count();
    }

    fn step(&mut self, step: Step) -> Option<&mut StepStatus> {
        self.status().steps.iter_mut().find(|status| status.name == step.name())
    }

    fn count(&mut self) {
        let status = self.status();
        let done = status.steps.iter().filter(|step| step.state == StepState::Done).count();
        status.progress = Some(format!("{done}/{}", status.steps.len()));
    }

    fn condition<K, S>(
        &mut self,
        context: &Context<K, S>,
        (kind, truth): (&str, Truth),
        reason: &str,
        message: &str,
    ) {
        let (generation, now) = (self.generation(), context.clock.now());
        conditions::set(&mut self.status().conditions, kind, truth, reason, message, generation, &now);
    }

    /// It goes on: `Succeeded` is Unknown for this reason.
    pub fn progress<K, S>(&mut self, context: &Context<K, S>, reason: &str, message: &str) {
        self.status().observed_generation = self.generation();
        self.condition(context, (conditions::SUCCEEDED, Truth::Unknown), reason, message);
        self.condition(context, (conditions::RECONCILING, Truth::True), reason, message);
        self.condition(context, (conditions::STALLED, Truth::False), reason, "");
    }

    /// It is over.
    pub fn finish<K, S>(&mut self, context: &Context<K, S>, outcome: &Outcome, rolled_back: bool) {
        let succeeded = outcome.reason.succeeded();
        let (reason, message) = (outcome.reason.as_str(), outcome.message.as_str());
        self.status().observed_generation = self.generation();
        self.status().completion_time.get_or_insert_with(|| context.clock.now());
        self.condition(context, (conditions::SUCCEEDED, succeeded.into()), reason, message);
        self.condition(context, (conditions::RECONCILING, Truth::False), reason, "");
        // kstatus takes a resource without `Stalled=True` for done, however it ended.
        let stalled = if succeeded { "" } else { message };
        self.condition(context, (conditions::STALLED, (!succeeded).into()), reason, stalled);
        if rolled_back {
            let message = "the old primary has its former state back";
            self.condition(context, (conditions::ROLLED_BACK, Truth::True), reason, message);
        }
        for step in &mut self.status().steps {
            match step.state {
                StepState::Pending => step.state = StepState::Skipped,
                StepState::Running => {
                    step.state = if succeeded { StepState::Done } else { StepState::Failed }
                }
                StepState::Done | StepState::Failed | StepState::Undone | StepState::Skipped => {}
            }
        }
    }

    /// Takes over what the cluster's history says of an ended takeover.
    pub fn finish_from_record<K, S>(&mut self, context: &Context<K, S>, record: &TakeoverRecord) {
        let status = self.status();
        status.completion_time.get_or_insert_with(|| record.completion_time.clone());
        status.old_primary.clone_from(&record.old_primary);
        status.new_primary.clone_from(&record.new_primary);
        status.frozen_gtid_set.clone_from(&record.frozen_gtid_set);
        self.outage(record.write_outage_microseconds);
        let reason = Reason::parse(&record.reason).unwrap_or(Reason::OpenFailed);
        self.degraded(context, record);
        let outcome = Outcome::new(reason, record.message.clone().unwrap_or_default());
        self.finish(context, &outcome, record.rolled_back);
    }

    /// Sets `Degraded` from what could not be repointed.
    pub fn degraded<K, S>(&mut self, context: &Context<K, S>, record: &TakeoverRecord) {
        if record.degraded.is_empty() {
            return;
        }
        let what: Vec<String> =
            record.degraded.iter().map(|repair| format!("{}: {}", repair.instance, repair.message)).collect();
        let message = format!(
            "not yet replicating from the new primary, and tried again until they do: {}",
            what.join("; ")
        );
        self.condition(context, (conditions::DEGRADED, Truth::True), "InstancesNotReattached", &message);
    }

    /// Sets the write outage.
    pub fn outage(&mut self, microseconds: Option<i64>) {
        let status = self.status();
        status.write_outage_microseconds = microseconds;
        // Rounded up: an outage is never shorter than what is shown.
        status.write_outage_milliseconds =
            microseconds.map(|microseconds| microseconds.saturating_add(999) / 1000);
    }

    /// Sets the findings.
    pub fn findings(&mut self, findings: &[Finding]) {
        self.status().findings = findings.iter().take(128).cloned().collect();
    }

    /// Writes the status, if it differs from what was written last.
    pub async fn flush<K: Kubernetes, S: Servers>(&mut self, context: &Context<K, S>) -> Result<(), Error> {
        let wanted = self.takeover.status.clone().unwrap_or_default();
        if wanted == self.written {
            return Ok(());
        }
        let mut last: Option<ApiError> = None;
        for _ in 0..ATTEMPTS {
            match context.kubernetes.commit_takeover(&self.takeover).await {
                Commit::Committed(takeover) => {
                    self.takeover = *takeover;
                    self.takeover.status = Some(wanted.clone());
                    self.written = wanted;
                    return Ok(());
                }
                Commit::Conflict => {}
                Commit::Unknown(error) => {
                    last = Some(error);
                    tokio::time::sleep(PAUSE).await;
                }
                Commit::Refused(error) => return Err(Error::Api(error)),
            }
            // The status is ours alone: what we say stands, on whatever the rest of the object has become. Not on an end:
            // whoever wrote that carried it on while this process stood still, and what has ended would run again.
            match context.kubernetes.takeover(&self.key()).await {
                Ok(Some(mut fresh)) if fresh.uid() == self.takeover.uid() => {
                    match (end(&fresh), end(&self.takeover)) {
                        (Some(theirs), Some(ours)) if theirs != ours => {
                            self.written = fresh.status.clone().unwrap_or_default();
                            self.takeover = fresh;
                            return Ok(());
                        }
                        (Some(_), None) => return Err(Error::Conflict),
                        (None | Some(_), _) => {
                            fresh.status = Some(wanted.clone());
                            self.takeover = fresh;
                        }
                    }
                }
                Ok(Some(_) | None) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(Error::Conflict, Error::Api))
    }

    /// Writes the status if it can be written; a failure is logged, since what happens on the servers goes first.
    pub async fn try_flush<K: Kubernetes, S: Servers>(&mut self, context: &Context<K, S>) {
        if let Err(error) = self.flush(context).await {
            tracing::warn!(%error, takeover = %self.key(), "status not written; it is written again later");
        }
    }
}
