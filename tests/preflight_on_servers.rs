//! The preflight on what real servers tell: a healthy topology passes, and each fault is found by name.

use anyhow::{Context as _, Result};
use lab::mysqld::{Account, Server, Topology as Servers, TopologyOptions, wait_until_replicating};
use lab::run::Run;
use lab::tools;
use mysql_async::prelude::Queryable as _;
use mysql_takeover::api::cluster::{InstanceState, TakeoverDefaults, TlsMode};
use mysql_takeover::api::common::PromotionRule;
use mysql_takeover::api::takeover::Finding;
use mysql_takeover::mysql::{
    Endpoint, Login, MysqlServers, MysqlSession, ServerErrorKind, Servers as _, Session as _, Tag,
    TlsSettings,
};
use mysql_takeover::takeover::Limits;
use mysql_takeover::takeover::preflight::{LoginCheck, Observation, preflight};
use mysql_takeover::topology::{Activity, Instance, Primary, Seen, Topology, candidate, health};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; nothing waits for it.
const LIMIT: Duration = Duration::from_secs(10);

struct Stage {
    servers: Servers,
}

struct Look {
    topology: Topology,
    activity: Option<Activity>,
}

impl Stage {
    async fn start() -> Result<Self> {
        let run = Arc::new(Run::temporary("preflight")?);
        let mysql = tools::find_mysql()?;
        let servers = Servers::start(&run, &mysql, TopologyOptions::new("db", 3)).await?;
        let stage = Self { servers };
        stage.servers.wait_for_replicas(0).await?;
        Ok(stage)
    }

    fn server(&self, number: usize) -> Result<&Server> {
        self.servers.server(number)
    }

    async fn connect(
        &self,
        server: &Server,
        account: &Account,
    ) -> Result<MysqlSession, (ServerErrorKind, String)> {
        let endpoint = Endpoint {
            instance: server.name(),
            address: server.address(),
            port: server.port(),
            login: Login::new(account.user.as_str(), account.password.as_str()),
            tls: TlsSettings {
                mode: TlsMode::VerifyCA,
                ca_pem: Some(Arc::from(self.servers.authority.certificate_pem().as_bytes())),
                server_name: None,
            },
        };
        let tag = Tag { cluster_uid: "test".into(), holder: "test".into(), epoch: 0, purpose: "observe" };
        let connected = MysqlServers.connect(&endpoint, &tag, LIMIT).await;
        connected.map_err(|error| (error.kind, error.message))
    }

    /// Replicas first, the primary last, as the operator does it.
    async fn look(&self) -> Result<Look> {
        let mut look = Look { topology: Topology::default(), activity: None };
        let mut instances = Vec::new();
        for server in self.servers.servers.iter().rev() {
            let seen = match self.connect(server, &self.servers.accounts.operator).await {
                Ok(mut session) => {
                    let facts = session.facts().await?;
                    if facts.accepts_writes() {
                        look.activity = session.activity(1).await.ok();
                    }
                    Seen::Facts(Box::new(facts))
                }
                Err((ServerErrorKind::AccessDenied, message)) => Seen::AccessDenied(message),
                Err((_, message)) => Seen::Unreachable(message),
            };
            instances.push(Instance {
                name: server.name(),
                pod_uid: server.name(),
                replication_host: server.address().to_string(),
                rule: PromotionRule::Neutral,
                seen,
            });
        }
        look.topology = Topology::new(instances);
        Ok(look)
    }

    /// Looks until these codes are found, each with its subject, and no error besides them.
    async fn find(&self, expected: &[(&str, &str)]) -> Result<Vec<Finding>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let look = self.look().await?;
            let findings = findings(&look);
            let found: Vec<_> = findings
                .iter()
                .map(|finding| (finding.code.as_str(), finding.subject.as_deref().unwrap_or_default()))
                .collect();
            if found == expected {
                return Ok(findings);
            }
            anyhow::ensure!(Instant::now() < deadline, "expected {expected:?}, found {findings:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn findings(look: &Look) -> Vec<Finding> {
    let old = match look.topology.primary() {
        Primary::One(name) => Some(name),
        Primary::None | Primary::Many(_) => None,
    };
    let mut limits = Limits::of_cluster(&TakeoverDefaults::default());
    limits.long_transaction_seconds = 1;
    preflight(&Observation {
        topology: &look.topology,
        old_primary: old.as_deref(),
        new_primary: Some("db-1"),
        limits: &limits,
        activity: look.activity.as_ref(),
        replication_login: &LoginCheck::Works,
        replication_password_length: 20,
        tls_mode: TlsMode::VerifyCA,
        services: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_found_by_name() -> Result<()> {
    let stage = Stage::start().await?;
    let (primary, target, sibling) = (stage.server(0)?, stage.server(1)?, stage.server(2)?);

    stage.find(&[]).await.context("healthy")?;
    let look = stage.look().await?;
    let healthy = health::instances(&look.topology, Some("db-0"), 5);
    assert!(healthy.iter().all(|instance| instance.state == InstanceState::Healthy), "{healthy:#?}");
    assert_eq!(health::replicas_summary(&healthy), "2/2");

    target.execute(&["STOP REPLICA SQL_THREAD"]).await?;
    let stopped = stage.find(&[("TargetReplicationBroken", "db-1")]).await?;
    assert!(stopped[0].message.contains("applier (SQL thread) is stopped"), "{stopped:#?}");
    target.execute(&["START REPLICA SQL_THREAD"]).await?;
    stage.find(&[]).await.context("started again")?;

    target
        .execute(&[
            "STOP REPLICA SQL_THREAD",
            "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 60",
            "START REPLICA SQL_THREAD",
        ])
        .await?;
    stage.find(&[("TargetDelayed", "db-1")]).await?;
    target
        .execute(&[
            "STOP REPLICA SQL_THREAD",
            "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0",
            "START REPLICA SQL_THREAD",
        ])
        .await?;

    sibling
        .execute(&[
            "STOP REPLICA SQL_THREAD",
            "CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB = (nowhere)",
            "START REPLICA",
        ])
        .await?;
    stage.find(&[]).await.context("a filtered sibling is no obstacle")?;
    let look = stage.look().await?;
    let choice = candidate::choose(&look.topology, "db-0", &Limits::of_cluster(&TakeoverDefaults::default()));
    assert_eq!(choice.map(|choice| (choice.name, choice.reason)), Ok(("db-1".to_owned(), "OnlyCandidate")));

    // Seen as soon as the receiver notices, in a moment: its password is wrong only for the next connection.
    sibling
        .execute(&[
            "STOP REPLICA IO_THREAD",
            "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD = 'wrong'",
            "START REPLICA IO_THREAD",
        ])
        .await?;
    // While it connects, it is not known why it does not succeed.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut refused = stage.find(&[("ReplicaBroken", "db-2")]).await?;
    while refused[0].message.contains("cannot connect to its source.")
        && tokio::time::Instant::now() < deadline
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        refused = stage.find(&[("ReplicaBroken", "db-2")]).await?;
    }
    assert!(
        refused[0].message.contains("error 1045") && !refused[0].message.contains("attempt"),
        "{refused:#?}"
    );
    stage.servers.replicate(sibling, primary).await?;
    wait_until_replicating(sibling).await?;

    let mut transaction = primary.root().await?;
    transaction.query_drop("CREATE DATABASE preflight").await?;
    transaction.query_drop("CREATE TABLE preflight.t (id INT PRIMARY KEY)").await?;
    transaction.query_drop("BEGIN").await?;
    transaction.query_drop("INSERT INTO preflight.t VALUES (1)").await?;
    let long = stage.find(&[("LongTransaction", "db-0")]).await?;
    assert!(long[0].message.contains("1 row changed"), "{long:#?}");
    transaction.query_drop("COMMIT").await?;
    transaction.query_drop("LOCK TABLES preflight.t WRITE").await?;
    stage.find(&[("LockHeld", "db-0")]).await?;
    transaction.query_drop("UNLOCK TABLES").await?;
    for statement in ["XA START 'x'", "INSERT INTO preflight.t VALUES (2)", "XA END 'x'", "XA PREPARE 'x'"] {
        transaction.query_drop(statement).await?;
    }
    stage.find(&[("PreparedTransactions", "db-0")]).await?;
    transaction.query_drop("XA ROLLBACK 'x'").await?;
    transaction.disconnect().await?;

    sibling.execute(&["SET GLOBAL super_read_only = OFF"]).await?;
    let privileged = stage.find(&[("NoUniquePrimary", "")]).await?;
    assert!(privileged[0].message.contains("db-2 (read_only without super_read_only"), "{privileged:#?}");
    sibling.execute(&["SET GLOBAL super_read_only = ON"]).await?;

    target
        .execute(&[
            "SET GLOBAL super_read_only = OFF",
            "CREATE DATABASE stray",
            "SET GLOBAL super_read_only = ON",
        ])
        .await?;
    let errant = stage.find(&[("ErrantTransactions", "db-1")]).await?;
    assert!(errant[0].message.contains(&target.server_uuid().await?), "{errant:#?}");
    Ok(())
}
