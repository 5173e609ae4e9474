//! A topology with its Pods, Secrets and cluster resource, and a proxy on every edge. Scenarios run in it one after the other.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use lab::load::{ClientKind, Clients, Login, Running};
use lab::loopback::Block;
use lab::mysqld::{Account, Accounts, MYSQL_PORT, Server, Topology, TopologyOptions};
use lab::operator::{Operator, Options};
use lab::proxy::{Edge, Proxy, peer};
use lab::small::{PodSpec, SmallTier, TestNamespace, create_pod, write_secret};
use lab::wait::{Look, until};
use lab::{control_plane, resources, tools};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of the cluster in every lane.
pub const CLUSTER: &str = "db";
/// Name of the operators' Lease.
const LEASE: &str = "mysql-takeover";
/// Bound on everything that is waited for.
pub const LIMIT: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// The world of one scenario at a time.
pub struct Lane {
    pub topology: Arc<Topology>,
    pub namespace: TestNamespace,
    pub tier: &'static SmallTier,
    /// The accounts as they are now: scenarios change passwords.
    pub accounts: Accounts,
    /// Every password that ever was.
    pub secrets: Vec<String>,
    /// An account with all rights.
    privileged: Account,
    /// From the operator to each server.
    pub to_server: Vec<Edge>,
    /// From other servers to each server.
    pub from_replicas: Vec<Edge>,
    /// From the operator to the API server.
    pub to_api: Edge,
    kubeconfig: PathBuf,
    program: PathBuf,
    started: u32,
    /// Kept, or they would end.
    proxies: Vec<Proxy>,
}

impl Lane {
    /// Starts three servers, and everything in front of them but an operator.
    pub async fn start(tier: &'static SmallTier, program: &Path) -> Result<Self> {
        let namespace = tier.namespace("chaos").await?;
        control_plane::apply(&namespace.client, &lab::operator::definitions(program)?, None).await?;
        let mysql = tools::find_mysql()?;
        let options = TopologyOptions::new(format!("{}-{CLUSTER}", namespace.name), 3);
        let topology = Arc::new(Topology::start(&tier.run, &mysql, options).await?);
        let accounts = topology.accounts.clone();
        let mut lane = Self {
            to_server: edges("operator", &topology),
            from_replicas: edges("replicas", &topology),
            to_api: Edge::new("operator to API"),
            kubeconfig: tier.run.folder("chaos")?.join(format!("{}.kubeconfig", namespace.name)),
            privileged: Account::generate("privileged"),
            secrets: [&accounts.operator, &accounts.replication, &accounts.application]
                .map(|account| account.password.clone())
                .into(),
            topology,
            namespace,
            tier,
            accounts,
            program: program.to_owned(),
            started: 0,
            proxies: Vec::new(),
        };
        lane.start_proxies()?;
        lane.put_proxies_between().await?;
        write_secret(&lane.namespace, "operator", &lane.accounts.operator).await?;
        write_secret(&lane.namespace, "replication", &lane.accounts.replication).await?;
        lane.apply_cluster("RouteFirst").await?;
        Ok(lane)
    }

    fn start_proxies(&mut self) -> Result<()> {
        for number in 0..self.topology.servers.len() {
            let (operator, replicas) = (&self.to_server[number], &self.from_replicas[number]);
            let server = self.server(number);
            let listen = self.address(number);
            let (topology, ours, theirs) = (Arc::clone(&self.topology), operator.clone(), replicas.clone());
            let classify = move |peer: SocketAddr| {
                let servers: Vec<i32> = topology.servers.iter().map(Server::pid).collect();
                match peer::process_of(peer, listen, &servers) {
                    Some(_) => theirs.clone(),
                    None => ours.clone(),
                }
            };
            let to = SocketAddr::new(server.address(), server.port());
            let edges = vec![operator.clone(), replicas.clone()];
            self.proxies.push(Proxy::start_for(listen, to, edges, Arc::new(classify))?);
        }
        let admin = self.tier.control_plane.admin_kubeconfig();
        let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(admin)?)?;
        let cluster = &mut kubeconfig["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().context("a server in the kubeconfig")?;
        let to: SocketAddr = server.trim_start_matches("https://").parse().context("address of the API")?;
        let listen = SocketAddr::new(Block::pick(to.port())?.address(1), to.port());
        self.proxies.push(Proxy::start(listen, to, self.to_api.clone())?);
        cluster["server"] = format!("https://{listen}").into();
        // The certificate is not for the proxy's address.
        cluster["tls-server-name"] = "localhost".into();
        lab::pki::write_private(&self.kubeconfig, &kubeconfig.to_string())
    }

    /// Replication goes through the proxies from the start, and the Pods carry their addresses.
    async fn put_proxies_between(&self) -> Result<()> {
        let Account { user, password } = &self.privileged;
        let create = [
            "SET GLOBAL super_read_only = OFF".to_owned(),
            "SET SESSION sql_log_bin = 0".to_owned(),
            format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'"),
            format!("GRANT ALL ON *.* TO '{user}'@'%'"),
        ];
        for (number, server) in self.topology.servers.iter().enumerate() {
            server.execute(&create).await?;
            if number > 0 {
                server
                    .execute(&[
                        "SET GLOBAL super_read_only = ON".to_owned(),
                        "STOP REPLICA".to_owned(),
                        format!(
                            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{}', SOURCE_SSL_VERIFY_SERVER_CERT = 0",
                            self.address(0).ip()
                        ),
                        "START REPLICA".to_owned(),
                    ])
                    .await?;
                lab::mysqld::wait_until_replicating(server).await?;
            } else {
                server.execute(&["SET GLOBAL read_only = OFF"]).await?;
            }
            self.create_pod(number).await?;
        }
        Ok(())
    }

    /// Makes the Pod of a server.
    pub async fn create_pod(&self, number: usize) -> Result<()> {
        let address = self.address(number).ip();
        create_pod(&self.namespace, &PodSpec { address, ..PodSpec::for_server(self.server(number), CLUSTER) })
            .await
            .map(drop)
    }

    /// Applies the cluster with this routing order.
    pub async fn apply_cluster(&self, order: &str) -> Result<()> {
        lab::small::apply_cluster(&self.namespace, CLUSTER, |spec| spec["routing"] = json!({"order": order}))
            .await
    }

    /// Where the world outside reaches a server: its proxy.
    pub fn address(&self, number: usize) -> SocketAddr {
        let last = u8::try_from(number).unwrap_or_default();
        SocketAddr::new(self.topology.new_address(last, 1), MYSQL_PORT)
    }

    pub fn server(&self, number: usize) -> &Server {
        &self.topology.servers[number]
    }

    pub fn name(&self, number: usize) -> String {
        self.server(number).name()
    }

    pub fn clusters(&self) -> Api<DynamicObject> {
        resources::clusters(&self.namespace.client, &self.namespace.name)
    }

    pub fn takeovers(&self) -> Api<DynamicObject> {
        resources::takeovers(&self.namespace.client, &self.namespace.name)
    }

    /// The numbers of the servers that accept writes.
    pub async fn writable(&self) -> Result<Vec<usize>> {
        let mut writable = Vec::new();
        for (number, server) in self.topology.servers.iter().enumerate() {
            if server.is_writable().await? {
                writable.push(number);
            }
        }
        Ok(writable)
    }

    /// The one server that accepts writes.
    pub async fn primary(&self) -> Result<usize> {
        let writable = self.writable().await?;
        ensure!(writable.len() == 1, "servers {writable:?} accept writes, not one");
        Ok(writable[0])
    }

    /// Launches an operator that meets these failpoints.
    pub fn launch(&mut self, failpoints: &str) -> Result<Operator> {
        self.started += 1;
        let options = Options {
            program: self.program.clone(),
            name: format!("operator-{}-{}", self.namespace.name, self.started),
            kubeconfig: self.kubeconfig.clone(),
            namespace: self.namespace.name.clone(),
            address: Block::pick(8080)?.address(1),
            arguments: [
                "--probe-period-seconds=1",
                "--lease-duration-seconds=6",
                "--renew-deadline-seconds=4",
                "--retry-period-seconds=1",
            ]
            .map(str::to_owned)
            .into(),
            environment: vec![("MYSQL_TAKEOVER_FAILPOINT".to_owned(), failpoints.to_owned())],
        };
        Operator::launch(&self.tier.run, &options)
    }

    /// Frees the Lease, as time would: its holder is dead, or is to meet a rival.
    pub async fn free_lease(&self) -> Result<()> {
        match self.leases().delete(LEASE, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).context("delete the Lease"),
        }
    }

    /// Waits until the Lease is held by this operator.
    pub async fn until_leads(&self, operator: &Operator) -> Result<()> {
        let (leases, name) = (self.leases(), operator.process().name());
        self.until(&format!("{name} to lead"), async || {
            operator.process().ensure_running()?;
            let lease = leases.get_opt(LEASE).await?;
            let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
            Ok(if holder.starts_with(&format!("{name}_")) {
                Look::Ready(())
            } else {
                Look::NotYet(format!("{holder:?} does"))
            })
        })
        .await
    }

    /// Gives the Lease to somebody who does not exist.
    pub async fn steal_lease(&self) -> Result<()> {
        let patch = json!({"spec": {"holderIdentity": "thief"}});
        self.leases().patch(LEASE, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.namespace.client.clone(), &self.namespace.name)
    }

    /// Waits until the cluster is ready for the next takeover.
    pub async fn wait_until_ready(&self) -> Result<()> {
        resources::wait_for_condition(&self.clusters(), CLUSTER, "TakeoverReady", LIMIT).await.map(drop)
    }

    /// Applies a takeover to a server.
    pub async fn apply(&self, name: &str, new: usize) -> Result<()> {
        let manifest = json!({
            "apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MasterTakeover",
            "metadata": {"name": name},
            "spec": {"clusterRef": {"name": CLUSTER}, "newPrimary": self.name(new)},
        });
        control_plane::apply(&self.namespace.client, &manifest.to_string(), Some(&self.namespace.name)).await
    }

    /// Starts writers of all sorts, and the observer.
    pub async fn clients(&self, privileged: bool) -> Result<Running> {
        let servers: Vec<_> = self.topology.servers.iter().map(lab::load::Server::from).collect();
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let kind = |kind, count| Clients {
            think_time: Duration::from_millis(40),
            retry_delay: Duration::from_millis(4),
            ..Clients::new(kind, count, addresses.clone())
        };
        let login = Some(Login::of(&self.privileged, false));
        let privileged = Clients { login, ..kind(ClientKind::Drop, u32::from(privileged)) };
        let transaction = Some(Duration::from_millis(40));
        let login = Login::of(&self.accounts.application, false);
        let running = lab::load::Scenario::new(servers, login, "writes")
            .clients(kind(ClientKind::Drop, 1))
            .clients(kind(ClientKind::Keep, 1))
            .clients(privileged)
            .clients(Clients { transaction, ..kind(ClientKind::Drop, 1) })
            .start()
            .await?;
        running.wait_for_acknowledgements(10).await?;
        Ok(running)
    }

    /// The status of the cluster.
    pub async fn cluster_status(&self) -> Result<Value> {
        Ok(self.clusters().get(CLUSTER).await?.data["status"].clone())
    }

    /// Waits, bounded, until `look` says so.
    pub async fn until(&self, what: &str, look: impl AsyncFnMut() -> Result<Look<()>>) -> Result<()> {
        until(what, LIMIT, LOOK, look).await
    }
}

fn edges(from: &str, topology: &Topology) -> Vec<Edge> {
    topology.servers.iter().map(|server| Edge::new(&format!("{from} to {}", server.name()))).collect()
}
