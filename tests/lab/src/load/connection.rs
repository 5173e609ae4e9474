//! Connections of the measuring clients: bounded, and no round trip that is not needed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};

use crate::mysqld::Account;

/// An account of the database servers. Its `Debug` does not show the password.
#[derive(Clone)]
pub struct Login {
    /// Name of the account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Whether to speak TLS (without looking at the certificate: these clients measure, they have no secrets to keep).
    pub tls: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Login")
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// One member of the topology, reached directly.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in reports: the Pod's.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
}

impl From<&crate::mysqld::Server> for Server {
    fn from(server: &crate::mysqld::Server) -> Self {
        Self { name: server.name(), address: SocketAddr::new(server.address(), server.port()) }
    }
}

impl Login {
    /// As one of the lab's accounts.
    pub fn of(account: &Account, tls: bool) -> Self {
        Self { user: account.user.clone(), password: account.password.clone(), tls }
    }

    /// Connection options for a server at `address`.
    pub fn options(&self, address: SocketAddr) -> Opts {
        // See `control_plane::client`.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = self.tls.then(|| {
            SslOpts::default().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
        });
        OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()))
            .ssl_opts(tls)
            .prefer_socket(false)
            // Both values given: otherwise the driver asks the server for them, one more round trip per connection.
            .max_allowed_packet(Some(16 * 1024 * 1024))
            .wait_timeout(Some(28_800))
            .stmt_cache_size(Some(0))
            .into()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Names the address; also when `limit` passes.
    pub async fn connect(&self, address: SocketAddr, limit: Duration) -> Result<Conn> {
        tokio::time::timeout(limit, Conn::new(self.options(address)))
            .await
            .map_err(|_elapsed| anyhow!("no connection to {address} as {} within {limit:?}", self.user))?
            .with_context(|| format!("connect to {address} as {}", self.user))
    }
}

/// The first row of a query, or an error that names the statement.
pub(crate) async fn query_row<T: mysql_async::prelude::FromRow + Send + 'static>(
    connection: &mut Conn,
    statement: &str,
    limit: Duration,
) -> Result<T> {
    query(connection, statement, limit).await?.pop().with_context(|| format!("no row from: {statement}"))
}

/// All rows of a query, bounded, or an error that names the statement (never use it with a secret inside).
pub(crate) async fn query<T: mysql_async::prelude::FromRow + Send + 'static>(
    connection: &mut Conn,
    statement: &str,
    limit: Duration,
) -> Result<Vec<T>> {
    let shown = || statement.chars().take(200).collect::<String>();
    tokio::time::timeout(limit, connection.query::<T, _>(statement))
        .await
        .map_err(|_elapsed| anyhow!("no answer within {limit:?} to: {}", shown()))?
        .with_context(shown)
}

/// A statement without rows, bounded.
pub(crate) async fn execute(connection: &mut Conn, statement: &str, limit: Duration) -> Result<()> {
    let shown = || statement.chars().take(200).collect::<String>();
    tokio::time::timeout(limit, connection.query_drop(statement))
        .await
        .map_err(|_elapsed| anyhow!("no answer within {limit:?} to: {}", shown()))?
        .with_context(shown)
}
