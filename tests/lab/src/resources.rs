//! `MySQLCluster` and `MasterTakeover` as any other client of the API sees them: the lab does not know the operator's types,
//! so it notices when they change for users.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::json;

use crate::wait::{Look, until};

/// How often a resource is read while waiting for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The `MySQLCluster`s of a namespace.
pub fn clusters(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "MySQLCluster", "mysqlclusters")
}

/// The `MasterTakeover`s of a namespace.
pub fn takeovers(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "MasterTakeover", "mastertakeovers")
}

fn api(client: &Client, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("mysql-takeover.io", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, plural))
}

/// A condition of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it speaks of.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// One step of a takeover.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name.
    pub name: String,
    /// `Pending`, `Running`, `Done` and so on.
    pub state: String,
    /// When it began.
    pub start_time: Option<jiff::Timestamp>,
    /// When it ended.
    pub completion_time: Option<jiff::Timestamp>,
    /// What was done, or what went wrong.
    pub message: Option<String>,
}

impl Step {
    /// How long it took.
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from(self.completion_time?.duration_since(self.start_time?)).ok()
    }
}

/// Something that the preflight found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// Its stable name.
    pub code: String,
    /// `Error` or `Warning`.
    pub severity: String,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// The status of a `MasterTakeover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TakeoverStatus {
    /// The instance that hands over.
    pub old_primary: Option<String>,
    /// The instance that takes over.
    pub new_primary: Option<String>,
    /// All steps.
    pub steps: Vec<Step>,
    /// What the preflight found.
    pub findings: Vec<Finding>,
    /// The write outage that the operator saw.
    pub write_outage_milliseconds: Option<i64>,
    /// The same in microseconds.
    pub write_outage_microseconds: Option<i64>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

impl TakeoverStatus {
    /// The condition `Succeeded`.
    pub fn succeeded(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == "Succeeded")
    }

    /// Whether it has ended, well or not.
    pub fn is_finished(&self) -> bool {
        self.succeeded().is_some_and(|condition| condition.status != "Unknown")
    }

    /// The write outage that the operator saw, as exactly as it tells.
    pub fn write_outage(&self) -> Option<Duration> {
        let microseconds =
            self.write_outage_microseconds.or_else(|| Some(self.write_outage_milliseconds? * 1000))?;
        Some(Duration::from_micros(u64::try_from(microseconds).ok()?))
    }

    /// # Errors
    /// The reason, the message and the findings of a takeover that has not succeeded.
    pub fn verify(&self) -> Result<()> {
        let Some(condition) = self.succeeded() else { bail!("the operator has not looked at it yet") };
        if condition.status == "True" {
            return Ok(());
        }
        let mut text = format!("{}: {}", condition.reason, condition.message);
        for finding in self.findings.iter().filter(|finding| finding.severity == "Error") {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {}: {} {}", finding.code, finding.message, finding.remedy);
        }
        Err(anyhow!(text))
    }
}

/// A resource's status; the default where it has none yet.
pub fn status<T: for<'a> Deserialize<'a> + Default>(object: &DynamicObject) -> Result<T> {
    match object.data.get("status") {
        Some(status) => serde_json::from_value(status.clone()).context("read the status"),
        None => Ok(T::default()),
    }
}

/// Waits until a resource has a condition with status `True`.
///
/// # Errors
/// That it has not within `limit`, with what the condition said last.
pub async fn wait_for_condition(
    api: &Api<DynamicObject>,
    name: &str,
    kind: &str,
    limit: Duration,
) -> Result<DynamicObject> {
    until(&format!("{name} {kind}"), limit, LOOK_INTERVAL, async || {
        let object = match api.get(name).await {
            Ok(object) => object,
            Err(error) => return Ok(Look::NotYet(format!("{:#}", anyhow!(error)))),
        };
        let conditions: Vec<Condition> = match object.data.pointer("/status/conditions") {
            Some(conditions) => serde_json::from_value(conditions.clone()).context("read conditions")?,
            None => Vec::new(),
        };
        Ok(match conditions.into_iter().find(|condition| condition.kind == kind) {
            Some(condition) if condition.status == "True" => Look::Ready(object),
            Some(Condition { status, reason, message, .. }) => {
                Look::NotYet(format!("{status}, {reason}: {message}"))
            }
            None => Look::NotYet("the operator has not reported this condition; does it run?".to_owned()),
        })
    })
    .await
}

/// Creates a takeover that makes `new_primary` the primary of `cluster`.
pub async fn create_takeover(
    api: &Api<DynamicObject>,
    name: &str,
    cluster: &str,
    new_primary: &str,
) -> Result<()> {
    let takeover: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "mysql-takeover.io/v1alpha1",
        "kind": "MasterTakeover",
        "metadata": {"name": name},
        "spec": {"clusterRef": {"name": cluster}, "newPrimary": new_primary},
    }))
    .context("write a MasterTakeover")?;
    api.create(&PostParams::default(), &takeover)
        .await
        .with_context(|| format!("create MasterTakeover {name}"))?;
    Ok(())
}

/// Follows a takeover until it has ended, and hands every status that was seen to `seen`.
///
/// # Errors
/// That it has not ended within `limit`. How it ended is in the returned status: see [`TakeoverStatus::verify`].
pub async fn follow_takeover(
    api: &Api<DynamicObject>,
    name: &str,
    limit: Duration,
    mut seen: impl FnMut(&TakeoverStatus),
) -> Result<TakeoverStatus> {
    until(&format!("end of takeover {name}"), limit, LOOK_INTERVAL, async || {
        let object = match api.get(name).await {
            Ok(object) => object,
            Err(error) => return Ok(Look::NotYet(format!("{:#}", anyhow!(error)))),
        };
        let status: TakeoverStatus = status(&object)?;
        seen(&status);
        if status.is_finished() {
            return Ok(Look::Ready(status));
        }
        Ok(Look::NotYet(match status.succeeded() {
            Some(condition) => format!("{}: {}", condition.reason, condition.message),
            None => "the operator has not looked at it; does it run?".to_owned(),
        }))
    })
    .await
}

/// Waits until the operator reports `name` as the primary of a cluster that is ready for a takeover.
pub async fn wait_for_primary(
    api: &Api<DynamicObject>,
    cluster: &str,
    name: &str,
    limit: Duration,
) -> Result<()> {
    until(&format!("{name} as the primary of {cluster}"), limit, LOOK_INTERVAL, async || {
        let object = match api.get(cluster).await {
            Ok(object) => object,
            Err(error) => return Ok(Look::NotYet(format!("{:#}", anyhow!(error)))),
        };
        let status: ClusterStatus = status(&object)?;
        let Some(ready) = status.conditions.iter().find(|condition| condition.kind == "TakeoverReady") else {
            return Ok(Look::NotYet("the operator has not reported TakeoverReady".to_owned()));
        };
        Ok(match (status.primary.as_deref(), ready.status.as_str()) {
            (Some(primary), "True") if primary == name => Look::Ready(()),
            (primary, _) => {
                Look::NotYet(format!("primary is {primary:?}; {}: {}", ready.reason, ready.message))
            }
        })
    })
    .await
}

/// The status of a `MySQLCluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// The instance that accepts writes.
    pub primary: Option<String>,
    /// All instances.
    pub instances: Vec<Instance>,
    /// Conditions.
    pub conditions: Vec<Condition>,
}

/// One instance of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Name of its Pod.
    pub name: String,
    /// `Primary`, `Replica` or `Unknown`.
    pub role: String,
    /// Whether it accepts writes.
    pub writable: bool,
    /// Its health.
    pub state: String,
    /// Version of its server.
    pub version: Option<String>,
}
