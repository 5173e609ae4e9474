//! The driver of an election: acquires, renews, releases.

use super::decide::{Timing, Verdict, evaluate};
use crate::api::FIELD_MANAGER;
use crate::kubernetes::words;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Bound on one request, shorter where less time is left.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Bound on giving the Lease back. Without an answer it runs out by itself.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// Whether this instance leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// It does.
    pub leading: bool,
    /// Until when, if it is not renewed; by this machine's monotonic clock.
    pub valid_until: Instant,
    /// `leaseTransitions`: one more each time the Lease changes hands.
    pub epoch: i64,
}

impl Claim {
    /// Whether this instance leads at that instant.
    pub fn holds(&self, now: Instant) -> bool {
        self.leading && now < self.valid_until
    }

    fn none() -> Self {
        Self { leading: false, valid_until: Instant::now(), epoch: 0 }
    }
}

/// The lead was lost: another instance may act from now on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another instance holds the Lease.
    #[error("{0} holds the Lease now")]
    Taken(String),
    /// The Lease could not be renewed in time.
    #[error("the Lease could not be renewed within {0} s; the last attempt: {1}")]
    NotRenewed(u64, String),
}

/// One candidate of an election.
pub struct Elector {
    leases: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    claim: watch::Sender<Claim>,
    seen: Option<Seen>,
}

/// A Lease as it was last seen, and when it was first seen so.
struct Seen {
    lease: Lease,
    since: Instant,
}

impl Elector {
    /// A candidate for the Lease `namespace/name`. `identity` must be unique for every start of every process. `client`
    /// should be its own: behind requests that hang in a shared one, a renewal would come too late.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        timing: Timing,
    ) -> (Self, watch::Receiver<Claim>) {
        let (claim, receiver) = watch::channel(Claim::none());
        let elector = Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
            claim,
            seen: None,
        };
        (elector, receiver)
    }

    /// Waits for the Lease, then keeps it until `release` is cancelled, and gives it back. Whoever cancels `release` must
    /// have stopped acting.
    pub async fn run(mut self, release: CancellationToken) -> Result<(), Lost> {
        if release.run_until_cancelled(self.acquire()).await.is_some()
            && let Some(lost) = release.run_until_cancelled(self.keep()).await
        {
            self.claim.send_replace(Claim::none());
            return Err(lost);
        }
        self.claim.send_replace(Claim::none());
        self.give_back().await;
        Ok(())
    }

    async fn acquire(&mut self) {
        let mut last_error = None;
        loop {
            match self.attempt(self.timing.renew_deadline).await {
                Ok(None) => return,
                Ok(Some(holder)) => {
                    tracing::debug!(lease = self.name, holder, "standing by");
                    last_error = None;
                }
                // Once a kind, not every two seconds for as long as an outage lasts.
                Err(error) if last_error.as_ref() != Some(&error) => {
                    tracing::warn!(
                        lease = self.name,
                        error,
                        "cannot take part in the election; trying again"
                    );
                    last_error = Some(error);
                }
                Err(_) => {}
            }
            sleep(self.timing.retry_period).await;
        }
    }

    /// Renews until the Lease is lost.
    async fn keep(&mut self) -> Lost {
        loop {
            sleep(self.timing.retry_period).await;
            let claim = *self.claim.borrow();
            let renewed = claim.valid_until - self.timing.lease_duration;
            let deadline = renewed + self.timing.renew_deadline;
            let mut last_error = "none was made".to_owned();
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let seconds = self.timing.renew_deadline.as_secs();
                    return Lost::NotRenewed(seconds, last_error);
                }
                match self.attempt(left).await {
                    Ok(None) => break,
                    Ok(Some(holder)) => return Lost::Taken(holder),
                    Err(error) => {
                        tracing::warn!(lease = self.name, error, "the Lease was not renewed; trying again");
                        last_error = error;
                    }
                }
                sleep(self.timing.retry_period.min(left)).await;
            }
        }
    }

    /// One look and, where the Lease is ours to take, one write. `None`: we lead. Otherwise who does.
    async fn attempt(&mut self, left: Duration) -> Result<Option<String>, String> {
        let limit = left.min(REQUEST_LIMIT);
        let found = answer(limit, self.leases.get_opt(&self.name)).await?;
        let unchanged = self.observe(found.as_ref());
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        match evaluate(spec.or(found.is_some().then_some(&LeaseSpec::default())), &self.identity, unchanged) {
            Verdict::Wait(_) => {
                Ok(Some(spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()))
            }
            Verdict::Create | Verdict::Take | Verdict::Renew => {
                // From before the write was sent: others count from when they see it, which is later.
                let began = Instant::now();
                let written = self.write(limit, found).await?;
                self.observe(Some(&written));
                self.lead(&written, began);
                Ok(None)
            }
        }
    }

    /// Remembers the Lease, and tells for how long it has been as it is.
    fn observe(&mut self, lease: Option<&Lease>) -> Duration {
        let now = Instant::now();
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match (&self.seen, lease) {
            (Some(seen), Some(lease)) if version(&seen.lease) == version(lease) => now - seen.since,
            (_, Some(lease)) => {
                self.seen = Some(Seen { lease: lease.clone(), since: now });
                Duration::ZERO
            }
            (_, None) => {
                self.seen = None;
                Duration::ZERO
            }
        }
    }

    async fn write(&self, limit: Duration, found: Option<Lease>) -> Result<Lease, String> {
        let now = MicroTime(jiff::Timestamp::now());
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
        let seconds = self.timing.lease_duration.as_secs();
        spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        if lease.metadata.resource_version.is_some() {
            answer(limit, self.leases.replace(&self.name, &parameters(), &lease)).await
        } else {
            answer(limit, self.leases.create(&parameters(), &lease)).await
        }
    }

    fn lead(&self, lease: &Lease, began: Instant) {
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        let claim = Claim {
            leading: true,
            valid_until: began + self.timing.lease_duration,
            epoch: transitions.unwrap_or_default().into(),
        };
        if !self.claim.send_replace(claim).leading {
            tracing::info!(lease = self.name, identity = self.identity, epoch = claim.epoch, "leading");
        }
    }

    /// Lets the next one lead at once, if the Lease is ours. Read first: the last write may have been cut off unanswered.
    async fn give_back(&self) {
        let released = async {
            let Some(mut lease) = answer(RELEASE_LIMIT, self.leases.get_opt(&self.name)).await? else {
                return Ok(false);
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(false);
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
            answer(RELEASE_LIMIT, self.leases.replace(&self.name, &parameters(), &lease)).await?;
            Ok(true)
        };
        match released.await {
            Ok(true) => tracing::info!(lease = self.name, "released the Lease"),
            Ok(false) => {}
            Err::<_, String>(error) => {
                tracing::warn!(lease = self.name, error, "the Lease was not released; it runs out by itself");
            }
        }
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// A request within a bound, its error in words.
async fn answer<T>(limit: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout(limit, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(words::told(&error)),
        Err(_elapsed) => Err(format!("no answer from the API server within {:.1} s", limit.as_secs_f64())),
    }
}
