//! Who may act: claim, epoch, locks, and what follows from losing them.

use super::{Mutant, program, simulated, unit};

/// The mistakes of this room.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "ignore-a-conflict",
        breaks: "takes a status write that was overtaken for done",
        file: "src/controller/claim.rs",
        find: "Commit::Conflict => context.metrics.commit_conflict(),",
        replace: "Commit::Conflict => return Ok(cluster),",
        test: program("claim", "writes_at_the_same_time_do_not_overwrite_each_other"),
    },
    Mutant {
        name: "write-under-any-epoch",
        breaks: "writes to the journal although another instance has adopted the claim",
        file: "src/controller/claim.rs",
        find: "Some(active) if active.uid == uid && active.epoch == epoch => {}",
        replace: "Some(active) if active.uid == uid && active.epoch >= epoch => {}",
        test: program("claim", "whoever_was_overtaken_writes_nothing_more"),
    },
    Mutant {
        name: "claim-what-another-holds",
        breaks: "takes the claim of another takeover",
        file: "src/controller/claim.rs",
        find: "Some(_) => return Change::Superseded,\n                None => {}",
        replace: "Some(_) | None => {}",
        test: program("claim", "one_takeover_holds_a_cluster_under_an_epoch_that_rises"),
    },
    Mutant {
        name: "claim-again-what-has-ended",
        breaks: "claims a cluster once more for a takeover that another instance has carried to its end",
        file: "src/controller/claim.rs",
        find: "if status.takeover_history.iter().any(|record| record.uid == uid) {",
        replace: "if false {",
        test: program("claim", "neither_what_has_ended_nor_a_cluster_that_may_go_is_claimed"),
    },
    Mutant {
        name: "claim-what-may-go",
        breaks: "claims a cluster that does not carry the finalizer, or is being deleted",
        file: "src/controller/claim.rs",
        find: "if cluster.metadata.deletion_timestamp.is_some() || !is_held(cluster) {",
        replace: "if false {",
        test: program("claim", "neither_what_has_ended_nor_a_cluster_that_may_go_is_claimed"),
    },
    Mutant {
        name: "thaw-without-the-claim",
        breaks: "thaws on a new session without looking whether the takeover is still its own",
        file: "src/controller/takeover/again.rs",
        find: "self.confirm_claim().await\n    }",
        replace: "Ok(())\n    }",
        test: simulated("what_was_found_stays_mended"),
    },
    Mutant {
        name: "adopt-under-the-same-epoch",
        breaks: "adopts a takeover without a higher epoch",
        file: "src/controller/claim.rs",
        find: "status.takeover_epoch = status.takeover_epoch.max(active.epoch) + 1;",
        replace: "status.takeover_epoch = status.takeover_epoch.max(active.epoch);",
        test: program("claim", "one_takeover_holds_a_cluster_under_an_epoch_that_rises"),
    },
    Mutant {
        name: "thaw-under-a-lower-epoch",
        breaks: "takes hold of a server, to open it, although a later epoch is at work there",
        file: "src/controller/takeover/hands.rs",
        find: "if others.iter().any(|session| session.epoch > epoch) {",
        replace: "if others.iter().any(|session| session.epoch > epoch && session.epoch < 0) {",
        test: program("takeover_hands", "a_lower_epoch_sends_nothing_and_a_higher_one_ends_what_it_sent"),
    },
    Mutant {
        name: "leave-earlier-sessions",
        breaks: "lets what an earlier operator sent take effect later",
        file: "src/controller/takeover/hands.rs",
        find: "end_sessions(&mut watch, &others).await",
        replace: "end_sessions(&mut watch, &[]).await",
        test: program("takeover_hands", "a_lower_epoch_sends_nothing_and_a_higher_one_ends_what_it_sent"),
    },
    Mutant {
        name: "woken-and-sure-of-itself",
        breaks: "acts after it stood still without looking whether the claim is still its own",
        file: "src/controller/takeover/again.rs",
        find: r"        self.confirm_claim().await
",
        replace: r"        Ok(())
",
        test: program("takeover_failures", "an_operator_that_is_stopped_and_woken_opens_nothing"),
    },
    Mutant {
        name: "forget-the-cancellation-on-the-way",
        breaks: "goes on after a restart although the takeover was cancelled meanwhile",
        file: "src/controller/takeover/run.rs",
        find: "run.report.takeover.spec.cancel || run.report",
        replace: "run.report.takeover.spec.suspend && run.report",
        test: program("takeover_failures", "an_operator_that_is_stopped_and_woken_opens_nothing"),
    },
    Mutant {
        name: "forget-the-finalizer",
        breaks: "lets a claimed takeover be deleted before it is undone",
        file: "src/controller/takeover/begin.rs",
        find: "set_finalizer(&report.takeover, true)",
        replace: "set_finalizer(&report.takeover, false)",
        test: program("takeover", "a_claimed_takeover_is_not_deleted_before_it_is_undone"),
    },
    Mutant {
        name: "let-a-claimed-cluster-go",
        breaks: "lets a deleted cluster go, and its journal with it, before its takeover has ended",
        file: "src/controller/cluster/hold.rs",
        find: "if claimed || !is_held(&cluster)",
        replace: "if !is_held(&cluster)",
        test: simulated("what_was_found_stays_mended"),
    },
    Mutant {
        name: "skip-the-proof-of-catching-up",
        breaks: "freezes without proof that the new primary keeps up",
        file: "src/controller/takeover/prepare.rs",
        find: r"                Ok((true, took))
                    if took <= short_enough(first.elapsed(), self.limits.catch_up_deadline_seconds) =>
",
        replace: r"                Ok((_, took)) =>
",
        test: program(
            "takeover_failures",
            "a_target_that_stops_applying_after_the_proof_costs_no_more_than_the_budget",
        ),
    },
    Mutant {
        name: "detach-without-what-slipped-through",
        breaks: "detaches after a while although the new primary lacks what the frozen old one took all the same",
        file: "src/controller/takeover/forward.rs",
        find: "if !last_time {",
        replace: "if false {",
        test: simulated(
            "what_slips_through_the_freeze_reaches_the_new_primary_however_long_replication_is_away",
        ),
    },
    Mutant {
        name: "take-an-end-back",
        breaks: "writes the progress of an overtaken instance over the end that its successor told",
        file: "src/controller/report.rs",
        find: "(Some(_), None) => return Err(Error::Conflict),\n",
        replace: "",
        test: simulated("what_was_found_stays_mended"),
    },
    Mutant {
        name: "do-not-kill-the-old-connections",
        breaks: "leaves clients on the frozen old primary for ever",
        file: "src/controller/takeover/outage.rs",
        find: r"    if !sessions.is_empty() {
        watch.kill(&sessions).await?;
    }
    Ok(sessions.len())",
        replace: "    Ok(sessions.len())",
        test: program("takeover", "a_client_that_would_stay_on_the_old_primary_is_ended"),
    },
    Mutant {
        name: "renew-the-lease-of-another",
        breaks: "takes the Lease of another instance for its own",
        file: "src/leadership/decide.rs",
        find: "Some(holder) if holder == me => Verdict::Renew,",
        replace: "Some(holder) if holder.starts_with(me) => Verdict::Renew,",
        test: unit("leadership::decide::tests::a_lease_is_taken_only_when_it_is_free"),
    },
    Mutant {
        name: "overwrite-a-status",
        breaks: "writes a status over whatever is there",
        file: "src/kubernetes/client/request.rs",
        find: r#""metadata": {"resourceVersion": resource_version, "finalizers": finalizers},"#,
        replace: r#""metadata": {"finalizers": finalizers},"#,
        test: program("kubernetes_adapter", "our_finalizer_comes_and_goes_and_others_stay"),
    },
    Mutant {
        name: "begin-what-has-begun",
        breaks: "carries a takeover out once more on a cluster that was applied anew",
        file: "src/takeover/admission.rs",
        find: "if request.begun {",
        replace: "if request.begun && request.deleted {",
        test: simulated("what_was_found_stays_mended"),
    },
];
