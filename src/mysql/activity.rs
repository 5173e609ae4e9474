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
        let packet = statements(self.performance_schema, older_than_seconds.max(0));
        let answer = self.packet(ACTION, self.limit, &packet).await?;
        Ok(Activity {
            transactions: read(&answer, 0, |row| {
                Some(Transaction {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    rows_modified: row.number("rows_modified").unwrap_or_default(),
                })
            }),
            statements: read(&answer, 1, |row| {
                Some(Statement {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    writes: row.yes("writes"),
                })
            }),
            lock_holders: read(&answer, 2, |row| {
                Some(LockHolder {
                    connection: row.number("id")?,
                    user: row.text("user").unwrap_or_default(),
                    seconds: row.number("seconds").unwrap_or_default(),
                    what: lock(&row.text("command").unwrap_or_default(), row.text("state").as_deref()),
                })
            }),
            prepared_xa: answer.rows(3).count().try_into().unwrap_or(i64::MAX),
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

/// Four statements: transactions, running statements, lock holders, prepared XA. `trx_started` is told in the system's time zone,
/// which is also that of `NOW()` in these sessions. `innodb_trx` is a copy that the server makes anew only when nobody has read it
/// for 100 ms (`InnoDB`'s `CACHE_MIN_IDLE_TIME`): whoever reads it more often sees an old one. Without `performance_schema` the process list has to do, and locks are unknown.
fn statements(performance_schema: bool, seconds: i32) -> String {
    let age = "TIMESTAMPDIFF(SECOND, x.trx_started, NOW())";
    let holds = format!(
        "EXISTS (SELECT 1 FROM performance_schema.metadata_locks l \
         WHERE l.owner_thread_id = t.thread_id AND {BLOCKS_FREEZE})"
    );
    let session = "t.processlist_id AS id, t.processlist_user AS user, t.processlist_time AS seconds";
    let oldest = format!("ORDER BY seconds DESC LIMIT {MAXIMUM}");
    let (transactions, running) = if performance_schema {
        let transactions = format!(
            "SELECT t.processlist_id AS id, t.processlist_user AS user, {age} AS seconds, \
             x.trx_rows_modified AS rows_modified FROM information_schema.innodb_trx x \
             JOIN performance_schema.threads t ON t.processlist_id = x.trx_mysql_thread_id \
             WHERE {IS_CLIENT} AND {IS_NOT_OURS} AND {age} >= {seconds} {oldest}"
        );
        let running = format!(
            "SELECT {session}, {holds} AS writes FROM performance_schema.threads t \
             WHERE {IS_CLIENT} AND {IS_NOT_OURS} AND t.processlist_command <> 'Sleep' \
             AND t.processlist_time >= {seconds} {oldest}"
        );
        (transactions, running)
    } else {
        let is_client = "p.user NOT IN ('system user', 'event_scheduler') AND p.id <> CONNECTION_ID()";
        let idle = "('Sleep', 'Daemon', 'Connect', 'Binlog Dump', 'Binlog Dump GTID')";
        let transactions = format!(
            "SELECT p.id AS id, p.user AS user, {age} AS seconds, x.trx_rows_modified AS rows_modified \
             FROM information_schema.innodb_trx x \
             JOIN information_schema.processlist p ON p.id = x.trx_mysql_thread_id \
             WHERE {is_client} AND {age} >= {seconds} {oldest}"
        );
        let running = format!(
            "SELECT p.id AS id, p.user AS user, p.time AS seconds, 0 AS writes \
             FROM information_schema.processlist p \
             WHERE {is_client} AND p.command NOT IN {idle} AND p.time >= {seconds} {oldest}"
        );
        (transactions, running)
    };
    let holders = format!(
        "SELECT {session}, t.processlist_command AS command, t.processlist_state AS state \
         FROM performance_schema.threads t \
         WHERE {IS_CLIENT} AND t.processlist_id <> CONNECTION_ID() AND t.processlist_time >= {seconds} \
         AND {holds} {oldest}"
    );
    [&transactions, &running, &holders, "XA RECOVER"].join("; ")
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
