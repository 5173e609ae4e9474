//! What the operator asks of a MySQL server. Every call is bounded by the adapter; a call that ran into its bound after
//! something was sent is [`ServerErrorKind::Unknown`]: neither done nor failed.

use crate::api::cluster::TlsMode;
use crate::api::journal::{EventIdentity, ReadOnly};
use crate::topology::{Activity, GtidSet, ServerFacts};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server to connect to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Instance name, for messages.
    pub instance: String,
    /// Address; from the Pod, never from the user.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Account.
    pub login: Login,
    /// Transport security.
    pub tls: TlsSettings,
}

/// An account. Its password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Account name.
    pub username: String,
    password: Arc<str>,
}

impl Login {
    /// An account of that name and password.
    pub fn new(username: impl Into<String>, password: impl Into<Arc<str>>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// The password, for the wire only.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Transport security of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// How far the server is verified.
    pub mode: TlsMode,
    /// Certificate authority, PEM.
    pub ca_pem: Option<Arc<[u8]>>,
    /// Name that the server's certificate must carry with `VerifyIdentity`.
    pub server_name: Option<String>,
}

/// Marks a session as ours, by user variables, so that another operator instance can find it in
/// `performance_schema.user_variables_by_thread`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// UID of the `MySQLCluster`.
    pub cluster_uid: String,
    /// The operator instance.
    pub holder: String,
    /// Epoch of the claim; 0 for sessions that only observe.
    pub epoch: i64,
    /// What the session is for: `observe`, `work`, `watch`.
    pub purpose: &'static str,
}

/// A session found on a server that carries our marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSession {
    /// Connection id.
    pub connection: u64,
    /// UID of the `MySQLCluster` it works for.
    pub cluster_uid: String,
    /// The operator instance that opened it.
    pub holder: String,
    /// Epoch of its claim.
    pub epoch: i64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{instance}: {action}: {message}")]
pub struct ServerError {
    /// The instance.
    pub instance: String,
    /// What was asked of it, in words; never SQL text.
    pub action: &'static str,
    /// What is known of the outcome.
    pub kind: ServerErrorKind,
    /// MySQL's error number, when the server answered with one.
    pub code: Option<u16>,
    /// In words, without secrets.
    pub message: String,
}

/// What is known of the outcome of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerErrorKind {
    /// Nothing was sent: no connection.
    Unreachable,
    /// Login or privilege refused: nothing was done.
    AccessDenied,
    /// The server answered with an error: the statement that failed was not done.
    Refused,
    /// Sent, but no answer: it may have been done, may be done later, or never.
    Unknown,
}

/// How to set a replica's source.
#[derive(Clone, Debug)]
pub struct Source {
    /// `SOURCE_HOST`.
    pub host: String,
    /// `SOURCE_PORT`.
    pub port: u16,
    /// Replication account.
    pub login: Login,
    /// Transport security; [`TlsMode`] and the CA's path on the servers.
    pub tls_mode: TlsMode,
    /// `SOURCE_SSL_CA`, where the servers hold the CA.
    pub tls_ca_path: Option<String>,
}

/// Reply of the packet that waits for a GTID set and opens the server if it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenReply {
    /// The set arrived and the server accepts writes.
    Opened,
    /// The set did not arrive in time; the server is still shut.
    StillShut,
}

/// A connection that a server has greeted and nobody has logged in on; open for as long as this is kept.
pub struct Greeted {
    /// The id that the greeting gave it.
    pub connection: u64,
    _open: Box<dyn Send>,
}

impl Greeted {
    /// A greeted connection; what is `open` closes it when dropped.
    pub fn new(connection: u64, open: impl Send + 'static) -> Self {
        Self { connection, _open: Box::new(open) }
    }
}

/// Opens sessions.
pub trait Servers: Clone + Send + Sync + 'static {
    /// A session of this port.
    type Session: Session;

    /// Connects and logs in, within `limit`.
    fn connect(
        &self,
        endpoint: &Endpoint,
        tag: &Tag,
        limit: Duration,
    ) -> impl Future<Output = Result<Self::Session, ServerError>> + Send;

    /// Connects to the address, logs in, and reads `@@server_uuid`: who is behind a Service right now? With
    /// `VerifyIdentity` only the chain is verified, since a Service's name is in no server's certificate.
    fn server_uuid_behind(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> impl Future<Output = Result<String, ServerError>> + Send;

    /// Connects to the address and reads the greeting, without logging in: a tenth of the work of a login, for both sides.
    /// The server counts it in `Aborted_connects`, and blocks a host after `max_connect_errors` of them (100 by default)
    /// without a login in between, so that a caller must log in now and then.
    fn greet(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> impl Future<Output = Result<Greeted, ServerError>> + Send;

    /// Whether this login works here, as a replica would use it (replication account at a future source), within `limit`.
    fn check_login(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
}

/// One session on one server. Reads are bounded by the limit given at [`Servers::connect`]; calls that wait take their own.
/// After [`ServerErrorKind::Unknown`] or `Unreachable` the session is of no more use.
pub trait Session: Send + 'static {
    /// `CONNECTION_ID()` of this session.
    fn connection(&self) -> u64;

    /// Everything a decision may look at, in one look.
    fn facts(&mut self) -> impl Future<Output = Result<ServerFacts, ServerError>> + Send;

    /// What goes on: transactions, statements and lock holders at least `older_than_seconds` old, prepared XA.
    fn activity(
        &mut self,
        older_than_seconds: i32,
    ) -> impl Future<Output = Result<Activity, ServerError>> + Send;

    /// `@@gtid_executed`.
    fn executed(&mut self) -> impl Future<Output = Result<GtidSet, ServerError>> + Send;

    /// `@@read_only` and `@@super_read_only`.
    fn read_only(&mut self) -> impl Future<Output = Result<ReadOnly, ServerError>> + Send;

    /// Events that are enabled.
    fn enabled_events(&mut self) -> impl Future<Output = Result<Vec<EventIdentity>, ServerError>> + Send;

    /// Sessions on this server that carry the marks of [`Tag`], without this one.
    fn operator_sessions(&mut self)
    -> impl Future<Output = Result<Vec<OperatorSession>, ServerError>> + Send;

    /// Connection ids of client sessions: no system threads, no binlog dumps, none of the operator's.
    fn client_sessions(&mut self) -> impl Future<Output = Result<Vec<u64>, ServerError>> + Send;

    /// Connection ids of sessions that a waiting freeze waits for.
    fn freeze_blockers(&mut self) -> impl Future<Output = Result<Vec<u64>, ServerError>> + Send;

    /// `GET_LOCK`; false if another session kept it for all of `wait` (whole seconds).
    fn take_lock(
        &mut self,
        name: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<bool, ServerError>> + Send;

    /// `IS_USED_LOCK`: connection id of the lock's holder.
    fn lock_holder(&mut self, name: &str) -> impl Future<Output = Result<Option<u64>, ServerError>> + Send;

    /// `KILL` of all these connections in one packet; those already gone are no error.
    fn kill(&mut self, connections: &[u64]) -> impl Future<Output = Result<(), ServerError>> + Send;

    /// `KILL QUERY`: ends what that connection runs now, not the connection.
    fn interrupt(&mut self, connection: u64) -> impl Future<Output = Result<(), ServerError>> + Send;

    /// Which of these connections still exist, running statements included.
    fn still_there(
        &mut self,
        connections: &[u64],
    ) -> impl Future<Output = Result<Vec<u64>, ServerError>> + Send;

    /// Whether this server has greeted that connection and waits for its login: it is this server that
    /// [`Servers::greet`] reached. False also where the server cannot tell.
    fn greets(&mut self, connection: u64) -> impl Future<Output = Result<bool, ServerError>> + Send;

    /// Packet 1: bounds the wait for locks, sets `super_read_only=ON`, reads `gtid_executed`, in one round trip.
    /// [`ServerErrorKind::Refused`] with code 1205: `lock_wait` (whole seconds, at least 1) passed and nothing changed.
    fn freeze(&mut self, lock_wait: Duration) -> impl Future<Output = Result<GtidSet, ServerError>> + Send;

    /// Packet 2: waits for `set`, at most `wait` (whole seconds, at least 1), and opens this server if it arrived, in one
    /// server-side statement; reads the read-only flags back.
    fn open_when_applied(
        &mut self,
        set: &GtidSet,
        wait: Duration,
    ) -> impl Future<Output = Result<OpenReply, ServerError>> + Send;

    /// Sets the read-only state and reads it back, within the lock wait limit of `lock_wait`.
    fn set_read_only(
        &mut self,
        state: ReadOnly,
        lock_wait: Duration,
    ) -> impl Future<Output = Result<ReadOnly, ServerError>> + Send;

    /// Waits until `set` is applied here; false if `wait` passed first.
    fn wait_until_applied(
        &mut self,
        set: &GtidSet,
        wait: Duration,
    ) -> impl Future<Output = Result<bool, ServerError>> + Send;

    /// Stops replication and forgets the source: `STOP REPLICA; RESET REPLICA ALL` on the default channel. Idempotent.
    fn detach(&mut self) -> impl Future<Output = Result<(), ServerError>> + Send;

    /// Makes this server replicate from `source`, by GTID. A running replica keeps its unapplied relay log (only the
    /// receiver is stopped); a server without a source gets a full configuration. `start` starts both threads. Idempotent.
    fn replicate_from(
        &mut self,
        source: &Source,
        start: bool,
    ) -> impl Future<Output = Result<(), ServerError>> + Send;

    /// Enables these events here, each under its own definer; absent ones are skipped.
    fn enable_events(
        &mut self,
        events: &[EventIdentity],
    ) -> impl Future<Output = Result<(), ServerError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows_in_debug() {
        let login = Login::new("operator", "canary");
        let source = Source {
            host: "db-1".to_owned(),
            port: 3306,
            login: login.clone(),
            tls_mode: TlsMode::Required,
            tls_ca_path: None,
        };
        let shown = format!("{login:?} {source:?}");
        assert!(shown.contains("operator") && !shown.contains("canary"), "{shown}");
    }
}
