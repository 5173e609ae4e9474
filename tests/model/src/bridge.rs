//! From the compact state to the values that the real `decide` takes, so that it is our code that is checked and not a copy.

use crate::parties::{Pair, Side};
use crate::sets::{NEW_UUID, OLD_UUID, Transactions};
use crate::world::{Mode, Operator, Route, Rules, Seen, Way};
use mysql_takeover::api::Timestamp;
use mysql_takeover::api::common::{DemotedPrimary, LongTransactionPolicy, ReplicaPolicy, RoutingOrder};
use mysql_takeover::api::journal::{
    ActiveTakeover, Direction, Failure, Identity, Intent, Plan, PreImage, ReadOnly,
};
use mysql_takeover::takeover::situation::Opened;
use mysql_takeover::takeover::{
    Decision, Outcome, Packet, Reason, Routed, ServerView, Situation, View, decide,
};
use mysql_takeover::topology::GtidSet;
use std::collections::BTreeMap;

/// Values that are the same for every state.
#[derive(Clone, Debug)]
pub struct Bridge {
    intent: Intent,
    forward: ActiveTakeover,
    unwind: ActiveTakeover,
    sets: Vec<GtidSet>,
    own: Pair<Vec<GtidSet>>,
}

impl Bridge {
    /// For a set of rules.
    pub fn new(rules: &Rules) -> Self {
        let sets: Vec<GtidSet> = Transactions::all().map(Transactions::gtid_set).collect();
        let own = |uuid: &str| sets.iter().map(|set| set.of_server(uuid)).collect();
        let own = Pair(own(OLD_UUID), own(NEW_UUID));
        Self {
            intent: intent(rules),
            forward: active(Direction::Forward),
            unwind: active(Direction::Unwind),
            sets,
            own,
        }
    }

    /// What the real `decide` says. `None`: the operator holds no claim with an intent.
    pub fn decide(&self, operator: &Operator, late: bool) -> Option<Decision> {
        let journal = operator.journal.filter(|journal| journal.intent)?;
        let active = match journal.way {
            Way::Forward => &self.forward,
            Way::Unwind => &self.unwind,
        };
        Some(decide(active, &self.intent, &self.situation(operator), late))
    }

    /// Whether the operator takes the new primary for open.
    pub fn takes_for_open(&self, operator: &Operator) -> bool {
        self.situation(operator).opened(&self.intent) == Opened::Yes
    }

    /// Whether the operator has seen the new primary open by now, after the real `remember_open`.
    pub fn remembers_open(&self, operator: &Operator) -> bool {
        let mut situation = self.situation(operator);
        situation.remember_open(&self.intent);
        situation.seen_open
    }

    /// Whether a packet 2 may still be on its way, after the real `settle`.
    pub fn settled(&self, operator: &Operator) -> bool {
        let mut situation = self.situation(operator);
        situation.settle();
        situation.packet == Packet::Settled
    }

    fn situation(&self, operator: &Operator) -> Situation {
        let failed = || Outcome::new(Reason::OpenFailed, "failed");
        Situation {
            old: self.view(operator, Side::Old),
            new: self.view(operator, Side::New),
            packet: if operator.loose { Packet::Loose } else { Packet::Settled },
            routed: match operator.route {
                Route::Old => Routed::Old,
                Route::New => Routed::New,
                Route::Unknown => Routed::Unknown,
            },
            frozen: operator.frozen.and_then(|set| self.sets.get(set.place()).cloned()),
            disconnected: operator.disconnected,
            recorded_open: operator.recorded_open,
            seen_open: operator.seen_open,
            reattached: operator.reattached,
            verified: operator.verified,
            failure: operator.failed.then(failed),
            cancelled: operator.cancelled,
        }
    }

    fn view(&self, operator: &Operator, side: Side) -> View {
        match *operator.seen.at(side) {
            Seen::Lost => View::Lost("not reached".to_owned()),
            Seen::Known { mode, executed, has_source, since_claim } => View::Known(ServerView {
                read_only: match mode {
                    Mode::Open => ReadOnly::Off,
                    Mode::ReadOnly => ReadOnly::ReadOnly,
                    Mode::Shut => ReadOnly::SuperReadOnly,
                },
                executed: self.sets.get(executed.place()).cloned().unwrap_or_default(),
                own: self.own.at(side).get(executed.place()).cloned().unwrap_or_default(),
                has_source,
                since_claim,
            }),
        }
    }
}

fn time() -> Timestamp {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(jiff::Timestamp::UNIX_EPOCH)
}

fn identity(name: &str, uuid: &str) -> Identity {
    Identity { name: name.to_owned(), pod_uid: format!("uid-{name}"), server_uuid: uuid.to_owned() }
}

fn intent(rules: &Rules) -> Intent {
    Intent {
        plan: Plan {
            old_primary: identity("db-0", OLD_UUID),
            new_primary: identity("db-1", NEW_UUID),
            siblings: vec![identity("db-2", "00000000-0000-0000-0000-00000000000c")],
            target_reason: "RequestedByName".to_owned(),
            demoted_primary: DemotedPrimary::StartReplication,
            replica_policy: ReplicaPolicy::RequireAll,
            long_transaction_policy: LongTransactionPolicy::Fail,
            catch_up_deadline_seconds: 10,
            order: if rules.freeze_first { RoutingOrder::FreezeFirst } else { RoutingOrder::RouteFirst },
        },
        before: PreImage {
            old_read_only: ReadOnly::Off,
            new_read_only: ReadOnly::SuperReadOnly,
            new_own_transactions: String::new(),
            service_selector: None,
            role_labels: BTreeMap::new(),
            enabled_events: Vec::new(),
        },
        deadline: time(),
    }
}

/// `decide` looks at the direction and the recorded cause; who holds it under which epoch is the driver's business.
fn active(direction: Direction) -> ActiveTakeover {
    ActiveTakeover {
        name: "to-db-1".to_owned(),
        uid: "uid".to_owned(),
        spec_hash: "hash".to_owned(),
        epoch: 1,
        holder: "first".to_owned(),
        claimed_at: time(),
        direction,
        failure: (direction == Direction::Unwind)
            .then(|| Failure { reason: "OpenFailed".to_owned(), message: "failed".to_owned() }),
        intent: None,
        opened: None,
    }
}
