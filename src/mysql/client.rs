//! The adapter on the `mysql_async` driver.
//!
//! Text protocol only: a packet of several statements is one round trip, and the server stops at the first that fails.

use super::answer::Answer;
use super::connect::{self, Connection, Name};
use super::dialect::{Dialect, OLDEST};
use super::errors::Call;
use super::port::{
    Endpoint, Greeted, OpenReply, OperatorSession, ServerError, ServerErrorKind, Servers, Session, Source,
    Tag,
};
use crate::api::journal::{EventIdentity, ReadOnly};
use crate::topology::{Activity, GtidSet, ServerFacts};
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// Opens sessions on MySQL servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct MysqlServers;

/// One session on a MySQL server.
///
/// A call whose future is dropped before it ended has an unknown outcome, like one that ran into its bound: the server goes on
/// with what it was sent. The connection is given up with it, and later calls say that the session had ended.
pub struct MysqlSession {
    connection: Option<Connection>,
    pub(super) id: u64,
    pub(super) dialect: Dialect,
    /// `@@version` as told.
    pub(super) version: String,
    /// Whether `performance_schema` is on.
    pub(super) performance_schema: bool,
    pub(super) endpoint: Endpoint,
    /// Bound of calls that only read.
    pub(super) limit: Duration,
}

impl fmt::Debug for MysqlSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, endpoint, .. } = self;
        formatter
            .debug_struct("MysqlSession")
            .field("instance", &endpoint.instance)
            .field("id", id)
            .finish_non_exhaustive()
    }
}

impl MysqlSession {
    pub(super) fn call(&self, action: &'static str) -> Call<'_> {
        Call { instance: &self.endpoint.instance, action }
    }

    /// Sends one packet of statements; fails if one of them did.
    pub(super) async fn packet(
        &mut self,
        action: &'static str,
        limit: Duration,
        packet: &str,
    ) -> Result<Answer, ServerError> {
        self.packet_with(action, limit, packet, &[]).await
    }

    /// As [`Self::packet`], with secrets in the packet that must not show in an error.
    pub(super) async fn packet_with(
        &mut self,
        action: &'static str,
        limit: Duration,
        packet: &str,
        secrets: &[&str],
    ) -> Result<Answer, ServerError> {
        let answer = self.attempt(action, limit, packet).await?;
        match &answer.error {
            Some(error) => Err(self.call(action).refused(error, secrets)),
            None => Ok(answer),
        }
    }

    /// Sends one packet of statements; an error of the server is part of the answer.
    pub(super) async fn attempt(
        &mut self,
        action: &'static str,
        limit: Duration,
        packet: &str,
    ) -> Result<Answer, ServerError> {
        // Taken for as long as it is in use: whatever ends this future early ends the connection, and no later call can take
        // a late answer for its own.
        let Some(mut connection) = self.connection.take() else {
            return Err(self.call(action).session_ended());
        };
        let answer = match timeout(limit, connection.ask(packet)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.call(action).broken(&error)),
            Err(_) => return Err(self.call(action).no_answer(limit)),
        };
        self.connection = Some(connection);
        if answer.truncated {
            return Err(self.call(action).unreadable("it is too long"));
        }
        Ok(answer)
    }

    /// Refuses what the operator cannot do on a server of this kind.
    pub(super) fn require_supported(&self, action: &'static str) -> Result<(), ServerError> {
        if self.dialect.supported() {
            return Ok(());
        }
        let kind = if self.dialect.mariadb { "MariaDB" } else { "MySQL" };
        Err(self.call(action).error(
            ServerErrorKind::Refused,
            format!("{kind} {} is not supported; MySQL {OLDEST} or later is", self.dialect.version),
        ))
    }

    /// Reads a GTID set that the server told.
    pub(super) fn gtid_set(&self, action: &'static str, text: Option<&str>) -> Result<GtidSet, ServerError> {
        text.unwrap_or_default().parse().map_err(|_| self.call(action).unreadable("a GTID set"))
    }
}

impl Servers for MysqlServers {
    type Session = MysqlSession;

    async fn connect(
        &self,
        endpoint: &Endpoint,
        tag: &Tag,
        limit: Duration,
    ) -> Result<MysqlSession, ServerError> {
        let call = Call { instance: &endpoint.instance, action: "connect" };
        let opened = connect::open(call, endpoint, tag, limit).await?;
        Ok(MysqlSession {
            connection: Some(opened.connection),
            id: opened.id,
            dialect: opened.dialect,
            version: opened.version,
            performance_schema: opened.performance_schema,
            endpoint: endpoint.clone(),
            limit,
        })
    }

    async fn server_uuid_behind(&self, endpoint: &Endpoint, limit: Duration) -> Result<String, ServerError> {
        let call = Call { instance: &endpoint.instance, action: "ask who is behind the Service" };
        let packet = "SELECT @@server_uuid AS server_uuid";
        let answer = connect::ask_once(call, endpoint, Name::Ignore, packet, limit).await?;
        answer.row(0).and_then(|row| row.text("server_uuid")).ok_or_else(|| call.unreadable("no server_uuid"))
    }

    async fn greet(&self, endpoint: &Endpoint, limit: Duration) -> Result<Greeted, ServerError> {
        super::greeting::greet(endpoint, limit).await
    }

    async fn check_login(&self, endpoint: &Endpoint, limit: Duration) -> Result<(), ServerError> {
        let call = Call { instance: &endpoint.instance, action: "log in with the replication account" };
        let answer = connect::ask_once(call, endpoint, Name::Verify, "SHOW GRANTS", limit).await?;
        if super::grants::Grants::read(&answer, 0).may_replicate() {
            return Ok(());
        }
        Err(call.error(
            ServerErrorKind::AccessDenied,
            "the account lacks the privilege REPLICATION SLAVE ON *.*; grant it",
        ))
    }
}

impl Session for MysqlSession {
    fn connection(&self) -> u64 {
        self.id
    }

    async fn facts(&mut self) -> Result<ServerFacts, ServerError> {
        self.read_facts().await
    }

    async fn activity(&mut self, older_than_seconds: i32) -> Result<Activity, ServerError> {
        self.read_activity(older_than_seconds).await
    }

    async fn executed(&mut self) -> Result<GtidSet, ServerError> {
        self.read_executed().await
    }

    async fn read_only(&mut self) -> Result<ReadOnly, ServerError> {
        self.read_read_only().await
    }

    async fn enabled_events(&mut self) -> Result<Vec<EventIdentity>, ServerError> {
        self.read_enabled_events().await
    }

    async fn operator_sessions(&mut self) -> Result<Vec<OperatorSession>, ServerError> {
        self.read_operator_sessions().await
    }

    async fn client_sessions(&mut self) -> Result<Vec<u64>, ServerError> {
        self.read_client_sessions().await
    }

    async fn freeze_blockers(&mut self) -> Result<Vec<u64>, ServerError> {
        self.read_freeze_blockers().await
    }

    async fn take_lock(&mut self, name: &str, wait: Duration) -> Result<bool, ServerError> {
        self.get_lock(name, wait).await
    }

    async fn lock_holder(&mut self, name: &str) -> Result<Option<u64>, ServerError> {
        self.is_used_lock(name).await
    }

    async fn kill(&mut self, connections: &[u64]) -> Result<(), ServerError> {
        self.kill_connections(connections).await
    }

    async fn interrupt(&mut self, connection: u64) -> Result<(), ServerError> {
        self.kill_query(connection).await
    }

    async fn still_there(&mut self, connections: &[u64]) -> Result<Vec<u64>, ServerError> {
        self.read_still_there(connections).await
    }

    async fn greets(&mut self, connection: u64) -> Result<bool, ServerError> {
        self.read_greets(connection).await
    }

    async fn freeze(&mut self, lock_wait: Duration) -> Result<GtidSet, ServerError> {
        self.send_freeze(lock_wait).await
    }

    async fn open_when_applied(&mut self, set: &GtidSet, wait: Duration) -> Result<OpenReply, ServerError> {
        self.send_open(set, wait).await
    }

    async fn set_read_only(&mut self, state: ReadOnly, lock_wait: Duration) -> Result<ReadOnly, ServerError> {
        self.send_read_only(state, lock_wait).await
    }

    async fn wait_until_applied(&mut self, set: &GtidSet, wait: Duration) -> Result<bool, ServerError> {
        self.send_wait(set, wait).await
    }

    async fn detach(&mut self) -> Result<(), ServerError> {
        self.forget_source().await
    }

    async fn replicate_from(&mut self, source: &Source, start: bool) -> Result<(), ServerError> {
        self.set_source(source, start).await
    }

    async fn enable_events(&mut self, events: &[EventIdentity]) -> Result<(), ServerError> {
        self.switch_events_on(events).await
    }
}
