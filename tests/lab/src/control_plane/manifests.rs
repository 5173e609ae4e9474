//! Server-side apply of YAML documents.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use kube::{Api, Client};

use crate::wait::{Look, until};

/// The field manager that the lab applies as.
const FIELD_MANAGER: &str = "mysql-takeover-lab";

/// How long a custom resource definition may take until it is served.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(30);

/// The documents of a YAML text, empty ones left out.
pub fn documents(yaml: &str) -> Result<Vec<DynamicObject>> {
    let values: Vec<serde_json::Value> = serde_saphyr::from_multiple(yaml).context("parse YAML")?;
    values
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| {
            let shown =
                value.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
            serde_json::from_value(value)
                .with_context(|| format!("document {shown:?} is no Kubernetes object"))
        })
        .collect()
}

/// Applies every document in order, and waits after each custom resource definition until it is served. `namespace` is for
/// namespaced objects that name none; without it they go to `default`.
pub async fn apply(client: &Client, yaml: &str, namespace: Option<&str>) -> Result<()> {
    for object in documents(yaml)? {
        apply_one(client, object, namespace).await?;
    }
    Ok(())
}

async fn apply_one(client: &Client, object: DynamicObject, namespace: Option<&str>) -> Result<()> {
    let Some(TypeMeta { api_version, kind }) = object.types.clone() else {
        bail!("a document has no apiVersion and kind");
    };
    let name = object.metadata.name.clone().context("a document has no metadata.name")?;
    let shown = format!("{kind} {name}");
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version.as_str()));
    let (resource, capabilities) =
        discovery::pinned_kind(client, &GroupVersionKind::gvk(group, version, &kind))
            .await
            .with_context(|| format!("{shown}: the server does not know {kind} of {api_version}"))?;
    let api: Api<DynamicObject> =
        match (capabilities.scope, object.metadata.namespace.as_deref().or(namespace)) {
            (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
            (Scope::Namespaced, given) => {
                Api::namespaced_with(client.clone(), given.unwrap_or("default"), &resource)
            }
        };
    api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object))
        .await
        .with_context(|| format!("apply {shown}"))?;
    if kind == "CustomResourceDefinition" {
        wait_until_served(client, &name).await?;
    }
    Ok(())
}

/// Waits for the condition `Established`, and then until discovery lists the kind: the two are not the same moment.
async fn wait_until_served(client: &Client, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    until(
        &format!("custom resource definition {name}"),
        ESTABLISH_LIMIT,
        Duration::from_millis(25),
        async || {
            let definition = definitions.get(name).await.with_context(|| format!("read {name}"))?;
            let established = definition
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .any(|condition| condition.type_ == "Established" && condition.status == "True");
            if !established {
                return Ok(Look::NotYet("not Established".to_owned()));
            }
            let Some(version) = definition.spec.versions.iter().find(|version| version.served) else {
                bail!("no version of {name} is served");
            };
            let kind =
                GroupVersionKind::gvk(&definition.spec.group, &version.name, &definition.spec.names.kind);
            Ok(Look::from_result(discovery::pinned_kind(client, &kind).await.map(|_| ())))
        },
    )
    .await
}
