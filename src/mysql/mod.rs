//! The port to MySQL servers, its dialects and its `mysql_async` adapter.

mod activity;
mod answer;
pub mod client;
mod connect;
pub mod dialect;
mod errors;
mod events;
mod facts;
mod grants;
mod greeting;
pub mod port;
mod quote;
mod replica_status;
mod replication;
mod sessions;
mod statements;

pub use client::{MysqlServers, MysqlSession};
pub use port::{Endpoint, Greeted, Login, ServerError, ServerErrorKind, Servers, Session, Tag, TlsSettings};
