//! One run: a takeover in the world, with faults, to its end.

use crate::check::at_rest;
use crate::clients::Client;
use crate::fault::Planned;
use crate::operator;
use crate::server::{holds, past};
use crate::state::{Call, State, World};
use crate::store::Store;
use mysql_takeover::api::MasterTakeover;
use mysql_takeover::api::journal::ReadOnly;
use mysql_takeover::controller::takeover::end;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How long a server that crashed is away.
const DOWN: Duration = Duration::from_secs(5);
/// How long nobody can write, with no takeover under way, before a person opens a server again.
const PERSON_COMES: Duration = Duration::from_secs(10);
/// How long everything may take to come to rest after the last fault ended.
const REST: Duration = Duration::from_mins(2);
/// Calls of operators after which something runs in a tight loop.
const CALLS: usize = 20_000;

/// The kind of takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// To a named instance, routing first.
    Plain,
    /// Freeze before routing.
    FreezeFirst,
    /// From a named instance to the best candidate; the demoted primary is left stopped.
    ChosenLeftStopped,
    /// Services of somebody else select by role label.
    Labels,
    /// The applier of the new primary stops at the freeze, so that everything is undone.
    Undone,
    /// The same, freeze before routing.
    UndoneFreezeFirst,
}

impl Variant {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::FreezeFirst,
        Self::ChosenLeftStopped,
        Self::Labels,
        Self::Undone,
        Self::UndoneFreezeFirst,
    ];

    fn cluster(self) -> serde_json::Value {
        match self {
            Self::Plain | Self::ChosenLeftStopped | Self::Undone => json!({}),
            Self::FreezeFirst | Self::UndoneFreezeFirst => json!({"routing": {"order": "FreezeFirst"}}),
            Self::Labels => json!({"routing": {"services": {"manage": "Observe"}}}),
        }
    }

    fn takeover(self) -> serde_json::Value {
        match self {
            Self::Plain | Self::FreezeFirst | Self::Labels | Self::Undone | Self::UndoneFreezeFirst => {
                json!({"newPrimary": "orders-db-1"})
            }
            Self::ChosenLeftStopped => json!({"oldPrimary": "orders-db-0", "demotedPrimary": "LeaveStopped"}),
        }
    }

    fn stalls(self) -> bool {
        match self {
            Self::Undone | Self::UndoneFreezeFirst => true,
            Self::Plain | Self::FreezeFirst | Self::ChosenLeftStopped | Self::Labels => false,
        }
    }

    /// The demoted primary is left stopped.
    pub fn leaves_stopped(self) -> bool {
        self == Self::ChosenLeftStopped
    }
}

/// What is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The kind of takeover.
    pub variant: Variant,
    /// What goes wrong.
    pub faults: Vec<Planned>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Reason with which the takeover ended; absent where its resource was deleted.
    pub reason: Option<String>,
    /// What must not be, and was.
    pub violations: Vec<String>,
    /// Every call of an operator.
    pub calls: Vec<Call>,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Longest time without an acknowledgement.
    pub longest_gap: Duration,
    /// Transitions of the journal.
    pub transitions: BTreeSet<&'static str>,
    /// A person had to open a server.
    pub helped: bool,
    /// Something slipped through the freeze.
    pub slipped: bool,
    /// Steps that the takeover's status tells of.
    pub steps: Vec<String>,
}

/// Runs a scenario in virtual time. The same scenario gives the same outcome.
pub fn run(scenario: &Scenario) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(play(scenario))
}

async fn play(scenario: &Scenario) -> anyhow::Result<Outcome> {
    let variant = scenario.variant;
    let world = World::new(Store::new(&variant.cluster())?, scenario.faults.clone());
    {
        let mut state = world.lock();
        if variant == Variant::Labels {
            state.store.serve_by_labels();
        }
        state.stall_at_freeze = variant.stalls().then_some(1);
    }
    operator::start(&world);
    for (number, client) in (1_u64..).zip(Client::ALL) {
        tokio::spawn(client.write(world.clone(), Duration::from_millis(number * 13)));
    }
    // Virtual time, which costs nothing: once the cluster was looked at (every 5 s), its Services lead to the primary.
    tokio::time::sleep(Duration::from_secs(7)).await;
    {
        let mut state = world.lock();
        let now = operator::now(state.began);
        state.store.apply("move", &variant.takeover(), now)?;
        state.counting = true;
    }
    let mut person = Person { helped: false, dry_since: None };
    let wrong = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        start_successors(&world);
        let mut state = world.lock();
        bring_back(&mut state);
        state.store.apply_cluster_anew();
        person.look(&mut state);
        let violated = !state.violations.is_empty() || !state.store.illegal.is_empty();
        if violated || state.calls.len() > CALLS {
            if state.calls.len() > CALLS {
                state.violate("an operator runs in a tight loop".to_owned());
            }
            break Vec::new();
        }
        if Instant::now() < state.quiet_from || !all_ended(&state) && Instant::now() < state.quiet_from + REST
        {
            continue;
        }
        let wrong = at_rest(&state, variant);
        if wrong.is_empty() || Instant::now() > state.quiet_from + REST {
            break wrong;
        }
    };
    let mut state = world.lock();
    for what in wrong {
        state.violate(format!("at rest: {what}"));
    }
    for what in state.store.illegal.clone() {
        state.violate(format!("journal: {what}"));
    }
    if person.helped && !scenario.faults.iter().any(|planned| planned.fault.takes_a_server()) {
        state.violate("a person had to open a server".to_owned());
    }
    for process in &state.operators {
        process.dead.cancel();
    }
    Ok(Outcome {
        reason: state.store.takeovers.get("move").and_then(end).map(ToOwned::to_owned),
        violations: state.violations.clone(),
        calls: state.calls.clone(),
        acknowledged: state.writes,
        longest_gap: state.longest_gap,
        transitions: state.store.transitions.clone(),
        helped: person.helped,
        slipped: state.slipped.is_some(),
        steps: state.store.takeovers.get("move").map(steps).unwrap_or_default(),
    })
}

fn steps(takeover: &MasterTakeover) -> Vec<String> {
    let steps = takeover.status.as_ref().map(|status| status.steps.as_slice()).unwrap_or_default();
    steps.iter().map(|step| step.name.clone()).collect()
}

fn all_ended(state: &State) -> bool {
    let claimed = state.store.cluster.status.as_ref().is_some_and(|status| status.active_takeover.is_some());
    !claimed && state.store.takeovers.values().all(|takeover| end(takeover).is_some())
}

fn start_successors(world: &World) {
    let due = {
        let mut state = world.lock();
        let before = state.successors.len();
        state.successors.retain(|at| *at > Instant::now());
        before - state.successors.len()
    };
    for _ in 0..due {
        operator::start(world);
    }
}

fn bring_back(state: &mut State) {
    let back: Vec<usize> = state
        .servers
        .iter()
        .filter(|server| !server.up && server.started.elapsed() > DOWN)
        .map(|server| server.number)
        .collect();
    for number in back {
        state.boot(number);
    }
}

/// The person on call: a primary that crashed boots read-only, and outside a takeover nobody but a person opens it.
struct Person {
    helped: bool,
    dry_since: Option<Instant>,
}

impl Person {
    fn look(&mut self, state: &mut State) {
        let status = state.store.cluster.status.as_ref();
        let changing = status
            .and_then(|status| status.active_takeover.as_ref())
            .is_some_and(|active| active.intent.is_some());
        let dry = !changing
            && state
                .servers
                .iter()
                .all(|server| server.up && past(server.replication_cut_until) && past(server.stalled_until))
            && !state.servers.iter().any(crate::server::Server::writable);
        if !dry {
            self.dry_since = None;
            return;
        }
        if self.dry_since.get_or_insert_with(Instant::now).elapsed() < PERSON_COMES {
            return;
        }
        // Whoever holds everything; of those, the one that others replicate from.
        let complete = |server: &&crate::server::Server| holds(&server.executed, &state.acknowledged);
        let chosen = state.servers.iter().filter(complete).min_by_key(|server| server.link.is_some());
        if let Some(number) = chosen.map(|server| server.number) {
            self.helped = true;
            state.set_read_only(number, ReadOnly::Off);
        }
    }
}
