//! The figures of many scenarios.

use crate::play::{Measured, covered_by};
use crate::scenario::Scenario;
use anyhow::Result;
use mysql_takeover::controller::failpoint::Point;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// A scenario that broke a promise.
pub struct Failure {
    scenario: String,
    seed: u64,
    what: String,
}

/// What all scenarios together showed.
#[derive(Default)]
pub struct Summary {
    runs: usize,
    acknowledged: usize,
    missing: usize,
    overlap_samples: usize,
    by_hand: usize,
    covered: BTreeSet<String>,
    outages: BTreeMap<String, Vec<Duration>>,
    pub failures: Vec<Failure>,
}

impl Summary {
    pub fn add(&mut self, scenario: &Scenario, seed: u64, result: Result<Measured>) {
        self.runs += 1;
        match result {
            Ok(measured) => {
                self.acknowledged += measured.report.acknowledged();
                self.missing += measured.report.missing();
                self.overlap_samples += measured.report.overlap_samples();
                self.by_hand += usize::from(measured.by_hand);
                self.outages.entry(scenario.fault.class()).or_default().push(measured.outage);
                if let Some(what) = measured.broken {
                    self.failures.push(Failure { scenario: scenario.to_string(), seed, what });
                } else {
                    self.covered.extend(covered_by(scenario).map(|point| point.to_string()));
                }
            }
            Err(error) => self.failures.push(Failure {
                scenario: scenario.to_string(),
                seed,
                what: format!("{error:#}"),
            }),
        }
    }

    /// Points at which no operator was killed or stopped with success.
    pub fn missed(&self) -> Vec<String> {
        Point::all().iter().map(ToString::to_string).filter(|name| !self.covered.contains(name)).collect()
    }

    pub fn json(&self) -> Value {
        let outage: BTreeMap<_, _> = self
            .outages
            .iter()
            .map(|(class, times)| {
                let [p50, p99, max] = percentiles(times);
                (class, json!({"p50": p50, "p99": p99, "max": max}))
            })
            .collect();
        let failures: Vec<_> = self
            .failures
            .iter()
            .map(|failure| json!({"scenario": failure.scenario, "seed": failure.seed, "what": failure.what}))
            .collect();
        json!({
            "realRuns": self.runs,
            "acknowledged": self.acknowledged,
            "missing": self.missing,
            "overlapSamples": self.overlap_samples,
            "mendedByHand": self.by_hand,
            "crashPoints": {"known": Point::all().len(), "covered": self.covered.len()},
            "outage": outage,
            "failures": failures,
        })
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{} runs, {} acknowledged, {} missing, {} samples with two writable, {} mended by hand; {} of {} points",
            self.runs,
            self.acknowledged,
            self.missing,
            self.overlap_samples,
            self.by_hand,
            self.covered.len(),
            Point::all().len(),
        );
        for (class, times) in &self.outages {
            let [p50, p99, max] = percentiles(times);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n  {class:<28} p50 {p50} ms, p99 {p99} ms, max {max} ms ({} runs)",
                times.len()
            );
        }
        for failure in &self.failures {
            let _ = write!(text, "\n  FAILED {} (seed {})", failure.scenario, failure.seed);
        }
        text
    }
}

/// Median, 99th percentile and maximum in milliseconds.
fn percentiles(times: &[Duration]) -> [u64; 3] {
    let mut sorted: Vec<u64> =
        times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    };
    [at(50), at(99), at(100)]
}
