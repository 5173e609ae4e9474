//! The election of the one instance that acts, on a real API server.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use lab::run::Run;
use lab::small::{SmallTier, TestNamespace};
use mysql_takeover::leadership::{Claim, Elector, Lost, Timing};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const TIMING: Timing = Timing {
    lease_duration: Duration::from_secs(4),
    renew_deadline: Duration::from_secs(3),
    retry_period: Duration::from_millis(250),
};
/// Longer than any hand-over takes, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

struct Candidate {
    claim: watch::Receiver<Claim>,
    release: CancellationToken,
    task: JoinHandle<Result<(), Lost>>,
}

impl Candidate {
    fn start(client: &Client, namespace: &str, identity: &str) -> Self {
        let (elector, claim) = Elector::new(client.clone(), namespace, "operator", identity, TIMING);
        let release = CancellationToken::new();
        let task = tokio::spawn(elector.run(release.clone()));
        Self { claim, release, task }
    }

    fn leads(&self) -> bool {
        self.claim.borrow().holds(Instant::now())
    }

    async fn until_leading(&mut self) -> Claim {
        *timeout(LIMIT, self.claim.wait_for(|claim| claim.leading)).await.unwrap().unwrap()
    }
}

async fn namespace() -> (Client, TestNamespace) {
    let namespace = SmallTier::shared().await.unwrap().namespace("lease").await.unwrap();
    (namespace.client.clone(), namespace)
}

/// Watches until told to stop that no two candidates lead at once; returns how often it looked.
fn never_two(claims: Vec<watch::Receiver<Claim>>, stop: CancellationToken) -> JoinHandle<u32> {
    tokio::spawn(async move {
        let mut looks = 0;
        while !stop.is_cancelled() {
            let now = Instant::now();
            let leading = claims.iter().filter(|claim| claim.borrow().holds(now)).count();
            assert!(leading <= 1, "{leading} candidates lead at once");
            looks += 1;
            sleep(Duration::from_millis(5)).await;
        }
        looks
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_another_follows_when_it_is_killed() {
    let (client, namespace) = namespace().await;
    let mut candidates: Vec<_> =
        ["a", "b", "c"].iter().map(|identity| Candidate::start(&client, &namespace.name, identity)).collect();
    let stop = CancellationToken::new();
    let watcher =
        never_two(candidates.iter().map(|candidate| candidate.claim.clone()).collect(), stop.clone());
    timeout(LIMIT, async {
        while !candidates.iter().any(Candidate::leads) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();

    // For longer than a lease lasts: the leader renews, the others stand by.
    let leader = candidates.iter().position(Candidate::leads).unwrap();
    let first = *candidates[leader].claim.borrow();
    sleep(TIMING.lease_duration * 2).await;
    assert!(candidates[leader].leads(), "the leader renews");
    assert!(candidates[leader].claim.borrow().valid_until > first.valid_until);
    assert_eq!(candidates[leader].claim.borrow().epoch, first.epoch);

    // kill -9: no release. What it had claimed still counts for as long as it was valid.
    let killed = candidates.remove(leader);
    killed.task.abort();
    let valid_until = killed.claim.borrow().valid_until;
    timeout(LIMIT, async {
        while !candidates.iter().any(Candidate::leads) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert!(Instant::now() >= valid_until, "nobody leads before the claim of the killed one has run out");
    let next = candidates.iter().find(|candidate| candidate.leads()).unwrap();
    assert_eq!(next.claim.borrow().epoch, first.epoch + 1);
    stop.cancel();
    assert!(watcher.await.unwrap() > 100);
}

#[tokio::test]
async fn a_released_lease_is_free_at_once() {
    let (client, namespace) = namespace().await;
    let mut first = Candidate::start(&client, &namespace.name, "first");
    first.until_leading().await;
    let mut second = Candidate::start(&client, &namespace.name, "second");
    sleep(TIMING.retry_period * 2).await;
    assert!(!second.leads());

    let began = Instant::now();
    first.release.cancel();
    first.task.await.unwrap().unwrap();
    assert!(!first.claim.borrow().leading);
    second.until_leading().await;
    assert!(began.elapsed() < TIMING.lease_duration, "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_sees_the_lease_in_other_hands_stops_leading() {
    let (client, namespace) = namespace().await;
    let mut candidate = Candidate::start(&client, &namespace.name, "first");
    candidate.until_leading().await;
    let leases: Api<Lease> = Api::namespaced(client, &namespace.name);
    let stolen = Patch::Merge(json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}}));
    leases.patch("operator", &PatchParams::default(), &stolen).await.unwrap();
    let lost = timeout(LIMIT, candidate.task).await.unwrap().unwrap().unwrap_err();
    assert_eq!(lost, Lost::Taken("thief".to_owned()));
    assert!(!candidate.claim.borrow().leading);
    // The thief's Lease is not given back in its name.
    let stored = leases.get("operator").await.unwrap();
    assert_eq!(stored.spec.unwrap().holder_identity.as_deref(), Some("thief"));
}

#[tokio::test]
async fn a_lease_that_is_deleted_or_edited_is_written_again() {
    let (client, namespace) = namespace().await;
    let mut candidate = Candidate::start(&client, &namespace.name, "first");
    candidate.until_leading().await;
    let leases: Api<Lease> = Api::namespaced(client, &namespace.name);
    let edited = Patch::Merge(json!({"metadata": {"annotations": {"example.com/by": "hand"}}}));
    leases.patch("operator", &PatchParams::default(), &edited).await.unwrap();
    sleep(TIMING.lease_duration).await;
    leases.delete("operator", &DeleteParams::default()).await.unwrap();
    sleep(TIMING.lease_duration).await;
    assert!(candidate.leads());
    assert_eq!(leases.get("operator").await.unwrap().spec.unwrap().holder_identity.as_deref(), Some("first"));
}

/// The API server hangs: connections stay open and nothing answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_gives_up_before_others_may_lead() {
    let tier = SmallTier::start(Run::temporary("lease").unwrap()).await.unwrap();
    let namespace = tier.namespace("lease").await.unwrap();
    let mut candidate = Candidate::start(&namespace.client, &namespace.name, "first");
    candidate.until_leading().await;
    tier.control_plane.stop_apiserver().unwrap();
    let valid_until = candidate.claim.borrow().valid_until;
    let lost = timeout(LIMIT, candidate.task).await;
    let given_up = Instant::now();
    tier.control_plane.continue_apiserver().unwrap();
    let lost = lost.unwrap().unwrap().unwrap_err();
    assert!(matches!(lost, Lost::NotRenewed(..)), "{lost}");
    assert!(!candidate.claim.borrow().leading);
    assert!(given_up < valid_until, "{:?} too late", given_up - valid_until);

    let mut next = Candidate::start(&namespace.client, &namespace.name, "second");
    next.until_leading().await;
    assert!(Instant::now() >= valid_until, "nobody else leads before the claim has run out");
}
