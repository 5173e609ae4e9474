//! The port to the Kubernetes API in the simulated world.

use crate::fault::Fate;
use crate::state::{State, World};
use crate::store::{CANARY, SERVICE, Store};
use mysql_takeover::api::{MasterTakeover, MySQLCluster};
use mysql_takeover::controller::takeover::end;
use mysql_takeover::kubernetes::port::{
    DesiredService, EndpointView, Notice, PodView, Regarding, SecretData, ServiceView,
};
use mysql_takeover::kubernetes::{ApiError, Commit, Key, Kubernetes};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Time of one request.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// Bound on a request whose answer never comes.
const PATIENCE: Duration = Duration::from_secs(5);
/// After how long a delayed request arrives all the same.
const DELAY: Duration = Duration::from_secs(8);

/// The API, as one operator reaches it.
#[derive(Clone, Debug)]
pub struct SimulatedApi {
    /// The world.
    pub world: World,
    /// The operator's number.
    pub operator: usize,
}

impl SimulatedApi {
    /// One request. `effect` is what the API server does with it; it may come late, or twice.
    async fn request<T: Send + 'static>(
        &self,
        action: &str,
        mut effect: impl FnMut(&mut State) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let lost = |message: &str, status| ApiError {
            action: action.to_owned(),
            status,
            message: message.to_owned(),
        };
        let fate = self.world.enter(self.operator, action).await;
        tokio::time::sleep(ROUND_TRIP / 2).await;
        let gone = {
            let state = self.world.lock();
            state.api_gone_until.is_some_and(|until| Instant::now() < until)
        };
        if gone || fate == Fate::Refused {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Err(lost("connection refused", None));
        }
        if fate == Fate::Late {
            let world = self.world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(DELAY).await;
                effect(&mut world.lock());
            });
            tokio::time::sleep(PATIENCE).await;
            return Err(lost("no answer in time", None));
        }
        let answer = {
            let mut state = self.world.lock();
            let first = effect(&mut state);
            if fate == Fate::Twice { effect(&mut state) } else { first }
        };
        tokio::time::sleep(ROUND_TRIP / 2).await;
        self.world.leave(self.operator, fate).await;
        if fate == Fate::ReplyLost { Err(lost("the answer was lost", Some(504))) } else { Ok(answer) }
    }

    async fn commit<T: Send + 'static>(
        &self,
        action: &str,
        effect: impl FnMut(&mut State) -> Option<T> + Send + 'static,
    ) -> Commit<T> {
        match self.request(action, effect).await {
            Ok(Some(written)) => Commit::Committed(Box::new(written)),
            Ok(None) => Commit::Conflict,
            Err(error) => Commit::Unknown(error),
        }
    }

    async fn change_takeover(
        &self,
        action: &str,
        takeover: &MasterTakeover,
        change: impl Fn(&mut MasterTakeover) -> Option<()> + Send + 'static,
    ) -> Commit<MasterTakeover> {
        let (name, wanted) = (takeover.metadata.name.clone().unwrap_or_default(), takeover.metadata.clone());
        self.commit(action, move |state| {
            let version = state.store.bump();
            let stored = state.store.takeovers.get_mut(&name)?;
            if stored.metadata.uid != wanted.uid
                || stored.metadata.resource_version != wanted.resource_version
            {
                return None;
            }
            let was = end(stored).map(ToOwned::to_owned);
            change(stored)?;
            stored.metadata.resource_version = Some(version);
            let written = stored.clone();
            if was.is_some() && end(&written) != was.as_deref() {
                state.store.illegal.push(format!("{was:?} was told, then {:?}", end(&written)));
            }
            state.store.collect();
            Some(written)
        })
        .await
    }
}

impl Kubernetes for SimulatedApi {
    async fn takeover(&self, key: &Key) -> Result<Option<MasterTakeover>, ApiError> {
        let name = key.name.clone();
        self.request("read the takeover", move |state| state.store.takeovers.get(&name).cloned()).await
    }

    async fn cluster(&self, _key: &Key) -> Result<Option<MySQLCluster>, ApiError> {
        self.request("read the cluster", |state| (!state.store.gone).then(|| state.store.cluster.clone()))
            .await
    }

    async fn takeovers_of(&self, _cluster: &Key) -> Result<Vec<MasterTakeover>, ApiError> {
        self.request("list the takeovers", |state| state.store.takeovers.values().cloned().collect()).await
    }

    async fn commit_cluster(&self, cluster: &MySQLCluster) -> Commit<MySQLCluster> {
        let written = cluster.clone();
        self.commit("write the cluster", move |state| {
            state.store.is_current(&written).then(|| {
                state.store.write_cluster(&written);
                state.store.cluster.clone()
            })
        })
        .await
    }

    async fn set_cluster_finalizer(&self, cluster: &MySQLCluster, present: bool) -> Commit<MySQLCluster> {
        let wanted = cluster.clone();
        self.commit("write the cluster's finalizer", move |state| {
            if !state.store.is_current(&wanted) {
                return None;
            }
            Store::finalize(&mut state.store.cluster.metadata, present)?;
            state.store.touch_cluster();
            let written = state.store.cluster.clone();
            state.store.collect();
            Some(written)
        })
        .await
    }

    async fn commit_takeover(&self, takeover: &MasterTakeover) -> Commit<MasterTakeover> {
        let status = takeover.status.clone();
        self.change_takeover("write the takeover", takeover, move |stored| {
            stored.status.clone_from(&status);
            Some(())
        })
        .await
    }

    async fn set_finalizer(&self, takeover: &MasterTakeover, present: bool) -> Commit<MasterTakeover> {
        let change = move |stored: &mut MasterTakeover| Store::finalize(&mut stored.metadata, present);
        self.change_takeover("write the finalizer", takeover, change).await
    }

    async fn delete_takeover(&self, takeover: &MasterTakeover) -> Result<(), ApiError> {
        let name = takeover.metadata.name.clone().unwrap_or_default();
        self.request("delete the takeover", move |state| {
            state.store.takeovers.remove(&name);
        })
        .await
    }

    async fn pods(&self, _cluster: &MySQLCluster) -> Result<Vec<PodView>, ApiError> {
        self.request("list the Pods", |state| state.store.pods.clone()).await
    }

    async fn label_pod(
        &self,
        _namespace: &str,
        pod: &PodView,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), ApiError> {
        let (uid, key, value) = (pod.uid.clone(), key.to_owned(), value.map(ToOwned::to_owned));
        let found = self
            .request("label a Pod", move |state| {
                let pod = state.store.pods.iter_mut().find(|pod| pod.uid == uid)?;
                match &value {
                    Some(value) => pod.labels.insert(key.clone(), value.clone()),
                    None => pod.labels.remove(&key),
                };
                Some(())
            })
            .await?;
        found.ok_or_else(|| ApiError {
            action: "label a Pod".to_owned(),
            status: Some(409),
            message: "the Pod was made anew".to_owned(),
        })
    }

    async fn service(&self, key: &Key) -> Result<Option<ServiceView>, ApiError> {
        let name = key.name.clone();
        self.request("read the Service", move |state| state.store.services.get(&name).cloned()).await
    }

    async fn ensure_service(&self, cluster: &MySQLCluster, service: &DesiredService) -> Result<(), ApiError> {
        let (owner, service) = (cluster.metadata.uid.clone(), service.clone());
        self.request("write the Service", move |state| {
            let address = state.store.service_address();
            let view = ServiceView {
                name: service.name.clone(),
                selector: service.selector.clone(),
                cluster_ip: (service.name == SERVICE).then_some(address),
                port: Some(service.port),
                type_: "ClusterIP".to_owned(),
                external_ips: false,
                owner_uid: owner.clone(),
            };
            state.store.services.insert(service.name.clone(), view);
        })
        .await
    }

    async fn endpoints(&self, _service: &Key) -> Result<Vec<EndpointView>, ApiError> {
        self.request("read the EndpointSlices", |state| {
            let pods: Vec<usize> = state.store.routed().collect();
            let view = |number: &usize| EndpointView {
                pod: state.store.pods.get(*number).map(|pod| pod.name.clone()),
                ready: state.servers.get(*number).is_some_and(|server| server.up),
            };
            pods.iter().map(view).collect()
        })
        .await
    }

    async fn secret(&self, key: &Key) -> Result<Option<SecretData>, ApiError> {
        let user = key.name.clone();
        self.request("read a Secret", move |_state| {
            let value = |text: &str| Arc::<[u8]>::from(text.as_bytes());
            Some(BTreeMap::from([
                ("username".to_owned(), value(&user)),
                ("password".to_owned(), value(CANARY)),
            ]))
        })
        .await
    }

    async fn publish(&self, _regarding: Regarding<'_>, notice: Notice) {
        let text = format!("{}: {}", notice.reason, notice.note);
        // Losing one is no failure.
        let _ = self.request("publish an Event", move |state| state.store.events.push(text.clone())).await;
    }
}
