//! The proxy's faults, each against a server that answers every line with `ok` and the line.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lab::proxy::{Edge, Mode, Proxy};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(10);
/// Nothing is expected to happen within this.
const QUIET: Duration = Duration::from_millis(150);

struct Fixture {
    edge: Edge,
    proxy: Proxy,
    /// Lines that the server got.
    received: Arc<AtomicU64>,
}

impl Fixture {
    async fn start() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&counter)));
            }
        });
        let edge = Edge::new("client to server");
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], 0)), to, edge.clone()).unwrap();
        Self { edge, proxy, received }
    }

    async fn client(&self) -> Client {
        Client(BufReader::new(TcpStream::connect(self.proxy.address()).await.unwrap()))
    }
}

async fn answer(stream: TcpStream, received: Arc<AtomicU64>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
        received.fetch_add(1, Ordering::SeqCst);
        if stream.write_all(format!("ok {line}").as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(format!("{text}\n").as_bytes()).await.unwrap();
    }

    /// The next line; empty at the end of the connection.
    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        tokio::time::timeout(LIMIT, self.0.read_line(&mut line)).await.unwrap()?;
        Ok(line.trim_end().to_owned())
    }

    async fn ask(&mut self, text: &str) -> std::io::Result<String> {
        self.send(text).await;
        self.line().await
    }
}

#[tokio::test]
async fn pass_forwards_both_ways() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("one").await.unwrap(), "ok one");
    assert_eq!(client.ask("two").await.unwrap(), "ok two");
    assert_eq!(fixture.edge.affected(), 0);
}

#[tokio::test]
async fn refuse_breaks_what_is_open_and_refuses_what_comes() {
    let fixture = Fixture::start().await;
    let mut open = fixture.client().await;
    assert_eq!(open.ask("one").await.unwrap(), "ok one");
    fixture.edge.set(Mode::Refuse);
    assert_eq!(open.line().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let begin = Instant::now();
    let error = loop {
        // The listener is closed by another task.
        match TcpStream::connect(fixture.proxy.address()).await {
            Err(error) => break error,
            Ok(_) => assert!(begin.elapsed() < LIMIT),
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    fixture.edge.set(Mode::Pass);
    let begin = Instant::now();
    let mut again = loop {
        match TcpStream::connect(fixture.proxy.address()).await {
            Ok(stream) => break Client(BufReader::new(stream)),
            Err(_) => assert!(begin.elapsed() < LIMIT),
        }
    };
    assert_eq!(again.ask("two").await.unwrap(), "ok two");
}

#[tokio::test]
async fn blackhole_holds_everything_until_it_is_over() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("one").await.unwrap(), "ok one");
    fixture.edge.set(Mode::Blackhole);
    client.send("two").await;
    assert!(tokio::time::timeout(QUIET, client.line()).await.is_err());
    // A new connection is accepted, and as silent.
    let mut late = fixture.client().await;
    late.send("three").await;
    assert!(tokio::time::timeout(QUIET, late.line()).await.is_err());
    assert_eq!(fixture.received.load(Ordering::SeqCst), 1);
    assert!(fixture.edge.affected() > 0);
    fixture.edge.set(Mode::Pass);
    assert_eq!(client.line().await.unwrap(), "ok two");
    assert_eq!(late.line().await.unwrap(), "ok three");
}

#[tokio::test]
async fn reset_breaks_what_is_open_only() {
    let fixture = Fixture::start().await;
    let mut open = fixture.client().await;
    assert_eq!(open.ask("one").await.unwrap(), "ok one");
    fixture.edge.set(Mode::Reset);
    assert_eq!(open.line().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(fixture.client().await.ask("two").await.unwrap(), "ok two");
    assert!(fixture.edge.affected() > 0);
}

#[tokio::test]
async fn delay_is_added_in_each_direction() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("one").await.unwrap(), "ok one");
    let late = Duration::from_millis(50);
    fixture.edge.set(Mode::Delay(late));
    let begin = Instant::now();
    assert_eq!(client.ask("two").await.unwrap(), "ok two");
    assert!(begin.elapsed() >= 2 * late, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn drop_reply_forwards_the_request_and_swallows_the_answer() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("one").await.unwrap(), "ok one");
    fixture.edge.set(Mode::DropReply);
    assert_eq!(client.ask("two").await.unwrap(), "", "closed without an answer");
    assert_eq!(fixture.received.load(Ordering::SeqCst), 2, "the server has carried it out");
    assert_eq!(fixture.edge.affected(), 1);
    assert_eq!(fixture.client().await.ask("three").await.unwrap(), "ok three");
}

#[tokio::test]
async fn cut_after_passes_so_many_bytes_and_resets() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("one").await.unwrap(), "ok one");
    fixture.edge.set(Mode::CutAfter(10));
    assert_eq!(client.ask("two").await.unwrap(), "ok two");
    client.send("three").await;
    let mut rest = Vec::new();
    // What arrived before the reset may be lost with it, never more than was to pass.
    let _ = tokio::time::timeout(LIMIT, client.0.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() <= 3, "{rest:?}");
    assert_eq!(fixture.received.load(Ordering::SeqCst), 3);
    assert_eq!(fixture.client().await.ask("four").await.unwrap(), "ok four");
}
