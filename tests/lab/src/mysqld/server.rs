//! One mysqld process.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use nix::sys::signal::Signal;

use super::Account;
use crate::pki::Authority;
use crate::process::{Process, Program};
use crate::run::Run;
use crate::tools::MySql;
use crate::wait::{Look, until};

/// How long a server may take until it answers; crash recovery included.
const START_LIMIT: Duration = Duration::from_mins(1);
/// How long one statement of the lab may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// How a server is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerOptions {
    /// Names the process, its log and its data directory; unique in the run.
    pub name: String,
    /// Where it listens.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// `server_id`.
    pub server_id: u32,
    /// More options, such as `--binlog-expire-logs-seconds=60`; later ones win over the lab's own.
    pub extra: Vec<String>,
}

/// A mysqld process with its data directory. It boots read-only and with replication stopped, as the documentation demands of
/// every server. Dropping it kills the process, unless the run is kept; the data directory goes with the run.
#[derive(Debug)]
pub struct Server {
    run: Arc<Run>,
    mysql: MySql,
    options: Mutex<ServerOptions>,
    data: PathBuf,
    socket: PathBuf,
    tls: PathBuf,
    process: Mutex<Process>,
}

impl Server {
    /// Starts a server on a fresh data directory and waits until it answers. About a second.
    pub async fn start(
        run: &Arc<Run>,
        mysql: &MySql,
        authority: &Authority,
        options: ServerOptions,
    ) -> Result<Self> {
        let folder = run.folder("mysql")?;
        let data = folder.join(&options.name);
        mysql.copy_data_directory(&data)?;
        let tls = run.folder(format!("mysql-tls/{}", options.name))?;
        crate::pki::write_private(&tls.join("ca.crt"), authority.certificate_pem())?;
        let names = [options.name.as_str(), "localhost"];
        authority.server(&options.name, &names, &[options.address])?.write(&tls, "server")?;
        let socket = run.socket_path(&options.name)?;
        let process = program(mysql, &options, &data, &socket, &tls).start(run)?;
        let server = Self {
            run: Arc::clone(run),
            mysql: mysql.clone(),
            options: Mutex::new(options),
            data,
            socket,
            tls,
            process: Mutex::new(process),
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Its name in the run.
    pub fn name(&self) -> String {
        self.options().name.clone()
    }

    /// Where it listens; changes with [`Self::move_to`].
    pub fn address(&self) -> IpAddr {
        self.options().address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.options().port
    }

    /// Its `server_id`.
    pub fn server_id(&self) -> u32 {
        self.options().server_id
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process().pid()
    }

    /// Certificate of the authority that signed the server's own.
    pub fn authority_certificate(&self) -> PathBuf {
        self.tls.join("ca.crt")
    }

    /// The Unix socket where root logs in without a password.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its error log.
    pub fn log(&self) -> PathBuf {
        self.process().log().to_owned()
    }

    /// A connection as root, through the socket.
    pub async fn root(&self) -> Result<Conn> {
        let options =
            OptsBuilder::default().user(Some("root")).socket(self.socket.to_str().map(str::to_owned));
        self.connect(options.into()).await
    }

    /// A connection over TCP with TLS, the server's certificate and address verified.
    pub async fn login(&self, account: &Account) -> Result<Conn> {
        self.connect(self.client_options(account)).await
    }

    /// What a client needs to connect over TCP with TLS, the server's certificate and address verified.
    pub fn client_options(&self, account: &Account) -> Opts {
        // See `control_plane::client`.
        let _ = rustls::crypto::ring::default_provider().install_default();
        OptsBuilder::default()
            .ip_or_hostname(self.address().to_string())
            .tcp_port(self.port())
            .user(Some(&account.user))
            .pass(Some(&account.password))
            .prefer_socket(false)
            .ssl_opts(SslOpts::default().with_root_certs(vec![self.authority_certificate().into()]))
            .into()
    }

    async fn connect(&self, options: Opts) -> Result<Conn> {
        const LIMIT: Duration = Duration::from_secs(5);
        tokio::time::timeout(LIMIT, Conn::new(options))
            .await
            .with_context(|| format!("connect to {}: no answer within {LIMIT:?}", self.name()))?
            .with_context(|| format!("connect to {}", self.name()))
    }

    /// Runs statements as root, one after the other on one session.
    pub async fn execute<S: AsRef<str>>(&self, statements: &[S]) -> Result<()> {
        let mut connection = self.root().await?;
        for statement in statements {
            let statement = statement.as_ref();
            tokio::time::timeout(STATEMENT_LIMIT, connection.query_drop(statement))
                .await
                .with_context(|| format!("{}: no answer to {:?}", self.name(), shown(statement)))?
                .with_context(|| format!("{}: {:?}", self.name(), shown(statement)))?;
        }
        connection.disconnect().await.context("disconnect")
    }

    /// The first row of a query as root.
    pub async fn query<R: FromRow + Send + 'static>(&self, query: &str) -> Result<Option<R>> {
        let mut connection = self.root().await?;
        let row = tokio::time::timeout(STATEMENT_LIMIT, connection.query_first(query))
            .await
            .with_context(|| format!("{}: no answer to {query:?}", self.name()))?
            .with_context(|| format!("{}: {query:?}", self.name()))?;
        connection.disconnect().await.context("disconnect")?;
        Ok(row)
    }

    /// The first column of the only row of a query as root.
    pub async fn value(&self, query: &str) -> Result<String> {
        let row: Option<(Option<String>,)> = self.query(query).await?;
        let (value,) = row.with_context(|| format!("{}: {query:?} returned no row", self.name()))?;
        value.with_context(|| format!("{}: {query:?} returned NULL", self.name()))
    }

    /// `@@server_uuid`.
    pub async fn server_uuid(&self) -> Result<String> {
        self.value("SELECT @@server_uuid").await
    }

    /// `@@global.gtid_executed`, without line breaks.
    pub async fn executed_gtid(&self) -> Result<String> {
        Ok(self.value("SELECT @@global.gtid_executed").await?.replace('\n', ""))
    }

    /// Whether ordinary clients can write: neither `read_only` nor `super_read_only`.
    pub async fn is_writable(&self) -> Result<bool> {
        Ok(self.value("SELECT CAST(@@global.read_only + @@global.super_read_only AS CHAR)").await? == "0")
    }

    /// Waits until this server has executed the whole set.
    pub async fn wait_for_gtid(&self, set: &str, limit: Duration) -> Result<()> {
        let query =
            format!("SELECT CAST(WAIT_FOR_EXECUTED_GTID_SET('{set}', {}) AS CHAR)", limit.as_secs_f64());
        let mut connection = self.root().await?;
        let answer: Option<String> =
            tokio::time::timeout(limit + STATEMENT_LIMIT, connection.query_first(query))
                .await
                .with_context(|| format!("{}: no answer", self.name()))??;
        connection.disconnect().await.context("disconnect")?;
        if answer.as_deref() != Some("0") {
            anyhow::bail!("{} did not execute {set} within {limit:?}", self.name());
        }
        Ok(())
    }

    /// `kill -9`.
    pub fn kill9(&self) -> Result<()> {
        self.process().kill()
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn stop(&self) -> Result<()> {
        self.process().signal(Signal::SIGSTOP)
    }

    /// SIGCONT after [`Self::stop`].
    pub fn cont(&self) -> Result<()> {
        self.process().signal(Signal::SIGCONT)
    }

    /// Whether the process is there.
    pub fn is_running(&self) -> bool {
        self.process().is_running()
    }

    /// An orderly shutdown, at most 30 s.
    pub fn shut_down(&self) -> Result<()> {
        self.process().terminate(Duration::from_secs(30))
    }

    /// Starts the server again on its data directory and waits until it answers. Kills it first if it runs.
    pub async fn restart(&self) -> Result<()> {
        self.kill9()?;
        let program = program(&self.mysql, &self.options(), &self.data, &self.socket, &self.tls);
        let process = program.start(&self.run)?;
        *self.process() = process;
        self.wait_until_ready().await
    }

    /// As [`Self::restart`], with more options for this one start.
    pub async fn restart_once_with(&self, more: &[&str]) -> Result<()> {
        let extra = self.options().extra.clone();
        self.set_extra(extra.iter().cloned().chain(more.iter().map(|&option| option.to_owned())).collect());
        let restarted = self.restart().await;
        self.set_extra(extra);
        restarted
    }

    /// As [`Self::restart`], on another address: a Pod that was made anew. `authority` signs the new certificate.
    pub async fn move_to(&self, address: IpAddr, authority: &Authority) -> Result<()> {
        self.kill9()?;
        let name = self.name();
        authority.server(&name, &[&name, "localhost"], &[address])?.write(&self.tls, "server")?;
        self.options().address = address;
        self.restart().await
    }

    /// Replaces the extra options, for the next start.
    pub fn set_extra(&self, extra: Vec<String>) {
        self.options().extra = extra;
    }

    async fn wait_until_ready(&self) -> Result<()> {
        until(&format!("MySQL server {}", self.name()), START_LIMIT, Duration::from_millis(20), async || {
            self.process().ensure_running()?;
            match self.root().await {
                Ok(connection) => {
                    connection.disconnect().await.context("disconnect")?;
                    Ok(Look::Ready(()))
                }
                Err(error) => Ok(Look::NotYet(format!("{error:#}"))),
            }
        })
        .await
        .map_err(|error| anyhow!("{error:#}\n{}", self.process().log_tail()))
    }

    fn options(&self) -> MutexGuard<'_, ServerOptions> {
        self.options.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A statement for an error message: nothing behind a password's beginning.
fn shown(statement: &str) -> &str {
    ["IDENTIFIED BY", "PASSWORD"]
        .iter()
        .filter_map(|word| statement.find(word))
        .min()
        .and_then(|end| statement.get(..end))
        .unwrap_or(statement)
}

fn program(mysql: &MySql, options: &ServerOptions, data: &Path, socket: &Path, tls: &Path) -> Program {
    let ServerOptions { name, address, port, server_id, extra } = options;
    mysql
        .server(name, data)
        .argument(format!("--bind-address={address}"))
        .argument(format!("--port={port}"))
        .argument(format!("--report-host={address}"))
        .argument(format!("--report-port={port}"))
        .argument(format!("--server-id={server_id}"))
        .argument(format!("--socket={}", socket.display()))
        .argument(format!("--pid-file={}", data.join("mysqld.pid").display()))
        .argument(format!("--ssl-ca={}", tls.join("ca.crt").display()))
        .argument(format!("--ssl-cert={}", tls.join("server.crt").display()))
        .argument(format!("--ssl-key={}", tls.join("server.key").display()))
        .arguments([
            "--mysqlx=OFF",
            "--skip-name-resolve=ON",
            // What the documentation asks of every server.
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--log-replica-updates=ON",
            "--super-read-only=ON",
            "--skip-replica-start=ON",
            "--sync-binlog=1",
            "--innodb-flush-log-at-trx-commit=1",
            // The operator reads locks and replication threads there.
            "--performance-schema=ON",
            // Several servers share a small machine.
            "--innodb-buffer-pool-size=64M",
            "--innodb-redo-log-capacity=64M",
            "--table-open-cache=400",
            "--table-definition-cache=400",
            "--max-connections=300",
            "--log-error-verbosity=2",
        ])
        .arguments(extra)
}
