//! Puts the operator and the demo's MySQL into a cluster, with the same files and commands that a person would use.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::json;

use crate::load::Server;
use crate::mysqld::{Account, Accounts, MYSQL_PORT};
use crate::node::ClusterAccess;
use crate::resources::{clusters, wait_for_condition};
use crate::run::project_directory;
use crate::wait::{Look, until};

/// Where the operator goes.
pub const OPERATOR_NAMESPACE: &str = "mysql-takeover-system";
/// Name of the Helm release, and of the Deployment that it makes.
pub const RELEASE: &str = "mysql-takeover";
/// Where the topology goes.
pub const NAMESPACE: &str = "shop";
/// Name of the `StatefulSet`, of its headless Service and of the `MySQLCluster`.
pub const CLUSTER: &str = "orders-db";
/// The Service that the operator creates for clients that write.
pub const PRIMARY_SERVICE: &str = "orders-db-primary";
/// The sample that registers the topology.
pub const CLUSTER_SAMPLE: &str = "config/samples/mysqlcluster.yaml";
/// The sample that moves its primary to `orders-db-1`.
pub const TAKEOVER_SAMPLE: &str = "config/samples/mastertakeover.yaml";
/// Name of the `MasterTakeover` in it.
pub const TAKEOVER: &str = "orders-db-to-1";

const MYSQL: &str = include_str!("../../../config/demo/mysql.yaml");
const OPERATOR_ACCOUNT: &str = include_str!("../../../config/mysql/operator-account.sql");
/// How the manifest names its image.
const MYSQL_IMAGE: &str = "image: mysql:9";

/// Pulling the public image on a cluster that the user brings takes most of it.
const ROLLOUT_LIMIT: Duration = Duration::from_mins(4);
const REGISTER_LIMIT: Duration = Duration::from_mins(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Installs the chart and waits until the operator is ready. `image` is `[registry/]repository:tag`; the chart's default is
/// the image that a node of our own has been given.
pub async fn install_operator(access: &ClusterAccess, image: Option<&str>) -> Result<()> {
    let chart = project_directory().join("charts/mysql-takeover");
    let mut arguments: Vec<String> = ["upgrade", "--install", RELEASE].map(str::to_owned).into();
    arguments.push(chart.display().to_string());
    arguments.extend(
        ["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout=4m"]
            .map(str::to_owned),
    );
    if let Some(image) = image {
        let (repository, tag) = image
            .rsplit_once(':')
            .with_context(|| format!("the operator's image {image:?} needs a tag, as in repository:tag"))?;
        arguments.push("--set-string".to_owned());
        arguments.push(format!("image.repository={repository},image.tag={tag}"));
    }
    if let Err(error) = access.helm(&arguments).await {
        let deployment = format!("deployment/{RELEASE}");
        let logs = access
            .kubectl(["logs", "--namespace", OPERATOR_NAMESPACE, &deployment, "--tail=20"])
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        return Err(error.context(format!("the operator is not ready; its log ends with:\n{logs}")));
    }
    Ok(())
}

/// Deploys the three MySQL servers and makes `orders-db-0` the primary, as a deployer does: from here on the operator is
/// responsible for who is the primary. `image` replaces the public `mysql:9`.
pub async fn deploy_mysql(access: &ClusterAccess, namespace: &str, image: Option<&str>) -> Result<Accounts> {
    let accounts = Accounts::generate();
    let prepared = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        secret(namespace, "operator", &accounts.operator),
        secret(namespace, "replication", &accounts.replication),
        secret(namespace, "application", &accounts.application),
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{CLUSTER}-accounts"), "namespace": namespace},
            "data": {"operator-account.sql": OPERATOR_ACCOUNT},
        },
    ]});
    access.apply(namespace, &prepared.to_string()).await.context("write the demo's Secrets")?;
    let manifest = match image {
        None => MYSQL.to_owned(),
        Some(image) => {
            ensure!(MYSQL.contains(MYSQL_IMAGE), "config/demo/mysql.yaml does not say {MYSQL_IMAGE:?}");
            MYSQL.replace(MYSQL_IMAGE, &format!("image: {image}"))
        }
    };
    access.apply(namespace, &manifest).await.context("apply config/demo/mysql.yaml")?;
    let workload = format!("statefulset/{CLUSTER}");
    if let Err(error) = access.wait_ready(namespace, &workload, ROLLOUT_LIMIT).await {
        let first = format!("{CLUSTER}-0");
        let log = access.logs(namespace, &first).await.unwrap_or_else(|error| format!("{error:#}"));
        return Err(error.context(format!("MySQL is not ready; the log of {first}:\n{log}")));
    }
    bootstrap(access, namespace).await?;
    Ok(accounts)
}

fn secret(namespace: &str, suffix: &str, account: &Account) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("{CLUSTER}-{suffix}"), "namespace": namespace},
        "stringData": {"username": account.user, "password": account.password},
    })
}

async fn bootstrap(access: &ClusterAccess, namespace: &str) -> Result<()> {
    let first = format!("{CLUSTER}-0");
    let run = async |pod: String, arguments: &[&str]| {
        let fixed = ["/bin/sh", "/scripts/bootstrap.sh"];
        let command: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
        access.execute(namespace, &pod, &command).await.with_context(|| format!("bootstrap {pod}"))
    };
    run(first.clone(), &["primary"]).await?;
    let source = format!("{first}.{CLUSTER}");
    let attach = ["replica", &source];
    tokio::try_join!(run(format!("{CLUSTER}-1"), &attach), run(format!("{CLUSTER}-2"), &attach))?;
    Ok(())
}

/// Applies the sample `MySQLCluster` and waits until a takeover would pass its checks.
pub async fn register(access: &ClusterAccess, client: &Client, namespace: &str) -> Result<()> {
    apply_sample(access, namespace, CLUSTER_SAMPLE).await?;
    let clusters = clusters(client, namespace);
    wait_for_condition(&clusters, CLUSTER, "Ready", REGISTER_LIMIT).await?;
    wait_for_condition(&clusters, CLUSTER, "TakeoverReady", REGISTER_LIMIT).await?;
    Ok(())
}

/// `kubectl apply` of a file of the project.
pub async fn apply_sample(access: &ClusterAccess, namespace: &str, path: &str) -> Result<String> {
    let file = project_directory().join(path).display().to_string();
    access
        .kubectl(["apply", "--namespace", namespace, "--filename", &file])
        .await
        .with_context(|| format!("kubectl apply -f {path}"))
}

/// The Pods of the topology as servers to connect to directly, in the order of their names.
pub async fn servers(client: &Client, namespace: &str) -> Result<Vec<Server>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/instance={CLUSTER}"));
    let mut servers = Vec::new();
    for pod in pods.list(&selector).await.context("list the MySQL Pods")? {
        let name = pod.metadata.name.unwrap_or_default();
        let address = pod.status.and_then(|status| status.pod_ip);
        let address = address.with_context(|| format!("Pod {name} has no address"))?;
        let address = address.parse().with_context(|| format!("address {address:?} of Pod {name}"))?;
        servers.push(Server { name, address: SocketAddr::new(address, MYSQL_PORT) });
    }
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    if servers.is_empty() {
        bail!("no MySQL Pods in namespace {namespace}");
    }
    Ok(servers)
}

/// The ClusterIP of a Service, once it is there.
pub async fn service_address(client: &Client, namespace: &str, name: &str) -> Result<SocketAddr> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let what = format!("address of Service {name}");
    until(&what, REGISTER_LIMIT, LOOK_INTERVAL, async || {
        let service = match services.get(name).await {
            Ok(service) => service,
            Err(error) => return Ok(Look::NotYet(error.to_string())),
        };
        let spec = service.spec.unwrap_or_default();
        let port = spec.ports.unwrap_or_default().first().and_then(|port| u16::try_from(port.port).ok());
        let address = spec.cluster_ip.and_then(|address| address.parse().ok());
        Ok(match address.zip(port) {
            Some((address, port)) => Look::Ready(SocketAddr::new(address, port)),
            None => Look::NotYet("it has no ClusterIP yet".to_owned()),
        })
    })
    .await
}
