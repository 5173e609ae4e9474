//! What must be so once everything has come to rest: the invariants of the end.

use crate::scenario::Variant;
use crate::server::{holds, past};
use crate::state::State;
use crate::store::CANARY;
use mysql_takeover::api::conditions;
use mysql_takeover::api::is_held;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::controller::takeover::end;
use std::time::Duration;

/// Clients write again within this time after everything has come to rest.
const WRITES_FLOW: Duration = Duration::from_secs(1);

/// What is not as it must be.
pub fn at_rest(state: &State, variant: Variant) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let status = state.store.cluster.status.clone().unwrap_or_default();
    must(status.active_takeover.is_none(), "the claim is not released");
    for (name, takeover) in &state.store.takeovers {
        must(end(takeover).is_some_and(|reason| !reason.is_empty()), &format!("takeover {name} did not end"));
        let held = takeover.metadata.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
        must(!held, &format!("takeover {name} keeps its finalizer"));
        must(
            takeover.metadata.deletion_timestamp.is_none(),
            &format!("takeover {name} is deleted and still there"),
        );
    }
    must(!is_held(&state.store.cluster), "the cluster keeps its finalizer");
    must(state.store.cluster.metadata.deletion_timestamp.is_none(), "the cluster is deleted and still there");
    let history = state.store.history();
    for takeover in state.store.takeovers.values() {
        let told = takeover.status.as_ref().is_some_and(|status| {
            conditions::find(&status.conditions, conditions::ROLLED_BACK)
                .is_some_and(|condition| condition.status == "True")
        });
        let record = history.iter().find(|record| Some(&record.uid) == takeover.metadata.uid.as_ref());
        must(told == record.is_some_and(|record| record.rolled_back), "`RolledBack` is not as it was");
    }
    let records = |uid: &str| history.iter().filter(|record| record.uid == uid).count();
    must(history.iter().all(|record| records(&record.uid) == 1), "a takeover is in the history twice");
    must(state.servers.iter().all(|server| server.up), "a server is down");
    must(state.locked().is_empty(), &format!("locks are left: {:?}", state.locked()));

    let writable: Vec<usize> =
        state.servers.iter().filter(|server| server.writable()).map(|server| server.number).collect();
    match (writable.as_slice(), state.servers.iter().find(|server| server.writable())) {
        ([primary], Some(server)) => {
            must(server.read_only == ReadOnly::Off, "the primary is half open");
            must(holds(&server.executed, &state.acknowledged), "an acknowledged write is not on the primary");
            must(server.link.is_none(), "the primary has a source");
            must(
                state.landing() == Some(*primary),
                &format!("the Service leads to {:?}, not to {primary}", state.landing()),
            );
            must(state.store.routed().eq([*primary]), "the Service leads to more than the primary");
            must(state.last_write.elapsed() < WRITES_FLOW, "nobody can write");
            must(status.repairs.is_empty(), "repairs are left");
            let moved = history.first().is_some_and(|record| record.moved);
            for other in state.servers.iter().filter(|other| other.number != *primary) {
                must(
                    holds(&server.executed, &other.executed),
                    &format!("server {} holds what the primary lacks", other.number),
                );
                // What was to be repaired is forgotten with the cluster that said so; the takeover's status tells it.
                let name = format!("orders-db-{}", other.number);
                let forgotten = state
                    .store
                    .remembered
                    .iter()
                    .any(|record| record.degraded.iter().any(|repair| repair.instance == name));
                let stopped = moved && variant.leaves_stopped() && other.number == 0;
                let follows = other.link.as_ref().is_some_and(|link| {
                    link.source == *primary
                        && (stopped || (link.receiver && link.applier && past(other.stalled_until)))
                });
                must(follows || forgotten, &format!("server {} does not follow the primary", other.number));
            }
            let promoted = history.first().filter(|record| record.reason == "Promoted");
            let named = promoted.and_then(|record| record.new_primary.clone());
            must(
                named.is_none_or(|named| named == format!("orders-db-{primary}")),
                "the history names another primary",
            );
        }
        (others, _) => must(false, &format!("servers {others:?} accept writes")),
    }
    let told = serde_json::to_string(&(&state.store.cluster, &state.store.takeovers, &state.store.events));
    must(told.is_ok_and(|told| !told.contains(CANARY)), "a password shows in the API");
    wrong
}
