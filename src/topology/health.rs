//! Health of every instance, as it stands in the cluster's status.

use super::examine::{as_primary, as_replica, supported};
use super::objection::Objection;
use super::{Instance, ServerFacts, Topology};
use crate::api::cluster::{InstanceRole, InstanceState, InstanceStatus};
use crate::api::conditions::bounded;
use crate::api::journal::ReadOnly;

/// What to show of every instance. `primary` is the one that accepts writes, where there is exactly one; a replica that is
/// more than `max_lag_seconds` behind is lagging. Messages hold no figure that changes while nothing happens, so that a
/// status with them is written on transitions only.
pub fn instances(topology: &Topology, primary: Option<&str>, max_lag_seconds: i32) -> Vec<InstanceStatus> {
    let primary = primary.and_then(|name| topology.get(name));
    topology.instances.iter().map(|instance| status(topology, instance, primary, max_lag_seconds)).collect()
}

/// Healthy replicas of known replicas, such as `2/2`. What is neither primary nor replica counts as a replica that is
/// not healthy: it should be one.
pub fn replicas_summary(instances: &[InstanceStatus]) -> String {
    let replicas = instances.iter().filter(|instance| instance.role != InstanceRole::Primary);
    let healthy = replicas.clone().filter(|instance| instance.state == InstanceState::Healthy);
    format!("{}/{}", healthy.count(), replicas.count())
}

fn status(
    topology: &Topology,
    instance: &Instance,
    primary: Option<&Instance>,
    max_lag_seconds: i32,
) -> InstanceStatus {
    let role = role(topology, instance, primary);
    let objections = match role {
        InstanceRole::Primary => as_primary(instance),
        InstanceRole::Replica | InstanceRole::Unknown => {
            as_replica(topology, instance, primary, max_lag_seconds)
        }
    };
    let facts = instance.facts();
    let mut messages: Vec<String> = objections
        .iter()
        .map(|objection| {
            let remedy = objection.remedy(&instance.name, primary.map(|primary| primary.name.as_str()));
            sentence(&format!("{}. {remedy}", objection.standing()))
        })
        .collect();
    let misplaced = facts.and_then(|facts| misplaced(instance, role, facts, primary));
    let state = match &misplaced {
        Some(_) => InstanceState::Broken,
        None => state(&objections),
    };
    messages.extend(misplaced);
    InstanceStatus {
        name: instance.name.clone(),
        server_uuid: facts.map(|facts| facts.server_uuid.clone()).filter(|uuid| !uuid.is_empty()),
        version: facts.map(|facts| facts.version_text.clone()).filter(|version| !version.is_empty()),
        role,
        writable: facts.is_some_and(ServerFacts::accepts_writes),
        state,
        message: (!messages.is_empty()).then(|| bounded(&messages.join(" "))),
    }
}

fn role(topology: &Topology, instance: &Instance, primary: Option<&Instance>) -> InstanceRole {
    if primary.is_some_and(|primary| primary.name == instance.name) {
        return InstanceRole::Primary;
    }
    let Some(facts) = supported(instance) else { return InstanceRole::Unknown };
    let is_source = || {
        let others = topology.instances.iter().filter_map(Instance::facts);
        others.flat_map(|facts| &facts.channels).any(|channel| channel.source_uuid == facts.server_uuid)
    };
    if !facts.channels.is_empty() {
        InstanceRole::Replica
    } else if facts.accepts_writes() || is_source() {
        InstanceRole::Primary
    } else {
        InstanceRole::Unknown
    }
}

/// The worst of them decides. Transactions that the primary lacks are told, but do not make a running replica broken.
fn state(objections: &[Objection]) -> InstanceState {
    let weight = |objection: &Objection| match objection {
        Objection::Unreachable(_) => (4, InstanceState::Unreachable),
        Objection::AccessDenied(_) => (3, InstanceState::AccessDenied),
        Objection::UnsupportedServer { .. }
        | Objection::UnsupportedReplication(_)
        | Objection::GtidModeOff
        | Objection::NotDirect(_)
        | Objection::ThreadDown { .. }
        | Objection::BinaryLogOff
        | Objection::LagUnknown => (2, InstanceState::Broken),
        Objection::Lagging { .. } => (1, InstanceState::Lagging),
        Objection::Errant(_)
        | Objection::PrivilegeMissing(_)
        | Objection::GtidConsistencyOff
        | Objection::Banned
        | Objection::Writable { .. }
        | Objection::Delayed { .. }
        | Objection::ReplicationFiltered
        | Objection::BinlogFiltered
        | Objection::ReplicaUpdatesOff
        | Objection::FormatNotRow(_)
        | Objection::PerformanceSchemaOff
        | Objection::SemiSyncSource
        | Objection::PurgedGap(_)
        | Objection::Newer { .. } => (0, InstanceState::Healthy),
    };
    let worst = objections.iter().map(weight).max_by_key(|(weight, _)| *weight);
    worst.map_or(InstanceState::Healthy, |(_, state)| state)
}

/// A server that accepts writes where it should not, or does not where it should.
fn misplaced(
    instance: &Instance,
    role: InstanceRole,
    facts: &ServerFacts,
    primary: Option<&Instance>,
) -> Option<String> {
    let name = &instance.name;
    let is_primary = primary.is_some_and(|primary| primary.name == *name);
    match (role, facts.read_only) {
        (InstanceRole::Primary, _) if is_primary => None,
        (InstanceRole::Primary, ReadOnly::SuperReadOnly) => Some(format!(
            "Others replicate from it, but it accepts no writes. If it should be primary: `SET GLOBAL read_only=OFF` on {name}."
        )),
        (InstanceRole::Primary, ReadOnly::Off | ReadOnly::ReadOnly) => Some(format!(
            "Accepts writes, but is not the only one. If it should not: `SET GLOBAL super_read_only=ON` on {name} at once, then compare @@gtid_executed."
        )),
        (InstanceRole::Replica | InstanceRole::Unknown, ReadOnly::Off) => Some(format!(
            "Accepts writes, though it is a replica. `SET GLOBAL super_read_only=ON` on {name} at once, then compare @@gtid_executed."
        )),
        (InstanceRole::Replica | InstanceRole::Unknown, ReadOnly::ReadOnly) => Some(format!(
            "Is read_only but not super_read_only, so privileged sessions can write. `SET GLOBAL super_read_only=ON` on {name}, and in its configuration."
        )),
        (InstanceRole::Replica | InstanceRole::Unknown, ReadOnly::SuperReadOnly) => None,
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
