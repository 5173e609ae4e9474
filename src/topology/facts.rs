//! What one server told about itself, as plain data.

use super::gtid::GtidSet;
use crate::api::journal::ReadOnly;
use std::fmt;

/// A MySQL server's version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number; may have two digits (the series after 9.7 counts by years).
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What a server told about itself in one look. Everything a decision may use, nothing else.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct ServerFacts {
    /// `@@server_uuid`.
    pub server_uuid: String,
    /// `@@server_id`.
    pub server_id: i64,
    /// Its version; the text as told is `version_text`.
    pub version: Version,
    /// `@@version`, cut to 64 characters.
    pub version_text: String,
    /// Whether it is MariaDB, which this version of the operator refuses by name.
    pub mariadb: bool,
    /// `@@read_only` and `@@super_read_only`.
    pub read_only: ReadOnly,
    /// `@@gtid_mode` is `ON`.
    pub gtid_mode_on: bool,
    /// `@@enforce_gtid_consistency` is `ON`.
    pub gtid_consistency_enforced: bool,
    /// `@@gtid_executed`.
    pub executed: GtidSet,
    /// `@@gtid_purged`.
    pub purged: GtidSet,
    /// `@@log_bin`.
    pub log_bin: bool,
    /// `@@log_replica_updates`.
    pub log_replica_updates: bool,
    /// `@@binlog_format`; `ROW` where the variable is gone.
    pub binlog_format: String,
    /// `@@performance_schema`.
    pub performance_schema: bool,
    /// `@@sync_binlog`.
    pub sync_binlog: i64,
    /// `@@innodb_flush_log_at_trx_commit`.
    pub flush_log_at_commit: i64,
    /// Seconds since the server started.
    pub uptime_seconds: i64,
    /// One entry a replication channel.
    pub channels: Vec<ReplicationChannel>,
    /// Replication filters are set, for all channels or one.
    pub replication_filters: bool,
    /// `binlog_do_db` or `binlog_ignore_db` is set.
    pub binlog_filters: bool,
    /// Member of a replication group.
    pub group_replication: bool,
    /// `rpl_semi_sync_source_enabled`; absent where the plugin is not loaded.
    pub semi_sync_source: Option<bool>,
    /// `rpl_semi_sync_replica_enabled`; absent where the plugin is not loaded.
    pub semi_sync_replica: Option<bool>,
    /// `rpl_semi_sync_source_wait_for_replica_count`, 0 where the plugin is not loaded.
    pub semi_sync_wait_for: i64,
    /// `Rpl_semi_sync_source_clients`.
    pub semi_sync_clients: i64,
    /// How it would start again, as far as it can be told.
    pub startup: Startup,
    /// Privileges that the operator's account lacks here, by name.
    pub missing_privileges: Vec<String>,
}

/// Whether a server would boot read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// `super_read_only` comes from the configuration, the command line or a persisted value, switched on.
    ReadOnly,
    /// It was never set at startup, or persisted as off: it would boot writable.
    Writable,
    /// It was changed at run time, which hides how it was set at startup.
    Unknown,
}

/// One replication channel of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationChannel {
    /// Channel name; the default channel has an empty one.
    pub name: String,
    /// `Source_Host`.
    pub source_host: String,
    /// `Source_Port`.
    pub source_port: i64,
    /// `Source_UUID`; empty until the receiver connected once.
    pub source_uuid: String,
    /// `Source_User`.
    pub source_user: String,
    /// State of the receiver.
    pub receiver: ThreadState,
    /// State of the applier.
    pub applier: ThreadState,
    /// `Last_IO_Errno` and `Last_IO_Error`, when there is one.
    pub receiver_error: Option<(i64, String)>,
    /// `Last_SQL_Errno` and `Last_SQL_Error`, when there is one.
    pub applier_error: Option<(i64, String)>,
    /// `Seconds_Behind_Source`; absent when a thread is down.
    pub seconds_behind: Option<i64>,
    /// `SQL_Delay`.
    pub delay_seconds: i64,
    /// `Auto_Position`.
    pub auto_position: bool,
    /// `Retrieved_Gtid_Set`.
    pub retrieved: GtidSet,
    /// `Source_SSL_Allowed`.
    pub ssl: bool,
}

/// State of a replication thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// `Yes`.
    Running,
    /// `Connecting`.
    Connecting,
    /// `No`.
    Stopped,
}

impl ServerFacts {
    /// Whether anybody but replication can write: anything but `super_read_only`.
    pub fn accepts_writes(&self) -> bool {
        match self.read_only {
            ReadOnly::Off | ReadOnly::ReadOnly => true,
            ReadOnly::SuperReadOnly => false,
        }
    }

    /// The replication channel, when there is exactly one.
    pub fn channel(&self) -> Option<&ReplicationChannel> {
        match self.channels.as_slice() {
            [only] => Some(only),
            [] | [_, _, ..] => None,
        }
    }
}

/// What goes on at the old primary that would hold up or slip through a freeze. Counts and connection ids, never SQL text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Open transactions, the oldest first.
    pub transactions: Vec<Transaction>,
    /// Running statements of clients that are older than asked for, the oldest first.
    pub statements: Vec<Statement>,
    /// Sessions with `LOCK TABLES … WRITE`, a running DDL, or the like, which a freeze waits for.
    pub lock_holders: Vec<LockHolder>,
    /// Prepared XA transactions: they pass the freeze.
    pub prepared_xa: i64,
}

/// An open transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Connection id.
    pub connection: u64,
    /// Account without host.
    pub user: String,
    /// Age in seconds.
    pub seconds: i64,
    /// Rows changed so far.
    pub rows_modified: i64,
}

/// A running statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Connection id.
    pub connection: u64,
    /// Account without host.
    pub user: String,
    /// Age in seconds.
    pub seconds: i64,
    /// Whether it holds the commit or global intention lock, which a freeze waits for.
    pub writes: bool,
}

/// A session that holds a lock which a freeze waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Connection id.
    pub connection: u64,
    /// Account without host.
    pub user: String,
    /// How long the session has been in its present state, in seconds.
    pub seconds: i64,
    /// Kind of lock, in words.
    pub what: String,
}
