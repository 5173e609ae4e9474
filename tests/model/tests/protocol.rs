//! The small model: the protocol keeps its promises in every state, and a protocol with a known mistake does not.

use model::mistake::Mistake;
use model::scenario::{check, planted, small};
use std::collections::BTreeMap;

#[test]
fn every_promise_is_kept_in_every_state_and_every_decision_is_reached() {
    let mut shown: BTreeMap<&'static str, bool> = BTreeMap::new();
    let mut states = 0;
    for scenario in small() {
        let verdict = check(&scenario, 1, None);
        assert!(verdict.broken.is_empty(), "{}: {:?}", scenario.name, verdict.broken);
        states += verdict.states;
        for (name, seen) in verdict.shown {
            *shown.entry(name).or_default() |= seen;
        }
    }
    let missed: Vec<_> = shown.iter().filter(|(_, seen)| !**seen).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    // A model that shrinks unnoticed proves nothing.
    assert!(states > 300_000, "{states} states");
}

#[test]
fn every_planted_mistake_is_found() {
    for mistake in Mistake::ALL {
        let (scenario, promise) = planted(mistake);
        let verdict = check(&scenario, 1, Some(promise));
        let found = verdict.broken.iter().any(|(broken, _)| *broken == promise);
        assert!(found, "{mistake:?} does not break {} in: {}", promise.name(), scenario.name);
    }
}
