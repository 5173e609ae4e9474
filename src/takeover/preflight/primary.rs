//! Who is primary, and whether it can hand over.

use super::{Code, Findings, Scene};
use crate::api::journal::ReadOnly;
use crate::api::takeover::Severity;
use crate::topology::examine::{as_primary, supported};
use crate::topology::objection::{Objection, UnsupportedReplication};
use crate::topology::wording::{brief, list};
use crate::topology::{Instance, Primary, ServerFacts};

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    match scene.seen.topology.primary() {
        Primary::One(_) => {}
        Primary::None => none(scene, findings),
        Primary::Many(names) => several(scene, &names, findings),
    }
    if let Some(primary) = scene.primary {
        for objection in as_primary(primary) {
            super::replicas::add(scene, primary, Severity::Error, &objection, findings);
        }
        if let Some(facts) = supported(primary) {
            replicates(scene, primary, facts, findings);
            semi_sync(scene, primary, facts, findings);
        }
    }
}

fn none(scene: &Scene<'_>, findings: &mut Findings) {
    let instances = &scene.seen.topology.instances;
    let silent: Vec<&str> = instances
        .iter()
        .filter(|instance| instance.facts().is_none())
        .map(|instance| instance.name.as_str())
        .collect();
    let mut add = |message: String, remedy: String| {
        findings.add(Code::NoUniquePrimary, Severity::Error, None, message, remedy);
    };
    if instances.is_empty() {
        return add(
            "No instance was found.".to_owned(),
            "Compare `spec.discovery.selector` with the labels of the MySQL Pods: `kubectl get pods --show-labels`.".to_owned(),
        );
    }
    if !silent.is_empty() {
        // Opening another one while the primary may be alive makes two of them.
        return add(
            format!(
                "No instance that answers accepts writes. {} could not be looked at and may be primary.",
                list(&silent)
            ),
            format!(
                "Bring {} back first. Open no other instance while one of them may still accept writes.",
                list(&silent)
            ),
        );
    }
    let followed = followed(instances);
    let remedy = match followed.as_slice() {
        [only] => format!("If {only}, which the others replicate from, should be primary: `SET GLOBAL read_only=OFF` there."),
        [] | [_, ..] => {
            "Decide which one holds all transactions (compare @@gtid_executed), then `SET GLOBAL read_only=OFF` there.".to_owned()
        }
    };
    add("No instance accepts writes: all are super_read_only.".to_owned(), remedy);
}

/// Those that others replicate from and that replicate from nobody.
fn followed(instances: &[Instance]) -> Vec<&str> {
    let sources: Vec<&str> = instances
        .iter()
        .filter_map(Instance::facts)
        .flat_map(|facts| &facts.channels)
        .map(|channel| channel.source_uuid.as_str())
        .collect();
    let is_followed =
        |facts: &ServerFacts| facts.channels.is_empty() && sources.contains(&facts.server_uuid.as_str());
    let followed = instances.iter().filter(|instance| instance.facts().is_some_and(is_followed));
    followed.map(|instance| instance.name.as_str()).collect()
}

fn several(scene: &Scene<'_>, names: &[String], findings: &mut Findings) {
    let instances: Vec<&Instance> = names.iter().filter_map(|name| scene.seen.topology.get(name)).collect();
    let described: Vec<String> = instances.iter().map(|instance| describe(instance)).collect();
    let replicas: Vec<&str> = instances
        .iter()
        .filter(|instance| instance.facts().is_some_and(|facts| !facts.channels.is_empty()))
        .map(|instance| instance.name.as_str())
        .collect();
    let shut = if replicas.is_empty() || replicas.len() == instances.len() {
        "all but the right one".to_owned()
    } else {
        format!("the replicas among them: {}", list(&replicas))
    };
    findings.add(
        Code::NoUniquePrimary,
        Severity::Error,
        None,
        format!("More than one instance accepts writes: {}.", list(&described)),
        format!(
            "Act now: `SET GLOBAL super_read_only=ON` on {shut}. Then compare @@gtid_executed: did writes go astray? Put super_read_only=ON into the configuration of every instance."
        ),
    );
}

fn describe(instance: &Instance) -> String {
    match instance.facts().map(|facts| facts.read_only) {
        Some(ReadOnly::ReadOnly) => {
            format!("{} (read_only without super_read_only: privileged sessions can write)", instance.name)
        }
        Some(ReadOnly::Off | ReadOnly::SuperReadOnly) | None => instance.name.clone(),
    }
}

/// A primary that has a source itself.
fn replicates(scene: &Scene<'_>, primary: &Instance, facts: &ServerFacts, findings: &mut Findings) {
    let name = &primary.name;
    let mut add = |message: String, remedy: String| {
        findings.add(Code::TopologyUnsupported, Severity::Error, Some(name), message, remedy);
    };
    if facts.group_replication {
        let group = Objection::UnsupportedReplication(UnsupportedReplication::Group);
        return add(format!("{name} {group}."), group.remedy(name, Some(name)));
    }
    let sources: Vec<String> = facts
        .channels
        .iter()
        .map(|channel| match scene.seen.topology.by_server_uuid(&channel.source_uuid) {
            Some(other) => other.name.clone(),
            None => format!("{}:{}", brief(&channel.source_host), channel.source_port),
        })
        .collect();
    if !sources.is_empty() {
        add(
            format!(
                "The primary {name} has a replication source itself: {}. Circular replication, and a primary that follows a server outside, are not supported yet.",
                list(&sources)
            ),
            format!("If that source is no longer needed: `STOP REPLICA; RESET REPLICA ALL` on {name}."),
        );
    }
}

/// Refused by name: a source without enough ackers stalls at its first commit.
fn semi_sync(scene: &Scene<'_>, primary: &Instance, facts: &ServerFacts, findings: &mut Findings) {
    if facts.semi_sync_source != Some(true) {
        return;
    }
    let ackers: Vec<&str> = scene
        .seen
        .topology
        .instances
        .iter()
        .filter(|instance| !scene.is_primary(instance) && !scene.is_target(instance))
        .filter(|instance| instance.facts().is_some_and(|facts| facts.semi_sync_replica == Some(true)))
        .map(|instance| instance.name.as_str())
        .collect();
    let ackers = match ackers.as_slice() {
        [] => "no other instance".to_owned(),
        names => list(names),
    };
    findings.add(
        Code::SemiSyncUnsupported,
        Severity::Error,
        Some(&primary.name),
        format!(
            "Semi-synchronous replication is on at {}, which is not supported yet. A commit waits for {} of {} connected replicas; after the takeover {ackers} could acknowledge.",
            primary.name, facts.semi_sync_wait_for, facts.semi_sync_clients
        ),
        format!(
            "If it can be done without: `SET GLOBAL rpl_semi_sync_source_enabled=OFF` on {}, and in its configuration.",
            primary.name
        ),
    );
}
