//! What the API server itself refuses, by schema and CEL, before the operator ever sees it: each with a message that names
//! the field. And what it fills in.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use lab::small::SmallTier;
use mysql_takeover::api::{MasterTakeover, MySQLCluster, crd};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A client and a fresh namespace, with both kinds served.
async fn namespace() -> (Client, String) {
    static SERVED: OnceCell<()> = OnceCell::const_new();
    let tier = SmallTier::shared().await.unwrap();
    SERVED
        .get_or_init(async || {
            for definition in crd::all() {
                tier.control_plane.apply(&crd::yaml(&definition).unwrap()).await.unwrap();
            }
        })
        .await;
    let namespace = tier.namespace("validation").await.unwrap();
    (namespace.client, namespace.name)
}

fn cluster() -> Value {
    json!({
        "apiVersion": "mysql-takeover.io/v1alpha1",
        "kind": "MySQLCluster",
        "metadata": {"name": "orders"},
        "spec": {
            "discovery": {"selector": {"matchLabels": {"app": "mysql"}}},
            "credentials": {"secretRef": {"name": "operator"}},
            "replicationCredentials": {"secretRef": {"name": "replication"}},
            "tls": {"mode": "Required"},
        },
    })
}

fn takeover() -> Value {
    json!({
        "apiVersion": "mysql-takeover.io/v1alpha1",
        "kind": "MasterTakeover",
        "metadata": {"name": "orders-to-1"},
        "spec": {"clusterRef": {"name": "orders"}, "newPrimary": "mysql-1"},
    })
}

/// `object` with the value at a JSON pointer set.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut place = &mut object;
    for step in parent.split('/').skip(1) {
        place = place.as_object_mut().unwrap().entry(step).or_insert_with(|| json!({}));
    }
    place.as_object_mut().unwrap().insert(name.to_owned(), value);
    object
}

/// `object` without the value at a JSON pointer.
fn without(mut object: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    object
}

fn resource(object: &Value) -> ApiResource {
    if object["kind"] == "MySQLCluster" {
        ApiResource::erase::<MySQLCluster>(&())
    } else {
        ApiResource::erase::<MasterTakeover>(&())
    }
}

/// `kubectl create --dry-run=server --validate=strict`.
async fn create(client: &Client, namespace: &str, object: &Value) -> Result<Value, Box<Status>> {
    let ApiResource { api_version, plural, .. } = resource(object);
    let request = http::Request::post(format!(
        "/apis/{api_version}/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict"
    ))
    .header("content-type", "application/json")
    .body(serde_json::to_vec(object).unwrap())
    .unwrap();
    match client.request(request).await {
        Ok(stored) => Ok(stored),
        Err(kube::Error::Api(status)) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

/// Each object must be refused as invalid, with a message that contains each of the words.
async fn assert_refused(rows: Vec<(Value, &[&str])>) {
    let (client, namespace) = namespace().await;
    let mut problems = Vec::new();
    for (object, words) in rows {
        match create(&client, &namespace, &object).await {
            Ok(_) => problems.push(format!("accepted, wanted {words:?}: {}", object["spec"])),
            Err(status) if (400..500).contains(&status.code) => {
                for word in words.iter().filter(|word| !status.message.contains(**word)) {
                    problems.push(format!("{word:?} is not in: {}", status.message));
                }
            }
            Err(status) => problems.push(format!("{status:?}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn good_objects_are_accepted_and_defaults_are_filled_in() {
    let (client, namespace) = namespace().await;
    let stored = create(&client, &namespace, &cluster()).await.unwrap();
    assert_eq!(stored["spec"]["discovery"]["port"], 3306);
    assert_eq!(stored["spec"]["routing"]["roleLabel"]["key"], "mysql-takeover.io/role");
    assert_eq!(stored["spec"]["routing"]["order"], "RouteFirst");
    assert_eq!(stored["spec"]["takeoverDefaults"]["catchUpDeadlineSeconds"], 10);

    let stored = create(&client, &namespace, &takeover()).await.unwrap();
    assert_eq!(stored["spec"]["mode"], "Execute");
    assert_eq!(stored["spec"]["suspend"], false);
    assert_eq!(stored["spec"]["cancel"], false);

    let verified = with(cluster(), "/spec/tls", json!({"caSecretRef": {"name": "mysql-ca"}}));
    let stored = create(&client, &namespace, &verified).await.unwrap();
    assert_eq!(stored["spec"]["tls"]["mode"], "VerifyIdentity");
    assert_eq!(stored["spec"]["tls"]["caSecretRef"]["key"], "ca.crt");

    let longest = with(cluster(), "/metadata/name", json!("o".repeat(63)));
    create(&client, &namespace, &longest).await.unwrap();
    let foreign = with(cluster(), "/spec/routing/roleLabel/key", json!("app.kubernetes.io/component"));
    create(&client, &namespace, &foreign).await.unwrap();
}

#[tokio::test]
async fn bad_clusters_are_refused() {
    let selector = "/spec/discovery/selector";
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
    assert_refused(vec![
        // Unknown fields, wrong types.
        (with(cluster(), "/spec/foo", json!(1)), &["spec.foo"]),
        (with(cluster(), "/spec/discovery/port", json!("3306")), &["spec.discovery.port"]),
        (with(cluster(), "/spec/credentials/secretRef/namespace", json!("other")), &["namespace"]),
        (without(cluster(), "/spec/credentials"), &["spec.credentials", "Required"]),
        (without(cluster(), "/spec/replicationCredentials"), &["spec.replicationCredentials", "Required"]),
        // Names.
        (with(cluster(), "/metadata/name", json!("o".repeat(64))), &["`metadata.name`", "63"]),
        (with(cluster(), "/spec/credentials/secretRef/name", json!("")), &["secretRef.name"]),
        (with(cluster(), "/spec/credentials/secretRef/name", json!("a/../b")), &["secretRef.name"]),
        // Ports.
        (with(cluster(), "/spec/discovery/port", json!(0)), &["spec.discovery.port", "1"]),
        (with(cluster(), "/spec/discovery/port", json!(65536)), &["spec.discovery.port", "65535"]),
        // Discovery.
        (with(cluster(), selector, json!({})), &["`selector` must not be empty"]),
        (with(cluster(), selector, json!({"matchLabels": {}})), &["`selector` must not be empty"]),
        (with(cluster(), selector, json!({"matchLabels": {"a b": "x"}})), &["`selector.matchLabels`"]),
        (with(cluster(), selector, json!({"matchLabels": {"app": "a b"}})), &["matchLabels"]),
        (with(cluster(), selector, expression("In", json!([]))), &["`values` must be set"]),
        (with(cluster(), selector, expression("Exists", json!(["x"]))), &["`values` must be set"]),
        (with(cluster(), selector, expression("Like", json!(["x"]))), &["operator"]),
        // Transport security.
        (without(cluster(), "/spec/tls"), &["spec.tls", "Required"]),
        (with(cluster(), "/spec/tls", json!({})), &["`caSecretRef` must be set"]),
        (with(cluster(), "/spec/tls/mode", json!("VerifyCA")), &["`caSecretRef` must be set"]),
        (with(cluster(), "/spec/tls/mode", json!("Preferred")), &["spec.tls.mode"]),
        (
            with(cluster(), "/spec/tls/caSecretRef", json!({"name": "ca", "pathOnServers": "/a'b"})),
            &["pathOnServers"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_routing_rules_and_limits_are_refused() {
    let selector = "/spec/discovery/selector";
    let too_many: Vec<_> =
        (0..65).map(|number| json!({"instance": format!("mysql-{number}"), "rule": "Neutral"})).collect();
    let selected_by = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["mysql"]}]});
    assert_refused(vec![
        // Routing.
        (with(cluster(), "/spec/routing/roleLabel/key", json!("role with space")), &["roleLabel.key"]),
        (
            with(cluster(), "/spec/routing/roleLabel/key", json!("statefulset.kubernetes.io/pod-name")),
            &["`key` must not be a label that Kubernetes sets"],
        ),
        (
            with(cluster(), "/spec/routing/roleLabel/key", json!("kubernetes.io/hostname")),
            &["`key` must not be a label that Kubernetes sets"],
        ),
        (
            with(cluster(), "/spec/routing/roleLabel/key", json!("mysql-takeover.io/instance")),
            &["`key` must not be `mysql-takeover.io/instance`"],
        ),
        (with(cluster(), "/spec/routing/roleLabel/key", json!("app")), &["`routing.roleLabel.key` must not"]),
        (
            with(with(cluster(), selector, selected_by), "/spec/routing/roleLabel/key", json!("app")),
            &["`routing.roleLabel.key` must not"],
        ),
        (
            with(cluster(), "/spec/routing/roleLabel/primaryValue", json!("replica")),
            &["`primaryValue` must differ from `replicaValue`"],
        ),
        (with(cluster(), "/spec/routing/roleLabel/primaryValue", json!("a b")), &["primaryValue"]),
        (with(cluster(), "/spec/routing/services", json!({})), &["services.primary", "Required"]),
        (with(cluster(), "/spec/routing/services/primary", json!("Upper")), &["services.primary"]),
        (
            with(cluster(), "/spec/routing/services", json!({"primary": "db", "replicas": "db"})),
            &["`replicas` must differ from `primary`"],
        ),
        (with(cluster(), "/spec/routing/services", json!({"primary": "db", "manage": "Own"})), &["manage"]),
        // Promotion rules.
        (
            with(
                cluster(),
                "/spec/promotionRules",
                json!([{"instance": "a", "rule": "Prefer"}, {"instance": "a", "rule": "MustNot"}]),
            ),
            &["spec.promotionRules", "Duplicate"],
        ),
        (
            with(cluster(), "/spec/promotionRules", json!([{"instance": "a", "rule": "Never"}])),
            &["spec.promotionRules"],
        ),
        (with(cluster(), "/spec/promotionRules", json!(too_many)), &["spec.promotionRules", "64"]),
        // Limits.
        (
            with(cluster(), "/spec/takeoverDefaults/catchUpDeadlineSeconds", json!(120)),
            &["`catchUpDeadlineSeconds` must be less than `activeDeadlineSeconds`"],
        ),
        (
            with(cluster(), "/spec/takeoverDefaults/startingDeadlineSeconds", json!(0)),
            &["startingDeadlineSeconds"],
        ),
        (
            with(cluster(), "/spec/takeoverDefaults/activeDeadlineSeconds", json!(-1)),
            &["activeDeadlineSeconds"],
        ),
        (
            with(cluster(), "/spec/takeoverDefaults/activeDeadlineSeconds", json!(9_999_999)),
            &["activeDeadlineSeconds"],
        ),
        (
            with(cluster(), "/spec/takeoverDefaults/maxReplicationLagSeconds", json!(-1)),
            &["maxReplicationLagSeconds"],
        ),
        (
            with(cluster(), "/spec/takeoverDefaults/longTransactionPolicy", json!("Ignore")),
            &["longTransactionPolicy"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn bad_takeovers_are_refused() {
    assert_refused(vec![
        (without(takeover(), "/spec/newPrimary"), &["`newPrimary`", "`oldPrimary`", "must be set"]),
        (with(takeover(), "/spec/newPrimary", Value::Null), &["`newPrimary`", "must be set"]),
        (with(takeover(), "/spec/newPrimary", json!("")), &["spec.newPrimary"]),
        (with(takeover(), "/spec/newPrimary", json!("a' OR 1")), &["spec.newPrimary"]),
        (with(takeover(), "/spec/newPrimary", json!("a".repeat(254))), &["spec.newPrimary"]),
        (
            with(takeover(), "/spec/oldPrimary", json!("mysql-1")),
            &["`newPrimary` must differ from `oldPrimary`"],
        ),
        (without(takeover(), "/spec/clusterRef"), &["spec.clusterRef", "Required"]),
        (with(takeover(), "/spec/clusterRef", json!({})), &["spec.clusterRef.name", "Required"]),
        (with(takeover(), "/spec/clusterRef/namespace", json!("other")), &["namespace"]),
        (with(takeover(), "/spec/mode", json!("Now")), &["spec.mode"]),
        (with(takeover(), "/spec/demotedPrimary", json!("Delete")), &["spec.demotedPrimary"]),
        (with(takeover(), "/spec/catchUpDeadlineSeconds", json!(0)), &["spec.catchUpDeadlineSeconds"]),
        (with(takeover(), "/spec/catchUpDeadlineSeconds", json!(601)), &["spec.catchUpDeadlineSeconds"]),
        (with(takeover(), "/spec/catchUpDeadlineSeconds", json!("10s")), &["spec.catchUpDeadlineSeconds"]),
        (
            with(
                with(takeover(), "/spec/catchUpDeadlineSeconds", json!(60)),
                "/spec/activeDeadlineSeconds",
                json!(60),
            ),
            &["`catchUpDeadlineSeconds` must be less than `activeDeadlineSeconds`"],
        ),
        (with(takeover(), "/spec/activeDeadlineSeconds", json!(1)), &["spec.activeDeadlineSeconds"]),
        (with(takeover(), "/spec/startingDeadlineSeconds", json!(0)), &["spec.startingDeadlineSeconds"]),
        (with(takeover(), "/spec/maxReplicationLagSeconds", json!(-5)), &["spec.maxReplicationLagSeconds"]),
        (with(takeover(), "/spec/ttlSecondsAfterFinished", json!(-1)), &["spec.ttlSecondsAfterFinished"]),
        (with(takeover(), "/spec/notAfterTime", json!("tomorrow")), &["spec.notAfterTime"]),
        (with(takeover(), "/spec/suspend", json!("yes")), &["spec.suspend"]),
        (with(takeover(), "/spec/hooks", json!([])), &["spec.hooks"]),
    ])
    .await;
}

#[tokio::test]
async fn a_takeover_is_immutable_but_for_suspend_cancel_and_its_lifetime() {
    let (client, namespace) = namespace().await;
    let full = with(
        takeover(),
        "/spec",
        json!({
            "clusterRef": {"name": "orders"}, "newPrimary": "mysql-1", "oldPrimary": "mysql-0", "mode": "Execute",
            "demotedPrimary": "LeaveStopped", "replicaPolicy": "RequireAll", "longTransactionPolicy": "Kill",
            "startingDeadlineSeconds": 10, "activeDeadlineSeconds": 60, "catchUpDeadlineSeconds": 5,
            "maxReplicationLagSeconds": 1, "notAfterTime": "2030-01-01T00:00:00Z", "cancel": true,
        }),
    );
    let sparse = with(takeover(), "/metadata/name", json!("sparse"));
    for object in [&full, &sparse] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource(object));
        api.create(&PostParams::default(), &serde_json::from_value(object.clone()).unwrap()).await.unwrap();
    }

    let changes: [(&str, Value); 12] = [
        ("clusterRef", json!({"name": "other"})),
        ("newPrimary", json!("mysql-2")),
        ("oldPrimary", json!("mysql-2")),
        ("mode", json!("DryRun")),
        ("demotedPrimary", json!("StartReplication")),
        ("replicaPolicy", json!("BestEffort")),
        ("longTransactionPolicy", json!("Wait")),
        ("startingDeadlineSeconds", json!(11)),
        ("activeDeadlineSeconds", json!(61)),
        ("catchUpDeadlineSeconds", json!(6)),
        ("maxReplicationLagSeconds", json!(2)),
        ("notAfterTime", json!("2031-01-01T00:00:00Z")),
    ];
    let mut problems = Vec::new();
    for (field, changed) in &changes {
        let pointer = format!("/spec/{field}");
        let named = format!("`{field}` is immutable");
        for (change, base) in [("changed", &full), ("set", &sparse)] {
            let object = with(base.clone(), &pointer, changed.clone());
            match patch_spec(&client, &namespace, &object, field, changed.clone()).await {
                Ok(()) => problems.push(format!("{field} was {change}")),
                Err(message) if message.contains(&named) => {}
                Err(message) => problems.push(format!("{field} {change}: {message}")),
            }
        }
        // Required, or with a default: leaving it out is refused or changes nothing.
        if !["clusterRef", "mode"].contains(field) {
            match patch_spec(&client, &namespace, &full, field, Value::Null).await {
                Ok(()) => problems.push(format!("{field} was unset")),
                Err(message) if message.contains(&named) => {}
                Err(message) => problems.push(format!("{field} unset: {message}")),
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    let refusal = patch_spec(&client, &namespace, &full, "cancel", json!(false)).await.unwrap_err();
    assert!(refusal.contains("`cancel` may not be unset"), "{refusal}");
    patch_spec(&client, &namespace, &full, "suspend", json!(true)).await.unwrap();
    patch_spec(&client, &namespace, &full, "suspend", json!(false)).await.unwrap();
    patch_spec(&client, &namespace, &full, "ttlSecondsAfterFinished", json!(60)).await.unwrap();
    patch_spec(&client, &namespace, &sparse, "cancel", json!(true)).await.unwrap();
}

/// Sets (or with null removes) one field of the spec.
async fn patch_spec(
    client: &Client,
    namespace: &str,
    object: &Value,
    field: &str,
    value: Value,
) -> Result<(), String> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(object));
    let patch = Patch::Merge(json!({"spec": {field: value}}));
    let name = object["metadata"]["name"].as_str().unwrap();
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// kstatus (Flux, Helm) reads a resource whose observedGeneration is behind as in progress.
#[tokio::test]
async fn a_resource_that_nobody_has_looked_at_is_in_progress_for_kstatus() {
    let (client, namespace) = namespace().await;
    for object in [cluster(), takeover()] {
        // Whatever status a user sends is dropped.
        let object = with(object, "/status", json!({"observedGeneration": 1}));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource(&object));
        let name = object["metadata"]["name"].as_str().unwrap();
        api.create(&PostParams::default(), &serde_json::from_value(object.clone()).unwrap()).await.unwrap();
        let stored = api.get(name).await.unwrap();
        assert_eq!(stored.data["status"]["observedGeneration"], -1, "{:?}", stored.data);
        assert_eq!(stored.metadata.generation, Some(1));
    }
    // The operator's own types read what the server fills in.
    let clusters: Api<MySQLCluster> = Api::namespaced(client.clone(), &namespace);
    let status = clusters.get("orders").await.unwrap().status.unwrap();
    assert_eq!((status.observed_generation, status.takeover_epoch), (-1, 0));
    let takeovers: Api<MasterTakeover> = Api::namespaced(client, &namespace);
    assert_eq!(takeovers.get("orders-to-1").await.unwrap().status.unwrap().observed_generation, -1);
}

#[tokio::test]
async fn takeovers_can_be_selected_by_their_cluster() {
    let (client, namespace) = namespace().await;
    let takeovers: Api<MasterTakeover> = Api::namespaced(client, &namespace);
    for (name, cluster) in [("one", "orders"), ("two", "users")] {
        let object = with(takeover(), "/metadata/name", json!(name));
        let object = with(object, "/spec/clusterRef/name", json!(cluster));
        takeovers.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }
    let found =
        takeovers.list(&kube::api::ListParams::default().fields("spec.clusterRef.name=users")).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].metadata.name.as_deref(), Some("two"));
}
