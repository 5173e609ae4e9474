//! A takeover on real servers by an operator that has the rights of the chart and no others.

use crate::helm::{self, chart};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, Patch, PatchParams};
use lab::loopback::Block;
use lab::mysqld::{Topology, TopologyOptions};
use lab::operator::{self, Operator};
use lab::resources::{clusters, create_takeover, follow_takeover, takeovers, wait_for_condition};
use lab::small::{SmallTier, TestNamespace, register};
use lab::wait::{Look, until};
use lab::{control_plane, tools};
use serde_json::json;
use std::time::Duration;

const CLUSTER: &str = "orders-db";
const LIMIT: Duration = Duration::from_mins(1);

/// Creates owned Services, deletes a takeover after its time: the rights that a takeover alone does not need.
async fn use_the_other_rights(namespace: &TestNamespace, takeover: &str) {
    let (client, name) = (&namespace.client, &namespace.name);
    let services = json!({"spec": {"routing": {"services": {"primary": "orders-db-primary"}}}});
    let merge = PatchParams::default();
    clusters(client, name).patch(CLUSTER, &merge, &Patch::Merge(services)).await.unwrap();
    let delete_at_once = json!({"spec": {"ttlSecondsAfterFinished": 0}});
    takeovers(client, name).patch(takeover, &merge, &Patch::Merge(delete_at_once)).await.unwrap();

    let found: Api<Service> = Api::namespaced(client.clone(), name);
    until(
        "the owned Service, and the end of the takeover's time",
        LIMIT,
        Duration::from_millis(100),
        async || {
            let service =
                found.get_opt("orders-db-primary").await?.and_then(|service| service.spec?.selector);
            let takeover = takeovers(client, name).get_opt(takeover).await?;
            Ok(match (service, takeover) {
                (Some(_), None) => Look::Ready(()),
                (service, takeover) => Look::NotYet(format!(
                    "selector {service:?}, takeover still there: {}",
                    takeover.is_some()
                )),
            })
        },
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_the_rights_of_the_chart_carries_out_a_takeover() {
    let tier = SmallTier::shared().await.unwrap_or_else(|error| panic!("{error:#}"));
    let program = operator::program().unwrap_or_else(|error| panic!("{error:#}"));
    let namespace = tier.namespace("rights").await.unwrap();
    let name = &namespace.name;
    let definitions = operator::definitions(&program).unwrap();
    control_plane::apply(&namespace.client, &definitions, None).await.unwrap();

    let kubeconfig = tier.control_plane.admin_kubeconfig().display().to_string();
    let values = format!(
        "crds.enabled=false,watchNamespaces={{{name}}},rbac.secretNames={{operator,replication}},\
         rbac.aggregateToView=false,rbac.aggregateToEdit=false,rbac.aggregateToAdmin=false"
    );
    let target = ["--namespace", name, "--kubeconfig", &kubeconfig];
    helm::helm_ok(&[&["install", "mysql-takeover", &chart(), "--set", &values], &target[..]].concat());

    let mysql = tools::find_mysql().unwrap_or_else(|error| panic!("{error:#}"));
    let topology = Topology::start(&tier.run, &mysql, TopologyOptions::new(CLUSTER, 3)).await.unwrap();
    register(&namespace, &topology, CLUSTER, |_| {}).await.unwrap();

    // What RBAC knows the Deployment's Pods as; there is no kubelet here to run them.
    let account = format!("system:serviceaccount:{name}:mysql-takeover");
    let options = operator::Options {
        program,
        name: "operator-of-the-chart".to_owned(),
        kubeconfig: tier.control_plane.kubeconfig(&account, None).unwrap(),
        namespace: name.clone(),
        address: Block::pick(8080).unwrap().address(1),
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    let operator = Operator::start(&tier.run, &options).await.unwrap_or_else(|error| panic!("{error:#}"));

    let ready = wait_for_condition(&clusters(&namespace.client, name), CLUSTER, "TakeoverReady", LIMIT).await;
    assert!(ready.is_ok(), "{:#}\n{}", ready.unwrap_err(), operator.process().log_tail());
    let new = topology.servers[1].name().clone();
    let all = takeovers(&namespace.client, name);
    create_takeover(&all, "orders-to-1", CLUSTER, &new).await.unwrap();
    let status = follow_takeover(&all, "orders-to-1", LIMIT, |_| {}).await.unwrap();
    status.verify().unwrap_or_else(|error| panic!("{error:#}"));
    use_the_other_rights(&namespace, "orders-to-1").await;

    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(namespace.client.clone(), name);
    let events = events.list(&ListParams::default()).await.unwrap();
    assert!(events.items.iter().any(|event| event.reason.as_deref() == Some("PrimaryChanged")));

    let metrics = operator.page("/metrics").await.unwrap();
    for metric in
        ["leader_status 1", "cluster_writable_instances", "finished_total", "write_outage_seconds_count"]
    {
        assert!(metrics.contains(&format!("mysql_takeover_{metric}")), "{metric} in {metrics}");
    }
    // A right that is missing may cost no more than an Event or a retry: the log tells.
    let log = std::fs::read_to_string(operator.process().log()).unwrap();
    let refused: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains("forbidden")).collect();
    assert!(refused.is_empty(), "rights that the chart does not give:\n{}", refused.join("\n"));
}
