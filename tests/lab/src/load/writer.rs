//! Clients that write as applications do, and note down every answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio_util::sync::CancellationToken;

use super::connection::Login;
use super::record::{Attempt, ClientKind, Clock, Key, Outcome};

/// Some clients of one kind.
#[derive(Clone, Debug)]
pub struct Clients {
    /// What they do with their connection.
    pub kind: ClientKind,
    /// How many there are.
    pub count: u32,
    /// Where they connect to: the address of a Service, or those of the servers. With several, each failure sends a
    /// client to the next one; a connection to each is kept as `kind` says.
    pub addresses: Vec<SocketAddr>,
    /// Pause after an acknowledgement.
    pub think_time: Duration,
    /// Pause after a failure.
    pub retry_delay: Duration,
    /// Who they are, where not the scenario's own account.
    pub login: Option<Login>,
    /// Hold every write in an open transaction for so long before it is committed; the answer to the commit counts.
    pub transaction: Option<Duration>,
    /// Bound on connecting, and again on each statement; what it cuts off counts as unknown.
    pub statement_timeout: Duration,
}

impl Clients {
    /// Clients with the pauses of the benchmark: 5 ms after a write, 1 ms after a failure, 5 s for an answer.
    pub fn new(kind: ClientKind, count: u32, addresses: Vec<SocketAddr>) -> Self {
        Self {
            kind,
            count,
            addresses,
            think_time: Duration::from_millis(5),
            retry_delay: Duration::from_millis(1),
            login: None,
            transaction: None,
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// What all writers of a scenario share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub login: Login,
    pub table: String,
    pub clock: Clock,
    pub stop: CancellationToken,
    pub acknowledged: Arc<AtomicU64>,
}

/// A writer on a thread of its own: pauses below a millisecond are kept (an async timer rounds them up to one or two), and
/// nothing else that the process does gets in between.
#[derive(Debug)]
pub(super) struct Writer {
    number: u32,
    thread: std::thread::JoinHandle<Result<Vec<Attempt>>>,
}

impl Writer {
    pub fn start(number: u32, clients: Clients, shared: Shared) -> Result<Self> {
        if clients.addresses.is_empty() {
            bail!("writer {number} has no address to connect to");
        }
        let thread = std::thread::Builder::new()
            .name(format!("writer-{number}"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("build the writer's runtime")?;
                let connections = clients.addresses.iter().map(|_| None).collect();
                let mut client = Client { number, clients, shared, connections, current: 0 };
                Ok(client.run(&runtime))
            })
            .with_context(|| format!("start writer {number}"))?;
        Ok(Self { number, thread })
    }

    /// The record, once the shared `stop` has been cancelled; returns within the clients' bounds.
    pub fn join(self) -> Result<Vec<Attempt>> {
        self.thread.join().unwrap_or_else(|_panic| bail!("writer {} panicked", self.number))
    }
}

struct Client {
    number: u32,
    clients: Clients,
    shared: Shared,
    /// One slot per address.
    connections: Vec<Option<Conn>>,
    current: usize,
}

impl Client {
    fn run(&mut self, runtime: &tokio::runtime::Runtime) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let mut sequence = 0;
        while !self.shared.stop.is_cancelled() {
            let attempt = runtime.block_on(self.attempt(sequence));
            sequence += 1;
            let pause = if attempt.is_acknowledged() {
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.clients.think_time
            } else {
                self.current = (self.current + 1) % self.clients.addresses.len();
                self.clients.retry_delay
            };
            attempts.push(attempt);
            std::thread::sleep(pause);
        }
        attempts
    }

    async fn attempt(&mut self, sequence: u64) -> Attempt {
        let clock = self.shared.clock;
        let key = Key { writer: self.number, sequence };
        let kind = self.clients.kind;
        let started = clock.now();
        let kept = self.connections.get_mut(self.current).and_then(Option::take);
        let (mut connection, connect) = match kept {
            Some(connection) => (connection, None),
            None => match self.connect().await {
                Ok(connection) => (connection, Some(clock.now().since(started))),
                Err(outcome) => {
                    let finished = clock.now();
                    return Attempt { key, kind, started, connect: None, sent: finished, finished, outcome };
                }
            },
        };
        let statement = format!(
            "INSERT INTO {} (writer, sequence, server_uuid, sent_at) VALUES ({}, {sequence}, @@server_uuid, {})",
            self.shared.table,
            self.number,
            microseconds_since_epoch(),
        );
        let sent = clock.now();
        let transaction = self.clients.transaction;
        let limit = self.clients.statement_timeout + transaction.unwrap_or_default();
        let answer = tokio::time::timeout(limit, write(&mut connection, statement, transaction)).await;
        let finished = clock.now();
        let (outcome, broken) = match answer {
            Ok(Ok(())) => (Outcome::Acknowledged, false),
            Ok(Err(error)) => (Outcome::of_statement(&error), error.is_fatal()),
            Err(_elapsed) => (Outcome::Unknown("timeout"), true),
        };
        let keep = !broken
            && match kind {
                ClientKind::PerWrite => false,
                ClientKind::Drop => outcome == Outcome::Acknowledged,
                ClientKind::Keep => true,
            };
        if keep {
            if let Some(slot) = self.connections.get_mut(self.current) {
                *slot = Some(connection);
            }
        } else if !broken {
            // Only says goodbye; an application would not wait for more either.
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.disconnect()).await;
        }
        Attempt { key, kind, started, connect, sent, finished, outcome }
    }

    async fn connect(&self) -> Result<Conn, Outcome> {
        let Some(address) = self.clients.addresses.get(self.current) else {
            return Err(Outcome::NotConnected("no address".to_owned()));
        };
        let login = self.clients.login.as_ref().unwrap_or(&self.shared.login);
        let connecting = Conn::new(login.options(*address));
        match tokio::time::timeout(self.clients.statement_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Outcome::of_connect(&error)),
            Err(_elapsed) => Err(Outcome::NotConnected("timeout".to_owned())),
        }
    }
}

async fn write(
    connection: &mut Conn,
    statement: String,
    transaction: Option<Duration>,
) -> Result<(), mysql_async::Error> {
    let Some(hold) = transaction else { return connection.query_drop(statement).await };
    connection.query_drop("BEGIN").await?;
    connection.query_drop(statement).await?;
    tokio::time::sleep(hold).await;
    connection.query_drop("COMMIT").await
}

fn microseconds_since_epoch() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}
