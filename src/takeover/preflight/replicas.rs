//! The target and the other replicas.

use super::{Code, Findings, Scene};
use crate::api::takeover::Severity;
use crate::topology::Instance;
use crate::topology::examine::{as_replica, as_target};
use crate::topology::objection::Objection;
use crate::topology::wording::{brief, list};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    named(scene, findings);
    for instance in &scene.seen.topology.instances {
        if scene.is_target(instance) {
            target(scene, instance, findings);
        } else if !scene.is_primary(instance) {
            sibling(scene, instance, findings);
        }
    }
}

/// Whether there is a target at all.
fn named(scene: &Scene<'_>, findings: &mut Findings) {
    let instances = &scene.seen.topology.instances;
    if let Some(name) = scene.seen.new_primary.filter(|name| scene.seen.topology.get(name).is_none()) {
        let known: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
        findings.add(
            Code::TargetUnknown,
            Severity::Error,
            Some(name),
            format!("No instance is named {name}. Known: {}.", list(&known)),
            "Correct `newPrimary`: it is the name of a Pod that `spec.discovery.selector` of the cluster selects.",
        );
    }
    if let Some(none) = &scene.no_candidate {
        let why: Vec<String> = none.why.iter().map(|(name, why)| format!("{name} {}", brief(why))).collect();
        let message = match why.as_slice() {
            [] => "There is no instance but the primary.".to_owned(),
            why => format!("No replica can take over: {}.", why.join(" | ")),
        };
        findings.add(
            Code::NoCandidate,
            Severity::Error,
            None,
            message,
            "Cure what stands against one of them; the other findings say how. To lift a MustNot rule, change `spec.promotionRules`.",
        );
    }
}

fn target(scene: &Scene<'_>, instance: &Instance, findings: &mut Findings) {
    for objection in as_target(scene.seen.topology, instance, scene.primary, scene.seen.limits) {
        // With several writable instances, the one without a source may be the real primary.
        let is_replica = instance.facts().is_some_and(|facts| !facts.channels.is_empty());
        if is_replica || !matches!(objection, Objection::Writable { .. }) {
            add(scene, instance, Severity::Error, &objection, findings);
        }
    }
}

fn sibling(scene: &Scene<'_>, instance: &Instance, findings: &mut Findings) {
    let limit = scene.seen.limits.max_replication_lag_seconds;
    // Nothing can be done without the instance that the user says hands over.
    let severity = if hands_over(scene, instance) { Severity::Error } else { scene.by_replica_policy() };
    for objection in as_replica(scene.seen.topology, instance, scene.primary, limit) {
        add(scene, instance, severity, &objection, findings);
    }
}

fn hands_over(scene: &Scene<'_>, instance: &Instance) -> bool {
    scene.seen.old_primary == Some(instance.name.as_str())
}

/// Adds what speaks against an instance. `by_policy` is the weight of what keeps it from following, not from leading.
pub(super) fn add(
    scene: &Scene<'_>,
    instance: &Instance,
    by_policy: Severity,
    objection: &Objection,
    findings: &mut Findings,
) {
    let name = &instance.name;
    let (code, severity) = classify(objection, scene.is_target(instance), by_policy);
    let mut remedy = objection.remedy(name, scene.primary_name());
    let left_behind = matches!(code, Code::InstanceUnreachable | Code::ReplicaBroken | Code::ReplicaLagging);
    // Where nobody knows who is primary, it may be this one.
    if left_behind && severity == Severity::Error && scene.primary.is_some() {
        remedy.push_str(" Or go without it: `replicaPolicy: BestEffort`.");
    }
    findings.add(code, severity, Some(name), format!("{name} {objection}."), remedy);
}

/// Code and weight of an objection.
fn classify(objection: &Objection, target: bool, by_policy: Severity) -> (Code, Severity) {
    let of_target = |code| (code, Severity::Error);
    let role = |target_code, sibling_code| {
        if target { (target_code, Severity::Error) } else { (sibling_code, by_policy) }
    };
    match objection {
        Objection::Unreachable(_) => role(Code::TargetUnreachable, Code::InstanceUnreachable),
        Objection::AccessDenied(_) => role(Code::AccessDenied, Code::AccessDenied),
        Objection::UnsupportedServer { .. } => of_target(Code::VersionUnsupported),
        Objection::UnsupportedReplication(_) => of_target(Code::TopologyUnsupported),
        Objection::PrivilegeMissing(_) => role(Code::PrivilegeMissing, Code::PrivilegeMissing),
        Objection::GtidModeOff => of_target(Code::GtidModeOff),
        Objection::GtidConsistencyOff => of_target(Code::GtidConsistencyOff),
        Objection::NotDirect(_) => role(Code::TargetNotDirectReplica, Code::ReplicaNotDirect),
        Objection::ThreadDown { .. } => role(Code::TargetReplicationBroken, Code::ReplicaBroken),
        Objection::LagUnknown => role(Code::LagUnknown, Code::LagUnknown),
        Objection::Lagging { .. } => role(Code::TargetLagging, Code::ReplicaLagging),
        // On a sibling they stay where they are; as a primary the target would spread them.
        Objection::Errant(_) if target => of_target(Code::ErrantTransactions),
        Objection::Errant(_) => (Code::ErrantTransactions, Severity::Warning),
        Objection::Banned => of_target(Code::TargetBanned),
        Objection::Writable { .. } => of_target(Code::TargetWritable),
        Objection::Delayed { .. } => of_target(Code::TargetDelayed),
        // Binary log filters of the primary too: they mean that its replicas lack data, the target included.
        Objection::ReplicationFiltered | Objection::BinlogFiltered => of_target(Code::TargetFiltered),
        Objection::BinaryLogOff => of_target(Code::BinaryLogOff),
        Objection::ReplicaUpdatesOff => of_target(Code::ReplicaUpdatesOff),
        Objection::FormatNotRow(_) => of_target(Code::BinlogFormatNotRow),
        Objection::PerformanceSchemaOff => of_target(Code::PerformanceSchemaOff),
        Objection::SemiSyncSource => of_target(Code::SemiSyncUnsupported),
        Objection::PurgedGap(_) => of_target(Code::PurgedGap),
        Objection::Newer { .. } => of_target(Code::VersionIncompatible),
    }
}
