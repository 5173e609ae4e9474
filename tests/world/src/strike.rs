//! What a fault does to the world.

use crate::fault::{Fate, Fault, LASTS};
use crate::server::Server;
use crate::state::{LEASE, State};
use mysql_takeover::api::journal::ReadOnly;
use std::time::Duration;
use tokio::time::Instant;

/// How long an operator that woke up goes on before it sees that it leads no more.
const UNAWARE: Duration = Duration::from_secs(5);

impl State {
    /// Lets something go wrong, at a call of this operator.
    pub fn strike(&mut self, operator: usize, fault: Fault) -> Fate {
        let until = Instant::now() + LASTS;
        let lasts = match fault {
            Fault::Refused | Fault::ReplyLost | Fault::Twice | Fault::Conflict => Duration::ZERO,
            Fault::PauseBefore | Fault::PauseAfter => LASTS + LEASE + UNAWARE,
            _ => LASTS + LEASE,
        };
        self.quiet_from = self.quiet_from.max(Instant::now() + lasts);
        match fault {
            Fault::CrashBefore => self.kill(operator),
            Fault::CrashAfter => return Fate::CrashAfter,
            Fault::PauseBefore => self.pause(operator),
            Fault::PauseAfter => return Fate::PauseAfter,
            Fault::StolenLease => {
                self.succeed(operator, Instant::now());
                self.expire(operator, Instant::now() + UNAWARE);
            }
            Fault::Refused => return Fate::Refused,
            Fault::ReplyLost => return Fate::ReplyLost,
            Fault::Late => return Fate::Late,
            Fault::Twice => return Fate::Twice,
            Fault::ApiGone => self.api_gone_until = Some(until),
            Fault::ServerCrash(number) => self.crash(number),
            Fault::OperatorCut(number) => self.at(number, |server| server.operator_cut_until = Some(until)),
            Fault::ReplicationCut(number) => {
                self.at(number, |server| server.replication_cut_until = Some(until));
            }
            Fault::ApplierStalls(number) => self.at(number, |server| server.stalled_until = Some(until)),
            Fault::LockHeld => {
                if let Some(server) = self.servers.iter_mut().find(|server| server.writable()) {
                    let session = server.number_session();
                    server.clients.push(session);
                    server.lock_held = Some((session, until));
                }
            }
            Fault::PodReplaced(number) => {
                self.crash(number);
                self.store.replace_pod(number);
            }
            Fault::Cancelled => self.store.cancel(),
            Fault::Deleted => self.store.delete(false),
            Fault::DeletedByForce => self.store.delete(true),
            Fault::SlipsThrough => self.slip_through(),
            Fault::ClusterDeleted => self.store.delete_cluster(),
            Fault::Conflict => self.store.touch_cluster(),
        }
        Fate::Normal
    }

    /// Changes a server, if there is one of that number.
    pub fn at(&mut self, number: usize, change: impl FnOnce(&mut Server)) {
        if let Some(server) = self.servers.get_mut(number) {
            change(server);
        }
    }

    fn crash(&mut self, number: usize) {
        self.at(number, Server::crash);
    }

    /// Another leads from then on, if none does already in the place of this one.
    fn succeed(&mut self, operator: usize, at: Instant) {
        if self.operators.get(operator).is_some_and(|process| !process.succeeded) {
            self.successors.push(at);
        }
    }

    /// Kills an operator: its connections close, what it sent goes on. Another leads when the lease has run out.
    pub fn kill(&mut self, operator: usize) {
        if let Some(process) = self.operators.get(operator).filter(|process| !process.dead.is_cancelled()) {
            process.dead.cancel();
            self.succeed(operator, Instant::now() + LEASE);
        }
    }

    /// Lets an operator stand still. Another leads when the lease has run out.
    pub fn pause(&mut self, operator: usize) {
        let wakes = Instant::now() + LEASE + LASTS;
        self.succeed(operator, Instant::now() + LEASE);
        if let Some(process) = self.operators.get_mut(operator) {
            process.paused_until = Some(wakes);
        }
        self.expire(operator, wakes + UNAWARE);
    }

    /// From then on the operator knows that it leads no more, and ends.
    fn expire(&mut self, operator: usize, at: Instant) {
        if let Some(process) = self.operators.get_mut(operator) {
            process.succeeded = true;
            let dead = process.dead.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                dead.cancel();
            });
        }
    }

    /// `XA COMMIT` passes `super_read_only`. Only while clients have sessions there: a takeover ends them before it detaches.
    fn slip_through(&mut self) {
        let frozen = self.servers.iter_mut().find(|server| {
            server.up
                && server.read_only == ReadOnly::SuperReadOnly
                && server.link.is_none()
                && !server.clients.is_empty()
        });
        let Some(server) = frozen else { return };
        let logged = server.commit();
        if let Some(count) = self.acknowledged.get_mut(logged.origin) {
            *count = logged.number;
        }
        self.slipped = Some((logged.origin, logged.number));
        self.writes += 1;
    }
}
