//! One connection through a proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Edge, Mode, Setting};

/// Most bytes that are forwarded at once.
const CHUNK: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// Why one direction ended.
enum Over {
    /// Its sender has nothing more to say.
    Finished,
    /// The connection ends as the fault says.
    Closed,
    /// The connection ends with a reset.
    Reset,
}

/// What both directions of a connection share.
struct Shared {
    edge: Edge,
    /// The edge's setting when the connection was opened.
    opened_under: u64,
    /// A request was forwarded whose answer is to be swallowed.
    asked: AtomicBool,
}

/// Serves one client until either side is done with it.
pub(super) async fn serve(client: TcpStream, to: SocketAddr, edge: Edge) {
    let opened_under = edge.mode.borrow().generation;
    if edge.mode() == Mode::Refuse {
        edge.count();
        reset(&client);
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else {
        reset(&client);
        return;
    };
    for stream in [&client, &server] {
        // Only a matter of speed.
        let _ = stream.set_nodelay(true);
    }
    let shared = Arc::new(Shared { edge, opened_under, asked: AtomicBool::new(false) });
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut request = Direction::new(&shared, Way::Request, client_read, server_write);
    let mut answer = Direction::new(&shared, Way::Answer, server_read, client_write);
    // One direction may end long before the other: a half-closed connection still answers.
    let over = tokio::select! {
        over = request.run() => match over {
            Over::Finished => answer.run().await,
            over @ (Over::Closed | Over::Reset) => over,
        },
        over = answer.run() => match over {
            Over::Finished => request.run().await,
            over @ (Over::Closed | Over::Reset) => over,
        },
    };
    match over {
        Over::Finished | Over::Closed => {}
        Over::Reset => {
            for half in [request.to, answer.to] {
                reset(half.as_ref());
                // Dropping it would end the stream in order first.
                half.forget();
            }
        }
    }
}

/// The stream ends with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    // Without it the peer sees an orderly end, which is a milder fault.
    let _ = stream.set_zero_linger();
}

struct Direction {
    shared: Arc<Shared>,
    way: Way,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    settings: watch::Receiver<Setting>,
    /// Bytes passed under the present setting.
    passed: u64,
}

impl Direction {
    fn new(shared: &Arc<Shared>, way: Way, from: OwnedReadHalf, to: OwnedWriteHalf) -> Self {
        let settings = shared.edge.mode.subscribe();
        Self { shared: Arc::clone(shared), way, from, to, settings, passed: 0 }
    }

    async fn run(&mut self) -> Over {
        let mut chunk = vec![0; CHUNK];
        loop {
            // A change that came before this look is seen by it.
            let setting = *self.settings.borrow_and_update();
            if let Some(over) = self.broken(setting) {
                return over;
            }
            if setting.mode == Mode::Blackhole {
                self.shared.edge.count();
                if self.settings.changed().await.is_err() {
                    return Over::Closed;
                }
                continue;
            }
            let length = tokio::select! {
                biased;
                _ = self.settings.changed() => {
                    self.passed = 0;
                    continue;
                }
                read = self.from.read(&mut chunk) => match read {
                    Ok(0) => {
                        let _ = self.to.shutdown().await;
                        return Over::Finished;
                    }
                    Ok(length) => length,
                    Err(_) => return Over::Reset,
                },
            };
            let bytes = chunk.get(..length).unwrap_or_default();
            if let Some(over) = self.forward(bytes).await {
                return over;
            }
        }
    }

    /// Whether a setting ends a connection just by being there.
    fn broken(&self, setting: Setting) -> Option<Over> {
        match setting.mode {
            Mode::Refuse => {
                self.shared.edge.count();
                Some(Over::Reset)
            }
            Mode::Reset if self.is_older_than(setting) => {
                self.shared.edge.count();
                Some(Over::Reset)
            }
            Mode::Reset
            | Mode::Pass
            | Mode::Blackhole
            | Mode::Delay(_)
            | Mode::DropReply
            | Mode::CutAfter(_) => None,
        }
    }

    fn is_older_than(&self, setting: Setting) -> bool {
        self.shared.opened_under < setting.generation
    }

    /// Hands a chunk on as the edge says now, which may have changed since it was read.
    async fn forward(&mut self, bytes: &[u8]) -> Option<Over> {
        loop {
            let setting = *self.settings.borrow_and_update();
            if let Some(over) = self.broken(setting) {
                return Some(over);
            }
            match (setting.mode, self.way) {
                (Mode::Blackhole, _) => {
                    if self.settings.changed().await.is_err() {
                        return Some(Over::Closed);
                    }
                    continue;
                }
                (Mode::Delay(time), _) => {
                    self.shared.edge.count();
                    tokio::time::sleep(time).await;
                }
                (Mode::DropReply, Way::Request) if self.is_older_than(setting) => {
                    self.shared.asked.store(true, Ordering::Release);
                }
                (Mode::DropReply, Way::Answer)
                    if self.is_older_than(setting) && self.shared.asked.load(Ordering::Acquire) =>
                {
                    self.shared.edge.count();
                    return Some(Over::Closed);
                }
                (Mode::CutAfter(limit), Way::Answer) if self.is_older_than(setting) => {
                    let left = usize::try_from(limit.saturating_sub(self.passed)).unwrap_or(usize::MAX);
                    if bytes.len() >= left {
                        self.shared.edge.count();
                        let _ = self.to.write_all(bytes.get(..left).unwrap_or_default()).await;
                        return Some(Over::Reset);
                    }
                }
                (
                    Mode::Pass | Mode::Refuse | Mode::Reset | Mode::DropReply | Mode::CutAfter(_),
                    Way::Request | Way::Answer,
                ) => {}
            }
            self.passed += bytes.len() as u64;
            return self.to.write_all(bytes).await.err().map(|_| Over::Reset);
        }
    }
}
