//! The sessions through which a takeover changes its servers, on real servers: what keeps two operators apart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use mysql_takeover::api::MySQLCluster;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::controller::access::Access;
use mysql_takeover::controller::takeover::hands::{Hand, NoHand, grasp, lock_name};
use mysql_takeover::controller::{Clock, Context, Gates, Settings};
use mysql_takeover::kubernetes::{KubeApi, connect};
use mysql_takeover::mysql::{MysqlServers, MysqlSession, Session as _};
use mysql_takeover::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use support::World;
use tokio_util::sync::CancellationToken;

/// One operator instance.
struct Operator {
    context: Context<KubeApi, MysqlServers>,
    access: Access,
}

impl Operator {
    async fn new(world: &World, holder: &str) -> Self {
        let target = connect::Target {
            kubeconfig: Some(world.tier.control_plane.admin_kubeconfig().to_owned()),
            context: None,
        };
        let client = connect::client(&connect::configuration(&target).await.unwrap()).unwrap();
        let context = Context {
            kubernetes: KubeApi::new(client.clone(), holder),
            servers: MysqlServers,
            settings: Settings::default(),
            holder: holder.to_owned(),
            metrics: Arc::new(Metrics::default()),
            stop: CancellationToken::new(),
            clock: Clock::system(),
            gates: Gates::default(),
        };
        let clusters: kube::Api<MySQLCluster> = kube::Api::namespaced(client, &world.namespace.name);
        let cluster = clusters.get(support::CLUSTER).await.unwrap();
        let access = Access::read(&context, &cluster).await.unwrap();
        Self { context, access }
    }

    async fn grasp(&self, world: &World, server: usize, epoch: i64) -> Result<Hand<MysqlSession>, NoHand> {
        grasp(&self.context, &self.access, &world.name(server), epoch).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_epoch_sends_nothing_and_a_higher_one_ends_what_it_sent() {
    let world = World::without_operator(2, |_| {}).await.unwrap();
    let first = Box::pin(Operator::new(&world, "operator-0")).await;
    let second = Box::pin(Operator::new(&world, "operator-1")).await;
    let mut hand = first.grasp(&world, 1, 7).await.unwrap();
    let overtaken = second.grasp(&world, 1, 6).await;
    assert!(matches!(overtaken, Err(NoHand::Superseded)), "a lower epoch took hold");
    assert_eq!(hand.work.read_only().await.unwrap(), ReadOnly::SuperReadOnly, "its sessions were ended");

    // A packet 2 that waits for what never comes, until it is ended.
    let never = format!("{}:1-999999", world.server(0).server_uuid().await.unwrap()).parse().unwrap();
    let waiting = tokio::spawn(async move {
        let reply = hand.work.open_when_applied(&never, Duration::from_mins(1)).await;
        (reply, hand)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut next = second.grasp(&world, 1, 8).await.unwrap();
    let (reply, mut overtaken) = waiting.await.unwrap();
    assert!(reply.is_err(), "{reply:?}");
    assert!(overtaken.watch.read_only().await.is_err(), "a session of a lower epoch is left");
    assert_eq!(next.work.read_only().await.unwrap(), ReadOnly::SuperReadOnly);
    let holder = next.watch.lock_holder(&lock_name(&second.access.cluster_uid)).await.unwrap();
    assert_eq!(holder, Some(next.work.connection()));
}
