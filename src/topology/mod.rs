//! PURE. What the servers told, and what follows from it: GTID sets, roles, health, the best candidate.
//!
//! No client, no runtime, no clock, no randomness: observations come in as values, conclusions go out as values.

pub mod candidate;
pub mod examine;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gtid;
pub mod health;
pub mod objection;
mod remedy;
pub mod wording;

pub use facts::{Activity, ReplicationChannel, ServerFacts, Version};
pub use gtid::GtidSet;

use crate::api::common::PromotionRule;

/// One instance of a topology: its Pod, and what its server told.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Name of the Pod.
    pub name: String,
    /// UID of the Pod.
    pub pod_uid: String,
    /// What replicas write into `SOURCE_HOST` to replicate from it.
    pub replication_host: String,
    /// Its promotion rule.
    pub rule: PromotionRule,
    /// What its server told.
    pub seen: Seen,
}

/// What became of looking at a server. Unreachable is a value, not an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It answered.
    Facts(Box<ServerFacts>),
    /// It did not answer within the bound, or the Pod has no address.
    Unreachable(String),
    /// It refused the operator's login or a statement of the observation.
    AccessDenied(String),
}

impl Instance {
    /// What its server told, if it answered.
    pub fn facts(&self) -> Option<&ServerFacts> {
        match &self.seen {
            Seen::Facts(facts) => Some(facts),
            Seen::Unreachable(_) | Seen::AccessDenied(_) => None,
        }
    }
}

/// All instances of a cluster, as seen in one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Sorted by name.
    pub instances: Vec<Instance>,
}

/// Who is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primary {
    /// Exactly one instance accepts writes.
    One(String),
    /// None does.
    None,
    /// Several do.
    Many(Vec<String>),
}

impl Topology {
    /// A topology of these instances.
    pub fn new(mut instances: Vec<Instance>) -> Self {
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        Self { instances }
    }

    /// The instance of that name.
    pub fn get(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// The instance whose server has that `server_uuid`.
    pub fn by_server_uuid(&self, server_uuid: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| instance.facts().is_some_and(|facts| facts.server_uuid == server_uuid))
    }

    /// Who accepts writes. `read_only` without `super_read_only` counts as accepting them: privileged sessions can write.
    pub fn primary(&self) -> Primary {
        let mut writable = self
            .instances
            .iter()
            .filter(|instance| instance.facts().is_some_and(ServerFacts::accepts_writes))
            .map(|instance| instance.name.clone());
        match (writable.next(), writable.next()) {
            (None, _) => Primary::None,
            (Some(one), None) => Primary::One(one),
            (Some(first), Some(second)) => {
                Primary::Many([first, second].into_iter().chain(writable).collect())
            }
        }
    }

    /// The instances that replicate directly from the server of that instance.
    pub fn direct_replicas(&self, primary: &str) -> Vec<&Instance> {
        let Some(source) = self.get(primary).and_then(Instance::facts) else { return Vec::new() };
        self.instances
            .iter()
            .filter(|instance| instance.name != primary)
            .filter(|instance| {
                instance
                    .facts()
                    .and_then(ServerFacts::channel)
                    .is_some_and(|channel| channel.source_uuid == source.server_uuid)
            })
            .collect()
    }
}
