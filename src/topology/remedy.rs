//! What to do about each objection. No figures: remedies also stand in a status that is written on transitions only.

use super::facts::ThreadState;
use super::objection::{Objection, Thread, UnsupportedReplication, Upstream};

/// Errors of a receiver whose source purged what it needs.
const PURGED: [i64; 2] = [1236, 13114];
/// Errors of a receiver that could not log in.
const LOGIN: [i64; 6] = [1044, 1045, 1130, 2061, 3118, 13117];

impl Objection {
    /// What to do about it, for the instance `name` in a topology whose primary is `primary`.
    pub fn remedy(&self, name: &str, primary: Option<&str>) -> String {
        let primary = primary.unwrap_or("the primary");
        match self {
            Self::Unreachable(_) => {
                format!(
                    "Look at Pod {name}: is it running and ready, does a network policy keep the operator out?"
                )
            }
            Self::AccessDenied(_) => format!(
                "Compare the Secret of `spec.credentials` with the account on {name}; config/mysql/operator-account.sql creates it. An account made with sql_log_bin=0 exists on one server only."
            ),
            Self::UnsupportedServer { mariadb: true, .. } => {
                format!("Take the Pod {name} out of `spec.discovery.selector`.")
            }
            Self::UnsupportedServer { mariadb: false, .. } => {
                format!("Upgrade {name}, or take its Pod out of `spec.discovery.selector`.")
            }
            Self::UnsupportedReplication(what) => what.remedy(name),
            Self::PrivilegeMissing(_) => format!(
                "Run the GRANT statements of config/mysql/operator-account.sql on {primary}; they replicate."
            ),
            Self::GtidModeOff => format!(
                "Follow \"Enabling GTID Transactions Online\" in MySQL's manual: enforce_gtid_consistency, then gtid_mode OFF_PERMISSIVE, ON_PERMISSIVE and ON, each step on every instance before the next. Write both into the configuration of {name}."
            ),
            Self::GtidConsistencyOff => format!(
                "On {name}: `SET GLOBAL enforce_gtid_consistency=WARN`, look for warnings in its error log, then `ON`, and write it into its configuration."
            ),
            Self::NotDirect(upstream) => upstream.remedy(name, primary),
            Self::ThreadDown { thread, state, error } => {
                broken(*thread, *state, error.as_ref(), name, primary)
            }
            Self::LagUnknown => format!("Run `SHOW REPLICA STATUS` on {name} and cure what it shows."),
            Self::Lagging { .. } => format!(
                "Wait until {name} has caught up, or find what it is busy with: `SHOW PROCESSLIST` and `performance_schema.replication_applier_status_by_worker` there."
            ),
            Self::Errant(_) => format!(
                "Find who wrote on {name}: `mysqlbinlog --include-gtids='…'` there shows what. If it is harmless, bring it to {primary} as empty transactions: `SET GTID_NEXT='…'; BEGIN; COMMIT; SET GTID_NEXT='AUTOMATIC'`. Else build {name} anew from {primary}."
            ),
            Self::Banned => {
                format!("Name another instance, or change the rule of {name} in `spec.promotionRules`.")
            }
            Self::Writable { .. } => format!(
                "On {name}: `SET GLOBAL super_read_only=ON`, and into its configuration. Then compare its @@gtid_executed with that of {primary}."
            ),
            Self::Delayed { .. } => format!(
                "Take another instance, or on {name}: `STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY=0; START REPLICA SQL_THREAD`."
            ),
            Self::ReplicationFiltered => format!(
                "Take another instance: a filtered copy cannot be primary. Removing the filters does not bring back what {name} lacks."
            ),
            Self::BinlogFiltered => format!(
                "Remove binlog_do_db and binlog_ignore_db from the configuration of {name} and restart it. What was never logged is on no replica: build those anew."
            ),
            Self::BinaryLogOff => format!("Start {name} with log_bin."),
            Self::ReplicaUpdatesOff => format!("Start {name} with log_replica_updates=ON."),
            Self::FormatNotRow(_) => format!(
                "On {name}: `SET PERSIST binlog_format=ROW`. Sessions keep the format that they began with: end the old ones."
            ),
            Self::PerformanceSchemaOff => format!("Start {name} with performance_schema=ON."),
            Self::SemiSyncSource => format!(
                "Semi-synchronous replication is not supported yet. If it can be done without: `SET GLOBAL rpl_semi_sync_source_enabled=OFF` on {name}, and in its configuration."
            ),
            Self::PurgedGap(_) => format!(
                "Let them catch up first, build them anew from {primary}, or take an instance that still has those transactions. To keep binary logs longer: `SET PERSIST binlog_expire_logs_seconds=…` on {name}."
            ),
            Self::Newer { .. } => {
                "Upgrade the replicas first and the primary last, or take an instance of the oldest version."
                    .to_owned()
            }
        }
    }
}

impl UnsupportedReplication {
    fn remedy(&self, name: &str) -> String {
        match self {
            Self::SeveralChannels(_) => format!(
                "Remove the channels that are not needed (`STOP REPLICA; RESET REPLICA ALL FOR CHANNEL '…'` on {name}), or take the Pod out of `spec.discovery.selector`."
            ),
            Self::Group => format!(
                "Move the primary of a group with the means of Group Replication, and take the Pod {name} out of `spec.discovery.selector`."
            ),
            Self::NamedChannel(channel) => format!(
                "On {name}: `STOP REPLICA; RESET REPLICA ALL FOR CHANNEL '{channel}'`, then `CHANGE REPLICATION SOURCE TO …` without a channel."
            ),
            Self::WithoutAutoPosition => format!(
                "On {name}: `STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1; START REPLICA`."
            ),
        }
    }
}

impl Upstream {
    fn remedy(&self, name: &str, primary: &str) -> String {
        match self {
            Self::Nobody => format!(
                "Make it replicate from {primary}: `CHANGE REPLICATION SOURCE TO …, SOURCE_AUTO_POSITION=1; START REPLICA` on {name}. Not part of this topology? Take its Pod out of `spec.discovery.selector`."
            ),
            Self::Instance(_) | Self::Outside(_) => format!(
                "Point it to {primary}: `STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_HOST='…'; START REPLICA` on {name}. Not part of this topology? Take its Pod out of `spec.discovery.selector`."
            ),
            Self::NeverConnected(_) => format!(
                "Run `SHOW REPLICA STATUS` on {name}: are host, account and TLS settings of its source right? If it is only stopped, `START REPLICA`."
            ),
        }
    }
}

fn broken(
    thread: Thread,
    state: ThreadState,
    error: Option<&(i64, String)>,
    name: &str,
    primary: &str,
) -> String {
    match (thread, error) {
        (Thread::Receiver, Some((number, _))) if PURGED.contains(number) => format!(
            "Its source has purged binary logs that {name} still needs: build {name} anew from {primary}."
        ),
        (Thread::Receiver, Some((number, _))) if LOGIN.contains(number) => format!(
            "{name} cannot log in at its source: compare SOURCE_USER and its password with the account on {primary}, and whether that one requires TLS."
        ),
        (Thread::Receiver, Some(_)) => {
            format!(
                "Run `SHOW REPLICA STATUS` on {name} and cure the error; can it reach its source? Then `START REPLICA`."
            )
        }
        (Thread::Applier, Some(_)) => format!(
            "Look at `performance_schema.replication_applier_status_by_worker` on {name} and cure the error, then `START REPLICA`. If its data differ from those of {primary}, build it anew."
        ),
        (Thread::Receiver | Thread::Applier, None) => match state {
            ThreadState::Stopped => format!("`START REPLICA` on {name}, if nobody stopped it on purpose."),
            ThreadState::Connecting | ThreadState::Running => {
                format!("Run `SHOW REPLICA STATUS` on {name}: can it reach its source?")
            }
        },
    }
}
