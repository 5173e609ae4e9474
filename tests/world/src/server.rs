//! One MySQL server in memory: read-only state, executed transactions, replication, sessions, locks.

use mysql_takeover::api::journal::{EventIdentity, ReadOnly};
use mysql_takeover::mysql::Tag;
use mysql_takeover::topology::facts::{ReplicationChannel, Startup, ThreadState, Version};
use mysql_takeover::topology::{GtidSet, ServerFacts};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Transactions that every server holds at the start, made by server 0.
pub const BEFORE: u64 = 100;
/// From the commit on the source until the replica received it.
const ON_THE_WAY: Duration = Duration::from_millis(1);

/// `server_uuid` of the server of that number.
pub fn uuid(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

/// How many transactions of each server are executed: each server numbers its own without a gap, and replication keeps order.
pub type Executed = [u64; crate::SERVERS];

/// Whether `held` has everything of `wanted`.
pub fn holds(held: &Executed, wanted: &Executed) -> bool {
    held.iter().zip(wanted).all(|(held, wanted)| held >= wanted)
}

/// The same as MySQL tells it.
pub fn gtid_set(executed: &Executed) -> GtidSet {
    let parts: Vec<String> = executed
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(origin, count)| format!("{}:1-{count}", uuid(origin)))
        .collect();
    parts.join(",").parse().unwrap_or_default()
}

/// One transaction in the binary log.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    /// The server that made it.
    pub origin: usize,
    /// Its number there.
    pub number: u64,
    /// When it was committed on this server.
    pub at: Instant,
}

/// Where a replica replicates from.
#[derive(Clone, Debug)]
pub struct Link {
    /// Number of the source.
    pub source: usize,
    /// `SOURCE_HOST`.
    pub host: String,
    /// The receiver runs.
    pub receiver: bool,
    /// The applier runs.
    pub applier: bool,
    /// Next entry of the source's log to receive.
    pub next: usize,
    /// Received, not applied.
    pub relay: VecDeque<Logged>,
    /// It was connected once, so that the source's identity is known.
    pub connected: bool,
}

/// One session of an operator.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// Its marks.
    pub tag: Tag,
    /// Somebody killed it: a running statement ends at its next look.
    pub killed: bool,
    /// A statement runs in it.
    pub running: bool,
    /// Its client is gone: the session ends with its statement.
    pub abandoned: bool,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Its number.
    pub number: usize,
    /// It runs.
    pub up: bool,
    /// When it started.
    pub started: Instant,
    /// Counted up by every start.
    pub incarnation: u64,
    /// `read_only` and `super_read_only`.
    pub read_only: ReadOnly,
    /// What it executed.
    pub executed: Executed,
    /// What it executed since the start, in order.
    pub log: Vec<Logged>,
    /// Replication.
    pub link: Option<Link>,
    /// The applier stands still until then.
    pub stalled_until: Option<Instant>,
    /// No replication in or out until then.
    pub replication_cut_until: Option<Instant>,
    /// No operator reaches it until then.
    pub operator_cut_until: Option<Instant>,
    /// A client holds a lock until then, in the session of this number.
    pub lock_held: Option<(u64, Instant)>,
    /// Sessions of operators.
    pub sessions: BTreeMap<u64, SessionState>,
    /// Named locks and their holders.
    pub locks: BTreeMap<String, u64>,
    /// Connections that nobody has logged in on yet.
    pub greeted: BTreeSet<u64>,
    /// Sessions of clients.
    pub clients: Vec<u64>,
    /// Events that are enabled here.
    pub events: Vec<EventIdentity>,
    next_session: u64,
}

/// A wait has ended, or never was.
pub fn past(until: Option<Instant>) -> bool {
    until.is_none_or(|until| Instant::now() >= until)
}

impl Server {
    /// A server that holds what all hold at the start.
    pub fn new(number: usize, read_only: ReadOnly, link: Option<Link>) -> Self {
        let mut executed = Executed::default();
        executed[0] = BEFORE;
        Self {
            number,
            up: true,
            started: Instant::now(),
            incarnation: 0,
            read_only,
            executed,
            log: Vec::new(),
            link,
            stalled_until: None,
            replication_cut_until: None,
            operator_cut_until: None,
            lock_held: None,
            sessions: BTreeMap::new(),
            locks: BTreeMap::new(),
            greeted: BTreeSet::new(),
            clients: Vec::new(),
            events: Vec::new(),
            next_session: 10,
        }
    }

    /// Anybody but replication can write.
    pub fn writable(&self) -> bool {
        self.up
            && match self.read_only {
                ReadOnly::Off | ReadOnly::ReadOnly => true,
                ReadOnly::SuperReadOnly => false,
            }
    }

    /// A new connection id.
    pub fn number_session(&mut self) -> u64 {
        self.next_session += 1;
        self.next_session
    }

    /// Commits one transaction of its own.
    pub fn commit(&mut self) -> Logged {
        let number = self.number;
        let own = self.executed.get_mut(number).map_or(0, |count| {
            *count += 1;
            *count
        });
        let logged = Logged { origin: number, number: own, at: Instant::now() };
        self.log.push(logged);
        logged
    }

    /// Ends a session and frees its locks.
    pub fn end_session(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.clients.retain(|client| *client != session);
        self.locks.retain(|_, holder| *holder != session);
        if self.lock_held.is_some_and(|(holder, _)| holder == session) {
            self.lock_held = None;
        }
    }

    /// Kills a session: at once where nothing runs in it, else when its statement looks.
    pub fn kill(&mut self, session: u64) {
        match self.sessions.get_mut(&session) {
            Some(state) if state.running => state.killed = true,
            Some(_) | None => self.end_session(session),
        }
    }

    /// It crashes: all sessions, locks and running statements are gone, what was committed is kept.
    pub fn crash(&mut self) {
        self.up = false;
        self.started = Instant::now();
        self.incarnation += 1;
        self.sessions.clear();
        self.locks.clear();
        self.greeted.clear();
        self.clients.clear();
        self.lock_held = None;
    }

    /// It starts again, read-only as its configuration says. Relay log that was not applied is fetched again.
    pub fn boot(&mut self) {
        self.up = true;
        self.started = Instant::now();
        self.read_only = ReadOnly::SuperReadOnly;
        if let Some(link) = &mut self.link {
            link.relay.clear();
            link.next = 0;
        }
    }

    /// A client's lock that a freeze waits for.
    pub fn blocker(&self) -> Option<u64> {
        self.lock_held.filter(|(_, until)| Instant::now() < *until).map(|(session, _)| session)
    }

    fn replicates(&self) -> bool {
        self.up && past(self.replication_cut_until)
    }

    /// What it tells about itself.
    pub fn facts(&self, hosts: &[String]) -> ServerFacts {
        ServerFacts {
            server_uuid: uuid(self.number),
            server_id: 100 + i64::try_from(self.number).unwrap_or_default(),
            version: Version { major: 9, minor: 7, patch: 4 },
            version_text: "9.7.4".to_owned(),
            mariadb: false,
            read_only: self.read_only,
            gtid_mode_on: true,
            gtid_consistency_enforced: true,
            executed: gtid_set(&self.executed),
            purged: GtidSet::default(),
            log_bin: true,
            log_replica_updates: true,
            binlog_format: "ROW".to_owned(),
            performance_schema: true,
            sync_binlog: 1,
            flush_log_at_commit: 1,
            uptime_seconds: i64::try_from(self.started.elapsed().as_secs()).unwrap_or_default() + self.age(),
            channels: self.link.iter().map(|link| self.channel(link, hosts)).collect(),
            replication_filters: false,
            binlog_filters: false,
            group_replication: false,
            semi_sync_source: None,
            semi_sync_replica: None,
            semi_sync_wait_for: 0,
            semi_sync_clients: 0,
            startup: Startup::ReadOnly,
            missing_privileges: Vec::new(),
        }
    }

    /// Servers of the first incarnation ran long before the world began.
    fn age(&self) -> i64 {
        if self.incarnation == 0 { 10_000 } else { 0 }
    }

    fn channel(&self, link: &Link, hosts: &[String]) -> ReplicationChannel {
        let receiver = match (link.receiver, hosts.get(link.source), past(self.replication_cut_until)) {
            (false, _, _) => ThreadState::Stopped,
            (true, Some(_), true) if link.connected => ThreadState::Running,
            (true, _, _) => ThreadState::Connecting,
        };
        ReplicationChannel {
            name: String::new(),
            source_host: link.host.clone(),
            source_port: 3306,
            source_uuid: if link.connected { uuid(link.source) } else { String::new() },
            source_user: "replication".to_owned(),
            receiver,
            applier: if link.applier { ThreadState::Running } else { ThreadState::Stopped },
            receiver_error: None,
            applier_error: None,
            seconds_behind: (link.receiver && link.applier).then_some(0),
            delay_seconds: 0,
            auto_position: true,
            retrieved: GtidSet::default(),
            ssl: true,
        }
    }
}

/// Lets replication do what it would have done by now.
pub fn replicate(servers: &mut [Server]) {
    let now = Instant::now();
    // One round: what is applied now is on its way to the next server of a chain.
    for replica in 0..servers.len() {
        receive(servers, replica, now);
        apply(servers, replica, now);
    }
}

fn receive(servers: &mut [Server], replica: usize, now: Instant) {
    let Some(server) = servers.get(replica) else { return };
    let Some(link) = server.link.as_ref().filter(|link| link.receiver && server.replicates()) else { return };
    let (from, next) = (link.source, link.next);
    let Some(source) = servers.get(from).filter(|source| source.replicates()) else {
        if let Some(link) = servers.get_mut(replica).and_then(|server| server.link.as_mut()) {
            link.connected = false;
        }
        return;
    };
    let arrived: Vec<Logged> = source
        .log
        .get(next..)
        .unwrap_or_default()
        .iter()
        .take_while(|entry| entry.at + ON_THE_WAY <= now)
        .copied()
        .collect();
    if let Some(link) = servers.get_mut(replica).and_then(|server| server.link.as_mut()) {
        link.connected = true;
        link.next += arrived.len();
        link.relay.extend(arrived);
    }
}

fn apply(servers: &mut [Server], replica: usize, now: Instant) {
    let Some(server) = servers.get_mut(replica) else { return };
    if !server.up || !past(server.stalled_until) {
        return;
    }
    let Some(link) = server.link.as_mut().filter(|link| link.applier) else { return };
    for entry in std::mem::take(&mut link.relay) {
        if let Some(count) = server.executed.get_mut(entry.origin).filter(|count| **count < entry.number) {
            *count = entry.number;
            server.log.push(Logged { at: now, ..entry });
        }
    }
}
