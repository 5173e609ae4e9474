//! Which worlds are checked, and how a check ends.

use crate::mistake::{Mistake, Promise};
use crate::protocol::{Event, Protocol};
use crate::world::{Budget, Rules};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::BTreeSet;

/// A world to check.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What goes wrong in it, in words.
    pub name: &'static str,
    /// Its rules.
    pub rules: Rules,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Different states.
    pub states: usize,
    /// Length of the longest shortest way to a state.
    pub depth: usize,
    /// Promises that some state breaks, with the shortest way there.
    pub broken: Vec<(Promise, Vec<Event>)>,
    /// What a state was to show, and whether one did.
    pub shown: Vec<(&'static str, bool)>,
}

const NOTHING: Rules = Rules {
    mistake: None,
    freeze_first: false,
    unmarked: false,
    sibling_lags: false,
    writes: 1,
    budget: Budget {
        operator_crashes: 0,
        server_crashes: 0,
        partitions: 0,
        lost_answers: 0,
        adoptions: 1,
        cancels: 0,
        deadlines: 0,
        retries: 0,
    },
};

/// An answer is lost or comes too late, and the second operator adopts at any time: the common ground of most mistakes.
const LOST_ANSWER: Scenario = Scenario {
    name: "an answer is lost",
    rules: Rules { writes: 2, budget: Budget { lost_answers: 1, deadlines: 1, ..NOTHING.budget }, ..NOTHING },
};
const UNMARKED: Scenario = Scenario {
    name: "an answer is lost and sessions carry no marks",
    rules: Rules {
        unmarked: true,
        budget: Budget { lost_answers: 1, deadlines: 1, ..NOTHING.budget },
        ..NOTHING
    },
};
const CUT_OFF: Scenario = Scenario {
    name: "an operator is cut off",
    rules: Rules { budget: Budget { partitions: 1, ..NOTHING.budget }, ..NOTHING },
};
const SERVER_DIES: Scenario = Scenario {
    name: "a server dies",
    rules: Rules { budget: Budget { server_crashes: 1, ..NOTHING.budget }, ..NOTHING },
};
const SERVER_DIES_UNANSWERED: Scenario = Scenario {
    name: "a server dies, an answer is lost, one operator is alone",
    rules: Rules {
        budget: Budget { server_crashes: 1, lost_answers: 1, adoptions: 0, ..NOTHING.budget },
        ..NOTHING
    },
};
const OPERATOR_DIES: Scenario = Scenario {
    name: "an operator dies, an answer is lost, the user cancels, the freeze comes first",
    rules: Rules {
        freeze_first: true,
        budget: Budget { operator_crashes: 1, lost_answers: 1, cancels: 1, ..NOTHING.budget },
        ..NOTHING
    },
};

/// Checked with every change.
pub fn small() -> Vec<Scenario> {
    vec![LOST_ANSWER, UNMARKED, CUT_OFF, SERVER_DIES, SERVER_DIES_UNANSWERED, OPERATOR_DIES]
}

/// Checked by the soak: more than one thing goes wrong, and three epochs.
pub fn large() -> Vec<Scenario> {
    let mut scenarios = small();
    let more = |name, budget| Scenario { name, rules: Rules { budget, ..NOTHING } };
    scenarios.extend([
        more(
            "an operator dies, another is cut off, an answer is lost, the deadline passes",
            Budget { operator_crashes: 1, partitions: 1, lost_answers: 1, deadlines: 1, ..NOTHING.budget },
        ),
        more(
            "a server dies, an operator is cut off, an answer is lost",
            Budget { server_crashes: 1, partitions: 1, lost_answers: 1, ..NOTHING.budget },
        ),
        more(
            "three epochs, an answer is lost, the deadline passes, another takeover follows",
            Budget { adoptions: 2, lost_answers: 1, deadlines: 1, retries: 1, ..NOTHING.budget },
        ),
        more(
            "three epochs, an operator is cut off, the deadline passes",
            Budget { adoptions: 2, partitions: 1, deadlines: 1, ..NOTHING.budget },
        ),
        Scenario {
            name: "the freeze comes first, three epochs, a server dies, the deadline passes",
            rules: Rules {
                freeze_first: true,
                budget: Budget { adoptions: 2, server_crashes: 1, deadlines: 1, ..NOTHING.budget },
                ..NOTHING
            },
        },
        Scenario {
            name: "no marks, three epochs, an operator is cut off, an answer is lost",
            rules: Rules {
                unmarked: true,
                budget: Budget { adoptions: 2, partitions: 1, lost_answers: 1, ..NOTHING.budget },
                ..NOTHING
            },
        },
        Scenario {
            name: "an operator is cut off, the sibling lags, two clients write",
            rules: Rules {
                writes: 2,
                sibling_lags: true,
                budget: Budget { partitions: 1, ..NOTHING.budget },
                ..NOTHING
            },
        },
    ]);
    scenarios
}

/// Where a planted mistake is looked for, and what it breaks.
pub fn planted(mistake: Mistake) -> (Scenario, Promise) {
    let (scenario, promise) = match mistake {
        Mistake::PromoteBeforeFreeze
        | Mistake::IgnoreConflict
        | Mistake::ActUnderOldEpoch
        | Mistake::TimeoutIsFailure
        | Mistake::TrustJournal
        | Mistake::TrustHold => (LOST_ANSWER, Promise::OneWritable),
        Mistake::SkipLock => (UNMARKED, Promise::OneWritable),
        Mistake::ForgetOpen => (SERVER_DIES_UNANSWERED, Promise::NoLostAcknowledgement),
        Mistake::SkipCatchUp | Mistake::ReadOnlyIsEnough => (LOST_ANSWER, Promise::NoLostAcknowledgement),
        Mistake::FreezeBeforeIntent => (LOST_ANSWER, Promise::FrozenImpliesIntent),
        Mistake::KeepEarlierSessions => (LOST_ANSWER, Promise::WritesComeBack),
        Mistake::TrustThaw => (SERVER_DIES, Promise::WritesComeBack),
    };
    (Scenario { rules: Rules { mistake: Some(mistake), ..scenario.rules }, ..scenario }, promise)
}

/// Goes through every state. With `until`, stops as soon as that promise is broken.
pub fn check(scenario: &Scenario, threads: usize, until: Option<Promise>) -> Verdict {
    let finish = match until {
        Some(promise) => HasDiscoveries::AllOf(BTreeSet::from([promise.name()])),
        None => HasDiscoveries::All,
    };
    let checker =
        Protocol::new(scenario.rules).checker().threads(threads).finish_when(finish).spawn_bfs().join();
    let found = checker.discoveries();
    let broken = Promise::ALL
        .into_iter()
        .filter_map(|promise| found.get(promise.name()).map(|path| (promise, path.clone().into_actions())))
        .collect();
    let shown = checker
        .model()
        .properties()
        .into_iter()
        .filter(|property| property.expectation == Expectation::Sometimes)
        .map(|property| (property.name, found.contains_key(property.name)))
        .collect();
    Verdict { states: checker.unique_state_count(), depth: checker.max_depth(), broken, shown }
}
