//! The world in which the protocol is checked: small enough to be gone through whole, and comparable by value.

use crate::mistake::Mistake;
use crate::parties::{Pair, Peer, Side, Who};
use crate::sets::Transactions;

/// What a server lets its clients do. The operator's own words for it need not be hashable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everybody may write.
    Open,
    /// `read_only` alone: privileged clients may write.
    ReadOnly,
    /// `super_read_only`: nobody may write.
    Shut,
}

/// A statement that changes who accepts writes. It outlives its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// Packet 1.
    Freeze,
    /// Packet 2: waits for the set, opens if it arrived.
    OpenWhenApplied(Transactions),
    /// Opens without a wait.
    Open,
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Frozen, with everything that was committed there.
    Frozen(Transactions),
    /// It accepts writes.
    Opened,
    /// The set did not arrive in time: nothing changed.
    StillShut,
    /// An error before anything changed.
    Refused,
}

/// The working session of an operator on a server, which holds the lock there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// Epoch in its attributes.
    pub epoch: u8,
    /// What it is at.
    pub at: At,
}

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Nothing.
    Rest,
    /// A statement that has not taken effect yet.
    Running(Statement),
    /// An answer that its operator has not read yet.
    Answered(Reply),
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// It runs.
    pub up: bool,
    /// What it lets clients do.
    pub mode: Mode,
    /// `gtid_executed`.
    pub executed: Transactions,
    /// Where it replicates from.
    pub source: Option<Side>,
    /// It was restarted since the cluster was claimed.
    pub restarted: bool,
    /// Sessions of the two operators.
    pub sessions: Pair<Option<Session>>,
}

/// Which way the journal says it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Towards the new primary.
    Forward,
    /// Back to the old one.
    Unwind,
}

/// The claim on the cluster, with its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Journal {
    /// Epoch under which it is held.
    pub epoch: u8,
    /// Who holds it.
    pub holder: Who,
    /// Which way it goes.
    pub way: Way,
    /// The intent is recorded.
    pub intent: bool,
    /// The new primary was seen open.
    pub opened: bool,
}

/// How a takeover ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The primary moved.
    Promoted,
    /// Everything was undone.
    RolledBack,
    /// Nothing was changed.
    Unchanged,
}

/// Where new connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To the old primary.
    Old,
    /// To the new primary.
    New,
    /// Not known.
    Unknown,
}

/// The Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// The highest epoch that was given out.
    pub epoch: u8,
    /// The claim.
    pub claim: Option<Journal>,
    /// How the last takeover ended.
    pub ended: Option<Ending>,
    /// Where the primary Service leads.
    pub route: Route,
}

/// What an operator remembers of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It could not be reached.
    Lost,
    /// It answered.
    Known {
        /// What it lets clients do.
        mode: Mode,
        /// What it has executed.
        executed: Transactions,
        /// It replicates from somewhere.
        has_source: bool,
        /// It was not restarted since the claim.
        since_claim: bool,
    },
}

/// What an operator is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Carries no takeover.
    Rest,
    /// Checks.
    Preflight,
    /// Waits until the new primary holds what the old one has.
    ProveCatchUp,
    /// Takes hold of a server before anything is recorded.
    TakeHold(Side),
    /// Writes the intent down.
    RecordIntent,
    /// Freezes although nothing is written down: only a planted mistake does.
    FreezeFirst,
    /// Takes hold of both servers again, from this one on, and reads everything.
    Look(Side),
    /// Takes hold of one server again.
    Regrasp(Side),
    /// Decides and acts.
    Decide,
    /// Waits for the answer of a server.
    Await(Side),
}

/// An operator instance, and all that it remembers.
#[allow(clippy::struct_excessive_bools, reason = "each is known, or not, for itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    /// What it does next.
    pub task: Task,
    /// The journal as it last read or wrote it; its epoch is the one under which it acts.
    pub journal: Option<Journal>,
    /// What it remembers of both servers.
    pub seen: Pair<Seen>,
    /// Which servers it thinks it has a session on.
    pub hands: Pair<bool>,
    /// A packet 2 may be on its way.
    pub loose: bool,
    /// Where it thinks new connections go.
    pub route: Route,
    /// The set that the freeze told.
    pub frozen: Option<Transactions>,
    /// Client sessions were ended.
    pub disconnected: bool,
    /// It knows that the journal says open.
    pub recorded_open: bool,
    /// It saw the new primary open.
    pub seen_open: bool,
    /// Everybody was told to follow.
    pub reattached: bool,
    /// Everything was looked at after that.
    pub verified: bool,
    /// Something failed before Open.
    pub failed: bool,
    /// It saw that the user cancelled.
    pub cancelled: bool,
}

impl Operator {
    /// A process that has just started.
    pub const FRESH: Self = Self {
        task: Task::Rest,
        journal: None,
        seen: Pair(Seen::Lost, Seen::Lost),
        hands: Pair(false, false),
        loose: true,
        route: Route::Unknown,
        frozen: None,
        disconnected: false,
        recorded_open: false,
        seen_open: false,
        reattached: false,
        verified: false,
        failed: false,
        cancelled: false,
    };

    /// Epoch under which it acts.
    pub fn epoch(&self) -> u8 {
        self.journal.map_or(0, |journal| journal.epoch)
    }
}

/// What may still go wrong. Finite, so that "when the faults have stopped" is a state like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes of an operator instance.
    pub operator_crashes: u8,
    /// Crashes of a server.
    pub server_crashes: u8,
    /// Partitions.
    pub partitions: u8,
    /// Answers that are lost or come too late, of servers and of the API; and statements that are refused.
    pub lost_answers: u8,
    /// Adoptions by an operator whose Lease says that the other is gone, rightly or not.
    pub adoptions: u8,
    /// The user cancels.
    pub cancels: u8,
    /// The deadline passes.
    pub deadlines: u8,
    /// Takeovers after one that was undone.
    pub retries: u8,
}

/// What is fixed while a model is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The planted mistake.
    pub mistake: Option<Mistake>,
    /// The freeze comes before routing.
    pub freeze_first: bool,
    /// The servers keep no attributes of the first operator's sessions.
    pub unmarked: bool,
    /// The sibling replicates at its own pace.
    pub sibling_lags: bool,
    /// Client transactions, at most two; the second one is privileged.
    pub writes: u8,
    /// What may go wrong.
    pub budget: Budget,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The two servers that change places.
    pub servers: Pair<Server>,
    /// The other replica.
    pub sibling: Server,
    /// The Kubernetes API.
    pub store: Store,
    /// The two operator instances.
    pub operators: Pair<Operator>,
    /// Which client transactions were acknowledged, and by whom.
    pub acknowledged: Transactions,
    /// Who is cut off from what.
    pub cut: Option<(Who, Peer)>,
    /// The deadline has passed.
    pub late: bool,
    /// The user cancelled.
    pub cancel: bool,
    /// What may still go wrong.
    pub budget: Budget,
}

impl World {
    /// Before the takeover begins: the old primary writes, the others replicate from it.
    pub fn new(rules: &Rules) -> Self {
        let server = |mode, source| Server {
            up: true,
            mode,
            executed: Transactions::NONE,
            source,
            restarted: false,
            sessions: Pair(None, None),
        };
        Self {
            servers: Pair(server(Mode::Open, None), server(Mode::Shut, Some(Side::Old))),
            sibling: server(Mode::Shut, Some(Side::Old)),
            store: Store { epoch: 0, claim: None, ended: None, route: Route::Old },
            operators: Pair(Operator::FRESH, Operator::FRESH),
            acknowledged: Transactions::NONE,
            cut: None,
            late: false,
            cancel: false,
            budget: rules.budget,
        }
    }

    /// How many servers accept writes.
    pub fn writable(&self) -> usize {
        [&self.servers.0, &self.servers.1, &self.sibling]
            .into_iter()
            .filter(|server| server.up && server.mode == Mode::Open)
            .count()
    }

    /// Whether an operator reaches something.
    pub fn reaches(&self, who: Who, peer: Peer) -> bool {
        let up = match peer {
            Peer::Api => true,
            Peer::Server(side) => self.servers.at(side).up,
        };
        up && self.cut != Some((who, peer))
    }
}
