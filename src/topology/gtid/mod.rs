//! GTID sets: parsing, printing and algebra, tags of MySQL 8.3 and later included.

mod intervals;
#[cfg(test)]
mod tests;
mod text;

use intervals::Intervals;
use std::collections::BTreeMap;

pub use text::GtidError;

/// A set of global transaction identifiers, normalised: intervals sorted, merged, none empty, no source without one.
/// Two sets with the same transactions are therefore equal, however they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    sources: BTreeMap<Origin, Intervals>,
}

/// Where transactions come from. Ordered as the server prints it: by UUID, then untagged before tagged, then by tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    uuid: u128,
    /// In lower case; empty where there is none.
    tag: String,
}

impl GtidSet {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Everything of `self` that `other` lacks: what the server calls `GTID_SUBTRACT(self, other)`.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let left = self.sources.iter().filter_map(|(origin, mine)| {
            let left = match other.sources.get(origin) {
                Some(theirs) => mine.subtract(theirs),
                None => mine.clone(),
            };
            (!left.is_empty()).then(|| (origin.clone(), left))
        });
        Self { sources: left.collect() }
    }

    /// Whether `self` holds everything of `other`: what the server calls `GTID_SUBSET(other, self)`.
    pub fn contains(&self, other: &Self) -> bool {
        other
            .sources
            .iter()
            .all(|(origin, theirs)| self.sources.get(origin).is_some_and(|mine| mine.contains(theirs)))
    }

    /// Everything of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut sources = self.sources.clone();
        for (origin, theirs) in &other.sources {
            sources
                .entry(origin.clone())
                .and_modify(|mine| *mine = mine.union(theirs))
                .or_insert_with(|| theirs.clone());
        }
        Self { sources }
    }

    /// How many transactions it holds; stops at the largest number.
    pub fn count(&self) -> u64 {
        self.sources.values().fold(0, |sum, intervals| sum.saturating_add(intervals.count()))
    }

    /// The part of it that came from the server of that `server_uuid`, tagged or not. Empty where that is no UUID.
    #[must_use]
    pub fn of_server(&self, server_uuid: &str) -> Self {
        let Some(uuid) = text::parse_uuid(server_uuid.trim()) else { return Self::default() };
        let its = self.sources.iter().filter(|(origin, _)| origin.uuid == uuid);
        Self { sources: its.map(|(origin, intervals)| (origin.clone(), intervals.clone())).collect() }
    }
}
