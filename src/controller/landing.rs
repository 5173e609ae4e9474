//! Where new connections through a Service land. New connections meet a read-only server from the moment that they land on
//! the new primary until it is open, so that this is looked at as often, and as cheaply, as can be. Nothing but the time of
//! the freeze hangs on the answer.

use crate::mysql::{Endpoint, Servers, Session};
use std::time::Duration;
use tokio::time::Instant;

/// Bound on one look: it is repeated at once.
const LOOK_LIMIT: Duration = Duration::from_millis(250);
/// Pause between two looks, for the servers' sake.
const PAUSE: Duration = Duration::from_millis(1);
/// Logins that are under way at the same time, where greetings tell nothing.
const OVERLAPPING_LOGINS: u32 = 3;
/// Greetings without a login in between: well under the default of `max_connect_errors`, 100, after which a server shuts
/// a host out, and the operator with it. A login takes the time of several greetings.
const GREETINGS_PER_LOGIN: u32 = 40;

/// The two primaries' sessions that are asked whether it was they who greeted.
pub struct Watchers<'a, T> {
    /// On the old primary.
    pub old: Option<&'a mut T>,
    /// On the new primary.
    pub new: Option<&'a mut T>,
}

/// The way through a Service.
pub struct Landing<'a, S> {
    servers: &'a S,
    service: Endpoint,
    /// A greeting tells who is behind: no proxy stands in between, and the servers show whom they greet.
    greetings_tell: bool,
}

impl<'a, S: Servers> Landing<'a, S> {
    /// Tries the way while it still leads to the old primary. None: even that cannot be reached through the Service, so
    /// that the way will tell nothing later.
    pub async fn try_out(servers: &'a S, service: Endpoint, old: Option<&mut S::Session>) -> Option<Self> {
        servers.server_uuid_behind(&service, LOOK_LIMIT).await.ok()?;
        let greetings_tell = match (old, servers.greet(&service, LOOK_LIMIT).await) {
            (Some(old), Ok(greeted)) => old.greets(greeted.connection).await.unwrap_or(false),
            (Some(_) | None, _) => false,
        };
        Some(Self { servers, service, greetings_tell })
    }

    /// The Service's name.
    pub fn service_name(&self) -> &str {
        &self.service.instance
    }

    /// Waits until new connections land on the server of this `server_uuid`, `hits` times in a row, at most `limit`; false
    /// if they did not.
    pub async fn reached(
        &self,
        server_uuid: &str,
        new: Option<&mut S::Session>,
        hits: u32,
        limit: Duration,
    ) -> bool {
        let started = Instant::now();
        if let Some(new) = new.filter(|_| self.greetings_tell)
            && let Some(reached) = self.by_greetings(server_uuid, new, hits, limit).await
        {
            return reached;
        }
        let limit = limit.saturating_sub(started.elapsed());
        // Several logins overlap, so that the change is seen within one. Where a row is asked for, one after the other counts.
        let count = if hits == 1 { OVERLAPPING_LOGINS } else { 1 };
        let looks = (0..count).map(|number| {
            Box::pin(async move {
                tokio::time::sleep(PAUSE * number).await;
                let mut row = 0;
                while row < hits {
                    let landed = self.login(server_uuid).await;
                    row = if landed == Some(true) { row + 1 } else { 0 };
                    if landed.is_none() {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            })
        });
        tokio::time::timeout(limit, futures::future::select_all(looks)).await.is_ok()
    }

    /// None: the new primary's session is lost, and only logins can tell. Not to be dropped under way: its session would
    /// be given up.
    async fn by_greetings(
        &self,
        server_uuid: &str,
        new: &mut S::Session,
        hits: u32,
        limit: Duration,
    ) -> Option<bool> {
        let started = Instant::now();
        let mut row = 0;
        let mut greetings = 0;
        while started.elapsed() < limit {
            let landed = if greetings < GREETINGS_PER_LOGIN {
                greetings += 1;
                match self.servers.greet(&self.service, LOOK_LIMIT).await {
                    Ok(greeted) => Some(new.greets(greeted.connection).await.ok()?),
                    Err(_) => None,
                }
            } else {
                let landed = self.login(server_uuid).await;
                greetings = landed.map_or(greetings, |_| 0);
                landed
            };
            row = if landed == Some(true) { row + 1 } else { 0 };
            if row >= hits {
                return Some(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Some(false)
    }

    async fn login(&self, server_uuid: &str) -> Option<bool> {
        let found = self.servers.server_uuid_behind(&self.service, LOOK_LIMIT).await;
        found.ok().map(|found| found == server_uuid)
    }
}
