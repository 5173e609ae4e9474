//! Primary, target and siblings.

use super::*;

pub(super) const CASES: &[Case] = &[
    ("nothing", |_| {}, &[]),
    (
        "no primary",
        |w| {
            w.topology.facts(0).read_only = ReadOnly::SuperReadOnly;
            w.old = None;
        },
        &[(Code::NoUniquePrimary, Error, "")],
    ),
    (
        "no instance",
        |w| {
            w.topology = Topology::default();
            w.old = None;
            w.new = None;
        },
        &[(Code::NoUniquePrimary, Error, "")],
    ),
    (
        "primary gone",
        |w| {
            w.topology.at(0).seen = unreachable();
            w.old = None;
        },
        &[(Code::NoUniquePrimary, Error, ""), (Code::InstanceUnreachable, Error, "db-0")],
    ),
    (
        "two primaries",
        |w| {
            w.topology.facts(2).read_only = ReadOnly::Off;
            w.old = None;
        },
        &[(Code::NoUniquePrimary, Error, "")],
    ),
    (
        "target writable",
        |w| {
            w.topology.facts(1).read_only = ReadOnly::ReadOnly;
            w.old = None;
        },
        &[(Code::NoUniquePrimary, Error, ""), (Code::TargetWritable, Error, "db-1")],
    ),
    (
        "no candidate",
        |w| {
            w.new = None;
            w.topology.at(1).rule = PromotionRule::MustNot;
            w.topology.at(2).rule = PromotionRule::MustNot;
        },
        &[(Code::NoCandidate, Error, "")],
    ),
    (
        "alone",
        |w| {
            w.new = None;
            w.topology.instances.truncate(1);
        },
        &[(Code::NoCandidate, Error, "")],
    ),
    ("unknown target", |w| w.new = Some("db-9"), &[(Code::TargetUnknown, Error, "db-9")]),
    ("target is primary", |w| w.new = Some("db-0"), &[]),
    (
        "target chosen",
        |w| {
            w.new = None;
            w.topology.facts(1).replication_filters = true;
        },
        &[],
    ),
    ("target gone", |w| w.topology.at(1).seen = unreachable(), &[(Code::TargetUnreachable, Error, "db-1")]),
    (
        "target refuses us",
        |w| w.topology.at(1).seen = Seen::AccessDenied("error 1045".into()),
        &[(Code::AccessDenied, Error, "db-1")],
    ),
    (
        "target without source",
        |w| w.topology.facts(1).channels.clear(),
        &[(Code::TargetNotDirectReplica, Error, "db-1")],
    ),
    (
        "second tier",
        |w| w.topology.channel(1).source_uuid = fixture::uuid(2),
        &[(Code::TargetNotDirectReplica, Error, "db-1")],
    ),
    (
        "source of another uuid",
        |w| w.topology.channel(1).source_uuid = fixture::uuid(77),
        &[(Code::TargetNotDirectReplica, Error, "db-1")],
    ),
    (
        "never connected",
        |w| {
            let c = w.topology.channel(1);
            c.source_uuid.clear();
            c.receiver = ThreadState::Connecting;
            c.seconds_behind = None;
        },
        &[(Code::TargetNotDirectReplica, Error, "db-1"), (Code::TargetReplicationBroken, Error, "db-1")],
    ),
    ("banned", |w| w.topology.at(1).rule = PromotionRule::MustNot, &[(Code::TargetBanned, Error, "db-1")]),
    (
        "receiver stopped",
        |w| w.topology.channel(1).receiver = ThreadState::Stopped,
        &[(Code::TargetReplicationBroken, Error, "db-1")],
    ),
    (
        "applier in error",
        |w| {
            let c = w.topology.channel(1);
            c.applier = ThreadState::Stopped;
            c.applier_error = Some((1062, "Duplicate entry 'secret' for key 't.k'".into()));
        },
        &[(Code::TargetReplicationBroken, Error, "db-1")],
    ),
    (
        "both threads stopped",
        |w| {
            let c = w.topology.channel(1);
            c.applier = ThreadState::Stopped;
            c.receiver = ThreadState::Stopped;
            c.seconds_behind = None;
        },
        &[(Code::TargetReplicationBroken, Error, "db-1"), (Code::TargetReplicationBroken, Error, "db-1")],
    ),
    ("lag unknown", |w| w.topology.channel(1).seconds_behind = None, &[(Code::LagUnknown, Error, "db-1")]),
    ("at the limit", |w| w.topology.channel(1).seconds_behind = Some(5), &[]),
    ("lagging", |w| w.topology.channel(1).seconds_behind = Some(6), &[(Code::TargetLagging, Error, "db-1")]),
    (
        "delayed",
        |w| {
            let c = w.topology.channel(1);
            c.delay_seconds = 3600;
            c.seconds_behind = Some(3600);
        },
        &[(Code::TargetDelayed, Error, "db-1")],
    ),
    (
        "replication filters",
        |w| w.topology.facts(1).replication_filters = true,
        &[(Code::TargetFiltered, Error, "db-1")],
    ),
    (
        "binlog filters",
        |w| w.topology.facts(1).binlog_filters = true,
        &[(Code::TargetFiltered, Error, "db-1")],
    ),
    (
        "errant on the target",
        |w| w.topology.executed(1, "1-101"),
        &[(Code::ErrantTransactions, Error, "db-1")],
    ),
    (
        "sibling gone",
        |w| w.topology.at(2).seen = unreachable(),
        &[(Code::InstanceUnreachable, Error, "db-2")],
    ),
    (
        "sibling gone, accepted",
        |w| {
            w.topology.at(2).seen = unreachable();
            w.limits.replica_policy = ReplicaPolicy::BestEffort;
        },
        &[(Code::InstanceUnreachable, Warning, "db-2")],
    ),
    (
        "sibling refuses us",
        |w| w.topology.at(2).seen = Seen::AccessDenied("error 1045".into()),
        &[(Code::AccessDenied, Error, "db-2")],
    ),
    (
        "sibling elsewhere",
        |w| w.topology.channel(2).source_uuid = fixture::uuid(1),
        &[(Code::ReplicaNotDirect, Error, "db-2")],
    ),
    (
        "sibling broken",
        |w| w.topology.channel(2).applier = ThreadState::Stopped,
        &[(Code::ReplicaBroken, Error, "db-2")],
    ),
    (
        "sibling lagging",
        |w| w.topology.channel(2).seconds_behind = Some(60),
        &[(Code::ReplicaLagging, Error, "db-2")],
    ),
    (
        "sibling lagging, accepted",
        |w| {
            w.topology.channel(2).seconds_behind = Some(60);
            w.limits.replica_policy = ReplicaPolicy::BestEffort;
        },
        &[(Code::ReplicaLagging, Warning, "db-2")],
    ),
    (
        "sibling delayed on purpose",
        |w| {
            let c = w.topology.channel(2);
            c.delay_seconds = 3600;
            c.seconds_behind = Some(3601);
        },
        &[],
    ),
    ("sibling filtered", |w| w.topology.facts(2).replication_filters = true, &[]),
    (
        "errant on a sibling",
        |w| w.topology.executed(2, "1-101"),
        &[(Code::ErrantTransactions, Warning, "db-2")],
    ),
    (
        "purged on the target",
        |w| {
            w.topology.executed(2, "1-50");
            w.topology.facts(1).purged = format!("{}:1-60", fixture::uuid(0)).parse().unwrap();
        },
        &[(Code::PurgedGap, Error, "db-1")],
    ),
    (
        "purged everywhere",
        |w| {
            w.limits.replica_policy = ReplicaPolicy::BestEffort;
            w.topology.executed(2, "1-50");
            for number in [0, 1] {
                w.topology.facts(number).purged = format!("{}:1-60", fixture::uuid(0)).parse().unwrap();
            }
        },
        &[],
    ),
];
