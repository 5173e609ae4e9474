//! Operator processes: the real drivers of both controllers, on the ports of this world.

use crate::api::SimulatedApi;
use crate::session::SimulatedServers;
use crate::state::{LEASE, Lease, Process, World};
use crate::store::{CLUSTER, NAMESPACE};
use mysql_takeover::controller::{Clock, Context, Gates, Next, Settings, cluster, takeover};
use mysql_takeover::kubernetes::Key;
use mysql_takeover::leadership::Claim;
use mysql_takeover::telemetry::metrics::Metrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After a pass that failed, as the controllers do.
const RETRY: Duration = Duration::from_secs(2);
/// A change leads to a pass within this time.
const NOTICED: Duration = Duration::from_millis(500);

/// How often the Lease is renewed.
const RENEWED: Duration = Duration::from_secs(2);

/// The wall clock of the world.
pub fn clock(began: Instant) -> Clock {
    Clock::new(move || now(began))
}

/// Now, on the wall.
pub fn now(began: Instant) -> jiff::Timestamp {
    let elapsed = jiff::SignedDuration::try_from(began.elapsed()).unwrap_or_default();
    jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(400_000) + elapsed
}

/// Starts another operator process.
pub fn start(world: &World) {
    let dead = CancellationToken::new();
    let (operator, began) = {
        let mut state = world.lock();
        state.operators.push(Process { dead: dead.clone(), paused_until: None, succeeded: false });
        (state.operators.len() - 1, state.began)
    };
    let context = Context {
        kubernetes: SimulatedApi { world: world.clone(), operator },
        servers: SimulatedServers { world: world.clone(), operator },
        settings: Settings { lead: Some(lead(world, operator)), ..Settings::default() },
        holder: format!("operator-{operator}"),
        metrics: Arc::new(Metrics::default()),
        stop: CancellationToken::new(),
        clock: clock(began),
        gates: Gates::default(),
    };
    let world = world.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = dead.cancelled() => {}
            _ = async { tokio::join!(takeovers(&world, &context), clusters(&context)) } => {}
        }
    });
}

/// The Lease, renewed as the elector does while this operator runs, the API answers and nobody has stolen it.
fn lead(world: &World, operator: usize) -> watch::Receiver<Claim> {
    let epoch = i64::try_from(operator).unwrap_or_default() + 1;
    let claim = move |leading| Claim { leading, valid_until: Instant::now() + LEASE, epoch };
    let (sender, receiver) = watch::channel(claim(true));
    let world = world.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEWED).await;
            match world.lock().lease(operator) {
                Lease::Renewed => drop(sender.send(claim(true))),
                Lease::NotNow => {}
                Lease::Lost => {
                    let _ = sender.send(claim(false));
                    return;
                }
            }
        }
    });
    receiver
}

type Surroundings = Context<SimulatedApi, SimulatedServers>;

/// One task for each takeover that ever is.
async fn takeovers(world: &World, context: &Surroundings) {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let names: Vec<String> = world.lock().store.takeovers.keys().cloned().collect();
        for name in names {
            if known.insert(name.clone()) {
                let context = context.clone();
                tasks.spawn(async move {
                    let key = Key::new(NAMESPACE, name);
                    loop {
                        let next = Box::pin(takeover::reconcile(&context, &key)).await;
                        tokio::time::sleep(next.map_or(RETRY, pause)).await;
                    }
                });
            }
        }
        tokio::time::sleep(NOTICED / 5).await;
    }
}

async fn clusters(context: &Surroundings) {
    let key = Key::new(NAMESPACE, CLUSTER);
    loop {
        let next = Box::pin(cluster::reconcile(context, &key)).await;
        tokio::time::sleep(next.map_or(RETRY, |next| match next {
            Next::Again(after) => after,
            Next::Await => RETRY,
        }))
        .await;
    }
}

fn pause(next: Next) -> Duration {
    match next {
        Next::Again(after) => after,
        Next::Await => NOTICED,
    }
}
