//! Percentiles of durations, in milliseconds.

use std::time::Duration;

use serde::Serialize;

/// Nearest-rank percentiles of a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// None of an empty set: there is no figure that would not mislead.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied().map(milliseconds)
        };
        Some(Self { p50: rank(50)?, p95: rank(95)?, max: rank(100)? })
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.1} / {:.1} / {:.1}", self.p50, self.p95, self.max)
    }
}

/// A duration in milliseconds, rounded to a microsecond so that JSON stays readable.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: &[u64]) -> Option<Percentiles> {
        Percentiles::of(milliseconds.iter().copied().map(Duration::from_millis))
    }

    #[test]
    fn nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Some(Percentiles { p50: 50.0, p95: 95.0, max: 100.0 }));
        assert_eq!(of(&[7]), Some(Percentiles { p50: 7.0, p95: 7.0, max: 7.0 }));
        assert_eq!(of(&[1, 2, 3]), Some(Percentiles { p50: 2.0, p95: 3.0, max: 3.0 }));
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(of(&[]), None);
    }
}
