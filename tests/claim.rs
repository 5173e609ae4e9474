//! The claim on a cluster, against a real API server: one holder, rising epochs, and nothing written by who was overtaken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use kube::api::{Api, DeleteParams, PostParams};
use lab::small::{SmallTier, TestNamespace};
use mysql_takeover::api::journal::{Direction, Failure, Repair};
use mysql_takeover::api::{FINALIZER, MySQLCluster, crd};
use mysql_takeover::controller::claim::{Claim, ClaimError, Entry};
use mysql_takeover::controller::{Clock, Context, Gates, Settings};
use mysql_takeover::kubernetes::{Key, KubeApi, Kubernetes as _, connect};
use mysql_takeover::mysql::MysqlServers;
use mysql_takeover::telemetry::metrics::Metrics;
use serde_json::json;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct World {
    client: kube::Client,
    namespace: TestNamespace,
    key: Key,
}

impl World {
    async fn start() -> Self {
        let tier = SmallTier::shared().await.unwrap();
        for definition in crd::all() {
            tier.control_plane.apply(&crd::yaml(&definition).unwrap()).await.unwrap();
        }
        let namespace = tier.namespace("claim").await.unwrap();
        let target = connect::Target {
            kubeconfig: Some(tier.control_plane.admin_kubeconfig().to_owned()),
            context: None,
        };
        let client = connect::client(&connect::configuration(&target).await.unwrap()).unwrap();
        let cluster: MySQLCluster = serde_json::from_value(json!({
            "metadata": {"name": "db", "finalizers": [FINALIZER]},
            "spec": {
                "discovery": {"selector": {"matchLabels": {"app": "mysql"}}},
                "credentials": {"secretRef": {"name": "operator"}},
                "replicationCredentials": {"secretRef": {"name": "replication"}},
                "tls": {"mode": "Required"},
            },
        }))
        .unwrap();
        let api = Api::namespaced(client.clone(), &namespace.name);
        api.create(&PostParams::default(), &cluster).await.unwrap();
        let key = Key::new(&namespace.name, "db");
        Self { client, namespace, key }
    }

    /// An operator instance.
    fn operator(&self, holder: &str) -> Context<KubeApi, MysqlServers> {
        Context {
            kubernetes: KubeApi::new(self.client.clone(), holder),
            servers: MysqlServers,
            settings: Settings::default(),
            holder: holder.to_owned(),
            metrics: Arc::new(Metrics::default()),
            stop: CancellationToken::new(),
            clock: Clock::system(),
            gates: Gates::default(),
        }
    }

    async fn cluster(&self) -> MySQLCluster {
        Api::namespaced(self.client.clone(), &self.namespace.name).get("db").await.unwrap()
    }
}

#[tokio::test]
async fn one_takeover_holds_a_cluster_under_an_epoch_that_rises() {
    let world = World::start().await;
    let operator = world.operator("operator-0");
    let first = Claim::take(&operator, &world.key, "first", "uid-1", "hash").await.unwrap();
    assert_eq!(first.epoch(), 1);
    // Its own write, whose answer was lost: not claimed twice.
    let again = Claim::take(&operator, &world.key, "first", "uid-1", "hash").await.unwrap();
    assert_eq!(again.epoch(), 1);
    for holder in ["operator-0", "operator-1"] {
        let other = Claim::take(&world.operator(holder), &world.key, "second", "uid-2", "hash").await;
        assert!(matches!(other, Err(ClaimError::Superseded)), "{other:?}");
    }
    let adopted = Claim::adopt(&world.operator("operator-1"), &world.key, "uid-1").await.unwrap();
    assert_eq!(adopted.epoch(), 2);
    assert_eq!(adopted.active().unwrap().holder, "operator-1");
    // Each adoption counts, the same instance's too: sessions of its own earlier pass must not pass for its own.
    let adopted = Claim::adopt(&world.operator("operator-1"), &world.key, "uid-1").await.unwrap();
    assert_eq!(adopted.epoch(), 3);
    let foreign = Claim::adopt(&world.operator("operator-1"), &world.key, "uid-2").await;
    assert!(matches!(foreign, Err(ClaimError::Superseded)), "{foreign:?}");
}

#[tokio::test]
async fn neither_what_has_ended_nor_a_cluster_that_may_go_is_claimed() {
    let world = World::start().await;
    let operator = world.operator("operator-0");
    let mut claim = Claim::take(&operator, &world.key, "move", "uid-1", "hash").await.unwrap();
    claim
        .update(&operator, Entry::Release, |status| {
            status.active_takeover = None;
            status.takeover_history = vec![
                serde_json::from_value(json!({
                    "name": "move", "uid": "uid-1", "specHash": "hash", "moved": true, "reason": "Promoted",
                    "epoch": 1, "completionTime": "2026-01-01T00:00:00.000000Z",
                }))
                .unwrap(),
            ];
        })
        .await
        .unwrap();
    // Decided from a look before that.
    let again = Claim::take(&operator, &world.key, "move", "uid-1", "hash").await;
    assert!(matches!(again, Err(ClaimError::Superseded)), "{again:?}");
    // Without the finalizer a deletion takes the journal along.
    let _ = operator.kubernetes.set_cluster_finalizer(&world.cluster().await, false).await;
    let loose = Claim::take(&operator, &world.key, "next", "uid-2", "hash").await;
    assert!(matches!(loose, Err(ClaimError::Superseded)), "{loose:?}");
    let _ = operator.kubernetes.set_cluster_finalizer(&world.cluster().await, true).await;
    let clusters: Api<MySQLCluster> = Api::namespaced(world.client.clone(), &world.namespace.name);
    clusters.delete("db", &DeleteParams::default()).await.unwrap();
    let going = Claim::take(&operator, &world.key, "next", "uid-2", "hash").await;
    assert!(matches!(going, Err(ClaimError::Superseded)), "{going:?}");
    let _ = operator.kubernetes.set_cluster_finalizer(&world.cluster().await, false).await;
}

#[tokio::test]
async fn whoever_was_overtaken_writes_nothing_more() {
    let world = World::start().await;
    let (first, second) = (world.operator("operator-0"), world.operator("operator-1"));
    let mut overtaken = Claim::take(&first, &world.key, "move", "uid-1", "hash").await.unwrap();
    let mut holder = Claim::adopt(&second, &world.key, "uid-1").await.unwrap();
    let unwind = |active: &mut mysql_takeover::api::journal::ActiveTakeover| {
        active.direction = Direction::Unwind;
        active.failure = Some(Failure { reason: "Cancelled".to_owned(), message: String::new() });
    };
    let written = overtaken.record(&first, Entry::TurnBack, unwind).await;
    assert!(matches!(written, Err(ClaimError::Superseded)), "{written:?}");
    // Not even where it has nothing to write: to look is how it learns that it was overtaken.
    let looked = overtaken.refresh(&first).await;
    assert!(matches!(looked, Err(ClaimError::Superseded)), "{looked:?}");
    assert_eq!(world.cluster().await.status.unwrap().active_takeover.unwrap().direction, Direction::Forward);
    holder.update(&second, Entry::Release, |status| status.active_takeover = None).await.unwrap();
    // Released: nobody holds it, and the same write again is no error of the one who released it.
    let late = holder.record(&second, Entry::TurnBack, unwind).await;
    assert!(matches!(late, Err(ClaimError::Superseded)), "{late:?}");
    assert_eq!(Claim::take(&first, &world.key, "next", "uid-2", "hash").await.unwrap().epoch(), 3);
}

#[tokio::test]
async fn writes_at_the_same_time_do_not_overwrite_each_other() {
    const WRITES: usize = 12;
    let world = World::start().await;
    let operator = world.operator("operator-0");
    let claim = Claim::take(&operator, &world.key, "move", "uid-1", "hash").await.unwrap();
    let write = async |writer: &'static str| {
        let mut claim = claim.clone();
        for number in 0..WRITES {
            let repair = Repair {
                instance: format!("{writer}-{number}"),
                source: "db-1".to_owned(),
                start: true,
                message: String::new(),
            };
            // To be overtaken again and again is an error, and the next pass tries again.
            while let Err(error) =
                claim.update(&operator, Entry::Opened, |status| status.repairs.push(repair.clone())).await
            {
                assert!(matches!(error, ClaimError::Contended), "{error}");
            }
        }
    };
    tokio::join!(write("one"), write("other"));
    let status = world.cluster().await.status.unwrap();
    assert_eq!(
        status.repairs.len(),
        2 * WRITES,
        "a write that was overtaken was given up, or overwrote the other"
    );
}
