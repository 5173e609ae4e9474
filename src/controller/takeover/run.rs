//! A claimed takeover, carried to its end: decide, act, look; nothing else.

use super::Stop;
use super::begin::order;
use super::hands::Hand;
use crate::api::journal::{Direction, Failure, Repair};
use crate::controller::access::{Access, AccessError};
use crate::controller::claim::{Claim, ClaimError, Entry};
use crate::controller::report::Report;
use crate::controller::routing::Router;
use crate::controller::{Context, Error, failpoint};
use crate::kubernetes::{Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::{
    Decision, Limits, Outcome, Packet, Reason, Routed, ServerView, Situation, Step, Undo, View, decide,
};
use crate::topology::GtidSet;
use std::time::Duration;
use tokio::time::Instant;

/// Pause before a server that could not be reached, or an API that does not answer, is asked again.
const HOLD_PAUSE: Duration = Duration::from_millis(500);
/// Pause before a step that must be done, and could not be, is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A takeover under way.
pub(super) struct Run<'a, K: Kubernetes, S: Servers> {
    pub(super) context: &'a Context<K, S>,
    pub(super) report: &'a mut Report,
    pub(super) claim: Claim,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) situation: Situation,
    /// Sessions on the old primary.
    pub(super) old: Option<Hand<S::Session>>,
    /// Sessions on the new primary.
    pub(super) new: Option<Hand<S::Session>>,
    /// When the freeze was sent.
    pub(super) frozen_at: Option<Instant>,
    /// From sending the freeze to the new primary's word that it is open.
    pub(super) outage: Option<Duration>,
    /// When client sessions on the old primary were first ended.
    pub(super) drained_at: Option<Instant>,
    /// What could not be repointed.
    pub(super) repairs: Vec<Repair>,
    /// Keeps the cluster controller from changing the cluster; entered before the first change.
    pub(super) gate: Option<tokio::sync::OwnedMutexGuard<()>>,
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

/// What became of an effect.
pub(super) enum Effect {
    /// Done, or found done.
    Done(String),
    /// Certainly not done; before Open this turns the takeover back.
    Failed(Outcome),
    /// The session was lost with the answer: look at both servers before anything else.
    Lost(Side, String),
    /// Not yet: look at everything and decide again.
    Again(String),
}

/// Carries on a takeover that was claimed just now by this pass.
pub(super) async fn fresh<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
    claim: Claim,
    access: Access,
    limits: Limits,
) -> Result<(), Stop> {
    let mut run = Run::new(context, report, claim, access, limits);
    let ended = match run.prepare().await {
        Ok(()) => run.carry_on().await,
        Err(stop) => Err(stop),
    };
    run.conclude(ended).await
}

/// Carries on a takeover that an earlier pass, of this process or another, claimed.
pub(super) async fn resume<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    report: &mut Report,
    cluster: &Key,
    limits: Limits,
) -> Result<(), Stop> {
    let uid = report.takeover.metadata.uid.clone().unwrap_or_default();
    let claim = Claim::adopt(context, cluster, &uid).await?;
    tracing::info!(takeover = %report.key(), epoch = claim.epoch(), "carrying on a takeover that was begun before");
    let access = match Access::read(context, &claim.cluster).await {
        Ok(access) => access,
        Err(error) => {
            if let AccessError::Unusable { message, .. } = &error {
                report.progress(context, "Holding", message);
                report.try_flush(context).await;
            }
            return Err(unusable(error));
        }
    };
    report.plan_steps(&order(&claim.cluster));
    if let Some(active) = claim.active() {
        report.status().start_time.get_or_insert_with(|| active.claimed_at.clone());
    }
    let mut run = Run::new(context, report, claim, access, limits);
    let ended = if run.claim.intent().is_some() {
        run.gate = Some(context.gates.enter(cluster).await);
        // Whoever went before may have died before it saw that.
        run.situation.cancelled =
            run.report.takeover.spec.cancel || run.report.takeover.metadata.deletion_timestamp.is_some();
        match run.look_again().await {
            Ok(()) => run.carry_on().await,
            Err(stop) => Err(stop),
        }
    } else {
        // Nothing was changed yet: begin again.
        match run.prepare().await {
            Ok(()) => run.carry_on().await,
            Err(stop) => Err(stop),
        }
    };
    run.conclude(ended).await
}

pub(super) fn unusable(error: AccessError) -> Stop {
    match error {
        AccessError::Api(error) => error.into(),
        AccessError::Unusable { message, .. } => {
            tracing::warn!(message, "the cluster cannot be reached as its resource says");
            Stop::Later(HOLD_PAUSE)
        }
    }
}

impl<'a, K: Kubernetes, S: Servers> Run<'a, K, S> {
    fn new(
        context: &'a Context<K, S>,
        report: &'a mut Report,
        claim: Claim,
        access: Access,
        limits: Limits,
    ) -> Self {
        let recorded_open = claim.active().is_some_and(|active| active.opened.is_some());
        let not_yet = || View::Lost("not looked at yet".to_owned());
        Self {
            context,
            report,
            claim,
            access,
            limits,
            situation: Situation {
                old: not_yet(),
                new: not_yet(),
                packet: Packet::Loose,
                routed: Routed::Unknown,
                frozen: None,
                disconnected: false,
                recorded_open,
                seen_open: false,
                reattached: false,
                verified: false,
                failure: None,
                cancelled: false,
            },
            old: None,
            new: None,
            frozen_at: None,
            outage: None,
            drained_at: None,
            repairs: Vec::new(),
            gate: None,
        }
    }

    /// Decides and acts until the takeover is over. Between Freeze and Open nothing here talks to the Kubernetes API.
    async fn carry_on(&mut self) -> Result<(), Stop> {
        loop {
            let (Some(active), Some(intent)) = (self.claim.active().cloned(), self.claim.intent().cloned())
            else {
                return Err(Stop::Superseded);
            };
            self.situation.remember_open(&intent);
            match decide(&active, &intent, &self.situation, self.past_deadline()) {
                Decision::Run(Step::Finish) => return self.finish_promoted(&intent).await,
                Decision::Run(step) => {
                    self.stop_if_safe()?;
                    self.run_step(step, &intent).await?;
                }
                Decision::Undo(undo) => self.run_undo(undo, &intent).await?,
                Decision::TurnBack(outcome) => self.turn_back(outcome).await?,
                Decision::Hold(why) => self.hold(&why).await?,
                Decision::RolledBack(outcome) => return self.finish_rolled_back(&outcome).await,
            }
        }
    }

    async fn run_step(&mut self, step: Step, intent: &crate::api::journal::Intent) -> Result<(), Stop> {
        self.report.begin(self.context, step);
        tracing::info!(takeover = %self.report.key(), step = step.name(), epoch = self.claim.epoch(), "step");
        failpoint::before(step);
        let effect = match step {
            Step::Route => self.route(intent).await?,
            Step::Freeze => self.freeze(intent).await,
            Step::Open => self.open(intent).await,
            Step::Disconnect => self.disconnect(intent).await,
            Step::Detach => self.detach(intent).await?,
            Step::Reattach => self.reattach(intent).await?,
            Step::Verify => self.verify(intent).await?,
            // Carried out before the intent is recorded, or by the caller.
            Step::Admit | Step::Preflight | Step::ProveCatchUp | Step::RecordIntent | Step::Finish => {
                Effect::Done(String::new())
            }
        };
        failpoint::after(step);
        self.take_in(step, effect).await
    }

    async fn take_in(&mut self, step: Step, effect: Effect) -> Result<(), Stop> {
        use crate::api::takeover::StepState;
        match effect {
            Effect::Done(message) => self.report.end(self.context, step, StepState::Done, message),
            Effect::Failed(outcome) => {
                tracing::warn!(
                    step = step.name(),
                    reason = outcome.reason.as_str(),
                    message = outcome.message,
                    "step failed"
                );
                self.report.end(self.context, step, StepState::Failed, &outcome.message);
                if self.situation.failure.is_some() {
                    // Tried before, and still to be done: not in a tight loop.
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                self.situation.failure.get_or_insert(outcome);
            }
            Effect::Lost(side, why) => {
                tracing::warn!(step = step.name(), ?side, why, "session lost; looking at both servers");
                self.take_hold_again().await?;
            }
            Effect::Again(why) => {
                tracing::info!(step = step.name(), why, "not yet");
                tokio::time::sleep(RETRY_PAUSE).await;
                self.look_again().await?;
            }
        }
        Ok(())
    }

    /// Nothing can be done safely: says so, waits, looks again.
    async fn hold(&mut self, why: &str) -> Result<(), Stop> {
        tracing::warn!(takeover = %self.report.key(), why, "holding");
        self.report.progress(self.context, "Holding", why);
        // Reads the claim afresh: a later epoch may be at work where neither server can be reached to tell.
        match self.claim.refresh(self.context).await {
            Ok(()) => self.report.try_flush(self.context).await,
            Err(ClaimError::Superseded) => return Err(Stop::Superseded),
            Err(error) => tracing::warn!(%error, "the claim cannot be read"),
        }
        if self.context.stop.is_cancelled() {
            return Err(Stop::Later(HOLD_PAUSE));
        }
        tokio::time::sleep(HOLD_PAUSE).await;
        self.look_again().await
    }

    async fn turn_back(&mut self, outcome: Outcome) -> Result<(), Stop> {
        self.report.progress(self.context, "RollingBack", &outcome.message);
        let failure = Failure {
            reason: outcome.reason.as_str().to_owned(),
            message: crate::api::conditions::bounded(&outcome.message),
        };
        let recorded = self
            .claim
            .record(self.context, Entry::TurnBack, |active| {
                active.direction = Direction::Unwind;
                active.failure.get_or_insert_with(|| failure.clone());
            })
            .await;
        match recorded {
            Ok(()) => self.report.try_flush(self.context).await,
            Err(ClaimError::Superseded) => return Err(Stop::Superseded),
            Err(error) => {
                // Writes are back already; the record and routing follow when the API answers.
                tracing::warn!(%error, "not yet written down that the takeover goes back");
                self.situation.failure.get_or_insert(outcome);
                tokio::time::sleep(HOLD_PAUSE).await;
            }
        }
        Ok(())
    }

    async fn run_undo(&mut self, undo: Undo, intent: &crate::api::journal::Intent) -> Result<(), Stop> {
        tracing::info!(takeover = %self.report.key(), ?undo, "undo");
        failpoint::before(undo);
        match undo {
            Undo::ShutNew => self.shut_new().await?,
            Undo::ThawOld => self.thaw_old(intent).await?,
            Undo::RouteBack => self.route_back(intent).await?,
            Undo::LookBack => {
                self.take_hold_again().await?;
                self.situation.verified = true;
            }
        }
        failpoint::after(undo);
        Ok(())
    }

    /// A process that must stop leaves before the first change, or once clients can write on the new primary; in
    /// between it goes on, since every way out of there is bounded.
    fn stop_if_safe(&self) -> Result<(), Stop> {
        let changed = self.claim.intent().is_some();
        let safe = !changed
            || (self.situation.recorded_open
                && self.situation.disconnected
                && self.situation.routed == Routed::New);
        if self.context.stop.is_cancelled() && safe { Err(Stop::Later(HOLD_PAUSE)) } else { Ok(()) }
    }

    /// Before the first change: whether to stop, and whether the user still wants it.
    pub(super) async fn check_stopped(&mut self) -> Result<(), Stop> {
        self.stop_if_safe()?;
        if self.cancel_wanted().await {
            return Err(Stop::End(Outcome::new(Reason::Cancelled, "cancelled before anything was changed")));
        }
        if self.past_deadline() {
            return Err(Stop::End(Outcome::new(
                Reason::ActiveDeadlineExceeded,
                "nothing was changed by `activeDeadlineSeconds`. The steps show what took the time",
            )));
        }
        Ok(())
    }

    /// Whether the user cancelled or deleted the resource. An API that does not answer is no such wish.
    pub(super) async fn cancel_wanted(&mut self) -> bool {
        match self.context.kubernetes.takeover(&self.report.key()).await {
            Ok(Some(takeover)) if takeover.metadata.uid == self.report.takeover.metadata.uid => {
                takeover.spec.cancel || takeover.metadata.deletion_timestamp.is_some()
            }
            // Its finalizer was removed by force.
            Ok(Some(_) | None) => true,
            Err(_) => false,
        }
    }

    pub(super) fn router(&self) -> Router<'_, K, S> {
        Router { context: self.context, cluster: &self.claim.cluster, access: &self.access }
    }

    /// What is left of the write-outage budget, at least a second, since servers count whole ones.
    pub(super) fn budget_left(&self, intent: &crate::api::journal::Intent) -> Duration {
        let budget = Duration::from_secs(u64::try_from(intent.plan.catch_up_deadline_seconds).unwrap_or(1));
        let spent = self.frozen_at.map_or(Duration::ZERO, |at| at.elapsed());
        budget.saturating_sub(spent).max(Duration::from_secs(1))
    }

    /// Changes what is known of the old primary after an effect there.
    pub(super) fn know_old(&mut self, change: impl FnOnce(&mut ServerView)) {
        if let View::Known(view) = &mut self.situation.old {
            change(view);
        }
    }

    /// Changes what is known of the new primary after an effect there.
    pub(super) fn know_new(&mut self, change: impl FnOnce(&mut ServerView)) {
        if let View::Known(view) = &mut self.situation.new {
            change(view);
        }
    }

    pub(super) fn frozen_set(&self) -> Option<GtidSet> {
        self.situation.frozen.clone()
    }

    /// An end before the first change releases the claim, too.
    async fn conclude(&mut self, ended: Result<(), Stop>) -> Result<(), Stop> {
        match ended {
            Err(Stop::End(outcome)) => self.finish_unchanged(&outcome).await,
            Err(Stop::Failed(Error::Server(error))) => {
                tracing::warn!(%error, "a server failed while nothing was changed; trying again");
                Err(Stop::Later(HOLD_PAUSE))
            }
            other => other,
        }
    }
}
