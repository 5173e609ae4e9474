//! Sets of transactions as bits, and the GTID sets that they stand for.

use crate::parties::Side;
use mysql_takeover::topology::GtidSet;

/// UUID of the old primary.
pub const OLD_UUID: &str = "00000000-0000-0000-0000-00000000000a";
/// UUID of the new primary.
pub const NEW_UUID: &str = "00000000-0000-0000-0000-00000000000b";
/// Bits of one server's own transactions.
const OWN: u8 = 0b11;
/// How many there are.
const WIDTH: u8 = 2;

/// Transactions: two that each of the two servers may make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transactions(u8);

impl Transactions {
    /// None.
    pub const NONE: Self = Self(0);
    /// How many sets there are.
    pub const COUNT: u8 = 1 << (2 * WIDTH);

    /// Client transaction `number`, committed on a server.
    pub fn one(number: u8, side: Side) -> Self {
        match side {
            Side::Old => Self(1 << number),
            Side::New => Self(1 << (number + WIDTH)),
        }
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a client transaction is in it, wherever it was committed.
    pub fn has(self, number: u8) -> bool {
        self.contains(Self::one(number, Side::Old)) || self.contains(Self::one(number, Side::New))
    }

    /// Every set.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Its place in a list of all sets.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }

    /// The part that a server made itself.
    #[must_use]
    pub fn own(self, side: Side) -> Self {
        match side {
            Side::Old => Self(self.0 & OWN),
            Side::New => Self(self.0 & (OWN << WIDTH)),
        }
    }

    /// As the servers write it. What both have had all along is in every set.
    pub fn gtid_set(self) -> GtidSet {
        let mut text = format!("{OLD_UUID}:1-10");
        for (side, uuid, first) in [(Side::Old, OLD_UUID, 11), (Side::New, NEW_UUID, 1)] {
            for number in 0..WIDTH {
                if self.contains(Self::one(number, side)) {
                    text.push(',');
                    text.push_str(uuid);
                    text.push(':');
                    text.push_str(&(first + number).to_string());
                }
            }
        }
        text.parse().unwrap_or_default()
    }
}
