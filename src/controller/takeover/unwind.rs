//! Back to the old primary: recorded pre-images are restored, never guessed defaults.

use super::Stop;
use super::run::Run;
use crate::api::journal::{Intent, ReadOnly};
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use crate::takeover::{Routed, Step};
use std::time::Duration;

/// Lock wait of a thaw or a shut: both take effect at once on a server that nobody writes to.
const LOCK_WAIT: Duration = Duration::from_secs(1);

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Writes come back: the old primary gets its recorded state again, on the session that holds the lock.
    pub(super) async fn thaw_old(&mut self, intent: &Intent) -> Result<(), Stop> {
        let Some(hand) = self.old.as_mut() else { return self.take_hold_again().await };
        match hand.work.set_read_only(intent.before.old_read_only, LOCK_WAIT).await {
            Ok(state) => {
                self.know_old(|view| view.read_only = state);
                self.situation.frozen = None;
                self.situation.verified = false;
                self.frozen_at = None;
                self.report.undone(Step::Freeze, "writes are back");
                Ok(())
            }
            Err(error) => {
                let why = error.to_string();
                self.take_hold_again().await?;
                tracing::warn!(why, "old primary not thawed yet");
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        }
    }

    /// The new primary booted writable: read-only again, then read afresh, since somebody may have written meanwhile.
    pub(super) async fn shut_new(&mut self) -> Result<(), Stop> {
        if let Some(hand) = self.new.as_mut()
            && let Err(error) = hand.work.set_read_only(ReadOnly::SuperReadOnly, LOCK_WAIT).await
        {
            tracing::warn!(%error, "new primary booted writable and is not read-only yet");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.take_hold_again().await
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
                // A Pod that was made anew is another one: what was read before would be refused for ever.
                self.refresh_access().await;
            }
        }
        Ok(())
    }
}
