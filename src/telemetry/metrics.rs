//! Counters of the operator.

use std::time::Duration;

/// Every metric of the operator.
#[derive(Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// A takeover claimed its cluster.
    pub fn takeover_started(&self) {}
    /// A takeover ended with this reason.
    pub fn takeover_finished(
        &self,
        _namespace: &str,
        _cluster: &str,
        _reason: &'static str,
        _outage: Option<Duration>,
    ) {
    }
    /// A step ended.
    pub fn step_finished(&self, _step: &'static str, _took: Duration, _done: bool) {}
    /// A cluster was looked at.
    pub fn cluster_seen(
        &self,
        _namespace: &str,
        _cluster: &str,
        _instances: usize,
        _writable: usize,
        _ready: bool,
        _busy: bool,
    ) {
    }
    /// A cluster is gone.
    pub fn cluster_gone(&self, _namespace: &str, _cluster: &str) {}
    /// A call to a server failed.
    pub fn server_error(&self, _kind: &'static str) {}
    /// A compare-and-swap lost.
    pub fn commit_conflict(&self) {}
    /// The answer to a compare-and-swap was lost.
    pub fn commit_unknown(&self) {}
}
