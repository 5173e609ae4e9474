use super::*;
use crate::api::common::{DemotedPrimary, LongTransactionPolicy, ReplicaPolicy};
use crate::api::journal::{Failure, Identity, Plan, PreImage};
use crate::takeover::situation::{Packet, ServerView};
use crate::topology::GtidSet;

const OLD_UUID: &str = "00000000-0000-0000-0000-00000000000a";
const NEW_UUID: &str = "00000000-0000-0000-0000-00000000000b";

fn time(second: i64) -> crate::api::Timestamp {
    k8s_time(jiff::Timestamp::from_second(second).unwrap())
}

fn k8s_time(at: jiff::Timestamp) -> crate::api::Timestamp {
    serde_json::from_value(serde_json::Value::String(format!("{at:.6}"))).unwrap()
}

fn identity(name: &str, uuid: &str) -> Identity {
    Identity { name: name.to_owned(), pod_uid: format!("uid-{name}"), server_uuid: uuid.to_owned() }
}

fn intent(order: RoutingOrder) -> Intent {
    Intent {
        plan: Plan {
            old_primary: identity("db-0", OLD_UUID),
            new_primary: identity("db-1", NEW_UUID),
            siblings: vec![identity("db-2", "c")],
            target_reason: "RequestedByName".to_owned(),
            demoted_primary: DemotedPrimary::StartReplication,
            replica_policy: ReplicaPolicy::RequireAll,
            long_transaction_policy: LongTransactionPolicy::Fail,
            catch_up_deadline_seconds: 10,
            order,
        },
        before: PreImage {
            old_read_only: ReadOnly::Off,
            new_read_only: ReadOnly::SuperReadOnly,
            new_own_transactions: String::new(),
            service_selector: None,
            role_labels: std::collections::BTreeMap::new(),
            enabled_events: Vec::new(),
        },
        deadline: time(1000),
    }
}

fn active(direction: Direction) -> ActiveTakeover {
    ActiveTakeover {
        name: "to-db-1".to_owned(),
        uid: "u".to_owned(),
        spec_hash: "h".to_owned(),
        epoch: 3,
        holder: "me".to_owned(),
        claimed_at: time(1),
        direction,
        failure: (direction == Direction::Unwind)
            .then(|| Failure { reason: "OpenFailed".to_owned(), message: "recorded".to_owned() }),
        intent: None,
        opened: None,
    }
}

fn gtid(text: &str) -> GtidSet {
    text.parse().unwrap()
}

fn server(read_only: ReadOnly, executed: &str, own: &str, has_source: bool) -> View {
    View::Known(ServerView {
        read_only,
        executed: gtid(executed),
        own: gtid(own),
        has_source,
        since_claim: true,
    })
}

fn both() -> String {
    format!("{OLD_UUID}:1-10")
}

fn lost() -> View {
    View::Lost("connection refused".to_owned())
}

/// Nothing done yet: the old primary writes, the new one replicates, routing as it was.
fn untouched() -> Situation {
    Situation {
        old: server(ReadOnly::Off, &both(), &both(), false),
        new: server(ReadOnly::SuperReadOnly, &both(), "", true),
        packet: Packet::Settled,
        routed: Routed::Old,
        frozen: None,
        disconnected: false,
        recorded_open: false,
        seen_open: false,
        reattached: false,
        verified: false,
        failure: None,
        cancelled: false,
    }
}

fn frozen() -> Situation {
    Situation {
        old: server(ReadOnly::SuperReadOnly, &both(), &both(), false),
        routed: Routed::New,
        frozen: Some(gtid(&both())),
        ..untouched()
    }
}

fn open() -> Situation {
    Situation { new: server(ReadOnly::Off, &both(), "", true), ..frozen() }
}

fn forward_of(situation: &Situation) -> Decision {
    decide(&active(Direction::Forward), &intent(RoutingOrder::RouteFirst), situation, false)
}

fn unwinding(situation: &Situation) -> Decision {
    decide(&active(Direction::Unwind), &intent(RoutingOrder::RouteFirst), situation, false)
}

#[test]
fn the_way_forward_with_routing_first() {
    assert_eq!(forward_of(&untouched()), Decision::Run(Step::Route));
    let routed = Situation { routed: Routed::New, ..untouched() };
    assert_eq!(forward_of(&routed), Decision::Run(Step::Freeze));
    assert_eq!(forward_of(&frozen()), Decision::Run(Step::Open));
    assert_eq!(forward_of(&open()), Decision::Run(Step::Disconnect));
    let drained = Situation { disconnected: true, recorded_open: true, ..open() };
    assert_eq!(forward_of(&drained), Decision::Run(Step::Detach));
    let detached = Situation { new: server(ReadOnly::Off, &both(), "", false), ..drained };
    assert_eq!(forward_of(&detached), Decision::Run(Step::Reattach));
    let reattached = Situation { reattached: true, ..detached };
    assert_eq!(forward_of(&reattached), Decision::Run(Step::Verify));
    let verified = Situation { verified: true, ..reattached };
    assert_eq!(forward_of(&verified), Decision::Run(Step::Finish));
}

#[test]
fn the_way_forward_with_the_freeze_first() {
    let intent = intent(RoutingOrder::FreezeFirst);
    let decide = |situation: &Situation| decide(&active(Direction::Forward), &intent, situation, false);
    assert_eq!(decide(&untouched()), Decision::Run(Step::Freeze));
    let frozen = Situation { routed: Routed::Old, ..frozen() };
    assert_eq!(decide(&frozen), Decision::Run(Step::Open));
    let open = Situation { routed: Routed::Old, ..open() };
    assert_eq!(decide(&open), Decision::Run(Step::Disconnect));
    assert_eq!(decide(&Situation { disconnected: true, ..open.clone() }), Decision::Run(Step::Route));
    // Sessions that came before routing moved are ended, too.
    assert_eq!(decide(&Situation { routed: Routed::New, ..open }), Decision::Run(Step::Disconnect));
}

#[test]
fn a_freeze_of_an_earlier_epoch_is_taken_again_for_its_set() {
    assert_eq!(forward_of(&Situation { frozen: None, ..frozen() }), Decision::Run(Step::Freeze));
}

#[test]
fn before_open_every_cause_turns_back_and_writes_come_first() {
    let failure = Some(Outcome::new(Reason::CatchUpDeadlineExceeded, "late"));
    for cause in [
        Situation { failure, ..frozen() },
        Situation { cancelled: true, ..frozen() },
        Situation { new: lost(), ..frozen() },
    ] {
        assert_eq!(forward_of(&cause), Decision::Undo(Undo::ThawOld), "{cause:?}");
        let thawed = Situation { old: untouched().old, frozen: None, ..cause };
        assert!(matches!(forward_of(&thawed), Decision::TurnBack(_)), "{thawed:?}");
        assert_eq!(unwinding(&thawed), Decision::Undo(Undo::RouteBack));
        let back = Situation { routed: Routed::Old, ..thawed };
        assert_eq!(unwinding(&back), Decision::Undo(Undo::LookBack));
        let back = Situation { verified: true, ..back };
        assert!(matches!(unwinding(&back), Decision::RolledBack(_)), "{back:?}");
    }
    let late = decide(&active(Direction::Forward), &intent(RoutingOrder::RouteFirst), &frozen(), true);
    assert_eq!(late, Decision::Undo(Undo::ThawOld));
}

#[test]
fn the_recorded_cause_is_the_cause() {
    let situation = Situation { cancelled: true, verified: true, ..untouched() };
    assert_eq!(unwinding(&situation), Decision::RolledBack(Outcome::new(Reason::OpenFailed, "recorded")));
}

#[test]
fn from_open_on_nothing_turns_back() {
    let failure = Some(Outcome::new(Reason::OpenFailed, "x"));
    let situation = Situation { failure, cancelled: true, ..open() };
    assert_eq!(forward_of(&situation), Decision::Run(Step::Disconnect));
    assert_eq!(unwinding(&situation), Decision::Run(Step::Disconnect));
    let late = decide(&active(Direction::Unwind), &intent(RoutingOrder::RouteFirst), &situation, true);
    assert_eq!(late, Decision::Run(Step::Disconnect));
}

#[test]
fn each_mark_of_having_been_open_counts() {
    let own = format!("{NEW_UUID}:1");
    let executed = format!("{},{own}", both());
    // Cancelled, so that one that does not count would be undone.
    let cancelled = Situation { cancelled: true, ..frozen() };
    let rebooted =
        Situation { new: server(ReadOnly::SuperReadOnly, &executed, &own, true), ..cancelled.clone() };
    assert_eq!(forward_of(&rebooted), Decision::Run(Step::Open));
    let detached =
        Situation { new: server(ReadOnly::SuperReadOnly, &both(), "", false), ..cancelled.clone() };
    assert_eq!(forward_of(&detached), Decision::Run(Step::Open));
    let accepting = Situation { new: server(ReadOnly::Off, &both(), "", true), ..cancelled };
    assert_eq!(forward_of(&accepting), Decision::Run(Step::Disconnect));
}

#[test]
fn nothing_is_done_while_a_packet_is_loose() {
    let situation = Situation { packet: Packet::Loose, ..frozen() };
    assert!(matches!(forward_of(&situation), Decision::Hold(_)), "{:?}", forward_of(&situation));
    assert!(matches!(unwinding(&situation), Decision::Hold(_)), "{:?}", unwinding(&situation));
}

#[test]
fn the_old_primary_is_never_thawed_while_the_new_one_may_open() {
    let situation = Situation { packet: Packet::Loose, new: lost(), ..frozen() };
    assert!(matches!(forward_of(&situation), Decision::Hold(_)));
    assert!(matches!(unwinding(&situation), Decision::Hold(_)));
}

#[test]
fn an_old_primary_that_wrote_all_along_settles_a_lost_new_one() {
    let mut situation = Situation { packet: Packet::Loose, new: lost(), routed: Routed::New, ..untouched() };
    situation.settle();
    assert!(matches!(forward_of(&situation), Decision::TurnBack(_)));
    let restarted = |since_claim| {
        View::Known(ServerView {
            read_only: ReadOnly::Off,
            executed: gtid(&both()),
            own: gtid(&both()),
            has_source: false,
            since_claim,
        })
    };
    let mut situation =
        Situation { packet: Packet::Loose, new: lost(), old: restarted(false), ..untouched() };
    situation.settle();
    assert!(matches!(forward_of(&situation), Decision::Hold(_)), "a restart hides what happened");
}

#[test]
fn the_old_primary_is_never_thawed_when_the_new_one_holds_more() {
    let executed = format!("{},00000000-0000-0000-0000-00000000000d:1", both());
    let failure = Some(Outcome::new(Reason::OpenFailed, "x"));
    let situation =
        Situation { new: server(ReadOnly::SuperReadOnly, &executed, "", true), failure, ..frozen() };
    assert!(matches!(forward_of(&situation), Decision::Hold(_)));
}

#[test]
fn a_lost_old_primary_is_waited_for_and_routing_goes_back_meanwhile() {
    let situation = Situation { old: lost(), routed: Routed::New, ..untouched() };
    assert!(matches!(forward_of(&situation), Decision::TurnBack(_)));
    assert_eq!(unwinding(&situation), Decision::Undo(Undo::RouteBack));
    assert!(matches!(unwinding(&Situation { routed: Routed::Old, ..situation }), Decision::Hold(_)));
}

#[test]
fn what_was_seen_open_and_is_lost_then_is_never_given_up() {
    // It answered, so nothing is on its way; the API was away, so nothing is recorded. Found by the model.
    let mut situation = open();
    situation.remember_open(&intent(RoutingOrder::RouteFirst));
    for packet in [Packet::Settled, Packet::Loose] {
        let mut situation = Situation { new: lost(), packet, ..situation.clone() };
        situation.settle();
        assert!(matches!(forward_of(&situation), Decision::Hold(_)), "{packet:?}");
        assert!(matches!(unwinding(&situation), Decision::Hold(_)), "{packet:?}");
    }
    let mut never = frozen();
    never.remember_open(&intent(RoutingOrder::RouteFirst));
    assert!(!never.seen_open);
}

#[test]
fn an_old_primary_that_was_restarted_after_its_thaw_is_thawed_again() {
    // Found by the model: it comes back read-only, and nobody would open it after the end.
    let thawed = Situation { routed: Routed::Old, ..untouched() };
    assert_eq!(unwinding(&thawed), Decision::Undo(Undo::LookBack));
    let restarted = Situation { routed: Routed::Old, frozen: None, verified: true, ..frozen() };
    assert_eq!(unwinding(&restarted), Decision::Undo(Undo::ThawOld));
}

#[test]
fn two_writable_servers_after_open_freeze_the_old_one() {
    let situation = Situation { old: untouched().old, ..open() };
    assert_eq!(forward_of(&situation), Decision::Run(Step::Freeze));
    let own = format!("{NEW_UUID}:1");
    let rebooted = Situation {
        new: server(ReadOnly::SuperReadOnly, &format!("{},{own}", both()), &own, true),
        old: untouched().old,
        ..open()
    };
    assert!(matches!(forward_of(&rebooted), Decision::Hold(_)), "a person has to compare");
}

#[test]
fn a_new_primary_that_boots_merely_read_only_was_not_opened() {
    // So boots a server whose configuration says `read_only` and no more. Opening it without waiting for the frozen set
    // would lose what it lacks.
    let rebooted = Situation { new: server(ReadOnly::ReadOnly, &both(), "", true), ..frozen() };
    assert_eq!(forward_of(&Situation { frozen: None, ..rebooted.clone() }), Decision::Run(Step::Freeze));
    assert_eq!(forward_of(&rebooted), Decision::Run(Step::Open));
    assert_eq!(forward_of(&Situation { cancelled: true, ..rebooted }), Decision::Undo(Undo::ThawOld));
}

#[test]
fn what_is_lost_and_on_record_as_open_counts_as_open() {
    let situation = Situation { new: lost(), recorded_open: true, disconnected: true, ..open() };
    assert!(matches!(forward_of(&situation), Decision::Hold(_)));
    assert!(matches!(unwinding(&situation), Decision::Hold(_)));
}

#[test]
fn a_primary_that_was_read_only_before_is_not_opened_by_an_undo() {
    let mut intent = intent(RoutingOrder::RouteFirst);
    intent.before.old_read_only = ReadOnly::SuperReadOnly;
    let situation = Situation { cancelled: true, routed: Routed::Old, ..frozen() };
    let decision = decide(&active(Direction::Forward), &intent, &situation, false);
    assert!(matches!(decision, Decision::TurnBack(_)), "{decision:?}");
}

#[test]
fn an_old_primary_that_was_lost_while_frozen_is_not_taken_for_frozen() {
    let situation = Situation { old: lost(), frozen: Some(gtid(&both())), ..frozen() };
    assert!(
        matches!(forward_of(&situation), Decision::TurnBack(outcome) if outcome.reason == Reason::ServerUnreachable)
    );
}

#[test]
fn routing_that_is_not_known_is_moved_again_before_the_freeze_and_after_open() {
    let situation = Situation { routed: Routed::Unknown, ..untouched() };
    assert_eq!(forward_of(&situation), Decision::Run(Step::Route));
    let situation = Situation { routed: Routed::Unknown, disconnected: true, ..open() };
    assert_eq!(forward_of(&situation), Decision::Run(Step::Route));
}

#[test]
fn a_server_is_seen_as_running_since_the_claim_only_beyond_doubt() {
    let mut topology = crate::topology::fixture::topology();
    for (uptime, since_claim) in [(10, false), (11, false), (12, true)] {
        let facts = topology.facts(0);
        facts.uptime_seconds = uptime;
        assert_eq!(ServerView::seen(facts, 10).since_claim, since_claim, "{uptime}");
    }
}

#[test]
fn a_new_primary_that_boots_writable_is_shut_and_not_taken_for_opened() {
    let booted = |own: &str, has_source: bool, since_claim: bool| {
        View::Known(ServerView {
            read_only: ReadOnly::Off,
            executed: gtid(&both()),
            own: gtid(own),
            has_source,
            since_claim,
        })
    };
    for before in [untouched(), frozen()] {
        let situation = Situation { new: booted("", true, false), ..before.clone() };
        assert_eq!(forward_of(&situation), Decision::Undo(Undo::ShutNew));
        assert_eq!(unwinding(&situation), Decision::Undo(Undo::ShutNew));
        let loose = Situation { packet: Packet::Loose, ..situation };
        assert!(matches!(forward_of(&loose), Decision::Hold(_)), "{:?}", forward_of(&loose));
    }
    // Lost before it could be shut, it may still accept writes: the old one is not thawed.
    let mut gone = Situation { new: booted("", true, false), ..frozen() };
    gone.lose_new("refused".to_owned());
    assert!(matches!(forward_of(&gone), Decision::Hold(_)), "{:?}", forward_of(&gone));
    assert!(matches!(unwinding(&gone), Decision::Hold(_)), "{:?}", unwinding(&gone));
    let mut shut = frozen();
    shut.lose_new("refused".to_owned());
    assert!(!matches!(forward_of(&shut), Decision::Hold(_)), "what was read-only is as it was");
    // Whatever shows that it was opened makes it so: who wrote there must not be lost.
    for new in
        [booted("", true, true), booted("", false, false), booted(&format!("{NEW_UUID}:1"), true, false)]
    {
        assert_eq!(forward_of(&Situation { new, ..frozen() }), Decision::Run(Step::Disconnect));
    }
    let by_hand = Situation { new: booted("", true, false), old: lost(), ..frozen() };
    assert_eq!(forward_of(&by_hand), Decision::Run(Step::Disconnect));
    assert_eq!(unwinding(&by_hand), Decision::Run(Step::Disconnect));
    let recorded = Situation { new: booted("", true, false), recorded_open: true, ..frozen() };
    assert_eq!(forward_of(&recorded), Decision::Run(Step::Disconnect));
}
