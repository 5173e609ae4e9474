use super::*;
use crate::api::journal::ReadOnly;
use crate::topology::fixture;
use serde_json::{Value, json};

fn spec(more: &Value) -> MasterTakeoverSpec {
    let mut spec = json!({"clusterRef": {"name": "db"}, "newPrimary": "db-1"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn active(uid: &str) -> ActiveTakeover {
    serde_json::from_value(json!({
        "name": "other", "uid": uid, "specHash": "hash", "epoch": 1, "holder": "operator-0",
        "claimedAt": "2026-01-01T00:00:00.000000Z", "direction": "Forward",
    }))
    .unwrap()
}

fn record(uid: &str, moved: bool) -> TakeoverRecord {
    serde_json::from_value(json!({
        "name": "to-db-1", "uid": uid, "specHash": "hash", "moved": moved, "reason": "Promoted", "epoch": 1,
        "completionTime": "2026-01-01T00:00:00.000000Z",
    }))
    .unwrap()
}

/// What a takeover may change about its request.
#[derive(Default)]
struct Ask {
    spec: Option<Value>,
    begun: bool,
    deleted: bool,
    age_seconds: i64,
    expired: bool,
    active: Option<ActiveTakeover>,
    history: Vec<TakeoverRecord>,
    older: Vec<String>,
}

fn asked(ask: &Ask) -> Admission {
    let spec = spec(ask.spec.as_ref().unwrap_or(&json!({})));
    let limits = fixture::limits();
    let request = Request {
        name: "to-db-1",
        uid: "mine",
        spec: &spec,
        spec_hash: "hash",
        begun: ask.begun,
        deleted: ask.deleted,
        age_seconds: ask.age_seconds,
        expired: ask.expired,
        limits: &limits,
    };
    admit(&request, ask.active.as_ref(), &ask.history, &ask.older)
}

fn refused(ask: &Ask) -> Reason {
    match asked(ask) {
        Admission::Refuse(outcome) => outcome.reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_has_begun_never_begins_again_on_a_cluster_that_knows_nothing_of_it() {
    // Whatever the user says meanwhile: that nothing was changed might be untrue.
    for (spec, deleted) in [(None, false), (None, true), (Some(json!({"cancel": true})), false)] {
        assert_eq!(refused(&Ask { begun: true, spec, deleted, ..Ask::default() }), Reason::ClusterUnusable);
    }
    let claimed = Ask { begun: true, active: Some(active("mine")), ..Ask::default() };
    assert_eq!(asked(&claimed), Admission::Continue);
    let ended = Ask { begun: true, history: vec![record("mine", true)], ..Ask::default() };
    assert_eq!(asked(&ended), Admission::Ended(Box::new(record("mine", true))));
}

#[test]
fn one_takeover_at_a_time_and_the_older_one_first() {
    assert_eq!(asked(&Ask::default()), Admission::Begin);
    let held = || Some(active("other-uid"));
    let behind = |name: &str| Admission::Queued { behind: name.to_owned() };
    assert_eq!(asked(&Ask { active: held(), ..Ask::default() }), behind("other"));
    assert_eq!(asked(&Ask { older: vec!["elder".to_owned()], ..Ask::default() }), behind("elder"));
    // It changes nothing, so that it need not wait.
    let dry = || Some(json!({"mode": "DryRun"}));
    assert_eq!(asked(&Ask { spec: dry(), active: held(), ..Ask::default() }), Admission::Begin);
}

#[test]
fn what_holds_the_claim_goes_on_whatever_the_user_says_meanwhile() {
    let mine = || Some(active("mine"));
    for spec in [json!({"suspend": true}), json!({"cancel": true}), json!({})] {
        let ask = Ask {
            spec: Some(spec),
            deleted: true,
            expired: true,
            age_seconds: 100_000,
            active: mine(),
            ..Ask::default()
        };
        assert_eq!(asked(&ask), Admission::Continue);
    }
}

#[test]
fn a_manifest_that_was_carried_out_is_not_carried_out_again() {
    let history = |uid, moved| vec![record(uid, moved)];
    let mine = asked(&Ask { history: history("mine", true), ..Ask::default() });
    assert!(matches!(mine, Admission::Ended(record) if record.uid == "mine"));
    assert_eq!(
        refused(&Ask { history: history("earlier", true), ..Ask::default() }),
        Reason::AlreadyExecuted
    );
    // One that moved nothing may be tried again.
    assert_eq!(asked(&Ask { history: history("earlier", false), ..Ask::default() }), Admission::Begin);
    let mut another = history("earlier", true);
    another[0].spec_hash = "another".to_owned();
    assert_eq!(asked(&Ask { history: another, ..Ask::default() }), Admission::Begin);
}

#[test]
fn what_is_not_wanted_any_more_never_begins() {
    assert_eq!(refused(&Ask { deleted: true, ..Ask::default() }), Reason::Cancelled);
    let cancel = Some(json!({"cancel": true}));
    assert_eq!(refused(&Ask { spec: cancel, ..Ask::default() }), Reason::Cancelled);
    assert_eq!(refused(&Ask { expired: true, ..Ask::default() }), Reason::Expired);
    let limit = i64::from(fixture::limits().starting_deadline_seconds);
    assert_eq!(asked(&Ask { age_seconds: limit, ..Ask::default() }), Admission::Begin);
    assert_eq!(refused(&Ask { age_seconds: limit + 1, ..Ask::default() }), Reason::StartingDeadlineExceeded);
    let suspended = Some(json!({"suspend": true}));
    let ask = Ask { spec: suspended, age_seconds: limit + 1, ..Ask::default() };
    assert_eq!(asked(&ask), Admission::Suspended, "a suspended one waits as long as it is suspended");
}

fn end(spec: &MasterTakeoverSpec) -> Reason {
    match resolve(spec, &fixture::topology(), &fixture::limits()) {
        Target::End(outcome) => outcome.reason,
        other => panic!("not ended: {other:?}"),
    }
}

/// The table of `docs/takeover.md`, for a cluster whose primary is `db-0`.
#[test]
fn who_hands_over_to_whom() {
    let with = |old: Value, new: Value| spec(&json!({"oldPrimary": old, "newPrimary": new}));
    assert_eq!(end(&with(Value::Null, json!("db-0"))), Reason::AlreadySatisfied);
    assert_eq!(end(&with(json!("db-1"), Value::Null)), Reason::AlreadySatisfied);
    assert_eq!(end(&with(json!("db-1"), json!("db-0"))), Reason::AlreadySatisfied);
    assert_eq!(end(&with(json!("db-2"), json!("db-1"))), Reason::PreconditionFailed);
    for spec in [
        with(Value::Null, json!("db-1")),
        with(json!("db-0"), json!("db-1")),
        with(json!("db-0"), Value::Null),
    ] {
        let target = resolve(&spec, &fixture::topology(), &fixture::limits());
        assert!(
            matches!(&target, Target::Move { old, new, .. } if old == "db-0" && new == "db-1"),
            "{target:?}"
        );
    }
}

#[test]
fn without_exactly_one_primary_nobody_is_moved() {
    let mut two = fixture::topology();
    two.facts(1).read_only = ReadOnly::Off;
    let mut none = fixture::topology();
    none.facts(0).read_only = ReadOnly::SuperReadOnly;
    for topology in [two, none] {
        let target = resolve(&spec(&json!({})), &topology, &fixture::limits());
        assert_eq!(target, Target::Unresolved { old: None, new: Some("db-1".to_owned()) });
    }
}
