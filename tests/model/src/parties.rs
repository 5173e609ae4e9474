//! Who takes part: three servers, two operator instances, the Kubernetes API.

/// One of the three servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// The primary that hands over.
    Old,
    /// The replica that takes over.
    New,
    /// The other replica.
    Sibling,
}

/// A server of the two that a takeover changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The primary that hands over.
    Old,
    /// The replica that takes over.
    New,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    /// The server.
    pub fn site(self) -> Site {
        match self {
            Self::Old => Site::Old,
            Self::New => Site::New,
        }
    }
}

/// One of the two operator instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The one that usually begins.
    First,
    /// The one that usually adopts.
    Second,
}

impl Who {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Something for each of two keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pair<T>(pub T, pub T);

impl<T> Pair<T> {
    /// That of a server.
    pub fn at(&self, side: Side) -> &T {
        match side {
            Side::Old => &self.0,
            Side::New => &self.1,
        }
    }

    /// That of a server, to change.
    pub fn at_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Old => &mut self.0,
            Side::New => &mut self.1,
        }
    }

    /// That of an operator.
    pub fn of(&self, who: Who) -> &T {
        match who {
            Who::First => &self.0,
            Who::Second => &self.1,
        }
    }

    /// That of an operator, to change.
    pub fn of_mut(&mut self, who: Who) -> &mut T {
        match who {
            Who::First => &mut self.0,
            Who::Second => &mut self.1,
        }
    }
}

/// What an operator can be cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A server.
    Server(Side),
    /// The Kubernetes API.
    Api,
}
