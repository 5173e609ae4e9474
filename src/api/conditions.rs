//! Condition types, reasons, and the one way to set a condition.

use super::common::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// `MasterTakeover`: Unknown while it runs, then True or False. `MySQLCluster` has `READY` instead.
pub const SUCCEEDED: &str = "Succeeded";
/// kstatus: work is under way.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: ended in failure, or a person is needed.
pub const STALLED: &str = "Stalled";
/// `MasterTakeover`: what was done was undone.
pub const ROLLED_BACK: &str = "RolledBack";
/// `MasterTakeover`: the primary moved, but an instance could not follow.
pub const DEGRADED: &str = "Degraded";
/// `MySQLCluster`: the topology is as it should be.
pub const READY: &str = "Ready";
/// `MySQLCluster`: exactly one instance accepts writes.
pub const PRIMARY_WRITABLE: &str = "PrimaryWritable";
/// `MySQLCluster`: every replica replicates from the primary.
pub const REPLICATION_HEALTHY: &str = "ReplicationHealthy";
/// `MySQLCluster`: a takeover would pass its preflight now.
pub const TAKEOVER_READY: &str = "TakeoverReady";

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known, or not yet.
    Unknown,
}

impl Truth {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Longest message of a condition, step or finding, in characters.
pub const MESSAGE_LIMIT: usize = 1024;

/// `text` cut to [`MESSAGE_LIMIT`] characters.
pub fn bounded(text: &str) -> String {
    if text.chars().count() <= MESSAGE_LIMIT {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(MESSAGE_LIMIT - 1).collect();
    cut.push('…');
    cut
}

/// Sets one condition; its transition time moves only when its status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    truth: Truth,
    reason: &str,
    message: &str,
    generation: i64,
    now: &Timestamp,
) {
    let message = bounded(message);
    if let Some(found) = conditions.iter_mut().find(|condition| condition.type_ == type_) {
        if found.status != truth.as_str() {
            found.last_transition_time = Time(now.0);
        }
        truth.as_str().clone_into(&mut found.status);
        reason.clone_into(&mut found.reason);
        found.message = message;
        found.observed_generation = Some(generation);
        return;
    }
    conditions.push(Condition {
        type_: type_.to_owned(),
        status: truth.as_str().to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: Time(now.0),
    });
}

/// The schema of a list of conditions, as Kubernetes' own kinds have it; the type of k8s-openapi comes without bounds.
pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array", "maxItems": 16,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316,
                    "description": "What the condition speaks of."
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds."
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why, in one CamelCase word for programs."
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "Why, and what to do, for people."
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64",
                    "description": "Generation of the spec that the condition speaks of."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When `status` last changed."
                }
            }
        }
    })
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(
            jiff::Timestamp::from_second(seconds).unwrap(),
        )
    }

    #[test]
    fn transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, Truth::False, "A", "a", 1, &at(1));
        set(&mut conditions, READY, Truth::False, "B", "b", 2, &at(2));
        assert_eq!(conditions[0].last_transition_time.0.as_second(), 1);
        assert_eq!(conditions[0].reason, "B");
        set(&mut conditions, READY, Truth::True, "C", "c", 3, &at(3));
        assert_eq!(conditions[0].last_transition_time.0.as_second(), 3);
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn long_messages_are_cut_by_characters() {
        let long = "ü".repeat(2000);
        assert_eq!(bounded(&long).chars().count(), MESSAGE_LIMIT);
        assert_eq!(bounded("short"), "short");
    }
}
