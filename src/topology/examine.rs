//! Looks at one instance and says what speaks against it.

use super::facts::ThreadState;
use super::objection::{Objection, Thread, UnsupportedReplication, Upstream};
use super::wording::replication_error;
use super::{Instance, ReplicationChannel, Seen, ServerFacts, Topology, Version};
use crate::api::common::{PromotionRule, ReplicaPolicy};
use crate::api::journal::ReadOnly;
use crate::takeover::Limits;

/// The oldest MySQL that is supported: the first with `CHANGE REPLICATION SOURCE TO`.
pub const OLDEST_VERSION: Version = Version { major: 8, minor: 0, patch: 23 };

/// The facts of an instance whose server is supported; of others hardly anything was read.
pub fn supported(instance: &Instance) -> Option<&ServerFacts> {
    instance.facts().filter(|facts| !facts.mariadb && facts.version >= OLDEST_VERSION)
}

/// What speaks against an instance that is a replica, or should be one, of `primary` (absent where nobody, or more than
/// one, is primary). `max_lag_seconds` is the limit that still passes.
pub fn as_replica(
    topology: &Topology,
    instance: &Instance,
    primary: Option<&Instance>,
    max_lag_seconds: i32,
) -> Vec<Objection> {
    let mut objections = Vec::from_iter(seen(instance));
    let Some(facts) = supported(instance) else { return objections };
    objections.extend(configuration(facts));
    objections.extend(unsupported_replication(facts));
    let source = primary.and_then(supported);
    objections.extend(source.and_then(|source| upstream(topology, facts, source)).map(Objection::NotDirect));
    if let Some(channel) = facts.channel() {
        objections.extend(threads(channel));
        objections.extend(lag(channel, max_lag_seconds));
    }
    if let Some(source) = source {
        let errant = facts.executed.subtract(&source.executed);
        if !errant.is_empty() {
            objections.push(Objection::Errant(errant));
        }
    }
    objections
}

/// What speaks against an instance as the next primary. Nothing here: the preflight finds no error with it either.
pub fn as_target(
    topology: &Topology,
    instance: &Instance,
    primary: Option<&Instance>,
    limits: &Limits,
) -> Vec<Objection> {
    let mut objections = as_replica(topology, instance, primary, limits.max_replication_lag_seconds);
    match instance.rule {
        PromotionRule::MustNot => objections.push(Objection::Banned),
        PromotionRule::Prefer | PromotionRule::Neutral | PromotionRule::PreferNot => {}
    }
    let Some(facts) = supported(instance) else { return objections };
    objections.extend(writable(facts));
    let delay = facts.channels.iter().map(|channel| channel.delay_seconds).max().unwrap_or(0);
    for (applies, objection) in [
        (delay > 0, Objection::Delayed { seconds: delay }),
        (facts.replication_filters, Objection::ReplicationFiltered),
        (!facts.log_replica_updates, Objection::ReplicaUpdatesOff),
        (facts.semi_sync_source == Some(true), Objection::SemiSyncSource),
    ] {
        if applies {
            objections.push(objection);
        }
    }
    objections.extend(as_source(facts));
    objections.extend(purged_gap(topology, instance, facts, primary, limits));
    objections.extend(newer(topology, instance, facts));
    objections
}

/// What speaks against the primary that hands over, apart from what goes on there.
pub fn as_primary(instance: &Instance) -> Vec<Objection> {
    let mut objections = Vec::from_iter(seen(instance));
    if let Some(facts) = supported(instance) {
        objections.extend(configuration(facts));
        objections.extend(as_source(facts));
    }
    objections
}

fn seen(instance: &Instance) -> Option<Objection> {
    match &instance.seen {
        Seen::Unreachable(why) => Some(Objection::Unreachable(why.clone())),
        Seen::AccessDenied(why) => Some(Objection::AccessDenied(why.clone())),
        Seen::Facts(facts) => supported(instance).is_none().then(|| Objection::UnsupportedServer {
            version: facts.version_text.clone(),
            mariadb: facts.mariadb,
        }),
    }
}

/// What every instance needs, whatever its role.
fn configuration(facts: &ServerFacts) -> impl Iterator<Item = Objection> {
    let missing = &facts.missing_privileges;
    [
        (!facts.gtid_mode_on).then_some(Objection::GtidModeOff),
        (!facts.gtid_consistency_enforced).then_some(Objection::GtidConsistencyOff),
        (!missing.is_empty()).then(|| Objection::PrivilegeMissing(missing.clone())),
    ]
    .into_iter()
    .flatten()
}

/// What a server needs that others replicate from, or will.
fn as_source(facts: &ServerFacts) -> impl Iterator<Item = Objection> {
    let row = facts.binlog_format.eq_ignore_ascii_case("ROW");
    [
        (!facts.log_bin).then_some(Objection::BinaryLogOff),
        (facts.log_bin && !row).then(|| Objection::FormatNotRow(facts.binlog_format.clone())),
        facts.binlog_filters.then_some(Objection::BinlogFiltered),
        (!facts.performance_schema).then_some(Objection::PerformanceSchemaOff),
    ]
    .into_iter()
    .flatten()
}

fn unsupported_replication(facts: &ServerFacts) -> Option<Objection> {
    let what = match facts.channels.as_slice() {
        // A group has channels of its own, which are no finding beside the group.
        _ if facts.group_replication => UnsupportedReplication::Group,
        [only] if !only.name.is_empty() => UnsupportedReplication::NamedChannel(only.name.clone()),
        [only] if !only.auto_position => UnsupportedReplication::WithoutAutoPosition,
        [] | [_] => return None,
        several => UnsupportedReplication::SeveralChannels(several.len()),
    };
    Some(Objection::UnsupportedReplication(what))
}

/// Whom it replicates from, if not from `source`. Several channels are told elsewhere.
fn upstream(topology: &Topology, facts: &ServerFacts, source: &ServerFacts) -> Option<Upstream> {
    if facts.channels.is_empty() {
        return Some(Upstream::Nobody);
    }
    let channel = facts.channel()?;
    let address = format!("{}:{}", channel.source_host, channel.source_port);
    if channel.source_uuid.is_empty() {
        return Some(Upstream::NeverConnected(address));
    }
    if channel.source_uuid == source.server_uuid {
        return None;
    }
    Some(match topology.by_server_uuid(&channel.source_uuid) {
        Some(other) => Upstream::Instance(other.name.clone()),
        None => Upstream::Outside(address),
    })
}

fn threads(channel: &ReplicationChannel) -> impl Iterator<Item = Objection> {
    [
        (Thread::Receiver, channel.receiver, &channel.receiver_error),
        (Thread::Applier, channel.applier, &channel.applier_error),
    ]
    .into_iter()
    .filter(|(_, state, error)| *state != ThreadState::Running || error.is_some())
    .map(|(thread, state, error)| Objection::ThreadDown {
        thread,
        state,
        error: error.as_ref().map(|(number, text)| (*number, replication_error(text))),
    })
}

/// Lag counts only while both threads run: what stands still is told as that. A deliberate delay is not lag.
fn lag(channel: &ReplicationChannel, max_lag_seconds: i32) -> Option<Objection> {
    if (channel.receiver, channel.applier) != (ThreadState::Running, ThreadState::Running) {
        return None;
    }
    let limit = i64::from(max_lag_seconds);
    match channel.seconds_behind {
        None => Some(Objection::LagUnknown),
        Some(seconds) => {
            let seconds = seconds.saturating_sub(channel.delay_seconds);
            (seconds > limit).then_some(Objection::Lagging { seconds, limit })
        }
    }
}

fn writable(facts: &ServerFacts) -> Option<Objection> {
    match facts.read_only {
        ReadOnly::Off => Some(Objection::Writable { privileged_only: false }),
        ReadOnly::ReadOnly => Some(Objection::Writable { privileged_only: true }),
        ReadOnly::SuperReadOnly => None,
    }
}

/// Instances that could no longer follow once this one is primary. With `BestEffort`, one that the present primary
/// cannot serve either loses nothing by it.
fn purged_gap(
    topology: &Topology,
    instance: &Instance,
    facts: &ServerFacts,
    primary: Option<&Instance>,
    limits: &Limits,
) -> Option<Objection> {
    let lost_anyway = |theirs: &ServerFacts| match limits.replica_policy {
        ReplicaPolicy::RequireAll => false,
        ReplicaPolicy::BestEffort => {
            primary.and_then(supported).is_some_and(|source| !theirs.executed.contains(&source.purged))
        }
    };
    let lacking: Vec<String> = others(topology, instance)
        .filter(|(_, theirs)| !theirs.executed.contains(&facts.purged) && !lost_anyway(theirs))
        .map(|(other, _)| other.name.clone())
        .collect();
    (!lacking.is_empty()).then_some(Objection::PurgedGap(lacking))
}

/// Replication goes from older to newer, told apart by series (manual, "Replication Compatibility Between MySQL Versions").
fn newer(topology: &Topology, instance: &Instance, facts: &ServerFacts) -> Option<Objection> {
    let series = |version: Version| (version.major, version.minor);
    let than: Vec<_> = others(topology, instance)
        .filter(|(_, theirs)| series(facts.version) > series(theirs.version))
        .map(|(other, theirs)| (other.name.clone(), theirs.version))
        .collect();
    (!than.is_empty()).then_some(Objection::Newer { version: facts.version, than })
}

/// The other instances that would replicate from this one, as far as they answer.
fn others<'a>(
    topology: &'a Topology,
    instance: &'a Instance,
) -> impl Iterator<Item = (&'a Instance, &'a ServerFacts)> {
    topology
        .instances
        .iter()
        .filter(|other| other.name != instance.name)
        .filter_map(|other| Some((other, supported(other)?)))
}
