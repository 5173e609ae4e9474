//! The port to the Kubernetes API and its `kube` adapter.

pub mod client;
pub mod port;
mod view;

pub use client::KubeApi;
pub use port::{ApiError, Commit, Key, Kubernetes};
