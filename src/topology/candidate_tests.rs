use super::*;
use crate::topology::facts::{ThreadState, Version};
use crate::topology::{Seen, fixture};

type Change = fn(&mut Topology);

/// What is changed in the healthy topology, and who is chosen for what.
const CHOSEN: &[(&str, Change, &str, &str)] = &[
    ("equals", |_| {}, "db-1", FIRST_BY_NAME),
    (
        "only one",
        |t| {
            t.instances.pop();
        },
        "db-1",
        ONLY_CANDIDATE,
    ),
    ("only one fit", |t| t.facts(1).log_bin = false, "db-2", ONLY_CANDIDATE),
    ("prefer", |t| t.at(2).rule = PromotionRule::Prefer, "db-2", PROMOTION_RULE),
    ("prefer not", |t| t.at(1).rule = PromotionRule::PreferNot, "db-2", PROMOTION_RULE),
    (
        "prefer not, but alone",
        |t| {
            t.at(1).rule = PromotionRule::PreferNot;
            t.at(2).rule = PromotionRule::MustNot;
        },
        "db-1",
        ONLY_CANDIDATE,
    ),
    // orchestrator lets coordinates win over rules, so that its rules hardly ever count.
    (
        "rule before set",
        |t| {
            t.at(1).rule = PromotionRule::Prefer;
            t.executed(1, "1-90");
        },
        "db-1",
        PROMOTION_RULE,
    ),
    ("ahead", |t| t.executed(1, "1-99"), "db-2", MOST_ADVANCED),
    (
        "rule, then set",
        |t| {
            t.instances.push(fixture::replica(3));
            t.executed(2, "1-90");
            for number in [2, 3] {
                t.at(number).rule = PromotionRule::Prefer;
            }
        },
        "db-3",
        MOST_ADVANCED,
    ),
    // Gaps of a parallel applier: neither has all of the other's, however many they are.
    (
        "neither ahead",
        |t| {
            t.executed(1, "1-98:100");
            t.executed(2, "1-97:99-100");
        },
        "db-1",
        FIRST_BY_NAME,
    ),
    (
        "lower version",
        |t| t.facts(2).version = Version { major: 9, minor: 7, patch: 3 },
        "db-2",
        LOWEST_VERSION,
    ),
    (
        "newer series is unfit",
        |t| t.facts(1).version = Version { major: 9, minor: 8, patch: 0 },
        "db-2",
        ONLY_CANDIDATE,
    ),
    ("less behind", |t| t.channel(1).seconds_behind = Some(3), "db-2", LEAST_LAG),
    (
        "lagging is unfit",
        |t| {
            t.channel(1).seconds_behind = Some(60);
            t.at(1).rule = PromotionRule::Prefer;
        },
        "db-2",
        ONLY_CANDIDATE,
    ),
    ("errant is unfit", |t| t.executed(1, "1-101"), "db-2", ONLY_CANDIDATE),
];

#[test]
fn chooses() {
    for (name, change, expected, reason) in CHOSEN {
        let mut topology = fixture::topology();
        change(&mut topology);
        let choice =
            choose(&topology, "db-0", &fixture::limits()).unwrap_or_else(|none| panic!("{name}: {none:?}"));
        assert_eq!((choice.name.as_str(), choice.reason), (*expected, *reason), "{name}");
        // Not by the order in which they were listed.
        topology.instances.reverse();
        assert_eq!(choose(&topology, "db-0", &fixture::limits()).unwrap(), choice, "{name}, reversed");
    }
}

#[test]
fn says_what_speaks_against_each() {
    let mut topology = fixture::topology();
    topology.at(1).rule = PromotionRule::MustNot;
    topology.channel(1).applier = ThreadState::Stopped;
    topology.at(2).seen = Seen::Unreachable("connect: refused".to_owned());
    let none = choose(&topology, "db-0", &fixture::limits()).unwrap_err();
    assert_eq!(
        none.why,
        [
            (
                "db-1".to_owned(),
                "has broken replication: its applier (SQL thread) is stopped; is banned by a promotion rule (MustNot)"
                    .to_owned()
            ),
            ("db-2".to_owned(), "does not answer: connect: refused".to_owned()),
        ]
    );
}

#[test]
fn nobody_without_a_primary() {
    let mut topology = fixture::topology();
    assert_eq!(choose(&topology, "db-9", &fixture::limits()).unwrap_err().why.len(), 3);
    topology.at(0).seen = Seen::Unreachable("gone".to_owned());
    let none = choose(&topology, "db-0", &fixture::limits()).unwrap_err();
    assert!(none.why.iter().all(|(_, why)| why.contains("db-0")), "{none:?}");
    topology.instances.truncate(1);
    assert!(choose(&topology, "db-0", &fixture::limits()).unwrap_err().why.is_empty());
}
