//! Accounts, transport and Services.

use super::{Code, Findings, LoginCheck, Scene, ServiceProblem, ServiceSeen};
use crate::api::cluster::{ManageServices, TlsMode};
use crate::api::takeover::Severity;
use crate::topology::wording::brief;

/// The longest password of `CHANGE REPLICATION SOURCE`; beyond it the server answers with error 3056.
const LONGEST_REPLICATION_PASSWORD: usize = 32;

pub(super) fn accounts(scene: &Scene<'_>, findings: &mut Findings) {
    match scene.seen.replication_login {
        LoginCheck::NotTried | LoginCheck::Works => {}
        LoginCheck::Failed(why) => {
            let target = scene.target.map(|target| target.name.as_str());
            findings.add(
                Code::ReplicationLoginFailed,
                Severity::Error,
                target,
                format!("The replication account cannot log in at {}: {}.", target.unwrap_or("the new primary"), brief(why)),
                "Compare the Secret of `spec.replicationCredentials` with the account (config/mysql/operator-account.sql). An account made with sql_log_bin=0 exists on one server only; one with REQUIRE SSL needs a `tls.mode` other than Disabled.",
            );
        }
    }
    let length = scene.seen.replication_password_length;
    if length > LONGEST_REPLICATION_PASSWORD {
        findings.add(
            Code::ReplicationPasswordTooLong,
            Severity::Error,
            None,
            format!(
                "The replication password has {length} characters; CHANGE REPLICATION SOURCE takes {LONGEST_REPLICATION_PASSWORD} at most."
            ),
            "Set a shorter one: `ALTER USER … IDENTIFIED BY …` on the primary, then the Secret of `spec.replicationCredentials`.",
        );
    }
    match scene.seen.tls_mode {
        TlsMode::VerifyIdentity | TlsMode::VerifyCA | TlsMode::Required => {}
        TlsMode::Disabled => findings.add(
            Code::TlsDisabled,
            Severity::Warning,
            None,
            "Passwords and data cross the network in clear (`tls.mode: Disabled`).",
            "Set `spec.tls.mode: VerifyIdentity` and `spec.tls.caSecretRef`; `Required` at least.",
        ),
    }
}

pub(super) fn services(scene: &Scene<'_>, findings: &mut Findings) {
    let Some(services) = scene.seen.services else { return };
    for problem in &services.primary.problems {
        service(&services.primary, problem, services.manage, Severity::Error, findings);
    }
    // Reads that go astray are no reason to refuse: writes do not depend on that Service.
    if let Some(replicas) = &services.replicas {
        for problem in &replicas.problems {
            service(replicas, problem, services.manage, Severity::Warning, findings);
        }
    }
    match services.manage {
        ManageServices::Create => {}
        ManageServices::Observe => findings.add(
            Code::ObservedServices,
            Severity::Warning,
            Some(&services.primary.name),
            "With `manage: Observe` routing is two label patches: new connections may meet the read-only server for up to a second.",
            "Nothing, if clients try again. Else `manage: Create`: then routing is one write.",
        ),
    }
}

fn service(
    service: &ServiceSeen,
    problem: &ServiceProblem,
    manage: ManageServices,
    severity: Severity,
    findings: &mut Findings,
) {
    let name = &service.name;
    let unsuitable = |what: &str| {
        (
            Code::ServiceUnsuitable,
            format!("Service {name} {what}, so moving it would not move its clients."),
            format!(
                "Name a Service of type ClusterIP, NodePort or LoadBalancer without externalIPs in `spec.routing.services`, or correct {name}."
            ),
        )
    };
    let (code, message, remedy) = match problem {
        ServiceProblem::Missing => {
            let remedy = match manage {
                ManageServices::Create => "Wait a moment: the operator creates it. If it does not, look at the Events of the MySQLCluster.".to_owned(),
                ManageServices::Observe => format!("Create Service {name} with the role label in its selector, or set `manage: Create`."),
            };
            (Code::ServiceMissing, format!("There is no Service {name}."), remedy)
        }
        ServiceProblem::NotOwned => (
            Code::ServiceNotOwned,
            format!("Service {name} exists, but this MySQLCluster did not create it (`manage: Create`)."),
            format!(
                "Choose another name in `spec.routing.services`, delete Service {name}, or set `manage: Observe`."
            ),
        ),
        ServiceProblem::ExternalName => unsuitable("is of type ExternalName"),
        ServiceProblem::ExternalIPs => unsuitable("has externalIPs"),
        ServiceProblem::SelectorIgnoresRole { wanted } => (
            Code::ServiceSelectorIgnoresRole,
            format!(
                "The selector of Service {name} does not contain {}, so it would not move.",
                brief(wanted)
            ),
            format!("Add {} to `spec.selector` of Service {name}.", brief(wanted)),
        ),
    };
    findings.add(code, severity, Some(name), message, remedy);
}
