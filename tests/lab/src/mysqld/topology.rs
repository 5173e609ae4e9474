//! A primary with replicas.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;

use super::{Accounts, MYSQL_PORT, Server, ServerOptions};
use crate::loopback::Block;
use crate::pki::Authority;
use crate::run::Run;
use crate::tools::MySql;
use crate::wait::{Look, until};

/// How a topology is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct TopologyOptions {
    /// Names of servers: `<name>-0`, the primary, and so on. Unique in the run.
    pub name: String,
    /// How many servers, the primary included.
    pub servers: u8,
    /// The port of all of them; addresses differ.
    pub port: u16,
    /// More options for every server.
    pub extra: Vec<String>,
    /// Whether the operator's and the replicas' account need TLS, as documented.
    pub require_tls: bool,
}

impl TopologyOptions {
    /// Servers named `<name>-<n>` on MySQL's own port.
    pub fn new(name: impl Into<String>, servers: u8) -> Self {
        Self { name: name.into(), servers, port: MYSQL_PORT, extra: Vec::new(), require_tls: true }
    }
}

/// Servers of which the first is the writable primary and the others replicate from it: GTID, auto-position, TLS.
#[derive(Debug)]
pub struct Topology {
    /// The servers; the first one begins as the primary.
    pub servers: Vec<Server>,
    /// Accounts, the same on all of them.
    pub accounts: Accounts,
    /// Signed the certificates of all of them.
    pub authority: Authority,
    block: Block,
}

impl Topology {
    /// Starts `servers` servers in parallel and waits until replication runs. A few seconds for three.
    pub async fn start(run: &Arc<Run>, mysql: &MySql, options: TopologyOptions) -> Result<Self> {
        ensure!(options.servers >= 1, "a topology needs a server");
        let block = Block::pick(options.port)?;
        let authority = Authority::new(&format!("{}-mysql", options.name))?;
        let accounts = Accounts::generate();
        let statements = accounts.statements(options.require_tls)?;
        let servers = try_join_all((0..options.servers).map(|number| {
            let (authority, statements) = (&authority, &statements);
            let server_options = ServerOptions {
                name: format!("{}-{number}", options.name),
                address: block.address(number + 1),
                port: options.port,
                server_id: u32::from(number) + 1,
                extra: options.extra.clone(),
            };
            async move {
                let server = Server::start(run, mysql, authority, server_options).await?;
                create_accounts(&server, statements).await?;
                anyhow::Ok(server)
            }
        }))
        .await?;
        let topology = Self { servers, accounts, authority, block };
        let (primary, replicas) = topology.servers.split_first().context("a topology needs a server")?;
        primary.execute(&["SET GLOBAL read_only = OFF"]).await?;
        try_join_all(replicas.iter().map(|replica| topology.replicate(replica, primary))).await?;
        Ok(topology)
    }

    /// The server with this number.
    pub fn server(&self, number: usize) -> Result<&Server> {
        self.servers.get(number).with_context(|| format!("the topology has no server {number}"))
    }

    /// An address of the topology's block that no server has had: for a Pod that is made anew. `generation` from 1.
    pub fn new_address(&self, number: u8, generation: u8) -> std::net::IpAddr {
        self.block.address(number + 1 + 20 * generation)
    }

    /// Makes `replica` replicate from `source` and waits until both threads run.
    pub async fn replicate(&self, replica: &Server, source: &Server) -> Result<()> {
        let account = &self.accounts.replication;
        replica
            .execute(&[
                "STOP REPLICA".to_owned(),
                format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{}', SOURCE_PORT = {}, SOURCE_USER = '{}', \
                     SOURCE_PASSWORD = '{}', SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, SOURCE_SSL_CA = '{}', \
                     SOURCE_SSL_VERIFY_SERVER_CERT = 1, SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400",
                    source.address(),
                    source.port(),
                    account.user,
                    account.password,
                    replica.authority_certificate().display(),
                ),
                "START REPLICA".to_owned(),
            ])
            .await?;
        wait_until_replicating(replica).await
    }

    /// Waits until every replica has executed what the server with this number has executed by now.
    pub async fn wait_for_replicas(&self, primary: usize) -> Result<()> {
        let set = self.server(primary)?.executed_gtid().await?;
        let others = self.servers.iter().enumerate().filter(|(number, _)| *number != primary);
        try_join_all(others.map(|(_, server)| server.wait_for_gtid(&set, Duration::from_secs(30)))).await?;
        Ok(())
    }
}

/// Waits until both replication threads run without error.
pub async fn wait_until_replicating(replica: &Server) -> Result<()> {
    const QUERY: &str = "SELECT CONCAT_WS(' ', c.SERVICE_STATE, a.SERVICE_STATE, NULLIF(c.LAST_ERROR_MESSAGE, ''), \
                         NULLIF(a.LAST_ERROR_MESSAGE, '')) FROM performance_schema.replication_connection_status c \
                         JOIN performance_schema.replication_applier_status_by_coordinator a USING (CHANNEL_NAME)";
    until(
        &format!("replication on {}", replica.name()),
        Duration::from_secs(30),
        Duration::from_millis(10),
        async || match replica.value(QUERY).await {
            Ok(state) if state == "ON ON" => Ok(Look::Ready(())),
            Ok(state) => Ok(Look::NotYet(state)),
            Err(error) => Ok(Look::NotYet(format!("{error:#}"))),
        },
    )
    .await
}

/// Creates the accounts without a trace in the binary log, so that they are errant nowhere.
async fn create_accounts(server: &Server, statements: &[String]) -> Result<()> {
    let mut all = vec!["SET GLOBAL super_read_only = OFF", "SET SESSION sql_log_bin = 0"];
    all.extend(statements.iter().map(String::as_str));
    all.push("SET GLOBAL super_read_only = ON");
    server.execute(&all).await
}
