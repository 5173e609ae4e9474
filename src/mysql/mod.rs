//! The port to MySQL servers, its dialects and its `mysql_async` adapter.

pub mod port;

pub use port::{Endpoint, Login, ServerError, ServerErrorKind, Servers, Session, Tag, TlsSettings};
