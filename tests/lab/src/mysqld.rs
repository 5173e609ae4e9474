//! mysqld processes: single servers, and topologies of a primary with replicas.

mod accounts;
mod server;
mod topology;

pub use accounts::{Account, Accounts};
pub use server::{Server, ServerOptions};
pub use topology::{Topology, TopologyOptions, wait_until_replicating};

/// MySQL's own port.
pub const MYSQL_PORT: u16 = 3306;
