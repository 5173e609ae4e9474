//! PURE. The takeover: its steps, its preflight, and what to do next, as functions of values.
//!
//! Time and observations come in as values; a decision goes out as a value. No client, no runtime, no clock, no randomness.

pub mod admission;
pub mod decide;
pub mod limits;
pub mod outcome;
pub mod preflight;
pub mod situation;
pub mod step;

pub use decide::{Decision, Undo, decide};
pub use limits::Limits;
pub use outcome::{Outcome, Reason};
pub use situation::{Packet, Routed, ServerView, Situation, View};
pub use step::Step;
