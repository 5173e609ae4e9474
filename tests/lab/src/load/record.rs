//! What a writer notes down about each of its attempts.

use std::fmt;
use std::time::{Duration, Instant};

use mysql_async::{DriverError, Error, IoError};
use serde::Serialize;

/// Error code of a write on a read-only server.
pub const READ_ONLY: u16 = 1290;

/// One time axis for everything that a scenario records. Copies share the origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Monotonic time since the origin.
    pub fn now(self) -> Moment {
        Moment(self.0.elapsed())
    }

    /// An instant on this axis; the origin for instants before it.
    pub fn moment(self, instant: Instant) -> Moment {
        Moment(instant.saturating_duration_since(self.0))
    }
}

/// Monotonic time since the origin of a [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// How a client treats its connection: the three kinds that applications are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientKind {
    /// A new connection for every write.
    PerWrite,
    /// One connection, given up at any error (also 1290) and opened again.
    Drop,
    /// One connection, kept on 1290 and tried again until it breaks.
    Keep,
}

impl ClientKind {
    /// All kinds, in the order of tables.
    pub const ALL: [Self; 3] = [Self::PerWrite, Self::Drop, Self::Keep];

    /// The key of this kind in JSON results.
    pub fn key(self) -> &'static str {
        match self {
            Self::PerWrite => "perWrite",
            Self::Drop => "drop",
            Self::Keep => "keep",
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PerWrite => "opens a connection per write",
            Self::Drop => "drops its connection on an error",
            Self::Keep => "keeps its connection until it is killed",
        })
    }
}

/// What became of one attempt to write a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The server said OK. Only this counts as written.
    Acknowledged,
    /// The server answered with this error code.
    Refused(u16),
    /// No answer to the statement: it may or may not have been carried out.
    Unknown(&'static str),
    /// No connection, so nothing was sent: an error code of the server, or what the network said.
    NotConnected(String),
}

impl Outcome {
    /// Outcome of a statement that was sent and failed.
    pub fn of_statement(error: &Error) -> Self {
        match error {
            Error::Server(server) => Self::Refused(server.code),
            _ => Self::Unknown("connection lost"),
        }
    }

    /// Outcome of an attempt that ended before its statement was sent.
    pub fn of_connect(error: &Error) -> Self {
        Self::NotConnected(match error {
            Error::Server(server) => server.code.to_string(),
            Error::Io(IoError::Io(io)) => io.kind().to_string(),
            Error::Driver(DriverError::ConnectionClosed) => "connection closed".to_owned(),
            other => other.to_string(),
        })
    }

    /// A short name to count by, none for an acknowledgement.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Acknowledged => None,
            Self::Refused(code) => Some(code.to_string()),
            Self::Unknown(reason) => Some((*reason).to_owned()),
            Self::NotConnected(reason) => Some(format!("connect: {reason}")),
        }
    }
}

/// Identity of one attempt, which is the primary key of its row. Every attempt has its own, so that a row can never be
/// the work of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// Number of the writer, unique within the scenario.
    pub writer: u32,
    /// Number of the attempt, increasing.
    pub sequence: u64,
}

/// One attempt of one writer.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its row.
    pub key: Key,
    /// The kind of client that made it.
    pub kind: ClientKind,
    /// When the attempt began, connecting included.
    pub started: Moment,
    /// How long connecting and logging in took; none on a connection that was open already.
    pub connect: Option<Duration>,
    /// When the statement was handed to the connection; equals `finished` when there was no connection.
    pub sent: Moment,
    /// When the answer, or the failure, was there.
    pub finished: Moment,
    /// What came of it.
    pub outcome: Outcome,
}

impl Attempt {
    /// Whether the server said OK.
    pub fn is_acknowledged(&self) -> bool {
        self.outcome == Outcome::Acknowledged
    }

    /// The attempt as one line of JSON; times in milliseconds since the scenario began.
    pub fn json(&self) -> serde_json::Value {
        use super::statistics::milliseconds;
        serde_json::json!({
            "writer": self.key.writer,
            "sequence": self.key.sequence,
            "client": self.kind,
            "started": milliseconds(self.started.0),
            "connect": self.connect.map(milliseconds),
            "sent": milliseconds(self.sent.0),
            "finished": milliseconds(self.finished.0),
            "outcome": self.outcome,
        })
    }
}
