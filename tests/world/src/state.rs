//! Everything that is, behind one lock, and what must always hold.

use crate::SERVERS;
use crate::fault::{Fate, Fault, Planned};
use crate::server::{Executed, Link, Server, holds, replicate};
use crate::store::Store;
use mysql_takeover::api::journal::ReadOnly;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From a change of a Service until new connections follow it.
pub const PROXY_LAG: Duration = Duration::from_millis(20);
/// How long a lease lasts after its holder was last heard of.
pub const LEASE: Duration = Duration::from_secs(15);

/// One call of an operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operator's number.
    pub operator: usize,
    /// What was asked, and of whom.
    pub what: String,
    /// From the start of the world.
    pub at: Duration,
}

/// One operator process.
#[derive(Debug)]
pub struct Process {
    /// Cancelled when it is killed.
    pub dead: CancellationToken,
    /// It stands still until then.
    pub paused_until: Option<Instant>,
    /// Another has taken its Lease.
    pub succeeded: bool,
}

/// What becomes of renewing a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Renewed.
    Renewed,
    /// Not this time: the API is gone, or the process stands still.
    NotNow,
    /// Somebody else holds it, or the process is dead.
    Lost,
}

/// Everything that is.
#[derive(Debug)]
pub struct State {
    /// When it began.
    pub began: Instant,
    /// The servers.
    pub servers: Vec<Server>,
    /// The API store.
    pub store: Store,
    /// No API server until then.
    pub api_gone_until: Option<Instant>,
    /// What is to go wrong.
    pub plan: Vec<Planned>,
    /// Calls are counted from the start of the takeover.
    pub counting: bool,
    /// Every call.
    pub calls: Vec<Call>,
    /// Operator processes, in the order of their start.
    pub operators: Vec<Process>,
    /// Operators to be started, and when.
    pub successors: Vec<Instant>,
    /// Acknowledged writes, by the server that took them.
    pub acknowledged: Executed,
    /// The last transaction that a frozen server took all the same, by server and number.
    pub slipped: Option<(usize, u64)>,
    /// Number of acknowledged writes.
    pub writes: u64,
    /// Last acknowledgement.
    pub last_write: Instant,
    /// Longest time without an acknowledgement since the takeover began.
    pub longest_gap: Duration,
    /// When the last fault ends by itself.
    pub quiet_from: Instant,
    /// The applier of this server stands still from the first freeze on.
    pub stall_at_freeze: Option<usize>,
    /// What must not be, and was.
    pub violations: Vec<String>,
    /// Where the primary Service led, with the moment of each change.
    pub routes: VecDeque<(Instant, Vec<usize>)>,
}

/// The world, shared by all that live in it.
#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<State>>);

impl World {
    /// Three servers, the first of them primary, in an API store with a registered cluster.
    pub fn new(store: Store, plan: Vec<Planned>) -> Self {
        let began = Instant::now();
        let servers = (0..SERVERS)
            .map(|number| {
                let link = (number > 0).then(|| Link {
                    source: 0,
                    host: store.host(0),
                    receiver: true,
                    applier: true,
                    next: 0,
                    relay: VecDeque::new(),
                    connected: true,
                });
                let read_only = if number == 0 { ReadOnly::Off } else { ReadOnly::SuperReadOnly };
                Server::new(number, read_only, link)
            })
            .collect();
        Self(Arc::new(Mutex::new(State {
            began,
            servers,
            store,
            api_gone_until: None,
            plan,
            counting: false,
            calls: Vec::new(),
            operators: Vec::new(),
            successors: Vec::new(),
            acknowledged: Executed::default(),
            slipped: None,
            writes: 0,
            last_write: began,
            longest_gap: Duration::ZERO,
            quiet_from: began,
            stall_at_freeze: None,
            violations: Vec::new(),
            routes: VecDeque::new(),
        })))
    }

    /// The state, with replication up to now.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replicate(&mut state.servers);
        state.note_route();
        state
    }

    /// Enters a call of an operator: waits while it stands still, counts it, and lets go wrong what is planned there.
    pub async fn enter(&self, operator: usize, what: &str) -> Fate {
        self.while_paused(operator).await;
        let fate = {
            let mut state = self.lock();
            let at = state.began.elapsed();
            if what.starts_with("freeze")
                && let Some(number) = state.stall_at_freeze.take()
            {
                state.strike(operator, Fault::ApplierStalls(number));
                // One more acknowledged write, which the stalled applier lacks.
                state.write_anywhere();
            }
            let planned: Vec<Fault> = if state.counting {
                let number = state.calls.len();
                state.calls.push(Call { operator, what: what.to_owned(), at });
                state
                    .plan
                    .iter()
                    .filter(|planned| planned.call == number)
                    .map(|planned| planned.fault)
                    .collect()
            } else {
                Vec::new()
            };
            let mut fate = Fate::Normal;
            for fault in planned {
                let own = state.strike(operator, fault);
                if own != Fate::Normal {
                    fate = own;
                }
            }
            fate
        };
        // Killed, or stopped, by what was planned here.
        self.while_paused(operator).await;
        fate
    }

    /// Leaves a call: the operator may be killed or stopped before it sees the answer.
    pub async fn leave(&self, operator: usize, fate: Fate) {
        match fate {
            Fate::CrashAfter => self.lock().kill(operator),
            Fate::PauseAfter => self.lock().pause(operator),
            Fate::Normal | Fate::Refused | Fate::ReplyLost | Fate::Late | Fate::Twice => {}
        }
        self.while_paused(operator).await;
    }

    async fn while_paused(&self, operator: usize) {
        loop {
            let until = {
                let state = self.lock();
                let Some(process) = state.operators.get(operator) else { return };
                if process.dead.is_cancelled() {
                    None
                } else {
                    match process.paused_until.filter(|until| *until > Instant::now()) {
                        None => return,
                        until => until,
                    }
                }
            };
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                // Its tasks are dropped.
                None => std::future::pending().await,
            }
        }
    }
}

impl State {
    /// An operator renews its Lease.
    pub fn lease(&self, operator: usize) -> Lease {
        let gone = self.api_gone_until.is_some_and(|until| Instant::now() < until);
        match self.operators.get(operator) {
            Some(process) if process.dead.is_cancelled() => Lease::Lost,
            Some(process) if gone || process.paused_until.is_some_and(|until| Instant::now() < until) => {
                Lease::NotNow
            }
            Some(process) if process.succeeded => Lease::Lost,
            Some(_) => Lease::Renewed,
            None => Lease::Lost,
        }
    }

    /// Servers that crashed are back after a while.
    pub fn boot(&mut self, number: usize) {
        self.at(number, |server| {
            if !server.up {
                server.boot();
            }
        });
        self.check_writable("a server started");
    }

    /// Sets a server's read-only state. At the moment of opening, everything that was acknowledged must be there.
    pub fn set_read_only(&mut self, number: usize, state: ReadOnly) {
        let opens = self.servers.get(number).is_some_and(|server| !server.writable())
            && state != ReadOnly::SuperReadOnly;
        self.at(number, |server| server.read_only = state);
        if opens {
            // What slipped through the freeze may follow until the source is forgotten.
            let mut due = self.acknowledged;
            if let Some((server, last)) = self.slipped
                && let Some(count) = due.get_mut(server).filter(|count| **count == last)
            {
                *count -= 1;
            }
            let lacks = self.servers.get(number).is_some_and(|server| !holds(&server.executed, &due));
            if lacks {
                let what = format!("server {number} was opened without every acknowledged write");
                self.violate(what);
            }
            self.check_writable("a server was opened");
        }
    }

    /// Never two that accept writes.
    fn check_writable(&mut self, when: &str) {
        let writable: Vec<usize> =
            self.servers.iter().filter(|server| server.writable()).map(|server| server.number).collect();
        if writable.len() > 1 {
            self.violate(format!("servers {writable:?} accept writes at the same time ({when})"));
        }
    }

    /// Notes what must not be.
    pub fn violate(&mut self, what: impl std::fmt::Display) {
        let at = self.began.elapsed();
        self.violations.push(format!("{:.3} s: {what}", at.as_secs_f64()));
    }

    /// A client's write at a server; acknowledged, or refused.
    pub fn write(&mut self, number: usize, privileged: bool) -> bool {
        let Some(server) = self.servers.get_mut(number) else { return false };
        let may = match server.read_only {
            ReadOnly::Off => true,
            ReadOnly::ReadOnly => privileged,
            ReadOnly::SuperReadOnly => false,
        };
        if !server.up || !may {
            return false;
        }
        let logged = server.commit();
        if let Some(count) = self.acknowledged.get_mut(number) {
            *count = logged.number;
        }
        self.writes += 1;
        if self.counting {
            self.longest_gap = self.longest_gap.max(self.last_write.elapsed());
        }
        self.last_write = Instant::now();
        true
    }

    fn write_anywhere(&mut self) {
        if let Some(number) = self.servers.iter().find(|server| server.writable()).map(|server| server.number)
        {
            self.write(number, false);
        }
    }

    fn note_route(&mut self) {
        let same = self.routes.back().is_some_and(|(_, last)| self.store.routed().eq(last.iter().copied()));
        if !same {
            self.routes.push_back((Instant::now(), self.store.routed().collect()));
        }
    }

    /// Where a new connection through the primary Service lands now.
    pub fn landing(&self) -> Option<usize> {
        let led = self.routes.iter().rev().find(|(at, _)| *at + PROXY_LAG <= Instant::now());
        led.or(self.routes.front()).and_then(|(_, to)| to.first().copied())
    }

    /// Sessions of the operators that hold a lock, by server.
    pub fn locked(&self) -> BTreeMap<usize, usize> {
        self.servers
            .iter()
            .map(|server| (server.number, server.locks.len()))
            .filter(|(_, held)| *held > 0)
            .collect()
    }
}
