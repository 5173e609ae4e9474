//! How a takeover ended, as an exit code. Pure.

use crate::api::MasterTakeover;
use crate::api::conditions::{self, Truth};
use std::process::ExitCode;

/// How a takeover stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has not ended.
    Open,
    /// It did what was asked for.
    Succeeded,
    /// It did not, and changed nothing that had to be undone.
    Failed,
    /// It did not, and what it had done was undone.
    RolledBack,
}

/// Exit code when the time that the user gave ran out before the takeover ended.
pub(super) const TIMED_OUT: u8 = 3;

impl Verdict {
    pub(super) fn of(takeover: &MasterTakeover) -> Self {
        let holds = |type_: &str| {
            let conditions = takeover.status.as_ref().map_or(&[][..], |status| &status.conditions);
            conditions::find(conditions, type_).map(|condition| condition.status.clone())
        };
        let is = |truth: Truth, found: Option<String>| found.as_deref() == Some(truth.as_str());
        if is(Truth::True, holds(conditions::SUCCEEDED)) {
            Self::Succeeded
        } else if !is(Truth::False, holds(conditions::SUCCEEDED)) {
            Self::Open
        } else if is(Truth::True, holds(conditions::ROLLED_BACK)) {
            Self::RolledBack
        } else {
            Self::Failed
        }
    }

    pub(super) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::RolledBack => 2,
            Self::Open => TIMED_OUT,
        })
    }
}

/// Reason and message of its `Succeeded` condition: where it is, or how it ended.
pub(super) fn told(takeover: &MasterTakeover) -> (String, String) {
    let conditions = takeover.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions::find(conditions, conditions::SUCCEEDED).map_or_else(
        || ("NotSeen".to_owned(), "no operator has looked at it yet".to_owned()),
        |condition| (condition.reason.clone(), condition.message.clone()),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::cli) fn takeover(status: &serde_json::Value) -> MasterTakeover {
        serde_json::from_value(json!({
            "apiVersion": "mysql-takeover.io/v1alpha1",
            "kind": "MasterTakeover",
            "metadata": {"name": "orders-to-1", "namespace": "shop"},
            "spec": {"clusterRef": {"name": "orders"}, "newPrimary": "mysql-1"},
            "status": status,
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str) -> serde_json::Value {
        json!({"type": type_, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn the_conditions_decide() {
        for (conditions, expected) in [
            (vec![], Verdict::Open),
            (vec![condition("Succeeded", "Unknown")], Verdict::Open),
            (vec![condition("Succeeded", "Unknown"), condition("RolledBack", "True")], Verdict::Open),
            (vec![condition("Succeeded", "True")], Verdict::Succeeded),
            (vec![condition("Succeeded", "False")], Verdict::Failed),
            (vec![condition("Succeeded", "False"), condition("RolledBack", "False")], Verdict::Failed),
            (vec![condition("Succeeded", "False"), condition("RolledBack", "True")], Verdict::RolledBack),
        ] {
            let takeover = takeover(&json!({"observedGeneration": 1, "conditions": conditions}));
            assert_eq!(Verdict::of(&takeover), expected, "{conditions:?}");
        }
    }

    #[test]
    fn nobody_has_looked_yet() {
        let fresh = takeover(&json!({"observedGeneration": -1}));
        assert_eq!(Verdict::of(&fresh), Verdict::Open);
        assert_eq!(told(&fresh).0, "NotSeen");
    }
}
