//! Takeovers without the operator, to compare it with: the *floor*, which is the least that the servers allow, and a
//! procedure that polls every 500 ms, as scripts do.
//!
//! Both are as correct as they can be without a journal, routing, rollback or preflight: a healthy topology is assumed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Row};

use crate::load::{Login, Server};
use crate::mysqld::Topology;

/// Bound on every statement, and on the catch-up.
const LIMIT: Duration = Duration::from_secs(10);
/// The replica follows closely enough for the floor when it has everything up to a moment this soon.
const GATE: Duration = Duration::from_millis(10);
/// Looks at that, until it is taken as it is.
const GATE_ROUNDS: usize = 200;
/// The polling procedure's pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A replication topology and the accounts to change it with.
#[derive(Clone, Debug)]
pub struct HandTopology {
    /// All members.
    pub servers: Vec<Server>,
    /// An account that may do everything a takeover needs.
    pub administrator: Login,
    /// The account that replicas log in with.
    pub replication: Login,
    /// Name of the account whose sessions are ended on the old primary.
    pub client_account: String,
}

/// How to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Procedure {
    /// Two packets on open connections.
    Floor,
    /// Read-only, look every 500 ms, stop replication, open.
    Polling,
}

impl HandTopology {
    /// A topology of the lab, with the operator's own account.
    pub fn of(topology: &Topology) -> Self {
        Self {
            servers: topology.servers.iter().map(Server::from).collect(),
            administrator: Login::of(&topology.accounts.operator, true),
            replication: Login::of(&topology.accounts.replication, true),
            client_account: topology.accounts.application.user.clone(),
        }
    }

    /// Moves the primary from one server to another; everything replicates from the new one afterwards.
    pub async fn take_over(&self, procedure: Procedure, old: &str, new: &str) -> Result<()> {
        let mut old = self.open(old).await?;
        let mut new = self.open(new).await?;
        // Neither procedure freezes blindly, and the floor not before the replica follows closely: the operator does so too.
        let patience = if procedure == Procedure::Floor { GATE } else { LIMIT };
        for _ in 0..GATE_ROUNDS {
            let executed: String = row(&mut old, "SELECT @@global.gtid_executed").await?;
            let begin = Instant::now();
            wait_for(&mut new, &executed).await?;
            if begin.elapsed() <= patience {
                break;
            }
        }
        match procedure {
            Procedure::Floor => floor(&mut old, &mut new).await?,
            Procedure::Polling => polling(&mut old, &mut new).await?,
        }
        self.end_client_sessions(&mut old).await?;
        if procedure == Procedure::Floor {
            let executed: String = row(&mut old, "SELECT @@global.gtid_executed").await?;
            wait_for(&mut new, &executed).await?;
            run(&mut new, "STOP REPLICA; RESET REPLICA ALL").await?;
        }
        let new = new.server;
        for server in self.servers.iter().filter(|server| server.address != new.address) {
            let mut replica = self.open(&server.name).await?;
            self.replicate_from(&mut replica, &new).await?;
        }
        Ok(())
    }

    async fn open(&self, name: &str) -> Result<Session> {
        let server = self
            .servers
            .iter()
            .find(|server| server.name == name)
            .with_context(|| format!("{name} is not a server of this topology"))?;
        let connection = self.administrator.connect(server.address, LIMIT).await?;
        Ok(Session { server: server.clone(), connection })
    }

    /// The same statements for the demoted primary and for siblings; the password is in the packet only.
    async fn replicate_from(&self, replica: &mut Session, primary: &Server) -> Result<()> {
        let change = format!(
            "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST='{}', SOURCE_PORT={}, SOURCE_USER='{}', \
             SOURCE_PASSWORD='{}', SOURCE_SSL=1, SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, \
             SOURCE_RETRY_COUNT=86400; START REPLICA",
            primary.address.ip(),
            primary.address.port(),
            self.replication.user,
            self.replication.password,
        );
        send::<Row>(replica, &change)
            .await
            .map(drop)
            .with_context(|| format!("make {} replicate from {}", replica.server.name, primary.name))
    }

    async fn end_client_sessions(&self, old: &mut Session) -> Result<()> {
        let list = format!(
            "SELECT processlist_id FROM performance_schema.threads WHERE name = 'thread/sql/one_connection' \
             AND processlist_user = '{}'",
            self.client_account
        );
        // A session that ended by itself in between fails the packet; the next look has the rest.
        for _ in 0..10 {
            let sessions: Vec<u64> = send(old, &list).await?;
            if sessions.is_empty() {
                return Ok(());
            }
            let kills: Vec<String> = sessions.iter().map(|id| format!("KILL {id}")).collect();
            let _ = run(old, &kills.join(";")).await;
        }
        // Clients that reconnect to an old primary are refused there: no harm, only slower.
        Ok(())
    }
}

/// A server and an open connection to it.
struct Session {
    server: Server,
    connection: Conn,
}

async fn floor(old: &mut Session, new: &mut Session) -> Result<()> {
    let freeze =
        "SET SESSION lock_wait_timeout=2; SET GLOBAL super_read_only=ON; SELECT @@global.gtid_executed";
    let executed: String = row(old, freeze).await.context("freeze")?;
    let open = format!(
        "SET @r = WAIT_FOR_EXECUTED_GTID_SET('{}', 5); SET GLOBAL read_only = IF(@r = 0, 0, 1); \
         SELECT @@global.read_only",
        executed.replace('\n', "")
    );
    let read_only: u8 = row(new, &open).await.context("open")?;
    if read_only != 0 {
        bail!("{} did not catch up within 5 s; {} is left read-only", new.server.name, old.server.name);
    }
    Ok(())
}

async fn polling(old: &mut Session, new: &mut Session) -> Result<()> {
    run(old, "SET GLOBAL super_read_only=ON").await?;
    let begin = Instant::now();
    loop {
        let executed: String = row(old, "SELECT @@global.gtid_executed").await?;
        let subset = format!("SELECT GTID_SUBSET('{}', @@global.gtid_executed)", executed.replace('\n', ""));
        if row::<u8>(new, &subset).await? == 1 {
            break;
        }
        if begin.elapsed() > LIMIT {
            bail!(
                "{} did not catch up within {LIMIT:?}; {} is left read-only",
                new.server.name,
                old.server.name
            );
        }
        // This pause is what the procedure is here to show.
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    run(new, "STOP REPLICA").await?;
    run(new, "RESET REPLICA ALL").await?;
    run(new, "SET GLOBAL read_only=OFF").await
}

async fn wait_for(session: &mut Session, executed: &str) -> Result<()> {
    let wait = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{}', 5)", executed.replace('\n', ""));
    let behind: u8 = row(session, &wait).await?;
    if behind != 0 {
        bail!("{} is more than 5 s behind", session.server.name);
    }
    Ok(())
}

/// The first row of the last statement of a packet.
async fn row<T: FromRow + Send + 'static>(session: &mut Session, packet: &str) -> Result<T> {
    let rows = send(session, packet).await?;
    rows.into_iter().next().with_context(|| format!("{}: an answer without a row", session.server.name))
}

async fn run(session: &mut Session, packet: &str) -> Result<()> {
    send::<Row>(session, packet).await.map(drop)
}

/// Sends statements in one packet and returns the rows of the last one.
///
/// # Errors
/// Also those of later statements; the text never holds the statements, one of which may hold a password.
async fn send<T: FromRow + Send + 'static>(session: &mut Session, packet: &str) -> Result<Vec<T>> {
    let statements = packet.split(';').count();
    let Session { server, connection } = session;
    let exchange = async {
        let mut result = connection.query_iter(packet).await?;
        for _ in 1..statements {
            result.collect::<Row>().await?;
        }
        let rows = result.collect::<T>().await?;
        // Until here the error of a last statement without rows would be pending.
        result.drop_result().await?;
        Ok::<_, mysql_async::Error>(rows)
    };
    tokio::time::timeout(LIMIT, exchange)
        .await
        .map_err(|_elapsed| anyhow!("{} did not answer within {LIMIT:?}", server.name))?
        .with_context(|| format!("statement on {}", server.name))
}
