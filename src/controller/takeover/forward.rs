//! Routing, and what follows Open: detach, reattach, verify. From Open on a failure is no reason to go back; what cannot
//! be done now is written down and repaired later.

use super::Stop;
use super::outage::end_stragglers;
use super::run::{Effect, Run, Side};
use crate::api::common::DemotedPrimary;
use crate::api::journal::{Intent, Repair};
use crate::controller::Context;
use crate::controller::access::{Access, AccessError};
use crate::controller::landing::Watchers;
use crate::controller::observe;
use crate::controller::reattach::{reattach, trouble};
use crate::controller::routing::{RouteError, Router};
use crate::kubernetes::Kubernetes;
use crate::mysql::{ServerErrorKind, Servers, Session};
use crate::takeover::situation::Opened;
use crate::takeover::{Outcome, Reason, Routed, ServerView, Step, View};
use crate::topology::{Instance, Primary, ServerFacts, Topology};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Bound on one wait for what the old primary took after the freeze (XA passes it). It is waited for again until the
/// deadline of the takeover: clients write meanwhile, and what the new primary forgets its source without is lost to it.
const LATE_LIMIT: Duration = Duration::from_secs(5);
/// Bound on everybody's following the new primary before an instance is left to be repaired.
const VERIFY_LIMIT: Duration = Duration::from_secs(10);
const VERIFY_PAUSE: Duration = Duration::from_millis(100);

impl<K: Kubernetes, S: Servers> Run<'_, K, S> {
    /// Sends new connections to the new primary. Before Open a failure turns the takeover back; after it, it is tried again.
    pub(super) async fn route(&mut self, intent: &Intent) -> Result<Effect, Stop> {
        let before_open = self.situation.opened(intent) != Opened::Yes;
        if before_open && self.cancel_wanted().await {
            self.situation.cancelled = true;
            return Ok(Effect::Done("cancelled".to_owned()));
        }
        let (old, new) = (&intent.plan.old_primary, &intent.plan.new_primary);
        // Whatever comes of it, a part may have been written.
        self.situation.routed = Routed::Unknown;
        // Not `self.router()`, which would borrow the sessions, too.
        let router = Router { context: self.context, cluster: &self.claim.cluster, access: &self.access };
        let watchers = Watchers {
            old: self.old.as_mut().map(|hand| &mut hand.watch),
            new: self.new.as_mut().map(|hand| &mut hand.watch),
        };
        let sent = router.send_to(&old.name, &new.name, &new.server_uuid, watchers).await;
        match (sent, before_open) {
            (Ok(message), _) => {
                self.situation.routed = Routed::New;
                // Sessions that came before the change may still write to nowhere.
                self.situation.disconnected = false;
                Ok(Effect::Done(message))
            }
            (Err(error), true) => Ok(Effect::Failed(Outcome::new(
                Reason::RouteFailed,
                format!("{error}; routing went back to {}", old.name),
            ))),
            (Err(RouteError::Late(why)), false) => {
                tracing::warn!(why, "routing is written, but was not seen to work");
                self.situation.routed = Routed::New;
                self.situation.disconnected = false;
                Ok(Effect::Done(why))
            }
            (Err(error @ RouteError::Api(_)), false) => Ok(Effect::Again(error.to_string())),
        }
    }

    /// The late check, then the new primary forgets its source. Detaching late lets what slipped through the freeze
    /// (`XA COMMIT`) flow to the new primary instead of becoming errant.
    pub(super) async fn detach(&mut self, intent: &Intent) -> Result<Effect, Stop> {
        self.record_open().await?;
        self.report.try_flush(self.context).await;
        let last_time = self.past_deadline();
        let late = match self.old.as_mut() {
            None => None,
            Some(hand) => hand.watch.executed().await.ok(),
        };
        let Some(hand) = self.new.as_mut() else {
            return Ok(Effect::Lost(Side::New, "no session".to_owned()));
        };
        let mut left_behind = String::new();
        if let Some(late) = &late {
            match hand.watch.wait_until_applied(late, LATE_LIMIT).await {
                Ok(true) => {}
                Ok(false) => {
                    let new_set = match hand.watch.executed().await {
                        Ok(set) => set,
                        Err(error) => return Ok(Effect::Lost(Side::New, error.to_string())),
                    };
                    left_behind = format!(
                        "{} has transactions that did not arrive: {}",
                        intent.plan.old_primary.name,
                        late.subtract(&new_set)
                    );
                    if !last_time {
                        self.report.progress(self.context, Step::Detach.reason(), &left_behind);
                        self.report.try_flush(self.context).await;
                        return Ok(Effect::Again(left_behind));
                    }
                }
                Err(error) => return Ok(Effect::Lost(Side::New, error.to_string())),
            }
        }
        match hand.work.detach().await {
            Ok(()) => {
                self.know_new(|view| view.has_source = false);
                let checked = if late.is_some() {
                    "nothing left behind"
                } else {
                    "the old primary could not be asked once more"
                };
                Ok(Effect::Done(if left_behind.is_empty() {
                    checked.to_owned()
                } else {
                    format!("detached; {left_behind}")
                }))
            }
            Err(error) if error.kind == ServerErrorKind::Refused => Ok(Effect::Again(error.to_string())),
            Err(error) => Ok(Effect::Lost(Side::New, error.to_string())),
        }
    }

    /// Everybody follows the new primary, side by side; role labels and events follow, too.
    pub(super) async fn reattach(&mut self, intent: &Intent) -> Result<Effect, Stop> {
        self.record_open().await?;
        self.report.try_flush(self.context).await;
        self.access = match Access::read(self.context, &self.claim.cluster).await {
            Ok(access) => access,
            Err(AccessError::Api(error)) => return Ok(Effect::Again(error.to_string())),
            Err(AccessError::Unusable { message, .. }) => return Ok(Effect::Again(message)),
        };
        let Some(hand) = self.new.as_mut() else {
            return Ok(Effect::Lost(Side::New, "no session".to_owned()));
        };
        let source = match hand.watch.facts().await {
            Ok(facts) => facts,
            Err(error) => return Ok(Effect::Lost(Side::New, error.to_string())),
        };
        let mut notes = Vec::new();
        if !intent.before.enabled_events.is_empty()
            && let Err(error) = hand.watch.enable_events(&intent.before.enabled_events).await
        {
            notes.push(format!("events not enabled on {}: {}", intent.plan.new_primary.name, error.message));
        }
        // Until role labels move, nobody but clients left behind has a session on the old primary.
        let drained_at = *self.drained_at.get_or_insert_with(Instant::now);
        let (repairs, stragglers) = tokio::join!(
            follow(self.context, &self.access, intent, &source, self.claim.epoch()),
            end_stragglers(self.old.as_mut().map(|hand| &mut hand.watch), drained_at),
        );
        if stragglers > 0 {
            tracing::info!(stragglers, "ended client sessions that came to the old primary late");
        }
        self.repairs = repairs;
        notes.extend(self.repairs.iter().map(|repair| format!("{}: {}", repair.instance, repair.message)));
        if let Err(error) = self.router().label_all(&intent.plan.new_primary.name).await {
            notes.push(format!("role labels not yet set: {error}"));
        }
        self.situation.reattached = true;
        let count = intent.plan.siblings.len() + 1 - self.repairs.len().min(intent.plan.siblings.len() + 1);
        Ok(Effect::Done(if notes.is_empty() {
            format!("{count} instances replicate from {}", intent.plan.new_primary.name)
        } else {
            notes.join("; ")
        }))
    }

    /// Success is told from a fresh look only.
    pub(super) async fn verify(&mut self, intent: &Intent) -> Result<Effect, Stop> {
        self.record_open().await?;
        self.report.try_flush(self.context).await;
        let started = Instant::now();
        let new = &intent.plan.new_primary;
        loop {
            let look = observe::look(self.context, &self.access).await;
            self.take_view(intent, &look.topology);
            let open = look.topology.get(&new.name).and_then(Instance::facts);
            match (look.topology.primary(), open) {
                (Primary::One(primary), Some(source)) if primary == new.name => {
                    let problems = not_following(intent, &look.topology, source);
                    if problems.is_empty() || started.elapsed() > VERIFY_LIMIT {
                        self.repairs = problems;
                        self.situation.verified = true;
                        return Ok(Effect::Done(match self.repairs.len() {
                            0 => format!("{} is the only primary and everybody follows it", new.name),
                            left => format!(
                                "{} is the only primary; {left} instances are left to be repaired",
                                new.name
                            ),
                        }));
                    }
                }
                (Primary::One(_) | Primary::None | Primary::Many(_), _)
                    if started.elapsed() > VERIFY_LIMIT =>
                {
                    return Ok(Effect::Again(format!("{} was not seen as the only primary", new.name)));
                }
                (Primary::Many(_), _) => return Ok(Effect::Again("two instances accept writes".to_owned())),
                (Primary::One(_) | Primary::None, _) => {}
            }
            tokio::time::sleep(VERIFY_PAUSE).await;
        }
    }

    /// What a look saw of the two servers is what is known of them.
    fn take_view(&mut self, intent: &Intent, topology: &Topology) {
        let view = |name: &str, uuid: &str| {
            topology
                .get(name)
                .and_then(Instance::facts)
                .filter(|facts| facts.server_uuid == uuid)
                .map(|facts| ServerView::seen(facts, 0))
        };
        if let Some(view) = view(&intent.plan.old_primary.name, &intent.plan.old_primary.server_uuid) {
            self.situation.old = View::Known(view);
        }
        if let Some(view) = view(&intent.plan.new_primary.name, &intent.plan.new_primary.server_uuid) {
            self.situation.new = View::Known(view);
        }
    }
}

/// Tells every other instance to replicate from the new primary; returns those that could not be told.
async fn follow<K: Kubernetes, S: Servers>(
    context: &Context<K, S>,
    access: &Access,
    intent: &Intent,
    source: &ServerFacts,
    epoch: i64,
) -> Vec<Repair> {
    let new = &intent.plan.new_primary.name;
    let start_old = intent.plan.demoted_primary == DemotedPrimary::StartReplication;
    let followers = intent
        .plan
        .siblings
        .iter()
        .map(|sibling| (&sibling.name, true))
        .chain([(&intent.plan.old_primary.name, start_old)]);
    let told = join_all(followers.map(|(name, start)| async move {
        reattach(context, access, name, new, source, start, epoch).await.err().map(|message| Repair {
            instance: name.clone(),
            source: new.clone(),
            start,
            message: crate::api::conditions::bounded(&message),
        })
    }))
    .await;
    told.into_iter().flatten().collect()
}

/// Which instances do not follow the new primary as they should, from a fresh look.
fn not_following(intent: &Intent, topology: &Topology, source: &ServerFacts) -> Vec<Repair> {
    let start_old = intent.plan.demoted_primary == DemotedPrimary::StartReplication;
    let expected = intent
        .plan
        .siblings
        .iter()
        .map(|sibling| (&sibling.name, true))
        .chain([(&intent.plan.old_primary.name, start_old)]);
    expected
        .filter_map(|(name, start)| {
            let message = match topology.get(name) {
                None => "its Pod is gone".to_owned(),
                Some(instance) => match &instance.seen {
                    crate::topology::Seen::Facts(facts) => trouble(facts, source, start)?,
                    crate::topology::Seen::Unreachable(why) | crate::topology::Seen::AccessDenied(why) => {
                        why.clone()
                    }
                },
            };
            let message = crate::api::conditions::bounded(&message);
            Some(Repair {
                instance: name.clone(),
                source: intent.plan.new_primary.name.clone(),
                start,
                message,
            })
        })
        .collect()
}
