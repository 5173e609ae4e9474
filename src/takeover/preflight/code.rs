//! The names of findings.

/// Declares the codes with their names and the list of all of them, so that none can be forgotten in one of the three.
macro_rules! codes {
    ($($(#[$documentation:meta])* $code:ident,)*) => {
        /// Name of a finding: stable, since people and tools look it up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$documentation])* $code,)*
        }

        impl Code {
            /// Every code, in the order of `docs/preflight.md`.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// As it stands in findings and documentation.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }
        }
    };
}

codes! {
    /// No instance, or more than one, accepts writes.
    NoUniquePrimary,
    /// No replica can take over.
    NoCandidate,
    /// The target is no instance of the topology.
    TargetUnknown,
    /// The target does not answer.
    TargetUnreachable,
    /// The target does not replicate from the primary directly.
    TargetNotDirectReplica,
    /// A promotion rule says `MustNot`.
    TargetBanned,
    /// The target accepts writes already.
    TargetWritable,
    /// A replication thread of the target does not run.
    TargetReplicationBroken,
    /// How far an instance is behind cannot be told.
    LagUnknown,
    /// The target is too far behind.
    TargetLagging,
    /// The target is behind on purpose.
    TargetDelayed,
    /// The target replicates or logs only a part of the data.
    TargetFiltered,
    /// An instance other than the target does not answer.
    InstanceUnreachable,
    /// A server refuses the operator's account.
    AccessDenied,
    /// A replica other than the target does not replicate from the primary directly.
    ReplicaNotDirect,
    /// A replication thread of a replica other than the target does not run.
    ReplicaBroken,
    /// A replica other than the target is too far behind.
    ReplicaLagging,
    /// An instance holds transactions that the primary lacks.
    ErrantTransactions,
    /// Instances need transactions that the target has purged.
    PurgedGap,
    /// `gtid_mode` is not `ON`.
    GtidModeOff,
    /// `enforce_gtid_consistency` is not `ON`.
    GtidConsistencyOff,
    /// The binary log is off.
    BinaryLogOff,
    /// `log_replica_updates` is off.
    ReplicaUpdatesOff,
    /// `binlog_format` is not `ROW`.
    BinlogFormatNotRow,
    /// Two servers have the same `server_id`.
    DuplicateServerId,
    /// Two servers have the same `server_uuid`.
    DuplicateServerUuid,
    /// MariaDB, or a MySQL that is too old.
    VersionUnsupported,
    /// The target is newer than an instance that would replicate from it.
    VersionIncompatible,
    /// A kind of replication that is not supported.
    TopologyUnsupported,
    /// Semi-synchronous replication is on.
    SemiSyncUnsupported,
    /// Sessions and locks cannot be seen.
    PerformanceSchemaOff,
    /// A server would start writable.
    UnsafeStartupState,
    /// A crash can lose acknowledged writes, takeover or not.
    DurabilityWeak,
    /// What goes on at the primary could not be read.
    ActivityUnknown,
    /// A transaction is open for long.
    LongTransaction,
    /// A statement runs for long.
    LongStatement,
    /// A session holds a lock that the freeze would wait for.
    LockHeld,
    /// XA transactions are prepared.
    PreparedTransactions,
    /// The operator's account lacks privileges.
    PrivilegeMissing,
    /// The replication account cannot log in at the target.
    ReplicationLoginFailed,
    /// The replication password is longer than the server allows.
    ReplicationPasswordTooLong,
    /// Passwords and data cross the network in clear.
    TlsDisabled,
    /// A Service that the cluster names does not exist.
    ServiceMissing,
    /// A Service that should be the cluster's is not.
    ServiceNotOwned,
    /// A Service cannot lead to Pods.
    ServiceUnsuitable,
    /// A watched Service does not select on the role label.
    ServiceSelectorIgnoresRole,
    /// Routing is two label patches.
    ObservedServices,
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(names.contains("NoUniquePrimary"));
    }

    #[test]
    fn the_documentation_explains_every_code() {
        let page = include_str!("../../../docs/preflight.md");
        for code in Code::ALL {
            assert!(
                page.contains(&format!("| `{}` |", code.code())),
                "docs/preflight.md lacks {}",
                code.code()
            );
        }
    }
}
