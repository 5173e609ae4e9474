//! Takeovers at SQL level: clients know the servers' addresses, so nothing but the servers and the procedure is measured.
//! Three procedures take turns on the same servers under the same clients.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::DynamicObject;

use super::by_hand::{HandTopology, Procedure};
use super::steps::StepTimes;
use crate::control_plane;
use crate::load::{ClientKind, Clients, Login, Percentiles, Report, Running, Scenario, Server};
use crate::loopback::Block;
use crate::mysqld::{Topology, TopologyOptions};
use crate::operator::{self, Operator};
use crate::resources::{create_takeover, follow_takeover, takeovers, wait_for_condition};
use crate::run::Run;
use crate::small::{SmallTier, register};
use crate::{resources, tools};

/// Name of the topology, of its `MySQLCluster` and of the label value that selects its Pods.
const CLUSTER: &str = "db";
/// Writers, as in the Service cells.
const WRITERS: u32 = 4;
/// At SQL level clients look for the open server as fast as they can, so that their pause is not what is measured.
const RETRY_DELAY: Duration = Duration::from_micros(300);
/// How long a takeover may take until it is given up.
const TAKEOVER_LIMIT: Duration = Duration::from_mins(2);

/// A way to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// Two packets by hand.
    Floor,
    /// The operator.
    Operator,
    /// By hand, looking every 500 ms.
    Polling,
}

impl Cell {
    /// In the order of each turn.
    pub const ALL: [Self; 3] = [Self::Floor, Self::Operator, Self::Polling];

    /// Its key in JSON results.
    pub fn key(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Operator => "operator",
            Self::Polling => "polling",
        }
    }
}

/// What the SQL level showed.
#[derive(Debug)]
pub struct SqlResult {
    /// First acknowledged write anywhere, by way to take over.
    pub outage: BTreeMap<Cell, Percentiles>,
    /// What the operator itself saw.
    pub operator_outage: Option<Percentiles>,
    /// Where the operator's time went.
    pub steps: StepTimes,
    /// The clients' records.
    pub report: Report,
}

/// Runs `takeovers` takeovers of each kind.
pub async fn measure(takeovers: usize) -> Result<SqlResult> {
    let stage = Stage::start().await?;
    let mut running = stage.clients().await?;
    running.wait_for_acknowledgements(200).await?;
    let mut names: Vec<String> = stage.servers.iter().take(2).map(|server| server.name.clone()).collect();
    let mut cells = Vec::new();
    let mut steps = StepTimes::default();
    let mut operator_outages = Vec::new();
    for round in 0..takeovers {
        for cell in Cell::ALL {
            let [old, new] = names.as_slice() else { anyhow::bail!("two servers take turns") };
            // The operator has seen who is primary now before it is asked; the others do not look at all.
            stage.wait_for_primary(old).await?;
            let begun = running.begin_takeover(old, new)?;
            match cell {
                Cell::Floor => stage.hand.take_over(Procedure::Floor, old, new).await?,
                Cell::Polling => stage.hand.take_over(Procedure::Polling, old, new).await?,
                Cell::Operator => {
                    let status = stage.take_over(&format!("bench-{round}"), new).await?;
                    steps.add(&status);
                    operator_outages.extend(status.write_outage());
                }
            }
            settle(&running).await?;
            running.end_takeover(begun);
            settle(&running).await?;
            cells.push(cell);
            names.reverse();
        }
        eprintln!("  SQL level: round {} of {takeovers}", round + 1);
    }
    let report = running.finish().await?;
    let mut outages: BTreeMap<Cell, Vec<Duration>> = BTreeMap::new();
    for (cell, outage) in cells.iter().zip(report.outages(ClientKind::Drop)) {
        outages.entry(*cell).or_default().push(outage.any.context("no client wrote around a takeover")?);
    }
    let outage = outages
        .into_iter()
        .filter_map(|(cell, durations)| Some((cell, Percentiles::of(durations)?)))
        .collect();
    Ok(SqlResult { outage, operator_outage: Percentiles::of(operator_outages), steps, report })
}

/// Lets every client write again before the next thing happens.
async fn settle(running: &Running) -> Result<()> {
    running.wait_for_acknowledgements(u64::from(WRITERS) * 10).await
}

/// Servers, the API in front of them, and the operator. Dropped from the top: the operator first.
struct Stage {
    _operator: Operator,
    takeovers: Api<DynamicObject>,
    clusters: Api<DynamicObject>,
    hand: HandTopology,
    servers: Vec<Server>,
    login: Login,
    _topology: Topology,
    _tier: SmallTier,
}

impl Stage {
    async fn start() -> Result<Self> {
        let program = operator::program()?;
        let tier = SmallTier::start(Run::temporary("bench")?).await?;
        let mysql = tools::find_mysql()?;
        let topology = Topology::start(&tier.run, &mysql, TopologyOptions::new(CLUSTER, 3)).await?;
        let namespace = tier.namespace("bench").await?;
        control_plane::apply(&namespace.client, &operator::definitions(&program)?, None).await?;
        register(&namespace, &topology, CLUSTER, |_| {}).await?;
        let options = operator::Options {
            program,
            name: "operator".to_owned(),
            kubeconfig: tier.control_plane.admin_kubeconfig().to_owned(),
            namespace: namespace.name.clone(),
            address: Block::pick(8080)?.address(1),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        let operator = Operator::start(&tier.run, &options).await?;
        let clusters = resources::clusters(&namespace.client, &namespace.name);
        wait_for_condition(&clusters, CLUSTER, "TakeoverReady", Duration::from_mins(1)).await?;
        Ok(Self {
            _operator: operator,
            takeovers: takeovers(&namespace.client, &namespace.name),
            clusters,
            hand: HandTopology::of(&topology),
            servers: topology.servers.iter().map(Server::from).collect(),
            login: Login::of(&topology.accounts.application, false),
            _topology: topology,
            _tier: tier,
        })
    }

    async fn clients(&self) -> Result<Running> {
        let addresses = self.servers.iter().take(2).map(|server| server.address).collect();
        let mut clients = Clients::new(ClientKind::Drop, WRITERS, addresses);
        clients.retry_delay = RETRY_DELAY;
        Scenario::new(self.servers.clone(), self.login.clone(), "writes").clients(clients).start().await
    }

    async fn wait_for_primary(&self, name: &str) -> Result<()> {
        resources::wait_for_primary(&self.clusters, CLUSTER, name, Duration::from_mins(1)).await
    }

    async fn take_over(&self, name: &str, new: &str) -> Result<resources::TakeoverStatus> {
        create_takeover(&self.takeovers, name, CLUSTER, new).await?;
        let status = follow_takeover(&self.takeovers, name, TAKEOVER_LIMIT, |_| {}).await?;
        status.verify().with_context(|| format!("takeover {name}"))?;
        Ok(status)
    }
}
