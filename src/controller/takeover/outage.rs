//! Freeze, Open, Disconnect: the write outage. No Kubernetes API call, no sleep; two packets on two prepared sessions.

use super::Stop;
use super::run::{Effect, Run, Side};
use crate::api::common::LongTransactionPolicy;
use crate::api::journal::{Intent, Opened, ReadOnly};
use crate::controller::claim::{ClaimError, Entry};
use crate::kubernetes::Kubernetes;
use crate::mysql::port::OpenReply;
use crate::mysql::{ServerError, ServerErrorKind, Servers, Session};
use crate::takeover::{Outcome, Packet, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// How long a freeze may wait for locks. Meanwhile every write queues behind it, so that this is outage; MySQL counts
/// whole seconds, and one is the least (`lock_wait_timeout`).
const FREEZE_WAIT: Duration = Duration::from_secs(1);
/// How often the new primary's applier is looked at while packet 2 waits: the wait itself does not end when it breaks.
const APPLIER_PAUSE: Duration = Duration::from_millis(200);
/// How long after Open another node's kube-proxy may still send clients to the old primary: it puts a change off by up to
/// a second (`minSyncPeriod`), and takes a while to carry it out.
const STRAGGLERS: Duration = Duration::from_millis(1500);
const STRAGGLERS_PAUSE: Duration = Duration::from_millis(20);
/// MySQL's error number of a lock wait that ran out.
const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// MySQL's error number of an interrupted statement.
const QUERY_INTERRUPTED: u16 = 1317;

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Packet 1. Before anything is known to be frozen, the clock of the outage starts.
    pub(super) async fn freeze(&mut self, intent: &Intent) -> Effect {
        // A new primary that is gone already costs nobody an outage.
        match self.new.as_mut() {
            None => return Effect::Lost(Side::New, "no session".to_owned()),
            Some(hand) => {
                if let Err(error) = hand.work.read_only().await {
                    return Effect::Lost(Side::New, error.to_string());
                }
            }
        }
        let Some(hand) = self.old.as_mut() else {
            return Effect::Lost(Side::Old, "no session".to_owned());
        };
        let started = Instant::now();
        self.frozen_at.get_or_insert(started);
        let patience = self.context.settings.freeze_patience;
        let policy = intent.plan.long_transaction_policy;
        let (work, watch) = (&mut hand.work, &mut hand.watch);
        let (reply, blockers) = {
            let freeze = work.freeze(FREEZE_WAIT);
            tokio::pin!(freeze);
            tokio::select! {
                biased;
                reply = &mut freeze => (reply, Vec::new()),
                blockers = watchdog(watch, patience, policy) => (freeze.await, blockers),
            }
        };
        match reply {
            Ok(set) => {
                self.know_old(|view| {
                    view.read_only = ReadOnly::SuperReadOnly;
                    view.executed = set.clone();
                });
                // Frozen once more after Open, it may hold what the new primary will never have.
                if !self.situation.seen_open && !self.situation.recorded_open {
                    self.situation.frozen = Some(set);
                }
                let held_up = match (blockers.is_empty(), policy) {
                    (true, _) => String::new(),
                    (false, LongTransactionPolicy::Kill) => {
                        format!("; ended sessions {blockers:?} that held it up")
                    }
                    (false, LongTransactionPolicy::Fail | LongTransactionPolicy::Wait) => {
                        format!("; sessions {blockers:?} held it up")
                    }
                };
                Effect::Done(format!(
                    "{} refuses writes after {:.2} ms{held_up}",
                    intent.plan.old_primary.name,
                    millis(started)
                ))
            }
            Err(error) if certainly_not_done(&error) => {
                self.frozen_at = None;
                Effect::Failed(not_frozen(intent, &error, &blockers))
            }
            Err(error) => Effect::Lost(Side::Old, error.to_string()),
        }
    }

    /// Packet 2: the new primary waits for the frozen set and opens itself in the same statement.
    pub(super) async fn open(&mut self, intent: &Intent) -> Effect {
        let wait = self.budget_left(intent);
        // After a crash it may have to apply again what it held when it was opened.
        let frozen = self.frozen_set().or_else(|| {
            let opened = self.claim.active().and_then(|active| active.opened.as_ref())?;
            opened.frozen_gtid_set.as_ref()?.parse().ok()
        });
        let name = &intent.plan.new_primary.name;
        let Some(hand) = self.new.as_mut() else {
            return Effect::Lost(Side::New, "no session".to_owned());
        };
        let started = Instant::now();
        let Some(set) = frozen else {
            // Opened before, and booted read-only since: it held everything then, and no more is known.
            return match hand.work.set_read_only(ReadOnly::Off, FREEZE_WAIT).await {
                Ok(state) => {
                    self.know_new(|view| view.read_only = state);
                    Effect::Done(format!("{name} was opened before and is open again"))
                }
                Err(error) => Effect::Lost(Side::New, error.to_string()),
            };
        };
        self.situation.packet = Packet::Loose;
        let connection = hand.work.connection();
        let (work, watch) = (&mut hand.work, &mut hand.watch);
        let (reply, broken) = {
            let open = work.open_when_applied(&set, wait);
            tokio::pin!(open);
            tokio::select! {
                biased;
                reply = &mut open => (reply, None),
                broken = applier_breaks(watch, connection) => (open.await, Some(broken)),
            }
        };
        match reply {
            Ok(OpenReply::Opened) => {
                self.outage = self.frozen_at.map(|at| at.elapsed());
                self.situation.packet = Packet::Settled;
                // Its own word: a server that was restarted since the claim would look as if it had booted writable.
                self.situation.seen_open = true;
                self.know_new(|view| {
                    view.read_only = ReadOnly::Off;
                    view.executed = set;
                });
                Effect::Done(format!("{name} accepts writes after {:.2} ms", millis(started)))
            }
            Ok(OpenReply::StillShut) => {
                self.situation.packet = Packet::Settled;
                Effect::Failed(Outcome::new(
                    Reason::CatchUpDeadlineExceeded,
                    format!(
                        "{name} did not hold everything within the write-outage budget of {} s; writes went back to {}. Look at its replication lag, or raise `catchUpDeadlineSeconds`",
                        intent.plan.catch_up_deadline_seconds, intent.plan.old_primary.name
                    ),
                ))
            }
            // An error in this packet comes before its SET: the server is still shut.
            Err(error) if certainly_not_done(&error) => {
                self.situation.packet = Packet::Settled;
                Effect::Failed(not_opened(intent, &error, broken.as_deref()))
            }
            Err(error) => {
                if error.kind == ServerErrorKind::Unreachable {
                    self.situation.packet = Packet::Settled;
                }
                Effect::Lost(Side::New, error.to_string())
            }
        }
    }

    /// Ends the client sessions on the old primary in one packet.
    pub(super) async fn disconnect(&mut self, intent: &Intent) -> Effect {
        let name = &intent.plan.old_primary.name;
        self.drained_at.get_or_insert_with(Instant::now);
        let ended = match self.old.as_mut() {
            None => Err(format!("{name} cannot be reached; it has no sessions that could write")),
            Some(hand) => match end_clients(&mut hand.watch).await {
                Ok(count) => Ok(count),
                Err(error) if certainly_not_done(&error) => Err(error.to_string()),
                // A client that stays there has an outage without end: once more, on a new session.
                Err(error) => return Effect::Lost(Side::Old, error.to_string()),
            },
        };
        self.situation.disconnected = true;
        let message = match ended {
            Ok(count) => format!("ended {count} client sessions on {name}"),
            // They meet a read-only server there: a nuisance, no danger. The takeover goes on.
            Err(why) => {
                tracing::warn!(why, "client sessions on the old primary not ended");
                format!("client sessions not ended: {why}")
            }
        };
        Effect::Done(message)
    }

    /// Writes down that the new primary is open, once clients can write there. A failed write costs nothing: the servers
    /// say that it is open.
    pub(super) async fn record_open(&mut self) -> Result<(), Stop> {
        if self.situation.recorded_open {
            return Ok(());
        }
        let opened = Opened {
            at: self.context.clock.now(),
            frozen_gtid_set: self
                .situation
                .frozen
                .as_ref()
                .map(ToString::to_string)
                .filter(|text| text.len() <= 65_536),
            write_outage_microseconds: self.outage.and_then(|outage| i64::try_from(outage.as_micros()).ok()),
        };
        match self
            .claim
            .record(self.context, Entry::Opened, |active| {
                active.opened.get_or_insert_with(|| opened.clone());
            })
            .await
        {
            Ok(()) => self.situation.recorded_open = true,
            Err(ClaimError::Superseded) => return Err(Stop::Superseded),
            Err(error) => tracing::warn!(%error, "not yet written down that the new primary is open"),
        }
        let opened = self.claim.active().and_then(|active| active.opened.clone()).unwrap_or(opened);
        self.report.status().frozen_gtid_set.clone_from(&opened.frozen_gtid_set);
        self.report.outage(opened.write_outage_microseconds);
        self.report.try_flush(self.context).await;
        Ok(())
    }
}

/// Ends all client sessions of a server in one packet; returns how many.
async fn end_clients<T: Session>(watch: &mut T) -> Result<usize, ServerError> {
    let sessions = watch.client_sessions().await?;
    if !sessions.is_empty() {
        watch.kill(&sessions).await?;
    }
    Ok(sessions.len())
}

/// Ends client sessions on the old primary that come after the first were ended, until routing must have moved for
/// everybody: what the operator saw land on the new primary speaks for its own node only, and a client that stays on a
/// read-only server has an outage without end.
pub(super) async fn end_stragglers<T: Session>(watch: Option<&mut T>, drained_at: Instant) -> usize {
    let Some(watch) = watch else { return 0 };
    let mut ended = 0;
    while drained_at.elapsed() < STRAGGLERS {
        match end_clients(watch).await {
            Ok(count) => ended += count,
            Err(error) => {
                tracing::warn!(%error, "client sessions on the old primary not ended");
                break;
            }
        }
        tokio::time::sleep(STRAGGLERS_PAUSE).await;
    }
    ended
}

/// Looks who holds the freeze up: at once where the policy is to end them, else after `patience`, to name them. The
/// server itself gives the freeze up when its lock wait runs out.
async fn watchdog<T: Session>(watch: &mut T, patience: Duration, policy: LongTransactionPolicy) -> Vec<u64> {
    match policy {
        LongTransactionPolicy::Fail | LongTransactionPolicy::Wait => {
            tokio::time::sleep(patience).await;
            watch.freeze_blockers().await.unwrap_or_default()
        }
        LongTransactionPolicy::Kill => loop {
            tokio::time::sleep(patience / 10).await;
            let blockers = watch.freeze_blockers().await.unwrap_or_default();
            if !blockers.is_empty() && watch.kill(&blockers).await.is_ok() {
                return blockers;
            }
        },
    }
}

/// Returns when the applier of the new primary has an error or is stopped, having interrupted packet 2.
async fn applier_breaks<T: Session>(watch: &mut T, packet: u64) -> String {
    loop {
        tokio::time::sleep(APPLIER_PAUSE).await;
        let Ok(facts) = watch.facts().await else { continue };
        let Some(channel) = facts.channel() else { continue };
        if channel.applier != crate::topology::facts::ThreadState::Running {
            let why = channel.applier_error.as_ref().map_or_else(
                || "its applier is stopped".to_owned(),
                |(number, text)| format!("its applier stopped with error {number}: {text}"),
            );
            let _ = watch.interrupt(packet).await;
            return why;
        }
    }
}

/// The server said no: a refused statement, or a privilege that was taken away since the preflight. Looking at the server
/// again would not change its mind.
fn certainly_not_done(error: &ServerError) -> bool {
    match error.kind {
        ServerErrorKind::Refused | ServerErrorKind::AccessDenied => true,
        ServerErrorKind::Unreachable | ServerErrorKind::Unknown => false,
    }
}

fn not_frozen(intent: &Intent, error: &ServerError, blockers: &[u64]) -> Outcome {
    let old = &intent.plan.old_primary.name;
    match error.code {
        Some(LOCK_WAIT_TIMEOUT | QUERY_INTERRUPTED) => Outcome::new(
            Reason::FreezeBlocked,
            format!(
                "sessions {blockers:?} on {old} held up the freeze; writes go on there. End them (KILL), or set `longTransactionPolicy: Kill`"
            ),
        ),
        Some(_) | None => Outcome::new(
            Reason::FreezeFailed,
            format!("{old} could not be frozen: {}; writes go on there", error.message),
        ),
    }
}

fn not_opened(intent: &Intent, error: &ServerError, broken: Option<&str>) -> Outcome {
    let (old, new) = (&intent.plan.old_primary.name, &intent.plan.new_primary.name);
    let why = broken.unwrap_or(&error.message);
    Outcome::new(
        Reason::OpenFailed,
        format!(
            "{new} could not be opened: {why}; writes went back to {old}. Mend {new}, then create a new MasterTakeover"
        ),
    )
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
