//! The life of an operator process: connect, stand by, lead, come to a halt.

use super::Arguments;
use crate::api::{MasterTakeover, MySQLCluster};
use crate::controller::{Clock, Context, Gates, Settings, wiring};
use crate::kubernetes::{KubeApi, connect, words};
use crate::leadership::{Elector, Lost, Timing};
use crate::mysql::MysqlServers;
use crate::telemetry::admin::{self, Readiness};
use crate::telemetry::metrics::Metrics;
use anyhow::{Context as _, Result, anyhow};
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Interval between looks at something that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Bound on one such look.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// How a leader's work ended.
enum End {
    /// It was asked to stop.
    Asked,
    /// Another instance may act from now on.
    Lost(Lost),
    /// The controllers or the election ended by themselves, which they never should.
    Broken(anyhow::Error),
}

pub(super) async fn operate(arguments: Arguments, timing: Timing) -> Result<ExitCode> {
    let asked = asked_to_stop()?;
    let config = connect::configuration(&arguments.target.clone().target()).await?;
    let identity = identity(arguments.identity.as_deref());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity, api = %config.cluster_url, "starting");

    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    readiness.lacks(SERVED);
    admin::serve(arguments.listen, readiness.clone(), metrics.clone()).await?;

    let client = connect::client(&config)?;
    let namespaces = arguments.namespaces();
    if asked.run_until_cancelled(wait_until_served(&client, &namespaces, &readiness)).await.is_none() {
        return Ok(ExitCode::SUCCESS);
    }

    let namespace = arguments
        .lease_namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or(&config.default_namespace);
    let (elector, mut claim) =
        Elector::new(connect::client(&config)?, namespace, &arguments.lease_name, &identity, timing);
    let release = CancellationToken::new();
    let mut election = tokio::spawn(elector.run(release.clone()));
    tokio::select! {
        () = asked.cancelled() => {
            release.cancel();
            let _ = election.await;
            tracing::info!("stopped while standing by");
            return Ok(ExitCode::SUCCESS);
        }
        ended = &mut election => return Err(election_broke(ended)),
        _ = claim.wait_for(|claim| claim.leading) => metrics.leading(true),
    }

    let stop = CancellationToken::new();
    let context = Context {
        kubernetes: KubeApi::new(client.clone(), &identity),
        servers: MysqlServers,
        settings: Settings {
            probe_period: Duration::from_secs(arguments.probe_period_seconds.into()),
            lead: Some(claim),
            ..Settings::default()
        },
        holder: identity.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
        clock: Clock::system(),
        gates: Gates::default(),
    };
    let mut controllers =
        tokio::spawn(async move { wiring::run(context, client, &namespaces, readiness).await });

    let end = tokio::select! {
        () = asked.cancelled() => End::Asked,
        ended = &mut election => match ended {
            Ok(Err(lost)) => End::Lost(lost),
            ended => End::Broken(election_broke(ended)),
        },
        ended = &mut controllers => End::Broken(match ended {
            Ok(()) => anyhow!("the controllers ended by themselves"),
            Err(error) => anyhow!(error).context("a controller failed"),
        }),
    };
    metrics.leading(false);
    stop.cancel();
    match end {
        End::Asked => {
            let grace = Duration::from_secs(arguments.shutdown_grace_seconds.into());
            tracing::info!(
                grace_seconds = grace.as_secs(),
                "asked to stop; running takeovers come to a safe point"
            );
            let halted = halt(&mut controllers, grace).await;
            release.cancel();
            let _ = election.await;
            tracing::info!(halted, "stopped");
            Ok(ExitCode::SUCCESS)
        }
        End::Lost(lost) => {
            // Others wait for the lease duration; the renew deadline passed already.
            let left = timing.lease_duration.saturating_sub(timing.renew_deadline);
            let halted = halt(&mut controllers, left).await;
            tracing::error!(error = %lost, halted, "the lead was lost; this process ends, so that nothing of it goes on");
            Ok(ExitCode::FAILURE)
        }
        End::Broken(error) => {
            release.cancel();
            let _ = timeout(LOOK_LIMIT, election).await;
            Err(error)
        }
    }
}

/// Waits for the passes under way; false where they did not end in time.
async fn halt(controllers: &mut JoinHandle<()>, limit: Duration) -> bool {
    if timeout(limit, &mut *controllers).await.is_ok() {
        return true;
    }
    tracing::warn!(
        seconds = limit.as_secs(),
        "a takeover did not come to a safe point in time; the next leader goes on with it"
    );
    controllers.abort();
    false
}

fn election_broke(ended: Result<Result<(), Lost>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the election ended by itself"),
        Ok(Err(lost)) => anyhow!(lost),
        Err(error) => anyhow!(error).context("the election failed"),
    }
}

/// Cancelled by SIGTERM or SIGINT.
fn asked_to_stop() -> Result<CancellationToken> {
    let asked = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let token = asked.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(asked)
}

/// Unique for every start of every process: a restarted one must not take the Lease, or a running takeover, for its own.
fn identity(name: Option<&str>) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.filter(|name| !name.is_empty()).unwrap_or(host.trim());
    let name = if name.is_empty() { "mysql-takeover" } else { name };
    format!("{name}_{}", uuid::Uuid::new_v4())
}

const SERVED: &str = "the API server serves MySQLClusters and MasterTakeovers and lets us list them";

/// Waits until both kinds are served and may be listed. Without, there is nothing to lead.
async fn wait_until_served(client: &Client, namespaces: &[String], readiness: &Readiness) {
    let mut told = None;
    loop {
        let namespace = namespaces.first().map(String::as_str);
        let looked = async {
            look::<MySQLCluster>(client, namespace).await?;
            look::<MasterTakeover>(client, namespace).await
        };
        match looked.await {
            Ok(()) => return readiness.has(SERVED),
            Err(problem) if told.as_ref() != Some(&problem) => {
                tracing::warn!(problem, "waiting for the custom resource definitions");
                told = Some(problem);
            }
            Err(_) => {}
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn look<T>(client: &Client, namespace: Option<&str>) -> Result<(), String>
where
    T: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<T> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let plural = T::plural(&());
    match timeout(LOOK_LIMIT, api.list_metadata(&ListParams::default().limit(1))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(format!(
            "{plural} are not served: apply the definitions (`mysql-takeover crd | kubectl apply -f -`)"
        )),
        Ok(Err(error)) => Err(format!("cannot list {plural}: {}", words::told(&error))),
        Err(_elapsed) => Err(format!("cannot list {plural}: no answer within {} s", LOOK_LIMIT.as_secs())),
    }
}
