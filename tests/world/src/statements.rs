//! What a simulated server does with each statement of the port.

use crate::server::{Link, gtid_set};
use crate::session::{Refusal, SimulatedSession, done};
use mysql_takeover::api::journal::{EventIdentity, ReadOnly};
use mysql_takeover::mysql::port::{OpenReply, OperatorSession, Source};
use mysql_takeover::mysql::{ServerError, Session};
use mysql_takeover::topology::facts::LockHolder;
use mysql_takeover::topology::{Activity, GtidSet, ServerFacts};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// MySQL's error number of a lock wait that ran out.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

impl Session for SimulatedSession {
    fn connection(&self) -> u64 {
        self.id
    }

    async fn facts(&mut self) -> Result<ServerFacts, ServerError> {
        self.read("observe", |state, number| {
            let hosts = state.store.hosts();
            state.servers.get(number).map(|server| server.facts(&hosts))
        })
        .await
    }

    async fn activity(&mut self, older_than_seconds: i32) -> Result<Activity, ServerError> {
        let _ = older_than_seconds;
        self.read("look what goes on at", |state, number| {
            let holders = state.servers.get(number)?.blocker().map(|connection| LockHolder {
                connection,
                user: "app".to_owned(),
                seconds: 1000,
                what: "LOCK TABLES … WRITE".to_owned(),
            });
            Some(Activity { lock_holders: holders.into_iter().collect(), ..Activity::default() })
        })
        .await
    }

    async fn executed(&mut self) -> Result<GtidSet, ServerError> {
        self.read("read gtid_executed of", |state, number| {
            state.servers.get(number).map(|server| gtid_set(&server.executed))
        })
        .await
    }

    async fn read_only(&mut self) -> Result<ReadOnly, ServerError> {
        self.read("read read_only of", |state, number| {
            state.servers.get(number).map(|server| server.read_only)
        })
        .await
    }

    async fn enabled_events(&mut self) -> Result<Vec<EventIdentity>, ServerError> {
        self.read("read the events of", |state, number| {
            state.servers.get(number).map(|server| server.events.clone())
        })
        .await
    }

    async fn operator_sessions(&mut self) -> Result<Vec<OperatorSession>, ServerError> {
        let mine = self.id;
        self.read("find operator sessions on", move |state, number| {
            let server = state.servers.get(number)?;
            let others = server.sessions.iter().filter(|(id, _)| **id != mine);
            Some(
                others
                    .map(|(id, session)| OperatorSession {
                        connection: *id,
                        cluster_uid: session.tag.cluster_uid.clone(),
                        holder: session.tag.holder.clone(),
                        epoch: session.tag.epoch,
                    })
                    .collect(),
            )
        })
        .await
    }

    async fn client_sessions(&mut self) -> Result<Vec<u64>, ServerError> {
        self.read("find client sessions on", |state, number| {
            state.servers.get(number).map(|server| server.clients.clone())
        })
        .await
    }

    async fn freeze_blockers(&mut self) -> Result<Vec<u64>, ServerError> {
        self.read("find what blocks a freeze on", |state, number| {
            state.servers.get(number).map(|server| server.blocker().into_iter().collect())
        })
        .await
    }

    async fn take_lock(&mut self, name: &str, wait: Duration) -> Result<bool, ServerError> {
        let (name, id, until) = (name.to_owned(), self.id, Instant::now() + wait);
        self.call("take the lock on", wait, move |state, number| {
            let Some(server) = state.servers.get_mut(number) else { return done(false) };
            match server.locks.get(&name) {
                Some(holder) if *holder != id && Instant::now() < until => Poll::Pending,
                Some(holder) if *holder != id => done(false),
                Some(_) | None => {
                    server.locks.insert(name.clone(), id);
                    done(true)
                }
            }
        })
        .await
    }

    async fn lock_holder(&mut self, name: &str) -> Result<Option<u64>, ServerError> {
        let name = name.to_owned();
        self.read("look who holds the lock on", move |state, number| {
            state.servers.get(number).map(|server| server.locks.get(&name).copied())
        })
        .await
    }

    async fn kill(&mut self, connections: &[u64]) -> Result<(), ServerError> {
        let connections = connections.to_vec();
        self.read("kill sessions on", move |state, number| {
            let server = state.servers.get_mut(number)?;
            for session in &connections {
                server.kill(*session);
            }
            Some(())
        })
        .await
    }

    async fn interrupt(&mut self, connection: u64) -> Result<(), ServerError> {
        // Only what a stopped applier asks for; a killed statement is the nearest that this world has.
        self.kill(&[connection]).await
    }

    async fn still_there(&mut self, connections: &[u64]) -> Result<Vec<u64>, ServerError> {
        let connections = connections.to_vec();
        self.read("look which sessions are left on", move |state, number| {
            let server = state.servers.get(number)?;
            let there =
                |session: &&u64| server.sessions.contains_key(session) || server.clients.contains(session);
            Some(connections.iter().filter(there).copied().collect())
        })
        .await
    }

    async fn greets(&mut self, connection: u64) -> Result<bool, ServerError> {
        self.read("look whom it greets on", move |state, number| {
            state.servers.get(number).map(|server| server.greeted.contains(&connection))
        })
        .await
    }

    async fn freeze(&mut self, lock_wait: Duration) -> Result<GtidSet, ServerError> {
        let until = Instant::now() + lock_wait;
        self.call("freeze", lock_wait * 2, move |state, number| {
            let Some(server) = state.servers.get(number) else { return Poll::Pending };
            match (server.blocker(), Instant::now() < until) {
                (Some(_), true) => Poll::Pending,
                (Some(_), false) => {
                    Poll::Ready(Err(Refusal(LOCK_WAIT_TIMEOUT, "lock wait timeout exceeded")))
                }
                (None, _) => {
                    let executed = gtid_set(&server.executed);
                    state.set_read_only(number, ReadOnly::SuperReadOnly);
                    done(executed)
                }
            }
        })
        .await
    }

    async fn open_when_applied(&mut self, set: &GtidSet, wait: Duration) -> Result<OpenReply, ServerError> {
        let (set, until) = (set.clone(), Instant::now() + wait);
        self.call("open", wait, move |state, number| {
            let Some(server) = state.servers.get(number) else { return Poll::Pending };
            match (gtid_set(&server.executed).contains(&set), Instant::now() < until) {
                (true, _) => {
                    state.set_read_only(number, ReadOnly::Off);
                    done(OpenReply::Opened)
                }
                (false, true) => Poll::Pending,
                (false, false) => done(OpenReply::StillShut),
            }
        })
        .await
    }

    async fn set_read_only(
        &mut self,
        wanted: ReadOnly,
        lock_wait: Duration,
    ) -> Result<ReadOnly, ServerError> {
        self.call("set read_only of", lock_wait, move |state, number| {
            state.set_read_only(number, wanted);
            done(wanted)
        })
        .await
    }

    async fn wait_until_applied(&mut self, set: &GtidSet, wait: Duration) -> Result<bool, ServerError> {
        let (set, until) = (set.clone(), Instant::now() + wait);
        self.call("wait for transactions on", wait, move |state, number| {
            let arrived =
                state.servers.get(number).is_some_and(|server| gtid_set(&server.executed).contains(&set));
            match (arrived, Instant::now() < until) {
                (true, _) => done(true),
                (false, true) => Poll::Pending,
                (false, false) => done(false),
            }
        })
        .await
    }

    async fn detach(&mut self) -> Result<(), ServerError> {
        self.read("detach", |state, number| {
            state.servers.get_mut(number)?.link = None;
            Some(())
        })
        .await
    }

    async fn replicate_from(&mut self, source: &Source, start: bool) -> Result<(), ServerError> {
        let host = source.host.clone();
        self.read("repoint", move |state, number| {
            let from = state.store.server_named(&host)?;
            let server = state.servers.get_mut(number)?;
            let relay = server.link.take().map(|link| link.relay).unwrap_or_default();
            server.link = Some(Link {
                source: from,
                host: host.clone(),
                receiver: start,
                applier: start,
                next: 0,
                relay,
                connected: false,
            });
            Some(())
        })
        .await
    }

    async fn enable_events(&mut self, events: &[EventIdentity]) -> Result<(), ServerError> {
        let events = events.to_vec();
        self.read("enable events on", move |state, number| {
            state.servers.get_mut(number)?.events.clone_from(&events);
            Some(())
        })
        .await
    }
}
