//! Sorted intervals of transaction numbers.

use std::cmp::{max, min};

/// Numbers `first..=last`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    pub first: u64,
    pub last: u64,
}

/// Intervals in ascending order, with at least one number missing between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<Interval>);

impl Intervals {
    /// From intervals in any order, overlapping or touching. Numbers are below [`u64::MAX`].
    pub fn new(mut intervals: Vec<Interval>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for next in intervals {
            match merged.last_mut() {
                Some(before) if next.first <= before.last.saturating_add(1) => {
                    before.last = max(before.last, next.last);
                }
                Some(_) | None => merged.push(next),
            }
        }
        Self(merged)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        self.0.iter().copied()
    }

    pub fn count(&self) -> u64 {
        self.iter()
            .fold(0, |sum, interval| sum.saturating_add((interval.last - interval.first).saturating_add(1)))
    }

    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()).collect())
    }

    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|theirs| {
            let after = self.0.partition_point(|mine| mine.last < theirs.first);
            self.0.get(after).is_some_and(|mine| mine.first <= theirs.first && theirs.last <= mine.last)
        })
    }

    /// In one pass over both.
    pub fn subtract(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut cuts = other.iter().peekable();
        for mine in self.iter() {
            let mut first = mine.first;
            // A cut that reaches beyond `mine` may cut the next one too, so it is left in place.
            while let Some(cut) = cuts.peek().copied().filter(|cut| cut.first <= mine.last) {
                if cut.first > first {
                    left.push(Interval { first, last: min(mine.last, cut.first - 1) });
                }
                first = max(first, cut.last.saturating_add(1));
                if cut.last > mine.last {
                    break;
                }
                cuts.next();
            }
            if first <= mine.last {
                left.push(Interval { first, last: mine.last });
            }
        }
        Self(left)
    }
}
