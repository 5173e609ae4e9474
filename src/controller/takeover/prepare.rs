//! Preflight, proof of catching up, and the record of the intent. Nothing is changed here but the journal.

use super::Stop;
use super::begin::refused;
use super::hands::{Hand, NoHand, grasp};
use super::run::Run;
use crate::api::Timestamp;
use crate::api::journal::{Identity, Intent, Plan, PreImage, ReadOnly};
use crate::api::takeover::StepState;
use crate::controller::access::Access;
use crate::controller::claim::Entry;
use crate::controller::observe::{self, Look};
use crate::controller::routing::Router;
use crate::controller::{Error, failpoint, preflight};
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use crate::takeover::admission::{Target, resolve};
use crate::takeover::preflight::{blocks, only_waitable};
use crate::takeover::{Outcome, Reason, ServerView, Step};
use crate::topology::{Instance, Topology};
use std::time::Duration;
use tokio::time::Instant;

/// How soon a preparation that was overtaken begins again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a preflight that waits for transactions looks again.
const PREFLIGHT_PAUSE: Duration = Duration::from_millis(500);
/// A wait for the old primary's set that ends within this proves that the new primary keeps up: the frozen wait will be
/// about as long.
const KEEPS_UP: Duration = Duration::from_millis(10);
/// Where the servers cannot do that well for so long, ten times as much will do.
const CONTENT_AFTER: Duration = Duration::from_secs(3);
/// Where they cannot do that either, a quarter of the write-outage budget will: the user said how much may be spent.
const BUDGET_AFTER: Duration = Duration::from_secs(10);

/// What is short enough a wait, so long after the first.
fn short_enough(tried_for: Duration, budget_seconds: i32) -> Duration {
    let quarter = Duration::from_secs(u64::try_from(budget_seconds).unwrap_or(1)) / 4;
    match tried_for {
        early if early < CONTENT_AFTER => KEEPS_UP,
        later if later < BUDGET_AFTER => (KEEPS_UP * 10).min(quarter),
        _ => quarter,
    }
}

/// The two instances, and why the second.
pub(super) struct Pair {
    old: String,
    new: String,
    reason: String,
}

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Everything before the first change.
    pub(super) async fn prepare(&mut self) -> Result<(), Stop> {
        failpoint::before(Step::Preflight);
        let (pair, mut look) = self.preflight().await?;
        failpoint::after(Step::Preflight);
        failpoint::before(Step::ProveCatchUp);
        self.prove_catch_up(&pair, &mut look).await?;
        failpoint::after(Step::ProveCatchUp);
        failpoint::before(Step::RecordIntent);
        self.record_intent(&pair, &look.topology).await?;
        failpoint::after(Step::RecordIntent);
        Ok(())
    }

    async fn preflight(&mut self) -> Result<(Pair, Look<S::Session>), Stop> {
        self.report.begin(self.context, Step::Preflight);
        self.report.try_flush(self.context).await;
        loop {
            self.check_stopped().await?;
            let mut look = observe::look(self.context, &self.access).await;
            let target = resolve(&self.report.takeover.spec, &look.topology, &self.limits);
            let (pair, names) = match target {
                Target::End(outcome) => return Err(Stop::End(outcome)),
                Target::Unresolved { old, new } => (None, (old, new)),
                Target::Move { old, new, reason } => {
                    let names = (Some(old.clone()), Some(new.clone()));
                    (Some(Pair { old, new, reason }), names)
                }
            };
            let names = (names.0.as_deref(), names.1.as_deref());
            let findings = preflight::check(
                self.context,
                &self.claim.cluster,
                &self.access,
                &mut look,
                names,
                &self.limits,
            )
            .await?;
            self.report.findings(&findings);
            match (pair, blocks(&findings)) {
                (Some(pair), false) => {
                    let status = self.report.status();
                    status.old_primary = Some(pair.old.clone());
                    status.new_primary = Some(pair.new.clone());
                    status.target_reason = Some(pair.reason.clone());
                    let message = format!("{} warnings", findings.len());
                    self.report.end(self.context, Step::Preflight, StepState::Done, message);
                    return Ok((pair, look));
                }
                (Some(_), true)
                    if only_waitable(&findings, self.limits.long_transaction_policy)
                        && !self.past_deadline() =>
                {
                    self.report.progress(
                        self.context,
                        "WaitingForTransactions",
                        "transactions or locks on the old primary would hold up the freeze; waiting for them, as `longTransactionPolicy: Wait` says. The findings name them",
                    );
                    self.report.flush(self.context).await?;
                    tokio::time::sleep(PREFLIGHT_PAUSE).await;
                }
                (Some(_) | None, _) => {
                    self.report.end(self.context, Step::Preflight, StepState::Failed, "the findings say why");
                    return Err(Stop::End(refused(&findings)));
                }
            }
        }
    }

    /// The frozen wait is only as short as the lag: the new primary must apply everything up to a snapshot of the old
    /// one's set at once, while writes flow.
    async fn prove_catch_up(&mut self, pair: &Pair, look: &mut Look<S::Session>) -> Result<(), Stop> {
        self.report.begin(self.context, Step::ProveCatchUp);
        self.report.progress(
            self.context,
            Step::ProveCatchUp.reason(),
            &format!(
                "waiting until {} applies within {} ms what {} has",
                pair.new,
                KEEPS_UP.as_millis(),
                pair.old
            ),
        );
        self.report.try_flush(self.context).await;
        let (Some(mut old), Some(mut new)) =
            (look.sessions.remove(&pair.old), look.sessions.remove(&pair.new))
        else {
            return Err(Stop::Later(AGAIN));
        };
        let (mut rounds, first) = (0, Instant::now());
        loop {
            self.check_stopped().await?;
            rounds += 1;
            let outcome = async {
                let set = old.executed().await?;
                let started = Instant::now();
                let applied = new.wait_until_applied(&set, Duration::from_secs(1)).await?;
                Ok::<_, crate::mysql::ServerError>((applied, started.elapsed()))
            }
            .await;
            match outcome {
                Ok((true, took))
                    if took <= short_enough(first.elapsed(), self.limits.catch_up_deadline_seconds) =>
                {
                    let message = format!(
                        "{} applied everything within {:.1} ms, in round {rounds}",
                        pair.new,
                        took.as_secs_f64() * 1e3
                    );
                    self.report.end(self.context, Step::ProveCatchUp, StepState::Done, message);
                    return Ok(());
                }
                Ok(_) if self.past_deadline() => {
                    let message = format!(
                        "{} did not catch up with {} by `activeDeadlineSeconds`; nothing was changed. Look at its replication lag, lessen the write load, or name another instance",
                        pair.new, pair.old
                    );
                    self.report.end(self.context, Step::ProveCatchUp, StepState::Failed, &message);
                    return Err(Stop::End(Outcome::new(Reason::CatchUpNotProven, message)));
                }
                Ok(_) => {}
                Err(error) => {
                    let message = format!(
                        "{error}; nothing was changed. Look at the server, then create a new MasterTakeover"
                    );
                    self.report.end(self.context, Step::ProveCatchUp, StepState::Failed, &message);
                    return Err(Stop::End(Outcome::new(Reason::CatchUpNotProven, message)));
                }
            }
        }
    }

    async fn record_intent(&mut self, pair: &Pair, topology: &Topology) -> Result<(), Stop> {
        self.report.begin(self.context, Step::RecordIntent);
        // What follows moves fast: this is the last that is written before the new primary is open.
        self.report.try_flush(self.context).await;
        self.gate = Some(self.context.gates.enter(&self.claim.key).await);
        // Pods may have been made anew since the preflight.
        self.access = Access::read(self.context, &self.claim.cluster).await.map_err(super::run::unusable)?;
        let epoch = self.claim.epoch();
        let (old, new) = tokio::join!(
            grasp(self.context, &self.access, &pair.old, epoch),
            grasp(self.context, &self.access, &pair.new, epoch),
        );
        let (mut old, mut new) = (taken(old)?, taken(new)?);
        let before = self.pre_image(pair, &mut old, &mut new).await?;
        let known = |name: &str| topology.get(name).and_then(identity);
        let (Some(old_primary), Some(new_primary)) = (known(&pair.old), known(&pair.new)) else {
            return Err(Stop::Later(AGAIN));
        };
        // The locks are held now; what the preflight saw may have changed before they were.
        let same = before.uuids == (old_primary.server_uuid.clone(), new_primary.server_uuid.clone());
        if !same
            || before.image.old_read_only != ReadOnly::Off
            || before.image.new_read_only != ReadOnly::SuperReadOnly
        {
            return Err(Stop::Later(AGAIN));
        }
        let siblings = topology
            .instances
            .iter()
            .filter(|instance| instance.name != pair.old && instance.name != pair.new)
            .map(|instance| {
                identity(instance).unwrap_or_else(|| Identity {
                    name: instance.name.clone(),
                    pod_uid: instance.pod_uid.clone(),
                    server_uuid: String::new(),
                })
            })
            .collect();
        let intent = Intent {
            plan: Plan {
                old_primary,
                new_primary,
                siblings,
                target_reason: pair.reason.clone(),
                demoted_primary: self.limits.demoted_primary,
                replica_policy: self.limits.replica_policy,
                long_transaction_policy: self.limits.long_transaction_policy,
                catch_up_deadline_seconds: self.limits.catch_up_deadline_seconds,
                order: self.claim.cluster.spec.routing.order,
            },
            before: before.image,
            deadline: self.deadline(),
        };
        self.claim.record(self.context, Entry::Intent, |active| active.intent = Some(intent.clone())).await?;
        self.situation.old = crate::takeover::View::Known(before.old);
        self.situation.new = crate::takeover::View::Known(before.new);
        self.situation.packet = crate::takeover::Packet::Settled;
        self.situation.routed = before.routed;
        self.old = Some(old);
        self.new = Some(new);
        let message = format!("locks held on both servers; epoch {epoch}");
        self.report.end(self.context, Step::RecordIntent, StepState::Done, message);
        Ok(())
    }

    async fn pre_image(
        &mut self,
        pair: &Pair,
        old: &mut Hand<S::Session>,
        new: &mut Hand<S::Session>,
    ) -> Result<Before, Stop> {
        let (old_facts, new_facts, events) =
            tokio::join!(old.work.facts(), new.work.facts(), old.watch.enabled_events());
        let (old_facts, new_facts) = (old_facts.map_err(Error::Server)?, new_facts.map_err(Error::Server)?);
        let router = Router { context: self.context, cluster: &self.claim.cluster, access: &self.access };
        let (service_selector, role_labels) = router.pre_image(&pair.old, &pair.new).await?;
        let leads_to = router.observe(&pair.old, &pair.new).await?;
        let uuids = (old_facts.server_uuid.clone(), new_facts.server_uuid.clone());
        let (old, new) = (ServerView::seen(&old_facts, 0), ServerView::seen(&new_facts, 0));
        let image = PreImage {
            old_read_only: old_facts.read_only,
            new_read_only: new_facts.read_only,
            new_own_transactions: new.own.to_string(),
            service_selector,
            role_labels,
            enabled_events: events.map_err(Error::Server)?,
        };
        Ok(Before { image, uuids, old, new, routed: leads_to })
    }

    /// The instant by which the new primary must be open.
    pub(super) fn deadline(&self) -> Timestamp {
        if let Some(intent) = self.claim.intent() {
            return intent.deadline.clone();
        }
        let start =
            self.claim.active().map_or_else(|| self.context.clock.now(), |active| active.claimed_at.clone());
        let seconds = jiff::SignedDuration::from_secs(i64::from(self.limits.active_deadline_seconds));
        let at = start.0.checked_add(seconds).unwrap_or(start.0);
        k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(at)
    }

    pub(super) fn past_deadline(&self) -> bool {
        self.context.clock.now().0 > self.deadline().0
    }
}

/// How both servers and routing are, with the locks held.
struct Before {
    image: PreImage,
    uuids: (String, String),
    old: ServerView,
    new: ServerView,
    routed: crate::takeover::Routed,
}

fn identity(instance: &Instance) -> Option<Identity> {
    Some(Identity {
        name: instance.name.clone(),
        pod_uid: instance.pod_uid.clone(),
        server_uuid: instance.facts()?.server_uuid.clone(),
    })
}

fn taken<T>(hand: Result<T, NoHand>) -> Result<T, Stop> {
    hand.map_err(|error| match error {
        NoHand::Superseded => Stop::Superseded,
        NoHand::Lost(why) => Stop::End(Outcome::new(
            Reason::ServerUnreachable,
            format!("{why}; nothing was changed. Look at the server, then create a new MasterTakeover"),
        )),
    })
}
