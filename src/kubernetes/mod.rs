//! The port to the Kubernetes API and its `kube` adapter.

pub mod port;

pub use port::{ApiError, Commit, Key, Kubernetes};
