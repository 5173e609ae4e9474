//! A topology of real servers and sessions on it.

use lab::mysqld::{Account, Server, Topology, TopologyOptions};
use lab::run::Run;
use mysql_takeover::api::cluster::TlsMode;
use mysql_takeover::mysql::port::Source;
use mysql_takeover::mysql::{Endpoint, Login, MysqlServers, MysqlSession, Servers as _, Tag, TlsSettings};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// Bound of reads; far above what an idle server needs, since tests share a machine.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Real servers, ended when dropped.
pub struct Fixture {
    topology: Topology,
    _run: Arc<Run>,
}

impl Deref for Fixture {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.topology
    }
}

impl Fixture {
    /// A primary with replicas.
    pub async fn start(name: &str, servers: u8) -> Self {
        Self::start_with(TopologyOptions::new(name, servers)).await
    }

    /// As [`Self::start`], with options.
    pub async fn start_with(options: TopologyOptions) -> Self {
        // Ignoring: another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let run = Arc::new(Run::temporary(&options.name).unwrap());
        let mysql = lab::tools::ensure_mysql().unwrap();
        let topology = Topology::start(&run, &mysql, options).await.unwrap();
        let fixture = Self { topology, _run: run };
        fixture
            .at(0)
            .execute(&["CREATE TABLE app.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)"])
            .await
            .unwrap();
        fixture.wait_for_replicas(0).await.unwrap();
        fixture
    }

    /// The server with this number; 0 begins as primary.
    pub fn at(&self, number: usize) -> &Server {
        self.server(number).unwrap()
    }

    /// Where the operator finds a server.
    pub fn endpoint(&self, number: usize) -> Endpoint {
        let server = self.at(number);
        Endpoint {
            instance: server.name(),
            address: server.address(),
            port: server.port(),
            login: login(&self.accounts.operator),
            tls: TlsSettings {
                mode: TlsMode::VerifyIdentity,
                ca_pem: Some(self.authority.certificate_pem().as_bytes().into()),
                server_name: Some(server.name()),
            },
        }
    }

    /// A session of the operator.
    pub async fn session(&self, number: usize) -> MysqlSession {
        self.session_within(number, LIMIT).await
    }

    /// A session of the operator whose reads are bounded by `limit`.
    pub async fn session_within(&self, number: usize, limit: Duration) -> MysqlSession {
        MysqlServers.connect(&self.endpoint(number), &tag(1, "work"), limit).await.unwrap()
    }

    /// A new session in place of one that a restart of the server ended.
    pub async fn session_after(&self, ended: MysqlSession) -> MysqlSession {
        drop(ended);
        self.session(0).await
    }

    /// A server as source of replication.
    pub fn source(&self, number: usize) -> Source {
        let server = self.at(number);
        Source {
            host: server.address().to_string(),
            port: server.port(),
            login: login(&self.accounts.replication),
            tls_mode: TlsMode::VerifyIdentity,
            tls_ca_path: Some(server.authority_certificate().display().to_string()),
        }
    }

    /// A client's session, with its connection id.
    pub async fn client(&self, number: usize) -> (mysql_async::Conn, u64) {
        let client = self.at(number).login(&self.accounts.application).await.unwrap();
        let id = client.id().into();
        (client, id)
    }
}

/// An account as the adapter takes it.
pub fn login(account: &Account) -> Login {
    Login::new(&account.user, account.password.as_str())
}

/// The tag of an operator instance.
pub fn tag(epoch: i64, purpose: &'static str) -> Tag {
    Tag { cluster_uid: "2b6c3c0a-cluster".into(), holder: "operator-0_a".into(), epoch, purpose }
}

/// Between two looks. A server makes `information_schema.innodb_trx` anew only when nobody has read it for 100 ms: who looks more
/// often sees for ever what the first look saw.
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);

/// Looks until something is so.
pub async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !look().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Stops a server's process, and waits until each of its threads has stopped: the signal is delivered to one after the other.
pub async fn stop(server: &Server) {
    server.stop().unwrap();
    let tasks = format!("/proc/{}/task", server.pid());
    let is_stopped = |status: String| status.lines().any(|line| line.starts_with("State:\tT"));
    eventually("every thread has stopped", async || {
        std::fs::read_dir(&tasks).unwrap().all(|task| {
            // A thread that ended meanwhile is stopped enough.
            std::fs::read_to_string(task.unwrap().path().join("status")).map_or(true, is_stopped)
        })
    })
    .await;
}
