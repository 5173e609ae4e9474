//! Watches every member of a topology from outside the measured path.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures::future::join_all;
use mysql_async::Conn;
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::connection::{Login, Server, query_row};
use super::overlap::{Sample, overlap_samples};
use super::record::{Clock, Moment};
use super::statistics::milliseconds;

/// Time between two samples of a server. The sampling gaps that really came about are in the report.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

/// A server that does not answer for so long is asked again on a new connection.
const SAMPLE_LIMIT: Duration = Duration::from_secs(1);

/// Both are asked for, so that the record tells a freeze (both) from an ordinary read-only server.
const QUESTION: &str = "SELECT @@global.read_only, @@global.super_read_only";

/// One connection per server, on a thread of its own.
#[derive(Debug)]
pub(super) struct Observer {
    thread: std::thread::JoinHandle<Result<Vec<Vec<Sample>>>>,
    servers: Vec<Server>,
}

/// What the observer saw.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// Samples that prove two servers writable at the same time ([`super::overlap`]). Must be 0.
    pub overlap_samples: usize,
    /// Samples with an answer, over all servers.
    pub samples: usize,
    /// The longest time between two answers of one server while it was reachable, in milliseconds: what the observer could
    /// have overlooked.
    pub largest_gap_milliseconds: f64,
    /// Samples without an answer, by server.
    pub unanswered: std::collections::BTreeMap<String, usize>,
    /// Every sample, by server.
    #[serde(skip)]
    pub record: Vec<(Server, Vec<Sample>)>,
}

impl Observer {
    pub fn start(servers: Vec<Server>, login: Login, clock: Clock, stop: CancellationToken) -> Result<Self> {
        let members = servers.clone();
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("build the observer's runtime")?;
                let watches = members.iter().map(|server| watch(server, &login, clock, &stop));
                Ok(runtime.block_on(join_all(watches)))
            })
            .context("start the observer")?;
        Ok(Self { thread, servers })
    }

    /// What was seen, once `stop` has been cancelled.
    pub fn join(self) -> Result<Observation> {
        let record = self.thread.join().map_err(|_panic| anyhow!("the observer panicked"))??;
        Ok(Observation {
            overlap_samples: overlap_samples(&record),
            samples: record.iter().flatten().filter(|sample| sample.writable.is_some()).count(),
            largest_gap_milliseconds: milliseconds(
                record.iter().map(|samples| largest_gap(samples)).max().unwrap_or_default(),
            ),
            unanswered: self
                .servers
                .iter()
                .zip(&record)
                .map(|(server, samples)| {
                    (server.name.clone(), samples.iter().filter(|sample| sample.writable.is_none()).count())
                })
                .filter(|(_, count)| *count > 0)
                .collect(),
            record: self.servers.into_iter().zip(record).collect(),
        })
    }
}

async fn watch(server: &Server, login: &Login, clock: Clock, stop: &CancellationToken) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut connection: Option<Conn> = None;
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return samples,
        }
        let mut sent = clock.now();
        let answer = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => login.connect(server.address, SAMPLE_LIMIT).await?,
            };
            sent = clock.now();
            let (read_only, super_read_only): (u8, u8) = query_row(&mut open, QUESTION, SAMPLE_LIMIT).await?;
            connection = Some(open);
            anyhow::Ok(read_only == 0 && super_read_only == 0)
        }
        .await;
        samples.push(Sample { sent, received: clock.now(), writable: answer.ok() });
    }
}

/// The longest time between the answers of two samples next to each other.
fn largest_gap(samples: &[Sample]) -> Duration {
    let answered = |sample: &Sample| sample.writable.map(|_| sample.received);
    samples
        .iter()
        .zip(samples.iter().skip(1))
        .filter_map(|(before, after)| Some(answered(after)?.since(answered(before)?)))
        .max()
        .unwrap_or_default()
}

impl Observation {
    /// When a server was first seen writable at or after `from`.
    pub fn first_writable(&self, server: &str, from: Moment) -> Option<Moment> {
        let (_, samples) = self.record.iter().find(|(watched, _)| watched.name == server)?;
        samples
            .iter()
            .find(|sample| sample.writable == Some(true) && sample.sent >= from)
            .map(|sample| sample.received)
    }
}
