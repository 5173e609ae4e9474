//! A Service that a cluster owns.

use super::{KubeApi, views};
use crate::api::{FIELD_MANAGER, MySQLCluster};
use crate::kubernetes::port::{ApiError, DesiredService, ServiceView};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// Label of an owned Service: the cluster in front of which it stands.
const CLUSTER_LABEL: &str = "mysql-takeover.io/cluster";
/// Label of an owned Service: the role of the instances behind it.
const ROLE_LABEL: &str = "mysql-takeover.io/role";

/// Creates the Service or brings it to this shape, in one write; nothing is written where it has it already.
pub(super) async fn ensure(
    api: &KubeApi,
    cluster: &MySQLCluster,
    wanted: &DesiredService,
) -> Result<(), ApiError> {
    let namespace = cluster.namespace().unwrap_or_default();
    let action = format!("write Service {namespace}/{}", wanted.name);
    let Some(owner) = cluster.controller_owner_ref(&()) else {
        return Err(ApiError::new(&action, "the MySQLCluster has no UID yet"));
    };
    let services = api.api::<Service>(&namespace);
    let found = api.bounded(&action, services.get_opt(&wanted.name)).await?.map(|found| {
        let uid = found.uid();
        (views::service(found), uid)
    });
    let uid = match found {
        Some((found, _)) if found.owner_uid.as_deref() != Some(&owner.uid) => {
            return Err(not_ours(&action, cluster));
        }
        Some((found, _)) if has_shape(&found, wanted) => return Ok(()),
        Some((_, uid)) => uid,
        None => None,
    };
    // Where it is ours, changes that others made to these fields are taken back. Where it is not there yet, no force: if
    // somebody else makes one of this name meanwhile, the two do not blend.
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        force: uid.is_some(),
        ..PatchParams::default()
    };
    let body = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, wanted, uid.as_deref(), &owner),
        "spec": {
            "type": "ClusterIP",
            "selector": wanted.selector,
            "ports": [{"name": "mysql", "protocol": "TCP", "port": wanted.port, "targetPort": wanted.port}],
        },
    });
    api.bounded(&action, services.patch(&wanted.name, &parameters, &Patch::Apply(body))).await?;
    Ok(())
}

fn metadata(
    cluster: &MySQLCluster,
    wanted: &DesiredService,
    uid: Option<&str>,
    owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
) -> Value {
    let mut metadata = json!({
        "name": wanted.name,
        "labels": {
            "app.kubernetes.io/managed-by": FIELD_MANAGER,
            (CLUSTER_LABEL): cluster.name_any(),
            (ROLE_LABEL): wanted.role,
        },
        "ownerReferences": [owner],
    });
    if let (Some(uid), Some(metadata)) = (uid, metadata.as_object_mut()) {
        metadata.insert("uid".to_owned(), uid.into());
    }
    metadata
}

/// Whether the fields that matter for routing are as wanted.
fn has_shape(found: &ServiceView, wanted: &DesiredService) -> bool {
    found.selector == wanted.selector && found.port == Some(wanted.port) && found.type_ == "ClusterIP"
}

fn not_ours(action: &str, cluster: &MySQLCluster) -> ApiError {
    let message = format!(
        "there is a Service of that name that MySQLCluster {} does not own; name another one in \
         `spec.routing.services`, delete it, or set `spec.routing.services.manage: Observe` to keep it as yours",
        cluster.name_any()
    );
    ApiError { action: action.to_owned(), status: Some(409), message }
}
