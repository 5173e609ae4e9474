//! What a server tells about itself, in two round trips: one that every account may ask, one that needs privileges.

use super::answer::{Answer, Fields, is_yes};
use super::client::MysqlSession;
use super::grants::Grants;
use super::port::{ServerError, ServerErrorKind};
use super::replica_status::Channel;
use super::statements::read_only_of;
use crate::api::journal::ReadOnly;
use crate::topology::facts::Startup;
use crate::topology::{GtidSet, ServerFacts};

const ACTION: &str = "observe";

/// Statements of the first packet, in this order.
const ITSELF: &str = "SELECT @@server_uuid AS server_uuid, @@server_id AS server_id, \
    @@global.read_only AS read_only, @@global.super_read_only AS super_read_only, \
    @@global.gtid_mode AS gtid_mode, @@global.enforce_gtid_consistency AS gtid_consistency, \
    @@global.gtid_executed AS executed, @@global.gtid_purged AS purged, \
    @@global.log_bin AS log_bin, @@global.performance_schema AS performance_schema, \
    @@global.sync_binlog AS sync_binlog, @@global.innodb_flush_log_at_trx_commit AS flush_log";
/// Variables that came, went or belong to a plugin: here an absent one is no error.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('log_replica_updates', 'log_slave_updates', 'binlog_format', \
     'rpl_semi_sync_source_enabled', 'rpl_semi_sync_master_enabled', \
     'rpl_semi_sync_replica_enabled', 'rpl_semi_sync_slave_enabled', \
     'rpl_semi_sync_source_wait_for_replica_count', 'rpl_semi_sync_master_wait_for_slave_count')";
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
    ('Uptime', 'Rpl_semi_sync_source_clients', 'Rpl_semi_sync_master_clients')";
/// Statements of the second packet behind the replica's and the binary log's status.
const SOURCES: &str = "SELECT variable_name AS name, variable_source AS source \
    FROM performance_schema.variables_info WHERE variable_name IN ('read_only', 'super_read_only')";
const PERSISTED: &str = "SELECT variable_name AS name, variable_value AS value \
    FROM performance_schema.persisted_variables WHERE variable_name IN ('read_only', 'super_read_only')";
const COUNTS: &str = "SELECT (SELECT COUNT(*) FROM performance_schema.replication_applier_global_filters) \
    + (SELECT COUNT(*) FROM performance_schema.replication_applier_filters) AS filters, \
    (SELECT COUNT(*) FROM performance_schema.replication_group_members \
     WHERE member_state <> 'OFFLINE') AS members";

/// Name and value pairs of `SHOW VARIABLES` or `SHOW STATUS`.
struct Named(Vec<(String, String)>);

impl Named {
    fn read(answer: &Answer, statement: usize) -> Self {
        Self(
            answer
                .rows(statement)
                .filter_map(|row| Some((row.text("Variable_name")?.to_ascii_lowercase(), row.text("Value")?)))
                .collect(),
        )
    }

    /// The value of the first of these names that is there.
    fn first(&self, names: &[&str]) -> Option<&str> {
        let value =
            |wanted: &&str| self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        names.iter().find_map(value)
    }

    fn yes(&self, names: &[&str]) -> Option<bool> {
        self.first(names).map(is_yes)
    }

    fn number(&self, names: &[&str]) -> i64 {
        self.first(names).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

impl MysqlSession {
    pub(super) async fn read_facts(&mut self) -> Result<ServerFacts, ServerError> {
        if !self.dialect.supported() {
            return self.read_unsupported().await;
        }
        let packet = [ITSELF, VARIABLES, STATUS, "SHOW GRANTS"].join("; ");
        let first = self.packet(ACTION, self.limit, &packet).await?;
        let grants = Grants::read(&first, 3);
        let blind = grants.missing_for_observing();
        if !blind.is_empty() {
            return Err(self.call(ACTION).error(
                ServerErrorKind::AccessDenied,
                format!("the account lacks {}; grant it what the installation guide lists", blind.join(", ")),
            ));
        }
        let packet =
            ["SHOW REPLICA STATUS", self.dialect.binary_log_status(), SOURCES, PERSISTED, COUNTS].join("; ");
        let second = self.packet(ACTION, self.limit, &packet).await?;
        self.assemble(&first, &second, &grants)
    }

    fn assemble(&self, first: &Answer, second: &Answer, grants: &Grants) -> Result<ServerFacts, ServerError> {
        let unreadable = |what| self.call(ACTION).unreadable(what);
        let row = first.row(0).ok_or_else(|| unreadable("no variables"))?;
        let variables = Named::read(first, 1);
        let status = Named::read(first, 2);
        let mut channels = Vec::new();
        for row in second.rows(0) {
            channels.push(Channel::read(row).map_err(|_| unreadable("a GTID set of SHOW REPLICA STATUS"))?);
        }
        let log = second.row(1);
        let log_filter = |column| log.and_then(|row| row.text(column)).is_some_and(|text| !text.is_empty());
        let counts = second.row(4);
        let count = |column| counts.and_then(|row| row.number::<i64>(column)).unwrap_or_default();
        let read_only = read_only_of(row).ok_or_else(|| unreadable("no read_only"))?;
        Ok(ServerFacts {
            server_uuid: row.text("server_uuid").ok_or_else(|| unreadable("no server_uuid"))?,
            server_id: row.number("server_id").unwrap_or_default(),
            version: self.dialect.version,
            version_text: self.version_text(),
            mariadb: false,
            read_only,
            gtid_mode_on: row.yes("gtid_mode"),
            gtid_consistency_enforced: row.yes("gtid_consistency"),
            executed: self.gtid_set(ACTION, row.long_text("executed").as_deref())?,
            purged: self.gtid_set(ACTION, row.long_text("purged").as_deref())?,
            log_bin: row.yes("log_bin"),
            log_replica_updates: variables
                .yes(&["log_replica_updates", "log_slave_updates"])
                .unwrap_or_default(),
            binlog_format: variables.first(&["binlog_format"]).unwrap_or("ROW").to_owned(),
            performance_schema: row.yes("performance_schema"),
            sync_binlog: row.number("sync_binlog").unwrap_or_default(),
            flush_log_at_commit: row.number("flush_log").unwrap_or_default(),
            uptime_seconds: status.number(&["uptime"]),
            replication_filters: count("filters") > 0 || channels.iter().any(|channel| channel.filters),
            binlog_filters: log_filter("Binlog_Do_DB") || log_filter("Binlog_Ignore_DB"),
            group_replication: count("members") > 0,
            semi_sync_source: variables
                .yes(&["rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"]),
            semi_sync_replica: variables
                .yes(&["rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"]),
            semi_sync_wait_for: variables.number(&[
                "rpl_semi_sync_source_wait_for_replica_count",
                "rpl_semi_sync_master_wait_for_slave_count",
            ]),
            semi_sync_clients: status
                .number(&["rpl_semi_sync_source_clients", "rpl_semi_sync_master_clients"]),
            startup: startup(second, read_only),
            missing_privileges: grants.missing(self.dialect),
            channels: channels.into_iter().map(|channel| channel.facts).collect(),
        })
    }

    /// Enough to refuse a server by name.
    async fn read_unsupported(&mut self) -> Result<ServerFacts, ServerError> {
        let packet = "SELECT @@server_id AS server_id, @@global.read_only AS read_only";
        let answer = self.packet(ACTION, self.limit, packet).await?;
        let row = answer.row(0).ok_or_else(|| self.call(ACTION).unreadable("no variables"))?;
        let read_only = row.number::<u8>("read_only") != Some(0);
        Ok(ServerFacts {
            server_uuid: String::new(),
            server_id: row.number("server_id").unwrap_or_default(),
            version: self.dialect.version,
            version_text: self.version_text(),
            mariadb: self.dialect.mariadb,
            read_only: if read_only { ReadOnly::ReadOnly } else { ReadOnly::Off },
            gtid_mode_on: false,
            gtid_consistency_enforced: false,
            executed: GtidSet::default(),
            purged: GtidSet::default(),
            log_bin: false,
            log_replica_updates: false,
            binlog_format: String::new(),
            performance_schema: false,
            sync_binlog: 0,
            flush_log_at_commit: 0,
            uptime_seconds: 0,
            channels: Vec::new(),
            replication_filters: false,
            binlog_filters: false,
            group_replication: false,
            semi_sync_source: None,
            semi_sync_replica: None,
            semi_sync_wait_for: 0,
            semi_sync_clients: 0,
            startup: Startup::Unknown,
            missing_privileges: Vec::new(),
        })
    }

    fn version_text(&self) -> String {
        self.version.chars().take(64).filter(|character| !character.is_control()).collect()
    }
}

fn startup(second: &Answer, now: ReadOnly) -> Startup {
    let find = |statement, wanted: &str, column| {
        let is_it = |row: &Fields<'_>| row.text("name").is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        second.rows(statement).find(is_it).and_then(|row| row.text(column))
    };
    let source = |wanted| find(2, wanted, "source").unwrap_or_default();
    let persisted = |wanted| find(3, wanted, "value").map(|value| is_yes(&value));
    let persisted = match (persisted("super_read_only"), persisted("read_only")) {
        // One of the two persisted as off clears the other at startup.
        (Some(false), _) | (_, Some(false)) => Some(false),
        (shut, _) => shut,
    };
    startup_of(persisted, &source("super_read_only"), &source("read_only"), now)
}

/// How a server would start again, from where its variables got their values.
fn startup_of(persisted: Option<bool>, super_source: &str, read_source: &str, now: ReadOnly) -> Startup {
    match persisted {
        Some(true) => return Startup::ReadOnly,
        Some(false) => return Startup::Writable,
        None => {}
    }
    match super_source {
        "COMPILED" => Startup::Writable,
        "DYNAMIC" | "" => Startup::Unknown,
        // Set at startup, and never by name since.
        _ if now == ReadOnly::SuperReadOnly => Startup::ReadOnly,
        // `SET GLOBAL read_only=OFF` clears it without being told as its source: the usual state of a primary that booted shut.
        _ if read_source == "DYNAMIC" => Startup::ReadOnly,
        _ => Startup::Writable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_server_would_start_follows_from_where_its_values_came() {
        use Startup::{ReadOnly as Shut, Unknown, Writable};
        let cases = [
            // Persisted values beat everything given at startup.
            (Some(true), "DYNAMIC", "DYNAMIC", ReadOnly::Off, Shut),
            (Some(false), "COMMAND_LINE", "COMPILED", ReadOnly::SuperReadOnly, Writable),
            (None, "COMPILED", "COMPILED", ReadOnly::Off, Writable),
            (None, "COMPILED", "DYNAMIC", ReadOnly::ReadOnly, Writable),
            (None, "COMMAND_LINE", "COMPILED", ReadOnly::SuperReadOnly, Shut),
            (None, "GLOBAL", "COMPILED", ReadOnly::SuperReadOnly, Shut),
            (None, "EXPLICIT", "DYNAMIC", ReadOnly::Off, Shut),
            (None, "COMMAND_LINE", "COMPILED", ReadOnly::Off, Writable),
            (None, "DYNAMIC", "DYNAMIC", ReadOnly::SuperReadOnly, Unknown),
            (None, "", "", ReadOnly::Off, Unknown),
        ];
        for (persisted, super_source, read_source, now, expected) in cases {
            assert_eq!(startup_of(persisted, super_source, read_source, now), expected, "{super_source}");
        }
    }
}
