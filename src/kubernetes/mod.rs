//! The port to the Kubernetes API and its `kube` adapter.

pub mod client;
pub mod connect;
pub mod port;
pub mod words;

pub use client::KubeApi;
pub use port::{ApiError, Commit, Key, Kubernetes};
