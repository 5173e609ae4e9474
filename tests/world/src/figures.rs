//! The figures of a soak in one place: simulated, model, real processes, planted mistakes.

use crate::explore::{Figures, percentiles};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What the simulated runs showed, as the file of a soak tells it.
pub fn simulated(figures: &Figures) -> Value {
    let naming = |what: &str| figures.failures.iter().filter(|(_, told)| told.contains(what)).count();
    let outage: BTreeMap<&String, Value> = figures
        .outage
        .iter()
        .map(|(class, gaps)| {
            let (p50, p99, max) = percentiles(gaps);
            (class, json!({"p50": p50, "p99": p99, "max": max, "runs": gaps.len()}))
        })
        .collect();
    json!({
        "simulatedRuns": figures.runs,
        "acknowledged": figures.acknowledged,
        // Runs in which a write was missing, or two servers accepted writes.
        "missing": naming("acknowledged write"),
        "overlapSamples": naming("accept writes at the same time"),
        "transitions": figures.transitions,
        "reasons": figures.reasons,
        "outage": outage,
        "failures": figures.failures,
    })
}

/// Reads what each part of a soak left in `folder`, and puts it together. A part that left nothing is an error: its share was
/// not run.
pub fn together(folder: &Path) -> anyhow::Result<Value> {
    let part = |name: &str| -> anyhow::Result<Value> {
        let path = folder.join(format!("soak-{name}.json"));
        let text =
            std::fs::read(&path).with_context(|| format!("{}: this part was not run", path.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    };
    let (simulated, model, real, mutants) =
        (part("simulated")?, part("model")?, part("real")?, part("mutants")?);
    let sum = |key: &str| number(&simulated, key) + number(&real, key);
    Ok(json!({
        "simulatedRuns": number(&simulated, "simulatedRuns"),
        "realRuns": number(&real, "realRuns"),
        "acknowledged": sum("acknowledged"),
        "missing": sum("missing"),
        "overlapSamples": sum("overlapSamples"),
        "crashPoints": real.get("crashPoints"),
        "mutants": {"planted": number(&mutants, "planted"), "caught": number(&mutants, "caught")},
        "outage": real.get("outage"),
        "simulatedOutage": simulated.get("outage"),
        "model": model,
        "failures": {"simulated": simulated.get("failures"), "real": real.get("failures")},
    }))
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

/// The same for people.
pub fn text(figures: &Value) -> String {
    let told = |key: &str| figures.get(key).map_or_else(String::new, ToString::to_string);
    let mut lines = vec![
        format!("simulated runs       {}", told("simulatedRuns")),
        format!("real runs            {}", told("realRuns")),
        format!("acknowledged writes  {}", told("acknowledged")),
        format!("missing              {}", told("missing")),
        format!("two writable         {}", told("overlapSamples")),
        format!("crash points         {}", told("crashPoints")),
        format!("mutants              {}", told("mutants")),
        "outage in ms, by fault, real processes".to_owned(),
    ];
    for (class, times) in figures.get("outage").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("  {class:32} {times}"));
    }
    lines.join("\n")
}
