//! The MySQL adapter on real servers. What the documentation of the port says is what is tested here.

// clippy.toml allows it in test functions only, not in their helpers.
#![allow(clippy::unwrap_used)]

mod activity;
mod connecting;
mod events;
mod facts;
mod freezing;
mod hostile;
mod opening;
mod replication;
mod sessions;
mod support;
