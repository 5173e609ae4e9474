//! What to do next: each promise of the takeover, broken once.

use super::{Mutant, unit};

/// The mistakes of this room.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "promote-before-freeze",
        breaks: "opens the new primary while the old one still takes writes",
        file: "src/takeover/decide.rs",
        find: r"        (View::Known(_) | View::Lost(_), _) => false,
    };
    match (intent.plan.order",
        replace: r"        (View::Known(_) | View::Lost(_), _) => true,
    };
    match (intent.plan.order",
        test: unit("takeover::decide::tests::the_way_forward_with_routing_first"),
    },
    Mutant {
        name: "route-before-it-may",
        breaks: "moves routing before the freeze although the user wants it after Open",
        file: "src/takeover/decide.rs",
        find: "(RoutingOrder::RouteFirst, Routed::Old | Routed::Unknown, false) => Decision::Run(Step::Route),",
        replace: "(RoutingOrder::RouteFirst | RoutingOrder::FreezeFirst, Routed::Old | Routed::Unknown, false) => Decision::Run(Step::Route),",
        test: unit("takeover::decide::tests::the_way_forward_with_the_freeze_first"),
    },
    Mutant {
        name: "freeze-before-routing-landed",
        breaks: "freezes although it is not known where new connections go",
        file: "src/takeover/decide.rs",
        find: "(RoutingOrder::RouteFirst, Routed::Old | Routed::Unknown, false) => Decision::Run(Step::Route),",
        replace: r"(RoutingOrder::RouteFirst, Routed::Old, false) => Decision::Run(Step::Route),
        (RoutingOrder::RouteFirst, Routed::Unknown, false) => Decision::Run(Step::Freeze),",
        test: unit(
            "takeover::decide::tests::routing_that_is_not_known_is_moved_again_before_the_freeze_and_after_open",
        ),
    },
    Mutant {
        name: "routing-not-given-back",
        breaks: "leaves new connections on the new primary after an undo",
        file: "src/takeover/decide.rs",
        find: "(Direction::Unwind, Routed::New | Routed::Unknown, _) => Decision::Undo(Undo::RouteBack),",
        replace: "(Direction::Unwind, Routed::New | Routed::Unknown, _) => Decision::RolledBack(outcome),",
        test: unit("takeover::decide::tests::before_open_every_cause_turns_back_and_writes_come_first"),
    },
    Mutant {
        name: "thaw-while-the-new-one-may-open",
        breaks: "takes a new primary that cannot be read for not opened",
        file: "src/takeover/situation.rs",
        find: "(View::Lost(why), Packet::Loose) => Opened::Unknown(why.clone()),",
        replace: "(View::Lost(_), Packet::Loose) => Opened::No,",
        test: unit("takeover::decide::tests::the_old_primary_is_never_thawed_while_the_new_one_may_open"),
    },
    Mutant {
        name: "forget-the-loose-packet",
        breaks: "does not end what may still open the new primary",
        file: "src/takeover/situation.rs",
        find: "(true, _, Packet::Loose) | (false, false, Packet::Loose) => Opened::NotYet,",
        replace: "(true, _, Packet::Loose) | (false, false, Packet::Loose) => Opened::No,",
        test: unit("takeover::decide::tests::a_loose_packet_is_settled_before_anything_else"),
    },
    Mutant {
        name: "forget-the-record-of-open",
        breaks: "takes a lost new primary for not opened although the journal says that it was",
        file: "src/takeover/situation.rs",
        find: "(View::Lost(_), Packet::Settled) => Opened::Yes,",
        replace: "(View::Lost(_), Packet::Settled) => Opened::No,",
        test: unit("takeover::decide::tests::what_is_lost_and_on_record_as_open_counts_as_open"),
    },
    Mutant {
        name: "ignore-own-transactions",
        breaks: "takes a new primary that wrote and booted read-only for not opened",
        file: "src/takeover/situation.rs",
        find: "accepts_writes || !view.has_source || wrote(view, intent)",
        replace: "accepts_writes || !view.has_source",
        test: unit("takeover::decide::tests::each_mark_of_having_been_open_counts"),
    },
    Mutant {
        name: "ignore-the-missing-source",
        breaks: "takes a detached new primary for not opened",
        file: "src/takeover/situation.rs",
        find: "accepts_writes || !view.has_source || wrote(view, intent)",
        replace: "accepts_writes || wrote(view, intent)",
        test: unit("takeover::decide::tests::each_mark_of_having_been_open_counts"),
    },
    Mutant {
        name: "read-only-counts-as-opened",
        breaks: "opens a server that merely booted read-only, without the frozen set",
        file: "src/takeover/situation.rs",
        find: r"        ReadOnly::Off => true,
",
        replace: r"        ReadOnly::Off => true,
        ReadOnly::ReadOnly => true,
",
        test: unit("takeover::decide::tests::a_new_primary_that_boots_merely_read_only_was_not_opened"),
    },
    Mutant {
        name: "booted-writable-counts-as-opened",
        breaks: "takes a server that booted writable for opened",
        file: "src/takeover/situation.rs",
        find: "(true, _, Packet::Settled) => Opened::BootedWritable,",
        replace: "(true, _, Packet::Settled) => Opened::Yes,",
        test: unit(
            "takeover::decide::tests::a_new_primary_that_boots_writable_is_shut_and_not_taken_for_opened",
        ),
    },
    Mutant {
        name: "shut-what-was-opened-by-hand",
        breaks: "makes a new primary read-only that somebody opened since the old one is gone",
        file: "src/takeover/situation.rs",
        find: r"matches!(self.old, View::Known(_))
                    && !self.recorded_open",
        replace: "!self.recorded_open",
        test: unit(
            "takeover::decide::tests::a_new_primary_that_boots_writable_is_shut_and_not_taken_for_opened",
        ),
    },
    Mutant {
        name: "a-restart-settles",
        breaks: "takes an old primary that was restarted writable as proof that nothing was sent",
        file: "src/takeover/situation.rs",
        find: r"            && old.since_claim
",
        replace: "",
        test: unit("takeover::decide::tests::an_old_primary_that_wrote_all_along_settles_a_lost_new_one"),
    },
    Mutant {
        name: "thaw-what-lacks-transactions",
        breaks: "opens the old primary although the new one holds more",
        file: "src/takeover/decide.rs",
        find: "View::Known(new) if !old.executed.contains(&new.executed) =>",
        replace: "View::Known(new) if false && !old.executed.contains(&new.executed) =>",
        test: unit("takeover::decide::tests::the_old_primary_is_never_thawed_when_the_new_one_holds_more"),
    },
    Mutant {
        name: "ignore-the-deadline",
        breaks: "keeps writes stopped past the deadline",
        file: "src/takeover/decide.rs",
        find: "past_deadline.then(|| {",
        replace: "(past_deadline && false).then(|| {",
        test: unit("takeover::decide::tests::before_open_every_cause_turns_back_and_writes_come_first"),
    },
    Mutant {
        name: "ignore-the-cancellation",
        breaks: "goes on although the user cancelled",
        file: "src/takeover/decide.rs",
        find: "if situation.cancelled {",
        replace: "if situation.cancelled && false {",
        test: unit("takeover::decide::tests::before_open_every_cause_turns_back_and_writes_come_first"),
    },
    Mutant {
        name: "record-before-writes-come-back",
        breaks: "keeps writes stopped until the API took the record of going back",
        file: "src/takeover/decide.rs",
        find: r"&& old.read_only != intent.before.old_read_only
",
        replace: r"&& old.read_only != intent.before.old_read_only
        && active.direction == Direction::Unwind
",
        test: unit("takeover::decide::tests::before_open_every_cause_turns_back_and_writes_come_first"),
    },
    Mutant {
        name: "forget-the-recorded-cause",
        breaks: "tells another cause than the one that it went back for",
        file: "src/takeover/decide.rs",
        find: "if active.direction == Direction::Unwind {",
        replace: "if active.direction == Direction::Unwind && false {",
        test: unit("takeover::decide::tests::the_recorded_cause_is_the_cause"),
    },
    Mutant {
        name: "guess-the-former-state",
        breaks: "opens an old primary that was read-only before",
        file: "src/takeover/decide.rs",
        find: r"&& old.read_only != intent.before.old_read_only
",
        replace: r"&& old.read_only != ReadOnly::Off
",
        test: unit("takeover::decide::tests::a_primary_that_was_read_only_before_is_not_opened_by_an_undo"),
    },
    Mutant {
        name: "leave-two-writable",
        breaks: "leaves an old primary writable beside the opened new one",
        file: "src/takeover/decide.rs",
        find: "(ReadOnly::Off, true) => return Decision::Run(Step::Freeze),",
        replace: "(ReadOnly::Off, true) => {}",
        test: unit("takeover::decide::tests::two_writable_servers_after_open_freeze_the_old_one"),
    },
    Mutant {
        name: "reattach-before-detach",
        breaks: "lets others follow a new primary that still follows its source",
        file: "src/takeover/decide.rs",
        find: "(true, _, _) => Decision::Run(Step::Detach),",
        replace: "(true, _, _) => Decision::Run(Step::Reattach),",
        test: unit("takeover::decide::tests::the_way_forward_with_routing_first"),
    },
    Mutant {
        name: "succeed-without-a-look",
        breaks: "tells success without a fresh look at the servers",
        file: "src/takeover/decide.rs",
        find: "(false, true, false) => Decision::Run(Step::Verify),",
        replace: "(false, true, false) => Decision::Run(Step::Finish),",
        test: unit("takeover::decide::tests::the_way_forward_with_routing_first"),
    },
    Mutant {
        name: "leave-the-clients",
        breaks: "does not end client sessions before it goes on",
        file: "src/takeover/decide.rs",
        find: "(false, _) => Decision::Run(Step::Disconnect),",
        replace: r"(false, Routed::Old | Routed::Unknown) => Decision::Run(Step::Disconnect),
        (false, Routed::New) => Decision::Run(Step::Detach),",
        test: unit("takeover::decide::tests::the_way_forward_with_routing_first"),
    },
    Mutant {
        name: "roll-back-without-the-old-one",
        breaks: "tells that everything is undone while the old primary cannot be read",
        file: "src/takeover/decide.rs",
        find: "(Direction::Unwind, Routed::Old, View::Known(_)) => Decision::RolledBack(outcome),",
        replace: "(Direction::Unwind, Routed::Old, _) => Decision::RolledBack(outcome),",
        test: unit(
            "takeover::decide::tests::a_lost_old_primary_is_waited_for_and_routing_goes_back_meanwhile",
        ),
    },
];
