//! A takeover in lines of text. Pure.

use crate::api::MasterTakeover;
use crate::api::takeover::{StepState, StepStatus};
use crate::cli::paint::{Paint, duration, fill};
use crate::cli::verdict::{self, Verdict};
use jiff::Timestamp;
use kube::ResourceExt;

/// The takeover as it stands, for a terminal.
pub(super) fn frame(takeover: &MasterTakeover, now: Timestamp, paint: Paint) -> Vec<String> {
    let status = takeover.status.clone().unwrap_or_default();
    let (reason, message) = verdict::told(takeover);
    let mut head = format!(
        "{}/{}   {}",
        takeover.namespace().unwrap_or_default(),
        takeover.name_any(),
        coloured(paint, Verdict::of(takeover), &reason)
    );
    if let Some(progress) = &status.progress {
        head = format!("{head}   {progress}");
    }
    if let Some(start) = &status.start_time {
        let end = status.completion_time.as_ref().map_or(now, |end| end.0);
        head = format!("{head}   {}", duration(microseconds(start.0, end)));
    }
    let mut lines = vec![
        format!("{}  {head}", paint.strong("Takeover")),
        format!("{}   {}", paint.strong("Cluster"), takeover.spec.cluster_ref.name),
        format!("{}   {}", paint.strong("Primary"), primaries(takeover)),
    ];
    if status.steps.is_empty() {
        if Verdict::of(takeover) == Verdict::Open {
            lines.push(message);
        }
        return lines;
    }
    lines.push(String::new());
    let width = status.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default().max(4);
    lines.push(paint.strong(&format!("  {}  STATE    TIME       INFO", fill("STEP", width))));
    for step in &status.steps {
        let info = step.message.as_deref().unwrap_or_default();
        lines.push(
            format!(
                "{} {}  {}  {}  {info}",
                mark(paint, step.state),
                fill(&step.name, width),
                fill(state(step.state), 7),
                fill(&took(step, now), 9),
            )
            .trim_end()
            .to_owned(),
        );
    }
    lines
}

/// The takeover as lines that change only when it does, for a log.
pub(super) fn lines(takeover: &MasterTakeover) -> Vec<String> {
    let status = takeover.status.clone().unwrap_or_default();
    let mut lines = Vec::new();
    if Verdict::of(takeover) == Verdict::Open && status.steps.is_empty() {
        let (reason, message) = verdict::told(takeover);
        lines.push(format!("{reason}: {message}"));
    }
    for step in status.steps.iter().filter(|step| step.state != StepState::Pending) {
        let mut line = format!("{}  {}", fill(&step.name, 12), fill(state(step.state), 7));
        if let (Some(start), Some(end)) = (&step.start_time, &step.completion_time) {
            line = format!("{line}  {}", fill(&duration(microseconds(start.0, end.0)), 9));
        }
        if let Some(message) = &step.message {
            line = format!("{line}  {message}");
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// How it ended, in two lines.
pub(super) fn verdict(takeover: &MasterTakeover, paint: Paint) -> String {
    let verdict = Verdict::of(takeover);
    let (reason, message) = verdict::told(takeover);
    let mut text = format!("{}: {message}", coloured(paint, verdict, &reason));
    let outage = takeover.status.as_ref().and_then(|status| status.write_outage_microseconds);
    if let Some(outage) = outage {
        text = format!("{text}\nWrite outage: {}", paint.strong(&duration(outage)));
    }
    for finding in takeover.status.iter().flat_map(|status| &status.findings) {
        if verdict == Verdict::Failed {
            text = format!("{text}\n{}", crate::cli::plan::finding(finding, paint));
        }
    }
    text
}

fn primaries(takeover: &MasterTakeover) -> String {
    let status = takeover.status.clone().unwrap_or_default();
    let old = status.old_primary.or_else(|| takeover.spec.old_primary.clone());
    let new = status.new_primary.or_else(|| takeover.spec.new_primary.clone());
    let mut text = format!("{} → {}", old.as_deref().unwrap_or("?"), new.as_deref().unwrap_or("?"));
    if let Some(reason) = status.target_reason {
        text = format!("{text} ({reason})");
    }
    text
}

fn coloured(paint: Paint, verdict: Verdict, text: &str) -> String {
    match verdict {
        Verdict::Open => paint.attention(text),
        Verdict::Succeeded => paint.good(text),
        Verdict::Failed | Verdict::RolledBack => paint.bad(text),
    }
}

fn took(step: &StepStatus, now: Timestamp) -> String {
    let Some(start) = &step.start_time else { return String::new() };
    match (&step.completion_time, step.state) {
        (Some(end), _) => duration(microseconds(start.0, end.0)),
        (None, StepState::Running) => duration(microseconds(start.0, now)),
        (None, _) => String::new(),
    }
}

fn microseconds(start: Timestamp, end: Timestamp) -> i64 {
    // The clocks of the operator and of this machine may differ.
    (end.as_microsecond() - start.as_microsecond()).max(0)
}

fn mark(paint: Paint, state: StepState) -> String {
    match state {
        StepState::Pending => paint.faint("◌"),
        StepState::Running => paint.attention("⟳"),
        StepState::Done => paint.good("✔"),
        StepState::Failed => paint.bad("✘"),
        StepState::Undone => paint.attention("↶"),
        StepState::Skipped => paint.faint("–"),
    }
}

fn state(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "Pending",
        StepState::Running => "Running",
        StepState::Done => "Done",
        StepState::Failed => "Failed",
        StepState::Undone => "Undone",
        StepState::Skipped => "Skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verdict::tests::takeover;
    use serde_json::json;

    fn running() -> MasterTakeover {
        takeover(&json!({
            "observedGeneration": 1,
            "startTime": "2026-01-01T00:00:00.000000Z",
            "oldPrimary": "mysql-0", "newPrimary": "mysql-1", "targetReason": "RequestedByName",
            "progress": "1/3",
            "conditions": [{
                "type": "Succeeded", "status": "Unknown", "reason": "FreezingWrites", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "steps": [
                {"name": "Admit", "state": "Done", "message": "claimed orders",
                 "startTime": "2026-01-01T00:00:00.000000Z", "completionTime": "2026-01-01T00:00:00.012000Z"},
                {"name": "Freeze", "state": "Running", "startTime": "2026-01-01T00:00:01.000000Z"},
                {"name": "Open", "state": "Pending"},
            ],
        }))
    }

    #[test]
    fn a_frame_shows_where_it_is() {
        let now = "2026-01-01T00:00:03.500000Z".parse().unwrap();
        let frame = frame(&running(), now, Paint::plain());
        assert_eq!(
            frame,
            [
                "Takeover  shop/orders-to-1   FreezingWrites   1/3   3.5 s",
                "Cluster   orders",
                "Primary   mysql-0 → mysql-1 (RequestedByName)",
                "",
                "  STEP    STATE    TIME       INFO",
                "✔ Admit   Done     12 ms      claimed orders",
                "⟳ Freeze  Running  2.5 s",
                "◌ Open    Pending",
            ]
        );
    }

    #[test]
    fn a_log_has_lines_that_do_not_tick() {
        assert_eq!(
            lines(&running()),
            ["Admit         Done     12 ms      claimed orders", "Freeze        Running"]
        );
        let fresh = takeover(&json!({"observedGeneration": -1}));
        assert_eq!(lines(&fresh), ["NotSeen: no operator has looked at it yet"]);
    }

    #[test]
    fn the_verdict_tells_the_outage() {
        let ended = takeover(&json!({
            "observedGeneration": 1, "writeOutageMicroseconds": 3140,
            "conditions": [{
                "type": "Succeeded", "status": "True", "reason": "Promoted", "message": "mysql-1 is primary",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }));
        assert_eq!(verdict(&ended, Paint::plain()), "Promoted: mysql-1 is primary\nWrite outage: 3.1 ms");
    }
}
