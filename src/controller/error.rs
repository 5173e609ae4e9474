//! What stops a pass of a driver. "Not yet" is no error.

use crate::kubernetes::ApiError;
use crate::mysql::ServerError;

/// A pass that could not be carried out; it is tried again, with growing intervals.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to Kubernetes failed.
    #[error("Kubernetes API: {0}")]
    Api(#[from] ApiError),
    /// A call to a server failed where nothing could be concluded from it.
    #[error("MySQL: {0}")]
    Server(#[from] ServerError),
    /// A write was overtaken by another one; the next pass decides from what is there now.
    #[error("the resource changed meanwhile")]
    Conflict,
}

impl Error {
    /// Stable word for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api(_) => "api",
            Self::Server(_) => "server",
            Self::Conflict => "conflict",
        }
    }
}
