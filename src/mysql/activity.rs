//! What goes on at a primary that would hold up a freeze or slip through it. Statement texts are never read.

use super::answer::{Answer, Fields};
use super::client::MysqlSession;
use super::port::ServerError;
use super::sessions::{BLOCKS_FREEZE, IS_CLIENT, IS_NOT_OURS};
use crate::topology::Activity;
use crate::topology::facts::{LockHolder, Statement, Transaction};

/// Sessions told of each kind, the oldest first: more would help nobody.
const MAXIMUM: usize = 200;

impl MysqlSession {
    pub(super) async fn read_activity(&mut self, older_than_seconds: i32) -> Result<Activity, ServerError> {
        const ACTION: &str = "look what goes on";
        self.require_supported(ACTION)?;
        let answer = self.packet(ACTION, self.limit, &statements(older_than_seconds.max(0))).await?;
        let available = answer.row(0).is_some_and(|row| row.yes("available"));
        // Without performance_schema its tables are there and empty.
        let transactions = if available { 1 } else { 2 };
        Ok(Activity {
            transactions: read(&answer, transactions, |row| {
                Some(Transaction {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    rows_modified: row.number("rows_modified").unwrap_or_default(),
                })
            }),
            statements: read(&answer, if available { 3 } else { 4 }, |row| {
                Some(Statement {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    writes: row.yes("writes"),
                })
            }),
            lock_holders: read(&answer, 5, |row| {
                Some(LockHolder {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    what: lock(&row.text("command").unwrap_or_default(), row.text("state").as_deref()),
                })
            }),
            prepared_xa: answer.rows(6).count().try_into().unwrap_or(i64::MAX),
        })
    }
}

fn read<T>(answer: &Answer, statement: usize, read: impl Fn(Fields<'_>) -> Option<T>) -> Vec<T> {
    answer.rows(statement).filter_map(read).collect()
}

/// An idle session holds such a lock only through `LOCK TABLES`.
fn lock(command: &str, state: Option<&str>) -> String {
    let state = state.map(str::trim).filter(|state| !state.is_empty());
    match (command, state) {
        ("Sleep", _) => "LOCK TABLES … WRITE".to_owned(),
        (_, Some(state)) => format!("a running statement that writes ({})", super::errors::cut(state)),
        (_, None) => "a running statement that writes".to_owned(),
    }
}

/// Seven statements: whether `performance_schema` is on; transactions and running statements with it and without it; lock holders;
/// prepared XA. `trx_started` is told in the system's time zone, which is also that of `NOW()` in these sessions.
fn statements(seconds: i32) -> String {
    let age = "TIMESTAMPDIFF(SECOND, x.trx_started, NOW())";
    let idle = "('Sleep', 'Daemon', 'Connect', 'Binlog Dump', 'Binlog Dump GTID')";
    [
        "SELECT @@performance_schema AS available".to_owned(),
        format!(
            "SELECT t.processlist_id AS id, t.processlist_user AS user, {age} AS seconds, \
             x.trx_rows_modified AS rows_modified FROM information_schema.innodb_trx x \
             JOIN performance_schema.threads t ON t.processlist_id = x.trx_mysql_thread_id \
             WHERE {IS_CLIENT} AND {IS_NOT_OURS} AND {age} >= {seconds} \
             ORDER BY x.trx_started LIMIT {MAXIMUM}"
        ),
        format!(
            "SELECT p.id AS id, p.user AS user, {age} AS seconds, x.trx_rows_modified AS rows_modified \
             FROM information_schema.innodb_trx x \
             JOIN information_schema.processlist p ON p.id = x.trx_mysql_thread_id \
             WHERE p.user <> 'system user' AND p.id <> CONNECTION_ID() AND {age} >= {seconds} \
             ORDER BY x.trx_started LIMIT {MAXIMUM}"
        ),
        format!(
            "SELECT t.processlist_id AS id, t.processlist_user AS user, t.processlist_time AS seconds, \
             EXISTS (SELECT 1 FROM performance_schema.metadata_locks l \
                     WHERE l.owner_thread_id = t.thread_id AND {BLOCKS_FREEZE}) AS writes \
             FROM performance_schema.threads t \
             WHERE {IS_CLIENT} AND {IS_NOT_OURS} AND t.processlist_command <> 'Sleep' \
             AND t.processlist_time >= {seconds} ORDER BY t.processlist_time DESC LIMIT {MAXIMUM}"
        ),
        format!(
            "SELECT p.id AS id, p.user AS user, p.time AS seconds, 0 AS writes \
             FROM information_schema.processlist p \
             WHERE p.user NOT IN ('system user', 'event_scheduler') AND p.id <> CONNECTION_ID() \
             AND p.command NOT IN {idle} AND p.time >= {seconds} ORDER BY p.time DESC LIMIT {MAXIMUM}"
        ),
        format!(
            "SELECT t.processlist_id AS id, t.processlist_user AS user, t.processlist_time AS seconds, \
             t.processlist_command AS command, t.processlist_state AS state FROM performance_schema.threads t \
             WHERE {IS_CLIENT} AND t.processlist_id <> CONNECTION_ID() AND t.processlist_time >= {seconds} \
             AND EXISTS (SELECT 1 FROM performance_schema.metadata_locks l \
                         WHERE l.owner_thread_id = t.thread_id AND {BLOCKS_FREEZE}) \
             ORDER BY t.processlist_time DESC LIMIT {MAXIMUM}"
        ),
        "XA RECOVER".to_owned(),
    ]
    .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_in_words() {
        assert_eq!(lock("Sleep", None), "LOCK TABLES … WRITE");
        assert_eq!(lock("Query", Some("altering table")), "a running statement that writes (altering table)");
        assert_eq!(lock("Query", Some(" ")), "a running statement that writes");
    }
}
