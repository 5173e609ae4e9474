//! Everything that can be checked before anything is changed. All findings are reported, each with what to do.

use super::Limits;
use crate::api::cluster::{ManageServices, TlsMode};
use crate::api::takeover::Finding;
use crate::topology::{Activity, Topology};

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

/// Everything that speaks against the takeover, errors first. Empty: nothing does.
pub fn preflight(_observation: &Observation<'_>) -> Vec<Finding> {
    Vec::new()
}
/// b
pub fn blocks(f: &[Finding]) -> bool {
    f.iter().any(|f| f.severity == crate::api::takeover::Severity::Error)
}
/// w
pub fn only_waitable(_f: &[Finding]) -> bool {
    false
}
