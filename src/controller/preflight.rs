//! Gathers what the preflight looks at, and runs it. The takeover and the cluster's `TakeoverReady` use the same.

use super::Context;
use super::access::Access;
use super::observe::{self, Look};
use crate::api::cluster::{ManageServices, MySQLCluster, Services};
use crate::api::takeover::Finding;
use crate::kubernetes::port::ServiceView;
use crate::kubernetes::{ApiError, Key, Kubernetes};
use crate::mysql::Servers;
use crate::takeover::Limits;
use crate::takeover::preflight::{
    LoginCheck, Observation, ServiceProblem, ServiceSeen, ServicesSeen, preflight,
};
use kube::ResourceExt;

/// Checks a takeover from `old` to `new` against what was just seen.
pub async fn check<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    access: &Access,
    look: &mut Look<S::Session>,
    (old, new): (Option<&str>, Option<&str>),
    limits: &Limits,
) -> Result<Vec<Finding>, ApiError> {
    let activity = match old {
        Some(old) => observe::activity(look, old, limits.long_transaction_seconds).await,
        None => None,
    };
    let (services, login) = tokio::join!(services(context, cluster), replication_login(context, access, new));
    let services = services?;
    Ok(preflight(&Observation {
        topology: &look.topology,
        old_primary: old,
        new_primary: new,
        limits,
        activity: activity.as_ref(),
        replication_login: &login,
        replication_password_length: access.replication.password().chars().count(),
        tls_mode: cluster.spec.tls.mode,
        services: services.as_ref(),
    }))
}

/// Logs in at the new primary as a replica will.
async fn replication_login<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    new: Option<&str>,
) -> LoginCheck {
    let Some(endpoint) = new.and_then(|new| access.pod(new)).and_then(|pod| access.endpoint(pod)) else {
        return LoginCheck::NotTried;
    };
    let endpoint = crate::mysql::Endpoint { login: access.replication.clone(), ..endpoint };
    match context.servers.check_login(&endpoint, context.settings.connect_limit).await {
        Ok(()) => LoginCheck::Works,
        Err(error) => LoginCheck::Failed(error.message),
    }
}

async fn services<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
) -> Result<Option<ServicesSeen>, ApiError> {
    let Some(wanted) = &cluster.spec.routing.services else { return Ok(None) };
    let label = &cluster.spec.routing.role_label;
    let primary =
        service(context, cluster, wanted, &wanted.primary, (&label.key, &label.primary_value)).await?;
    let replicas = match &wanted.replicas {
        Some(name) => {
            Some(service(context, cluster, wanted, name, (&label.key, &label.replica_value)).await?)
        }
        None => None,
    };
    Ok(Some(ServicesSeen { manage: wanted.manage, primary, replicas }))
}

async fn service<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    cluster: &MySQLCluster,
    services: &Services,
    name: &str,
    role: (&str, &str),
) -> Result<ServiceSeen, ApiError> {
    let key = Key::new(cluster.namespace().unwrap_or_default(), name);
    let seen = context.kubernetes.service(&key).await?;
    let problems = match seen {
        None => vec![ServiceProblem::Missing],
        Some(view) => problems(&view, cluster, services.manage, role),
    };
    Ok(ServiceSeen { name: name.to_owned(), problems })
}

fn problems(
    view: &ServiceView,
    cluster: &MySQLCluster,
    manage: ManageServices,
    (key, value): (&str, &str),
) -> Vec<ServiceProblem> {
    let mut problems = Vec::new();
    if view.type_ == "ExternalName" {
        problems.push(ServiceProblem::ExternalName);
    }
    if view.external_ips {
        problems.push(ServiceProblem::ExternalIPs);
    }
    match manage {
        ManageServices::Create => {
            if view.owner_uid != cluster.uid() {
                problems.push(ServiceProblem::NotOwned);
            }
        }
        ManageServices::Observe => {
            if view.selector.get(key).map(String::as_str) != Some(value) {
                problems.push(ServiceProblem::SelectorIgnoresRole { wanted: format!("{key}={value}") });
            }
        }
    }
    problems
}
