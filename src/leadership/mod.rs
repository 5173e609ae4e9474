//! Which operator instance acts: a `coordination.k8s.io/v1` Lease.
//!
//! It is for liveness only. Whether a statement of a former leader can still do harm is for the epoch and the lock sessions.
//! The rules are those of client-go: what others wrote is never timed by their clocks but by how long we have seen it
//! unchanged, and every write carries the resourceVersion that it was decided from.

mod decide;
mod elector;

pub use decide::{Timing, TimingError, Verdict, evaluate};
pub use elector::{Claim, Elector, Lost};
