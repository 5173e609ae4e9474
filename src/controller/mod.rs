//! Drivers: observe, decide (in the pure rooms), record, act, report.

pub mod access;
pub mod claim;
pub mod cluster;
pub mod error;
pub mod events;
pub mod failpoint;
pub mod gate;
pub mod landing;
pub mod observe;
pub mod preflight;
pub mod reattach;
pub mod report;
pub mod routing;
pub mod takeover;
pub mod wiring;

pub use error::Error;
pub use gate::Gates;

use crate::api::Timestamp;
use crate::leadership::Claim as Lead;
use crate::telemetry::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a driver needs from its surroundings.
#[derive(Clone)]
pub struct Context<K, S> {
    /// The Kubernetes API.
    pub kubernetes: K,
    /// The MySQL servers.
    pub servers: S,
    /// Bounds and intervals.
    pub settings: Settings,
    /// This operator instance, unique for every start of the process.
    pub holder: String,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Cancelled when this process must come to a safe point and stop.
    pub stop: CancellationToken,
    /// Wall clock.
    pub clock: Clock,
    /// Who changes which cluster now.
    pub gates: Gates,
}

/// Bounds and intervals of the drivers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a cluster is looked at without being asked.
    pub probe_period: Duration,
    /// Bound on connecting and logging in to a server.
    pub connect_limit: Duration,
    /// Bound on one ordinary statement.
    pub statement_limit: Duration,
    /// How long a freeze may wait before whoever holds it up is looked for.
    pub freeze_patience: Duration,
    /// Bound on waiting until the EndpointSlices and the data path show the new primary.
    pub route_limit: Duration,
    /// Until when nobody else may act; `None` where no Lease was taken.
    pub lead: Option<watch::Receiver<Lead>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_secs(5),
            connect_limit: Duration::from_secs(2),
            statement_limit: Duration::from_secs(2),
            freeze_patience: Duration::from_millis(150),
            route_limit: Duration::from_secs(5),
            lead: None,
        }
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After this time, or when something changes.
    Again(Duration),
    /// When something changes.
    Await,
}

/// The wall clock, as a value that a simulation can replace.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(jiff::Timestamp::now)
    }

    /// A clock that reads from this function.
    pub fn new(read: impl Fn() -> jiff::Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Now, to the microsecond, as the API keeps it.
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        let micros = jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(micros)
    }
}
