//! Takeovers as clients behind the primary Service see them, on a real node: each order of routing, each kind of client, and
//! clients on the operator's node as well as behind another node's kube-proxy.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::json;

use super::steps::StepTimes;
use crate::demo;
use crate::deploy::{self, CLUSTER, NAMESPACE, OPERATOR_NAMESPACE, PRIMARY_SERVICE, RELEASE};
use crate::load::{ClientKind, Clients, Login, Moment, Percentiles, Report, Running, Scenario, Server};
use crate::mysqld::Accounts;
use crate::node::{ClusterAccess, Node, Options, Progress};
use crate::resources::{self, clusters, create_takeover, follow_takeover, takeovers, wait_for_primary};
use crate::run::Run;
use crate::wait::{Look, until};

/// Writers of a cell.
const WRITERS: u32 = 4;
/// Windows without a takeover that each cell begins with, to be compared with those that have one.
const QUIET_WINDOWS: u32 = 10;
/// About as long as a takeover's.
const QUIET_WINDOW: Duration = Duration::from_secs(1);
/// How long clients may take to write again after a takeover before they count as stranded.
const STRANDED: Duration = Duration::from_secs(5);
/// How long clients are watched after a takeover has ended: late trouble counts as its own.
const AFTERMATH: Duration = Duration::from_millis(300);
/// Takeovers of a cell that may end otherwise and be tried again: a starved machine does not answer in time now and then.
const FAILURES: usize = 3;
const TAKEOVER_LIMIT: Duration = Duration::from_mins(2);
const READY_LIMIT: Duration = Duration::from_mins(1);

/// When new connections move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Before the old primary is frozen.
    RouteFirst,
    /// After the new primary is open.
    FreezeFirst,
}

impl Order {
    /// Both.
    pub const ALL: [Self; 2] = [Self::RouteFirst, Self::FreezeFirst];

    /// Its value in `spec.routing.order`, and its key in JSON results.
    pub fn key(self) -> &'static str {
        match self {
            Self::RouteFirst => "RouteFirst",
            Self::FreezeFirst => "FreezeFirst",
        }
    }
}

/// Where the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the operator is: its probe of the data path speaks for them.
    OperatorsNode,
    /// Behind another node's kube-proxy.
    SecondNode,
}

impl Place {
    /// Both, in the order of rows.
    pub const ALL: [Self; 2] = [Self::OperatorsNode, Self::SecondNode];
}

/// What one cell showed.
#[derive(Debug)]
pub struct CellResult {
    /// When new connections moved.
    pub order: Order,
    /// Where the clients were.
    pub place: Place,
    /// What they do with their connection.
    pub kind: ClientKind,
    /// First acknowledged write anywhere.
    pub any: Percentiles,
    /// Worst single writer.
    pub worst: Percentiles,
    /// Longest gap of a single writer in windows without a takeover.
    pub quiet: Option<Percentiles>,
    /// Time to connect and log in.
    pub connect: Option<Percentiles>,
    /// Failed attempts, on average.
    pub errors_per_takeover: f64,
    /// Failed attempts by what clients were told, in all.
    pub errors: String,
    /// Write outage that the operator saw.
    pub operator: Option<Percentiles>,
    /// Where the time went.
    pub steps: StepTimes,
    /// Takeovers that ended otherwise, and were tried again: what the operator said.
    pub failures: Vec<String>,
    /// Takeovers after which clients did not get on by themselves.
    pub stranded: Vec<String>,
    /// The clients' records.
    pub report: Report,
}

/// What the Service level showed.
#[derive(Debug, Default)]
pub struct ServiceResult {
    /// Every cell that was measured.
    pub cells: Vec<CellResult>,
    /// Why not all of them were.
    pub ended_early: Option<anyhow::Error>,
}

/// Runs `takeovers` takeovers in each cell.
pub async fn measure(takeovers: usize) -> Result<ServiceResult> {
    let node = Node::start(Run::temporary("bench-node")?, Options::installed(demo::images()?, true)?).await?;
    let (access, second) = (node.access().clone(), node.second_access()?);
    // Clones of the ways in only: the node itself stays out here, where it can be ended whatever happens inside.
    let result = node
        .enter(async move || {
            let mut result = ServiceResult::default();
            if let Err(error) = all_cells(&access, second, takeovers, &mut result.cells).await {
                explain(&access).await;
                // What was measured before is worth as much.
                result.ended_early = Some(error);
            }
            Ok(result)
        })
        .await;
    node.end().await?;
    result
}

async fn all_cells(
    access: &ClusterAccess,
    second: ClusterAccess,
    takeovers: usize,
    results: &mut Vec<CellResult>,
) -> Result<()> {
    let progress = Progress::start();
    free_ports_sooner()?;
    second.enter(async || free_ports_sooner()).await?;
    let mut stage = Stage::start(access, second, progress).await?;
    for order in Order::ALL {
        stage.route(order).await?;
        for place in Place::ALL {
            for kind in ClientKind::ALL {
                results.push(stage.cell(order, place, kind, takeovers).await?);
                progress.done(&format!(
                    "{}, {place:?}, a client that {kind}: {takeovers} takeovers",
                    order.key()
                ));
            }
        }
    }
    Ok(())
}

/// Clients with a connection per write use up a port each time. One that is used again too soon meets what the kernel still
/// remembers of its last connection, and the client waits a second until its SYN is sent again: nothing of the takeover's.
/// These settings belong to the network namespace of the calling thread, a node of our own.
fn free_ports_sooner() -> Result<()> {
    for (setting, value) in [
        ("net/ipv4/ip_local_port_range", "10300 65000"),
        ("net/ipv4/tcp_tw_reuse", "1"),
        ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "5"),
    ] {
        let path = std::path::Path::new("/proc/sys").join(setting);
        std::fs::write(&path, value).with_context(|| format!("write {value:?} to {}", path.display()))?;
    }
    Ok(())
}

/// What the operator said last, for a benchmark that ended early.
async fn explain(access: &ClusterAccess) {
    let deployment = format!("deployment/{RELEASE}");
    let log = ["logs", "--namespace", OPERATOR_NAMESPACE, &deployment, "--tail=40", "--all-pods=true"];
    let log = access.kubectl(log).await.unwrap_or_else(|error| format!("{error:#}"));
    eprintln!("The operator's log ends with:\n{log}");
}

struct Stage {
    second: ClusterAccess,
    accounts: Accounts,
    servers: Vec<Server>,
    service: std::net::SocketAddr,
    clusters: Api<DynamicObject>,
    takeovers: Api<DynamicObject>,
    /// Index of the primary, which moves between the first two servers.
    primary: usize,
    /// Names the takeovers.
    count: usize,
    /// Takeovers of the current cell after which clients did not get on.
    stranded: Vec<String>,
}

impl Stage {
    async fn start(access: &ClusterAccess, second: ClusterAccess, progress: Progress) -> Result<Self> {
        let client = access.client().await?;
        let (accounts, ()) = tokio::try_join!(
            deploy::deploy_mysql(access, NAMESPACE, None),
            deploy::install_operator(access, None)
        )?;
        deploy::register(access, &client, NAMESPACE).await?;
        progress.done("operator and MySQL are deployed");
        Ok(Self {
            second,
            accounts,
            servers: deploy::servers(&client, NAMESPACE).await?,
            service: deploy::service_address(&client, NAMESPACE, PRIMARY_SERVICE).await?,
            clusters: clusters(&client, NAMESPACE),
            takeovers: takeovers(&client, NAMESPACE),
            primary: 0,
            count: 0,
            stranded: Vec::new(),
        })
    }

    /// Sets the order and waits until the operator has seen it.
    async fn route(&self, order: Order) -> Result<()> {
        let patch = json!({"spec": {"routing": {"order": order.key()}}});
        self.clusters
            .patch(CLUSTER, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .context("set the order of routing")?;
        until("the operator to see the order", READY_LIMIT, Duration::from_millis(50), async || {
            let cluster = self.clusters.get(CLUSTER).await.context("read the MySQLCluster")?;
            let seen = cluster.data.pointer("/status/observedGeneration").and_then(serde_json::Value::as_i64);
            Ok(if seen.is_some() && seen == cluster.metadata.generation {
                Look::Ready(())
            } else {
                Look::NotYet(format!("observedGeneration {seen:?} of {:?}", cluster.metadata.generation))
            })
        })
        .await
    }

    async fn clients(&self, place: Place, kind: ClientKind) -> Result<Running> {
        let scenario =
            Scenario::new(self.servers.clone(), Login::of(&self.accounts.application, false), "writes")
                .clients(Clients::new(kind, WRITERS, vec![self.service]));
        match place {
            Place::OperatorsNode => scenario.start().await,
            Place::SecondNode => self.second.enter(move || scenario.start()).await,
        }
    }

    async fn cell(
        &mut self,
        order: Order,
        place: Place,
        kind: ClientKind,
        count: usize,
    ) -> Result<CellResult> {
        let mut running = self.clients(place, kind).await?;
        running.wait_for_acknowledgements(u64::from(WRITERS) * 10).await?;
        let quiet_from = running.clock().now();
        tokio::time::sleep(QUIET_WINDOW * QUIET_WINDOWS).await;

        let mut steps = StepTimes::default();
        let mut operator = Vec::new();
        let mut failures = Vec::new();
        let mut done = 0;
        while done < count {
            let status = self.take_over(&mut running).await?;
            if let Err(error) = status.verify() {
                failures.push(format!("{error:#}"));
                ensure!(failures.len() <= FAILURES, "takeovers keep failing: {}", failures.join("; "));
                continue;
            }
            steps.add(&status);
            operator.extend(status.write_outage());
            done += 1;
        }
        let report = running.finish().await?;

        let outages = report.outages(kind);
        let windows = (0..QUIET_WINDOWS).filter_map(|number| {
            let from = Moment(quiet_from.0 + QUIET_WINDOW * number);
            report.longest_gap(kind, from, Moment(from.0 + QUIET_WINDOW))
        });
        let errors: usize = outages.iter().map(crate::load::Outage::error_count).sum();
        let nobody = "no client wrote around a takeover";
        Ok(CellResult {
            order,
            place,
            kind,
            any: Percentiles::of(outages.iter().filter_map(|outage| outage.any.or(outage.worst)))
                .context(nobody)?,
            worst: Percentiles::of(outages.iter().filter_map(|outage| outage.worst)).context(nobody)?,
            quiet: Percentiles::of(windows),
            connect: report.connect_time(kind),
            errors_per_takeover: ratio(errors, outages.len()),
            errors: report
                .errors()
                .iter()
                .map(|(error, count)| format!("{error}: {count}"))
                .collect::<Vec<_>>()
                .join(", "),
            operator: Percentiles::of(operator),
            steps,
            failures,
            stranded: std::mem::take(&mut self.stranded),
            report,
        })
    }

    /// One takeover to the other server. Where it ended otherwise the primary is where it was, and the record has nothing of it.
    async fn take_over(&mut self, running: &mut Running) -> Result<resources::TakeoverStatus> {
        let name = |index: usize| self.servers.get(index).map(|server| server.name.clone());
        let (old, new) = name(self.primary).zip(name(1 - self.primary)).context("two servers take turns")?;
        wait_for_primary(&self.clusters, CLUSTER, &old, READY_LIMIT).await?;
        self.count += 1;
        let takeover = format!("bench-{}", self.count);
        let begun = running.begin_takeover(&old, &new)?;
        create_takeover(&self.takeovers, &takeover, CLUSTER, &new).await?;
        let status = follow_takeover(&self.takeovers, &takeover, TAKEOVER_LIMIT, |_| {}).await?;
        if status.verify().is_err() {
            drop(begun);
            return Ok(status);
        }
        // Clients whose node led them back to the old primary stay there until they are sent away: the figures show it, as
        // an outage that lasts until that server is the primary again.
        if running.wait_for_acknowledgements_within(u64::from(WRITERS) * 10, STRANDED).await.is_err() {
            self.stranded
                .push(format!("{takeover}: clients wrote next to nothing for {STRANDED:?} after its end"));
        }
        tokio::time::sleep(AFTERMATH).await;
        running.end_takeover(begun);
        self.primary = 1 - self.primary;
        Ok(status)
    }
}

fn ratio(count: usize, of: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    let ratio = count as f64 / of.max(1) as f64;
    ratio
}
