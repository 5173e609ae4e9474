//! Back to the old primary: recorded pre-images are restored, never guessed defaults.

use super::Stop;
use super::hands::end_sessions;
use super::run::{Run, Side};
use crate::api::journal::{Intent, ReadOnly};
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use crate::takeover::{Packet, Routed, ServerView, Step, View};
use std::time::Duration;

/// Lock wait of a thaw or a shut: both take effect at once on a server that nobody writes to.
const LOCK_WAIT: Duration = Duration::from_secs(1);

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Makes sure that nothing on its way can open the new primary: every session of ours there but the two held is
    /// ended and seen gone, then it is shut, then it is read again. If it was opened meanwhile, reading tells.
    pub(super) async fn shut_new(&mut self) -> Result<(), Stop> {
        self.regrasp(Side::New).await?;
        let Some(hand) = self.new.as_mut() else { return Ok(()) };
        let own = [hand.work.connection(), hand.watch.connection()];
        let others: Vec<u64> = match hand.watch.operator_sessions().await {
            Ok(sessions) => sessions
                .into_iter()
                .filter(|session| session.cluster_uid == self.access.cluster_uid && session.epoch > 0)
                .map(|session| session.connection)
                .filter(|connection| !own.contains(connection))
                .collect(),
            Err(error) => return self.lose(Side::New, &error.to_string()),
        };
        if let Err(why) = end_sessions(&mut hand.watch, &others).await {
            return self.lose(Side::New, &why);
        }
        match hand.work.facts().await {
            Ok(facts) => {
                let view = ServerView::seen(&facts, 0);
                self.situation.packet = Packet::Settled;
                self.situation.new = View::Known(view);
                Ok(())
            }
            Err(error) => self.lose(Side::New, &error.to_string()),
        }
    }

    /// Writes come back: the old primary gets its recorded state again, on the session that holds the lock.
    pub(super) async fn thaw_old(&mut self, intent: &Intent) -> Result<(), Stop> {
        let Some(hand) = self.old.as_mut() else { return self.lose(Side::Old, "no session") };
        match hand.work.set_read_only(intent.before.old_read_only, LOCK_WAIT).await {
            Ok(state) => {
                self.know_old(|view| view.read_only = state);
                self.situation.frozen = None;
                self.frozen_at = None;
                self.report.undone(Step::Freeze, "writes are back");
                if state == ReadOnly::SuperReadOnly && intent.before.old_read_only != state {
                    return self.lose(Side::Old, "it is still read-only");
                }
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                self.regrasp(Side::Old).await?;
                tracing::warn!(why, "old primary not thawed yet");
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        }
    }

    /// New connections go to the old primary again.
    pub(super) async fn route_back(&mut self, intent: &Intent) -> Result<(), Stop> {
        let (old, new) = (&intent.plan.old_primary.name, &intent.plan.new_primary.name);
        match self.router().restore(&intent.before, old, new).await {
            Ok(()) => {
                self.situation.routed = Routed::Old;
                self.report.undone(Step::Route, "routing has its former shape");
                self.report.undone(Step::RecordIntent, "");
            }
            Err(error) => {
                tracing::warn!(%error, "routing not back yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(())
    }

    fn lose(&mut self, side: Side, why: &str) -> Result<(), Stop> {
        let view = View::Lost(why.to_owned());
        match side {
            Side::Old => {
                self.old = None;
                self.situation.old = view;
            }
            Side::New => {
                self.new = None;
                self.situation.new = view;
            }
        }
        Ok(())
    }
}
