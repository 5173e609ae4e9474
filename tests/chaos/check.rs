//! What must hold after every scenario, read from the servers and the API. Lost, late and forked writes and samples with two
//! writable servers are in the clients' own report.

use crate::lane::Lane;
use crate::play::{Ending, Play};
use crate::scenario::{Fault, Way};
use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use lab::wait::Look;
use mysql_takeover::takeover::Reason;
use std::collections::BTreeMap;

const LABEL: &str = "mysql-takeover.io/role";
/// How a replica follows: host, encryption, both threads.
const FOLLOWS: &str = "SELECT CONCAT_WS(' ', c.HOST, c.SSL_ALLOWED, s.SERVICE_STATE, a.SERVICE_STATE) \
    FROM performance_schema.replication_connection_configuration c \
    JOIN performance_schema.replication_connection_status s USING (CHANNEL_NAME) \
    JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME)";
/// Our lock, and sessions of a takeover.
const LEFT: &str = "SELECT CONCAT((SELECT COUNT(*) FROM performance_schema.metadata_locks \
    WHERE OBJECT_TYPE = 'USER LEVEL LOCK'), ' locks, ', \
    (SELECT COUNT(*) FROM performance_schema.user_variables_by_thread \
    WHERE VARIABLE_NAME = 'mysql_takeover_epoch' AND VARIABLE_VALUE <> '0'), ' sessions')";

/// Everybody replicates from the one primary over TLS, and the labels say who is who.
pub async fn members(play: &Play<'_>) -> Result<()> {
    let lane = &*play.lane;
    let primary = lane.primary().await?;
    for number in (0..3).filter(|number| *number != primary) {
        let wanted = format!("{} YES ON ON", lane.address(primary).ip());
        lane.until(&format!("{} to follow {}", lane.name(number), lane.name(primary)), async || {
            let found = lane.server(number).query::<(String,)>(FOLLOWS).await?;
            Ok(match found {
                Some((found,)) if found == wanted => Look::Ready(()),
                found => Look::NotYet(format!("{found:?}, not {wanted}")),
            })
        })
        .await?;
    }
    let own = lane.server(primary).query::<(String,)>(FOLLOWS).await?;
    ensure!(own.is_none(), "the primary has a source: {own:?}");
    lane.until("exactly the primary's Pod to be labelled so", async || {
        let labelled = labelled(lane).await?;
        Ok(if labelled == [lane.name(primary)] {
            Look::Ready(())
        } else {
            Look::NotYet(format!("{labelled:?} are, the primary is {}", lane.name(primary)))
        })
    })
    .await
}

async fn labelled(lane: &Lane) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(lane.namespace.client.clone(), &lane.namespace.name);
    let selected = pods.list(&ListParams::default().labels(&format!("{LABEL}=primary"))).await?;
    Ok(selected.into_iter().filter_map(|pod| pod.metadata.name).collect())
}

/// No claim, no lock, no session of a takeover is left.
pub async fn claim_is_free(play: &Play<'_>) -> Result<()> {
    let lane = &*play.lane;
    let active = lane.cluster_status().await?["activeTakeover"].clone();
    ensure!(active.is_null(), "the claim is still held: {active}");
    for server in &lane.topology.servers {
        lane.until(&format!("no lock or session to be left on {}", server.name()), async || {
            let left = server.value(LEFT).await?;
            Ok(if left == "0 locks, 0 sessions" { Look::Ready(()) } else { Look::NotYet(left) })
        })
        .await?;
    }
    Ok(())
}

/// The end is the right one for the fault, told with a reason, and once. In a word.
pub async fn ending(play: &Play<'_>, ending: &Ending) -> Result<String> {
    let primary = play.lane.primary().await?;
    let Ending::Told(status) = ending else {
        ensure!([play.old, play.new].contains(&primary), "a third server became the primary");
        return Ok(if primary == play.new { "gone, moved" } else { "gone, not moved" }.to_owned());
    };
    let condition = status.succeeded().context("no condition Succeeded")?;
    let told = format!("{}: {}", condition.reason, condition.message);
    ensure!(!condition.message.is_empty(), "{} without a message", condition.reason);
    ensure!(Reason::parse(&condition.reason).is_some(), "an unknown reason: {told}");
    let promoted = condition.reason == Reason::Promoted.as_str();
    ensure!(promoted == (condition.status == "True"), "{} is {}", condition.reason, condition.status);
    let wanted = if promoted { play.new } else { play.old };
    ensure!(primary == wanted, "it ended with {told}, and {} is the primary", play.lane.name(primary));
    if play.scenario.fault.is_transparent() {
        let expected = play.scenario.way != Way::Back;
        ensure!(promoted == expected, "the fault is none of its business, and it ended with {told}");
    }
    events(play, &condition.reason).await?;
    Ok(condition.reason.clone())
}

/// Each transition is told once; not at all where the operator died in between.
async fn events(play: &Play<'_>, end: &str) -> Result<()> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in all_events(play.lane).await? {
        if event.regarding.as_ref().and_then(|about| about.name.as_ref()) == Some(&play.name) {
            *counts.entry(event.reason.unwrap_or_default()).or_default() += 1;
        }
    }
    for reason in ["TakeoverStarted", end] {
        let count = counts.get(reason).copied().unwrap_or_default();
        ensure!(count <= 1, "{count} events {reason}: {counts:?}");
        if play.scenario.fault == Fault::None {
            ensure!(count == 1, "no event {reason}: {counts:?}");
        }
    }
    Ok(())
}

async fn all_events(lane: &Lane) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(lane.namespace.client.clone(), &lane.namespace.name);
    Ok(events.list(&ListParams::default()).await?.items)
}

/// No password is in a log, a command line, a status or an event.
pub async fn no_secret_is_told(play: &Play<'_>) -> Result<()> {
    let lane = &*play.lane;
    let mut texts = BTreeMap::new();
    for operator in &play.operators {
        let process = operator.process();
        texts.insert(format!("log of {}", process.name()), std::fs::read_to_string(process.log())?);
        let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid()));
        texts.insert(format!("arguments of {}", process.name()), arguments.unwrap_or_default());
        if let Ok(metrics) = operator.page("/metrics").await {
            texts.insert(format!("metrics of {}", process.name()), metrics);
        }
    }
    texts.insert("events".to_owned(), serde_json::to_string(&all_events(lane).await?)?);
    texts.insert(
        "takeovers".to_owned(),
        serde_json::to_string(&lane.takeovers().list(&ListParams::default()).await?)?,
    );
    texts.insert(
        "cluster".to_owned(),
        serde_json::to_string(&lane.clusters().list(&ListParams::default()).await?)?,
    );
    for (place, text) in &texts {
        if lane.secrets.iter().any(|secret| text.contains(secret)) {
            bail!("a password is in the {place}");
        }
    }
    Ok(())
}
