//! Logs, metrics and the admin server.

pub mod metrics;
