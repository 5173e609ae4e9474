//! What concerns the servers together, and how they would survive a crash.

use super::{Code, Findings, Scene};
use crate::api::takeover::Severity;
use crate::topology::examine::supported;
use crate::topology::facts::Startup;
use crate::topology::{Instance, ServerFacts};
use std::collections::BTreeMap;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    duplicates(scene, findings);
    for (instance, facts) in known(scene) {
        startup(instance, facts, findings);
        if scene.is_primary(instance) || scene.is_target(instance) {
            durability(instance, facts, findings);
        }
    }
}

/// An instance whose server is supported.
type Known<'a> = (&'a Instance, &'a ServerFacts);

/// Primary and target first, so that a duplicate is put down to the other one.
fn known<'a>(scene: &Scene<'a>) -> Vec<Known<'a>> {
    let mut known: Vec<_> = scene
        .seen
        .topology
        .instances
        .iter()
        .filter_map(|instance| Some((instance, supported(instance)?)))
        .collect();
    known.sort_by_key(|(instance, _)| (!scene.is_primary(instance), !scene.is_target(instance)));
    known
}

fn duplicates(scene: &Scene<'_>, findings: &mut Findings) {
    let (mut ids, mut uuids) = (BTreeMap::new(), BTreeMap::new());
    for (instance, facts) in known(scene) {
        let name = &instance.name;
        let first = *uuids.entry(facts.server_uuid.to_ascii_lowercase()).or_insert(name);
        if first != name {
            findings.add(
                Code::DuplicateServerUuid,
                Severity::Error,
                Some(name),
                format!("{name} has the same server_uuid as {first}: most likely its data folder was copied with auto.cnf."),
                format!("Stop {name}, delete auto.cnf in its data folder, start it. Then check that it replicates."),
            );
        }
        let first = *ids.entry(facts.server_id).or_insert(name);
        if first != name {
            findings.add(
                Code::DuplicateServerId,
                Severity::Error,
                Some(name),
                format!("{name} has the same server_id as {first}: {}.", facts.server_id),
                format!("Give {name} a server_id of its own: `SET PERSIST server_id=…; STOP REPLICA; START REPLICA` there."),
            );
        }
    }
}

fn startup(instance: &Instance, facts: &ServerFacts, findings: &mut Findings) {
    match facts.startup {
        Startup::ReadOnly | Startup::Unknown => {}
        Startup::Writable => findings.add(
            Code::UnsafeStartupState,
            Severity::Warning,
            Some(&instance.name),
            format!(
                "{} would start writable. If it restarts after another one became primary, two servers accept writes.",
                instance.name
            ),
            format!(
                "Put super_read_only=ON into the configuration of {0}, and `RESET PERSIST IF EXISTS read_only; RESET PERSIST IF EXISTS super_read_only` there.",
                instance.name
            ),
        ),
    }
}

fn durability(instance: &Instance, facts: &ServerFacts, findings: &mut Findings) {
    if facts.sync_binlog == 1 && facts.flush_log_at_commit == 1 {
        return;
    }
    findings.add(
        Code::DurabilityWeak,
        Severity::Warning,
        Some(&instance.name),
        format!(
            "{} has sync_binlog={} and innodb_flush_log_at_trx_commit={}: a crash can lose acknowledged writes, takeover or not.",
            instance.name, facts.sync_binlog, facts.flush_log_at_commit
        ),
        format!(
            "On {}: `SET PERSIST sync_binlog=1; SET PERSIST innodb_flush_log_at_trx_commit=1`.",
            instance.name
        ),
    );
}
