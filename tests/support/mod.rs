//! A topology of real servers behind a real API server, with the real operator beside it.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use lab::load::{ClientKind, Clients, Login, Running, Scenario};
use lab::loopback::Block;
use lab::mysqld::{Server, Topology, TopologyOptions};
use lab::operator::{Operator, Options};
use lab::resources::{self, TakeoverStatus};
use lab::small::{SmallTier, TestNamespace, register};
use lab::wait::{Look, until};
use lab::{control_plane, tools};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Name of the cluster in every world.
pub const CLUSTER: &str = "db";
/// Bound on everything that is waited for.
pub const LIMIT: Duration = Duration::from_mins(2);

/// One topology under load at a time: several would starve each other's replicas on a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Servers, their Pods and Secrets, a `MySQLCluster`, and the operator.
pub struct World {
    /// The operator; `None` while it is stopped.
    pub operator: Option<Operator>,
    /// The servers.
    pub topology: Topology,
    /// Where the resources are.
    pub namespace: TestNamespace,
    /// The control plane.
    pub tier: &'static SmallTier,
    restarts: std::cell::Cell<u32>,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// `servers` servers, the first primary, the operator running, `TakeoverReady`.
    pub async fn start(servers: u8) -> Result<Self> {
        Self::start_with(servers, |_| {}).await
    }

    /// The same with a changed `MySQLCluster` spec.
    pub async fn start_with(servers: u8, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let mut world = Self::without_operator(servers, change).await?;
        world.start_operator().await?;
        world.wait_until_ready().await?;
        Ok(world)
    }

    /// Everything but the operator.
    pub async fn without_operator(servers: u8, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let alone = ONE_AT_A_TIME.lock().await;
        let tier = SmallTier::shared().await?;
        let namespace = tier.namespace("takeover").await?;
        control_plane::apply(&namespace.client, &lab::operator::definitions(&program())?, None).await?;
        let mysql = tools::find_mysql()?;
        let topology = Topology::start(
            &tier.run,
            &mysql,
            TopologyOptions::new(format!("{}-{CLUSTER}", namespace.name), servers),
        )
        .await?;
        register(&namespace, &topology, CLUSTER, change).await?;
        Ok(Self {
            operator: None,
            topology,
            namespace,
            tier,
            restarts: std::cell::Cell::new(0),
            _alone: alone,
        })
    }

    /// Starts the operator, or another one after it was stopped.
    pub async fn start_operator(&mut self) -> Result<()> {
        self.restarts.set(self.restarts.get() + 1);
        let options = Options {
            program: program(),
            name: format!("operator-{}-{}", self.namespace.name, self.restarts.get()),
            kubeconfig: self.tier.control_plane.admin_kubeconfig().to_owned(),
            namespace: self.namespace.name.clone(),
            address: Block::pick(8080)?.address(1),
            arguments: vec!["--probe-period-seconds=1".to_owned()],
            environment: Vec::new(),
        };
        self.operator = Some(Operator::start(&self.tier.run, &options).await?);
        Ok(())
    }

    /// Waits for `TakeoverReady`.
    pub async fn wait_until_ready(&self) -> Result<()> {
        resources::wait_for_condition(&self.clusters(), CLUSTER, "TakeoverReady", LIMIT).await.map(drop)
    }

    /// The `MySQLCluster`s.
    pub fn clusters(&self) -> Api<DynamicObject> {
        resources::clusters(&self.namespace.client, &self.namespace.name)
    }

    /// The `MasterTakeover`s.
    pub fn takeovers(&self) -> Api<DynamicObject> {
        resources::takeovers(&self.namespace.client, &self.namespace.name)
    }

    /// Name of the Pod of a server.
    pub fn name(&self, number: usize) -> String {
        self.topology.servers[number].name()
    }

    /// A server.
    pub fn server(&self, number: usize) -> &Server {
        &self.topology.servers[number]
    }

    /// Applies a `MasterTakeover` to server `new`, with more fields of its spec.
    pub async fn apply(&self, name: &str, new: usize, more: Value) -> Result<()> {
        let mut spec = json!({"clusterRef": {"name": CLUSTER}, "newPrimary": self.name(new)});
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        self.apply_spec(name, spec).await
    }

    /// Applies a `MasterTakeover` with this spec.
    pub async fn apply_spec(&self, name: &str, spec: Value) -> Result<()> {
        let manifest = json!({
            "apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MasterTakeover",
            "metadata": {"name": name}, "spec": spec,
        });
        control_plane::apply(&self.namespace.client, &manifest.to_string(), Some(&self.namespace.name)).await
    }

    /// Changes fields of a `MasterTakeover`'s spec.
    pub async fn patch(&self, name: &str, spec: Value) -> Result<()> {
        let patch = json!({"spec": spec});
        self.takeovers()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .context("patch")?;
        Ok(())
    }

    /// Waits until a takeover has ended.
    pub async fn ended(&self, name: &str) -> Result<TakeoverStatus> {
        resources::follow_takeover(&self.takeovers(), name, LIMIT, |_| {}).await
    }

    /// Deletes a takeover and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.takeovers().delete(name, &kube::api::DeleteParams::default()).await?;
        let (every, takeovers) = (Duration::from_millis(50), self.takeovers());
        until(&format!("deletion of {name}"), LIMIT, every, async || {
            Ok(match takeovers.get_opt(name).await? {
                None => Look::Ready(()),
                Some(_) => Look::NotYet("still there".to_owned()),
            })
        })
        .await
    }

    /// Waits until the cluster is gone.
    pub async fn until_cluster_gone(&self) -> Result<()> {
        let (every, clusters) = (Duration::from_millis(50), self.clusters());
        until("the cluster to go", LIMIT, every, async || {
            Ok(match clusters.get_opt(CLUSTER).await? {
                None => Look::Ready(()),
                Some(_) => Look::NotYet("still there".to_owned()),
            })
        })
        .await
    }

    /// The cluster's highest epoch.
    pub async fn epoch(&self) -> Result<i64> {
        let cluster = self.clusters().get(CLUSTER).await?;
        Ok(cluster.data["status"]["takeoverEpoch"].as_i64().unwrap_or_default())
    }

    /// Status of a condition.
    pub fn condition(status: &TakeoverStatus, kind: &str) -> String {
        status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
            .map(|condition| condition.status.clone())
            .unwrap_or_default()
    }

    /// Waits until `Succeeded` has this reason.
    pub async fn until_reason(&self, name: &str, wanted: &str) -> Result<()> {
        let (every, takeovers) = (Duration::from_millis(50), self.takeovers());
        until(&format!("{name} to be {wanted}"), LIMIT, every, async || {
            let status: TakeoverStatus = resources::status(&takeovers.get(name).await?)?;
            let reason = reason(&status);
            Ok(if reason == wanted {
                Look::Ready(())
            } else {
                Look::NotYet(format!("{reason}: {}", message(&status)))
            })
        })
        .await
    }

    /// Waits until a step is in this state.
    pub async fn until_step(&self, name: &str, step: &str, state: &str) -> Result<()> {
        let (every, takeovers) = (Duration::from_millis(5), self.takeovers());
        until(&format!("{step} of {name} to be {state}"), LIMIT, every, async || {
            let status: TakeoverStatus = resources::status(&takeovers.get(name).await?)?;
            let found = status.steps.iter().find(|found| found.name == step).map(|found| found.state.clone());
            Ok(if found.as_deref() == Some(state) {
                Look::Ready(())
            } else {
                Look::NotYet(format!("{found:?}"))
            })
        })
        .await
    }

    /// Waits until a server accepts writes, or refuses them.
    pub async fn until_writable(&self, number: usize, wanted: bool) -> Result<()> {
        let what = format!("{} to be writable: {wanted}", self.name(number));
        until(&what, LIMIT, Duration::from_millis(10), async || {
            let writable = self.server(number).is_writable().await?;
            Ok(if writable == wanted { Look::Ready(()) } else { Look::NotYet(format!("{writable}")) })
        })
        .await
    }

    /// Creation times are whole seconds: what is applied after this is younger than what was applied before.
    pub async fn wait_for_the_next_second() {
        let now = jiff::Timestamp::now();
        let left = 1_010 - i64::from(now.subsec_millisecond());
        tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(1_000))).await;
    }

    /// Clients that write to all servers in turn, and the observer.
    pub async fn clients(&self, kind: ClientKind, count: u32) -> Result<Running> {
        let servers: Vec<_> = self.topology.servers.iter().map(lab::load::Server::from).collect();
        let addresses = servers.iter().map(|server| server.address).collect();
        let login = Login::of(&self.topology.accounts.application, false);
        let mut clients = Clients::new(kind, count, addresses);
        // Replicas on a busy machine keep up with this; how fast it can go is the benchmark's question.
        clients.think_time = Duration::from_millis(20);
        let running = Scenario::new(servers, login, "writes").clients(clients).start().await?;
        running.wait_for_acknowledgements(50).await?;
        Ok(running)
    }
}

/// The operator's program.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_mysql-takeover"))
}

/// The reason of `Succeeded`.
pub fn reason(status: &TakeoverStatus) -> String {
    status.succeeded().map(|condition| condition.reason.clone()).unwrap_or_default()
}

/// The message of `Succeeded`.
pub fn message(status: &TakeoverStatus) -> String {
    status.succeeded().map(|condition| condition.message.clone()).unwrap_or_default()
}
