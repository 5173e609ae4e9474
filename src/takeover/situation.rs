//! What is known, at one moment, of the two servers and the routing. Unknown is a value here, never an assumption.

use super::outcome::Outcome;
use crate::api::journal::{Intent, ReadOnly};
use crate::topology::{GtidSet, ServerFacts};

/// Everything that `decide` looks at besides the journal.
#[allow(clippy::struct_excessive_bools, reason = "each is known, or not, for itself")]
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// The old primary.
    pub old: View,
    /// The new primary.
    pub new: View,
    /// What may still become of a packet 2 that was sent.
    pub packet: Packet,
    /// Where new connections go.
    pub routed: Routed,
    /// GTID set of the old primary after the freeze, if this process froze it.
    pub frozen: Option<GtidSet>,
    /// The client sessions on the old primary were ended since the last change of routing.
    pub disconnected: bool,
    /// The journal says that the new primary was open, or this process recorded it.
    pub recorded_open: bool,
    /// This process saw that the new primary is open, or was. Kept where the journal could not be written and the server
    /// is lost afterwards: what was open may hold writes that nobody else has.
    pub seen_open: bool,
    /// Every other instance was told to follow the new primary.
    pub reattached: bool,
    /// Everything was looked at afresh after that.
    pub verified: bool,
    /// What failed in this process before Open.
    pub failure: Option<Outcome>,
    /// The user wants it cancelled, or deleted the resource.
    pub cancelled: bool,
}

/// What is known of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    /// It answered.
    Known(ServerView),
    /// It cannot be reached; in words.
    Lost(String),
}

/// The facts about a server on which a takeover turns.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerView {
    /// `read_only` and `super_read_only`.
    pub read_only: ReadOnly,
    /// `gtid_executed`.
    pub executed: GtidSet,
    /// The part of it that came from this server itself.
    pub own: GtidSet,
    /// It has a replication source.
    pub has_source: bool,
    /// It has run without a restart since the cluster was claimed.
    pub since_claim: bool,
}

impl ServerView {
    /// What matters of the facts of a server, `claim_age_seconds` after the cluster was claimed.
    pub fn seen(facts: &ServerFacts, claim_age_seconds: i64) -> Self {
        Self {
            // A second for the rounding of both.
            since_claim: facts.uptime_seconds > claim_age_seconds + 1,
            read_only: facts.read_only,
            executed: facts.executed.clone(),
            own: facts.executed.of_server(&facts.server_uuid),
            has_source: !facts.channels.is_empty(),
        }
    }
}

/// What may still become of a packet 2. It outlives its sender: a dropped connection does not stop it from opening the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// None was sent since the sessions of all earlier epochs were seen gone, or its answer arrived.
    Settled,
    /// One may be waiting on the server.
    Loose,
}

/// Where new connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// To the old primary.
    Old,
    /// To the new primary.
    New,
    /// Not known, or in between.
    Unknown,
}

/// Whether the new primary was opened. Open is what the server says, not what the journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It accepts writes, or shows that it did.
    Yes,
    /// It does not and did not, and nothing on its way can open it.
    No,
    /// It was restarted and booted writable, which is not having been opened: it may lack what the old primary acknowledged.
    BootedWritable,
    /// It cannot be told; in words.
    Unknown(String),
}

impl Situation {
    /// A packet 2 is sent only after a freeze, and a freeze is lifted only after every packet is settled: an old primary
    /// that accepts writes, and has done so since the claim, means that none is on its way, even where the new primary
    /// cannot be asked.
    pub fn settle(&mut self) {
        if let View::Known(old) = &self.old
            && old.read_only != ReadOnly::SuperReadOnly
            && old.since_claim
            && !self.recorded_open
            && !self.seen_open
            && matches!(self.new, View::Lost(_))
        {
            self.packet = Packet::Settled;
        }
    }

    /// The new primary cannot be read any more. What accepted writes when it was last read may still do so, however it came to
    /// that: one that was restarted, then opened by a packet whose answer was lost, looks as if it had booted writable.
    pub fn lose_new(&mut self, why: String) {
        if matches!(&self.new, View::Known(view) if view.read_only == ReadOnly::Off) {
            self.packet = Packet::Loose;
        }
        self.new = View::Lost(why);
    }

    /// Remembers that the new primary was open, before it can be lost.
    pub fn remember_open(&mut self, intent: &Intent) {
        self.seen_open |= self.opened(intent) == Opened::Yes;
    }

    /// Whether the new primary was opened. What was seen open stays so, though it boots read-only and shows no mark of it: from
    /// there a takeover goes forward only.
    pub fn opened(&self, intent: &Intent) -> Opened {
        match (&self.new, self.packet) {
            (View::Known(view), packet) => {
                // Where the old primary is gone, somebody may have opened this one by hand: that is not undone.
                let remembered = self.recorded_open || self.seen_open;
                let booted =
                    matches!(self.old, View::Known(_)) && !remembered && booted_writable(view, intent);
                match (booted, remembered || shows_open(view, intent), packet) {
                    (false, true, _) => Opened::Yes,
                    // Whoever takes hold of the server again ends what is on its way: looking again settles it.
                    (true, _, Packet::Loose) | (false, false, Packet::Loose) => {
                        Opened::Unknown("a statement sent to it may still open it".to_owned())
                    }
                    (true, _, Packet::Settled) => Opened::BootedWritable,
                    (false, false, Packet::Settled) => Opened::No,
                }
            }
            // What is lost but was never sent anything is as it was.
            (View::Lost(_), _) if self.seen_open => Opened::Yes,
            (View::Lost(_), Packet::Settled) if !self.recorded_open => Opened::No,
            (View::Lost(_), Packet::Settled) => Opened::Yes,
            (View::Lost(why), Packet::Loose) => Opened::Unknown(why.clone()),
        }
    }
}

/// The three marks of a server that was opened: it accepts writes; it made transactions of its own that nobody knew when
/// the intent was recorded (a crash made it boot read-only again); it has no source any more.
fn shows_open(view: &ServerView, intent: &Intent) -> bool {
    let accepts_writes = match view.read_only {
        ReadOnly::Off => true,
        // Packet 2 leads to Off. This is how a server boots whose configuration says no more than `read_only`: no sign that
        // it was opened, and if it was not, it may lack what the old primary acknowledged.
        ReadOnly::ReadOnly | ReadOnly::SuperReadOnly => false,
    };
    accepts_writes || !view.has_source || wrote(view, intent)
}

/// It made transactions of its own that nobody knew when the intent was recorded.
fn wrote(view: &ServerView, intent: &Intent) -> bool {
    let known_own: GtidSet = intent.before.new_own_transactions.parse().unwrap_or_default();
    !known_own.contains(&view.own)
}

/// It accepts writes only because it was restarted: had it been opened before, it would have its own transactions or no
/// source, or nobody has written to it yet. It is shut, and opened by a packet 2 that waits.
fn booted_writable(view: &ServerView, intent: &Intent) -> bool {
    view.read_only == ReadOnly::Off && !view.since_claim && view.has_source && !wrote(view, intent)
}
