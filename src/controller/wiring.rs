//! The two controllers on real watches: what changes leads to a pass, what fails is tried again.

use super::{Context, Error, Next, cluster, takeover};
use crate::api::{MasterTakeover, MySQLCluster};
use crate::kubernetes::{Key, Kubernetes, words};
use crate::mysql::Servers;
use crate::telemetry::admin::Readiness;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

/// Interval after a pass that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Bound on one watch request, in seconds: a connection that died without a word is noticed within it.
const WATCH_SECONDS: u32 = 30;
/// Changes of an object within this time lead to one pass.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Runs both controllers in these namespaces (none named: in all) until `context.stop` is cancelled, and waits for the
/// passes under way. Until everything was listed once, `readiness` lacks it.
pub async fn run<K: Kubernetes, S: Servers>(
    context: Context<K, S>,
    client: Client,
    namespaces: &[String],
    readiness: Readiness,
) {
    let context = Arc::new(context);
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    join_all(scopes.into_iter().map(|namespace| {
        let scope = Scope {
            context: context.clone(),
            client: client.clone(),
            namespace,
            readiness: readiness.clone(),
        };
        async move { tokio::join!(scope.takeovers(), scope.clusters()) }
    }))
    .await;
}

/// One namespace, or all.
struct Scope<K, S> {
    context: Arc<Context<K, S>>,
    client: Client,
    namespace: Option<String>,
    readiness: Readiness,
}

/// Passes over one kind.
type Reconcile<K, S> = fn(Arc<Context<K, S>>, Key) -> BoxFuture<'static, Result<Next, Error>>;

impl<K: Kubernetes, S: Servers> Scope<K, S> {
    fn api<T>(&self) -> Api<T>
    where
        T: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        T::DynamicType: Default,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    async fn takeovers(&self) {
        let controller = Controller::new(self.api::<DeserializeGuard<MasterTakeover>>(), watched());
        let known = controller.store();
        // A cluster that was released, or mended, lets those that wait for it go on.
        let controller = controller
            .watches(self.api::<DeserializeGuard<MySQLCluster>>(), watched(), move |cluster| {
                waiting(&known, &cluster)
            })
            // A takeover is told to begin by one event; there is nothing to collect.
            .with_config(Config::default().concurrency(0));
        self.drive("takeover", controller, |context, key| {
            async move { takeover::reconcile(&context, &key).await }.boxed()
        })
        .await;
    }

    async fn clusters(&self) {
        let controller = Controller::new(self.api::<DeserializeGuard<MySQLCluster>>(), watched());
        let known = controller.store();
        let controller = controller
            .watches(self.api::<Pod>(), watched(), move |pod| selecting(&known, &pod))
            .watches(self.api::<DeserializeGuard<MasterTakeover>>(), watched(), |takeover| moved(&takeover))
            .with_config(Config::default().concurrency(0).debounce(DEBOUNCE));
        self.drive("cluster", controller, |context, key| {
            async move { cluster::reconcile(&context, &key).await }.boxed()
        })
        .await;
    }

    async fn drive<T>(
        &self,
        name: &'static str,
        controller: Controller<DeserializeGuard<T>>,
        reconcile: Reconcile<K, S>,
    ) where
        T: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let what = format!(
            "the first list of {} in {}",
            T::plural(&()),
            self.namespace.as_deref().unwrap_or("all namespaces")
        );
        self.readiness.lacks(&what);
        let store = controller.store();
        let listed = async {
            // Fails only when the controller ended, and then nobody asks any more.
            let _ = store.wait_until_ready().await;
            self.readiness.has(&what);
        };
        let context = self.context.clone();
        let passes = controller
            .trigger_backoff(WatchAgain::default())
            .graceful_shutdown_on(self.context.stop.clone().cancelled_owned())
            .run(
                move |guarded, context| pass(name, guarded, context, reconcile),
                |object, error, _| retry(name, &object, error),
                self.context.clone(),
            )
            .for_each(move |result| {
                match result {
                    Err(controller::Error::ObjectNotFound(gone)) => {
                        let key = Key::new(gone.namespace.clone().unwrap_or_default(), &gone.name);
                        // It was deleted between two passes: what is kept about it is dropped. Not awaited: all passes
                        // under way stand still while this closure does not return.
                        tokio::spawn(reconcile(context.clone(), key));
                    }
                    Err(controller::Error::QueueError(error)) => {
                        tracing::warn!(controller = name, error = %words::causes(&error), "cannot watch; trying again");
                    }
                    // `retry` has told it.
                    Err(controller::Error::ReconcilerFailed(..)) | Ok(_) => {}
                    Err(error) => tracing::warn!(controller = name, %error, "the controller stumbled"),
                }
                std::future::ready(())
            });
        tokio::join!(listed, passes);
    }
}

/// Intervals between attempts to watch: doubled up to 4 s. kube's own go up to half a minute, for which nobody should have
/// to wait after an outage of the API server.
#[derive(Debug, Default)]
struct WatchAgain {
    attempts: u32,
}

impl Iterator for WatchAgain {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let interval = Duration::from_millis(250 << self.attempts.min(4));
        self.attempts = self.attempts.saturating_add(1);
        Some(interval)
    }
}

impl Backoff for WatchAgain {
    fn reset(&mut self) {
        self.attempts = 0;
    }
}

fn watched() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// One pass over an object, unless it cannot be read as what it should be: such a one must not stall the others.
async fn pass<T: Resource, K: Kubernetes, S: Servers>(
    controller: &'static str,
    guarded: Arc<DeserializeGuard<T>>,
    context: Arc<Context<K, S>>,
    reconcile: Reconcile<K, S>,
) -> Result<Action, Error> {
    let key = Key::new(guarded.namespace().unwrap_or_default(), guarded.name_any());
    if let Err(invalid) = &guarded.0 {
        tracing::error!(object = %key, error = %invalid.error, "this object cannot be read; it is left alone until it changes");
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    // A task of its own: the controller polls all its passes in one task, where one would wait for the other's turn, and
    // milliseconds count here. It ends with the controller all the same.
    let task = AbortOnDropHandle::new(tokio::spawn(reconcile(context.clone(), key).in_current_span()));
    let result = match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => return Ok(Action::await_change()),
        },
    };
    let word = result.as_ref().map_or_else(Error::category, |_| "ok");
    context.metrics.reconcile(controller, word, began.elapsed());
    match result? {
        Next::Again(after) => Ok(Action::requeue(after)),
        Next::Await => Ok(Action::await_change()),
    }
}

fn retry<T: Resource>(controller: &'static str, object: &DeserializeGuard<T>, error: &Error) -> Action {
    let key = Key::new(object.namespace().unwrap_or_default(), object.name_any());
    tracing::warn!(controller, object = %key, %error, category = error.category(), "a pass failed; trying again");
    Action::requeue(RETRY)
}

/// The cluster of a takeover that ended or is being deleted: its conditions and metrics are those of a moment ago.
fn moved(takeover: &DeserializeGuard<MasterTakeover>) -> Option<ObjectRef<DeserializeGuard<MySQLCluster>>> {
    let readable = takeover.0.as_ref().ok()?;
    let over = takeover::finished(readable) || readable.metadata.deletion_timestamp.is_some();
    over.then(|| {
        ObjectRef::new(&readable.spec.cluster_ref.name).within(&takeover.namespace().unwrap_or_default())
    })
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
