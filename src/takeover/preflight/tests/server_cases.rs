//! Configuration, activity, accounts and Services.

use super::*;

pub(super) const CASES: &[Case] = &[
    ("gtid_mode", |w| w.topology.facts(2).gtid_mode_on = false, &[(Code::GtidModeOff, Error, "db-2")]),
    (
        "gtid consistency",
        |w| w.topology.facts(0).gtid_consistency_enforced = false,
        &[(Code::GtidConsistencyOff, Error, "db-0")],
    ),
    ("no binary log", |w| w.topology.facts(1).log_bin = false, &[(Code::BinaryLogOff, Error, "db-1")]),
    ("no binary log on a sibling", |w| w.topology.facts(2).log_bin = false, &[]),
    (
        "replica updates",
        |w| w.topology.facts(1).log_replica_updates = false,
        &[(Code::ReplicaUpdatesOff, Error, "db-1")],
    ),
    (
        "format",
        |w| w.topology.facts(0).binlog_format = "MIXED".into(),
        &[(Code::BinlogFormatNotRow, Error, "db-0")],
    ),
    ("server_id", |w| w.topology.facts(2).server_id = 100, &[(Code::DuplicateServerId, Error, "db-2")]),
    (
        "server_uuid",
        |w| w.topology.facts(2).server_uuid = fixture::uuid(1),
        &[(Code::DuplicateServerUuid, Error, "db-2")],
    ),
    (
        "MariaDB",
        |w| {
            w.topology.facts(2).mariadb = true;
            w.topology.facts(2).gtid_mode_on = false;
        },
        &[(Code::VersionUnsupported, Error, "db-2")],
    ),
    (
        "too old",
        |w| w.topology.facts(1).version = Version { major: 8, minor: 0, patch: 22 },
        &[(Code::VersionUnsupported, Error, "db-1")],
    ),
    (
        "newer target",
        |w| w.topology.facts(1).version = Version { major: 26, minor: 1, patch: 0 },
        &[(Code::VersionIncompatible, Error, "db-1")],
    ),
    ("newer patch", |w| w.topology.facts(1).version = Version { major: 9, minor: 7, patch: 99 }, &[]),
    ("older target", |w| w.topology.facts(1).version = Version { major: 9, minor: 6, patch: 0 }, &[]),
    (
        "several channels",
        |w| w.topology.facts(1).channels.push(fixture::channel()),
        &[(Code::TopologyUnsupported, Error, "db-1")],
    ),
    (
        "named channel",
        |w| w.topology.channel(2).name = "east".into(),
        &[(Code::TopologyUnsupported, Error, "db-2")],
    ),
    (
        "by position",
        |w| w.topology.channel(1).auto_position = false,
        &[(Code::TopologyUnsupported, Error, "db-1")],
    ),
    (
        "group",
        |w| w.topology.facts(0).group_replication = true,
        &[(Code::TopologyUnsupported, Error, "db-0")],
    ),
    (
        "circular",
        |w| {
            let mut c = fixture::channel();
            c.source_uuid = fixture::uuid(1);
            w.topology.facts(0).channels.push(c);
        },
        &[(Code::TopologyUnsupported, Error, "db-0")],
    ),
    (
        "primary follows outside",
        |w| {
            let mut c = fixture::channel();
            c.source_uuid = fixture::uuid(70);
            w.topology.facts(0).channels.push(c);
        },
        &[(Code::TopologyUnsupported, Error, "db-0")],
    ),
    (
        "semi-sync",
        |w| {
            w.topology.facts(0).semi_sync_source = Some(true);
            w.topology.facts(2).semi_sync_replica = Some(true);
        },
        &[(Code::SemiSyncUnsupported, Error, "db-0")],
    ),
    ("semi-sync loaded, off", |w| w.topology.facts(0).semi_sync_source = Some(false), &[]),
    (
        "semi-sync on the target",
        |w| w.topology.facts(1).semi_sync_source = Some(true),
        &[(Code::SemiSyncUnsupported, Error, "db-1")],
    ),
    (
        "performance_schema",
        |w| {
            w.topology.facts(0).performance_schema = false;
            w.activity = None;
        },
        &[(Code::PerformanceSchemaOff, Error, "db-0")],
    ),
    ("activity unknown", |w| w.activity = None, &[(Code::ActivityUnknown, Error, "db-0")]),
    (
        "would start writable",
        |w| w.topology.facts(0).startup = Startup::Writable,
        &[(Code::UnsafeStartupState, Warning, "db-0")],
    ),
    ("start unknown", |w| w.topology.facts(0).startup = Startup::Unknown, &[]),
    ("durability", |w| w.topology.facts(1).sync_binlog = 100, &[(Code::DurabilityWeak, Warning, "db-1")]),
    ("durability of a sibling", |w| w.topology.facts(2).flush_log_at_commit = 2, &[]),
    (
        "long transaction",
        |w| w.activity().transactions.push(transaction(7, 5)),
        &[(Code::LongTransaction, Error, "db-0")],
    ),
    ("short transaction", |w| w.activity().transactions.push(transaction(7, 4)), &[]),
    (
        "long transaction, wait",
        |w| {
            w.activity().transactions.push(transaction(7, 9));
            w.limits.long_transaction_policy = LongTransactionPolicy::Wait;
        },
        &[(Code::LongTransaction, Error, "db-0")],
    ),
    (
        "long transaction, kill",
        |w| {
            w.activity().transactions.push(transaction(7, 9));
            w.limits.long_transaction_policy = LongTransactionPolicy::Kill;
        },
        &[(Code::LongTransaction, Warning, "db-0")],
    ),
    (
        "long statement",
        |w| w.activity().statements.push(statement(8, 9)),
        &[(Code::LongStatement, Error, "db-0")],
    ),
    ("lock", |w| w.activity().lock_holders.push(holder(9, 9)), &[(Code::LockHeld, Error, "db-0")]),
    (
        "one session, three ways",
        |w| {
            w.activity().transactions.push(transaction(7, 9));
            w.activity().statements.push(statement(7, 9));
            w.activity().lock_holders.push(holder(7, 9));
        },
        &[(Code::LockHeld, Error, "db-0")],
    ),
    ("prepared XA", |w| w.activity().prepared_xa = 2, &[(Code::PreparedTransactions, Error, "db-0")]),
    (
        "privileges",
        |w| w.topology.facts(1).missing_privileges = vec!["RELOAD".into()],
        &[(Code::PrivilegeMissing, Error, "db-1")],
    ),
    (
        "login",
        |w| w.login = LoginCheck::Failed("error 1045: access denied".into()),
        &[(Code::ReplicationLoginFailed, Error, "db-1")],
    ),
    ("login not tried", |w| w.login = LoginCheck::NotTried, &[]),
    ("password", |w| w.password_length = 33, &[(Code::ReplicationPasswordTooLong, Error, "")]),
    ("in clear", |w| w.tls = TlsMode::Disabled, &[(Code::TlsDisabled, Warning, "")]),
    ("no Services", |w| w.services = None, &[]),
    (
        "Service missing",
        |w| w.primary_service(ServiceProblem::Missing),
        &[(Code::ServiceMissing, Error, "db-primary")],
    ),
    (
        "Service of somebody else",
        |w| w.primary_service(ServiceProblem::NotOwned),
        &[(Code::ServiceNotOwned, Error, "db-primary")],
    ),
    (
        "Service elsewhere",
        |w| {
            w.primary_service(ServiceProblem::ExternalName);
            w.primary_service(ServiceProblem::ExternalIPs);
        },
        &[(Code::ServiceUnsuitable, Error, "db-primary"), (Code::ServiceUnsuitable, Error, "db-primary")],
    ),
    (
        "replica Service missing",
        |w| w.services.as_mut().unwrap().replicas.as_mut().unwrap().problems.push(ServiceProblem::Missing),
        &[(Code::ServiceMissing, Warning, "db-replicas")],
    ),
    (
        "Services watched",
        |w| {
            w.services.as_mut().unwrap().manage = ManageServices::Observe;
            w.primary_service(ServiceProblem::SelectorIgnoresRole { wanted: "role=primary".into() });
        },
        &[
            (Code::ServiceSelectorIgnoresRole, Error, "db-primary"),
            (Code::ObservedServices, Warning, "db-primary"),
        ],
    ),
];
