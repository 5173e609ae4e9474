//! A TCP proxy between two processes, whose faults are switched while it runs: needs no root, and speaks for one edge of a
//! topology although everything runs on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

mod connection;
pub mod peer;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 256;

/// What an edge does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    Pass,
    /// Breaks the connections that are open and refuses new ones. Where the listener serves other edges too, a new one is
    /// accepted and reset at once.
    Refuse,
    /// Connections open and nothing passes; what was sent arrives when this is over, as with lost packets.
    Blackhole,
    /// Breaks the connections that are open with a reset; new ones pass.
    Reset,
    /// Everything arrives so much later, in each direction.
    Delay(Duration),
    /// On connections that are open now: the next request is forwarded, its answer swallowed, the connection closed. New
    /// ones pass.
    DropReply,
    /// Each connection that is open now passes so many bytes of answers and is reset then. New ones pass.
    CutAfter(u64),
}

/// One edge: who connects to whom. Clones are the same edge.
#[derive(Clone, Debug)]
pub struct Edge {
    name: Arc<str>,
    mode: Arc<watch::Sender<Setting>>,
    affected: Arc<AtomicU64>,
}

/// A mode and when it was set: some concern only connections that were open before.
#[derive(Clone, Copy, Debug)]
struct Setting {
    mode: Mode,
    generation: u64,
}

impl Edge {
    /// A new edge that passes everything.
    pub fn new(name: &str) -> Self {
        let setting = Setting { mode: Mode::Pass, generation: 0 };
        Self { name: name.into(), mode: Arc::new(watch::Sender::new(setting)), affected: Arc::default() }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Switches it, for open connections too.
    pub fn set(&self, mode: Mode) {
        self.affected.store(0, Ordering::Relaxed);
        self.mode.send_modify(|setting| {
            *setting = Setting { mode, generation: setting.generation + 1 };
        });
    }

    /// What it does now.
    pub fn mode(&self) -> Mode {
        self.mode.borrow().mode
    }

    /// How often the fault that is set now has hit something: a connection broken or refused, a chunk held, late or lost.
    pub fn affected(&self) -> u64 {
        self.affected.load(Ordering::Relaxed)
    }

    fn count(&self) {
        self.affected.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tells from the address of a client which edge it comes on.
pub type Classify = Arc<dyn Fn(SocketAddr) -> Edge + Send + Sync>;

/// A running proxy. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    _guard: DropGuard,
}

impl Proxy {
    /// Listens on `listen` for clients of one edge and forwards to `to`. Inside an async runtime only.
    pub fn start(listen: SocketAddr, to: SocketAddr, edge: Edge) -> Result<Self> {
        let only = edge.clone();
        Self::start_for(listen, to, vec![edge], Arc::new(move |_| only.clone()))
    }

    /// The same for clients of several edges. `edges` are all that `classify` may return.
    pub fn start_for(
        listen: SocketAddr,
        to: SocketAddr,
        edges: Vec<Edge>,
        classify: Classify,
    ) -> Result<Self> {
        let listener = bind(listen).with_context(|| format!("listen on {listen}"))?;
        let address = listener.local_addr().context("read the proxy's address")?;
        let end = CancellationToken::new();
        let acceptor = Acceptor { address, to, edges, classify, end: end.clone() };
        let stop = end.clone();
        tokio::spawn(async move { stop.run_until_cancelled(acceptor.run(listener)).await });
        Ok(Self { address, _guard: end.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections of an earlier listener on this address may still be open.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

struct Acceptor {
    address: SocketAddr,
    to: SocketAddr,
    edges: Vec<Edge>,
    classify: Classify,
    end: CancellationToken,
}

impl Acceptor {
    async fn run(self, first: TcpListener) {
        let mut listener = Some(first);
        loop {
            if self.all_refuse() {
                listener = None;
                self.edges.iter().for_each(Edge::count);
                self.until_some_pass().await;
                continue;
            }
            let Some(open) = &listener else {
                match bind(self.address) {
                    Ok(open) => listener = Some(open),
                    Err(error) => {
                        tracing::warn!(address = %self.address, %error, "proxy cannot listen");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                continue;
            };
            tokio::select! {
                biased;
                () = self.until_all_refuse() => {}
                accepted = open.accept() => {
                    if let Ok((client, peer)) = accepted {
                        self.serve(client, peer);
                    }
                }
            }
        }
    }

    fn serve(&self, client: TcpStream, peer: SocketAddr) {
        let (classify, to, end) = (Arc::clone(&self.classify), self.to, self.end.clone());
        tokio::spawn(async move {
            let edge = classify(peer);
            end.run_until_cancelled(connection::serve(client, to, edge)).await;
        });
    }

    fn all_refuse(&self) -> bool {
        self.edges.iter().all(|edge| edge.mode() == Mode::Refuse)
    }

    async fn until_all_refuse(&self) {
        for edge in &self.edges {
            let mut watch = edge.mode.subscribe();
            // The sender lives as long as the edge.
            let _ = watch.wait_for(|setting| setting.mode == Mode::Refuse).await;
        }
        if !self.all_refuse() {
            // One passes again meanwhile: ask anew.
            tokio::task::yield_now().await;
        }
    }

    async fn until_some_pass(&self) {
        let waits = self.edges.iter().map(|edge| {
            let mut watch = edge.mode.subscribe();
            Box::pin(async move { drop(watch.wait_for(|setting| setting.mode != Mode::Refuse).await) })
        });
        futures::future::select_all(waits).await;
    }
}
