//! One look at every server of a cluster, side by side, each within its bound: a server that hangs holds up nobody.

use super::Context;
use super::access::Access;
use crate::kubernetes::Kubernetes;
use crate::kubernetes::port::PodView;
use crate::mysql::{ServerError, ServerErrorKind, Servers, Session};
use crate::topology::{Activity, Instance, Primary, Seen, Topology};
use futures::future::join_all;
use std::collections::BTreeMap;

/// What one look saw, with the sessions that saw it.
pub struct Look<S> {
    /// The instances.
    pub topology: Topology,
    /// Observing sessions that still work, by instance.
    pub sessions: BTreeMap<String, S>,
}

/// Looks at every instance. The primary's executed set is read once more after all others, so that a transaction which
/// arrived in between does not look errant on a replica.
pub async fn look<K: Kubernetes, S: Servers>(context: &Context<K, S>, access: &Access) -> Look<S::Session> {
    let seen = join_all(access.pods.iter().map(|pod| look_at(context, access, pod))).await;
    let mut instances = Vec::with_capacity(seen.len());
    let mut sessions = BTreeMap::new();
    for (pod, (seen, session)) in access.pods.iter().zip(seen) {
        if let Some(session) = session {
            sessions.insert(pod.name.clone(), session);
        }
        instances.push(Instance {
            name: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            replication_host: access.replication_host(pod).unwrap_or_default(),
            rule: access.rule(&pod.name),
            seen,
        });
    }
    let mut topology = Topology::new(instances);
    if let Primary::One(primary) = topology.primary()
        && let Some(session) = sessions.get_mut(&primary)
        && let Ok(executed) = session.executed().await
    {
        for instance in &mut topology.instances {
            if let (true, Seen::Facts(facts)) = (instance.name == primary, &mut instance.seen) {
                facts.executed = executed.clone();
            }
        }
    }
    Look { topology, sessions }
}

async fn look_at<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    pod: &PodView,
) -> (Seen, Option<S::Session>) {
    let Some(endpoint) = access.endpoint(pod) else {
        return (Seen::Unreachable("the Pod has no address yet".to_owned()), None);
    };
    let tag = access.tag(context, 0, "observe");
    let limit = context.settings.connect_limit;
    let mut session = match context.servers.connect(&endpoint, &tag, limit).await {
        Ok(session) => session,
        Err(error) => return (not_seen(context, &error), None),
    };
    match session.facts().await {
        Ok(facts) => (Seen::Facts(Box::new(facts)), Some(session)),
        Err(error) => (not_seen(context, &error), None),
    }
}

fn not_seen<K, S>(context: &Context<K, S>, error: &ServerError) -> Seen {
    match error.kind {
        ServerErrorKind::AccessDenied => {
            context.metrics.server_error("access_denied");
            Seen::AccessDenied(format!("{}: {}", error.action, error.message))
        }
        ServerErrorKind::Unreachable => {
            context.metrics.server_error("unreachable");
            Seen::Unreachable(format!("{}: {}", error.action, error.message))
        }
        ServerErrorKind::Refused | ServerErrorKind::Unknown => {
            context.metrics.server_error("no_answer");
            Seen::Unreachable(format!("{}: {}", error.action, error.message))
        }
    }
}

/// What goes on at an instance; absent where it cannot be read.
pub async fn activity<S: Session>(
    look: &mut Look<S>,
    instance: &str,
    older_than_seconds: i32,
) -> Option<Activity> {
    look.sessions.get_mut(instance)?.activity(older_than_seconds).await.ok()
}
