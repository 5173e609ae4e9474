//! Connecting: options, transport security, and the session's own settings.

use super::answer::{Answer, ask};
use super::dialect::Dialect;
use super::errors::Call;
use super::port::{Endpoint, ServerError, ServerErrorKind, Tag, TlsSettings};
use super::quote::literal;
use crate::api::cluster::TlsMode;
use futures::FutureExt as _;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;

/// Longest packet either way; a GTID set of a million intervals fits.
const MAXIMUM_PACKET: usize = 16 * 1024 * 1024;
/// The server keeps an idle session for that long.
const WAIT_TIMEOUT_SECONDS: usize = 8 * 3600;
/// A session that is dropped says goodbye, within this.
const GOODBYE: Duration = Duration::from_secs(1);

// Sessions are marked by user variables, which other sessions read in performance_schema.user_variables_by_thread. Connection
// attributes would be the usual place, but the driver (mysql_async 0.37) announces them only after the request for TLS, and the
// server goes by what came before: under TLS they are lost.
/// Variable with the cluster's UID.
pub const MARK_CLUSTER: &str = "mysql_takeover_cluster";
/// Variable with the operator instance.
pub const MARK_HOLDER: &str = "mysql_takeover_holder";
/// Variable with the claim's epoch.
pub const MARK_EPOCH: &str = "mysql_takeover_epoch";
/// Variable with what the session is for.
const MARK_PURPOSE: &str = "mysql_takeover_purpose";

/// A connection that is closed within a bound, whatever state it is in when it is dropped. The driver alone would first read
/// everything that is still to come, for ever where the server is frozen.
#[derive(Debug)]
pub struct Connection(Option<Conn>);

impl Connection {
    fn new(connection: Conn) -> Self {
        Self(Some(connection))
    }

    /// Sends a packet of statements and reads the answer.
    pub async fn ask(&mut self, packet: &str) -> Result<Answer, mysql_async::Error> {
        match &mut self.0 {
            Some(connection) => without_panic(ask(connection, packet)).await,
            None => Err(mysql_async::DriverError::ConnectionClosed.into()),
        }
    }
}

/// The driver panics on some malformed packets (a public key that is none, for one). A server must not be able to end the operator.
async fn without_panic<T>(
    work: impl Future<Output = Result<T, mysql_async::Error>>,
) -> Result<T, mysql_async::Error> {
    // Whatever the panic left half done is dropped: the caller gives the connection up after any error but the server's own.
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(mysql_async::DriverError::UnexpectedPacket { payload: Vec::new() }.into()))
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(connection), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(timeout(GOODBYE, connection.disconnect()));
        }
    }
}

/// How much of the server's certificate is verified, whatever the cluster's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// As the mode says.
    Verify,
    /// The chain at most: behind a Service's address is a server of another name.
    Ignore,
}

/// Connects and logs in. The caller bounds the time.
async fn log_in(call: Call<'_>, endpoint: &Endpoint, name: Name) -> Result<Connection, ServerError> {
    let options = options(call, endpoint, name)?;
    without_panic(Conn::new(options))
        .await
        .map(Connection::new)
        .map_err(|error| call.not_connected(&error, &[endpoint.login.password()]))
}

/// Connects, logs in and asks one thing, all within `limit`.
pub async fn ask_once(
    call: Call<'_>,
    endpoint: &Endpoint,
    name: Name,
    packet: &str,
    limit: Duration,
) -> Result<Answer, ServerError> {
    within(call, limit, async {
        let mut connection = log_in(call, endpoint, name).await?;
        answered(call, endpoint, connection.ask(packet).await)
    })
    .await
}

/// A session that is ready for work.
#[derive(Debug)]
pub struct Opened {
    /// The connection.
    pub connection: Connection,
    /// `CONNECTION_ID()`.
    pub id: u64,
    /// The server's dialect.
    pub dialect: Dialect,
    /// `@@version` as told.
    pub version: String,
    /// Whether `performance_schema` is on; it cannot be switched while the server runs.
    pub performance_schema: bool,
}

/// Connects, logs in and makes the session's settings known ones, all within `limit`.
pub async fn open(
    call: Call<'_>,
    endpoint: &Endpoint,
    tag: &Tag,
    limit: Duration,
) -> Result<Opened, ServerError> {
    within(call, limit, async {
        let mut connection = log_in(call, endpoint, Name::Verify).await?;
        let answer = connection
            .ask("SELECT CONNECTION_ID() AS id, @@version AS version, @@performance_schema AS available")
            .await;
        let answer = answered(call, endpoint, answer)?;
        let row = answer.row(0).ok_or_else(|| call.unreadable("no version"))?;
        let id = row.number("id").ok_or_else(|| call.unreadable("no connection id"))?;
        let version = row.text("version").unwrap_or_default();
        let dialect = Dialect::of(&version);
        answered(call, endpoint, connection.ask(&settings(call, dialect, tag, limit)?).await)?;
        let performance_schema = row.yes("available");
        Ok(Opened { connection, id, dialect, version, performance_schema })
    })
    .await
}

/// An empty `sql_mode` is what quoting relies on; the system's time zone is what `innodb_trx.trx_started` is told in; a limit on
/// the time of `SELECT` would end waits for transactions early.
fn settings(call: Call<'_>, dialect: Dialect, tag: &Tag, limit: Duration) -> Result<String, ServerError> {
    let lock_wait = limit.as_secs().clamp(1, 30);
    let mut settings = format!(
        "SET NAMES utf8mb4; SET SESSION sql_mode = '', autocommit = 1, time_zone = 'SYSTEM', \
         lock_wait_timeout = {lock_wait}, wait_timeout = {WAIT_TIMEOUT_SECONDS}"
    );
    if dialect.supported() {
        settings.push_str(", max_execution_time = 0");
    }
    // A statement of its own: the literals are read under the sql_mode that the one before has set.
    let _ = write!(settings, "; SET @{MARK_EPOCH} = {}", tag.epoch);
    for (name, value) in
        [(MARK_CLUSTER, tag.cluster_uid.as_str()), (MARK_HOLDER, &tag.holder), (MARK_PURPOSE, tag.purpose)]
    {
        let value = literal(value).map_err(|error| {
            let message = format!("the operator's own name for this session is not usable: {error}");
            call.error(ServerErrorKind::Unreachable, message)
        })?;
        // Writing to a String cannot fail.
        let _ = write!(settings, ", @{name} = {value}");
    }
    Ok(settings)
}

fn answered(
    call: Call<'_>,
    endpoint: &Endpoint,
    answer: Result<Answer, mysql_async::Error>,
) -> Result<Answer, ServerError> {
    let answer = answer.map_err(|error| call.not_connected(&error, &[]))?;
    match &answer.error {
        Some(error) => Err(call.refused(error, &[endpoint.login.password()])),
        None => Ok(answer),
    }
}

async fn within<T>(
    call: Call<'_>,
    limit: Duration,
    work: impl Future<Output = Result<T, ServerError>>,
) -> Result<T, ServerError> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(call.error(
            ServerErrorKind::Unreachable,
            format!("no answer within {limit:?}; is the server up, and may the operator reach its port?"),
        ))
    })
}

fn options(call: Call<'_>, endpoint: &Endpoint, name: Name) -> Result<Opts, ServerError> {
    let address = endpoint.address;
    let options = OptsBuilder::default()
        .ip_or_hostname(address.to_string())
        .resolved_ips(Some([address]))
        .tcp_port(endpoint.port)
        .user(Some(&endpoint.login.username))
        .pass(Some(endpoint.login.password()))
        // Else the driver would follow the server to a socket path on this machine.
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        .stmt_cache_size(0)
        .secure_auth(true)
        .enable_cleartext_plugin(false)
        // Given here, so that the driver does not ask the server for them.
        .max_allowed_packet(Some(MAXIMUM_PACKET))
        .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))
        .ssl_opts(tls(call, &endpoint.tls, name)?);
    Ok(options.into())
}

/// Every switch is set for every mode; none is left to the driver's default.
fn tls(call: Call<'_>, settings: &TlsSettings, name: Name) -> Result<Option<SslOpts>, ServerError> {
    // The driver recognises a certificate that is valid but for its name by this word in the verifier's message, where the word
    // stands only if it is the name that was expected. The chain is verified before the name.
    const NO_NAME: &str = "NotValidForName.invalid";
    let missing = |what: &str| Err(call.error(ServerErrorKind::Unreachable, what));

    let mode = match (settings.mode, name) {
        (TlsMode::VerifyIdentity, Name::Ignore) => TlsMode::VerifyCA,
        (mode, _) => mode,
    };
    let base = || SslOpts::default().with_danger_accept_invalid_certs(false);
    let verifying = |server_name: String| match &settings.ca_pem {
        Some(pem) => Ok(Some(
            base()
                .with_root_certs(vec![pem.to_vec().into()])
                .with_disable_built_in_roots(true)
                .with_danger_tls_hostname_override(Some(server_name)),
        )),
        None => missing("tls.caSecretRef is missing: there is nothing to verify the server with"),
    };
    match mode {
        TlsMode::Disabled => Ok(None),
        // The driver refuses an empty set of roots, so the built-in ones stay; nothing is verified against them.
        TlsMode::Required => {
            Ok(Some(base().with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)))
        }
        TlsMode::VerifyCA => verifying(NO_NAME.to_owned())
            .map(|options| options.map(|o| o.with_danger_skip_domain_validation(true))),
        TlsMode::VerifyIdentity => match &settings.server_name {
            Some(name) => verifying(name.clone())
                .map(|options| options.map(|o| o.with_danger_skip_domain_validation(false))),
            None => missing("the instance has no name to verify its certificate against"),
        },
    }
}
