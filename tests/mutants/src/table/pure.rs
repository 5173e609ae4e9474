//! GTID sets and admission.

use super::{Mutant, unit};

/// The mistakes of this room.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "contain-what-begins-inside",
        breaks: "takes a set that reaches beyond for contained",
        file: "src/topology/gtid/intervals.rs",
        find: "mine.first <= theirs.first && theirs.last <= mine.last",
        replace: "mine.first <= theirs.first",
        test: unit("topology::gtid::tests::errant_transactions_and_gaps"),
    },
    Mutant {
        name: "subtract-one-too-few",
        breaks: "loses sight of one errant transaction",
        file: "src/topology/gtid/intervals.rs",
        find: "last: min(mine.last, cut.first - 1)",
        replace: "last: min(mine.last, cut.first)",
        test: unit("topology::gtid::tests::agrees_with_the_naive_model"),
    },
    Mutant {
        name: "bridge-a-gap",
        breaks: "takes two intervals with one missing between them for one",
        file: "src/topology/gtid/intervals.rs",
        find: "next.first <= before.last.saturating_add(1)",
        replace: "next.first <= before.last.saturating_add(2)",
        test: unit("topology::gtid::tests::reads_and_prints_canonically"),
    },
    Mutant {
        name: "forget-tags",
        breaks: "does not see tagged transactions of a server",
        file: "src/topology/gtid/mod.rs",
        find: "|(origin, _)| origin.uuid == uuid);",
        replace: "|(origin, _)| origin.uuid == uuid && origin.tag.is_empty());",
        test: unit("topology::gtid::tests::counts_and_picks_a_server"),
    },
    Mutant {
        name: "contain-the-unknown-server",
        breaks: "takes the transactions of a server that it does not know for contained",
        file: "src/topology/gtid/mod.rs",
        find: "self.sources.get(origin).is_some_and(|mine| mine.contains(theirs))",
        replace: "self.sources.get(origin).is_none_or(|mine| mine.contains(theirs))",
        test: unit("topology::gtid::tests::errant_transactions_and_gaps"),
    },
    Mutant {
        name: "fire-again",
        breaks: "carries the same manifest out twice",
        file: "src/takeover/admission.rs",
        find: ".find(|record| record.moved && record.name",
        replace: ".find(|record| !record.moved && record.name",
        test: unit("takeover::admission::tests::a_manifest_that_was_carried_out_is_not_carried_out_again"),
    },
    Mutant {
        name: "two-at-a-time",
        breaks: "begins while another takeover holds the cluster",
        file: "src/takeover/admission.rs",
        find: "return Admission::Queued { behind: active.name.clone() };",
        replace: "let _ = &active.name;",
        test: unit("takeover::admission::tests::one_takeover_at_a_time_and_the_older_one_first"),
    },
    Mutant {
        name: "younger-first",
        breaks: "begins before an older takeover that waits",
        file: "src/takeover/admission.rs",
        find: "Some(first) => Admission::Queued { behind: first.clone() },",
        replace: "Some(_) => Admission::Begin,",
        test: unit("takeover::admission::tests::one_takeover_at_a_time_and_the_older_one_first"),
    },
    Mutant {
        name: "ignore-the-precondition",
        breaks: "moves the primary away from another instance than the user named",
        file: "src/takeover/admission.rs",
        find: "(Some(_), Some(old)) if *old != primary => Target::End",
        replace: "(Some(_), Some(old)) if *old != primary && false => Target::End",
        test: unit("takeover::admission::tests::who_hands_over_to_whom"),
    },
    Mutant {
        name: "drop-a-running-one",
        breaks: "ends a takeover that holds the claim because it was cancelled",
        file: "src/takeover/admission.rs",
        find: "if active.is_some_and(|active| active.uid == request.uid) {",
        replace: "if active.is_some_and(|active| active.uid == request.uid) && !request.spec.cancel {",
        test: unit(
            "takeover::admission::tests::what_holds_the_claim_goes_on_whatever_the_user_says_meanwhile",
        ),
    },
    Mutant {
        name: "begin-after-the-deadline",
        breaks: "begins a takeover that nobody waits for any more",
        file: "src/takeover/admission.rs",
        find: "if request.age_seconds > i64::from(request.limits.starting_deadline_seconds) {",
        replace: "if request.age_seconds < 0 {",
        test: unit("takeover::admission::tests::what_is_not_wanted_any_more_never_begins"),
    },
];
