//! Writing clients, an observer and a checker: what every test that moves a primary runs beside it.
//!
//! ```no_run
//! # async fn example(servers: Vec<lab::load::Server>, login: lab::load::Login, service: std::net::SocketAddr) -> anyhow::Result<()> {
//! use lab::load::{ClientKind, Clients, Scenario};
//! let scenario = Scenario::new(servers, login, "writes").clients(Clients::new(ClientKind::PerWrite, 4, vec![service]));
//! let mut running = scenario.start().await?;
//! running.wait_for_acknowledgements(100).await?;
//! let takeover = running.begin_takeover("db-0", "db-1")?;
//! // ... move the primary from db-0 to db-1 ...
//! running.end_takeover(takeover);
//! let report = running.finish().await?;
//! report.verify()?;
//! # Ok(())
//! # }
//! ```
//!
//! Only a server's OK counts as acknowledged. Every attempt has an id of its own and its row says which server took it, so
//! that afterwards each acknowledgement can be looked up on the final primary and be put down to the server that gave it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio_util::sync::CancellationToken;

pub mod checker;
pub mod connection;
pub mod observer;
pub mod outage;
pub mod overlap;
pub mod record;
pub mod report;
pub mod statistics;
pub mod writer;

pub use checker::Findings;
pub use connection::{Login, Server};
pub use observer::Observation;
pub use outage::{Outage, Takeover};
pub use record::{Attempt, ClientKind, Clock, Moment, Outcome};
pub use report::Report;
pub use statistics::{Percentiles, milliseconds};
pub use writer::Clients;

use connection::{execute, query_row};
use observer::Observer;
use writer::{Shared, Writer};

/// Bound on each preparing statement.
const PREPARE_LIMIT: Duration = Duration::from_secs(10);

/// The database that holds the tables of all scenarios; the application account of every topology of the lab owns it.
const DATABASE: &str = "app";

/// Clients and an observer, not started yet.
#[derive(Clone, Debug)]
#[must_use]
pub struct Scenario {
    servers: Vec<Server>,
    login: Login,
    table: String,
    clients: Vec<Clients>,
}

impl Scenario {
    /// `servers` are all members of the topology, reached directly; `login` owns the database `app`.
    /// `table` is made anew in it.
    pub fn new(servers: Vec<Server>, login: Login, table: &str) -> Self {
        Self { servers, login, table: format!("{DATABASE}.{table}"), clients: Vec::new() }
    }

    /// Adds clients.
    pub fn clients(mut self, clients: Clients) -> Self {
        self.clients.push(clients);
        self
    }

    /// Makes the table on the writable server, starts the observer and then the writers.
    ///
    /// # Errors
    /// That a server cannot be reached, or that not exactly one is writable.
    pub async fn start(self) -> Result<Running> {
        let uuids = self.prepare().await?;
        let clock = Clock::start();
        let stop = CancellationToken::new();
        let shared = Shared {
            login: self.login.clone(),
            table: self.table.clone(),
            clock,
            stop: stop.clone(),
            acknowledged: Arc::default(),
        };
        let observer = Observer::start(self.servers.clone(), self.login.clone(), clock, stop.clone())?;
        let each = self.clients.iter().flat_map(|clients| (0..clients.count).map(move |_| clients.clone()));
        let writers = (0..)
            .zip(each)
            .map(|(number, clients)| Writer::start(number, clients, shared.clone()))
            .collect::<Result<_>>()?;
        Ok(Running {
            acknowledged: shared.acknowledged,
            guard: stop.drop_guard(),
            scenario: self,
            uuids,
            clock,
            writers,
            observer,
            takeovers: Vec::new(),
        })
    }

    /// Returns each server's `server_uuid`.
    async fn prepare(&self) -> Result<BTreeMap<String, String>> {
        let mut uuids = BTreeMap::new();
        let mut writable = Vec::new();
        for server in &self.servers {
            let mut connection = self.login.connect(server.address, PREPARE_LIMIT).await?;
            let (uuid, read_only): (String, u8) =
                query_row(&mut connection, "SELECT @@server_uuid, @@global.read_only", PREPARE_LIMIT).await?;
            uuids.insert(server.name.clone(), uuid);
            if read_only == 0 {
                writable.push((server.name.clone(), connection));
            }
        }
        let [(_, primary)] = writable.as_mut_slice() else {
            let names: Vec<_> = writable.iter().map(|(name, _)| name.as_str()).collect();
            bail!("writers need exactly one writable server to begin with; writable: [{}]", names.join(", "));
        };
        for statement in [
            format!("DROP TABLE IF EXISTS {}", self.table),
            format!(
                "CREATE TABLE {} (writer INT UNSIGNED NOT NULL, sequence BIGINT UNSIGNED NOT NULL, \
                 server_uuid CHAR(36) CHARACTER SET ascii NOT NULL, sent_at BIGINT UNSIGNED NOT NULL, \
                 PRIMARY KEY (writer, sequence))",
                self.table
            ),
        ] {
            execute(primary, &statement, PREPARE_LIMIT).await?;
        }
        Ok(uuids)
    }
}

/// Running clients. Dropping it stops them, without a report.
#[derive(Debug)]
pub struct Running {
    scenario: Scenario,
    uuids: BTreeMap<String, String>,
    clock: Clock,
    guard: tokio_util::sync::DropGuard,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<Writer>,
    observer: Observer,
    takeovers: Vec<Takeover>,
}

/// A takeover that the caller has begun to drive.
#[derive(Debug)]
#[must_use = "give it back to end_takeover, else it is not in the report"]
pub struct BegunTakeover {
    old: String,
    new: String,
    from: Moment,
}

impl Running {
    /// The time axis of the record.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Acknowledgements so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until clients have got `count` further acknowledgements.
    ///
    /// # Errors
    /// That they have not within 30 s.
    pub async fn wait_for_acknowledgements(&self, count: u64) -> Result<()> {
        self.wait_for_acknowledgements_within(count, Duration::from_secs(30)).await
    }

    /// As [`Self::wait_for_acknowledgements`], with another bound.
    pub async fn wait_for_acknowledgements_within(&self, count: u64, limit: Duration) -> Result<()> {
        let (begin, wanted) = (Instant::now(), self.acknowledged() + count);
        while self.acknowledged() < wanted {
            if begin.elapsed() > limit {
                bail!(
                    "clients got {} of {count} acknowledgements within {limit:?}; is there a writable primary, and does \
                     the Service lead to it?",
                    count.saturating_sub(wanted.saturating_sub(self.acknowledged()))
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Marks the begin of a takeover between two servers, by name.
    pub fn begin_takeover(&self, old: &str, new: &str) -> Result<BegunTakeover> {
        let uuid = |name: &str| {
            self.uuids.get(name).cloned().with_context(|| format!("{name} is not a server of this scenario"))
        };
        Ok(BegunTakeover { old: uuid(old)?, new: uuid(new)?, from: self.clock.now() })
    }

    /// Marks the end of a takeover. Call it when clients have had time to notice; what they see until now counts.
    pub fn end_takeover(&mut self, begun: BegunTakeover) {
        let BegunTakeover { old, new, from } = begun;
        self.takeovers.push(Takeover { old, new, from, to: self.clock.now() });
    }

    /// Stops the clients and compares their records with what the servers hold.
    ///
    /// # Errors
    /// That there is not exactly one writable server, or that it cannot be read. Broken promises are no errors here:
    /// ask [`Report::verify`].
    pub async fn finish(self) -> Result<Report> {
        let Self { scenario, guard, writers, observer, takeovers, .. } = self;
        drop(guard);
        let joined = tokio::task::spawn_blocking(move || {
            let mut attempts = Vec::new();
            for writer in writers {
                attempts.extend(writer.join()?);
            }
            attempts.sort_by_key(|attempt| attempt.finished);
            anyhow::Ok((attempts, observer.join()?))
        });
        let (attempts, observation) = joined.await.context("wait for the clients")??;
        let findings = checker::check(&scenario.servers, &scenario.login, &scenario.table, &attempts).await?;
        Ok(Report { attempts, findings, observation, takeovers })
    }
}
