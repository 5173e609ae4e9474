//! What goes on at the primary: whoever would hold up the freeze, or slip through it.

use super::{Code, Findings, Scene};
use crate::api::common::LongTransactionPolicy;
use crate::api::takeover::Severity;
use crate::topology::examine::supported;
use crate::topology::wording::{brief, count_of};
use crate::topology::{Activity, ServerFacts};
use std::collections::BTreeSet;

/// What `longTransactionPolicy: Wait` waits for: it ends by itself.
pub(super) const WAITABLE: [Code; 3] = [Code::LongTransaction, Code::LongStatement, Code::LockHeld];

/// Sessions named before the rest is only counted.
const NAMED: usize = 5;

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let Some((primary, facts)) = scene.primary.and_then(|primary| Some((primary, supported(primary)?)))
    else {
        return;
    };
    match scene.seen.activity {
        Some(activity) => {
            sessions(scene, &primary.name, activity, findings);
            prepared(&primary.name, activity, findings);
        }
        None => unknown(&primary.name, facts, findings),
    }
}

/// Not known is not nothing.
fn unknown(primary: &str, facts: &ServerFacts, findings: &mut Findings) {
    if !facts.performance_schema || !facts.missing_privileges.is_empty() {
        // That is why, and it is told.
        return;
    }
    findings.add(
        Code::ActivityUnknown,
        Severity::Error,
        Some(primary),
        format!("What goes on at {primary} could not be read, so nobody knows what a freeze would wait for."),
        format!("If {primary} is overloaded, try again later. Else read performance_schema there with the operator's account."),
    );
}

/// Each session is told once, under what holds up a freeze most.
fn sessions(scene: &Scene<'_>, primary: &str, activity: &Activity, findings: &mut Findings) {
    let limit = i64::from(scene.seen.limits.long_transaction_seconds);
    let mut told = BTreeSet::new();
    let mut fresh = |connection: u64, seconds: i64| seconds >= limit && told.insert(connection);

    let holders: Vec<String> = activity
        .lock_holders
        .iter()
        .filter(|holder| fresh(holder.connection, holder.seconds))
        .map(|holder| {
            format!(
                "connection {} ({}, {} s: {})",
                holder.connection,
                brief(&holder.user),
                holder.seconds,
                brief(&holder.what)
            )
        })
        .collect();
    let statements: Vec<String> = activity
        .statements
        .iter()
        .filter(|statement| fresh(statement.connection, statement.seconds))
        .map(|statement| {
            let kind = if statement.writes { "writes" } else { "reads" };
            format!(
                "connection {} ({}, {} s, {kind})",
                statement.connection,
                brief(&statement.user),
                statement.seconds
            )
        })
        .collect();
    let transactions: Vec<String> = activity
        .transactions
        .iter()
        .filter(|transaction| fresh(transaction.connection, transaction.seconds))
        .map(|transaction| {
            format!(
                "connection {} ({}, {} s, {} changed)",
                transaction.connection,
                brief(&transaction.user),
                transaction.seconds,
                count_of(transaction.rows_modified.max(0).unsigned_abs(), "row")
            )
        })
        .collect();

    for (code, what, consequence, sessions) in [
        (
            Code::LockHeld,
            "session holds a lock",
            "The freeze, and with it every new write, would wait for that.",
            holders,
        ),
        (
            Code::LongStatement,
            "long statement",
            "The freeze, and with it every new write, waits for those that write; the others would be ended.",
            statements,
        ),
        (
            Code::LongTransaction,
            "long transaction",
            "Transactions that are open at the freeze are rolled back.",
            transactions,
        ),
    ] {
        if sessions.is_empty() {
            continue;
        }
        let message = format!("{primary}: {}. {consequence}", named(what, &sessions));
        let (severity, remedy) = by_policy(scene.seen.limits.long_transaction_policy, primary);
        findings.add(code, severity, Some(primary), message, remedy);
    }
}

fn named(what: &str, sessions: &[String]) -> String {
    let shown = sessions.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let count = count_of(u64::try_from(sessions.len()).unwrap_or(u64::MAX), what);
    let count = count.replace("session holds a locks", "sessions hold locks");
    match sessions.len().saturating_sub(NAMED) {
        0 => format!("{count}: {shown}"),
        more => format!("{count}: {shown} and {more} more"),
    }
}

fn by_policy(policy: LongTransactionPolicy, primary: &str) -> (Severity, String) {
    match policy {
        LongTransactionPolicy::Fail => (
            Severity::Error,
            format!(
                "Let it end, or `KILL` the connection on {primary}. Or set `longTransactionPolicy`: `Wait` waits for it, `Kill` ends it at the freeze."
            ),
        ),
        LongTransactionPolicy::Wait => (
            Severity::Error,
            format!(
                "Nothing: the takeover waits for it, until its deadlines. To end it now: `KILL` the connection on {primary}."
            ),
        ),
        LongTransactionPolicy::Kill => (
            Severity::Warning,
            "Nothing: the takeover ends it at the freeze, as `longTransactionPolicy: Kill` says.".to_owned(),
        ),
    }
}

/// They pass `super_read_only`: committed on the old primary after the freeze, they would be lost or errant.
fn prepared(primary: &str, activity: &Activity, findings: &mut Findings) {
    let Ok(prepared @ 1..) = u64::try_from(activity.prepared_xa) else { return };
    findings.add(
        Code::PreparedTransactions,
        Severity::Error,
        Some(primary),
        format!(
            "{primary} has {}. They could be committed there after the freeze, which super_read_only does not prevent.",
            count_of(prepared, "prepared XA transaction")
        ),
        format!("On {primary}: `XA RECOVER`, then have their transaction manager end them, or `XA COMMIT` or `XA ROLLBACK` each."),
    );
}
