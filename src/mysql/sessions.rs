//! Who else is connected: clients, operator instances, and those that a freeze waits for; and ending them.

use super::answer::Answer;
use super::client::MysqlSession;
use super::connect::{MARK_CLUSTER, MARK_EPOCH, MARK_HOLDER};
use super::errors::NO_SUCH_THREAD;
use super::port::{OperatorSession, ServerError, ServerErrorKind};
use super::quote;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use tokio::time::Instant;

/// A client's own session. On a server that also replicates, the receiver and the applier carry the account that started them,
/// so neither account nor type tells them apart; the name of the thread does. Binlog dumps are client sessions by name.
pub(super) const IS_CLIENT: &str =
    "t.name LIKE 'thread/%one_connection' AND t.processlist_command NOT LIKE 'Binlog Dump%'";
/// Not a session of the operator's account, which `USER()` names as the server saw it at login.
pub(super) const IS_NOT_OURS: &str = "t.processlist_user <> SUBSTRING_INDEX(USER(), '@', 1)";
/// Holds what `SET GLOBAL super_read_only` waits for.
pub(super) const BLOCKS_FREEZE: &str = "l.object_type IN ('GLOBAL', 'COMMIT') \
    AND l.lock_type = 'INTENTION_EXCLUSIVE' AND l.lock_status = 'GRANTED'";

/// Commands of sessions that are no clients, where only the process list can be asked.
const NO_CLIENT_COMMANDS: [&str; 4] = ["Binlog Dump", "Binlog Dump GTID", "Daemon", "Connect"];
/// Accounts of the server's own threads in the process list.
const NO_CLIENT_USERS: [&str; 3] = ["system user", "event_scheduler", "unauthenticated user"];

fn ids(answer: &Answer, statement: usize, column: &str) -> Vec<u64> {
    answer.rows(statement).filter_map(|row| row.number(column)).collect()
}

impl MysqlSession {
    pub(super) async fn read_client_sessions(&mut self) -> Result<Vec<u64>, ServerError> {
        const ACTION: &str = "list client sessions";
        if self.performance_schema {
            let packet = format!(
                "SELECT t.processlist_id AS id FROM performance_schema.threads t \
                 WHERE {IS_CLIENT} AND {IS_NOT_OURS} AND t.processlist_id <> CONNECTION_ID()"
            );
            let answer = self.packet(ACTION, self.limit, &packet).await?;
            return Ok(ids(&answer, 0, "id"));
        }
        let answer = self.packet(ACTION, self.limit, "SHOW PROCESSLIST").await?;
        let ours = &self.endpoint.login.username;
        let is_client = |command: &str, user: &str| {
            !NO_CLIENT_COMMANDS.contains(&command) && !NO_CLIENT_USERS.contains(&user) && user != ours
        };
        let client = |row: super::answer::Fields<'_>| {
            let (command, user) = (row.text("Command")?, row.text("User")?);
            is_client(&command, &user).then(|| row.number("Id")).flatten()
        };
        Ok(answer.rows(0).filter_map(client).collect())
    }

    pub(super) async fn read_freeze_blockers(&mut self) -> Result<Vec<u64>, ServerError> {
        let packet = format!(
            "SELECT DISTINCT t.processlist_id AS id FROM performance_schema.metadata_locks l \
             JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id \
             WHERE {BLOCKS_FREEZE} AND {IS_CLIENT} AND t.processlist_id <> CONNECTION_ID()"
        );
        let answer = self.packet("look what the freeze waits for", self.limit, &packet).await?;
        Ok(ids(&answer, 0, "id"))
    }

    pub(super) async fn read_operator_sessions(&mut self) -> Result<Vec<OperatorSession>, ServerError> {
        const ACTION: &str = "list sessions of operator instances";
        let packet = format!(
            "SELECT t.processlist_id AS id, v.variable_name AS name, CAST(v.variable_value AS CHAR) AS value \
             FROM performance_schema.user_variables_by_thread v JOIN performance_schema.threads t USING (thread_id) \
             WHERE v.variable_name IN ('{MARK_CLUSTER}', '{MARK_HOLDER}', '{MARK_EPOCH}')"
        );
        let answer = self.packet(ACTION, self.limit, &packet).await?;
        let mut sessions: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
        for row in answer.rows(0) {
            if let (Some(id), Some(name)) = (row.number("id"), row.text("name")) {
                sessions.entry(id).or_default().insert(name, row.text("value").unwrap_or_default());
            }
        }
        // If the server does not even show our own marks, then an empty list would be a lie.
        if sessions.remove(&self.id).is_none() {
            return Err(self.call(ACTION).error(
                ServerErrorKind::Refused,
                "the server does not show the marks of sessions, so other operator instances cannot be seen; \
                 set performance_schema=ON and grant SELECT on performance_schema.* to the operator",
            ));
        }
        Ok(sessions
            .into_iter()
            .filter_map(|(connection, mut marks)| {
                Some(OperatorSession {
                    connection,
                    cluster_uid: marks.remove(MARK_CLUSTER)?,
                    holder: marks.remove(MARK_HOLDER).unwrap_or_default(),
                    // Anybody may call itself an operator; what is no epoch is older than all.
                    epoch: marks.remove(MARK_EPOCH).and_then(|text| text.parse().ok()).unwrap_or(0),
                })
            })
            .collect())
    }

    pub(super) async fn kill_connections(&mut self, connections: &[u64]) -> Result<(), ServerError> {
        const ACTION: &str = "end sessions";
        let deadline = Instant::now() + self.limit;
        let mut remaining: Vec<u64> = connections.iter().copied().filter(|id| *id != self.id).collect();
        let mut failure = None;
        let mut failed = 0_usize;
        // A packet ends at its first failing statement, so each session that is already gone costs another round trip.
        while !remaining.is_empty() {
            let mut packet = String::new();
            for id in &remaining {
                // Writing to a String cannot fail.
                let _ = write!(packet, "KILL {id};");
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            let answer = self.attempt(ACTION, limit, &packet).await?;
            let Some(error) = &answer.error else { break };
            if error.code != NO_SUCH_THREAD {
                failed += 1;
                failure.get_or_insert_with(|| self.call(ACTION).refused(error, &[]));
            }
            remaining.drain(..remaining.len().min(answer.completed() + 1));
        }
        match failure {
            None => Ok(()),
            Some(error) => Err(ServerError {
                message: format!("{failed} of {} could not be ended: {}", connections.len(), error.message),
                ..error
            }),
        }
    }

    pub(super) async fn kill_query(&mut self, connection: u64) -> Result<(), ServerError> {
        const ACTION: &str = "interrupt a statement";
        let answer = self.attempt(ACTION, self.limit, &format!("KILL QUERY {connection}")).await?;
        match &answer.error {
            // A connection that is gone runs nothing.
            Some(error) if error.code != NO_SUCH_THREAD => Err(self.call(ACTION).refused(error, &[])),
            _ => Ok(()),
        }
    }

    pub(super) async fn read_still_there(&mut self, connections: &[u64]) -> Result<Vec<u64>, ServerError> {
        if connections.is_empty() {
            return Ok(Vec::new());
        }
        // The process list also has sessions that are not instrumented; the other list those already being torn down.
        let packet = format!(
            "SHOW PROCESSLIST; SELECT processlist_id AS Id FROM performance_schema.threads WHERE processlist_id IN ({})",
            quote::numbers(connections)
        );
        let answer = self.packet("look whether sessions have ended", self.limit, &packet).await?;
        let there: BTreeSet<u64> = ids(&answer, 0, "Id").into_iter().chain(ids(&answer, 1, "Id")).collect();
        Ok(connections.iter().copied().filter(|id| there.contains(id)).collect())
    }
}
