//! The objects of the API server, with their versions, and what may become of the journal.

use crate::SERVERS;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use mysql_takeover::api::journal::{ActiveTakeover, Direction, TakeoverRecord};
use mysql_takeover::api::{FINALIZER, MasterTakeover, MySQLCluster, STATEFUL_SET_POD_LABEL};
use mysql_takeover::kubernetes::port::{PodView, ServiceView};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Namespace of everything.
pub const NAMESPACE: &str = "shop";
/// Name of the cluster.
pub const CLUSTER: &str = "orders-db";
/// Name of the primary Service.
pub const SERVICE: &str = "orders-db-primary";
/// A password that must show nowhere.
pub const CANARY: &str = "canary-4711-secret";

/// The objects.
#[derive(Debug)]
pub struct Store {
    /// The cluster; once it is gone, as it was last.
    pub cluster: MySQLCluster,
    /// The cluster is gone.
    pub gone: bool,
    /// Ended takeovers that clusters remembered that are gone.
    pub remembered: Vec<TakeoverRecord>,
    /// Takeovers by name.
    pub takeovers: BTreeMap<String, MasterTakeover>,
    /// Pods of the servers.
    pub pods: Vec<PodView>,
    /// Services by name.
    pub services: BTreeMap<String, ServiceView>,
    /// Reasons of Events, in order.
    pub events: Vec<String>,
    /// Transitions of the journal that were seen, by name.
    pub transitions: BTreeSet<&'static str>,
    /// What the journal must never do, and did.
    pub illegal: Vec<String>,
    version: u64,
    pods_made: usize,
}

fn address(subnet: u8, number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 9, subnet, u8::try_from(number).unwrap_or(u8::MAX)))
}

impl Store {
    /// A registered cluster of three Pods; `spec` is laid over the usual one.
    pub fn new(spec: &serde_json::Value) -> anyhow::Result<Self> {
        let mut cluster = json!({
            "apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MySQLCluster",
            "metadata": {"name": CLUSTER, "namespace": NAMESPACE, "uid": "cluster-uid", "generation": 1, "resourceVersion": "1"},
            "spec": {
                "discovery": {"selector": {"matchLabels": {"app": "orders-db"}}},
                "credentials": {"secretRef": {"name": "operator"}},
                "replicationCredentials": {"secretRef": {"name": "replication"}},
                "tls": {"mode": "Required"},
                "routing": {"services": {"primary": SERVICE}},
            },
        });
        merge(&mut cluster, &json!({"spec": spec}));
        let mut store = Self {
            cluster: serde_json::from_value(cluster)?,
            gone: false,
            remembered: Vec::new(),
            takeovers: BTreeMap::new(),
            pods: Vec::new(),
            services: BTreeMap::new(),
            events: Vec::new(),
            transitions: BTreeSet::new(),
            illegal: Vec::new(),
            version: 1,
            pods_made: 0,
        };
        for number in 0..SERVERS {
            let pod = store.pod(number);
            store.pods.push(pod);
        }
        Ok(store)
    }

    fn pod(&mut self, number: usize) -> PodView {
        self.pods_made += 1;
        let name = format!("orders-db-{number}");
        PodView {
            labels: BTreeMap::from([
                ("app".to_owned(), "orders-db".to_owned()),
                (STATEFUL_SET_POD_LABEL.to_owned(), name.clone()),
            ]),
            uid: format!("pod-{}", self.pods_made),
            address: Some(address(1, self.pods_made)),
            hostname: Some(name.clone()),
            subdomain: Some("orders".to_owned()),
            terminating: false,
            ready: true,
            name,
        }
    }

    /// The primary Service is somebody else's, and selects by role label.
    pub fn serve_by_labels(&mut self) {
        let selector = BTreeMap::from([("mysql-takeover.io/role".to_owned(), "primary".to_owned())]);
        let address = self.service_address();
        self.services.insert(
            SERVICE.to_owned(),
            ServiceView {
                name: SERVICE.to_owned(),
                selector,
                cluster_ip: Some(address),
                port: Some(3306),
                type_: "ClusterIP".to_owned(),
                external_ips: false,
                owner_uid: None,
            },
        );
    }

    /// A takeover, as a user applies it.
    pub fn apply(
        &mut self,
        name: &str,
        spec: &serde_json::Value,
        created: jiff::Timestamp,
    ) -> anyhow::Result<()> {
        let version = self.bump();
        let mut takeover = json!({
            "apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MasterTakeover",
            "metadata": {
                "name": name, "namespace": NAMESPACE, "uid": format!("uid-of-{name}"), "generation": 1,
                "resourceVersion": version, "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            },
            "spec": {"clusterRef": {"name": CLUSTER}},
        });
        merge(&mut takeover, &json!({"spec": spec}));
        self.takeovers.insert(name.to_owned(), serde_json::from_value(takeover)?);
        Ok(())
    }

    /// The next resourceVersion.
    pub fn bump(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Address of the primary Service.
    pub fn service_address(&self) -> IpAddr {
        address(2, 1)
    }

    /// Number of the server behind a Pod's address.
    pub fn server_at(&self, address: IpAddr) -> Option<usize> {
        self.pods.iter().position(|pod| pod.address == Some(address))
    }

    /// What replicas write into `SOURCE_HOST` for a server.
    pub fn host(&self, number: usize) -> String {
        format!("orders-db-{number}.orders.{NAMESPACE}.svc")
    }

    /// The same for all servers.
    pub fn hosts(&self) -> Vec<String> {
        (0..SERVERS).map(|number| self.host(number)).collect()
    }

    /// Number of the server that replicas know under this name.
    pub fn server_named(&self, host: &str) -> Option<usize> {
        self.hosts().iter().position(|known| known == host)
    }

    /// Numbers of the servers that the primary Service leads to.
    pub fn routed(&self) -> impl Iterator<Item = usize> {
        let service = self.services.get(SERVICE).filter(|service| !service.selector.is_empty());
        let selected = move |pod: &PodView| {
            service.is_some_and(|service| {
                service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
            })
        };
        self.pods.iter().enumerate().filter(move |(_, pod)| selected(pod)).map(|(number, _)| number)
    }

    /// A Pod is made anew: its labels are those of its template.
    pub fn replace_pod(&mut self, number: usize) {
        let pod = self.pod(number);
        if let Some(old) = self.pods.get_mut(number) {
            *old = pod;
        }
    }

    /// Changes every takeover that has not ended.
    fn each(&mut self, change: impl Fn(&mut MasterTakeover)) {
        let version = self.bump();
        for takeover in self.takeovers.values_mut() {
            change(takeover);
            takeover.metadata.resource_version = Some(version.clone());
        }
        self.collect();
    }

    /// The user cancels.
    pub fn cancel(&mut self) {
        self.each(|takeover| {
            takeover.spec.cancel = true;
            takeover.metadata.generation = takeover.metadata.generation.map(|generation| generation + 1);
        });
    }

    /// The user deletes, by force together with the finalizer.
    pub fn delete(&mut self, by_force: bool) {
        let now = Time(jiff::Timestamp::UNIX_EPOCH);
        self.each(|takeover| {
            takeover.metadata.deletion_timestamp = Some(now.clone());
            if by_force {
                takeover.metadata.finalizers = None;
            }
        });
    }

    /// The user deletes the cluster.
    pub fn delete_cluster(&mut self) {
        if self.gone || self.cluster.metadata.deletion_timestamp.is_some() {
            return;
        }
        self.cluster.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        self.cluster.metadata.generation = self.cluster.metadata.generation.map(|generation| generation + 1);
        self.touch_cluster();
        self.collect();
    }

    /// Whoever keeps the cluster in Git applies it anew, once it is gone.
    pub fn apply_cluster_anew(&mut self) {
        if !self.gone {
            return;
        }
        self.gone = false;
        let version = self.bump();
        let status = self.cluster.status.take().unwrap_or_default();
        self.remembered.splice(0..0, status.takeover_history);
        let metadata = &mut self.cluster.metadata;
        metadata.uid = Some(format!("cluster-uid-{version}"));
        metadata.generation = Some(1);
        metadata.deletion_timestamp = None;
        metadata.resource_version = Some(version);
    }

    /// Ended takeovers, the last one first.
    pub fn history(&self) -> Vec<TakeoverRecord> {
        let status = self.cluster.status.as_ref();
        let mut history = status.map(|status| status.takeover_history.clone()).unwrap_or_default();
        history.extend(self.remembered.iter().cloned());
        history
    }

    /// Deleted objects without a finalizer are gone, and what they own with them.
    pub fn collect(&mut self) {
        let is_gone = |metadata: &ObjectMeta| {
            metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
        };
        self.takeovers.retain(|_, takeover| !is_gone(&takeover.metadata));
        if !self.gone && is_gone(&self.cluster.metadata) {
            self.gone = true;
            self.services.retain(|_, service| service.owner_uid != self.cluster.metadata.uid);
            let active = self.cluster.status.as_ref().and_then(|status| status.active_takeover.as_ref());
            if active.is_some() {
                self.illegal.push("the journal went with the cluster while it was claimed".to_owned());
            }
        }
    }

    /// Adds or removes our finalizer. A deleted object takes no new one.
    pub fn finalize(metadata: &mut ObjectMeta, present: bool) -> Option<()> {
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        let before = finalizers.len();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if present {
            finalizers.push(FINALIZER.to_owned());
        }
        if metadata.deletion_timestamp.is_some() && finalizers.len() > before {
            return None;
        }
        metadata.finalizers = (!finalizers.is_empty()).then_some(finalizers);
        Some(())
    }

    /// Somebody else writes to the cluster.
    pub fn touch_cluster(&mut self) {
        let version = self.bump();
        self.cluster.metadata.resource_version = Some(version);
    }

    /// Whether this is the cluster as it is stored now.
    pub fn is_current(&self, cluster: &MySQLCluster) -> bool {
        let (stored, seen) = (&self.cluster.metadata, &cluster.metadata);
        !self.gone && stored.uid == seen.uid && stored.resource_version == seen.resource_version
    }

    /// Takes in a written status of the cluster, and notes what the journal did.
    pub fn write_cluster(&mut self, written: &MySQLCluster) {
        let before = self.cluster.status.clone().unwrap_or_default();
        let after = written.status.clone().unwrap_or_default();
        if after.takeover_epoch < before.takeover_epoch {
            self.illegal.push("the epoch went back".to_owned());
        }
        match (&before.active_takeover, &after.active_takeover) {
            (None, None) => {}
            (None, Some(_)) => {
                self.transitions.insert("claimed");
            }
            (Some(before), None) => {
                self.transitions.insert(released(before));
                if after.takeover_history.first().is_none_or(|record| record.uid != before.uid) {
                    self.illegal.push("a claim was released without a record".to_owned());
                }
            }
            (Some(before), Some(after)) => self.journal(before, after),
        }
        let version = self.bump();
        self.cluster.status = Some(after);
        self.cluster.metadata.resource_version = Some(version);
    }

    fn journal(&mut self, before: &ActiveTakeover, after: &ActiveTakeover) {
        let mut illegal = |what: &str| self.illegal.push(what.to_owned());
        if before.uid != after.uid {
            illegal("a claim went from one takeover to another without a release");
        }
        match (&before.intent, &after.intent) {
            (Some(old), Some(new)) if old != new => illegal("a recorded intent changed"),
            (Some(_), None) => illegal("a recorded intent was forgotten"),
            (None, Some(_)) => {
                self.transitions.insert("intent recorded");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        match (before.direction, after.direction) {
            (Direction::Unwind, Direction::Forward) => {
                illegal("a takeover that went back went forward again");
            }
            (Direction::Forward, Direction::Unwind) if before.opened.is_some() => {
                illegal("a takeover that was open went back");
            }
            (Direction::Forward, Direction::Unwind) => {
                self.transitions.insert("turned back");
            }
            (Direction::Forward, Direction::Forward) | (Direction::Unwind, Direction::Unwind) => {}
        }
        match (&before.opened, &after.opened) {
            (None, Some(_)) => {
                self.transitions.insert("opened");
            }
            (Some(old), Some(new)) if old != new => {
                self.illegal.push("the moment of opening changed".to_owned());
            }
            (Some(_), None) => self.illegal.push("the moment of opening was forgotten".to_owned()),
            (None, None) | (Some(_), Some(_)) => {}
        }
        if after.epoch != before.epoch {
            let phase = match (&before.intent, before.direction, &before.opened) {
                (None, _, _) => "adopted before the intent",
                (Some(_), Direction::Unwind, _) => "adopted on the way back",
                (Some(_), Direction::Forward, None) => "adopted with the intent",
                (Some(_), Direction::Forward, Some(_)) => "adopted after opening",
            };
            self.transitions.insert(phase);
        }
    }
}

/// Every transition that a journal can make.
pub const TRANSITIONS: [&str; 11] = [
    "adopted after opening",
    "adopted before the intent",
    "adopted on the way back",
    "adopted with the intent",
    "claimed",
    "intent recorded",
    "opened",
    "released after opening",
    "released before the intent",
    "released on the way back",
    "turned back",
];

fn released(before: &ActiveTakeover) -> &'static str {
    match (&before.intent, before.direction) {
        (None, _) => "released before the intent",
        (Some(_), Direction::Unwind) => "released on the way back",
        (Some(_), Direction::Forward) => "released after opening",
    }
}

/// Lays one JSON value over another.
fn merge(under: &mut serde_json::Value, over: &serde_json::Value) {
    match (under, over) {
        (serde_json::Value::Object(under), serde_json::Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}
