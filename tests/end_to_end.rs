//! Real Pods, real Services, the operator from its chart: the demo's topology while the operator is killed, and one that the
//! demo did not make (six servers, another port, other labels, the user's own Services, a binary log full of history).

mod support;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use lab::deploy::{self, CLUSTER, NAMESPACE, OPERATOR_NAMESPACE, PRIMARY_SERVICE};
use lab::image::catalog;
use lab::load::{ClientKind, Clients, Login, Running, Scenario, Server};
use lab::mysqld::Accounts;
use lab::node::{ClusterAccess, Node, Options};
use lab::resources::{
    TakeoverStatus, clusters, create_takeover, follow_takeover, takeovers, wait_for_condition,
    wait_for_primary,
};
use lab::run::Run;
use lab::tools;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use support::{message, program, reason};

const LIMIT: Duration = Duration::from_mins(2);
const MYSQL: &str = include_str!("../config/demo/mysql.yaml");
const OPERATOR_ACCOUNT: &str = include_str!("../config/mysql/operator-account.sql");

/// The topology that the demo did not make.
const OTHER: &str = "ledger";
const OTHER_NAMESPACE: &str = "bank";
const OTHER_PORT: u16 = 3310;

#[tokio::test(flavor = "multi_thread")]
async fn takeovers_in_real_pods() -> Result<()> {
    ensure!(nix_is_root(), "a node needs root; run this test as root");
    let busybox = tools::find_node()?.busybox;
    let images = vec![
        catalog::mysql(tools::find_mysql()?.root(), &busybox)?.cached(catalog::MYSQL)?,
        catalog::operator(&program())?.cached(catalog::OPERATOR)?,
    ];
    let node = Node::start(Run::temporary("end-to-end")?, Options::installed(images, false)?).await?;
    let access = node.access().clone();
    let inside = access.clone();
    let result = access
        .enter(async move || {
            deploy::install_operator(&inside, None).await?;
            demo_topology(&inside).await.context("the demo's topology")?;
            other_topology(&inside).await.context("another topology")
        })
        .await;
    node.end().await?;
    result
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

/// There, and back while every operator is killed on the way.
async fn demo_topology(access: &ClusterAccess) -> Result<()> {
    let client = access.client().await?;
    let accounts = deploy::deploy_mysql(access, NAMESPACE, None).await?;
    deploy::register(access, &client, NAMESPACE).await?;
    let service = deploy::service_address(&client, NAMESPACE, PRIMARY_SERVICE).await?;
    let servers = deploy::servers(&client, NAMESPACE).await?;
    let mut running = write(servers, &accounts, service).await?;
    let (first, second) = (format!("{CLUSTER}-0"), format!("{CLUSTER}-1"));

    let begun = running.begin_takeover(&first, &second)?;
    create_takeover(&takeovers(&client, NAMESPACE), "there", CLUSTER, &second).await?;
    let status = ended(access, NAMESPACE, "there").await?;
    ensure!(reason(&status) == "Promoted", "{}", message(&status));
    ensure!(status.write_outage().is_some_and(|outage| outage < Duration::from_secs(2)), "{status:?}");
    running.wait_for_acknowledgements(100).await?;
    running.end_takeover(begun);
    let clusters = clusters(&client, NAMESPACE);
    wait_for_primary(&clusters, CLUSTER, &second, LIMIT).await?;
    wait_for_condition(&clusters, CLUSTER, "TakeoverReady", LIMIT).await?;

    let begun = running.begin_takeover(&second, &first)?;
    create_takeover(&takeovers(&client, NAMESPACE), "back", CLUSTER, &first).await?;
    for pod in operator_pods(&client).await? {
        access.delete_pod(OPERATOR_NAMESPACE, &pod, true).await?;
    }
    let status = ended(access, NAMESPACE, "back").await?;
    ensure!(reason(&status) == "Promoted", "{}", message(&status));
    running.wait_for_acknowledgements(100).await?;
    running.end_takeover(begun);
    running.finish().await?.verify()
}

/// Six servers behind the user's own Services.
async fn other_topology(access: &ClusterAccess) -> Result<()> {
    let client = access.client().await?;
    let accounts = deploy_other(access).await?;
    access.apply(OTHER_NAMESPACE, &registration().to_string()).await?;
    let clusters = clusters(&client, OTHER_NAMESPACE);
    wait_for_condition(&clusters, OTHER, "TakeoverReady", LIMIT).await?;

    let service = deploy::service_address(&client, OTHER_NAMESPACE, "ledger-write").await?;
    let mut running = write(other_servers(&client).await?, &accounts, service).await?;
    let (first, fourth) = (format!("{OTHER}-0"), format!("{OTHER}-4"));
    let begun = running.begin_takeover(&first, &fourth)?;
    create_takeover(&takeovers(&client, OTHER_NAMESPACE), "to-4", OTHER, &fourth).await?;
    let status = ended(access, OTHER_NAMESPACE, "to-4").await?;
    ensure!(reason(&status) == "Promoted", "{}", message(&status));
    running.wait_for_acknowledgements(100).await?;
    running.end_takeover(begun);
    wait_for_primary(&clusters, OTHER, &fourth, LIMIT).await?;
    let labelled = access
        .kubectl([
            "get",
            "pods",
            "--namespace",
            OTHER_NAMESPACE,
            "--selector=tier.example.com/part=leader",
            "--output=name",
        ])
        .await?;
    ensure!(labelled.trim() == format!("pod/{fourth}"), "labelled as primary: {labelled}");
    running.finish().await?.verify()
}

/// The demo's manifest under other names, with history in the binary log of the first server before the others join.
async fn deploy_other(access: &ClusterAccess) -> Result<Accounts> {
    let accounts = Accounts::generate();
    let secret = |suffix: &str, account: &lab::mysqld::Account| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{OTHER}-{suffix}"), "namespace": OTHER_NAMESPACE},
            "stringData": {"username": account.user, "password": account.password},
        })
    };
    let prepared = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER_NAMESPACE}},
        secret("operator", &accounts.operator),
        secret("replication", &accounts.replication),
        secret("application", &accounts.application),
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{OTHER}-accounts"), "namespace": OTHER_NAMESPACE},
            "data": {"operator-account.sql": OPERATOR_ACCOUNT},
        },
        user_service("ledger-write", "leader"),
        user_service("ledger-read", "follower"),
    ]});
    access.apply(OTHER_NAMESPACE, &prepared.to_string()).await?;
    let manifest = MYSQL
        .replace("orders-db", OTHER)
        .replace("3306", &OTHER_PORT.to_string())
        .replace("    mysqlx=OFF\n", &format!("    mysqlx=OFF\n    port={OTHER_PORT}\n"))
        .replace("app.kubernetes.io/instance", "db.example.com/of")
        .replace("replicas: 3", "replicas: 6");
    access.apply(OTHER_NAMESPACE, &manifest).await?;
    access.wait_ready(OTHER_NAMESPACE, &format!("statefulset/{OTHER}"), Duration::from_mins(4)).await?;
    let run = async |pod: String, command: &[&str]| access.execute(OTHER_NAMESPACE, &pod, command).await;
    let first = format!("{OTHER}-0");
    run(first.clone(), &["/bin/sh", "/scripts/bootstrap.sh", "primary"]).await?;
    run(first.clone(), &["/bin/sh", "-c", HISTORY]).await.context("write history")?;
    let source = format!("{first}.{OTHER}");
    for number in 1..6 {
        run(format!("{OTHER}-{number}"), &["/bin/sh", "/scripts/bootstrap.sh", "replica", &source]).await?;
    }
    Ok(accounts)
}

/// Two thousand transactions over forty binary logs.
const HISTORY: &str = "
    { echo 'CREATE TABLE app.history (id INT AUTO_INCREMENT PRIMARY KEY, what CHAR(40));'
      i=0; while [ $i -lt 2000 ]; do
        echo \"INSERT INTO app.history (what) VALUES ('entry $i');\"
        [ $((i % 50)) -ne 0 ] || echo 'FLUSH BINARY LOGS;'
        i=$((i + 1))
      done
    } | mysql --no-defaults --socket=/var/run/mysqld/mysqld.sock --user=root";

fn user_service(name: &str, part: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": OTHER_NAMESPACE},
        "spec": {
            "selector": {"db.example.com/of": OTHER, "tier.example.com/part": part},
            "ports": [{"name": "mysql", "port": OTHER_PORT}],
        },
    })
}

fn registration() -> serde_json::Value {
    json!({
        "apiVersion": "mysql-takeover.io/v1alpha1", "kind": "MySQLCluster",
        "metadata": {"name": OTHER},
        "spec": {
            "discovery": {"selector": {"matchLabels": {"db.example.com/of": OTHER}}, "port": OTHER_PORT},
            "credentials": {"secretRef": {"name": format!("{OTHER}-operator")}},
            "replicationCredentials": {"secretRef": {"name": format!("{OTHER}-replication")}},
            "tls": {"mode": "Required"},
            "routing": {
                "roleLabel": {"key": "tier.example.com/part", "primaryValue": "leader", "replicaValue": "follower"},
                "services": {"manage": "Observe", "primary": "ledger-write", "replicas": "ledger-read"},
            },
        },
    })
}

async fn other_servers(client: &kube::Client) -> Result<Vec<Server>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OTHER_NAMESPACE);
    let selector = ListParams::default().labels(&format!("db.example.com/of={OTHER}"));
    let mut servers = Vec::new();
    for pod in pods.list(&selector).await? {
        let address = pod.status.and_then(|status| status.pod_ip).context("a Pod without an address")?;
        let address = SocketAddr::new(address.parse()?, OTHER_PORT);
        servers.push(Server { name: pod.metadata.name.unwrap_or_default(), address });
    }
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    ensure!(servers.len() == 6, "{} servers", servers.len());
    Ok(servers)
}

async fn write(servers: Vec<Server>, accounts: &Accounts, service: SocketAddr) -> Result<Running> {
    let running = Scenario::new(servers, Login::of(&accounts.application, false), "writes")
        .clients(Clients::new(ClientKind::Keep, 1, vec![service]))
        .clients(Clients::new(ClientKind::PerWrite, 2, vec![service]))
        .start()
        .await?;
    running.wait_for_acknowledgements(100).await?;
    Ok(running)
}

async fn ended(access: &ClusterAccess, namespace: &str, name: &str) -> Result<TakeoverStatus> {
    let client = access.client().await?;
    follow_takeover(&takeovers(&client, namespace), name, LIMIT, |_| {}).await
}

async fn operator_pods(client: &kube::Client) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let list = pods.list(&ListParams::default().labels("app.kubernetes.io/name=mysql-takeover")).await?;
    Ok(list.items.into_iter().filter_map(|pod| pod.metadata.name).collect())
}
