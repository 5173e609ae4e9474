//! A healthy topology for tests: `db-0` is primary, `db-1` and `db-2` replicate from it.

use super::facts::{ReplicationChannel, ServerFacts, Startup, ThreadState, Version};
use super::{Instance, Seen, Topology};
use crate::api::common::PromotionRule;
use crate::api::journal::ReadOnly;
use crate::takeover::Limits;

/// `server_uuid` of `db-<number>`.
pub fn uuid(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

pub fn topology() -> Topology {
    Topology::new(vec![primary(), replica(1), replica(2)])
}

pub fn limits() -> Limits {
    Limits::of_cluster(&crate::api::cluster::TakeoverDefaults::default())
}

fn primary() -> Instance {
    let mut facts = facts(0);
    facts.read_only = ReadOnly::Off;
    facts.channels.clear();
    instance(0, facts)
}

/// A healthy replica of `db-0`.
pub fn replica(number: usize) -> Instance {
    instance(number, facts(number))
}

fn instance(number: usize, facts: ServerFacts) -> Instance {
    Instance {
        name: format!("db-{number}"),
        pod_uid: format!("pod-{number}"),
        replication_host: format!("db-{number}.db"),
        rule: PromotionRule::Neutral,
        seen: Seen::Facts(Box::new(facts)),
    }
}

fn facts(number: usize) -> ServerFacts {
    ServerFacts {
        server_uuid: uuid(number),
        server_id: 100 + i64::try_from(number).unwrap(),
        version: Version { major: 9, minor: 7, patch: 4 },
        version_text: "9.7.4".to_owned(),
        mariadb: false,
        read_only: ReadOnly::SuperReadOnly,
        gtid_mode_on: true,
        gtid_consistency_enforced: true,
        executed: format!("{}:1-100", uuid(0)).parse().unwrap(),
        purged: format!("{}:1-10", uuid(0)).parse().unwrap(),
        log_bin: true,
        log_replica_updates: true,
        binlog_format: "ROW".to_owned(),
        performance_schema: true,
        sync_binlog: 1,
        flush_log_at_commit: 1,
        uptime_seconds: 1000,
        channels: vec![channel()],
        replication_filters: false,
        binlog_filters: false,
        group_replication: false,
        semi_sync_source: None,
        semi_sync_replica: None,
        semi_sync_wait_for: 0,
        semi_sync_clients: 0,
        startup: Startup::ReadOnly,
        missing_privileges: Vec::new(),
    }
}

pub fn channel() -> ReplicationChannel {
    ReplicationChannel {
        name: String::new(),
        source_host: "db-0.db".to_owned(),
        source_port: 3306,
        source_uuid: uuid(0),
        source_user: "replication".to_owned(),
        receiver: ThreadState::Running,
        applier: ThreadState::Running,
        receiver_error: None,
        applier_error: None,
        seconds_behind: Some(0),
        delay_seconds: 0,
        auto_position: true,
        retrieved: super::GtidSet::default(),
        ssl: true,
    }
}

impl Topology {
    /// The instance of that number, to change it.
    pub(crate) fn at(&mut self, number: usize) -> &mut Instance {
        let name = format!("db-{number}");
        self.instances.iter_mut().find(|instance| instance.name == name).unwrap()
    }

    /// Its facts, to change them.
    pub(crate) fn facts(&mut self, number: usize) -> &mut ServerFacts {
        match &mut self.at(number).seen {
            Seen::Facts(facts) => facts,
            Seen::Unreachable(_) | Seen::AccessDenied(_) => panic!("db-{number} has no facts"),
        }
    }

    /// Its replication channel, to change it.
    pub(crate) fn channel(&mut self, number: usize) -> &mut ReplicationChannel {
        &mut self.facts(number).channels[0]
    }

    /// It holds these transactions of `db-0`, such as `1-90`.
    pub(crate) fn executed(&mut self, number: usize, transactions: &str) {
        self.facts(number).executed = format!("{}:{transactions}", uuid(0)).parse().unwrap();
    }
}
