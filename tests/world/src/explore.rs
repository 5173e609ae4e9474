//! Many runs: every fault at every call, random faults by seed, and the smallest set of faults that still breaks something.

use crate::fault::{Fault, Planned};
use crate::scenario::{Outcome, Scenario, Variant, run};
use crate::state::Call;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What many runs showed.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Runs.
    pub runs: u64,
    /// Acknowledged writes that were looked for at the end.
    pub acknowledged: u64,
    /// Longest times without an acknowledgement in milliseconds, by class of fault.
    pub outage: BTreeMap<String, Vec<u64>>,
    /// Reasons with which takeovers ended.
    pub reasons: BTreeMap<String, u64>,
    /// Transitions of the journal that were seen.
    pub transitions: BTreeSet<&'static str>,
    /// Scenarios that broke something, and what.
    pub failures: Vec<(String, String)>,
}

impl Figures {
    fn take(&mut self, scenario: &Scenario, outcome: &Outcome) {
        self.runs += 1;
        self.acknowledged += outcome.acknowledged;
        let class = match scenario.faults.as_slice() {
            [] => "none",
            [only] => only.fault.class(),
            [_, _, ..] => "several",
        };
        let gap = u64::try_from(outcome.longest_gap.as_millis()).unwrap_or(u64::MAX);
        self.outage.entry(class.to_owned()).or_default().push(gap);
        *self.reasons.entry(outcome.reason.clone().unwrap_or_else(|| "deleted".to_owned())).or_default() += 1;
        self.transitions.extend(outcome.transitions.iter());
        if let Some(first) = outcome.violations.first() {
            self.failures.push((name(scenario), first.clone()));
        }
    }

    /// Adds those of other runs.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.acknowledged += other.acknowledged;
        for (class, gaps) in other.outage {
            self.outage.entry(class).or_default().extend(gaps);
        }
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        self.transitions.extend(other.transitions);
        self.failures.extend(other.failures);
    }
}

/// A scenario in one line, such as `Plain Late@12 CrashAfter@40`.
pub fn name(scenario: &Scenario) -> String {
    let faults: Vec<String> = scenario.faults.iter().map(ToString::to_string).collect();
    format!("{:?} {}", scenario.variant, faults.join(" ")).trim_end().to_owned()
}

/// Runs scenarios on all cores.
pub fn explore(scenarios: &[Scenario]) -> Figures {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Figures::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut figures = Figures::default();
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(scenario) {
                        Ok(outcome) => figures.take(scenario, &outcome),
                        Err(error) => figures.failures.push((name(scenario), error.to_string())),
                    }
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).merge(figures);
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Every one of these faults at every call that a takeover of this kind makes without one.
pub fn everywhere(variant: Variant, faults: &[Fault]) -> anyhow::Result<Vec<Scenario>> {
    let calls = run(&Scenario { variant, faults: Vec::new() })?.calls;
    let at = |call: usize| faults.iter().map(move |fault| Planned { call, fault: *fault });
    Ok(distinct(&calls)
        .into_iter()
        .flat_map(at)
        .map(|planned| Scenario { variant, faults: vec![planned] })
        .collect())
}

/// Numbers of the calls, without those that only look again for what was looked for a moment ago.
fn distinct(calls: &[Call]) -> Vec<usize> {
    const RECENT: usize = 12;
    let again = |number: &usize| {
        let what = calls.get(*number).map(|call| &call.what);
        let recent = calls.get(number.saturating_sub(RECENT)..*number).unwrap_or_default();
        recent.iter().filter(|call| Some(&call.what) == what).count() > 2
    };
    (0..calls.len()).filter(|number| !again(number)).collect()
}

/// A scenario of two to four faults, decided by its seed.
pub fn random(seed: u64) -> Scenario {
    let mut random = fastrand::Rng::with_seed(seed);
    let variants = Variant::ALL;
    let variant = variants.get(random.usize(..variants.len())).copied().unwrap_or(Variant::Plain);
    let all = Fault::all();
    let mut call = random.usize(..200);
    let faults = (0..random.usize(2..5))
        .filter_map(|_| {
            let fault = all.get(random.usize(..all.len())).copied()?;
            let planned = Planned { call, fault };
            // Near each other, so that the second meets what the first left behind.
            call += random.usize(..30);
            Some(planned)
        })
        .collect();
    Scenario { variant, faults }
}

/// The fewest of its faults, at the earliest calls, that still break something.
pub fn shrink(scenario: &Scenario) -> Scenario {
    let breaks = |scenario: &Scenario| run(scenario).is_ok_and(|outcome| !outcome.violations.is_empty());
    let mut smallest = scenario.clone();
    let mut at = 0;
    while at < smallest.faults.len() {
        let mut fewer = smallest.clone();
        fewer.faults.remove(at);
        if breaks(&fewer) { smallest = fewer } else { at += 1 }
    }
    smallest
}

/// Median, 99th percentile and maximum.
pub fn percentiles(gaps: &[u64]) -> (u64, u64, u64) {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    let at =
        |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1))).copied();
    (at(50).unwrap_or_default(), at(99).unwrap_or_default(), sorted.last().copied().unwrap_or_default())
}
