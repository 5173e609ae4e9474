//! What can speak against an instance, as a value: for the choice of a candidate, for health and for the preflight, which
//! must never disagree.

use super::Version;
use super::facts::ThreadState;
use super::gtid::GtidSet;
use super::wording::{brief, count_of, list};
use std::fmt;

/// Something that speaks against an instance as a replica, or as the next primary.
///
/// Its text is a predicate, to follow the instance's name. [`Objection::standing`] is the same without figures that change
/// all the time, for a status that is written on transitions only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It does not answer; in words.
    Unreachable(String),
    /// It refuses the operator's account; in words.
    AccessDenied(String),
    /// It runs a server that this version of the operator does not support: nothing more is known of it.
    UnsupportedServer {
        /// `@@version`.
        version: String,
        /// It is MariaDB.
        mariadb: bool,
    },
    /// It takes part in a kind of replication that this version of the operator does not support.
    UnsupportedReplication(UnsupportedReplication),
    /// The operator's account lacks these privileges there.
    PrivilegeMissing(Vec<String>),
    /// `gtid_mode` is not `ON`.
    GtidModeOff,
    /// `enforce_gtid_consistency` is not `ON`.
    GtidConsistencyOff,
    /// It does not replicate from the primary directly.
    NotDirect(Upstream),
    /// A replication thread does not run.
    ThreadDown {
        /// Which one.
        thread: Thread,
        /// Its state.
        state: ThreadState,
        /// Error number and text, without figures that change and without data.
        error: Option<(i64, String)>,
    },
    /// Its threads run, but the server does not tell how far it is behind.
    LagUnknown,
    /// It is too far behind.
    Lagging {
        /// Seconds, a deliberate delay taken off.
        seconds: i64,
        /// The limit in seconds.
        limit: i64,
    },
    /// It holds transactions that the primary lacks.
    Errant(GtidSet),
    /// A promotion rule says `MustNot`.
    Banned,
    /// It accepts writes already.
    Writable {
        /// `read_only` is on and only `super_read_only` is off.
        privileged_only: bool,
    },
    /// It is behind on purpose.
    Delayed {
        /// `SOURCE_DELAY`.
        seconds: i64,
    },
    /// It replicates only a part of the data.
    ReplicationFiltered,
    /// It logs only a part of the data.
    BinlogFiltered,
    /// Its binary log is off.
    BinaryLogOff,
    /// It does not log what it applies.
    ReplicaUpdatesOff,
    /// Its binary log is not in rows.
    FormatNotRow(String),
    /// `performance_schema` is off.
    PerformanceSchemaOff,
    /// Its semi-synchronous source side is on.
    SemiSyncSource,
    /// It has purged transactions that these instances lack.
    PurgedGap(Vec<String>),
    /// It is newer than these instances, which would replicate from it.
    Newer {
        /// Its version.
        version: Version,
        /// The older ones.
        than: Vec<(String, Version)>,
    },
}

/// A kind of replication that this version of the operator does not support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsupportedReplication {
    /// Several channels; how many.
    SeveralChannels(usize),
    /// One channel that has a name.
    NamedChannel(String),
    /// Member of a replication group.
    Group,
    /// A source without `SOURCE_AUTO_POSITION`.
    WithoutAutoPosition,
}

/// Whom an instance replicates from, if not from the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// It has no source.
    Nobody,
    /// Another instance of the topology, by name.
    Instance(String),
    /// A server outside, by `host:port`.
    Outside(String),
    /// A source at `host:port` that it never reached, so that nobody knows which server that is.
    NeverConnected(String),
}

/// A replication thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// Fetches transactions from the source.
    Receiver,
    /// Applies them.
    Applier,
}

impl fmt::Display for Thread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Receiver => "receiver (IO thread)",
            Self::Applier => "applier (SQL thread)",
        })
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagging { seconds, limit } => {
                write!(formatter, "is {seconds} s behind the primary, and {limit} s are allowed")
            }
            Self::Errant(set) => write!(
                formatter,
                "holds {} that the primary lacks: {}",
                count_of(set.count(), "transaction"),
                brief(&set.to_string())
            ),
            other => formatter.write_str(&other.standing()),
        }
    }
}

impl Objection {
    /// Its text without figures that change all the time.
    pub fn standing(&self) -> String {
        match self {
            Self::Unreachable(why) => format!("does not answer: {}", brief(why)),
            Self::AccessDenied(why) => format!("refuses the operator's account: {}", brief(why)),
            Self::UnsupportedServer { version, mariadb: true } => {
                format!("runs MariaDB ({version}), which is not supported yet")
            }
            Self::UnsupportedServer { version, mariadb: false } => {
                format!(
                    "runs MySQL {version}; the oldest supported one is {}",
                    super::examine::OLDEST_VERSION
                )
            }
            Self::UnsupportedReplication(what) => what.to_string(),
            Self::PrivilegeMissing(names) => {
                format!("does not grant the operator's account {}", list(names))
            }
            Self::GtidModeOff => "has gtid_mode other than ON".to_owned(),
            Self::GtidConsistencyOff => "has enforce_gtid_consistency other than ON".to_owned(),
            Self::NotDirect(upstream) => upstream.to_string(),
            Self::ThreadDown { thread, state, error } => {
                let state = match state {
                    ThreadState::Running => "reports an error",
                    ThreadState::Connecting => "cannot connect to its source",
                    ThreadState::Stopped => "is stopped",
                };
                let error = error
                    .as_ref()
                    .map_or_else(String::new, |(number, text)| format!(", error {number}: {}", brief(text)));
                format!("has broken replication: its {thread} {state}{error}")
            }
            Self::LagUnknown => "does not tell how far behind it is, though its replication runs".to_owned(),
            Self::Lagging { limit, .. } => format!("is more than {limit} s behind the primary"),
            Self::Errant(_) => "holds transactions that the primary lacks".to_owned(),
            Self::Banned => "is banned by a promotion rule (MustNot)".to_owned(),
            Self::Writable { privileged_only: false } => "accepts writes".to_owned(),
            Self::Writable { privileged_only: true } => {
                "is read_only but not super_read_only, so privileged sessions can write".to_owned()
            }
            Self::Delayed { seconds } => format!("is delayed on purpose (SOURCE_DELAY = {seconds} s)"),
            Self::ReplicationFiltered => "has replication filters, so it may lack data".to_owned(),
            Self::BinlogFiltered => {
                "has binlog_do_db or binlog_ignore_db set, so its replicas would lack data".to_owned()
            }
            Self::BinaryLogOff => "has its binary log off, so nobody can replicate from it".to_owned(),
            Self::ReplicaUpdatesOff => {
                "has log_replica_updates off: what it applied could not be replicated from it".to_owned()
            }
            Self::FormatNotRow(format) => format!("has binlog_format {format}, not ROW"),
            Self::PerformanceSchemaOff => {
                "has performance_schema off, so sessions and locks there cannot be seen".to_owned()
            }
            Self::SemiSyncSource => "has rpl_semi_sync_source_enabled on".to_owned(),
            Self::PurgedGap(names) => {
                format!(
                    "has purged transactions from its binary log that are still needed by {}",
                    list(names)
                )
            }
            Self::Newer { version, than } => {
                let than: Vec<String> =
                    than.iter().map(|(name, version)| format!("{name} ({version})")).collect();
                format!("runs {version}, newer than {}, which would replicate from it", list(&than))
            }
        }
    }
}

impl fmt::Display for UnsupportedReplication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralChannels(count) => {
                write!(
                    formatter,
                    "has {count} replication channels; multi-source replication is not supported yet"
                )
            }
            Self::NamedChannel(name) => {
                write!(
                    formatter,
                    "replicates over the channel `{name}`; only the unnamed one is supported yet"
                )
            }
            Self::Group => formatter.write_str("is a member of a replication group, which is not supported"),
            Self::WithoutAutoPosition => {
                formatter.write_str("replicates by file and position, not with SOURCE_AUTO_POSITION")
            }
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => formatter.write_str("replicates from nobody"),
            Self::Instance(name) => write!(formatter, "replicates from {name}, not from the primary"),
            Self::Outside(address) => {
                write!(formatter, "replicates from {address}, a server that is not the primary")
            }
            Self::NeverConnected(address) => {
                write!(
                    formatter,
                    "has never reached its source {address}, so whether that is the primary is not known"
                )
            }
        }
    }
}
