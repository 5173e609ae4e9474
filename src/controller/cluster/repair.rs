//! Instances that a finished takeover could not repoint are told again until they follow, or somebody else has decided
//! otherwise meanwhile.

use crate::api::journal::Repair;
use crate::controller::Context;
use crate::controller::access::Access;
use crate::controller::reattach::{reattach, trouble};
use crate::kubernetes::Kubernetes;
use crate::mysql::Servers;
use crate::topology::{Instance, Topology};

/// Tries every repair that is left; returns those that are still left.
pub async fn repair<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    topology: &Topology,
    primary: &str,
    repairs: &[Repair],
) -> Vec<Repair> {
    let Some(source) = topology.get(primary).and_then(Instance::facts) else { return repairs.to_vec() };
    let mut left = Vec::new();
    for repair in repairs {
        // The primary moved on, or the instance is gone for good: what was to be repaired is no more.
        if repair.source != primary || repair.instance == primary || access.pod(&repair.instance).is_none() {
            continue;
        }
        let seen = topology.get(&repair.instance).and_then(Instance::facts);
        if seen.is_some_and(|facts| trouble(facts, source, repair.start).is_none()) {
            continue;
        }
        let message =
            match reattach(context, access, &repair.instance, primary, source, repair.start, 0).await {
                // Kept until it is seen to follow.
                Ok(()) => "told to replicate from the primary; waiting until it does".to_owned(),
                Err(message) => crate::api::conditions::bounded(&message),
            };
        left.push(Repair { message, ..repair.clone() });
    }
    left
}
