use super::*;
use crate::api::cluster::{InstanceRole as Role, InstanceState as State};
use crate::topology::facts::ThreadState;
use crate::topology::{Primary, Seen, fixture};

fn look(change: impl FnOnce(&mut Topology)) -> Vec<InstanceStatus> {
    let mut topology = fixture::topology();
    change(&mut topology);
    let primary = match topology.primary() {
        Primary::One(name) => Some(name),
        Primary::None | Primary::Many(_) => None,
    };
    instances(&topology, primary.as_deref(), 5)
}

fn message(status: &InstanceStatus) -> &str {
    status.message.as_deref().unwrap_or_default()
}

#[test]
fn a_healthy_topology_has_nothing_to_say() {
    let seen = look(|_| {});
    let brief: Vec<_> = seen.iter().map(|i| (i.name.as_str(), i.role, i.writable, i.state)).collect();
    assert_eq!(
        brief,
        [
            ("db-0", Role::Primary, true, State::Healthy),
            ("db-1", Role::Replica, false, State::Healthy),
            ("db-2", Role::Replica, false, State::Healthy),
        ]
    );
    assert!(seen.iter().all(|instance| instance.message.is_none()), "{seen:#?}");
    assert_eq!(replicas_summary(&seen), "2/2");
    assert_eq!(seen[0].server_uuid.as_deref(), Some(fixture::uuid(0).as_str()));
}

#[test]
fn each_state_says_what_is_wrong_and_what_to_do() {
    type Change = fn(&mut Topology);
    let cases: &[(Change, Role, State, &str, &str)] = &[
        (
            |t| t.at(1).seen = Seen::Unreachable("timeout".into()),
            Role::Unknown,
            State::Unreachable,
            "Does not answer: timeout.",
            "Pod db-1",
        ),
        (
            |t| t.at(1).seen = Seen::AccessDenied("error 1045".into()),
            Role::Unknown,
            State::AccessDenied,
            "Refuses the operator's account",
            "`spec.credentials`",
        ),
        (
            |t| t.facts(1).mariadb = true,
            Role::Unknown,
            State::Broken,
            "Runs MariaDB",
            "`spec.discovery.selector`",
        ),
        (
            |t| t.channel(1).seconds_behind = Some(60),
            Role::Replica,
            State::Lagging,
            "Is more than 5 s behind the primary.",
            "Wait",
        ),
        (
            |t| t.channel(1).applier = ThreadState::Stopped,
            Role::Replica,
            State::Broken,
            "Has broken replication: its applier (SQL thread) is stopped.",
            "`START REPLICA` on db-1",
        ),
        (
            |t| t.channel(1).receiver_error = Some((13114, "purged".into())),
            Role::Replica,
            State::Broken,
            "error 13114",
            "build db-1 anew from db-0",
        ),
        (
            |t| t.channel(1).source_uuid = fixture::uuid(2),
            Role::Replica,
            State::Broken,
            "Replicates from db-2, not from the primary.",
            "Point it to db-0",
        ),
        (
            |t| t.facts(1).channels.clear(),
            Role::Unknown,
            State::Broken,
            "Replicates from nobody.",
            "Make it replicate from db-0",
        ),
        (
            |t| t.executed(1, "1-101"),
            Role::Replica,
            State::Healthy,
            "Holds transactions that the primary lacks.",
            "mysqlbinlog",
        ),
        (
            |t| t.facts(1).read_only = ReadOnly::ReadOnly,
            Role::Replica,
            State::Broken,
            "Is read_only but not super_read_only",
            "`SET GLOBAL super_read_only=ON` on db-1",
        ),
    ];
    for (change, role, state, what, remedy) in cases {
        let seen = look(change);
        assert_eq!((seen[1].role, seen[1].state), (*role, *state), "{what}: {seen:#?}");
        assert!(
            message(&seen[1]).contains(what) && message(&seen[1]).contains(remedy),
            "{:?}",
            seen[1].message
        );
        assert_eq!(replicas_summary(&seen), if *state == State::Healthy { "2/2" } else { "1/2" }, "{what}");
    }
}

#[test]
fn a_read_only_primary_says_how_to_open_it() {
    let seen = look(|t| t.facts(0).read_only = ReadOnly::SuperReadOnly);
    assert_eq!((seen[0].role, seen[0].state), (Role::Primary, State::Broken));
    assert!(message(&seen[0]).contains("`SET GLOBAL read_only=OFF` on db-0"), "{:?}", seen[0]);
    assert_eq!((seen[1].state, replicas_summary(&seen).as_str()), (State::Healthy, "2/2"));
}

#[test]
fn of_two_writable_servers_both_are_told() {
    let seen = look(|t| t.facts(2).read_only = ReadOnly::Off);
    assert!(message(&seen[0]).contains("not the only one"), "{:?}", seen[0]);
    assert!(message(&seen[2]).contains("though it is a replica"), "{:?}", seen[2]);
}

/// Else every look would write the status.
#[test]
fn figures_that_change_by_themselves_are_not_shown() {
    let at = |tick: i64| {
        look(|t| {
            t.channel(1).seconds_behind = Some(60 + tick);
            t.channel(2).receiver = ThreadState::Connecting;
            t.channel(2).receiver_error = Some((
                2003,
                format!(
                    "Error connecting to source 'r@h:3306'. This was attempt {tick}/86400, with a delay of 1 seconds between attempts. Message: Can't connect"
                ),
            ));
            t.executed(1, &format!("1-{}", 101 + tick));
            t.facts(0).uptime_seconds = tick;
        })
    };
    assert_eq!(at(1), at(2));
}

#[test]
fn messages_fit_into_the_status() {
    let seen = look(|t| {
        let facts = t.facts(1);
        facts.missing_privileges = (0..100).map(|number| format!("PRIVILEGE_{number}")).collect();
        facts.channels[0].receiver_error = Some((1, "x".repeat(10_000)));
        facts.channels[0].applier_error = Some((1, "x".repeat(10_000)));
    });
    assert!(message(&seen[1]).chars().count() <= 1024);
}
