//! Everything that can be checked before anything is changed. All findings are reported, each with what to do.

mod activity;
mod code;
mod primary;
mod replicas;
mod routing;
mod servers;
#[cfg(test)]
mod tests;

use super::Limits;
use crate::api::cluster::{ManageServices, TlsMode};
use crate::api::common::{LongTransactionPolicy, ReplicaPolicy};
use crate::api::conditions::bounded;
use crate::api::takeover::{Finding, Severity};
use crate::topology::candidate::{NoCandidate, choose};
use crate::topology::{Activity, Instance, Primary, Topology};

pub use code::Code;

/// What the preflight looks at.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// What the servers told.
    pub topology: &'a Topology,
    /// The instance that hands over, once resolved; absent where there is no unique primary.
    pub old_primary: Option<&'a str>,
    /// The instance that takes over, named or chosen; absent where none could be chosen.
    pub new_primary: Option<&'a str>,
    /// Limits and policies.
    pub limits: &'a Limits,
    /// What goes on at the old primary; absent where it could not be read.
    pub activity: Option<&'a Activity>,
    /// Whether the replication account can log in at the new primary.
    pub replication_login: &'a LoginCheck,
    /// Characters of the replication password; the server allows 32 (error 3056).
    pub replication_password_length: usize,
    /// Transport security of the cluster.
    pub tls_mode: TlsMode,
    /// The Services; absent where the cluster names none.
    pub services: Option<&'a ServicesSeen>,
}

/// What became of trying a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginCheck {
    /// There was no server to try it on.
    NotTried,
    /// It works.
    Works,
    /// It was refused, or could not be tried; in words.
    Failed(String),
}

/// What was seen of the Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicesSeen {
    /// Who owns them.
    pub manage: ManageServices,
    /// The primary Service.
    pub primary: ServiceSeen,
    /// The replica Service, where one is named.
    pub replicas: Option<ServiceSeen>,
}

/// What was seen of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSeen {
    /// Its name.
    pub name: String,
    /// What is wrong with it for our purpose, in words; empty when nothing is.
    pub problems: Vec<ServiceProblem>,
}

/// What can be wrong with a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceProblem {
    /// There is none of that name. With `manage: Create` the cluster controller is about to make it.
    Missing,
    /// `manage: Create`, but the cluster does not own it.
    NotOwned,
    /// `type: ExternalName`.
    ExternalName,
    /// It has `externalIPs`.
    ExternalIPs,
    /// `manage: Observe`, but its selector does not contain the role label with the value wanted.
    SelectorIgnoresRole {
        /// The label, `key=value`, that the selector must contain.
        wanted: String,
    },
}

/// Most findings that a status holds.
const MOST_FINDINGS: usize = 128;

/// Everything that speaks against the takeover, errors first. Empty: nothing does.
///
/// The primary's GTID set must have been read after those of its replicas: a transaction that arrived in between would
/// else look errant.
pub fn preflight(observation: &Observation<'_>) -> Vec<Finding> {
    let scene = Scene::of(observation);
    let mut findings = Findings::default();
    primary::check(&scene, &mut findings);
    replicas::check(&scene, &mut findings);
    servers::check(&scene, &mut findings);
    activity::check(&scene, &mut findings);
    routing::accounts(&scene, &mut findings);
    routing::services(&scene, &mut findings);
    findings.finish()
}

/// Whether any of them refuses the takeover.
pub fn blocks(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Whether whatever refuses the takeover ends by itself, and `longTransactionPolicy` says to wait for that. False where
/// nothing refuses it.
pub fn only_waitable(findings: &[Finding], policy: LongTransactionPolicy) -> bool {
    let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error).peekable();
    let waits = match policy {
        LongTransactionPolicy::Wait => errors.peek().is_some(),
        LongTransactionPolicy::Fail | LongTransactionPolicy::Kill => false,
    };
    waits && errors.all(|finding| activity::WAITABLE.iter().any(|code| code.code() == finding.code))
}

/// The observation with the instances resolved.
struct Scene<'a> {
    seen: &'a Observation<'a>,
    /// The one instance that accepts writes.
    primary: Option<&'a Instance>,
    /// The instance that takes over: the one named, or the one that would be chosen.
    target: Option<&'a Instance>,
    /// Why none can be chosen, where none was named.
    no_candidate: Option<NoCandidate>,
}

impl<'a> Scene<'a> {
    fn of(seen: &'a Observation<'a>) -> Self {
        let topology = seen.topology;
        let primary = match topology.primary() {
            Primary::One(name) => topology.get(&name),
            Primary::None | Primary::Many(_) => None,
        };
        let (target, no_candidate) = match (seen.new_primary, primary) {
            (Some(name), _) => (topology.get(name), None),
            (None, None) => (None, None),
            (None, Some(primary)) => match choose(topology, &primary.name, seen.limits) {
                Ok(choice) => (topology.get(&choice.name), None),
                Err(none) => (None, Some(none)),
            },
        };
        // A takeover to the primary itself is none; the caller ends it.
        let target = target.filter(|target| primary.is_none_or(|primary| primary.name != target.name));
        Self { seen, primary, target, no_candidate }
    }

    fn is_primary(&self, instance: &Instance) -> bool {
        self.primary.is_some_and(|primary| primary.name == instance.name)
    }

    fn is_target(&self, instance: &Instance) -> bool {
        self.target.is_some_and(|target| target.name == instance.name)
    }

    fn primary_name(&self) -> Option<&'a str> {
        self.primary.map(|primary| primary.name.as_str())
    }

    /// Weight of what keeps a replica other than the target from following.
    fn by_replica_policy(&self) -> Severity {
        match self.seen.limits.replica_policy {
            ReplicaPolicy::RequireAll => Severity::Error,
            ReplicaPolicy::BestEffort => Severity::Warning,
        }
    }
}

/// Findings on their way.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        code: Code,
        severity: Severity,
        subject: Option<&str>,
        message: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) {
        self.0.push(Finding {
            code: code.code().to_owned(),
            severity,
            subject: subject.map(|subject| subject.chars().take(253).collect()),
            message: bounded(message.as_ref()),
            remedy: bounded(remedy.as_ref()),
        });
    }

    /// Errors first, in the order in which they were found, and no more than a status holds.
    fn finish(self) -> Vec<Finding> {
        let mut findings = self.0;
        findings.sort_by_key(|finding| finding.severity);
        let left_out = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        if let (true, Some(last)) = (left_out > 0, findings.last_mut()) {
            last.message = bounded(&format!("{} ({left_out} more findings are left out)", last.message));
        }
        findings
    }
}
