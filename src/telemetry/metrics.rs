//! Metrics of the operator, in the format of Prometheus. Labels are words of ours, or the namespace and name of a cluster:
//! never a takeover or a message, whose number has no end.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

/// Prefix of every name.
const PREFIX: &str = "mysql_takeover";
/// Bounds of write outages, in seconds: from what the servers themselves need to the largest budget.
const OUTAGE_BUCKETS: [f64; 15] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Bounds of steps and passes, in seconds.
const WORK_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterLabels {
    namespace: String,
    cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabels {
    namespace: String,
    cluster: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

type Histograms<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Every metric of the operator.
pub struct Metrics {
    registry: Registry,
    leading: Gauge,
    started: Counter,
    finished: Family<FinishedLabels, Counter>,
    outage: Histograms<ClusterLabels>,
    steps: Histograms<StepLabels>,
    instances: Family<ClusterLabels, Gauge>,
    writable: Family<ClusterLabels, Gauge>,
    ready: Family<ClusterLabels, Gauge>,
    busy: Family<ClusterLabels, Gauge>,
    server_errors: Family<KindLabels, Counter>,
    commit_conflicts: Counter,
    commits_unknown: Counter,
    reconciles: Histograms<ReconcileLabels>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            leading: Gauge::default(),
            started: Counter::default(),
            finished: Family::default(),
            outage: Family::new_with_constructor(|| Histogram::new(OUTAGE_BUCKETS)),
            steps: Family::new_with_constructor(|| Histogram::new(WORK_BUCKETS)),
            instances: Family::default(),
            writable: Family::default(),
            ready: Family::default(),
            busy: Family::default(),
            server_errors: Family::default(),
            commit_conflicts: Counter::default(),
            commits_unknown: Counter::default(),
            reconciles: Family::new_with_constructor(|| Histogram::new(WORK_BUCKETS)),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "Version of the operator",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("leader_status", "1 while this instance leads", self.leading.clone());
        registry.register("started", "Takeovers that claimed their cluster", self.started.clone());
        registry.register(
            "finished",
            "Takeovers that ended, by the reason of their Succeeded condition",
            self.finished.clone(),
        );
        registry.register_with_unit(
            "write_outage",
            "From sending the freeze until the new primary was open",
            Unit::Seconds,
            self.outage.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "Duration of the steps of takeovers",
            Unit::Seconds,
            self.steps.clone(),
        );
        registry.register("cluster_instances", "Instances that were found", self.instances.clone());
        registry.register(
            "cluster_writable_instances",
            "Instances that accept writes; outside a takeover anything but 1 is an emergency",
            self.writable.clone(),
        );
        registry.register(
            "cluster_takeover_ready",
            "1 while a takeover would pass its preflight",
            self.ready.clone(),
        );
        registry.register(
            "cluster_takeover_in_progress",
            "1 while a takeover holds the cluster",
            self.busy.clone(),
        );
        registry.register("server_errors", "Failed calls to MySQL servers", self.server_errors.clone());
        registry.register(
            "commit_conflicts",
            "Status writes that were overtaken by another",
            self.commit_conflicts.clone(),
        );
        registry.register(
            "commits_unknown",
            "Status writes whose answer was lost",
            self.commits_unknown.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of the passes of the controllers",
            Unit::Seconds,
            self.reconciles.clone(),
        );
    }

    /// Everything, in the text format of Prometheus.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Whether this instance leads.
    pub fn leading(&self, leading: bool) {
        self.leading.set(leading.into());
    }

    /// A takeover claimed its cluster.
    pub fn takeover_started(&self) {
        self.started.inc();
    }

    /// A takeover ended with this reason.
    pub fn takeover_finished(
        &self,
        namespace: &str,
        cluster: &str,
        reason: &'static str,
        outage: Option<Duration>,
    ) {
        let labels = cluster_labels(namespace, cluster);
        if let Some(outage) = outage {
            self.outage.get_or_create(&labels).observe(outage.as_secs_f64());
        }
        let ClusterLabels { namespace, cluster } = labels;
        let labels = FinishedLabels { namespace, cluster, outcome: reason.to_owned() };
        self.finished.get_or_create(&labels).inc();
    }

    /// A step ended.
    pub fn step_finished(&self, step: &'static str, took: Duration, done: bool) {
        let labels = StepLabels { step, result: if done { "done" } else { "failed" } };
        self.steps.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A cluster was looked at.
    pub fn cluster_seen(
        &self,
        namespace: &str,
        cluster: &str,
        instances: usize,
        writable: usize,
        ready: bool,
        busy: bool,
    ) {
        let labels = cluster_labels(namespace, cluster);
        self.instances.get_or_create(&labels).set(i64::try_from(instances).unwrap_or(i64::MAX));
        self.writable.get_or_create(&labels).set(i64::try_from(writable).unwrap_or(i64::MAX));
        self.ready.get_or_create(&labels).set(ready.into());
        self.busy.get_or_create(&labels).set(busy.into());
    }

    /// A cluster is gone: what was said of it is not true any more.
    pub fn cluster_gone(&self, namespace: &str, cluster: &str) {
        let labels = cluster_labels(namespace, cluster);
        for gauge in [&self.instances, &self.writable, &self.ready, &self.busy] {
            gauge.remove(&labels);
        }
    }

    /// A call to a server failed.
    pub fn server_error(&self, kind: &'static str) {
        self.server_errors.get_or_create(&KindLabels { kind }).inc();
    }

    /// A compare-and-swap lost.
    pub fn commit_conflict(&self) {
        self.commit_conflicts.inc();
    }

    /// The answer to a compare-and-swap was lost.
    pub fn commit_unknown(&self) {
        self.commits_unknown.inc();
    }

    /// A pass of a controller ended: `ok`, or the category of its error.
    pub fn reconcile(&self, controller: &'static str, result: &'static str, took: Duration) {
        let labels = ReconcileLabels { controller, result };
        self.reconciles.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

fn cluster_labels(namespace: &str, cluster: &str) -> ClusterLabels {
    ClusterLabels { namespace: namespace.to_owned(), cluster: cluster.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_alerts_ask_for() {
        let metrics = Metrics::default();
        metrics.leading(true);
        metrics.takeover_started();
        metrics.takeover_finished("shop", "orders", "Promoted", Some(Duration::from_millis(4)));
        metrics.step_finished("Freeze", Duration::from_millis(2), true);
        metrics.cluster_seen("shop", "orders", 3, 1, true, false);
        metrics.server_error("unreachable");
        metrics.commit_conflict();
        metrics.reconcile("takeover", "ok", Duration::from_millis(1));
        let text = metrics.text().unwrap();
        for line in [
            r#"mysql_takeover_build_info{version="0.1.0"} 1"#,
            "mysql_takeover_leader_status 1",
            "mysql_takeover_started_total 1",
            r#"mysql_takeover_finished_total{namespace="shop",cluster="orders",outcome="Promoted"} 1"#,
            r#"mysql_takeover_write_outage_seconds_bucket{le="0.005",namespace="shop",cluster="orders"} 1"#,
            r#"mysql_takeover_step_duration_seconds_count{step="Freeze",result="done"} 1"#,
            r#"mysql_takeover_cluster_instances{namespace="shop",cluster="orders"} 3"#,
            r#"mysql_takeover_cluster_writable_instances{namespace="shop",cluster="orders"} 1"#,
            r#"mysql_takeover_cluster_takeover_ready{namespace="shop",cluster="orders"} 1"#,
            r#"mysql_takeover_cluster_takeover_in_progress{namespace="shop",cluster="orders"} 0"#,
            r#"mysql_takeover_server_errors_total{kind="unreachable"} 1"#,
            "mysql_takeover_commit_conflicts_total 1",
            "mysql_takeover_commits_unknown_total 0",
            r#"mysql_takeover_reconcile_duration_seconds_count{controller="takeover",result="ok"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_cluster_that_is_gone_is_not_told_of() {
        let metrics = Metrics::default();
        metrics.cluster_seen("shop", "orders", 3, 1, true, false);
        metrics.cluster_gone("shop", "orders");
        assert!(!metrics.text().unwrap().contains("orders"));
    }
}
