//! One case a code at least, each with exactly what is found.

mod replica_cases;
mod server_cases;

use super::*;
use crate::api::common::PromotionRule;
use crate::api::journal::ReadOnly;
use crate::api::takeover::Severity::{Error, Warning};
use crate::topology::facts::{LockHolder, Startup, Statement, ThreadState, Transaction, Version};
use crate::topology::{Seen, ServerFacts, fixture};
use proptest::prelude::*;

/// Everything that an observation borrows. Healthy: a takeover from `db-0` to `db-1`.
struct World {
    topology: Topology,
    old: Option<&'static str>,
    new: Option<&'static str>,
    limits: Limits,
    activity: Option<Activity>,
    login: LoginCheck,
    password_length: usize,
    tls: TlsMode,
    services: Option<ServicesSeen>,
}

impl Default for World {
    fn default() -> Self {
        let fine = |name: &str| ServiceSeen { name: name.to_owned(), problems: Vec::new() };
        Self {
            topology: fixture::topology(),
            old: Some("db-0"),
            new: Some("db-1"),
            limits: fixture::limits(),
            activity: Some(Activity::default()),
            login: LoginCheck::Works,
            password_length: 32,
            tls: TlsMode::VerifyIdentity,
            services: Some(ServicesSeen {
                manage: ManageServices::Create,
                primary: fine("db-primary"),
                replicas: Some(fine("db-replicas")),
            }),
        }
    }
}

impl World {
    fn findings(&self) -> Vec<Finding> {
        preflight(&Observation {
            topology: &self.topology,
            old_primary: self.old,
            new_primary: self.new,
            limits: &self.limits,
            activity: self.activity.as_ref(),
            replication_login: &self.login,
            replication_password_length: self.password_length,
            tls_mode: self.tls,
            services: self.services.as_ref(),
        })
    }

    fn activity(&mut self) -> &mut Activity {
        self.activity.as_mut().unwrap()
    }

    fn primary_service(&mut self, problem: ServiceProblem) {
        self.services.as_mut().unwrap().primary.problems.push(problem);
    }
}

type Change = fn(&mut World);
type Expected = &'static [(Code, Severity, &'static str)];

fn unreachable() -> Seen {
    Seen::Unreachable("connect: no answer within 3 s".to_owned())
}

/// What is changed in the healthy world, and exactly what is found then; no subject is an empty one.
type Case = (&'static str, Change, Expected);

fn cases() -> impl Iterator<Item = &'static Case> {
    replica_cases::CASES.iter().chain(server_cases::CASES)
}

fn transaction(connection: u64, seconds: i64) -> Transaction {
    Transaction { connection, user: "app".to_owned(), seconds, rows_modified: 1 }
}

fn statement(connection: u64, seconds: i64) -> Statement {
    Statement { connection, user: "app".to_owned(), seconds, writes: true }
}

fn holder(connection: u64, seconds: i64) -> LockHolder {
    LockHolder { connection, user: "app".to_owned(), seconds, what: "LOCK TABLES".to_owned() }
}

fn brief_of(findings: &[Finding]) -> Vec<(&str, Severity, &str)> {
    findings
        .iter()
        .map(|finding| {
            (finding.code.as_str(), finding.severity, finding.subject.as_deref().unwrap_or_default())
        })
        .collect()
}

/// What every finding must be, whatever it says.
fn assert_well_formed(findings: &[Finding]) {
    assert!(findings.len() <= MOST_FINDINGS);
    assert!(findings.is_sorted_by_key(|finding| finding.severity), "errors first: {findings:?}");
    for Finding { code, subject, message, remedy, .. } in findings {
        assert!(Code::ALL.iter().any(|known| known.code() == code), "{code}");
        assert!(subject.as_ref().is_none_or(|subject| subject.len() <= 253));
        for text in [message, remedy] {
            assert!((10..=1024).contains(&text.chars().count()), "{code}: {text}");
            assert!(text.ends_with(['.', '…', '?', ')']) && !text.contains(".."), "{code}: {text}");
            assert!(!text.contains(char::is_control), "{code}: {text}");
        }
        assert!(
            message.starts_with(|first: char| first.is_uppercase()
                || message.starts_with("db-")
                || first == 'a')
        );
    }
}

#[test]
fn each_case_finds_exactly_this() {
    for (name, change, expected) in cases() {
        let mut world = World::default();
        change(&mut world);
        let findings = world.findings();
        assert_well_formed(&findings);
        let expected: Vec<_> =
            expected.iter().map(|(code, severity, subject)| (code.code(), *severity, *subject)).collect();
        assert_eq!(brief_of(&findings), expected, "{name}: {findings:#?}");
        assert_eq!(blocks(&findings), expected.iter().any(|(_, severity, _)| *severity == Error), "{name}");
    }
}

#[test]
fn every_code_has_a_case() {
    for code in Code::ALL {
        let found = cases().any(|(_, _, expected)| expected.iter().any(|(found, ..)| found == code));
        assert!(found, "no case for {}", code.code());
    }
}

#[test]
fn everything_is_reported_at_once() {
    let mut world = World::default();
    world.topology.channel(1).seconds_behind = Some(60);
    world.topology.facts(1).missing_privileges = vec!["RELOAD".to_owned(), "PROCESS".to_owned()];
    world.topology.executed(1, "1-105");
    world.topology.at(2).seen = unreachable();
    world.topology.facts(0).startup = Startup::Writable;
    world.activity().prepared_xa = 1;
    world.tls = TlsMode::Disabled;
    world.password_length = 40;
    let findings = world.findings();
    assert_well_formed(&findings);
    assert_eq!(
        brief_of(&findings),
        [
            ("PrivilegeMissing", Error, "db-1"),
            ("TargetLagging", Error, "db-1"),
            ("ErrantTransactions", Error, "db-1"),
            ("InstanceUnreachable", Error, "db-2"),
            ("PreparedTransactions", Error, "db-0"),
            ("ReplicationPasswordTooLong", Error, ""),
            ("UnsafeStartupState", Warning, "db-0"),
            ("TlsDisabled", Warning, ""),
        ]
    );
}

#[test]
fn messages_say_what_and_remedies_what_to_do() {
    let mut world = World::default();
    world.topology.channel(1).seconds_behind = Some(60);
    world.topology.executed(1, "1-102");
    world.topology.facts(0).semi_sync_source = Some(true);
    world.topology.facts(0).semi_sync_wait_for = 1;
    world.topology.facts(0).semi_sync_clients = 2;
    world.topology.facts(2).semi_sync_replica = Some(true);
    world.activity().transactions = (1..=7).map(|connection| transaction(connection, 9)).collect();
    let findings = world.findings();
    let message = |code: Code| &findings.iter().find(|finding| finding.code == code.code()).unwrap().message;
    assert_eq!(message(Code::TargetLagging), "db-1 is 60 s behind the primary, and 5 s are allowed.");
    assert_eq!(
        *message(Code::ErrantTransactions),
        format!("db-1 holds 2 transactions that the primary lacks: {}:101-102.", fixture::uuid(0))
    );
    assert_eq!(
        message(Code::SemiSyncUnsupported),
        "Semi-synchronous replication is on at db-0, which is not supported yet. A commit waits for 1 of 2 connected replicas; after the takeover db-2 could acknowledge."
    );
    assert_eq!(
        message(Code::LongTransaction),
        "db-0: 7 long transactions: connection 1 (app, 9 s, 1 row changed), connection 2 (app, 9 s, 1 row changed), connection 3 (app, 9 s, 1 row changed), connection 4 (app, 9 s, 1 row changed), connection 5 (app, 9 s, 1 row changed) and 2 more. Transactions that are open at the freeze are rolled back."
    );
}

#[test]
fn nobody_is_told_to_open_a_server_while_another_may_be_primary() {
    let mut world = World { old: None, new: None, ..World::default() };
    world.topology.at(0).seen = unreachable();
    let findings = world.findings();
    assert!(findings[0].remedy.contains("Open no other instance"), "{findings:#?}");
    assert!(findings.iter().all(|finding| !finding.remedy.contains("read_only=OFF")), "{findings:#?}");

    let mut world = World { old: None, new: None, ..World::default() };
    world.topology.facts(0).read_only = ReadOnly::SuperReadOnly;
    let findings = world.findings();
    assert!(findings[0].remedy.contains("db-0") && findings[0].remedy.contains("read_only=OFF"));
}

#[test]
fn no_data_and_no_statement_leaks() {
    let mut world = World::default();
    let channel = world.topology.channel(1);
    channel.applier = ThreadState::Stopped;
    channel.applier_error =
        Some((1062, "Error 'Duplicate entry 'a@b.c' for key 't.k'' on query. Default database: 'app'. Query: 'INSERT INTO t VALUES (1)'".to_owned()));
    let findings = world.findings();
    let text = format!("{findings:?}");
    assert!(text.contains("1062") && !text.contains("a@b.c") && !text.contains("INSERT"), "{text}");
}

/// The condition `TakeoverReady` repeats remedies, and its status is written on transitions only.
#[test]
fn remedies_hold_no_figures_that_change() {
    let remedies = |tick: u8| {
        let mut world = World::default();
        world.topology.channel(1).seconds_behind = Some(60 + i64::from(tick));
        world.topology.channel(2).receiver_error = Some((2003, format!("attempt {tick}")));
        world.topology.executed(1, &format!("1-{}", 150 + u64::from(tick)));
        world.activity().transactions.push(transaction(u64::from(tick), 60 + i64::from(tick)));
        world.activity().prepared_xa = i64::from(tick);
        world.findings().into_iter().map(|finding| finding.remedy).collect::<Vec<_>>()
    };
    assert_eq!(remedies(1).len(), 5);
    assert_eq!(remedies(1), remedies(2));
}

#[test]
fn waiting_is_for_what_ends_by_itself() {
    use LongTransactionPolicy::{Fail, Kill, Wait};
    let mut world = World::default();
    assert!(!only_waitable(&world.findings(), Wait), "nothing to wait for");
    world.activity().transactions.push(transaction(7, 9));
    world.topology.facts(0).startup = Startup::Writable;
    world.limits.long_transaction_policy = Wait;
    let findings = world.findings();
    assert!(only_waitable(&findings, Wait));
    assert!(!only_waitable(&findings, Fail) && !only_waitable(&findings, Kill));
    world.activity().prepared_xa = 1;
    assert!(!only_waitable(&world.findings(), Wait));
}

#[test]
fn a_status_can_hold_the_findings_of_the_largest_cluster() {
    let mut world = World { new: Some("db-63"), ..World::default() };
    let mut instances = vec![world.topology.instances.remove(0)];
    instances.extend((1..64).map(fixture::replica));
    world.topology = Topology::new(instances);
    for number in 1..64 {
        let facts = world.topology.facts(number);
        facts.startup = Startup::Writable;
        facts.gtid_mode_on = false;
        facts.channels[0].receiver = ThreadState::Stopped;
        facts.channels[0].applier = ThreadState::Stopped;
    }
    let findings = world.findings();
    assert_well_formed(&findings);
    assert_eq!(findings.len(), MOST_FINDINGS);
    assert!(findings.last().unwrap().message.ends_with("more findings are left out)"));
}

/// What can be wrong with one server.
const WRONGS: &[fn(&mut ServerFacts)] = &[
    |f| f.read_only = ReadOnly::Off,
    |f| f.channels.clear(),
    |f| f.channels.push(fixture::channel()),
    |f| f.channels.iter_mut().for_each(|c| c.source_uuid = fixture::uuid(2)),
    |f| f.channels.iter_mut().for_each(|c| c.receiver = ThreadState::Stopped),
    |f| f.channels.iter_mut().for_each(|c| c.applier_error = Some((1062, "x".to_owned()))),
    |f| f.channels.iter_mut().for_each(|c| c.seconds_behind = None),
    |f| f.channels.iter_mut().for_each(|c| c.delay_seconds = 60),
    |f| f.channels.iter_mut().for_each(|c| c.auto_position = false),
    |f| f.executed = format!("{}:1-50", fixture::uuid(0)).parse().unwrap(),
    |f| f.executed = format!("{}:1-500", fixture::uuid(0)).parse().unwrap(),
    |f| f.purged = f.executed.clone(),
    |f| f.version.minor += 1,
    |f| f.version.major = 5,
    |f| f.mariadb = true,
    |f| f.gtid_mode_on = false,
    |f| f.gtid_consistency_enforced = false,
    |f| f.log_bin = false,
    |f| f.log_replica_updates = false,
    |f| f.binlog_format.clear(),
    |f| f.performance_schema = false,
    |f| f.group_replication = true,
    |f| f.semi_sync_source = Some(true),
    |f| f.binlog_filters = true,
    |f| f.replication_filters = true,
    |f| f.missing_privileges.push("RELOAD".to_owned()),
    |f| f.startup = Startup::Writable,
    |f| f.sync_binlog = 0,
    |f| f.server_id = 100,
];

proptest! {
    /// Several things at once: nothing panics, all is well formed, and who is chosen is never refused for what it is itself.
    #[test]
    fn the_chosen_candidate_passes(
        wrongs in proptest::collection::vec((0..3_usize, 0..WRONGS.len()), 0..6),
        silent in proptest::option::weighted(0.2, 0..3_usize),
        best_effort: bool,
    ) {
        let mut world = World { new: None, ..World::default() };
        for (instance, wrong) in wrongs {
            WRONGS[wrong](world.topology.facts(instance));
        }
        if let Some(silent) = silent {
            world.topology.at(silent).seen = unreachable();
        }
        if best_effort {
            world.limits.replica_policy = ReplicaPolicy::BestEffort;
        }
        let findings = world.findings();
        assert_well_formed(&findings);
        let Primary::One(primary) = world.topology.primary() else {
            prop_assert!(blocks(&findings));
            return Ok(());
        };
        match choose(&world.topology, &primary, &world.limits) {
            Ok(choice) => {
                let own = |finding: &&Finding| finding.severity == Error && finding.subject.as_ref() == Some(&choice.name);
                for finding in findings.iter().filter(own) {
                    prop_assert!(finding.code.starts_with("DuplicateServer"), "{finding:?}");
                }
            }
            Err(_) => prop_assert!(brief_of(&findings).contains(&(Code::NoCandidate.code(), Error, ""))),
        }
    }
}
