//! Hands the primary role of a MySQL replication topology from one instance to another.
//!
//! `topology` and `takeover` are pure: they know no client, no clock and no runtime, and return decisions as values.
//! `mysql` and `kubernetes` are ports with their adapters; `controller` drives them.

pub mod api;
pub mod cli;
pub mod controller;
pub mod kubernetes;
pub mod leadership;
pub mod mysql;
pub mod takeover;
pub mod telemetry;
pub mod topology;
