//! Makes one instance replicate from the primary, if that can do no harm. Used by the takeover and by repairs after it.

use super::Context;
use super::access::Access;
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use crate::topology::ServerFacts;
use crate::topology::facts::ThreadState;

/// Makes `instance` replicate from `primary`, whose facts are `source`. Refuses where MySQL itself would not notice the
/// harm: transactions that the primary lacks, or that it has purged and the instance lacks.
///
/// # Errors
/// In words, for a status message; nothing was changed then, or it can be tried again.
pub async fn reattach<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    instance: &str,
    primary: &str,
    source: &ServerFacts,
    start: bool,
    epoch: i64,
) -> Result<(), String> {
    let pod = access.pod(instance).ok_or("its Pod is gone")?;
    let endpoint = access.endpoint(pod).ok_or("its Pod has no address")?;
    let primary_pod = access.pod(primary).ok_or_else(|| format!("there is no Pod {primary}"))?;
    let wanted = access.source(primary_pod).ok_or_else(|| {
        format!("{primary} has no address that replicas could use: give its Pod a hostname and a subdomain, or set `replicationAddress: PodIP`")
    })?;
    let tag = access.tag(context, epoch, "work");
    let mut session = context
        .servers
        .connect(&endpoint, &tag, context.settings.connect_limit)
        .await
        .map_err(|error| error.message)?;
    let facts = session.facts().await.map_err(|error| error.message)?;
    if facts.server_uuid == source.server_uuid {
        return Err("it is the primary itself".to_owned());
    }
    let errant = facts.executed.subtract(&source.executed);
    if !errant.is_empty() && !arrived_since(context, access, primary, &errant).await {
        return Err(format!(
            "it holds transactions that {primary} lacks ({errant}); attaching it would hide that. Rebuild it from {primary}, or apply them there as empty transactions"
        ));
    }
    if !facts.executed.contains(&source.purged) {
        return Err(format!("{primary} has purged transactions that it lacks. Rebuild it from {primary}"));
    }
    session.replicate_from(&wanted, start).await.map_err(|error| error.message)
}

/// Whether what looked errant is on the primary now: its facts may be older than the instance's.
async fn arrived_since<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    primary: &str,
    errant: &crate::topology::GtidSet,
) -> bool {
    let Some(endpoint) = access.pod(primary).and_then(|pod| access.endpoint(pod)) else { return false };
    let tag = access.tag(context, 0, "observe");
    match context.servers.connect(&endpoint, &tag, context.settings.connect_limit).await {
        Ok(mut session) => session.executed().await.is_ok_and(|executed| executed.contains(errant)),
        Err(_) => false,
    }
}

/// What keeps an instance from following, in words.
pub fn trouble(facts: &ServerFacts, source: &ServerFacts, start: bool) -> Option<String> {
    let errant = facts.executed.subtract(&source.executed);
    if !errant.is_empty() {
        return Some(format!("it holds transactions that the primary lacks: {errant}"));
    }
    let Some(channel) = facts.channel() else {
        return Some("it has no replication source".to_owned());
    };
    if !start {
        return None;
    }
    if channel.source_uuid != source.server_uuid {
        return Some("it does not replicate from the primary yet".to_owned());
    }
    match (channel.receiver, channel.applier) {
        (ThreadState::Running, ThreadState::Running) => None,
        (receiver, applier) => {
            let error = channel.receiver_error.as_ref().or(channel.applier_error.as_ref());
            let error = error.map_or_else(String::new, |(number, text)| format!(", error {number}: {text}"));
            Some(format!("receiver {receiver:?}, applier {applier:?}{error}"))
        }
    }
}
