//! Logs, metrics and the admin server.

pub mod admin;
pub mod logs;
pub mod metrics;
