//! A world in memory in which the operator's real drivers run: servers, API store, clients, faults, virtual time. The same seed
//! gives the same run. What it shows about servers is held against real ones in `tests/alike.rs`.

pub mod api;
mod check;
mod clients;
pub mod explore;
pub mod fault;
pub mod figures;
mod operator;
pub mod scenario;
pub mod server;
pub mod session;
pub mod state;
mod statements;
pub mod store;
mod strike;

pub use explore::{Figures, explore};
pub use fault::{Fault, Planned};
pub use scenario::{Outcome, Scenario, Variant, run};

/// Servers in the world: the primary, the one that takes over, a sibling.
pub const SERVERS: usize = 3;
