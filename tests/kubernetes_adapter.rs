//! The Kubernetes adapter against a real API server.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use lab::small::{PodSpec, SmallTier, TestNamespace, create_pod};
use mysql_takeover::api::{FINALIZER, MasterTakeover, MySQLCluster, crd};
use mysql_takeover::kubernetes::port::{DesiredService, EndpointView, Notice, Regarding};
use mysql_takeover::kubernetes::{Commit, Key, KubeApi, Kubernetes, connect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::OnceCell;

struct World {
    kubernetes: KubeApi,
    namespace: TestNamespace,
    client: Client,
}

impl World {
    async fn new() -> Self {
        static SERVED: OnceCell<()> = OnceCell::const_new();
        let tier = SmallTier::shared().await.unwrap();
        SERVED
            .get_or_init(async || {
                for definition in crd::all() {
                    tier.control_plane.apply(&crd::yaml(&definition).unwrap()).await.unwrap();
                }
            })
            .await;
        let namespace = tier.namespace("adapter").await.unwrap();
        let target = connect::Target {
            kubeconfig: Some(tier.control_plane.admin_kubeconfig().to_owned()),
            context: None,
        };
        let client = connect::client(&connect::configuration(&target).await.unwrap()).unwrap();
        Self { kubernetes: KubeApi::new(client.clone(), "operator-0"), namespace, client }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }

    fn key(&self, name: &str) -> Key {
        Key::new(&self.namespace.name, name)
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    async fn cluster(&self, name: &str) -> MySQLCluster {
        self.create(json!({
            "metadata": {"name": name},
            "spec": {
                "discovery": {"selector": {"matchLabels": {"app": "mysql"}}},
                "credentials": {"secretRef": {"name": "operator"}},
                "replicationCredentials": {"secretRef": {"name": "replication"}},
                "tls": {"mode": "Required"},
            },
        }))
        .await
    }

    async fn takeover(&self, name: &str, cluster: &str) -> MasterTakeover {
        self.create(json!({
            "metadata": {"name": name, "finalizers": ["example.com/keep"]},
            "spec": {"clusterRef": {"name": cluster}, "newPrimary": "mysql-1"},
        }))
        .await
    }

    async fn pod(&self, name: &str, app: &str) -> Pod {
        let spec = PodSpec {
            name: name.to_owned(),
            labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
            address: "127.0.3.1".parse().unwrap(),
            port: 3306,
        };
        create_pod(&self.namespace, &spec).await.unwrap()
    }
}

fn committed<T>(commit: Commit<T>) -> T {
    match commit {
        Commit::Committed(object) => *object,
        Commit::Conflict => panic!("conflict"),
        Commit::Unknown(error) | Commit::Refused(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_status_is_written_only_over_what_was_read() {
    let world = World::new().await;
    let created = world.cluster("orders").await;
    let mut first = created.clone();
    first.status.get_or_insert_default().takeover_epoch = 7;
    let stored = committed(world.kubernetes.commit_cluster(&first).await);
    assert_eq!(stored.status.as_ref().unwrap().takeover_epoch, 7);
    assert_ne!(stored.resource_version(), created.resource_version());
    let fresh = world.kubernetes.cluster(&world.key("orders")).await.unwrap().unwrap();
    assert_eq!(fresh, stored);

    let mut second = created;
    second.status.get_or_insert_default().takeover_epoch = 8;
    assert!(matches!(world.kubernetes.commit_cluster(&second).await, Commit::Conflict), "overtaken");

    let mut blind = stored.clone();
    blind.metadata.resource_version = None;
    assert!(matches!(world.kubernetes.commit_cluster(&blind).await, Commit::Refused(_)), "unconditional");

    let mut invalid = stored.clone();
    invalid.status.get_or_insert_default().primary = Some("x".repeat(300));
    let Commit::Refused(error) = world.kubernetes.commit_cluster(&invalid).await else {
        panic!("not refused")
    };
    assert_eq!(error.status, Some(422));
    assert!(error.to_string().contains("status.primary"), "{error}");

    world.api::<MySQLCluster>().delete("orders", &DeleteParams::default()).await.unwrap();
    assert!(matches!(world.kubernetes.commit_cluster(&stored).await, Commit::Conflict), "gone");
    assert_eq!(world.kubernetes.cluster(&world.key("orders")).await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_did_not_come_is_unknown_and_comes_within_the_bound() {
    let world = World::new().await;
    let cluster = world.cluster("orders").await;
    let hurried = world.kubernetes.clone().with_limit(Duration::from_nanos(1));
    let Commit::Unknown(error) = hurried.commit_cluster(&cluster).await else { panic!("not unknown") };
    assert!(error.to_string().starts_with("write the status of MySQLCluster "), "{error}");
    assert!(error.message.contains("no answer within"), "{error}");

    // Nobody listens there.
    let mut nobody = kube::Config::new("https://127.0.0.1:1".parse().unwrap());
    nobody.default_retry = false;
    let nobody = KubeApi::new(connect::client(&nobody).unwrap(), "operator-0");
    let Commit::Unknown(error) = nobody.commit_cluster(&cluster).await else { panic!("not unknown") };
    assert_eq!(error.status, None);
    let error = nobody.cluster(&world.key("orders")).await.unwrap_err();
    assert!(error.to_string().contains("read MySQLCluster"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn our_finalizer_comes_and_goes_and_others_stay() {
    let world = World::new().await;
    let created = world.takeover("to-1", "orders").await;
    let held = committed(world.kubernetes.set_finalizer(&created, true).await);
    assert_eq!(held.finalizers(), ["example.com/keep", FINALIZER]);
    assert!(matches!(world.kubernetes.set_finalizer(&created, false).await, Commit::Conflict));
    let again = committed(world.kubernetes.set_finalizer(&held, true).await);
    assert_eq!(again.finalizers(), ["example.com/keep", FINALIZER]);
    assert_eq!(again.resource_version(), held.resource_version(), "nothing to change");
    let released = committed(world.kubernetes.set_finalizer(&again, false).await);
    assert_eq!(released.finalizers(), ["example.com/keep"]);

    let cluster = world.cluster("orders").await;
    let held = committed(world.kubernetes.set_cluster_finalizer(&cluster, true).await);
    assert_eq!(held.finalizers(), [FINALIZER]);
    assert_eq!(held.metadata.generation, cluster.metadata.generation, "observed as before");
    assert!(matches!(world.kubernetes.set_cluster_finalizer(&cluster, false).await, Commit::Conflict));
    committed(world.kubernetes.set_cluster_finalizer(&held, false).await);

    // Released while it is being deleted: the last finalizer takes the object with it.
    let created: MasterTakeover = world
        .create(json!({
            "metadata": {"name": "to-2", "finalizers": [FINALIZER]},
            "spec": {"clusterRef": {"name": "orders"}, "newPrimary": "mysql-1"},
        }))
        .await;
    world.api::<MasterTakeover>().delete("to-2", &DeleteParams::default()).await.unwrap();
    let deleting = world.kubernetes.takeover(&world.key("to-2")).await.unwrap().unwrap();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    committed(world.kubernetes.set_finalizer(&deleting, false).await);
    assert_eq!(world.kubernetes.takeover(&world.key("to-2")).await.unwrap(), None);
    assert!(matches!(world.kubernetes.set_finalizer(&created, false).await, Commit::Conflict), "gone");
}

#[tokio::test]
async fn only_the_takeover_that_was_meant_is_deleted() {
    let world = World::new().await;
    let first: MasterTakeover = world
        .create(json!({
            "metadata": {"name": "to-1"},
            "spec": {"clusterRef": {"name": "orders"}, "newPrimary": "mysql-1"},
        }))
        .await;
    world.kubernetes.delete_takeover(&first).await.unwrap();
    assert_eq!(world.kubernetes.takeover(&world.key("to-1")).await.unwrap(), None);
    world.kubernetes.delete_takeover(&first).await.unwrap();

    let second = world.takeover("to-1", "orders").await;
    world.kubernetes.delete_takeover(&first).await.unwrap();
    let left = world.kubernetes.takeover(&world.key("to-1")).await.unwrap().unwrap();
    assert_eq!(left.uid(), second.uid());
    assert_eq!(left.metadata.deletion_timestamp, None);
}

#[tokio::test]
async fn takeovers_are_listed_by_cluster() {
    let world = World::new().await;
    for (name, cluster) in [("a", "orders"), ("b", "users"), ("c", "orders")] {
        world.takeover(name, cluster).await;
    }
    let mut found: Vec<_> = world
        .kubernetes
        .takeovers_of(&world.key("orders"))
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    found.sort();
    assert_eq!(found, ["a", "c"]);
}

#[tokio::test]
async fn pods_are_found_and_labelled_by_their_uid() {
    let world = World::new().await;
    let cluster = world.cluster("orders").await;
    world.pod("mysql-0", "mysql").await;
    world.pod("mysql-1", "mysql").await;
    world.pod("web-0", "web").await;
    let pods = world.kubernetes.pods(&cluster).await.unwrap();
    let names: Vec<_> = pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["mysql-0", "mysql-1"]);
    assert!(pods.iter().all(|pod| pod.ready && !pod.terminating && pod.address.is_some()));

    let namespace = &world.namespace.name;
    let key = "mysql-takeover.io/role";
    world.kubernetes.label_pod(namespace, &pods[0], key, Some("primary")).await.unwrap();
    world
        .kubernetes
        .label_pod(namespace, &pods[0], "mysql-takeover.io/instance", Some("mysql-0"))
        .await
        .unwrap();
    let stored = world.api::<Pod>().get("mysql-0").await.unwrap();
    assert_eq!(stored.labels()[key], "primary");
    assert_eq!(stored.labels()["app"], "mysql");
    assert!(stored.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some("mysql-takeover")));

    world.kubernetes.label_pod(namespace, &pods[0], key, None).await.unwrap();
    let stored = world.api::<Pod>().get("mysql-0").await.unwrap();
    assert!(!stored.labels().contains_key(key));
    assert_eq!(stored.labels()["mysql-takeover.io/instance"], "mysql-0");

    // A Pod made anew under the same name is another instance.
    let mut former = pods[1].clone();
    former.uid = "00000000-0000-0000-0000-000000000000".to_owned();
    let error = world.kubernetes.label_pod(namespace, &former, key, Some("primary")).await.unwrap_err();
    assert_eq!(error.status, Some(409), "{error}");
    former.name = "mysql-9".to_owned();
    let error = world.kubernetes.label_pod(namespace, &former, key, Some("primary")).await.unwrap_err();
    assert_eq!(error.status, Some(404), "{error}");
}

#[tokio::test]
async fn an_empty_selector_selects_nothing() {
    let world = World::new().await;
    let mut cluster = world.cluster("orders").await;
    cluster.spec.discovery.selector.match_labels = None;
    let error = world.kubernetes.pods(&cluster).await.unwrap_err();
    assert!(error.to_string().contains("must not be empty"), "{error}");
}

fn desired(selector: &[(&str, &str)]) -> DesiredService {
    DesiredService {
        name: "orders-primary".to_owned(),
        selector: selector.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        port: 3306,
        role: "primary",
    }
}

#[tokio::test]
async fn a_service_is_created_owned_and_moved_in_one_write() {
    let world = World::new().await;
    let cluster = world.cluster("orders").await;
    let key = world.key("orders-primary");
    assert_eq!(world.kubernetes.service(&key).await.unwrap(), None);

    let first = desired(&[("statefulset.kubernetes.io/pod-name", "mysql-0")]);
    world.kubernetes.ensure_service(&cluster, &first).await.unwrap();
    let seen = world.kubernetes.service(&key).await.unwrap().unwrap();
    assert_eq!(seen.selector, first.selector);
    assert_eq!(seen.owner_uid, cluster.uid());
    assert_eq!((seen.port, seen.type_.as_str(), seen.external_ips), (Some(3306), "ClusterIP", false));
    assert!(seen.cluster_ip.is_some());
    let stored = world.api::<Service>().get("orders-primary").await.unwrap();
    assert_eq!(stored.labels()["mysql-takeover.io/cluster"], "orders");

    // Nothing to do, nothing written.
    world.kubernetes.ensure_service(&cluster, &first).await.unwrap();
    let again = world.api::<Service>().get("orders-primary").await.unwrap();
    assert_eq!(again.resource_version(), stored.resource_version());

    // Another key replaces the first: with both, the Service would lead nowhere.
    let second = desired(&[("mysql-takeover.io/instance", "mysql-1")]);
    world.kubernetes.ensure_service(&cluster, &second).await.unwrap();
    let moved = world.kubernetes.service(&key).await.unwrap().unwrap();
    assert_eq!(moved.selector, second.selector);
    assert_eq!(moved.cluster_ip, seen.cluster_ip);

    // What somebody else changed is taken back.
    let patch = kube::api::Patch::Merge(json!({"spec": {"selector": {"app": "web"}}}));
    world.api::<Service>().patch("orders-primary", &PatchParams::default(), &patch).await.unwrap();
    world.kubernetes.ensure_service(&cluster, &second).await.unwrap();
    assert_eq!(world.kubernetes.service(&key).await.unwrap().unwrap().selector, second.selector);
}

#[tokio::test]
async fn a_service_of_somebody_else_is_left_alone() {
    let world = World::new().await;
    let (orders, users) = (world.cluster("orders").await, world.cluster("users").await);
    let theirs: Service = world
        .create(json!({
            "metadata": {"name": "orders-primary"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }))
        .await;
    let wanted = desired(&[("app", "mysql")]);
    let error = world.kubernetes.ensure_service(&orders, &wanted).await.unwrap_err();
    assert!(error.to_string().contains("does not own"), "{error}");
    assert!(error.to_string().contains("manage: Observe"), "{error}");
    let stored = world.api::<Service>().get("orders-primary").await.unwrap();
    assert_eq!(stored.resource_version(), theirs.resource_version());

    // Nor does one cluster take the Service of another.
    let wanted = DesiredService { name: "shared".to_owned(), ..wanted };
    world.kubernetes.ensure_service(&orders, &wanted).await.unwrap();
    let error = world.kubernetes.ensure_service(&users, &wanted).await.unwrap_err();
    assert!(error.to_string().contains("does not own"), "{error}");
}

#[tokio::test]
async fn endpoints_are_those_of_the_service() {
    let world = World::new().await;
    for (service, pod, ready) in [("db", "mysql-0", true), ("db", "mysql-1", false), ("other", "web-0", true)]
    {
        world
            .create::<EndpointSlice>(json!({
                "metadata": {"name": format!("{service}-{pod}"), "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4",
                "ports": [],
                "endpoints": [{
                    "addresses": ["10.0.0.1"],
                    "conditions": {"ready": ready},
                    "targetRef": {"kind": "Pod", "name": pod},
                }],
            }))
            .await;
    }
    let mut seen = world.kubernetes.endpoints(&world.key("db")).await.unwrap();
    seen.sort_by_key(|endpoint| endpoint.pod.clone());
    assert_eq!(
        seen,
        [
            EndpointView { pod: Some("mysql-0".to_owned()), ready: true },
            EndpointView { pod: Some("mysql-1".to_owned()), ready: false },
        ]
    );
}

#[tokio::test]
async fn secrets_are_read_when_asked_for() {
    let world = World::new().await;
    let key = world.key("operator");
    assert_eq!(world.kubernetes.secret(&key).await.unwrap(), None);
    world
        .create::<Secret>(
            json!({"metadata": {"name": "operator"}, "stringData": {"username": "u", "password": "p"}}),
        )
        .await;
    let data = world.kubernetes.secret(&key).await.unwrap().unwrap();
    assert_eq!(&*data["username"], b"u");
    assert_eq!(&*data["password"], b"p");
}

#[tokio::test]
async fn every_event_keeps_its_own_note() {
    let world = World::new().await;
    let (cluster, takeover) = (world.cluster("orders").await, world.takeover("to-1", "orders").await);
    let notice = |note: &str| Notice {
        warning: false,
        reason: "PrimaryChanged",
        action: "Takeover",
        note: note.to_owned(),
    };
    world.kubernetes.publish(Regarding::Cluster(&cluster), notice("mysql-0 -> mysql-1")).await;
    world.kubernetes.publish(Regarding::Cluster(&cluster), notice("mysql-1 -> mysql-0")).await;
    world.kubernetes.publish(Regarding::Takeover(&takeover), notice(&"long ".repeat(500))).await;
    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let mut notes: Vec<_> = events
        .iter()
        .filter(|event| event.regarding.as_ref().unwrap().uid == cluster.uid())
        .map(|event| event.note.clone().unwrap())
        .collect();
    notes.sort();
    assert_eq!(notes, ["mysql-0 -> mysql-1", "mysql-1 -> mysql-0"]);
    let long = events.iter().find(|event| event.regarding.as_ref().unwrap().uid == takeover.uid()).unwrap();
    assert_eq!(long.note.as_ref().unwrap().len(), 1024);
    assert_eq!(long.reporting_controller.as_deref(), Some("mysql-takeover"));
    assert_eq!(long.reporting_instance.as_deref(), Some("operator-0"));
    assert_eq!(long.type_.as_deref(), Some("Normal"));
}
