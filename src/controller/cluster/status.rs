//! The status of a cluster from what was seen. Claim, epoch, history and repairs are carried over untouched.

use super::passes;
use crate::api::cluster::{InstanceRole, InstanceState, MySQLCluster, MySQLClusterStatus};
use crate::api::conditions::{self, Truth};
use crate::api::takeover::{Finding, Severity};
use crate::controller::Context;
use crate::topology::{Primary, Topology, health};

/// The status where the resource itself, or a Secret, has to be mended.
pub fn unusable<K, S>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    reason: &str,
    message: &str,
) -> MySQLClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    let now = context.clock.now();
    status.observed_generation = generation;
    let mut set = |type_: &str, truth: Truth, message: &str| {
        conditions::set(&mut status.conditions, type_, truth, reason, message, generation, &now);
    };
    set(conditions::READY, Truth::False, message);
    set(conditions::RECONCILING, Truth::False, "");
    set(conditions::STALLED, Truth::True, message);
    set(conditions::PRIMARY_WRITABLE, Truth::Unknown, message);
    set(conditions::REPLICATION_HEALTHY, Truth::Unknown, message);
    set(conditions::TAKEOVER_READY, Truth::False, message);
    status
}

/// The status from a look at the servers.
pub fn seen<K, S>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    topology: &Topology,
    findings: &[Finding],
) -> MySQLClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let generation = cluster.metadata.generation.unwrap_or_default();
    let now = context.clock.now();
    let max_lag = cluster.spec.takeover_defaults.max_replication_lag_seconds;
    let busy = status.active_takeover.as_ref().map(|active| active.name.clone());

    let (primary, writable) = writable(topology);
    status.observed_generation = generation;
    status.instances = health::instances(topology, primary.as_deref(), max_lag);
    status.replicas = Some(health::replicas_summary(&status.instances));
    // While a takeover moves the primary, the takeover says who it is.
    if busy.is_none() {
        status.primary.clone_from(&primary);
    }
    let unhealthy: Vec<String> = status
        .instances
        .iter()
        .filter(|instance| instance.state != InstanceState::Healthy && instance.role != InstanceRole::Primary)
        .map(|instance| {
            format!("{}: {}", instance.name, instance.message.as_deref().unwrap_or("not healthy"))
        })
        .collect();
    let mut set = |type_: &str, truth: Truth, reason: &str, message: &str| {
        conditions::set(&mut status.conditions, type_, truth, reason, message, generation, &now);
    };
    let (writable_truth, writable_reason, writable_message) = &writable;
    set(conditions::PRIMARY_WRITABLE, *writable_truth, writable_reason, writable_message);
    let (replicating, reason, message) = if unhealthy.is_empty() {
        (Truth::True, "AllReplicating", "every replica replicates from the primary".to_owned())
    } else {
        (Truth::False, "ReplicasUnhealthy", unhealthy.join("; "))
    };
    set(conditions::REPLICATION_HEALTHY, replicating, reason, &message);
    match (&busy, passes(findings)) {
        (Some(name), _) => set(
            conditions::TAKEOVER_READY,
            Truth::False,
            "TakeoverInProgress",
            &format!("MasterTakeover {name} runs"),
        ),
        (None, true) => set(
            conditions::TAKEOVER_READY,
            Truth::True,
            "PreflightPassed",
            "a takeover would pass its preflight now",
        ),
        (None, false) => set(conditions::TAKEOVER_READY, Truth::False, "PreflightFailed", &errors(findings)),
    }
    match (&busy, *writable_truth, unhealthy.is_empty()) {
        // Never a state that tools show as degraded: what happens is what was asked for.
        (Some(name), _, _) => {
            let message = format!("MasterTakeover {name} runs");
            set(conditions::READY, Truth::Unknown, "TakeoverInProgress", &message);
            set(conditions::RECONCILING, Truth::True, "TakeoverInProgress", &message);
            set(conditions::STALLED, Truth::False, "TakeoverInProgress", "");
        }
        (None, Truth::True, true) => {
            set(
                conditions::READY,
                Truth::True,
                "TopologyHealthy",
                "one writable primary, and every replica replicates from it",
            );
            set(conditions::RECONCILING, Truth::False, "TopologyHealthy", "");
            set(conditions::STALLED, Truth::False, "TopologyHealthy", "");
        }
        (None, Truth::True, false) => {
            let message = unhealthy.join("; ");
            set(conditions::READY, Truth::False, "ReplicasUnhealthy", &message);
            set(conditions::RECONCILING, Truth::True, "ReplicasUnhealthy", &message);
            set(conditions::STALLED, Truth::False, "ReplicasUnhealthy", "");
        }
        (None, Truth::False | Truth::Unknown, _) => {
            set(conditions::READY, Truth::False, writable_reason, writable_message);
            set(conditions::RECONCILING, Truth::True, writable_reason, writable_message);
            set(conditions::STALLED, Truth::False, writable_reason, "");
        }
    }
    status
}

fn writable(topology: &Topology) -> (Option<String>, (Truth, &'static str, String)) {
    match topology.primary() {
        Primary::One(name) => {
            let message = format!("{name} accepts writes");
            (Some(name), (Truth::True, "OnePrimary", message))
        }
        Primary::None => (
            None,
            (
                Truth::False,
                "NoPrimary",
                "no instance that can be reached accepts writes. If the primary is down, bring it back; if all are read-only, set super_read_only=OFF and read_only=OFF on the one that should be primary".to_owned(),
            ),
        ),
        Primary::Many(names) => (
            None,
            (
                Truth::False,
                "SeveralPrimaries",
                format!("{} accept writes at the same time. Set super_read_only=ON on all but one at once", names.join(", ")),
            ),
        ),
    }
}

fn errors(findings: &[Finding]) -> String {
    let errors: Vec<String> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| match &finding.subject {
            Some(subject) => format!("{} ({subject}): {}", finding.code, finding.remedy),
            None => format!("{}: {}", finding.code, finding.remedy),
        })
        .collect();
    errors.join(" | ")
}
