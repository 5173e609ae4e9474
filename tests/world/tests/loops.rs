//! Every kind of fault at every call that a takeover makes, without a list of either: a new step, call or fault is covered by itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use mysql_takeover::takeover::Step;
use std::collections::BTreeSet;
use world::explore::{everywhere, explore, name, random};
use world::store::TRANSITIONS;
use world::{Fault, Figures, Scenario, Variant, run};

fn all(faults: &[Fault]) -> Figures {
    let scenarios: Vec<Scenario> =
        Variant::ALL.into_iter().flat_map(|variant| everywhere(variant, faults).unwrap()).collect();
    assert!(scenarios.len() > 100, "{} scenarios", scenarios.len());
    let figures = explore(&scenarios);
    assert!(figures.acknowledged > 0);
    assert!(
        figures.failures.is_empty(),
        "{} of {} runs: {:#?}",
        figures.failures.len(),
        figures.runs,
        figures.failures
    );
    figures
}

#[test]
fn every_kind_of_takeover_ends_as_it_should() {
    for variant in Variant::ALL {
        let outcome = run(&Scenario { variant, faults: Vec::new() }).unwrap();
        assert!(outcome.violations.is_empty(), "{variant:?}: {:?}", outcome.violations);
        let expected = match variant {
            Variant::Plain | Variant::FreezeFirst | Variant::ChosenLeftStopped | Variant::Labels => {
                "Promoted"
            }
            Variant::Undone | Variant::UndoneFreezeFirst => "CatchUpDeadlineExceeded",
        };
        assert_eq!(outcome.reason.as_deref(), Some(expected), "{variant:?}");
        let wanted: BTreeSet<&str> = Step::ALL.into_iter().map(Step::name).collect();
        if expected == "Promoted" {
            assert_eq!(
                outcome.steps.iter().map(String::as_str).collect::<BTreeSet<_>>(),
                wanted,
                "{variant:?}"
            );
        }
    }
}

#[test]
fn the_same_scenario_gives_the_same_run() {
    for seed in [1, 2, 3] {
        let told = || {
            let outcome = run(&random(seed)).unwrap();
            let calls: Vec<String> = outcome
                .calls
                .iter()
                .map(|call| format!("{:?} {} {}", call.at, call.operator, call.what))
                .collect();
            (calls, outcome.acknowledged, outcome.violations)
        };
        assert_eq!(told(), told(), "seed {seed}");
    }
}

#[test]
fn every_call_crashes_or_is_cancelled_and_every_transition_of_the_journal_is_seen() {
    let figures = all(&[Fault::CrashBefore, Fault::CrashAfter, Fault::Cancelled]);
    let seen: Vec<&str> = figures.transitions.iter().copied().collect();
    assert_eq!(seen, TRANSITIONS, "every transition of the journal, and no other");
}

#[test]
fn every_call_is_refused() {
    all(&[Fault::Refused]);
}

#[test]
fn every_answer_is_lost() {
    all(&[Fault::ReplyLost]);
}

#[test]
fn every_effect_comes_twice() {
    all(&[Fault::Twice]);
}

#[test]
fn every_effect_comes_after_the_caller_gave_up() {
    all(&[Fault::Late]);
}

#[test]
fn every_call_finds_another_operator_at_work() {
    all(&[Fault::PauseBefore, Fault::PauseAfter, Fault::StolenLease]);
}

#[test]
fn the_api_is_gone_or_overtaken_at_every_call() {
    all(&[Fault::ApiGone, Fault::Conflict]);
}

#[test]
fn the_user_changes_his_mind_at_every_call() {
    all(&[Fault::Deleted, Fault::DeletedByForce, Fault::ClusterDeleted]);
}

#[test]
fn what_slips_through_the_freeze_reaches_the_new_primary_however_long_replication_is_away() {
    let mut slipped = 0;
    for variant in Variant::ALL {
        for scenario in everywhere(variant, &[Fault::SlipsThrough]).unwrap() {
            let call = scenario.faults[0].call;
            for cut in [None, Some(Fault::ReplicationCut(0))] {
                let cut = cut.map(|fault| world::Planned { call, fault });
                let scenario =
                    Scenario { variant, faults: scenario.faults.iter().copied().chain(cut).collect() };
                let outcome = run(&scenario).unwrap();
                assert!(outcome.violations.is_empty(), "{}: {:?}", name(&scenario), outcome.violations);
                slipped += usize::from(outcome.slipped);
            }
        }
    }
    assert!(slipped > 10, "{slipped} scenarios in which something slipped through");
}

#[test]
fn every_server_fails_at_every_call() {
    let servers = Fault::all().into_iter().filter(|fault| match fault {
        Fault::ServerCrash(_)
        | Fault::OperatorCut(_)
        | Fault::ReplicationCut(_)
        | Fault::ApplierStalls(_)
        | Fault::PodReplaced(_)
        | Fault::LockHeld => true,
        Fault::CrashBefore
        | Fault::CrashAfter
        | Fault::PauseBefore
        | Fault::PauseAfter
        | Fault::StolenLease
        | Fault::Refused
        | Fault::ReplyLost
        | Fault::Late
        | Fault::Twice
        | Fault::ApiGone
        | Fault::Cancelled
        | Fault::Deleted
        | Fault::DeletedByForce
        | Fault::ClusterDeleted
        | Fault::SlipsThrough
        | Fault::Conflict => false,
    });
    let servers: Vec<Fault> = servers.collect();
    // One kind of takeover forward and one back; `make soak` takes all of them.
    for variant in [Variant::Plain, Variant::Undone] {
        let figures = explore(&everywhere(variant, &servers).unwrap());
        assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
    }
}

#[test]
fn several_faults_come_together() {
    let scenarios: Vec<Scenario> = (1..=1500).map(random).collect();
    let figures = explore(&scenarios);
    assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
}

/// The name of a call, how many of that name came before it, and what goes wrong there.
type Moment = (&'static str, usize, Fault);

/// Scenarios that once broke something. Moments go by the name of a call: its number moves with every change of the driver.
#[test]
fn what_was_found_stays_mended() {
    let found: [(Variant, &[Moment]); 7] = [
        // Woken after another instance had moved the primary and finished, an operator went on where it had stood: it gave the
        // new primary a source, or thawed the old one beside it.
        (Variant::Undone, &[("write the cluster", 1, Fault::PauseAfter)]),
        (Variant::Undone, &[("read read_only of orders-db-1", 0, Fault::PauseBefore)]),
        (Variant::UndoneFreezeFirst, &[("write the cluster", 1, Fault::PauseAfter)]),
        (Variant::UndoneFreezeFirst, &[("read read_only of orders-db-1", 0, Fault::PauseBefore)]),
        // A cluster that was deleted took the journal along.
        (Variant::Undone, &[("write the cluster", 1, Fault::ClusterDeleted)]),
        // Woken, it wrote its progress over the end that the other instance had told.
        (Variant::Plain, &[("publish an Event", 0, Fault::PauseBefore)]),
        // Woken, it found the cluster applied anew, without a history, and carried the takeover out that had ended.
        (
            Variant::Labels,
            &[
                ("read a Secret", 1, Fault::OperatorCut(1)),
                ("list the Pods", 1, Fault::StolenLease),
                ("read the cluster", 4, Fault::PauseBefore),
                ("write the cluster", 2, Fault::ClusterDeleted),
            ],
        ),
    ];
    for (variant, moments) in found {
        let mut faults = Vec::new();
        for (what, earlier, fault) in moments {
            let calls = run(&Scenario { variant, faults: faults.clone() }).unwrap().calls;
            let named = calls.iter().enumerate().filter(|(_, call)| call.what == *what);
            let call = named.map(|(number, _)| number).nth(*earlier).unwrap();
            faults.push(world::Planned { call, fault: *fault });
        }
        let scenario = Scenario { variant, faults };
        let outcome = run(&scenario).unwrap();
        assert!(outcome.violations.is_empty(), "{}: {:?}", name(&scenario), outcome.violations);
    }
}
