//! The sessions through which a takeover changes its two servers. On each: one that works and holds the lock, one that
//! watches it. Nothing else of ours is left there once they are held: that is what keeps two operators apart, and what
//! makes an unknown outcome a known one.

use crate::controller::Context;
use crate::controller::access::Access;
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use std::time::Duration;
use tokio::time::Instant;

/// How long an earlier session of ours may take to be gone after it was killed.
const GONE_LIMIT: Duration = Duration::from_secs(5);
const GONE_PAUSE: Duration = Duration::from_millis(10);
/// How long the lock may still be held by a session that was killed.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The sessions on one server.
pub struct Hand<S> {
    /// Holds the lock; every change of read-only state runs here and nowhere else.
    pub work: S,
    /// Looks after the first: kills, reads, interrupts.
    pub watch: S,
}

/// Why a server could not be taken hold of.
#[derive(Debug)]
pub enum NoHand {
    /// It cannot be reached, or something of ours there does not end; in words.
    Lost(String),
    /// A later epoch is at work there.
    Superseded,
}

/// Name of the lock, at most 64 characters.
pub fn lock_name(cluster_uid: &str) -> String {
    format!("mysql-takeover/{}", cluster_uid.chars().take(40).collect::<String>())
}

/// Takes hold of a server: ends every earlier session of ours there, waits until they are gone, takes the lock.
pub async fn grasp<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    instance: &str,
    epoch: i64,
) -> Result<Hand<S::Session>, NoHand> {
    let lost = |what: &str| NoHand::Lost(format!("{instance}: {what}"));
    let endpoint = access
        .pod(instance)
        .and_then(|pod| access.endpoint(pod))
        .ok_or_else(|| lost("there is no Pod of that name with an address"))?;
    let limit = context.settings.connect_limit;
    let (work, watch) = (access.tag(context, epoch, "work"), access.tag(context, epoch, "watch"));
    let (work, watch) = tokio::join!(
        context.servers.connect(&endpoint, &work, limit),
        context.servers.connect(&endpoint, &watch, limit),
    );
    let mut work = work.map_err(|error| NoHand::Lost(error.to_string()))?;
    let mut watch = watch.map_err(|error| NoHand::Lost(error.to_string()))?;
    let failed = |error: crate::mysql::ServerError| NoHand::Lost(error.to_string());

    let mine = [work.connection(), watch.connection()];
    let others: Vec<_> = watch
        .operator_sessions()
        .await
        .map_err(failed)?
        .into_iter()
        .filter(|session| session.cluster_uid == access.cluster_uid && session.epoch > 0)
        .filter(|session| !mine.contains(&session.connection))
        .collect();
    if others.iter().any(|session| session.epoch > epoch) {
        return Err(NoHand::Superseded);
    }
    let mut others: Vec<u64> = others.into_iter().map(|session| session.connection).collect();
    let name = lock_name(&access.cluster_uid);
    // A holder without our attributes: the server keeps none when performance_schema lost them.
    if let Some(holder) = watch.lock_holder(&name).await.map_err(failed)?
        && !mine.contains(&holder)
        && !others.contains(&holder)
    {
        others.push(holder);
    }
    end_sessions(&mut watch, &others).await.map_err(|what| lost(&what))?;
    if work.take_lock(&name, LOCK_WAIT).await.map_err(failed)? {
        Ok(Hand { work, watch })
    } else {
        Err(lost("another session keeps our lock"))
    }
}

/// Kills sessions and waits until they are gone: only then can nothing they sent take effect any more.
pub async fn end_sessions<T: Session>(watch: &mut T, sessions: &[u64]) -> Result<(), String> {
    if sessions.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    watch.kill(sessions).await.map_err(|error| error.to_string())?;
    loop {
        let left = watch.still_there(sessions).await.map_err(|error| error.to_string())?;
        if left.is_empty() {
            return Ok(());
        }
        if started.elapsed() > GONE_LIMIT {
            return Err(format!("sessions {left:?} of an earlier operator do not end"));
        }
        tokio::time::sleep(GONE_PAUSE).await;
    }
}
