//! Where a takeover's time goes, step by step.

use std::time::Duration;

use crate::load::Percentiles;
use crate::resources::TakeoverStatus;

/// Durations of each step over many takeovers, in the order of the steps.
#[derive(Clone, Debug, Default)]
pub struct StepTimes {
    steps: Vec<(String, Vec<Duration>)>,
}

impl StepTimes {
    /// Adds the steps of one takeover. Those that were not needed have no times and do not count.
    pub fn add(&mut self, status: &TakeoverStatus) {
        for step in &status.steps {
            let Some(duration) = step.duration() else { continue };
            match self.steps.iter_mut().find(|(name, _)| *name == step.name) {
                Some((_, durations)) => durations.push(duration),
                None => self.steps.push((step.name.clone(), vec![duration])),
            }
        }
    }

    /// Percentiles by step.
    pub fn percentiles(&self) -> Vec<(&str, Percentiles)> {
        self.steps
            .iter()
            .filter_map(|(name, durations)| {
                Some((name.as_str(), Percentiles::of(durations.iter().copied())?))
            })
            .collect()
    }
}
