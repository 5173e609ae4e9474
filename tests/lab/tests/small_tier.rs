//! The small tier on real servers.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use lab::mysqld::{Topology, TopologyOptions, wait_until_replicating};
use lab::run::Run;
use lab::small::{SmallTier, pod_for, write_secret};
use lab::tools;
use mysql_async::prelude::Queryable as _;

const CATCH_UP: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_replicates_dies_and_comes_back_read_only() {
    let run = Arc::new(Run::temporary("test-mysql").unwrap());
    let mysql = tools::find_mysql().unwrap();
    let topology = Topology::start(&run, &mysql, TopologyOptions::new("db", 3)).await.unwrap();
    let [primary, replica, _] = topology.servers.as_slice() else { panic!("three servers") };
    assert!(primary.is_writable().await.unwrap());
    assert!(!replica.is_writable().await.unwrap());
    assert_eq!(primary.executed_gtid().await.unwrap(), "", "nothing of the set-up may be in the binary log");

    let mut client = primary.login(&topology.accounts.application).await.unwrap();
    client.query_drop("CREATE TABLE app.t (id INT PRIMARY KEY)").await.unwrap();
    client.query_drop("INSERT INTO app.t VALUES (1)").await.unwrap();
    client.disconnect().await.unwrap();
    topology.wait_for_replicas(0).await.unwrap();
    assert_eq!(replica.value("SELECT CAST(COUNT(*) AS CHAR) FROM app.t").await.unwrap(), "1");

    let (uuid, set) = (primary.server_uuid().await.unwrap(), primary.executed_gtid().await.unwrap());
    primary.kill9().unwrap();
    assert!(!primary.is_running());
    primary.restart().await.unwrap();
    assert!(!primary.is_writable().await.unwrap(), "every server boots read-only");
    assert_eq!(primary.server_uuid().await.unwrap(), uuid);
    assert_eq!(primary.executed_gtid().await.unwrap(), set);

    // What orchestrator calls a takeover, by hand and without hurry, to see that both directions attach.
    replica.execute(&["STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = OFF"]).await.unwrap();
    topology.replicate(primary, replica).await.unwrap();
    replica.execute(&["INSERT INTO app.t VALUES (2)"]).await.unwrap();
    primary.wait_for_gtid(&replica.executed_gtid().await.unwrap(), CATCH_UP).await.unwrap();
    assert_eq!(primary.value("SELECT CAST(COUNT(*) AS CHAR) FROM app.t").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_answers_again_and_a_moved_one_has_a_new_address() {
    let run = Arc::new(Run::temporary("test-mysql").unwrap());
    let mysql = tools::find_mysql().unwrap();
    let topology = Topology::start(&run, &mysql, TopologyOptions::new("db", 2)).await.unwrap();
    let replica = topology.server(1).unwrap();
    replica.stop().unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(300), replica.server_uuid()).await;
    assert!(answer.is_err(), "a stopped server answered");
    replica.cont().unwrap();
    replica.server_uuid().await.unwrap();

    let address = topology.new_address(1, 1);
    replica.move_to(address, &topology.authority).await.unwrap();
    assert_eq!(replica.address(), address);
    replica.execute(&["START REPLICA"]).await.unwrap();
    wait_until_replicating(replica).await.unwrap();
    let operator = replica.login(&topology.accounts.operator).await.unwrap();
    operator.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_is_real_and_survives_a_kill() {
    let tier = SmallTier::start(Run::temporary("test-api").unwrap()).await.unwrap();
    let namespace = tier.namespace("crd").await.unwrap();
    let definition = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: moons.lab.example}
spec:
  group: lab.example
  scope: Namespaced
  names: {kind: Moon, plural: moons, singular: moon}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {phase: {type: string}}}}}}
---
apiVersion: lab.example/v1
kind: Moon
metadata: {name: io}
spec: {phase: full}
";
    lab::control_plane::apply(&namespace.client, definition, Some(&namespace.name)).await.unwrap();
    tier.control_plane.kill_apiserver().unwrap();
    let secrets: Api<Secret> = Api::namespaced(namespace.client.clone(), &namespace.name);
    assert!(secrets.list(&kube::api::ListParams::default()).await.is_err(), "a dead API server answered");
    tier.control_plane.restart_apiserver().await.unwrap();
    lab::control_plane::apply(&namespace.client, definition, Some(&namespace.name)).await.unwrap();
    tier.run.end().unwrap();
    assert!(!tier.run.path().exists());

    let again = SmallTier::start(Run::temporary("test-api").unwrap()).await.unwrap();
    again.namespace("again").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_stand_in_front_of_servers() {
    let tier = SmallTier::shared().await.unwrap();
    let namespace = tier.namespace("pods").await.unwrap();
    let mysql = tools::find_mysql().unwrap();
    let topology = Topology::start(&tier.run, &mysql, TopologyOptions::new("pods-db", 1)).await.unwrap();
    let server = topology.server(0).unwrap();
    let pod = pod_for(&namespace, server, "db").await.unwrap();
    assert_eq!(pod.status.unwrap().pod_ip, Some(server.address().to_string()));
    write_secret(&namespace, "operator", &topology.accounts.operator).await.unwrap();

    lab::small::delete_pod(&namespace, &server.name()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    assert!(pods.get_opt(&server.name()).await.unwrap().is_none());
    namespace.delete().await.unwrap();
}
