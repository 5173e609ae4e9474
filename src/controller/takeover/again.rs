//! After a session was lost, or a wait: a process that stood still meanwhile must not go on as if nothing had happened.

use super::Stop;
use super::hands::{NoHand, grasp};
use super::run::{Run, Side};
use crate::controller::Error;
use crate::controller::access::Access;
use crate::controller::claim::ClaimError;
use crate::kubernetes::Kubernetes;
use crate::mysql::{Servers, Session};
use crate::takeover::{Packet, Routed, ServerView, View};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Bound on reading the claim: writes may be stopped meanwhile.
const CONFIRM_LIMIT: Duration = Duration::from_secs(1);

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Takes hold of both servers again and reads everything afresh.
    pub(super) async fn look_again(&mut self) -> Result<(), Stop> {
        self.refresh_access().await;
        self.take_hold_again().await?;
        self.situation.settle();
        let Some(intent) = self.claim.intent() else { return Err(Stop::Superseded) };
        let (old, new) = (intent.plan.old_primary.name.clone(), intent.plan.new_primary.name.clone());
        self.situation.routed = self.router().observe(&old, &new).await.unwrap_or(Routed::Unknown);
        self.situation.verified = false;
        Ok(())
    }

    /// Reads Pods and Secrets afresh. An API that does not answer must not keep the servers from being put right: what was
    /// read before will do.
    pub(super) async fn refresh_access(&mut self) {
        match Access::read(self.context, &self.claim.cluster).await {
            Ok(access) => self.access = access,
            Err(error) => {
                tracing::warn!(%error, "Pods and Secrets not read afresh; going on with what was read before");
            }
        }
    }

    /// Takes hold of one server again: every earlier session of ours there is ended and seen gone, so that whatever it
    /// sent has happened or never will; then the server is read. Never alone: what is seen may be another takeover's work.
    async fn regrasp(&mut self, side: Side) -> Result<(), Stop> {
        let (Some(intent), Some(active)) = (self.claim.intent(), self.claim.active()) else {
            return Err(Stop::Superseded);
        };
        let claim_age = self.context.clock.now().0.duration_since(active.claimed_at.0).as_secs();
        let identity = match side {
            Side::Old => intent.plan.old_primary.clone(),
            Side::New => intent.plan.new_primary.clone(),
        };
        match side {
            Side::Old => self.old = None,
            Side::New => self.new = None,
        }
        let (hand, view) = match grasp(self.context, &self.access, &identity.name, self.claim.epoch()).await {
            Err(NoHand::Superseded) => return Err(Stop::Superseded),
            Err(NoHand::Lost(why)) => (None, View::Lost(why)),
            Ok(mut hand) => match hand.work.facts().await {
                Err(error) => (None, View::Lost(error.to_string())),
                // Another server under the same name: nothing that is known of the first holds for it.
                Ok(facts) if facts.server_uuid != identity.server_uuid => {
                    (None, View::Lost("another server runs under this name now".to_owned()))
                }
                Ok(facts) => (Some(hand), View::Known(ServerView::seen(&facts, claim_age))),
            },
        };
        match side {
            Side::Old => {
                self.old = hand;
                self.situation.old = view;
                self.situation.frozen = None;
            }
            Side::New => {
                self.new = hand;
                match view {
                    View::Known(view) => {
                        self.situation.packet = Packet::Settled;
                        self.situation.new = View::Known(view);
                    }
                    View::Lost(why) => self.situation.lose_new(why),
                }
            }
        }
        Ok(())
    }

    /// Takes hold of both servers again and reads them, then makes sure that the claim is still ours.
    ///
    /// A lost session may have been ended by a later operator instance that finished since: then nothing that was known of
    /// either server holds any more, and none of its sessions is left to tell. The locks come first: whoever adopts the
    /// claim after it was read ends our sessions before it does anything.
    pub(super) async fn take_hold_again(&mut self) -> Result<(), Stop> {
        self.regrasp(Side::Old).await?;
        self.regrasp(Side::New).await?;
        self.confirm_claim().await
    }

    /// Where the API does not answer, the Lease will do: while it is ours, nobody else acts. Without both, nothing is done
    /// until one of them can be read.
    async fn confirm_claim(&mut self) -> Result<(), Stop> {
        let error = match timeout(CONFIRM_LIMIT, self.claim.refresh(self.context)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(ClaimError::Superseded)) => return Err(Stop::Superseded),
            Ok(Err(ClaimError::Api(error))) => Error::Api(error),
            Ok(Err(ClaimError::Contended)) | Err(_) => Error::Conflict,
        };
        let lead = self.context.settings.lead.as_ref();
        if lead.is_some_and(|lead| lead.borrow().holds(Instant::now())) {
            tracing::warn!(%error, "the claim cannot be read; the Lease is still ours, so that nobody else has it");
            return Ok(());
        }
        tracing::warn!(%error, takeover = %self.report.key(), "neither claim nor Lease tell that this is still ours; waiting");
        Err(Stop::Failed(error))
    }
}
