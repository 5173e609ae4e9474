//! The two controllers on real watches: what changes leads to a pass, what fails is tried again at growing intervals.

use super::{Context, Error, Next, cluster, takeover};
use crate::api::{MasterTakeover, MySQLCluster};
use crate::kubernetes::{Key, Kubernetes};
use crate::mysql::Servers;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// Interval after a pass that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Bound on one watch request: a connection that died without a word is noticed within it. Seconds.
const WATCH_SECONDS: u32 = 290;

/// Runs both controllers in these namespaces (none named: in all) until `context.stop` is cancelled, and waits for the
/// passes under way.
pub async fn run<K: Kubernetes, S: Servers>(context: Context<K, S>, client: Client, namespaces: &[String]) {
    let context = Arc::new(context);
    let scopes: Vec<Option<&String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(Some).collect() };
    let runs = scopes.into_iter().map(|namespace| {
        let (context, client) = (context.clone(), client.clone());
        async move {
            tokio::join!(
                takeovers(context.clone(), client.clone(), namespace),
                clusters(context, client, namespace)
            );
        }
    });
    futures::future::join_all(runs).await;
}

fn api<T>(client: &Client, namespace: Option<&String>) -> Api<T>
where
    T: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    T::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn watched() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

async fn takeovers<K: Kubernetes, S: Servers>(
    context: Arc<Context<K, S>>,
    client: Client,
    namespace: Option<&String>,
) {
    type Guarded = DeserializeGuard<MasterTakeover>;
    let controller = Controller::new(api::<Guarded>(&client, namespace), watched());
    let known = controller.store();
    controller
        // A cluster that was released, or mended, lets those that wait for it go on.
        .watches(api::<DeserializeGuard<MySQLCluster>>(&client, namespace), watched(), move |cluster| {
            waiting(&known, &cluster)
        })
        .with_config(Config::default().concurrency(0))
        .graceful_shutdown_on(context.stop.clone().cancelled_owned())
        .run(
            |guarded, context| {
                pass(guarded, context, |context, key| {
                    async move { takeover::reconcile(&context, &key).await }.boxed()
                })
            },
            retry,
            context.clone(),
        )
        .for_each(|_| async {})
        .await;
}

async fn clusters<K: Kubernetes, S: Servers>(
    context: Arc<Context<K, S>>,
    client: Client,
    namespace: Option<&String>,
) {
    type Guarded = DeserializeGuard<MySQLCluster>;
    let controller = Controller::new(api::<Guarded>(&client, namespace), watched());
    let known = controller.store();
    controller
        .watches(api::<Pod>(&client, namespace), watched(), move |pod| selecting(&known, &pod))
        .with_config(Config::default().concurrency(0).debounce(Duration::from_millis(200)))
        .graceful_shutdown_on(context.stop.clone().cancelled_owned())
        .run(
            |guarded, context| {
                pass(guarded, context, |context, key| {
                    async move { cluster::reconcile(&context, &key).await }.boxed()
                })
            },
            retry,
            context.clone(),
        )
        .for_each(|_| async {})
        .await;
}

/// One pass over an object, unless it cannot be read as what it should be: such a one must not stall the others.
async fn pass<T, K: Kubernetes, S: Servers>(
    guarded: Arc<DeserializeGuard<T>>,
    context: Arc<Context<K, S>>,
    reconcile: impl Fn(Arc<Context<K, S>>, Key) -> futures::future::BoxFuture<'static, Result<Next, Error>>,
) -> Result<Action, Error>
where
    T: Resource,
{
    let key = Key::new(guarded.namespace().unwrap_or_default(), guarded.name_any());
    if let Err(invalid) = &guarded.0 {
        tracing::error!(object = %key, error = %invalid.error, "this object cannot be read; it is left alone until it changes");
        return Ok(Action::await_change());
    }
    match reconcile(context, key).await? {
        Next::Again(after) => Ok(Action::requeue(after)),
        Next::Await => Ok(Action::await_change()),
    }
}

fn retry<T, K: Kubernetes, S: Servers>(
    object: Arc<DeserializeGuard<T>>,
    error: &Error,
    context: Arc<Context<K, S>>,
) -> Action
where
    T: Resource,
{
    let key = Key::new(object.namespace().unwrap_or_default(), object.name_any());
    tracing::warn!(object = %key, %error, category = error.category(), "pass failed; trying again");
    context.metrics.server_error(error.category());
    Action::requeue(RETRY)
}

/// Takeovers that name this cluster and have not ended.
fn waiting(
    known: &Store<DeserializeGuard<MasterTakeover>>,
    cluster: &DeserializeGuard<MySQLCluster>,
) -> Vec<ObjectRef<DeserializeGuard<MasterTakeover>>> {
    let (namespace, name) = (cluster.namespace(), cluster.name_any());
    known
        .state()
        .iter()
        .filter(|guarded| guarded.namespace() == namespace)
        .filter(|guarded| {
            guarded
                .0
                .as_ref()
                .is_ok_and(|takeover| takeover.spec.cluster_ref.name == name && !takeover::finished(takeover))
        })
        .map(|guarded| ObjectRef::from_obj(guarded.as_ref()))
        .collect()
}

/// Clusters whose selector selects this Pod.
fn selecting(
    known: &Store<DeserializeGuard<MySQLCluster>>,
    pod: &Pod,
) -> Vec<ObjectRef<DeserializeGuard<MySQLCluster>>> {
    use kube::core::{Selector, SelectorExt};
    known
        .state()
        .iter()
        .filter(|guarded| guarded.namespace() == pod.namespace())
        .filter(|guarded| {
            guarded.0.as_ref().is_ok_and(|cluster| {
                Selector::try_from(cluster.spec.discovery.selector.clone())
                    .is_ok_and(|selector| selector.matches(pod.labels()))
            })
        })
        .map(|guarded| ObjectRef::from_obj(guarded.as_ref()))
        .collect()
}
